//! Fetches one URL over HTTP/3 and prints its body.
//! Run with `cargo run --example client -- https://HOST/PATH`; without a URL it says how.

use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Uri};
use protoquic::Config;
use protoquic::crypto::ClientTls;
use protoquic::http::{
    ALPN, ClientExchange, Http3ClientSession, Http3Config, RequestFailure, ResponseHandler,
};
use protoquic::readers::BusyPoll;
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, resolve};
use protoquic_tools::trust::server_trust;

/// Prints the body as it comes.
struct Print(Rc<Cell<bool>>);

impl ResponseHandler for Print {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        eprintln!("status {}", response.status());
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            let _ = std::io::stdout().write_all(&piece);
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.0.set(true);
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        eprintln!("no response: {failure}");
        self.0.set(true);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(url) = std::env::args().nth(1) else {
        println!("usage: cargo run --example client -- https://HOST[:PORT]/PATH");
        return Ok(());
    };
    let url: Uri = url.parse()?;
    let host = url.host().ok_or("the URL has no host")?.to_owned();
    // A server on one's own machine has a certificate that nobody else vouches for.
    let trust = server_trust(host == "localhost", None)?;
    let alpn = vec![ALPN.to_vec()];
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let options = ClientOptions {
        address: resolve(&host, url.port_u16().unwrap_or(443))?,
        server_name: host.try_into()?,
        config: Arc::new(Config::default()),
        tls: Arc::new(tls.build()?),
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let session = |_| Http3ClientSession::new(Http3Config::default());
    let mut client = ClientEndpoint::connect(options, session)?;
    let done = Rc::new(Cell::new(false));
    let handler = Box::new(Print(done.clone()));
    let request = Request::get(url).body(())?;
    client.enter(|session, cx| session.send_request(cx, request, handler))?;
    while !done.get() && client.close_reason().is_none() {
        client.run_once(Some(Duration::from_secs(1)))?;
    }
    Ok(())
}
