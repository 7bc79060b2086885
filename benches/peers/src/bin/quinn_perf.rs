//! The perf protocol over quinn: bulk data, request loops, handshakes.
//!
//! The first eight bytes of a client's bidirectional stream, big endian, are the length
//! of the response; the bytes after them are the upload. The server discards the upload
//! and then sends the response.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protoquic_peers::transport;
use protoquic_perf_kit::{
    Client, Loops, MAX_UDP_PAYLOAD, Mode, Program, Result, Server, client_tls, is_whole, pieces,
    repeat, report_bulk, report_handshakes, report_requests, server_tls,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use tokio::task::JoinHandle;

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
            Program::Client(client) => measure(client).await,
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
    let endpoint = quinn::Endpoint::server(config, server.listen)?;
    println!("listening on {}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    if let Err(error) = respond(send, receive).await {
                        eprintln!("stream: {error}");
                    }
                });
            }
            Ok::<_, quinn::ConnectionError>(())
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

async fn measure(client: Client) -> Result<()> {
    let endpoint = quinn::Endpoint::client(client.local())?;
    let tls = QuicClientConfig::try_from(client_tls(&client)?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(settings(&client.congestion_control)?);
    match client.mode {
        Mode::Down | Mode::Up => bulk(&endpoint, config, &client).await?,
        Mode::Rps => requests(&endpoint, config, &client).await?,
        Mode::Hs => handshakes(&endpoint, config, &client).await?,
    }
    endpoint.wait_idle().await;
    Ok(())
}

async fn connect(
    endpoint: &quinn::Endpoint,
    config: &quinn::ClientConfig,
    client: &Client,
) -> Result<quinn::Connection> {
    Ok(endpoint
        .connect_with(config.clone(), client.connect, "localhost")?
        .await?)
}

async fn bulk(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    client: &Client,
) -> Result<()> {
    let connection = connect(endpoint, &config, client).await?;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..client.streams {
        let (down, up) = client.share(number);
        let (send, receive) = connection.open_bi().await?;
        tasks.push(tokio::spawn(transfer(send, receive, down, up)));
    }
    for task in tasks {
        task.await??;
    }
    let elapsed = started.elapsed();
    connection.close(0_u32.into(), b"done");
    report_bulk(client, elapsed);
    Ok(())
}

async fn requests(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    client: &Client,
) -> Result<()> {
    let connection = connect(endpoint, &config, client).await?;
    let started = Instant::now();
    let (end, bytes) = (started + client.time(), client.bytes());
    let mut tasks = Vec::new();
    for _ in 0..client.streams {
        let connection = connection.clone();
        tasks.push(tokio::spawn(async move {
            repeat(end, || async {
                let (send, receive) = connection.open_bi().await?;
                transfer(send, receive, bytes, 0).await
            })
            .await
        }));
    }
    let loops = sum(tasks).await?;
    let elapsed = started.elapsed();
    connection.close(0_u32.into(), b"done");
    report_requests(client, &loops, elapsed);
    Ok(())
}

async fn handshakes(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    client: &Client,
) -> Result<()> {
    let started = Instant::now();
    let end = started + client.time();
    let (to, resume) = (client.connect, client.resume);
    let mut tasks = Vec::new();
    for _ in 0..client.connections {
        let (endpoint, config) = (endpoint.clone(), config.clone());
        tasks.push(tokio::spawn(async move {
            repeat(end, || async {
                let connecting = endpoint.connect_with(config.clone(), to, "localhost")?;
                let connection = connecting.await?;
                if resume {
                    // A ticket for the next one comes with the server's confirmation.
                    let (send, receive) = connection.open_bi().await?;
                    transfer(send, receive, 1, 0).await?;
                }
                connection.close(0_u32.into(), b"done");
                Ok(())
            })
            .await
        }));
    }
    let count = sum(tasks).await?.count();
    report_handshakes(client, count, started.elapsed());
    Ok(())
}

/// What all tasks counted.
async fn sum(tasks: Vec<JoinHandle<Result<Loops>>>) -> Result<Loops> {
    let mut loops = Loops::default();
    for task in tasks {
        loops.add(&task.await??);
    }
    Ok(loops)
}

async fn transfer(
    mut send: quinn::SendStream,
    mut receive: quinn::RecvStream,
    down: u64,
    up: u64,
) -> Result<()> {
    send.write_all(&down.to_be_bytes()).await?;
    write_bytes(&mut send, up).await?;
    let received = discard(&mut receive).await?;
    is_whole(received, down)
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
