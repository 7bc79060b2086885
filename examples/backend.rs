//! An HTTP/3 server with a backend of one's own, which answers one request of a client in the same
//! process and ends. Run with `cargo run --example backend`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use protoquic::crypto::{ClientTls, ServerTls, ServerTrust};
use protoquic::http::{
    ALPN, Backend, ClientExchange, Http3ClientSession, Http3Config, Http3ServerFactory,
    RequestHandler, ResponseHandler, ServerExchange,
};
use protoquic::readers::BusyPoll;
use protoquic::{Config, ServerConfig};
use protoquic_tools::certificate::self_made;
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint};

/// Greets whoever asks, by the path.
#[derive(Clone)]
struct Greeter;

impl Backend for Greeter {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let name = request.uri().path().trim_start_matches('/').to_owned();
        exchange.respond(Response::new(format!("hello, {name}!\n")));
        None // answered; nothing more to do for this request
    }
}

/// Prints the response.
struct Print(Rc<Cell<bool>>);

impl ResponseHandler for Print {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        println!("status {}", response.status());
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            print!("{}", String::from_utf8_lossy(&piece));
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.0.set(true);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let identity = self_made()?.identity;
    let alpn = vec![ALPN.to_vec()];
    let tls = ServerTls {
        provider: None,
        identity,
        alpn: alpn.clone(),
        client_verifier: None,
        key_log: true,
    };
    let config =
        ServerConfig { transport: Arc::new(Config::default()), tls: Arc::new(tls.build()?) };
    let factory = Http3ServerFactory::new(Greeter, config, Http3Config::default());
    let limits = protoquic::dispatcher::DispatcherConfig::default();
    let mut server = ServerEndpoint::bind("127.0.0.1:0".parse()?, limits, vec![Box::new(factory)])?;

    let trust = ServerTrust::AnyCertificate;
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let options = ClientOptions {
        server_name: "localhost".try_into()?,
        address: server.address(),
        config: Arc::new(Config::default()),
        tls: Arc::new(tls.build()?),
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let session = |_| Http3ClientSession::new(Http3Config::default());
    let mut client = ClientEndpoint::connect(options, session)?;
    let done = Rc::new(Cell::new(false));
    let handler = Box::new(Print(done.clone()));
    let request = Request::get("https://localhost/world").body(())?;
    client.enter(|session, cx| session.send_request(cx, request, handler))?;
    while !done.get() {
        server.run_once(Some(Duration::from_millis(1)))?;
        client.run_once(Some(Duration::from_millis(1)))?;
    }
    Ok(())
}
