//! What the first bytes of a NAL unit tell: [`Codec::classify`]. Enough of H.264 and H.265 to find
//! where pictures begin and which of them others need. This file must not know where NAL units come
//! from.

use std::fmt;
use std::str::FromStr;

/// How the video is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// AVC, ITU-T H.264.
    H264,
    /// HEVC, ITU-T H.265.
    H265,
}

/// What a frame is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Needs no other: decoding can start here.
    Key,
    /// Needs earlier ones, and later ones need it.
    Reference,
    /// No other needs it.
    Disposable,
}

/// What a NAL unit is, as far as frames are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NalRole {
    /// Part of a picture.
    Slice {
        /// The picture begins with it.
        first: bool,
        /// What the picture is to others.
        kind: FrameKind,
    },
    /// A parameter set. `resets` begins a new collection of them: what came before is replaced.
    ParameterSet {
        /// It is the one that heads a collection: VPS or, in H.264, SPS.
        resets: bool,
    },
    /// Belongs to the picture after it.
    Prefix,
    /// Belongs to the picture before it.
    Suffix,
}

/// How many bytes of a NAL unit [`Codec::classify`] looks at.
pub(super) const NAL_HEAD: usize = 3;

impl Codec {
    /// Tells the codec from the first NAL unit of a stream: an access unit delimiter, a parameter set
    /// or supplemental information. The headers of these never look alike.
    pub(super) fn detect(head: &[u8]) -> Option<Self> {
        match *head {
            [first @ (0x40 | 0x42 | 0x44 | 0x46 | 0x4e), second, ..]
                if second & 0x07 != 0 && (second & 0xf8 == 0 || first == 0x4e) =>
            {
                Some(Self::H265)
            }
            [first, ..] if first & 0x80 == 0 && matches!(first & 0x1f, 1 | 5..=9) => {
                Some(Self::H264)
            }
            _ => None,
        }
    }

    /// Classifies a NAL unit by its first bytes; what is missing counts as zero.
    pub(super) fn classify(self, head: &[u8]) -> NalRole {
        let byte = |at: usize| head.get(at).copied().unwrap_or(0);
        match self {
            Self::H264 => classify_h264(byte(0), byte(1)),
            Self::H265 => classify_h265(byte(0), byte(1), byte(2)),
        }
    }
}

/// H.264 §7.3.1, table 7-1; a picture's first slice begins with macroblock 0, whose code is a single
/// one bit (§7.3.3). Streams that send slices in arbitrary order (baseline profile only) are not
/// told apart rightly.
fn classify_h264(header: u8, slice: u8) -> NalRole {
    let is_reference = header & 0x60 != 0; // nal_ref_idc
    let first = slice & 0x80 != 0;
    let kind = if is_reference { FrameKind::Reference } else { FrameKind::Disposable };
    match header & 0x1f {
        5 => NalRole::Slice { first, kind: FrameKind::Key },
        1 | 2 => NalRole::Slice { first, kind },
        7 => NalRole::ParameterSet { resets: true },
        8 | 13 | 15 => NalRole::ParameterSet { resets: false },
        6 | 9 | 14 | 16..=18 => NalRole::Prefix,
        _ => NalRole::Suffix,
    }
}

/// H.265 §7.3.1.2, table 7-1; `first_slice_segment_in_pic_flag` is a slice's first bit (§7.3.6.1).
fn classify_h265(header: u8, layer: u8, slice: u8) -> NalRole {
    if header & 1 != 0 || layer & 0xf8 != 0 {
        return NalRole::Suffix; // an enhancement layer belongs to its base
    }
    let first = slice & 0x80 != 0;
    match header >> 1 & 0x3f {
        16..=23 => NalRole::Slice { first, kind: FrameKind::Key },
        // Even types up to 14 are not referred to within their sub-layer.
        kind @ 0..=15 if kind % 2 == 0 => NalRole::Slice { first, kind: FrameKind::Disposable },
        0..=31 => NalRole::Slice { first, kind: FrameKind::Reference },
        32 => NalRole::ParameterSet { resets: true },
        33 | 34 => NalRole::ParameterSet { resets: false },
        35 | 39 | 41..=44 | 48..=55 => NalRole::Prefix,
        _ => NalRole::Suffix,
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        })
    }
}

/// The names `h264` and `h265`.
impl FromStr for Codec {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "h264" => Ok(Self::H264),
            "h265" => Ok(Self::H265),
            _ => Err(format!("{name} is no codec known here; it is h264 or h265")),
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Reference => "reference",
            Self::Disposable => "disposable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_shows_in_the_first_header() {
        for head in [[0x40, 1, 0x0c], [0x46, 1, 0x50], [0x42, 1, 1], [0x4e, 1, 5]] {
            assert_eq!(Codec::detect(&head), Some(Codec::H265), "{head:02x?}");
        }
        for head in [[0x67, 0x64, 0], [0x27, 0x42, 0xe0], [0x09, 0xf0, 0], [0x06, 5, 0xff]] {
            assert_eq!(Codec::detect(&head), Some(Codec::H264), "{head:02x?}");
        }
        assert_eq!(Codec::detect(b"\xff\xd8\xff"), None);
    }

    #[test]
    fn slices_tell_whether_a_picture_begins_and_who_needs_it() {
        let slice = |first, kind| NalRole::Slice { first, kind };
        let h265 = |head: &[u8]| Codec::H265.classify(head);
        assert_eq!(h265(&[19 << 1, 1, 0x80]), slice(true, FrameKind::Key)); // IDR_W_RADL
        assert_eq!(h265(&[21 << 1, 1, 0x00]), slice(false, FrameKind::Key)); // CRA
        assert_eq!(h265(&[1 << 1, 1, 0xff]), slice(true, FrameKind::Reference)); // TRAIL_R
        assert_eq!(h265(&[0, 1, 0x80]), slice(true, FrameKind::Disposable)); // TRAIL_N
        assert_eq!(h265(&[1 << 1, 9, 0x80]), NalRole::Suffix, "another layer");
        assert_eq!(h265(&[40 << 1, 1, 0]), NalRole::Suffix); // suffix SEI
        let h264 = |head: &[u8]| Codec::H264.classify(head);
        assert_eq!(h264(&[0x65, 0x88]), slice(true, FrameKind::Key));
        assert_eq!(h264(&[0x41, 0x9a]), slice(true, FrameKind::Reference));
        assert_eq!(h264(&[0x01, 0x5a]), slice(false, FrameKind::Disposable));
    }
}
