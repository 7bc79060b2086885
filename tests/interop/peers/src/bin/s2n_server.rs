//! s2n-quic as the interop runner's server: HTTP/0.9.

use protoquic_interop_peers::{
    Error, Result, S2N_HANDSHAKE_TIME, served, server_tls, testcase, unsupported,
};
use s2n_quic::provider::endpoint_limits;
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls::Server as Tls;
use s2n_quic::{Connection, Server};

#[tokio::main]
async fn main() -> Result<()> {
    let case = testcase();
    match case.as_str() {
        "handshake" | "transfer" | "retry" | "ecn" | "chacha20" | "multiconnect" | "resumption" => {
        }
        _ => unsupported(),
    }
    let mut limits = endpoint_limits::Default::builder();
    if case == "retry" {
        limits = limits.with_inflight_handshake_limit(0)?;
    }
    let mut tls = server_tls()?;
    tls.max_early_data_size = 0;
    let mut server = Server::builder()
        .with_tls(Tls::from(tls))?
        .with_endpoint_limits(limits.build()?)?
        .with_limits(Limits::new().with_max_handshake_duration(S2N_HANDSHAKE_TIME)?)?
        .with_io("[::]:443")?
        .start()?;
    while let Some(connection) = server.accept().await {
        tokio::spawn(serve(connection));
    }
    Ok(())
}

async fn serve(mut connection: Connection) {
    while let Ok(Some(mut stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(async move {
            let answer = async {
                let mut request = Vec::new();
                while let Some(piece) = stream.receive().await? {
                    request.extend_from_slice(&piece);
                }
                let line = String::from_utf8(request)?;
                let path = line.trim().strip_prefix("GET ").ok_or("no GET")?;
                stream.send(served(path).await?.into()).await?;
                Ok::<_, Error>(stream.finish()?)
            };
            if let Err(error) = answer.await {
                eprintln!("request: {error}");
            }
        });
    }
}
