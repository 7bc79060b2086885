//! `vcl_test_client`: echo and throughput through the blocking API, every byte verified.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use protoquic::blocking::{App, Connection, Settings};
use protoquic_tools::arguments;
use protoquic_tools::vcl_test::client::{TestPlan, run};
use protoquic_tools::vcl_test::{ALPN, Mode};

/// Tests a vcl_test_server: `vcl_test_client -p QUIC 127.0.0.1 1234`.
///
/// Without -U or -B what is sent comes back.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The transport protocol: QUIC is the only one here.
    #[arg(short, long, default_value = "QUIC", value_parser = arguments::quic_only)]
    protocol: String,
    /// Unidirectional streams: the client sends.
    #[arg(short = 'U', long, conflicts_with = "bidirectional")]
    unidirectional: bool,
    /// Bidirectional streams: both send at the same time.
    #[arg(short = 'B', long)]
    bidirectional: bool,
    /// How many streams at once, up to the server's limit of 100.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    streams: u16,
    /// How many writes each makes.
    #[arg(short = 'N', long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=1 << 40))]
    writes: u64,
    /// How many bytes each write has.
    #[arg(short = 'T', long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    tx_buffer: u32,
    /// Gives up when a call waits for so many seconds.
    #[arg(long, default_value_t = 10)]
    wait: u32,
    /// Authorities to verify the server by, in PEM; anybody is believed otherwise.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// The server's name or address.
    host: String,
    /// Its port.
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("vcl_test_client", || test(&arguments))
}

fn test(arguments: &Arguments) -> Result<(), String> {
    let mut settings = Settings::new().alpn(&[ALPN]);
    settings = match &arguments.ca_file {
        None => settings.trust_any_certificate(),
        Some(path) => {
            let pem = std::fs::read(path);
            let unreadable = |error| format!("cannot read {}: {error}", path.display());
            settings.authorities(pem.map_err(unreadable)?)
        }
    };
    let app = App::new();
    let host = arguments.host.trim_start_matches('[').trim_end_matches(']');
    let uri = format!("quic://[{host}]/{}", arguments.port);
    let connection =
        Connection::connect(&app, settings, &uri).map_err(|error| error.to_string())?;
    let wait = Some(Duration::from_secs(arguments.wait.into()));
    for set in [Connection::set_read_timeout, Connection::set_write_timeout] {
        set(&connection, wait).map_err(|error| error.to_string())?;
    }
    let mode = match (arguments.unidirectional, arguments.bidirectional) {
        (true, _) => Mode::OneWay,
        (_, true) => Mode::BothWays,
        _ => Mode::Echo,
    };
    let plan = TestPlan {
        mode,
        streams: arguments.streams.into(),
        writes: arguments.writes,
        write_size: arguments.tx_buffer as usize,
    };
    let report = run(&connection, plan).map_err(|error| error.to_string())?;
    println!("{report}");
    Ok(())
}
