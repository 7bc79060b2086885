//! [`Blockage`]: why the streams have nothing to send. For who asks, not for who sends: it looks at
//! every stream.

use super::Streams;
use super::send_part::Outlook;
use crate::types::StreamId;

/// Why no stream has anything to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blockage {
    /// The connection's flow control is used up, and there is data (RFC 9000 §4.1).
    Connection {
        /// The peer's limit, in bytes.
        limit: u64,
    },
    /// Flow control is used up on each stream that has data.
    Stream {
        /// One of them.
        id: StreamId,
        /// The peer's limit there, in bytes.
        limit: u64,
    },
    /// Streams could carry data, and have none.
    Application {
        /// How many.
        streams: usize,
    },
    /// There is no stream that could carry data, or not all data is blocked.
    Idle,
}

impl Streams {
    /// What stands between the streams' data and the network.
    pub fn blockage(&self) -> Blockage {
        let mut writable = 0;
        let mut blocked = None;
        for (_, stream) in &self.table.slab {
            let Some(part) = &stream.send else { continue };
            match part.outlook() {
                Outlook::Data if self.send_window.available() == 0 => {
                    return Blockage::Connection { limit: self.send_window.max() };
                }
                Outlook::Blocked => {
                    blocked = Some(Blockage::Stream { id: stream.id, limit: part.window.max() });
                }
                Outlook::Idle if part.check_writable().is_ok() => writable += 1,
                Outlook::Idle | Outlook::Data | Outlook::FinOnly => {}
            }
        }
        match blocked {
            Some(blocked) => blocked,
            None if writable > 0 => Blockage::Application { streams: writable },
            None => Blockage::Idle,
        }
    }
}
