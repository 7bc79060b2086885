//! The ACK frame (RFC 9000 §19.3): parsed once, completely, so that reading its ranges afterwards
//! cannot fail; and written within the room there is. Which packets were sent or received is not
//! known here.

use std::iter::FusedIterator;
use std::ops::RangeInclusive;

use super::cursor::{Reader, Writer};
use super::frame::frame_type;
use super::varint::varint_len;
use crate::error::TransportError;
use crate::types::EcnCounts;

/// An ACK frame, valid: no range reaches below packet number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckFrame<'a> {
    /// The largest packet number acknowledged.
    pub largest: u64,
    /// The ACK Delay field as it came: microseconds, to be shifted left by the peer's
    /// ack_delay_exponent. Up to 2^62 - 1, so the shift can overflow.
    pub delay: u64,
    /// The ECN counts, if it carries them.
    pub ecn: Option<EcnCounts>,
    first_range: u64,
    further_ranges: u64,
    encoded_ranges: &'a [u8],
}

impl<'a> AckFrame<'a> {
    /// Parses what follows the frame type. Works in the bytes that are there: a declared count
    /// allocates nothing, and ends the loop no later than the bytes do.
    pub(super) fn parse(r: &mut Reader<'a>, with_ecn: bool) -> Result<Self, TransportError> {
        let largest = r.varint().ok_or_else(truncated)?;
        let delay = r.varint().ok_or_else(truncated)?;
        let further_ranges = r.varint().ok_or_else(truncated)?;
        let first_range = r.varint().ok_or_else(truncated)?;
        let encoded = r.rest();
        let before = r.remaining();
        let mut smallest = largest.checked_sub(first_range).ok_or_else(|| below_zero(largest))?;
        for _ in 0..further_ranges {
            let gap = r.varint().ok_or_else(truncated)?;
            let length = r.varint().ok_or_else(truncated)?;
            // RFC 9000 §19.3.1: "If any computed packet number is negative, an endpoint MUST
            // generate a connection error of type FRAME_ENCODING_ERROR."
            smallest = smallest
                .checked_sub(gap + 2)
                .and_then(|range_largest| range_largest.checked_sub(length))
                .ok_or_else(|| below_zero(largest))?;
        }
        let encoded_ranges = &encoded[..before - r.remaining()];
        let ecn = if with_ecn { Some(parse_ecn(r).ok_or_else(truncated)?) } else { None };
        Ok(Self { largest, delay, ecn, first_range, further_ranges, encoded_ranges })
    }

    /// The acknowledged packet numbers, largest first. Ranges do not touch each other.
    #[inline]
    pub fn ranges(&self) -> AckRanges<'a> {
        AckRanges {
            next: Some(self.largest - self.first_range..=self.largest),
            rest: Reader::new(self.encoded_ranges),
        }
    }

    /// How many ranges [`AckFrame::ranges`] yields, at least 1.
    #[inline]
    pub fn range_count(&self) -> usize {
        // At least two bytes of the packet are behind each further range, so it fits.
        self.further_ranges as usize + 1
    }

    /// The fields before the ranges in the order of the wire, and the ranges as they came.
    pub(super) fn raw_parts(&self) -> ([u64; 4], &'a [u8]) {
        let fields = [self.largest, self.delay, self.further_ranges, self.first_range];
        (fields, self.encoded_ranges)
    }
}

/// The ranges of an [`AckFrame`], largest first.
#[derive(Clone, Debug)]
pub struct AckRanges<'a> {
    next: Option<RangeInclusive<u64>>,
    rest: Reader<'a>,
}

impl Iterator for AckRanges<'_> {
    type Item = RangeInclusive<u64>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let range = self.next.take()?;
        // Parsing has checked all of this arithmetic; what is left to happen is the end.
        if let (Some(gap), Some(length)) = (self.rest.varint(), self.rest.varint()) {
            let largest = range.start().saturating_sub(gap + 2);
            self.next = Some(largest.saturating_sub(length)..=largest);
        }
        Some(range)
    }
}

impl FusedIterator for AckRanges<'_> {}

/// Writes an ACK frame of as many of `ranges` as fit in the writer's room, and returns how many;
/// 0, and nothing is written, if not even one fits or there is none.
///
/// `ranges` come largest first and must not touch each other. Those that do not fit are the oldest.
/// `delay` is the raw field, already shifted right by our ack_delay_exponent.
pub fn write_ack(
    w: &mut Writer<'_>,
    ranges: impl IntoIterator<Item = RangeInclusive<u64>>,
    delay: u64,
    ecn: Option<EcnCounts>,
) -> usize {
    let mut ranges = ranges.into_iter();
    let Some(newest) = ranges.next() else {
        return 0;
    };
    let (mut smallest, largest) = newest.into_inner();
    debug_assert!(smallest <= largest, "an empty range");
    let first_range = largest.saturating_sub(smallest);
    // The count comes before the ranges it counts: leave two bytes where one may not do.
    let (count_len, count_max) = match ranges.size_hint() {
        (_, Some(further)) if further < 64 => (1, 63),
        _ => (2, 16_383),
    };
    let ecn_len = ecn.map_or(0, |ecn| ecn_fields(ecn).into_iter().map(varint_len).sum());
    let fixed_len = 1
        + [largest, delay, first_range].map(varint_len).into_iter().sum::<usize>()
        + count_len
        + ecn_len;
    let Some(mut room) = w.remaining().checked_sub(fixed_len) else {
        return 0;
    };

    let ty = if ecn.is_some() { frame_type::ACK_ECN } else { frame_type::ACK };
    w.u8(ty as u8);
    w.varint(largest);
    w.varint(delay);
    let count_at = w.reserve(count_len);
    w.varint(first_range);
    let mut further = 0;
    for range in ranges {
        let gap = smallest.checked_sub(2).and_then(|above| above.checked_sub(*range.end()));
        let length = range.end().checked_sub(*range.start());
        debug_assert!(gap.is_some() && length.is_some(), "ranges touch or are out of order");
        let (Some(gap), Some(length)) = (gap, length) else {
            break;
        };
        let len = varint_len(gap) + varint_len(length);
        if len > room || further == count_max {
            break;
        }
        room -= len;
        w.varint(gap);
        w.varint(length);
        smallest = *range.start();
        further += 1;
    }
    w.patch_varint(count_at, further, count_len);
    for count in ecn.map(ecn_fields).into_iter().flatten() {
        w.varint(count);
    }
    further as usize + 1
}

/// The counts in the order of the wire (RFC 9000 §19.3.2).
pub(super) const fn ecn_fields(ecn: EcnCounts) -> [u64; 3] {
    [ecn.ect0, ecn.ect1, ecn.ce]
}

fn parse_ecn(r: &mut Reader<'_>) -> Option<EcnCounts> {
    Some(EcnCounts { ect0: r.varint()?, ect1: r.varint()?, ce: r.varint()? })
}

fn truncated() -> TransportError {
    TransportError::frame_encoding("an ACK frame is cut off")
}

fn below_zero(largest: u64) -> TransportError {
    TransportError::frame_encoding(format!(
        "an ACK frame of largest packet {largest} has a range below packet 0"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TransportErrorCode;
    use crate::wire::{Frame, FrameIter};

    const ECN: Option<EcnCounts> = Some(EcnCounts { ect0: 5, ect1: 70_000, ce: 1 });

    fn parse(bytes: &[u8]) -> Result<AckFrame<'_>, TransportError> {
        match FrameIter::new(bytes).next().expect("not empty")? {
            Frame::Ack(ack) => Ok(ack),
            other => panic!("{other:?} is not an ACK"),
        }
    }

    #[test]
    fn written_ranges_are_read_back_newest_first() {
        let ranges = [100_000..=100_100, 500..=99_998, 7..=9, 0..=0];
        let mut buf = [0; 64];
        let mut w = Writer::new(&mut buf);
        assert_eq!(write_ack(&mut w, ranges.clone(), 1234, ECN), 4);
        let ack = parse(w.written()).unwrap();
        assert_eq!((ack.largest, ack.delay, ack.ecn), (100_100, 1234, ECN));
        assert_eq!(ack.range_count(), 4);
        assert!(ack.ranges().eq(ranges));
    }

    #[test]
    fn the_newest_ranges_are_kept_in_whatever_room_there_is() {
        let ranges = || (0..200_u64).rev().map(|i| i * 1000..=i * 1000 + i);
        let mut last = 0;
        for room in 0..1500 {
            let mut buf = vec![0; room];
            let mut w = Writer::new(&mut buf);
            let written = write_ack(&mut w, ranges(), 99, ECN);
            assert!(!w.has_overflowed() && written >= last, "room {room}");
            assert_eq!(written == 0, w.is_empty());
            if written > 0 {
                let ack = parse(w.written()).unwrap();
                assert!(ack.ranges().eq(ranges().take(written)));
            }
            last = written;
        }
        assert_eq!(last, 200);
    }

    #[test]
    fn nothing_received_writes_nothing() {
        let mut buf = [0; 64];
        let mut w = Writer::new(&mut buf);
        assert_eq!(write_ack(&mut w, [], 0, None), 0);
        assert!(w.is_empty());
    }

    #[test]
    fn ranges_below_zero_are_an_encoding_error() {
        // RFC 9000 §19.3.1
        for bytes in [
            &[0x02, 5, 0, 0, 6][..],   // first range: 5 - 6
            &[0x02, 5, 0, 1, 2, 2, 0], // gap: 3 - 2 - 2
            &[0x02, 5, 0, 1, 2, 1, 1], // range: 0 - 1
        ] {
            let error = parse(bytes).expect_err("below zero");
            assert_eq!(error.code(), TransportErrorCode::FRAME_ENCODING_ERROR);
            assert_eq!(error.frame_type(), Some(0x02));
        }
        assert!(parse(&[0x02, 5, 0, 1, 2, 1, 0]).unwrap().ranges().eq([3..=5, 0..=0]));
    }

    #[test]
    fn a_declared_count_of_everything_is_cut_off() {
        let mut bytes = vec![0x02, 0x7f, 0xff, 0];
        bytes.extend_from_slice(&[0xff; 8]);
        bytes.extend_from_slice(&[0; 100]);
        let error = parse(&bytes).expect_err("the ranges are not there");
        assert_eq!(error.code(), TransportErrorCode::FRAME_ENCODING_ERROR);
    }
}
