//! [`Splitter`]: cuts a byte stream of Annex B (H.264 and H.265, annex B of both) into access units,
//! which are frames. No byte is lost, added or changed: the access units, one after the other, are
//! the stream. This file must not know where the bytes come from, nor what becomes of the frames.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::nal::{Codec, FrameKind, NAL_HEAD, NalRole};

/// A frame: the NAL units of one picture, and those that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// All of it, start codes included.
    pub bytes: Bytes,
    /// What it is to others.
    pub kind: FrameKind,
    /// The parameter sets within, start codes included; empty if there are none.
    pub parameter_sets: Bytes,
    /// They begin with the one that heads a whole collection.
    pub is_full_set: bool,
    /// How it is coded.
    pub codec: Codec,
}

/// Why a stream cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnexBError {
    /// It does not begin with a start code, but with these bytes.
    NoStartCode([u8; 4]),
    /// Its first NAL unit begins with this byte, which neither codec's does.
    UnknownCodec(u8),
    /// A frame has more than [`MAX_ACCESS_UNIT`] bytes.
    TooLong,
}

/// Splits a stream that comes in pieces.
///
/// ```
/// use protoquic_tools::live::{FrameKind, Splitter};
///
/// // A parameter set and a key picture, then a picture that is not.
/// let stream = b"\0\0\0\x01\x67\x42\0\0\x01\x65\x88\x80\0\0\x01\x41\x9a\x01";
/// let mut splitter = Splitter::new(None);
/// splitter.push(stream);
/// let first = splitter.next_unit()?.expect("another picture begins after it");
/// assert_eq!((first.kind, &first.bytes[..]), (FrameKind::Key, &stream[..12]));
/// let last = splitter.finish()?.expect("the rest");
/// assert_eq!((last.kind, &last.bytes[..]), (FrameKind::Reference, &stream[12..]));
/// # Ok::<(), protoquic_tools::live::AnnexBError>(())
/// ```
#[derive(Debug)]
pub struct Splitter {
    codec: Option<Codec>,
    /// From the start of an access unit.
    buffer: BytesMut,
    /// Start codes before this place are known.
    scanned: usize,
    /// Where the NAL unit begins that has not ended, if it is a parameter set.
    open_set: Option<usize>,
    unit: Unit,
    /// A whole access unit ends here, and the next begins.
    boundary: Option<(usize, Unit)>,
    /// The first start code has been seen.
    started: bool,
    ended: bool,
}

/// What is known of an access unit.
#[derive(Clone, Debug, Default)]
struct Unit {
    kind: Option<FrameKind>,
    sets: BytesMut,
    is_full_set: bool,
}

impl Splitter {
    /// A splitter; the codec is found out unless it is given.
    pub fn new(codec: Option<Codec>) -> Self {
        Self {
            codec,
            buffer: BytesMut::new(),
            scanned: 0,
            open_set: None,
            unit: Unit::default(),
            boundary: None,
            started: false,
            ended: false,
        }
    }

    /// The codec, once it is known.
    pub fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// Adds bytes. Take all units out before adding more, so that little is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next access unit, once the beginning of the one after it has come.
    pub fn next_unit(&mut self) -> Result<Option<AccessUnit>, AnnexBError> {
        while self.boundary.is_none() {
            let Some(start) = find_start_code(&self.buffer, self.scanned) else {
                // The last bytes may be the front of a start code.
                self.scanned = self.scanned.max(self.buffer.len().saturating_sub(2));
                break;
            };
            let header = start + START_CODE;
            if self.buffer.len() < header + NAL_HEAD && !self.ended {
                break; // classified when it is there
            }
            self.on_nal(start, header)?;
        }
        self.check()?;
        Ok(self.boundary.take().map(|(end, next)| self.cut(end, next)))
    }

    /// The stream has ended: the next of the units that are left. Call it until there is none.
    pub fn finish(&mut self) -> Result<Option<AccessUnit>, AnnexBError> {
        self.ended = true;
        if let Some(unit) = self.next_unit()? {
            return Ok(Some(unit));
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if !self.started {
            return Err(self.no_start_code());
        }
        self.close_set(self.buffer.len());
        Ok(Some(self.cut(self.buffer.len(), Unit::default())))
    }

    fn on_nal(&mut self, start: usize, header: usize) -> Result<(), AnnexBError> {
        let head = &self.buffer[header..self.buffer.len().min(header + NAL_HEAD)];
        // A zero before the start code belongs to it: it has four bytes then.
        let begin = start - usize::from(start > 0 && self.buffer[start - 1] == 0);
        if !std::mem::replace(&mut self.started, true) {
            self.check_front(begin)?;
        }
        let codec = match self.codec.or_else(|| Codec::detect(head)) {
            Some(codec) => *self.codec.insert(codec),
            None => return Err(AnnexBError::UnknownCodec(head.first().copied().unwrap_or(0))),
        };
        let role = codec.classify(head);
        self.close_set(begin);
        self.scanned = header;
        let begins = match role {
            NalRole::Slice { first, .. } => first,
            NalRole::ParameterSet { .. } | NalRole::Prefix => true,
            NalRole::Suffix => false,
        };
        let unit = if begins && self.unit.kind.is_some() {
            &mut self.boundary.insert((begin, Unit::default())).1
        } else {
            &mut self.unit
        };
        match role {
            NalRole::Slice { kind, .. } => {
                unit.kind.get_or_insert(kind);
            }
            NalRole::ParameterSet { resets } => {
                unit.is_full_set |= resets;
                self.open_set = Some(begin);
            }
            NalRole::Prefix | NalRole::Suffix => {}
        }
        Ok(())
    }

    /// Copies the parameter set that ends here.
    fn close_set(&mut self, end: usize) {
        if let Some(begin) = self.open_set.take() {
            self.unit.sets.extend_from_slice(&self.buffer[begin..end]);
        }
    }

    /// Takes the front as a unit; what comes after it starts at 0.
    fn cut(&mut self, end: usize, next: Unit) -> AccessUnit {
        let bytes = self.buffer.split_to(end).freeze();
        self.scanned = self.scanned.saturating_sub(end);
        self.open_set = self.open_set.map(|begin| begin - end);
        let unit = std::mem::replace(&mut self.unit, next);
        AccessUnit {
            bytes,
            kind: unit.kind.unwrap_or(FrameKind::Reference),
            parameter_sets: unit.sets.freeze(),
            is_full_set: unit.is_full_set,
            codec: self.codec.unwrap_or(Codec::H265), // a unit has a NAL unit, which told it
        }
    }

    /// Nothing but zeros may come before the first start code.
    fn check_front(&self, begin: usize) -> Result<(), AnnexBError> {
        if self.buffer[..begin].iter().any(|byte| *byte != 0) {
            Err(self.no_start_code())
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Result<(), AnnexBError> {
        if !self.started && self.buffer.len() >= 4 && self.buffer[..3] > [0, 0, 1][..] {
            return Err(self.no_start_code());
        }
        match self.boundary {
            None if self.buffer.len() > MAX_ACCESS_UNIT => Err(AnnexBError::TooLong),
            _ => Ok(()),
        }
    }

    fn no_start_code(&self) -> AnnexBError {
        let mut front = [0; 4];
        let len = self.buffer.len().min(4);
        front[..len].copy_from_slice(&self.buffer[..len]);
        AnnexBError::NoStartCode(front)
    }
}

/// Where the next 00 00 01 is.
fn find_start_code(data: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(third) = data.get(at + 2) {
        match third {
            0 => at += 1,
            1 if data[at] == 0 && data[at + 1] == 0 => return Some(at),
            _ => at += 3, // no start code holds this byte at its front
        }
    }
    None
}

impl fmt::Display for AnnexBError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStartCode(front) => write!(
                f,
                "the video begins with {front:02x?}, not with an Annex B start code; of other files \
                 ffmpeg makes such a stream: ffmpeg -i FILE -c copy -f hevc OUT.h265 (or -f h264)"
            ),
            Self::UnknownCodec(byte) => write!(
                f,
                "the first NAL unit begins with {byte:02x}, which is neither H.264 nor H.265; if \
                 the stream is cut, say which it is with --codec"
            ),
            Self::TooLong => {
                write!(f, "a frame has more than {MAX_ACCESS_UNIT} bytes: this is no Annex B video")
            }
        }
    }
}

impl std::error::Error for AnnexBError {}

/// The longest frame, in bytes.
pub const MAX_ACCESS_UNIT: usize = 16 << 20;
/// The length of 00 00 01.
const START_CODE: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::synthetic::{SyntheticVideo, VideoSpec};
    use super::*;

    fn split(stream: &[u8], piece: usize) -> Vec<AccessUnit> {
        let mut splitter = Splitter::new(None);
        let mut units = Vec::new();
        for piece in stream.chunks(piece) {
            splitter.push(piece);
            while let Some(unit) = splitter.next_unit().unwrap() {
                units.push(unit);
            }
        }
        while let Some(unit) = splitter.finish().unwrap() {
            units.push(unit);
        }
        units
    }

    #[test]
    fn frames_come_out_as_they_were_made_however_the_stream_is_cut() {
        for (seed, codec) in [(1, Codec::H264), (2, Codec::H265), (3, Codec::H265)] {
            let video = SyntheticVideo::new(seed, VideoSpec { codec, ..VideoSpec::default() });
            let stream = video.bytes();
            for piece in [1, 2, 3, 7, 1000, stream.len()] {
                let units = split(&stream, piece);
                assert_eq!(units.len(), video.frames().len(), "seed {seed} piece {piece}");
                for (unit, made) in units.iter().zip(video.frames()) {
                    assert_eq!((&unit.bytes, unit.kind), (&made.bytes, made.kind), "seed {seed}");
                    assert_eq!(unit.parameter_sets, made.parameter_sets, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_annex_b_is_refused() {
        let refuse = |stream: &[u8]| {
            let mut splitter = Splitter::new(None);
            splitter.push(stream);
            splitter.next_unit().and_then(|_| splitter.finish()).unwrap_err()
        };
        let mp4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2\0\0\x01\x67\x42\0\x0a";
        assert_eq!(refuse(mp4), AnnexBError::NoStartCode([0, 0, 0, 0x20]));
        assert_eq!(refuse(b"\x1a\x45\xdf\xa3"), AnnexBError::NoStartCode([0x1a, 0x45, 0xdf, 0xa3]));
        assert_eq!(refuse(b"\0\0\x01\xff\xff\xff"), AnnexBError::UnknownCodec(0xff));
        let mut endless = Splitter::new(None);
        endless.push(b"\0\0\x01\x67\x42\x42\0\0\x01\x65\x88");
        endless.push(&vec![7; MAX_ACCESS_UNIT]);
        assert_eq!(endless.next_unit(), Err(AnnexBError::TooLong));
    }

    #[test]
    fn noise_is_neither_lost_nor_a_panic() {
        for seed in 0..200_u64 {
            let mut state = seed;
            let mut noise = b"\0\0\x01\x40\x01\x0c".to_vec();
            noise.extend((0..3000).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8 % 5 // start codes are frequent
            }));
            let units = split(&noise, 1 + seed as usize % 50);
            let whole: Vec<u8> = units.iter().flat_map(|unit| unit.bytes.to_vec()).collect();
            assert_eq!(whole, noise, "seed {seed}");
        }
    }
}
