//! The limits of the streams room: [`StreamsConfig`], ours, and [`PeerLimits`], the peer's.

/// Our limits on streams. The first six are what the transport parameters announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsConfig {
    /// initial_max_data: bytes on all streams, and the connection's receive window.
    pub max_data: u64,
    /// initial_max_stream_data_bidi_local: the receive window of bidirectional streams that we open.
    pub max_stream_data_bidi_local: u64,
    /// initial_max_stream_data_bidi_remote: of bidirectional streams that the peer opens.
    pub max_stream_data_bidi_remote: u64,
    /// initial_max_stream_data_uni: of unidirectional streams that the peer opens.
    pub max_stream_data_uni: u64,
    /// initial_max_streams_bidi: how many bidirectional streams the peer may have open at a time.
    pub max_streams_bidi: u64,
    /// initial_max_streams_uni: likewise of unidirectional streams.
    pub max_streams_uni: u64,
    /// A stream's receive window grows up to this many bytes when the application keeps up with it.
    /// Below the initial window: it does not grow.
    pub max_stream_window: u64,
    /// Likewise for the connection's receive window.
    pub max_connection_window: u64,
    /// How many unsent bytes of one stream `write` keeps. At least 1.
    pub send_buffer: usize,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            max_data: 2 << 20,
            max_stream_data_bidi_local: 1 << 20,
            max_stream_data_bidi_remote: 1 << 20,
            max_stream_data_uni: 1 << 20,
            max_streams_bidi: 100,
            max_streams_uni: 100,
            max_stream_window: 16 << 20,
            max_connection_window: 24 << 20,
            send_buffer: 256 << 10,
        }
    }
}

/// The peer's limits, from its transport parameters (RFC 9000 §18.2). All 0 if it gave none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerLimits {
    /// initial_max_data, in bytes.
    pub initial_max_data: u64,
    /// initial_max_stream_data_bidi_local: of bidirectional streams that the peer opens.
    pub initial_max_stream_data_bidi_local: u64,
    /// initial_max_stream_data_bidi_remote: of bidirectional streams that we open.
    pub initial_max_stream_data_bidi_remote: u64,
    /// initial_max_stream_data_uni: of unidirectional streams that we open.
    pub initial_max_stream_data_uni: u64,
    /// initial_max_streams_bidi: how many bidirectional streams we may open.
    pub initial_max_streams_bidi: u64,
    /// initial_max_streams_uni: likewise of unidirectional streams.
    pub initial_max_streams_uni: u64,
    /// Whether the peer takes RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset §3).
    pub reset_stream_at: bool,
}

/// What the streams did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamsStats {
    /// Bytes of stream data sent for the first time.
    pub bytes_sent: u64,
    /// Bytes of stream data sent again.
    pub bytes_resent: u64,
    /// Bytes of stream data in received frames, duplicates included.
    pub bytes_received: u64,
    /// Bytes that the application read.
    pub bytes_read: u64,
    /// Streams forgotten, after both parts were done.
    pub streams_closed: u64,
    /// Frames that were legal and useless: empty, duplicate, stale. The connection should bound
    /// their rate.
    pub glitches: u64,
}
