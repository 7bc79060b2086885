//! A listener and a client on a wire in virtual time: every datagram takes a millisecond.

#![allow(dead_code, unreachable_pub, reason = "each test file uses another part")]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails where it stands")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use protoquic_core::{PathAddress, Time};
use protoquic_polled::{
    Application, Client, Config, ConnectionKey, Listener, ListenerEvent, RecvInfo, connect,
};

pub struct Pair<A: Application> {
    pub client: Client<A>,
    pub server: Listener<A>,
    pub now: Time,
    /// The listener's news, as the test takes them.
    pub events: VecDeque<ListenerEvent>,
    pub key: Option<ConnectionKey>,
    /// Every so manieth datagram of either side is lost; 0: none.
    pub lose: u64,
    /// Datagrams in a `send`.
    pub batch: usize,
    pub sent: u64,
    wire: VecDeque<(Time, bool, Vec<u8>, usize, PathAddress)>,
}

pub fn server_address() -> SocketAddr {
    "127.0.0.1:443".parse().unwrap()
}

pub fn config(alpn: &[u8]) -> Config {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut config = Config::new(&[alpn]);
    config.set_authorities(made.cert.pem());
    config.set_identity(made.cert.pem(), made.signing_key.serialize_pem());
    config
}

impl<A: Application> Pair<A> {
    pub fn new(config: &Config) -> Self {
        let now = Time::from_millis(1000);
        let path = PathAddress::new("127.0.0.1:5000".parse().unwrap(), server_address());
        Self {
            client: connect(config, "localhost", path, now).unwrap(),
            server: Listener::new(config).unwrap(),
            now,
            events: VecDeque::new(),
            key: None,
            lose: 0,
            batch: 1,
            sent: 0,
            wire: VecDeque::new(),
        }
    }

    /// Both ends do what they can now; then time goes to when there is more.
    pub fn step(&mut self) {
        let mut out = vec![0; 70_000];
        self.client.on_timeout(self.now);
        self.server.on_timeout(self.now);
        while let Ok(sent) = self.client.send_batch(&mut out, self.batch, self.now) {
            self.post(true, &out[..sent.len], sent.segment, sent.path);
        }
        while let Ok(sent) = self.server.send_batch(&mut out, self.batch, self.now) {
            self.post(false, &out[..sent.len], sent.segment, sent.path);
        }
        let timeouts = [self.client.timeout(self.now), self.server.timeout(self.now)];
        let timeout = timeouts.into_iter().flatten().min();
        let arrival = self.wire.front().map(|(at, ..)| *at);
        let next = [arrival, timeout.map(|timeout| self.now + timeout)].into_iter().flatten().min();
        self.now = next.unwrap_or(self.now + Duration::from_millis(1)).max(self.now);
        while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, to_server, data, segment, path) = self.wire.pop_front().unwrap();
            let path = PathAddress::new(path.peer, path.local);
            let info = RecvInfo { segment, ..RecvInfo::new(path, self.now) };
            if to_server {
                self.server.recv(&data, &info).unwrap();
            } else {
                self.client.recv(&data, &info).unwrap();
            }
        }
        while let Some(event) = self.server.poll(self.now) {
            if let ListenerEvent::Accepted(key) = event {
                self.key = Some(key);
            }
            self.events.push_back(event);
        }
    }

    /// Goes on until it is true; 100,000 steps at most.
    pub fn until(&mut self, mut f: impl FnMut(&mut Self) -> bool) {
        for _ in 0..100_000 {
            if f(self) {
                return;
            }
            self.step();
        }
        panic!("it never came: {:?} {:?}", self.client.send_status(), self.now);
    }

    pub fn establish(&mut self) -> ConnectionKey {
        self.until(|pair| pair.client.is_confirmed());
        self.key.expect("the listener has told")
    }

    fn post(&mut self, to_server: bool, data: &[u8], segment: usize, path: PathAddress) {
        self.sent += 1;
        if self.lose == 0 || !self.sent.is_multiple_of(self.lose) {
            let at = self.now + Duration::from_millis(1);
            self.wire.push_back((at, to_server, data.to_vec(), segment, path));
        }
    }
}
