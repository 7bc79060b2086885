//! SSLKEYLOGFILE, with a real file: its secrets are those of the connection. A file of its own, so
//! that the variable is set before anything reads it.

use std::sync::Arc;
use std::time::Duration;

use protoquic::crypto::{ClientTls, ServerTls, ServerTrust};
use protoquic::{Config, ServerConfig};
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

/// What a log must hold for Wireshark to read everything (RFC 9850).
const LABELS: [&str; 4] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];

#[test]
fn both_ends_log_the_same_secrets() {
    // The child has the variable; setting it in a running process is not safe.
    if std::env::var_os("SSLKEYLOGFILE").is_none() {
        let path = std::env::temp_dir().join(format!("protoquic-keys-{}", std::process::id()));
        let test = std::env::current_exe().expect("the test has a file");
        let child = std::process::Command::new(test)
            .env("SSLKEYLOGFILE", &path)
            .args(["--exact", "both_ends_log_the_same_secrets"])
            .output()
            .expect("the test can be run");
        let log = std::fs::read_to_string(&path).expect("a log was written");
        std::fs::remove_file(&path).expect("it can be removed");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return check(&log);
    }
    connect();
}

fn connect() {
    let alpn = vec![b"echo".to_vec()];
    let server = ServerTls {
        provider: None,
        identity: tls::identity(),
        alpn: alpn.clone(),
        client_verifier: None,
        key_log: true,
    };
    let trust = ServerTrust::AnyCertificate;
    let client = ClientTls { provider: None, trust, alpn, identity: None, key_log: true };
    let config = ServerConfig {
        transport: Arc::new(Config::default()),
        tls: Arc::new(server.build().expect("the settings are valid")),
    };
    let mut net = Net::new(1, Link::default(), echo_factory(config));
    let client = Arc::new(client.build().expect("the settings are valid"));
    let config = Arc::new(Config::default());
    net.connect(config, client, EchoClient::new(1, 100), |writer| Box::new(writer));
    let done = net.run_until(Duration::from_secs(5), |net| net.clients[0].session().is_done());
    assert!(done);
}

/// Every label twice, once by each end, with one client random and one secret.
fn check(log: &str) {
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    for label in LABELS {
        let of_label: Vec<_> = lines.iter().filter(|line| line[0] == label).collect();
        assert_eq!(of_label.len(), 2, "{label} in {log}");
        assert_eq!(of_label[0], of_label[1]);
        assert_eq!((of_label[0][1].len(), of_label[0][2].len() >= 64), (64, true));
    }
}
