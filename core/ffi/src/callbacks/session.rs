//! [`CallbackSession`]: a connection that calls back, and obeys what other threads have left for it.
//! This file must not know sockets.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ptr::{null, null_mut};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, DatagramOptions, Direction, Refuse, Session, SessionContext,
    StreamId,
};

use super::events::{
    Context, pq_cb_conn_callback, pq_cb_conn_event, pq_cb_conn_event_kind as kind, pq_handle,
};
use super::port::{Order, Port, StreamOrder};
use super::queue::Queue;
use super::stream::CallbackStream;
use super::table::{self, Entry};

/// Handles of connections that are over.
pub(crate) type Deaths = Rc<RefCell<Vec<pq_handle>>>;

pub(crate) struct CallbackSession {
    handle: pq_handle,
    port: Arc<Port>,
    callback: pq_cb_conn_callback,
    context: Context,
    streams: HashMap<pq_handle, StreamId>,
    /// Streams that the peer does not allow yet: bidirectional ones, and unidirectional ones.
    waiting: [VecDeque<CallbackStream>; 2],
    deaths: Deaths,
    /// The last event was told.
    is_over: bool,
}

impl CallbackSession {
    pub(crate) fn new(
        handle: pq_handle,
        port: Arc<Port>,
        callback: pq_cb_conn_callback,
        context: Context,
        deaths: Deaths,
    ) -> Self {
        let (streams, waiting, is_over) = (HashMap::new(), Default::default(), false);
        Self { handle, port, callback, context, streams, waiting, deaths, is_over }
    }

    pub(crate) fn forget_stream(&mut self, handle: pq_handle) {
        self.streams.remove(&handle);
    }

    fn call(&self, event: &mut pq_cb_conn_event) {
        if let Some(callback) = self.callback {
            // SAFETY: the application gave this function for these arguments; the event outlives
            // the call.
            unsafe { callback(self.handle, self.context.0, event) };
        }
    }

    /// Does what was asked from outside.
    pub(crate) fn obey(&mut self, order: Order, cx: &mut SessionContext<'_, Self>) {
        match order {
            Order::Close(code) => cx.close(ApplicationError(code), ""),
            // Nobody promised that it would arrive.
            Order::Datagram(data) => drop(cx.send_datagram(data, DatagramOptions::default())),
            Order::Open { .. } if self.is_over => order.refuse(),
            Order::Open { stream, direction, callback, context } => {
                let stream = CallbackStream::new(stream, callback, context);
                self.waiting[direction as usize].push_back(stream);
                self.open_waiting(direction, cx);
            }
            Order::Stream(handle, order) => self.pass_on(handle, order, cx),
        }
    }

    fn pass_on(
        &mut self,
        handle: pq_handle,
        order: StreamOrder,
        cx: &mut SessionContext<'_, Self>,
    ) {
        if let Some(id) = self.streams.get(&handle) {
            if let Some(stream) = cx.streams().get_mut(*id) {
                stream.tell(order);
                cx.wake_stream(*id);
            }
        } else if let Some(stream) =
            self.waiting.iter_mut().flatten().find(|stream| stream.handle() == handle)
        {
            stream.tell(order);
        }
    }

    fn open_waiting(&mut self, direction: Direction, cx: &mut SessionContext<'_, Self>) {
        while let Some(stream) = self.waiting[direction as usize].pop_front() {
            let mut stream = Some(stream);
            let handle = stream.as_ref().map_or(0, CallbackStream::handle);
            let opened = cx.open_stream(direction, |id| {
                let mut stream = stream.take().expect("it is asked for once");
                stream.on_started(id);
                stream
            });
            match (opened, stream) {
                (Ok(id), _) => drop(self.streams.insert(handle, id)),
                (Err(_), Some(stream)) => {
                    // on_can_create_outgoing_stream tells when to go on.
                    return self.waiting[direction as usize].push_front(stream);
                }
                (Err(_), None) => {}
            }
        }
    }
}

impl Session for CallbackSession {
    type Stream = CallbackStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<CallbackStream, Refuse> {
        let (port, conn) = (Arc::clone(&self.port), self.handle);
        let stream = table::add(Entry::Stream { port, conn, queue: Queue::default() });
        let bidirectional = id.direction() == Direction::Bidirectional;
        let mut event =
            pq_cb_conn_event { stream, bidirectional, ..event(kind::PQ_CB_PEER_STREAM_STARTED) };
        self.call(&mut event);
        if event.callback.is_none() {
            table::remove(stream);
            return Err(Refuse::default());
        }
        self.streams.insert(stream, id);
        Ok(CallbackStream::new(stream, event.callback, Context(event.context)))
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.call(&mut event(kind::PQ_CB_CONNECTED));
        self.open_waiting(Direction::Bidirectional, cx);
        self.open_waiting(Direction::Unidirectional, cx);
    }

    fn on_can_create_outgoing_stream(
        &mut self,
        direction: Direction,
        cx: &mut SessionContext<'_, Self>,
    ) {
        self.open_waiting(direction, cx);
    }

    fn on_datagram_received(&mut self, data: Bytes, _cx: &mut SessionContext<'_, Self>) {
        let (data, len) = (data.as_ptr(), data.len());
        self.call(&mut pq_cb_conn_event { data, len, ..event(kind::PQ_CB_DATAGRAM) });
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.is_over = true;
        for mut stream in self.waiting.iter_mut().flat_map(std::mem::take) {
            stream.end();
        }
        let told = match why {
            CloseReason::Application { .. } => None,
            CloseReason::PeerApplication { code, .. } => {
                Some((kind::PQ_CB_SHUTDOWN_BY_PEER, code.0))
            }
            CloseReason::Transport(error) | CloseReason::PeerTransport(error) => {
                Some((kind::PQ_CB_SHUTDOWN_BY_TRANSPORT, error.code().0))
            }
            _ => Some((kind::PQ_CB_SHUTDOWN_BY_TRANSPORT, 0)),
        };
        if let Some((kind, code)) = told {
            self.call(&mut pq_cb_conn_event { code, ..event(kind) });
        }
        table::remove(self.handle);
        self.deaths.borrow_mut().push(self.handle);
        self.call(&mut event(kind::PQ_CB_CONN_SHUTDOWN_COMPLETE));
    }
}

/// An event with nothing in it.
fn event(kind: kind) -> pq_cb_conn_event {
    pq_cb_conn_event {
        kind,
        stream: 0,
        bidirectional: false,
        code: 0,
        data: null(),
        len: 0,
        callback: None,
        context: null_mut(),
    }
}
