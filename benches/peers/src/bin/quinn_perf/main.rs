//! The perf protocol over quinn, or HTTP/3 by h3: bulk data, request loops, handshakes.
//!
//! The first eight bytes of a client's bidirectional stream, big endian, are the length
//! of the response; the bytes after them are the upload. The server discards the upload
//! and then sends the response.

mod http3;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use protoquic_peers::transport;
use protoquic_perf_kit::{
    Client, MAX_UDP_PAYLOAD, Program, Result, Server, Stack, client_tls, is_whole, measure, pieces,
    server_tls,
};
use quinn::Endpoint;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};

/// Chunks taken from a stream by one read.
const CHUNKS_PER_READ: usize = 64;

fn main() -> Result<()> {
    // One thread, as every stack here: quinn moves bytes faster so than with several.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match Program::read() {
            Program::Server(server) => serve(server).await,
            Program::Client(client) => ask(client).await,
        }
    })
}

fn settings(congestion_control: &str) -> Result<Arc<quinn::TransportConfig>> {
    let transport = transport(false, Some(MAX_UDP_PAYLOAD));
    let mut transport = Arc::into_inner(transport).ok_or("the settings are shared")?;
    match congestion_control {
        "cubic" => {}
        "bbr" => {
            let factory = quinn::congestion::BbrConfig::default();
            transport.congestion_controller_factory(Arc::new(factory));
        }
        other => return Err(format!("no congestion control {other}: cubic or bbr").into()),
    }
    Ok(Arc::new(transport))
}

async fn serve(server: Server) -> Result<()> {
    let tls = QuicServerConfig::try_from(server_tls(&server)?)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(settings(&server.congestion_control)?);
    let endpoint = Endpoint::server(config, server.listen)?;
    println!("listening on {}", endpoint.local_addr()?);
    let folder = server.http3.map(Arc::from);
    while let Some(incoming) = endpoint.accept().await {
        let folder = folder.clone();
        tokio::spawn(async move {
            let connection = incoming.await?;
            if let Some(folder) = folder {
                return http3::serve(connection, folder).await;
            }
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    if let Err(error) = respond(send, receive).await {
                        eprintln!("stream: {error}");
                    }
                });
            }
            Result::<()>::Ok(())
        });
    }
    Ok(())
}

async fn respond(mut send: quinn::SendStream, mut receive: quinn::RecvStream) -> Result<()> {
    let mut length = [0; 8];
    receive.read_exact(&mut length).await?;
    discard(&mut receive).await?;
    write_bytes(&mut send, u64::from_be_bytes(length)).await
}

async fn ask(client: Client) -> Result<()> {
    let mut endpoint = Endpoint::client(client.local())?;
    let tls = QuicClientConfig::try_from(client_tls(&client)?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(settings(&client.congestion_control)?);
    endpoint.set_default_client_config(config);
    let peer = Peer {
        endpoint: endpoint.clone(),
        to: client.connect,
    };
    match &client.http3 {
        Some(path) => measure(http3::Peer::new(peer, path)?, &client).await?,
        None => measure(peer, &client).await?,
    }
    endpoint.wait_idle().await;
    Ok(())
}

/// quinn as a client.
#[derive(Clone)]
struct Peer {
    endpoint: Endpoint,
    to: SocketAddr,
}

impl Stack for Peer {
    type Connection = quinn::Connection;

    async fn connect(&self) -> Result<quinn::Connection> {
        Ok(self.endpoint.connect(self.to, "localhost")?.await?)
    }

    async fn exchange(connection: quinn::Connection, down: u64, up: u64) -> Result<()> {
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&down.to_be_bytes()).await?;
        write_bytes(&mut send, up).await?;
        let received = discard(&mut receive).await?;
        is_whole(received, down)
    }

    fn close(connection: quinn::Connection) {
        connection.close(0_u32.into(), b"done");
    }
}

async fn write_bytes(send: &mut quinn::SendStream, length: u64) -> Result<()> {
    for piece in pieces(length) {
        send.write_chunk(piece).await?;
    }
    Ok(send.finish()?)
}

async fn discard(receive: &mut quinn::RecvStream) -> Result<u64> {
    let mut chunks: [Bytes; CHUNKS_PER_READ] = std::array::from_fn(|_| Bytes::new());
    let mut total = 0;
    while let Some(count) = receive.read_chunks(&mut chunks).await? {
        total += chunks[..count]
            .iter_mut()
            .map(|c| std::mem::take(c).len() as u64)
            .sum::<u64>();
    }
    Ok(total)
}
