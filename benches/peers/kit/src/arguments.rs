//! The command line, as `quic_perf` has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

use crate::Result;

/// Measures a QUIC stack between two endpoints (draft-banks-quic-performance).
#[derive(Debug, Parser)]
pub enum Program {
    /// Answer.
    Server(Server),
    /// Ask, measure, report.
    Client(Client),
}

impl Program {
    /// Reads the command line; ends the program if it cannot be understood.
    pub fn read() -> Self {
        Self::parse()
    }
}

/// A server's arguments.
#[derive(Args, Debug)]
pub struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// PEM file of the certificate chain; self-signed if absent.
    #[arg(long = "certificate_file", requires = "key_file")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file of the private key.
    #[arg(long = "key_file", requires = "certificate_file")]
    pub key_file: Option<PathBuf>,
    /// The congestion control algorithm: cubic or bbr.
    #[arg(long = "congestion_control", default_value = "cubic")]
    pub congestion_control: String,
    /// Serve this folder's files over HTTP/3 instead of the perf protocol.
    #[arg(long)]
    pub http3: Option<PathBuf>,
}

impl Server {
    /// An error if HTTP/3 was asked for, from stacks that are not measured with it.
    pub fn refuse_http3(&self) -> Result<()> {
        refuse(self.http3.is_some())
    }
}

fn refuse(http3: bool) -> Result<()> {
    match http3 {
        true => Err("--http3: this program speaks the perf protocol only".into()),
        false => Ok(()),
    }
}

/// A client's arguments.
#[derive(Args, Debug)]
pub struct Client {
    /// Server to connect to.
    #[arg(long)]
    pub connect: SocketAddr,
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Mode::Down)]
    pub mode: Mode,
    /// Payload of all streams together (down, up; default 1000000000), or of each answer (rps;
    /// default 100).
    #[arg(long)]
    pub bytes: Option<u64>,
    /// Streams the payload is split over (down, up), or request loops at once (rps).
    #[arg(long, default_value_t = 1)]
    pub streams: u64,
    /// Seconds to go on (rps, hs).
    #[arg(long, default_value_t = 5.0)]
    pub secs: f64,
    /// Connections at once (hs).
    #[arg(long, default_value_t = 16)]
    pub connections: u64,
    /// Resume sessions (hs).
    #[arg(long)]
    pub resume: bool,
    /// The congestion control algorithm: cubic or bbr.
    #[arg(long = "congestion_control", default_value = "cubic")]
    pub congestion_control: String,
    /// Get this path over HTTP/3 instead of speaking the perf protocol; --bytes is how long it is.
    #[arg(long)]
    pub http3: Option<String>,
    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    pub json: bool,
}

impl Client {
    /// Bytes in all, or of each answer.
    pub fn bytes(&self) -> u64 {
        self.bytes.unwrap_or(match self.mode {
            Mode::Down | Mode::Up => 1_000_000_000,
            Mode::Rps | Mode::Hs => 100,
        })
    }

    /// What stream `number` asks for and what it sends, in bulk.
    pub fn share(&self, number: u64) -> (u64, u64) {
        let bytes = self.bytes();
        let share = bytes / self.streams + u64::from(number < bytes % self.streams);
        match self.mode {
            Mode::Up => (0, share),
            _ => (share, 0),
        }
    }

    /// An error if HTTP/3 was asked for, from stacks that are not measured with it.
    pub fn refuse_http3(&self) -> Result<()> {
        refuse(self.http3.is_some())
    }

    /// How long to go on.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.secs)
    }

    /// The address to send from.
    pub fn local(&self) -> SocketAddr {
        if self.connect.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Bytes to the client.
    Down,
    /// Bytes to the server.
    Up,
    /// Requests on one connection.
    Rps,
    /// Handshakes.
    Hs,
}
