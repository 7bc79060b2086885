//! The congestion window is kept, as an algorithm sees it that has one size for ever: beyond it go
//! only the probes of a probe timeout (RFC 9002 §7, §7.5).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::congestion::{
    AlgorithmParams, CongestionEvent, FixedWindow, SendAlgorithm, SendAlgorithmFactory,
};
use protoquic::connection::Config;
use protoquic::crypto::offer_early_data;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::wire::Frame;
use protoquic::{MemorySessionCache, ServerConfig, SessionFactory, StreamId, Time};
use protoquic_tests::evil::{Evil, unchanged};
use protoquic_tests::evil_hello::parameters;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory, pattern, source_factory};
use protoquic_tests::sim::{ClientSpec, LinkConfig, Simulator};
use protoquic_tests::tls;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: u64 = 20_000;

/// Makes windows that are never to be exceeded.
#[derive(Debug)]
struct Strict;

#[derive(Debug)]
struct StrictWindow {
    probes: u32,
}

impl SendAlgorithmFactory for Strict {
    fn create(&self, _params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        Box::new(StrictWindow { probes: 0 })
    }
}

impl SendAlgorithm for StrictWindow {
    fn name(&self) -> &'static str {
        "strict"
    }

    fn on_packet_sent(&mut self, _now: Time, bytes_in_flight: u64, bytes: u16) {
        if bytes_in_flight > WINDOW {
            assert!(self.probes > 0, "{bytes} bytes make {bytes_in_flight} in flight");
            self.probes -= 1;
        }
    }

    fn on_retransmission_timeout(&mut self, _now: Time) {
        self.probes = 2;
    }

    fn on_congestion_event(&mut self, _event: &CongestionEvent<'_>) {}

    fn on_connection_migration(&mut self, _now: Time) {}

    fn on_max_datagram_size_changed(&mut self, _size: u16) {}

    fn congestion_window(&self) -> u64 {
        WINDOW
    }

    fn in_slow_start(&self) -> bool {
        false
    }
}

fn strict() -> Config {
    Config {
        congestion: Arc::new(Strict),
        max_packet_size: 9000,
        ack_threshold: 2,
        ack_frequency: false,
        ..Config::default()
    }
}

fn server() -> ServerConfig {
    ServerConfig { transport: Arc::new(strict()), tls: tls::server(&[b"echo"]) }
}

#[test]
fn probes_of_the_mtu_fit_in_the_window() {
    let mut sim = Simulator::new(4);
    let [here, there] = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 443)));
    let (a, b) = (sim.add_host(&[here.ip()]), sim.add_host(&[there.ip()]));
    // The line carries one packet after the other, so that the window opens a little at a time.
    let line = LinkConfig::with_rate(10_000_000, Duration::from_millis(15));
    sim.connect(a, b, &LinkConfig { mtu: 5000, ..line });
    let factories: Vec<Box<dyn SessionFactory>> = vec![Box::new(echo_factory(server()))];
    sim.add_server(b, there, DispatcherConfig::default(), factories);
    let spec =
        ClientSpec { config: Arc::new(strict()), ..ClientSpec::new(here, there, &[b"echo"]) };
    let session = EchoClient::patient(3, 400_000);
    let client = sim.add_client(a, spec, session);
    assert!(sim.run_until(SECOND * 60, |sim| sim.get(client).visitor().session().is_done()));
    let size = sim.get(client).visitor().host().connection().stats().packet_size;
    assert!(size > 4900, "data does not keep probes from being sent: {size}");
}

/// For one packet, half a packet more, and no probe of the MTU beside that.
#[derive(Debug)]
struct Small;

impl SendAlgorithmFactory for Small {
    fn create(&self, _params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        Box::new(FixedWindow::new(2300))
    }
}

#[test]
fn a_probe_of_the_mtu_does_not_wait_for_an_ack_that_nothing_asks_for() {
    // A resumed handshake is short enough for the client's answer to be one datagram. If 1-RTT
    // packets have overtaken it, their ACK is in it, padded: half a window in flight, which nobody
    // acknowledges (RFC 9002 §2). The client issues no connection IDs, and its early data is
    // acknowledged before.
    let mut tls = (*tls::server(&[b"echo"])).clone();
    offer_early_data(&mut tls, 4);
    let transport = Arc::new(Config { early_data: true, max_packet_size: 1200, ..strict() });
    let server = ServerConfig { transport, tls: Arc::new(tls) };
    let tls = tls::client(&[b"echo"]);
    for seed in 0..40 {
        let link = Link { reorder: 300, ..Link::default() };
        let mut net: Net<EchoClient> = Net::new(seed, link, source_factory(server.clone()));
        let config = Arc::new(Config {
            congestion: Arc::new(Small),
            client_connection_id_length: 0,
            session_cache: Some(Arc::new(MemorySessionCache::new())),
            early_data: true,
            ack_threshold: 2,
            ..Config::default()
        });
        for _ in 0..2 {
            let mut session = EchoClient::early(1, 3000);
            session.downloads = true;
            session.close_when_done = false;
            net.connect(config.clone(), tls.clone(), session, |writer| Box::new(writer));
            net.run_for(SECOND);
        }
        let now = net.now;
        net.clients[1].enter(now, EchoClient::open_streams);
        net.kick();
        let done = net.run_until(SECOND * 20, |net| net.clients[1].session().done == 2);
        assert!(done, "seed {seed}");
    }
}

#[test]
fn answers_to_challenges_do_not_add_to_a_full_window() {
    // They go all the same: the window may be full because nothing gets through.
    let mut net: Net<EchoClient> = Net::new(3, Link::default(), echo_factory(server()));
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    assert!(evil.handshake(&mut net));
    evil.run(&mut net, SECOND);
    evil.acknowledges = false;
    let data = pattern(1000, 1);
    for n in 0..60 {
        let id = StreamId::from_raw(4 * n);
        evil.send_frame(&mut net, &Frame::Stream { id, offset: 0, fin: true, data: &data });
    }
    evil.run(&mut net, Duration::from_millis(30));
    for n in 0..20 {
        evil.send_frame(&mut net, &Frame::PathChallenge([n; 8]));
        evil.run(&mut net, Duration::from_millis(10));
    }
    assert!(evil.count(|frame| matches!(frame, Frame::PathResponse(_))) >= 10);
}
