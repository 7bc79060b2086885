//! Version negotiation: QUIC version 2 (RFC 9369), changes of version without a round trip and
//! Version Negotiation packets with what protects them (RFC 9368, RFC 9000 §6), in virtual time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::crypto::retry_integrity_tag;
use protoquic::dispatcher::{AddressValidation, DispatcherConfig};
use protoquic::wire::{
    LongType, PacketHeader, Version, VersionInformation, parse_header, write_retry,
    write_version_negotiation,
};
use protoquic::{
    CloseReason, ConnectionId, SeededRandom, ServerConfig, TransportErrorCode as Code,
};
use protoquic_tests::evil::{Evil, SeenClose, unchanged};
use protoquic_tests::evil_hello::{Parameters, parameters, parameters_with};
use protoquic_tests::net::{Link, Net, server_address};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

const SECOND: Duration = Duration::from_secs(1);
const V1: Version = Version::V1;
const V2: Version = Version::V2;
const VERSION_INFORMATION: u64 = 0x11;

/// Speaks these, and would rather have those.
fn config(versions: &[Version], preferred: &[Version]) -> Config {
    let (versions, preferred_versions) = (versions.to_vec(), preferred.to_vec());
    Config { versions, preferred_versions, ..Config::default() }
}

fn net_with(seed: u64, link: Link, dispatcher: DispatcherConfig, server: Config) -> EchoNet {
    let (transport, tls) = (Arc::new(server), tls::server(&[b"echo"]));
    let factory = echo_factory(ServerConfig { transport, tls });
    let mut net = Net::with_dispatcher(seed, link, dispatcher, vec![Box::new(factory)]);
    net.tap = Some(Vec::new());
    net
}

fn net(server: Config) -> EchoNet {
    net_with(1, Link::default(), DispatcherConfig::default(), server)
}

fn connect(net: &mut EchoNet, config: Config) {
    let tls = tls::client(&[b"echo"]);
    net.connect(Arc::new(config), tls, EchoClient::new(3, 20_000), |writer| Box::new(writer));
}

fn is_done(net: &EchoNet) -> bool {
    net.clients[0].session().is_done()
}

fn end(net: &EchoNet) -> Option<&CloseReason> {
    net.clients[0].host().connection().close_reason()
}

/// Every long header that was sent: whether by the server, its type and its version.
fn long_headers(net: &EchoNet) -> Vec<(bool, LongType, Version)> {
    let mut all = Vec::new();
    for sent in net.tap.iter().flatten() {
        let mut rest = &sent.data[..];
        while let Ok(PacketHeader::Long(header)) = parse_header(rest, 0) {
            all.push((sent.from == server_address(), header.ty, header.version));
            rest = &rest[header.packet_len..];
        }
    }
    all
}

/// The versions of one end's packets of a type, each once, in their order.
fn versions_of(net: &EchoNet, by_server: bool, ty: LongType) -> Vec<Version> {
    let wanted = |header: &(bool, LongType, Version)| header.0 == by_server && header.1 == ty;
    let mut versions: Vec<_> = long_headers(net).into_iter().filter(wanted).map(|h| h.2).collect();
    versions.dedup();
    versions
}

/// Runs a client with these settings to a server with those, and expects it to succeed in this
/// version.
#[track_caller]
fn run(client: Config, server: Config, expected: Version) -> EchoNet {
    let mut net = net(server);
    connect(&mut net, client);
    assert!(net.run_until(SECOND * 5, is_done), "{:?}", end(&net));
    assert_eq!(net.clients[0].host().connection().version(), expected);
    net
}

#[test]
fn version_2_from_the_first_packet_on() {
    // RFC 9369 §3
    let net = run(config(&[V2], &[]), Config::default(), V2);
    assert!(long_headers(&net).iter().all(|(_, _, version)| *version == V2));
}

#[test]
fn versions_keep_apart_on_one_port() {
    let mut net = net(Config::default());
    for versions in [[V1, V2], [V2, V1]] {
        connect(&mut net, config(&versions, &[]));
    }
    assert!(net.run_until(SECOND * 5, |net| net.clients.iter().all(|c| c.session().is_done())));
    let versions = net.clients.iter().map(|client| client.host().connection().version());
    assert_eq!(versions.collect::<Vec<_>>(), [V1, V2]);
}

#[test]
fn by_default_nobody_changes_the_version() {
    for client in [config(&[V1, V2], &[V2, V1]), config(&[V1, V2], &[]), config(&[V1], &[])] {
        let net = run(client, Config::default(), V1);
        assert!(long_headers(&net).iter().all(|(_, _, version)| *version == V1));
    }
}

#[test]
fn a_server_changes_to_the_version_that_it_prefers_and_the_client_offers() {
    // RFC 9368 §2.3, RFC 9369 §4.1
    for (first, other) in [(V1, V2), (V2, V1)] {
        let prefers = || config(&[first, other], &[other]);
        let net = run(prefers(), prefers(), other);
        assert_eq!(versions_of(&net, false, LongType::Initial)[0], first);
        assert_eq!(versions_of(&net, true, LongType::Initial), [other]);
        for by_server in [false, true] {
            assert_eq!(versions_of(&net, by_server, LongType::Handshake), [other]);
        }
    }
}

#[test]
fn a_client_sends_its_later_initial_packets_in_the_new_version() {
    // RFC 9369 §4.1
    let net = run(config(&[V1, V2], &[V2]), config(&[V1, V2], &[V2]), V2);
    assert_eq!(versions_of(&net, false, LongType::Initial), [V1, V2]);
}

#[test]
fn a_server_never_changes_to_what_is_not_offered() {
    // RFC 9368 §2.3
    run(config(&[V1, V2], &[]), config(&[V1, V2], &[V2]), V1);
    run(config(&[V1, V2], &[V1]), config(&[V1, V2], &[V2]), V1);
}

#[test]
fn the_servers_preference_counts_for_more() {
    // RFC 9368 §3: the client's order is only advice.
    run(config(&[V1, V2], &[V2, V1]), config(&[V1, V2], &[V1, V2]), V1);
    run(config(&[V1, V2], &[V1, V2]), config(&[V1, V2], &[V2, V1]), V2);
}

#[test]
fn the_version_changes_over_bad_links_too() {
    for seed in 0..60 {
        let delay = Duration::from_millis(20);
        let link = Link { delay, loss: 150, reorder: 300, duplicate: 100, ..Link::default() };
        let patient = || Config {
            handshake_timeout: SECOND * 60,
            idle_timeout: SECOND * 600,
            ..config(&[V1, V2], &[V2])
        };
        let mut net = net_with(seed, link, DispatcherConfig::default(), patient());
        connect(&mut net, patient());
        assert!(net.run_until(SECOND * 600, is_done), "seed {seed}: {:?}", end(&net));
        assert_eq!(net.clients[0].host().connection().version(), V2, "seed {seed}");
    }
}

#[test]
fn keys_are_updated_in_the_new_version() {
    // RFC 9369 §3.3.2
    let prefers = || config(&[V1, V2], &[V2]);
    let mut net = net(prefers());
    let tls = tls::client(&[b"echo"]);
    let session = EchoClient::new(3, 2_000_000);
    net.connect(Arc::new(prefers()), tls, session, |writer| Box::new(writer));
    let mut updates = 0;
    while !is_done(&net) && net.clients[0].host().connection().close_reason().is_none() {
        net.run_for(SECOND / 20);
        let now = net.now;
        updates +=
            u32::from(net.clients[0].enter(now, |_, cx| cx.connection().initiate_key_update()));
    }
    assert!(is_done(&net), "{:?}", end(&net));
    assert!(updates >= 2, "{updates} updates");
}

mod retry {
    use super::*;

    fn validating(server: Config) -> EchoNet {
        let address_validation = AddressValidation::Always;
        let dispatcher = DispatcherConfig { address_validation, ..DispatcherConfig::default() };
        net_with(1, Link::default(), dispatcher, server)
    }

    #[test]
    fn has_the_version_of_the_first_packet() {
        // RFC 9369 §4.1
        for (client, expected) in [
            (config(&[V2], &[]), V2),
            (config(&[V2, V1], &[V1]), V1),
            (config(&[V1, V2], &[V2]), V2),
        ] {
            let first = client.versions[0];
            let mut net =
                validating(Config { preferred_versions: vec![expected], ..Config::default() });
            connect(&mut net, client);
            assert!(net.run_until(SECOND * 5, is_done), "{:?}", end(&net));
            assert_eq!(versions_of(&net, true, LongType::Retry), [first]);
            assert_eq!(net.clients[0].host().connection().version(), expected);
        }
    }

    #[test]
    fn of_another_version_is_ignored() {
        // RFC 9369 §4.1
        for version in [V1, V2] {
            let (mut net, address) = lonely_client(config(&[V1, V2], &[V2]));
            let mail = net.take_mail(address).swap_remove(0);
            let (original, local) = ids(&mail.data);
            let mut out = Vec::new();
            let random = &mut SeededRandom::new(1);
            let source = ConnectionId::new(b"retry-id").expect("eight bytes");
            write_retry(&mut out, version, &local, &source, b"token", random);
            let tag = retry_integrity_tag(version, &original, &out);
            out.extend(tag);
            net.inject(address, mail.from, out);
            net.run_for(SECOND / 20);
            let answered = !net.take_mail(address).is_empty();
            assert_eq!(answered, version == V1, "a Retry of {version}");
        }
    }
}

/// A client whose packets to the returned address are kept there.
fn lonely_client(config: Config) -> (EchoNet, SocketAddr) {
    let mut net = net(Config::default());
    let address = SocketAddr::from(([10, 0, 8, 8], 443));
    net.open_mailbox(address);
    let tls = tls::client(&[b"echo"]);
    let session = EchoClient::new(1, 100);
    net.connect_to(address, Arc::new(config), tls, session, |writer| Box::new(writer));
    net.run_for(SECOND / 50);
    (net, address)
}

/// Destination and source of a long header.
fn ids(datagram: &[u8]) -> (ConnectionId, ConnectionId) {
    let Ok(PacketHeader::Long(header)) = parse_header(datagram, 0) else {
        panic!("a long header");
    };
    (header.destination, header.source)
}

/// A Version Negotiation packet in answer to this datagram.
fn negotiation(datagram: &[u8], versions: &[Version]) -> Vec<u8> {
    let (from, to) = ids(datagram);
    let mut out = Vec::new();
    let random = &mut SeededRandom::new(1);
    write_version_negotiation(&mut out, to.as_bytes(), from.as_bytes(), versions, random);
    out
}

mod negotiation_packet {
    use super::*;

    /// A server that speaks this version only.
    fn only(version: Version) -> EchoNet {
        let versions = vec![version];
        let dispatcher = DispatcherConfig { versions, ..DispatcherConfig::default() };
        net_with(1, Link::default(), dispatcher, config(&[version], &[]))
    }

    #[test]
    fn makes_a_client_begin_again_with_what_the_server_speaks() {
        // RFC 9368 §2.1
        for (versions, spoken) in [([V1, V2], V2), ([V2, V1], V1)] {
            let mut net = only(spoken);
            connect(&mut net, config(&versions, &[]));
            assert!(net.run_until(SECOND * 5, is_done), "{:?}", end(&net));
            assert_eq!(net.clients[0].host().connection().version(), spoken);
            assert_eq!(versions_of(&net, false, LongType::Initial), versions);
        }
    }

    #[test]
    fn begins_a_connection_of_its_own() {
        // RFC 9000 §7.2, RFC 9368 §2.2: another destination.
        let mut net = only(V2);
        connect(&mut net, config(&[V1, V2], &[]));
        assert!(net.run_until(SECOND * 5, is_done));
        let sent = net.tap.iter().flatten().filter(|sent| sent.to == server_address());
        let destinations: Vec<_> = sent.take(2).map(|sent| ids(&sent.data).0).collect();
        assert_ne!(destinations[0], destinations[1]);
    }

    #[test]
    fn lists_what_the_dispatcher_serves() {
        // RFC 9000 §6.1, RFC 9368 §5
        let mut net = only(V2);
        connect(&mut net, config(&[V1], &[]));
        net.run_for(SECOND);
        let Some(CloseReason::VersionMismatch { offered }) = end(&net) else {
            panic!("{:?}", end(&net));
        };
        let real: Vec<_> = offered.iter().filter(|v| !Version(**v).is_reserved()).collect();
        assert_eq!(real, [&V2.0]);
        assert_eq!(offered.len(), 2, "RFC 9000 §6.3: a reserved one is among them");
    }

    #[test]
    fn with_the_version_sent_is_ignored() {
        // RFC 9368 §4
        let (mut net, address) = lonely_client(config(&[V1, V2], &[]));
        let mail = net.take_mail(address).swap_remove(0);
        net.inject(address, mail.from, negotiation(&mail.data, &[V2, V1]));
        net.run_for(SECOND / 20);
        assert!(net.take_mail(address).is_empty());
    }

    #[test]
    fn is_heeded_once() {
        // RFC 9368 §4
        let (mut net, address) = lonely_client(config(&[V1, V2], &[]));
        let mail = net.take_mail(address).swap_remove(0);
        net.inject(address, mail.from, negotiation(&mail.data, &[V2]));
        net.run_for(SECOND / 20);
        let again = net.take_mail(address).swap_remove(0);
        net.inject(address, mail.from, negotiation(&again.data, &[V1]));
        net.run_for(SECOND / 20);
        assert!(net.take_mail(address).is_empty());
        assert_eq!(end(&net), None);
    }

    #[test]
    fn that_is_forged_is_found_out() {
        // RFC 9368 §4: the server speaks both, and the client would rather have had version 1.
        let mut net = net(Config::default());
        connect(&mut net, config(&[V1, V2], &[]));
        let first = net.tap.iter().flatten().next().expect("sent").clone();
        net.inject(first.to, first.from, negotiation(&first.data, &[V2]));
        net.run_for(SECOND);
        let Some(CloseReason::Transport(error)) = end(&net) else { panic!("{:?}", end(&net)) };
        assert_eq!(error.code(), Code::VERSION_NEGOTIATION_ERROR);
    }

    #[test]
    fn that_is_genuine_is_not_held_against_the_server() {
        // RFC 9368 §4: the client would rather have version 2, which the server speaks as well.
        let mut net = net(Config::default());
        connect(&mut net, config(&[V1, V2], &[V2]));
        let first = net.tap.iter().flatten().next().expect("sent").clone();
        net.inject(first.to, first.from, negotiation(&first.data, &[V2]));
        assert!(net.run_until(SECOND * 5, is_done), "{:?}", end(&net));
        assert_eq!(net.clients[0].host().connection().version(), V2);
    }

    /// The server that a client comes to after a Version Negotiation packet says this of itself.
    fn after_it(parameters: &Parameters) -> Option<SeenClose> {
        let (mut net, address) = lonely_client(config(&[V1, V2], &[V2]));
        let mail = net.take_mail(address).swap_remove(0);
        net.inject(address, mail.from, negotiation(&mail.data, &[V2]));
        net.run_for(SECOND / 20);
        let mut evil = Evil::server_in(&mut net, address, b"echo", parameters, Some(V2));
        evil.wait_for_close(&mut net)
    }

    #[test]
    fn needs_version_information_that_confirms_it() {
        // RFC 9368 §4
        let with = |available: &[Version]| information(V2, available);
        let error = Some(Code::VERSION_NEGOTIATION_ERROR.0);
        assert_eq!(after_it(&parameters()).map(|close| close.code), error, "none");
        assert_eq!(after_it(&with(&[])).map(|close| close.code), error, "an empty list");
        assert_eq!(after_it(&with(&[V2])), None);
    }
}

fn information(chosen: Version, available: &[Version]) -> Parameters {
    let available = available.to_vec();
    parameters_with(VERSION_INFORMATION, &VersionInformation { chosen, available }.encode())
}

mod a_client_closes {
    use super::*;

    /// The server's answer has this version, and says this of it.
    #[track_caller]
    fn when(version: Version, parameters: &Parameters, code: Code) {
        let (mut net, address) = lonely_client(config(&[V1, V2], &[V2, V1]));
        let mut evil = Evil::server_in(&mut net, address, b"echo", parameters, Some(version));
        let close = evil.wait_for_close(&mut net);
        assert_eq!(close.map(|close| Code(close.code)), Some(code));
    }

    #[test]
    fn when_the_chosen_version_is_not_that_of_the_packets() {
        // RFC 9368 §4, RFC 9369 §4.1
        when(V1, &information(V2, &[V1, V2]), Code::VERSION_NEGOTIATION_ERROR);
        when(V2, &information(V1, &[V1, V2]), Code::VERSION_NEGOTIATION_ERROR);
        when(V1, &information(Version(7), &[V1, V2]), Code::VERSION_NEGOTIATION_ERROR);
    }

    #[test]
    fn when_the_version_changed_and_nothing_says_so() {
        // RFC 9369 §4.1
        when(V2, &parameters(), Code::VERSION_NEGOTIATION_ERROR);
    }

    #[test]
    fn when_the_information_cannot_be_read() {
        // RFC 9368 §4
        let zero = Version(0);
        for value in [&[][..], &[0, 0, 0], &[0, 0, 0, 1, 0]] {
            let parameters = parameters_with(VERSION_INFORMATION, value);
            when(V1, &parameters, Code::TRANSPORT_PARAMETER_ERROR);
        }
        when(V1, &information(zero, &[V1]), Code::TRANSPORT_PARAMETER_ERROR);
        when(V1, &information(V1, &[V1, zero]), Code::TRANSPORT_PARAMETER_ERROR);
    }

    #[test]
    fn but_not_when_all_is_well() {
        for version in [V1, V2] {
            let (mut net, address) = lonely_client(config(&[V1, V2], &[V2, V1]));
            let parameters = information(version, &[version]);
            let mut evil = Evil::server_in(&mut net, address, b"echo", &parameters, Some(version));
            evil.run(&mut net, SECOND / 5);
            assert!(
                net.clients[0].host().connection().is_established(),
                "{version}: {:?}",
                end(&net)
            );
        }
    }
}

mod a_server_closes {
    use super::*;

    /// A client whose packets have version 1 says this.
    #[track_caller]
    fn when(parameters: &Parameters, code: Code) {
        let mut net = net(config(&[V1, V2], &[V2]));
        let mut evil = Evil::client(&mut net, 5000, b"echo", parameters, unchanged());
        assert!(!evil.handshake(&mut net), "the handshake must not complete");
        let close = evil.wait_for_close(&mut net);
        assert_eq!(close.map(|close| Code(close.code)), Some(code));
    }

    #[test]
    fn when_the_chosen_version_is_not_that_of_the_packets() {
        // RFC 9368 §4
        when(&information(Version(7), &[Version(7), V1]), Code::VERSION_NEGOTIATION_ERROR);
    }

    #[test]
    fn when_the_information_cannot_be_read() {
        // RFC 9368 §4
        let zero = Version(0);
        when(&information(V1, &[]), Code::TRANSPORT_PARAMETER_ERROR);
        when(&information(V1, &[Version(7)]), Code::TRANSPORT_PARAMETER_ERROR);
        when(&information(zero, &[zero, V1]), Code::TRANSPORT_PARAMETER_ERROR);
        when(&information(V1, &[V1, zero]), Code::TRANSPORT_PARAMETER_ERROR);
        let ragged = parameters_with(VERSION_INFORMATION, &[0, 0, 0, 1, 0, 0, 0, 1, 0]);
        when(&ragged, Code::TRANSPORT_PARAMETER_ERROR);
    }

    #[test]
    fn but_not_when_a_client_says_nothing_or_no_more_than_version_1() {
        // RFC 9368 §4: without the parameter the handshake may complete; §2.3: in the same version.
        for parameters in [parameters(), information(V1, &[V1, Version::reserved(9)])] {
            let mut net = net(config(&[V1, V2], &[V2]));
            let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters, unchanged());
            assert!(evil.handshake(&mut net), "{:?}", evil.close());
        }
    }
}
