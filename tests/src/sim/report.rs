//! [`Table`]: results by scenario, as a Markdown table for people, which is kept beside the tests
//! and compared with the next run's. This file must not know how results come about.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::experiment::FlowResult;

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured: the columns that name the row.
    pub scenario: Vec<String>,
    /// What the link's payload could be, in bits a second.
    pub limit: f64,
    /// Stream data that arrived, in bits a second.
    pub goodput: f64,
    /// In the worst tenth of the time.
    pub worst: f64,
    /// In the best tenth.
    pub best: f64,
    /// Of a hundred packets, how many were declared lost and their data sent again.
    pub lost: f64,
    /// Packets declared lost that arrived.
    pub spurious: u64,
    /// How long the handshake took.
    pub handshake: Duration,
}

impl Row {
    /// The row of a flow.
    pub fn new(scenario: &[String], limit: f64, flow: &FlowResult) -> Self {
        let FlowResult { goodput, worst, best, handshake, stats } = *flow;
        let lost = stats.packets_lost as f64 * 100.0 / stats.packets_sent.max(1) as f64;
        let (scenario, spurious) = (scenario.to_vec(), stats.spurious_losses);
        Self { scenario, limit, goodput, worst, best, lost, spurious, handshake }
    }

    /// Of the limit, how many hundredths.
    pub fn share(&self) -> f64 {
        self.goodput * 100.0 / self.limit
    }

    fn cells(&self) -> Vec<String> {
        let mbit = |bits: f64| format!("{:.2}", bits / 1e6);
        let mut cells = self.scenario.clone();
        cells.extend([
            mbit(self.limit),
            mbit(self.goodput),
            format!("{:.1} %", self.share()),
            mbit(self.worst),
            mbit(self.best),
            format!("{:.2} %", self.lost),
            self.spurious.to_string(),
            format!("{:.1} ms", self.handshake.as_secs_f64() * 1e3),
        ]);
        cells
    }
}

/// Rows under a heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of the columns that name a row.
    pub columns: Vec<String>,
    /// The results.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    /// The table in Markdown, its columns aligned.
    pub fn to_markdown(&self) -> String {
        let mut lines = vec![self.columns.clone()];
        lines[0].extend(RESULTS.map(str::to_owned));
        lines.extend(self.rows.iter().map(Row::cells));
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "| {cell:>width$} ");
            }
            text.push_str("|\n");
            if number == 0 {
                for width in &widths {
                    let _ = write!(text, "|{:-<1$}:", "", width + 1);
                }
                text.push_str("|\n");
            }
        }
        text
    }

    /// Compares shares of the limit with those of a kept table, given as its text. `tolerance` says
    /// by how much a share may differ, both in hundredths of the limit. Rows of which only one side
    /// knows are not compared, but for rows that the kept table should have. Returns what differs.
    pub fn differences(&self, kept: &str, tolerance: impl Fn(f64) -> f64) -> Vec<String> {
        let kept = self.shares_of(kept);
        let mut differences = Vec::new();
        for row in &self.rows {
            let name = row.scenario.join(", ");
            match kept.get(&row.scenario) {
                None => differences.push(format!("{name}: not in the kept table")),
                Some(share) if (share - row.share()).abs() > tolerance(*share) => {
                    let now = row.share();
                    differences.push(format!("{name}: {now:.1} % of the link, was {share:.1} %"));
                }
                Some(_) => {}
            }
        }
        differences
    }

    /// The shares in a table's text, by scenario.
    fn shares_of(&self, text: &str) -> BTreeMap<Vec<String>, f64> {
        let names = self.columns.len();
        let share_column = names + SHARE;
        text.lines()
            .filter_map(|line| {
                let cells: Vec<&str> =
                    line.trim().trim_matches('|').split('|').map(str::trim).collect();
                let share = cells.get(share_column)?.strip_suffix(" %")?.parse().ok()?;
                Some((cells[..names].iter().map(|cell| (*cell).to_owned()).collect(), share))
            })
            .collect()
    }

    /// Writes the table to a file, below `heading`.
    pub fn keep(&self, path: &Path, heading: &str) -> std::io::Result<()> {
        std::fs::write(path, format!("{heading}\n{}", self.to_markdown()))
    }
}

/// The columns of results; their order is that of [`Row::cells`].
const RESULTS: [&str; 8] = [
    "limit Mbit/s",
    "goodput Mbit/s",
    "share",
    "worst tenth",
    "best tenth",
    "resent",
    "spurious",
    "handshake",
];
/// Which of them is the share.
const SHARE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(goodput: f64) -> Table {
        let flow = FlowResult { goodput, ..FlowResult::default() };
        let mut table = Table::new(&["rate", "controller"]);
        let scenario = ["10 Mbit/s".to_owned(), "cubic".to_owned()];
        table.rows.push(Row::new(&scenario, 1e7, &flow));
        table
    }

    #[test]
    fn a_table_is_read_back_and_compared_within_its_tolerance() {
        let kept = table(9.0e6).to_markdown();
        assert!(kept.contains("| 10 Mbit/s |      cubic |        10.00 |"), "{kept}");
        assert!(table(8.8e6).differences(&kept, |_| 3.0).is_empty());
        assert_eq!(
            table(8.0e6).differences(&kept, |_| 3.0),
            ["10 Mbit/s, cubic: 80.0 % of the link, was 90.0 %"]
        );
        assert_eq!(table(8.0e6).differences("", |_| 3.0).len(), 1);
    }
}
