//! Transport parameters as qlog spells them.

use protoquic_core::connection::Origin;
use protoquic_core::wire::TransportParameters;
use protoquic_core::{ConnectionId, Role};
use qlog::events::EventData;
use qlog::events::quic::{ParametersSet, PreferredAddress, TransportInitiator};

pub(crate) fn parameters_set(
    origin: Origin,
    sender: Role,
    parameters: &TransportParameters,
) -> EventData {
    let hex = |id: &Option<ConnectionId>| id.as_ref().map(ConnectionId::to_string);
    let server = sender == Role::Server;
    let p = parameters;
    EventData::QuicParametersSet(Box::new(ParametersSet {
        initiator: Some(initiator(origin)),
        original_destination_connection_id: hex(&p.original_destination_connection_id),
        initial_source_connection_id: hex(&p.initial_source_connection_id),
        retry_source_connection_id: hex(&p.retry_source_connection_id),
        disable_active_migration: Some(p.disable_active_migration),
        max_idle_timeout: Some(p.max_idle_timeout.as_millis() as u64),
        max_udp_payload_size: Some(p.max_udp_payload_size),
        ack_delay_exponent: Some(p.ack_delay_exponent.into()),
        max_ack_delay: Some(p.max_ack_delay.as_millis() as u64),
        active_connection_id_limit: Some(p.active_connection_id_limit),
        initial_max_data: Some(p.initial_max_data),
        initial_max_stream_data_bidi_local: Some(p.initial_max_stream_data_bidi_local),
        initial_max_stream_data_bidi_remote: Some(p.initial_max_stream_data_bidi_remote),
        initial_max_stream_data_uni: Some(p.initial_max_stream_data_uni),
        initial_max_streams_bidi: Some(p.initial_max_streams_bidi),
        initial_max_streams_uni: Some(p.initial_max_streams_uni),
        preferred_address: p.preferred_address.as_deref().filter(|_| server).map(preferred),
        max_datagram_frame_size: Some(p.max_datagram_frame_size),
        grease_quic_bit: Some(p.grease_quic_bit),
        ..ParametersSet::default()
    }))
}

pub(crate) fn initiator(origin: Origin) -> TransportInitiator {
    match origin {
        Origin::Local => TransportInitiator::Local,
        Origin::Remote => TransportInitiator::Remote,
    }
}

fn preferred(address: &protoquic_core::wire::PreferredAddress) -> PreferredAddress {
    let v4 = address.ipv4.map(|v4| (v4.ip().to_string(), v4.port())).unwrap_or_default();
    let v6 = address.ipv6.map(|v6| (v6.ip().to_string(), v6.port())).unwrap_or_default();
    PreferredAddress {
        ip_v4: v4.0,
        ip_v6: v6.0,
        port_v4: v4.1,
        port_v6: v6.1,
        connection_id: address.connection_id.to_string(),
        stateless_reset_token: String::new(), // a secret
    }
}
