//! [`Arrivals`]: copies datagrams out of the caller's buffer into one that packets can be decrypted
//! in and slices be lent of. The buffer is used again when nobody holds a slice of it any more.

use bytes::{Buf as _, BytesMut};
use protoquic_core::{Ecn, PathAddress, ReceivedPacket, Time};

use crate::{Error, Result};

/// How a datagram arrived.
#[derive(Clone, Copy, Debug)]
pub struct RecvInfo {
    /// Where it was sent to, and where from.
    pub path: PathAddress,
    /// Its ECN codepoint; [`Ecn::NotEct`] if it is not known.
    pub ecn: Ecn,
    /// When it was read.
    pub now: Time,
    /// The buffer holds several datagrams of this size each, the last one may be shorter: what the
    /// kernel makes of them with `UDP_GRO`. 0: it holds one.
    pub segment: usize,
}

impl RecvInfo {
    /// One datagram, without an ECN codepoint.
    pub const fn new(path: PathAddress, now: Time) -> Self {
        Self { path, ecn: Ecn::NotEct, now, segment: 0 }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    buffer: BytesMut,
}

impl Arrivals {
    /// Hands each datagram in `data` to `sink`.
    pub(crate) fn deliver(
        &mut self,
        data: &[u8],
        info: &RecvInfo,
        mut sink: impl FnMut(ReceivedPacket),
    ) -> Result<()> {
        if data.len() > MAX_BATCH {
            let why = format!("{} bytes at once; a batch has {MAX_BATCH} at most", data.len());
            return Err(Error::Invalid(why));
        }
        let mut batch = self.copy(data);
        let size = if info.segment == 0 { data.len().max(1) } else { info.segment };
        let RecvInfo { path, ecn, now: received, .. } = *info;
        while batch.has_remaining() {
            let data = batch.split_to(size.min(batch.len()));
            sink(ReceivedPacket { path, ecn, received, data });
        }
        Ok(())
    }

    fn copy(&mut self, data: &[u8]) -> BytesMut {
        if self.buffer.capacity() < data.len() {
            self.buffer.reserve(BUFFER.max(data.len()));
        }
        self.buffer.extend_from_slice(data);
        self.buffer.split()
    }
}

/// What is allocated at a time, in bytes.
const BUFFER: usize = 128 * 1024;
/// The most that one call takes, in bytes: more than any kernel coalesces.
const MAX_BATCH: usize = 1 << 20;
