//! Bulk transfer through one layer of protoquic: blocking, tokio or smol. It speaks
//! draft-banks-quic-performance with `quic_perf server`; `benches/layers` runs it beside the native
//! client: `layer_perf LAYER down|up ADDRESS BYTES`.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use protoquic_asynchronous::{Endpoint, Settings};
use protoquic_blocking::{App, Direction};
use protoquic_core::Clock as _;
use protoquic_readers::SystemClock;

type Outcome = Result<Duration, Box<dyn Error>>;

/// What to transfer.
#[derive(Clone, Copy)]
struct Work {
    server: SocketAddr,
    down: u64,
    up: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [layer, way, server, bytes] = arguments.as_slice() else {
        return Err("usage: layer_perf blocking|tokio|smol down|up ADDRESS BYTES".into());
    };
    let (server, bytes) = (server.parse()?, bytes.parse()?);
    let work = match way.as_str() {
        "down" => Work { server, down: bytes, up: 0 },
        "up" => Work { server, down: 0, up: bytes },
        other => return Err(format!("{other} is not a way: use down or up").into()),
    };
    let elapsed = match layer.as_str() {
        "blocking" => blocking(work)?,
        "tokio" => on_tokio(work)?,
        "smol" => smol::block_on(tasks(work))?,
        other => return Err(format!("{other} is not a layer: use blocking, tokio or smol").into()),
    };
    let rate = bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e9;
    println!("{{\"gbps\": {rate:.3}}}");
    Ok(())
}

fn settings() -> Settings {
    Settings::new().alpn(&[b"perf"]).trust_any_certificate()
}

fn blocking(work: Work) -> Outcome {
    let app = App::new();
    let uri = format!("quic://{}", work.server);
    let connection = protoquic_blocking::Connection::connect(&app, settings(), &uri)?;
    let clock = SystemClock::new(); // its time begins now
    let stream = connection.open(Direction::Bidirectional)?;
    (&stream).write_all(&work.down.to_be_bytes())?;
    let mut left = work.up;
    while left > 0 {
        let len = left.min(PATTERN.len() as u64) as usize;
        left -= (&stream).write(&PATTERN[..len])? as u64;
    }
    stream.finish()?;
    let (mut received, mut buffer) = (0, vec![0; 1 << 17]);
    loop {
        match (&stream).read(&mut buffer)? {
            0 => break,
            len => received += len as u64,
        }
    }
    finish(clock, received, work)
}

fn on_tokio(work: Work) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    runtime.block_on(tasks(work))
}

async fn tasks(work: Work) -> Outcome {
    let endpoint = Endpoint::client(&settings())?;
    let connection = endpoint.connect(work.server, "localhost")?.await?;
    let clock = SystemClock::new(); // its time begins now
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&work.down.to_be_bytes()).await?;
    let mut left = work.up;
    while left > 0 {
        let len = left.min(PATTERN.len() as u64) as usize;
        left -= send.write_chunk(&mut Bytes::from_static(&PATTERN[..len])).await? as u64;
    }
    send.finish()?;
    let mut received = 0;
    while let Some(chunk) = recv.read_chunk(usize::MAX).await? {
        received += chunk.len() as u64;
    }
    finish(clock, received, work)
}

fn finish(clock: SystemClock, received: u64, work: Work) -> Outcome {
    if received != work.down {
        return Err(format!("{received} bytes came instead of {}", work.down).into());
    }
    Ok(clock.now() - SystemClock::new().now())
}

static PATTERN: [u8; 1 << 17] = [0x5a; 1 << 17];
