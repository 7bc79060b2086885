//! Cipher suites, key updates, client certificates and refused protocols, end to end in virtual
//! time.

use std::sync::Arc;
use std::time::Duration;

use protoquic::crypto::{ClientTls, ServerTls, ServerTrust, ring_provider};
use protoquic::{CloseReason, Config, Host as _, ServerConfig};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;
use rustls::CipherSuite;

fn server_config(tls: Arc<rustls::ServerConfig>) -> ServerConfig {
    ServerConfig { transport: Arc::new(Config::default()), tls }
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

#[test]
fn every_cipher_suite_carries_data() {
    for suite in [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let mut provider = (*ring_provider()).clone();
        // Initial packets need AES-128 whatever is agreed on (RFC 9001 §5.2).
        provider.cipher_suites.sort_by_key(|known| known.suite() != suite);
        let tls = ClientTls {
            provider: Some(Arc::new(provider)),
            trust: ServerTrust::AnyCertificate,
            alpn: vec![b"echo".to_vec()],
            identity: None,
            key_log: false,
        };
        let mut tls = tls.build().expect("the settings are valid");
        tls.resumption = rustls::client::Resumption::disabled();
        let mut server = (*tls::server(&[b"echo"])).clone();
        server.ignore_client_order = false;
        let mut net = Net::new(1, Link::default(), echo_factory(server_config(Arc::new(server))));
        let transport = Arc::new(Config::default());
        net.connect(transport, Arc::new(tls), EchoClient::new(2, 50_000), |w| Box::new(w));
        assert!(net.run_until(minute(), |net| net.clients[0].session().is_done()), "{suite:?}");
        assert_eq!(net.clients[0].host().connection().cipher_suite(), Some(suite));
    }
}

#[test]
fn keys_are_updated_by_either_side_in_the_middle_of_a_transfer() {
    // RFC 9001 §6
    let link = Link { loss: 20, reorder: 50, ..Link::default() };
    let mut net = Net::new(2, link, echo_factory(server_config(tls::server(&[b"echo"]))));
    net.connect_simply(b"echo", EchoClient::new(1, 2_000_000));
    let mut updates = 0;
    for _ in 0..2000 {
        net.run_for(Duration::from_millis(20));
        let now = net.now;
        if net.clients[0].enter(now, |_, cx| cx.connection().initiate_key_update()) {
            updates += 1;
        }
        if net.clients[0].session().is_done() {
            break;
        }
    }
    assert!(net.clients[0].session().is_done(), "{:?}", net.clients[0].session().closed);
    assert!(updates > 5, "{updates} updates");
}

#[test]
fn a_client_certificate_reaches_the_server() {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(tls::identity().chain[0].clone()).expect("the certificate is well formed");
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        ring_provider(),
    );
    let server = ServerTls {
        provider: None,
        identity: tls::identity(),
        alpn: vec![b"echo".to_vec()],
        client_verifier: Some(verifier.build().expect("there is a root")),
        key_log: false,
    };
    let server = Arc::new(server.build().expect("the settings are valid"));
    let connect = |identity| {
        let tls = ClientTls {
            provider: None,
            trust: ServerTrust::AnyCertificate,
            alpn: vec![b"echo".to_vec()],
            identity,
            key_log: false,
        };
        let mut net = Net::new(3, Link::default(), echo_factory(server_config(server.clone())));
        let tls = Arc::new(tls.build().expect("the settings are valid"));
        let transport = Arc::new(Config::default());
        net.connect(transport, tls, EchoClient::new(1, 1000), |w| Box::new(w));
        net.run_until(minute(), |net| net.clients[0].session().closed.is_some());
        (net.clients[0].session().is_done(), net.clients[0].session().closed.clone())
    };
    assert!(connect(Some(tls::identity())).0);
    let (done, closed) = connect(None);
    let Some(CloseReason::PeerTransport(error)) = closed else { panic!("{closed:?}") };
    assert_eq!((done, error.code().tls_alert()), (false, Some(116)), "certificate_required");
}

#[test]
fn without_a_protocol_in_common_the_handshake_fails_as_the_rfc_says() {
    // RFC 9001 §8.1
    let mut net =
        Net::new(4, Link::default(), echo_factory(server_config(tls::server(&[b"echo"]))));
    net.connect_simply(b"other", EchoClient::new(1, 10));
    net.run_until(minute(), |net| net.clients[0].session().closed.is_some());
    let closed = net.clients[0].session().closed.clone();
    let Some(CloseReason::PeerTransport(error)) = closed else { panic!("{closed:?}") };
    assert_eq!(error.code().0, 0x178);
}
