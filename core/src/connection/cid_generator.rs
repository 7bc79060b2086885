//! [`ConnectionIdGenerator`]: chooses the connection IDs that we issue. A server that routes by
//! connection ID plugs its own in. This file must not know how IDs are announced.

use std::fmt::Debug;

use crate::helper::RandomGenerator;
use crate::types::ConnectionId;

/// Chooses connection IDs (Chromium: ConnectionIdGeneratorInterface).
///
/// Called when a connection is made and whenever it issues a further ID. IDs must be unpredictable
/// to outsiders and all of one length, for short headers do not tell it (RFC 9000 §5.1, §17.3).
pub trait ConnectionIdGenerator: Debug {
    /// A new connection ID.
    fn generate(&mut self, random: &mut dyn RandomGenerator) -> ConnectionId;

    /// The length of every ID that it generates, in bytes, 0 to 20.
    fn connection_id_length(&self) -> usize;

    /// A generator of the same kind for another connection.
    fn clone_box(&self) -> Box<dyn ConnectionIdGenerator>;
}

/// Random connection IDs of one length.
#[derive(Clone, Copy, Debug)]
pub struct RandomConnectionIds {
    length: usize,
}

impl RandomConnectionIds {
    /// IDs of `length` bytes; more than 20 is taken as 20. Fewer than 8 do not tell connections
    /// apart reliably; 0 suits a client that has a socket for each connection.
    pub const fn new(length: usize) -> Self {
        Self { length: if length > ConnectionId::MAX_LEN { ConnectionId::MAX_LEN } else { length } }
    }
}

impl ConnectionIdGenerator for RandomConnectionIds {
    fn generate(&mut self, random: &mut dyn RandomGenerator) -> ConnectionId {
        let mut bytes = [0; ConnectionId::MAX_LEN];
        random.fill(&mut bytes[..self.length]);
        ConnectionId::new(&bytes[..self.length]).expect("the length is at most 20")
    }

    fn connection_id_length(&self) -> usize {
        self.length
    }

    fn clone_box(&self) -> Box<dyn ConnectionIdGenerator> {
        Box::new(*self)
    }
}
