//! An echo over quinn, by any application protocol: the other side of `qchat` and `quic_echo`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, Subcommand};
use protoquic_peers::{Identity, Result, Trust, client_config, server_config};

/// Bytes of one read or write.
const CHUNK: usize = 64 * 1024;
/// A prime: the pattern's period.
const PERIOD: usize = 251;

/// Sends everything back, or checks that a server does.
#[derive(Parser)]
struct Arguments {
    /// The application protocol.
    #[arg(long, default_value = "qchat", global = true)]
    alpn: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Answers until it is stopped.
    Server {
        /// Address and port to listen on; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// How many streams a client may have open at a time.
        #[arg(long, default_value_t = 100)]
        streams: u32,
    },
    /// Sends a pattern on one stream and checks its echo.
    Client {
        /// Where the server is.
        #[arg(long)]
        connect: SocketAddr,
        /// How many bytes to send.
        #[arg(long, default_value_t = 1_000_000)]
        bytes: usize,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { alpn, role } = Arguments::parse();
    match role {
        Role::Server { listen, streams } => serve(alpn.as_bytes(), listen, streams).await,
        Role::Client { connect, bytes } => ask(alpn.as_bytes(), connect, bytes).await,
    }
}

async fn serve(alpn: &[u8], listen: SocketAddr, streams: u32) -> Result<()> {
    let mut config = server_config(Identity::self_signed()?, alpn)?;
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_bidi_streams(streams.into());
    config.transport_config(transport.into());
    let endpoint = quinn::Endpoint::server(config, listen)?;
    println!("listening on {}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(echo(send, receive));
            }
            Ok::<_, quinn::ConnectionError>(())
        });
    }
    Ok(())
}

async fn echo(mut send: quinn::SendStream, mut receive: quinn::RecvStream) -> Result<()> {
    while let Some(chunk) = receive.read_chunk(CHUNK, true).await? {
        send.write_chunk(chunk.bytes).await?;
    }
    send.finish()?;
    Ok(())
}

async fn ask(alpn: &[u8], server: SocketAddr, bytes: usize) -> Result<()> {
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    endpoint.set_default_client_config(client_config(Trust::Anyone, alpn)?);
    let connection = endpoint.connect(server, "localhost")?.await?;
    let (mut send, mut receive) = connection.open_bi().await?;
    let started = Instant::now();
    let pattern: Bytes = (0..CHUNK + PERIOD).map(|at| (at % PERIOD) as u8).collect();
    let source = pattern.clone();
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        while sent < bytes {
            let start = sent % PERIOD;
            let len = CHUNK.min(bytes - sent);
            send.write_chunk(source.slice(start..start + len)).await?;
            sent += len;
        }
        send.finish()?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let mut received = 0;
    while let Some(chunk) = receive.read_chunk(CHUNK, true).await? {
        let start = received % PERIOD;
        if chunk.bytes != pattern[start..start + chunk.bytes.len()] {
            return Err(format!("the echo is wrong after {received} bytes").into());
        }
        received += chunk.bytes.len();
    }
    sender.await??;
    if received != bytes {
        return Err(format!("{received} of {bytes} bytes came back").into());
    }
    let elapsed: Duration = started.elapsed();
    println!(
        "{received} bytes came back in {:.3} s",
        elapsed.as_secs_f64()
    );
    connection.close(0u32.into(), b"goodbye");
    endpoint.wait_idle().await;
    Ok(())
}
