//! Futures that are dropped at any await: nothing is lost, nothing comes twice, nothing stays. `SEED`
//! repeats a run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::pin::pin;

use bytes::Bytes;
use common::{Pair, client_settings, pattern, server_settings, spawn};
use protoquic_asynchronous::{Connection, RecvStream, Result, SendStream};
use protoquic_core::streams::StreamsConfig;
use protoquic_core::{Config, RandomGenerator, SeededRandom};
use smol::future::{poll_once, zip};

on_both_runtimes!(
    an_echo_survives_any_cancellations,
    streams_that_nobody_waits_for_any_more_are_not_lost,
    a_stream_that_one_gave_up_goes_to_who_waits_already,
    a_connection_that_nobody_waits_for_any_more_is_given_up,
);

/// Polls futures a random number of times and drops them, again and again, until one is ready.
struct Canceller {
    random: SeededRandom,
    cancelled: usize,
}

impl Canceller {
    fn new(salt: u64) -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        println!("SEED={seed}");
        Self { random: SeededRandom::new(seed + salt), cancelled: 0 }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.next_u64() as usize % limit
    }

    /// Polls it at most a few times. None if it was not ready and is dropped.
    async fn try_it<R>(&mut self, future: impl Future<Output = R>) -> Option<R> {
        let mut future = pin!(future);
        for _ in 0..self.below(3) {
            if let Some(result) = poll_once(&mut future).await {
                return Some(result);
            }
            smol::future::yield_now().await;
        }
        self.cancelled += 1;
        None
    }
}

async fn write_piece(
    canceller: &mut Canceller,
    send: &mut SendStream,
    rest: &mut Bytes,
) -> Option<Result<()>> {
    match canceller.below(3) {
        0 => canceller.try_it(send.write_all_chunk(rest)).await,
        1 => canceller.try_it(send.write_chunk(rest)).await.map(|result| result.map(drop)),
        _ => {
            let len = rest.len().min(1 + canceller.below(5000));
            let written = canceller.try_it(send.write(&rest[..len])).await?;
            Some(written.map(|written| drop(rest.split_to(written))))
        }
    }
}

/// Writes data with futures that are dropped all the time.
async fn write(mut canceller: Canceller, mut send: SendStream, data: &[u8]) -> usize {
    let mut rest = Bytes::copy_from_slice(data);
    while !rest.is_empty() {
        write_piece(&mut canceller, &mut send, &mut rest).await.unwrap_or(Ok(())).unwrap();
        smol::future::yield_now().await;
    }
    send.finish().unwrap();
    while canceller.try_it(send.delivered()).await.is_none() {}
    canceller.cancelled
}

/// Reads likewise, to the end.
async fn read(mut canceller: Canceller, mut recv: RecvStream) -> (Vec<u8>, usize) {
    let (mut data, mut buffer) = (Vec::new(), vec![0; 3000]);
    loop {
        let came = match canceller.below(4) {
            0 => canceller.try_it(recv.read(&mut buffer)).await.map(|len| {
                let len = len.unwrap();
                data.extend_from_slice(&buffer[..len]);
                len
            }),
            1 => canceller.try_it(recv.read_chunk(4000)).await.map(|chunk| {
                let chunk = chunk.unwrap().unwrap_or_default();
                data.extend_from_slice(&chunk);
                chunk.len()
            }),
            2 => canceller.try_it(recv.readable()).await.map(|_| 1),
            _ => canceller.try_it(recv.read_to_end(usize::MAX)).await.map(|rest| {
                data.extend_from_slice(&rest.unwrap());
                0
            }),
        };
        if came == Some(0) {
            return (data, canceller.cancelled);
        }
        smol::future::yield_now().await;
    }
}

async fn until_ready<R>(canceller: &mut Canceller, mut f: impl AsyncFnMut() -> R) -> R {
    loop {
        if let Some(result) = canceller.try_it(f()).await {
            return result;
        }
        smol::future::yield_now().await;
    }
}

async fn one_stream(client: Connection, server: Connection, n: u64) -> usize {
    let data = pattern(300_000, n as usize);
    let mut canceller = Canceller::new(100 * n);
    let (send, recv) = until_ready(&mut canceller, || client.open_bi()).await.unwrap();
    let echo = async {
        let mut canceller = Canceller::new(100 * n + 1);
        let (send, recv) = until_ready(&mut canceller, || server.accept_bi()).await.unwrap();
        let (data, _) = read(Canceller::new(100 * n + 2), recv).await;
        write(Canceller::new(100 * n + 3), send, &data).await
    };
    let asked = write(Canceller::new(100 * n + 4), send, &data);
    let answered = read(Canceller::new(100 * n + 5), recv);
    let ((cancelled, _), (found, cancelled_too)) = zip(zip(asked, echo), answered).await;
    assert_eq!(found.len(), data.len(), "a byte is lost or came twice");
    assert!(found == data, "a byte is wrong or out of place");
    cancelled + cancelled_too + canceller.cancelled
}

async fn an_echo_survives_any_cancellations() {
    let Pair { client, server, clients, servers } = Pair::new().await;
    let mut cancelled = 0;
    for n in 0..3 {
        cancelled += one_stream(client.clone(), server.clone(), n).await;
    }
    println!("{cancelled} futures were dropped");
    assert!(cancelled > 100, "only {cancelled} futures were dropped: this proves little");
    // Were anything of it left, the connection would not end.
    drop((client, server));
    zip(clients.wait_idle(), servers.wait_idle()).await;
}

async fn streams_that_nobody_waits_for_any_more_are_not_lost() {
    let streams = StreamsConfig { max_streams_bidi: 2, ..StreamsConfig::default() };
    let config = Config { streams, ..Config::default() };
    let pair = Pair::with(server_settings().config(config), client_settings()).await;
    let mut canceller = Canceller::new(0);
    let server = pair.server.clone();
    spawn(async move {
        while let Ok((send, recv)) = server.accept_bi().await {
            drop((send, recv)); // makes room for another
        }
    });
    for n in 0..50 {
        let open = async || pair.client.open_bi().await;
        let (mut send, mut recv) = until_ready(&mut canceller, open).await.unwrap();
        assert_eq!(send.id().as_u64(), 4 * n, "one was lost, or came out of turn");
        send.write_all(b"x").await.unwrap();
        drop(send);
        recv.read_to_end(0).await.unwrap();
    }
    assert!(canceller.cancelled > 20, "only {} were dropped", canceller.cancelled);
}

async fn a_stream_that_one_gave_up_goes_to_who_waits_already() {
    // The connection's own thread may have opened the stream before the first poll looks: then there is
    // nobody to give it up, and another connection is tried.
    for _ in 0..100 {
        if one_gives_a_stream_up().await {
            return;
        }
    }
    panic!("each of a hundred streams was open before anybody had waited for it");
}

/// False if nobody had to wait for the stream, so that it could not be given up.
async fn one_gives_a_stream_up() -> bool {
    let streams = StreamsConfig { max_streams_bidi: 1, ..StreamsConfig::default() };
    let config = Config { streams, ..Config::default() };
    let pair = Pair::with(server_settings().config(config), client_settings()).await;
    let mut first = Box::pin(pair.client.open_bi());
    if poll_once(&mut first).await.is_some() {
        return false;
    }
    pair.client.stats().await.unwrap(); // by now it is open, and that is not known here
    let mut second = Box::pin(pair.client.open_bi());
    assert!(poll_once(&mut second).await.is_none(), "the peer allows one");
    pair.client.stats().await.unwrap();
    drop(first);
    let (mut send, mut recv) = second.await.unwrap();
    assert_eq!(send.id().as_u64(), 0);
    send.write_all(b"ping").await.unwrap();
    send.finish().unwrap();
    let (mut answer, mut asked) = pair.server.accept_bi().await.unwrap();
    assert_eq!(asked.read_to_end(100).await.unwrap(), b"ping"[..]);
    answer.write_all(b"pong").await.unwrap();
    answer.finish().unwrap();
    assert_eq!(recv.read_to_end(100).await.unwrap(), b"pong"[..]);
    true
}

async fn a_connection_that_nobody_waits_for_any_more_is_given_up() {
    let pair = Pair::new().await;
    let nobody = std::net::UdpSocket::bind(common::ANY_PORT).unwrap();
    let connecting = pair.clients.connect(nobody.local_addr().unwrap(), "localhost").unwrap();
    assert!(poll_once(connecting).await.is_none());
    let connecting = pair.clients.connect(nobody.local_addr().unwrap(), "localhost").unwrap();
    drop(connecting.early());
    drop(pair.client);
    pair.clients.wait_idle().await;
}
