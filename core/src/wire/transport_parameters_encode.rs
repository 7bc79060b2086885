//! Writing transport parameters (RFC 9000 §18). As Chromium does, they go out in random order and
//! with a reserved parameter among them, so that no peer comes to depend on either.

use std::time::Duration;

use smallvec::SmallVec;

use super::transport_parameters::{PreferredAddress, TransportParameters, parameter_id as id};
use super::varint::{self, VARINT_MAX, varint_len};
use super::version_information::VersionInformation;
use crate::helper::RandomGenerator;
use crate::types::Role;

/// The longest value of the reserved parameter, in bytes.
const MAX_GREASE_LEN: u64 = 16;
/// As much as all parameters together take, mostly, in bytes.
const EXPECTED_LEN: usize = 256;

impl TransportParameters {
    /// Appends the parameters, as an end in the role of `sender` declares them, to `out`.
    ///
    /// Those at their default are left out. Those of servers only are never written for a client
    /// (RFC 9000 §18.2). Limits must be in their ranges, which are those that
    /// [`TransportParameters::decode`] accepts.
    pub fn encode(&self, sender: Role, random: &mut dyn RandomGenerator, out: &mut Vec<u8>) {
        let versions = self.version_information.as_ref().map(VersionInformation::encode);
        let preferred = self.preferred_address.as_deref().map(preferred_address);
        let mut grease = [0; MAX_GREASE_LEN as usize];
        let mut list = List::new();
        self.list_integers(&mut list);
        if self.disable_active_migration {
            list.add(id::DISABLE_ACTIVE_MIGRATION, &[]);
        }
        if self.reset_stream_at {
            list.add(id::RESET_STREAM_AT, &[]);
            list.add(id::RESET_STREAM_AT_DRAFT, &[]);
        }
        if let Some(min) = self.min_ack_delay {
            list.add_integer(id::MIN_ACK_DELAY, min.as_micros() as u64);
        }
        if let Some(cid) = &self.initial_source_connection_id {
            list.add(id::INITIAL_SOURCE_CONNECTION_ID, cid.as_bytes());
        }
        if let Some(versions) = &versions {
            list.add(id::VERSION_INFORMATION, versions);
        }
        if self.grease_quic_bit {
            list.add(id::GREASE_QUIC_BIT, &[]);
        }
        if sender.is_server() {
            self.list_server_only(&mut list);
            if let Some(preferred) = &preferred {
                list.add(id::PREFERRED_ADDRESS, preferred);
            }
        }
        list.add_reserved(random, &mut grease);
        list.write_shuffled(random, out);
    }

    fn list_integers(&self, list: &mut List<'_>) {
        let default = Self::default();
        for (id, value, default) in [
            (id::MAX_IDLE_TIMEOUT, millis(self.max_idle_timeout), millis(default.max_idle_timeout)),
            (id::MAX_UDP_PAYLOAD_SIZE, self.max_udp_payload_size, default.max_udp_payload_size),
            (id::INITIAL_MAX_DATA, self.initial_max_data, 0),
            (id::INITIAL_MAX_STREAM_DATA_BIDI_LOCAL, self.initial_max_stream_data_bidi_local, 0),
            (id::INITIAL_MAX_STREAM_DATA_BIDI_REMOTE, self.initial_max_stream_data_bidi_remote, 0),
            (id::INITIAL_MAX_STREAM_DATA_UNI, self.initial_max_stream_data_uni, 0),
            (id::INITIAL_MAX_STREAMS_BIDI, self.initial_max_streams_bidi, 0),
            (id::INITIAL_MAX_STREAMS_UNI, self.initial_max_streams_uni, 0),
            (
                id::ACK_DELAY_EXPONENT,
                u64::from(self.ack_delay_exponent),
                u64::from(default.ack_delay_exponent),
            ),
            (id::MAX_ACK_DELAY, millis(self.max_ack_delay), millis(default.max_ack_delay)),
            (
                id::ACTIVE_CONNECTION_ID_LIMIT,
                self.active_connection_id_limit,
                default.active_connection_id_limit,
            ),
            (id::MAX_DATAGRAM_FRAME_SIZE, self.max_datagram_frame_size, 0),
        ] {
            if value != default {
                list.add_integer(id, value);
            }
        }
    }

    fn list_server_only<'a>(&'a self, list: &mut List<'a>) {
        if let Some(cid) = &self.original_destination_connection_id {
            list.add(id::ORIGINAL_DESTINATION_CONNECTION_ID, cid.as_bytes());
        }
        if let Some(token) = &self.stateless_reset_token {
            list.add(id::STATELESS_RESET_TOKEN, &token.0);
        }
        if let Some(cid) = &self.retry_source_connection_id {
            list.add(id::RETRY_SOURCE_CONNECTION_ID, cid.as_bytes());
        }
    }
}

/// Parameters that wait for their order.
struct List<'a>(SmallVec<[(u64, Value<'a>); 20]>);

#[derive(Clone, Copy)]
enum Value<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
}

impl<'a> List<'a> {
    fn new() -> Self {
        Self(SmallVec::new())
    }

    fn add(&mut self, id: u64, value: &'a [u8]) {
        self.0.push((id, Value::Bytes(value)));
    }

    fn add_integer(&mut self, id: u64, value: u64) {
        self.0.push((id, Value::Integer(value)));
    }

    /// RFC 9000 §18.1: parameters of the form 31 * N + 27 exercise the rule that unknown ones are
    /// ignored. Their value is put in `value`.
    fn add_reserved(
        &mut self,
        random: &mut dyn RandomGenerator,
        value: &'a mut [u8; MAX_GREASE_LEN as usize],
    ) {
        let n = random.next_u64() % ((VARINT_MAX - 27) / 31 + 1);
        for word in value.chunks_mut(size_of::<u64>()) {
            // Words may be fetched in advance; bytes that must not be guessed are not.
            word.copy_from_slice(&random.next_u64().to_le_bytes()[..word.len()]);
        }
        let len = random.next_u64() % (MAX_GREASE_LEN + 1);
        self.add(31 * n + 27, &value[..len as usize]);
    }

    fn write_shuffled(mut self, random: &mut dyn RandomGenerator, out: &mut Vec<u8>) {
        for last in (1..self.0.len()).rev() {
            let chosen = random.next_u64() % (last as u64 + 1);
            self.0.swap(last, chosen as usize);
        }
        out.reserve(EXPECTED_LEN);
        for (id, value) in self.0 {
            push_varint(out, id);
            match value {
                Value::Integer(value) => {
                    push_varint(out, varint_len(value) as u64);
                    push_varint(out, value);
                }
                Value::Bytes(value) => {
                    push_varint(out, value.len() as u64);
                    out.extend_from_slice(value);
                }
            }
        }
    }
}

fn push_varint(bytes: &mut Vec<u8>, v: u64) {
    varint::encode(v, varint_len(v), |encoded| bytes.extend_from_slice(encoded));
}

/// The layout of RFC 9000 §18.2, Figure 22. A family that is not offered is all zero.
fn preferred_address(preferred: &PreferredAddress) -> SmallVec<[u8; 64]> {
    let mut value = SmallVec::new();
    let (ip, port) = preferred.ipv4.map_or(([0; 4], 0), |addr| (addr.ip().octets(), addr.port()));
    value.extend_from_slice(&ip);
    value.extend_from_slice(&port.to_be_bytes());
    let (ip, port) = preferred.ipv6.map_or(([0; 16], 0), |addr| (addr.ip().octets(), addr.port()));
    value.extend_from_slice(&ip);
    value.extend_from_slice(&port.to_be_bytes());
    value.push(preferred.connection_id.len() as u8);
    value.extend_from_slice(preferred.connection_id.as_bytes());
    value.extend_from_slice(&preferred.stateless_reset_token.0);
    value
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(VARINT_MAX, |millis| millis.min(VARINT_MAX))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

    use super::*;
    use crate::helper::SeededRandom;
    use crate::types::{ConnectionId, ResetToken};
    use crate::wire::{Reader, Version, VersionInformation};

    fn full() -> TransportParameters {
        let cid = |bytes: &[u8]| ConnectionId::new(bytes);
        TransportParameters {
            original_destination_connection_id: cid(b"original"),
            max_idle_timeout: Duration::from_secs(30),
            stateless_reset_token: Some(ResetToken([7; 16])),
            max_udp_payload_size: 1472,
            initial_max_data: 1 << 30,
            initial_max_stream_data_bidi_local: 1,
            initial_max_stream_data_bidi_remote: 1 << 20,
            initial_max_stream_data_uni: VARINT_MAX,
            initial_max_streams_bidi: 1 << 60,
            initial_max_streams_uni: 100,
            ack_delay_exponent: 20,
            max_ack_delay: Duration::from_millis((1 << 14) - 1),
            disable_active_migration: true,
            preferred_address: Some(Box::new(PreferredAddress {
                ipv4: Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 443)),
                ipv6: Some(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 4433, 0, 0)),
                connection_id: ConnectionId::new(b"preferred").unwrap(),
                stateless_reset_token: ResetToken([8; 16]),
            })),
            active_connection_id_limit: 8,
            initial_source_connection_id: cid(b"source"),
            retry_source_connection_id: cid(b""),
            max_datagram_frame_size: 65_535,
            reset_stream_at: true,
            version_information: Some(VersionInformation {
                chosen: Version::V2,
                available: vec![Version::V1, Version::V2],
            }),
            grease_quic_bit: true,
            min_ack_delay: Some(Duration::from_micros(999)),
        }
    }

    fn encoded(parameters: &TransportParameters, sender: Role, seed: u64) -> Vec<u8> {
        let mut out = Vec::new();
        parameters.encode(sender, &mut SeededRandom::new(seed), &mut out);
        out
    }

    fn ids(bytes: &[u8]) -> Vec<u64> {
        let mut reader = Reader::new(bytes);
        let mut ids = Vec::new();
        while let Some(id) = reader.varint() {
            reader.varint_bytes().expect("well formed");
            ids.push(id);
        }
        ids
    }

    #[test]
    fn every_parameter_of_a_server_round_trips() {
        for seed in 0..100 {
            let bytes = encoded(&full(), Role::Server, seed);
            let decoded = TransportParameters::decode(&bytes, Role::Server);
            assert_eq!(decoded.as_ref(), Ok(&full()), "seed {seed}");
        }
    }

    #[test]
    fn one_family_of_a_preferred_address_round_trips() {
        let mut parameters = full();
        for keep_ipv4 in [true, false] {
            let full = full().preferred_address.expect("it is set");
            parameters.preferred_address = Some(Box::new(PreferredAddress {
                ipv4: full.ipv4.filter(|_| keep_ipv4),
                ipv6: full.ipv6.filter(|_| !keep_ipv4),
                ..*full
            }));
            let bytes = encoded(&parameters, Role::Server, 1);
            let decoded = TransportParameters::decode(&bytes, Role::Server);
            assert_eq!(decoded.as_ref(), Ok(&parameters));
        }
    }

    #[test]
    fn a_client_never_sends_what_only_servers_may() {
        let bytes = encoded(&full(), Role::Client, 5);
        let decoded = TransportParameters::decode(&bytes, Role::Client).expect("acceptable");
        assert_eq!(decoded.original_destination_connection_id, None);
        assert_eq!(decoded.preferred_address, None);
        assert_eq!(decoded.initial_max_data, 1 << 30);
    }

    #[test]
    fn order_changes_and_one_reserved_parameter_is_among_them() {
        let one = ids(&encoded(&full(), Role::Server, 1));
        let other = ids(&encoded(&full(), Role::Server, 2));
        assert_ne!(one, other);
        for ids in [one, other] {
            let reserved = ids.iter().filter(|id| **id % 31 == 27 && **id > 0x20);
            assert_eq!((reserved.count(), ids.len()), (1, 24));
        }
        let of_defaults = encoded(&TransportParameters::default(), Role::Client, 9);
        assert_eq!(ids(&of_defaults).len(), 1, "defaults are left out");
    }
}
