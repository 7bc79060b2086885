//! [`WorkerConnectionIds`]: connection IDs of which one byte tells the worker that issued them. It
//! must not know what becomes of packets.

use protoquic_core::connection::{ConnectionIdGenerator, RandomConnectionIds};
use protoquic_core::{ConnectionId, RandomGenerator};

use super::{MAX_WORKERS, STEERING_BYTE, WorkersError};

/// Connection IDs of one worker: byte [`STEERING_BYTE`] modulo the number of workers is its number.
/// Who knows how many workers there are sees which of them a packet goes to, and no more: the byte
/// is random but for that.
#[derive(Debug)]
pub struct WorkerConnectionIds {
    kind: Kind,
    number: u8,
    /// 1 to [`MAX_WORKERS`].
    count: u16,
}

#[derive(Debug)]
enum Kind {
    /// The byte is chosen.
    Random(RandomConnectionIds),
    /// IDs are made until one fits.
    Other(Box<dyn ConnectionIdGenerator>),
}

impl WorkerConnectionIds {
    /// Random ones of this length, 8 to 20 bytes, for worker `number` of `count`, from 0.
    pub fn random(length: usize, number: usize, count: usize) -> Result<Self, WorkersError> {
        let ids = RandomConnectionIds::new(length);
        Self::new(Kind::Random(ids), ids.connection_id_length(), number, count)
    }

    /// Those of another generator that happen to tell worker `number` of `count`: of `count`, one on
    /// average. For [`QuicLbConnectionIds`](crate::QuicLbConnectionIds) with a key, say, where the
    /// byte is encrypted; without one it must be of the nonce, after a server ID of up to six bytes.
    ///
    /// ```
    /// use protoquic_core::SystemRandom;
    /// use protoquic_dispatcher::{
    ///     ConnectionIdGenerator, QuicLbConfig, QuicLbConnectionIds, WorkerConnectionIds,
    /// };
    ///
    /// let config = QuicLbConfig::new(0, 2, 8, Some(&[0x42; 16]))?;
    /// let lb = QuicLbConnectionIds::new(config.clone(), &[0, 7], &mut SystemRandom)?;
    /// let mut ids = WorkerConnectionIds::of(Box::new(lb), 2, 3, &mut SystemRandom)?;
    /// let id = ids.generate(&mut SystemRandom);
    /// assert_eq!(config.server_id(&id).unwrap().as_bytes(), [0, 7]); // for the load balancer
    /// assert_eq!(id.as_bytes()[7] % 3, 2); // for the host
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(
        ids: Box<dyn ConnectionIdGenerator>,
        number: usize,
        count: usize,
        random: &mut dyn RandomGenerator,
    ) -> Result<Self, WorkersError> {
        let length = ids.connection_id_length();
        let mut made = Self::new(Kind::Other(ids), length, number, count)?;
        let tried = made.generate(random);
        if made.fits(&tried) { Ok(made) } else { Err(WorkersError::FixedIds) }
    }

    fn new(kind: Kind, length: usize, number: usize, count: usize) -> Result<Self, WorkersError> {
        if !(1..=MAX_WORKERS).contains(&count) || number >= count {
            return Err(WorkersError::Count(count));
        }
        if length <= STEERING_BYTE {
            return Err(WorkersError::IdLength(length));
        }
        Ok(Self { kind, number: number as u8, count: count as u16 })
    }

    fn fits(&self, id: &ConnectionId) -> bool {
        let byte = id.as_bytes().get(STEERING_BYTE).copied().unwrap_or(0);
        u16::from(byte) % self.count == u16::from(self.number)
    }

    /// One of the bytes that tell this worker, chosen by a random one.
    fn steering_byte(&self, random: u8) -> u8 {
        let (number, count) = (u16::from(self.number), self.count);
        let choices = (u16::from(u8::MAX) - number) / count + 1;
        (u16::from(random) % choices * count + number) as u8
    }
}

impl ConnectionIdGenerator for WorkerConnectionIds {
    fn generate(&mut self, random: &mut dyn RandomGenerator) -> ConnectionId {
        let tries = TRIES_PER_WORKER * usize::from(self.count);
        match &mut self.kind {
            Kind::Random(ids) => {
                let id = ids.generate(random);
                let mut bytes = [0; ConnectionId::MAX_LEN];
                let bytes = &mut bytes[..id.len()];
                bytes.copy_from_slice(id.as_bytes());
                bytes[STEERING_BYTE] = self.steering_byte(bytes[STEERING_BYTE]);
                ConnectionId::new(bytes).expect("it is as long as the one it was made of")
            }
            Kind::Other(_) => {
                let mut id = self.any(random);
                for _ in 1..tries {
                    if self.fits(&id) {
                        break;
                    }
                    id = self.any(random);
                }
                id
            }
        }
    }

    fn connection_id_length(&self) -> usize {
        match &self.kind {
            Kind::Random(ids) => ids.connection_id_length(),
            Kind::Other(ids) => ids.connection_id_length(),
        }
    }

    fn clone_box(&self) -> Box<dyn ConnectionIdGenerator> {
        let kind = match &self.kind {
            Kind::Random(ids) => Kind::Random(*ids),
            Kind::Other(ids) => Kind::Other(ids.clone_box()),
        };
        Box::new(Self { kind, number: self.number, count: self.count })
    }
}

impl WorkerConnectionIds {
    fn any(&mut self, random: &mut dyn RandomGenerator) -> ConnectionId {
        match &mut self.kind {
            Kind::Random(ids) => ids.generate(random),
            Kind::Other(ids) => ids.generate(random),
        }
    }
}

/// How often IDs are made for each worker until one fits. That none does has a chance of e^-64 if
/// the byte is random.
const TRIES_PER_WORKER: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use protoquic_core::SeededRandom;

    use super::*;
    use crate::{QuicLbConfig, QuicLbConnectionIds};

    #[test]
    fn every_worker_has_all_bytes_of_its_class_and_no_other() {
        let mut random = SeededRandom::new(7);
        for count in [1, 2, 3, 64, 100, 256] {
            let mut seen = HashSet::new();
            for number in 0..count {
                let ids = WorkerConnectionIds::random(8, number, count).unwrap();
                let mut ids = ids.clone_box();
                for _ in 0..4000 / count * 4 {
                    let id = ids.generate(&mut random);
                    assert_eq!(usize::from(id.as_bytes()[STEERING_BYTE]) % count, number);
                    seen.insert(id.as_bytes()[STEERING_BYTE]);
                }
            }
            assert!(seen.len() > 250, "{count} workers use {} bytes", seen.len());
        }
    }

    #[test]
    fn ids_of_a_load_balancer_tell_worker_and_server() {
        let mut random = SeededRandom::new(7);
        for (key, server) in [(Some([9; 16]), &[1; 7][..]), (None, &[1; 6])] {
            let config = QuicLbConfig::new(1, server.len(), 6, key.as_ref()).unwrap();
            let lb = QuicLbConnectionIds::new(config.clone(), server, &mut random).unwrap();
            let ids = WorkerConnectionIds::of(Box::new(lb), 63, 64, &mut random).unwrap();
            let mut ids = ids.clone_box();
            assert_eq!(ids.connection_id_length(), 1 + server.len() + 6);
            for _ in 0..100 {
                let id = ids.generate(&mut random);
                assert_eq!(id.as_bytes()[STEERING_BYTE] % 64, 63);
                assert_eq!(config.server_id(&id).unwrap().as_bytes(), server);
            }
        }
    }

    #[test]
    fn ids_that_cannot_tell_a_worker_are_refused() {
        let mut random = SeededRandom::new(7);
        let short = WorkerConnectionIds::random(7, 0, 2).unwrap_err();
        assert_eq!(short, WorkersError::IdLength(7));
        // In plain sight, and the server's name is where the worker would be.
        let config = QuicLbConfig::new(1, 8, 6, None).unwrap();
        let lb = QuicLbConnectionIds::new(config, &[1; 8], &mut random).unwrap();
        let fixed = WorkerConnectionIds::of(Box::new(lb), 0, 2, &mut random).unwrap_err();
        assert_eq!(fixed, WorkersError::FixedIds);
        assert_eq!(WorkerConnectionIds::random(8, 2, 2).unwrap_err(), WorkersError::Count(2));
    }
}
