//! [`BatchReader`]: many datagrams for one system call, by recvmmsg and GRO, through quinn-udp.
//!
//! Its buffers are large and few. Datagrams are split off a buffer without a copy; when everything
//! that was split off has been dropped, which is so at the end of a turn unless somebody keeps a
//! piece, the buffer is used again. One that is used up before rests until then.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::BytesMut;
use protoquic_core::{
    PacketBatch, PacketReader, PacketSink, ReadBudget, ReadOutcome, ReceivedPacket, Time,
};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

use crate::arrival::{self, Brought};

/// Reads datagrams in batches.
#[derive(Debug)]
pub struct BatchReader {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: [BytesMut; BUFFERS],
    /// Used up, the oldest first.
    resting: VecDeque<BytesMut>,
}

impl BatchReader {
    /// A reader for this socket.
    pub fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&*socket))?;
        let local = socket.local_addr()?;
        let buffers = std::array::from_fn(|_| BytesMut::new());
        Ok(Self { socket, state, local, buffers, resting: VecDeque::new() })
    }

    /// Reads once; an error if there was none.
    fn read_once(&mut self, now: Time, sink: &mut dyn PacketSink) -> io::Result<Brought> {
        for buffer in &mut self.buffers {
            prepare(buffer, &mut self.resting);
        }
        let mut meta = [RecvMeta::default(); BUFFERS];
        let mut slices = self.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let received = self.state.recv(UdpSockRef::from(&*self.socket), &mut slices, &mut meta)?;
        let (mut count, mut bytes) = (0, 0);
        for (buffer, meta) in self.buffers.iter_mut().zip(&meta[..received]) {
            let data = buffer.split_to(meta.len);
            bytes += meta.len;
            let (path, ecn) = (arrival::path(self.local, meta), arrival::ecn(meta));
            let stride = meta.stride.max(1);
            // An empty datagram counts as one, so that a flood of them cannot hold the loop.
            count += meta.len.div_ceil(stride).max(1);
            if meta.len > stride {
                sink.on_batch(PacketBatch::new(path, ecn, now, data, stride));
            } else {
                sink.on_packet(ReceivedPacket { path, ecn, received: now, data });
            }
        }
        Ok(Brought { count, bytes, drained: count == 1 })
    }
}

impl PacketReader for BatchReader {
    fn read_packets(
        &mut self,
        now: Time,
        budget: &mut ReadBudget<'_>,
        sink: &mut dyn PacketSink,
    ) -> io::Result<ReadOutcome> {
        arrival::read_within(budget, || self.read_once(now, sink))
    }
}

/// Sees to it that a buffer has room for anything that a read may bring: by using the same memory
/// again if nobody holds a piece of it, else by going on behind what was read, else with that of one
/// that has rested, else with new memory. The first is the usual case after a turn, and has the
/// cache hold what is read into.
fn prepare(buffer: &mut BytesMut, resting: &mut VecDeque<BytesMut>) {
    if reclaim(buffer) || buffer.len() >= MIN_ROOM {
        return;
    }
    // While one turn reads much, the buffers of its beginning are still in use at its end.
    let rested = resting.front_mut().is_some_and(reclaim);
    let fresh = if rested { resting.pop_front() } else { None };
    let used = std::mem::replace(buffer, fresh.unwrap_or_else(|| BytesMut::zeroed(BUFFER_SIZE)));
    if used.capacity() > 0 && resting.len() < MAX_RESTING {
        resting.push_back(used);
    }
}

/// Makes a buffer full length again. Leaves it as it is if somebody holds a piece of it.
#[expect(
    unsafe_code,
    reason = "writing zeros over memory that is initialised would cost a tenth of the receive path"
)]
fn reclaim(buffer: &mut BytesMut) -> bool {
    let left = buffer.len();
    buffer.clear();
    let whole = buffer.capacity() >= BUFFER_SIZE || buffer.try_reclaim(BUFFER_SIZE);
    // SAFETY: all of the memory was initialised by `zeroed` when it was allocated. If it is whole,
    // the capacity is `BUFFER_SIZE` at least, as just checked: `try_reclaim` only takes back what had
    // been split off the same allocation. If not, nothing but the length has changed, and `left` is
    // what it was.
    unsafe { buffer.set_len(if whole { BUFFER_SIZE } else { left }) };
    whole
}

/// How many GRO batches one system call may bring.
const BUFFERS: usize = 4;
/// The size of a buffer, several reads long.
const BUFFER_SIZE: usize = 256 * 1024;
/// The largest thing a read can bring: a GRO batch, or one datagram of the largest size.
const MIN_ROOM: usize = 65_536;

/// How many used buffers wait to be used again at most; with the read budget of a turn in large
/// datagrams it takes no more.
const MAX_RESTING: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_which_nobody_holds_a_piece_is_read_into_again() {
        let mut resting = VecDeque::new();
        let mut buffer = BytesMut::new();
        prepare(&mut buffer, &mut resting);
        let start = buffer.as_ptr();
        let piece = buffer.split_to(1000);
        prepare(&mut buffer, &mut resting);
        assert_eq!(buffer.len(), BUFFER_SIZE - 1000, "it goes on behind the piece");
        drop(piece);
        prepare(&mut buffer, &mut resting);
        assert_eq!((buffer.as_ptr(), buffer.len()), (start, BUFFER_SIZE));
        assert!(resting.is_empty());
    }
}
