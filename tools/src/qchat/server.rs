//! The echo's server. Begin here to learn how a protocol is written: [`ChatServer`] is one client's
//! connection, [`EchoStream`] one of its streams. Both only answer callbacks; which socket, thread
//! or clock they run on is not their business.

use std::rc::Rc;

use bytes::Bytes;
use protoquic::{
    ApplicationError, CloseReason, Direction, FnFactory, Refuse, ServerConfig, Session,
    SessionContext, SessionFactory, SessionHost, Stream, StreamContext, StreamId,
};

use super::{ALPN, Say, codes};

/// One client's connection.
pub struct ChatServer {
    /// Counts the connections, to tell their lines apart.
    number: u64,
    say: Say,
    shutting_down: bool,
}

impl std::fmt::Debug for ChatServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatServer").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Makes a [`ChatServer`] for each client that asks for [`ALPN`]. `say` is given a line for
/// everything that happens.
pub fn chat_factory(config: ServerConfig, say: Say) -> impl SessionFactory {
    echo_factory(ALPN, config, say)
}

/// The same echo by another name.
pub fn echo_factory(alpn: &[u8], config: ServerConfig, say: Say) -> impl SessionFactory + use<> {
    let mut accepted = 0;
    FnFactory::new(&[alpn], config, move |connection| {
        accepted += 1;
        let session = ChatServer { number: accepted, say: Rc::clone(&say), shutting_down: false };
        session.say(&format!("accepted from {}", connection.peer_address()));
        Box::new(SessionHost::new(connection, session))
    })
}

impl ChatServer {
    fn say(&self, what: &str) {
        (self.say)(&format!("connection {}: {what}", self.number));
    }

    /// A server that shuts down goes when the last echo is delivered.
    fn leave_if_done(&self, cx: &mut SessionContext<'_, Self>) {
        if self.shutting_down && cx.streams().is_empty() {
            cx.close(codes::DONE, "the server has shut down");
        }
    }
}

impl Session for ChatServer {
    type Stream = EchoStream;

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        let suite = cx.connection().cipher_suite();
        self.say(&match suite.as_ref().and_then(rustls::CipherSuite::as_str) {
            Some(suite) => format!("connected with {suite}"),
            None => "connected".to_owned(),
        });
    }

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<EchoStream, Refuse> {
        if id.direction() == Direction::Unidirectional {
            return Err(Refuse(codes::NO_SUCH_STREAM)); // there would be no way back
        }
        if self.shutting_down {
            return Err(Refuse(codes::SHUTTING_DOWN));
        }
        self.say(&format!("new {id}"));
        Ok(EchoStream { id, echoed: 0, end: "without its end" })
    }

    /// The graceful end: no new streams, and those that are open may end as they want to. (The
    /// abortive end needs no callback: the dispatcher closes the connection.)
    fn on_shutdown(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.shutting_down = true;
        self.say("shutting down");
        self.leave_if_done(cx);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        if !self.shutting_down {
            self.say("shutting down");
        }
        self.say(&format!("closed: {why}"));
    }
}

/// One stream: sends back what comes.
#[derive(Debug)]
pub struct EchoStream {
    id: StreamId,
    echoed: u64,
    /// How it ended.
    end: &'static str,
}

impl EchoStream {
    /// Takes from the client only what there is room to send back. Who does not read our echo fills
    /// our send buffer; then we stop reading, and flow control stops the client. So a stream takes
    /// the same little memory whatever its length.
    fn echo(&mut self, cx: &mut StreamContext<'_, ChatServer>) {
        loop {
            let room = cx.writable();
            if room == 0 {
                break; // on_can_write will tell
            }
            let Some(data) = cx.read_up_to(room) else { break };
            self.echoed += data.len() as u64;
            // What was read may be a slice of a whole batch of packets: a copy lets the batch go.
            // Writing fails only if the client wants no more, and then it tells us so.
            let _ = cx.write_all(Bytes::copy_from_slice(&data));
        }
        if cx.is_read_finished() {
            self.end = "its end not acknowledged";
            let _ = cx.finish(); // the client's end is ours; an error: we have finished before
        }
    }
}

impl Stream<ChatServer> for EchoStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, ChatServer>) {
        self.echo(cx);
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, ChatServer>) {
        self.echo(cx);
    }

    /// The send-complete notice: the client has everything, the end of the stream included.
    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, ChatServer>) {
        self.end = "all acknowledged";
        let (session, cx) = cx.split();
        session.leave_if_done(cx);
    }

    /// The client has abandoned what it was saying: the echo goes the same way.
    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, ChatServer>) {
        self.end = "aborted by the client";
        let _ = cx.reset(code); // fails if the client does not want the echo either
        let (session, cx) = cx.split();
        session.leave_if_done(cx);
    }

    /// The client does not want the echo: then we do not want the rest.
    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, ChatServer>) {
        self.end = "aborted by the client";
        let _ = cx.stop_sending(code); // fails if the client has sent everything
        let (session, cx) = cx.split();
        session.leave_if_done(cx);
    }

    /// Both directions are over, or the connection is.
    fn on_close(&mut self, session: &mut ChatServer) {
        session.say(&format!("{}: {} bytes sent back, {}", self.id, self.echoed, self.end));
    }
}
