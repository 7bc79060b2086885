//! `quic_interop_server`: the server of the QUIC interop runner.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use protoquic_tools::arguments::{self, QlogArguments};
use protoquic_tools::interop::{Environment, ServerCase, ServerPlan, UNSUPPORTED, bind_server};

/// Serves files as a test case of the QUIC interop runner wants it, until it is killed.
///
/// Every option can be given as the environment variable that the runner uses. Ends with status
/// 127 for test cases that it does not support.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    qlog: QlogArguments,
    #[command(flatten)]
    environment: Environment,
    /// Where to listen. The address `[::]` takes IPv4 too.
    #[arg(long, env = "LISTEN", default_value = "[::]:443")]
    listen: SocketAddr,
    /// The folder to serve.
    #[arg(long, env = "WWW", default_value = "/www")]
    www: PathBuf,
    /// The folder with `cert.pem`, the server's own certificate first, and `priv.key`.
    #[arg(long, env = "CERTS", default_value = "/certs")]
    certs: PathBuf,
    /// Where clients are asked to come to in the test case connectionmigration.
    #[arg(long, env = "PREFERRED_PORT", default_value_t = 4443)]
    preferred_port: u16,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    let name = &arguments.environment.testcase;
    let Some(case) = ServerCase::from_name(name) else {
        eprintln!("quic_interop_server: the test case {name:?} is not supported");
        return ExitCode::from(UNSUPPORTED);
    };
    arguments::run("quic_interop_server", || serve(case, &arguments))
}

fn serve(case: ServerCase, arguments: &Arguments) -> Result<(), String> {
    arguments.environment.check_role("server")?;
    let mut server = bind_server(&ServerPlan {
        case,
        qlog: arguments.qlog.folder()?,
        listen: arguments.listen,
        www: arguments.www.clone(),
        certificate: arguments.certs.join("cert.pem"),
        key: arguments.certs.join("priv.key"),
        preferred_port: arguments.preferred_port,
    })?;
    // Who waits for the address reads it from a pipe; a closed one is no reason to stop.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "listening on {}", server.address()).and_then(|()| out.flush());
    loop {
        server.run_once(Some(Duration::from_secs(1)))?;
    }
}
