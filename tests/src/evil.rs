//! [`Evil`]: an endpoint of either role that keeps no rule it was not told to keep. It can complete
//! a real handshake, then sends any bytes as the frames of any packet, and shows what comes back.
//! It repairs no loss: give it a link without any.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use protoquic::crypto::{
    NewKeys, TAG_LEN, Tls, UpdateSecrets, initial_keys, open_payload, ring_provider, seal_packet,
    unprotect_header,
};
use protoquic::wire::{
    Frame, FrameIter, LONG_FORM_BIT, LongType, PacketHeader, PacketType, Version, Writer,
    packet_number, parse_header, patch_length, write_long_header, write_short_header,
};
use protoquic::{ConnectionId, Ecn, RandomGenerator, Role, SeededRandom, Session, Space};
use rustls::quic::Keys;

use crate::evil_hello::{Parameters, encode};
use crate::http3::varint;
use crate::net::{Mail, Net, server_address};
use crate::tls;

/// A packet that came and could be opened.
#[derive(Clone, Debug)]
pub struct SeenPacket {
    /// Its packet number space.
    pub space: Space,
    /// Its number.
    pub number: u64,
    /// Its frames.
    pub payload: Vec<u8>,
    /// How its datagram was marked.
    pub ecn: Ecn,
}

/// A CONNECTION_CLOSE that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenClose {
    /// In which packets.
    pub space: Space,
    /// Whether it is the application's.
    pub application: bool,
    /// Its code.
    pub code: u64,
}

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
        let tls = Tls::server(tls::server(&[alpn]), original, true, encode(&parameters));
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

    /// Waits for the other side to close, and tells how.
    pub fn wait_for_close<S: Session>(&mut self, net: &mut Net<S>) -> Option<SeenClose> {
        self.run_until(net, Duration::from_secs(2), |evil| evil.close().is_some());
        self.close()
    }

    /// The first CONNECTION_CLOSE that came.
    pub fn close(&self) -> Option<SeenClose> {
        self.seen.iter().find_map(|packet| {
            FrameIter::new(&packet.payload).flatten().find_map(|frame| match frame {
                Frame::ConnectionClose(close) => Some(SeenClose {
                    space: packet.space,
                    application: close.application,
                    code: close.code,
                }),
                _ => None,
            })
        })
    }

    /// Whether a frame like this came.
    pub fn has_seen(&self, like: impl Fn(&Frame<'_>) -> bool) -> bool {
        self.count(like) > 0
    }

    /// How many frames like this came.
    pub fn count(&self, like: impl Fn(&Frame<'_>) -> bool) -> usize {
        let frames = self.seen.iter().flat_map(|packet| FrameIter::new(&packet.payload).flatten());
        frames.filter(|frame| like(frame)).count()
    }

    fn on_datagram<S: Session>(&mut self, net: &mut Net<S>, mail: Mail) {
        self.received_bytes += mail.data.len();
        self.datagrams += 1;
        let mut opened = false;
        let mut rest = &mail.data[..];
        while let Ok(header) = parse_header(rest, self.local_id.len()) {
            let mut version = self.version;
            let (ty, number_offset, len) = match header {
                PacketHeader::Long(long) => {
                    version = long.version;
                    if let Some(retry) = long.retry {
                        return self.on_retry(net, long.source, retry.token.to_vec());
                    }
                    if !std::mem::replace(&mut self.heard, true) {
                        self.peer_id = long.source;
                    }
                    let ty = long.packet_type().expect("only a Retry has none");
                    (ty, long.pn_offset, long.packet_len)
                }
                PacketHeader::Short(short) => (PacketType::OneRtt, short.pn_offset, rest.len()),
                _ => break,
            };
            let mut packet = rest[..len].to_vec();
            opened |= self.open(ty, version, &mut packet, number_offset, mail.ecn).is_some();
            rest = &rest[len..];
            self.read_tls(net); // the next packet may need the keys of this one
        }
        if !opened {
            self.unknown.push(mail);
        }
    }

    fn on_retry<S: Session>(&mut self, net: &mut Net<S>, source: ConnectionId, token: Vec<u8>) {
        self.retries.push((source, token.clone()));
        if self.follows_retry && self.retries.len() == 1 {
            self.redirect(source, token);
            self.start(net);
        }
    }

    fn open(
        &mut self,
        ty: PacketType,
        version: Version,
        packet: &mut [u8],
        number_offset: usize,
        ecn: Ecn,
    ) -> Option<()> {
        let space = ty.space();
        let first =
            self.first_keys.as_ref().filter(|(of, _)| *of == version && space as usize == 0);
        let keys = first.map(|(_, keys)| keys).or(self.keys[space as usize].as_ref())?;
        let (_, truncated, len) = unprotect_header(&*keys.remote.header, packet, number_offset)?;
        let numbers = &mut self.numbers[space as usize];
        let number = packet_number::decode(numbers.last().copied(), truncated, len);
        let start = number_offset + len;
        let length = open_payload(&*keys.remote.packet, packet, start, number)?;
        let payload = packet[start..start + length].to_vec();
        if numbers.insert(number) {
            for frame in FrameIter::new(&payload) {
                let frame = frame.expect("our stack sends frames that can be read");
                self.to_acknowledge[space as usize] |= frame.is_ack_eliciting();
                if let Frame::Crypto { offset, data } = frame {
                    self.crypto_received[space as usize].1.insert(offset, data.to_vec());
                }
            }
            self.seen.push(SeenPacket { space, number, payload, ecn });
        }
        Some(())
    }

    fn read_tls<S: Session>(&mut self, net: &mut Net<S>) {
        for (received, waiting) in &mut self.crypto_received {
            while let Some(entry) = waiting.first_entry()
                && *entry.key() <= *received
            {
                let (offset, data) = entry.remove_entry();
                let end = offset + data.len() as u64;
                if end > *received {
                    let fresh = &data[(*received - offset) as usize..];
                    self.tls.read(fresh).expect("our stack speaks proper TLS");
                    *received = end;
                }
            }
        }
        if !self.heard && self.role == Role::Client {
            return;
        }
        loop {
            let mut out = Vec::new();
            let keys = self.tls.write(&mut out);
            let idle = out.is_empty();
            if !idle {
                let out = (self.tamper)(self.level, out);
                self.send_crypto(net, self.level, &out);
            }
            match keys {
                Some(NewKeys::Handshake(keys)) => {
                    self.level = Space::Handshake;
                    self.keys[1] = Some(keys);
                }
                Some(NewKeys::OneRtt { keys, next }) => {
                    self.level = Space::Application;
                    self.keys[2] = Some(keys);
                    self.secrets = Some(next);
                }
                None if idle => return,
                None => {}
            }
        }
    }

    fn flush<S: Session>(&mut self, net: &mut Net<S>) {
        for space in Space::ALL {
            if self.acknowledges && std::mem::take(&mut self.to_acknowledge[space as usize]) {
                let ack = self.ack(space);
                self.send(net, packet_type(space), &ack);
            }
        }
    }

    /// An ACK of the newest run of packets.
    fn ack(&self, space: Space) -> Vec<u8> {
        let numbers = &self.numbers[space as usize];
        let largest = numbers.last().copied().expect("something came");
        let run = numbers.iter().rev().zip(0..).take_while(|(n, i)| **n == largest - i).count();
        ack_frame(largest, run as u64 - 1)
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
