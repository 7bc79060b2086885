//! How streams and datagrams share a packet: whichever is more urgent goes first (RFC 9218 §4.1,
//! RFC 9221 §5), and those of one urgency take turns. Also the application's side of datagrams.
//! This file must not know how either chooses among its own.

use bytes::Bytes;

use super::Connection;
use super::datagrams::{DatagramError, DatagramId, DatagramOptions, DatagramStats, Next, max_data};
use super::packet_builder::PacketBuilder;
use super::sent::SentFrame;
use crate::crypto::TAG_LEN;
use crate::time::Time;
use crate::wire::{Frame, packet_number, short_header_len};

impl Connection {
    /// Queues an unreliable datagram (RFC 9221). It is sent when congestion control and what is
    /// more urgent let it, once, and an event tells what became of it: acknowledged, lost (which a
    /// late acknowledgement can still disprove), or dropped before it was sent.
    pub fn send_datagram(
        &mut self,
        data: Bytes,
        options: DatagramOptions,
    ) -> Result<DatagramId, DatagramError> {
        if self.is_closed() {
            return Err(DatagramError::ConnectionClosed);
        }
        let max = self.max_datagram_size().ok_or(DatagramError::NotSupported)?;
        if data.len() > max {
            return Err(DatagramError::TooLarge(max));
        }
        self.datagrams.queue(data, options)
    }

    /// How many bytes a datagram may have now; `None` if the peer takes none, or has not said yet.
    /// Follows the path's MTU, up and down.
    pub fn max_datagram_size(&self) -> Option<usize> {
        // RFC 9221 §3: nothing is sent before the peer has said that it takes it, and how large.
        let peer = self.peer_parameters().max_datagram_frame_size;
        max_data(self.datagram_room().min(usize::try_from(peer).unwrap_or(usize::MAX)))
    }

    /// Whether the peer may send us datagrams
    /// ([`DatagramConfig::max_frame_size`](super::DatagramConfig::max_frame_size)).
    pub fn takes_datagrams(&self) -> bool {
        self.config.datagrams.max_frame_size > 0
    }

    /// What became of this connection's datagrams.
    pub fn datagram_stats(&self) -> DatagramStats {
        self.datagrams.stats()
    }

    /// How many bytes of frames an otherwise empty packet holds.
    fn datagram_room(&self) -> usize {
        let header = short_header_len(self.peer_cids.current(), packet_number::MAX_LEN);
        self.mtu.current().saturating_sub(header + TAG_LEN)
    }

    /// Writes stream frames and datagrams until the packet is full or nothing is left.
    pub(super) fn write_data(&mut self, now: Time, builder: &mut PacketBuilder<'_>) {
        if !self.datagrams.wants_to_send() {
            return self.streams.write_frames(builder);
        }
        if !self.streams.write_controls(builder) {
            return;
        }
        while let Some(datagrams) = self.datagrams.urgency() {
            let first = self.streams.urgency().is_none_or(|streams| {
                datagrams < streams || datagrams == streams && self.datagrams.is_its_turn()
            });
            if first {
                if !self.write_datagram_frame(now, builder) {
                    break;
                }
            } else if let Some(len) = self.streams.write_one(builder) {
                self.datagrams.on_stream_data(len);
            } else {
                return;
            }
        }
        self.streams.write_frames(builder);
    }

    /// Writes the next datagram. Returns whether to go on with them in this packet.
    fn write_datagram_frame(&mut self, now: Time, builder: &mut PacketBuilder<'_>) -> bool {
        let max = self.max_datagram_size().unwrap_or(0);
        match self.datagrams.take_next(now, builder.remaining(), max) {
            Next::Fits(id, data) => {
                let frame = Frame::Datagram { data: &data, has_length: true };
                builder.frame(&frame, Some(SentFrame::Datagram(id)))
            }
            Next::NoRoom | Next::Nothing => false,
        }
    }
}
