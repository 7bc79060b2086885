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

mod actor;
mod alarms;
mod bulk;
mod capture;
mod cross_traffic;
mod datagram;
mod dice;
mod endpoints;
mod events;
mod experiment;
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
