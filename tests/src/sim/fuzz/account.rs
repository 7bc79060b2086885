//! [`Account`]: the packet numbers of one end of a connection, kept by an observer: none is used
//! twice, none is taken twice, each is acknowledged once at most, and in the end only what the other
//! end has received. This file must not know what packets hold.

use std::cell::RefCell;
use std::rc::Rc;

use protoquic::connection::{ConnectionStart, Metrics, PlainPacket};
use protoquic::{Observer, ObserverFactory, PacketInfo, Space, Time};

/// The books of one end.
#[derive(Debug, Default)]
pub struct Account {
    /// The last number that was sent in each space.
    last_sent: [Option<u64>; 3],
    received: [Numbers; 3],
    acked: [Numbers; 3],
    lost: [Numbers; 3],
}

pub(super) type SharedAccount = Rc<RefCell<Account>>;

impl Account {
    fn on_sent(&mut self, packet: &PacketInfo) {
        let space = packet.space as usize;
        if packet.number == 0 && packet.space == Space::Initial && self.received_nothing() {
            // A client that begins again in another version counts anew, with other keys
            // (RFC 9000 §6.2).
            *self = Self::default();
        }
        let last = self.last_sent[space].replace(packet.number);
        assert!(last < Some(packet.number), "{packet:?} after {last:?}"); // RFC 9000 §12.3
    }

    fn received_nothing(&self) -> bool {
        self.received.iter().all(|numbers| numbers.0.is_empty())
    }

    fn on_acked(&mut self, packet: &PacketInfo) {
        let space = packet.space as usize;
        assert!(Some(packet.number) <= self.last_sent[space], "{packet:?} was never sent");
        assert!(self.acked[space].insert(packet.number), "{packet:?} is acknowledged again");
        assert!(!self.lost[space].contains(packet.number), "{packet:?} was given up");
    }

    fn on_lost(&mut self, packet: &PacketInfo) {
        let space = packet.space as usize;
        assert!(self.lost[space].insert(packet.number), "{packet:?} is lost again");
        assert!(!self.acked[space].contains(packet.number), "{packet:?} is lost, yet acknowledged");
    }

    /// RFC 9000 §13.1: an endpoint acknowledges what it has received, and nothing else.
    pub(super) fn check_acks(&self, peer: &Self) {
        for space in Space::ALL {
            let (acked, received) = (&self.acked[space as usize], &peer.received[space as usize]);
            let wrong = acked.first_not_in(received);
            assert_eq!(wrong, None, "in {space:?} acknowledged, yet never received");
        }
    }
}

/// Keeps the books.
#[derive(Debug)]
pub(super) struct Bookkeeper(pub(super) SharedAccount);

impl Observer for Bookkeeper {
    fn on_packet_sent(&mut self, _now: Time, packet: &PlainPacket<'_>) {
        self.0.borrow_mut().on_sent(&packet.info);
    }

    fn on_packet_received(&mut self, _now: Time, packet: &PlainPacket<'_>) {
        let PacketInfo { space, number, .. } = packet.info;
        let is_new = self.0.borrow_mut().received[space as usize].insert(number);
        assert!(is_new, "{:?} was taken twice", packet.info); // RFC 9000 §12.3
    }

    fn on_packet_acked(&mut self, _now: Time, packet: &PacketInfo) {
        self.0.borrow_mut().on_acked(packet);
    }

    fn on_packet_lost(&mut self, _now: Time, packet: &PacketInfo) {
        self.0.borrow_mut().on_lost(packet);
    }

    fn on_metrics_updated(&mut self, _now: Time, metrics: &Metrics) {
        // RFC 9002 §7.2
        assert!(metrics.congestion_window >= 2 * 1200, "{metrics:?}");
    }
}

/// Has books kept of a server's connections. The latest account lies where the session for it can
/// take it.
#[derive(Debug, Default)]
pub(super) struct Bookkeepers(pub(super) Rc<RefCell<SharedAccount>>);

impl ObserverFactory for Bookkeepers {
    fn create_observer(&mut self, _start: &ConnectionStart) -> Option<Box<dyn Observer>> {
        let account = SharedAccount::default();
        self.0.replace(account.clone());
        Some(Box::new(Bookkeeper(account)))
    }
}

/// A set of numbers, dense from 0 on.
#[derive(Debug, Default)]
struct Numbers(Vec<u64>);

impl Numbers {
    /// Returns whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    fn contains(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn first_not_in(&self, other: &Self) -> Option<u64> {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        let mut words = (0..).zip(self.0.iter().zip(others));
        words.find_map(|(word, (ours, theirs))| {
            let missing = ours & !theirs;
            (missing != 0).then(|| word * 64 + u64::from(missing.trailing_zeros()))
        })
    }

    fn place(number: u64) -> (usize, u64) {
        ((number / 64) as usize, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u64) -> PacketInfo {
        PacketInfo { space: Space::Application, number, size: 1200 }
    }

    #[test]
    fn numbers_are_found_where_they_were_put() {
        let (mut one, mut other) = (Numbers::default(), Numbers::default());
        assert!(one.insert(3) && one.insert(200) && !one.insert(200));
        assert!(other.insert(3));
        assert_eq!((one.first_not_in(&other), other.first_not_in(&one)), (Some(200), None));
    }

    #[test]
    #[should_panic = "after Some(5)"]
    fn a_number_that_is_used_twice_is_seen() {
        let mut account = Account::default();
        account.on_sent(&packet(5));
        account.on_sent(&packet(5));
    }

    #[test]
    #[should_panic = "acknowledged, yet never received"]
    fn an_ack_of_what_was_not_received_is_seen() {
        let (mut account, peer) = (Account::default(), Account::default());
        account.on_sent(&packet(0));
        account.on_acked(&packet(0));
        account.check_acks(&peer);
    }
}
