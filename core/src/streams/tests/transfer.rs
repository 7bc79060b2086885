//! Whole transfers between two ends over a bad network, byte by byte; and who sends first.

use super::*;
use crate::helper::{RandomGenerator, SeededRandom};

/// Byte `at` of every stream with this ID.
fn content(stream: StreamId, offset: u64, len: u64) -> Bytes {
    let byte = |at: u64| ((at * 131 + stream.as_u64() * 7) % 251) as u8;
    (offset..offset + len).map(byte).collect()
}

struct Upload {
    id: StreamId,
    written: u64,
    total: u64,
}

impl Upload {
    fn write(&mut self, client: &mut Streams, random: &mut SeededRandom) {
        if self.written == self.total {
            return;
        }
        let len = (1 + random.next_u64() % 3000).min(self.total - self.written);
        let mut data = content(self.id, self.written, len);
        self.written += client.write(self.id, &mut data).unwrap() as u64;
        if self.written == self.total {
            client.finish(self.id).unwrap();
        }
    }
}

/// Carries one packet, or loses, doubles or delays it.
fn carry_badly(
    from: &mut Streams,
    to: &mut Streams,
    flight: &mut Vec<Packet>,
    random: &mut SeededRandom,
) {
    if from.wants_to_send() && flight.len() < 40 {
        flight.push(packet(from));
    }
    if flight.is_empty() || random.next_u64().is_multiple_of(3) {
        return;
    }
    let packet = flight.remove(random.next_u64() as usize % flight.len());
    let fate = random.next_u64() % 10;
    if fate != 0 {
        for frame in &packet.frames {
            receive(to, frame).unwrap();
        }
    }
    if fate <= 1 {
        packet.records().for_each(|record| from.on_lost(&record));
    } else {
        packet.records().for_each(|record| from.on_acked(&record));
    }
}

#[test]
fn any_loss_and_reordering_delivers_every_byte() {
    for seed in 0..30 {
        let mut random = SeededRandom::new(seed);
        let mut pair = Pair::new(&small());
        let mut uploads: Vec<_> = (0..4)
            .map(|_| Upload {
                id: pair.client.open(UNI).unwrap(),
                written: 0,
                total: random.next_u64() % 20_000,
            })
            .collect();
        let mut received = vec![Vec::new(); 4];
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for round in 0.. {
            assert!(round < 100_000, "seed {seed}: no progress");
            for upload in &mut uploads {
                upload.write(&mut pair.client, &mut random);
            }
            carry_badly(&mut pair.client, &mut pair.server, &mut up, &mut random);
            carry_badly(&mut pair.server, &mut pair.client, &mut down, &mut random);
            for (upload, received) in uploads.iter().zip(&mut received) {
                received.extend(read_all(&mut pair.server, upload.id));
            }
            pair.server.end_turn();
            events(&mut pair.server);
            events(&mut pair.client);
            if pair.client.live() + pair.server.live() + up.len() + down.len() == 0
                && uploads.iter().all(|upload| upload.written == upload.total)
            {
                break;
            }
        }
        for (upload, received) in uploads.iter().zip(&received) {
            assert!(*received == content(upload.id, 0, upload.total), "seed {seed}");
        }
        assert_eq!(pair.server.unread(), 0, "seed {seed}");
    }
}

#[test]
fn streams_share_in_equal_parts() {
    let config = StreamsConfig { max_data: 1 << 30, max_stream_data_uni: 1 << 30, ..small() };
    let mut client = Pair::new(&config).client;
    for _ in 0..5 {
        let stream = client.open(UNI).unwrap();
        client.write_all(stream, zeros(1 << 20)).unwrap();
    }
    let mut sent = [0_usize; 5];
    for _ in 0..500 {
        for (stream, _, len, _) in packet(&mut client).data() {
            sent[stream as usize / 4] += len;
        }
    }
    let spread = sent.iter().max().unwrap() - sent.iter().min().unwrap();
    assert!(spread <= 16 * 1024 + 1200, "{sent:?}");
}

#[test]
fn urgent_streams_go_first() {
    let config = StreamsConfig { max_data: 1 << 20, ..small() };
    let mut client = Pair::new(&config).client;
    let (late, soon) = (client.open(UNI).unwrap(), client.open(UNI).unwrap());
    for stream in [late, soon] {
        client.write_all(stream, zeros(100)).unwrap();
    }
    let urgency = |urgency| Priority { urgency, incremental: false };
    client.set_priority(late, urgency(200)).unwrap();
    client.set_priority(soon, urgency(0)).unwrap();
    let order: Vec<_> = packet(&mut client).data().iter().map(|frame| frame.0).collect();
    assert_eq!(order, [6, 2]);
}

#[test]
fn small_streams_share_a_packet() {
    let mut client = Pair::new(&small()).client;
    for _ in 0..10 {
        let stream = client.open(UNI).unwrap();
        client.write_all(stream, zeros(32)).unwrap();
        client.finish(stream).unwrap();
    }
    assert_eq!(packet(&mut client).data().len(), 10);
    assert!(!client.wants_to_send());
}
