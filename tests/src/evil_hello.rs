//! Transport parameters as raw values, and a knife for ClientHellos: what an [`Evil`] endpoint
//! needs to say what no honest one would.
//!
//! [`Evil`]: crate::evil::Evil

use std::collections::BTreeMap;

use crate::http3::varint;

/// Transport parameters by their numbers; `None` keeps one from being sent.
pub type Parameters = BTreeMap<u64, Option<Vec<u8>>>;

/// Parameters of an ordinary endpoint. Its connection IDs are filled in later.
pub fn parameters() -> Parameters {
    let integers = [
        (0x01, 30_000),     // max_idle_timeout
        (0x04, 10_000_000), // initial_max_data
        (0x05, 1_000_000),  // initial_max_stream_data_bidi_local
        (0x06, 1_000_000),  // initial_max_stream_data_bidi_remote
        (0x07, 1_000_000),  // initial_max_stream_data_uni
        (0x08, 100),        // initial_max_streams_bidi
        (0x09, 100),        // initial_max_streams_uni
        (0x0e, 4),          // active_connection_id_limit
    ];
    integers.into_iter().map(|(id, value)| (id, Some(varint(value)))).collect()
}

/// The parameters with one of them set to these bytes.
pub fn parameters_with(id: u64, value: &[u8]) -> Parameters {
    let mut parameters = parameters();
    parameters.insert(id, Some(value.to_vec()));
    parameters
}

/// The parameters without one of them.
pub fn parameters_without(id: u64) -> Parameters {
    let mut parameters = parameters();
    parameters.insert(id, None);
    parameters
}

/// Their encoding (RFC 9000 §18).
pub fn encode(parameters: &Parameters) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, value) in parameters {
        if let Some(value) = value {
            out.extend([varint(*id), varint(value.len() as u64), value.clone()].concat());
        }
    }
    out
}

/// Gives an extension of a ClientHello another number, or removes it.
pub fn change_extension(mut hello: Vec<u8>, number: u16, to: Option<u16>) -> Vec<u8> {
    let at = extension_at(&hello, number);
    if let Some(to) = to {
        hello[at..at + 2].copy_from_slice(&to.to_be_bytes());
        return hello;
    }
    let len = 4 + u16_at(&hello, at + 2);
    let list = extensions_at(&hello);
    let shorter = (u16_at(&hello, list) - len) as u16;
    hello[list..list + 2].copy_from_slice(&shorter.to_be_bytes());
    hello.drain(at..at + len);
    let body = (hello.len() - 4) as u32;
    hello[1..4].copy_from_slice(&body.to_be_bytes()[1..]);
    hello
}

fn extension_at(hello: &[u8], number: u16) -> usize {
    let mut at = extensions_at(hello) + 2;
    while u16_at(hello, at) != usize::from(number) {
        at += 4 + u16_at(hello, at + 2);
    }
    at
}

/// Where the length of the list of extensions is (RFC 8446 §4.1.2).
fn extensions_at(hello: &[u8]) -> usize {
    let session = 4 + 2 + 32;
    let suites = session + 1 + usize::from(hello[session]);
    let compression = suites + 2 + u16_at(hello, suites);
    compression + 1 + usize::from(hello[compression])
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}
