//! [`SentPacket`]: what is remembered of a packet until it is acknowledged or lost.

use crate::congestion::DeliveryState;
use crate::time::Time;
use crate::types::Ecn;

/// A packet on its way (RFC 9002 §A.1.1). `F` is what the connection needs to know of its frames.
#[derive(Clone, Debug)]
pub struct SentPacket<F> {
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
}

/// What becomes of packets. Each packet is handed over exactly once, acknowledged or lost.
pub trait FrameSink<F> {
    /// The peer has received this packet. Packets of one ACK frame come in rising order.
    fn on_packet_acked(&mut self, space: crate::Space, packet_number: u64, packet: SentPacket<F>);

    /// This packet is deemed lost; what still matters of its frames should be sent again. Rising
    /// order.
    fn on_packet_lost(&mut self, space: crate::Space, packet_number: u64, packet: SentPacket<F>);
}
