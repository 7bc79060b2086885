//! [`TokenSealer`]: the tokens of Retry and NEW_TOKEN (RFC 9000 §8.1.1): sealed, bound to the
//! client's address and its QUIC version, short-lived. Keys rotate; the one before still opens, and
//! where they follow from a secret, those of its neighbours in time.
//! This file must not know when a token is wanted.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::secret::{ServerSecret, aead_key};
use crate::helper::RandomGenerator;
use crate::types::ConnectionId;
use crate::wire::{Reader, Version, Writer};

/// How long tokens hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLifetimes {
    /// A Retry token. Default 15 s.
    pub retry: Duration,
    /// A NEW_TOKEN token; also how often the key changes. Default 7 days.
    pub new_token: Duration,
}

impl Default for TokenLifetimes {
    fn default() -> Self {
        Self { retry: Duration::from_secs(15), new_token: Duration::from_hours(7 * 24) }
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It answers a Retry of ours, from the address the Retry was sent to.
    Retry {
        /// The destination of the client's first Initial.
        original_destination: ConnectionId,
        /// The source of our Retry.
        retry_source: ConnectionId,
    },
    /// It is from an earlier connection from this address, still good.
    NewToken,
    /// It was made for a Retry but does not hold, for this reason: INVALID_TOKEN (§8.1.3).
    BadRetry(&'static str),
    /// Absent, not ours, or a NEW_TOKEN token that no longer holds: as if there were none.
    Unknown,
}

/// Makes and opens tokens.
pub struct TokenSealer {
    lifetimes: TokenLifetimes,
    /// Where keys come from, if not from chance.
    secret: Option<ServerSecret>,
    current: SealKey,
    /// What opens besides: the key before, and those of the secret's neighbours.
    others: Vec<SealKey>,
}

struct SealKey {
    id: u8,
    key: LessSafeKey,
    /// Seconds since the Unix epoch; set when the key is first used. The number of its period, if
    /// it follows from a secret.
    born: Option<u64>,
}

impl std::fmt::Debug for TokenSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSealer").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

impl TokenSealer {
    /// A sealer with a random key.
    pub fn new(random: &mut dyn RandomGenerator, lifetimes: TokenLifetimes) -> Self {
        Self { lifetimes, secret: None, current: SealKey::generate(random, 0), others: Vec::new() }
    }

    /// A sealer whose keys follow from a secret and the time, so that tokens hold after a restart.
    pub fn from_secret(secret: ServerSecret, lifetimes: TokenLifetimes) -> Self {
        // It is replaced as soon as the time is known.
        let current = SealKey { born: None, ..SealKey::of_period(&secret, 0) };
        Self { lifetimes, secret: Some(secret), current, others: Vec::new() }
    }

    /// A token for a Retry to `peer`.
    pub fn seal_retry(
        &mut self,
        random: &mut dyn RandomGenerator,
        now: SystemTime,
        version: Version,
        peer: SocketAddr,
        original: &ConnectionId,
        retry_source: &ConnectionId,
    ) -> Vec<u8> {
        let mut body = [0; MAX_BODY];
        let mut writer = Writer::new(&mut body);
        writer.u8(KIND_RETRY);
        writer.bytes(&seconds(now).to_be_bytes());
        write_ip(&mut writer, peer.ip());
        writer.u16(peer.port());
        for id in [original, retry_source] {
            writer.u8(id.len() as u8);
            writer.bytes(id.as_bytes());
        }
        let len = writer.position();
        self.seal(random, now, version, &body[..len])
    }

    /// A token for a later connection from this address.
    pub fn seal_new_token(
        &mut self,
        random: &mut dyn RandomGenerator,
        now: SystemTime,
        version: Version,
        peer: IpAddr,
    ) -> Vec<u8> {
        let mut body = [0; MAX_BODY];
        let mut writer = Writer::new(&mut body);
        writer.u8(KIND_NEW_TOKEN);
        writer.bytes(&seconds(now).to_be_bytes());
        write_ip(&mut writer, peer);
        let len = writer.position();
        self.seal(random, now, version, &body[..len])
    }

    fn seal(
        &mut self,
        random: &mut dyn RandomGenerator,
        now: SystemTime,
        version: Version,
        body: &[u8],
    ) -> Vec<u8> {
        self.rotate(random, now);
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut token = Vec::with_capacity(1 + NONCE_LEN + body.len() + 16);
        token.push(self.current.id);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(body);
        let tag = self
            .current
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context(self.current.id, version)),
                &mut token[1 + NONCE_LEN..],
            )
            .expect("an AEAD seals a short text");
        token.extend_from_slice(tag.as_ref());
        token
    }

    /// A new key every lifetime of a NEW_TOKEN token, so that every token opens while it holds.
    fn rotate(&mut self, random: &mut dyn RandomGenerator, now: SystemTime) {
        if self.follow_secret(now) {
            return;
        }
        let now = seconds(now);
        let born = *self.current.born.get_or_insert(now);
        if now.saturating_sub(born) >= self.lifetimes.new_token.as_secs() {
            let mut next = SealKey::generate(random, self.current.id.wrapping_add(1));
            next.born = Some(now);
            self.others = vec![std::mem::replace(&mut self.current, next)];
        }
    }

    /// Takes the keys of this period from the secret, if there is one.
    fn follow_secret(&mut self, now: SystemTime) -> bool {
        let Some(secret) = &self.secret else { return false };
        let period = seconds(now) / self.lifetimes.new_token.as_secs().max(1);
        if self.current.born != Some(period) {
            self.current = SealKey::of_period(secret, period);
            // The period before, and the next: another server's clock may be ahead of ours.
            let periods = period.saturating_sub(1)..=period + 1;
            let of_secret =
                |secret| periods.clone().map(move |period| SealKey::of_period(&secret, period));
            self.others = secret.each().flat_map(of_secret).collect();
        }
        true
    }

    /// What a client's token is worth. Every token costs the same work.
    pub fn open(
        &mut self,
        now: SystemTime,
        version: Version,
        peer: SocketAddr,
        token: &[u8],
    ) -> TokenVerdict {
        // Tokens of before a restart have to open before one is made.
        self.follow_secret(now);
        let Some(body) = self.decrypt(version, token) else { return TokenVerdict::Unknown };
        Self::judge(self.lifetimes, now, peer, &mut Reader::new(&body))
            .unwrap_or(TokenVerdict::Unknown)
    }

    pub(super) fn decrypt(&self, version: Version, token: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if sealed.len() > MAX_BODY + 16 {
            return None;
        }
        let open = |key: &SealKey| {
            let mut body = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let context = Aad::from(context(*id, version));
            let len = key.key.open_in_place(nonce, context, &mut body).ok()?.len();
            body.truncate(len);
            Some(body)
        };
        let keys = std::iter::once(&self.current).chain(&self.others);
        keys.filter(|key| key.id == *id).find_map(open)
    }

    fn judge(
        lifetimes: TokenLifetimes,
        now: SystemTime,
        peer: SocketAddr,
        body: &mut Reader<'_>,
    ) -> Option<TokenVerdict> {
        let kind = body.u8()?;
        let made = u64::from_be_bytes(body.array()?);
        let ip = read_ip(body)?;
        // A token from the future is from before the clock was set back: as good as expired.
        let age = seconds(now).checked_sub(made);
        let fresh = |lifetime: Duration| age.is_some_and(|age| age < lifetime.as_secs().max(1));
        if kind == KIND_NEW_TOKEN {
            let good = ip == peer.ip() && fresh(lifetimes.new_token);
            return Some(if good { TokenVerdict::NewToken } else { TokenVerdict::Unknown });
        }
        let port = body.u16()?;
        let mut id = || {
            let len = body.u8()?;
            body.connection_id(len.into())
        };
        let (original_destination, retry_source) = (id()?, id()?);
        Some(if ip != peer.ip() || port != peer.port() {
            TokenVerdict::BadRetry("the Retry token was made for another address")
        } else if fresh(lifetimes.retry) {
            TokenVerdict::Retry { original_destination, retry_source }
        } else {
            TokenVerdict::BadRetry("the Retry token has expired")
        })
    }
}

impl SealKey {
    fn generate(random: &mut dyn RandomGenerator, id: u8) -> Self {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        Self { id, key: aead_key(&secret), born: None }
    }

    fn of_period(secret: &ServerSecret, period: u64) -> Self {
        let key = aead_key(&secret.key("address validation token", period));
        Self { id: period as u8, key, born: Some(period) }
    }
}

/// What a token is bound to besides its text. RFC 9369 §5: one that was given out under one version
/// is not accepted under another.
fn context(key: u8, version: Version) -> [u8; 5] {
    let [a, b, c, d] = version.0.to_be_bytes();
    [key, a, b, c, d]
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn write_ip(writer: &mut Writer<'_>, ip: IpAddr) {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    writer.bytes(&bytes);
}

fn read_ip(reader: &mut Reader<'_>) -> Option<IpAddr> {
    let ip = std::net::Ipv6Addr::from(reader.array::<16>()?);
    Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
}

const KIND_RETRY: u8 = 1;
const KIND_NEW_TOKEN: u8 = 2;
/// Kind, time, address, port and two connection IDs with their lengths.
const MAX_BODY: usize = 1 + 8 + 16 + 2 + 21 + 21;
