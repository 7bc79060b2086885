//! [`ClientHello`]: the few things a server wants to know of a client before it spends a
//! connection on it: the host name, the protocols and the versions (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1).
//! Nothing here is authenticated. This file must not know packets.

use crate::error::{TransportError, TransportErrorCode};
use crate::types::Role;
use crate::wire::{Reader, Version, VersionInformation, parameter_id};

/// What a ClientHello asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host name of the SNI extension.
    pub server_name: Option<String>,
    /// The application protocols, most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// What the first flight is compatible with (RFC 9368 §3), most wanted first; empty if it does
    /// not say. Malformed parameters are reported later, by the connection.
    pub versions: Vec<Version>,
    /// Whether it offers to resume a session (RFC 8446 §4.2.11).
    pub offers_session: bool,
}

/// Reads a ClientHello from the front of a CRYPTO stream. `Ok(None)`: more bytes are needed.
pub fn parse_client_hello(bytes: &[u8]) -> Result<Option<ClientHello>, TransportError> {
    let Some(ty) = bytes.first() else { return Ok(None) };
    if *ty != CLIENT_HELLO {
        let code = TransportErrorCode::crypto(UNEXPECTED_MESSAGE);
        let reason = format!("the first handshake message has type {ty}, not a ClientHello's");
        return Err(TransportError::new(code, reason));
    }
    let Some(header) = bytes.get(1..4) else { return Ok(None) };
    let len = header.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    if len > MAX_CLIENT_HELLO {
        return Err(malformed("it is too long"));
    }
    let Some(body) = bytes.get(4..4 + len) else { return Ok(None) };
    let (hello, has_parameters) =
        parse_body(body).ok_or_else(|| malformed("a field is cut off"))?;
    if !has_parameters {
        // RFC 9001 §8.2. TLS itself would also take the extension's number from before the RFC.
        let code = TransportErrorCode::crypto(MISSING_EXTENSION);
        let reason = "the ClientHello has no quic_transport_parameters extension";
        return Err(TransportError::new(code, reason));
    }
    Ok(Some(hello))
}

/// What it asks for, and whether it brings transport parameters.
fn parse_body(body: &[u8]) -> Option<(ClientHello, bool)> {
    let mut reader = Reader::new(body);
    reader.bytes(2 + 32)?; // version, random
    let session_id = reader.u8()?;
    reader.bytes(session_id.into())?;
    let suites = reader.u16()?;
    reader.bytes(suites.into())?;
    let compression = reader.u8()?;
    reader.bytes(compression.into())?;
    let mut hello = ClientHello::default();
    if reader.is_empty() {
        return Some((hello, false));
    }
    let mut has_parameters = false;
    let mut extensions = sub_reader(&mut reader)?;
    while !extensions.is_empty() {
        let ty = extensions.u16()?;
        let data = sub_reader(&mut extensions)?;
        match ty {
            EXTENSION_SERVER_NAME => parse_server_name(data, &mut hello.server_name)?,
            EXTENSION_ALPN => hello.alpn = parse_alpn(data)?,
            EXTENSION_TRANSPORT_PARAMETERS => {
                has_parameters = true;
                hello.versions = find_versions(data).unwrap_or_default();
            }
            EXTENSION_PRE_SHARED_KEY => hello.offers_session = true,
            _ => {}
        }
    }
    Some((hello, has_parameters))
}

fn parse_server_name(mut data: Reader<'_>, found: &mut Option<String>) -> Option<()> {
    let mut names = sub_reader(&mut data)?;
    while !names.is_empty() {
        let ty = names.u8()?;
        let name = sub_reader(&mut names)?;
        if ty == 0 {
            *found = String::from_utf8(name.rest().to_vec()).ok();
            break;
        }
    }
    Some(())
}

fn parse_alpn(mut data: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = sub_reader(&mut data)?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let len = list.u8()?;
        protocols.push(list.bytes(len.into())?.to_vec());
    }
    Some(protocols)
}

/// The available versions among the transport parameters.
fn find_versions(mut parameters: Reader<'_>) -> Option<Vec<Version>> {
    loop {
        let id = parameters.varint()?;
        let value = parameters.varint_bytes()?;
        if id == parameter_id::VERSION_INFORMATION {
            let information = VersionInformation::decode(value, Role::Client).ok()?;
            return Some(information.available);
        }
    }
}

/// A reader of the next field with a 16-bit length.
fn sub_reader<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    let len = reader.u16()?;
    reader.bytes(len.into()).map(Reader::new)
}

fn malformed(what: &str) -> TransportError {
    let code = TransportErrorCode::crypto(DECODE_ERROR);
    TransportError::new(code, format!("the ClientHello is malformed: {what}"))
}

const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_PRE_SHARED_KEY: u16 = 41;
const EXTENSION_TRANSPORT_PARAMETERS: u16 = 57;
/// TLS alerts (RFC 8446 §6).
const UNEXPECTED_MESSAGE: u8 = 10;
const DECODE_ERROR: u8 = 50;
const MISSING_EXTENSION: u8 = 109;
/// As much as CRYPTO frames may be buffered.
const MAX_CLIENT_HELLO: usize = 64 * 1024;
