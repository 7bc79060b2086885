//! A client's side of a tunnel: it says what it is given and notes what comes.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::Response;
use protoquic::http::{ClientExchange, HttpDatagramError, RequestFailure, ResponseHandler};

/// A client's side of a tunnel: writes what it is given, notes what comes.
#[derive(Clone, Default)]
pub(crate) struct Dialogue {
    pub(crate) state: Rc<RefCell<Talk>>,
}

#[derive(Default)]
pub(crate) struct Talk {
    pub(crate) say: Bytes,
    /// The client ends its side when all is said.
    pub(crate) ends: bool,
    pub(crate) status: u16,
    pub(crate) heard: Vec<u8>,
    pub(crate) send: Vec<Bytes>,
    pub(crate) sent: Vec<Result<(), HttpDatagramError>>,
    pub(crate) datagrams: Vec<Bytes>,
    pub(crate) complete: bool,
    pub(crate) failure: Option<RequestFailure>,
}

impl ResponseHandler for Dialogue {
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        let mut state = self.state.borrow_mut();
        state.status = response.status().as_u16();
        for datagram in std::mem::take(&mut state.send) {
            let sent = exchange.send_datagram(&datagram);
            state.sent.push(sent);
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.state.borrow_mut().heard.extend_from_slice(&piece);
        }
    }

    fn on_can_write(&mut self, exchange: &mut ClientExchange<'_>) {
        let mut state = self.state.borrow_mut();
        exchange.write_body(&mut state.say).unwrap();
        if state.say.is_empty() && std::mem::take(&mut state.ends) {
            exchange.finish().unwrap();
        }
    }

    fn takes_datagrams(&self) -> bool {
        true
    }

    fn on_datagram(&mut self, data: Bytes, _exchange: &mut ClientExchange<'_>) {
        self.state.borrow_mut().datagrams.push(data);
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        self.state.borrow_mut().complete = true;
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.state.borrow_mut().failure = Some(failure.clone());
    }
}

pub(crate) fn saying(text: &[u8]) -> Talk {
    Talk { say: Bytes::copy_from_slice(text), ends: true, ..Talk::default() }
}
