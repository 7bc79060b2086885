//! An HTTP/3 server of quinn and h3: files of a directory, `GET /N`, `POST /echo`.
//!
//! Prints `listening on ADDR:PORT` when it is ready; runs until it is ended.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use clap::Parser;
use h3::server::RequestStream;
use http::{Method, Request, Response, StatusCode};
use protoquic_peers::{Identity, Result, server_config, transport};
use tokio::io::AsyncReadExt;

/// Bytes of one write of a body.
const CHUNK: usize = 64 * 1024;

/// HTTP/3 server of quinn and h3.
#[derive(Parser)]
struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// PEM file of the certificate chain; self-signed if absent.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file of the private key.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Directory whose files are served.
    #[arg(long)]
    www: Option<PathBuf>,
}

type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let identity = match (args.cert, args.key) {
        (Some(cert), Some(key)) => Identity::from_pem_files(&cert, &key)?,
        _ => Identity::self_signed()?,
    };
    let mut config = server_config(identity, b"h3")?;
    config.transport_config(transport(false, None));
    let endpoint = quinn::Endpoint::server(config, args.listen)?;
    println!("listening on {}", endpoint.local_addr()?);
    let www = Arc::new(args.www);
    while let Some(incoming) = endpoint.accept().await {
        let www = Arc::clone(&www);
        tokio::spawn(async move {
            if let Err(error) = serve(incoming, www).await {
                eprintln!("connection: {error}");
            }
        });
    }
    Ok(())
}

async fn serve(incoming: quinn::Incoming, www: Arc<Option<PathBuf>>) -> Result<()> {
    let connection = incoming.await?;
    let mut h3 = h3::server::Connection::new(h3_quinn::Connection::new(connection)).await?;
    loop {
        match h3.accept().await {
            Ok(Some(resolver)) => {
                let www = Arc::clone(&www);
                tokio::spawn(async move {
                    let (request, mut stream) = match resolver.resolve_request().await {
                        Ok(pair) => pair,
                        Err(error) => return eprintln!("request: {error}"),
                    };
                    if let Err(error) = answer(&request, &mut stream, www.as_deref()).await {
                        eprintln!("{} {}: {error}", request.method(), request.uri());
                    }
                });
            }
            Ok(None) => return Ok(()),
            Err(error) if error.is_h3_no_error() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn answer(request: &Request<()>, stream: &mut Stream, www: Option<&Path>) -> Result<()> {
    let path = request.uri().path();
    if path == "/echo" && request.method() == Method::POST {
        return echo(stream).await;
    }
    let number = path
        .strip_prefix('/')
        .and_then(|text| text.parse::<u64>().ok());
    if let Some(length) = number {
        return generate(stream, length).await;
    }
    match www.and_then(|www| file_of(www, path)) {
        Some(file) => send_file(stream, &file).await,
        None => {
            let head = Response::builder().status(StatusCode::NOT_FOUND).body(())?;
            stream.send_response(head).await?;
            Ok(stream.finish().await?)
        }
    }
}

/// The body back, as it comes: the response begins before the request ends.
async fn echo(stream: &mut Stream) -> Result<()> {
    stream.send_response(Response::new(())).await?;
    while let Some(mut data) = stream.recv_data().await? {
        let bytes = data.copy_to_bytes(data.remaining());
        stream.send_data(bytes).await?;
    }
    Ok(stream.finish().await?)
}

/// `length` bytes, byte `i` of them being `i % 256`.
async fn generate(stream: &mut Stream, length: u64) -> Result<()> {
    stream.send_response(with_length(length)?).await?;
    let pattern: Bytes = (0..CHUNK).map(|i| i as u8).collect();
    let mut left = length;
    while left > 0 {
        let part = left.min(CHUNK as u64);
        stream.send_data(pattern.slice(..part as usize)).await?;
        left -= part;
    }
    Ok(stream.finish().await?)
}

async fn send_file(stream: &mut Stream, file: &Path) -> Result<()> {
    let mut file = tokio::fs::File::open(file).await?;
    stream
        .send_response(with_length(file.metadata().await?.len())?)
        .await?;
    loop {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        if file.read_buf(&mut buffer).await? == 0 {
            return Ok(stream.finish().await?);
        }
        stream.send_data(buffer.freeze()).await?;
    }
}

fn with_length(length: u64) -> Result<Response<()>> {
    Ok(Response::builder()
        .header("content-length", length)
        .body(())?)
}

/// The file `path` names under `www`, if it is one and stays inside.
fn file_of(www: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    if relative
        .components()
        .any(|part| !matches!(part, Component::Normal(_)))
    {
        return None;
    }
    let file = www.join(relative);
    let file = if file.is_dir() {
        file.join("index.html")
    } else {
        file
    };
    file.is_file().then_some(file)
}
