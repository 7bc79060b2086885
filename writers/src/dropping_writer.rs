//! [`DroppingWriter`]: loses packets on purpose (Chromium: PacketDroppingTestWriter).

use protoquic_core::{OutgoingPacket, PacketWriter, RandomGenerator, SeededRandom, WriteResult};

use crate::staging::pass_on;

/// Which packets are lost.
#[derive(Debug)]
enum Rule {
    EveryNth { n: u64, count: u64 },
    First { left: u64 },
    Random { per_thousand: u64, random: SeededRandom },
}

/// Pretends to send some packets and does not.
///
/// ```
/// use protoquic_core::{Ecn, OutgoingPacket, PacketWriter, PathAddress, Payload};
/// use protoquic_writers::{DroppingWriter, Recording, RecordingWriter};
///
/// let recording = Recording::default();
/// let inner = RecordingWriter::alone(recording.clone());
/// let mut writer = DroppingWriter::every_nth(inner, 10);
/// let path = PathAddress::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
/// for _ in 0..100 {
///     let payload = Payload::Borrowed(b"packet");
///     writer.write_packet(&OutgoingPacket { path: &path, payload, ecn: Ecn::NotEct, release_time: None });
/// }
/// assert_eq!(recording.take().len(), 90);
/// ```
#[derive(Debug)]
pub struct DroppingWriter<W> {
    inner: W,
    rule: Rule,
}

impl<W: PacketWriter> DroppingWriter<W> {
    /// Loses every `n`th packet; none if `n` is 0.
    pub fn every_nth(inner: W, n: u64) -> Self {
        Self { inner, rule: Rule::EveryNth { n, count: 0 } }
    }

    /// Loses the first `n` packets.
    pub fn first(inner: W, n: u64) -> Self {
        Self { inner, rule: Rule::First { left: n } }
    }

    /// Loses packets at random: of a thousand, so many. The same seed loses the same packets.
    pub fn random(inner: W, per_thousand: u64, seed: u64) -> Self {
        Self { inner, rule: Rule::Random { per_thousand, random: SeededRandom::new(seed) } }
    }

    fn is_lost(&mut self) -> bool {
        match &mut self.rule {
            Rule::EveryNth { n, count } => {
                *count += 1;
                *n > 0 && count.is_multiple_of(*n)
            }
            Rule::First { left } => {
                let lost = *left > 0;
                *left -= u64::from(lost);
                lost
            }
            Rule::Random { per_thousand, random } => random.next_u64() % 1000 < *per_thousand,
        }
    }
}

impl<W: PacketWriter> PacketWriter for DroppingWriter<W> {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        if self.is_lost() { WriteResult::Ok } else { self.inner.write_packet(packet) }
    }

    pass_on!();
}
