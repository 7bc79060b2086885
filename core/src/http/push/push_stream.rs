//! [`PushStream`]: a server's stream of one pushed response (RFC 9114 §6.2.2), and the opening of
//! such streams. It must not know requests.

use super::server::{WaitingPush, declared_length};
use crate::http::connection::Http3Connection;
use crate::http::error::ExchangeError;
use crate::http::frame::emit;
use crate::http::headers::{has_body, response_fields};
use crate::http::message_writer::MessageWriter;
use crate::http::transport::Transport;
use crate::http::uni_stream::UniKind;
use crate::types::StreamId;

/// Sends one pushed response.
#[derive(Debug)]
pub(in crate::http) struct PushStream {
    push: u64,
    stream: StreamId,
    /// Until it is begun.
    unsent: Option<WaitingPush>,
    writer: MessageWriter,
}

impl PushStream {
    /// The stream for the next push that waits for one, if there is any.
    pub(in crate::http) fn for_next(stream: StreamId, http: &mut Http3Connection) -> Option<Self> {
        let unsent = http.pushes.start_next(stream)?;
        Some(Self {
            push: unsent.id,
            stream,
            unsent: Some(unsent),
            writer: MessageWriter::new(stream),
        })
    }

    /// There is room to write, or the stream was just opened.
    pub(in crate::http) fn on_can_write(
        &mut self,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) {
        let sent = match self.unsent.take() {
            Some(push) => self.begin(push, http, io),
            None if self.writer.is_over() => return,
            None => self.writer.pump(http, io),
        };
        match sent {
            Ok(()) | Err(ExchangeError::StreamClosed) => {}
            Err(error) => {
                log::warn!("push {} cannot be sent: {error}", self.push);
                self.writer.drop_body();
                http.take_push_back(self.push, io);
            }
        }
    }

    /// It is over: all has arrived, or the client does not want it.
    pub(in crate::http) fn on_over(&mut self, http: &mut Http3Connection) {
        self.writer.drop_body();
        if let Some(pushes) = http.pushes.get_mut() {
            pushes.on_over(self.push);
        }
    }

    fn begin(
        &mut self,
        push: WaitingPush,
        http: &mut Http3Connection,
        io: &mut dyn Transport,
    ) -> Result<(), ExchangeError> {
        let WaitingPush { id, method, head, body, priority } = push;
        // Errors: the stream is over already.
        let _ = io.set_priority(self.stream, priority);
        // RFC 9114 §6.2.2: the type, then the push ID, then the response.
        let start = http.small(|out| {
            emit::varint(out, UniKind::Push.wire_type());
            emit::varint(out, id);
        });
        io.write_all(self.stream, start).map_err(|_| ExchangeError::StreamClosed)?;
        let status = head.status();
        let fields = response_fields(&status, head.headers())?;
        let has_body = has_body(&method, status);
        let length = declared_length(head.headers())?;
        self.writer.message((&fields, has_body), length, body, http, io)
    }
}
