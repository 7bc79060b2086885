//! [`CallbackStream`]: a stream that calls back. It holds what the application has not taken, and what
//! there was no room to send. This file must not know connections.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::{null, null_mut};

use bytes::{Buf as _, Bytes};
use protoquic::{ApplicationError, Stream, StreamContext, StreamId};

use super::events::{
    Context, pq_cb_stream_callback, pq_cb_stream_event, pq_cb_stream_event_kind as kind, pq_handle,
};
use super::port::{Send, StreamOrder};
use super::session::CallbackSession;
use super::table;

pub(crate) struct CallbackStream {
    handle: pq_handle,
    callback: pq_cb_stream_callback,
    context: Context,
    orders: VecDeque<StreamOrder>,
    sends: VecDeque<Send>,
    /// What was shown and not taken.
    held: Bytes,
    is_paused: bool,
    /// The end of the peer's part was told, or will never come.
    is_read: bool,
    /// Nothing more can be sent.
    is_cut: bool,
}

impl CallbackStream {
    pub(crate) fn new(
        handle: pq_handle,
        callback: pq_cb_stream_callback,
        context: Context,
    ) -> Self {
        Self {
            handle,
            callback,
            context,
            orders: VecDeque::new(),
            sends: VecDeque::new(),
            held: Bytes::new(),
            is_paused: false,
            is_read: false,
            is_cut: false,
        }
    }

    pub(crate) fn handle(&self) -> pq_handle {
        self.handle
    }

    /// Leaves an order, to be obeyed when the stream is called next.
    pub(crate) fn tell(&mut self, order: StreamOrder) {
        self.orders.push_back(order);
    }

    pub(crate) fn on_started(&mut self, id: StreamId) {
        self.call(pq_cb_stream_event { id: id.as_u64(), ..event(kind::PQ_CB_START_COMPLETE) });
    }

    fn call(&mut self, mut event: pq_cb_stream_event) -> usize {
        if let Some(callback) = self.callback {
            // SAFETY: the application gave this function for these arguments; the event outlives
            // the call.
            unsafe { callback(self.handle, self.context.0, &raw mut event) };
        }
        event.consumed
    }

    fn complete(&mut self, send: Send, canceled: bool) {
        let send_context: *mut c_void = send.context.0;
        if let Some(place) = send.place {
            drop(place); // who is told may send more at once
            self.call(pq_cb_stream_event {
                send_context,
                canceled,
                ..event(kind::PQ_CB_SEND_COMPLETE)
            });
        }
    }

    fn cancel_sends(&mut self) {
        self.is_cut = true;
        while let Some(send) = self.sends.pop_front() {
            self.complete(send, true);
        }
    }

    fn obey(&mut self, cx: &mut StreamContext<'_, CallbackSession>) {
        while let Some(order) = self.orders.pop_front() {
            match order {
                StreamOrder::Send(send) if self.is_cut => self.complete(send, true),
                StreamOrder::Send(send) => self.sends.push_back(send),
                StreamOrder::Resume => self.is_paused = false,
                // Errors say that the part is over already, which is what was wanted.
                StreamOrder::Reset(code) => {
                    let _ = cx.reset(ApplicationError(code));
                    self.cancel_sends();
                }
                StreamOrder::Stop(code) => {
                    let _ = cx.stop_sending(ApplicationError(code));
                    self.held = Bytes::new();
                    self.is_read = true;
                }
            }
        }
    }

    /// Shows what has come, until it is not taken.
    fn receive(&mut self, cx: &mut StreamContext<'_, CallbackSession>) {
        while !self.is_paused && !self.is_read {
            if self.held.is_empty() {
                match cx.read_up_to(MAX_RECEIVE) {
                    Some(data) => self.held = data,
                    None if cx.is_read_finished() => {
                        self.is_read = true;
                        self.call(event(kind::PQ_CB_PEER_SEND_SHUTDOWN));
                        return;
                    }
                    None => return,
                }
            }
            let held = std::mem::take(&mut self.held);
            let (data, len) = (held.as_ptr(), held.len());
            let shown =
                pq_cb_stream_event { data, len, consumed: len, ..event(kind::PQ_CB_RECEIVE) };
            let consumed = self.call(shown).min(len);
            if consumed < len {
                // A slice of a batch of packets is not to be kept.
                self.held = Bytes::copy_from_slice(&held[consumed..]);
                self.is_paused = true;
            }
        }
    }

    /// Sends what there is room for.
    fn transmit(&mut self, cx: &mut StreamContext<'_, CallbackSession>) {
        while !self.is_cut
            && let Some(mut send) = self.sends.pop_front()
        {
            let written = if send.data.has_remaining() { cx.write(&mut send.data) } else { Ok(0) };
            if written.is_err() {
                self.complete(send, true);
                return self.cancel_sends();
            }
            if send.data.has_remaining() {
                return self.sends.push_front(send); // on_can_write goes on
            }
            let fin = send.fin;
            if fin {
                let _ = cx.finish(); // an error: it is over already
                self.is_cut = true;
            }
            self.complete(send, false);
            if fin {
                self.cancel_sends();
            }
        }
    }

    /// It is over, or will never be: the last event.
    pub(crate) fn end(&mut self) {
        while let Some(order) = self.orders.pop_front() {
            if let StreamOrder::Send(send) = order {
                self.complete(send, true);
            }
        }
        self.cancel_sends();
        table::remove(self.handle);
        self.call(event(kind::PQ_CB_STREAM_SHUTDOWN_COMPLETE));
    }

    fn go_on(&mut self, cx: &mut StreamContext<'_, CallbackSession>) {
        self.obey(cx);
        self.receive(cx);
        self.transmit(cx);
    }
}

impl Stream<CallbackSession> for CallbackStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, CallbackSession>) {
        self.go_on(cx);
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, CallbackSession>) {
        self.go_on(cx);
    }

    fn on_reset(&mut self, code: ApplicationError, _cx: &mut StreamContext<'_, CallbackSession>) {
        self.held = Bytes::new();
        if !std::mem::replace(&mut self.is_read, true) {
            self.call(pq_cb_stream_event { code: code.0, ..event(kind::PQ_CB_PEER_SEND_ABORTED) });
        }
    }

    fn on_stop_sending(
        &mut self,
        code: ApplicationError,
        _cx: &mut StreamContext<'_, CallbackSession>,
    ) {
        self.call(pq_cb_stream_event { code: code.0, ..event(kind::PQ_CB_PEER_RECEIVE_ABORTED) });
        self.cancel_sends();
    }

    fn on_all_data_acked(&mut self, _cx: &mut StreamContext<'_, CallbackSession>) {
        self.call(event(kind::PQ_CB_SEND_SHUTDOWN_COMPLETE));
    }

    /// What was shown and not taken is not lost with the stream.
    fn lingers(&self) -> bool {
        !self.held.is_empty() && !self.is_read
    }

    fn on_close(&mut self, session: &mut CallbackSession) {
        session.forget_stream(self.handle);
        self.end();
    }
}

/// An event with nothing in it.
fn event(kind: kind) -> pq_cb_stream_event {
    pq_cb_stream_event {
        kind,
        id: 0,
        data: null(),
        len: 0,
        consumed: 0,
        send_context: null_mut(),
        canceled: false,
        code: 0,
    }
}

/// The most that is shown at a time, in bytes.
const MAX_RECEIVE: usize = 64 * 1024;
