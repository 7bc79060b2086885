//! The [`h3`] crate's `quic` traits, so that HTTP/3 as it is written there runs over protoquic:
//! [`Connection::new`] is what `h3::client::new` and `h3::server::Connection::new` take.
//!
//! ```no_run
//! use protoquic_asynchronous::{Endpoint, Settings, h3};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new().alpn(&[b"h3"]).trust_any_certificate();
//! let endpoint = Endpoint::client(&settings)?;
//! let connection = endpoint.connect("127.0.0.1:443".parse()?, "localhost")?.await?;
//! let (mut driver, mut requests) = ::h3::client::new(h3::Connection::new(connection)).await?;
//! let request = http::Request::get("https://localhost/").body(())?;
//! let mut stream = requests.send_request(request).await?;
//! stream.finish().await?;
//! let response = tokio::select! {
//!     response = stream.recv_response() => response?,
//!     error = std::future::poll_fn(|cx| driver.poll_close(cx)) => return Err(error.into()),
//! };
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use protoquic_core::{ApplicationError, CloseReason, Direction};
use protoquic_io_thread::{Seat, Turn};

use crate::connection::Owned;
use crate::opening::Opening;
use crate::{Error, Result};

type ConnectionResult<T> = std::result::Result<T, ConnectionErrorIncoming>;
type StreamResult<T> = std::result::Result<T, StreamErrorIncoming>;

/// A connection for `h3`.
#[derive(Debug)]
pub struct Connection {
    opener: Opener,
    bidirectional: Seat,
    unidirectional: Seat,
}

impl Connection {
    /// HTTP/3 on this connection, whose protocol (ALPN) is to be `h3`.
    pub fn new(connection: crate::Connection) -> Self {
        Self {
            opener: Opener::new(connection),
            bidirectional: Seat::default(),
            unidirectional: Seat::default(),
        }
    }

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<ConnectionResult<Owned>> {
        let seat = match direction {
            Direction::Bidirectional => &mut self.bidirectional,
            Direction::Unidirectional => &mut self.unidirectional,
        };
        let owner = &self.opener.connection.0;
        let stream = owner.shared.accept(Turn { waker: cx.waker(), seat }, Some(direction));
        stream.map_ok(|stream| (Arc::clone(owner), stream)).map_err(of_connection)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let state = &self.opener.connection.0.shared.state;
        state.leave(&mut self.bidirectional);
        state.leave(&mut self.unidirectional);
    }
}

impl<B: Buf> quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionResult<RecvStream>> {
        let accepted = self.poll_accept(cx, Direction::Unidirectional);
        accepted.map_ok(|(owner, stream)| RecvStream(crate::RecvStream::new(owner, stream)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionResult<BidiStream<B>>> {
        self.poll_accept(cx, Direction::Bidirectional).map_ok(BidiStream::new)
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

impl<B: Buf> quic::OpenStreams<B> for Connection {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<BidiStream<B>>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<SendStream<B>>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        quic::OpenStreams::<B>::close(&mut self.opener, code, reason);
    }
}

/// Opens streams of a connection for `h3`.
#[derive(Debug)]
pub struct Opener {
    connection: crate::Connection,
    bidirectional: Option<Opening>,
    unidirectional: Option<Opening>,
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(self.connection.clone())
    }
}

impl Opener {
    fn new(connection: crate::Connection) -> Self {
        Self { connection, bidirectional: None, unidirectional: None }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, direction: Direction) -> Poll<Result<Owned>> {
        let place = match direction {
            Direction::Bidirectional => &mut self.bidirectional,
            Direction::Unidirectional => &mut self.unidirectional,
        };
        let opening = match place {
            Some(opening) => opening,
            None => place.insert(Opening::new(&self.connection.0, direction)?),
        };
        let opened = ready!(opening.poll(cx));
        *place = None;
        Poll::Ready(opened)
    }
}

impl<B: Buf> quic::OpenStreams<B> for Opener {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<BidiStream<B>>> {
        let opened = self.poll_open(cx, Direction::Bidirectional);
        opened.map_ok(BidiStream::new).map_err(of_stream)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<SendStream<B>>> {
        let opened = self.poll_open(cx, Direction::Unidirectional);
        opened
            .map_ok(|(owner, stream)| SendStream::new(crate::SendStream::new(owner, stream)))
            .map_err(of_stream)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        let reason = String::from_utf8_lossy(reason);
        self.connection.close(ApplicationError(code.value()), &reason);
    }
}

/// A stream that carries data both ways, for `h3`.
#[derive(Debug)]
pub struct BidiStream<B: Buf> {
    send: SendStream<B>,
    recv: RecvStream,
}

impl<B: Buf> BidiStream<B> {
    fn new((owner, stream): Owned) -> Self {
        let send = crate::SendStream::new(Arc::clone(&owner), Arc::clone(&stream));
        let recv = RecvStream(crate::RecvStream::new(owner, stream));
        Self { send: SendStream::new(send), recv }
    }
}

impl<B: Buf> quic::BidiStream<B> for BidiStream<B> {
    type SendStream = SendStream<B>;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream<B>, RecvStream) {
        (self.send, self.recv)
    }
}

impl<B: Buf> quic::RecvStream for BidiStream<B> {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<Option<Bytes>>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.recv.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl<B: Buf> quic::SendStream<B> for BidiStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<()>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> StreamResult<()> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<()>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<B: Buf> quic::SendStreamUnframed<B> for BidiStream<B> {
    fn poll_send<D: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut D,
    ) -> Poll<StreamResult<usize>> {
        self.send.poll_send(cx, data)
    }
}

/// A stream's receiving part, for `h3`.
#[derive(Debug)]
pub struct RecvStream(crate::RecvStream);

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<Option<Bytes>>> {
        self.0.poll_read_chunk(cx, usize::MAX).map_err(of_stream)
    }

    fn stop_sending(&mut self, code: u64) {
        let _ = self.0.stop(ApplicationError(code)); // the stream is over, which is as good
    }

    fn recv_id(&self) -> StreamId {
        id(self.0.id())
    }
}

/// A stream's sending part, for `h3`.
pub struct SendStream<B: Buf> {
    stream: crate::SendStream,
    /// What `h3` has given us and the stream had no room for.
    unsent: Option<WriteBuf<B>>,
}

impl<B: Buf> std::fmt::Debug for SendStream<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<B: Buf> SendStream<B> {
    fn new(stream: crate::SendStream) -> Self {
        Self { stream, unsent: None }
    }
}

impl<B: Buf> quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<()>> {
        if let Some(data) = &mut self.unsent {
            while data.has_remaining() {
                let written =
                    ready!(self.stream.poll_write(cx, data.chunk())).map_err(of_stream)?;
                data.advance(written);
            }
        }
        self.unsent = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> StreamResult<()> {
        if self.unsent.is_some() {
            let why = "data was given to a stream that was not ready".to_owned();
            let connection_error = ConnectionErrorIncoming::InternalError(why);
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        self.unsent = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult<()>> {
        ready!(self.poll_ready(cx))?;
        Poll::Ready(self.stream.finish_again().map_err(of_stream))
    }

    fn reset(&mut self, code: u64) {
        self.unsent = None;
        let _ = self.stream.reset(ApplicationError(code)); // the stream is over, which is as good
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl<B: Buf> quic::SendStreamUnframed<B> for SendStream<B> {
    fn poll_send<D: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut D,
    ) -> Poll<StreamResult<usize>> {
        ready!(quic::SendStream::poll_ready(self, cx))?;
        let written = ready!(self.stream.poll_write(cx, data.chunk())).map_err(of_stream)?;
        data.advance(written);
        Poll::Ready(Ok(written))
    }
}

fn id(id: protoquic_core::StreamId) -> StreamId {
    // Both are numbers below 2^62 (RFC 9000 §2.1), so the conversion cannot fail.
    StreamId::try_from(id.as_u64()).unwrap_or_else(|_| unreachable!("{id:?} is no stream ID"))
}

fn of_connection(error: Error) -> ConnectionErrorIncoming {
    match error {
        Error::Closed(CloseReason::PeerApplication { code, .. }) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: code.0 }
        }
        Error::Closed(CloseReason::IdleTimeout | CloseReason::HandshakeTimeout) => {
            ConnectionErrorIncoming::Timeout
        }
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn of_stream(error: Error) -> StreamErrorIncoming {
    match error {
        Error::Reset(code) | Error::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.0 }
        }
        error @ (Error::Closed(_) | Error::System(..)) => {
            let connection_error = of_connection(error);
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
        }
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
