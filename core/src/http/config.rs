//! [`Http3Config`]: the limits and choices of an HTTP/3 session, in one place.

use std::time::Duration;

use super::early::EarlyRequests;

/// What an HTTP/3 session allows its peer, and how it behaves. The default is fit for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http3Config {
    /// The largest header or trailer section accepted, in bytes as RFC 9114 §4.2.2 counts them
    /// (name, value and 32 for each field). Sent as SETTINGS_MAX_FIELD_SECTION_SIZE. Default
    /// 64 KiB.
    pub max_field_section_size: u64,
    /// The memory of the QPACK dynamic table for what the peer sends, in bytes. Default 4096; 0
    /// turns the table off.
    pub qpack_max_table_capacity: u64,
    /// How many streams may wait for QPACK table entries at a time. Default 16.
    pub qpack_blocked_streams: u64,
    /// The largest sum of incomplete and undecodable field sections of all streams, in bytes.
    /// Beyond it streams are reset with H3_EXCESSIVE_LOAD. Default 1 MiB.
    pub max_buffered_sections: usize,
    /// Server: how long a client may take from opening a stream to the end of its header section.
    /// Default 10 s.
    pub header_deadline: Duration,
    /// Client: how many requests may wait for the server's stream limit. Default 10 000.
    pub max_queued_requests: usize,
    /// Server: how long requests on their way are still accepted after the first GOAWAY, a round
    /// trip or so (RFC 9114 §5.2). Default 250 ms.
    pub shutdown_grace: Duration,
    /// How long a shutdown waits for running requests before it closes the connection regardless.
    /// Default 30 s.
    pub shutdown_timeout: Duration,
    /// Reserved frame, stream and setting types are sent to keep peers tolerant of them
    /// (RFC 9114 §7.2.8), derived from this number; `None` sends none. Different numbers for
    /// different connections serve best.
    pub grease: Option<u64>,
    /// Which requests may be sent and served in early data, where the transport has such. Default:
    /// those of safe methods.
    pub early_requests: EarlyRequests,
    /// Server: requests may ask for another protocol on their stream (extended CONNECT, RFC 9220); they
    /// come to [`Backend::on_connect`](super::Backend::on_connect). Sent as
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL. Default: not.
    pub enable_connect_protocol: bool,
    /// HTTP Datagrams may be sent both ways, if the peer agrees (RFC 9297). Sent as
    /// SETTINGS_H3_DATAGRAM, if the transport takes datagrams too
    /// ([`Config::datagrams`](crate::Config::datagrams)); else not at all. Default: not.
    pub datagrams: bool,
    /// How many [WebTransport](super::webtransport) sessions a client may have at a time on one
    /// connection. Sent by both sides, as SETTINGS_WEBTRANSPORT_MAX_SESSIONS; on a client any number
    /// but 0 says that it takes part. Turns on `enable_connect_protocol` and `datagrams`, and the
    /// transport must take datagrams too ([`Config::datagrams`](crate::Config::datagrams)). Default
    /// 0: no WebTransport.
    pub webtransport_sessions: u64,
    /// Client: how many pushes the server may have under way at a time (RFC 9114 §4.6), at most
    /// 1000. As many unidirectional streams more must be allowed it. Default 0: it may not push.
    pub max_pushes: u64,
    /// Client: how long a push waits for a request that it answers, before it is cancelled. Default
    /// 60 s.
    pub push_timeout: Duration,
    /// Client: how much of a push is kept before anybody wants it, in bytes. Beyond it the push is
    /// cancelled. Default 256 KiB.
    pub max_held_push: usize,
}

impl Default for Http3Config {
    fn default() -> Self {
        Self {
            max_field_section_size: 64 * 1024,
            qpack_max_table_capacity: 4096,
            qpack_blocked_streams: 16,
            max_buffered_sections: 1024 * 1024,
            header_deadline: Duration::from_secs(10),
            max_queued_requests: 10_000,
            shutdown_grace: Duration::from_millis(250),
            shutdown_timeout: Duration::from_secs(30),
            grease: Some(0x5f3a),
            early_requests: EarlyRequests::default(),
            enable_connect_protocol: false,
            datagrams: false,
            webtransport_sessions: 0,
            max_pushes: 0,
            push_timeout: Duration::from_mins(1),
            max_held_push: 256 * 1024,
        }
    }
}

impl Http3Config {
    /// How many pushes a client allows at a time.
    pub(super) fn push_limit(&self) -> u64 {
        self.max_pushes.min(MAX_PUSHES)
    }

    /// A reserved identifier, 0x1f * N + 0x21 (RFC 9114 §7.2.8), the `nth` of this configuration.
    pub(super) fn reserved(&self, nth: u64) -> Option<u64> {
        // Up to 2^56 or so: within a varint whatever the seed.
        let seed = self.grease?;
        let mixed = seed.wrapping_add(nth).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
        Some(0x1f * (mixed >> 8) + 0x21)
    }
}

/// The most pushes at a time: what is known of each takes memory.
const MAX_PUSHES: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_identifiers_have_the_reserved_form() {
        for seed in [0, 1, 77, u64::MAX] {
            let config = Http3Config { grease: Some(seed), ..Http3Config::default() };
            let id = config.reserved(3).unwrap();
            assert!(id <= crate::wire::VARINT_MAX && (id - 0x21).is_multiple_of(0x1f), "{id}");
        }
    }
}
