//! What is on the wire before a frame: [`FrameHeader`]. The same in all three modes. Also the small
//! helpers with which all messages are written. `docs/live-video.md` has the formats.

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use protoquic::Time;
use protoquic::wire::{Reader, VARINT_MAX, Writer, varint_len};

use super::nal::FrameKind;

/// What a viewer is told of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Counts the frames sent to this viewer, from 0, without gaps: what is missing was lost.
    pub sequence: u64,
    /// Counts the frames of the video, from 0: what is missing here only was not sent.
    pub number: u64,
    /// When it was due, on the server's clock, in microseconds.
    pub due: u64,
    /// What it is to others.
    pub kind: FrameKind,
    /// How many bytes it has.
    pub len: u64,
}

impl FrameHeader {
    /// Appends it.
    pub fn write(&self, out: &mut BytesMut) {
        let kind = match self.kind {
            FrameKind::Key => 0,
            FrameKind::Reference => 1,
            FrameKind::Disposable => 2,
        };
        for value in [self.sequence, self.number, self.due, kind, self.len] {
            put_varint(out, value);
        }
    }

    /// Reads it from the front; `Ok(None)` if it is not all there. The error is a line for a person.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, String> {
        let mut values = [0; 5];
        for value in &mut values {
            let Some(read) = reader.varint() else { return Ok(None) };
            *value = read;
        }
        let [sequence, number, due, kind, len] = values;
        let kind = match kind {
            0 => FrameKind::Key,
            1 => FrameKind::Reference,
            2 => FrameKind::Disposable,
            other => return Err(format!("a frame of kind {other}, which is none")),
        };
        if len > MAX_FRAME {
            return Err(format!("a frame of {len} bytes; {MAX_FRAME} are taken at most"));
        }
        Ok(Some(Self { sequence, number, due, kind, len }))
    }
}

/// Appends a variable-length integer (RFC 9000 §16).
pub(super) fn put_varint(out: &mut BytesMut, value: u64) {
    let value = value.min(VARINT_MAX);
    let mut buffer = [0; 8];
    let mut writer = Writer::new(&mut buffer);
    writer.varint(value);
    out.put_slice(&buffer[..varint_len(value)]);
}

/// A time in microseconds.
pub(super) fn micros(time: Time) -> u64 {
    time.as_nanos() / 1000
}

/// A span in microseconds.
pub(super) fn span_micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The longest frame that a viewer takes, in bytes: the longest access unit, with parameter sets
/// before it.
pub const MAX_FRAME: u64 = super::annex_b::MAX_ACCESS_UNIT as u64 + (1 << 20);
/// The longest [`FrameHeader`], in bytes.
pub(super) const MAX_HEADER: usize = 5 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_whole_and_only_whole() {
        let header = FrameHeader {
            sequence: 70,
            number: 20_000,
            due: 1 << 40,
            kind: FrameKind::Disposable,
            len: MAX_FRAME,
        };
        let mut out = BytesMut::new();
        header.write(&mut out);
        assert!(out.len() <= MAX_HEADER);
        assert_eq!(FrameHeader::read(&mut Reader::new(&out)), Ok(Some(header)));
        for len in 0..out.len() {
            assert_eq!(FrameHeader::read(&mut Reader::new(&out[..len])), Ok(None), "{len}");
        }
    }

    #[test]
    fn frames_of_no_kind_or_any_size_are_refused() {
        assert!(FrameHeader::read(&mut Reader::new(&[0, 0, 0, 3, 0])).is_err());
        let mut out = BytesMut::from(&[0, 0, 0, 0][..]);
        put_varint(&mut out, MAX_FRAME + 1);
        assert!(FrameHeader::read(&mut Reader::new(&out)).is_err());
    }
}
