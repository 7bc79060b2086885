//! [`Error`]: why a call did not do what it was asked. Each becomes a [`std::io::Error`] of the kind
//! that programs of sockets look for.

use std::fmt;
use std::io;

use protoquic_core::crypto::PemError;
use protoquic_core::{ApplicationError, CloseReason, DatagramError};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No such handle, or it has been closed.
    BadHandle,
    /// The handle is there, but this cannot be done with it, or not now.
    Unsuitable(&'static str),
    /// What was given cannot be used: an address, a certificate, a setting.
    Invalid(String),
    /// It would have to wait longer than its timeout.
    TimedOut,
    /// It would have to wait, and the handle is non-blocking.
    WouldBlock,
    /// The stream does not carry data in that direction.
    WrongDirection,
    /// The stream's sending part was finished or reset by us.
    Finished,
    /// The peer abandoned its sending part; what had not been read is gone.
    Reset(ApplicationError),
    /// The peer wants no more of our data.
    Stopped(ApplicationError),
    /// There is more to read than this many bytes, the limit that was given.
    TooLong(usize),
    /// The connection is over.
    Closed(CloseReason),
    /// The datagram was not taken.
    Datagram(DatagramError),
    /// The system refused something: a socket, a thread.
    System(io::ErrorKind, String),
}

impl Error {
    /// What the system said.
    pub fn system(error: &io::Error) -> Self {
        Self::System(error.kind(), error.to_string())
    }

    /// The kind of [`io::Error`] that this is.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::WouldBlock | Self::Datagram(DatagramError::QueueFull) => {
                io::ErrorKind::WouldBlock
            }
            Self::Finished | Self::Stopped(_) => io::ErrorKind::BrokenPipe,
            Self::Reset(_) => io::ErrorKind::ConnectionReset,
            Self::Closed(_) | Self::Datagram(DatagramError::ConnectionClosed) => {
                io::ErrorKind::ConnectionAborted
            }
            Self::Datagram(_) => io::ErrorKind::Unsupported,
            Self::System(kind, _) => *kind,
            Self::TooLong(_) => io::ErrorKind::InvalidData,
            Self::BadHandle | Self::Unsuitable(_) | Self::Invalid(_) | Self::WrongDirection => {
                io::ErrorKind::InvalidInput
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHandle => f.write_str("no such handle, or it has been closed"),
            Self::Unsuitable(why) => f.write_str(why),
            Self::Invalid(what) | Self::System(_, what) => f.write_str(what),
            Self::TimedOut => f.write_str("it took longer than its timeout"),
            Self::WouldBlock => f.write_str("it would have to wait"),
            Self::WrongDirection => f.write_str("the stream carries no data in that direction"),
            Self::Finished => f.write_str("the stream's sending part is finished"),
            Self::Reset(code) => write!(f, "the peer reset the stream: {code}"),
            Self::Stopped(code) => write!(f, "the peer wants no more: {code}"),
            Self::TooLong(limit) => write!(f, "more than {limit} bytes came"),
            Self::Closed(reason) => write!(f, "the connection is over: {reason}"),
            Self::Datagram(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<PemError> for Error {
    fn from(error: PemError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}
