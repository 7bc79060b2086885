//! [`WebTransportEcho`]: a visitor that sends everything back. What it cannot send yet it does not
//! read, but for unidirectional streams that wait to be opened, whose number is bounded.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::session::WebTransportSession;
use super::visitor::WebTransportVisitor;
use crate::error::StreamError;
use crate::types::{Direction, StreamId};

/// Sends back what comes: on the same stream, on a new one for each unidirectional stream, as a
/// datagram. For trying out clients.
///
/// ```
/// use protoquic_core::http::webtransport::{WebTransportEcho, WebTransportVisitor};
///
/// let visitor: Box<dyn WebTransportVisitor> = Box::new(WebTransportEcho::default());
/// ```
#[derive(Debug, Default)]
pub struct WebTransportEcho {
    /// What each stream that is read answers on, and what was read and not written.
    echoes: BTreeMap<StreamId, Echo>,
    /// The stream that each of ours answers.
    sources: BTreeMap<StreamId, StreamId>,
    /// Unidirectional streams without one to answer on.
    waiting: VecDeque<StreamId>,
}

#[derive(Debug)]
struct Echo {
    sink: StreamId,
    held: Bytes,
}

impl WebTransportEcho {
    fn run(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        let Some(echo) = self.echoes.get_mut(&stream) else { return };
        loop {
            if echo.held.is_empty() {
                match session.read(stream) {
                    Some(piece) => echo.held = piece,
                    None if session.is_read_finished(stream) => {
                        // An error: nobody wants the answer.
                        let _ = session.finish(echo.sink);
                        return self.forget(stream);
                    }
                    None => return,
                }
            }
            if session.write(echo.sink, &mut echo.held).is_err() {
                session.stop_sending(stream, 0);
                return self.forget(stream);
            }
            if !echo.held.is_empty() {
                return; // on_stream_writable goes on
            }
        }
    }

    fn forget(&mut self, stream: StreamId) {
        if let Some(echo) = self.echoes.remove(&stream) {
            self.sources.remove(&echo.sink);
        }
    }

    fn answer(&mut self, stream: StreamId, sink: StreamId, session: &mut WebTransportSession<'_>) {
        self.echoes.insert(stream, Echo { sink, held: Bytes::new() });
        self.sources.insert(sink, stream);
        self.run(stream, session);
    }

    fn open_waiting(&mut self, session: &mut WebTransportSession<'_>) {
        while let Some(stream) = self.waiting.pop_front() {
            match session.open_unidirectional_stream() {
                Ok(sink) => self.answer(stream, sink, session),
                Err(StreamError::LimitReached) if self.waiting.len() < MAX_WAITING => {
                    return self.waiting.push_front(stream);
                }
                Err(_) => session.stop_sending(stream, 0),
            }
        }
    }
}

impl WebTransportVisitor for WebTransportEcho {
    fn on_incoming_stream(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        match stream.direction() {
            Direction::Bidirectional => self.answer(stream, stream, session),
            Direction::Unidirectional => {
                self.waiting.push_back(stream);
                self.open_waiting(session);
            }
        }
    }

    fn on_stream_readable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        self.run(stream, session);
    }

    fn on_stream_writable(&mut self, stream: StreamId, session: &mut WebTransportSession<'_>) {
        if let Some(source) = self.sources.get(&stream) {
            self.run(*source, session);
        }
    }

    fn on_stream_reset(
        &mut self,
        stream: StreamId,
        code: Option<u32>,
        session: &mut WebTransportSession<'_>,
    ) {
        self.waiting.retain(|waiting| *waiting != stream);
        if let Some(echo) = self.echoes.get(&stream) {
            session.reset(echo.sink, code.unwrap_or(0));
            self.forget(stream);
        }
    }

    fn on_stop_sending(
        &mut self,
        stream: StreamId,
        code: Option<u32>,
        session: &mut WebTransportSession<'_>,
    ) {
        if let Some(source) = self.sources.get(&stream).copied() {
            session.stop_sending(source, code.unwrap_or(0));
            self.forget(source);
        }
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        session: &mut WebTransportSession<'_>,
    ) {
        if direction == Direction::Unidirectional {
            self.open_waiting(session);
        }
    }

    fn on_datagram_received(&mut self, data: Bytes, session: &mut WebTransportSession<'_>) {
        // An error says that it cannot be sent now; nobody promised that it would be.
        let _ = session.send_datagram(&data);
    }
}

/// How many unidirectional streams wait to be answered.
const MAX_WAITING: usize = 1000;
