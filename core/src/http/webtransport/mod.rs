//! WebTransport over HTTP/3 (draft-ietf-webtrans-http3-07, and the settings of -02 that browsers and
//! others still send): sessions on extended CONNECT, with streams and datagrams of their own both
//! ways. A server accepts with [`ServerExchange::accept_webtransport`](super::ServerExchange), a
//! client asks with [`Http3ClientSession::open_webtransport`](super::Http3ClientSession); both
//! implement [`WebTransportVisitor`]. This room must not know packets.
//!
//! ```text
//!  SessionHandler        (the handler of the CONNECT's exchange: capsules, and the visitor)
//!    WebTransportSession (what the visitor is lent)
//!  WebTransportStream    (Stream: reads the front of a stream, then says that there is news)
//!  WebTransports         (what both share: which stream is whose, what came early, what is doomed)
//! ```

mod capsules;
mod codes;
mod echo;
mod establish;
mod handler;
mod registry;
mod session;
mod stream;
mod visitor;

pub use codes::{from_http3_code, to_http3_code};
pub use echo::WebTransportEcho;
pub(super) use establish::{complete, must_wait, refusal};
pub(super) use registry::{LazyWebTransports, settle};
pub use session::WebTransportSession;
pub(super) use stream::{BIDI_SIGNAL, UNI_TYPE, WebTransportStream};
pub use visitor::{WebTransportEnd, WebTransportVisitor};
