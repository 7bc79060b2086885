//! Random datagrams, random frames, and honest datagrams with something wrong: food for fuzzing,
//! from a seed.

use protoquic::wire::{ConnectionCloseFrame, Frame};
use protoquic::{ConnectionId, Direction, RandomGenerator, ResetToken, SeededRandom, StreamId};

use crate::evil::bytes_of;
use crate::http3::varint;

/// A number below this.
pub fn below(random: &mut SeededRandom, limit: usize) -> usize {
    (random.next_u64() % limit.max(1) as u64) as usize
}

/// Random bytes of a random length, often with a header that looks like QUIC's.
pub fn noise(random: &mut SeededRandom, destination: &ConnectionId) -> Vec<u8> {
    let size = [below(random, 60), below(random, 1500), 1200][below(random, 3)];
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    if size < 6 || below(random, 4) == 0 {
        return bytes;
    }
    if below(random, 3) == 0 {
        bytes[0] = bytes[0] & 0x3f | 0x40;
        overlay(&mut bytes, 1, destination.as_bytes());
        return bytes;
    }
    bytes[0] |= 0xc0;
    let version = [1, 1, 1, 0, 0x6b33_43cf, random.next_u64() as u32][below(random, 6)];
    overlay(&mut bytes, 1, &version.to_be_bytes());
    bytes[5] = if below(random, 4) == 0 { bytes[5] % 22 } else { destination.len() as u8 };
    overlay(&mut bytes, 6, destination.as_bytes());
    if let Some(len) = bytes.get_mut(6 + destination.len()) {
        *len %= 22;
    }
    bytes
}

/// An honest datagram with something wrong.
pub fn mangle(random: &mut SeededRandom, datagram: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len());
        let near = below(random, bytes.len().min(40));
        match below(random, 8) {
            _ if bytes.is_empty() => {}
            0 => bytes.truncate(at),
            1 => bytes[near] = random.next_u64() as u8,
            2 => bytes[near] ^= 1 << below(random, 8),
            3 => bytes[at] ^= 1 << below(random, 8),
            4 => bytes.extend_from_within(at..),
            5 => drop(bytes.drain(near..near + below(random, bytes.len() - near))),
            6 => bytes.resize(bytes.len() + below(random, 100), 0),
            _ => bytes.splice(at..at, [0; 3]).for_each(drop),
        }
        bytes.truncate(3000);
    }
    bytes
}

/// The frames of a packet: some that could be honest, some that could not, some cut off.
pub fn soup(random: &mut SeededRandom) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=below(random, 5) {
        out.extend(if below(random, 4) == 0 { raw_frame(random) } else { frame(random) });
    }
    if below(random, 8) == 0 {
        out.truncate(below(random, out.len()));
    }
    out.truncate(1100);
    out
}

fn raw_frame(random: &mut SeededRandom) -> Vec<u8> {
    let mut out = vec![below(random, 0x34) as u8];
    for _ in 0..below(random, 6) {
        out.extend(varint(number(random)));
    }
    out
}

/// A number as they come in frames: small, at a limit, or anything.
fn number(random: &mut SeededRandom) -> u64 {
    let any = random.next_u64();
    match any >> 61 {
        0..=3 => any % 20,
        4 => any % 100_000,
        5 => (1 << 60) - 2 + any % 5,
        6 => (1 << 62) - 1 - any % 3,
        _ => any >> 2,
    }
}

fn frame(random: &mut SeededRandom) -> Vec<u8> {
    let id = StreamId::from_raw(number(random));
    let data = vec![below(random, 256) as u8; below(random, 200)];
    let data = &data[..];
    let direction = [Direction::Bidirectional, Direction::Unidirectional][below(random, 2)];
    let (a, b) = (number(random), number(random));
    let offset = a.min((1 << 62) - 1 - data.len() as u64);
    bytes_of(&match below(random, 22) {
        0 => Frame::Padding(1 + below(random, 50)),
        1 => Frame::Ping,
        2 => Frame::ResetStream { id, error: a, final_size: b },
        3 => Frame::StopSending { id, error: a },
        4 | 5 => Frame::Crypto { offset, data },
        6 => Frame::NewToken { token: b"a token" },
        7..=10 => Frame::Stream { id, offset, fin: a % 3 == 0, data },
        11 => Frame::MaxData(a),
        12 => Frame::MaxStreamData { id, max: a },
        13 => Frame::MaxStreams { direction, max: a.min(1 << 60) },
        14 => Frame::DataBlocked(a),
        15 => Frame::StreamDataBlocked { id, limit: a },
        16 => Frame::StreamsBlocked { direction, limit: a.min(1 << 60) },
        17 => new_connection_id(random),
        18 => Frame::RetireConnectionId { sequence: a },
        19 => Frame::PathChallenge(a.to_be_bytes()),
        20 => return [&[2][..], &varint(a), &[0, 0], &varint(b.min(a))].concat(),
        _ if b % 8 == 0 => Frame::ConnectionClose(ConnectionCloseFrame {
            application: a % 2 == 0,
            code: b,
            frame_type: 0,
            reason: b"because",
        }),
        _ => Frame::PathResponse(a.to_be_bytes()),
    })
}

fn new_connection_id(random: &mut SeededRandom) -> Frame<'static> {
    let sequence = number(random);
    let mut bytes = [0; 20];
    random.fill(&mut bytes);
    let id = ConnectionId::new(&bytes[..=below(random, 20).min(19)]).expect("at most 20 bytes");
    let retire_prior_to = number(random).min(sequence);
    Frame::NewConnectionId { sequence, retire_prior_to, id, reset_token: ResetToken([7; 16]) }
}

fn overlay(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(with) {
        *byte = *new;
    }
}
