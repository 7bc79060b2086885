//! The errors of HTTP/3: its codes ([`Http3Code`]), a broken rule ([`Http3Error`]), what a request
//! can fail of ([`RequestFailure`]) and how our caller can misuse an exchange ([`ExchangeError`]).
//! [`Fault`] is the room's own: which of connection and stream a broken rule ends.

use std::borrow::Cow;
use std::fmt;

use crate::error::ApplicationError;

/// An HTTP/3 or QPACK error code (RFC 9114 §8.1, RFC 9204 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Http3Code(pub u64);

/// Declares the codes with their names.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl Http3Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name the RFC gives this code, if it gives one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// There is no error to signal.
    NO_ERROR = 0x100, "H3_NO_ERROR";
    /// The peer broke a rule that has no more specific code.
    GENERAL_PROTOCOL_ERROR = 0x101, "H3_GENERAL_PROTOCOL_ERROR";
    /// A fault of this endpoint's own.
    INTERNAL_ERROR = 0x102, "H3_INTERNAL_ERROR";
    /// The peer opened a stream that is not accepted.
    STREAM_CREATION_ERROR = 0x103, "H3_STREAM_CREATION_ERROR";
    /// A stream that the connection needs was closed.
    CLOSED_CRITICAL_STREAM = 0x104, "H3_CLOSED_CRITICAL_STREAM";
    /// A frame came in a state or on a stream where it is not allowed.
    FRAME_UNEXPECTED = 0x105, "H3_FRAME_UNEXPECTED";
    /// A frame's layout or size is wrong.
    FRAME_ERROR = 0x106, "H3_FRAME_ERROR";
    /// The peer causes more work than it should.
    EXCESSIVE_LOAD = 0x107, "H3_EXCESSIVE_LOAD";
    /// A stream or push ID was used wrongly.
    ID_ERROR = 0x108, "H3_ID_ERROR";
    /// The payload of a SETTINGS frame is wrong.
    SETTINGS_ERROR = 0x109, "H3_SETTINGS_ERROR";
    /// The control stream does not begin with SETTINGS.
    MISSING_SETTINGS = 0x10a, "H3_MISSING_SETTINGS";
    /// The server did no work on the request.
    REQUEST_REJECTED = 0x10b, "H3_REQUEST_REJECTED";
    /// The request or its response is no longer wanted.
    REQUEST_CANCELLED = 0x10c, "H3_REQUEST_CANCELLED";
    /// The client's stream ended without a whole request.
    REQUEST_INCOMPLETE = 0x10d, "H3_REQUEST_INCOMPLETE";
    /// A message is malformed.
    MESSAGE_ERROR = 0x10e, "H3_MESSAGE_ERROR";
    /// A tunnel's TCP connection was reset or closed abnormally.
    CONNECT_ERROR = 0x10f, "H3_CONNECT_ERROR";
    /// The request must be made over HTTP/1.1.
    VERSION_FALLBACK = 0x110, "H3_VERSION_FALLBACK";
    /// An HTTP Datagram, or a capsule, is wrong or not expected (RFC 9297 §5.2).
    DATAGRAM_ERROR = 0x33, "H3_DATAGRAM_ERROR";
    /// A WebTransport stream came before its session, and too many such wait already
    /// (draft-ietf-webtrans-http3-07 §8.5).
    WEBTRANSPORT_BUFFERED_STREAM_REJECTED = 0x3994_bd84, "H3_WEBTRANSPORT_BUFFERED_STREAM_REJECTED";
    /// The WebTransport session of a stream is over.
    WEBTRANSPORT_SESSION_GONE = 0x170d_7b68, "H3_WEBTRANSPORT_SESSION_GONE";
    /// A field section cannot be decoded.
    QPACK_DECOMPRESSION_FAILED = 0x200, "QPACK_DECOMPRESSION_FAILED";
    /// The encoder stream carries something wrong.
    QPACK_ENCODER_STREAM_ERROR = 0x201, "QPACK_ENCODER_STREAM_ERROR";
    /// The decoder stream carries something wrong.
    QPACK_DECODER_STREAM_ERROR = 0x202, "QPACK_DECODER_STREAM_ERROR";
}

impl From<Http3Code> for ApplicationError {
    fn from(code: Http3Code) -> Self {
        Self(code.0)
    }
}

impl From<ApplicationError> for Http3Code {
    fn from(code: ApplicationError) -> Self {
        Self(code.0)
    }
}

impl fmt::Display for Http3Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "HTTP/3 error {:#x}", self.0),
        }
    }
}

/// A rule of HTTP/3 that was broken: the code to answer with and what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http3Error {
    /// The code.
    pub code: Http3Code,
    /// What happened, for a person.
    pub reason: Cow<'static, str>,
}

impl Http3Error {
    /// An error of this code.
    pub fn new(code: Http3Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl fmt::Display for Http3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl std::error::Error for Http3Error {}

/// Why an exchange of request and response came to no good end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// The peer gave the stream up with this code.
    Peer(Http3Code),
    /// The peer's message broke a rule, or ours did; the stream was reset.
    Message(Http3Error),
    /// The server did not process the request (GOAWAY or H3_REQUEST_REJECTED): it can be sent again
    /// on another connection without risk (RFC 9114 §4.1.1, §5.2).
    NotProcessed,
    /// The connection ended first.
    ConnectionClosed,
}

impl RequestFailure {
    /// Whether the request can be sent again even if its method is not idempotent.
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::NotProcessed)
    }
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(code) => write!(f, "the peer gave up the stream: {code}"),
            Self::Message(error) => write!(f, "{error}"),
            Self::NotProcessed => f.write_str("the server did not process the request"),
            Self::ConnectionClosed => f.write_str("the connection closed before the end"),
        }
    }
}

impl std::error::Error for RequestFailure {}

/// A call that an exchange, or a client's session, cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeError {
    /// The message is past the point where this could be sent, or not there yet.
    WrongState,
    /// More, or less, body than the content-length announced. The stream has been reset.
    ContentLength,
    /// The header section is larger than the peer accepts: its size and the peer's limit in bytes.
    TooLarge {
        /// The size of the section (RFC 9114 §4.2.2).
        size: u64,
        /// SETTINGS_MAX_FIELD_SECTION_SIZE of the peer.
        limit: u64,
    },
    /// The message cannot be expressed in HTTP/3, for this reason.
    Invalid(&'static str),
    /// As many requests are waiting for a stream as the configuration allows.
    QueueFull,
    /// The connection is closing or the server is going away: no new requests.
    GoingAway,
    /// The stream is over.
    StreamClosed,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongState => f.write_str("this cannot be sent at this point of the message"),
            Self::ContentLength => f.write_str("the body does not have its announced length"),
            Self::TooLarge { size, limit } => {
                write!(f, "a header section of {size} bytes where the peer accepts {limit}")
            }
            Self::Invalid(reason) => f.write_str(reason),
            Self::QueueFull => f.write_str("too many requests are waiting for a stream"),
            Self::GoingAway => f.write_str("the connection takes no new requests"),
            Self::StreamClosed => f.write_str("the stream is over"),
        }
    }
}

impl std::error::Error for ExchangeError {}

/// What reading a stream can run into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Ends the connection.
    Connection(Http3Error),
    /// Ends the stream.
    Stream(Http3Error),
    /// The peer reset its sending part.
    Reset(Http3Code),
}

impl Fault {
    pub(super) fn connection(code: Http3Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Connection(Http3Error::new(code, reason))
    }

    pub(super) fn stream(code: Http3Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Stream(Http3Error::new(code, reason))
    }

    /// A malformed message (RFC 9114 §4.1.2).
    pub(super) fn message(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::stream(Http3Code::MESSAGE_ERROR, reason)
    }
}

/// What a parser of a frame or stream, which knows no streams, finds wrong ends the connection.
impl From<Http3Error> for Fault {
    fn from(error: Http3Error) -> Self {
        Self::Connection(error)
    }
}
