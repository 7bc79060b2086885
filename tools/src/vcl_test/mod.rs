//! `vcl_test`: throughput and echo through the blocking API, as a host stack's test programs do it:
//! a thread for each stream, no callbacks. It is also the example for `protoquic::blocking`.
//!
//! The protocol: a stream begins with a [`Header`] that says what it is for. The rest is a pattern,
//! so that both ends can verify it. What a stream that goes one way brought, the server tells on one
//! of its own.

pub mod client;
pub mod server;

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

use crate::qchat::Message;

/// The application protocol.
pub const ALPN: &[u8] = b"vcl_test";

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What the client sends comes back.
    Echo,
    /// The client sends, on a unidirectional stream.
    OneWay,
    /// Both send at the same time, as much.
    BothWays,
}

impl Mode {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::OneWay => "unidirectional",
            Self::BothWays => "bidirectional",
        }
    }
}

/// The first bytes of every stream of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the stream is for.
    pub mode: Mode,
    /// How many bytes of the pattern follow.
    pub bytes: u64,
}

impl Header {
    /// Writes it: a byte for the mode, and the length, big endian.
    pub fn write(self, out: &mut impl Write) -> Result<()> {
        let mut header = [0; HEADER_LEN];
        header[0] = match self.mode {
            Mode::Echo => 0,
            Mode::OneWay => 1,
            Mode::BothWays => 2,
        };
        header[1..].copy_from_slice(&self.bytes.to_be_bytes());
        out.write_all(&header)
    }

    /// Reads it.
    pub fn read(input: &mut impl Read) -> Result<Self> {
        let mut header = [0; HEADER_LEN];
        input.read_exact(&mut header)?;
        let mode = match header[0] {
            0 => Mode::Echo,
            1 => Mode::OneWay,
            2 => Mode::BothWays,
            other => return Err(wrong(format!("no stream is of kind {other}"))),
        };
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[1..]);
        Ok(Self { mode, bytes: u64::from_be_bytes(bytes) })
    }
}

/// The pattern, to be shared by threads.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Message>);

impl Default for Pattern {
    fn default() -> Self {
        Self(Arc::new(Message::pattern(u64::MAX)))
    }
}

impl Pattern {
    /// Writes its first bytes, at most `size` at a time.
    pub fn write(&self, out: &mut impl Write, bytes: u64, size: usize) -> Result<()> {
        let mut sent = 0;
        while sent < bytes {
            let most = size.min(usize::try_from(bytes - sent).unwrap_or(usize::MAX));
            let piece = self.0.piece(sent, most);
            out.write_all(&piece)?;
            sent += piece.len() as u64;
        }
        Ok(())
    }

    /// Reads its first bytes, compares them, and wants the stream's end after them.
    pub fn verify(&self, input: &mut impl Read, bytes: u64, size: usize) -> Result<()> {
        let mut buffer = vec![0; size];
        let mut read = 0;
        loop {
            let len = input.read(&mut buffer)?;
            if len == 0 && read == bytes {
                return Ok(());
            }
            if len == 0 {
                return Err(wrong(format!("{read} of {bytes} bytes came")));
            }
            if !self.0.matches(read, &buffer[..len]) || read + len as u64 > bytes {
                return Err(wrong(format!("the bytes after the first {read} are wrong")));
            }
            read += len as u64;
        }
    }
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// The length of a header, in bytes.
const HEADER_LEN: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_written() {
        for mode in [Mode::Echo, Mode::OneWay, Mode::BothWays] {
            let header = Header { mode, bytes: 1 << 40 };
            let mut wire = Vec::new();
            header.write(&mut wire).unwrap();
            assert_eq!(Header::read(&mut &wire[..]).unwrap(), header);
        }
        assert!(Header::read(&mut &[9; 9][..]).is_err());
        assert!(Header::read(&mut &[0; 8][..]).is_err());
    }

    #[test]
    fn a_pattern_is_verified_to_its_end() {
        let pattern = Pattern::default();
        let mut wire = Vec::new();
        pattern.write(&mut wire, 200_000, 777).unwrap();
        assert!(pattern.verify(&mut &wire[..], 200_000, 1000).is_ok());
        assert!(pattern.verify(&mut &wire[..], 200_001, 1000).is_err());
        assert!(pattern.verify(&mut &wire[..], 199_999, 1000).is_err());
        wire[150_000] ^= 1;
        assert!(pattern.verify(&mut &wire[..], 200_000, 1000).is_err());
    }
}
