//! Live video over QUIC: a server that broadcasts H.265 or H.264 to many viewers, and viewers that
//! choose how frames travel. Read `server.rs` first, then `sender.rs`, then `viewer.rs`;
//! `docs/live-video.md` walks through them and has the formats.
//!
//! The way of a frame: `annex_b.rs` cuts it out of the file, `broadcast.rs` shows it when it is due,
//! `selection.rs` says who gets it, `sender.rs` sends it; at the viewer `reassembly.rs` or a stream
//! has it whole again, `playout.rs` puts it in order, `measure.rs` judges it.

mod annex_b;
mod broadcast;
mod chart;
mod crowd;
mod feedback;
mod fragments;
mod journal;
mod measure;
mod nal;
mod output;
mod playout;
mod reassembly;
mod selection;
mod sender;
mod server;
mod source;
mod synthetic;
mod table;
mod viewer;
mod wire;

use std::rc::Rc;
use std::time::Duration;

use protoquic::connection::DatagramConfig;
use protoquic::streams::StreamsConfig;
use protoquic::{ApplicationError, Config};

pub use annex_b::{AccessUnit, AnnexBError, MAX_ACCESS_UNIT, Splitter};
pub use broadcast::{Broadcast, BroadcastConfig, Frame, SharedBroadcast};
pub use chart::{Chart, ChartError};
pub use crowd::Crowd;
pub use feedback::{Message, Messages, Mode, Notice, Request, Skip};
pub use fragments::MAX_PARITY;
pub use journal::{Csv, Log};
pub use measure::{Counts, FrameRecord, Measure, Outcome};
pub use nal::{Codec, FrameKind};
pub use output::{Destination, Output};
pub use reassembly::ReassemblyTally;
pub use selection::Selection;
pub use server::{LiveServer, ServerStream, live_factory};
pub use source::{Input, ListSource, NextUnit, Source, ThreadSource, read_in_thread};
pub use synthetic::{SyntheticVideo, VideoSpec};
pub use table::Table;
pub use viewer::{FrameReader, Viewer, ViewerPlan, ViewerStream};
pub use wire::{FrameHeader, MAX_FRAME};

/// The name by which both ends agree on this protocol (RFC 7301).
pub const ALPN: &[u8] = b"protoquic-live/1";

/// Where the lines go that tell what happens.
pub type Say = Rc<dyn Fn(&str)>;

/// The protocol's error codes (RFC 9000 §20.2).
pub mod codes {
    use super::ApplicationError;

    /// Nothing is wrong: the video is over, or the viewer has seen enough.
    pub const DONE: ApplicationError = ApplicationError(0);
    /// A stream that this protocol does not have.
    pub const NO_SUCH_STREAM: ApplicationError = ApplicationError(1);
    /// A message that cannot be understood, or should not have come.
    pub const BAD_MESSAGE: ApplicationError = ApplicationError(2);
    /// A frame that was given up because it is late.
    pub const TOO_LATE: ApplicationError = ApplicationError(3);
}

/// The transport's settings of a server: it keeps little unsent, so that what waits can still be
/// dropped.
pub fn server_transport() -> Config {
    let streams = StreamsConfig {
        max_streams_bidi: 1,
        max_streams_uni: 0,
        send_buffer: 64 << 10,
        ..StreamsConfig::default()
    };
    let send_buffer = 2 * sender::MAX_QUEUED;
    let datagrams = DatagramConfig { send_buffer, ..DatagramConfig::default() };
    Config { streams, datagrams, idle_timeout: IDLE_TIMEOUT, ..Config::default() }
}

/// The transport's settings of a viewer: as many frames at a time as a second has, in windows that
/// hold them.
pub fn viewer_transport() -> Config {
    let streams = StreamsConfig {
        max_data: 8 << 20,
        max_stream_data_uni: 4 << 20,
        max_streams_bidi: 0,
        max_streams_uni: 256,
        ..StreamsConfig::default()
    };
    let datagrams = DatagramConfig {
        max_frame_size: 65_535,
        receive_buffer: 8 << 20,
        ..DatagramConfig::default()
    };
    let keep_alive = Some(IDLE_TIMEOUT / 3); // a pause may be long
    Config { streams, datagrams, keep_alive, idle_timeout: IDLE_TIMEOUT, ..Config::default() }
}

/// Who is silent for so long has gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
