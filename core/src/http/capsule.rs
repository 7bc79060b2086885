//! The Capsule Protocol (RFC 9297 §3): [`Capsule`]s on the stream of an exchange, and
//! [`CapsuleReader`], which finds them in its body and passes over those that it does not know.

use bytes::{Bytes, BytesMut};

use super::error::{Http3Code, Http3Error};
use super::exchange::Exchange;
use super::frame::{FrameParser, Part, Treatment, emit};

/// One capsule.
///
/// ```
/// use protoquic_core::http::Capsule;
///
/// let capsule = Capsule::datagram("hi".into());
/// assert_eq!(&capsule.encode()[..], [0, 2, b'h', b'i']);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capsule {
    /// Its type, less than 2^62.
    pub kind: u64,
    /// Its value.
    pub value: Bytes,
}

impl Capsule {
    /// The type of capsules that carry an HTTP Datagram (RFC 9297 §3.5).
    pub const DATAGRAM: u64 = 0x00;

    /// A datagram, reliable and in order, for those who do not get them otherwise.
    pub fn datagram(value: Bytes) -> Self {
        Self { kind: Self::DATAGRAM, value }
    }

    /// What is written to the stream.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.value.len());
        emit::frame(&mut out, self.kind, &self.value);
        out.freeze()
    }
}

/// Finds capsules of some types in a body.
///
/// ```
/// use protoquic_core::http::{Capsule, CapsuleReader, RequestHandler, ServerExchange};
///
/// /// Counts the datagrams that come as capsules.
/// struct Counter(CapsuleReader, usize);
///
/// impl RequestHandler for Counter {
///     fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
///         while exchange.read_capsule(&mut self.0).is_some() {
///             self.1 += 1;
///         }
///     }
/// }
///
/// let counter = Counter(CapsuleReader::new(&[Capsule::DATAGRAM], 1500), 0);
/// ```
#[derive(Debug)]
pub struct CapsuleReader {
    known: &'static [u64],
    max_len: u64,
    parser: FrameParser,
    chunk: Bytes,
}

impl CapsuleReader {
    /// Hands out capsules of these types, of at most `max_len` bytes. Others are passed over, however
    /// long they are (RFC 9297 §3.2).
    pub fn new(known: &'static [u64], max_len: u64) -> Self {
        Self { known, max_len, parser: FrameParser::default(), chunk: Bytes::new() }
    }

    /// The next capsule in what was [pushed](Self::push); `None` if more is needed.
    ///
    /// # Errors
    ///
    /// H3_EXCESSIVE_LOAD for a known capsule that is too long.
    pub fn poll(&mut self) -> Result<Option<Capsule>, Http3Error> {
        let Self { known, max_len, parser, chunk } = self;
        let part = parser.next(chunk, |kind, len| match known.contains(&kind) {
            // RFC 9297 §3.2: unknown types are passed over.
            false => Ok(Treatment::Skip),
            true if len <= *max_len => Ok(Treatment::Collect),
            true => Err(Http3Error::new(
                Http3Code::EXCESSIVE_LOAD,
                format!("a capsule of {len} bytes where {max_len} are accepted"),
            )),
        })?;
        Ok(match part {
            Some(Part::Whole(kind, value)) => Some(Capsule { kind, value }),
            Some(Part::Piece(_)) | None => None,
        })
    }

    /// Gives it a piece of the body, when [`poll`](Self::poll) has found no more in the one before.
    pub fn push(&mut self, piece: Bytes) {
        self.chunk = piece;
    }

    /// Whether nothing follows the last capsule in what was pushed.
    pub(super) fn is_used_up(&self) -> bool {
        self.chunk.is_empty() && self.parser.is_between_frames()
    }

    /// Whether the body may end here.
    ///
    /// # Errors
    ///
    /// H3_MESSAGE_ERROR within a capsule.
    pub fn finish(&self) -> Result<(), Http3Error> {
        if self.parser.is_between_frames() {
            return Ok(());
        }
        // RFC 9297 §3.3: a truncated capsule makes the message malformed.
        Err(Http3Error::new(Http3Code::MESSAGE_ERROR, "the stream ends inside a capsule"))
    }
}

impl<R> Exchange<'_, R> {
    /// The next capsule of the peer's body; `None` if there is none now, or no more at all. A body
    /// that breaks the rules of capsules cancels the exchange.
    pub fn read_capsule(&mut self, reader: &mut CapsuleReader) -> Option<Capsule> {
        loop {
            match reader.poll() {
                Ok(Some(capsule)) => return Some(capsule),
                Ok(None) => {}
                Err(error) => {
                    self.cancel(error.code);
                    return None;
                }
            }
            if let Some(piece) = self.read_body() {
                reader.push(piece);
                continue;
            }
            if self.is_body_finished()
                && let Err(error) = reader.finish()
            {
                self.cancel(error.code);
            }
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<Vec<Capsule>, Http3Code> {
        let mut reader = CapsuleReader::new(&[0, 7], 5);
        let mut found = Vec::new();
        for piece in bytes.chunks(step) {
            reader.push(Bytes::copy_from_slice(piece));
            while let Some(capsule) = reader.poll().map_err(|error| error.code)? {
                found.push(capsule);
            }
        }
        reader.finish().map(|()| found).map_err(|error| error.code)
    }

    #[test]
    fn capsules_are_found_among_others_however_they_are_cut() {
        // RFC 9297 §3.2
        let known = Capsule { kind: 7, value: "seven".into() };
        let unknown = Capsule { kind: 1000, value: vec![0; 300].into() };
        let all = [known.encode(), unknown.encode(), Capsule::datagram(Bytes::new()).encode()];
        for step in [1, 2, 3, 1000] {
            let found = read(&all.concat(), step).unwrap();
            assert_eq!(found, [known.clone(), Capsule::datagram(Bytes::new())], "{step}");
        }
    }

    #[test]
    fn capsules_are_whole_and_not_too_long() {
        // RFC 9297 §3.3
        assert_eq!(read(&[7, 2, 1], 9), Err(Http3Code::MESSAGE_ERROR));
        assert_eq!(read(&[0x40], 9), Err(Http3Code::MESSAGE_ERROR));
        assert_eq!(read(&[7, 6], 9), Err(Http3Code::EXCESSIVE_LOAD));
    }
}
