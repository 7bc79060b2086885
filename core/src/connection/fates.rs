//! [`Fates`]: tells each mechanism what became of its frames: acknowledged or lost (RFC 9000 §13.3).
//! Borrows the mechanisms, beside the ledger that knows. This file must not know why a packet is
//! deemed lost.

use std::ops::Range;

use super::ack_frequency::AckFrequency;
use super::datagrams::Datagrams;
use super::local_cids::LocalConnectionIds;
use super::mtu::MtuDiscovery;
use super::observer::{Observer, PacketInfo};
use super::peer_cids::PeerConnectionIds;
use super::sent::{SentFrame, SentFrames};
use super::space::Spaces;
use crate::recovery::{FrameSink, SentPacket};
use crate::streams::{StreamRecord, Streams};
use crate::time::Time;
use crate::types::{Space, StreamId};

/// Frames of a kind that are due, each a flag: they are sent once however often they are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PendingFrames {
    pub(super) handshake_done: bool,
    pub(super) ping: bool,
    pub(super) new_token: bool,
}

impl PendingFrames {
    pub(super) const fn any(self) -> bool {
        self.handshake_done || self.ping || self.new_token
    }
}

/// The mechanisms that have frames in packets.
pub(super) struct Fates<'a> {
    pub(super) now: Time,
    pub(super) streams: &'a mut Streams,
    pub(super) datagrams: &'a mut Datagrams,
    pub(super) ack_frequency: &'a mut AckFrequency,
    pub(super) spaces: &'a mut Spaces,
    pub(super) mtu: &'a mut MtuDiscovery,
    pub(super) local_cids: &'a mut LocalConnectionIds,
    pub(super) peer_cids: &'a mut PeerConnectionIds,
    pub(super) pending: &'a mut PendingFrames,
    pub(super) observer: Option<&'a mut (dyn Observer + 'static)>,
    /// Whether the MTU in use has changed.
    pub(super) mtu_changed: bool,
    /// The largest 1-RTT packet number that was acknowledged.
    pub(super) largest_acked: Option<u64>,
    /// Acknowledged data that the streams have not heard of yet, because it may go on.
    pub(super) acked: Option<AckedData>,
}

/// A stretch of one stream, from several packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckedData {
    id: StreamId,
    offset: u64,
    len: u64,
    fin: bool,
}

impl FrameSink<SentFrames> for Fates<'_> {
    fn on_packets_acked(
        &mut self,
        space: Space,
        numbers: Range<u64>,
        packet: &SentPacket<SentFrames>,
    ) {
        self.mtu.on_packet_acked(packet.size.into(), packet.time_sent);
        if space == Space::Application {
            self.largest_acked = self.largest_acked.max(Some(numbers.end - 1));
            self.mtu.on_data_acked();
        }
        let place = packet.place(numbers.start);
        let count = numbers.end - numbers.start;
        for frame in &packet.frames {
            self.on_frame_acked(space, numbers.start, &frame.at_place(place), count);
        }
        if let Some(observer) = &mut self.observer {
            for number in numbers {
                let info = PacketInfo { space, number, size: packet.size.into() };
                observer.on_packet_acked(self.now, &info);
            }
        }
    }

    fn on_packet_lost(&mut self, space: Space, number: u64, packet: &SentPacket<SentFrames>) {
        if packet.mtu_probe {
            self.mtu.on_probe_lost(number);
        } else if self.mtu.on_packet_lost(packet.size.into(), packet.time_sent) {
            self.mtu_changed = true;
        }
        for frame in &packet.frames {
            self.on_frame_lost(space, &frame.at_place(packet.place(number)));
            if let SentFrame::Datagram(id) = *frame {
                self.datagrams.on_lost(id); // RFC 9221 §5.2: told, not sent again
            }
        }
        if let Some(observer) = &mut self.observer {
            let info = PacketInfo { space, number, size: packet.size.into() };
            observer.on_packet_lost(self.now, &info);
        }
    }
}

impl Fates<'_> {
    /// What follows for the MTU and the keys, once all packets have been handed over.
    pub(super) fn finish(mut self) -> (bool, Option<u64>) {
        self.tell_acked();
        (self.mtu_changed, self.largest_acked)
    }

    /// A bulk sender's packets follow one another in its stream: the stream is told once.
    fn on_data_acked(&mut self, id: StreamId, offset: u64, len: u64, fin: bool) {
        if let Some(run) = &mut self.acked
            && run.id == id
            && run.offset + run.len == offset
            && !run.fin
        {
            run.len += len;
            run.fin = fin;
        } else {
            self.tell_acked();
            self.acked = Some(AckedData { id, offset, len, fin });
        }
    }

    fn tell_acked(&mut self) {
        if let Some(AckedData { id, offset, len, fin }) = self.acked.take() {
            self.streams.on_data_acked(id, offset, len, fin);
        }
    }

    /// In a train, whose packets hold nothing but data, this is the frame of the first of `count`.
    fn on_frame_acked(&mut self, space: Space, number: u64, frame: &SentFrame, count: u64) {
        match *frame {
            SentFrame::Stream(StreamRecord::Data { id, offset, len, fin }) => {
                self.on_data_acked(id, offset, u64::from(len) * count, fin);
            }
            SentFrame::Stream(ref record) => {
                self.tell_acked();
                self.streams.on_acked(record);
            }
            SentFrame::Crypto { start, end } => {
                self.spaces[space as usize].crypto.on_acked(start..end);
            }
            SentFrame::Ack { largest } => {
                self.spaces[space as usize].acks.on_ack_acked(largest);
            }
            SentFrame::RetireConnectionId { sequence } => self.peer_cids.on_acked(sequence),
            SentFrame::MtuProbe => self.mtu_changed |= self.mtu.on_probe_acked(number),
            SentFrame::Datagram(id) => self.datagrams.on_acked(id),
            SentFrame::AckFrequency { sequence } => self.ack_frequency.on_acked(sequence),
            SentFrame::NewConnectionId { .. } => self.local_cids.on_acked(),
            SentFrame::HandshakeDone | SentFrame::NewToken => {}
        }
    }

    /// What is repeated, and how (RFC 9000 §13.3).
    pub(super) fn on_frame_lost(&mut self, space: Space, frame: &SentFrame) {
        self.tell_acked();
        match *frame {
            SentFrame::Stream(ref record) => self.streams.on_lost(record),
            SentFrame::Crypto { start, end } => {
                self.spaces[space as usize].crypto.on_lost(start..end);
            }
            SentFrame::HandshakeDone => self.pending.handshake_done = true,
            SentFrame::NewToken => self.pending.new_token = true,
            SentFrame::NewConnectionId { sequence } => self.local_cids.on_lost(sequence),
            SentFrame::RetireConnectionId { sequence } => self.peer_cids.on_lost(sequence),
            SentFrame::AckFrequency { sequence } => self.ack_frequency.on_lost(sequence),
            SentFrame::Ack { .. } | SentFrame::MtuProbe | SentFrame::Datagram(_) => {}
        }
    }
}
