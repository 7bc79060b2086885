//! Streams and connections of the futures, on both runtimes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{ANY_PORT, Pair, client_settings, meet, pattern, server_settings, spawn};
use protoquic_asynchronous::{
    ApplicationError, CloseReason, Connection, EarlyOutcome, Endpoint, Error, Settings,
};
use protoquic_core::Config;
use protoquic_core::streams::StreamsConfig;
use smol::future::zip;

on_both_runtimes!(
    the_end_of_a_connection_ends_every_wait_on_it,
    codes_reach_the_other_side,
    datagrams_go_both_ways,
    dropped_halves_are_finished_and_stopped,
    early_data_is_answered_before_the_handshake_ends,
    early_data_that_is_not_taken_is_sent_again,
    an_endpoint_that_is_closed_ends_everything,
    many_streams_wait_for_room,
    reading_to_the_end_has_a_limit,
    statistics_count,
    streams_that_were_given_up_need_not_be_accepted,
    what_is_dropped_is_still_delivered,
    what_nobody_reads_holds_the_writer,
);

/// Sends every stream back, until the connection ends.
fn echo(server: &Connection) {
    let server = server.clone();
    spawn(async move {
        while let Ok((mut send, mut recv)) = server.accept_bi().await {
            spawn(async move {
                while let Ok(Some(mut chunk)) = recv.read_chunk(usize::MAX).await {
                    if send.write_all_chunk(&mut chunk).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

async fn many_streams_wait_for_room() {
    let streams = StreamsConfig { max_streams_bidi: 7, ..StreamsConfig::default() };
    let config = Config { streams, ..Config::default() };
    let pair = Pair::with(server_settings().config(config), client_settings()).await;
    echo(&pair.server);
    let (done, all) = smol::channel::unbounded();
    for n in 0..200 {
        let (client, done) = (pair.client.clone(), done.clone());
        spawn(async move {
            let (mut send, mut recv) = client.open_bi().await.unwrap();
            let data = pattern(n * 37, n);
            send.write_all(&data).await.unwrap();
            send.finish().unwrap();
            assert_eq!(recv.read_to_end(100_000).await.unwrap(), data);
            done.send(n).await.unwrap();
        });
    }
    let mut left: Vec<_> = (0..200).collect();
    while !left.is_empty() {
        let n = all.recv().await.unwrap();
        left.retain(|other| *other != n);
    }
}

/// Two at a time may be open: whoever gives them up can open more without end. What nobody has accepted
/// of them must not pile up.
async fn streams_that_were_given_up_need_not_be_accepted() {
    let streams = StreamsConfig { max_streams_bidi: 2, ..StreamsConfig::default() };
    let server = server_settings().config(Config { streams, ..Config::default() });
    let Pair { client, server, .. } = Pair::with(server, client_settings()).await;
    for _ in 0..100 {
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        send.reset(ApplicationError(1)).unwrap();
        recv.stop(ApplicationError(2)).unwrap();
    }
    let (mut send, _recv) = client.open_bi().await.unwrap();
    send.write_all(b"kept").await.unwrap();
    send.finish().unwrap();
    let mut accepted = 1;
    while server.accept_bi().await.unwrap().1.read_to_end(9).await.is_err() {
        accepted += 1;
    }
    assert!(accepted <= 4, "{accepted} were accepted");
}

async fn dropped_halves_are_finished_and_stopped() {
    let Pair { client, server, .. } = &Pair::new().await;
    let (mut send, recv) = client.open_bi().await.unwrap();
    send.write_all(b"all of it").await.unwrap();
    drop(send);
    let (mut answer, mut request) = server.accept_bi().await.unwrap();
    assert_eq!(request.read_to_end(100).await.unwrap(), "all of it");
    drop(recv);
    assert_eq!(answer.stopped().await, Ok(Some(ApplicationError(0))));
    assert_eq!(answer.write(b"more").await, Err(Error::Stopped(ApplicationError(0))));
}

async fn codes_reach_the_other_side() {
    let Pair { client, server, .. } = &Pair::new().await;
    let (mut send, mut recv) = client.open_bi().await.unwrap();
    send.write_all(b"a").await.unwrap();
    let (answer, mut request) = server.accept_bi().await.unwrap();
    request.readable().await.unwrap();
    assert_eq!(request.id(), send.id());
    send.reset(ApplicationError(5)).unwrap();
    assert_eq!(send.write(b"b").await, Err(Error::Finished));
    let mut buffer = [0; 10];
    while request.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
    assert_eq!(request.read(&mut buffer).await, Err(Error::Reset(ApplicationError(5))));
    recv.stop(ApplicationError(6)).unwrap();
    assert_eq!(answer.stopped().await, Ok(Some(ApplicationError(6))));
    assert_eq!(recv.read(&mut buffer).await, Ok(0));
    let mut uni = server.open_uni().await.unwrap();
    uni.write_all(b"end").await.unwrap();
    uni.finish().unwrap();
    assert_eq!(uni.finish(), Err(Error::Finished));
    let mut recv = client.accept_uni().await.unwrap();
    assert_eq!(recv.read_to_end(3).await.unwrap(), "end");
    uni.delivered().await.unwrap();
    assert_eq!(uni.stopped().await, Ok(None));
}

async fn reading_to_the_end_has_a_limit() {
    let Pair { client, server, .. } = &Pair::new().await;
    let mut send = client.open_uni().await.unwrap();
    send.write_all(&pattern(1000, 0)).await.unwrap();
    drop(send);
    let mut recv = server.accept_uni().await.unwrap();
    assert_eq!(recv.read_to_end(999).await, Err(Error::TooLong(999)));
    assert_eq!(recv.read_to_end(1000).await.unwrap(), pattern(1000, 0), "nothing is lost");
}

async fn what_nobody_reads_holds_the_writer() {
    let window = 300_000;
    let streams = StreamsConfig {
        max_stream_data_uni: window as u64,
        max_stream_window: window as u64,
        ..StreamsConfig::default()
    };
    let config = Config { streams, ..Config::default() };
    let pair = Pair::with(server_settings().config(config), client_settings()).await;
    let mut send = pair.client.open_uni().await.unwrap();
    let (mut written, chunk) = (0, vec![7; 100_000]);
    // However long one waits, no more is taken than windows and buffers hold.
    let writing = async {
        loop {
            written += send.write(&chunk).await.unwrap();
        }
    };
    let waiting = async {
        let recv = pair.server.accept_uni().await.unwrap();
        recv.readable().await.unwrap();
        smol::Timer::after(Duration::from_millis(300)).await;
        recv
    };
    let mut recv = smol::future::or(waiting, writing).await;
    // Received and unread, in flight, kept by the transport, and unsent.
    assert!(written <= window + 6 * 256 * 1024, "{written} bytes were taken");
    drop(send);
    let mut read = 0;
    while let Some(chunk) = recv.read_chunk(usize::MAX).await.unwrap() {
        assert!(chunk.iter().all(|byte| *byte == 7));
        read += chunk.len();
    }
    assert_eq!(read, written);
}

async fn the_end_of_a_connection_ends_every_wait_on_it() {
    let Pair { client, server, .. } = &Pair::new().await;
    let (mut send, mut recv) = client.open_bi().await.unwrap();
    let mut sent = client.open_uni().await.unwrap();
    sent.finish().unwrap();
    let mut buffer = [0; 10];
    let closing = async { server.close(ApplicationError(9), "enough") };
    let writing = async {
        loop {
            if let Err(error) = send.write(&[0; 10_000]).await {
                break error;
            }
        }
    };
    let streams = zip(
        zip(writing, recv.read(&mut buffer)),
        zip(zip(client.accept_bi(), client.accept_uni()), client.receive_datagram()),
    );
    let (((ended, ()), waits), other) =
        zip(zip(zip(client.closed(), closing), streams), client.clone().closed()).await;
    let expected = Error::Closed(CloseReason::PeerApplication {
        code: ApplicationError(9),
        reason: "enough".into(),
    });
    let ((write, read), ((bi, uni), datagram)) = waits;
    let errors = [
        ended,
        other,
        write,
        read.unwrap_err(),
        bi.unwrap_err(),
        uni.unwrap_err(),
        datagram.unwrap_err(),
        client.open_bi().await.unwrap_err(),
        client.send_datagram("late".into()).await.unwrap_err(),
        client.close_reason().unwrap(),
    ];
    for (n, error) in errors.into_iter().enumerate() {
        assert_eq!(error, expected, "wait {n}");
    }
}

async fn datagrams_go_both_ways() {
    let Pair { client, server, .. } = &Pair::new().await;
    assert!(client.max_datagram_size().unwrap() > 1000);
    client.send_datagram("one".into()).await.unwrap();
    assert_eq!(server.receive_datagram().await.unwrap(), "one");
    server.try_send_datagram(&"two".into()).unwrap();
    assert_eq!(client.receive_datagram().await.unwrap(), "two");
    let error = client.send_datagram(vec![0; 70_000].into()).await.unwrap_err();
    assert!(matches!(error, Error::Datagram(_)), "{error}");
}

async fn statistics_count() {
    let Pair { client, server, .. } = &Pair::new().await;
    let mut send = client.open_uni().await.unwrap();
    send.write_all(&pattern(50_000, 0)).await.unwrap();
    send.finish().unwrap();
    assert_eq!(server.accept_uni().await.unwrap().read_to_end(50_000).await.unwrap().len(), 50_000);
    let stats = client.stats().await.unwrap();
    assert!(stats.bytes_sent > 50_000 && stats.packets_received > 0, "{stats:?}");
    assert!(server.stats().await.unwrap().bytes_received > 50_000);
    assert_eq!(client.alpn().unwrap(), protoquic_asynchronous::DEFAULT_ALPN);
}

async fn what_is_dropped_is_still_delivered() {
    let Pair { client, server, clients, servers } = Pair::new().await;
    let data = pattern(200_000, 3);
    let mut send = client.open_uni().await.unwrap();
    let sending = async {
        send.write_all(&data).await.unwrap();
        drop((client, send));
        clients.wait_idle().await;
    };
    let receiving = async {
        let mut recv = server.accept_uni().await.unwrap();
        recv.read_to_end(data.len()).await.unwrap()
    };
    let ((), received) = zip(sending, receiving).await;
    assert_eq!(received, data);
    let code = ApplicationError(0);
    assert!(
        matches!(server.closed().await, Error::Closed(CloseReason::PeerApplication { code: found, .. }) if found == code)
    );
    servers.wait_idle().await;
}

async fn an_endpoint_that_is_closed_ends_everything() {
    let Pair { client, server, clients, servers } = Pair::new().await;
    let closing = async {
        clients.close(ApplicationError(3), "done");
        clients.wait_idle().await;
    };
    zip(closing, server.closed()).await;
    assert!(matches!(client.close_reason(), Some(Error::Closed(CloseReason::Application { .. }))));
    assert!(clients.connect(servers.local_address().unwrap(), "localhost").is_err());
    assert!(clients.accept().await.is_err(), "it is a client");
    assert!(servers.connect(ANY_PORT, "localhost").is_err(), "it is a server");
    let (accepted, ()) = zip(servers.accept(), async {
        servers.close(ApplicationError(0), "");
    })
    .await;
    assert!(accepted.is_err());
    drop(servers);
}

/// A server that takes early data and a client that has been there.
async fn remembered(server: Settings) -> (Endpoint, Endpoint) {
    let servers = Endpoint::server(ANY_PORT, &server).unwrap();
    let clients = Endpoint::client(&client_settings().early_data()).unwrap();
    let (client, server) = meet(&clients, &servers).await;
    assert_eq!(client.early_data(), EarlyOutcome::None);
    // The ticket comes right after the handshake, before this.
    server.open_uni().await.unwrap().write_all(b"ticket").await.unwrap();
    client.accept_uni().await.unwrap().readable().await.unwrap();
    drop((client, server));
    clients.wait_idle().await;
    (servers, clients)
}

async fn early_data_is_answered_before_the_handshake_ends() {
    let (servers, clients) = remembered(server_settings().early_data()).await;
    let connecting = clients.connect(servers.local_address().unwrap(), "localhost").unwrap();
    let client = connecting.early().await.unwrap();
    // The server may have been so quick that it is known by now.
    let outcome = client.early_data();
    assert!(matches!(outcome, EarlyOutcome::Undecided | EarlyOutcome::Accepted), "{outcome:?}");
    let (mut send, mut recv) = client.open_bi().await.unwrap();
    send.write_all(b"early").await.unwrap();
    send.finish().unwrap();
    let server = servers.accept().await.unwrap();
    let (mut answer, mut request) = server.accept_bi().await.unwrap();
    assert_eq!(request.read_to_end(10).await.unwrap(), "early");
    answer.write_all(b"answer").await.unwrap();
    answer.finish().unwrap();
    assert_eq!(recv.read_to_end(10).await.unwrap(), "answer");
    client.established().await.unwrap();
    server.established().await.unwrap();
    assert_eq!(client.early_data(), EarlyOutcome::Accepted);
}

async fn early_data_that_is_not_taken_is_sent_again() {
    let (servers, clients) = remembered(server_settings().early_data()).await;
    let server = servers.local_address().unwrap();
    servers.close(ApplicationError(0), "");
    servers.wait_idle().await;
    drop(servers);
    // Another server in its place, which has not given out the ticket.
    let servers = loop {
        if let Ok(servers) = Endpoint::server(server, &server_settings().early_data()) {
            break servers;
        }
        smol::future::yield_now().await;
    };
    let client = clients.connect(server, "localhost").unwrap().early().await.unwrap();
    let mut send = client.open_uni().await.unwrap();
    send.write_all(b"again").await.unwrap();
    drop(send);
    let server = servers.accept().await.unwrap();
    assert_eq!(server.accept_uni().await.unwrap().read_to_end(10).await.unwrap(), "again");
    assert_eq!(client.early_data(), EarlyOutcome::Rejected);
}
