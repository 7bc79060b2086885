//! A server of tunnels, and what it notes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use protoquic::ServerConfig;
use protoquic::connection::Config;
use protoquic::http::{
    ALPN, Backend, Capsule, CapsuleReader, ExchangeError, Http3Code as Code, Http3Config,
    Http3ServerFactory, HttpDatagramError, Protocol, RequestHandler, ServerExchange,
};
use protoquic_tests::http3::Connects;
use protoquic_tests::tls;

use crate::transport;

/// How a tunnel of the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends bodies and datagrams back.
    Echo,
    /// Sends back what capsules carry.
    Capsules,
    /// Ends its side at once and goes on reading.
    HalfClosed,
    /// Says how long its answer is, which it must not.
    Measured,
    /// Breaks.
    Breaks,
}

/// What a server saw.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) targets: Vec<String>,
    pub(crate) received: Vec<u8>,
    pub(crate) datagrams: usize,
    pub(crate) ended: bool,
    pub(crate) errors: Vec<ExchangeError>,
    pub(crate) late_datagram: Option<Result<(), HttpDatagramError>>,
}

struct Tunnels {
    manner: Manner,
    log: Rc<RefCell<Log>>,
}

impl Tunnels {
    fn open(
        &self,
        request: &Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Box<dyn RequestHandler> {
        let protocol = request.extensions().get::<Protocol>().map(ToString::to_string);
        let target = format!("{} {}", protocol.unwrap_or_default(), request.uri());
        self.log.borrow_mut().targets.push(target);
        let mut response = Response::new(());
        if self.manner == Manner::Measured {
            response.headers_mut().insert("content-length", 1.into());
            let error = exchange.send_response(&response).unwrap_err();
            self.log.borrow_mut().errors.push(error);
            response.headers_mut().clear();
        }
        exchange.send_response(&response).unwrap();
        match self.manner {
            Manner::HalfClosed => {
                exchange.finish().unwrap();
                self.log.borrow_mut().late_datagram = Some(exchange.send_datagram(b"late"));
            }
            Manner::Breaks => exchange.cancel(Code::CONNECT_ERROR),
            _ => {}
        }
        let reader = CapsuleReader::new(&[Capsule::DATAGRAM], 1000);
        let log = Rc::clone(&self.log);
        Box::new(Tunnel { manner: self.manner, log, held: VecDeque::new(), reader })
    }
}

struct Tunnel {
    manner: Manner,
    log: Rc<RefCell<Log>>,
    held: VecDeque<Bytes>,
    reader: CapsuleReader,
}

impl RequestHandler for Tunnel {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        if self.manner == Manner::Capsules {
            while let Some(capsule) = exchange.read_capsule(&mut self.reader) {
                self.held.push_back(Capsule::datagram(capsule.value).encode());
            }
        } else {
            while let Some(piece) = exchange.read_body() {
                self.log.borrow_mut().received.extend_from_slice(&piece);
                self.held.push_back(piece);
            }
        }
        self.on_can_write(exchange);
    }

    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        if exchange.wants_body() {
            while let Some(piece) = self.held.front_mut() {
                exchange.write_body(piece).unwrap();
                if !piece.is_empty() {
                    return;
                }
                self.held.pop_front();
            }
        }
        if exchange.is_body_finished() {
            self.log.borrow_mut().ended = true;
            let _ = exchange.finish();
        }
    }

    fn takes_datagrams(&self) -> bool {
        self.manner == Manner::Echo
    }

    fn on_datagram(&mut self, data: Bytes, exchange: &mut ServerExchange<'_>) {
        self.log.borrow_mut().datagrams += 1;
        // A peer that writes any bytes may not have asked for datagrams.
        let _ = exchange.send_datagram(&data);
    }
}

pub(crate) fn server(
    manner: Manner,
    http: Http3Config,
) -> (Http3ServerFactory<impl Backend + Clone>, Rc<RefCell<Log>>) {
    server_on(transport(), manner, http)
}

pub(crate) fn server_on(
    transport: Arc<Config>,
    manner: Manner,
    http: Http3Config,
) -> (Http3ServerFactory<impl Backend + Clone>, Rc<RefCell<Log>>) {
    let log = Rc::default();
    let tunnels = Rc::new(Tunnels { manner, log: Rc::clone(&log) });
    let backend = Connects(move |request: Request<()>, exchange: &mut ServerExchange<'_>| {
        Some(tunnels.open(&request, exchange))
    });
    let config = ServerConfig { transport, tls: tls::server(&[ALPN]) };
    (Http3ServerFactory::new(backend, config, http), log)
}
