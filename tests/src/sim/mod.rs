//! A network simulator in virtual time, for protoquic's own tests and for those of whoever builds
//! a protocol on protoquic.
//!
//! A [`Simulator`] holds hosts, routers and [NATs](Nat), joined by [lines](LinkConfig) with
//! bandwidth, delay, jitter, loss, reordering, duplication, corruption, ECN marking, queues and an
//! MTU. On the hosts live [actors](Actor): servers and clients of QUIC with any
//! [`SessionFactory`](protoquic::SessionFactory) and any [`Session`](protoquic::Session),
//! [other traffic](CrossTraffic), or your own. Everything follows from one seed: the same seed is
//! the same run, to the nanosecond and the byte.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use protoquic::dispatcher::DispatcherConfig;
//! use protoquic::{Config, ServerConfig};
//! use protoquic_tests::protocols::{EchoClient, echo_factory};
//! use protoquic_tests::sim::{ClientSpec, LinkConfig, Simulator};
//! use protoquic_tests::tls;
//!
//! let mut sim = Simulator::new(1);
//! let [here, there] = [1, 2].map(|last| ([10, 0, 0, last], 443).into());
//! let (a, b) = (sim.add_host(&[here_ip(here)]), sim.add_host(&[here_ip(there)]));
//! # fn here_ip(address: std::net::SocketAddr) -> std::net::IpAddr { address.ip() }
//! // 10 Mbit/s, 15 ms each way, and one datagram in a hundred is lost.
//! sim.connect(a, b, &LinkConfig::with_rate(10_000_000, Duration::from_millis(15)).losing(0.01));
//! let config = ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"echo"]) };
//! sim.add_server(b, there, DispatcherConfig::default(), vec![Box::new(echo_factory(config))]);
//! let spec = ClientSpec::new(here, there, &[b"echo"]);
//! let client = sim.add_client(a, spec, EchoClient::new(1, 100_000));
//! assert!(sim.run_until(Duration::from_secs(10), |sim| {
//!     sim.get(client).visitor().session().is_done()
//! }));
//! ```
//!
//! # A protocol of one's own
//!
//! Nothing but the session and its factory changes. Here a client asks for a number to be doubled,
//! over a line that loses one datagram in ten; whichever the seed, the answer must be right.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use protoquic::dispatcher::DispatcherConfig;
//! use protoquic::{
//!     Config, Direction, FnFactory, Refuse, ServerConfig, Session, SessionContext, SessionHost,
//!     Stream, StreamContext, StreamId,
//! };
//! use protoquic_tests::sim::{ClientSpec, LinkConfig, Simulator};
//! use protoquic_tests::tls;
//!
//! /// Both ends: a client has a question.
//! #[derive(Default)]
//! struct Doubling {
//!     question: Option<u8>,
//!     answer: Option<u8>,
//! }
//!
//! struct Number;
//!
//! impl Session for Doubling {
//!     type Stream = Number;
//!
//!     fn create_incoming_stream(
//!         &mut self,
//!         _id: StreamId,
//!         _cx: &mut SessionContext<'_, Self>,
//!     ) -> Result<Number, Refuse> {
//!         Ok(Number)
//!     }
//!
//!     fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
//!         if let Some(question) = self.question
//!             && let Ok(id) = cx.open_stream(Direction::Bidirectional, |_| Number)
//!         {
//!             let _ = cx.write_all_to(id, Bytes::from(vec![question]));
//!         }
//!     }
//! }
//!
//! impl Stream<Doubling> for Number {
//!     fn on_data_available(&mut self, cx: &mut StreamContext<'_, Doubling>) {
//!         let Some(number) = cx.read().map(|data| data[0]) else { return };
//!         if cx.session().question.is_some() {
//!             cx.session().answer = Some(number);
//!         } else {
//!             let _ = cx.write_all(Bytes::from(vec![2 * number]));
//!         }
//!     }
//! }
//!
//! for seed in 1..20 {
//!     let mut sim = Simulator::new(seed);
//!     let [here, there] = [1, 2].map(|last| std::net::SocketAddr::from(([10, 0, 0, last], 443)));
//!     let (a, b) = (sim.add_host(&[here.ip()]), sim.add_host(&[there.ip()]));
//!     sim.connect(a, b, &LinkConfig::with_rate(1_000_000, Duration::from_millis(50)).losing(0.1));
//!     let transport = Arc::new(Config::default());
//!     let config = ServerConfig { transport, tls: tls::server(&[b"double"]) };
//!     let factory = FnFactory::new(&[b"double"], config, |connection| {
//!         Box::new(SessionHost::new(connection, Doubling::default()))
//!     });
//!     sim.add_server(b, there, DispatcherConfig::default(), vec![Box::new(factory)]);
//!     let session = Doubling { question: Some(21), answer: None };
//!     let client = sim.add_client(a, ClientSpec::new(here, there, &[b"double"]), session);
//!     let answer = |sim: &Simulator| sim.get(client).visitor().session().answer;
//!     assert!(sim.run_until(Duration::from_secs(30), |sim| answer(sim) == Some(42)), "seed {seed}");
//! }
//! ```
//!
//! [`fuzz`] draws whole networks and mixes of work from a seed and says what must hold in each.

mod actor;
mod alarms;
mod bulk;
mod capture;
mod codel;
mod cross_traffic;
mod datagram;
mod dice;
mod dual_pi2;
mod endpoints;
mod events;
mod experiment;
mod fifo;
mod fq_codel;
pub mod fuzz;
mod link;
mod loss;
mod nat;
mod queue;
mod report;
mod scenario;
mod simulator;
mod topology;

pub use actor::{Actor, Endpoint, SimWriter};
pub use alarms::Alarms;
pub use bulk::{BULK_ALPN, BulkSender, BulkStream, Meter, bulk_factory};
pub use capture::{Capture, Captured, Point};
pub use cross_traffic::CrossTraffic;
pub use datagram::{Datagram, overhead};
pub use dice::Dice;
pub use endpoints::{Client, ClientSpec, Server};
pub use events::EventQueue;
pub use experiment::{Experiment, FlowResult, Outcome};
pub use link::{Corruption, Dropped, EcnTreatment, Link, LinkConfig, LinkOutput, LinkTally};
pub use loss::{Blackhole, GilbertElliott, Loss, LossState};
pub use nat::{Nat, NatConfig, Rebinding};
pub use queue::{Aqm, Dequeued, Queue, QueueConfig};
pub use report::{Row, Table};
pub use scenario::{Scenario, ScenarioError};
pub use simulator::{ActorId, Handle, Simulator};
pub use topology::{LinkId, NodeId, Topology};
