//! Bulk data leaves in batches, of one stream or of many: whatever a packet holds, it takes the size
//! of those it leaves with, as far as a writer tells it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protoquic::{OutgoingPacket, PacketWriter, PathAddress, Payload, WriteResult};
use protoquic_tests::datagrams::{ALPN, DatagramPeer, Log, config, factory, open_bulk};
use protoquic_tests::net::{Link, Net, WireWriter};
use protoquic_tests::tls;

/// So many packets at most are a batch.
const MOST: usize = 45;

/// Counts the batches that a writer for production would make of its packets.
struct CountingWriter {
    inner: WireWriter,
    batch: Option<(usize, usize)>,
    seen: Rc<RefCell<Batches>>,
}

#[derive(Debug, Default)]
struct Batches {
    packets: usize,
    /// Batches that ended because a packet was of another size.
    broken: usize,
}

impl PacketWriter for CountingWriter {
    fn write_packet(&mut self, packet: &OutgoingPacket<'_>) -> WriteResult {
        let Payload::Borrowed(data) = packet.payload else { unreachable!("no location was lent") };
        let mut seen = self.seen.borrow_mut();
        seen.packets += 1;
        let len = data.len();
        self.batch = match self.batch {
            Some((size, count)) if len == size && count < MOST => Some((size, count + 1)),
            Some((size, _)) => {
                seen.broken += usize::from(len != size);
                Some((len, 1))
            }
            None => Some((len, 1)),
        };
        self.inner.write_packet(packet)
    }

    fn segment_size(&self, _path: &PathAddress) -> Option<usize> {
        self.batch.filter(|(_, count)| *count < MOST).map(|(size, _)| size)
    }

    fn flush(&mut self) -> WriteResult {
        self.batch = None;
        WriteResult::Ok
    }
}

/// A client uploads 6 MB in all.
fn upload(streams: usize) -> Batches {
    let log = Rc::new(RefCell::new(Log::default()));
    let link = Link { delay: Duration::from_millis(10), ..Link::default() };
    let mut net = Net::new(7, link, factory(config(), &log));
    let batches = Rc::new(RefCell::new(Batches::default()));
    let seen = Rc::clone(&batches);
    net.connect(Arc::new(config()), tls::client(&[ALPN]), DatagramPeer::default(), |inner| {
        Box::new(CountingWriter { inner, batch: None, seen })
    });
    net.run_for(Duration::from_secs(20)); // the path's MTU is known by then
    *batches.borrow_mut() = Batches::default();
    let now = net.now;
    net.clients[0].enter(now, |_, cx| {
        (0..streams).for_each(|_| _ = open_bulk(cx, 6_000_000 / streams));
    });
    net.kick();
    let done = net.run_until(Duration::from_mins(1), |net| {
        net.clients[0].host().connection().stream_stats().streams_closed == streams as u64
    });
    assert!(done, "{:?}", batches.borrow());
    let received: usize = log.borrow().streams.values().map(|(len, _)| *len).sum();
    assert_eq!(received, 6_000_000 / streams * streams);
    batches.take()
}

#[test]
fn many_streams_leave_in_as_few_batches_as_one() {
    for streams in [1, 10, 50] {
        let Batches { packets, broken } = upload(streams);
        println!("{streams} streams: {packets} packets, {broken} batches broken");
        assert!(packets > 4000, "{packets} packets");
        // The ends of streams are shorter, and what the handshake of the path needs.
        assert!(broken <= packets / 100, "{streams} streams: {broken} of {packets} packets");
    }
}
