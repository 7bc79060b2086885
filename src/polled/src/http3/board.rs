//! [`Board`]: where handlers and the polling caller meet: the news, and of each exchange what has
//! come and was not read, and what is to be sent. Bounded: a handler takes no more than the board has
//! room for, and so holds the peer back. This file must not know which side it is on.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Response};
use protoquic_core::http::{Exchange, RequestFailure, RequestId};

use super::connection::Http3Event;
use crate::{Error, Result};

pub(super) type SharedBoard = Rc<RefCell<Board>>;

#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) events: VecDeque<(u64, Http3Event)>,
    exchanges: BTreeMap<u64, Message>,
    /// What a handler could not do of what it was just told.
    pub(super) error: Option<Error>,
    /// On a client: what the next request is called here.
    pub(super) next_id: u64,
}

/// One exchange.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// On a client: what its session calls it.
    request: Option<RequestId>,
    /// What has come of the peer's body and was not read.
    inbox: BytesMut,
    /// `Data` was told, and the inbox has not been empty since.
    has_told_data: bool,
    end: End,
    /// On a server: the response's head, until it is sent.
    pub(super) interim: VecDeque<Response<()>>,
    pub(super) head: Option<Response<()>>,
    pub(super) has_head: bool,
    /// What is to be sent of our body.
    outbox: VecDeque<Bytes>,
    outbox_len: usize,
    is_full: bool,
    /// Our body ends with the outbox.
    pub(super) fin: bool,
    pub(super) trailers: Option<HeaderMap>,
    /// Our message was handed over to the end, or is not wanted.
    pub(super) is_sent: bool,
    /// On a client: its session has done with it.
    pub(super) is_complete: bool,
    /// The caller gave up.
    pub(super) cancel: Option<u64>,
}

/// The end of the peer's message.
#[derive(Debug, Default)]
enum End {
    #[default]
    ToCome,
    /// It has come, with trailers perhaps, and there is something to be read before it.
    Here(Option<HeaderMap>),
    Told,
}

impl Board {
    pub(super) fn tell(&mut self, id: u64, event: Http3Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((id, event));
    }

    pub(super) fn begin(&mut self, id: u64) {
        self.exchanges.insert(id, Message::default());
    }

    pub(super) fn set_request(&mut self, id: u64, request: RequestId) {
        if let Some(message) = self.exchanges.get_mut(&id) {
            message.request = Some(request);
        }
    }

    pub(super) fn request(&self, id: u64) -> Option<RequestId> {
        self.exchanges.get(&id)?.request
    }

    pub(super) fn get(&mut self, id: u64) -> Result<&mut Message> {
        self.exchanges.get_mut(&id).ok_or(Error::UnknownStream)
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.exchanges.remove(&id);
    }

    /// It ended badly: what was not read is gone.
    pub(super) fn fail(&mut self, id: u64, failure: RequestFailure) {
        if self.exchanges.remove(&id).is_some() {
            self.tell(id, Http3Event::Failed(failure));
        }
    }

    /// Takes what there is of the peer's body, as far as there is room.
    pub(super) fn take_in<R>(&mut self, id: u64, exchange: &mut Exchange<'_, R>) {
        let Some(message) = self.exchanges.get_mut(&id) else { return };
        while message.inbox.len() < MAX_UNREAD
            && let Some(piece) = exchange.read_body()
        {
            message.inbox.extend_from_slice(&piece);
        }
        if exchange.is_body_finished() && matches!(message.end, End::ToCome) {
            message.end = End::Here(exchange.trailers().cloned());
        }
        if !message.inbox.is_empty() && !message.has_told_data {
            message.has_told_data = true;
            self.tell(id, Http3Event::Data);
        }
        self.tell_end(id);
    }

    /// Tells the end of the peer's message, once everything before it has been read.
    fn tell_end(&mut self, id: u64) {
        let Some(message) = self.exchanges.get_mut(&id) else { return };
        if !message.inbox.is_empty() || !matches!(message.end, End::Here(_)) {
            return;
        }
        if let End::Here(trailers) = std::mem::replace(&mut message.end, End::Told) {
            let is_over = message.is_complete;
            self.tell(id, Http3Event::Finished { trailers });
            if is_over {
                self.exchanges.remove(&id);
            }
        }
    }

    /// Reads. Returns how many bytes, and whether the handler may now go on taking in.
    pub(super) fn read(&mut self, id: u64, out: &mut [u8]) -> Result<(usize, bool)> {
        let message = self.get(id)?;
        if message.inbox.is_empty() {
            return Err(Error::Done);
        }
        let was_full = message.inbox.len() >= MAX_UNREAD;
        let len = out.len().min(message.inbox.len());
        message.inbox.copy_to_slice(&mut out[..len]);
        if message.inbox.is_empty() {
            message.has_told_data = false;
        }
        let goes_on = was_full && message.inbox.len() < MAX_UNREAD;
        self.tell_end(id);
        Ok((len, goes_on))
    }
}

impl Message {
    /// Whether the peer's message has been read, and its end told.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.end, End::Told)
    }

    /// Our message is over.
    pub(super) fn on_sent(&mut self) {
        self.is_sent = true;
        self.outbox.clear();
        self.outbox_len = 0;
    }

    /// Takes the front of our body as far as there is room.
    pub(super) fn put(&mut self, data: &[u8], fin: bool) -> Result<usize> {
        if self.fin || self.is_sent {
            return Err(Error::WrongState);
        }
        let taken = data.len().min(MAX_UNSENT.saturating_sub(self.outbox_len));
        if taken > 0 {
            self.outbox.push_back(Bytes::copy_from_slice(&data[..taken]));
            self.outbox_len += taken;
        }
        self.is_full = taken < data.len();
        self.fin = fin && !self.is_full;
        if taken == 0 && !data.is_empty() { Err(Error::Done) } else { Ok(taken) }
    }

    /// The next piece of our body.
    pub(super) fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.outbox.pop_front()?;
        self.outbox_len -= piece.len();
        Some(piece)
    }

    /// What could not be sent of it yet.
    pub(super) fn put_back(&mut self, piece: Bytes) {
        self.outbox_len += piece.len();
        self.outbox.push_front(piece);
    }

    /// Whether there is room again that the caller waits for.
    pub(super) fn take_room(&mut self) -> bool {
        self.outbox_len <= MAX_UNSENT / 2 && std::mem::take(&mut self.is_full)
    }
}

/// How much of a peer's body waits to be read, in bytes; a piece more at most.
const MAX_UNREAD: usize = 256 * 1024;
/// How much of our body waits to be sent, in bytes.
const MAX_UNSENT: usize = 256 * 1024;
/// How many events wait; beyond it the oldest are dropped.
const MAX_EVENTS: usize = 16 * 1024;
