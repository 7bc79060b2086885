//! Connection IDs that a load balancer can route (draft-ietf-quic-load-balancers): each names its
//! server, encrypted or in plain sight. [`QuicLbConfig`] is what servers and load balancer agree on,
//! [`QuicLbConnectionIds`] the server's side, [`QuicLbConfig::server_id`] the load balancer's. This
//! room must not know connections.

mod cipher;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protoquic_core::connection::ConnectionIdGenerator;
use protoquic_core::{ConnectionId, RandomGenerator};

use cipher::Cipher;

/// What the servers behind a load balancer and the load balancer itself have in common.
#[derive(Clone)]
pub struct QuicLbConfig {
    rotation: u8,
    server_id_len: usize,
    nonce_len: usize,
    encodes_length: bool,
    cipher: Option<Arc<Cipher>>,
}

/// Why a configuration is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuicLbError {
    /// The configuration's number is this, but must be 0 to 6 (§3.1).
    Rotation(u8),
    /// The server ID has so many bytes, but must have 1 to 15 (§5.1).
    ServerIdLength(usize),
    /// The nonce has so many bytes, but must have 4 to 18 (§5.1).
    NonceLength(usize),
    /// Server ID and nonce have so many bytes together, but must not have more than 19 (§5.1).
    Length(usize),
}

impl fmt::Display for QuicLbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotation(number) => {
                write!(f, "a configuration's number must be 0 to 6, not {number}")
            }
            Self::ServerIdLength(len) => {
                write!(f, "a server ID must have 1 to 15 bytes, not {len}")
            }
            Self::NonceLength(len) => write!(f, "a nonce must have 4 to 18 bytes, not {len}"),
            Self::Length(len) => {
                write!(f, "server ID and nonce must not have over 19 bytes together, not {len}")
            }
        }
    }
}

impl std::error::Error for QuicLbError {}

impl QuicLbConfig {
    /// Configuration number `rotation` (0 to 6), with server IDs of `server_id_len` bytes (1 to 15)
    /// and nonces of `nonce_len` bytes (4 to 18), 19 at most together. With a key the two are
    /// encrypted, so that nobody else can tell which connection IDs belong to one server; without
    /// one everybody can.
    pub fn new(
        rotation: u8,
        server_id_len: usize,
        nonce_len: usize,
        key: Option<&[u8; 16]>,
    ) -> Result<Self, QuicLbError> {
        if rotation >= UNROUTABLE {
            return Err(QuicLbError::Rotation(rotation));
        }
        if !(1..=15).contains(&server_id_len) {
            return Err(QuicLbError::ServerIdLength(server_id_len));
        }
        if !(4..=18).contains(&nonce_len) {
            return Err(QuicLbError::NonceLength(nonce_len));
        }
        if server_id_len + nonce_len > MAX_PLAINTEXT {
            return Err(QuicLbError::Length(server_id_len + nonce_len));
        }
        let cipher = key.map(|key| Arc::new(Cipher::new(key)));
        Ok(Self { rotation, server_id_len, nonce_len, encodes_length: true, cipher })
    }

    /// Whether the first byte tells the ID's length, for hardware that has to find it there (§3.3).
    /// Otherwise its lower five bits are random. Default: it does.
    #[must_use]
    pub fn with_encoded_length(mut self, encodes_length: bool) -> Self {
        self.encodes_length = encodes_length;
        self
    }

    /// How long its connection IDs are, in bytes: 6 to 20.
    pub fn connection_id_length(&self) -> usize {
        1 + self.plaintext_len()
    }

    fn plaintext_len(&self) -> usize {
        self.server_id_len + self.nonce_len
    }

    /// Which server an ID names; `None` if it is of another configuration, or a client's own choice
    /// of a length that none of ours has. (A client's own choice of our length names a server by
    /// chance.)
    pub fn server_id(&self, id: &ConnectionId) -> Option<ServerId> {
        let (first, rest) = id.as_bytes().split_first()?;
        if first >> ROTATION_SHIFT != self.rotation || rest.len() != self.plaintext_len() {
            return None;
        }
        let mut bytes = [0; MAX_PLAINTEXT];
        let plaintext = &mut bytes[..rest.len()];
        plaintext.copy_from_slice(rest);
        if let Some(cipher) = &self.cipher {
            cipher.decrypt(plaintext);
        }
        Some(ServerId { bytes, len: self.server_id_len })
    }

    fn encode(&self, first: u8, plaintext: &mut [u8]) -> ConnectionId {
        let low = if self.encodes_length { plaintext.len() as u8 } else { first & LOW_BITS };
        if let Some(cipher) = &self.cipher {
            cipher.encrypt(plaintext);
        }
        assemble(self.rotation, low, plaintext)
    }
}

fn assemble(rotation: u8, low: u8, rest: &[u8]) -> ConnectionId {
    let mut bytes = [0; ConnectionId::MAX_LEN];
    bytes[0] = rotation << ROTATION_SHIFT | low;
    bytes[1..=rest.len()].copy_from_slice(rest);
    ConnectionId::new(&bytes[..=rest.len()]).expect("19 bytes and one are not over 20")
}

impl fmt::Debug for QuicLbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicLbConfig")
            .field("rotation", &self.rotation)
            .field("server_id_len", &self.server_id_len)
            .field("nonce_len", &self.nonce_len)
            .field("encrypted", &self.cipher.is_some())
            .finish_non_exhaustive()
    }
}

/// The name of a server, of 1 to 15 bytes.
#[derive(Clone, Copy)]
pub struct ServerId {
    bytes: [u8; MAX_PLAINTEXT],
    len: usize,
}

impl ServerId {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Makes the connection IDs of one server.
///
/// All connections of the server count their nonces together, so that none is used twice under a
/// key (§5.4); without a key nonces are random (§5.3). When there are no nonces left, IDs are made
/// that no load balancer routes by: a new configuration is due.
///
/// ```
/// use protoquic_core::SystemRandom;
/// use protoquic_dispatcher::{ConnectionIdGenerator, QuicLbConfig, QuicLbConnectionIds};
///
/// let config = QuicLbConfig::new(0, 2, 8, Some(&[0x42; 16]))?;
/// let mut ids = QuicLbConnectionIds::new(config.clone(), &[0, 7], &mut SystemRandom)?;
/// let id = ids.generate(&mut SystemRandom);
/// assert_eq!(id.len(), 11);
/// assert_eq!(config.server_id(&id).unwrap().as_bytes(), [0, 7]);
/// # Ok::<(), protoquic_dispatcher::QuicLbError>(())
/// ```
#[derive(Clone, Debug)]
pub struct QuicLbConnectionIds {
    config: QuicLbConfig,
    server_id: ServerId,
    /// What the counter is added to.
    first_nonce: u64,
    /// The upper bytes of long nonces.
    prefix: [u8; MAX_PLAINTEXT],
    used: Arc<AtomicU64>,
}

impl QuicLbConnectionIds {
    /// IDs that name this server, which must be of the configuration's length. The nonces begin at
    /// a random one.
    pub fn new(
        config: QuicLbConfig,
        server_id: &[u8],
        random: &mut dyn RandomGenerator,
    ) -> Result<Self, QuicLbError> {
        if server_id.len() != config.server_id_len {
            return Err(QuicLbError::ServerIdLength(server_id.len()));
        }
        let mut bytes = [0; MAX_PLAINTEXT];
        bytes[..server_id.len()].copy_from_slice(server_id);
        let server_id = ServerId { bytes, len: server_id.len() };
        let (mut first, mut prefix) = ([0; 8], [0; MAX_PLAINTEXT]);
        random.fill(&mut first);
        random.fill(&mut prefix);
        let (first_nonce, used) = (u64::from_be_bytes(first), Arc::new(AtomicU64::new(0)));
        Ok(Self { config, server_id, first_nonce, prefix, used })
    }

    /// The next nonce; false if all were used.
    fn next_nonce(&self, nonce: &mut [u8], random: &mut dyn RandomGenerator) -> bool {
        if self.config.cipher.is_none() {
            random.fill(nonce);
            return true;
        }
        let used = self.used.fetch_add(1, Ordering::Relaxed);
        if nonce.len() < 8 && used >> (8 * nonce.len()) != 0 {
            // The counter stands still at the end, lest it comes round.
            self.used.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let counter = self.first_nonce.wrapping_add(used).to_be_bytes();
        let at = nonce.len().saturating_sub(8);
        let (upper, lower) = nonce.split_at_mut(at);
        upper.copy_from_slice(&self.prefix[..at]);
        lower.copy_from_slice(&counter[8 - lower.len()..]);
        true
    }
}

impl ConnectionIdGenerator for QuicLbConnectionIds {
    fn generate(&mut self, random: &mut dyn RandomGenerator) -> ConnectionId {
        let mut bytes = [0; MAX_PLAINTEXT];
        let plaintext = &mut bytes[..self.config.plaintext_len()];
        let (server, nonce) = plaintext.split_at_mut(self.server_id.len);
        server.copy_from_slice(self.server_id.as_bytes());
        let mut first = [0];
        if !self.config.encodes_length {
            random.fill(&mut first);
        }
        if self.next_nonce(nonce, random) {
            return self.config.encode(first[0], plaintext);
        }
        random.fill(plaintext);
        let low = if self.config.encodes_length { plaintext.len() as u8 } else { first[0] };
        assemble(UNROUTABLE, low & LOW_BITS, plaintext)
    }

    fn connection_id_length(&self) -> usize {
        self.config.connection_id_length()
    }

    fn clone_box(&self) -> Box<dyn ConnectionIdGenerator> {
        Box::new(self.clone())
    }
}

/// The configuration number of IDs that no load balancer routes by (§3.1).
const UNROUTABLE: u8 = 0b111;
/// The configuration's number is in the first byte's upper three bits.
const ROTATION_SHIFT: u32 = 5;
/// The rest of the first byte.
const LOW_BITS: u8 = 0b1_1111;
/// How many bytes server ID and nonce have at most together (§5.1).
const MAX_PLAINTEXT: usize = 19;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use protoquic_core::SeededRandom;

    use super::*;

    /// Appendix B
    const KEY: [u8; 16] = [
        0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80, 0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20,
        0x7f,
    ];

    fn hex(text: &str) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    }

    fn check(rotation: u8, server: &str, nonce: &str, key: Option<&[u8; 16]>, expected: &str) {
        let (server, nonce) = (hex(server), hex(nonce));
        let config = QuicLbConfig::new(rotation, server.len(), nonce.len(), key).unwrap();
        let mut plaintext = [&server[..], &nonce].concat();
        let id = config.encode(0, &mut plaintext);
        assert_eq!(id.as_bytes(), hex(expected));
        assert_eq!(config.server_id(&id).unwrap().as_bytes(), server);
    }

    #[test]
    fn the_drafts_test_vectors() {
        // Appendix B.1, B.2: plain, short, odd and of one block
        check(0, "c4605e", "4504cc4f", None, "07c4605e4504cc4f");
        check(0, "ed793a", "ee080dbf", Some(&KEY), "0720b1d07b359d3c");
        let (long, odd) = ("ed793a51d49b8f5fab65", "ed793a51d49b8f5fab");
        check(1, long, "ee080dbf48", Some(&KEY), "2fcc381bc74cb4fbad2823a3d1f8fed2");
        let block = "504dd2d05a7b0de9b2b9907afb5ecf8cc3";
        check(2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", Some(&KEY), block);
        let odd_id = "725779c9cc86beb3a3a4a3ca96fce4bfe0cdbc";
        check(3, odd, "ee080dbf48c0d1e55d", Some(&KEY), odd_id);
    }

    #[test]
    fn every_length_comes_back() {
        let mut random = SeededRandom::new(1);
        for server_len in 1..=15 {
            for nonce_len in 4..=(19 - server_len).min(18) {
                for key in [None, Some(&KEY)] {
                    let config = QuicLbConfig::new(5, server_len, nonce_len, key).unwrap();
                    let config = config.with_encoded_length(nonce_len % 2 == 0);
                    let server = vec![server_len as u8; server_len];
                    let ids = QuicLbConnectionIds::new(config.clone(), &server, &mut random);
                    let mut ids = ids.unwrap();
                    let id = ids.generate(&mut random);
                    assert_eq!(id.len(), ids.connection_id_length());
                    assert_eq!(config.server_id(&id).unwrap().as_bytes(), server);
                }
            }
        }
    }

    #[test]
    fn all_connections_of_a_server_count_their_nonces_together() {
        let mut random = SeededRandom::new(2);
        let config = QuicLbConfig::new(0, 1, 4, Some(&KEY)).unwrap();
        let mut ids = QuicLbConnectionIds::new(config.clone(), &[9], &mut random).unwrap();
        let mut other = ids.clone_box();
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(ids.generate(&mut random)));
            assert!(seen.insert(other.generate(&mut random)));
        }
        // §5.4: when all are used, the IDs say so.
        ids.used.store(1 << 32, Ordering::Relaxed);
        for generator in [&mut ids as &mut dyn ConnectionIdGenerator, &mut *other] {
            let id = generator.generate(&mut random);
            assert_eq!((id.as_bytes()[0] >> 5, id.len()), (UNROUTABLE, 6));
            assert!(config.server_id(&id).is_none());
        }
    }

    #[test]
    fn what_is_of_another_configuration_names_no_server() {
        let config = QuicLbConfig::new(1, 3, 4, Some(&KEY)).unwrap();
        for bytes in [&[0x07, 1, 2, 3, 4, 5, 6, 7][..], &[0x27, 1, 2, 3, 4, 5, 6], &[]] {
            assert!(config.server_id(&ConnectionId::new(bytes).unwrap()).is_none());
        }
    }

    #[test]
    fn a_wrong_configuration_is_explained() {
        let error = |rotation, server, nonce| {
            QuicLbConfig::new(rotation, server, nonce, None).unwrap_err().to_string()
        };
        assert_eq!(error(7, 3, 4), "a configuration's number must be 0 to 6, not 7");
        assert_eq!(error(0, 0, 4), "a server ID must have 1 to 15 bytes, not 0");
        assert_eq!(error(0, 3, 3), "a nonce must have 4 to 18 bytes, not 3");
        assert!(error(0, 10, 10).ends_with("not 20"));
    }
}
