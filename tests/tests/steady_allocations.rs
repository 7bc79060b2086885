//! How often the packet path allocates while bulk data goes both ways at a steady rate: real sockets,
//! a dispatcher, and the readers and writers for production. A file of its own, for it counts every
//! allocation of the process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dhat::{Alloc, HeapStats, Profiler};
use protoquic::connection::{Config, RandomConnectionIds};
use protoquic::dispatcher::{Dispatcher, DispatcherConfig, DispatcherSetup};
use protoquic::readers::{
    BatchReader, EventLoop, SocketOptions, SystemClock, SystemHelper, bind, connectable_from,
};
use protoquic::writers::GsoBatchWriter;
use protoquic::{
    ClientSetup, Connection, Direction, FnFactory, PacketWriter, PathAddress, Refuse, ServerConfig,
    Session, SessionContext, SessionHost, SingleHost, Stream, StreamContext, StreamId,
    SystemRandom,
};
use protoquic_tests::tls;

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

/// What each side sends, again and again.
static DATA: [u8; 64 << 10] = [b'd'; 64 << 10];
const STREAMS: usize = 4;

/// Sends without end on every stream, and drops what comes.
#[derive(Default)]
struct Pump {
    received: u64,
}

struct PumpStream {
    rest: Bytes,
}

impl Session for Pump {
    type Stream = PumpStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        cx: &mut SessionContext<'_, Self>,
    ) -> Result<PumpStream, Refuse> {
        cx.wake_stream(id);
        Ok(PumpStream { rest: Bytes::new() })
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        if cx.connection().role().is_client() {
            for _ in 0..STREAMS {
                cx.open_stream(Direction::Bidirectional, |_| PumpStream { rest: Bytes::new() })
                    .expect("the server allows so many");
            }
        }
    }
}

impl Stream<Pump> for PumpStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Pump>) {
        while let Some(data) = cx.read() {
            cx.session().received += data.len() as u64;
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Pump>) {
        loop {
            if self.rest.is_empty() {
                self.rest = Bytes::from_static(&DATA);
            }
            let written = cx.write(&mut self.rest).expect("the streams stay open");
            if !self.rest.is_empty() || written == 0 {
                return;
            }
        }
    }
}

type Opened = (EventLoop, Box<dyn PacketWriter>, SocketAddr);

fn open(address: SocketAddr) -> Opened {
    let socket = bind(address, &SocketOptions::default()).expect("loopback can be bound");
    let socket = Arc::new(socket);
    let local = socket.local_addr().expect("it is bound");
    let reader = BatchReader::new(socket.clone()).expect("it can be read");
    let writer = GsoBatchWriter::new(socket.clone()).expect("it can be written");
    let event_loop =
        EventLoop::new(socket, Box::new(reader), SystemClock::new()).expect("it can be watched");
    (event_loop, Box::new(writer), local)
}

/// Both ends, on one thread.
struct World {
    server_loop: EventLoop,
    server: Dispatcher,
    client_loop: EventLoop,
    client: SingleHost<Pump>,
}

impl World {
    fn new() -> Self {
        let (server_loop, writer, address) = open(SocketAddr::from(([127, 0, 0, 1], 0)));
        let config =
            ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"pump"]) };
        let factory = FnFactory::new(&[b"pump"], config, |connection| {
            Box::new(SessionHost::new(connection, Pump::default()))
        });
        let server = Dispatcher::new(DispatcherSetup {
            config: DispatcherConfig::default(),
            writer,
            helper: Box::new(SystemHelper::new(server_loop.clock())),
            ids: Box::new(RandomConnectionIds::new(8)),
            factories: vec![Box::new(factory)],
            observers: None,
        });
        let (client_loop, writer, local) = open(connectable_from(address));
        let setup = ClientSetup {
            config: Arc::new(Config::default()),
            tls: tls::client(&[b"pump"]),
            server_name: "localhost".try_into().expect("localhost is a name"),
            path: PathAddress::new(local, address),
            token: Bytes::new(),
            random: Box::new(SystemRandom),
            observer: None,
        };
        let connection =
            Connection::client(client_loop.now(), setup).expect("the settings are valid");
        let client = SingleHost::new(SessionHost::new(connection, Pump::default()), writer);
        Self { server_loop, server, client_loop, client }
    }

    /// Runs until the client has received so many bytes more.
    fn transfer(&mut self, bytes: u64) {
        let end = self.client.session().received + bytes;
        for _ in 0..10_000_000_u32 {
            let wait = Some(Duration::from_millis(1));
            self.client_loop.run_once(&mut self.client, wait).expect("the socket works");
            self.server_loop.run_once(&mut self.server, wait).expect("the socket works");
            assert!(self.client.close_reason().is_none(), "{:?}", self.client.close_reason());
            if self.client.session().received >= end {
                return;
            }
        }
        panic!("{} of {end} bytes came", self.client.session().received);
    }

    /// Packets that the client has sent and received.
    fn packets(&self) -> u64 {
        let stats = self.client.host().connection().stats();
        stats.packets_sent + stats.packets_received
    }
}

#[test]
fn bulk_data_hardly_ever_allocates() {
    let _counting = Profiler::builder().testing().build();
    let mut world = World::new();
    world.transfer(30 << 20);
    let (packets, blocks) = (world.packets(), HeapStats::get().total_blocks);
    world.transfer(60 << 20);
    let packets = world.packets() - packets;
    let blocks = HeapStats::get().total_blocks - blocks;
    let each = blocks as f64 / packets as f64;
    println!("{blocks} allocations for {packets} packets: {each:.4} each");
    assert!(each < 0.01, "{blocks} allocations for {packets} packets");
}
