//! The perf protocol over s2n-quic: bulk data, request loops, handshakes.

use std::net::SocketAddr;

use bytes::Bytes;
use protoquic_perf_kit::{
    CONNECTION_WINDOW, Client, MAX_UDP_PAYLOAD, Program, Result, STREAM_WINDOW, STREAMS, Server,
    Stack, client_tls, is_whole, measure, pieces, server_tls,
};
use s2n_quic::client::Connect;
use s2n_quic::connection::Handle;
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls as tls;
use s2n_quic::provider::{congestion_controller, io};
use s2n_quic::stream::{BidirectionalStream, ReceiveStream, SendStream};

/// Chunks taken from a stream by one read.
const CHUNKS_PER_READ: usize = 64;
/// s2n-quic counts the headers of IP and UDP too.
const MTU: u16 = MAX_UDP_PAYLOAD + 28;

fn main() -> Result<()> {
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

fn limits() -> Result<Limits> {
    Ok(Limits::new()
        .with_data_window(u64::from(CONNECTION_WINDOW))?
        .with_bidirectional_local_data_window(u64::from(STREAM_WINDOW))?
        .with_bidirectional_remote_data_window(u64::from(STREAM_WINDOW))?
        .with_max_open_local_bidirectional_streams(u64::from(STREAMS))?
        .with_max_open_remote_bidirectional_streams(u64::from(STREAMS))?
        .with_max_send_buffer_size(STREAM_WINDOW)?)
}

fn socket(address: SocketAddr) -> Result<io::Default> {
    let io = io::Default::builder().with_receive_address(address)?;
    Ok(io.with_initial_mtu(MTU)?.with_max_mtu(MTU)?.build()?)
}

async fn serve(server: Server) -> Result<()> {
    server.refuse_http3()?;
    let builder = s2n_quic::Server::builder()
        .with_tls(tls::Server::from(server_tls(&server)?))?
        .with_limits(limits()?)?
        .with_io(socket(server.listen)?)?;
    let mut endpoint = match server.congestion_control.as_str() {
        "cubic" => builder
            .with_congestion_controller(congestion_controller::Cubic::default())?
            .start()?,
        "bbr" => builder
            .with_congestion_controller(congestion_controller::Bbr::default())?
            .start()?,
        other => return Err(format!("no congestion control {other}: cubic or bbr").into()),
    };
    println!("listening on {}", endpoint.local_addr()?);
    while let Some(mut connection) = endpoint.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
                tokio::spawn(async move {
                    if let Err(error) = respond(stream).await {
                        eprintln!("stream: {error}");
                    }
                });
            }
        });
    }
    Ok(())
}

async fn respond(stream: BidirectionalStream) -> Result<()> {
    let (mut receive, mut send) = stream.split();
    let mut length = Vec::new();
    while length.len() < 8 {
        let piece = receive.receive().await?.ok_or("the request ended early")?;
        length.extend_from_slice(&piece[..piece.len().min(8 - length.len())]);
    }
    discard(&mut receive).await?;
    let length: [u8; 8] = length.as_slice().try_into()?;
    write_bytes(&mut send, u64::from_be_bytes(length)).await
}

async fn ask(client: Client) -> Result<()> {
    client.refuse_http3()?;
    let builder = s2n_quic::Client::builder()
        .with_tls(tls::Client::from(client_tls(&client)?))?
        .with_limits(limits()?)?
        .with_io(socket(client.local())?)?;
    let mut endpoint = match client.congestion_control.as_str() {
        "cubic" => builder
            .with_congestion_controller(congestion_controller::Cubic::default())?
            .start()?,
        "bbr" => builder
            .with_congestion_controller(congestion_controller::Bbr::default())?
            .start()?,
        other => return Err(format!("no congestion control {other}: cubic or bbr").into()),
    };
    let target = Connect::new(client.connect).with_server_name("localhost");
    measure(
        Peer {
            endpoint: endpoint.clone(),
            target,
        },
        &client,
    )
    .await?;
    endpoint.wait_idle().await?;
    Ok(())
}

/// s2n-quic as a client.
#[derive(Clone)]
struct Peer {
    endpoint: s2n_quic::Client,
    target: Connect,
}

impl Stack for Peer {
    type Connection = Handle;

    async fn connect(&self) -> Result<Handle> {
        Ok(self.endpoint.connect(self.target.clone()).await?.handle())
    }

    async fn exchange(mut handle: Handle, down: u64, up: u64) -> Result<()> {
        let (mut receive, mut send) = handle.open_bidirectional_stream().await?.split();
        send.send(Bytes::copy_from_slice(&down.to_be_bytes()))
            .await?;
        write_bytes(&mut send, up).await?;
        let received = discard(&mut receive).await?;
        is_whole(received, down)
    }

    fn close(handle: Handle) {
        handle.close(0_u32.into());
    }
}

async fn write_bytes(send: &mut SendStream, length: u64) -> Result<()> {
    for piece in pieces(length) {
        send.send(piece).await?;
    }
    Ok(send.finish()?)
}

async fn discard(receive: &mut ReceiveStream) -> Result<u64> {
    let mut chunks: [Bytes; CHUNKS_PER_READ] = std::array::from_fn(|_| Bytes::new());
    let mut total = 0;
    loop {
        let (count, open) = receive.receive_vectored(&mut chunks).await?;
        total += chunks[..count]
            .iter_mut()
            .map(|c| std::mem::take(c).len() as u64)
            .sum::<u64>();
        if !open {
            return Ok(total);
        }
    }
}
