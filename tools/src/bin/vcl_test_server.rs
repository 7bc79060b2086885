//! `vcl_test_server`: the other side of `vcl_test_client`, on the blocking API.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use protoquic::blocking::{App, Listener, Settings};
use protoquic_tools::vcl_test::{ALPN, server};
use protoquic_tools::{arguments, certificate};

/// Answers vcl_test_client: `vcl_test_server -p QUIC 1234`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The transport protocol: QUIC is the only one here.
    #[arg(short, long, default_value = "QUIC", value_parser = arguments::quic_only)]
    protocol: String,
    /// Where to listen.
    #[arg(short = 'B', long, default_value = "0.0.0.0")]
    address: std::net::IpAddr,
    /// A certificate chain in PEM; a self-made one otherwise.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The private key in PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Tells of connections.
    #[arg(short, long)]
    verbose: bool,
    /// The port; 0 lets the system choose.
    port: u16,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("vcl_test_server", || serve(&arguments))
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let files = arguments.cert.as_ref().zip(arguments.key.as_ref());
    let (certificate, key) = if let Some((certificate, key)) = files {
        (read(certificate)?, read(key)?)
    } else {
        let made = certificate::self_made()?;
        (made.pem.into_bytes(), made.key_pem.into_bytes())
    };
    let app = App::new();
    let settings = Settings::new().identity(certificate, key).alpn(&[ALPN]);
    let uri = match arguments.address {
        std::net::IpAddr::V4(address) => format!("quic://{address}/{}", arguments.port),
        std::net::IpAddr::V6(address) => format!("quic://[{address}]/{}", arguments.port),
    };
    let listener = Listener::bind(&app, settings, &uri).map_err(|error| error.to_string())?;
    let address = listener.local_address().map_err(|error| error.to_string())?;
    print_line(&format!("listening on {address}"));
    let verbose = arguments.verbose;
    let log: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(move |line: &str| {
        if verbose {
            print_line(line);
        }
    });
    server::serve(&listener, &log).map_err(|error| error.to_string())
}

fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A closed pipe is no reason to stop.
fn print_line(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
