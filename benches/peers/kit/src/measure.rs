//! A client's measurements, for stacks whose connections are futures: bulk data, request loops,
//! handshakes. A stack says how it connects and how it does one exchange.

use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::{CHUNK, Client, Loops, Mode, Result, report_bulk, report_handshakes, report_requests};

/// A client of some stack.
pub trait Stack: Clone + Send + 'static {
    /// A connection, however many exchanges run on it.
    type Connection: Clone + Send + 'static;

    /// Makes a connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection>> + Send;

    /// Asks for `down` bytes and sends `up`, on a stream of its own; ends when all has come.
    fn exchange(
        connection: Self::Connection,
        down: u64,
        up: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Closes a connection.
    fn close(connection: Self::Connection);
}

/// Measures what the client was asked for, and reports it.
pub async fn measure<S: Stack>(stack: S, client: &Client) -> Result<()> {
    match client.mode {
        Mode::Down | Mode::Up => bulk(stack, client).await,
        Mode::Rps => requests(stack, client).await,
        Mode::Hs => handshakes(stack, client).await,
    }
}

async fn bulk<S: Stack>(stack: S, client: &Client) -> Result<()> {
    let connection = stack.connect().await?;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..client.streams {
        let (down, up) = client.share(number);
        tasks.push(tokio::spawn(S::exchange(connection.clone(), down, up)));
    }
    for task in tasks {
        task.await??;
    }
    let elapsed = started.elapsed();
    S::close(connection);
    report_bulk(client, elapsed);
    Ok(())
}

async fn requests<S: Stack>(stack: S, client: &Client) -> Result<()> {
    let connection = stack.connect().await?;
    let started = Instant::now();
    let (end, bytes) = (started + client.time(), client.bytes());
    let mut tasks = Vec::new();
    for _ in 0..client.streams {
        let connection = connection.clone();
        let once = move || S::exchange(connection.clone(), bytes, 0);
        tasks.push(tokio::spawn(repeat(end, once)));
    }
    let loops = sum(tasks).await?;
    let elapsed = started.elapsed();
    S::close(connection);
    report_requests(client, &loops, elapsed);
    Ok(())
}

async fn handshakes<S: Stack>(stack: S, client: &Client) -> Result<()> {
    let started = Instant::now();
    let (end, resume) = (started + client.time(), client.resume);
    let mut tasks = Vec::new();
    for _ in 0..client.connections {
        let stack = stack.clone();
        let once = move || {
            let stack = stack.clone();
            async move {
                let connection = stack.connect().await?;
                if resume {
                    // A ticket for the next one comes with the server's confirmation.
                    S::exchange(connection.clone(), 1, 0).await?;
                }
                S::close(connection);
                Ok(())
            }
        };
        tasks.push(tokio::spawn(repeat(end, once)));
    }
    let count = sum(tasks).await?.count();
    report_handshakes(client, count, started.elapsed());
    Ok(())
}

/// Does a thing again and again until it is late, and counts.
async fn repeat<F>(end: Instant, mut once: impl FnMut() -> F) -> Result<Loops>
where
    F: Future<Output = Result<()>>,
{
    let mut loops = Loops::default();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(loops);
        }
        once().await?;
        loops.record(begun.elapsed());
    }
}

/// What all tasks counted.
async fn sum(tasks: Vec<JoinHandle<Result<Loops>>>) -> Result<Loops> {
    let mut loops = Loops::default();
    for task in tasks {
        loops.add(&task.await??);
    }
    Ok(loops)
}

/// So many bytes, in the pieces that are written.
pub fn pieces(length: u64) -> impl Iterator<Item = Bytes> {
    let chunk = Bytes::from(vec![0; CHUNK.min(length as usize)]);
    let starts = (0..length).step_by(CHUNK);
    starts.map(move |start| chunk.slice(..chunk.len().min((length - start) as usize)))
}

/// An error if an answer was not of the length that was asked for.
pub fn is_whole(received: u64, asked: u64) -> Result<()> {
    if received == asked {
        Ok(())
    } else {
        Err(format!("{received} bytes came of {asked}").into())
    }
}
