//! [`Chart`]: latency, goodput and losses over time as an SVG picture. Frames are gathered into
//! spans of time, of which there are never many. This file must not know whose frames they are.

use std::path::Path;
use std::time::Duration;

use plotters::prelude::*;

use super::measure::{FrameRecord, Outcome};

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    deadline: Duration,
    viewers: usize,
    /// How long a span is, in microseconds.
    width: u64,
    spans: Vec<Span>,
}

/// What it shows, its colour, its points.
type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);

/// Why a picture cannot be drawn; a line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartError(String);

/// The frames that were due in one span of time.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    came: u64,
    late: u64,
    lost: u64,
    bytes: u64,
    latency_sum: u64,
    latency_max: u64,
}

impl Chart {
    /// An empty chart, of so many viewers together.
    pub fn new(title: String, deadline: Duration, viewers: usize) -> Self {
        Self { title, deadline, viewers, width: FIRST_WIDTH, spans: Vec::new() }
    }

    /// Adds a frame.
    pub fn add(&mut self, record: &FrameRecord) {
        while record.due / self.width >= MAX_SPANS {
            self.halve();
        }
        let at = (record.due / self.width) as usize; // below MAX_SPANS
        if self.spans.len() <= at {
            self.spans.resize(at + 1, Span::default());
        }
        let span = &mut self.spans[at];
        span.bytes += record.bytes;
        span.late += u64::from(record.outcome == Outcome::Late);
        span.lost += u64::from(record.outcome == Outcome::Lost);
        if let Some(latency) = record.latency {
            span.came += 1;
            span.latency_sum = span.latency_sum.saturating_add(latency);
            span.latency_max = span.latency_max.max(latency);
        }
    }

    /// Makes the file that it will be drawn into: what cannot be written shall be known before
    /// there is anything to draw.
    pub fn begin(path: &Path) -> Result<(), ChartError> {
        let failed = |error| ChartError(format!("cannot write {}: {error}", path.display()));
        std::fs::File::create(path).map(drop).map_err(failed)
    }

    /// Draws it into a file.
    pub fn write(&self, path: &Path) -> Result<(), ChartError> {
        let mut picture = String::new();
        self.draw(&mut picture)?;
        let failed = |error| ChartError(format!("cannot write {}: {error}", path.display()));
        std::fs::write(path, picture).map_err(failed)
    }

    /// Makes spans twice as long.
    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.spans = self
            .spans
            .chunks(2)
            .map(|pair| pair.iter().fold(Span::default(), Span::plus))
            .collect();
    }

    fn draw(&self, picture: &mut String) -> Result<(), ChartError> {
        let root = SVGBackend::with_string(picture, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(say)?;
        let root = root.titled(&self.title, ("sans-serif", 20)).map_err(say)?;
        let [above, middle, below] =
            root.split_evenly((3, 1)).try_into().map_err(|_| say("no room"))?;
        let latency_of = |span: &Span| span.latency_sum as f64 / span.came.max(1) as f64 / 1e3;
        let mean = self.line(|span| (span.came > 0).then(|| latency_of(span)));
        let worst = self.line(|span| (span.came > 0).then_some(span.latency_max as f64 / 1e3));
        let deadline = self.deadline.as_secs_f64() * 1e3;
        let limit = vec![(0.0, deadline), (self.seconds(), deadline)];
        let lines = [("mean", BLUE, mean), ("worst", MAGENTA, worst), ("deadline", RED, limit)];
        self.panel(&above, "latency, ms", &lines)?;
        let rate = self.line(|span| {
            Some(8.0 * span.bytes as f64 / self.width as f64 / self.viewers.max(1) as f64)
        });
        self.panel(&middle, "goodput of a viewer, Mbit/s", &[("goodput", BLUE, rate)])?;
        let late = self.line(|span| Some(span.late as f64));
        let lost = self.line(|span| Some(span.lost as f64));
        let name = format!("frames in {} s", self.width as f64 / 1e6);
        self.panel(&below, &name, &[("late", MAGENTA, late), ("lost", RED, lost)])?;
        root.present().map_err(say)
    }

    fn seconds(&self) -> f64 {
        (self.spans.len().max(1) as u64 * self.width) as f64 / 1e6
    }

    /// One value for each span that has it.
    fn line(&self, value: impl Fn(&Span) -> Option<f64>) -> Vec<(f64, f64)> {
        let at = |index: usize| (index as f64 + 0.5) * self.width as f64 / 1e6;
        let spans = self.spans.iter().enumerate();
        spans.filter_map(|(index, span)| Some((at(index), value(span)?))).collect()
    }

    fn panel(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        name: &str,
        lines: &[Line<'_>],
    ) -> Result<(), ChartError> {
        let values = lines.iter().flat_map(|(_, _, line)| line).map(|(_, value)| *value);
        let top = values.fold(1.0, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..self.seconds(), 0.0..top)
            .map_err(say)?;
        chart
            .configure_mesh()
            .x_desc("s")
            .y_desc(name)
            .light_line_style(WHITE)
            .draw()
            .map_err(say)?;
        for (label, color, line) in lines {
            let color = *color;
            chart
                .draw_series(LineSeries::new(line.iter().copied(), &color))
                .map_err(say)?
                .label(*label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw().map_err(say)?;
        Ok(())
    }
}

impl Span {
    fn plus(self, other: &Self) -> Self {
        Self {
            came: self.came + other.came,
            late: self.late + other.late,
            lost: self.lost + other.lost,
            bytes: self.bytes + other.bytes,
            latency_sum: self.latency_sum.saturating_add(other.latency_sum),
            latency_max: self.latency_max.max(other.latency_max),
        }
    }
}

fn say(error: impl std::fmt::Display) -> ChartError {
    ChartError(error.to_string())
}

impl std::fmt::Display for ChartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ChartError {}

/// How long a span is at first, in microseconds.
const FIRST_WIDTH: u64 = 250_000;
/// How many there may be; then two become one.
const MAX_SPANS: u64 = 480;
/// The picture's width and height.
const SIZE: (u32, u32) = (1000, 800);

#[cfg(test)]
mod tests {
    use super::super::nal::FrameKind;
    use super::*;

    #[test]
    fn hours_of_frames_are_drawn_from_few_spans() {
        let mut chart = Chart::new("a test".to_owned(), Duration::from_millis(150), 1);
        for number in 0..200_000_u64 {
            let outcome = if number.is_multiple_of(50) { Outcome::Lost } else { Outcome::OnTime };
            chart.add(&FrameRecord {
                number: Some(number),
                sequence: number,
                kind: Some(FrameKind::Reference),
                bytes: 5000,
                due: number * 40_000,
                latency: (outcome == Outcome::OnTime).then_some(30_000),
                outcome,
            });
        }
        assert!(chart.spans.len() as u64 <= MAX_SPANS && chart.spans.len() > 200);
        assert_eq!(chart.spans.iter().map(|span| span.lost).sum::<u64>(), 4000);
        assert_eq!(chart.spans.iter().map(|span| span.came).sum::<u64>(), 196_000);
        let mut picture = String::new();
        chart.draw(&mut picture).unwrap();
        for word in ["<svg", "a test", "latency, ms", "deadline", "goodput", "lost", "</svg>"] {
            assert!(picture.contains(word), "{word}");
        }
    }
}
