//! [`Settings`]: the SETTINGS frame (RFC 9114 §7.2.4) with the parameters of RFC 9114 and RFC 9204.

use bytes::{Bytes, BytesMut};

use super::config::Http3Config;
use super::error::{Http3Code, Http3Error};
use super::frame::{emit, frame_type};
use crate::wire::{Reader, VARINT_MAX};

/// What an endpoint said about itself. The default is what holds before it has spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// SETTINGS_QPACK_MAX_TABLE_CAPACITY, in bytes.
    pub qpack_max_table_capacity: u64,
    /// SETTINGS_QPACK_BLOCKED_STREAMS.
    pub qpack_blocked_streams: u64,
    /// SETTINGS_MAX_FIELD_SECTION_SIZE, in bytes; `u64::MAX` is no limit.
    pub max_field_section_size: u64,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220).
    pub enable_connect_protocol: bool,
    /// SETTINGS_H3_DATAGRAM (RFC 9297).
    pub h3_datagram: bool,
    /// SETTINGS_ENABLE_WEBTRANSPORT (draft-ietf-webtrans-http3-02).
    pub enable_webtransport: bool,
    /// SETTINGS_WEBTRANSPORT_MAX_SESSIONS (draft-ietf-webtrans-http3-07).
    pub webtransport_max_sessions: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            qpack_max_table_capacity: 0,
            qpack_blocked_streams: 0,
            max_field_section_size: u64::MAX,
            enable_connect_protocol: false,
            h3_datagram: false,
            enable_webtransport: false,
            webtransport_max_sessions: 0,
        }
    }
}

impl Settings {
    /// How many WebTransport sessions its client may have; 0 if it takes none.
    pub(super) fn webtransport_limit(&self) -> u64 {
        match (self.webtransport_max_sessions, self.enable_webtransport) {
            // draft-02 has no limit: the server refuses what is too much.
            (0, true) => u64::MAX,
            (limit, _) => limit,
        }
    }

    /// Whether it takes part in WebTransport (draft-ietf-webtrans-http3-07 §3.1).
    pub(super) fn takes_webtransport(&self) -> bool {
        self.h3_datagram && self.webtransport_limit() > 0
    }

    /// Reads the payload of a SETTINGS frame. Unknown identifiers are ignored.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Http3Error> {
        let mut settings = Self::default();
        let mut seen = Vec::new();
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            let (Some(id), Some(value)) = (reader.varint(), reader.varint()) else {
                return Err(Http3Error::new(Http3Code::FRAME_ERROR, "a setting is cut off"));
            };
            if seen.len() == MAX_SETTINGS {
                return Err(Http3Error::new(
                    Http3Code::EXCESSIVE_LOAD,
                    format!("more than {MAX_SETTINGS} settings"),
                ));
            }
            // RFC 9114 §7.2.4: an identifier must not come twice.
            if seen.contains(&id) {
                return Err(error(format!("setting {id:#x} comes twice")));
            }
            seen.push(id);
            settings.apply(id, value)?;
        }
        Ok(settings)
    }

    fn apply(&mut self, id: u64, value: u64) -> Result<(), Http3Error> {
        match id {
            // RFC 9114 §7.2.4.1, §11.2.2: settings of HTTP/2 that must not be sent.
            0x00 | 0x02..=0x05 => return Err(error(format!("HTTP/2 setting {id:#x}"))),
            id::QPACK_MAX_TABLE_CAPACITY => self.qpack_max_table_capacity = value,
            id::MAX_FIELD_SECTION_SIZE => self.max_field_section_size = value,
            id::QPACK_BLOCKED_STREAMS => self.qpack_blocked_streams = value,
            id::ENABLE_CONNECT_PROTOCOL => self.enable_connect_protocol = flag(id, value)?,
            id::H3_DATAGRAM => self.h3_datagram = flag(id, value)?,
            id::ENABLE_WEBTRANSPORT => self.enable_webtransport = flag(id, value)?,
            id::WEBTRANSPORT_MAX_SESSIONS => self.webtransport_max_sessions = value,
            _ => {}
        }
        Ok(())
    }

    /// What we say of ourselves; `datagrams`: whether we take HTTP Datagrams.
    fn ours(config: &Http3Config, datagrams: bool) -> Self {
        let sessions = if datagrams { config.webtransport_sessions.min(VARINT_MAX) } else { 0 };
        Self {
            qpack_max_table_capacity: config.qpack_max_table_capacity,
            qpack_blocked_streams: config.qpack_blocked_streams,
            max_field_section_size: config.max_field_section_size,
            enable_connect_protocol: config.enable_connect_protocol,
            h3_datagram: datagrams,
            // Peers of draft-02 look for the first, others for the second.
            enable_webtransport: sessions > 0,
            webtransport_max_sessions: sessions,
        }
    }

    /// The payload of a SETTINGS frame that says this.
    pub(super) fn to_payload(self) -> Bytes {
        let mut payload = BytesMut::with_capacity(64);
        self.put(&mut payload);
        payload.freeze()
    }

    /// Appends every setting that is not what holds without it (RFC 9114 §7.2.4.1).
    fn put(self, payload: &mut BytesMut) {
        let mut put = |id, value: u64, default: u64| {
            if value != default {
                emit::varint(payload, id);
                emit::varint(payload, value);
            }
        };
        put(id::QPACK_MAX_TABLE_CAPACITY, self.qpack_max_table_capacity, 0);
        put(id::MAX_FIELD_SECTION_SIZE, self.max_field_section_size, u64::MAX);
        put(id::QPACK_BLOCKED_STREAMS, self.qpack_blocked_streams, 0);
        put(id::ENABLE_CONNECT_PROTOCOL, self.enable_connect_protocol.into(), 0);
        put(id::H3_DATAGRAM, self.h3_datagram.into(), 0);
        put(id::ENABLE_WEBTRANSPORT, self.enable_webtransport.into(), 0);
        put(id::WEBTRANSPORT_MAX_SESSIONS, self.webtransport_max_sessions, 0);
    }

    /// Appends our SETTINGS frame, which says by `datagrams` whether we take HTTP Datagrams.
    pub(super) fn emit(config: &Http3Config, datagrams: bool, out: &mut BytesMut) {
        let mut payload = BytesMut::with_capacity(64);
        Self::ours(config, datagrams).put(&mut payload);
        if let Some(reserved) = config.reserved(0) {
            emit::varint(&mut payload, reserved);
            emit::varint(&mut payload, 0);
        }
        emit::frame(out, frame_type::SETTINGS, &payload);
    }
}

/// Setting identifiers (RFC 9114 §7.2.4.1, RFC 9204 §5, RFC 9220 §5, RFC 9297 §5.2).
mod id {
    pub(super) const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
    pub(super) const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
    pub(super) const QPACK_BLOCKED_STREAMS: u64 = 0x07;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
    pub(super) const H3_DATAGRAM: u64 = 0x33;
    /// draft-ietf-webtrans-http3-02 §8.2.
    pub(super) const ENABLE_WEBTRANSPORT: u64 = 0x2b60_3742;
    /// draft-ietf-webtrans-http3-07 §8.2.
    pub(super) const WEBTRANSPORT_MAX_SESSIONS: u64 = 0xc671_706a;
}

/// A setting that is 0 or 1 (RFC 9220 §3, RFC 9297 §2.1.1).
fn flag(id: u64, value: u64) -> Result<bool, Http3Error> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(error(format!("setting {id:#x} is {value}, not 0 or 1"))),
    }
}

fn error(reason: String) -> Http3Error {
    Http3Error::new(Http3Code::SETTINGS_ERROR, reason)
}

/// The largest SETTINGS payload read, in bytes.
pub(super) const MAX_PAYLOAD: u64 = 4096;

/// The most settings in one frame. The registry has about a dozen.
const MAX_SETTINGS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(payload: &[u8]) -> Http3Code {
        Settings::parse(payload).unwrap_err().code
    }

    #[test]
    fn our_settings_are_read_back() {
        let config = Http3Config::default();
        let mut out = BytesMut::new();
        Settings::emit(&config, false, &mut out);
        assert_eq!(out[0], 4);
        let settings = Settings::parse(&out[2..]).unwrap();
        assert_eq!(settings.qpack_max_table_capacity, config.qpack_max_table_capacity);
        assert_eq!(settings.max_field_section_size, config.max_field_section_size);
        assert_eq!(settings.qpack_blocked_streams, config.qpack_blocked_streams);
    }

    #[test]
    fn http2_settings_are_an_error() {
        for id in [0, 2, 3, 4, 5] {
            assert_eq!(code(&[id, 1]), Http3Code::SETTINGS_ERROR, "{id}");
        }
    }

    #[test]
    fn a_setting_comes_once_and_flags_are_flags() {
        assert_eq!(code(&[7, 1, 6, 1, 7, 1]), Http3Code::SETTINGS_ERROR);
        assert_eq!(code(&[0x21, 1, 0x21, 1]), Http3Code::SETTINGS_ERROR);
        assert_eq!(code(&[0x33, 2]), Http3Code::SETTINGS_ERROR);
        assert_eq!(code(&[7]), Http3Code::FRAME_ERROR);
    }

    #[test]
    fn unknown_settings_are_ignored_up_to_a_number() {
        assert_eq!(Settings::parse(&[0x3e, 5]), Ok(Settings::default()));
        let many: Vec<u8> =
            (0x1000..0x1100_u16).flat_map(|id| [0x40 | (id >> 8) as u8, id as u8, 0]).collect();
        assert_eq!(code(&many), Http3Code::EXCESSIVE_LOAD);
    }
}
