//! [`Queue`]: how much of a stream waits to be sent, counted where all threads see it. This file must not
//! know what waits.

use std::sync::{Arc, Mutex, PoisonError};

use crate::status::{Failure, Outcome, PQ_ERR_QUEUE_FULL};

/// What waits of one stream. Clones are the same queue.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    sends: usize,
    bytes: usize,
}

/// A place in a queue, given back when it is dropped.
pub(crate) struct Place {
    queue: Queue,
    bytes: usize,
}

impl Queue {
    /// A place for so many bytes. Fails if as much as may wait does so already; how much is sent at a
    /// time is for the caller to say, who has it all in memory.
    pub(crate) fn enter(&self, bytes: usize) -> Outcome<Place> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.sends >= MAX_SENDS || waiting.bytes >= MAX_BYTES {
            let Waiting { sends, bytes } = *waiting;
            let text = format!(
                "{sends} sends with {bytes} bytes wait already; go on at PQ_CB_SEND_COMPLETE"
            );
            return Err(Failure::new(PQ_ERR_QUEUE_FULL, text));
        }
        waiting.sends += 1;
        waiting.bytes += bytes;
        Ok(Place { queue: self.clone(), bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.sends -= 1;
        waiting.bytes -= self.bytes;
    }
}

/// How many sends of a stream may wait.
const MAX_SENDS: usize = 1024;
/// How many bytes of a stream may wait before the next send is refused: 16 MiB.
const MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_left_makes_room() {
        let queue = Queue::default();
        let large = queue.enter(3 * MAX_BYTES).unwrap();
        assert!(queue.enter(0).is_err());
        drop(large);
        let small: Vec<_> = (0..MAX_SENDS).map(|_| queue.enter(1).unwrap()).collect();
        assert!(queue.enter(0).is_err());
        drop(small);
        assert!(queue.enter(1).is_ok());
    }
}
