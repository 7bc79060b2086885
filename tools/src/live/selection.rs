//! [`Selection`]: which frames a viewer gets: as it has asked, and as it keeps up. What no decoder
//! could use is left out with what is left out. This file must not know how frames are sent.

use std::time::Duration;

use protoquic::Time;

use super::feedback::{Request, Skip};
use super::nal::FrameKind;

/// What one viewer gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    skip: Skip,
    bucket: Option<Bucket>,
    paused: bool,
    /// Nothing before the next key frame.
    awaits_key: bool,
}

impl Selection {
    /// For a viewer who joins late: nothing before a key frame.
    pub fn from_next_key() -> Self {
        Self { awaits_key: true, ..Self::default() }
    }

    /// Obeys. Returns whether the request was one for this file.
    pub fn apply(&mut self, request: Request, now: Time) -> bool {
        match request {
            Request::Bitrate(0) => self.bucket = None,
            Request::Bitrate(rate) => self.bucket = Some(Bucket::new(rate, now)),
            Request::Skip(skip) => {
                // Frames that were left out may be missing to the next ones.
                self.awaits_key |= self.skip == Skip::AllButKeys && skip != Skip::AllButKeys;
                self.skip = skip;
            }
            Request::Pause => self.paused = true,
            Request::Resume => {
                self.awaits_key |= self.paused;
                self.paused = false;
            }
            Request::KeyFrame => self.awaits_key = true,
            Request::Play { .. } | Request::Ping(_) => return false,
        }
        true
    }

    /// Whether this frame is sent, of so many bytes.
    pub fn admits(&mut self, kind: FrameKind, len: usize, now: Time) -> bool {
        if self.paused || (self.awaits_key && kind != FrameKind::Key) {
            return false;
        }
        let wanted = match (self.skip, kind) {
            (_, FrameKind::Key) | (Skip::Nothing, _) => true,
            (Skip::Disposable, kind) => kind == FrameKind::Reference,
            (Skip::AllButKeys, _) => false,
        };
        if !wanted {
            return false;
        }
        if let Some(bucket) = &mut self.bucket
            && !bucket.take(kind, len, now)
        {
            self.on_dropped(kind);
            return false;
        }
        self.awaits_key &= kind != FrameKind::Key;
        true
    }

    /// A frame that was admitted could not be sent after all.
    pub fn on_dropped(&mut self, kind: FrameKind) {
        self.awaits_key |= kind != FrameKind::Disposable;
    }

    /// Bits a second; 0: no limit.
    pub fn bitrate(&self) -> u64 {
        self.bucket.map_or(0, |bucket| bucket.rate)
    }

    /// What is left out.
    pub fn skip(&self) -> Skip {
        self.skip
    }

    /// Nothing is sent.
    pub fn is_paused(&self) -> bool {
        self.paused
    }
}

/// A token bucket that holds a second's bytes. A key frame, which cannot be cut, may overdraw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    rate: u64,
    /// In bits.
    level: i64,
    filled: Time,
}

impl Bucket {
    fn new(rate: u64, now: Time) -> Self {
        let rate = rate.min(MAX_BITRATE);
        Self { rate, level: rate.cast_signed(), filled: now }
    }

    fn take(&mut self, kind: FrameKind, len: usize, now: Time) -> bool {
        let elapsed = (now - self.filled).min(Duration::from_hours(1));
        self.filled = now;
        let gained = self.rate as f64 * elapsed.as_secs_f64();
        self.level = self.level.saturating_add(gained as i64).min(self.rate.cast_signed());
        let bits = i64::try_from(len).unwrap_or(i64::MAX).saturating_mul(8);
        let enough = if kind == FrameKind::Key { self.level > 0 } else { self.level >= bits };
        if enough {
            self.level = self.level.saturating_sub(bits);
        }
        enough
    }
}

/// More than this is no limit: a Tbit/s.
const MAX_BITRATE: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use FrameKind::{Disposable, Key, Reference};

    fn admitted(selection: &mut Selection, kinds: &[FrameKind]) -> Vec<bool> {
        kinds.iter().map(|kind| selection.admits(*kind, 1000, Time::ZERO)).collect()
    }

    #[test]
    fn who_joins_late_starts_at_a_key_frame() {
        let mut late = Selection::from_next_key();
        let got = admitted(&mut late, &[Reference, Disposable, Key, Reference, Disposable]);
        assert_eq!(got, [false, false, true, true, true]);
    }

    #[test]
    fn frames_are_skipped_as_asked() {
        let mut viewer = Selection::default();
        viewer.apply(Request::Skip(Skip::Disposable), Time::ZERO);
        assert_eq!(admitted(&mut viewer, &[Key, Reference, Disposable]), [true, true, false]);
        viewer.apply(Request::Skip(Skip::AllButKeys), Time::ZERO);
        assert_eq!(admitted(&mut viewer, &[Key, Reference, Disposable]), [true, false, false]);
        viewer.apply(Request::Skip(Skip::Nothing), Time::ZERO);
        assert_eq!(admitted(&mut viewer, &[Reference, Key, Reference]), [false, true, true]);
        viewer.apply(Request::KeyFrame, Time::ZERO);
        assert_eq!(admitted(&mut viewer, &[Reference, Key, Reference]), [false, true, true]);
    }

    #[test]
    fn a_pause_ends_with_a_key_frame() {
        let mut viewer = Selection::default();
        viewer.apply(Request::Pause, Time::ZERO);
        assert_eq!(admitted(&mut viewer, &[Key, Reference]), [false, false]);
        viewer.apply(Request::Resume, Time::ZERO);
        assert_eq!(admitted(&mut viewer, &[Reference, Key, Reference]), [false, true, true]);
    }

    #[test]
    fn a_bitrate_holds_in_the_long_run_and_what_depends_on_dropped_frames_goes_too() {
        let mut viewer = Selection::default();
        viewer.apply(Request::Bitrate(400_000), Time::ZERO);
        let (mut sent, mut last_was_dropped) = (0, false);
        for number in 0..2500_u32 {
            let now = Time::ZERO + number * Duration::from_millis(40);
            let kind = if number.is_multiple_of(25) { Key } else { Reference };
            let admitted = viewer.admits(kind, 4000, now);
            assert!(!(admitted && last_was_dropped && kind == Reference), "frame {number}");
            sent += if admitted { 8 * 4000_u64 } else { 0 };
            last_was_dropped = !admitted;
        }
        let rate = sent / 100;
        assert!((300_000..=405_000).contains(&rate), "{rate} bit/s of 800,000 offered");
    }
}
