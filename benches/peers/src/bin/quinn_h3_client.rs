//! An HTTP/3 client of quinn and h3: URLs of one origin, all on one connection.
//!
//! Bodies go to standard output or `--output`; ends with status 0 only if every
//! response was a success and came whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use clap::Parser;
use h3::client::SendRequest;
use http::{Method, Request, Uri};
use protoquic_peers::{Result, Trust, client_config, transport};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

/// Bytes of one write of a request body.
const CHUNK: usize = 64 * 1024;

/// HTTP/3 client of quinn and h3.
#[derive(Parser)]
struct Args {
    /// URLs to fetch, all of the origin of the first.
    #[arg(required = true)]
    urls: Vec<Uri>,
    /// PEM file of the authorities to believe.
    #[arg(long, required_unless_present = "insecure")]
    ca: Option<PathBuf>,
    /// Believe any certificate.
    #[arg(long)]
    insecure: bool,
    /// Connect here instead of to the URL's host and port.
    #[arg(long)]
    connect: Option<SocketAddr>,
    /// Requests under way at once.
    #[arg(long, default_value_t = 100)]
    parallel: usize,
    /// Fetch every URL this many times.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// File to send as the request's body (the method becomes POST).
    #[arg(long)]
    body_file: Option<PathBuf>,
    /// File for the body; with several responses a directory, files named by number from 0.
    #[arg(long)]
    output: Option<PathBuf>,
}

type Sender = SendRequest<h3_quinn::OpenStreams, Bytes>;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let trust = match (args.ca, args.insecure) {
        (Some(ca), false) => Trust::File(ca),
        _ => Trust::Anyone,
    };
    let body = match args.body_file {
        Some(file) => Some(Bytes::from(tokio::fs::read(file).await?)),
        None => None,
    };
    let host = args.urls[0].host().ok_or("URL without a host")?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = args.urls[0].port_u16().unwrap_or(443);
    let to = match args.connect {
        Some(address) => address,
        None => tokio::net::lookup_host((host.as_str(), port))
            .await?
            .next()
            .ok_or("no address")?,
    };

    let any: SocketAddr = if to.is_ipv4() {
        "0.0.0.0:0".parse()?
    } else {
        "[::]:0".parse()?
    };
    let endpoint = quinn::Endpoint::client(any)?;
    let mut config = client_config(trust, b"h3")?;
    config.transport_config(transport(false, None));
    let connection = endpoint.connect_with(config, to, &host)?.await?;
    let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    let driver = tokio::spawn(async move { driver.wait_idle().await });

    let urls: Vec<Uri> = args
        .urls
        .iter()
        .flat_map(|url| vec![url.clone(); args.repeat])
        .collect();
    let outcome = fetch_all(&sender, urls, body, args.output, args.parallel).await;
    drop(sender);
    endpoint.close(0x100_u32.into(), b"done");
    endpoint.wait_idle().await;
    driver.abort();
    outcome
}

async fn fetch_all(
    sender: &Sender,
    urls: Vec<Uri>,
    body: Option<Bytes>,
    output: Option<PathBuf>,
    parallel: usize,
) -> Result<()> {
    let several = urls.len() > 1;
    if let (true, Some(directory)) = (several, &output) {
        tokio::fs::create_dir_all(directory).await?;
    }
    let permits = Arc::new(Semaphore::new(parallel));
    let mut tasks = Vec::new();
    for (number, url) in urls.into_iter().enumerate() {
        let (sender, body, permits) = (sender.clone(), body.clone(), Arc::clone(&permits));
        let target = match &output {
            Some(path) if several => Some(path.join(number.to_string())),
            other => other.clone(),
        };
        tasks.push(tokio::spawn(async move {
            let _permit = permits.acquire_owned().await?;
            fetch(sender, &url, body, target)
                .await
                .map_err(|error| format!("{url}: {error}").into())
        }));
    }
    let mut outcome: Result<()> = Ok(());
    for task in tasks {
        if let Err(error) = task.await? {
            eprintln!("{error}");
            outcome = Err(error);
        }
    }
    outcome
}

async fn fetch(
    mut sender: Sender,
    url: &Uri,
    body: Option<Bytes>,
    target: Option<PathBuf>,
) -> Result<()> {
    let method = if body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let mut request = Request::builder().method(method).uri(url);
    if let Some(body) = &body {
        request = request.header("content-length", body.len());
    }
    let (mut send, mut receive) = sender.send_request(request.body(())?).await?.split();
    // The body goes out beside the response's coming in: an echo would stall otherwise.
    let upload = tokio::spawn(async move {
        let mut body = body.unwrap_or_default();
        while !body.is_empty() {
            let part = body.split_to(body.len().min(CHUNK));
            send.send_data(part).await?;
        }
        send.finish().await
    });

    let response = receive.recv_response().await?;
    let mut out: Box<dyn AsyncWrite + Send + Unpin> = match target {
        Some(path) => Box::new(tokio::io::BufWriter::new(
            tokio::fs::File::create(path).await?,
        )),
        None => Box::new(tokio::io::stdout()),
    };
    let mut received = 0_u64;
    while let Some(mut data) = receive.recv_data().await? {
        received += data.remaining() as u64;
        while data.has_remaining() {
            let length = data.chunk().len();
            out.write_all(data.chunk()).await?;
            data.advance(length);
        }
    }
    out.flush().await?;
    upload.await??;
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()).into());
    }
    let announced = response.headers().get("content-length");
    match announced.map(|value| value.to_str().map(str::parse::<u64>)) {
        Some(Ok(Ok(length))) if length != received => {
            Err(format!("{received} bytes came of {length}").into())
        }
        _ => Ok(()),
    }
}
