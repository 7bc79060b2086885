//! `quic_perf`: what QUIC between two endpoints achieves and costs, by draft-banks-quic-performance.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use protoquic::connection::Config;
use protoquic::crypto::{ClientTls, ServerTrust};
use protoquic::dispatcher::DispatcherConfig;
use protoquic::readers::buffered_ring_provider;
use protoquic::{ConnectionStats, ServerConfig};
use protoquic_tools::arguments;
use protoquic_tools::arguments::{BusyPollArguments, QlogArguments};
use protoquic_tools::congestion::CongestionArguments;
use protoquic_tools::endpoint::{ClientOptions, server_tls};
use protoquic_tools::interrupt::{self, FirstInterrupt};
use protoquic_tools::perf::{self, ALPN, Http3Work, PerfWork, Usage, perf_factory};
use protoquic_tools::workers::{Steering, Workers, WorkersArgument, WorkersSetup};
use rustls::client::Resumption;

/// Measures QUIC between two endpoints (draft-banks-quic-performance, ALPN `perf`).
///
/// Start `quic_perf server --listen 127.0.0.1:4433` in one terminal and
/// `quic_perf client --connect 127.0.0.1:4433 --mode down --bytes 1000000000` in another. The
/// client believes any certificate. Stopped with Ctrl-C, the server says what it has cost.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Answers clients until it is stopped.
    Server {
        #[command(flatten)]
        qlog: QlogArguments,
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:4433")]
        listen: SocketAddr,
        /// A certificate chain in PEM; a self-made one otherwise.
        #[arg(long, requires = "key_file")]
        certificate_file: Option<PathBuf>,
        /// The private key in PEM.
        #[arg(long, requires = "certificate_file")]
        key_file: Option<PathBuf>,
        #[command(flatten)]
        congestion: CongestionArguments,
        #[command(flatten)]
        workers: WorkersArgument,
        #[command(flatten)]
        busy_poll: BusyPollArguments,
    },
    /// Measures, prints the figures and ends.
    Client(ClientArguments),
}

#[derive(Debug, clap::Args)]
struct ClientArguments {
    #[command(flatten)]
    qlog: QlogArguments,
    #[command(flatten)]
    busy_poll: BusyPollArguments,
    /// Where the server is.
    #[arg(long)]
    connect: SocketAddr,
    /// What to measure: bulk rate down or up, requests per second on one connection (rps),
    /// handshakes per second (hs), or many connections that idle after one request each.
    #[arg(long, value_enum, default_value = "down")]
    mode: Mode,
    /// Bytes in all, divided among the connections and their streams (down, up; default
    /// 1000000000), or of each answer (rps, idle; default 100).
    #[arg(long)]
    bytes: Option<u64>,
    /// How many streams (down, up) or request loops (rps) at once on each connection, up to the
    /// server's limit.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    streams: u64,
    /// How long to go on, in seconds (rps, hs), or to keep the connections once all are there
    /// (idle).
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// How many connections at once (hs; default 16), or in all (idle; default 1000; down, up,
    /// rps: default 1). Of several all are made first, which a line on standard error says, and
    /// then begin together; they share one socket.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: Option<u32>,
    /// Resume sessions (hs): each handshake takes a ticket that one before it was given, and each
    /// connection makes one request before it is closed.
    #[arg(long)]
    resume: bool,
    /// Fetches this path over HTTP/3, of a server such as quic_simple_server, instead of speaking the
    /// perf protocol (down: --streams times at once; rps: again and again). --bytes says how long the
    /// file is, for each stream.
    #[arg(long, requires = "bytes", conflicts_with_all = ["resume", "connections"])]
    http3: Option<String>,
    #[command(flatten)]
    congestion: CongestionArguments,
    /// Prints one line of JSON instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Down,
    Up,
    Rps,
    Hs,
    Idle,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("quic_perf", || match arguments.role {
        Role::Server {
            qlog,
            listen,
            certificate_file,
            key_file,
            congestion,
            workers,
            busy_poll,
        } => {
            let files = certificate_file.zip(key_file);
            let setup = WorkersSetup {
                address: listen,
                workers: workers.count(),
                steering: Steering::default(),
                limits: DispatcherConfig::default(),
                qlog: qlog.folder()?,
                busy_poll: busy_poll.rule(),
            };
            serve(setup, files, transport(congestion))
        }
        Role::Client(client) => measure(&client),
    })
}

fn serve(
    setup: WorkersSetup,
    files: Option<(PathBuf, PathBuf)>,
    transport: Arc<Config>,
) -> Result<(), String> {
    let tls = server_tls(files.as_ref().map(|(chain, key)| (chain, key)), ALPN)?;
    let config = ServerConfig { transport, tls: Arc::new(tls) };
    let workers = Workers::start(setup, move || vec![Box::new(perf_factory(config.clone()))])?;
    println!("listening on {}", workers.address());
    let each = workers.control();
    interrupt::serve_workers("quic_perf", workers, FirstInterrupt::Stops)?;
    eprintln!("{}", Usage::now());
    let each = each.stats_of_each();
    if each.len() > 1 {
        for (number, stats) in each.iter().enumerate() {
            eprintln!(
                "worker {number}: {} sessions, {} datagrams handed over ({} lost), {} taken over",
                stats.sessions_created, stats.handed_over, stats.hand_over_drops, stats.taken_over
            );
        }
    }
    Ok(())
}

/// Windows that a fast local path can fill.
fn transport(congestion: CongestionArguments) -> Arc<Config> {
    let mut config = Config { congestion: congestion.factory(), ..Config::default() };
    config.streams.max_data = 24 << 20;
    config.streams.max_stream_data_bidi_local = 16 << 20;
    config.streams.max_stream_data_bidi_remote = 16 << 20;
    // More than a turn sends: else each turn ends with what does not fill a batch.
    config.streams.send_buffer = 1 << 20;
    config.streams.max_streams_bidi = 10_000;
    Arc::new(config)
}

fn measure(arguments: &ClientArguments) -> Result<(), String> {
    let alpn = if arguments.http3.is_some() { protoquic::http::ALPN } else { ALPN };
    let tls = ClientTls {
        provider: Some(buffered_ring_provider()),
        trust: ServerTrust::AnyCertificate,
        alpn: vec![alpn.to_vec()],
        identity: None,
        key_log: true,
    };
    let mut tls = tls.build().map_err(|error| error.to_string())?;
    if !arguments.resume {
        tls.resumption = Resumption::disabled();
    }
    let options = ClientOptions {
        server_name: "localhost".try_into().map_err(|error| format!("localhost: {error}"))?,
        address: arguments.connect,
        config: transport(arguments.congestion),
        tls: Arc::new(tls),
        qlog: arguments.qlog.folder()?,
        busy_poll: arguments.busy_poll.rule(),
    };
    let time = Duration::try_from_secs_f64(arguments.secs)
        .map_err(|error| format!("--secs {}: {error}", arguments.secs))?;
    match arguments.mode {
        Mode::Up | Mode::Hs | Mode::Idle if arguments.http3.is_some() => {
            Err("--http3 goes with --mode down or rps: files are only fetched".to_owned())
        }
        Mode::Down | Mode::Up => bulk(options, arguments),
        Mode::Rps => requests(options, arguments, time),
        Mode::Hs => handshakes(&options, arguments, time),
        Mode::Idle => idle(&options, arguments, time),
    }
}

/// What is fetched over HTTP/3, if that was asked for.
fn http3(arguments: &ClientArguments, time: Option<Duration>) -> Option<Http3Work> {
    let path = arguments.http3.clone()?;
    let (bytes, parallel) = (arguments.bytes?, arguments.streams);
    Some(Http3Work { path, bytes, parallel, time })
}

/// What every measurement prints besides its own figures, as JSON.
fn cost() -> String {
    let Usage { cpu, peak_memory } = Usage::now();
    format!("\"cpu_seconds\":{:.3},\"peak_memory\":{peak_memory}", cpu.as_secs_f64())
}

fn counters(stats: &ConnectionStats) -> String {
    format!(
        "\"packets_sent\":{},\"packets_received\":{},\"packets_lost\":{},\"packet_size\":{}",
        stats.packets_sent, stats.packets_received, stats.packets_lost, stats.packet_size
    )
}

fn print_counters(stats: &ConnectionStats) {
    println!(
        "{} packets sent, {} received, {} lost, of {} bytes at most; {}",
        stats.packets_sent,
        stats.packets_received,
        stats.packets_lost,
        stats.packet_size,
        Usage::now()
    );
}

/// A line for who wants to measure the server from here on.
fn say_ready(connections: u32, took: Duration) {
    eprintln!("{connections} connection(s) ready in {:.3} s", took.as_secs_f64());
}

fn bulk(options: ClientOptions, arguments: &ClientArguments) -> Result<(), String> {
    let (streams, bytes) = (arguments.streams, arguments.bytes.unwrap_or(1_000_000_000));
    let is_down = arguments.mode == Mode::Down;
    let connections = arguments.connections.unwrap_or(1);
    let share = bytes.div_ceil(streams * u64::from(connections));
    let (down, up) = if is_down { (share, 0) } else { (0, share) };
    let work = PerfWork { down, up, streams, held: false };
    let perf::ManyBulk { received, sent, setup, transfer, stats } =
        match (http3(arguments, None), arguments.connections) {
            (Some(work), _) => perf::http3_bulk(options, work)?.into(),
            (None, None) => perf::bulk(options, work)?.into(),
            (None, Some(many)) => {
                perf::bulk_on_many(&options, many as usize, work, |took| say_ready(many, took))?
            }
        };
    let (bytes, mode) = if is_down { (received, "down") } else { (sent, "up") };
    let seconds = transfer.as_secs_f64();
    let gbps = bytes as f64 * 8.0 / seconds / 1e9;
    let setup_ms = setup.as_secs_f64() * 1e3;
    if arguments.json {
        println!(
            "{{\"mode\":\"{mode}\",\"connections\":{connections},\"streams\":{streams},\
             \"bytes\":{bytes},\"seconds\":{seconds:.6},\"gbps\":{gbps:.3},\"setup_ms\":{setup_ms:.3},{},{}}}",
            counters(&stats),
            cost()
        );
    } else {
        println!(
            "{bytes} bytes {mode} on {connections} connection(s) with {streams} stream(s) in \
             {seconds:.3} s: {gbps:.3} Gbit/s (set up in {setup_ms:.1} ms)"
        );
        print_counters(&stats);
    }
    Ok(())
}

fn requests(
    options: ClientOptions,
    arguments: &ClientArguments,
    time: Duration,
) -> Result<(), String> {
    let bytes = arguments.bytes.unwrap_or(100);
    let (streams, connections) = (arguments.streams, arguments.connections.unwrap_or(1));
    let done = match (http3(arguments, Some(time)), arguments.connections) {
        (Some(work), _) => perf::http3_requests(options, work)?,
        (None, None) => perf::requests(options, streams, bytes, time)?,
        (None, Some(many)) => {
            let on_ready = |took| say_ready(many, took);
            perf::requests_on_many(&options, many as usize, streams, bytes, time, on_ready)?
        }
    };
    let (count, seconds) = (done.count, done.elapsed.as_secs_f64());
    let per_second = count as f64 / seconds;
    let [median, p99] = [done.median, done.p99].map(|latency| latency.as_micros());
    let setup_ms = done.setup.as_secs_f64() * 1e3;
    if arguments.json {
        println!(
            "{{\"mode\":\"rps\",\"connections\":{connections},\"streams\":{streams},\
             \"bytes\":{bytes},\"requests\":{count},\"seconds\":{seconds:.6},\"rps\":{per_second:.1},\"median_us\":{median},\
             \"p99_us\":{p99},\"setup_ms\":{setup_ms:.3},{},{}}}",
            counters(&done.stats),
            cost()
        );
    } else {
        println!(
            "{count} requests for {bytes} bytes, {streams} at a time on {connections} \
             connection(s), in {seconds:.3} s: {per_second:.0}/s, half of them within {median} \
             us, 99 % within {p99} us (set up in {setup_ms:.1} ms)"
        );
        print_counters(&done.stats);
    }
    Ok(())
}

fn handshakes(
    options: &ClientOptions,
    arguments: &ClientArguments,
    time: Duration,
) -> Result<(), String> {
    let parallel = arguments.connections.unwrap_or(16);
    let done = perf::handshakes(options, parallel as usize, arguments.resume, time)?;
    let (count, seconds) = (done.count, done.elapsed.as_secs_f64());
    let (per_second, resumed) = (count as f64 / seconds, done.resumed);
    if arguments.json {
        println!(
            "{{\"mode\":\"hs\",\"parallel\":{parallel},\"handshakes\":{count},\
             \"resumed\":{resumed},\"seconds\":{seconds:.6},\"hps\":{per_second:.1},{}}}",
            cost()
        );
    } else {
        println!(
            "{count} handshakes ({resumed} resumed), {parallel} at a time, in {seconds:.3} s: {per_second:.0}/s; {}",
            Usage::now()
        );
    }
    Ok(())
}

fn idle(
    options: &ClientOptions,
    arguments: &ClientArguments,
    time: Duration,
) -> Result<(), String> {
    let connections = arguments.connections.unwrap_or(1000);
    let bytes = arguments.bytes.unwrap_or(100);
    perf::idle(options, connections as usize, bytes, time, |took| {
        let seconds = took.as_secs_f64();
        if arguments.json {
            println!(
                "{{\"mode\":\"idle\",\"connections\":{connections},\"bytes\":{bytes},\
                 \"seconds\":{seconds:.6},{}}}",
                cost()
            );
        } else {
            println!(
                "{connections} connections, each with an answer of {bytes} bytes, in \
                 {seconds:.3} s; {}",
                Usage::now()
            );
        }
    })
}
