//! [`Openings`]: the streams that wait for the peer's permission to be opened. One that nobody waits
//! for any more is gone from here at once; one that was opened for somebody who had gone meanwhile
//! goes to the next. This file must not know what streams carry.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use protoquic_core::{Direction, SessionContext, StreamId};

use crate::connection::{SharedConnection, slot};
use crate::session::{CarrierSession, CarrierStream};
use crate::stream::SharedStream;

/// Those of one direction.
#[derive(Debug, Default)]
pub struct Openings {
    /// In the order in which they are opened.
    waiting: VecDeque<Arc<SharedStream>>,
    /// Those that are open and that nobody has. The lowest is used first.
    spare: BTreeSet<StreamId>,
}

impl Openings {
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn push(&mut self, stream: Arc<SharedStream>) {
        self.waiting.push_back(stream);
    }

    pub(crate) fn take_all(&mut self) -> VecDeque<Arc<SharedStream>> {
        std::mem::take(&mut self.waiting)
    }

    /// The next to be opened, and perhaps which spare one it is to be.
    fn next(&mut self) -> Option<(Arc<SharedStream>, Option<StreamId>)> {
        let stream = self.waiting.front()?;
        Some((Arc::clone(stream), self.spare.pop_first()))
    }

    /// Takes this stream out. Whether it was there.
    fn remove(&mut self, stream: &Arc<SharedStream>) -> bool {
        let at = self.waiting.iter().position(|other| Arc::ptr_eq(other, stream));
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }
}

impl SharedConnection {
    fn openings<R>(&self, direction: Direction, f: impl FnOnce(&mut Openings) -> R) -> R {
        self.state.with(|state| f(&mut state.openings[slot(direction)]))
    }

    /// Nobody waits for this stream to be opened any more. If it is open already, another gets it.
    pub(crate) fn abandon(&self, stream: &Arc<SharedStream>) {
        if self.openings(stream.direction, |openings| openings.remove(stream)) {
            return;
        }
        if let Some(id) = stream.set_abandoned() {
            // It fails if the connection is over: nobody will open one.
            let _ = self.leave(|state| state.openings[slot(id.direction())].spare.insert(id));
        }
    }

    /// This stream need not be opened any more, if it is not yet.
    pub(crate) fn forget_opening(&self, stream: &Arc<SharedStream>) {
        self.openings(stream.direction, |openings| openings.remove(stream));
    }

    /// Opens the streams that wait, as far as the peer allows. For the I/O thread.
    pub(crate) fn open_waiting(
        &self,
        direction: Direction,
        cx: &mut SessionContext<'_, CarrierSession>,
    ) {
        while let Some((stream, spare)) = self.openings(direction, Openings::next) {
            let id = if let Some(id) = spare {
                let Some(object) = cx.streams().get_mut(id) else {
                    continue; // the peer has ended it meanwhile
                };
                object.serve(&stream);
                id
            } else {
                let made = |_| CarrierStream::new(Arc::clone(&stream));
                let Ok(id) = cx.open_stream(direction, made) else {
                    return; // on_can_create_outgoing_stream will tell, or the connection is over
                };
                id
            };
            let is_wanted = self.openings(direction, |openings| openings.remove(&stream));
            if is_wanted && stream.set_open(id) {
                cx.wake_stream(id); // it may have been written to
            } else {
                self.openings(direction, |openings| openings.spare.insert(id));
            }
        }
    }
}
