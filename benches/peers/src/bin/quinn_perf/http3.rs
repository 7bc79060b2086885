//! HTTP/3 by h3 over quinn: files out, bodies in. What is measured is in the kit.

use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3::server::{RequestResolver, RequestStream};
use h3_quinn::{BidiStream, OpenStreams};
use http::{Request, Response, StatusCode, Uri};
use protoquic_perf_kit::{FILE_CHUNK, Result, Stack, is_whole, open_file, read_chunk};

/// Answers a client with a folder's files.
pub async fn serve(connection: quinn::Connection, folder: Arc<Path>) -> Result<()> {
    let connection = h3_quinn::Connection::new(connection);
    let mut connection = h3::server::Connection::<_, Bytes>::new(connection).await?;
    while let Ok(Some(resolver)) = connection.accept().await {
        let folder = folder.clone();
        tokio::spawn(async move {
            if let Err(error) = respond(resolver, &folder).await {
                eprintln!("request: {error}");
            }
        });
    }
    Ok(())
}

async fn respond(
    resolver: RequestResolver<h3_quinn::Connection, Bytes>,
    folder: &Path,
) -> Result<()> {
    let (request, mut stream) = resolver.resolve_request().await?;
    match open_file(folder, request.uri().path()) {
        Ok((file, len)) => send_file(&mut stream, file, len).await?,
        Err(_) => {
            let head = Response::builder().status(StatusCode::NOT_FOUND).body(())?;
            stream.send_response(head).await?;
        }
    }
    Ok(stream.finish().await?)
}

async fn send_file(
    stream: &mut RequestStream<BidiStream<Bytes>, Bytes>,
    mut file: std::fs::File,
    len: u64,
) -> Result<()> {
    let head = Response::builder().header("content-length", len).body(())?;
    stream.send_response(head).await?;
    let mut left = len;
    while left > 0 {
        let mut piece = Vec::with_capacity(FILE_CHUNK.min(left as usize));
        read_chunk(&mut file, left, &mut piece)?;
        left -= piece.len() as u64;
        stream.send_data(piece.into()).await?;
    }
    Ok(())
}

/// h3 on quinn as a client that gets one URL.
#[derive(Clone)]
pub struct Peer {
    quinn: super::Peer,
    url: Uri,
}

impl Peer {
    /// Gets this path.
    pub fn new(quinn: super::Peer, path: &str) -> Result<Self> {
        let url = format!("https://localhost:{}{path}", quinn.to.port()).parse()?;
        Ok(Self { quinn, url })
    }
}

/// A client's connection.
#[derive(Clone)]
pub struct Connection {
    quinn: quinn::Connection,
    requests: SendRequest<OpenStreams, Bytes>,
    url: Uri,
}

impl Stack for Peer {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection> {
        let quinn = self.quinn.connect().await?;
        let connection = h3_quinn::Connection::new(quinn.clone());
        let (mut driver, requests) = h3::client::new(connection).await?;
        tokio::spawn(async move { driver.wait_idle().await });
        let url = self.url.clone();
        Ok(Connection {
            quinn,
            requests,
            url,
        })
    }

    async fn exchange(mut connection: Connection, down: u64, up: u64) -> Result<()> {
        if up > 0 {
            return Err("--mode up: files are only fetched over HTTP/3".into());
        }
        let request = Request::get(connection.url).body(())?;
        let mut stream = connection.requests.send_request(request).await?;
        stream.finish().await?;
        let status = stream.recv_response().await?.status();
        if !status.is_success() {
            return Err(format!("status {status}").into());
        }
        let mut received = 0;
        while let Some(piece) = stream.recv_data().await? {
            received += piece.remaining() as u64;
        }
        is_whole(received, down)
    }

    fn close(connection: Connection) {
        <super::Peer as Stack>::close(connection.quinn);
    }
}
