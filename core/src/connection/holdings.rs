//! [`Holdings`]: how much a connection keeps of what its peer sends, and the most that its settings
//! and its named limits let it keep. For whoever runs many connections and wants to know where
//! memory is, and for tests of the limits. This file must not know what the kept things are.

use super::Connection;
use super::crypto_stream::MAX_AHEAD;
use super::paths::MAX_OTHER_PATHS;
use super::receive::MAX_EARLY_PACKETS;
use crate::recovery::AckRanges;
use crate::streams::MAX_GAPS_PER_CONNECTION;
use crate::types::Space;

/// What a connection keeps because its peer had it do so. Computed when asked for.
///
/// ```
/// use protoquic_core::Connection;
///
/// /// Whether the application leaves much of what it could read.
/// fn is_read_slowly(connection: &Connection) -> bool {
///     let (now, most) = (connection.holdings(), connection.most_holdings());
///     assert_eq!(now.excess(&most), None);
///     now.unread > most.unread / 2
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Bytes of stream data that the application has not read, those that are missing between
    /// them included.
    pub unread: u64,
    /// Streams that the peer has opened and that are not over.
    pub peer_streams: u64,
    /// Gaps in the data of all streams.
    pub gaps: usize,
    /// Bytes of datagrams that wait for the application, with
    /// [`DATAGRAM_OVERHEAD`](super::DATAGRAM_OVERHEAD) for each.
    pub datagrams: usize,
    /// Bytes of handshake messages that wait for those before them.
    pub handshake: usize,
    /// Ranges of received packet numbers, of all spaces.
    pub ranges: usize,
    /// Packets that wait for their keys.
    pub early_packets: usize,
    /// Paths besides the one in use.
    pub paths: usize,
    /// Connection IDs of the peer's, those that are to be retired included.
    pub connection_ids: usize,
}

impl Holdings {
    /// The first number that is above that of `most`, by its name.
    pub fn excess(&self, most: &Self) -> Option<&'static str> {
        let pairs = [
            ("unread", self.unread, most.unread),
            ("peer_streams", self.peer_streams, most.peer_streams),
            ("gaps", self.gaps as u64, most.gaps as u64),
            ("datagrams", self.datagrams as u64, most.datagrams as u64),
            ("handshake", self.handshake as u64, most.handshake as u64),
            ("ranges", self.ranges as u64, most.ranges as u64),
            ("early_packets", self.early_packets as u64, most.early_packets as u64),
            ("paths", self.paths as u64, most.paths as u64),
            ("connection_ids", self.connection_ids as u64, most.connection_ids as u64),
        ];
        pairs.into_iter().find(|(_, now, most)| now > most).map(|(name, ..)| name)
    }
}

impl Connection {
    /// What it keeps now.
    pub fn holdings(&self) -> Holdings {
        let spaces = self.spaces.iter();
        Holdings {
            unread: self.streams.unread(),
            peer_streams: self.streams.opened_by_peer(),
            gaps: self.streams.gaps(),
            datagrams: self.datagrams.received_bytes(),
            handshake: spaces.clone().map(|space| space.crypto.waiting_bytes()).sum(),
            ranges: spaces.map(|space| space.acks.ranges().len()).sum(),
            early_packets: self.early_packets.len(),
            paths: self.paths.others().len(),
            connection_ids: self.peer_cids.kept(),
        }
    }

    /// The most that it keeps by its settings, whatever the peer does.
    pub fn most_holdings(&self) -> Holdings {
        let streams = &self.config.streams;
        let spaces = Space::ALL.len();
        Holdings {
            unread: streams.max_data.max(streams.max_connection_window),
            peer_streams: streams.max_streams_bidi.saturating_add(streams.max_streams_uni),
            gaps: MAX_GAPS_PER_CONNECTION,
            datagrams: self.config.datagrams.receive_buffer,
            handshake: spaces * MAX_AHEAD as usize,
            ranges: spaces * AckRanges::MAX,
            early_packets: MAX_EARLY_PACKETS,
            paths: MAX_OTHER_PATHS,
            connection_ids: self.peer_cids.most_kept(),
        }
    }
}
