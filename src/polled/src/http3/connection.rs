//! HTTP/3's part of a polled connection: requests, responses and bodies, by the numbers of their
//! exchanges. This file must not know how handlers work.

use http::{HeaderMap, Request, Response};
use protoquic_core::Host as _;
use protoquic_core::http::{Body, Http3Code, RequestFailure};
use protoquic_core::streams::Priority;

use super::board::{Message, SharedBoard};
use super::client::{Receive, Upload};
use super::{Http3, Side};
use crate::{Connection, Error, Result};

/// News of an exchange, see [`Connection::poll`].
#[derive(Clone, Debug)]
pub enum Http3Event {
    /// On a server: a request's head has come.
    Request(Request<()>),
    /// On a client: an interim response (1xx) has come.
    Interim(Response<()>),
    /// On a client: the response's head has come.
    Response(Response<()>),
    /// There is body to [read](Connection::recv_body). Told again only after all was read.
    Data,
    /// The peer's message is complete and was read to its end.
    Finished {
        /// The trailers, if it sent any.
        trailers: Option<HeaderMap>,
    },
    /// There is room for body again, after [`send_body`](Connection::send_body) took less than it
    /// was given.
    Writable,
    /// The exchange has failed; what was not read is gone. Nothing more follows.
    Failed(RequestFailure),
}

/// HTTP/3. An exchange is named by a number: on a server the number of its stream, on a client the
/// one that [`send_request`](Self::send_request) has given.
impl Connection<Http3> {
    /// The next news, and which exchange they are of.
    pub fn poll(&mut self) -> Option<(u64, Http3Event)> {
        self.app.call_handlers(self.now);
        self.board().borrow_mut().events.pop_front()
    }

    /// On a client: sends a request, or has it wait until the server allows a stream. The URI must
    /// be absolute. With `fin` it has no body; otherwise [`send_body`](Self::send_body) follows.
    pub fn send_request(&mut self, request: Request<()>, fin: bool) -> Result<u64> {
        let (now, board) = (self.now, self.board());
        let Side::Client(host) = &mut self.app.side else { return Err(Error::WrongState) };
        self.is_dirty = true;
        self.app.is_fresh = true;
        let id = board.borrow().next_id;
        board.borrow_mut().begin(id);
        let body = if fin {
            Body::Empty
        } else {
            Body::source(Upload { id, board: SharedBoard::clone(&board) })
        };
        let handler = Box::new(Receive { id, board: SharedBoard::clone(&board) });
        let request = request.map(|()| body);
        let sent = host.enter(now, |session, cx| session.send_request(cx, request, handler));
        let mut board = board.borrow_mut();
        match sent {
            Ok(request) => {
                board.next_id += 1;
                board.set_request(id, request);
                if fin && let Ok(message) = board.get(id) {
                    message.on_sent();
                }
                Ok(id)
            }
            Err(error) => {
                board.remove(id);
                Err(error.into())
            }
        }
    }

    /// On a server: sends an interim response, 100 to 199 but not 101.
    pub fn send_interim(&mut self, id: u64, response: Response<()>) -> Result<()> {
        self.answer(id, |message| {
            message.interim.push_back(response);
            Ok(())
        })
    }

    /// On a server: sends the head of the response. With `fin` it has no body; otherwise
    /// [`send_body`](Self::send_body) follows. When a response has ended, what was not read of its
    /// request is dropped.
    pub fn send_response(&mut self, id: u64, response: Response<()>, fin: bool) -> Result<()> {
        self.answer(id, |message| {
            if std::mem::replace(&mut message.has_head, true) {
                return Err(Error::WrongState);
            }
            message.head = Some(response);
            message.fin = fin;
            Ok(())
        })
    }

    /// Takes the front of `data` as far as there is room, and returns how many bytes that is; `fin`
    /// ends our message once all of `data` was taken. [`Error::Done`] if there is no room:
    /// [`Http3Event::Writable`] tells when there is.
    pub fn send_body(&mut self, id: u64, data: &[u8], fin: bool) -> Result<usize> {
        let is_server = matches!(self.app.side, Side::Server(_));
        let taken = {
            let board = self.board();
            let mut board = board.borrow_mut();
            let message = board.get(id)?;
            if is_server && !message.has_head {
                return Err(Error::WrongState);
            }
            message.put(data, fin)?
        };
        self.wake(id);
        Ok(taken)
    }

    /// Ends our message with trailers.
    pub fn send_trailers(&mut self, id: u64, trailers: HeaderMap) -> Result<()> {
        {
            let board = self.board();
            let mut board = board.borrow_mut();
            let message = board.get(id)?;
            message.put(&[], true)?;
            message.trailers = Some(trailers);
        }
        self.wake(id);
        Ok(())
    }

    /// Reads body into `out` and returns how many bytes. [`Error::Done`] if there is none now.
    pub fn recv_body(&mut self, id: u64, out: &mut [u8]) -> Result<usize> {
        let (len, goes_on) = self.board().borrow_mut().read(id, out)?;
        if goes_on {
            self.wake(id);
        }
        Ok(len)
    }

    /// Gives an exchange up; nothing more is told of it. On a server with this code, on a client
    /// with H3_REQUEST_CANCELLED.
    pub fn cancel(&mut self, id: u64, code: Http3Code) -> Result<()> {
        let (now, board) = (self.now, self.board());
        let request = board.borrow().request(id);
        board.borrow_mut().get(id)?.cancel = Some(code.0);
        match &mut self.app.side {
            Side::Client(host) => {
                if let Some(request) = request {
                    host.enter(now, |session, cx| session.cancel_request(cx, request));
                }
                self.app.is_fresh = true;
                self.is_dirty = true;
            }
            Side::Server(_) => self.wake(id),
        }
        self.app.call_handlers(now);
        board.borrow_mut().remove(id);
        Ok(())
    }

    /// On a client: asks the server for another urgency of a response (RFC 9218).
    pub fn prioritize(&mut self, id: u64, priority: Priority) -> Result<()> {
        let (now, board) = (self.now, self.board());
        let request = board.borrow().request(id).ok_or(Error::UnknownStream)?;
        let Side::Client(host) = &mut self.app.side else { return Err(Error::WrongState) };
        host.enter(now, |session, cx| session.prioritize_request(cx, request, priority));
        self.is_dirty = true;
        Ok(())
    }

    /// Ends in order: tells the peer (GOAWAY), lets what runs come to its end, then closes.
    pub fn shut_down(&mut self) {
        self.is_dirty = true;
        let now = self.now;
        self.app.shut_down(now);
    }

    /// On a client: whether new requests are refused.
    pub fn is_going_away(&self) -> bool {
        match &self.app.side {
            Side::Client(host) => host.session().is_going_away(),
            Side::Server(_) => self.is_closed(),
        }
    }

    fn board(&self) -> SharedBoard {
        SharedBoard::clone(&self.app.board)
    }

    fn wake(&mut self, id: u64) {
        self.is_dirty = true;
        self.app.wake(self.now, id);
    }

    /// Leaves something for the handler of a server's exchange, calls it, and says how it went.
    fn answer(&mut self, id: u64, f: impl FnOnce(&mut Message) -> Result<()>) -> Result<()> {
        if !matches!(self.app.side, Side::Server(_)) {
            return Err(Error::WrongState);
        }
        let board = self.board();
        f(board.borrow_mut().get(id)?)?;
        board.borrow_mut().error = None;
        self.wake(id);
        self.app.call_handlers(self.now);
        let error = board.borrow_mut().error.take();
        error.map_or(Ok(()), Err)
    }
}
