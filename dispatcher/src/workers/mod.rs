//! Several dispatchers for one port, each with a socket and a thread of its own: a [`WorkerPlace`]
//! is what one of them knows of the others. A byte of every connection ID that a worker issues tells
//! whose it is, so that the system can lead packets to their worker whatever address they come
//! from; what arrives at another worker is handed over. This room must not know sockets or threads.

mod ids;
mod inbox;

use std::fmt;
use std::sync::Arc;

use protoquic_core::ReceivedPacket;

use inbox::Inbox;

pub use ids::WorkerConnectionIds;
pub(crate) use inbox::MAX_INBOX;

/// Which worker gets a client's first packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPackets {
    /// The one that the client's own choice of an ID leads to, by the same rule that holds for ours.
    /// For sockets that are steered by connection IDs, where that is where they arrive, and for
    /// systems that spread datagrams badly, where others hand them over.
    ByConnectionId,
    /// The one where they arrive. For sockets among which the system chooses by the client's
    /// address, which rarely changes before the server's IDs are known.
    WhereTheyArrive,
}

/// Why there cannot be so many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkersError {
    /// So many were asked for, but it must be 1 to [`MAX_WORKERS`].
    Count(usize),
    /// Connection IDs have so many bytes, but must have at least 8.
    IdLength(usize),
    /// The generator's IDs are all alike where the worker has to be told.
    FixedIds,
}

impl fmt::Display for WorkersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => {
                write!(f, "there must be 1 to {MAX_WORKERS} workers, not {count}")
            }
            Self::IdLength(length) => write!(
                f,
                "connection IDs must have {} bytes or more to tell a worker, not {length}",
                STEERING_BYTE + 1
            ),
            Self::FixedIds => {
                write!(f, "byte {STEERING_BYTE} of these connection IDs cannot tell a worker")
            }
        }
    }
}

impl std::error::Error for WorkersError {}

/// One worker's place among the workers of a port. It goes to the worker's thread, into its
/// [`Dispatcher`](crate::Dispatcher::set_worker).
///
/// ```
/// use protoquic_core::SystemRandom;
/// use protoquic_dispatcher::{ConnectionIdGenerator, FirstPackets, WorkerPlace};
///
/// let places = WorkerPlace::all(4, FirstPackets::ByConnectionId)?;
/// let mut ids = places[3].connection_ids(8)?;
/// let id = ids.generate(&mut SystemRandom);
/// // A short header and the ID: this packet belongs to worker 3.
/// let packet = [&[0x40], id.as_bytes()].concat();
/// assert_eq!(places[0].worker_of(&packet), Some(3));
/// # Ok::<(), protoquic_dispatcher::WorkersError>(())
/// ```
pub struct WorkerPlace {
    number: usize,
    first_packets: FirstPackets,
    inboxes: Arc<[inbox::Sender]>,
    inbox: Inbox,
}

impl WorkerPlace {
    /// The places of so many workers, 1 to [`MAX_WORKERS`].
    pub fn all(count: usize, first_packets: FirstPackets) -> Result<Vec<Self>, WorkersError> {
        if !(1..=MAX_WORKERS).contains(&count) {
            return Err(WorkersError::Count(count));
        }
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| inbox::inbox()).unzip();
        let senders: Arc<[_]> = senders.into();
        let place = |(number, inbox)| {
            let inboxes = Arc::clone(&senders);
            Self { number, first_packets, inboxes, inbox }
        };
        Ok(inboxes.into_iter().enumerate().map(place).collect())
    }

    /// Which worker this is, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.inboxes.len()
    }

    /// How this worker's event loop is made to take another turn when something was handed over to
    /// it. To be said before any worker begins.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.inboxes[self.number].set_wake(Box::new(wake));
    }

    /// Random connection IDs of this length, 8 to 20 bytes, that tell this worker.
    pub fn connection_ids(&self, length: usize) -> Result<WorkerConnectionIds, WorkersError> {
        WorkerConnectionIds::random(length, self.number, self.count())
    }

    /// Which worker a datagram belongs to by its destination ID; `None` if that is too short to
    /// tell. Kernels that are asked to steer do the same.
    pub fn worker_of(&self, datagram: &[u8]) -> Option<usize> {
        steering_byte(datagram).map(|byte| usize::from(byte) % self.count())
    }

    /// Which other worker a datagram belongs to that no session here claims.
    fn other_owner(&self, datagram: &[u8]) -> Option<usize> {
        if is_long(datagram) && self.first_packets == FirstPackets::WhereTheyArrive {
            return None;
        }
        self.worker_of(datagram).filter(|owner| *owner != self.number)
    }

    /// What becomes of a datagram that no session here claims.
    pub(crate) fn hand_over(&self, packet: ReceivedPacket) -> HandOver {
        match self.other_owner(&packet.data) {
            None => HandOver::Ours(packet),
            Some(owner) if self.inboxes[owner].send(packet) => HandOver::Done,
            Some(_) => HandOver::Dropped,
        }
    }

    /// A datagram that another worker has handed over.
    pub(crate) fn take(&self) -> Option<ReceivedPacket> {
        self.inbox.take()
    }
}

impl fmt::Debug for WorkerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, count) = (self.number, self.count());
        write!(f, "WorkerPlace({number} of {count}, first packets {:?})", self.first_packets)
    }
}

/// What became of a datagram.
#[derive(Debug)]
pub(crate) enum HandOver {
    /// It belongs here.
    Ours(ReceivedPacket),
    /// Another worker will have it.
    Done,
    /// The worker that it belongs to has more to do than it can.
    Dropped,
}

fn is_long(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x80 != 0)
}

/// RFC 8999 §5: a long header has flags, version, the destination's length and the destination; a
/// short one flags and the destination.
fn steering_byte(datagram: &[u8]) -> Option<u8> {
    let at = if is_long(datagram) {
        let length = usize::from(*datagram.get(5)?);
        (length > STEERING_BYTE).then_some(6 + STEERING_BYTE)?
    } else {
        1 + STEERING_BYTE
    };
    datagram.get(at).copied()
}

/// Which byte of a connection ID tells the worker: it is this byte modulo their number. A client's
/// first choice is long enough to have it (RFC 9000 §7.2).
pub const STEERING_BYTE: usize = 7;

/// How many workers a port may have: what a byte can tell apart.
pub const MAX_WORKERS: usize = 256;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use protoquic_core::{Ecn, PathAddress, Time};

    use super::*;

    fn packet(data: &[u8]) -> ReceivedPacket {
        let (local, peer) = (([127, 0, 0, 1], 443).into(), ([127, 0, 0, 1], 5).into());
        let path = PathAddress::new(local, peer);
        ReceivedPacket { path, ecn: Ecn::NotEct, received: Time::ZERO, data: BytesMut::from(data) }
    }

    fn short(byte: u8) -> Vec<u8> {
        [&[0x40, 1, 1, 1, 1, 1, 1, 1, byte][..], &[0; 20]].concat()
    }

    fn initial(byte: u8) -> Vec<u8> {
        [&[0xc0, 0, 0, 0, 1, 8, 1, 1, 1, 1, 1, 1, 1, byte][..], &[0; 20]].concat()
    }

    #[test]
    fn zero_workers_and_too_many_are_refused() {
        for count in [0, MAX_WORKERS + 1, usize::MAX] {
            let error = WorkerPlace::all(count, FirstPackets::ByConnectionId).unwrap_err();
            assert_eq!(error, WorkersError::Count(count));
            assert!(error.to_string().contains(&format!("not {count}")));
        }
        assert_eq!(WorkerPlace::all(256, FirstPackets::ByConnectionId).unwrap().len(), 256);
    }

    #[test]
    fn packets_of_others_are_handed_over_once_and_ours_kept() {
        let places = WorkerPlace::all(3, FirstPackets::ByConnectionId).unwrap();
        for data in [short(5), initial(5)] {
            assert!(matches!(places[0].hand_over(packet(&data)), HandOver::Done));
            let taken = places[2].take().expect("5 modulo 3 is 2");
            assert_eq!(taken.data, data);
            // Who has it keeps it: nothing goes round.
            assert!(matches!(places[2].hand_over(taken), HandOver::Ours(_)));
        }
        assert!(places.iter().all(|place| place.take().is_none()));
    }

    #[test]
    fn where_the_address_decides_first_packets_stay() {
        let places = WorkerPlace::all(3, FirstPackets::WhereTheyArrive).unwrap();
        assert!(matches!(places[0].hand_over(packet(&initial(5))), HandOver::Ours(_)));
        assert!(matches!(places[0].hand_over(packet(&short(5))), HandOver::Done));
    }

    #[test]
    fn ids_too_short_to_tell_stay_where_they_are() {
        let places = WorkerPlace::all(3, FirstPackets::ByConnectionId).unwrap();
        let probe = [0xc0, 0, 0, 0, 9, 4, 1, 1, 1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        for data in [&probe[..], &short(5)[..8], &[0xc0], &[]] {
            assert!(matches!(places[0].hand_over(packet(data)), HandOver::Ours(_)));
        }
    }

    #[test]
    fn a_full_inbox_drops_and_a_worker_that_is_gone_too() {
        let mut places = WorkerPlace::all(2, FirstPackets::ByConnectionId).unwrap();
        for _ in 0..MAX_INBOX {
            assert!(matches!(places[0].hand_over(packet(&short(1))), HandOver::Done));
        }
        assert!(matches!(places[0].hand_over(packet(&short(1))), HandOver::Dropped));
        assert!(places[1].take().is_some());
        assert!(matches!(places[0].hand_over(packet(&short(1))), HandOver::Done));
        drop(places.pop());
        assert!(matches!(places[0].hand_over(packet(&short(1))), HandOver::Dropped));
    }

    #[test]
    fn who_gets_something_is_woken() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let places = WorkerPlace::all(2, FirstPackets::ByConnectionId).unwrap();
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        places[1].set_wake(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let _ = places[0].hand_over(packet(&short(1)));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    }
}
