//! `quic_echo`: connections and streams by the thousand, set up, used and torn down in phases that
//! are timed one by one.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use protoquic::ServerConfig;
use protoquic::crypto::ClientTls;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::readers::BusyPoll;
use protoquic_tools::endpoint::{ClientOptions, ServerEndpoint, resolve, server_tls};
use protoquic_tools::qchat::Say;
use protoquic_tools::qchat::server::echo_factory;
use protoquic_tools::quic_echo::{
    Clients, DEFAULT_ALPN, EchoPlan, Span, parse_bytes, run, transport,
};
use protoquic_tools::trust::server_trust;
use protoquic_tools::{arguments, interrupt};
use rustls_pki_types::ServerName;

/// Echoes over many connections with many streams each, and times every phase.
///
/// `quic_echo server uri quic://127.0.0.1/1234` in one terminal, and
/// `quic_echo client uri quic://127.0.0.1/1234 nclient 2/4` in another: makes 2 connections; once
/// all are up opens 4 streams on each; once all are open sends data there and back; closes. Options
/// can be written with or without their dashes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Sends everything back until it is stopped.
    Server(ServerArguments),
    /// Runs the phases, prints their times and ends.
    Client(ClientArguments),
}

#[derive(Debug, clap::Args)]
struct ServerArguments {
    /// Where to listen: quic://HOST/PORT.
    #[arg(long, default_value = "quic://127.0.0.1/1234", value_parser = place)]
    uri: Place,
    /// A certificate chain in PEM; a self-made one otherwise.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The private key in PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// How many streams a connection may have open at a time.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    streams: u64,
    /// The application protocol.
    #[arg(long, default_value = DEFAULT_ALPN)]
    alpn: String,
    /// Says what happens: 0 nothing, 1 every connection and stream.
    #[arg(long, default_value_t = 0)]
    log: u8,
}

#[derive(Debug, clap::Args)]
struct ClientArguments {
    /// Where the server is: quic://HOST/PORT.
    #[arg(long, default_value = "quic://127.0.0.1/1234", value_parser = place)]
    uri: Place,
    /// N connections, and M streams on each: N/M.
    #[arg(long, default_value = "1/1")]
    nclient: Clients,
    /// How many bytes each stream sends and gets back; K, M and G are powers of 1024.
    #[arg(long, default_value = "1M", value_parser = parse_bytes)]
    bytes: u64,
    /// How many threads share the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// How many handshakes go on at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Compares every byte that comes back with what was sent.
    #[arg(long)]
    test_bytes: bool,
    /// The phases that the last line is the total of: FIRST:LAST, each connect, open, transfer or
    /// close.
    #[arg(long, default_value = "connect:close")]
    time: Span,
    /// A phase in which nothing happens for so many seconds has failed.
    #[arg(long, default_value_t = 10)]
    wait: u32,
    /// Authorities to verify the server by, in PEM; anybody is believed otherwise.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// The application protocol.
    #[arg(long, default_value = DEFAULT_ALPN)]
    alpn: String,
    /// Says what happens: 0 nothing, 1 every phase.
    #[arg(long, default_value_t = 0)]
    log: u8,
    /// Prints one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A host and a port.
#[derive(Clone, Debug)]
struct Place {
    host: String,
    port: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(std::env::args_os().map(with_dashes));
    arguments::run("quic_echo", || match arguments.role {
        Role::Server(arguments) => serve(&arguments),
        Role::Client(arguments) => ask(&arguments),
    })
}

/// Options as a host stack's program has them: bare words. A word that is an option's name becomes
/// one; no value is such a word.
fn with_dashes(argument: OsString) -> OsString {
    let Some(word) = argument.to_str() else { return argument };
    let name = word.trim_start_matches("--").replace('_', "-");
    if OPTIONS.contains(&name.as_str()) { format!("--{name}").into() } else { argument }
}

fn place(uri: &str) -> Result<Place, String> {
    let bad = || format!("{uri} is not quic://HOST/PORT");
    let place = uri.strip_prefix("quic://").ok_or_else(bad)?;
    let (host, port) = place.rsplit_once('/').or_else(|| place.rsplit_once(':')).ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Place { host, port: port.parse().map_err(|_| bad())? })
}

fn serve(arguments: &ServerArguments) -> Result<(), String> {
    let address: SocketAddr = resolve(&arguments.uri.host, arguments.uri.port)?;
    let files = arguments.cert.as_ref().zip(arguments.key.as_ref());
    let tls = server_tls(files, arguments.alpn.as_bytes())?;
    let transport = transport(arguments.streams, Duration::from_secs(30));
    let config = ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) };
    let log = arguments.log;
    let say: Say = Rc::new(move |line| {
        if log > 0 {
            print_line(line);
        }
    });
    let factory = echo_factory(arguments.alpn.as_bytes(), config, say);
    let limits = DispatcherConfig::default();
    let mut server = ServerEndpoint::bind(address, limits, vec![Box::new(factory)])?;
    print_line(&format!("listening on {}", server.address()));
    interrupt::serve("quic_echo", &mut server)
}

fn ask(arguments: &ClientArguments) -> Result<(), String> {
    let Place { host, port } = &arguments.uri;
    let trust = server_trust(arguments.ca_file.is_none(), arguments.ca_file.as_deref())?;
    let alpn = vec![arguments.alpn.clone().into_bytes()];
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let tls = tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let server_name = ServerName::try_from(host.clone())
        .map_err(|error| format!("{host} is no name of a server: {error}"))?;
    let server = ClientOptions {
        address: resolve(host, *port)?,
        server_name,
        config: Arc::new(transport(0, Duration::from_secs(30))),
        tls: Arc::new(tls),
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let plan = EchoPlan {
        server,
        clients: arguments.nclient,
        bytes: arguments.bytes,
        threads: arguments.threads.into(),
        parallel: arguments.parallel.into(),
        test_bytes: arguments.test_bytes,
        patience: Duration::from_secs(arguments.wait.into()),
    };
    let log = |line: &str| {
        if arguments.log > 0 {
            eprintln!("{line}");
        }
    };
    let report = run(&plan, &log)?;
    let text =
        if arguments.json { report.json(arguments.time) } else { report.table(arguments.time) };
    print_line(text.trim_end());
    Ok(())
}

/// A closed pipe is no reason to stop.
fn print_line(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The names of all options.
const OPTIONS: [&str; 15] = [
    "uri",
    "cert",
    "key",
    "streams",
    "alpn",
    "log",
    "nclient",
    "bytes",
    "threads",
    "parallel",
    "test-bytes",
    "time",
    "wait",
    "ca-file",
    "json",
];
