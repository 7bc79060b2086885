//! [`HeaderBits`]: the bits of a header's first byte that are nobody's secret: the latency spin bit
//! (RFC 9000 §17.4) and the QUIC bit (RFC 9287). This file must not know what else a header says.

use super::Connection;
use super::keys::Level;
use super::spin::SpinBit;
use crate::helper::RandomGenerator;
use crate::types::Space;
use crate::wire::{HeaderError, PacketHeader, parse_greased_header, parse_header};

/// What the first byte of a header says beside its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstByte {
    /// Short headers only.
    pub(super) spin: bool,
    /// Short headers only.
    pub(super) key_phase: bool,
    pub(super) quic_bit: bool,
}

impl FirstByte {
    /// As the first packets of a connection have it.
    pub(super) const PLAIN: Self = Self { spin: false, key_phase: false, quic_bit: true };
}

#[derive(Debug)]
pub(super) struct HeaderBits {
    pub(super) spin: SpinBit,
    random: RandomBits,
}

impl HeaderBits {
    pub(super) fn new(spin_bit: bool) -> Self {
        Self { spin: SpinBit::new(spin_bit), random: RandomBits::default() }
    }
}

/// Random bits, of which one number gives many.
#[derive(Debug, Default)]
pub(super) struct RandomBits {
    bits: u64,
    left: u32,
}

impl RandomBits {
    pub(super) fn next(&mut self, random: &mut dyn RandomGenerator) -> bool {
        if self.left == 0 {
            (self.bits, self.left) = (random.next_u64(), u64::BITS);
        }
        self.left -= 1;
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        bit
    }
}

impl Connection {
    /// The first byte of the next packet on the path in use.
    pub(super) fn next_first_byte(&mut self, space: Space) -> FirstByte {
        let spin = space == Space::Application && self.keys.level() == Level::OneRtt && {
            let HeaderBits { spin, random } = &mut self.header_bits;
            let (path, peer_id) = (self.paths.active_number(), self.peer_cids.active_sequence());
            spin.next(path, peer_id, random, &mut *self.random)
        };
        FirstByte { spin, ..self.first_byte_off_path() }
    }

    /// As [`Self::next_first_byte`], for a packet that follows one on the same path at once.
    pub(super) fn first_byte_after(&mut self, last: FirstByte) -> FirstByte {
        let HeaderBits { spin, random } = &mut self.header_bits;
        let spin = if spin.spins() { last.spin } else { random.next(&mut *self.random) };
        FirstByte { spin, quic_bit: self.next_quic_bit(), ..last }
    }

    /// The first byte of the next packet on another path, where nothing spins.
    pub(super) fn first_byte_off_path(&mut self) -> FirstByte {
        let (key_phase, quic_bit) = (self.keys.key_phase(), self.next_quic_bit());
        FirstByte { spin: false, key_phase, quic_bit }
    }

    /// RFC 9287 §3.1: unpredictable towards a peer that has said that it does not mind, and only
    /// then. What is remembered of a server does not count (§3).
    fn next_quic_bit(&mut self) -> bool {
        let minds = !self.handshake.peer_parameters().grease_quic_bit;
        if !self.config.grease_quic_bit || minds {
            return true;
        }
        self.header_bits.random.next(&mut *self.random)
    }

    /// Reads a header. RFC 9287 §3: who says that it does not mind takes any QUIC bit.
    pub(super) fn read_header<'a>(&self, data: &'a [u8]) -> Result<PacketHeader<'a>, HeaderError> {
        let length = self.local_cids.length();
        if self.config.grease_quic_bit {
            parse_greased_header(data, length)
        } else {
            parse_header(data, length)
        }
    }
}
