//! `quic_live_server`: broadcasts a video to all who watch.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use protoquic::congestion::CongestionControl;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{Config, ServerConfig};
use protoquic_tools::endpoint::{ServerEndpoint, server_tls};
use protoquic_tools::live::{
    ALPN, Broadcast, BroadcastConfig, Codec, Input, Log, SharedBroadcast, live_factory,
    read_in_thread, server_transport,
};
use protoquic_tools::{arguments, interrupt};

/// Broadcasts H.265 or H.264 video (Annex B) to all who watch, in the time of a clock.
///
/// Watch it with `quic_live_client -a ADDR -p PORT -c CERT | ffplay -i pipe:0`. The video begins when
/// the first viewer is there; who comes later starts at a key frame. The program ends when the video
/// has ended and all viewers have left. Ctrl-C ends the video; a second one stops at once.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on.
    #[arg(short = 'a', long = "address", default_value = "0.0.0.0")]
    address: IpAddr,
    /// The UDP port to listen on; 0 is any that is free.
    #[arg(short = 'p', long, default_value_t = 4433)]
    port: u16,
    /// A certificate chain in PEM, the server's own first; a self-made one otherwise.
    #[arg(short = 'c', long, requires = "key")]
    cert: Option<PathBuf>,
    /// The private key in PEM.
    #[arg(short = 'k', long, requires = "cert")]
    key: Option<PathBuf>,
    /// The video, a file of H.265 or H.264 in Annex B; - is standard input.
    #[arg(short = 'i', long)]
    input: PathBuf,
    /// Frames in a second, from 0.1 to 1000.
    #[arg(short = 'f', long, default_value_t = 24.0, value_parser = rate)]
    fps: f64,
    /// How often a file is shown; 0 is for ever.
    #[arg(short = 'r', long, default_value_t = 1)]
    repeat: u64,
    /// The codec, h264 or h265, where it cannot be told from the beginning.
    #[arg(long)]
    codec: Option<Codec>,
    /// Begins when so many watch; 0 is at once.
    #[arg(long, default_value_t = 1)]
    viewers: usize,
    /// A file for a line about everything that happens; standard error otherwise.
    #[arg(short = 'l', long)]
    log: Option<PathBuf>,
    /// Writes nothing to standard error but errors.
    #[arg(long)]
    quiet: bool,
    /// Congestion control: reno, cubic, cubic-strict, bbr or prague. bbr keeps its rate through
    /// losses that no congestion caused, cubic when these have gone on for a while.
    #[arg(long, default_value = "bbr")]
    congestion: CongestionControl,
    #[command(flatten)]
    qlog: arguments::QlogArguments,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("quic_live_server", || serve(&arguments))
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let say = Log::create(arguments.log.as_deref())?.say(arguments.quiet);
    let broadcast = Rc::new(RefCell::new(broadcast(arguments)?));
    let factory = live_factory(settings(arguments)?, Rc::clone(&broadcast), Rc::clone(&say));
    let address = SocketAddr::new(arguments.address, arguments.port);
    let limits = DispatcherConfig::default();
    let mut server = ServerEndpoint::bind(address, limits, vec![Box::new(factory)])?;
    server.write_qlog(arguments.qlog.folder()?);
    let line = format!("listening on {}", server.address());
    say(&line);
    if arguments.log.is_some() && !arguments.quiet {
        eprintln!("{line}");
    }
    interrupt::serve_while("quic_live_server", &mut server, |server| go_on(server, &broadcast))?;
    match broadcast.borrow().failure() {
        Some(why) => Err(why.to_owned()),
        None => Ok(()),
    }
}

/// The broadcast goes on while nobody watches. Returns how long the server may wait; none if it has no
/// more to do.
fn go_on(server: &mut ServerEndpoint, broadcast: &SharedBroadcast) -> Option<Duration> {
    let now = server.now();
    broadcast.borrow_mut().advance(now);
    if broadcast.borrow().is_over() && server.dispatcher().is_idle() {
        return None;
    }
    let next = broadcast.borrow().next_wake(now);
    Some(next.map_or(Duration::from_secs(1), |next| next - now))
}

fn broadcast(arguments: &Arguments) -> Result<Broadcast, String> {
    let input = match arguments.input.to_str() {
        Some("-") => Input::Stdin,
        _ => Input::File(arguments.input.clone()),
    };
    let source = read_in_thread(&input, arguments.codec, arguments.repeat)?;
    let interval = Duration::from_secs_f64(1.0 / arguments.fps);
    let config = BroadcastConfig { interval, viewers: arguments.viewers };
    Ok(Broadcast::new(Box::new(source), config))
}

/// What all connections have in common.
fn settings(arguments: &Arguments) -> Result<ServerConfig, String> {
    let tls = server_tls(arguments.cert.as_ref().zip(arguments.key.as_ref()), ALPN)?;
    let transport = Config { congestion: Arc::new(arguments.congestion), ..server_transport() };
    Ok(ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1000.0).contains(&rate) => Ok(rate),
        _ => Err("it must be from 0.1 to 1000 frames a second".to_owned()),
    }
}
