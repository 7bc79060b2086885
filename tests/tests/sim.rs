//! The simulator itself: that its networks do to real connections what they are said to do, and the
//! interop scenarios in virtual time.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::{PathAddress, ServerConfig, Time};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::sim::{
    Aqm, Client, ClientSpec, CrossTraffic, Experiment, Handle, LinkConfig, NatConfig, Point,
    QueueConfig, Rebinding, Scenario, Server, Simulator,
};
use protoquic_tests::tls;

const SECOND: Duration = Duration::from_secs(1);

fn server_address() -> SocketAddr {
    ([10, 0, 0, 1], 443).into()
}

fn client_address(index: u8) -> SocketAddr {
    ([192, 168, 0, index + 1], 5000).into()
}

fn add_server(sim: &mut Simulator, node: protoquic_tests::sim::NodeId) -> Handle<Server> {
    let config =
        ServerConfig { transport: Arc::new(Config::default()), tls: tls::server(&[b"echo"]) };
    let factory = Box::new(echo_factory(config));
    sim.add_server(node, server_address(), DispatcherConfig::default(), vec![factory])
}

fn spec(index: u8) -> ClientSpec {
    ClientSpec::new(client_address(index), server_address(), &[b"echo"])
}

fn is_done(sim: &Simulator, client: Handle<Client<EchoClient>>) -> bool {
    sim.get(client).visitor().session().is_done()
}

/// Echoes `bytes` in a scenario of the interop runner. Returns how long it took.
fn play(seed: u64, scenario: &Scenario, bytes: usize) -> Duration {
    let mut sim = Simulator::new(seed);
    let (near, far) = scenario.build(&mut sim, client_address(0), server_address());
    add_server(&mut sim, far);
    // Who only listens must say so now and then: a NAT that rebinds has cut it off.
    let config = Arc::new(Config { keep_alive: Some(SECOND), ..Config::default() });
    let spec = ClientSpec { config, ..spec(0) };
    let client = sim.add_client(near, spec, EchoClient::new(2, bytes));
    let start = sim.now();
    let done = sim.run_until(60 * SECOND, |sim| is_done(sim, client));
    let closed = &sim.get(client).visitor().session().closed;
    assert!(done, "seed {seed}: {scenario:?} ended with {closed:?}");
    sim.now() - start
}

const LINE: &str = "--delay=15ms --bandwidth=10Mbps --queue=25";

#[test]
fn interop_scenarios_carry_transfers_to_their_end() {
    for scenario in [
        "simple-p2p",
        "drop-rate --rate_to_client=3 --rate_to_server=3",
        "drop-rate --rate_to_client=30 --rate_to_server=30 --burst_to_client=3 --burst_to_server=3",
        "corrupt-rate --rate_to_client=2 --rate_to_server=2",
        "droplist --drops_to_client=2,3,4 --drops_to_server=1,5",
        "blackhole --on=500ms --off=2s --repeat=2",
        "rebind --first-rebind=100ms --rebind-freq=300ms",
        "rebind --first-rebind=100ms --rebind-freq=300ms --rebind-addr",
    ] {
        let scenario: Scenario = format!("{scenario} {LINE}").parse().expect("a scenario");
        for seed in 1..=5 {
            play(seed, &scenario, 200_000);
            play(seed, &scenario.clone().with_corruption_as_loss(), 100_000);
        }
    }
}

#[test]
fn a_black_hole_costs_what_it_lasts() {
    let scenario = |name| format!("{name} {LINE}").parse().expect("a scenario");
    let free = play(1, &scenario("simple-p2p"), 400_000);
    let hole = play(1, &scenario("blackhole --on=300ms --off=2s"), 400_000);
    assert!(hole > free + 2 * SECOND, "{free:?} without, {hole:?} with");
    assert!(hole < free + 5 * SECOND, "{free:?} without, {hole:?} with");
}

#[test]
fn a_nat_that_rebinds_each_second_shows_the_server_other_ports() {
    let mut sim = Simulator::new(3);
    let outside = IpAddr::from([203, 0, 113, 9]);
    let rebinding = Rebinding { first: SECOND, every: Some(SECOND), address: false };
    let nat = sim.add_nat(NatConfig { rebinding: Some(rebinding), ..NatConfig::new(outside) });
    let far = sim.add_host(&[server_address().ip()]);
    let near = sim.add_host(&[client_address(0).ip()]);
    sim.connect(nat, far, &LinkConfig::with_rate(2_000_000, Duration::from_millis(20)));
    sim.connect(near, nat, &LinkConfig::default());
    let server = add_server(&mut sim, far);
    let ports: Rc<RefCell<Vec<u16>>> = Rc::default();
    let (seen, server) = (ports.clone(), server.id());
    sim.capture(move |captured| {
        if captured.point == Point::Received(server) {
            assert_eq!(captured.from.ip(), outside);
            seen.borrow_mut().push(captured.from.port());
        }
    });
    let client = sim.add_client(near, spec(0), EchoClient::new(1, 1_500_000));
    let start = sim.now();
    assert!(sim.run_until(60 * SECOND, |sim| is_done(sim, client)));
    let seconds = (sim.now() - start).as_secs() as usize;
    let mut ports = ports.take();
    ports.sort_unstable();
    ports.dedup();
    assert!(seconds >= 6 && ports.len() >= seconds, "{} ports in {seconds} s", ports.len());
}

#[test]
fn many_clients_behind_one_line_share_a_dispatcher() {
    let mut sim = Simulator::new(4);
    let far = sim.add_host(&[server_address().ip()]);
    let router = sim.add_router();
    sim.connect(router, far, &LinkConfig::with_rate(20_000_000, Duration::from_millis(10)));
    let server = add_server(&mut sim, far);
    let clients: Vec<_> = (0..20)
        .map(|index| {
            let near = sim.add_host(&[client_address(index).ip()]);
            let delay = Duration::from_millis(u64::from(index));
            sim.connect(near, router, &LinkConfig { delay, ..LinkConfig::default() });
            sim.add_client(near, spec(index), EchoClient::new(1, 50_000))
        })
        .collect();
    assert!(sim.run_until(20 * SECOND, |sim| clients.iter().all(|client| is_done(sim, *client))));
    assert_eq!(sim.get(server).visitor().stats().sessions_created, 20);
}

#[test]
fn marks_instead_of_drops_keep_a_queue_short() {
    let line = LinkConfig::with_rate(20_000_000, Duration::from_millis(20));
    let run = |aqm| {
        let queue = QueueConfig { aqm, ..line.queue };
        let line = LinkConfig { queue, ..line.clone() };
        let cubic = Arc::new(protoquic::congestion::CongestionControl::Cubic);
        Experiment::one(cubic, line).run()
    };
    let plain = run(Aqm::DropTail);
    let target = Duration::from_millis(5);
    let managed = run(Aqm::CoDel { target, interval: Duration::from_millis(100) });
    assert!(managed.line.marked > 5 && managed.line.managed == 0, "{:?}", managed.line);
    // What is left in flight when CoDel has had its say is far less than what a full queue holds.
    let rtt = |outcome: &protoquic_tests::sim::Outcome| outcome.flows[0].stats.smoothed_rtt;
    assert!(rtt(&managed) + target < rtt(&plain), "{:?} and {:?}", rtt(&managed), rtt(&plain));
    assert!(managed.flows[0].goodput > 0.85 * 20e6, "{:?}", managed.flows[0]);
}

#[test]
fn a_transfer_without_pause_finds_the_mtu() {
    // RFC 8899: the search must not wait for an idle moment, which a bulk transfer never has.
    for (mtu, expected) in [(1500, 1452..=1452), (1400, 1340..=1372), (1228, 1200..=1200)] {
        let mut line = LinkConfig::with_rate(10_000_000, Duration::from_millis(10));
        line.mtu = mtu;
        let cubic = Arc::new(protoquic::congestion::CongestionControl::Cubic);
        let outcome = Experiment::one(cubic, line).run();
        let found = outcome.flows[0].stats.packet_size;
        assert!(expected.contains(&found), "an MTU of {mtu} gave packets of {found} bytes");
    }
}

#[test]
fn cross_traffic_takes_its_part_of_the_line() {
    let mut sim = Simulator::new(5);
    let near = sim.add_host(&[client_address(0).ip()]);
    let far = sim.add_host(&[server_address().ip()]);
    sim.connect(near, far, &LinkConfig::with_rate(8_000_000, Duration::from_millis(5)));
    let [from, to]: [SocketAddr; 2] = [client_address(0), server_address()];
    let (start, end) = (sim.now(), sim.now() + 10 * SECOND);
    let sink =
        sim.add_actor(far, to, |writer| CrossTraffic::sink(writer, PathAddress::new(to, from)));
    sim.add_actor(near, from, |writer| {
        CrossTraffic::new(writer, PathAddress::new(from, to), 4_000_000, 972, start, end)
    });
    sim.run_for(11 * SECOND);
    assert_eq!(sim.get(sink).received(), 5_000);
    assert!(sim.is_over() && sim.now() == Time::from_millis(12_000));
}
