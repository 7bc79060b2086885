//! `quic_simple_client`: fetches URLs over HTTP/3.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use protoquic::MemorySessionCache;
use protoquic::connection::Config;
use protoquic::crypto::ClientTls;
use protoquic::http::ALPN;
use protoquic::streams::WindowPreset;
use protoquic_qlog::QlogDirectory;
use protoquic_tools::arguments::{self, QlogArguments};
use protoquic_tools::client::{
    Destination, FetchOptions, Outcome, PushLimits, RequestBody, SessionFile, fetch_all,
};
use protoquic_tools::congestion::CongestionArguments;
use protoquic_tools::endpoint::resolve;
use protoquic_tools::trust::server_trust;
use rustls_pki_types::ServerName;

/// Fetches URLs over HTTP/3.
///
/// URLs of one host share a connection and are fetched in parallel. Bodies go to standard output,
/// heads to standard error. Ends with status 0 only if every response came whole with a success
/// status. Bodies of parallel requests mix on standard output; --output DIR keeps them apart.
/// Certificates are verified against the system's store.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    qlog: QlogArguments,
    /// What to fetch: `https://HOST[:PORT]/PATH`
    #[arg(required = true)]
    urls: Vec<String>,
    /// Connects to this host, whatever the URL says.
    #[arg(long)]
    host: Option<String>,
    /// Connects to this port, whatever the URL says.
    #[arg(long)]
    port: Option<u16>,
    /// Connects from this address and port, `192.0.2.1:0` for any port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind_to_address: Option<SocketAddr>,
    /// The request's body; makes it a POST.
    #[arg(long, conflicts_with_all = ["body_hex", "body_file"])]
    body: Option<String>,
    /// The request's body in hex.
    #[arg(long, conflicts_with = "body_file")]
    body_hex: Option<String>,
    /// A file to send as the request's body.
    #[arg(long)]
    body_file: Option<PathBuf>,
    /// Further header fields: "name:value;name:value".
    #[arg(long, default_value = "")]
    headers: String,
    /// The request's method.
    #[arg(long)]
    method: Option<Method>,
    /// How often each URL is fetched, at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    num_requests: u32,
    /// Makes a connection for each request, one after another.
    #[arg(long)]
    one_connection_per_request: bool,
    /// Believes any certificate. For servers of your own.
    #[arg(long, conflicts_with = "ca_file")]
    disable_certificate_verification: bool,
    /// Certificates to believe, in PEM, instead of the system's.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Does not show bodies.
    #[arg(long)]
    drop_response_body: bool,
    /// A file for the body, or a folder: there, every response has a file named by its URL's last
    /// segment. For several responses it is a folder, made if it is not there.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Shows nothing but bodies and errors.
    #[arg(long)]
    quiet: bool,
    /// The UDP payload size to start with.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1200..=65527))]
    initial_mtu: Option<u16>,
    #[command(flatten)]
    congestion: CongestionArguments,
    /// How much the server may send before it is read: adaptive (windows grow with use),
    /// chrome-client (15 MB a connection, 6 MB a stream) or simple-server (1 MB, 64 KB at first).
    #[arg(long, default_value_t)]
    windows: WindowPreset,
    /// How long all requests of a connection may take, in seconds. Without it, a silent server is
    /// given up by the handshake's and the idle timeout.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    timeout: Option<u64>,
    /// Whether a redirect counts as a success. Redirects are not followed.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    redirect_is_success: bool,
    /// Remembers servers in this file: their address validation tokens and HTTP settings. TLS
    /// tickets are kept for this run only, where --one_connection_per_request uses them.
    #[arg(long)]
    session_cache: Option<PathBuf>,
    /// Lets the server push responses that were not asked for, so many at a time. They are shown on
    /// standard error; their bodies go where --output is a folder. 10000 pushes and 1 GiB are taken
    /// of a connection; they have a minute after the last response.
    #[arg(long, default_value_t = 0, value_name = "N",
          value_parser = clap::value_parser!(u64).range(0..=1000))]
    push: u64,
    /// Sends requests without side effects in early data, where a session is resumed. Others can
    /// replay them.
    #[arg(long)]
    early_data: bool,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("quic_simple_client", || fetch(&arguments))
}

fn fetch(arguments: &Arguments) -> Result<(), String> {
    let mut by_host: BTreeMap<(String, u16), Vec<Uri>> = BTreeMap::new();
    for text in &arguments.urls {
        let (host, port, url) = parse_url(text)?;
        let urls = by_host.entry((host, port)).or_default();
        urls.extend(std::iter::repeat_n(url, arguments.num_requests as usize));
    }
    let file = arguments.session_cache.as_deref().map(SessionFile::open).transpose()?;
    let cache = file.as_ref().map_or_else(Arc::default, SessionFile::cache);
    let common = common_options(arguments, by_host.values().map(Vec::len).sum(), cache)?;
    // What went wrong, and how often the same.
    let mut problems: BTreeMap<String, usize> = BTreeMap::new();
    for ((host, port), urls) in by_host {
        let share = if arguments.one_connection_per_request { 1 } else { urls.len() };
        for urls in urls.chunks(share) {
            let outcomes = options(arguments, &common, &host, port)
                .and_then(|options| fetch_all(urls, &options));
            match outcomes {
                Err(problem) => *problems.entry(problem).or_default() += urls.len(),
                Ok(outcomes) => {
                    for (url, outcome) in urls.iter().zip(outcomes) {
                        if let Some(problem) = problem_of(&outcome, arguments) {
                            *problems.entry(format!("{url}: {problem}")).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    let saved = file.map_or(Ok(()), |file| file.save());
    report(problems).and(saved)
}

/// Why this is not a success.
fn problem_of(outcome: &Outcome, arguments: &Arguments) -> Option<String> {
    match outcome {
        Ok(status) if status.is_success() => None,
        Ok(status) if status.is_redirection() && arguments.redirect_is_success => None,
        Ok(status) => Some(format!("the server answered {status}")),
        Err(failure) => Some(failure.clone()),
    }
}

/// A line for each problem, the last as the program's error.
fn report(problems: BTreeMap<String, usize>) -> Result<(), String> {
    let mut lines = problems.into_iter().map(|(problem, times)| match times {
        1 => problem,
        times => format!("{problem} ({times} times)"),
    });
    let Some(mut last) = lines.next() else { return Ok(()) };
    for line in lines {
        eprintln!("quic_simple_client: {last}");
        last = line;
    }
    Err(last)
}

fn parse_url(text: &str) -> Result<(String, u16, Uri), String> {
    let bad = |why: &str| format!("{text} is not a URL to fetch: {why}");
    let url: Uri = text.parse().map_err(|error| bad(&format!("{error}")))?;
    match url.scheme_str() {
        Some("https") => {}
        Some(scheme) => return Err(bad(&format!("HTTP/3 has https, not {scheme}"))),
        None => return Err(bad("it must begin with https://")),
    }
    let host = url.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
    let (host, port) = (host.to_owned(), url.port_u16().unwrap_or(443));
    Ok((host, port, url))
}

fn client_tls(arguments: &Arguments) -> Result<rustls::ClientConfig, String> {
    let any = arguments.disable_certificate_verification;
    let trust = server_trust(any, arguments.ca_file.as_deref())?;
    let alpn = vec![ALPN.to_vec()];
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    tls.build().map_err(|error| format!("TLS cannot be set up: {error}"))
}

/// What is the same for all hosts.
struct Common {
    config: Arc<Config>,
    tls: Arc<rustls::ClientConfig>,
    headers: HeaderMap,
    body: RequestBody,
    destination: Destination,
    qlog: Option<QlogDirectory>,
}

fn common_options(
    arguments: &Arguments,
    responses: usize,
    cache: Arc<MemorySessionCache>,
) -> Result<Common, String> {
    let congestion = arguments.congestion.factory();
    let (early_data, session_cache) = (arguments.early_data, Some(cache as Arc<_>));
    let mut config = Config { congestion, early_data, session_cache, ..Config::default() };
    config.streams = config.streams.with_windows(arguments.windows);
    if let Some(mtu) = arguments.initial_mtu {
        config.initial_packet_size = mtu.into();
        config.max_packet_size = config.max_packet_size.max(mtu.into());
    }
    Ok(Common {
        config: Arc::new(config),
        tls: Arc::new(client_tls(arguments)?),
        headers: parse_headers(&arguments.headers)?,
        body: body(arguments)?,
        destination: destination(arguments, responses)?,
        qlog: arguments.qlog.folder()?,
    })
}

fn options(
    arguments: &Arguments,
    common: &Common,
    host: &str,
    port: u16,
) -> Result<FetchOptions, String> {
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let server_name = ServerName::try_from(name)
        .map_err(|error| format!("{host} is no name of a server: {error}"))?;
    let connect_host = arguments.host.as_deref().unwrap_or(host);
    let address = resolve(connect_host, arguments.port.unwrap_or(port))?;
    Ok(FetchOptions {
        address,
        local: arguments.bind_to_address,
        server_name,
        config: Arc::clone(&common.config),
        tls: Arc::clone(&common.tls),
        qlog: common.qlog.clone(),
        method: arguments.method.clone(),
        headers: common.headers.clone(),
        body: common.body.clone(),
        destination: common.destination.clone(),
        quiet: arguments.quiet,
        timeout: arguments.timeout.map(Duration::from_secs),
        update_keys: false,
        pushes: arguments.push,
        push_limits: PushLimits::default(),
    })
}

fn body(arguments: &Arguments) -> Result<RequestBody, String> {
    if let Some(text) = &arguments.body {
        return Ok(RequestBody::Bytes(text.clone().into()));
    }
    if let Some(hex) = &arguments.body_hex {
        let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
        let bytes = decoded.map_err(|error| format!("--body_hex is not hex: {error}"))?;
        return Ok(RequestBody::Bytes(Bytes::from(bytes)));
    }
    Ok(arguments.body_file.clone().map_or(RequestBody::None, RequestBody::File))
}

fn destination(arguments: &Arguments, responses: usize) -> Result<Destination, String> {
    match &arguments.output {
        _ if arguments.drop_response_body => Ok(Destination::Drop),
        Some(path) => Destination::at(path, responses),
        None => Ok(Destination::Stdout),
    }
}

fn parse_headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let bad = || format!("--headers has {pair}, which is no name:value");
        let (name, value) = pair.split_once(':').ok_or_else(bad)?;
        let name = HeaderName::from_bytes(name.trim().to_lowercase().as_bytes());
        let value = HeaderValue::from_str(value.trim());
        headers.append(name.map_err(|_| bad())?, value.map_err(|_| bad())?);
    }
    Ok(headers)
}
