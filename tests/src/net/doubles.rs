//! What the owners of connections on the network are lent: a writer onto the wire, alarms, and a
//! clock with randomness. They know no link.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use protoquic::{
    Alarm, AlarmFactory, AlarmOwner, Clock, ConnectionHelper, Ecn, OutgoingPacket, PacketWriter,
    Payload, RandomGenerator, SeededRandom, Time, WriteResult,
};

/// On its way.
#[derive(Debug)]
pub(super) struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub ecn: Ecn,
    pub data: Vec<u8>,
    /// It leaves no sooner.
    pub release: Option<Time>,
}

/// What was written and has not left.
pub(super) type Wire = Arc<Mutex<Vec<Datagram>>>;

/// Puts packets on the wire.
#[derive(Debug)]
pub struct WireWriter {
    pub(super) wire: Wire,
    pub(super) from: SocketAddr,
}

impl PacketWriter for WireWriter {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let Payload::Borrowed(data) = packet.payload else {
            unreachable!("this writer lends no location")
        };
        let data = data.to_vec();
        let local = packet.path.local;
        let from = if local.ip().is_unspecified() { self.from } else { local };
        let datagram = Datagram {
            from,
            to: packet.path.peer,
            ecn: packet.ecn,
            data,
            release: packet.release_time,
        };
        self.wire.lock().expect("no test panics while it holds the wire").push(datagram);
        WriteResult::Ok
    }

    fn supports_ecn(&self) -> bool {
        true
    }
}

/// Alarms in virtual time.
#[derive(Debug, Default)]
pub struct Alarms {
    owners: BTreeMap<u64, AlarmOwner>,
    set: BTreeSet<(Time, u64)>,
    at: BTreeMap<u64, Time>,
    next: u64,
}

impl AlarmFactory for Alarms {
    fn create_alarm(&mut self, owner: AlarmOwner) -> Alarm {
        self.next += 1;
        self.owners.insert(self.next, owner);
        Alarm(self.next)
    }

    fn set_alarm(&mut self, alarm: Alarm, deadline: Option<Time>) {
        if let Some(old) = self.at.remove(&alarm.0) {
            self.set.remove(&(old, alarm.0));
        }
        if let Some(deadline) = deadline.filter(|_| self.owners.contains_key(&alarm.0)) {
            self.at.insert(alarm.0, deadline);
            self.set.insert((deadline, alarm.0));
        }
    }

    fn remove_alarm(&mut self, alarm: Alarm) {
        self.set_alarm(alarm, None);
        self.owners.remove(&alarm.0);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.set.first().map(|(time, _)| *time)
    }

    fn pop_expired(&mut self, now: Time) -> Option<AlarmOwner> {
        let (time, id) = self.set.first()?;
        if *time > now {
            return None;
        }
        let id = *id;
        self.set_alarm(Alarm(id), None);
        self.owners.get(&id).copied()
    }
}

/// A clock that stands, and randomness from a seed.
#[derive(Debug)]
pub struct TestHelper {
    pub(super) seed: Mutex<u64>,
    pub(super) wall: Arc<Mutex<SystemTime>>,
}

impl Clock for TestHelper {
    fn now(&self) -> Time {
        Time::ZERO
    }

    fn wall_now(&self) -> SystemTime {
        *self.wall.lock().expect("no test panics while it holds the time")
    }
}

impl ConnectionHelper for TestHelper {
    fn clock(&self) -> &dyn Clock {
        self
    }

    fn random_generator(&self) -> Box<dyn RandomGenerator> {
        let mut seed = self.seed.lock().expect("no test panics while it holds the seed");
        *seed += 1;
        Box::new(SeededRandom::new(*seed))
    }
}
