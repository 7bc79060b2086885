//! [`Exchange`]: one request and its response, as handlers see it during a callback. What can be
//! done depends on the role: reading a body either way, answering only on a server.

use std::marker::PhantomData;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use super::body::Body;
use super::connection::Http3Connection;
use super::error::{ExchangeError, Fault, Http3Code, Http3Error};
use super::headers::{has_body, is_tunnel, parse_trailers, response_fields};
use super::message_reader::{Incoming, MessageReader};
use super::message_writer::MessageWriter;
use super::stored_response::{StoredResponse, note};
use super::transport::Transport;
use crate::streams::Priority;
use crate::time::Time;
use crate::types::StreamId;

/// Marks a server's exchange.
#[derive(Debug)]
pub enum ServerSide {}

/// Marks a client's exchange.
#[derive(Debug)]
pub enum ClientSide {}

/// An exchange on a server: read the request's body, answer.
pub type ServerExchange<'a> = Exchange<'a, ServerSide>;

/// An exchange on a client: read the response's body.
pub type ClientExchange<'a> = Exchange<'a, ClientSide>;

/// One request and its response, lent to a handler for a callback.
pub struct Exchange<'a, R> {
    pub(super) state: &'a mut ExchangeState,
    pub(super) http: &'a mut Http3Connection,
    pub(super) io: &'a mut dyn Transport,
    role: PhantomData<R>,
}

/// What an exchange keeps between callbacks.
#[derive(Debug)]
pub(super) struct ExchangeState {
    pub(super) id: StreamId,
    /// The request's method.
    pub(super) method: Method,
    pub(super) reader: MessageReader,
    pub(super) writer: MessageWriter,
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// The peer's message has been read to its end.
    pub(super) is_received: bool,
    /// A CONNECT that succeeded: each side ends on its own.
    pub(super) is_tunnel: bool,
    /// What reading ran into; to be dealt with after the callback.
    pub(super) fault: Option<Fault>,
    /// The handler gave up with this code.
    pub(super) cancelled: Option<Http3Code>,
    /// A copy of the response, for a session that keeps them.
    pub(super) record: Option<Box<StoredResponse>>,
}

impl<R> std::fmt::Debug for Exchange<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("id", &self.state.id).finish_non_exhaustive()
    }
}

impl<'a, R> Exchange<'a, R> {
    pub(super) fn new(
        state: &'a mut ExchangeState,
        http: &'a mut Http3Connection,
        io: &'a mut dyn Transport,
    ) -> Self {
        Self { state, http, io, role: PhantomData }
    }

    /// The stream that carries the exchange; with it, `wake_stream` from outside has the handler
    /// called.
    pub fn id(&self) -> StreamId {
        self.state.id
    }

    /// The time of this turn.
    pub fn now(&self) -> Time {
        self.http.now
    }

    /// The peer's address.
    pub fn peer_address(&self) -> SocketAddr {
        self.io.peer_address()
    }

    /// The next piece of the peer's body; `None` if there is none now, or no more at all (see
    /// [`is_body_finished`](Self::is_body_finished)). What is not read holds the peer back. The
    /// piece may share a receive buffer: copy what you keep for long.
    pub fn read_body(&mut self) -> Option<Bytes> {
        self.state.read_body(self.http, self.io)
    }

    /// Whether the body has been read to its end and was whole.
    pub fn is_body_finished(&self) -> bool {
        self.state.is_received
    }

    /// The peer's trailers, once the body is finished; `None` if it sent none.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.state.trailers.as_deref()
    }

    /// How urgent what we send on this stream is among all streams. On a server: as the client asked
    /// (RFC 9218), unless it was changed.
    pub fn priority(&self) -> Priority {
        self.io.priority(self.state.id).unwrap_or_default()
    }

    /// Makes what we send on this stream more urgent or less. The client may still ask otherwise.
    ///
    /// ```
    /// use protoquic_core::http::ServerExchange;
    /// use protoquic_core::streams::Priority;
    ///
    /// /// Style sheets hold up everything else, whatever the client thinks of them.
    /// fn hurry(exchange: &mut ServerExchange<'_>) {
    ///     let urgency = exchange.priority().urgency.min(1);
    ///     exchange.set_priority(Priority { urgency, incremental: false });
    /// }
    /// ```
    pub fn set_priority(&mut self, priority: Priority) {
        // An error: there is nothing more to send.
        let _ = self.io.set_priority(self.state.id, priority);
    }

    /// Has the handler called at this time, whether or not there is news.
    pub fn wake_at(&mut self, at: Time) {
        self.http.wake_at(self.state.id, at);
    }

    /// Whether the handshake is not complete. On a server the request may then be a replay of one
    /// that was sent before: who cannot serve it twice answers 425 (RFC 8470 §5.2), and the client
    /// asks again after the handshake.
    pub fn is_early(&self) -> bool {
        self.io.is_early()
    }

    /// Takes the front of `data` as far as there is room, and returns how many bytes that is. What
    /// it leaves must be offered again before anything else;
    /// `on_can_write` tells when. On a client: of a request whose body is
    /// [`Written`](Body::Written).
    pub fn write_body(&mut self, data: &mut Bytes) -> Result<usize, ExchangeError> {
        self.state.writer.write(data, self.http, self.io)
    }

    /// Ends our message.
    pub fn finish(&mut self) -> Result<(), ExchangeError> {
        self.state.writer.finish(self.io)
    }

    /// Ends our message with trailers.
    pub fn finish_with_trailers(&mut self, trailers: &HeaderMap) -> Result<(), ExchangeError> {
        self.state.writer.trailers(trailers, self.http, self.io)
    }

    /// Gives up the exchange: resets the stream both ways. The handler is not called again.
    pub fn cancel(&mut self, code: Http3Code) {
        self.state.cancelled.get_or_insert(code);
    }

    /// Closes the whole connection.
    pub fn close_connection(&mut self, code: Http3Code, reason: impl Into<String>) {
        self.http.fail(Http3Error::new(code, reason.into()));
    }
}

impl ServerExchange<'_> {
    /// Answers: with this head and this body, which is sent as there is room for it. Adds
    /// content-length where the body's length is known. A response that HTTP/3 cannot express, or a
    /// second one, resets the stream with H3_INTERNAL_ERROR.
    pub fn respond(&mut self, response: Response<impl Into<Body>>) {
        let (parts, body) = response.into_parts();
        let mut head = Response::from_parts(parts, ());
        let body = body.into();
        add_content_length(&self.state.method, &mut head, body.content_length());
        self.respond_with(&head, body);
    }

    /// Answers as [`respond`](Self::respond) does, with a head that is only lent: for what is said to
    /// many. Adds nothing to it.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Response, header};
    /// use protoquic_core::http::ServerExchange;
    ///
    /// /// A page, made once.
    /// struct Page {
    ///     head: Response<()>,
    ///     text: Bytes,
    /// }
    ///
    /// impl Page {
    ///     fn new(text: &'static str) -> Self {
    ///         let head = Response::builder().header(header::CONTENT_LENGTH, text.len());
    ///         let head = head.body(()).expect("the head is well formed");
    ///         Self { head, text: Bytes::from_static(text.as_bytes()) }
    ///     }
    ///
    ///     fn serve(&self, exchange: &mut ServerExchange<'_>) {
    ///         exchange.respond_with(&self.head, self.text.clone());
    ///     }
    /// }
    /// # let _ = Page::new("hello").text;
    /// ```
    pub fn respond_with(&mut self, head: &Response<()>, body: impl Into<Body>) {
        match self.try_respond(head, body.into()) {
            Ok(()) | Err(ExchangeError::StreamClosed) => {}
            Err(error) => {
                log::warn!("the response on {} cannot be sent: {error}", self.state.id);
                self.cancel(Http3Code::INTERNAL_ERROR);
            }
        }
    }

    fn try_respond(&mut self, head: &Response<()>, body: Body) -> Result<(), ExchangeError> {
        let length = self.begin_response(head)?;
        let status = head.status();
        let fields = response_fields(&status, head.headers())?;
        let has_body = has_body(&self.state.method, status);
        let writer = &mut self.state.writer;
        writer.message((&fields, has_body), length, body, self.http, self.io)
    }

    /// Sends an interim response: 100 to 199, but not 101 (RFC 9114 §4.1).
    pub fn send_interim(&mut self, response: &Response<()>) -> Result<(), ExchangeError> {
        let status = response.status();
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ExchangeError::Invalid("not an interim status of HTTP/3"));
        }
        let fields = response_fields(&status, response.headers())?;
        self.state.writer.interim(&fields, self.http, self.io)
    }

    /// Sends the head of the final response, to be followed by [`write_body`](Self::write_body) and
    /// [`finish`](Self::finish). With a content-length, exactly as many bytes must follow; nothing
    /// needs to be written, and nothing is sent, for HEAD, 204 and 304.
    pub fn send_response(&mut self, response: &Response<()>) -> Result<(), ExchangeError> {
        let length = self.begin_response(response)?;
        let status = response.status();
        let fields = response_fields(&status, response.headers())?;
        let has_body = has_body(&self.state.method, status);
        let writer = &mut self.state.writer;
        writer.head(&fields, has_body, length, self.http, self.io)
    }

    /// Looks at the head of the final response. Returns its content-length.
    fn begin_response(&mut self, response: &Response<()>) -> Result<Option<u64>, ExchangeError> {
        let status = response.status();
        if status.is_informational() {
            return Err(ExchangeError::Invalid("not a final status"));
        }
        let is_tunnel = is_tunnel(&self.state.method, status);
        let length = response.headers().get(header::CONTENT_LENGTH);
        // RFC 9110 §9.3.6
        if is_tunnel && length.is_some() {
            return Err(ExchangeError::Invalid("a CONNECT that succeeds has no content-length"));
        }
        self.state.is_tunnel = is_tunnel;
        length.map(parse_length).transpose()
    }

    /// Whether the response was begun.
    pub fn has_responded(&self) -> bool {
        !self.state.writer.is_before_head()
    }

    /// Whether a body written now will reach the client: not for HEAD, 204 and 304, nor after the
    /// end.
    pub fn wants_body(&self) -> bool {
        self.state.writer.has_body() && !self.state.writer.is_over()
    }
}

impl ExchangeState {
    pub(super) fn new(id: StreamId, method: Method) -> Self {
        Self {
            id,
            method,
            reader: MessageReader::new(id),
            writer: MessageWriter::new(id),
            trailers: None,
            is_received: false,
            is_tunnel: false,
            fault: None,
            cancelled: None,
            record: None,
        }
    }

    /// Of a pushed response, whose stream begins with `start`.
    pub(super) fn pushed(id: StreamId, method: Method, start: Bytes, at_end: bool) -> Self {
        let reader = MessageReader::pushed(id, start, at_end);
        let mut writer = MessageWriter::new(id);
        writer.drop_body();
        Self { reader, writer, ..Self::new(id, method) }
    }

    /// The next piece of body. Trailers, the end and faults are noted on the way.
    pub(super) fn read_body(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Option<Bytes> {
        loop {
            if self.fault.is_some() || self.cancelled.is_some() {
                return None;
            }
            match self.reader.poll(http, io) {
                Ok(Some(Incoming::Data(data))) => {
                    note(&mut self.record, &data);
                    return Some(data);
                }
                Ok(Some(Incoming::Fields(fields))) => match parse_trailers(fields) {
                    Ok(trailers) => self.trailers = Some(Box::new(trailers)),
                    Err(fault) => self.fault = Some(fault),
                },
                Ok(Some(Incoming::TooLarge)) => {
                    self.fault = Some(Fault::stream(
                        Http3Code::EXCESSIVE_LOAD,
                        "the trailers are too large",
                    ));
                }
                Ok(Some(Incoming::End)) => self.is_received = true,
                // A stream that has a header section is none of a session.
                Ok(None | Some(Incoming::WebTransport(_))) => return None,
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    /// Ends both directions of the stream.
    pub(super) fn abort(
        &mut self,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        self.writer.reset(code, io);
        self.stop_reading(code, http, io);
    }

    /// Ends the receiving direction, if it has not ended.
    pub(super) fn stop_reading(
        &mut self,
        code: Http3Code,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        if !self.is_received {
            self.reader.give_up(http);
            io.stop_sending(self.id, code);
        }
    }
}

/// RFC 9110 §8.6: where it is known and allowed.
pub(super) fn add_content_length(
    method: &Method,
    response: &mut Response<()>,
    length: Option<u64>,
) {
    let status = response.status();
    if is_tunnel(method, status) {
        return;
    }
    let allowed = *method == Method::HEAD || has_body(method, status);
    if let (true, Some(length)) = (allowed, length) {
        let headers = response.headers_mut();
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// The content-length of a message of ours.
pub(super) fn parse_length(value: &HeaderValue) -> Result<u64, ExchangeError> {
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.ok_or(ExchangeError::Invalid("content-length is not a number"))
}
