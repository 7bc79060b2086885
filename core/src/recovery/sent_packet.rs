//! [`SentPacket`]: what is remembered of a packet, or of a train of them, until it is acknowledged
//! or lost.

use std::ops::Range;

use crate::congestion::DeliveryState;
use crate::time::Time;
use crate::types::Ecn;

/// A packet on its way (RFC 9002 §A.1.1). `F` is what the connection needs to know of its frames.
///
/// Packets that left at the same time, one behind the other and with the same properties, are a
/// train and share one of these: it says what holds for the first of them, and from how far behind
/// it a packet is ([`Self::place`]) follows what differs.
#[derive(Clone, Debug)]
pub struct SentPacket<F> {
    /// Its number. Set by `Recovery::on_packet_sent`.
    pub number: u64,
    /// When it was sent. Set by `Recovery::on_packet_sent`.
    pub time_sent: Time,
    /// Its size in bytes, as counted by congestion control.
    pub size: u16,
    /// Whether the peer must acknowledge it.
    pub ack_eliciting: bool,
    /// Whether it counts as in flight: it is ack-eliciting or contains PADDING (RFC 9002 §2).
    pub in_flight: bool,
    /// Whether it probes the path MTU: its loss does not signal congestion (RFC 9000 §14.4).
    pub mtu_probe: bool,
    /// The ECN codepoint it was sent with.
    pub ecn: Ecn,
    /// Its frames.
    pub frames: F,
    /// For rate estimation. Set by `Recovery::on_packet_sent`.
    pub delivery: DeliveryState,
    /// Which of the connection's paths, counted by migrations, it was sent on. Set by
    /// `Recovery::on_packet_sent`.
    pub path: u32,
}

impl<F> SentPacket<F> {
    /// An ack-eliciting packet that is in flight.
    pub fn ack_eliciting(size: u16, ecn: Ecn, frames: F) -> Self {
        Self { ack_eliciting: true, in_flight: true, ..Self::ack_only(size, ecn, frames) }
    }

    /// A packet that is neither ack-eliciting nor padded: it holds ACK (and CONNECTION_CLOSE)
    /// frames only.
    pub fn ack_only(size: u16, ecn: Ecn, frames: F) -> Self {
        Self {
            number: 0,
            time_sent: Time::ZERO,
            size,
            ack_eliciting: false,
            in_flight: false,
            mtu_probe: false,
            ecn,
            frames,
            delivery: DeliveryState::default(),
            path: 0,
        }
    }

    /// How many packets of its train went before the one of this number.
    pub const fn place(&self, number: u64) -> u64 {
        number - self.number
    }

    /// For rate estimation, of the packet of this number.
    pub fn delivery_of(&self, number: u64) -> DeliveryState {
        let before = self.place(number) * u64::from(self.size);
        DeliveryState { tx_in_flight: self.delivery.tx_in_flight + before, ..self.delivery }
    }
}

/// What becomes of packets. Each packet is handed over exactly once, acknowledged or lost.
pub trait FrameSink<F> {
    /// The peer has received this packet, or several of a train, which follow one another. Packets
    /// of one ACK frame come in rising order.
    fn on_packets_acked(
        &mut self,
        space: crate::Space,
        numbers: Range<u64>,
        packet: &SentPacket<F>,
    );

    /// This packet is deemed lost; what still matters of its frames should be sent again. Rising
    /// order.
    fn on_packet_lost(&mut self, space: crate::Space, number: u64, packet: &SentPacket<F>);
}
