//! [`SyntheticVideo`]: Annex B streams that look like video to whoever splits them, made from a seed.
//! No decoder shows them. For tests, which need no encoder then.

use bytes::{BufMut as _, Bytes, BytesMut};
use protoquic::{RandomGenerator as _, SeededRandom};

use super::annex_b::AccessUnit;
use super::nal::{Codec, FrameKind};

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSpec {
    /// The codec whose NAL units are imitated.
    pub codec: Codec,
    /// How many frames.
    pub frames: usize,
    /// Every so-manieth is a key frame.
    pub key_distance: usize,
    /// About so many bytes in a frame; key frames have four times as many.
    pub frame_size: usize,
    /// Parameter sets come with the first frame only, not with every key frame.
    pub sets_once: bool,
}

impl Default for VideoSpec {
    fn default() -> Self {
        let codec = Codec::H265;
        Self { codec, frames: 40, key_distance: 10, frame_size: 2000, sets_once: false }
    }
}

/// A stream and its frames.
#[derive(Clone, Debug)]
pub struct SyntheticVideo {
    frames: Vec<AccessUnit>,
}

impl SyntheticVideo {
    /// The stream of this seed.
    pub fn new(seed: u64, spec: VideoSpec) -> Self {
        let mut maker = Maker { random: SeededRandom::new(seed), codec: spec.codec };
        let frames = (0..spec.frames).map(|number| maker.frame(number, &spec)).collect();
        Self { frames }
    }

    /// Its frames.
    pub fn frames(&self) -> &[AccessUnit] {
        &self.frames
    }

    /// The stream.
    pub fn bytes(&self) -> Bytes {
        self.frames.iter().flat_map(|frame| frame.bytes.iter().copied()).collect()
    }
}

struct Maker {
    random: SeededRandom,
    codec: Codec,
}

impl Maker {
    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes);
        u32::from_be_bytes(bytes) as usize % bound.max(1)
    }

    fn frame(&mut self, number: usize, spec: &VideoSpec) -> AccessUnit {
        let (kind, header) = match (number % spec.key_distance, number % 3) {
            (0, _) => (FrameKind::Key, self.pick(&[0x65], &[19 << 1, 1])),
            (_, 0) => (FrameKind::Disposable, self.pick(&[0x01], &[0, 1])),
            (..) => (FrameKind::Reference, self.pick(&[0x41], &[1 << 1, 1])),
        };
        let mut out = BytesMut::new();
        let mut sets = 0..0;
        let is_full_set = kind == FrameKind::Key && (number == 0 || !spec.sets_once);
        if self.below(2) == 0 {
            let delimiter = self.pick(&[0x09], &[35 << 1, 1]);
            self.nal(&mut out, delimiter, &[0x50], 0);
        }
        if is_full_set {
            let start = out.len();
            for header in self.set_headers() {
                let len = 8 + self.below(20);
                self.nal(&mut out, header, &[0x42], len);
            }
            sets = start..out.len();
        }
        let size = if kind == FrameKind::Key { 4 * spec.frame_size } else { spec.frame_size };
        let slices = 1 + self.below(3);
        for slice in 0..slices {
            let len = size / slices / 2 + self.below(size / slices);
            let first: &[u8] = if slice == 0 { &[0x88] } else { &[0x28] };
            self.nal(&mut out, header, first, len);
        }
        let bytes = out.freeze();
        let parameter_sets = bytes.slice(sets);
        AccessUnit { bytes, kind, parameter_sets, is_full_set, codec: self.codec }
    }

    fn pick(&self, h264: &'static [u8], h265: &'static [u8]) -> &'static [u8] {
        match self.codec {
            Codec::H264 => h264,
            Codec::H265 => h265,
        }
    }

    fn set_headers(&self) -> Vec<&'static [u8]> {
        match self.codec {
            Codec::H264 => vec![&[0x67], &[0x68]],
            Codec::H265 => vec![&[32 << 1, 1], &[33 << 1, 1], &[34 << 1, 1]],
        }
    }

    /// A start code of either length, a header, and bytes among which is no start code.
    fn nal(&mut self, out: &mut BytesMut, header: &[u8], front: &[u8], len: usize) {
        if out.is_empty() || self.below(2) == 0 {
            out.put_u8(0);
        }
        out.put_slice(&[0, 0, 1]);
        out.put_slice(header);
        out.put_slice(front);
        let mut payload = vec![0; len];
        self.random.fill(&mut payload);
        for at in 0..len {
            if payload[at] == 0 && (at == 0 || at + 1 == len || payload[at - 1] == 0) {
                payload[at] = 1;
            }
        }
        out.put_slice(&payload);
    }
}
