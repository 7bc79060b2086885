//! [`Table`]: the measured numbers as rows for a terminal. This file must not know where they are
//! printed.

use std::time::Duration;

use super::measure::Measure;

/// Makes rows; each shows what came since the one before.
#[derive(Debug)]
pub struct Table {
    before: Measure,
    at: Duration,
    rows: u32,
}

impl Table {
    /// A table that begins with nothing measured; `deadline` as in [`Measure::new`].
    pub fn new(deadline: Duration) -> Self {
        Self { before: Measure::new(deadline), at: Duration::ZERO, rows: 0 }
    }

    /// The next row, and the header before it where a reader has lost sight of the last one.
    pub fn row(&mut self, at: Duration, viewers: usize, measure: &Measure) -> String {
        let counts = measure.counts().since(&self.before.counts());
        let mut latency = measure.latency().clone();
        if latency.subtract(self.before.latency()).is_err() {
            latency = measure.latency().clone(); // a viewer was left out: nothing to compare with
        }
        let elapsed = at.saturating_sub(self.at);
        let row = format_row(&Row { at, elapsed, viewers, counts, latency: &latency });
        self.before = measure.clone();
        self.at = at;
        let with_header = self.rows.is_multiple_of(ROWS_TO_HEADER);
        self.rows += 1;
        if with_header { format!("{HEADER}\n{row}") } else { row }
    }

    /// The row of the whole time, under its header.
    pub fn total(at: Duration, viewers: usize, measure: &Measure) -> String {
        let (counts, latency) = (measure.counts(), measure.latency());
        let row = format_row(&Row { at, elapsed: at, viewers, counts, latency });
        format!("{HEADER}\n{row}")
    }
}

struct Row<'a> {
    at: Duration,
    elapsed: Duration,
    viewers: usize,
    counts: super::Counts,
    latency: &'a hdrhistogram::Histogram<u64>,
}

fn format_row(row: &Row<'_>) -> String {
    let Row { at, elapsed, viewers, counts, latency } = row;
    let milliseconds = |micros: u64| micros as f64 / 1000.0;
    let quantile = |quantile| milliseconds(latency.value_at_quantile(quantile));
    let on_time = counts.on_time_percent();
    let on_time = on_time.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.2}"));
    let bits = 8.0 * counts.bytes as f64;
    let goodput = bits / elapsed.as_secs_f64().max(1e-3) / (*viewers).max(1) as f64 / 1e6;
    format!(
        "{:7.1} {viewers:7} {:7} {:>8} {:6} {:6} {:7} {:8.1} {:8.1} {:8.1} {:8.1} {goodput:8.2}",
        at.as_secs_f64(),
        counts.frames(),
        on_time,
        counts.late,
        counts.lost,
        counts.skipped,
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        milliseconds(latency.max()),
    )
}

const HEADER: &str = "      s viewers  frames on-time%   late   lost skipped   p50/ms   p95/ms   p99/ms   max/ms \
                      Mbit/s/v";
/// How many rows come between two headers.
const ROWS_TO_HEADER: u32 = 20;

#[cfg(test)]
mod tests {
    use super::super::nal::FrameKind;
    use super::super::wire::FrameHeader;
    use super::*;

    #[test]
    fn of_no_frames_none_is_on_time() {
        let deadline = Duration::from_millis(150);
        let total = Table::total(Duration::from_secs(1), 1, &Measure::new(deadline));
        let row = total.lines().last().unwrap();
        assert_eq!(row.split_whitespace().nth(3), Some("-"), "{row}");
    }

    #[test]
    fn each_row_shows_what_came_since_the_last() {
        let deadline = Duration::from_millis(150);
        let (mut table, mut measure) = (Table::new(deadline), Measure::new(deadline));
        let header = |number| FrameHeader {
            sequence: number,
            number,
            due: number,
            kind: FrameKind::Key,
            len: 125_000,
        };
        measure.on_frame(&header(0), 20_000);
        let first = table.row(Duration::from_secs(1), 1, &measure);
        let cells = |row: &str| {
            let row = row.lines().last().unwrap();
            row.split_whitespace().map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>()
        };
        assert_eq!(first.lines().next(), Some(HEADER));
        let expected = [1.0, 1.0, 1.0, 100.0, 0.0, 0.0, 0.0, 20.0, 20.0, 20.0, 20.0, 1.0];
        assert_eq!(cells(&first), expected);
        measure.on_frame(&header(1), 200_000);
        let second = table.row(Duration::from_secs(2), 1, &measure);
        assert_eq!(second.lines().count(), 1);
        assert_eq!(cells(&second)[2..8], [1.0, 0.0, 1.0, 0.0, 0.0, 200.1]);
        let total = cells(&Table::total(Duration::from_secs(2), 1, &measure));
        assert_eq!(total[2..5], [2.0, 50.0, 1.0]);
    }
}
