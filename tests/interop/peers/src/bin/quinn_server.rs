//! quinn as the interop runner's server: HTTP/0.9, and HTTP/3 by h3.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic_interop_peers::{Result, served, server_tls, testcase, unsupported};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, Endpoint, Incoming, TransportConfig};

#[tokio::main]
async fn main() -> Result<()> {
    let case = testcase();
    match case.as_str() {
        "handshake" | "transfer" | "retry" | "ecn" | "http3" | "chacha20" | "multiconnect"
        | "resumption" | "zerortt" => {}
        _ => unsupported(),
    }
    let tls = QuicServerConfig::try_from(server_tls()?)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(60).try_into()?));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::server(config, "[::]:443".parse()?)?;
    while let Some(incoming) = endpoint.accept().await {
        if case == "retry" && !incoming.remote_address_validated() {
            incoming.retry().map_err(|_| "a Retry could not be sent")?;
            continue;
        }
        tokio::spawn(async move {
            if let Err(error) = serve(incoming).await {
                eprintln!("connection: {error}");
            }
        });
    }
    Ok(())
}

async fn serve(incoming: Incoming) -> Result<()> {
    // The streams of 0-RTT are taken before the handshake is complete.
    let mut connecting = incoming.accept()?;
    let data = connecting.handshake_data().await?;
    let data = data.downcast::<HandshakeData>().map_err(|_| "no handshake data")?;
    let is_h3 = data.protocol.as_deref() == Some(b"h3");
    let connection = match connecting.into_0rtt() {
        Ok((connection, _)) => connection,
        Err(connecting) => connecting.await?,
    };
    if is_h3 { serve_h3(connection).await } else { serve_hq(connection).await }
}

async fn serve_hq(connection: Connection) -> Result<()> {
    loop {
        let (mut send, mut receive) = match connection.accept_bi().await {
            Ok(stream) => stream,
            Err(quinn::ConnectionError::ApplicationClosed(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        tokio::spawn(async move {
            let answer = async {
                let request = receive.read_to_end(4096).await?;
                let line = String::from_utf8(request)?;
                let path = line.trim().strip_prefix("GET ").ok_or("no GET")?;
                send.write_all(&served(path).await?).await?;
                Ok::<_, protoquic_interop_peers::Error>(send.finish()?)
            };
            if let Err(error) = answer.await {
                eprintln!("request: {error}");
            }
        });
    }
}

async fn serve_h3(connection: Connection) -> Result<()> {
    let mut h3 = h3::server::Connection::new(h3_quinn::Connection::new(connection)).await?;
    loop {
        match h3.accept().await {
            Ok(Some(resolver)) => {
                tokio::spawn(async move {
                    let answer = async {
                        let (request, mut stream) = resolver.resolve_request().await?;
                        let data = served(request.uri().path()).await?;
                        stream.send_response(http::Response::new(())).await?;
                        stream.send_data(Bytes::from(data)).await?;
                        Ok::<_, protoquic_interop_peers::Error>(stream.finish().await?)
                    };
                    if let Err(error) = answer.await {
                        eprintln!("request: {error}");
                    }
                });
            }
            Ok(None) => return Ok(()),
            Err(error) if error.is_h3_no_error() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
