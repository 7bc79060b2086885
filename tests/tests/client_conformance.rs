//! The transport rules of `transport_conformance`, seen from the other side: an attacker plays the
//! server of a client of ours and breaks one rule.

use std::sync::Arc;
use std::time::Duration;

use protoquic::connection::Config;
use protoquic::wire::{Frame, FrameIter, PacketType, SHORT_RESERVED_BITS};
use protoquic::{Direction, ServerConfig, Space, StreamId, TransportErrorCode as Code};
use protoquic_tests::conformance::{expect_close, expect_one_rtt_close, new_id, stream};
use protoquic_tests::evil::{Evil, ack_frame, bytes_of};
use protoquic_tests::evil_hello::{Parameters, parameters, parameters_with, parameters_without};
use protoquic_tests::http3::varint;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

/// A client that keeps its connection open, and the attacker that has its first Initial.
fn attacked(parameters: &Parameters) -> (EchoNet, Evil) {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport: transport.clone(), tls: tls::server(&[b"echo"]) };
    let mut net = Net::new(7, Link::default(), echo_factory(config));
    let address = ([10, 66, 0, 1], 443).into();
    net.open_mailbox(address);
    let session = EchoClient::patient(1, 100);
    net.connect_to(address, transport, tls::client(&[b"echo"]), session, |writer| Box::new(writer));
    net.run_for(Duration::from_millis(20));
    let evil = Evil::server(&mut net, address, b"echo", parameters);
    (net, evil)
}

/// As [`attacked`], with the handshake confirmed.
fn established() -> (EchoNet, Evil) {
    let (mut net, mut evil) = attacked(&parameters());
    evil.run(&mut net, Duration::from_millis(200));
    evil.send_frame(&mut net, &Frame::HandshakeDone);
    evil.run(&mut net, Duration::from_millis(200));
    assert!(evil.is_confirmed() && evil.close().is_none(), "{:?}", evil.close());
    (net, evil)
}

/// As [`attacked`], when the attacker has Handshake keys and the client has not finished.
fn in_handshake() -> (EchoNet, Evil) {
    let (net, evil) = attacked(&parameters());
    assert!(evil.has_keys(PacketType::Handshake));
    (net, evil)
}

#[track_caller]
fn one_rtt_closes_with(frames: &[u8], code: Code) {
    expect_one_rtt_close(established(), frames, code);
}

#[track_caller]
fn frame_closes_with(frame: &Frame<'_>, code: Code) {
    one_rtt_closes_with(&bytes_of(frame), code);
}

#[track_caller]
fn parameters_close(parameters: &Parameters) {
    let (mut net, mut evil) = attacked(parameters);
    expect_close(&mut net, &mut evil, Code::TRANSPORT_PARAMETER_ERROR);
}

#[test]
fn an_honest_server_is_not_refused() {
    let (mut net, mut evil) = established();
    evil.run(&mut net, Duration::from_secs(1));
    assert_eq!(evil.close(), None);
}

#[test]
fn c01_stream_data_beyond_the_credit() {
    let id = StreamId::from_raw(3);
    let frame = Frame::Stream { id, offset: 100_000_000, fin: true, data: b"x" };
    frame_closes_with(&frame, Code::FLOW_CONTROL_ERROR);
}

#[test]
fn c02_a_stream_beyond_the_limit() {
    frame_closes_with(&stream(1_000_000_001), Code::STREAM_LIMIT_ERROR);
    frame_closes_with(&stream(1_000_000_003), Code::STREAM_LIMIT_ERROR);
}

#[test]
fn c03_no_initial_source_connection_id_or_another() {
    // RFC 9000 §7.3
    parameters_close(&parameters_without(0x0f));
    parameters_close(&parameters_with(0x0f, b"DUMMY"));
}

#[test]
fn c04_no_original_destination_connection_id_or_another() {
    parameters_close(&parameters_without(0x00));
    parameters_close(&parameters_with(0x00, b"DUMMY"));
}

#[test]
fn c05_a_preferred_address_without_a_connection_id() {
    // RFC 9000 §18.2
    let mut value = vec![127, 0, 0, 1, 1, 187];
    value.extend([0; 18]); // no IPv6
    value.push(0);
    value.extend([7; 16]);
    parameters_close(&parameters_with(0x0d, &value));
    parameters_close(&parameters_with(0x0d, b"short"));
}

#[test]
fn c06_retry_source_connection_id_without_a_retry() {
    parameters_close(&parameters_with(0x10, b"DUMMY"));
}

#[test]
fn c07_a_stateless_reset_token_of_the_wrong_length() {
    parameters_close(&parameters_with(0x02, b"DUMMY"));
}

#[test]
fn c08_to_c10_values_out_of_range() {
    // RFC 9000 §18.2
    for (id, value) in [(0x03, 1199), (0x0a, 21), (0x0b, 1 << 14), (0x0e, 1), (0x08, (1 << 60) + 1)]
    {
        parameters_close(&parameters_with(id, &varint(value)));
    }
}

#[test]
fn a_parameter_that_is_no_number_or_more_than_one() {
    // RFC 9000 §18
    parameters_close(&parameters_with(0x04, &[]));
    parameters_close(&parameters_with(0x04, &[1, 2]));
    parameters_close(&parameters_with(0x0c, &[1]));
}

#[test]
fn c11_an_unknown_frame_type() {
    one_rtt_closes_with(&[0x20], Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c12_a_packet_without_frames() {
    one_rtt_closes_with(&[], Code::PROTOCOL_VIOLATION);
}

#[test]
fn c13_reserved_bits_in_a_handshake_packet() {
    let (mut net, mut evil) = in_handshake();
    let packet = evil.seal(PacketType::Handshake, &[1], 0x08);
    evil.send_datagram(&mut net, packet);
    expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
}

#[test]
fn c14_frames_that_handshake_packets_may_not_hold() {
    // RFC 9000 §12.4, Table 3
    let frames = [
        bytes_of(&Frame::PathChallenge([1; 8])),
        bytes_of(&Frame::HandshakeDone),
        bytes_of(&stream(3)),
        bytes_of(&Frame::MaxData(1)),
        new_id(1, 0, 9),
    ];
    for frame in frames {
        let (mut net, mut evil) = in_handshake();
        evil.send(&mut net, PacketType::Handshake, &frame);
        expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
    }
}

#[test]
fn c15_reserved_bits_in_a_one_rtt_packet() {
    for bits in [0x08, 0x10, SHORT_RESERVED_BITS] {
        let (mut net, mut evil) = established();
        let packet = evil.seal(PacketType::OneRtt, &[1], bits);
        evil.send_datagram(&mut net, packet);
        expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
    }
}

#[test]
fn c16_reset_stream_for_a_stream_that_only_the_client_sends_on() {
    let frame = Frame::ResetStream { id: StreamId::from_raw(2), error: 0, final_size: 0 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c17_stop_sending_for_a_stream_that_is_not_the_clients_to_send_on() {
    for raw in [100, 3] {
        let frame = Frame::StopSending { id: StreamId::from_raw(raw), error: 0 };
        frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
    }
}

#[test]
fn c18_an_empty_token() {
    // RFC 9000 §19.7
    one_rtt_closes_with(&[0x07, 0x00], Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c19_stream_data_on_a_bidirectional_stream_that_the_client_has_not_opened() {
    frame_closes_with(&stream(100), Code::STREAM_STATE_ERROR);
}

#[test]
fn c20_stream_data_on_a_unidirectional_stream_of_the_client() {
    frame_closes_with(&stream(2), Code::STREAM_STATE_ERROR);
}

#[test]
fn c21_max_stream_data_for_a_stream_that_the_client_has_not_opened() {
    let frame = Frame::MaxStreamData { id: StreamId::from_raw(100), max: 1 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c22_max_stream_data_for_a_stream_that_the_client_only_receives_on() {
    let frame = Frame::MaxStreamData { id: StreamId::from_raw(3), max: 1 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c23_max_streams_above_two_to_the_sixty() {
    for ty in [0x12, 0x13] {
        let frame = [&[ty][..], &varint((1 << 60) + 1)].concat();
        one_rtt_closes_with(&frame, Code::FRAME_ENCODING_ERROR);
    }
}

#[test]
fn c24_streams_blocked_above_two_to_the_sixty() {
    for ty in [0x16, 0x17] {
        let frame = [&[ty][..], &varint((1 << 60) + 1)].concat();
        one_rtt_closes_with(&frame, Code::FRAME_ENCODING_ERROR);
    }
}

#[test]
fn c25_new_connection_id_that_retires_itself() {
    one_rtt_closes_with(&new_id(1, 11, 5), Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c26_new_connection_id_without_an_id_or_with_a_long_one() {
    let frame = [&[0x18, 1, 0, 0][..], &[1; 16]].concat();
    one_rtt_closes_with(&frame, Code::FRAME_ENCODING_ERROR);
    let frame = [&[0x18, 1, 0, 21][..], &[1; 21 + 16]].concat();
    one_rtt_closes_with(&frame, Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c29_tls_key_update_in_one_rtt() {
    // RFC 9001 §6
    let (mut net, mut evil) = established();
    evil.send_crypto(&mut net, Space::Application, &[0x18, 0, 0, 1, 1]);
    expect_close(&mut net, &mut evil, Code::crypto(10));
}

#[test]
fn tls_messages_at_a_later_time_than_awaited() {
    // RFC 9001 §4.1.3: nothing may follow the server's flight in Handshake packets.
    let (mut net, mut evil) = in_handshake();
    evil.send_crypto(&mut net, Space::Initial, &[2, 0, 0, 0]);
    expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent() {
    // RFC 9000 §13.1
    one_rtt_closes_with(&ack_frame(100_000, 0), Code::PROTOCOL_VIOLATION);
}

#[test]
fn more_connection_ids_than_were_allowed() {
    // RFC 9000 §5.1.1
    let frames: Vec<u8> = (1..=8).flat_map(|n| new_id(n, 0, n as u8)).collect();
    one_rtt_closes_with(&frames, Code::CONNECTION_ID_LIMIT_ERROR);
}

#[test]
fn a_connection_id_under_two_numbers_or_a_number_with_two_ids() {
    // RFC 9000 §19.15
    one_rtt_closes_with(&[new_id(1, 0, 5), new_id(2, 0, 5)].concat(), Code::PROTOCOL_VIOLATION);
    one_rtt_closes_with(&[new_id(1, 0, 5), new_id(1, 0, 6)].concat(), Code::PROTOCOL_VIOLATION);
}

#[test]
fn retire_connection_id_that_was_never_issued() {
    // RFC 9000 §19.16
    frame_closes_with(&Frame::RetireConnectionId { sequence: 1000 }, Code::PROTOCOL_VIOLATION);
}

#[test]
fn a_stream_that_changes_its_final_size() {
    // RFC 9000 §4.5
    let id = StreamId::from_raw(3);
    let frames = [
        bytes_of(&Frame::Stream { id, offset: 5, fin: true, data: b"abc" }),
        bytes_of(&Frame::ResetStream { id, error: 0, final_size: 2 }),
    ];
    one_rtt_closes_with(&frames.concat(), Code::FINAL_SIZE_ERROR);
}

#[test]
fn crypto_data_far_ahead() {
    // RFC 9000 §7.5
    let frame = Frame::Crypto { offset: 10_000_000, data: b"x" };
    frame_closes_with(&frame, Code::CRYPTO_BUFFER_EXCEEDED);
}

#[test]
fn limits_never_shrink() {
    // RFC 9000 §4.1, §19.9 to §19.11: smaller limits are ignored.
    let (mut net, mut evil) = established();
    for frame in [
        Frame::MaxStreams { direction: Direction::Bidirectional, max: 0 },
        Frame::MaxData(0),
        Frame::MaxStreamData { id: StreamId::from_raw(0), max: 0 },
    ] {
        evil.send_frame(&mut net, &frame);
    }
    evil.run(&mut net, Duration::from_millis(200));
    assert_eq!(evil.close(), None);
}

#[test]
fn what_a_client_repeats_is_more_than_a_probe_of_its_path() {
    // RFC 9000 §9.1: NEW_CONNECTION_ID alone leads no server to its client's new address.
    let (mut net, mut evil) = established();
    evil.run(&mut net, Duration::from_secs(1));
    evil.acknowledges = false;
    evil.seen.clear();
    evil.send_frame(&mut net, &Frame::RetireConnectionId { sequence: 1 });
    evil.run(&mut net, Duration::from_secs(1));
    let frames = |payload: &[u8], like: fn(&Frame<'_>) -> bool| {
        FrameIter::new(payload).flatten().any(|frame| like(&frame))
    };
    let given = evil.seen.iter().filter(|packet| {
        frames(&packet.payload, |frame| matches!(frame, Frame::NewConnectionId { .. }))
    });
    let repeated: Vec<_> = given.skip(1).collect();
    assert!(!repeated.is_empty());
    for packet in repeated {
        assert!(frames(&packet.payload, |frame| matches!(frame, Frame::Ping)), "{packet:?}");
    }
}
