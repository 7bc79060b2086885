//! Resumption and 0-RTT (RFC 9001 §4.6, RFC 9000 §7.4.1): what a client remembers and sends early,
//! what a server takes early, and what follows when it does not. This file must not know TLS's
//! messages or how packets are laid out.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::client::Resumption as RustlsResumption;
use rustls::pki_types::ServerName;

use super::config::Config;
use super::event::Event;
use super::fates::Fates;
use super::handshake::peer_limits;
use super::sent::{SentFrame, SentFrames};
use super::{Connection, keys};
use crate::crypto::{AntiReplay, CachedTickets, StrikeRegister};
use crate::error::TransportError;
use crate::recovery::{FrameSink, SentPacket};
use crate::session_cache::SessionCache;
use crate::time::Time;
use crate::types::{Role, Space};
use crate::wire::{TransportParameters, ZERO_RTT_LIMITS};

/// What became of early data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyData {
    /// There is none.
    #[default]
    None,
    /// A client may send it; whether the server takes it is not known yet.
    Offered,
    /// The server has taken it.
    Accepted,
    /// The server has not taken it: it was sent for nothing, and is sent again.
    Rejected,
}

/// What a connection knows of the one before it.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    cache: Option<Arc<dyn SessionCache>>,
    /// The server's name, as the cache knows it.
    server: String,
    early: EarlyData,
    /// On a client: what the server allowed in the connection that is resumed.
    remembered: Option<Box<TransportParameters>>,
    /// On a server: early data would be taken, if any came.
    willing: bool,
    /// On a server: the beginning of the ClientHello.
    hello: Vec<u8>,
}

impl Resumption {
    pub(super) fn for_client(config: &Config, name: &ServerName<'_>) -> Self {
        let server = name.to_str().into_owned();
        Self { cache: config.session_cache.clone(), server, ..Self::default() }
    }

    /// A server takes early data if it was told to, and promised no client more before than it
    /// does now (RFC 9000 §7.4.1).
    pub(super) fn for_server(config: &Config, parameters: &TransportParameters) -> Self {
        let willing = config.early_data && config.early_data_guard.permits(parameters);
        Self { willing, ..Self::default() }
    }

    pub(super) fn takes_early_data(&self) -> bool {
        self.willing
    }

    /// A token for the first Initial, each used once (RFC 9000 §8.1.3).
    pub(super) fn take_token(&self) -> Option<Bytes> {
        self.cache.as_ref()?.take_token(&self.server)
    }

    pub(super) fn put_token(&self, token: &Bytes) {
        if let Some(cache) = &self.cache {
            cache.put_token(&self.server, token.clone());
        }
    }

    /// On a server: the ClientHello goes by; its random value is what names it.
    pub(super) fn on_hello_bytes(&mut self, bytes: &[u8]) {
        if self.willing {
            let missing = RANDOM_END.saturating_sub(self.hello.len());
            self.hello.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        }
    }

    fn client_random(&self) -> Option<[u8; 32]> {
        self.hello.get(RANDOM_AT..RANDOM_END)?.try_into().ok()
    }
}

/// TLS settings as the transport's settings want them.
pub(super) fn client_tls(config: &Config, tls: Arc<ClientConfig>) -> Arc<ClientConfig> {
    // Which protocol early data belongs to is known only if one alone is offered.
    let early = config.early_data && tls.alpn_protocols.len() <= 1;
    if config.session_cache.is_none() && tls.enable_early_data == early {
        return tls;
    }
    let mut tls = (*tls).clone();
    tls.enable_early_data = early;
    if let Some(cache) = &config.session_cache {
        tls.resumption = RustlsResumption::store(Arc::new(CachedTickets(cache.clone())));
    }
    Arc::new(tls)
}

impl Connection {
    /// What became of early data.
    pub fn early_data(&self) -> EarlyData {
        self.resumption.early
    }

    /// Whether the handshake resumed an earlier session: no certificates were sent.
    pub fn is_resumed(&self) -> bool {
        self.handshake.tls.is_resumed()
    }

    /// What the application remembered of this server, if it is the protocol that is spoken or,
    /// before that is known, the only one offered.
    pub fn application_state(&self, alpn: &[u8]) -> Option<Bytes> {
        self.resumption.cache.as_ref()?.application_state(&self.resumption.server, alpn)
    }

    /// Has the application's state remembered for the next connection to this server.
    pub fn remember_application_state(&self, state: Bytes) {
        if let (Some(cache), Some(alpn)) = (&self.resumption.cache, self.alpn()) {
            cache.set_application_state(&self.resumption.server, alpn, state);
        }
    }

    /// Whether streams and datagrams may be written: after the handshake, and before it where the
    /// packets are 0-RTT, or answer such.
    pub(super) fn may_send_data(&self) -> bool {
        let early = match self.role {
            Role::Client => self.keys.level() == keys::Level::ZeroRtt,
            Role::Server => self.resumption.early == EarlyData::Accepted,
        };
        self.is_established() || (early && self.life.is_open())
    }

    /// A client that resumes begins with what the server allowed it before (RFC 9000 §7.4.1).
    pub(super) fn offer_early_data(&mut self) {
        // There are keys only if the settings allow early data, and a ticket does.
        let tls = &self.handshake.tls;
        let Some(keys) = tls.zero_rtt_keys() else { return };
        let remembered = tls
            .remembered_transport_parameters()
            .and_then(|bytes| TransportParameters::decode(bytes, Role::Server).ok());
        let Some(remembered) = remembered else { return };
        let remembered = remembered.remembered_for_zero_rtt();
        self.keys.install_zero_rtt(keys);
        self.streams.set_peer_parameters(peer_limits(&remembered));
        self.mtu.limit(usize::try_from(remembered.max_udp_payload_size).unwrap_or(usize::MAX));
        self.resumption.early = EarlyData::Offered;
        self.handshake.remember_parameters(remembered.clone());
        self.resumption.remembered = Some(Box::new(remembered));
        self.events.push_back(Event::EarlyDataReady);
    }

    /// A server whose TLS has accepted early data, which the ClientHello has proven to be made by
    /// the ticket's holder, takes it unless it is a replay (RFC 9001 §9.2).
    pub(super) fn take_early_data(&mut self, now: Time) {
        let undecided = self.role == Role::Server && self.resumption.willing;
        if !undecided || self.resumption.early != EarlyData::None {
            return;
        }
        let Some(keys) = self.handshake.tls.zero_rtt_keys() else { return };
        let guard = &self.config.early_data_guard;
        let fresh = self.resumption.client_random().is_some_and(|random| guard.admit(now, &random));
        self.resumption.early = if fresh { EarlyData::Accepted } else { EarlyData::Rejected };
        if fresh {
            self.keys.install_zero_rtt(keys);
        }
    }

    /// Early data that came before the ClientHello may wait for it (RFC 9001 §5.7).
    pub(super) fn may_await_zero_rtt(&self) -> bool {
        self.resumption.willing && !self.keys.handshake_was_available()
    }

    /// A client's handshake is complete, and with it the question whether early data was taken.
    pub(super) fn settle_early_data(
        &mut self,
        now: Time,
        theirs: &TransportParameters,
    ) -> Result<(), TransportError> {
        if !self.handshake.tls.early_data_was_accepted() {
            self.give_up_early_data(now);
            return Ok(());
        }
        let Some(remembered) = self.resumption.remembered.take() else { return Ok(()) };
        self.resumption.early = EarlyData::Accepted;
        theirs.check_zero_rtt_limits(&remembered)?;
        self.events.push_back(Event::EarlyDataSettled { accepted: true });
        Ok(())
    }

    /// The server has not taken early data, or never saw any in a version that it speaks.
    pub(super) fn give_up_early_data(&mut self, now: Time) {
        if self.resumption.remembered.take().is_some() {
            self.resumption.early = EarlyData::Rejected;
            self.on_early_data_rejected(now);
            self.events.push_back(Event::EarlyDataSettled { accepted: false });
        }
    }

    /// RFC 9001 §4.6.2: streams begin anew, as if nothing had been sent on them.
    fn on_early_data_rejected(&mut self, now: Time) {
        let (recovery, fates) = self.fates(now);
        recovery.on_zero_rtt_rejected(now, &mut NeverSent(fates));
        self.streams.on_zero_rtt_rejected();
        self.probes[Space::Application as usize] = 0;
    }
}

/// Packets that nobody was going to read: no loss, and streams know already.
struct NeverSent<'a>(Fates<'a>);

impl FrameSink<SentFrames> for NeverSent<'_> {
    fn on_packets_acked(&mut self, _: Space, _: Range<u64>, _: &SentPacket<SentFrames>) {}

    fn on_packet_lost(&mut self, space: Space, _: u64, packet: &SentPacket<SentFrames>) {
        for frame in &packet.frames {
            if !matches!(frame, SentFrame::Stream(_)) {
                self.0.on_frame_lost(space, frame);
            }
        }
    }
}

impl Config {
    /// What a server of these settings promises those who will send early data, as text: sessions
    /// given out by others promise something else (RFC 9000 §7.4.1). For
    /// [`offer_early_data_from`](crate::crypto::offer_early_data_from).
    pub fn early_terms(&self) -> String {
        let streams = &self.streams;
        format!(
            "data {} {} {} {} streams {} {} ids {} datagrams {} reset_stream_at {}",
            streams.max_data,
            streams.max_stream_data_bidi_local,
            streams.max_stream_data_bidi_remote,
            streams.max_stream_data_uni,
            streams.max_streams_bidi,
            streams.max_streams_uni,
            self.active_connection_id_limit,
            self.datagrams.max_frame_size,
            self.reset_stream_at,
        )
    }
}

/// What the connections of a server share to take early data safely.
#[derive(Debug)]
pub struct EarlyDataGuard {
    anti_replay: Box<dyn AntiReplay>,
    /// The most that any connection has promised of each limit.
    promised: Mutex<[u64; ZERO_RTT_LIMITS]>,
}

impl EarlyDataGuard {
    /// A guard that asks `anti_replay`.
    pub fn new(anti_replay: Box<dyn AntiReplay>) -> Self {
        Self { anti_replay, promised: Mutex::default() }
    }

    fn admit(&self, now: Time, client_random: &[u8; 32]) -> bool {
        self.anti_replay.admit(now, client_random)
    }

    /// Whether no limit is below what a client may remember.
    fn permits(&self, parameters: &TransportParameters) -> bool {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = true;
        for (promised, (_, now)) in promised.iter_mut().zip(parameters.zero_rtt_limits()) {
            kept &= now >= *promised;
            *promised = now.max(*promised);
        }
        kept
    }
}

impl Default for EarlyDataGuard {
    /// One with a [`StrikeRegister`].
    fn default() -> Self {
        Self::new(Box::new(StrikeRegister::default()))
    }
}

/// Where a ClientHello's random value lies: after the message's type and length and the version
/// (RFC 8446 §4.1.2).
const RANDOM_AT: usize = 6;
const RANDOM_END: usize = RANDOM_AT + 32;
