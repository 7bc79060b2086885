//! [`TransportParameters`]: what each end declares in the handshake (RFC 9000 §7.4, §18; RFC 9221
//! §3), as typed values. Reading and writing them are in the neighbouring files. Whether the
//! connection IDs among them match the packets (§7.3) is for the connection to check.

use std::net::{SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use super::version_information::VersionInformation;
use crate::error::TransportError;
use crate::types::{ConnectionId, ResetToken};

/// The numbers of the parameters (RFC 9000 §18.2, RFC 9221 §3).
pub mod parameter_id {
    /// original_destination_connection_id.
    pub const ORIGINAL_DESTINATION_CONNECTION_ID: u64 = 0x00;
    /// max_idle_timeout.
    pub const MAX_IDLE_TIMEOUT: u64 = 0x01;
    /// stateless_reset_token.
    pub const STATELESS_RESET_TOKEN: u64 = 0x02;
    /// max_udp_payload_size.
    pub const MAX_UDP_PAYLOAD_SIZE: u64 = 0x03;
    /// initial_max_data.
    pub const INITIAL_MAX_DATA: u64 = 0x04;
    /// initial_max_stream_data_bidi_local.
    pub const INITIAL_MAX_STREAM_DATA_BIDI_LOCAL: u64 = 0x05;
    /// initial_max_stream_data_bidi_remote.
    pub const INITIAL_MAX_STREAM_DATA_BIDI_REMOTE: u64 = 0x06;
    /// initial_max_stream_data_uni.
    pub const INITIAL_MAX_STREAM_DATA_UNI: u64 = 0x07;
    /// initial_max_streams_bidi.
    pub const INITIAL_MAX_STREAMS_BIDI: u64 = 0x08;
    /// initial_max_streams_uni.
    pub const INITIAL_MAX_STREAMS_UNI: u64 = 0x09;
    /// ack_delay_exponent.
    pub const ACK_DELAY_EXPONENT: u64 = 0x0a;
    /// max_ack_delay.
    pub const MAX_ACK_DELAY: u64 = 0x0b;
    /// disable_active_migration.
    pub const DISABLE_ACTIVE_MIGRATION: u64 = 0x0c;
    /// preferred_address.
    pub const PREFERRED_ADDRESS: u64 = 0x0d;
    /// active_connection_id_limit.
    pub const ACTIVE_CONNECTION_ID_LIMIT: u64 = 0x0e;
    /// initial_source_connection_id.
    pub const INITIAL_SOURCE_CONNECTION_ID: u64 = 0x0f;
    /// retry_source_connection_id.
    pub const RETRY_SOURCE_CONNECTION_ID: u64 = 0x10;
    /// version_information (RFC 9368 §3).
    pub const VERSION_INFORMATION: u64 = 0x11;
    /// grease_quic_bit (RFC 9287 §3).
    pub const GREASE_QUIC_BIT: u64 = 0x2ab2;
    /// max_datagram_frame_size.
    pub const MAX_DATAGRAM_FRAME_SIZE: u64 = 0x20;
    /// reset_stream_at (draft-ietf-quic-reliable-stream-reset §3).
    pub const RESET_STREAM_AT: u64 = 0x1d;
    /// The number that reset_stream_at had in drafts, by which deployed peers know it.
    pub const RESET_STREAM_AT_DRAFT: u64 = 0x17_f758_6d2c_b571;
    /// min_ack_delay (draft-ietf-quic-ack-frequency §3).
    pub const MIN_ACK_DELAY: u64 = 0xff04_de1b;
}

/// The transport parameters of one end. A parameter that is absent has its default here, which is
/// what absence means (RFC 9000 §18.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportParameters {
    /// The destination of the client's first Initial. Server only.
    pub original_destination_connection_id: Option<ConnectionId>,
    /// How long the connection may be idle, in whole milliseconds; zero for ever.
    pub max_idle_timeout: Duration,
    /// The reset token of the connection ID used in the handshake. Server only.
    pub stateless_reset_token: Option<ResetToken>,
    /// The largest UDP payload this end takes, in bytes: 1200 or more, default 65527.
    pub max_udp_payload_size: u64,
    /// The first MAX_DATA, in bytes.
    pub initial_max_data: u64,
    /// The first MAX_STREAM_DATA of bidirectional streams that this end opens.
    pub initial_max_stream_data_bidi_local: u64,
    /// The first MAX_STREAM_DATA of bidirectional streams that the other end opens.
    pub initial_max_stream_data_bidi_remote: u64,
    /// The first MAX_STREAM_DATA of unidirectional streams (that the other end opens).
    pub initial_max_stream_data_uni: u64,
    /// The first MAX_STREAMS of bidirectional streams, at most 2^60.
    pub initial_max_streams_bidi: u64,
    /// The first MAX_STREAMS of unidirectional streams, at most 2^60.
    pub initial_max_streams_uni: u64,
    /// The ACK Delay field of this end's ACK frames is in units of 2 to the power of this
    /// microseconds: 0 to 20, default 3.
    pub ack_delay_exponent: u8,
    /// How long this end delays acknowledgments at most, in whole milliseconds: below 2^14 ms,
    /// default 25 ms.
    pub max_ack_delay: Duration,
    /// Whether the other end must not migrate while it uses the address of the handshake.
    pub disable_active_migration: bool,
    /// Where the server would rather be reached. Server only.
    pub preferred_address: Option<Box<PreferredAddress>>,
    /// How many connection IDs from the other end this one stores: 2 or more, default 2.
    pub active_connection_id_limit: u64,
    /// The source of this end's first Initial. Both ends have to send it (RFC 9000 §7.3).
    pub initial_source_connection_id: Option<ConnectionId>,
    /// The source of the Retry packet, if there was one. Server only.
    pub retry_source_connection_id: Option<ConnectionId>,
    /// The largest DATAGRAM frame this end takes, in bytes, its type and length included; 0 for
    /// none at all (RFC 9221 §3).
    pub max_datagram_frame_size: u64,
    /// Whether this end takes RESET_STREAM_AT frames (draft-ietf-quic-reliable-stream-reset §3).
    pub reset_stream_at: bool,
    /// The versions this end has chosen and could do (RFC 9368 §3).
    pub version_information: Option<VersionInformation>,
    /// Whether this end takes packets whose fixed bit is zero (RFC 9287 §3).
    pub grease_quic_bit: bool,
    /// How long this end delays acknowledgments at least, in whole microseconds, if it takes
    /// requests about them (draft-ietf-quic-ack-frequency §3). At most `max_ack_delay`.
    pub min_ack_delay: Option<Duration>,
}

impl Default for TransportParameters {
    /// The defaults of RFC 9000 §18.2: what holds when nothing is declared.
    fn default() -> Self {
        Self {
            original_destination_connection_id: None,
            max_idle_timeout: Duration::ZERO,
            stateless_reset_token: None,
            max_udp_payload_size: 65_527,
            initial_max_data: 0,
            initial_max_stream_data_bidi_local: 0,
            initial_max_stream_data_bidi_remote: 0,
            initial_max_stream_data_uni: 0,
            initial_max_streams_bidi: 0,
            initial_max_streams_uni: 0,
            ack_delay_exponent: 3,
            max_ack_delay: Duration::from_millis(25),
            disable_active_migration: false,
            preferred_address: None,
            active_connection_id_limit: 2,
            initial_source_connection_id: None,
            retry_source_connection_id: None,
            max_datagram_frame_size: 0,
            reset_stream_at: false,
            version_information: None,
            grease_quic_bit: false,
            min_ack_delay: None,
        }
    }
}

impl TransportParameters {
    /// What a client remembers of a server's parameters for the 0-RTT packets of a later
    /// connection. RFC 9000 §7.4.1 lists those that MUST NOT be used again; they are at their
    /// defaults in the result.
    #[must_use]
    pub fn remembered_for_zero_rtt(&self) -> Self {
        let defaults = Self::default();
        Self {
            ack_delay_exponent: defaults.ack_delay_exponent,
            max_ack_delay: defaults.max_ack_delay,
            min_ack_delay: None,
            initial_source_connection_id: None,
            original_destination_connection_id: None,
            preferred_address: None,
            retry_source_connection_id: None,
            stateless_reset_token: None,
            version_information: None,
            // RFC 9287 §3.1: a client must not remember it: its first packets would need a token of
            // the server's too.
            grease_quic_bit: false,
            ..self.clone()
        }
    }

    /// Checks a server's new parameters after it accepted 0-RTT data that was sent under
    /// `remembered`: it must not have reduced a limit (RFC 9000 §7.4.1, RFC 9221 §3), or it is a
    /// PROTOCOL_VIOLATION.
    pub fn check_zero_rtt_limits(&self, remembered: &Self) -> Result<(), TransportError> {
        let new = self.zero_rtt_limits();
        let old = remembered.zero_rtt_limits();
        for ((name, new), (_, old)) in new.into_iter().zip(old) {
            if new < old {
                return Err(TransportError::protocol_violation(format!(
                    "0-RTT was accepted, but {name} went from {old} down to {new}"
                )));
            }
        }
        Ok(())
    }

    /// What a server that takes 0-RTT does not take back, by name.
    pub(crate) fn zero_rtt_limits(&self) -> [(&'static str, u64); ZERO_RTT_LIMITS] {
        [
            ("active_connection_id_limit", self.active_connection_id_limit),
            ("initial_max_data", self.initial_max_data),
            ("initial_max_stream_data_bidi_local", self.initial_max_stream_data_bidi_local),
            ("initial_max_stream_data_bidi_remote", self.initial_max_stream_data_bidi_remote),
            ("initial_max_stream_data_uni", self.initial_max_stream_data_uni),
            ("initial_max_streams_bidi", self.initial_max_streams_bidi),
            ("initial_max_streams_uni", self.initial_max_streams_uni),
            ("max_datagram_frame_size", self.max_datagram_frame_size),
            // draft-ietf-quic-reliable-stream-reset §3
            ("reset_stream_at", self.reset_stream_at.into()),
        ]
    }
}

/// How many limits bind a server that takes 0-RTT.
pub(crate) const ZERO_RTT_LIMITS: usize = 9;

/// Where a server would rather be reached after the handshake (RFC 9000 §9.6, §18.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreferredAddress {
    /// Its IPv4 address, if it offers one.
    pub ipv4: Option<SocketAddrV4>,
    /// Its IPv6 address, if it offers one.
    pub ipv6: Option<SocketAddrV6>,
    /// The connection ID to use there, of 1 to 20 bytes; its sequence number is 1.
    pub connection_id: ConnectionId,
    /// The reset token that belongs to it.
    pub stateless_reset_token: ResetToken,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TransportErrorCode;

    fn remembered() -> TransportParameters {
        TransportParameters {
            initial_max_data: 1000,
            initial_max_streams_bidi: 10,
            ack_delay_exponent: 7,
            max_ack_delay: Duration::from_millis(3),
            initial_source_connection_id: ConnectionId::new(b"an ID"),
            original_destination_connection_id: ConnectionId::new(b"an ID"),
            retry_source_connection_id: ConnectionId::new(b"an ID"),
            reset_stream_at: true,
            min_ack_delay: Some(Duration::from_millis(1)),
            stateless_reset_token: Some(ResetToken([1; 16])),
            grease_quic_bit: true,
            ..TransportParameters::default()
        }
        .remembered_for_zero_rtt()
    }

    #[test]
    fn limits_are_remembered_and_identities_are_not() {
        // RFC 9000 §7.4.1
        let remembered = remembered();
        // RFC 9287 §3.1, draft-ietf-quic-ack-frequency §3
        let kept = TransportParameters {
            initial_max_data: 1000,
            initial_max_streams_bidi: 10,
            reset_stream_at: true,
            ..TransportParameters::default()
        };
        assert_eq!(remembered, kept);
    }

    #[test]
    fn a_server_that_accepts_early_data_must_not_reduce_limits() {
        // RFC 9000 §7.4.1
        let old = remembered();
        let mut new = old.clone();
        new.initial_max_data += 1;
        assert_eq!(new.check_zero_rtt_limits(&old), Ok(()));
        new.reset_stream_at = false;
        assert!(new.check_zero_rtt_limits(&old).is_err());
        new.reset_stream_at = true;
        new.initial_max_streams_bidi -= 1;
        let error = new.check_zero_rtt_limits(&old).expect_err("reduced");
        assert_eq!(error.code(), TransportErrorCode::PROTOCOL_VIOLATION);
        assert!(error.reason().contains("initial_max_streams_bidi"));
    }
}
