//! A client that closes as soon as its handshake is complete completes the server's all the same, with
//! the datagram that closes (RFC 9000 §10.2.3).

use std::sync::{Arc, Mutex};

use protoquic::connection::Config;
use protoquic::{
    ApplicationError, CloseReason, FnFactory, Refuse, Role, ServerConfig, Session, SessionContext,
    SessionHost, Stream, StreamContext, StreamId,
};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::tls;

use super::SECOND;

/// Notes what it hears. A client closes when its handshake is complete.
#[derive(Clone, Debug, Default)]
struct Brief(Arc<Mutex<Vec<String>>>);

#[derive(Debug)]
struct NoStream;

impl Session for Brief {
    type Stream = NoStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<NoStream, Refuse> {
        Err(Refuse::default())
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.0.lock().expect("no thread panics").push("complete".to_owned());
        if cx.connection().role() == Role::Client {
            cx.close(ApplicationError(7), "brief");
        }
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.0.lock().expect("no thread panics").push(format!("{why:?}"));
    }
}

impl Stream<Brief> for NoStream {
    fn on_data_available(&mut self, _cx: &mut StreamContext<'_, Brief>) {}

    fn on_can_write(&mut self, _cx: &mut StreamContext<'_, Brief>) {}
}

#[test]
fn what_completes_the_servers_handshake_goes_with_the_clients_close() {
    let server = Brief::default();
    let (served, transport) = (server.clone(), Arc::new(Config::default()));
    let config = ServerConfig { transport: transport.clone(), tls: tls::server(&[b"echo"]) };
    let factory = FnFactory::new(&[b"echo"], config, move |connection| {
        Box::new(SessionHost::new(connection, served.clone()))
    });
    let mut net: Net<Brief> = Net::new(41, Link::default(), factory);
    net.tap = Some(Vec::new());
    net.connect(transport, tls::client(&[b"echo"]), Brief::default(), |writer| Box::new(writer));
    net.run_for(SECOND);
    let why = CloseReason::PeerApplication { code: ApplicationError(7), reason: "brief".into() };
    assert_eq!(*server.0.lock().unwrap(), ["complete".to_owned(), format!("{why:?}")]);
    assert!(net.server.is_idle(), "it is over");
    // Its first flight, and the one that has all the rest; the server has nothing to say to that.
    let sent = net.tap.unwrap();
    let first = sent[0].from;
    let by_client: Vec<_> = sent.iter().filter(|datagram| datagram.from == first).collect();
    let last = sent.last().unwrap();
    assert_eq!((by_client.len(), last.from), (2, first));
    assert!(last.data.len() < 300, "{} bytes", last.data.len());
}
