//! The streams as those of tokio and of futures-io: whatever is written for these traits works on them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Pair, pattern};

#[test]
fn tokio_copies_and_joins_them() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    common::on_tokio(async {
        let Pair { client, server, .. } = Pair::new().await;
        tokio::spawn(async move {
            let (mut send, mut recv) = server.accept_bi().await.unwrap();
            tokio::io::copy(&mut recv, &mut send).await.unwrap();
            send.shutdown().await.unwrap();
            send.shutdown().await.unwrap(); // the same once more is no error
            server.closed().await;
        });
        let (mut send, recv) = client.open_bi().await.unwrap();
        let data = pattern(3_000_000, 5);
        let sending = async {
            AsyncWriteExt::write_all(&mut send, b"a line\n").await.unwrap();
            AsyncWriteExt::write_all(&mut send, &data).await.unwrap();
            send.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut line, mut echo, mut recv) = (String::new(), Vec::new(), recv);
            recv.read_line(&mut line).await.unwrap();
            AsyncReadExt::read_to_end(&mut recv, &mut echo).await.unwrap();
            (line, echo)
        };
        let ((), (line, echo)) = tokio::join!(sending, reading);
        assert_eq!(line, "a line\n");
        assert!(echo == data, "the echo is not what was sent");
    });
}

#[test]
fn smol_copies_and_reads_them() {
    use smol::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    common::on_smol(async {
        let Pair { client, server, .. } = Pair::new().await;
        let task = smol::spawn(async move {
            let (mut send, recv) = server.accept_bi().await.unwrap();
            smol::io::copy(recv, &mut send).await.unwrap();
            send.close().await.unwrap();
            send.close().await.unwrap(); // the same once more is no error
            server.closed().await;
        });
        let (mut send, mut recv) = client.open_bi().await.unwrap();
        let data = pattern(3_000_000, 5);
        let sending = async {
            AsyncWriteExt::write_all(&mut send, b"a line\n").await.unwrap();
            AsyncWriteExt::write_all(&mut send, &data).await.unwrap();
            send.close().await.unwrap();
        };
        let reading = async {
            let (mut line, mut echo) = (String::new(), Vec::new());
            recv.read_line(&mut line).await.unwrap();
            AsyncReadExt::read_to_end(&mut recv, &mut echo).await.unwrap();
            (line, echo)
        };
        let ((), (line, echo)) = smol::future::zip(sending, reading).await;
        assert_eq!(line, "a line\n");
        assert!(echo == data, "the echo is not what was sent");
        drop((client, send, recv));
        task.await;
    });
}
