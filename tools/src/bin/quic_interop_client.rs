//! `quic_interop_client`: the client of the QUIC interop runner.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use protoquic_tools::arguments::{self, QlogArguments};
use protoquic_tools::interop::{
    ClientCase, ClientPlan, Downloads, Environment, Protocol, UNSUPPORTED, run_client,
    wait_for_simulator,
};

/// Fetches files as a test case of the QUIC interop runner wants it.
///
/// Every option can be given as the environment variable that the runner uses. Ends with status 0
/// when all files are there, 127 for test cases that it does not support.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    qlog: QlogArguments,
    #[command(flatten)]
    environment: Environment,
    /// URLs of the files, with spaces between.
    #[arg(long, env = "REQUESTS", default_value = "")]
    requests: String,
    /// The folder for the files.
    #[arg(long, env = "DOWNLOADS", default_value = "/downloads")]
    downloads: PathBuf,
    /// The protocol; the test case's own if it is not given.
    #[arg(long, env = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// Certificates to believe, in PEM; without it, any certificate is.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// A TCP host and port to wait for: the runner's simulator is at `sim:57832`.
    #[arg(long, env = "WAIT_FOR")]
    wait_for: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    let name = &arguments.environment.testcase;
    let Some(case) = ClientCase::from_name(name) else {
        eprintln!("quic_interop_client: the test case {name:?} is not supported");
        return ExitCode::from(UNSUPPORTED);
    };
    arguments::run("quic_interop_client", || fetch(case, &arguments))
}

fn fetch(case: ClientCase, arguments: &Arguments) -> Result<(), String> {
    arguments.environment.check_role("client")?;
    let downloads = Downloads::parse(&arguments.requests, arguments.downloads.clone())?;
    let default = if case == ClientCase::Http3 { Protocol::H3 } else { Protocol::Hq };
    if let Some(simulator) = &arguments.wait_for {
        wait_for_simulator(simulator)?;
    }
    run_client(&ClientPlan {
        case,
        qlog: arguments.qlog.folder()?,
        downloads,
        protocol: arguments.protocol.unwrap_or(default),
        ca_file: arguments.ca_file.clone(),
    })
}
