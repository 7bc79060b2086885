//! [`Evil`]: an endpoint of either role that keeps no rule it was not told to keep. It can complete
//! a real handshake, then sends any bytes as the frames of any packet, and shows what comes back.
//! It repairs no loss: give it a link without any.

mod receive;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use protoquic::crypto::{TAG_LEN, Tls, UpdateSecrets, initial_keys, ring_provider, seal_packet};
use protoquic::wire::{
    Frame, LONG_FORM_BIT, LongType, PacketHeader, PacketType, Version, Writer, parse_header,
    patch_length, write_long_header, write_short_header,
};
use protoquic::{ConnectionId, Ecn, RandomGenerator as _, Role, SeededRandom, Session, Space};
use rustls::quic::Keys;

use crate::evil_hello::{Parameters, encode};
use crate::http3::varint;
use crate::net::{Mail, Net, server_address};
use crate::tls;

pub use self::seen::{SeenClose, SeenPacket};

/// Changes the TLS messages of a level before they are sent.
pub type Tamper = Box<dyn FnMut(Space, Vec<u8>) -> Vec<u8>>;

/// An endpoint that does as it is told.
pub struct Evil {
    /// What it plays.
    pub role: Role,
    /// Where it is.
    pub address: SocketAddr,
    /// Where its packets go.
    pub peer: SocketAddr,
    /// How it calls itself.
    pub local_id: ConnectionId,
    /// How it calls the other side.
    pub peer_id: ConnectionId,
    /// What its long headers say.
    pub version: Version,
    /// What its Initial packets carry.
    pub token: Vec<u8>,
    /// The next packet number of each space.
    pub next_number: [u64; 3],
    /// How its datagrams are marked. Not at all at first.
    pub mark: Ecn,
    /// Whether it acknowledges what comes. On at first.
    pub acknowledges: bool,
    /// Bits of its packets' first bytes that it changes. None at first.
    pub header_bits: u8,
    /// Whether it answers a Retry. On at first.
    pub follows_retry: bool,
    /// Everything that could be opened, in its order.
    pub seen: Vec<SeenPacket>,
    /// Datagrams that held nothing that could be opened.
    pub unknown: Vec<Mail>,
    /// The source and the token of each Retry that came.
    pub retries: Vec<(ConnectionId, Vec<u8>)>,
    /// Bytes of UDP payload sent.
    pub sent_bytes: usize,
    /// Bytes of UDP payload received.
    pub received_bytes: usize,
    /// Datagrams received.
    pub datagrams: usize,
    tamper: Tamper,
    tls: Tls,
    keys: [Option<Keys>; 3],
    /// On a server: for the version of the client's first flight.
    first_keys: Option<(Version, Keys)>,
    secrets: Option<UpdateSecrets>,
    key_phase: bool,
    level: Space,
    heard: bool,
    numbers: [BTreeSet<u64>; 3],
    to_acknowledge: [bool; 3],
    crypto_received: [(u64, BTreeMap<u64, Vec<u8>>); 3],
    crypto_sent: [u64; 3],
    hello: Vec<u8>,
}

impl std::fmt::Debug for Evil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evil").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Evil {
    /// A client with these parameters and this application protocol. Nothing is sent yet.
    pub fn client<S: Session>(
        net: &mut Net<S>,
        port: u16,
        alpn: &[u8],
        parameters: &Parameters,
        tamper: Tamper,
    ) -> Self {
        Self::client_with(net, port, tls::client(&[alpn]), parameters, tamper)
    }

    /// A client with these TLS settings.
    pub fn client_with<S: Session>(
        net: &mut Net<S>,
        port: u16,
        tls: std::sync::Arc<rustls::ClientConfig>,
        parameters: &Parameters,
        tamper: Tamper,
    ) -> Self {
        let address = SocketAddr::from(([10, 0, 9, 9], port));
        net.open_mailbox(address);
        let mut random = SeededRandom::new(u64::from(port));
        let (local_id, peer_id) = (new_id(&mut random), new_id(&mut random));
        let mut parameters = parameters.clone();
        parameters.entry(INITIAL_SOURCE).or_insert_with(|| Some(local_id.as_bytes().to_vec()));
        let name = "localhost".try_into().expect("localhost is a name");
        let tls = Tls::client(tls, Version::V1, false, name, encode(&parameters));
        let tls = tls.expect("the settings are valid");
        Self::new(Role::Client, address, server_address(), (local_id, peer_id), tls, tamper)
    }

    /// The server for a client whose first datagram waits in the mailbox of this address.
    pub fn server<S: Session>(
        net: &mut Net<S>,
        address: SocketAddr,
        alpn: &[u8],
        parameters: &Parameters,
    ) -> Self {
        Self::server_in(net, address, alpn, parameters, None)
    }

    /// As [`server`](Self::server), answering in this version if one is given.
    pub fn server_in<S: Session>(
        net: &mut Net<S>,
        address: SocketAddr,
        alpn: &[u8],
        parameters: &Parameters,
        version: Option<Version>,
    ) -> Self {
        let mail = net.take_mail(address);
        let first = mail.first().expect("a client has sent something");
        let Ok(PacketHeader::Long(header)) = parse_header(&first.data, 0) else {
            panic!("a client begins with a long header");
        };
        let local_id = new_id(&mut SeededRandom::new(99));
        let mut parameters = parameters.clone();
        let mut default = |id, value: &ConnectionId| {
            parameters.entry(id).or_insert_with(|| Some(value.as_bytes().to_vec()));
        };
        default(INITIAL_SOURCE, &local_id);
        default(ORIGINAL_DESTINATION, &header.destination);
        let original = header.version;
        let destination = header.destination;
        let tls = Tls::server(tls::server(&[alpn]), original, true, false, encode(&parameters));
        let mut tls = tls.expect("the settings are valid");
        let version = version.unwrap_or(original);
        tls.set_version(version);
        let ids = (local_id, header.source);
        let mut this = Self::new(Role::Server, address, first.from, ids, tls, unchanged());
        this.first_keys = Some((original, keys_of(original, &destination, Role::Server)));
        this.version = version;
        this.keys[0] = Some(keys_of(version, &destination, Role::Server));
        for mail in mail {
            this.on_datagram(net, mail);
        }
        this.flush(net);
        this
    }

    fn new(
        role: Role,
        address: SocketAddr,
        peer: SocketAddr,
        (local_id, peer_id): (ConnectionId, ConnectionId),
        tls: Tls,
        tamper: Tamper,
    ) -> Self {
        Self {
            role,
            address,
            peer,
            local_id,
            peer_id,
            version: Version::V1,
            token: Vec::new(),
            next_number: [0; 3],
            mark: Ecn::NotEct,
            acknowledges: true,
            header_bits: 0,
            follows_retry: true,
            seen: Vec::new(),
            unknown: Vec::new(),
            retries: Vec::new(),
            sent_bytes: 0,
            received_bytes: 0,
            datagrams: 0,
            tamper,
            tls,
            keys: [Some(keys_of(Version::V1, &peer_id, role)), None, None],
            first_keys: None,
            secrets: None,
            key_phase: false,
            level: Space::Initial,
            heard: false,
            numbers: Default::default(),
            to_acknowledge: [false; 3],
            crypto_received: Default::default(),
            crypto_sent: [0; 3],
            hello: Vec::new(),
        }
    }

    /// The ClientHello, untampered.
    pub fn hello(&mut self) -> Vec<u8> {
        if self.hello.is_empty() {
            let keys = self.tls.write(&mut self.hello);
            assert!(keys.is_none(), "a ClientHello comes before all keys");
        }
        self.hello.clone()
    }

    /// Sends the ClientHello, as the tampering leaves it.
    pub fn start<S: Session>(&mut self, net: &mut Net<S>) {
        let hello = self.hello();
        let hello = (self.tamper)(Space::Initial, hello);
        self.send_crypto(net, Space::Initial, &hello);
    }

    /// Completes the handshake. Returns whether it did.
    pub fn handshake<S: Session>(&mut self, net: &mut Net<S>) -> bool {
        if self.role == Role::Client {
            self.start(net);
        }
        self.run_until(net, Duration::from_secs(3), |evil| {
            evil.is_confirmed() || evil.close().is_some()
        });
        self.close().is_none() && self.is_confirmed()
    }

    /// Whether the handshake is complete and, on a client, confirmed.
    pub fn is_confirmed(&self) -> bool {
        let done = |frame: &Frame<'_>| matches!(frame, Frame::HandshakeDone);
        !self.tls.is_handshaking() && (self.role == Role::Server || self.has_seen(done))
    }

    /// Sends these bytes as the frames of a packet.
    pub fn send<S: Session>(&mut self, net: &mut Net<S>, ty: PacketType, frames: &[u8]) {
        let packet = self.seal(ty, frames, 0);
        self.send_datagram(net, packet);
    }

    /// Sends a frame in a 1-RTT packet.
    pub fn send_frame<S: Session>(&mut self, net: &mut Net<S>, frame: &Frame<'_>) {
        self.send(net, PacketType::OneRtt, &bytes_of(frame));
    }

    /// Sends a datagram as it is.
    pub fn send_datagram<S: Session>(&mut self, net: &mut Net<S>, datagram: Vec<u8>) {
        self.sent_bytes += datagram.len();
        net.inject_marked(self.address, self.peer, self.mark, datagram);
    }

    /// Sends these TLS messages next in a level's CRYPTO stream.
    pub fn send_crypto<S: Session>(&mut self, net: &mut Net<S>, space: Space, messages: &[u8]) {
        for piece in messages.chunks(1000) {
            let offset = self.crypto_sent[space as usize];
            self.crypto_sent[space as usize] += piece.len() as u64;
            let frame = bytes_of(&Frame::Crypto { offset, data: piece });
            self.send(net, packet_type(space), &frame);
        }
    }

    /// Builds a packet with these frames and these bits of its first byte changed. An Initial is
    /// padded to 1200 bytes.
    pub fn seal(&mut self, ty: PacketType, frames: &[u8], bits: u8) -> Vec<u8> {
        let size = if ty == PacketType::Initial { 1200 } else { 0 };
        self.seal_to(ty, frames, bits, size)
    }

    /// As [`seal`](Self::seal), padded to this size or not at all.
    pub fn seal_to(&mut self, ty: PacketType, frames: &[u8], bits: u8, size: usize) -> Vec<u8> {
        let space = ty.space() as usize;
        let number = self.next_number[space];
        self.next_number[space] += 1;
        let mut buffer = vec![0; frames.len() + self.token.len() + size + 100];
        let mut w = Writer::new(&mut buffer);
        let mut long = None;
        let number_offset = match long_type(ty) {
            Some(long_type) => {
                let (to, from) = (self.peer_id, self.local_id);
                let version = self.version;
                let token = &self.token;
                let at =
                    write_long_header(&mut w, long_type, version, &to, &from, token, number, 4);
                long = Some(at);
                at.pn_offset
            }
            None => write_short_header(&mut w, &self.peer_id, false, self.key_phase, number, 4),
        };
        w.bytes(frames);
        w.zeros(size.saturating_sub(w.position() + TAG_LEN));
        w.zeros(TAG_LEN);
        let end = w.position();
        if let Some(at) = long {
            patch_length(w.written_mut(), &at, end);
        }
        buffer.truncate(end);
        buffer[0] ^= bits ^ self.header_bits;
        if ty == PacketType::ZeroRtt {
            let keys = self.tls.zero_rtt_keys().expect("a session is resumed with early data");
            seal_packet(&keys, &mut buffer, number_offset, 4, number);
            return buffer;
        }
        let keys = self.keys[space].as_ref().expect("the handshake has come so far");
        seal_packet(&keys.local, &mut buffer, number_offset, 4, number);
        buffer
    }

    /// Whether it can make packets of this type.
    pub fn has_keys(&self, ty: PacketType) -> bool {
        self.keys[ty.space() as usize].is_some()
    }

    /// Updates its 1-RTT keys.
    pub fn update_keys(&mut self) {
        let secrets = self.secrets.as_mut().expect("the handshake has come so far");
        let keys = self.keys[2].as_mut().expect("the handshake has come so far");
        let next = secrets.next_packet_keys();
        secrets.advance();
        keys.local.packet = next.local;
        keys.remote.packet = next.remote;
        self.key_phase = !self.key_phase;
    }

    /// Sends its Initial packets to this ID with this token from now on, as after a Retry.
    pub fn redirect(&mut self, peer_id: ConnectionId, token: Vec<u8>) {
        self.token = token;
        self.peer_id = peer_id;
        self.keys[0] = Some(keys_of(self.version, &peer_id, Role::Client));
        self.crypto_sent[0] = 0;
    }

    /// Lets the time pass; takes part in the handshake and acknowledges meanwhile.
    pub fn run<S: Session>(&mut self, net: &mut Net<S>, time: Duration) {
        self.run_until(net, time, |_| false);
    }

    /// As [`run`](Self::run), until `done`. Returns whether it was.
    pub fn run_until<S: Session>(
        &mut self,
        net: &mut Net<S>,
        time: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> bool {
        let end = net.now + time;
        while net.now < end {
            if done(self) {
                return true;
            }
            net.run_for(STEP.min(end - net.now));
            for mail in net.take_mail(self.address) {
                self.on_datagram(net, mail);
            }
            self.flush(net);
        }
        done(self)
    }
}

/// An ACK frame of one range: the largest number and how many before it.
pub fn ack_frame(largest: u64, before: u64) -> Vec<u8> {
    [&[2][..], &varint(largest), &[0, 0], &varint(before)].concat()
}

/// A frame's bytes.
pub fn bytes_of(frame: &Frame<'_>) -> Vec<u8> {
    let mut buffer = vec![0; frame.encoded_len()];
    frame.write(&mut Writer::new(&mut buffer));
    buffer
}

/// Leaves TLS messages as they are.
pub fn unchanged() -> Tamper {
    Box::new(|_, messages| messages)
}

/// Whether a datagram begins with a long header of this version.
pub fn has_version(datagram: &[u8], version: u32) -> bool {
    datagram.len() > 4
        && datagram[0] & LONG_FORM_BIT != 0
        && datagram[1..5] == version.to_be_bytes()
}

/// The packets of a space.
pub const fn packet_type(space: Space) -> PacketType {
    match space {
        Space::Initial => PacketType::Initial,
        Space::Handshake => PacketType::Handshake,
        Space::Application => PacketType::OneRtt,
    }
}

const fn long_type(ty: PacketType) -> Option<LongType> {
    match ty {
        PacketType::Initial => Some(LongType::Initial),
        PacketType::ZeroRtt => Some(LongType::ZeroRtt),
        PacketType::Handshake => Some(LongType::Handshake),
        PacketType::OneRtt => None,
    }
}

/// The Initial keys of a destination.
pub fn keys_of(version: Version, destination: &ConnectionId, role: Role) -> Keys {
    initial_keys(version, destination, role, &ring_provider()).expect("ring has the cipher")
}

fn new_id(random: &mut SeededRandom) -> ConnectionId {
    ConnectionId::new(&random.next_u64().to_be_bytes()).expect("eight bytes")
}

const STEP: Duration = Duration::from_millis(2);
const INITIAL_SOURCE: u64 = 0x0f;
const ORIGINAL_DESTINATION: u64 = 0;
