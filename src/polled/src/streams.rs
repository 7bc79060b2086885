//! [`Streams`]: bare streams and datagrams on a polled connection. It turns the connection's events
//! into what can be asked: which streams can be read or written, which datagrams have come. This
//! file must not know how datagrams of UDP get in and out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use protoquic_core::streams::Priority;
use protoquic_core::{
    ApplicationError, Connection as Machine, DatagramId, DatagramOptions, Direction,
    Event as MachineEvent, Host, Notice, PacketWriter, ReceivedPacket, StreamError, StreamId, Time,
};

use crate::{Application, Config, Connection, Error, Event, Result};

/// Bare streams and datagrams.
#[derive(Debug)]
pub struct Streams {
    machine: Machine,
    events: VecDeque<Event>,
    /// Streams with something to read: data, an end, a reset.
    readable: BTreeSet<StreamId>,
    /// Streams with room to write.
    writable: BTreeSet<StreamId>,
    /// Streams that were reset, until their readers have been told.
    resets: BTreeMap<StreamId, u64>,
    datagrams: VecDeque<Bytes>,
    datagram_bytes: usize,
    notices: VecDeque<Notice>,
    /// How many streams of each direction we have opened.
    opened: [u64; 2],
    /// The end of the connection was told.
    is_over: bool,
}

impl Streams {
    fn new(machine: Machine) -> Self {
        Self {
            machine,
            events: VecDeque::new(),
            readable: BTreeSet::new(),
            writable: BTreeSet::new(),
            resets: BTreeMap::new(),
            datagrams: VecDeque::new(),
            datagram_bytes: 0,
            notices: VecDeque::new(),
            opened: [0; 2],
            is_over: false,
        }
    }

    /// Sorts what the connection tells.
    fn sort_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            self.sort(event);
        }
        if !self.is_over
            && let Some(reason) = self.machine.close_reason().cloned()
        {
            self.is_over = true;
            self.writable.clear();
            self.tell(Event::Closed(reason.clone()));
            let farewell = self.machine.farewell();
            self.notices.push_back(Notice::Closed { reason, farewell });
        }
    }

    fn sort(&mut self, event: MachineEvent) {
        let event = match event {
            MachineEvent::HandshakeComplete => Event::Established,
            MachineEvent::EarlyDataReady => Event::EarlyDataReady,
            MachineEvent::EarlyDataSettled { accepted } => Event::EarlyDataSettled { accepted },
            MachineEvent::HandshakeConfirmed => Event::Confirmed,
            MachineEvent::StreamOpened(id) => {
                if id.direction() == Direction::Bidirectional {
                    self.writable.insert(id);
                }
                Event::StreamOpened(id)
            }
            MachineEvent::StreamReadable(id) => {
                self.readable.insert(id);
                return;
            }
            MachineEvent::StreamWritable(id) => {
                self.writable.insert(id);
                return;
            }
            MachineEvent::StreamReset { id, code: ApplicationError(code) } => {
                self.remember_reset(id, code);
                Event::StreamReset { id, code }
            }
            MachineEvent::StreamStopped { id, code: ApplicationError(code) } => {
                self.writable.remove(&id);
                Event::StreamStopped { id, code }
            }
            MachineEvent::StreamExpired(id) => {
                self.writable.remove(&id);
                Event::StreamExpired(id)
            }
            MachineEvent::StreamAcked(id) => Event::StreamAcked(id),
            MachineEvent::StreamClosed(id) => {
                self.writable.remove(&id);
                if !self.resets.contains_key(&id) {
                    self.readable.remove(&id);
                }
                Event::StreamClosed(id)
            }
            MachineEvent::StreamsAvailable(direction) => Event::StreamsAvailable(direction),
            MachineEvent::DatagramReceived(data) => return self.keep_datagram(&data),
            MachineEvent::DatagramAcked(id) => Event::DatagramAcked(id),
            MachineEvent::DatagramLost(id) => Event::DatagramLost(id),
            MachineEvent::DatagramDropped(id) => Event::DatagramDropped(id),
            MachineEvent::NewToken(token) => Event::NewToken(token),
            MachineEvent::PathValidated(path) => Event::PathValidated(path),
            MachineEvent::PathFailed(path) => Event::PathFailed(path),
            MachineEvent::PathChanged(path) => Event::PathChanged(path),
            MachineEvent::PathDegrading => {
                self.notices.push_back(Notice::PathDegrading);
                Event::PathDegrading
            }
            MachineEvent::PathRecovered => Event::PathRecovered,
            MachineEvent::Idle => return self.give_memory_back(),
            MachineEvent::ConnectionIdIssued(id) => {
                return self.notices.push_back(Notice::ConnectionIdIssued(id));
            }
            MachineEvent::ConnectionIdRetired(id) => {
                return self.notices.push_back(Notice::ConnectionIdRetired(id));
            }
        };
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn remember_reset(&mut self, id: StreamId, code: u64) {
        if self.resets.len() >= MAX_RESETS
            && let Some((oldest, _)) = self.resets.pop_first()
        {
            self.readable.remove(&oldest);
        }
        self.resets.insert(id, code);
        self.readable.insert(id);
    }

    /// RFC 9221 §5: what nobody takes is dropped, the oldest first.
    fn keep_datagram(&mut self, data: &[u8]) {
        self.datagram_bytes += data.len() + DATAGRAM_OVERHEAD;
        self.datagrams.push_back(Bytes::copy_from_slice(data));
        while self.datagram_bytes > MAX_DATAGRAM_BYTES && self.datagrams.len() > 1 {
            self.take_datagram();
        }
    }

    fn take_datagram(&mut self) -> Option<Bytes> {
        let data = self.datagrams.pop_front()?;
        self.datagram_bytes -= data.len() + DATAGRAM_OVERHEAD;
        Some(data)
    }

    fn give_memory_back(&mut self) {
        self.machine.shrink_events();
        self.events.shrink_to_fit();
        self.datagrams.shrink_to_fit();
        self.notices.shrink_to_fit();
    }

    fn open(&mut self, direction: Direction) -> Result<StreamId> {
        let id = self.machine.open_stream(direction)?;
        self.opened[direction as usize] += 1;
        self.writable.insert(id);
        Ok(id)
    }

    /// Writes, and opens the stream first if it is the next of ours.
    fn write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize> {
        match self.machine.stream_write(id, data) {
            Err(StreamError::UnknownStream) if id.initiator() == self.machine.role() => {
                if self.next_id(id.direction()) != id {
                    return Err(Error::UnknownStream);
                }
                self.open(id.direction())?;
                Ok(self.machine.stream_write(id, data)?)
            }
            written => Ok(written?),
        }
    }

    fn next_id(&self, direction: Direction) -> StreamId {
        StreamId::new(self.machine.role(), direction, self.opened[direction as usize])
    }

    fn forget_reset(&mut self, id: StreamId) -> Option<u64> {
        let code = self.resets.remove(&id)?;
        self.readable.remove(&id);
        Some(code)
    }

    fn read(&mut self, id: StreamId, max: usize) -> Result<(Option<Bytes>, bool)> {
        if let Some(code) = self.forget_reset(id) {
            return Err(Error::StreamReset(code));
        }
        let read = self.machine.stream_read(id, max);
        if !matches!(read, Ok(Some(_))) {
            self.readable.remove(&id);
        }
        let data = read?;
        let fin = self.machine.stream_is_finished(id);
        if fin {
            self.readable.remove(&id);
        }
        Ok((data, fin))
    }
}

impl Application for Streams {
    fn client(connection: Machine, _config: &Config) -> Self {
        Self::new(connection)
    }

    fn server(connection: Machine, _config: &Config) -> Self {
        Self::new(connection)
    }

    fn with_connection<R>(&mut self, _now: Time, f: impl FnOnce(&mut Machine) -> R) -> R {
        let result = f(&mut self.machine);
        self.sort_events();
        result
    }
}

impl Host for Streams {
    fn process_packet(&mut self, packet: ReceivedPacket) {
        self.machine.process_packet(packet);
        self.sort_events();
    }

    fn on_alarm(&mut self, now: Time) {
        self.machine.on_deadline(now);
        self.sort_events();
    }

    fn run_turn(&mut self, now: Time, writer: &mut dyn PacketWriter) {
        self.machine.begin_turn();
        self.machine.write(now, writer);
        self.machine.end_turn();
        self.sort_events();
    }

    fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline()
    }

    fn pop_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn is_write_blocked(&self) -> bool {
        self.machine.is_write_blocked()
    }

    fn shut_down(&mut self, now: Time) {
        self.machine.close(now, ApplicationError(0), "the endpoint is shutting down");
    }

    fn wake(&mut self) {}

    fn close(&mut self, now: Time, code: ApplicationError, reason: &str) {
        self.machine.close(now, code, reason);
    }

    fn connection(&self) -> &Machine {
        &self.machine
    }
}

/// Events.
impl Connection<Streams> {
    /// The next news. Who does not ask loses the oldest when there are [`MAX_EVENTS`].
    pub fn poll(&mut self) -> Option<Event> {
        self.app.sort_events();
        self.app.events.pop_front()
    }
}

/// Streams.
impl Connection<Streams> {
    /// Opens a stream. [`Error::StreamLimit`] if the peer allows no more:
    /// [`Event::StreamsAvailable`] tells when it does.
    pub fn stream_open(&mut self, direction: Direction) -> Result<StreamId> {
        self.is_dirty = true;
        self.app.open(direction)
    }

    /// Writes the front of `data` as far as there is room, and returns how many bytes that is; `fin`
    /// ends the stream once all of `data` was taken. The next stream of ours is opened by writing to
    /// it. [`Error::Done`] if there is no room: the stream will be among the
    /// [`writable`](Self::writable).
    pub fn stream_send(&mut self, id: StreamId, data: &[u8], fin: bool) -> Result<usize> {
        // Not more is copied than will be taken.
        let room = match self.app.machine.stream_writable(id) {
            Ok(room) => room,
            Err(StreamError::UnknownStream) => data.len(), // if it is the next, it has room
            Err(error) => return Err(error.into()),
        };
        let mut front = Bytes::copy_from_slice(&data[..data.len().min(room)]);
        let len = front.len();
        let is_all = fin && len == data.len();
        let taken = self.stream_send_bytes(id, &mut front, is_all)?;
        match taken {
            0 if !data.is_empty() => Err(Error::Done),
            taken => Ok(taken),
        }
    }

    /// As [`stream_send`](Self::stream_send), without a copy: takes the front of `data` away.
    pub fn stream_send_bytes(
        &mut self,
        id: StreamId,
        data: &mut Bytes,
        fin: bool,
    ) -> Result<usize> {
        self.is_dirty = true;
        let taken = self.app.write(id, data)?;
        if !data.is_empty() || (taken == 0 && !fin) {
            self.app.writable.remove(&id);
        } else if fin {
            self.app.writable.remove(&id);
            self.app.machine.stream_finish(id)?;
        }
        Ok(taken)
    }

    /// Reads into `out`. Returns how many bytes, and whether the stream ends with them.
    /// [`Error::Done`] if there is nothing now, [`Error::StreamReset`] if the peer gave it up.
    pub fn stream_recv(&mut self, id: StreamId, out: &mut [u8]) -> Result<(usize, bool)> {
        self.is_dirty = true; // there may be credit to give
        let mut len = 0;
        loop {
            match self.app.read(id, out.len() - len) {
                Ok((data, fin)) => {
                    let piece = data.unwrap_or_default();
                    out[len..len + piece.len()].copy_from_slice(&piece);
                    len += piece.len();
                    match (fin, piece.is_empty()) {
                        (true, _) => return Ok((len, true)),
                        (false, true) if len == 0 => return Err(Error::Done),
                        (false, true) => return Ok((len, false)),
                        (false, false) if len == out.len() => return Ok((len, false)),
                        (false, false) => {}
                    }
                }
                Err(error) if len == 0 => return Err(error),
                Err(_) => return Ok((len, false)), // it will be said the next time
            }
        }
    }

    /// As [`stream_recv`](Self::stream_recv), without a copy: the next piece, `max` bytes at most.
    /// It may share a buffer with other packets: copy what you keep for long.
    pub fn stream_recv_bytes(&mut self, id: StreamId, max: usize) -> Result<(Bytes, bool)> {
        self.is_dirty = true;
        match self.app.read(id, max)? {
            (None, false) => Err(Error::Done),
            (data, fin) => Ok((data.unwrap_or_default(), fin)),
        }
    }

    /// The streams with something to read: data, an end, or a reset.
    pub fn readable(&self) -> Vec<StreamId> {
        self.app.readable.iter().copied().collect()
    }

    /// The first of them after this one, or the first of all.
    pub fn next_readable(&self, after: Option<StreamId>) -> Option<StreamId> {
        next_in(&self.app.readable, after)
    }

    /// The streams with room to write: those that were just opened, and those that had none when
    /// they were last written to.
    pub fn writable(&self) -> Vec<StreamId> {
        self.app.writable.iter().copied().collect()
    }

    /// The first of them after this one, or the first of all.
    pub fn next_writable(&self, after: Option<StreamId>) -> Option<StreamId> {
        next_in(&self.app.writable, after)
    }

    /// How many bytes there is room for.
    pub fn stream_capacity(&mut self, id: StreamId) -> Result<usize> {
        Ok(self.app.machine.stream_writable(id)?)
    }

    /// Whether the peer's part has been read to its end.
    pub fn stream_finished(&self, id: StreamId) -> bool {
        self.app.machine.stream_is_finished(id)
    }

    /// Gives our part of a stream up: what is not delivered is dropped (RESET_STREAM).
    pub fn stream_reset(&mut self, id: StreamId, code: u64) -> Result<()> {
        self.app.writable.remove(&id);
        Ok(self.change(|machine| machine.stream_reset(id, ApplicationError(code)))?)
    }

    /// Asks the peer to give its part up (STOP_SENDING); nothing of it will be read.
    pub fn stream_stop(&mut self, id: StreamId, code: u64) -> Result<()> {
        self.app.readable.remove(&id);
        self.app.resets.remove(&id);
        Ok(self.change(|machine| machine.stream_stop_sending(id, ApplicationError(code)))?)
    }

    /// Ranks a stream's data against that of others (RFC 9218).
    pub fn stream_priority(&mut self, id: StreamId, priority: Priority) -> Result<()> {
        Ok(self.change(|machine| machine.stream_set_priority(id, priority))?)
    }

    /// Has nothing of a stream sent after `deadline`: it is then reset with `code`.
    pub fn stream_deadline(&mut self, id: StreamId, deadline: Time, code: u64) -> Result<()> {
        let code = ApplicationError(code);
        Ok(self.change(|machine| machine.stream_set_deadline(id, Some(deadline), code))?)
    }
}

/// Datagrams (RFC 9221).
impl Connection<Streams> {
    /// Queues a datagram; [`Event`]s tell what became of it.
    pub fn dgram_send(&mut self, data: &[u8], options: DatagramOptions) -> Result<DatagramId> {
        let data = Bytes::copy_from_slice(data);
        Ok(self.change(|machine| machine.send_datagram(data, options))?)
    }

    /// Takes the oldest datagram that has come, and returns its length. [`Error::Done`] if there is
    /// none; [`Error::BufferTooShort`] leaves it where it is.
    pub fn dgram_recv(&mut self, out: &mut [u8]) -> Result<usize> {
        let len = self.app.datagrams.front().ok_or(Error::Done)?.len();
        let room = out.get_mut(..len).ok_or(Error::BufferTooShort(len))?;
        let data = self.app.take_datagram().ok_or(Error::Done)?;
        room.copy_from_slice(&data);
        Ok(len)
    }

    /// How many bytes a datagram may have now; `None` if the peer takes none.
    pub fn dgram_max_size(&self) -> Option<usize> {
        self.app.machine.max_datagram_size()
    }
}

fn next_in(set: &BTreeSet<StreamId>, after: Option<StreamId>) -> Option<StreamId> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    set.range((from, Bound::Unbounded)).next().copied()
}

/// How many events wait for [`Connection::poll`] at most.
pub const MAX_EVENTS: usize = 16 * 1024;
/// How many resets are remembered for readers that have not asked.
const MAX_RESETS: usize = 4096;
/// How many bytes of datagrams wait, each counted with [`DATAGRAM_OVERHEAD`] more.
const MAX_DATAGRAM_BYTES: usize = 1 << 20;
const DATAGRAM_OVERHEAD: usize = 64;
