//! Bulk transfer over quinn in the perf protocol (ALPN `perf`).
//!
//! The first eight bytes of a client's bidirectional stream, big endian, are the length
//! of the response; the bytes after them are the upload. The server discards the upload
//! and then sends the response.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, Parser, ValueEnum};
use protoquic_peers::{Identity, Result, Trust, client_config, server_config, transport};

/// Bytes of one write.
const CHUNK: usize = 256 * 1024;

/// Chunks taken from a stream by one read.
const CHUNKS_PER_READ: usize = 64;

/// Bulk transfer over quinn.
#[derive(Parser)]
enum Program {
    /// Answer.
    Server(Server),
    /// Ask, measure, report.
    Client(Client),
}

#[derive(Args)]
struct Tuning {
    /// Ask the peer for fewer acknowledgements.
    #[arg(long)]
    ack_frequency: bool,
    /// UDP payload assumed to fit before discovery.
    #[arg(long, default_value_t = 1452)]
    initial_mtu: u16,
    /// Threads of the runtime.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Args)]
struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// PEM file of the certificate chain; self-signed if absent.
    #[arg(
        long,
        alias = "certificate-file",
        alias = "certificate_file",
        requires = "key"
    )]
    cert: Option<PathBuf>,
    /// PEM file of the private key.
    #[arg(long, alias = "key-file", alias = "key_file", requires = "cert")]
    key: Option<PathBuf>,
    #[command(flatten)]
    tuning: Tuning,
}

#[derive(Args)]
struct Client {
    /// Server to connect to.
    #[arg(long)]
    connect: SocketAddr,
    /// Direction of the payload.
    #[arg(long, value_enum, default_value_t = Mode::Down)]
    mode: Mode,
    /// Payload of all streams together.
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
    /// Streams the payload is split over.
    #[arg(long, default_value_t = 1)]
    streams: u64,
    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tuning: Tuning,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Down,
    Up,
}

fn main() -> Result<()> {
    let program = Program::parse();
    let threads = match &program {
        Program::Server(Server { tuning, .. }) | Program::Client(Client { tuning, .. }) => {
            tuning.threads
        }
    };
    let runtime = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?,
        many => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(many)
            .enable_all()
            .build()?,
    };
    runtime.block_on(async {
        match program {
            Program::Server(server) => serve(server).await,
            Program::Client(client) => measure(client).await,
        }
    })
}

async fn serve(args: Server) -> Result<()> {
    let identity = match (args.cert, args.key) {
        (Some(cert), Some(key)) => Identity::Files(cert, key),
        _ => Identity::SelfSigned,
    };
    let mut config = server_config(identity, b"perf")?;
    config.transport_config(transport(
        args.tuning.ack_frequency,
        Some(args.tuning.initial_mtu),
    ));
    let endpoint = quinn::Endpoint::server(config, args.listen)?;
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

async fn measure(args: Client) -> Result<()> {
    let any: SocketAddr = if args.connect.is_ipv4() {
        "0.0.0.0:0".parse()?
    } else {
        "[::]:0".parse()?
    };
    let endpoint = quinn::Endpoint::client(any)?;
    let mut config = client_config(Trust::Anyone, b"perf")?;
    config.transport_config(transport(
        args.tuning.ack_frequency,
        Some(args.tuning.initial_mtu),
    ));
    let connection = endpoint
        .connect_with(config, args.connect, "localhost")?
        .await?;

    let started = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..args.streams {
        let share = args.bytes / args.streams + u64::from(number < args.bytes % args.streams);
        let (send, receive) = connection.open_bi().await?;
        tasks.push(tokio::spawn(transfer(send, receive, args.mode, share)));
    }
    for task in tasks {
        task.await??;
    }
    let elapsed = started.elapsed();

    connection.close(0_u32.into(), b"done");
    endpoint.wait_idle().await;
    report(args.bytes, elapsed, args.json);
    Ok(())
}

async fn transfer(
    mut send: quinn::SendStream,
    mut receive: quinn::RecvStream,
    mode: Mode,
    share: u64,
) -> Result<()> {
    let (down, up) = if mode == Mode::Down {
        (share, 0)
    } else {
        (0, share)
    };
    send.write_all(&down.to_be_bytes()).await?;
    write_bytes(&mut send, up).await?;
    let received = discard(&mut receive).await?;
    if received == down {
        Ok(())
    } else {
        Err(format!("{received} bytes came of {down}").into())
    }
}

async fn write_bytes(send: &mut quinn::SendStream, length: u64) -> Result<()> {
    let chunk = Bytes::from(vec![0; CHUNK]);
    let mut left = length;
    while left > 0 {
        let part = left.min(CHUNK as u64);
        send.write_chunk(chunk.slice(..part as usize)).await?;
        left -= part;
    }
    Ok(send.finish()?)
}

async fn discard(receive: &mut quinn::RecvStream) -> Result<u64> {
    let mut chunks = vec![Bytes::new(); CHUNKS_PER_READ];
    let mut total = 0;
    while let Some(count) = receive.read_chunks(&mut chunks).await? {
        total += chunks[..count]
            .iter_mut()
            .map(|c| std::mem::take(c).len() as u64)
            .sum::<u64>();
    }
    Ok(total)
}

fn report(bytes: u64, elapsed: Duration, json: bool) {
    let seconds = elapsed.as_secs_f64();
    let gbps = bytes as f64 * 8.0 / seconds / 1e9;
    if json {
        println!("{{\"bytes\":{bytes},\"seconds\":{seconds:.6},\"gbps\":{gbps:.4}}}");
    } else {
        println!("{bytes} bytes in {seconds:.3} s: {gbps:.3} Gbit/s");
    }
}
