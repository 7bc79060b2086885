//! HTTP/3 by the `h3` crate over our connections: its client and server with each other, and each with
//! protoquic's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use common::{ANY_PORT, client_settings, on_smol, on_tokio, pattern, server_settings, spawn};
use http::{Request, Response, StatusCode};
use protoquic_asynchronous::h3::{Connection, Opener};
use protoquic_asynchronous::{ApplicationError, Endpoint, Settings};
use protoquic_core::http::{
    ALPN, ClientExchange, Http3ClientSession, Http3Config, Http3ServerFactory, MemoryBackend,
    ResponseHandler,
};
use protoquic_dispatcher::DispatcherConfig;
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint, self_made_server};

fn clients(settings: Settings) -> Endpoint {
    Endpoint::client(&settings.alpn(&[ALPN])).unwrap()
}

type Requests = h3::client::SendRequest<Opener, Bytes>;

async fn client(endpoint: &Endpoint, server: std::net::SocketAddr) -> Requests {
    let connection = endpoint.connect(server, "localhost").unwrap().await.unwrap();
    let (mut driver, requests) = h3::client::new(Connection::new(connection)).await.unwrap();
    spawn(async move {
        std::future::poll_fn(|cx| driver.poll_close(cx)).await;
    });
    requests
}

/// Posts this body and returns status and body of the answer.
async fn post(requests: &mut Requests, path: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
    let request = Request::post(format!("https://localhost{path}")).body(()).unwrap();
    let (mut send, mut recv) = requests.send_request(request).await.unwrap().split();
    let sending = async {
        for piece in body.chunks(50_000) {
            send.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        send.finish().await.unwrap();
    };
    let receiving = async {
        let status = recv.recv_response().await.unwrap().status();
        let mut answer = BytesMut::new();
        while let Some(mut data) = recv.recv_data().await.unwrap() {
            let len = data.remaining();
            answer.extend_from_slice(&data.copy_to_bytes(len));
        }
        (status, answer.freeze())
    };
    smol::future::zip(sending, receiving).await.1
}

/// An h3 server that sends every body back.
fn serve(servers: &Endpoint) {
    let servers = servers.clone();
    spawn(async move {
        while let Ok(connection) = servers.accept().await {
            let mut server =
                h3::server::Connection::<_, Bytes>::new(Connection::new(connection)).await.unwrap();
            spawn(async move {
                while let Ok(Some(request)) = server.accept().await {
                    spawn(async move {
                        let (request, stream) = request.resolve_request().await.unwrap();
                        let (mut send, mut recv) = stream.split();
                        let status = if request.uri().path() == "/echo" { 200 } else { 404 };
                        let head = Response::builder().status(status).body(()).unwrap();
                        send.send_response(head).await.unwrap();
                        while let Some(mut data) = recv.recv_data().await.unwrap() {
                            let len = data.remaining();
                            send.send_data(data.copy_to_bytes(len)).await.unwrap();
                        }
                        send.finish().await.unwrap();
                    });
                }
            });
        }
    });
}

async fn both_ends() {
    let servers = Endpoint::server(ANY_PORT, &server_settings().alpn(&[ALPN])).unwrap();
    serve(&servers);
    let clients = clients(client_settings());
    let mut requests = client(&clients, servers.local_address().unwrap()).await;
    let body = pattern(1_000_000, 1);
    let (status, answer) = post(&mut requests, "/echo", body.clone()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer == body, "the answer is not what was sent");
    for n in 0..20 {
        let (status, answer) = post(&mut requests, "/other", pattern(n, n)).await;
        assert_eq!((status, answer.len()), (StatusCode::NOT_FOUND, n));
    }
    drop(requests);
    clients.wait_idle().await; // h3's driver ends the connection when nobody has requests
}

#[test]
fn h3_with_itself_on_tokio() {
    on_tokio(both_ends());
}

#[test]
fn h3_with_itself_on_smol() {
    on_smol(both_ends());
}

#[test]
fn the_client_of_h3_with_our_server() {
    let mut backend = MemoryBackend::new();
    backend.echo("/echo");
    backend.add_simple_response("localhost", "/", StatusCode::OK, "index");
    let config = self_made_server(ALPN).unwrap();
    let factory = Http3ServerFactory::new(Arc::new(backend), config, Http3Config::default());
    let limits = DispatcherConfig::default();
    let mut server = ServerEndpoint::bind(ANY_PORT, limits, vec![Box::new(factory)]).unwrap();
    let (address, waker) = (server.address(), server.waker());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            on_tokio(async {
                let clients = clients(Settings::new().trust_any_certificate());
                let mut requests = client(&clients, address).await;
                let body = pattern(500_000, 2);
                let (status, answer) = post(&mut requests, "/echo", body.clone()).await;
                assert_eq!(status, StatusCode::OK);
                assert!(answer == body, "the answer is not what was sent");
                clients.close(ApplicationError(0x100), "");
                clients.wait_idle().await;
            });
            done.store(true, Ordering::Release);
            waker.wake().unwrap();
        });
        while !done.load(Ordering::Acquire) {
            server.run_once(Some(Duration::from_millis(100))).unwrap();
        }
    });
}

#[derive(Default)]
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    is_whole: bool,
}

struct Collect(Rc<RefCell<Answer>>);

impl ResponseHandler for Collect {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        self.0.borrow_mut().status = response.status();
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.0.borrow_mut().body.extend_from_slice(&piece);
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.0.borrow_mut().is_whole = true;
    }
}

#[test]
fn our_client_with_the_server_of_h3() {
    on_smol(async {
        let servers = Endpoint::server(ANY_PORT, &server_settings().alpn(&[ALPN])).unwrap();
        serve(&servers);
        let address = servers.local_address().unwrap();
        // Our client has an event loop of its own: a thread beside the tasks.
        let answer = smol::unblock(move || {
            let options = ClientOptions::believing_anyone(address, ALPN).unwrap();
            let session = |_| Http3ClientSession::new(Http3Config::default());
            let mut client = ClientEndpoint::connect(options, session).unwrap();
            let answer = Rc::new(RefCell::new(Answer::default()));
            let handler = Box::new(Collect(Rc::clone(&answer)));
            let request = Request::post("https://localhost/echo").body(Bytes::from("ours"));
            let request = request.unwrap();
            client.enter(|session, cx| session.send_request(cx, request, handler)).unwrap();
            while !answer.borrow().is_whole && client.close_reason().is_none() {
                client.run_once(Some(Duration::from_secs(1))).unwrap();
            }
            let answer = answer.borrow();
            (answer.status, answer.body.clone(), answer.is_whole)
        })
        .await;
        assert_eq!(answer, (StatusCode::OK, b"ours".to_vec(), true));
    });
}
