//! [`Measure`]: what became of a viewer's frames, in numbers. This file must not know how they
//! travelled, nor who is told.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::nal::FrameKind;
use super::wire::FrameHeader;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It came within the deadline.
    OnTime,
    /// It came, after the deadline.
    Late,
    /// It was sent and did not come, or too late to be waited for.
    Lost,
}

/// One frame, for who keeps a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRecord {
    /// Its number; that of a lost one is not known.
    pub number: Option<u64>,
    /// Its sequence number.
    pub sequence: u64,
    /// What it is to others, if it came.
    pub kind: Option<FrameKind>,
    /// Its length in bytes; 0 if it was lost.
    pub bytes: u64,
    /// When it was due, in microseconds after the viewer's first frame; that of a lost one is
    /// the next frame's.
    pub due: u64,
    /// From then to its arrival, in microseconds, if it came.
    pub latency: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Frames, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They came within the deadline.
    pub on_time: u64,
    /// They came, after the deadline.
    pub late: u64,
    /// They were sent and did not come, or too late.
    pub lost: u64,
    /// They were not sent: as asked, or because the viewer did not keep up.
    pub skipped: u64,
    /// How many bytes those that came have.
    pub bytes: u64,
}

/// What became of a viewer's frames.
#[derive(Clone, Debug)]
pub struct Measure {
    deadline: u64,
    counts: Counts,
    latency: Histogram<u64>,
    /// When the first frame was due.
    first_due: Option<u64>,
    /// The number after the last frame's that came.
    next_number: Option<u64>,
    /// How many were lost since.
    lost_since: u64,
}

impl Measure {
    /// Nothing yet. Frames are late after `deadline`.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline: super::wire::span_micros(deadline),
            counts: Counts::default(),
            latency: Histogram::new_with_bounds(1, MAX_MICROSECONDS, 3)
                .expect("the bounds are in range"),
            first_due: None,
            next_number: None,
            lost_since: 0,
        }
    }

    /// The frames.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// From when frames were due to their arrival, in microseconds.
    pub fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// A frame came, so many microseconds after it was due.
    pub fn on_frame(&mut self, header: &FrameHeader, latency: u64) -> FrameRecord {
        let outcome = if latency <= self.deadline { Outcome::OnTime } else { Outcome::Late };
        match outcome {
            Outcome::OnTime => self.counts.on_time += 1,
            _ => self.counts.late += 1,
        }
        self.counts.bytes += header.len;
        self.latency.saturating_record(latency);
        // What is missing and was not lost was not sent.
        let expected = self.next_number.unwrap_or(header.number.saturating_sub(self.lost_since));
        let missing = header.number.saturating_sub(expected);
        self.counts.skipped += missing.saturating_sub(std::mem::take(&mut self.lost_since));
        self.next_number = Some(header.number + 1);
        FrameRecord {
            number: Some(header.number),
            sequence: header.sequence,
            kind: Some(header.kind),
            bytes: header.len,
            due: self.since_first(header.due),
            latency: Some(latency),
            outcome,
        }
    }

    /// A frame was given up.
    pub fn on_lost(&mut self, sequence: u64, due_before: u64) -> FrameRecord {
        self.counts.lost += 1;
        self.lost_since += 1;
        FrameRecord {
            number: None,
            sequence,
            kind: None,
            bytes: 0,
            due: self.since_first(due_before),
            latency: None,
            outcome: Outcome::Lost,
        }
    }

    /// The video had so many frames.
    pub fn on_end(&mut self, frames: u64) {
        if let Some(next) = self.next_number {
            let missing = frames.saturating_sub(next);
            self.counts.skipped += missing.saturating_sub(std::mem::take(&mut self.lost_since));
        }
    }

    /// Adds what became of another viewer's frames.
    pub fn add(&mut self, other: &Self) {
        self.counts = self.counts.plus(&other.counts);
        self.latency.add(&other.latency).expect("all have the same bounds");
    }

    fn since_first(&mut self, due: u64) -> u64 {
        due.saturating_sub(*self.first_due.get_or_insert(due))
    }
}

impl Counts {
    /// All of the video's frames since the first that came.
    pub fn frames(&self) -> u64 {
        self.on_time + self.late + self.lost + self.skipped
    }

    /// Percent of the frames that came within the deadline; `None` of no frames.
    pub fn on_time_percent(&self) -> Option<f64> {
        let frames = self.frames();
        (frames > 0).then(|| 100.0 * self.on_time as f64 / frames as f64)
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            on_time: self.on_time + other.on_time,
            late: self.late + other.late,
            lost: self.lost + other.lost,
            skipped: self.skipped + other.skipped,
            bytes: self.bytes + other.bytes,
        }
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            on_time: self.on_time.saturating_sub(earlier.on_time),
            late: self.late.saturating_sub(earlier.late),
            lost: self.lost.saturating_sub(earlier.lost),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// The longest latency that is told from longer ones: a minute.
const MAX_MICROSECONDS: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u64, number: u64) -> FrameHeader {
        FrameHeader { sequence, number, due: number * 1000, kind: FrameKind::Reference, len: 10 }
    }

    #[test]
    fn lost_frames_are_told_from_those_that_were_not_sent() {
        let mut measure = Measure::new(Duration::from_millis(150));
        measure.on_frame(&header(0, 100), 150_000);
        measure.on_lost(1, 105_000);
        measure.on_frame(&header(2, 105), 150_001); // 101 to 104: one lost, three never sent
        measure.on_end(108);
        let counts = measure.counts();
        let expected = Counts { on_time: 1, late: 1, lost: 1, skipped: 5, bytes: 20 };
        assert_eq!(counts, expected);
        assert_eq!(counts.frames(), 8);
        assert!((counts.on_time_percent().unwrap() - 12.5).abs() < 1e-9);
    }

    #[test]
    fn frames_lost_before_the_first_are_lost_and_nothing_else() {
        let mut measure = Measure::new(Duration::from_millis(150));
        assert_eq!(measure.on_lost(0, 3000).due, 0);
        measure.on_lost(1, 3000);
        measure.on_frame(&header(2, 2), 1);
        assert_eq!(
            measure.counts(),
            Counts { on_time: 1, lost: 2, bytes: 10, ..Counts::default() }
        );
    }
}
