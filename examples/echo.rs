//! A protocol of one's own on bare [`Session`] and [`Stream`]: a server that sends every stream's
//! bytes back, and a client that speaks first. Both live in this process, each with its event loop.

use std::time::Duration;

use bytes::Bytes;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::session::ClientHelloInfo;
use protoquic::{
    ApplicationError, Connection, Direction, Host, Refuse, Reject, ServerConfig, Session,
    SessionContext, SessionFactory, SessionHost, Stream, StreamContext, StreamId,
};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint, self_made_server};

/// The protocol, in either role: a client opens a stream, a server is opened one.
struct Echo;

type Context<'a> = SessionContext<'a, Echo>;
type Incoming = Result<EchoStream, Refuse>;

enum EchoStream {
    Answers,
    Asks(Vec<u8>),
}

impl Session for Echo {
    type Stream = EchoStream;

    fn create_incoming_stream(&mut self, _: StreamId, _: &mut Context<'_>) -> Incoming {
        Ok(EchoStream::Answers)
    }
}

impl Stream<Echo> for EchoStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Echo>) {
        match self {
            Self::Answers => {
                while cx.writable() > 0
                    && let Some(piece) = cx.read()
                {
                    let _ = cx.write_all(piece); // fails only if nobody listens any more
                }
                if cx.is_read_finished() {
                    let _ = cx.finish();
                }
            }
            Self::Asks(heard) => {
                while let Some(piece) = cx.read() {
                    heard.extend_from_slice(&piece);
                }
                if cx.is_read_finished() {
                    assert_eq!(heard, b"hello, echo");
                    cx.session_context().close(ApplicationError(0), "heard what was said");
                }
            }
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Echo>) {
        self.on_data_available(cx); // what waited for room to answer
    }
}

/// Makes the server's sessions.
struct Factory(ServerConfig, [Vec<u8>; 1]);

type Made = Result<Box<dyn Host>, Reject>;

impl SessionFactory for Factory {
    fn alpn(&self) -> &[Vec<u8>] {
        &self.1
    }

    fn server_config(&mut self, _: &ClientHelloInfo<'_>) -> ServerConfig {
        self.0.clone()
    }

    fn create_session(&mut self, connection: Connection, _: &ClientHelloInfo<'_>) -> Made {
        Ok(Box::new(SessionHost::new(connection, Echo)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let factory = Box::new(Factory(self_made_server(ALPN)?, [ALPN.to_vec()]));
    let listen = ([127, 0, 0, 1], 0).into();
    let mut server = ServerEndpoint::bind(listen, DispatcherConfig::default(), vec![factory])?;
    let options = ClientOptions::believing_anyone(server.address(), ALPN)?;
    let mut client = ClientEndpoint::connect(options, |_| Echo)?;
    let mut asked = false;
    while client.close_reason().is_none() {
        server.run_once(Some(Duration::from_millis(1)))?;
        client.run_once(Some(Duration::from_millis(1)))?;
        if !asked && client.host().host().connection().is_confirmed() {
            asked = true;
            client.enter(|_, cx| {
                let ask = |_| EchoStream::Asks(Vec::new());
                let id = cx.open_stream(Direction::Bidirectional, ask)?;
                cx.write_all_to(id, Bytes::from("hello, echo"))?;
                cx.connection().stream_finish(id)
            })?;
        }
    }
    Ok(())
}

/// The protocol's name.
const ALPN: &[u8] = b"echo";
