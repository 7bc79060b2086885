//! [`Spares`]: parts of streams that are over, kept for the next streams with the little memory that
//! they have: where each request has a stream, making them anew costs more than using them. It must
//! not know what parts do.

use super::flow_control::{RecvWindow, SendWindow};
use super::recv_part::RecvPart;
use super::send_part::SendPart;
use crate::rare::{Blank, Rare};

/// Parts that wait to be used again.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "streams hold their parts in boxes: these are the boxes")]
pub(super) struct Spares {
    send: Vec<Box<SendPart>>,
    recv: Vec<Box<RecvPart>>,
}

impl Blank for Spares {
    const BLANK: &'static Self = &Self { send: Vec::new(), recv: Vec::new() };
}

impl Spares {
    /// Keeps the parts of a stream that is over.
    pub(super) fn keep(&mut self, send: Option<Box<SendPart>>, recv: Option<Box<RecvPart>>) {
        if let Some(mut part) = send.filter(|_| self.send.len() < MAX_SPARES) {
            part.retire();
            self.send.push(part);
        }
        if let Some(mut part) = recv.filter(|_| self.recv.len() < MAX_SPARES) {
            part.retire();
            self.recv.push(part);
        }
    }

    /// A sending part that may send `max` bytes.
    pub(super) fn send_part(spares: &mut Rare<Self>, max: u64) -> Box<SendPart> {
        match spares.get_mut().and_then(|spares| spares.send.pop()) {
            Some(mut part) => {
                part.window = SendWindow::new(max);
                part
            }
            None => Box::new(SendPart::new(max)),
        }
    }

    /// A receiving part with this window.
    pub(super) fn recv_part(spares: &mut Rare<Self>, window: RecvWindow) -> Box<RecvPart> {
        match spares.get_mut().and_then(|spares| spares.recv.pop()) {
            Some(mut part) => {
                part.window = window;
                part
            }
            None => Box::new(RecvPart::new(window)),
        }
    }
}

/// How many of each are kept: as many streams as end between two packets to the peer.
const MAX_SPARES: usize = 64;

/// The largest queue that a spare part keeps.
pub(super) const MAX_SPARE_QUEUE: usize = 16;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::time::Time;
    use crate::types::StreamId;

    #[test]
    fn a_part_that_is_used_again_is_as_a_new_one() {
        let window = |size| RecvWindow::new(size, size, Time::ZERO);
        let mut spares = Rare::NONE;
        let mut send = Spares::send_part(&mut spares, 100);
        let mut recv = Spares::recv_part(&mut spares, window(100));
        send.buffer.push_message(Bytes::from_static(b"head"), Bytes::from_static(b"body"));
        send.finish();
        send.on_sent(8, true);
        send.on_lost(2, 3, false);
        send.starve();
        send.abort.stopped = Some(crate::error::ApplicationError(1));
        recv.admit(StreamId::from_raw(0), 10, true).unwrap();
        recv.insert(0, Bytes::from_static(b"front"));
        recv.insert(7, Bytes::from_static(b"end"));
        recv.on_progress();
        recv.abort.stopped = Some(crate::error::ApplicationError(1));
        spares.keep(Some(send), Some(recv));
        let said = |part: &dyn std::fmt::Debug| format!("{part:?}");
        assert_eq!((spares.send.len(), spares.recv.len()), (1, 1));
        assert_eq!(said(&Spares::send_part(&mut spares, 50)), said(&SendPart::new(50)));
        let recv = Spares::recv_part(&mut spares, window(50));
        assert_eq!(said(&recv), said(&RecvPart::new(window(50))));
        assert_eq!((spares.send.len(), spares.recv.len()), (0, 0));
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut spares = Spares::default();
        for _ in 0..2 * MAX_SPARES {
            spares.keep(Some(Box::new(SendPart::new(1))), None);
        }
        assert_eq!((spares.send.len(), spares.recv.len()), (MAX_SPARES, 0));
    }
}
