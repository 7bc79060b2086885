//! A protocol of one's own: a server that sends everything back, and a client that checks it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protoquic::crypto::{ClientTls, ServerTls, ServerTrust};
use protoquic::dispatcher::DispatcherConfig;
use protoquic::readers::BusyPoll;
use protoquic::{
    ApplicationError, Config, Direction, FnFactory, Refuse, ServerConfig, Session, SessionContext,
    SessionHost, Stream, StreamContext, StreamId,
};
use protoquic_tools::certificate::self_made;
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint};

struct Echo;
struct EchoStream;

impl Session for Echo {
    type Stream = EchoStream;
    fn create_incoming_stream(
        &mut self,
        _: StreamId,
        _: &mut SessionContext<'_, Self>,
    ) -> Result<EchoStream, Refuse> {
        Ok(EchoStream)
    }
}

impl Stream<Echo> for EchoStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Echo>) {
        while cx.writable() > 0 {
            let Some(chunk) = cx.read() else { break };
            let _ = cx.write_all(chunk); // fails only if the client wants no more
        }
        if cx.is_read_finished() {
            let _ = cx.finish();
        }
    }
    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Echo>) {
        self.on_data_available(cx); // what waited for room to answer
    }
}

/// Says hello and keeps what comes back.
struct Caller(Vec<u8>);
struct CallerStream;

impl Session for Caller {
    type Stream = CallerStream;
    fn create_incoming_stream(
        &mut self,
        _: StreamId,
        _: &mut SessionContext<'_, Self>,
    ) -> Result<CallerStream, Refuse> {
        Err(Refuse::default())
    }
    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        if let Ok(id) = cx.open_stream(Direction::Bidirectional, |_| CallerStream) {
            let _ = cx.write_all_to(id, Bytes::from_static(b"hello, echo"));
            let _ = cx.connection().stream_finish(id);
        }
    }
}

impl Stream<Caller> for CallerStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Caller>) {
        while let Some(chunk) = cx.read() {
            cx.session().0.extend_from_slice(&chunk);
        }
        if cx.is_read_finished() {
            cx.session_context().close(ApplicationError(0), "thank you");
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let alpn = vec![b"echo".to_vec()];
    let identity = self_made()?.identity;
    let (provider, client_verifier) = (None, None);
    let tls = ServerTls { provider, identity, alpn: alpn.clone(), client_verifier, key_log: true };
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport: transport.clone(), tls: Arc::new(tls.build()?) };
    let factory = FnFactory::new(&[b"echo"], config, |c| Box::new(SessionHost::new(c, Echo)));
    let limits = DispatcherConfig::default();
    let mut server = ServerEndpoint::bind("127.0.0.1:0".parse()?, limits, vec![Box::new(factory)])?;
    let trust = ServerTrust::AnyCertificate;
    let tls = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let (server_name, address) = ("localhost".try_into()?, server.address());
    let tls = Arc::new(tls.build()?);
    let options = ClientOptions {
        server_name,
        address,
        config: transport,
        tls,
        qlog: None,
        busy_poll: BusyPoll::default(),
    };
    let mut client = ClientEndpoint::connect(options, |_| Caller(Vec::new()))?;
    while client.close_reason().is_none() {
        server.run_once(Some(Duration::from_millis(1)))?;
        client.run_once(Some(Duration::from_millis(1)))?;
    }
    println!("the echo is: {}", String::from_utf8_lossy(&client.session().0));
    Ok(())
}
