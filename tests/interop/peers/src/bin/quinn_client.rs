//! quinn as the interop runner's client: HTTP/0.9, and HTTP/3 by h3.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use protoquic_interop_peers::{
    Download, Error, Result, client_tls, downloads, initial_suite, save, testcase, unsupported,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, TransportConfig};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests under way at once.
const PARALLEL: usize = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let case = testcase();
    match case.as_str() {
        "handshake" | "transfer" | "chacha20" | "retry" | "ecn" | "http3" | "keyupdate" | "multiconnect"
        | "resumption" | "zerortt" => {}
        _ => unsupported(),
    }
    let files = downloads()?;
    let is_h3 = case == "http3" || std::env::var("PROTOCOL").is_ok_and(|name| name == "h3");
    let client = Client::new(if is_h3 { b"h3" } else { b"hq-interop" }, &files[0].host)?;
    match case.as_str() {
        "multiconnect" => {
            for file in files.chunks(1) {
                client.fetch(file, false).await?;
            }
            Ok(())
        }
        "resumption" | "zerortt" => {
            client.fetch(&files[..1], false).await?;
            client.fetch(&files[1..], case == "zerortt").await
        }
        _ => client.fetch(&files, false).await,
    }
}

struct Client {
    endpoint: Endpoint,
    address: SocketAddr,
    host: String,
    is_h3: bool,
}

impl Client {
    fn new(alpn: &[u8], host: &str) -> Result<Self> {
        let address =
            std::net::ToSocketAddrs::to_socket_addrs(&(host, 443))?.next().ok_or("no address")?;
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let mut endpoint = Endpoint::client(any.parse()?)?;
        let tls = QuicClientConfig::with_initial(Arc::new(client_tls(alpn)?), initial_suite()?)?;
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(Duration::from_secs(60).try_into()?));
        if testcase() == "zerortt" {
            transport.mtu_discovery_config(None); // its probes count as what came too late
        }
        config.transport_config(Arc::new(transport));
        endpoint.set_default_client_config(config);
        Ok(Self { endpoint, address, host: host.to_owned(), is_h3: alpn == b"h3" })
    }

    async fn fetch(&self, files: &[Download], early: bool) -> Result<()> {
        let connecting = self.endpoint.connect(self.address, &self.host)?;
        let connection = if early {
            match connecting.into_0rtt() {
                Ok((connection, _)) => connection,
                Err(connecting) => connecting.await?,
            }
        } else {
            connecting.await?
        };
        if testcase() == "keyupdate" {
            connection.force_key_update();
        }
        if self.is_h3 {
            fetch_h3(connection.clone(), files).await?;
        } else {
            fetch_hq(&connection, files).await?;
        }
        connection.close(0_u32.into(), b"");
        self.endpoint.wait_idle().await;
        Ok(())
    }
}

async fn fetch_hq(connection: &Connection, files: &[Download]) -> Result<()> {
    let permits = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for file in files {
        let (path, connection, permits) =
            (file.path.clone(), connection.clone(), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let (mut send, mut receive) = connection.open_bi().await?;
            send.write_all(format!("GET {path}\r\n").as_bytes()).await?;
            send.finish()?;
            let data = receive.read_to_end(usize::MAX).await?;
            save(&path, &data).await
        });
    }
    join(tasks).await
}

async fn fetch_h3(connection: Connection, files: &[Download]) -> Result<()> {
    let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    tokio::spawn(async move { driver.wait_idle().await });
    let permits = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for file in files {
        let (file, mut sender, permits) = (file.clone(), sender.clone(), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let url = format!("https://{}:443{}", file.host, file.path);
            let mut stream = sender.send_request(http::Request::get(url).body(())?).await?;
            stream.finish().await?;
            stream.recv_response().await?;
            let mut data = Vec::new();
            while let Some(mut piece) = stream.recv_data().await? {
                data.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
            }
            save(&file.path, &data).await
        });
    }
    join(tasks).await
}

async fn join(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(task) = tasks.join_next().await {
        task.map_err(Error::from)??;
    }
    Ok(())
}
