//! QPACK (RFC 9204): field sections as bytes, and the tables that make them short. An [`Encoder`]
//! and a [`Decoder`] each keep a dynamic table in step with the peer's, by bytes on two streams that
//! the owner carries. This room must not know streams, frames, or what fields mean.

mod decoder;
mod dynamic_table;
mod encoder;
mod huffman;
mod huffman_table;
mod outstanding;
mod prefix_int;
mod static_table;
#[cfg(test)]
mod tests;

pub use decoder::{Decoded, Decoder};
pub use encoder::Encoder;

use bytes::Bytes;

/// A field that was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as it came.
    pub name: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The sender wants it never to be put into a table, by nobody (RFC 9204 §7.1.3).
    pub sensitive: bool,
}

/// A field to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// Its name, in lower case.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// It must never be put into a table (RFC 9204 §7.1.3).
    pub sensitive: bool,
}

/// The peer broke a rule of QPACK: the connection must be closed with this code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QpackError {
    /// An HTTP/3 error code (RFC 9204 §6).
    pub code: u64,
    /// What happened, for a person.
    pub reason: String,
}

impl QpackError {
    /// QPACK_DECOMPRESSION_FAILED.
    pub const DECOMPRESSION_FAILED: u64 = 0x200;
    /// QPACK_ENCODER_STREAM_ERROR.
    pub const ENCODER_STREAM_ERROR: u64 = 0x201;
    /// QPACK_DECODER_STREAM_ERROR.
    pub const DECODER_STREAM_ERROR: u64 = 0x202;

    fn decompression(reason: impl Into<String>) -> Self {
        Self { code: Self::DECOMPRESSION_FAILED, reason: reason.into() }
    }

    fn encoder_stream(reason: impl Into<String>) -> Self {
        Self { code: Self::ENCODER_STREAM_ERROR, reason: reason.into() }
    }

    fn decoder_stream(reason: impl Into<String>) -> Self {
        Self { code: Self::DECODER_STREAM_ERROR, reason: reason.into() }
    }
}

impl std::fmt::Display for QpackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for QpackError {}
