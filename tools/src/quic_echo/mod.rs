//! `quic_echo`: many connections with many streams each, in phases: all connections are made, then
//! all streams are opened, then data goes there and back, then all is closed. Each phase is timed by
//! itself, so that set-up, transfer and tear-down can be told apart.

pub mod client;
mod report;
mod run;

use std::time::Duration;

use protoquic::Config;
use protoquic::streams::StreamsConfig;

pub use report::{Phase, Report, Span};
pub use run::run;

use crate::endpoint::ClientOptions;

/// The application protocol, unless another is named.
pub const DEFAULT_ALPN: &str = "quic_echo";

/// How many connections, and streams on each: `N/M`, or `N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Connections.
    pub connections: usize,
    /// Streams on each of them.
    pub streams: usize,
}

impl std::str::FromStr for Clients {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (connections, streams) = text.split_once('/').unwrap_or((text, "1"));
        let number = |text: &str| text.parse().ok().filter(|number| (1..=100_000).contains(number));
        let both = number(connections).zip(number(streams));
        let (connections, streams) =
            both.ok_or("it must be N or N/M, connections and streams on each, up to 100000")?;
        Ok(Self { connections, streams })
    }
}

/// What a client does.
#[derive(Clone, Debug)]
pub struct EchoPlan {
    /// Where the server is, and with which settings to connect.
    pub server: ClientOptions,
    /// How many of everything.
    pub clients: Clients,
    /// How many bytes each stream sends, and gets back; at least 1.
    pub bytes: u64,
    /// How many threads share the connections, each with a socket of its own.
    pub threads: usize,
    /// How many handshakes go on at a time.
    pub parallel: usize,
    /// Whether every byte that comes back is compared with what was sent.
    pub test_bytes: bool,
    /// A phase in which nothing happens for so long has failed.
    pub patience: Duration,
}

/// The settings of both ends: windows that let one stream fill a link, and so many streams that a
/// client of one connection need not wait.
pub fn transport(streams: u64, idle_timeout: Duration) -> Config {
    let streams = StreamsConfig { max_streams_bidi: streams, ..StreamsConfig::default() };
    Config { streams, idle_timeout, ..Config::default() }
}

/// A number of bytes, with `K`, `M` or `G` for powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes
        .filter(|bytes| (1..=1 << 50).contains(bytes))
        .ok_or_else(|| format!("{text} is no number of bytes; try 1000000, 64K, 10M or 1G"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_they_are_written() {
        assert_eq!(parse_bytes("64K"), Ok(65_536));
        assert_eq!(parse_bytes("1g"), Ok(1 << 30));
        assert_eq!(parse_bytes("77"), Ok(77));
        for bad in ["", "K", "-1", "0", "1T", "99999999999999999999"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!("2/4".parse(), Ok(Clients { connections: 2, streams: 4 }));
        assert_eq!("7".parse(), Ok(Clients { connections: 7, streams: 1 }));
        for bad in ["", "0/1", "1/0", "1/2/3", "x"] {
            assert!(bad.parse::<Clients>().is_err(), "{bad}");
        }
    }
}
