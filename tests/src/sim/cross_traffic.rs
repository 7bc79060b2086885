//! [`CrossTraffic`]: datagrams at a constant rate that nobody answers, to take part of a line
//! away. This file must not know QUIC.

use std::time::Duration;

use protoquic::{Ecn, OutgoingPacket, PacketWriter, PathAddress, Payload, ReceivedPacket, Time};

use super::actor::{Actor, SimWriter};
use super::datagram::overhead;

/// A source of other traffic, and a sink for it.
#[derive(Debug)]
pub struct CrossTraffic {
    writer: SimWriter,
    path: PathAddress,
    /// UDP payload of each datagram, in bytes.
    size: usize,
    interval: Duration,
    next: Option<Time>,
    end: Time,
    received: u64,
}

impl CrossTraffic {
    /// Sends `rate` bits of IP packets a second from `start` to `end`, in datagrams of `size` bytes
    /// of payload.
    pub fn new(
        writer: SimWriter,
        path: PathAddress,
        rate: u64,
        size: usize,
        start: Time,
        end: Time,
    ) -> Self {
        let bits = 8 * (size + overhead(&path.peer)) as u64;
        let interval = Duration::from_nanos((bits * 1_000_000_000).div_ceil(rate.max(1)));
        Self { writer, path, size, interval, next: Some(start), end, received: 0 }
    }

    /// Only takes what comes.
    pub fn sink(writer: SimWriter, path: PathAddress) -> Self {
        let never = Duration::MAX;
        Self { writer, path, size: 0, interval: never, next: None, end: Time::ZERO, received: 0 }
    }

    /// Datagrams that came.
    pub fn received(&self) -> u64 {
        self.received
    }
}

impl Actor for CrossTraffic {
    fn on_datagram(&mut self, _packet: ReceivedPacket) {
        self.received += 1;
    }

    fn on_turn(&mut self, now: Time) {
        while let Some(next) = self.next.filter(|next| *next <= now) {
            let data = vec![0; self.size];
            let packet = OutgoingPacket {
                path: &self.path,
                payload: Payload::Borrowed(&data),
                ecn: Ecn::NotEct,
                release_time: None,
            };
            self.writer.write_packet(&packet);
            self.next = Some(next + self.interval).filter(|next| *next < self.end);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.next
    }
}
