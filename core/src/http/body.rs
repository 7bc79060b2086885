//! [`Body`] and [`BodySource`]: what a message carries. A source is pulled: it is asked for more
//! when there is room to send, never before, so a body of any size needs little memory.

use bytes::Bytes;
use http::HeaderMap;

/// What a source of a body answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyChunk {
    /// The next bytes. Not empty; at most as many as were asked for serve best.
    Data(Bytes),
    /// Nothing now. Ask for a call with `wake_stream` (from outside) when there is more.
    Later,
    /// The end, with trailers if there are any.
    End(Option<HeaderMap>),
    /// The body cannot be completed. The stream is reset with H3_INTERNAL_ERROR.
    Failed,
}

/// A body made while it is sent.
pub trait BodySource {
    /// The next piece, of about `max` bytes or less. Called whenever there is room to send; may
    /// take as long as reading from a disk takes.
    fn poll_chunk(&mut self, max: usize) -> BodyChunk;

    /// The body's whole length in bytes if it is known. Sent as content-length unless the message
    /// has one already; then exactly as many bytes must come.
    fn content_length(&self) -> Option<u64> {
        None
    }
}

/// The body of a request or response that we send.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// At hand.
    Full(Bytes),
    /// Made while it is sent.
    Source(Box<dyn BodySource>),
    /// Written by the handler, with [`write_body`](super::Exchange::write_body) and
    /// [`finish`](super::Exchange::finish): for exchanges that are a dialogue.
    Written,
}

impl Body {
    /// A body from a source.
    pub fn source(source: impl BodySource + 'static) -> Self {
        Self::Source(Box::new(source))
    }

    /// Its length, if that is known.
    pub fn content_length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Source(source) => source.content_length(),
            Self::Written => None,
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Source(_) => f.write_str("Source(..)"),
            Self::Written => f.write_str("Written"),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::Empty
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Box<dyn BodySource>> for Body {
    fn from(source: Box<dyn BodySource>) -> Self {
        Self::Source(source)
    }
}

/// Bytes at hand, followed by trailers.
#[derive(Clone, Debug)]
pub struct BodyWithTrailers {
    body: Bytes,
    trailers: Option<HeaderMap>,
    len: u64,
}

impl BodyWithTrailers {
    /// These bytes, then these trailers.
    pub fn new(body: impl Into<Bytes>, trailers: HeaderMap) -> Self {
        let body = body.into();
        Self { len: body.len() as u64, body, trailers: Some(trailers) }
    }
}

impl BodySource for BodyWithTrailers {
    fn poll_chunk(&mut self, _max: usize) -> BodyChunk {
        if self.body.is_empty() {
            BodyChunk::End(self.trailers.take())
        } else {
            BodyChunk::Data(std::mem::take(&mut self.body))
        }
    }

    fn content_length(&self) -> Option<u64> {
        Some(self.len)
    }
}
