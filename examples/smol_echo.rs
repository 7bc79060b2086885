//! An echo server and a client of it, as smol tasks in one process.
//! Run with `cargo run --example smol_echo --features smol`.

use protoquic::asynchronous::{Endpoint, Settings};
use protoquic_tools::certificate::self_made;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn serve(endpoint: Endpoint) {
    while let Ok(connection) = endpoint.accept().await {
        smol::spawn(async move {
            while let Ok((send, recv)) = connection.accept_bi().await {
                // Dropped afterwards, the sending part is finished: the client reads to the end.
                smol::spawn(smol::io::copy(recv, send)).detach();
            }
        })
        .detach();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(async {
        let made = self_made()?;
        let settings = Settings::new().identity(made.pem, made.key_pem);
        let server = Endpoint::server("127.0.0.1:0".parse()?, &settings)?;
        let address = server.local_address().ok_or("a server has an address")?;
        smol::spawn(serve(server.clone())).detach();

        let client = Endpoint::client(&Settings::new().trust_any_certificate())?;
        let connection = client.connect(address, "localhost")?.await?;
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(b"hello, tasks").await?;
        send.close().await?;
        let mut echo = String::new();
        recv.read_to_string(&mut echo).await?;
        println!("the echo: {echo}");

        drop((connection, send, recv));
        client.wait_idle().await; // the server knows that we have gone
        server.wait_idle().await;
        Ok(())
    })
}
