//! Reading transport parameters (RFC 9000 §7.4, §18): every rule that can be checked without the
//! connection, each a TRANSPORT_PARAMETER_ERROR. The bytes come from TLS, which has bounded them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::ops::RangeInclusive;
use std::time::Duration;

use smallvec::SmallVec;

use super::cursor::Reader;
use super::frame::MAX_STREAMS_LIMIT;
use super::transport_parameters::{PreferredAddress, TransportParameters, parameter_id as id};
use super::varint::VARINT_MAX;
use super::version_information::VersionInformation;
use crate::error::TransportError;
use crate::types::{ConnectionId, ResetToken, Role};

/// How many parameters with numbers of 64 and more, all unknown to us, are tolerated. Peers send
/// about five.
const MAX_UNKNOWN_PARAMETERS: usize = 256;

/// Any 62-bit integer.
const ANY: RangeInclusive<u64> = 0..=VARINT_MAX;

impl TransportParameters {
    /// Reads what an end in the role of `sender` has declared. Unknown parameters are ignored
    /// (RFC 9000 §7.4.2). Every error is a TRANSPORT_PARAMETER_ERROR.
    pub fn decode(bytes: &[u8], sender: Role) -> Result<Self, TransportError> {
        let mut parameters = Self::default();
        let mut seen = Seen::default();
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (id, value) = reader
                .varint()
                .and_then(|id| Some((id, reader.varint_bytes()?)))
                .ok_or_else(|| error("the list of parameters is cut off"))?;
            seen.record(id)?;
            // RFC 9000 §18.2: "A client MUST NOT include any server-only transport parameter [...]
            // A server MUST treat receipt of any of these transport parameters as a connection
            // error of type TRANSPORT_PARAMETER_ERROR."
            if sender.is_client() && is_server_only(id) {
                return Err(error(format!("a client sent parameter {id:#x}")));
            }
            parameters.set(id, value, sender)?;
        }
        seen.finish()?;
        parameters.check_preferred_address()?;
        parameters.check_min_ack_delay()?;
        Ok(parameters)
    }

    fn set(&mut self, id: u64, value: &[u8], sender: Role) -> Result<(), TransportError> {
        let integer = |allowed| integer(id, value, allowed);
        match id {
            id::ORIGINAL_DESTINATION_CONNECTION_ID => {
                self.original_destination_connection_id = Some(connection_id(id, value)?);
            }
            id::MAX_IDLE_TIMEOUT => self.max_idle_timeout = Duration::from_millis(integer(ANY)?),
            id::STATELESS_RESET_TOKEN => self.stateless_reset_token = Some(token(value)?),
            // "Values below 1200 are invalid."
            id::MAX_UDP_PAYLOAD_SIZE => self.max_udp_payload_size = integer(1200..=VARINT_MAX)?,
            id::INITIAL_MAX_DATA => self.initial_max_data = integer(ANY)?,
            id::INITIAL_MAX_STREAM_DATA_BIDI_LOCAL => {
                self.initial_max_stream_data_bidi_local = integer(ANY)?;
            }
            id::INITIAL_MAX_STREAM_DATA_BIDI_REMOTE => {
                self.initial_max_stream_data_bidi_remote = integer(ANY)?;
            }
            id::INITIAL_MAX_STREAM_DATA_UNI => self.initial_max_stream_data_uni = integer(ANY)?,
            // RFC 9000 §4.6: a value above 2^60 closes the connection.
            id::INITIAL_MAX_STREAMS_BIDI => {
                self.initial_max_streams_bidi = integer(0..=MAX_STREAMS_LIMIT)?;
            }
            id::INITIAL_MAX_STREAMS_UNI => {
                self.initial_max_streams_uni = integer(0..=MAX_STREAMS_LIMIT)?;
            }
            // "Values above 20 are invalid."
            id::ACK_DELAY_EXPONENT => self.ack_delay_exponent = integer(0..=20)? as u8,
            // "Values of 2^14 or greater are invalid."
            id::MAX_ACK_DELAY => {
                self.max_ack_delay = Duration::from_millis(integer(0..=(1 << 14) - 1)?);
            }
            id::DISABLE_ACTIVE_MIGRATION => self.disable_active_migration = flag(id, value)?,
            id::PREFERRED_ADDRESS => {
                self.preferred_address = Some(Box::new(preferred_address(value)?));
            }
            // "The value of the active_connection_id_limit parameter MUST be at least 2."
            id::ACTIVE_CONNECTION_ID_LIMIT => {
                self.active_connection_id_limit = integer(2..=VARINT_MAX)?;
            }
            id::INITIAL_SOURCE_CONNECTION_ID => {
                self.initial_source_connection_id = Some(connection_id(id, value)?);
            }
            id::RETRY_SOURCE_CONNECTION_ID => {
                self.retry_source_connection_id = Some(connection_id(id, value)?);
            }
            id::VERSION_INFORMATION => {
                self.version_information = Some(VersionInformation::decode(value, sender)?);
            }
            // RFC 9287 §3: a value is a TRANSPORT_PARAMETER_ERROR.
            id::GREASE_QUIC_BIT => self.grease_quic_bit = flag(id, value)?,
            id::MAX_DATAGRAM_FRAME_SIZE => self.max_datagram_frame_size = integer(ANY)?,
            id::RESET_STREAM_AT | id::RESET_STREAM_AT_DRAFT if value.is_empty() => {
                self.reset_stream_at = true;
            }
            // draft-ietf-quic-reliable-stream-reset §3
            id::RESET_STREAM_AT | id::RESET_STREAM_AT_DRAFT => {
                return Err(error("reset_stream_at has a value"));
            }
            id::MIN_ACK_DELAY => self.min_ack_delay = Some(Duration::from_micros(integer(ANY)?)),
            _ => {}
        }
        Ok(())
    }

    /// RFC 9000 §18.2: a server that chose a zero-length connection ID MUST NOT provide a preferred
    /// address.
    fn check_preferred_address(&self) -> Result<(), TransportError> {
        let source = self.initial_source_connection_id;
        if self.preferred_address.is_some() && source.is_some_and(|id| id.is_empty()) {
            return Err(error("a preferred address from a server without a connection ID"));
        }
        Ok(())
    }

    /// draft-ietf-quic-ack-frequency §3: "Endpoints that support this extension MUST treat receipt of
    /// a min_ack_delay that is greater than the max_ack_delay as a connection error of type
    /// TRANSPORT_PARAMETER_ERROR."
    fn check_min_ack_delay(&self) -> Result<(), TransportError> {
        if self.min_ack_delay.is_some_and(|min| min > self.max_ack_delay) {
            return Err(error("min_ack_delay is greater than max_ack_delay"));
        }
        Ok(())
    }
}

/// Which parameters have been there. RFC 9000 §7.4: duplicates are an error, whether we know the
/// parameter or not. Small numbers are bits; the others are compared once, sorted.
#[derive(Default)]
struct Seen {
    small: u64,
    large: SmallVec<[u64; 16]>,
}

impl Seen {
    fn record(&mut self, id: u64) -> Result<(), TransportError> {
        if id >= 64 {
            if self.large.len() == MAX_UNKNOWN_PARAMETERS {
                return Err(error(format!(
                    "more than {MAX_UNKNOWN_PARAMETERS} unknown parameters"
                )));
            }
            self.large.push(id);
            return Ok(());
        }
        if self.small & 1 << id != 0 {
            return Err(duplicate(id));
        }
        self.small |= 1 << id;
        Ok(())
    }

    fn finish(mut self) -> Result<(), TransportError> {
        self.large.sort_unstable();
        let repeated = self.large.windows(2).find(|pair| pair[0] == pair[1]);
        repeated.map_or(Ok(()), |pair| Err(duplicate(pair[0])))
    }
}

fn is_server_only(id: u64) -> bool {
    matches!(
        id,
        id::ORIGINAL_DESTINATION_CONNECTION_ID
            | id::STATELESS_RESET_TOKEN
            | id::PREFERRED_ADDRESS
            | id::RETRY_SOURCE_CONNECTION_ID
    )
}

/// A varint that is the whole value and within `allowed`.
fn integer(id: u64, value: &[u8], allowed: RangeInclusive<u64>) -> Result<u64, TransportError> {
    let mut reader = Reader::new(value);
    let integer = reader
        .varint()
        .filter(|_| reader.is_empty())
        .ok_or_else(|| error(format!("parameter {id:#x} is not one integer")))?;
    if !allowed.contains(&integer) {
        return Err(error(format!(
            "parameter {id:#x} is {integer}, outside {} to {}",
            allowed.start(),
            allowed.end()
        )));
    }
    Ok(integer)
}

/// A parameter that says all by being there.
fn flag(id: u64, value: &[u8]) -> Result<bool, TransportError> {
    if !value.is_empty() {
        return Err(error(format!("parameter {id:#x} has a value")));
    }
    Ok(true)
}

fn connection_id(id: u64, value: &[u8]) -> Result<ConnectionId, TransportError> {
    ConnectionId::new(value).ok_or_else(|| {
        let len = value.len();
        error(format!("parameter {id:#x} is a connection ID of {len} bytes"))
    })
}

fn token(value: &[u8]) -> Result<ResetToken, TransportError> {
    value.try_into().map(ResetToken).map_err(|_| {
        let len = value.len();
        error(format!("a stateless reset token of {len} bytes"))
    })
}

/// The layout of RFC 9000 §18.2, Figure 22.
fn preferred_address(value: &[u8]) -> Result<PreferredAddress, TransportError> {
    let mut reader = Reader::new(value);
    let parsed =
        parse_preferred_address(&mut reader).filter(|_| reader.is_empty()).ok_or_else(|| {
            let len = value.len();
            error(format!("a malformed preferred_address of {len} bytes"))
        })?;
    // RFC 9000 §18.2: "a server MUST NOT include a zero-length connection ID in this transport
    // parameter. A client MUST treat a violation of these requirements as a connection error".
    if parsed.connection_id.is_empty() {
        return Err(error("preferred_address has an empty connection ID"));
    }
    Ok(parsed)
}

fn parse_preferred_address(reader: &mut Reader<'_>) -> Option<PreferredAddress> {
    let ipv4 = SocketAddrV4::new(Ipv4Addr::from(reader.array::<4>()?), reader.u16()?);
    let ipv6 = SocketAddrV6::new(Ipv6Addr::from(reader.array::<16>()?), reader.u16()?, 0, 0);
    let len = usize::from(reader.u8()?);
    // An address family that is all zero is not offered.
    Some(PreferredAddress {
        ipv4: (!ipv4.ip().is_unspecified() || ipv4.port() != 0).then_some(ipv4),
        ipv6: (!ipv6.ip().is_unspecified() || ipv6.port() != 0).then_some(ipv6),
        connection_id: reader.connection_id(len)?,
        stateless_reset_token: ResetToken(reader.array()?),
    })
}

fn duplicate(id: u64) -> TransportError {
    error(format!("parameter {id:#x} is there twice"))
}

fn error(reason: impl Into<std::borrow::Cow<'static, str>>) -> TransportError {
    TransportError::transport_parameter(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TransportErrorCode;

    /// One parameter.
    fn tlv(id: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![id, value.len() as u8];
        bytes.extend_from_slice(value);
        bytes
    }

    fn server(bytes: &[u8]) -> Result<TransportParameters, TransportError> {
        TransportParameters::decode(bytes, Role::Server)
    }

    #[track_caller]
    fn refused(bytes: &[u8], sender: Role) {
        let error = TransportParameters::decode(bytes, sender).expect_err("it breaks a rule");
        assert_eq!(error.code(), TransportErrorCode::TRANSPORT_PARAMETER_ERROR);
    }

    fn preferred(cid: &[u8]) -> Vec<u8> {
        let mut value = vec![1; 4 + 2 + 16 + 2];
        value.push(cid.len() as u8);
        value.extend_from_slice(cid);
        value.extend_from_slice(&[9; 16]);
        value
    }

    #[test]
    fn nothing_declared_means_the_defaults() {
        assert_eq!(server(&[]), Ok(TransportParameters::default()));
    }

    #[test]
    fn integers_outside_their_range_are_refused() {
        // RFC 9000 §18.2, §4.6
        let above_streams = &[0xd0, 0, 0, 0, 0, 0, 0, 1];
        let cases: [(u8, &[u8], &[u8]); 6] = [
            (0x03, &[0x44, 0xb0], &[0x44, 0xaf]),
            (0x08, &[0xd0, 0, 0, 0, 0, 0, 0, 0], above_streams),
            (0x09, &[0xd0, 0, 0, 0, 0, 0, 0, 0], above_streams),
            (0x0a, &[20], &[21]),
            (0x0b, &[0x7f, 0xff], &[0x80, 0, 0x40, 0]),
            (0x0e, &[2], &[1]),
        ];
        for (id, allowed, forbidden) in cases {
            assert!(server(&tlv(id, allowed)).is_ok(), "parameter {id:#x}");
            refused(&tlv(id, forbidden), Role::Server);
        }
    }

    #[test]
    fn an_integer_has_to_fill_its_value() {
        for id in [0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0e, 0x20] {
            refused(&tlv(id, &[]), Role::Server);
            refused(&tlv(id, &[0x45]), Role::Server);
            refused(&tlv(id, &[0x45, 0x00, 0x00]), Role::Server);
        }
    }

    #[test]
    fn duplicates_are_refused_whether_known_or_not() {
        // RFC 9000 §7.4
        for id in [0x04, 0x0c, 0x21, 0x3f] {
            let one = tlv(id, if id == 0x04 { &[1] } else { &[] });
            assert!(server(&one).is_ok());
            refused(&[&one[..], &one].concat(), Role::Server);
        }
        let (one, other) = ([0x7f, 0x01, 0], [0x7f, 0x02, 0]);
        assert!(server(&[one, other].concat()).is_ok());
        refused(&[one, other, one].concat(), Role::Server);
    }

    #[test]
    fn the_number_of_unknown_parameters_is_bounded() {
        let list = |n: u16| -> Vec<u8> {
            (0..n).flat_map(|i| [(0x50 | (i >> 8)) as u8, i as u8, 0]).collect()
        };
        assert!(server(&list(MAX_UNKNOWN_PARAMETERS as u16)).is_ok());
        refused(&list(MAX_UNKNOWN_PARAMETERS as u16 + 1), Role::Server);
    }

    #[test]
    fn server_only_parameters_are_refused_from_a_client() {
        // RFC 9000 §18.2
        for (id, value) in
            [(0x00, vec![1; 8]), (0x02, vec![1; 16]), (0x0d, preferred(b"cid")), (0x10, vec![1; 8])]
        {
            assert!(server(&tlv(id, &value)).is_ok());
            refused(&tlv(id, &value), Role::Client);
        }
    }

    #[test]
    fn values_of_the_wrong_length_are_refused() {
        refused(&tlv(0x00, &[1; 21]), Role::Server);
        refused(&tlv(0x0f, &[1; 21]), Role::Server);
        refused(&tlv(0x10, &[1; 21]), Role::Server);
        refused(&tlv(0x02, &[1; 15]), Role::Server);
        refused(&tlv(0x02, &[1; 17]), Role::Server);
        refused(&tlv(0x0c, &[0]), Role::Server);
        let mut long = preferred(b"cid");
        long.push(0);
        refused(&tlv(0x0d, &long), Role::Server);
    }

    #[test]
    fn grease_quic_bit_has_no_value() {
        // RFC 9287 §3
        assert!(server(&[0x6a, 0xb2, 0]).is_ok_and(|parameters| parameters.grease_quic_bit));
        refused(&[0x6a, 0xb2, 1, 0], Role::Server);
    }

    #[test]
    fn a_preferred_address_needs_a_connection_id() {
        // RFC 9000 §18.2
        refused(&tlv(0x0d, &preferred(b"")), Role::Server);
        refused(&tlv(0x0d, &preferred(&[1; 21])), Role::Server);
        let without_id = [tlv(0x0d, &preferred(b"cid")), tlv(0x0f, b"")].concat();
        refused(&without_id, Role::Server);
    }

    #[test]
    fn a_list_cut_off_anywhere_is_refused() {
        let bytes = tlv(0x0d, &preferred(b"cid"));
        for len in 1..bytes.len() {
            refused(&bytes[..len], Role::Server);
        }
    }

    #[test]
    fn reset_stream_at_is_empty_and_known_by_both_its_numbers() {
        // draft-ietf-quic-reliable-stream-reset §3
        let long = [&(0x17_f758_6d2c_b571_u64 | 0xc0 << 56).to_be_bytes()[..], &[0]].concat();
        for bytes in [long, tlv(0x1d, &[])] {
            assert!(server(&bytes).is_ok_and(|parameters| parameters.reset_stream_at));
            let mut with_value = bytes.clone();
            *with_value.last_mut().unwrap() = 1;
            with_value.push(0);
            refused(&with_value, Role::Client);
        }
    }

    #[test]
    fn min_ack_delay_is_at_most_max_ack_delay() {
        // draft-ietf-quic-ack-frequency §3; the one is in microseconds, the other in milliseconds
        let min = |micros: u32| {
            [&[0xc0, 0, 0, 0, 0xff, 0x04, 0xde, 0x1b, 4][..], &(micros | 1 << 31).to_be_bytes()]
                .concat()
        };
        assert!(server(&min(25_000)).is_ok());
        refused(&min(25_001), Role::Server);
        assert!(server(&[min(30_000), tlv(0x0b, &[30])].concat()).is_ok());
        refused(&[tlv(0x0b, &[10]), min(10_001)].concat(), Role::Client);
    }

    #[test]
    fn unknown_parameters_are_ignored() {
        // RFC 9000 §7.4.2
        assert_eq!(server(&tlv(0x1b, b"grease")), Ok(TransportParameters::default()));
    }
}
