//! [`QlogObserver`]: writes one connection. This file must not know how qlog spells a value; its
//! neighbours do.

use std::io::{self, Write};
use std::time::SystemTime;

use protoquic_core::connection::{
    Change, ConnectionStart, DropReason, Metrics, Origin, PlainPacket, SendStatus, Stage,
};
use protoquic_core::{CloseReason, Observer, PacketInfo, Role, Time};
use qlog::events::EventData;

use crate::sequence::{Dialect, Header, Sequence};
use crate::{packets, parameters, state};

/// Where events go, and the wall time, if it is known.
type Opened = (Box<dyn Write>, Option<SystemTime>);
type Open = Box<dyn FnOnce(&ConnectionStart) -> io::Result<Opened>>;

/// Writes one connection as JSON-SEQ.
pub struct QlogObserver {
    open: Option<Open>,
    dialect: Dialect,
    sequence: Sequence,
    role: Role,
    stage: Option<Stage>,
    phase: Option<&'static str>,
    packet_size: Option<usize>,
    status: Option<SendStatus>,
    /// The spin bit that was last sent.
    spin: bool,
}

impl std::fmt::Debug for QlogObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QlogObserver").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl QlogObserver {
    /// Writes to `out`; gives no wall time.
    pub fn new(out: impl Write + 'static) -> Self {
        Self::opening(move |_| Ok((Box::new(out), None)))
    }

    /// The file will be of version 0.3, the one that qvis opens.
    #[must_use]
    pub fn for_qvis(mut self) -> Self {
        self.dialect = Dialect::Qvis;
        self
    }

    pub(crate) fn opening(
        open: impl FnOnce(&ConnectionStart) -> io::Result<Opened> + 'static,
    ) -> Self {
        Self {
            open: Some(Box::new(open)),
            dialect: Dialect::default(),
            sequence: Sequence::nowhere(),
            role: Role::Client,
            stage: None,
            phase: None,
            packet_size: None,
            status: None,
            spin: false,
        }
    }

    fn on_key_updates(&mut self, now: Time, updates: u64) {
        for data in state::keys_updated(updates) {
            self.sequence.add(now, data);
        }
    }

    fn on_send_status(&mut self, now: Time, status: SendStatus) {
        let was = self.status.replace(status);
        let (data, more) = state::send_status(was, status);
        self.sequence.add_with(now, data, more);
    }
}

impl Observer for QlogObserver {
    fn on_connection_started(&mut self, now: Time, start: &ConnectionStart) {
        let Some(open) = self.open.take() else { return };
        self.role = start.role;
        match open(start) {
            Ok((out, wall_time)) => {
                let group_id = &start.original_destination.to_string();
                let header = Header { role: start.role, group_id, wall_time };
                self.sequence = Sequence::begin(now, self.dialect, out, &header);
                self.sequence.add(now, state::connection_started(start));
                self.sequence.add(now, state::version(start.role, start.version));
            }
            Err(error) => log::warn!("no qlog file: {error}"),
        }
    }

    fn on_packet_sent(&mut self, now: Time, packet: &PlainPacket<'_>) {
        if let Some(spin) = packet.spin()
            && std::mem::replace(&mut self.spin, spin) != spin
        {
            self.sequence.add(now, state::spin(spin));
        }
        self.sequence.add(now, packets::sent(packet));
    }

    fn on_packet_received(&mut self, now: Time, packet: &PlainPacket<'_>) {
        self.sequence.add(now, packets::received(packet));
    }

    fn on_packet_dropped(&mut self, now: Time, size: usize, reason: DropReason) {
        self.sequence.add(now, packets::dropped(size, reason));
    }

    fn on_packet_lost(&mut self, now: Time, packet: &PacketInfo) {
        self.sequence.add(now, packets::lost(packet));
    }

    fn on_change(&mut self, now: Time, change: &Change<'_>) {
        let data: EventData = match *change {
            Change::Stage(stage) => {
                let was = self.stage.replace(stage);
                self.sequence.add(now, state::stage(was, stage));
                return self.sequence.flush();
            }
            Change::Parameters(origin, parameters) => {
                let sender = match origin {
                    Origin::Local => self.role,
                    Origin::Remote => self.role.peer(),
                };
                parameters::parameters_set(origin, sender, parameters)
            }
            Change::Version(version) => state::version(self.role, version),
            Change::KeyUpdates(updates) => return self.on_key_updates(now, updates),
            Change::Path(path) => state::path(&path),
            Change::PacketSize(size) => state::packet_size(self.packet_size.replace(size), size),
            Change::CongestionPhase(phase) => state::phase(self.phase.replace(phase), phase),
            Change::Ecn(ecn) => state::ecn(ecn),
            Change::SendStatus(status) => return self.on_send_status(now, status),
        };
        self.sequence.add(now, data);
    }

    fn on_metrics_updated(&mut self, now: Time, metrics: &Metrics) {
        self.sequence.add(now, state::metrics(metrics));
    }

    fn on_connection_closed(&mut self, now: Time, reason: &CloseReason) {
        self.sequence.add(now, state::closed(reason));
        self.sequence.flush();
    }
}

impl Drop for QlogObserver {
    fn drop(&mut self) {
        self.sequence.flush();
    }
}
