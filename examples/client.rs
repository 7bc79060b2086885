//! Fetches one URL over HTTP/3: `cargo run --example client -- https://localhost:6121/ --insecure`.
//! Without `--insecure` the server must have a certificate that `quic_simple_client` would believe
//! too; with it any will do.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, Uri};
use protoquic::ApplicationError;
use protoquic::connection::Config;
use protoquic::crypto::{ClientTls, ServerTrust};
use protoquic::http::{
    ALPN, Body, ClientExchange, Http3ClientSession, Http3Config, RequestFailure, ResponseHandler,
};
use protoquic_tools::certificate::system_roots;
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, resolve};

/// Shows the response as it comes, and tells how it ended.
struct Show(Rc<Cell<Option<bool>>>);

impl ResponseHandler for Show {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        eprintln!("{response:?}");
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            if std::io::stdout().write_all(&piece).is_err() {
                return exchange.cancel(protoquic::http::Http3Code::REQUEST_CANCELLED);
            }
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.0.set(Some(true));
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        eprintln!("{failure}");
        self.0.set(Some(false));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url: Uri = arguments.next().ok_or("usage: client URL [--insecure]")?.parse()?;
    let trust = match arguments.next().as_deref() {
        Some("--insecure") => ServerTrust::AnyCertificate,
        _ => ServerTrust::Roots(system_roots()?),
    };
    let tls = ClientTls {
        provider: None,
        trust,
        alpn: vec![ALPN.to_vec()],
        identity: None,
        key_log: true,
    };
    let host = url.host().ok_or("the URL has no host")?.to_owned();
    let options = ClientOptions {
        address: resolve(&host, url.port_u16().unwrap_or(443))?,
        server_name: host.try_into()?,
        config: Arc::new(Config::default()),
        tls: Arc::new(tls.build()?),
    };
    let mut client =
        ClientEndpoint::connect(options, |_| Http3ClientSession::new(Http3Config::default()))?;
    let ended = Rc::new(Cell::new(None));
    let (handler, request) = (Box::new(Show(ended.clone())), Request::get(url).body(Body::Empty)?);
    client.enter(|session, cx| session.send_request(cx, request, handler))?;
    while client.close_reason().is_none() {
        client.run_once(None)?;
        if ended.get().is_some() {
            client.close(ApplicationError(0x100), ""); // H3_NO_ERROR
        }
    }
    match (ended.get(), client.close_reason()) {
        (Some(true), _) => Ok(()),
        (_, Some(reason)) => Err(reason.to_string().into()),
        _ => Err("the response is not whole".into()),
    }
}
