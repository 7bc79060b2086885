//! [`Sequence`]: a JSON-SEQ file under construction (RFC 7464): a header, then events, each a line
//! that begins with a record separator. A file that cannot be written is given up with a warning:
//! no connection fails for its log.

use std::io::{self, Write};
use std::time::SystemTime;

use protoquic_core::{Role, Time};
use qlog::events::{Event, EventData, ExData, QUIC_URI};
use qlog::{
    CommonFields, QLOGFILESEQ_URI, QlogSeq, ReferenceTime, TimeFormat, TraceSeq, VantagePoint,
    VantagePointType,
};
use serde::Serialize;

use crate::older;

pub(crate) struct Sequence {
    out: Option<Box<dyn Write>>,
    start: Time,
    dialect: Dialect,
}

/// Which qlog is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// That of the `qlog` crate.
    #[default]
    Newest,
    /// That which qvis opens.
    Qvis,
}

/// What a file begins with.
pub(crate) struct Header<'a> {
    pub(crate) role: Role,
    /// The same at both ends of a connection.
    pub(crate) group_id: &'a str,
    /// When the connection began, if that is known.
    pub(crate) wall_time: Option<SystemTime>,
}

impl Header<'_> {
    pub(crate) fn title(&self) -> String {
        format!("protoquic, connection {}", self.group_id)
    }

    pub(crate) fn vantage_point(&self) -> &'static str {
        if self.role.is_client() { "client" } else { "server" }
    }
}

impl Sequence {
    /// Writes the header. Times are told from `start` on.
    pub(crate) fn begin(
        start: Time,
        dialect: Dialect,
        out: Box<dyn Write>,
        header: &Header<'_>,
    ) -> Self {
        let mut sequence = Self { out: Some(out), start, dialect };
        match dialect {
            Dialect::Newest => sequence.record(&file_header(header)),
            Dialect::Qvis => sequence.record(&older::file_header(header)),
        }
        sequence
    }

    /// Nothing is written.
    pub(crate) fn nowhere() -> Self {
        Self { out: None, start: Time::ZERO, dialect: Dialect::Newest }
    }

    pub(crate) fn add(&mut self, now: Time, data: EventData) {
        self.add_with(now, data, ExData::default());
    }

    /// An event with fields that qlog does not know.
    pub(crate) fn add_with(&mut self, now: Time, data: EventData, more: ExData) {
        if self.out.is_some() {
            let since = now.saturating_since(self.start);
            let millis = since.as_micros() as f64 / 1000.0;
            let event = Event::with_time_ex(millis, data, more);
            match self.dialect {
                Dialect::Newest => self.record(&event),
                Dialect::Qvis => self.record_renamed(&event),
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        let result = self.out.as_mut().map_or(Ok(()), Write::flush);
        self.check(result);
    }

    fn record_renamed(&mut self, event: &Event) {
        match serde_json::to_value(event) {
            Ok(mut value) => {
                older::rename(&mut value);
                self.record(&value);
            }
            Err(error) => self.check(Err(error.into())),
        }
    }

    fn record(&mut self, value: &impl Serialize) {
        if let Some(out) = &mut self.out {
            let result = write_record(out, value);
            self.check(result);
        }
    }

    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            log::warn!("a qlog file is given up: {error}");
            self.out = None;
        }
    }
}

fn write_record(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    out.write_all(&[RECORD_SEPARATOR])?;
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn file_header(header: &Header<'_>) -> QlogSeq {
    let ty = match header.role {
        Role::Client => VantagePointType::Client,
        Role::Server => VantagePointType::Server,
    };
    let common = CommonFields {
        group_id: Some(header.group_id.to_owned()),
        reference_time: ReferenceTime::new_monotonic(header.wall_time),
        time_format: Some(TimeFormat::RelativeToEpoch),
        ..CommonFields::default()
    };
    let point = VantagePoint { name: Some("protoquic".to_owned()), ty, flow: None };
    let schemas = vec![QUIC_URI.to_owned()];
    QlogSeq {
        file_schema: QLOGFILESEQ_URI.to_owned(),
        serialization_format: "JSON-SEQ".to_owned(),
        title: Some(header.title()),
        description: None,
        trace: TraceSeq::new(None, None, Some(common), Some(point), schemas),
    }
}

/// Begins each record (RFC 7464 §2.2).
const RECORD_SEPARATOR: u8 = 0x1e;
