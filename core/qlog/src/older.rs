//! The qlog that qvis opens: version 0.3 (draft-ietf-quic-qlog-main-schema-02), made from what the
//! `qlog` crate writes by giving events and fields their older names. This file must not know what
//! the events say.

use serde_json::{Map, Value, json};

use crate::sequence::Header;

/// What a file begins with.
pub(crate) fn file_header(header: &Header<'_>) -> Value {
    let since = header.wall_time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    json!({
        "qlog_version": "0.3",
        "qlog_format": "JSON-SEQ",
        "title": header.title(),
        "trace": {
            "vantage_point": { "name": "protoquic", "type": header.vantage_point() },
            "common_fields": {
                "ODCID": header.group_id,
                "protocol_type": ["QUIC"],
                "time_format": "relative",
                "reference_time": since.map_or(0, |since| since.as_millis() as u64),
            },
        },
    })
}

/// Gives an event its older names.
pub(crate) fn rename(event: &mut Value) {
    let Some(name) = event.get("name").and_then(Value::as_str) else { return };
    let name = name.trim_start_matches("quic:").to_owned();
    if let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) {
        match name.as_str() {
            "connection_started" => flatten_addresses(data),
            "connection_closed" | "parameters_set" => move_field(data, "initiator", "owner"),
            _ => {}
        }
        if let Some(frames) = data.get_mut("frames").and_then(Value::as_array_mut) {
            frames.iter_mut().filter_map(Value::as_object_mut).for_each(add_length);
        }
    }
    event["name"] = older_name(&name).into();
}

fn older_name(name: &str) -> String {
    let category = match name {
        "connection_started"
        | "connection_closed"
        | "connection_state_updated"
        | "connection_id_updated"
        | "spin_bit_updated"
        | "mtu_updated" => "connectivity",
        "key_updated" | "key_retired" => "security",
        "recovery_metrics_updated" => return "recovery:metrics_updated".to_owned(),
        "congestion_state_updated" | "packet_lost" | "ecn_state_updated" => "recovery",
        _ => "transport",
    };
    format!("{category}:{name}")
}

/// `local` and `remote` were `src` and `dst`.
fn flatten_addresses(data: &mut Map<String, Value>) {
    for (end, prefix) in [("local", "src"), ("remote", "dst")] {
        let Some(Value::Object(info)) = data.remove(end) else { continue };
        for (key, value) in info {
            match key.as_str() {
                "ip_v4" | "ip_v6" => data.insert(format!("{prefix}_ip"), value),
                "port_v4" | "port_v6" => data.insert(format!("{prefix}_port"), value),
                _ => None,
            };
        }
    }
}

/// A frame's data had its length beside it.
fn add_length(frame: &mut Map<String, Value>) {
    let length = frame.get("raw").and_then(|raw| raw.get("payload_length")).cloned();
    if let Some(length) = length {
        frame.insert("length".to_owned(), length);
    }
}

fn move_field(data: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = data.remove(from) {
        data.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use protoquic_core::connection::{ConnectionStart, Metrics, PlainPacket};
    use protoquic_core::types::Space;
    use protoquic_core::wire::{PacketType, Version};
    use protoquic_core::{
        CloseReason, ConnectionId, Observer, PacketInfo, PathAddress, Role, Time,
    };

    use super::*;
    use crate::QlogObserver;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The records of a small connection's file.
    fn records() -> Vec<Value> {
        let memory = Memory::default();
        let mut observer = QlogObserver::new(memory.clone()).for_qvis();
        let id = ConnectionId::new(b"original").unwrap();
        let path = PathAddress::new(([10, 0, 0, 1], 1000).into(), ([10, 0, 0, 2], 443).into());
        let start = ConnectionStart {
            role: Role::Client,
            version: Version::V1,
            path,
            original_destination: id,
            local_id: id,
        };
        observer.on_connection_started(Time::from_millis(5), &start);
        let packet = PlainPacket {
            info: PacketInfo { space: Space::Application, number: 7, size: 40 },
            ty: PacketType::OneRtt,
            version: Version::V1,
            destination: id,
            first_byte: 0x40,
            payload: &[0x0a, 4, 2, b'h', b'i', 0x01], // STREAM 4 with "hi", PING
        };
        observer.on_packet_sent(Time::from_millis(6), &packet);
        let ms = std::time::Duration::from_millis;
        let metrics = Metrics {
            smoothed_rtt: ms(20),
            latest_rtt: ms(19),
            min_rtt: ms(18),
            rtt_variance: ms(1),
            pto_count: 0,
            congestion_window: 12_000,
            slow_start_threshold: None,
            bytes_in_flight: 40,
            pacing_rate: None,
        };
        observer.on_metrics_updated(Time::from_millis(7), &metrics);
        observer.on_connection_closed(Time::from_millis(8), &CloseReason::IdleTimeout);
        drop(observer);
        let bytes = memory.0.lock().unwrap().clone();
        let records = bytes.split(|byte| *byte == 0x1e).skip(1);
        records.map(|record| serde_json::from_slice(record).unwrap()).collect()
    }

    #[test]
    fn qvis_finds_the_version_and_the_names_that_it_knows() {
        let records = records();
        assert_eq!(records[0]["qlog_version"], "0.3");
        assert_eq!(records[0]["qlog_format"], "JSON-SEQ");
        assert_eq!(records[0]["trace"]["vantage_point"]["type"], "client");
        let names: Vec<_> = records[1..].iter().map(|record| record["name"].clone()).collect();
        assert_eq!(
            names,
            [
                "connectivity:connection_started",
                "transport:version_information",
                "transport:packet_sent",
                "recovery:metrics_updated",
                "connectivity:connection_closed",
            ]
        );
        assert_eq!(records[1]["data"]["dst_port"], 443);
        assert_eq!(records[4]["data"]["congestion_window"], 12_000);
    }

    #[test]
    fn qvis_finds_packets_and_the_lengths_of_their_data() {
        let packet = &records()[3];
        assert_eq!(packet["time"], 1.0);
        let data = &packet["data"];
        assert_eq!(data["header"]["packet_type"], "1RTT");
        assert_eq!(data["header"]["packet_number"], 7);
        assert_eq!(data["raw"]["length"], 40);
        assert_eq!(data["frames"][0]["frame_type"], "stream");
        assert_eq!(data["frames"][0]["length"], 2);
        assert_eq!(data["frames"][1]["frame_type"], "ping");
    }
}
