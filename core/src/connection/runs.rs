//! Runs: packets of a batch with consecutive numbers, each with nothing but the next data of the same
//! stream: nearly all there is of a bulk transfer. Whatever holds for all of them is asked once, each
//! is only authenticated and read, and the stream gets their data in one piece. Whatever else a batch
//! holds goes the general way (`receive.rs`). This file must not know what the data means.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::Connection;
use super::keys::Opened;
use super::receive::{Arrival, bare, reset_token};
use crate::crypto::OpenError;
use crate::error::TransportError;
use crate::packet_batch::PacketBatch;
use crate::time::Time;
use crate::types::{ConnectionId, Ecn, ResetToken, Role, Space};
use crate::wire::{
    FIXED_BIT, LONG_FORM_BIT, PacketType, SHORT_RESERVED_BITS, SPIN_BIT, SoleStream,
};

/// Packets at the front of a batch whose frames are one piece of a stream.
#[derive(Debug)]
struct Run {
    /// The number of the first packet.
    first: u64,
    packets: u64,
    stream: SoleStream,
    /// Where the data lies in the batch: what later packets carry was moved to its end.
    data: Range<usize>,
    /// Where the last datagram ends in the batch.
    end: usize,
    /// Of the last packet's header.
    first_byte: u8,
}

/// A packet without its protection, or what was wrong with that, that does not go on a run.
struct Odd {
    opened: Result<Opened, OpenError>,
    token: Option<ResetToken>,
}

impl Connection {
    /// Takes datagrams that came together, which costs less than to take one after the other. Their
    /// effects are the same.
    pub fn process_batch(&mut self, mut batch: PacketBatch) {
        while !batch.is_empty() {
            if let Some(destination) = self.destination_of_run(&batch) {
                self.process_run(&mut batch, destination);
            } else if let Some(packet) = batch.next() {
                self.process_packet(packet);
            }
        }
    }

    /// For which of our IDs the first datagram of a batch is, if it may begin a run: it came by the
    /// path in use, after the handshake, and nothing is under way that each packet could matter to.
    fn destination_of_run(&self, batch: &PacketBatch) -> Option<ConnectionId> {
        let usual = self.handshake_confirmed
            && self.life.is_open()
            && self.observer.is_none()
            && self.early_packets.is_empty()
            && self.paths.active().address == batch.path;
        if usual { self.destination_of_sole(batch.first()) } else { None }
    }

    /// Processes the runs that the batch begins with, and the packet that ends the last of them, if
    /// one does.
    fn process_run(&mut self, batch: &mut PacketBatch, destination: ConnectionId) {
        let PacketBatch { path, ecn, received: now, .. } = *batch;
        if !self.keys.is_at(now) {
            self.keys.on_datagram(now, self.recovery.pto());
        }
        let mut begun = None;
        let odd = loop {
            let (run, odd) = self.open_run(batch, &destination, begun);
            let Some(run) = run else { break odd };
            self.take_run(now, ecn, destination, batch, run);
            match odd {
                // Many streams take turns: what ends the run of one begins that of the next.
                Some(Odd { opened: Ok(opened), .. }) if self.life.is_open() => begun = Some(opened),
                odd => break odd,
            }
        };
        let Some(odd) = odd else { return };
        let Some(packet) = batch.next() else { return };
        let size = packet.data.len();
        let arrival = Arrival { now, path, ecn, datagram_len: size };
        if self.takes_datagram(&arrival) {
            let (ty, version) = (PacketType::OneRtt, self.version);
            let packet =
                odd.opened.map(|open| bare(ty, version, destination, None, packet.data, open));
            let authentic = self.process_opened(&arrival, size, packet);
            self.finish_datagram(&arrival, authentic, odd.token);
        }
    }

    /// Removes the protection of the packets at the front of a batch, up to one that does not go on
    /// the run. What it applies to is left in the batch. `begun`: the first packet, if it has none.
    fn open_run(
        &mut self,
        batch: &mut PacketBatch,
        destination: &ConnectionId,
        mut begun: Option<Opened>,
    ) -> (Option<Run>, Option<Odd>) {
        let mut run: Option<Run> = None;
        let mut largest = self.space_of(Space::Application).acks.largest();
        let mut start = 0;
        while let Some((datagram, end)) = batch.datagram_mut(start) {
            // The first was looked at.
            if start > 0 && !is_short_for(destination, datagram) {
                break;
            }
            let token = reset_token(datagram);
            let opened = match begun.take() {
                Some(opened) => Ok(opened),
                None => self.keys.open_one_rtt(datagram, 1 + destination.len(), largest),
            };
            let opened = match opened {
                Ok(opened) => opened,
                Err(error) => return (run, Some(Odd { opened: Err(error), token })),
            };
            let next = largest.is_some_and(|largest| opened.number == largest + 1);
            let stream = SoleStream::parse(&datagram[opened.payload.clone()])
                .filter(|_| next && opened.first_byte & SHORT_RESERVED_BITS == 0);
            let goes_on = stream.is_some_and(|stream| match &run {
                Some(run) => run.is_continued_by(&stream),
                None => self.streams.is_next(stream.id, stream.offset),
            });
            let Some(stream) = stream.filter(|_| goes_on) else {
                return (run, Some(Odd { opened: Ok(opened), token }));
            };
            largest = Some(opened.number);
            let data = start + opened.payload.start + stream.start..start + opened.payload.end;
            match &mut run {
                Some(run) => {
                    batch.move_bytes(data.clone(), run.data.end);
                    run.append(&stream, data.len(), opened.first_byte, end);
                }
                None => run = Some(Run::new(&opened, stream, data, end)),
            }
            if stream.fin {
                break;
            }
            start = end;
        }
        (run, None)
    }

    /// Applies a run: to streams, and to all that hears of packets.
    fn take_run(
        &mut self,
        now: Time,
        ecn: Ecn,
        destination: ConnectionId,
        batch: &mut PacketBatch,
        run: Run,
    ) {
        let datagrams = batch.take(run.end);
        self.stats.datagrams_received += run.packets;
        self.stats.packets_received += run.packets;
        self.stats.bytes_received += run.end as u64;
        self.paths.active_mut().on_received(run.end);
        self.idle.on_packet_received(now);
        let Run { stream, data: Range { start, end }, .. } = run;
        let mut data = datagrams.freeze();
        data.truncate(end);
        data.advance(start);
        let result = self.apply_run(now, ecn, &run, data);
        self.close_on_error(now, result.map_err(|error| error.in_frame(stream.frame_type())));
        if self.life.is_open() {
            self.paths.active_mut().local_id = Some(destination);
            let result = self.check_glitches(now);
            self.close_on_error(now, result);
        }
    }

    fn apply_run(
        &mut self,
        now: Time,
        ecn: Ecn,
        run: &Run,
        data: Bytes,
    ) -> Result<(), TransportError> {
        let SoleStream { id, offset, fin, .. } = run.stream;
        self.streams.on_stream_frame(id, offset, fin, data)?;
        let acks = &mut self.spaces[Space::Application as usize].acks;
        acks.on_run_received(now, run.first, run.packets, ecn);
        if self.role == Role::Client {
            self.quiet.on_data(now);
        }
        self.header_bits.spin.on_packet(self.role, run.first_byte & SPIN_BIT != 0);
        Ok(())
    }
}

impl Run {
    fn new(opened: &Opened, stream: SoleStream, data: Range<usize>, end: usize) -> Self {
        let Opened { number: first, first_byte, .. } = *opened;
        Self { first, packets: 1, stream, data, end, first_byte }
    }

    /// Whether this frame's data follows that of the run, of which it is then a part.
    fn is_continued_by(&self, next: &SoleStream) -> bool {
        next.id == self.stream.id && next.offset == self.stream.offset + self.data.len() as u64
    }

    fn append(&mut self, stream: &SoleStream, len: usize, first_byte: u8, end: usize) {
        self.packets += 1;
        self.data.end += len;
        self.stream.fin = stream.fin;
        self.first_byte = first_byte;
        self.end = end;
    }
}

/// Whether a datagram begins with a short header for this ID.
fn is_short_for(destination: &ConnectionId, datagram: &[u8]) -> bool {
    let Some((first, rest)) = datagram.split_first() else { return false };
    first & (LONG_FORM_BIT | FIXED_BIT) == FIXED_BIT && rest.starts_with(destination.as_bytes())
}
