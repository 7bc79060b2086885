//! [`Report`]: how long each phase took and at which rate, in words and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Clients, EchoPlan};

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Until every connection is established.
    Connect,
    /// Until the first byte of every stream has come back.
    Open,
    /// Until everything has come back.
    Transfer,
    /// Until every connection is closed.
    Close,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Open, Self::Transfer, Self::Close];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Open => "open",
            Self::Transfer => "transfer",
            Self::Close => "close",
        }
    }
}

/// The phases that a total is of: `FIRST:LAST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first phase.
    pub first: Phase,
    /// Its last.
    pub last: Phase,
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let phase = |name: &str| Phase::ALL.into_iter().find(|phase| phase.name() == name);
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        match (phase(first), phase(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err("it must be FIRST:LAST, each connect, open, transfer or close".to_owned()),
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    clients: Clients,
    /// Bytes of each stream, each way.
    bytes: u64,
    verified: bool,
    times: [Duration; 4],
}

impl Report {
    pub(super) fn new(plan: &EchoPlan, times: [Duration; 4]) -> Self {
        Self { clients: plan.clients, bytes: plan.bytes, verified: plan.test_bytes, times }
    }

    /// How long a phase took.
    pub fn time(&self, phase: Phase) -> Duration {
        self.times[phase as usize]
    }

    /// How long a span took.
    pub fn span(&self, span: Span) -> Duration {
        self.times[span.first as usize..=span.last as usize].iter().sum()
    }

    /// Bytes that came back in all.
    pub fn total_bytes(&self) -> u64 {
        self.bytes * (self.clients.connections * self.clients.streams) as u64
    }

    /// What a phase is a rate of, and how many of it there were.
    fn measure(&self, phase: Phase) -> (&'static str, u64) {
        let (connections, streams) = (self.clients.connections, self.clients.streams);
        match phase {
            Phase::Connect | Phase::Close => ("connections", connections as u64),
            Phase::Open => ("streams", (connections * streams) as u64),
            Phase::Transfer => ("bytes", self.total_bytes()),
        }
    }

    /// A table for people.
    pub fn table(&self, span: Span) -> String {
        let mut text = String::new();
        let mut line = |name: &str, time: Duration, amount: u64, of: &str| {
            let seconds = time.as_secs_f64().max(1e-9);
            let rate = amount as f64 / seconds;
            let rate = if of == "bytes" {
                format!("{:.1} MB/s each way", rate / 1e6)
            } else {
                format!("{rate:.0}/s")
            };
            let ms = seconds * 1e3;
            let _ = writeln!(text, "{name:<18}{ms:>12.3} ms  {amount:>12} {of:<12} {rate}");
        };
        for phase in Phase::ALL {
            let (of, amount) = self.measure(phase);
            line(phase.name(), self.time(phase), amount, of);
        }
        let name = format!("{}:{}", span.first.name(), span.last.name());
        line(&name, self.span(span), self.total_bytes(), "bytes");
        let checked = if self.verified { "every byte verified" } else { "lengths verified" };
        let _ = writeln!(text, "{checked}");
        text
    }

    /// One line for programs.
    pub fn json(&self, span: Span) -> String {
        let Clients { connections, streams } = self.clients;
        let (bytes, verified) = (self.bytes, self.verified);
        let mut text = format!(
            "{{\"connections\":{connections},\"streams\":{streams},\"bytes\":{bytes},\
             \"verified\":{verified}"
        );
        for phase in Phase::ALL {
            let _ = write!(text, ",\"{}_s\":{:.6}", phase.name(), self.time(phase).as_secs_f64());
        }
        let _ = write!(text, ",\"span_s\":{:.6}}}", self.span(span).as_secs_f64());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_ordered() {
        let span = "open:transfer".parse();
        assert_eq!(span, Ok(Span { first: Phase::Open, last: Phase::Transfer }));
        assert_eq!("close".parse(), Ok(Span { first: Phase::Close, last: Phase::Close }));
        assert!("close:open".parse::<Span>().is_err());
        assert!("start:end".parse::<Span>().is_err());
    }
}
