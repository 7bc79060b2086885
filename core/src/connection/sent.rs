//! [`SentFrame`]: what the ledger remembers of a packet, so that each mechanism can be told when
//! its frame was acknowledged or lost. Records, not frames: a lost MAX_DATA is sent again with the
//! newest value, a lost ACK is not sent again at all (RFC 9000 §13.3).

use smallvec::SmallVec;

use super::datagrams::DatagramId;
use crate::streams::StreamRecord;

/// One frame of a sent packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SentFrame {
    Stream(StreamRecord),
    Crypto { start: u64, end: u64 },
    Ack { largest: u64 },
    HandshakeDone,
    NewToken,
    NewConnectionId { sequence: u64 },
    RetireConnectionId { sequence: u64 },
    MtuProbe,
    Datagram(DatagramId),
    AckFrequency { sequence: u64 },
}

impl SentFrame {
    /// This frame as it is in the packet so many places behind in a train, which holds the data that
    /// follow.
    pub(super) fn at_place(self, place: u64) -> Self {
        match self {
            Self::Stream(StreamRecord::Data { id, offset, len, fin }) => {
                let offset = offset + place * u64::from(len);
                Self::Stream(StreamRecord::Data { id, offset, len, fin })
            }
            other => other,
        }
    }
}

/// The frames of a sent packet. Two fit without an allocation: in bulk there is a STREAM frame and
/// now and then an ACK.
pub(super) type SentFrames = SmallVec<[SentFrame; 2]>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::StreamId;

    #[test]
    fn each_packet_of_a_train_has_data_of_its_own() {
        // RFC 9000 §13.3: what is lost is sent again, and not what the train began with
        let data = |offset| {
            let id = StreamId::MAX;
            SentFrame::Stream(StreamRecord::Data { id, offset, len: 1408, fin: false })
        };
        assert_eq!(data(500).at_place(0), data(500));
        assert_eq!(data(500).at_place(63), data(500 + 63 * 1408));
        let other = SentFrame::Crypto { start: 1, end: 5 };
        assert_eq!(other.at_place(0), other);
    }
}
