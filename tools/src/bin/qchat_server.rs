//! `qchat_server`: sends back what clients send, by the protocol `qchat`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use protoquic::crypto::offer_early_data;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::streams::StreamsConfig;
use protoquic::{Config, ServerConfig};
use protoquic_tools::endpoint::{ServerEndpoint, server_tls};
use protoquic_tools::qchat::server::chat_factory;
use protoquic_tools::qchat::{ALPN, DEFAULT_WINDOW, Say};
use protoquic_tools::{arguments, interrupt, qchat};

/// Sends everything back, over streams of the application protocol `qchat`.
///
/// Without options it listens on UDP port 4443 of every address with a certificate that it makes
/// itself; fetch an echo with `qchat_client --disable_certificate_verification`. Ctrl-C lets running
/// echoes end and refuses new ones; a second Ctrl-C stops at once. Secrets go to the file that
/// SSLKEYLOGFILE names, logs to standard error as RUST_LOG says.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "0.0.0.0:4443")]
    listen: SocketAddr,
    /// A certificate chain in PEM, the server's own first; a self-made one otherwise.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The private key in PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// How long a silent connection is kept, in seconds; 0 is for ever.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    idle_timeout: u64,
    /// How many streams a client may have open at a time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    streams: u64,
    /// How many bytes of a stream may be on their way to us at a time. More on long, fast paths.
    #[arg(long, default_value_t = DEFAULT_WINDOW, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    window: u64,
    /// Takes no early data from clients that come again.
    #[arg(long)]
    no_early_data: bool,
    /// Prints the address only, and nothing that happens.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("qchat_server", || serve(&arguments))
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let quiet = arguments.quiet;
    let say: Say = Rc::new(move |line| {
        if !quiet {
            print_line(line);
        }
    });
    let factory = chat_factory(settings(arguments)?, say);
    let limits = DispatcherConfig::default();
    let mut server = ServerEndpoint::bind(arguments.listen, limits, vec![Box::new(factory)])?;
    print_line(&format!("listening on {}", server.address()));
    interrupt::serve("qchat_server", &mut server)
}

/// What all connections have in common.
fn settings(arguments: &Arguments) -> Result<ServerConfig, String> {
    let mut tls = server_tls(arguments.cert.as_ref().zip(arguments.key.as_ref()), ALPN)?;
    if !arguments.no_early_data {
        offer_early_data(&mut tls, REMEMBERED_CLIENTS);
    }
    let streams =
        StreamsConfig { max_streams_bidi: arguments.streams, ..qchat::windows(arguments.window) };
    let idle_timeout = Duration::from_secs(arguments.idle_timeout);
    let early_data = !arguments.no_early_data;
    let transport = Config { idle_timeout, streams, early_data, ..Config::default() };
    Ok(ServerConfig { transport: Arc::new(transport), tls: Arc::new(tls) })
}

/// A closed pipe is no reason to stop.
fn print_line(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// How many tickets of clients that may come again are kept.
const REMEMBERED_CLIENTS: usize = 1000;
