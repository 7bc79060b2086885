//! A connection's state as qlog spells it: how it begins and ends, its path, its recovery, and why
//! it sends nothing.

use std::net::SocketAddr;
use std::time::Duration;

use protoquic_core::connection::{ConnectionStart, Metrics, Origin, SendStatus, Stage};
use protoquic_core::recovery::EcnState;
use protoquic_core::wire::Version;
use protoquic_core::{CloseReason, PathAddress, Role, TransportError};
use qlog::events::quic::{
    self, BlockedReason, BlockedState, CongestionStateUpdated, ConnectionClosed,
    ConnectionClosedTrigger, ConnectionDataBlockedUpdated, ConnectionStarted, ConnectionState,
    ConnectionStateUpdated, EcnStateUpdated, KeyType, KeyUpdated, MigrationState,
    MigrationStateUpdated, MtuUpdated, QuicVersionInformation, RecoveryMetricsUpdated,
    SpinBitUpdated, StreamDataBlockedUpdated, TransportInitiator,
};
use qlog::events::{
    ApplicationError, ConnectionClosedEventError, CryptoError, EventData, ExData, TupleEndpointInfo,
};

use crate::parameters::initiator;

pub(crate) fn connection_started(start: &ConnectionStart) -> EventData {
    EventData::QuicConnectionStarted(ConnectionStarted {
        local: endpoint(start.path.local, Some(start.local_id.to_string())),
        remote: endpoint(start.path.peer, None),
    })
}

pub(crate) fn version(role: Role, version: Version) -> EventData {
    let chosen = format!("{:08x}", version.0);
    let ours = Some(vec![chosen.clone()]);
    let (client_versions, server_versions) = match role {
        Role::Client => (ours, None),
        Role::Server => (None, ours),
    };
    let chosen_version = Some(chosen);
    EventData::QuicVersionInformation(QuicVersionInformation {
        server_versions,
        client_versions,
        chosen_version,
    })
}

pub(crate) fn spin(state: bool) -> EventData {
    EventData::QuicSpinBitUpdated(SpinBitUpdated { state })
}

pub(crate) fn stage(old: Option<Stage>, new: Stage) -> EventData {
    let name = |stage: Stage| match stage {
        Stage::Handshake => ConnectionState::HandshakeStarted,
        Stage::Established => ConnectionState::HandshakeCompleted,
        Stage::Confirmed => ConnectionState::HandshakeConfirmed,
        Stage::Closing => ConnectionState::Closing,
        Stage::Draining => ConnectionState::Draining,
        Stage::Over => ConnectionState::Closed,
    };
    let (old, new) = (old.map(name), name(new));
    EventData::QuicConnectionStateUpdated(ConnectionStateUpdated { old, new })
}

/// An update changes both ends' keys.
pub(crate) fn keys_updated(updates: u64) -> [EventData; 2] {
    [KeyType::Client1RttSecret, KeyType::Server1RttSecret].map(|key_type| {
        let key_phase = Some(updates);
        EventData::QuicKeyUpdated(KeyUpdated { key_type, key_phase, ..KeyUpdated::default() })
    })
}

pub(crate) fn path(path: &PathAddress) -> EventData {
    EventData::QuicMigrationStateUpdated(MigrationStateUpdated {
        new: MigrationState::MigrationComplete,
        tuple_remote: Some(endpoint(path.peer, None)),
        tuple_local: Some(endpoint(path.local, None)),
        ..MigrationStateUpdated::default()
    })
}

pub(crate) fn packet_size(old: Option<usize>, new: usize) -> EventData {
    let old = old.map(|size| size as u32);
    EventData::QuicMtuUpdated(MtuUpdated { old, new: new as u32, done: None })
}

pub(crate) fn phase(old: Option<&str>, new: &str) -> EventData {
    let (old, new) = (old.map(str::to_owned), new.to_owned());
    EventData::QuicCongestionStateUpdated(CongestionStateUpdated { old, new, trigger: None })
}

pub(crate) fn ecn(ecn: EcnState) -> EventData {
    let new = match ecn {
        EcnState::Testing => quic::EcnState::Testing,
        EcnState::Unknown => quic::EcnState::Unknown,
        EcnState::Capable => quic::EcnState::Capable,
        EcnState::Failed => quic::EcnState::Failed,
    };
    EventData::QuicEcnStateUpdated(EcnStateUpdated { old: None, new })
}

pub(crate) fn metrics(metrics: &Metrics) -> EventData {
    let sampled = |time: Duration| (!time.is_zero()).then(|| millis(time));
    EventData::QuicMetricsUpdated(RecoveryMetricsUpdated {
        min_rtt: sampled(metrics.min_rtt),
        smoothed_rtt: Some(millis(metrics.smoothed_rtt)),
        latest_rtt: sampled(metrics.latest_rtt),
        rtt_variance: Some(millis(metrics.rtt_variance)),
        pto_count: Some(u16::try_from(metrics.pto_count).unwrap_or(u16::MAX)),
        congestion_window: Some(metrics.congestion_window),
        bytes_in_flight: Some(metrics.bytes_in_flight),
        ssthresh: metrics.slow_start_threshold,
        pacing_rate: metrics.pacing_rate.map(|rate| rate.as_bytes_per_second() * 8),
        ..RecoveryMetricsUpdated::default()
    })
}

/// Why nothing is being sent. What qlog has no word for is in `send_status`.
pub(crate) fn send_status(old: Option<SendStatus>, new: SendStatus) -> (EventData, ExData) {
    let old = old.map(|status| blocked(&status).0);
    let (state, reason) = blocked(&new);
    let data = if let SendStatus::StreamFlowControl { id, .. } = new {
        let stream_id = id.as_u64();
        let update = StreamDataBlockedUpdated { old, new: state, stream_id, reason };
        EventData::QuicStreamDataBlockedUpdated(update)
    } else {
        let update = ConnectionDataBlockedUpdated { old, new: state, reason };
        EventData::QuicConnectionDataBlockedUpdated(update)
    };
    (data, ExData::from([("send_status".to_owned(), format!("{new:?}").into())]))
}

fn blocked(status: &SendStatus) -> (BlockedState, Option<BlockedReason>) {
    let reason = match status {
        SendStatus::Ready | SendStatus::NothingToSend | SendStatus::Closed => {
            return (BlockedState::Unblocked, None);
        }
        SendStatus::WriterBlocked | SendStatus::Handshake => return (BlockedState::Blocked, None),
        SendStatus::AmplificationLimited { .. } => BlockedReason::AmplificationProtection,
        SendStatus::CongestionBlocked { .. } => BlockedReason::CongestionControl,
        SendStatus::Pacing { .. } => BlockedReason::Pacing,
        SendStatus::ConnectionFlowControl { .. } => BlockedReason::ConnectionFlowControl,
        SendStatus::StreamFlowControl { .. } => BlockedReason::StreamFlowControl,
        SendStatus::ApplicationNotWriting { .. } => BlockedReason::Application,
    };
    (BlockedState::Blocked, Some(reason))
}

pub(crate) fn closed(reason: &CloseReason) -> EventData {
    let (by, trigger) = match reason {
        CloseReason::Transport(_) | CloseReason::WriteFailed(_) => {
            (Some(Origin::Local), ConnectionClosedTrigger::Error)
        }
        CloseReason::PeerTransport(_) => (Some(Origin::Remote), ConnectionClosedTrigger::Error),
        CloseReason::Application { .. } => {
            (Some(Origin::Local), ConnectionClosedTrigger::Application)
        }
        CloseReason::PeerApplication { .. } => {
            (Some(Origin::Remote), ConnectionClosedTrigger::Application)
        }
        CloseReason::IdleTimeout => (None, ConnectionClosedTrigger::IdleTimeout),
        CloseReason::HandshakeTimeout => (None, ConnectionClosedTrigger::HandshakeTimeout),
        CloseReason::StatelessReset => {
            (Some(Origin::Remote), ConnectionClosedTrigger::StatelessReset)
        }
        CloseReason::VersionMismatch { .. } => {
            (Some(Origin::Local), ConnectionClosedTrigger::VersionMismatch)
        }
    };
    let (connection_error, application_error, error_code) = error_of(reason);
    let initiator: Option<TransportInitiator> = by.map(initiator);
    EventData::QuicConnectionClosed(ConnectionClosed {
        initiator,
        connection_error,
        application_error,
        error_code,
        internal_code: None,
        reason: Some(reason.to_string()),
        trigger: Some(trigger),
    })
}

type ErrorParts = (Option<ConnectionClosedEventError>, Option<ApplicationError>, Option<u64>);

fn error_of(reason: &CloseReason) -> ErrorParts {
    match reason {
        CloseReason::Transport(error) | CloseReason::PeerTransport(error) => {
            let code = TransportError::code(error).0;
            let named = if (CRYPTO_ERROR..CRYPTO_ERROR + 0x100).contains(&code) {
                ConnectionClosedEventError::CryptoError(CryptoError::Prefix)
            } else {
                ConnectionClosedEventError::TransportError(transport_error(code))
            };
            (Some(named), None, Some(code))
        }
        CloseReason::Application { code, .. } | CloseReason::PeerApplication { code, .. } => {
            (None, Some(ApplicationError::Unknown), Some(code.0))
        }
        _ => (None, None, None),
    }
}

/// The name of a code (RFC 9000 §20.1).
pub(crate) fn transport_error(code: u64) -> quic::TransportError {
    use quic::TransportError as Named;
    match code {
        0x00 => Named::NoError,
        0x01 => Named::InternalError,
        0x02 => Named::ConnectionRefused,
        0x03 => Named::FlowControlError,
        0x04 => Named::StreamLimitError,
        0x05 => Named::StreamStateError,
        0x06 => Named::FinalSizeError,
        0x07 => Named::FrameEncodingError,
        0x08 => Named::TransportParameterError,
        0x09 => Named::ConnectionIdLimitError,
        0x0a => Named::ProtocolViolation,
        0x0b => Named::InvalidToken,
        0x0c => Named::ApplicationError,
        0x0d => Named::CryptoBufferExceeded,
        0x0e => Named::KeyUpdateError,
        0x0f => Named::AeadLimitReached,
        0x10 => Named::NoViablePath,
        _ => Named::Unknown,
    }
}

fn endpoint(address: SocketAddr, id: Option<String>) -> TupleEndpointInfo {
    let ip = address.ip().to_string();
    let port = Some(address.port());
    let connection_ids = id.map(|id| vec![id]);
    let none = TupleEndpointInfo {
        ip_v4: None,
        port_v4: None,
        ip_v6: None,
        port_v6: None,
        connection_ids,
    };
    if address.is_ipv4() {
        TupleEndpointInfo { ip_v4: Some(ip), port_v4: port, ..none }
    } else {
        TupleEndpointInfo { ip_v6: Some(ip), port_v6: port, ..none }
    }
}

fn millis(time: Duration) -> f32 {
    time.as_secs_f32() * 1000.0
}

/// The first of the codes that carry a TLS alert (RFC 9001 §4.8).
const CRYPTO_ERROR: u64 = 0x100;
