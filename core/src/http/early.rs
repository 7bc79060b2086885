//! HTTP/3 in early data: which requests may be sent and served before the handshake (RFC 8470), and
//! the server's settings from the last time, by which they are sent (RFC 9114 §7.2.4.2). This file
//! must not know sessions or streams.

use bytes::Bytes;
use http::Method;

use super::error::{Http3Code, Http3Error};
use super::settings::Settings;
use crate::rare::Blank;

/// Which requests may be sent and served in early data, which others can replay: those that do no
/// harm when they are executed twice (RFC 8470 §2). Where the transport has no early data, none
/// are ([`Config::early_data`](crate::Config::early_data)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyRequests {
    /// None: a client waits for the handshake, a server answers 425.
    None,
    /// Those of a safe method, such as GET (RFC 9110 §9.2.1).
    #[default]
    Safe,
    /// Those of an idempotent method, such as PUT too (RFC 9110 §9.2.2). Only where every such
    /// request may come again, much later, after others have changed what it sets.
    Idempotent,
}

impl EarlyRequests {
    pub(super) fn allow(self, method: &Method) -> bool {
        match self {
            Self::None => false,
            Self::Safe => method.is_safe(),
            Self::Idempotent => method.is_idempotent(),
        }
    }
}

/// The server's settings before it has spoken.
#[derive(Debug, Default)]
pub(super) struct EarlySettings {
    remembered: Option<Settings>,
    /// Settings that have come and are to be remembered for the next connection.
    news: Option<Bytes>,
}

impl Blank for EarlySettings {
    const BLANK: &'static Self = &Self { remembered: None, news: None };
}

impl EarlySettings {
    /// Whether nothing is remembered and nothing is new.
    pub(super) const fn is_blank(&self) -> bool {
        self.remembered.is_none() && self.news.is_none()
    }

    /// Begins with what a connection before has left.
    pub(super) fn recall(&mut self, state: &[u8]) {
        self.remembered = Settings::parse(state).ok();
    }

    /// The server has not taken early data: its settings are free.
    pub(super) fn forget(&mut self) {
        self.remembered = None;
    }

    /// The largest header section that may be sent.
    pub(super) fn max_field_section_size(&self) -> Option<u64> {
        self.remembered.map(|settings| settings.max_field_section_size)
    }

    /// The server's settings have come. If it has taken early data, they take nothing back.
    pub(super) fn on_settings(&mut self, settings: &Settings) -> Result<(), Http3Error> {
        self.news = Some(settings.to_payload());
        let Some(before) = self.remembered.take() else { return Ok(()) };
        // RFC 9204 §3.2.3
        let capacity = before.qpack_max_table_capacity;
        if capacity != 0 && capacity != settings.qpack_max_table_capacity {
            return Err(Http3Error::new(
                Http3Code::QPACK_DECODER_STREAM_ERROR,
                format!("the QPACK table was {capacity} bytes when early data was accepted"),
            ));
        }
        let kept = settings.qpack_blocked_streams >= before.qpack_blocked_streams
            && settings.max_field_section_size >= before.max_field_section_size
            && settings.enable_connect_protocol >= before.enable_connect_protocol
            && settings.h3_datagram >= before.h3_datagram
            // draft-ietf-webtrans-http3-07 §3.3
            && settings.webtransport_limit() >= before.webtransport_limit();
        // RFC 9114 §7.2.4.2
        if kept {
            return Ok(());
        }
        Err(Http3Error::new(
            Http3Code::SETTINGS_ERROR,
            "settings fall below those by which early data was accepted",
        ))
    }

    /// What is to be remembered, once.
    pub(super) fn take_news(&mut self) -> Option<Bytes> {
        self.news.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            qpack_max_table_capacity: 4096,
            qpack_blocked_streams: 16,
            max_field_section_size: 65_536,
            enable_connect_protocol: true,
            h3_datagram: true,
            enable_webtransport: true,
            webtransport_max_sessions: 3,
        }
    }

    fn after(change: impl Fn(&mut Settings)) -> Result<(), Http3Code> {
        let mut early = EarlySettings::default();
        early.recall(&settings().to_payload());
        let mut now = settings();
        change(&mut now);
        early.on_settings(&now).map_err(|error| error.code)
    }

    #[test]
    fn only_what_may_come_twice_is_early() {
        // RFC 8470 §2
        let allowed = |policy: EarlyRequests| {
            let all = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::CONNECT];
            all.map(|method| policy.allow(&method))
        };
        assert_eq!(allowed(EarlyRequests::None), [false; 5]);
        assert_eq!(allowed(EarlyRequests::default()), [true, true, false, false, false]);
        assert_eq!(allowed(EarlyRequests::Idempotent), [true, true, true, false, false]);
    }

    #[test]
    fn settings_survive_being_remembered() {
        assert_eq!(Settings::parse(&settings().to_payload()), Ok(settings()));
        let default = Settings::default();
        assert_eq!(Settings::parse(&default.to_payload()), Ok(default));
    }

    #[test]
    fn accepted_early_data_binds_the_server_to_its_settings() {
        // RFC 9114 §7.2.4.2, RFC 9204 §3.2.3
        assert_eq!(after(|_| {}), Ok(()));
        assert_eq!(after(|now| now.qpack_blocked_streams += 1), Ok(()));
        let error = Err(Http3Code::SETTINGS_ERROR);
        assert_eq!(after(|now| now.max_field_section_size -= 1), error);
        assert_eq!(after(|now| now.qpack_blocked_streams -= 1), error);
        assert_eq!(after(|now| now.enable_connect_protocol = false), error);
        assert_eq!(after(|now| now.h3_datagram = false), error);
        assert_eq!(after(|now| now.webtransport_max_sessions -= 1), error);
        let error = Err(Http3Code::QPACK_DECODER_STREAM_ERROR);
        assert_eq!(after(|now| now.qpack_max_table_capacity += 1), error);
    }

    #[test]
    fn after_a_rejection_they_are_free() {
        let mut early = EarlySettings::default();
        early.recall(&settings().to_payload());
        early.forget();
        assert!(early.on_settings(&Settings::default()).is_ok());
    }
}
