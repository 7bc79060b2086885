//! `quic_perf`: bulk rates between two QUIC endpoints, by draft-banks-quic-performance.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use protoquic::congestion::CongestionControl;
use protoquic::connection::Config;
use protoquic::crypto::{ClientTls, ServerTls, ServerTrust};
use protoquic::{ConnectionStats, ServerConfig};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint};
use protoquic_tools::perf::{ALPN, PerfClient, PerfReport, PerfWork, perf_factory};
use protoquic_tools::{arguments, certificate};

/// Measures bulk transfer over QUIC (draft-banks-quic-performance, ALPN `perf`).
///
/// Start `quic_perf server --listen 127.0.0.1:4433` in one terminal and
/// `quic_perf client --connect 127.0.0.1:4433 --mode down --bytes 1000000000` in another. The
/// client believes any certificate.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Answers clients until it is stopped.
    Server {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:4433")]
        listen: SocketAddr,
        /// A certificate chain in PEM; a self-made one otherwise.
        #[arg(long, requires = "key_file")]
        certificate_file: Option<PathBuf>,
        /// The private key in PEM.
        #[arg(long, requires = "certificate_file")]
        key_file: Option<PathBuf>,
        /// The congestion control algorithm: reno, cubic or bbr.
        #[arg(long, default_value = "cubic")]
        congestion_control: CongestionControl,
    },
    /// Transfers bytes, prints the rate and ends.
    Client {
        /// Where the server is.
        #[arg(long)]
        connect: SocketAddr,
        /// Which way the bytes go.
        #[arg(long, value_enum, default_value = "down")]
        mode: Mode,
        /// How many bytes in all, divided among the streams.
        #[arg(long, default_value_t = 1_000_000_000)]
        bytes: u64,
        /// How many streams at once, up to the server's limit.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        streams: u64,
        /// The congestion control algorithm: reno, cubic or bbr.
        #[arg(long, default_value = "cubic")]
        congestion_control: CongestionControl,
        /// Prints one line of JSON instead of words.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Down,
    Up,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("quic_perf", || match arguments.role {
        Role::Server { listen, certificate_file, key_file, congestion_control } => {
            serve(listen, certificate_file.zip(key_file), transport(congestion_control))
        }
        Role::Client { connect, mode, bytes, streams, congestion_control, json } => {
            let share = bytes.div_ceil(streams);
            let (down, up) = if mode == Mode::Down { (share, 0) } else { (0, share) };
            let work = PerfWork { down, up, streams };
            transfer(connect, mode, work, transport(congestion_control), json)
        }
    })
}

fn serve(
    listen: SocketAddr,
    files: Option<(PathBuf, PathBuf)>,
    transport: Arc<Config>,
) -> Result<(), String> {
    let identity = match files {
        Some((certificate, key)) => certificate::load_identity(&certificate, &key)?,
        None => certificate::self_made()?.identity,
    };
    let tls = ServerTls {
        provider: None,
        identity,
        alpn: vec![ALPN.to_vec()],
        client_verifier: None,
        key_log: true,
    };
    let tls = tls.build().map_err(|error| certificate::explain_tls_error(&error))?;
    let config = ServerConfig { transport, tls: Arc::new(tls) };
    let factory = perf_factory(config);
    let mut server = ServerEndpoint::bind(
        listen,
        protoquic::dispatcher::DispatcherConfig::default(),
        vec![Box::new(factory)],
    )?;
    println!("listening on {}", server.address());
    loop {
        server.run_once(None)?;
    }
}

/// Windows that a fast local path can fill.
fn transport(congestion_control: CongestionControl) -> Arc<Config> {
    let mut config = Config { congestion: Arc::new(congestion_control), ..Config::default() };
    config.streams.max_data = 24 << 20;
    config.streams.max_stream_data_bidi_local = 16 << 20;
    config.streams.max_stream_data_bidi_remote = 16 << 20;
    config.streams.max_streams_bidi = 10_000;
    Arc::new(config)
}

fn transfer(
    connect: SocketAddr,
    mode: Mode,
    work: PerfWork,
    transport: Arc<Config>,
    json: bool,
) -> Result<(), String> {
    let tls = ClientTls {
        provider: None,
        trust: ServerTrust::AnyCertificate,
        alpn: vec![ALPN.to_vec()],
        identity: None,
        key_log: true,
    };
    let tls = tls.build().map_err(|error| error.to_string())?;
    let options = ClientOptions {
        server_name: "localhost".try_into().map_err(|error| format!("localhost: {error}"))?,
        address: connect,
        config: transport,
        tls: Arc::new(tls),
    };
    let streams = work.streams;
    let mut client = ClientEndpoint::connect(options, |now| PerfClient::new(now, work))?;
    let report = loop {
        client.run_once(Some(Duration::from_secs(1)))?;
        if let Some(report) = client.session().report()
            && client.close_reason().is_some()
        {
            break report?;
        }
    };
    let stats = client.host().host().connection().stats();
    print_report(mode, streams, &report, &stats, json);
    Ok(())
}

fn print_report(
    mode: Mode,
    streams: u64,
    report: &PerfReport,
    stats: &ConnectionStats,
    json: bool,
) {
    let bytes = if mode == Mode::Down { report.received } else { report.sent };
    let seconds = report.transfer.as_secs_f64();
    let gbps = bytes as f64 * 8.0 / seconds / 1e9;
    let mode = if mode == Mode::Down { "down" } else { "up" };
    let setup_ms = report.setup.as_secs_f64() * 1e3;
    if json {
        println!(
            "{{\"mode\":\"{mode}\",\"streams\":{streams},\"bytes\":{bytes},\
             \"seconds\":{seconds:.6},\"gbps\":{gbps:.3},\"setup_ms\":{setup_ms:.3},\
             \"packets_sent\":{},\"packets_received\":{},\"packets_lost\":{},\
             \"packet_size\":{}}}",
            stats.packets_sent, stats.packets_received, stats.packets_lost, stats.packet_size
        );
    } else {
        println!(
            "{bytes} bytes {mode} on {streams} stream(s) in {seconds:.3} s: {gbps:.3} Gbit/s \
             (handshake {setup_ms:.1} ms)"
        );
        println!(
            "{} packets sent, {} received, {} lost, of {} bytes at most",
            stats.packets_sent, stats.packets_received, stats.packets_lost, stats.packet_size
        );
    }
}
