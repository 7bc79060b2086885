//! What workers hand over to one of them: a queue with an end, without a lock. It must not know
//! what datagrams are.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::BytesMut;
use protoquic_core::ReceivedPacket;

/// What wakes a worker.
type Wake = Box<dyn Fn() + Send + Sync>;

/// The worker's end.
pub(super) struct Inbox(Receiver<ReceivedPacket>);

/// The others' end.
pub(super) struct Sender {
    queue: SyncSender<ReceivedPacket>,
    wake: OnceLock<Wake>,
}

pub(super) fn inbox() -> (Sender, Inbox) {
    let (queue, inbox) = sync_channel(MAX_INBOX);
    (Sender { queue, wake: OnceLock::new() }, Inbox(inbox))
}

impl Inbox {
    pub(super) fn take(&self) -> Option<ReceivedPacket> {
        self.0.try_recv().ok()
    }
}

impl Sender {
    pub(super) fn set_wake(&self, wake: Wake) {
        let _ = self.wake.set(wake); // the first one stays: there is one loop
    }

    /// Never waits: returns false if there is no room. The datagram is copied, so that it does not
    /// hold the buffer of the reader that it came by.
    pub(super) fn send(&self, packet: ReceivedPacket) -> bool {
        let data = BytesMut::from(&packet.data[..]);
        let sent = self.queue.try_send(ReceivedPacket { data, ..packet }).is_ok();
        if sent && let Some(wake) = self.wake.get() {
            wake();
        }
        sent
    }
}

/// How many datagrams wait for a worker, at most; further ones are lost, as in a full socket.
pub(crate) const MAX_INBOX: usize = 1024;
