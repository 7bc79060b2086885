//! [`Error`]: what a call can answer instead of doing what it was asked. None of them harms the
//! connection. This file must not know what led to them.

use std::fmt;

use protoquic_core::crypto::PemError;
use protoquic_core::http::ExchangeError;
use protoquic_core::{ApplicationError, DatagramError, StreamError};

/// Why a call did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is nothing to do: no datagram to send, nothing to read, no room to write.
    Done,
    /// The buffer is too short: so many bytes are needed. Nothing was lost.
    BufferTooShort(usize),
    /// An argument or a setting makes no sense; the text says which and why.
    Invalid(String),
    /// No such stream or request, or it is over and forgotten.
    UnknownStream,
    /// The stream does not carry data in that direction.
    WrongDirection,
    /// This cannot be done at this point: the stream's sending part is finished, the response was
    /// begun already, and so on.
    WrongState,
    /// The peer allows no more streams for now.
    StreamLimit,
    /// The peer has reset the stream, with this code; what was not read is gone.
    StreamReset(u64),
    /// The peer wants no more data on the stream, with this code.
    StreamStopped(u64),
    /// The datagram, or the header section, is larger than this many bytes, which is the most that
    /// the peer takes or that fits now.
    TooLarge(usize),
    /// So much waits already that there is no room.
    QueueFull,
    /// The peer does not know what this asks of it.
    NotSupported,
    /// The connection is closed or closing, or takes no new requests.
    Closed,
}

/// What calls answer.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("there is nothing to do now"),
            Self::BufferTooShort(needed) => write!(f, "the buffer needs {needed} bytes"),
            Self::Invalid(why) => f.write_str(why),
            Self::UnknownStream => f.write_str("no such stream, or it is over"),
            Self::WrongDirection => f.write_str("the stream does not carry data in that direction"),
            Self::WrongState => f.write_str("this cannot be done at this point"),
            Self::StreamLimit => f.write_str("the peer allows no more streams for now"),
            Self::StreamReset(code) => write!(f, "the peer reset the stream with {code:#x}"),
            Self::StreamStopped(code) => write!(f, "the peer stopped the stream with {code:#x}"),
            Self::TooLarge(max) => write!(f, "only {max} bytes fit"),
            Self::QueueFull => f.write_str("too much is waiting already"),
            Self::NotSupported => f.write_str("the peer does not support that"),
            Self::Closed => f.write_str("the connection is closed"),
        }
    }
}

impl std::error::Error for Error {}

impl From<PemError> for Error {
    fn from(error: PemError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::UnknownStream => Self::UnknownStream,
            StreamError::WrongDirection => Self::WrongDirection,
            StreamError::Finished => Self::WrongState,
            StreamError::Stopped(ApplicationError(code)) => Self::StreamStopped(code),
            StreamError::Reset(ApplicationError(code)) => Self::StreamReset(code),
            StreamError::LimitReached => Self::StreamLimit,
            StreamError::NotSupported => Self::NotSupported,
            StreamError::ConnectionClosed => Self::Closed,
        }
    }
}

impl From<DatagramError> for Error {
    fn from(error: DatagramError) -> Self {
        match error {
            DatagramError::NotSupported => Self::NotSupported,
            DatagramError::TooLarge(max) => Self::TooLarge(max),
            DatagramError::QueueFull => Self::QueueFull,
            DatagramError::ConnectionClosed => Self::Closed,
        }
    }
}

impl From<ExchangeError> for Error {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::WrongState => Self::WrongState,
            ExchangeError::TooLarge { limit, .. } => {
                Self::TooLarge(usize::try_from(limit).unwrap_or(usize::MAX))
            }
            ExchangeError::QueueFull => Self::QueueFull,
            ExchangeError::GoingAway => Self::Closed,
            ExchangeError::StreamClosed => Self::UnknownStream,
            other @ (ExchangeError::ContentLength | ExchangeError::Invalid(_)) => {
                Self::Invalid(other.to_string())
            }
        }
    }
}
