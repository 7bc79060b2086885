//! Paths that do not carry ECN marks (RFC 9000 §13.4), beyond the first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::ServerConfig;
use protoquic::connection::Config;
use protoquic::dispatcher::DispatcherConfig;
use protoquic_tests::sim::{
    BULK_ALPN, BulkSender, ClientSpec, EcnTreatment, LinkConfig, Meter, NatConfig, Simulator,
    bulk_factory,
};
use protoquic_tests::tls;

const SECOND: Duration = Duration::from_secs(1);

/// How long until all of an upload is acknowledged whose line loses marked packets on the way back
/// from when the client's NAT rebinds.
fn upload(bytes: u64) -> Option<Duration> {
    let mut sim = Simulator::new(bytes);
    let start = sim.now();
    let [here, there] = [[10, 0, 0, 1], [192, 0, 2, 1]].map(|ip| SocketAddr::from((ip, 443)));
    let (a, b) = (sim.add_host(&[here.ip()]), sim.add_host(&[there.ip()]));
    let nat = sim.add_nat(NatConfig::new([203, 0, 113, 7].into()));
    let line = LinkConfig::with_rate(200_000, Duration::from_millis(15));
    let (_, back) = sim.connect(nat, b, &line);
    let dropping = LinkConfig { ecn: EcnTreatment::Drop, ..line };
    sim.connect(a, nat, &LinkConfig::default());
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[BULK_ALPN]) };
    let factory = Box::new(bulk_factory(config, Meter::default));
    sim.add_server(b, there, DispatcherConfig::default(), vec![factory]);
    let spec = ClientSpec::new(here, there, &[BULK_ALPN]);
    let client = sim.add_client(a, spec, BulkSender::new(bytes));
    sim.after(SECOND / 2, move |sim| {
        sim.set_link(back, dropping);
        sim.rebind(nat, true);
    });
    sim.run_until(SECOND * 20, |sim| sim.get(client).visitor().session().finished.is_some());
    let finished = sim.get(client).visitor().session().finished?;
    Some(finished.saturating_since(start))
}

#[test]
fn acks_alone_do_not_test_whether_a_path_carries_marks() {
    // RFC 9000 §13.4.2: behind a NAT's new binding the marks are tried again, and here they vanish.
    // A server that has nothing but a few ACKs to send would not learn of it.
    for bytes in (8_000..24_000).step_by(1000) {
        let took = upload(bytes);
        assert!(took.is_some_and(|took| took < SECOND * 5), "{bytes} bytes took {took:?}");
    }
}
