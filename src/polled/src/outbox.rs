//! [`Outbox`]: a packet writer whose socket is the caller. It is full after a batch, and can be
//! written again when the caller has taken it all. This file must not know connections.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use protoquic_core::{Ecn, OutgoingPacket, PacketWriter, PathAddress, Payload, WriteResult};

use crate::{Error, Result};

/// What `send` has put into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendInfo {
    /// How many bytes.
    pub len: usize,
    /// They are datagrams of so many bytes each, the last one may be shorter. Equal to `len` if
    /// there is one only. This is what `UDP_SEGMENT` takes.
    pub segment: usize,
    /// Where from and where to. A local address that is unspecified leaves the choice to the host.
    pub path: PathAddress,
    /// What to mark them with, where the caller can.
    pub ecn: Ecn,
}

#[derive(Debug)]
struct Staged {
    path: PathAddress,
    ecn: Ecn,
    start: usize,
    len: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: Vec<u8>,
    /// Where the next datagram goes.
    end: usize,
    staged: VecDeque<Staged>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Moves the first datagram into `out`, and those behind it that can go with it: as many as
    /// `max`, of the same size, on the same path.
    pub(crate) fn take(&mut self, out: &mut [u8], max: usize) -> Result<SendInfo> {
        let Some(first) = self.staged.front() else { return Err(Error::Done) };
        if first.len > out.len() {
            return Err(Error::BufferTooShort(first.len));
        }
        let Staged { path, ecn, len: segment, .. } = *first;
        let mut len = 0;
        for _ in 0..max.max(1) {
            let Some(next) = self.staged.front() else { break };
            let goes_along = next.path == path && next.ecn == ecn && next.len <= segment;
            if !goes_along || next.len > out.len() - len {
                break;
            }
            let data = &self.buffer[next.start..next.start + next.len];
            out[len..len + data.len()].copy_from_slice(data);
            len += data.len();
            let is_last = next.len < segment;
            self.staged.pop_front();
            if is_last {
                break;
            }
        }
        if self.staged.is_empty() {
            self.end = 0;
        }
        Ok(SendInfo { len, segment, path, ecn })
    }

    fn make_room(&mut self, size: usize) {
        if self.buffer.len() < self.end + size {
            self.buffer.resize(self.end + size, 0);
        }
    }
}

impl PacketWriter for Outbox {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let len = match packet.payload {
            Payload::InPlace(len) => len,
            Payload::Borrowed(data) => {
                if self.is_write_blocked() {
                    return WriteResult::Blocked;
                }
                self.make_room(data.len());
                self.buffer[self.end..self.end + data.len()].copy_from_slice(data);
                data.len()
            }
        };
        let (path, ecn, start) = (*packet.path, packet.ecn, self.end);
        self.staged.push_back(Staged { path, ecn, start, len });
        self.end += len;
        WriteResult::Ok
    }

    fn next_write_location(&mut self, _path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        self.make_room(size);
        Some(&mut self.buffer[self.end..self.end + size])
    }

    fn is_write_blocked(&self) -> bool {
        self.staged.len() >= MAX_DATAGRAMS || self.end >= MAX_BYTES
    }

    fn supports_ecn(&self) -> bool {
        true
    }

    fn is_batch_mode(&self) -> bool {
        true
    }
}

/// An outbox that a dispatcher writes to and its listener empties.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedOutbox(pub(crate) Rc<RefCell<Outbox>>);

impl PacketWriter for SharedOutbox {
    // It lends no location: a borrow of what is shared cannot be handed out.
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        self.0.borrow_mut().write_packet(packet)
    }

    fn is_write_blocked(&self) -> bool {
        self.0.borrow().is_write_blocked()
    }

    fn supports_ecn(&self) -> bool {
        true
    }

    fn is_batch_mode(&self) -> bool {
        true
    }
}

/// A writer that is full: for turns in which only callbacks run.
pub(crate) struct Full;

impl PacketWriter for Full {
    fn write_packet(&mut self, _packet: &OutgoingPacket<'_>) -> WriteResult {
        WriteResult::Blocked
    }

    fn is_write_blocked(&self) -> bool {
        true
    }

    fn supports_ecn(&self) -> bool {
        true
    }
}

/// A batch has so many datagrams at most: what the kernel takes in one `UDP_SEGMENT` send.
const MAX_DATAGRAMS: usize = 64;
/// A batch is full when it has so many bytes.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(outbox: &mut Outbox, port: u16, data: &[u8]) -> WriteResult {
        let here = "127.0.0.1:1".parse().unwrap();
        let path = PathAddress::new(here, ([127, 0, 0, 1], port).into());
        let payload = Payload::Borrowed(data);
        let packet = OutgoingPacket { path: &path, payload, ecn: Ecn::Ect0, release_time: None };
        outbox.write_packet(&packet)
    }

    #[test]
    fn batches_have_one_size_and_one_path_and_a_shorter_one_ends_them() {
        let mut outbox = Outbox::default();
        for (port, len) in [(1, 9), (1, 9), (1, 4), (1, 9), (2, 9), (2, 10)] {
            assert!(matches!(write(&mut outbox, port, &[7; 10][..len]), WriteResult::Ok));
        }
        let mut out = [0; 100];
        let mut lens = Vec::new();
        while let Ok(sent) = outbox.take(&mut out, 64) {
            lens.push((sent.len, sent.segment));
        }
        assert_eq!(lens, [(22, 9), (9, 9), (9, 9), (10, 10)]);
    }

    #[test]
    fn a_short_buffer_loses_nothing_and_a_full_outbox_takes_nothing() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_DATAGRAMS {
            assert!(matches!(write(&mut outbox, 1, &[1; 5]), WriteResult::Ok));
        }
        assert!(matches!(write(&mut outbox, 1, &[1; 5]), WriteResult::Blocked));
        assert_eq!(outbox.take(&mut [0; 4], 1), Err(Error::BufferTooShort(5)));
        assert_eq!(outbox.take(&mut [0; 12], 64).unwrap().len, 10);
        assert_eq!(outbox.take(&mut [0; 12], 1).unwrap().len, 5);
    }
}
