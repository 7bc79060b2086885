//! [`GsoBatchWriter`]: packets of one size and path leave as one send, which the kernel or the
//! network card splits (Chromium: QuicGsoBatchWriter). Each is built and sealed in place, in the
//! batch's buffer.
//!
//! A batch ends when it is full, after a packet that is smaller than the first, or before one that
//! is larger, goes elsewhere or is marked otherwise. If the host turns out not to be able to split,
//! the same batch is sent again in pieces, nothing is lost, and from then on packets go one by one.
//!
//! A batch that fails may be that of a connection which has written all it had: the next packet to
//! the same peer gets the error.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use protoquic_core::{Ecn, OutgoingPacket, PacketWriter, PathAddress, Payload, WriteResult};

use crate::default_writer::MAX_UDP_PAYLOAD;
use crate::socket::{DatagramSocket, Failure, UdpSender, classify};

/// Sends packets in batches.
#[derive(Debug)]
pub struct GsoBatchWriter<S = UdpSender> {
    socket: S,
    buffer: Box<[u8]>,
    batch: Option<Batch>,
    /// A packet behind the batch that is no part of it, because the socket was full.
    behind: Option<Batch>,
    /// Whom the last batch was for that was not sent and whose writer has not heard of it.
    failed: Option<(SocketAddr, WriteResult)>,
    offload: bool,
    blocked: bool,
}

/// What the buffer holds.
#[derive(Clone, Copy, Debug)]
struct Batch {
    path: PathAddress,
    ecn: Ecn,
    segment: usize,
    len: usize,
    packets: usize,
    /// Its last packet is shorter than the others: nothing may follow.
    ended: bool,
    /// How many of its bytes were sent, if it is sent in pieces.
    sent: usize,
}

impl Batch {
    fn new(packet: &OutgoingPacket<'_>, len: usize) -> Self {
        let (path, ecn) = (*packet.path, packet.ecn);
        Self { path, ecn, segment: len, len, packets: 1, ended: false, sent: 0 }
    }
}

impl GsoBatchWriter {
    /// A writer for this socket.
    pub fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        Ok(Self::with_socket(UdpSender::new(socket)?))
    }
}

impl<S: DatagramSocket> GsoBatchWriter<S> {
    /// A writer for any socket.
    pub fn with_socket(socket: S) -> Self {
        let buffer = vec![0; BUFFER_SIZE].into_boxed_slice();
        Self {
            socket,
            buffer,
            batch: None,
            behind: None,
            failed: None,
            offload: true,
            blocked: false,
        }
    }

    fn max_segments(&self) -> usize {
        if self.offload { self.socket.max_segments().clamp(1, MAX_SEGMENTS) } else { 1 }
    }

    /// Where the next packet goes.
    fn end(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| batch.len)
    }

    /// Whether a packet of at most `size` bytes can join the batch.
    fn has_room(&self, path: &PathAddress, size: usize) -> bool {
        self.batch.as_ref().is_none_or(|batch| {
            !batch.ended
                && self.behind.is_none()
                && batch.path == *path
                && batch.packets < self.max_segments()
                && batch.len + size <= MAX_UDP_PAYLOAD
        })
    }

    /// Adds packets of `len` bytes each, which lie at the batch's end.
    fn append(&mut self, packet: &OutgoingPacket<'_>, len: usize, count: usize) -> WriteResult {
        let peer = packet.path.peer;
        if let Some((_, failure)) = self.failed.take_if(|(failed, _)| *failed == peer) {
            return failure;
        }
        let most = self.max_segments();
        let empty = Batch { len: 0, packets: 0, ..Batch::new(packet, len) };
        let batch = self.batch.get_or_insert(empty);
        batch.len += len * count;
        batch.packets += count;
        batch.ended = len < batch.segment;
        let full = batch.ended || batch.packets >= most;
        if full { self.send_batch() } else { WriteResult::Ok }
    }

    /// Whether a packet is of the batch's kind and has room in it.
    fn joins(&self, packet: &OutgoingPacket<'_>, len: usize) -> bool {
        let of_its_kind = |batch: &Batch| batch.ecn == packet.ecn && len <= batch.segment;
        self.batch.as_ref().is_none_or(of_its_kind) && self.has_room(packet.path, len)
    }

    fn send(&self, batch: &Batch, contents: &[u8]) -> io::Result<()> {
        let segment = (contents.len() > batch.segment).then_some(batch.segment);
        self.socket.send(&batch.path, batch.ecn, contents, segment)
    }

    /// Sends the batch. An error is for who has it sent to report.
    fn send_batch(&mut self) -> WriteResult {
        let Some(batch) = self.batch.take() else { return WriteResult::Ok };
        if batch.sent > 0 {
            return self.send_split(batch);
        }
        let result = self.send(&batch, &self.buffer[..batch.len]);
        match result.as_ref().map_err(classify) {
            Ok(()) | Err(Failure::Transient) => WriteResult::Ok,
            Err(Failure::Blocked) => {
                self.batch = Some(batch);
                self.blocked = true;
                WriteResult::BlockedDataBuffered
            }
            Err(Failure::TooBig) => WriteResult::MessageTooBig,
            Err(Failure::Offload) if batch.packets > 1 => {
                log::info!("segmentation offload does not work here; packets go one by one");
                self.offload = false;
                self.send_split(batch)
            }
            Err(Failure::Offload | Failure::Fatal) => {
                result.map_or_else(WriteResult::Error, |()| WriteResult::Ok)
            }
        }
    }

    /// Sends what is left of a batch one packet at a time.
    fn send_split(&mut self, mut batch: Batch) -> WriteResult {
        while batch.sent < batch.len {
            let end = batch.len.min(batch.sent + batch.segment);
            let result = self.send(&batch, &self.buffer[batch.sent..end]);
            match result.as_ref().map_err(classify) {
                Err(Failure::Blocked) => {
                    self.batch = Some(batch);
                    self.blocked = true;
                    return WriteResult::BlockedDataBuffered;
                }
                Err(Failure::Fatal | Failure::Offload) => {
                    return result.map_or_else(WriteResult::Error, |()| WriteResult::Ok);
                }
                Err(Failure::TooBig) if batch.packets == 1 => return WriteResult::MessageTooBig,
                Ok(()) | Err(Failure::TooBig | Failure::Transient) => batch.sent = end,
            }
        }
        WriteResult::Ok
    }
}

impl<S: DatagramSocket> PacketWriter for GsoBatchWriter<S> {
    fn next_write_location(&mut self, path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        if !self.has_room(path, size) && self.flush().is_blocked() {
            return None;
        }
        let start = self.end();
        self.buffer.get_mut(start..).filter(|room| room.len() >= size)
    }

    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let start = self.end();
        let len = match packet.payload {
            Payload::InPlace(len) => len,
            Payload::Borrowed(data) => data.len(),
        };
        let joins = self.joins(packet, len);
        match packet.payload {
            Payload::InPlace(_) if joins => {}
            Payload::InPlace(_) => {
                // It is in the buffer already: keep it, whatever becomes of the batch before it.
                if self.flush().is_blocked() {
                    self.behind = Some(Batch::new(packet, len));
                    return WriteResult::BlockedDataBuffered;
                }
                self.buffer.copy_within(start..start + len, 0);
            }
            Payload::Borrowed(data) => {
                if !joins && self.flush().is_blocked() {
                    return WriteResult::Blocked;
                }
                let start = self.end();
                self.buffer[start..start + len].copy_from_slice(data);
            }
        }
        self.append(packet, len, 1)
    }

    fn next_train_location(
        &mut self,
        path: &PathAddress,
        ecn: Ecn,
        size: usize,
        most: usize,
    ) -> Option<&mut [u8]> {
        let of_its_kind = |batch: &Batch| batch.ecn == ecn && batch.segment == size;
        let joins = self.batch.as_ref().is_none_or(of_its_kind) && self.has_room(path, size);
        if !joins && self.flush().is_blocked() {
            return None;
        }
        let (start, packets) =
            self.batch.as_ref().map_or((0, 0), |batch| (batch.len, batch.packets));
        let room = (MAX_UDP_PAYLOAD - start) / size;
        let count = most.min(self.max_segments() - packets).min(room).max(1);
        self.buffer.get_mut(start..start + count * size)
    }

    fn write_train(&mut self, train: &OutgoingPacket<'_>, size: usize) -> WriteResult {
        let Payload::InPlace(len) = train.payload else { return self.write_packet(train) };
        self.append(train, size, len / size)
    }

    fn segment_size(&self, path: &PathAddress) -> Option<usize> {
        let size = self.batch.as_ref()?.segment;
        self.has_room(path, size).then_some(size)
    }

    fn flush(&mut self) -> WriteResult {
        loop {
            let peer = self.batch.as_ref().map(|batch| batch.path.peer);
            let end = self.end();
            let result = self.send_batch();
            if result.is_blocked() {
                return result;
            }
            if let (Some(peer), Some(failure)) = (peer, copy_of_failure(&result)) {
                log::debug!("a batch for {peer} was not sent: {failure:?}");
                self.failed = Some((peer, failure));
            }
            let Some(behind) = self.behind.take() else { return result };
            self.buffer.copy_within(end..end + behind.len, 0);
            self.batch = Some(behind);
        }
    }

    fn is_write_blocked(&self) -> bool {
        self.blocked
    }

    fn set_writable(&mut self) {
        self.blocked = false;
    }

    fn max_packet_size(&self, _peer: SocketAddr) -> usize {
        MAX_UDP_PAYLOAD
    }

    fn supports_ecn(&self) -> bool {
        true
    }

    fn is_batch_mode(&self) -> bool {
        true
    }
}

/// The same failure once more, if it is one.
fn copy_of_failure(result: &WriteResult) -> Option<WriteResult> {
    match result {
        WriteResult::Ok | WriteResult::Blocked | WriteResult::BlockedDataBuffered => None,
        WriteResult::MessageTooBig => Some(WriteResult::MessageTooBig),
        WriteResult::Error(error) => Some(WriteResult::Error(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        })),
    }
}

/// What the kernel splits at most (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;
/// A full batch and one more packet behind it that turned out not to belong to it.
const BUFFER_SIZE: usize = 2 * 65_536;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Remembers sends; fails as it is told.
    #[derive(Default)]
    struct FakeSocket {
        sends: RefCell<Vec<(usize, Option<usize>)>>,
        errors: RefCell<Vec<i32>>,
    }

    impl DatagramSocket for FakeSocket {
        fn send(
            &self,
            _: &PathAddress,
            _: Ecn,
            bytes: &[u8],
            seg: Option<usize>,
        ) -> io::Result<()> {
            if let Some(error) = self.errors.borrow_mut().pop() {
                return Err(io::Error::from_raw_os_error(error));
            }
            let packets = bytes.chunks(seg.unwrap_or(bytes.len()));
            assert!(packets.into_iter().all(|packet| packet == filled(packet.len())), "mixed up");
            self.sends.borrow_mut().push((bytes.len(), seg));
            Ok(())
        }

        fn max_segments(&self) -> usize {
            64
        }
    }

    /// A packet of this length.
    fn filled(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at ^ len) as u8).collect()
    }

    fn path(port: u16) -> PathAddress {
        PathAddress::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], port).into())
    }

    fn write(writer: &mut GsoBatchWriter<FakeSocket>, port: u16, len: usize) -> WriteResult {
        let path = path(port);
        let location = writer.next_write_location(&path, 1200).expect("there is room");
        location[..len].copy_from_slice(&filled(len));
        let payload = Payload::InPlace(len);
        writer.write_packet(&OutgoingPacket {
            path: &path,
            payload,
            ecn: Ecn::Ect0,
            release_time: None,
        })
    }

    fn sends(writer: &GsoBatchWriter<FakeSocket>) -> Vec<(usize, Option<usize>)> {
        writer.socket.sends.borrow().clone()
    }

    #[test]
    fn equal_packets_leave_together_up_to_what_a_datagram_holds() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        (0..100).for_each(|_| _ = write(&mut writer, 1, 1200));
        let _ = writer.flush();
        assert_eq!(sends(&writer), [(54 * 1200, Some(1200)), (46 * 1200, Some(1200))]);
    }

    /// Writes a train of at most `most` packets of `size` bytes. Returns how many there was room for.
    fn write_train(writer: &mut GsoBatchWriter<FakeSocket>, size: usize, most: usize) -> usize {
        let path = path(1);
        let location = writer.next_train_location(&path, Ecn::Ect0, size, most).expect("room");
        let len = location.len();
        location.chunks_exact_mut(size).for_each(|packet| packet.copy_from_slice(&filled(size)));
        let payload = Payload::InPlace(len);
        let train = OutgoingPacket { path: &path, payload, ecn: Ecn::Ect0, release_time: None };
        assert!(matches!(writer.write_train(&train, size), WriteResult::Ok));
        len / size
    }

    #[test]
    fn trains_fill_what_is_left_of_a_batch_and_begin_another() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        let _ = write(&mut writer, 1, 1200);
        assert_eq!(write_train(&mut writer, 1200, 10), 10);
        assert_eq!(write_train(&mut writer, 1200, 64), 43, "what a datagram holds");
        assert_eq!(write_train(&mut writer, 1200, 2), 2, "in another");
        assert_eq!(write_train(&mut writer, 1000, 2), 2, "of another size");
        let _ = writer.flush();
        let expected = [(54 * 1200, Some(1200)), (2400, Some(1200)), (2000, Some(1000))];
        assert_eq!(sends(&writer), expected);
        assert_eq!(write_train(&mut writer, 100, 100), 64, "as many as the kernel splits");
        assert_eq!(sends(&writer).last(), Some(&(6400, Some(100))), "they are sent at once");
    }

    #[test]
    fn it_says_how_large_a_packet_is_that_joins_the_batch() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        assert_eq!(writer.segment_size(&path(1)), None, "there is none");
        let _ = write(&mut writer, 1, 1100);
        assert_eq!(writer.segment_size(&path(1)), Some(1100));
        assert_eq!(writer.segment_size(&path(2)), None, "it is for another peer");
        let _ = write(&mut writer, 1, 1000);
        assert_eq!(writer.segment_size(&path(1)), None, "its last was shorter");
        for _ in 0..60 {
            let _ = write(&mut writer, 1, 1000);
            let segment = writer.segment_size(&path(1));
            let fits = writer.batch.is_none_or(|batch| batch.len + 1000 <= MAX_UDP_PAYLOAD);
            assert_eq!(segment.is_some(), fits && writer.batch.is_some());
        }
    }

    #[test]
    fn a_smaller_packet_ends_the_batch_and_a_larger_one_begins_another() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        for len in [1000, 1000, 600, 1100, 1000, 1200] {
            let _ = write(&mut writer, 1, len);
        }
        let _ = writer.flush();
        let expected = [(2600, Some(1000)), (2100, Some(1100)), (1200, None)];
        assert_eq!(sends(&writer), expected);
    }

    #[test]
    fn packets_for_another_peer_begin_another_batch() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        for port in [1, 1, 2] {
            let _ = write(&mut writer, port, 1200);
        }
        let _ = writer.flush();
        assert_eq!(sends(&writer), [(2400, Some(1200)), (1200, None)]);
    }

    #[test]
    fn a_full_socket_keeps_the_batch() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        let _ = write(&mut writer, 1, 1200);
        writer.socket.errors.borrow_mut().push(11); // EAGAIN
        assert!(matches!(writer.flush(), WriteResult::BlockedDataBuffered));
        assert!(writer.is_write_blocked() && sends(&writer).is_empty());
        writer.set_writable();
        let _ = writer.flush();
        assert_eq!(sends(&writer), [(1200, None)]);
    }

    #[test]
    fn when_offload_fails_the_batch_is_sent_in_pieces_and_nothing_is_lost() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        (0..3).for_each(|_| _ = write(&mut writer, 1, 1200));
        writer.socket.errors.borrow_mut().push(5); // EIO
        assert!(matches!(writer.flush(), WriteResult::Ok));
        assert_eq!(sends(&writer), [(1200, None); 3]);
        let _ = write(&mut writer, 1, 1200);
        assert_eq!(sends(&writer).len(), 4, "later packets go one by one");
    }

    #[test]
    fn who_had_written_all_hears_of_the_failure_with_the_next_packet_to_its_peer() {
        // The batch is flushed by a packet for somebody else, and at the end of the turn.
        for by_other in [true, false] {
            let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
            let _ = write(&mut writer, 1, 1200);
            writer.socket.errors.borrow_mut().push(9); // EBADF
            if by_other {
                assert!(matches!(write(&mut writer, 2, 1200), WriteResult::Ok));
            } else {
                assert!(matches!(writer.flush(), WriteResult::Error(_)));
            }
            let WriteResult::Error(error) = write(&mut writer, 1, 1200) else {
                panic!("nobody was told")
            };
            assert_eq!(error.raw_os_error(), Some(9));
            assert!(matches!(write(&mut writer, 1, 1200), WriteResult::Ok), "it is told once");
        }
    }

    #[test]
    fn a_batch_that_is_too_big_is_told_with_the_next_packet() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        let _ = write(&mut writer, 1, 1452);
        writer.socket.errors.borrow_mut().push(90); // EMSGSIZE
        let _ = writer.flush();
        assert!(matches!(write(&mut writer, 1, 1452), WriteResult::MessageTooBig));
    }

    #[test]
    fn a_full_socket_keeps_a_packet_that_is_no_part_of_the_batch() {
        let mut writer = GsoBatchWriter::with_socket(FakeSocket::default());
        let _ = write(&mut writer, 1, 1000);
        writer.socket.errors.borrow_mut().push(11); // EAGAIN
        assert!(matches!(write(&mut writer, 1, 1100), WriteResult::BlockedDataBuffered));
        assert!(writer.is_write_blocked() && sends(&writer).is_empty());
        writer.set_writable();
        let _ = write(&mut writer, 1, 1100);
        let _ = writer.flush();
        assert_eq!(sends(&writer), [(1000, None), (1100, None), (1100, None)]);
    }
}
