//! The sans-IO level at work: a server's loop and a client's loop, each on a plain `UdpSocket`, in
//! one process. Run with `cargo run --example polled`.

use std::net::UdpSocket;
use std::time::Duration;

use protoquic::polled::{
    Client, Config, Error, Listener, ListenerEvent, RecvInfo, Streams, connect,
};
use protoquic::readers::SystemClock;
use protoquic::{Clock, Direction, PathAddress};
use protoquic_tools::certificate::self_made;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Waits for a datagram, but no longer than the machine can wait.
fn wait(
    socket: &UdpSocket,
    timeout: Option<Duration>,
    buffer: &mut [u8],
    clock: SystemClock,
) -> Outcome<Option<(usize, RecvInfo)>> {
    // A read timeout of zero would mean to wait for ever.
    let timeout = timeout.unwrap_or(MAX_WAIT).clamp(Duration::from_micros(1), MAX_WAIT);
    socket.set_read_timeout(Some(timeout))?;
    match socket.recv_from(buffer) {
        Ok((len, from)) => {
            let path = PathAddress::new(socket.local_addr()?, from);
            Ok(Some((len, RecvInfo::new(path, clock.now()))))
        }
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Serves one client: sends back in capitals what it says, until it has closed.
fn serve(socket: &UdpSocket, config: &Config) -> Outcome<()> {
    let clock = SystemClock::new();
    let mut server = Listener::<Streams>::new(config)?;
    let mut buffer = vec![0; 65_535];
    loop {
        if let Some((len, info)) = wait(socket, server.timeout(clock.now()), &mut buffer, clock)? {
            server.recv(&buffer[..len], &info)?;
        }
        server.on_timeout(clock.now());
        while let Some(event) = server.poll(clock.now()) {
            match event {
                ListenerEvent::Accepted(key) => println!("server: {key:?} accepted"),
                ListenerEvent::Ready(key) => answer(&mut server, key)?,
                ListenerEvent::Closed(_, why) => {
                    println!("server: {why}");
                    return Ok(());
                }
            }
        }
        while let Ok(sent) = server.send(&mut buffer, clock.now()) {
            socket.send_to(&buffer[..sent.len], sent.path.peer)?;
        }
    }
}

/// Takes no more from each stream than there is room to send back.
fn answer(server: &mut Listener<Streams>, key: protoquic::polled::ConnectionKey) -> Outcome<()> {
    let Some(connection) = server.connection(key) else { return Ok(()) };
    for id in connection.readable() {
        let mut data = vec![0; connection.stream_capacity(id)?];
        match connection.stream_recv(id, &mut data) {
            Ok((len, fin)) => {
                data[..len].make_ascii_uppercase();
                connection.stream_send(id, &data[..len], fin)?;
            }
            Err(Error::Done | Error::StreamReset(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Says hello, prints the answer, and closes.
fn ask(config: &Config, server: std::net::SocketAddr) -> Outcome<()> {
    let clock = SystemClock::new();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let path = PathAddress::new(socket.local_addr()?, server);
    let mut client: Client = connect(config, "localhost", path, clock.now())?;
    let mut stream = None;
    let mut buffer = vec![0; 65_535];
    loop {
        if client.is_established() && stream.is_none() {
            let id = client.stream_open(Direction::Bidirectional)?;
            client.stream_send(id, b"hello over quic", true)?;
            stream = Some(id);
        }
        if let Some(id) = stream
            && let Ok((len, fin)) = client.stream_recv(id, &mut buffer)
        {
            println!("client: {}", String::from_utf8_lossy(&buffer[..len]));
            if fin {
                client.close(0, "thank you");
            }
        }
        while let Ok(sent) = client.send(&mut buffer, clock.now()) {
            socket.send_to(&buffer[..sent.len], sent.path.peer)?;
        }
        if client.is_closed() {
            return Ok(());
        }
        if let Some((len, info)) = wait(&socket, client.timeout(clock.now()), &mut buffer, clock)? {
            client.recv(&buffer[..len], &info)?;
        }
        client.on_timeout(clock.now());
    }
}

fn main() -> Outcome<()> {
    let made = self_made()?;
    let mut config = Config::new(&[b"shout"]);
    config.set_identity(made.pem.clone(), made.key_pem);
    config.set_authorities(made.pem);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let client_config = config.clone();
    let client =
        std::thread::spawn(move || ask(&client_config, address).map_err(|e| e.to_string()));
    serve(&socket, &config)?;
    Ok(client.join().map_err(|_| "the client's thread panicked")??)
}

/// So long a socket is waited for at most.
const MAX_WAIT: Duration = Duration::from_secs(1);
