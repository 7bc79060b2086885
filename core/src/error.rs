//! The errors of the transport, in families: the peer broke a rule ([`TransportError`]), our caller
//! misused us ([`StreamError`]), and why a connection ended ([`CloseReason`]). One function,
//! [`TransportError::code`], gives the wire code (RFC 9000 §20.1).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A transport error code (RFC 9000 §20.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransportErrorCode(pub u64);

impl TransportErrorCode {
    /// The connection is closed without an error.
    pub const NO_ERROR: Self = Self(0x00);
    /// The endpoint has a fault of its own and cannot go on.
    pub const INTERNAL_ERROR: Self = Self(0x01);
    /// The server refused to accept a new connection.
    pub const CONNECTION_REFUSED: Self = Self(0x02);
    /// The peer sent more data than its advertised limits allow.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x03);
    /// The peer opened a stream beyond its advertised limit.
    pub const STREAM_LIMIT_ERROR: Self = Self(0x04);
    /// A frame arrived for a stream in a state that does not permit it.
    pub const STREAM_STATE_ERROR: Self = Self(0x05);
    /// A stream's final size changed, or data passed it.
    pub const FINAL_SIZE_ERROR: Self = Self(0x06);
    /// A frame was badly formatted.
    pub const FRAME_ENCODING_ERROR: Self = Self(0x07);
    /// Transport parameters were malformed, invalid, missing or forbidden.
    pub const TRANSPORT_PARAMETER_ERROR: Self = Self(0x08);
    /// The peer issued more connection IDs than the limit allows.
    pub const CONNECTION_ID_LIMIT_ERROR: Self = Self(0x09);
    /// A rule was broken that has no more specific code.
    pub const PROTOCOL_VIOLATION: Self = Self(0x0a);
    /// A client Initial carried an invalid token.
    pub const INVALID_TOKEN: Self = Self(0x0b);
    /// The application or its protocol closed the connection during the handshake.
    pub const APPLICATION_ERROR: Self = Self(0x0c);
    /// More CRYPTO data arrived than can be buffered.
    pub const CRYPTO_BUFFER_EXCEEDED: Self = Self(0x0d);
    /// A key update broke the rules of RFC 9001 §6.
    pub const KEY_UPDATE_ERROR: Self = Self(0x0e);
    /// The AEAD's confidentiality or integrity limit is reached (RFC 9001 §6.6).
    pub const AEAD_LIMIT_REACHED: Self = Self(0x0f);
    /// No network path can carry this connection.
    pub const NO_VIABLE_PATH: Self = Self(0x10);
    /// The version was negotiated wrongly, or somebody meddled with it (RFC 9368 §10.2).
    pub const VERSION_NEGOTIATION_ERROR: Self = Self(0x11);

    /// The code for a TLS alert: CRYPTO_ERROR, 0x0100-0x01ff (RFC 9001 §4.8).
    pub const fn crypto(alert: u8) -> Self {
        Self(0x0100 | alert as u64)
    }

    /// The TLS alert inside a CRYPTO_ERROR code.
    pub const fn tls_alert(self) -> Option<u8> {
        if self.0 & !0xff == 0x0100 { Some(self.0 as u8) } else { None }
    }

    /// The name the RFC gives this code, if it gives one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x00 => "NO_ERROR",
            0x01 => "INTERNAL_ERROR",
            0x02 => "CONNECTION_REFUSED",
            0x03 => "FLOW_CONTROL_ERROR",
            0x04 => "STREAM_LIMIT_ERROR",
            0x05 => "STREAM_STATE_ERROR",
            0x06 => "FINAL_SIZE_ERROR",
            0x07 => "FRAME_ENCODING_ERROR",
            0x08 => "TRANSPORT_PARAMETER_ERROR",
            0x09 => "CONNECTION_ID_LIMIT_ERROR",
            0x0a => "PROTOCOL_VIOLATION",
            0x0b => "INVALID_TOKEN",
            0x0c => "APPLICATION_ERROR",
            0x0d => "CRYPTO_BUFFER_EXCEEDED",
            0x0e => "KEY_UPDATE_ERROR",
            0x0f => "AEAD_LIMIT_REACHED",
            0x10 => "NO_VIABLE_PATH",
            0x11 => "VERSION_NEGOTIATION_ERROR",
            0x0100..=0x01ff => "CRYPTO_ERROR",
            _ => return None,
        })
    }
}

impl fmt::Display for TransportErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.tls_alert()) {
            (Some(name), Some(alert)) => write!(f, "{name} (TLS alert {alert})"),
            (Some(name), None) => f.write_str(name),
            (None, _) => write!(f, "unknown transport error {:#x}", self.0),
        }
    }
}

/// An application protocol's error code, as RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE (0x1d)
/// carry it (RFC 9000 §20.2). Range 0 to 2^62 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationError(pub u64);

impl fmt::Display for ApplicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application error {:#x}", self.0)
    }
}

/// The peer broke a rule, or we cannot go on: the connection must be closed with this code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    code: TransportErrorCode,
    frame_type: Option<u64>,
    reason: Cow<'static, str>,
}

impl TransportError {
    /// An error of any code; the reason says what happened and with which value.
    pub fn new(code: TransportErrorCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, frame_type: None, reason: reason.into() }
    }

    /// The same error, blamed on a frame of this type (sent in CONNECTION_CLOSE, RFC 9000 §19.19).
    #[must_use]
    pub fn in_frame(mut self, frame_type: u64) -> Self {
        self.frame_type.get_or_insert(frame_type);
        self
    }

    /// The wire code.
    pub const fn code(&self) -> TransportErrorCode {
        self.code
    }

    /// The type of the frame that caused it, where one did.
    pub const fn frame_type(&self) -> Option<u64> {
        self.frame_type
    }

    /// What happened, for a person.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Declares one constructor per code, named as the code is.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        impl TransportError {
            $($(#[$doc])*
            pub fn $name(reason: impl Into<Cow<'static, str>>) -> Self {
                Self::new(TransportErrorCode::$code, reason)
            })*
        }
    };
}

constructors! {
    /// INTERNAL_ERROR.
    internal => INTERNAL_ERROR;
    /// FLOW_CONTROL_ERROR.
    flow_control => FLOW_CONTROL_ERROR;
    /// STREAM_LIMIT_ERROR.
    stream_limit => STREAM_LIMIT_ERROR;
    /// STREAM_STATE_ERROR.
    stream_state => STREAM_STATE_ERROR;
    /// FINAL_SIZE_ERROR.
    final_size => FINAL_SIZE_ERROR;
    /// FRAME_ENCODING_ERROR.
    frame_encoding => FRAME_ENCODING_ERROR;
    /// TRANSPORT_PARAMETER_ERROR.
    transport_parameter => TRANSPORT_PARAMETER_ERROR;
    /// CONNECTION_ID_LIMIT_ERROR.
    connection_id_limit => CONNECTION_ID_LIMIT_ERROR;
    /// PROTOCOL_VIOLATION.
    protocol_violation => PROTOCOL_VIOLATION;
    /// INVALID_TOKEN.
    invalid_token => INVALID_TOKEN;
    /// CRYPTO_BUFFER_EXCEEDED.
    crypto_buffer_exceeded => CRYPTO_BUFFER_EXCEEDED;
    /// KEY_UPDATE_ERROR.
    key_update => KEY_UPDATE_ERROR;
    /// AEAD_LIMIT_REACHED.
    aead_limit_reached => AEAD_LIMIT_REACHED;
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)?;
        match self.frame_type {
            Some(frame) => write!(f, " (frame type {frame:#x})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TransportError {}

/// A caller asked a stream for something that it cannot do. The connection is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// No such stream, or it is closed and forgotten.
    UnknownStream,
    /// The stream has no sending part (the peer opened it as unidirectional), or no receiving part
    /// (we did).
    WrongDirection,
    /// The sending part is finished or reset: nothing more can be written.
    Finished,
    /// The peer asked us to stop sending, with this code.
    Stopped(ApplicationError),
    /// The peer reset its sending part, with this code; unread data is gone.
    Reset(ApplicationError),
    /// The peer's stream limit is reached; wait for `on_can_create_outgoing_stream`.
    LimitReached,
    /// The peer does not know what this asks of it.
    NotSupported,
    /// The connection is closed or closing.
    ConnectionClosed,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownStream => f.write_str("no such stream, or it is already closed"),
            Self::WrongDirection => f.write_str("the stream does not carry data in that direction"),
            Self::Finished => f.write_str("the stream's sending part is already finished or reset"),
            Self::Stopped(code) => write!(f, "the peer asked to stop sending: {code}"),
            Self::Reset(code) => write!(f, "the peer reset the stream: {code}"),
            Self::LimitReached => f.write_str(
                "the peer's stream limit is reached; try again on on_can_create_outgoing_stream",
            ),
            Self::NotSupported => f.write_str("the peer does not support that"),
            Self::ConnectionClosed => f.write_str("the connection is closed"),
        }
    }
}

impl std::error::Error for StreamError {}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke a rule, or we failed: this error was sent to it.
    Transport(TransportError),
    /// The peer closed with a transport error (CONNECTION_CLOSE 0x1c).
    PeerTransport(TransportError),
    /// Our application closed the connection.
    Application {
        /// The application protocol's code.
        code: ApplicationError,
        /// What was said to the peer.
        reason: Bytes,
    },
    /// The peer's application closed the connection (CONNECTION_CLOSE 0x1d).
    PeerApplication {
        /// The application protocol's code.
        code: ApplicationError,
        /// What the peer said; not trusted to be text.
        reason: Bytes,
    },
    /// Nothing was heard from the peer for the idle timeout (RFC 9000 §10.1).
    IdleTimeout,
    /// The handshake did not finish in the configured time.
    HandshakeTimeout,
    /// The peer has lost its state and said so (RFC 9000 §10.3).
    StatelessReset,
    /// The server offers none of the versions that we speak (RFC 9000 §6.2).
    VersionMismatch {
        /// What the server offered.
        offered: Vec<u32>,
    },
    /// The packet writer failed for good, with this text.
    WriteFailed(String),
}

impl CloseReason {
    /// Whether the connection ended as its applications wanted: closed by either of them or idle.
    pub const fn is_graceful(&self) -> bool {
        match self {
            Self::Application { .. } | Self::PeerApplication { .. } | Self::IdleTimeout => true,
            Self::PeerTransport(error) | Self::Transport(error) => error.code.0 == 0,
            _ => false,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => write!(f, "closed by us: {error}"),
            Self::PeerTransport(error) => write!(f, "closed by the peer: {error}"),
            Self::Application { code, reason } => {
                write!(f, "closed by us: {code} {}", String::from_utf8_lossy(reason))
            }
            Self::PeerApplication { code, reason } => {
                write!(f, "closed by the peer: {code} {}", String::from_utf8_lossy(reason))
            }
            Self::IdleTimeout => f.write_str("idle for too long"),
            Self::HandshakeTimeout => f.write_str("the handshake did not finish in time"),
            Self::StatelessReset => f.write_str("the peer has lost this connection's state"),
            Self::VersionMismatch { offered } => {
                write!(f, "no version in common: the server offers {offered:#010x?}")
            }
            Self::WriteFailed(error) => write!(f, "packets cannot be written: {error}"),
        }
    }
}
