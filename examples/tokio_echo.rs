//! An echo server and a client of it, as tokio tasks in one process.
//! Run with `cargo run --example tokio_echo --features tokio`.

use std::time::Duration;

use protoquic::asynchronous::{Connection, Endpoint, Error, Settings};
use protoquic_tools::certificate::self_made;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Sends every stream back.
async fn echo(connection: Connection) -> Result<(), Error> {
    loop {
        let (mut send, mut recv) = connection.accept_bi().await?;
        tokio::spawn(async move {
            // Dropped afterwards, the sending part is finished: the client reads to the end.
            tokio::io::copy(&mut recv, &mut send).await
        });
    }
}

async fn serve(endpoint: Endpoint) {
    while let Ok(connection) = endpoint.accept().await {
        println!("{} has connected", connection.peer_address());
        tokio::spawn(async move {
            if let Err(why) = echo(connection).await {
                println!("no more streams: {why}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let made = self_made()?;
    let settings = Settings::new().identity(made.pem, made.key_pem);
    let server = Endpoint::server("127.0.0.1:0".parse()?, &settings)?;
    let address = server.local_address().ok_or("a server has an address")?;
    tokio::spawn(serve(server.clone()));

    let client = Endpoint::client(&Settings::new().trust_any_certificate())?;
    // Any future can be dropped, so any timeout will do.
    let connecting = client.connect(address, "localhost")?;
    let connection = tokio::time::timeout(Duration::from_secs(3), connecting).await??;
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(b"hello, tasks").await?;
    send.shutdown().await?;
    let mut echo = String::new();
    recv.read_to_string(&mut echo).await?;
    println!("the echo: {echo}");

    drop((connection, send, recv));
    client.wait_idle().await; // the server knows that we have gone
    server.wait_idle().await;
    Ok(())
}
