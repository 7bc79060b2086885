//! Many packets of one stream: [`Train`] says how much new data of the stream whose turn it is may go
//! out with nothing else between, so that who builds the packets asks once and not for each. What a
//! train may not hold is for [`write_frames`](Streams::write_frames). It must not know packets.

use super::Streams;
use crate::types::StreamId;

/// New data of one stream, none of it with FIN.
#[derive(Clone, Copy, Debug)]
pub struct Train {
    key: usize,
    /// The stream.
    pub id: StreamId,
    /// The offset of its first byte never sent.
    pub offset: u64,
    /// How many bytes from there on may be sent now.
    pub len: u64,
    /// Bytes until it is another stream's turn: the packet that reaches so far may be filled.
    pub turn: u64,
}

impl Streams {
    /// What may be sent now and next, if that is new data of one stream and nothing else.
    pub fn train(&self) -> Option<Train> {
        if !self.owed.is_empty() || !self.control.is_empty() || !self.retransmit.is_empty() {
            return None;
        }
        let key = self.scheduler.front()?;
        let stream = &self.table.slab[key];
        // What a RESET_STREAM_AT promised is watched frame by frame.
        let part = stream.send.as_ref().filter(|part| part.abort.reset_at.is_none())?;
        let offset = part.buffer.sent();
        let credit = self.send_window.available().min(part.window.available());
        let len = credit.min(part.buffer.unsent());
        let fin = u64::from(part.ends_at(offset + len));
        let turn = self.scheduler.turn(stream);
        Some(Train { key, id: stream.id, offset, len: len.saturating_sub(fin), turn })
    }

    /// Copies the data at `offset` of a train's stream.
    pub fn copy_of_train(&mut self, train: &Train, offset: u64, out: &mut [u8]) {
        if let Some(part) = &mut self.table.slab[train.key].send {
            part.buffer.copy(offset, out);
        }
    }

    /// The first `len` bytes of a train were sent, more than none.
    pub fn on_train_sent(&mut self, train: &Train, len: u64) {
        if let Some(part) = &mut self.table.slab[train.key].send {
            part.on_sent(len, false);
            self.after_new(train.key, len);
            self.reschedule(train.key);
        }
    }
}
