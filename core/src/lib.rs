//! The QUIC and HTTP/3 protocol machine of protoquic.
//!
//! Sans-IO: this crate opens no socket, starts no thread, reads no clock and keeps no global state.
//! Time, randomness and packets come in through its arguments and traits, so the same inputs give
//! the same outputs, in real time or in virtual time.

#![forbid(unsafe_code)]

pub mod alarm;
pub mod congestion;
pub mod connection;
pub mod crypto;
pub mod error;
pub mod event_loop;
pub mod helper;
pub mod http;
pub mod packet_batch;
pub mod packet_reader;
pub mod packet_writer;
pub mod qpack;
mod rare;
pub mod recovery;
pub mod session;
pub mod session_cache;
pub mod streams;
pub mod time;
pub mod types;
pub mod wire;

pub use alarm::{Alarm, AlarmFactory, AlarmOwner};
pub use connection::{
    ClientSetup, Config, ConfigError, Connection, ConnectionStats, DatagramConfig, DatagramError,
    DatagramId, DatagramOptions, EarlyData, EarlyDataGuard, Event, Metrics, Observer,
    ObserverFactory, PacketInfo, SendStatus, ServerSetup, SetupError,
};
pub use error::{ApplicationError, CloseReason, StreamError, TransportError, TransportErrorCode};
pub use event_loop::EventLoopVisitor;
pub use helper::{Clock, ConnectionHelper, RandomGenerator, SeededRandom, SystemRandom};
pub use packet_batch::PacketBatch;
pub use packet_reader::{PacketReader, PacketSink, ReadBudget, ReadOutcome, ReceivedPacket};
pub use packet_writer::{OutgoingPacket, PacketWriter, Payload, WriteResult};
pub use session::{
    ClientHelloInfo, FnFactory, Host, Notice, Refuse, Reject, ServerConfig, Session,
    SessionContext, SessionFactory, SessionHost, SingleHost, Stream, StreamContext,
};
pub use session_cache::{MemorySessionCache, RememberedServer, SessionCache};
pub use time::Time;
pub use types::{
    ConnectionId, Direction, Ecn, EcnCounts, PathAddress, ResetToken, Role, Space, StreamId,
};
