//! One socket with quiche's connections on it: datagrams in by GRO, out by GSO, as quiche's
//! documentation advises. This file must not know what the streams carry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use polling::{Event, Events, Poller};
use protoquic_perf_kit::{MAX_UDP_PAYLOAD, Result, bind};
use quiche::{Config, Connection, ConnectionId, MAX_CONN_ID_LEN, RecvInfo, Type};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use ring::rand::{SecureRandom, SystemRandom};

/// What a program does with connections.
pub trait Application {
    /// What it knows of a connection.
    type State;

    /// A client came.
    fn accepted(&mut self) -> Self::State;

    /// Datagrams came, or there is room to send.
    fn progress(&mut self, connection: &mut Connection, state: &mut Self::State);
}

/// A connection and what the application knows of it.
pub struct Member<S> {
    /// quiche's.
    pub connection: Connection,
    /// The application's.
    pub state: S,
    touched: bool,
    /// The timer that is in the heap.
    deadline: Option<Instant>,
    /// When the pacer wants more to be sent.
    not_before: Option<Instant>,
}

impl<S> Member<S> {
    fn new(connection: Connection, state: S) -> Self {
        Self {
            connection,
            state,
            touched: false,
            deadline: None,
            not_before: None,
        }
    }
}

/// A connection's timer: when, and whose.
type Timer = Reverse<(Instant, Vec<u8>)>;

/// The socket and its connections.
pub struct Endpoint<A: Application> {
    /// Who uses the streams.
    pub application: A,
    /// By our connection ID.
    pub members: HashMap<Vec<u8>, Member<A::State>>,
    /// Those that something happened to.
    touched: Vec<Vec<u8>>,
    /// Those that wait for a time; a timer that was set anew is in it more than once.
    timers: BinaryHeap<Timer>,
    config: Config,
    is_server: bool,
    /// Whether packets wait for quiche's pacer, as its BBR expects.
    is_paced: bool,
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    poller: Poller,
    key: ring::hmac::Key,
    random: SystemRandom,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl<A: Application> Endpoint<A> {
    /// An endpoint on this address.
    pub fn bind(
        address: SocketAddr,
        config: Config,
        application: A,
        is_server: bool,
    ) -> Result<Self> {
        let socket = bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let poller = Poller::new()?;
        // SAFETY: the socket lives as long as the poller: both are the endpoint's.
        unsafe { poller.add(&socket, Event::readable(0))? };
        let random = SystemRandom::new();
        let key = ring::hmac::Key::generate(ring::hmac::HMAC_SHA256, &random)
            .map_err(|_| "there is no randomness")?;
        let local = socket.local_addr()?;
        Ok(Self {
            application,
            members: HashMap::new(),
            touched: Vec::new(),
            timers: BinaryHeap::new(),
            config,
            is_server,
            is_paced: false,
            socket,
            state,
            local,
            poller,
            key,
            random,
            incoming: vec![0; BATCHES * BUFFER],
            outgoing: vec![0; BUFFER],
        })
    }

    /// Has packets wait for quiche's pacer.
    pub fn set_paced(&mut self, is_paced: bool) {
        self.is_paced = is_paced;
    }

    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Begins a connection.
    pub fn connect(
        &mut self,
        peer: SocketAddr,
        state: A::State,
        ticket: Option<&[u8]>,
    ) -> Result<()> {
        let mut id = [0; MAX_CONN_ID_LEN];
        self.random
            .fill(&mut id)
            .map_err(|_| "there is no randomness")?;
        let scid = ConnectionId::from_ref(&id);
        let mut connection =
            quiche::connect(Some("localhost"), &scid, self.local, peer, &mut self.config)?;
        if let Some(ticket) = ticket {
            connection.set_session(ticket)?;
        }
        self.members
            .insert(id.to_vec(), Member::new(connection, state));
        self.touch(id.to_vec());
        Ok(())
    }

    /// Something happened to a connection: it will be worked on.
    fn touch(&mut self, id: Vec<u8>) {
        if let Some(member) = self.members.get_mut(&id).filter(|member| !member.touched) {
            member.touched = true;
            self.touched.push(id);
        }
    }

    /// Waits for something to happen and works on it. Returns the connections that are over.
    pub fn turn(&mut self) -> Result<Vec<Member<A::State>>> {
        let mut over = self.work()?;
        let now = Instant::now();
        let next = self
            .timers
            .peek()
            .map(|Reverse((at, _))| *at - now.min(*at));
        self.poller.modify(&self.socket, Event::readable(0))?;
        let mut events = Events::new();
        self.poller
            .wait(&mut events, next.or(Some(Duration::from_secs(1))))?;
        if events.iter().next().is_some() {
            self.read()?;
        }
        self.fire();
        over.extend(self.work()?);
        Ok(over)
    }

    /// Tells connections whose time has come.
    fn fire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.timers.peek()
            && *at <= now
        {
            let Some(Reverse((at, id))) = self.timers.pop() else {
                break;
            };
            let member = self.members.get_mut(&id);
            if let Some(member) = member.filter(|member| member.deadline == Some(at)) {
                member.deadline = None;
                member.connection.on_timeout();
                self.touch(id);
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        for _ in 0..READS_PER_TURN {
            let mut meta = [RecvMeta::default(); BATCHES];
            let mut incoming = std::mem::take(&mut self.incoming);
            let mut slices: Vec<_> = incoming.chunks_mut(BUFFER).map(IoSliceMut::new).collect();
            let socket = UdpSockRef::from(&self.socket);
            let count = match self.state.recv(socket, &mut slices, &mut meta) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            for (buffer, meta) in incoming.chunks_mut(BUFFER).zip(&meta[..count]) {
                for packet in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                    self.receive(packet, meta.addr);
                }
            }
            self.incoming = incoming;
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    fn receive(&mut self, packet: &mut [u8], from: SocketAddr) {
        let Ok(header) = quiche::Header::from_slice(packet, MAX_CONN_ID_LEN) else {
            return;
        };
        let mut id = header.dcid.to_vec();
        if !self.members.contains_key(&id) {
            // The client's own choice: ours is made from it, so that its repetitions find it too.
            id = ring::hmac::sign(&self.key, &id).as_ref()[..MAX_CONN_ID_LEN].to_vec();
            if !self.members.contains_key(&id) {
                if !self.is_server || header.ty != Type::Initial {
                    return;
                }
                let scid = ConnectionId::from_ref(&id);
                let Ok(connection) =
                    quiche::accept(&scid, None, self.local, from, &mut self.config)
                else {
                    return;
                };
                let state = self.application.accepted();
                self.members
                    .insert(id.clone(), Member::new(connection, state));
            }
        }
        if let Some(member) = self.members.get_mut(&id) {
            let _ = member.connection.recv(
                packet,
                RecvInfo {
                    from,
                    to: self.local,
                },
            );
            self.touch(id);
        }
    }

    /// Lets the application work and sends, on every connection that something happened to. Returns
    /// those that are over.
    fn work(&mut self) -> Result<Vec<Member<A::State>>> {
        let mut over = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.touched = false;
            loop {
                self.application
                    .progress(&mut member.connection, &mut member.state);
                let soon = self.is_paced.then(|| Instant::now() + PACING_SLACK);
                if member
                    .not_before
                    .zip(soon)
                    .is_some_and(|(at, soon)| at > soon)
                {
                    break;
                }
                let sent = send(
                    &mut member.connection,
                    &mut self.outgoing,
                    soon,
                    |path, bytes, segment| {
                        transmit(&self.state, &self.socket, path, bytes, segment)
                    },
                )?;
                member.not_before = match sent {
                    Sent::Nothing => None,
                    Sent::Some => continue,
                    Sent::UntilLater(at) => Some(at),
                };
                break;
            }
            if member.connection.is_closed() {
                over.extend(self.members.remove(&id));
                continue;
            }
            let timeout = member.connection.timeout_instant();
            let deadline = timeout.into_iter().chain(member.not_before).min();
            // A later time is found out when the earlier one comes, as `on_timeout` does nothing then.
            if let Some(at) = deadline
                && member.deadline.is_none_or(|set| at < set)
            {
                member.deadline = Some(at);
                self.timers.push(Reverse((at, id)));
            }
        }
        Ok(over)
    }
}

/// What came of sending.
enum Sent {
    Nothing,
    Some,
    /// The pacer wants to wait until then.
    UntilLater(Instant),
}

/// Sends what a connection has to send, in batches of equal size; if there is a time `soon`, until
/// the pacer wants a packet to leave later than that.
fn send(
    connection: &mut Connection,
    buffer: &mut [u8],
    soon: Option<Instant>,
    mut transmit: impl FnMut(SocketAddr, &[u8], usize) -> Result<()>,
) -> Result<Sent> {
    let size = usize::from(MAX_UDP_PAYLOAD);
    let (mut len, mut segment, mut peer) = (0, 0, None);
    let mut sent = Sent::Nothing;
    while !matches!(sent, Sent::UntilLater(_)) {
        let (written, to) = match connection.send(&mut buffer[len..len + size]) {
            Ok((written, info)) => {
                sent = match soon {
                    Some(soon) if info.at > soon => Sent::UntilLater(info.at),
                    _ => Sent::Some,
                };
                (written, info.to)
            }
            Err(quiche::Error::Done) => break,
            Err(error) => return Err(error.into()),
        };
        if segment > 0 && written > segment {
            // Larger than those before it: they go first.
            transmit(to, &buffer[..len], segment)?;
            buffer.copy_within(len..len + written, 0);
            (len, segment) = (0, 0);
        }
        segment = if segment == 0 { written } else { segment };
        (len, peer) = (len + written, Some(to));
        let full = len + size > MAX_BATCH || len / segment >= MAX_SEGMENTS;
        if full || written < segment {
            transmit(to, &buffer[..len], segment)?;
            (len, segment) = (0, 0);
        }
    }
    if let Some(peer) = peer.filter(|_| len > 0) {
        transmit(peer, &buffer[..len], segment)?;
    }
    Ok(sent)
}

fn transmit(
    state: &UdpSocketState,
    socket: &UdpSocket,
    destination: SocketAddr,
    contents: &[u8],
    segment: usize,
) -> Result<()> {
    let segment_size = (contents.len() > segment).then_some(segment);
    let transmit = Transmit {
        destination,
        ecn: None,
        contents,
        segment_size,
        src_ip: None,
    };
    let give_up = Instant::now() + Duration::from_secs(1);
    loop {
        match state.try_send(UdpSockRef::from(socket), &transmit) {
            // A full socket buffer empties within microseconds on the loopback.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                std::thread::yield_now();
            }
            other => return Ok(other?),
        }
    }
}

/// The bytes of one receive buffer, and of the send buffer.
const BUFFER: usize = 1 << 16;
/// How many GRO batches one system call may bring.
const BATCHES: usize = 4;
/// Reads before the connections get their turn.
const READS_PER_TURN: usize = 4;
/// What UDP carries at once.
const MAX_BATCH: usize = 65_507;
/// What the kernel splits at once.
const MAX_SEGMENTS: usize = 64;
/// How much earlier than the pacer wants a packet may leave: to wake for less costs more.
const PACING_SLACK: Duration = Duration::from_millis(1);
