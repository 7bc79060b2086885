//! [`Actor`]: who lives on a host: an endpoint of QUIC, a source of other traffic, or anything that
//! takes and sends datagrams. [`SimWriter`] is how it sends. This file must not know the network.

use std::any::Any;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use protoquic::{
    AlarmFactory, Ecn, EventLoopVisitor, OutgoingPacket, PacketWriter, PathAddress, Payload,
    ReceivedPacket, Time, WriteResult,
};

use super::alarms::Alarms;
use crate::gro::Coalescer;

/// Lives on a host of the simulator.
pub trait Actor: Any {
    /// A datagram came. Called for each, before [`on_turn`](Self::on_turn).
    fn on_datagram(&mut self, packet: ReceivedPacket);

    /// The turn after datagrams came or the deadline passed; sends by the actor's [`SimWriter`].
    fn on_turn(&mut self, now: Time);

    /// When the next turn is wanted at the latest.
    fn next_deadline(&self) -> Option<Time>;
}

/// What an actor sent and the simulator has not taken yet.
pub(super) type Outbox = Rc<RefCell<Vec<Sent>>>;

/// A datagram that leaves an actor.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) ecn: Ecn,
    pub(super) data: BytesMut,
}

/// An actor's socket. Packets are built in its own buffer, and travel there.
#[derive(Debug)]
pub struct SimWriter {
    outbox: Outbox,
    address: SocketAddr,
    slab: BytesMut,
}

impl SimWriter {
    pub(super) fn new(outbox: Outbox, address: SocketAddr) -> Self {
        Self { outbox, address, slab: BytesMut::new() }
    }

    fn push(&mut self, path: &PathAddress, ecn: Ecn, data: BytesMut) {
        // A connection that knows several of its host's addresses says which.
        let local = path.local;
        let from = if local.ip().is_unspecified() { self.address } else { local };
        self.outbox.borrow_mut().push(Sent { from, to: path.peer, ecn, data });
    }
}

impl PacketWriter for SimWriter {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let data = match packet.payload {
            Payload::Borrowed(data) => BytesMut::from(data),
            Payload::InPlace(len) => self.slab.split_to(len),
        };
        self.push(packet.path, packet.ecn, data);
        WriteResult::Ok
    }

    fn next_write_location(&mut self, _path: &PathAddress, size: usize) -> Option<&mut [u8]> {
        if self.slab.len() < size {
            self.slab = BytesMut::zeroed(size.max(SLAB));
        }
        Some(&mut self.slab[..size])
    }

    fn supports_ecn(&self) -> bool {
        true
    }
}

/// What an event loop would drive, driven by the simulator: a
/// [`SingleHost`](protoquic::SingleHost), a [`Dispatcher`](protoquic::dispatcher::Dispatcher), or
/// another [`EventLoopVisitor`].
#[derive(Debug)]
pub struct Endpoint<V> {
    visitor: V,
    alarms: Alarms,
    arrived: Coalescer,
}

impl<V: EventLoopVisitor> Endpoint<V> {
    /// An endpoint without alarms yet.
    pub fn new(visitor: V) -> Self {
        Self { visitor, alarms: Alarms::default(), arrived: Coalescer::default() }
    }

    /// What is driven.
    pub fn visitor(&self) -> &V {
        &self.visitor
    }

    /// What is driven, to work on from outside; follow it with
    /// [`Simulator::kick`](super::Simulator::kick).
    pub fn visitor_mut(&mut self) -> &mut V {
        &mut self.visitor
    }
}

impl<V: EventLoopVisitor + 'static> Actor for Endpoint<V> {
    fn on_datagram(&mut self, packet: ReceivedPacket) {
        self.arrived.take(packet, &mut self.visitor);
    }

    fn on_turn(&mut self, now: Time) {
        self.arrived.flush(&mut self.visitor);
        while let Some(owner) = self.alarms.pop_expired(now) {
            self.visitor.on_alarm(owner, now);
        }
        for _ in 0..MAX_ROUNDS {
            self.visitor.on_turn_end(now, &mut self.alarms);
            if self.visitor.wants_write_event() {
                self.visitor.on_can_write(now);
            } else if !self.visitor.has_work() {
                break;
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.alarms.next_deadline()
    }
}

/// The writer's buffer, in bytes: a few dozen packets lie in one allocation.
const SLAB: usize = 64 << 10;
/// How often an endpoint that has more work is called at one time before time goes on.
const MAX_ROUNDS: usize = 100;
