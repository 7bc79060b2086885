//! A test under loss: the client's packet writer is swapped for one that drops every tenth packet.
//! An upload of a megabyte must arrive whole all the same. Any piece can be swapped like this.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use protoquic::connection::ClientSetup;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::http::{
    ALPN, ClientExchange, Http3ClientSession, Http3Config, Http3ServerFactory, MemoryBackend,
    ResponseHandler,
};
use protoquic::readers::{BatchReader, EventLoop, SocketOptions, SystemClock, bind};
use protoquic::writers::{DefaultWriter, DroppingWriter};
use protoquic::{ApplicationError, Connection, PathAddress, SessionHost, SingleHost, SystemRandom};
use protoquic_tools::endpoint::{ClientOptions, ServerEndpoint, self_made_server};

/// What came back, once it is whole.
struct Collect(Vec<u8>, Arc<Mutex<Option<Vec<u8>>>>);

impl ResponseHandler for Collect {
    fn on_response(&mut self, _response: Response<()>, _exchange: &mut ClientExchange<'_>) {}

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.0.extend_from_slice(&piece);
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        *self.1.lock().expect("nobody panics with it") = Some(std::mem::take(&mut self.0));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut backend = MemoryBackend::new();
    backend.echo("/echo");
    let (config, http) = (self_made_server(ALPN)?, Http3Config::default());
    let factory = Box::new(Http3ServerFactory::new(Arc::new(backend), config, http));
    let any_port = ([127, 0, 0, 1], 0).into();
    let mut server = ServerEndpoint::bind(any_port, DispatcherConfig::default(), vec![factory])?;

    // The client, put together by hand.
    let socket = Arc::new(bind(any_port, &SocketOptions::default())?);
    let writer = DroppingWriter::every_nth(DefaultWriter::new(socket.clone())?, 10);
    let path = PathAddress::new(socket.local_addr()?, server.address());
    let reader = BatchReader::new(socket.clone())?;
    let mut event_loop = EventLoop::new(socket, Box::new(reader), SystemClock::new())?;
    let ClientOptions { server_name, config, tls, .. } =
        ClientOptions::believing_anyone(server.address(), ALPN)?;
    let (token, random) = (Bytes::new(), Box::new(SystemRandom));
    let setup = ClientSetup { config, tls, server_name, path, token, random, observer: None };
    let connection = Connection::client(event_loop.now(), setup)?;
    let session = Http3ClientSession::new(Http3Config::default());
    let mut client = SingleHost::new(SessionHost::new(connection, session), Box::new(writer));

    let body: Bytes =
        (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let answer = Arc::new(Mutex::new(None));
    let handler = Box::new(Collect(Vec::new(), answer.clone()));
    let request = Request::post("https://localhost/echo").body(body.clone())?;
    client.enter(event_loop.now(), |session, cx| session.send_request(cx, request, handler))?;
    while client.close_reason().is_none() {
        server.run_once(Some(Duration::from_millis(1)))?;
        event_loop.run_once(&mut client, Some(Duration::from_millis(1)))?;
        if let Some(echoed) = answer.lock().expect("nobody panics with it").take() {
            let stats = client.host().connection().stats();
            println!("{} bytes came back, {} packets were lost", echoed.len(), stats.packets_lost);
            assert!(
                echoed == body && stats.packets_lost > 0,
                "the bytes differ, or nothing was lost"
            );
            client.close(event_loop.now(), ApplicationError(0x100), "done"); // H3_NO_ERROR
        }
    }
    Ok(())
}
