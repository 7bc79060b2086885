//! How the [`Dispatcher`] makes a session of a ClientHello that is whole. It reads no datagram.

use bytes::Bytes;
use protoquic_core::connection::{Connection, FirstFlight, ServerSetup, negotiated_version};
use protoquic_core::crypto::ClientHello;
use protoquic_core::session::{ClientHelloInfo, Host, Reject, SessionFactory};
use protoquic_core::{AlarmFactory, ConnectionId, Time, TransportError, TransportErrorCode};

use super::Dispatcher;
use crate::buffered_packets::Waiting;
use crate::first_packet::Admission;
use crate::turns::InTurns;

impl Dispatcher {
    /// Makes sessions for clients whose ClientHello is whole, at most so many, those first that have
    /// waited longest (Chromium: ProcessBufferedChlos). Every turn does so for
    /// [`max_sessions_per_turn`](crate::DispatcherConfig::max_sessions_per_turn) of them, so that a
    /// flood of new clients cannot hold up the sessions that are there; the rest wait for the next
    /// turn, which comes at once.
    pub fn process_buffered_hellos(
        &mut self,
        now: Time,
        max_sessions: usize,
        alarms: &mut dyn AlarmFactory,
    ) {
        for _ in 0..max_sessions {
            let Some(waiting) = self.buffered.pop_ready() else { return };
            self.create_session(now, waiting, alarms);
        }
    }

    /// Whether there are clients whose ClientHello is whole and whose session is not made yet
    /// (Chromium: HasChlosBuffered).
    pub fn has_hellos_buffered(&self) -> bool {
        self.buffered.has_ready()
    }

    fn create_session(&mut self, now: Time, waiting: Waiting, alarms: &mut dyn AlarmFactory) {
        let Waiting { admission, hello, packets, flight, local_id, .. } = waiting;
        if let Some(why) = self.reason_to_refuse() {
            // It was not so when its first packet came.
            return self.reject(now, &admission, why.into());
        }
        let hello = hello.unwrap_or_default();
        let local_id = local_id.unwrap_or_else(|| self.ids.generate(&mut *self.random));
        let host = match self.make_host(now, &admission, &hello, local_id, flight) {
            Ok(host) => host,
            Err(reject) => return self.reject(now, &admission, reject.0),
        };
        self.stats.sessions_created += 1;
        self.handshaking += 1;
        let key = self.sessions.insert(host, |key| alarms.create_alarm(key.to_owner()));
        self.sessions.add_route(local_id, key);
        self.sessions.add_route(admission.destination, key);
        if let Some(entry) = self.sessions.get_mut(key) {
            for packet in packets {
                entry.host.process_packet(packet);
            }
        }
        self.run(now, key, alarms);
        // A handshake takes so long that no client shall wait for those of others, but for the next one
        // of its own.
        let is_next = self.buffered.next_ready() == Some(&admission.path);
        self.on_answer(if is_next { FLIGHTS_TOGETHER } else { 1 });
    }

    fn reject(&mut self, now: Time, admission: &Admission, why: String) {
        log::debug!("{} refused: {why}", admission.path.peer);
        let error = TransportError::new(TransportErrorCode::CONNECTION_REFUSED, why);
        let ids = (admission.version, &admission.destination, &admission.source);
        self.stateless.refuse(now, &admission.path, ids, &error, &mut *self.writer);
    }

    fn make_host(
        &mut self,
        now: Time,
        admission: &Admission,
        hello: &ClientHello,
        local_id: ConnectionId,
        flight: FirstFlight,
    ) -> Result<Box<dyn Host>, Reject> {
        let info = ClientHelloInfo { server_name: hello.server_name.as_deref(), alpn: &hello.alpn };
        let wants = |factory: &dyn SessionFactory| {
            factory.alpn().iter().any(|offered| hello.alpn.contains(offered))
        };
        // Without a protocol in common the first factory's TLS settings refuse the client, with
        // the alert that says so (RFC 9001 §8.1).
        let chosen = self.factories.iter().position(|factory| wants(&**factory)).unwrap_or(0);
        let Some(factory) = self.factories.get_mut(chosen) else {
            return Err(Reject("no protocol is served here".into()));
        };
        let config = factory.server_config(&info);
        let new_token = self.config.give_new_tokens.then(|| {
            let (wall_now, ip) = (self.helper.clock().wall_now(), admission.path.peer.ip());
            // RFC 9369 §5: it belongs to the version that the connection comes to have.
            let version = negotiated_version(&config.transport, admission.version, &hello.versions);
            let tokens = &mut self.stateless.tokens;
            Bytes::from(tokens.seal_new_token(&mut *self.random, wall_now, version, ip))
        });
        let mut setup = ServerSetup {
            config,
            version: admission.version,
            offered_versions: hello.versions.clone(),
            path: admission.path,
            local_id,
            peer_id: admission.source,
            destination: admission.destination,
            original_destination: admission.original_destination,
            retry_source: admission.retry_source,
            address_validated: admission.address_validated,
            first_flight: Some(flight),
            new_token,
            ids: self.ids.clone_box(),
            reset_key: self.stateless.reset_key.clone(),
            random: self.helper.random_generator(),
            observer: None,
        };
        if let Some(observers) = &mut self.observers {
            setup.observer = observers.create_observer(&setup.start());
        }
        let connection =
            Connection::server(now, setup).map_err(|error| Reject(error.to_string()))?;
        factory.create_session(connection, &info)
    }
}

/// How many first flights go together to one peer, who makes so many connections at once.
const FLIGHTS_TOGETHER: u32 = 2;
