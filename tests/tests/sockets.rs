//! Every reader and writer over real loopback sockets, both address families: what is written comes
//! in whole, in order, with its ECN codepoint and both its addresses.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use protoquic::readers::{BatchReader, PlainReader, SocketOptions, bind};
use protoquic::writers::{DefaultWriter, GsoBatchWriter};
use protoquic::{
    Ecn, OutgoingPacket, PacketReader, PacketSink, PacketWriter, PathAddress, Payload, ReadBudget,
    ReceivedPacket, Time, WriteResult,
};

#[derive(Default)]
struct Collected(Vec<ReceivedPacket>);

impl PacketSink for Collected {
    fn on_packet(&mut self, mut packet: ReceivedPacket) {
        // The reader's buffer is its own again afterwards.
        packet.data = packet.data[..].into();
        self.0.push(packet);
    }
}

fn socket(address: &str) -> (Arc<UdpSocket>, SocketAddr) {
    let address = address.parse().expect("a loopback address");
    let socket = bind(address, &SocketOptions::default()).expect("loopback can be bound");
    let local = socket.local_addr().expect("a bound socket has an address");
    (Arc::new(socket), local)
}

/// Sizes and codepoints in the order sent: runs that make a GSO batch, an odd size that ends one,
/// and changes of the codepoint within what would else be one batch.
fn datagrams() -> Vec<(usize, Ecn)> {
    let mut list = vec![(1200, Ecn::Ect0); 20];
    list.push((700, Ecn::Ect0));
    list.extend([(1200, Ecn::Ect1); 3]);
    list.extend([(1200, Ecn::Ce); 3]);
    list.extend([(1200, Ecn::NotEct); 3]);
    list.extend([(1, Ecn::NotEct), (1452, Ecn::Ect0)]);
    list
}

fn send(writer: &mut dyn PacketWriter, path: &PathAddress) {
    for (n, (size, ecn)) in datagrams().into_iter().enumerate() {
        let in_place =
            writer.next_write_location(path, size).map(|place| place[..size].fill(n as u8));
        let bytes = vec![n as u8; size];
        let payload = match in_place {
            Some(()) => Payload::InPlace(size),
            None => Payload::Borrowed(&bytes),
        };
        let packet = OutgoingPacket { path, payload, ecn, release_time: None };
        assert!(matches!(writer.write_packet(&packet), WriteResult::Ok));
    }
    assert!(matches!(writer.flush(), WriteResult::Ok));
}

fn receive(reader: &mut dyn PacketReader, expected: usize) -> Vec<ReceivedPacket> {
    let mut collected = Collected::default();
    for _ in 0..100_000 {
        reader
            .read_packets(Time::ZERO, &mut ReadBudget::packets(64), &mut collected)
            .expect("reading works");
        if collected.0.len() >= expected {
            break;
        }
        std::thread::yield_now();
    }
    collected.0
}

fn check(writer: &mut dyn PacketWriter, reader: &mut dyn PacketReader, path: &PathAddress) {
    assert!(writer.supports_ecn());
    send(writer, path);
    let received = receive(reader, datagrams().len());
    assert_eq!(received.len(), datagrams().len());
    for (n, (packet, (size, ecn))) in received.iter().zip(datagrams()).enumerate() {
        assert_eq!(packet.data.len(), size, "datagram {n}");
        assert!(packet.data.iter().all(|byte| *byte == n as u8), "datagram {n}");
        assert_eq!(packet.ecn, ecn, "datagram {n}");
        assert_eq!((packet.path.local, packet.path.peer), (path.peer, path.local), "datagram {n}");
    }
}

#[test]
fn every_writer_reaches_every_reader_with_ecn_and_addresses() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        for batch_writer in [false, true] {
            for batch_reader in [false, true] {
                let ((from, from_address), (to, to_address)) = (socket(address), socket(address));
                let mut writer: Box<dyn PacketWriter> = if batch_writer {
                    Box::new(GsoBatchWriter::new(from).expect("the socket can send"))
                } else {
                    Box::new(DefaultWriter::new(from).expect("the socket can send"))
                };
                let mut reader: Box<dyn PacketReader> = if batch_reader {
                    Box::new(BatchReader::new(to).expect("the socket can receive"))
                } else {
                    Box::new(PlainReader::new(to).expect("the socket can receive"))
                };
                let path = PathAddress::new(from_address, to_address);
                println!("{address}, batch writer {batch_writer}, batch reader {batch_reader}");
                check(&mut *writer, &mut *reader, &path);
            }
        }
    }
}

#[test]
fn a_socket_for_all_addresses_answers_from_the_one_that_was_asked() {
    let (server, server_address) = socket("[::]:0");
    let (client, client_address) = socket("127.0.0.1:0");
    let asked = SocketAddr::from(([127, 0, 0, 2], server_address.port()));
    client.send_to(b"question", asked).expect("loopback takes it");
    let mut reader = BatchReader::new(server.clone()).expect("the socket can receive");
    let received = receive(&mut reader, 1);
    assert_eq!(received[0].path, PathAddress::new(asked, client_address));
    let mut writer = GsoBatchWriter::new(server).expect("the socket can send");
    let payload = Payload::Borrowed(b"answer");
    let packet =
        OutgoingPacket { path: &received[0].path, payload, ecn: Ecn::NotEct, release_time: None };
    writer.write_packet(&packet);
    writer.flush();
    let mut reader = PlainReader::new(client).expect("the socket can receive");
    assert_eq!(receive(&mut reader, 1)[0].path.peer, asked);
}
