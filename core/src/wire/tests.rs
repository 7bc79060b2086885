//! Tests over the whole room: every frame there and back, cut off everywhere, refused where the RFC
//! refuses it; and random bytes into every parser.

use super::*;
use crate::error::{TransportError, TransportErrorCode};
use crate::helper::{RandomGenerator, SeededRandom};
use crate::types::{ConnectionId, Direction, ResetToken, Role, StreamId};

const DATA: &[u8] = b"forty-two bytes of payload, more or less.";

/// A random varint of a random length.
fn varint(random: &mut SeededRandom) -> u64 {
    let shift = [2, 34, 50, 58][random.next_u64() as usize % 4];
    random.next_u64() >> shift
}

fn direction(random: &mut SeededRandom) -> Direction {
    match random.next_u64() & 1 {
        0 => Direction::Bidirectional,
        _ => Direction::Unidirectional,
    }
}

fn data(random: &mut SeededRandom) -> &'static [u8] {
    &DATA[..=random.next_u64() as usize % DATA.len()]
}

/// Offsets leave room for the data below 2^62.
fn offset(random: &mut SeededRandom) -> u64 {
    varint(random) / 2 * (random.next_u64() & 1)
}

/// One frame of each kind except ACK, whose frames come from `write_ack`.
fn random_frames(random: &mut SeededRandom) -> Vec<Frame<'static>> {
    let r = random;
    let sequence = varint(r);
    let application = r.next_u64() & 1 == 1;
    let id_len = 1 + r.next_u64() as usize % 20;
    let bytes = r.next_u64().to_le_bytes();
    let id = StreamId::from_raw(varint(r));
    vec![
        Frame::Ping,
        Frame::Padding(1 + r.next_u64() as usize % 50),
        Frame::ResetStream { id, error: varint(r), final_size: varint(r) },
        Frame::ResetStreamAt {
            id,
            error: varint(r),
            final_size: sequence,
            reliable_size: sequence / 2,
        },
        Frame::StopSending { id, error: varint(r) },
        Frame::Crypto { offset: offset(r), data: data(r) },
        Frame::NewToken { token: data(r) },
        Frame::Stream { id, offset: offset(r), fin: r.next_u64() & 1 == 1, data: data(r) },
        Frame::MaxData(varint(r)),
        Frame::MaxStreamData { id, max: varint(r) },
        Frame::MaxStreams { direction: direction(r), max: varint(r) >> 2 },
        Frame::DataBlocked(varint(r)),
        Frame::StreamDataBlocked { id, limit: varint(r) },
        Frame::StreamsBlocked { direction: direction(r), limit: varint(r) >> 2 },
        Frame::NewConnectionId {
            sequence,
            retire_prior_to: r.next_u64() % (sequence + 1),
            id: ConnectionId::new(&DATA[..id_len]).unwrap(),
            reset_token: ResetToken([bytes[0]; 16]),
        },
        Frame::RetireConnectionId { sequence },
        Frame::PathChallenge(bytes),
        Frame::PathResponse(bytes),
        Frame::ConnectionClose(ConnectionCloseFrame {
            application,
            code: varint(r),
            frame_type: if application { 0 } else { varint(r) },
            reason: data(r),
        }),
        Frame::HandshakeDone,
        Frame::ImmediateAck,
        Frame::AckFrequency(AckFrequencyFrame {
            sequence,
            threshold: varint(r),
            max_ack_delay: varint(r),
            reordering: varint(r),
        }),
        Frame::Datagram { data: data(r), has_length: true },
    ]
}

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut buf = vec![0; frame.encoded_len()];
    let mut w = Writer::new(&mut buf);
    frame.write(&mut w);
    assert_eq!(w.remaining(), 0, "{frame:?}");
    buf
}

fn first(payload: &[u8]) -> Result<Frame<'_>, TransportError> {
    FrameIter::new(payload).next().expect("it is not empty")
}

#[track_caller]
fn refused(payload: &[u8], code: TransportErrorCode, frame_type: u64) {
    let error = first(payload).expect_err("it breaks a rule");
    assert_eq!((error.code(), error.frame_type()), (code, Some(frame_type)));
    assert_eq!(FrameIter::new(payload).count(), 1, "after an error it must end");
}

#[track_caller]
fn badly_encoded(payload: &[u8], frame_type: u64) {
    refused(payload, TransportErrorCode::FRAME_ENCODING_ERROR, frame_type);
}

#[test]
fn every_frame_round_trips() {
    let seed = 0x517e_aa01;
    let mut random = SeededRandom::new(seed);
    for _ in 0..500 {
        let frames = random_frames(&mut random);
        let payload = frames.iter().flat_map(written).collect::<Vec<_>>();
        let parsed: Result<Vec<_>, _> = FrameIter::new(&payload).collect();
        assert_eq!(parsed.as_ref(), Ok(&frames), "seed {seed:#x}");
        for frame in &frames {
            let ty = Reader::new(&written(frame)).varint();
            assert_eq!(Some(frame.frame_type()), ty);
        }
    }
}

#[test]
fn ack_frames_round_trip_through_frames() {
    let ecn = Some(crate::types::EcnCounts::default());
    for ecn in [None, ecn] {
        let mut buf = [0; 64];
        let mut w = Writer::new(&mut buf);
        write_ack(&mut w, [50..=60, 3..=40], 7, ecn);
        let frame = first(w.written()).unwrap();
        assert_eq!(written(&frame), w.written());
        assert_eq!(frame.frame_type(), 2 + u64::from(ecn.is_some()));
        for len in 1..w.len() {
            badly_encoded(&w.written()[..len], frame.frame_type());
        }
    }
}

#[test]
fn a_frame_cut_off_anywhere_is_an_encoding_error() {
    let seed = 0x517e_aa02;
    let mut random = SeededRandom::new(seed);
    for _ in 0..50 {
        for frame in random_frames(&mut random) {
            if matches!(frame, Frame::Padding(_)) {
                continue;
            }
            let whole = written(&frame);
            for len in varint_len(frame.frame_type())..whole.len() {
                badly_encoded(&whole[..len], frame.frame_type());
            }
        }
    }
}

#[test]
fn unknown_frame_types_are_an_encoding_error() {
    // draft-ietf-quic-reliable-stream-reset §4: not more reliable than there is
    assert!(first(&[0x24, 0, 7, 5, 5]).is_ok());
    badly_encoded(&[0x24, 0, 7, 5, 6], 0x24);
    // RFC 9000 §12.4
    badly_encoded(&[0x20], 0x20);
    badly_encoded(&[0x2f, 1, 2, 3], 0x2f);
    badly_encoded(&[0x40, 0x40], 0x40);
    badly_encoded(&[0xff; 8], VARINT_MAX);
}

#[test]
fn frame_types_use_the_shortest_encoding() {
    // RFC 9000 §12.4
    let code = TransportErrorCode::PROTOCOL_VIOLATION;
    refused(&[0x40, 0x01], code, 0x01);
    refused(&[0x80, 0, 0, 0x1e], code, 0x1e);
}

#[test]
fn data_past_the_largest_offset_is_an_encoding_error() {
    // RFC 9000 §19.6, §19.8
    let mut crypto = vec![0x06];
    crypto.extend_from_slice(&[0xff; 8]);
    let stream = [&[0x0e, 0x00], &crypto[1..]].concat();
    assert!(first(&[&crypto[..], &[0]].concat()).is_ok());
    assert!(first(&[&stream[..], &[0]].concat()).is_ok());
    badly_encoded(&[&crypto[..], &[1, 0]].concat(), 0x06);
    badly_encoded(&[&stream[..], &[1, 0]].concat(), 0x0e);
    // Without a length, to the end of the packet.
    badly_encoded(&[&[0x0c], &stream[1..], &[0]].concat(), 0x0c);
}

#[test]
fn more_than_2_to_the_60_streams_are_an_encoding_error() {
    // RFC 9000 §19.11, §19.14
    for ty in [0x12, 0x13, 0x16, 0x17] {
        assert!(first(&[ty, 0xd0, 0, 0, 0, 0, 0, 0, 0]).is_ok());
        badly_encoded(&[ty, 0xd0, 0, 0, 0, 0, 0, 0, 1], u64::from(ty));
    }
}

#[test]
fn new_connection_ids_have_1_to_20_bytes() {
    // RFC 9000 §19.15
    for len in 0..=255 {
        let mut payload = vec![0x18, 1, 0, len];
        payload.resize(4 + usize::from(len) + 16, 7);
        if (1..=20).contains(&len) {
            assert!(first(&payload).is_ok(), "{len} bytes");
        } else {
            badly_encoded(&payload, 0x18);
        }
    }
}

#[test]
fn a_new_connection_id_retires_at_most_those_before_it() {
    // RFC 9000 §19.15
    let mut payload = vec![0x18, 3, 3, 1];
    payload.resize(4 + 1 + 16, 7);
    assert!(first(&payload).is_ok());
    payload[2] = 4;
    badly_encoded(&payload, 0x18);
}

#[test]
fn a_close_is_shortened_to_the_room_and_hides_the_application_in_a_handshake() {
    let close =
        ConnectionCloseFrame { application: true, code: 0x4000, frame_type: 0, reason: DATA };
    for room in 6..60 {
        let fitted = Frame::ConnectionClose(close.fitted(room));
        assert!(fitted.encoded_len() <= room);
        let Frame::ConnectionClose(fitted) = fitted else {
            unreachable!("it was made above");
        };
        assert_eq!(fitted.reason.len(), (room - 6).min(DATA.len()));
    }
    // RFC 9000 §10.2.3
    let hidden = close.for_handshake();
    assert!(Frame::ConnectionClose(hidden).permitted_in(PacketType::Initial));
    assert_eq!(hidden.code, TransportErrorCode::APPLICATION_ERROR.0);
    assert!(hidden.reason.is_empty());
}

#[test]
fn an_empty_token_is_an_encoding_error() {
    // RFC 9000 §19.7
    badly_encoded(&[0x07, 0], 0x07);
}

#[test]
fn frames_are_permitted_as_table_3_says() {
    use PacketType::{Handshake, Initial, OneRtt, ZeroRtt};
    // RFC 9000 §12.4, Table 3, and §12.5 for CONNECTION_CLOSE 0x1d
    let close = |application| {
        Frame::ConnectionClose(ConnectionCloseFrame {
            application,
            code: 0,
            frame_type: 0,
            reason: b"",
        })
    };
    let ack = first(&[2, 0, 0, 0, 0]).unwrap();
    let crypto = Frame::Crypto { offset: 0, data: b"" };
    let expected = |frame: &Frame<'_>| match frame.frame_type() {
        0x00 | 0x01 | 0x1c => "IH01",
        0x02 | 0x03 | 0x06 => "IH_1",
        0x07 | 0x1b | 0x1e | 0x1f | 0xaf => "___1",
        _ => "__01",
    };
    let mut frames = random_frames(&mut SeededRandom::new(3));
    frames.extend([ack, crypto, close(true), close(false)]);
    for frame in &frames {
        let permitted: String = [(Initial, 'I'), (Handshake, 'H'), (ZeroRtt, '0'), (OneRtt, '1')]
            .map(|(packet, mark)| if frame.permitted_in(packet) { mark } else { '_' })
            .into_iter()
            .collect();
        assert_eq!(permitted, expected(frame), "{frame:?}");
    }
}

#[test]
fn frames_elicit_acks_and_probe_as_the_rfc_says() {
    let mut frames = random_frames(&mut SeededRandom::new(4));
    frames.push(first(&[2, 0, 0, 0, 0]).unwrap());
    for frame in &frames {
        let ty = frame.frame_type();
        // RFC 9002 §2
        let quiet = matches!(ty, 0x00 | 0x02 | 0x03 | 0x1c | 0x1d);
        assert_eq!(frame.is_ack_eliciting(), !quiet, "{frame:?}");
        // RFC 9000 §9.1
        let probing = matches!(ty, 0x00 | 0x18 | 0x1a | 0x1b);
        assert_eq!(frame.is_probing(), probing, "{frame:?}");
    }
}

#[test]
fn random_bytes_never_panic_a_parser() {
    let seed = 0x517e_aa03;
    println!("seed {seed:#x}");
    let mut random = SeededRandom::new(seed);
    let mut buf = [0; 128];
    let (mut frames, mut headers) = (0, 0);
    for _ in 0..100_000 {
        let len = random.next_u64() as usize % buf.len();
        let bytes = &mut buf[..len];
        random.fill(bytes);
        // Half the time something that gets past the first checks.
        if let Some(first) = bytes.first_mut().filter(|_| len & 1 == 1) {
            *first &= 0x1f;
        }
        frames += parse_all_frames(bytes);
        let _ = TransportParameters::decode(bytes, Role::Client);
        let _ = TransportParameters::decode(bytes, Role::Server);
        if len > 5 && len & 1 == 1 {
            bytes[0] |= 0xc0;
            let start = [0, 0, 0, bytes[1] & 1, bytes[5] & 31];
            bytes[1..6].copy_from_slice(&start);
        }
        headers += usize::from(parse_a_datagram(bytes));
    }
    assert!(frames > 10_000 && headers > 1_000, "{frames}, {headers}");
}

/// Reads everything there is to read in a payload; how many frames there were.
fn parse_all_frames(payload: &[u8]) -> usize {
    let mut frames = 0;
    for frame in FrameIter::new(payload).flatten() {
        if let Frame::Ack(ack) = frame {
            assert_eq!(ack.ranges().count(), ack.range_count());
            assert!(ack.ranges().all(|range| range.start() <= range.end()));
        }
        written(&frame);
        frames += 1;
    }
    frames
}

/// Whether there is a header in it.
fn parse_a_datagram(bytes: &[u8]) -> bool {
    let _ = destination_bytes(bytes, 8);
    match parse_header(bytes, 8) {
        Ok(PacketHeader::Long(header)) => {
            assert!(header.pn_offset <= header.packet_len && header.packet_len <= bytes.len());
            assert!(header.packet_len > 0, "a loop over the datagram must end");
            true
        }
        Ok(PacketHeader::VersionNegotiation(packet)) => packet.versions().count() > 0,
        Ok(_) => true,
        Err(_) => false,
    }
}
