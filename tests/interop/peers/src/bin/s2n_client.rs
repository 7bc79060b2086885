//! s2n-quic as the interop runner's client: HTTP/0.9.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use protoquic_interop_peers::{
    Download, Error, Result, S2N_HANDSHAKE_TIME, client_tls, downloads, save, testcase, unsupported,
};
use s2n_quic::client::Connect;
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls::Client as Tls;
use s2n_quic::{Client, Connection};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests under way at once.
const PARALLEL: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let case = testcase();
    match case.as_str() {
        "handshake" | "transfer" | "chacha20" | "retry" | "ecn" | "multiconnect" | "resumption" => {}
        _ => unsupported(),
    }
    let files = downloads()?;
    let is_v6 = files[0].host == "server6";
    let client = Client::builder()
        .with_tls(Tls::from(client_tls(b"hq-interop")?))?
        .with_limits(Limits::new().with_max_handshake_duration(S2N_HANDSHAKE_TIME)?)?
        .with_io(if is_v6 { "[::]:0" } else { "0.0.0.0:0" })?
        .start()?;
    match case.as_str() {
        "multiconnect" => {
            for file in files.chunks(1) {
                fetch(&client, file).await?;
            }
            Ok(())
        }
        "resumption" => {
            fetch(&client, &files[..1]).await?;
            fetch(&client, &files[1..]).await
        }
        _ => fetch(&client, &files).await,
    }
}

async fn fetch(client: &Client, files: &[Download]) -> Result<()> {
    let host = files[0].host.as_str();
    let is_v4 = |address: &std::net::SocketAddr| address.is_ipv4() == (host != "server6");
    let address = (host, 443).to_socket_addrs()?.find(is_v4).ok_or("no address")?;
    let connect = Connect::new(address).with_server_name(host);
    let connection: Connection = client.connect(connect).await?;
    let (handle, _acceptor) = connection.split();
    let permits = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for file in files {
        let (path, mut handle, permits) = (file.path.clone(), handle.clone(), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let mut stream = handle.open_bidirectional_stream().await?;
            stream.send(format!("GET {path}\r\n").into()).await?;
            stream.finish()?;
            let mut data = Vec::new();
            while let Some(piece) = stream.receive().await? {
                data.extend_from_slice(&piece);
            }
            save(&path, &data).await
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.map_err(Error::from)??;
    }
    handle.close(0_u32.into());
    Ok(())
}
