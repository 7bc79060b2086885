//! HTTP/3 (RFC 9114) for clients and servers, on top of [`Session`](crate::Session) and
//! [`Stream`](crate::Stream). An application implements [`Backend`] to serve, or
//! [`ResponseHandler`] to ask; both move bodies piece by piece, and never faster than the other side
//! takes them. This room must not know packets, and nothing outside of it knows HTTP/3.
//!
//! ```text
//!  Http3ServerSession / Http3ClientSession       (Session: streams made, handshake, shutdown)
//!    RequestStream / ResponseStream / UniStream  (Stream: one exchange, or a critical stream)
//!    PushStream / PushedStream                   (Stream: a pushed response)
//!    WebTransportStream                          (Stream: of a WebTransport session)
//!      MessageReader, MessageWriter, ControlReader      (pure: bytes in, events out)
//!        FrameParser, headers, Settings, BodyLength     (pure: formats and their rules)
//!    Http3Connection                             (what the streams share)
//! ```

mod backend;
mod body;
mod capsule;
mod client;
mod compression;
mod config;
mod connect;
mod connection;
mod control_stream;
mod datagrams;
mod early;
mod echo;
mod error;
mod exchange;
mod factory;
mod frame;
mod headers;
mod limits;
mod memory_backend;
mod message_body;
mod message_reader;
mod message_writer;
mod pending_request;
mod plumbing;
mod prioritize;
mod priority;
mod push;
mod request_stream;
mod response_handler;
mod response_stream;
mod server;
mod settings;
mod shutdown;
mod stored_response;
mod transport;
mod uni_stream;
pub mod webtransport;

pub use backend::{Backend, RequestHandler};
pub use body::{Body, BodyChunk, BodySource, BodyWithTrailers};
pub use capsule::{Capsule, CapsuleReader};
pub use client::{Http3ClientSession, Http3ClientStream, RequestId};
pub use config::Http3Config;
pub use connect::Protocol;
pub use datagrams::HttpDatagramError;
pub use early::EarlyRequests;
pub use echo::EchoHandler;
pub use error::{ExchangeError, Http3Code, Http3Error, RequestFailure};
pub use exchange::{ClientExchange, ClientSide, Exchange, ServerExchange, ServerSide};
pub use factory::Http3ServerFactory;
pub use memory_backend::{CachedResponse, MemoryBackend, SpecialResponse};
pub use push::{PromiseAnswer, PushDropped, PushError, PushHandler, PushId, PushInfo};
pub use response_handler::ResponseHandler;
pub use server::{Http3ServerSession, Http3ServerStream};
pub use settings::Settings;
pub use stored_response::{MAX_STORED_BODY, ResponseListener, StoredResponse};

/// The application protocol's name in ALPN (RFC 9114 §3.1).
pub const ALPN: &[u8] = b"h3";
