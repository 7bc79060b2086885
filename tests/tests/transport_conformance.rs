//! The transport rules that h3spec checks on servers, each with the code that it requires: an
//! attacker completes (or not) a real handshake with a dispatcher and then breaks one rule.

use std::sync::Arc;

use protoquic::connection::Config;
use protoquic::wire::{Frame, PacketType, SHORT_RESERVED_BITS};
use protoquic::{Direction, ServerConfig, Space, StreamId, TransportErrorCode as Code};
use protoquic_tests::conformance::{expect_close, expect_one_rtt_close, new_id, stream};
use protoquic_tests::evil::{Evil, Tamper, bytes_of, unchanged};
use protoquic_tests::evil_hello::{
    Parameters, change_extension, parameters, parameters_with, parameters_without,
};
use protoquic_tests::http3::varint;
use protoquic_tests::net::{Link, Net};
use protoquic_tests::protocols::{EchoClient, echo_factory};
use protoquic_tests::tls;

type EchoNet = Net<EchoClient>;

fn net() -> EchoNet {
    let transport = Arc::new(Config::default());
    let config = ServerConfig { transport, tls: tls::server(&[b"echo"]) };
    Net::new(7, Link::default(), echo_factory(config))
}

/// An attacker whose handshake is confirmed.
fn established() -> (EchoNet, Evil) {
    let mut net = net();
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), unchanged());
    assert!(evil.handshake(&mut net), "an honest handshake completes: {:?}", evil.close());
    (net, evil)
}

/// Sends these bytes in a 1-RTT packet and expects a close with this code.
#[track_caller]
fn one_rtt_closes_with(frames: &[u8], code: Code) {
    expect_one_rtt_close(established(), frames, code);
}

#[track_caller]
fn frame_closes_with(frame: &Frame<'_>, code: Code) {
    one_rtt_closes_with(&bytes_of(frame), code);
}

/// A handshake with these parameters is refused.
#[track_caller]
fn parameters_close(parameters: &Parameters) {
    handshake_closes_with(b"echo", parameters, unchanged(), Code::TRANSPORT_PARAMETER_ERROR);
}

#[track_caller]
fn handshake_closes_with(alpn: &[u8], parameters: &Parameters, tamper: Tamper, code: Code) {
    let mut net = net();
    let mut evil = Evil::client(&mut net, 5000, alpn, parameters, tamper);
    assert!(!evil.handshake(&mut net), "the handshake must not complete");
    expect_close(&mut net, &mut evil, code);
}

/// The attacker, when it has Handshake keys but has not finished. Before its first Handshake
/// packet, which an acknowledgement is, the server keeps its Initial keys.
fn in_handshake(acknowledges: bool) -> (EchoNet, Evil) {
    let mut net = net();
    let hold: Tamper =
        Box::new(|space, messages| if space == Space::Handshake { Vec::new() } else { messages });
    let mut evil = Evil::client(&mut net, 5000, b"echo", &parameters(), hold);
    evil.acknowledges = acknowledges;
    evil.start(&mut net);
    let ready = |evil: &Evil| evil.seen.iter().any(|packet| packet.space == Space::Handshake);
    assert!(evil.run_until(&mut net, std::time::Duration::from_secs(1), ready));
    evil.next_number[1] = evil.next_number[1].max(1);
    (net, evil)
}

#[test]
fn an_honest_handshake_completes_and_echoes() {
    let (mut net, mut evil) = established();
    let id = StreamId::from_raw(0);
    evil.send_frame(&mut net, &Frame::Stream { id, offset: 0, fin: true, data: b"hello" });
    let echo = |frame: &Frame<'_>| matches!(frame, Frame::Stream { data: b"hello", .. });
    assert!(
        evil.run_until(&mut net, std::time::Duration::from_secs(1), |evil| evil.has_seen(echo))
    );
    assert_eq!(evil.close(), None);
}

#[test]
fn c01_stream_data_beyond_the_credit() {
    let data = b"GET /\r\n";
    let id = StreamId::from_raw(0);
    let frame = Frame::Stream { id, offset: 100_000_000, fin: true, data };
    frame_closes_with(&frame, Code::FLOW_CONTROL_ERROR);
}

#[test]
fn c02_a_stream_beyond_the_limit() {
    frame_closes_with(&stream(1_000_000_000), Code::STREAM_LIMIT_ERROR);
}

#[test]
fn c03_no_initial_source_connection_id() {
    parameters_close(&parameters_without(0x0f));
}

#[test]
fn c04_a_client_with_original_destination_connection_id() {
    parameters_close(&parameters_with(0x00, b"DUMMY"));
}

#[test]
fn c05_a_client_with_preferred_address() {
    let mut value = vec![127, 0, 0, 1, 1, 187];
    value.extend([0; 18]); // no IPv6
    value.push(8);
    value.extend([7; 8 + 16]);
    parameters_close(&parameters_with(0x0d, &value));
}

#[test]
fn c06_a_client_with_retry_source_connection_id() {
    parameters_close(&parameters_with(0x10, b"DUMMY"));
}

#[test]
fn c07_a_client_with_stateless_reset_token() {
    parameters_close(&parameters_with(0x02, b"DUMMY"));
    parameters_close(&parameters_with(0x02, &[1; 16]));
}

#[test]
fn c08_max_udp_payload_size_below_1200() {
    parameters_close(&parameters_with(0x03, &varint(1090)));
    parameters_close(&parameters_with(0x03, &varint(1199)));
}

#[test]
fn c09_ack_delay_exponent_above_20() {
    parameters_close(&parameters_with(0x0a, &varint(30)));
    parameters_close(&parameters_with(0x0a, &varint(21)));
}

#[test]
fn c10_max_ack_delay_of_two_to_the_fifteen() {
    parameters_close(&parameters_with(0x0b, &varint(1 << 15)));
    parameters_close(&parameters_with(0x0b, &varint(1 << 14)));
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
    let (mut net, mut evil) = in_handshake(true);
    let packet = evil.seal(PacketType::Handshake, &[1], 0x08);
    evil.send_datagram(&mut net, packet);
    expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
}

#[test]
fn c14_path_challenge_in_a_handshake_packet() {
    let (mut net, mut evil) = in_handshake(true);
    evil.send(&mut net, PacketType::Handshake, &bytes_of(&Frame::PathChallenge([1; 8])));
    expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
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
fn c16_reset_stream_for_a_stream_that_only_the_server_sends_on() {
    let frame = Frame::ResetStream { id: StreamId::from_raw(3), error: 0, final_size: 0 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c17_stop_sending_for_a_stream_that_the_server_has_not_opened() {
    let frame = Frame::StopSending { id: StreamId::from_raw(101), error: 0 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c18_a_client_sends_new_token() {
    frame_closes_with(&Frame::NewToken { token: b"token" }, Code::PROTOCOL_VIOLATION);
}

#[test]
fn c19_stream_data_on_a_bidirectional_stream_that_the_server_has_not_opened() {
    frame_closes_with(&stream(1), Code::STREAM_STATE_ERROR);
}

#[test]
fn c20_stream_data_on_a_unidirectional_stream_of_the_server() {
    frame_closes_with(&stream(3), Code::STREAM_STATE_ERROR);
}

#[test]
fn c21_max_stream_data_for_a_stream_that_the_server_has_not_opened() {
    let frame = Frame::MaxStreamData { id: StreamId::from_raw(101), max: 1 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c22_max_stream_data_for_a_stream_that_the_server_only_receives_on() {
    let frame = Frame::MaxStreamData { id: StreamId::from_raw(2), max: 1 };
    frame_closes_with(&frame, Code::STREAM_STATE_ERROR);
}

#[test]
fn c23_max_streams_above_two_to_the_sixty() {
    let frame = [&[0x12][..], &varint((1 << 60) + 1)].concat();
    one_rtt_closes_with(&frame, Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c24_streams_blocked_above_two_to_the_sixty() {
    let frame = [&[0x16][..], &varint((1 << 60) + 1)].concat();
    let (mut net, mut evil) = established();
    evil.send(&mut net, PacketType::OneRtt, &frame);
    let code = evil.wait_for_close(&mut net).map(|close| Code(close.code));
    let allowed = [Some(Code::FRAME_ENCODING_ERROR), Some(Code::STREAM_LIMIT_ERROR)];
    assert!(allowed.contains(&code), "{code:?}");
}

#[test]
fn c25_new_connection_id_that_retires_itself() {
    one_rtt_closes_with(&new_id(1, 11, 5), Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c26_new_connection_id_without_an_id() {
    let frame = [&[0x18, 1, 0, 0][..], &[1; 16]].concat();
    one_rtt_closes_with(&frame, Code::FRAME_ENCODING_ERROR);
}

#[test]
fn c27_a_client_sends_handshake_done() {
    frame_closes_with(&Frame::HandshakeDone, Code::PROTOCOL_VIOLATION);
}

#[test]
fn c28_tls_key_update_after_finished() {
    let tamper: Tamper = Box::new(|space, mut messages| {
        if space == Space::Handshake {
            messages.extend(KEY_UPDATE);
        }
        messages
    });
    handshake_closes_with(b"echo", &parameters(), tamper, UNEXPECTED_MESSAGE);
}

#[test]
fn c29_tls_key_update_in_one_rtt() {
    let (mut net, mut evil) = established();
    evil.send_crypto(&mut net, Space::Application, &KEY_UPDATE);
    expect_close(&mut net, &mut evil, UNEXPECTED_MESSAGE);
}

#[test]
fn c30_no_application_protocol_in_common() {
    handshake_closes_with(b"dummy", &parameters(), unchanged(), Code::crypto(120));
}

#[test]
fn c31_no_transport_parameters() {
    let tamper = change_hello(|hello| change_extension(hello, TRANSPORT_PARAMETERS, None));
    handshake_closes_with(b"echo", &parameters(), tamper, Code::crypto(109));
}

#[test]
fn c32_transport_parameters_under_their_draft_number() {
    let tamper = change_hello(|hello| change_extension(hello, TRANSPORT_PARAMETERS, Some(0xffa5)));
    handshake_closes_with(b"echo", &parameters(), tamper, Code::crypto(109));
}

#[test]
fn c33_end_of_early_data_before_finished() {
    let tamper: Tamper = Box::new(|space, messages| match space {
        Space::Handshake => [&[5, 0, 0, 0], &messages[..]].concat(),
        _ => messages,
    });
    handshake_closes_with(b"echo", &parameters(), tamper, UNEXPECTED_MESSAGE);
}

// What h3spec does not check, and the RFC requires.

#[test]
fn tls_messages_at_an_earlier_level_than_awaited() {
    // RFC 9001 §4.1.3
    let (mut net, mut evil) = in_handshake(false);
    evil.send_crypto(&mut net, Space::Initial, &[20, 0, 0, 0]);
    expect_close(&mut net, &mut evil, Code::PROTOCOL_VIOLATION);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent() {
    // RFC 9000 §13.1
    one_rtt_closes_with(&protoquic_tests::evil::ack_frame(100_000, 0), Code::PROTOCOL_VIOLATION);
}

#[test]
fn more_connection_ids_than_were_allowed() {
    // RFC 9000 §5.1.1
    let frames: Vec<u8> = (1..=8).flat_map(|n| new_id(n, 0, n as u8)).collect();
    one_rtt_closes_with(&frames, Code::CONNECTION_ID_LIMIT_ERROR);
}

#[test]
fn a_connection_id_under_two_numbers() {
    // RFC 9000 §19.15
    one_rtt_closes_with(&[new_id(1, 0, 5), new_id(2, 0, 5)].concat(), Code::PROTOCOL_VIOLATION);
}

#[test]
fn a_path_response_to_no_challenge() {
    // RFC 9000 §19.18 allows, does not require, PROTOCOL_VIOLATION; we ignore it.
    let (mut net, mut evil) = established();
    evil.send_frame(&mut net, &Frame::PathResponse([1; 8]));
    evil.run(&mut net, std::time::Duration::from_millis(200));
    assert_eq!(evil.close(), None);
}

#[test]
fn a_stream_that_changes_its_final_size() {
    // RFC 9000 §4.5
    let id = StreamId::from_raw(0);
    let frames = [
        bytes_of(&Frame::Stream { id, offset: 0, fin: true, data: b"abc" }),
        bytes_of(&Frame::ResetStream { id, error: 0, final_size: 2 }),
    ];
    one_rtt_closes_with(&frames.concat(), Code::FINAL_SIZE_ERROR);
}

#[test]
fn stream_data_beyond_its_end() {
    // RFC 9000 §4.5. The stream is kept open by not reading its start.
    let id = StreamId::from_raw(0);
    let frames = [
        bytes_of(&Frame::Stream { id, offset: 5, fin: true, data: b"abc" }),
        bytes_of(&Frame::Stream { id, offset: 8, fin: false, data: b"d" }),
    ];
    one_rtt_closes_with(&frames.concat(), Code::FINAL_SIZE_ERROR);
}

#[test]
fn a_frame_that_is_cut_off() {
    one_rtt_closes_with(&[0x10], Code::FRAME_ENCODING_ERROR); // RFC 9000 §12.4
}

#[test]
fn datagrams_that_were_not_agreed_on() {
    // RFC 9221 §3
    frame_closes_with(&Frame::Datagram { data: b"x", has_length: true }, Code::PROTOCOL_VIOLATION);
}

#[test]
fn crypto_data_far_ahead() {
    // RFC 9000 §7.5
    let frame = Frame::Crypto { offset: 10_000_000, data: b"x" };
    frame_closes_with(&frame, Code::CRYPTO_BUFFER_EXCEEDED);
}

#[test]
fn retire_connection_id_that_was_never_issued() {
    // RFC 9000 §19.16
    let frame = Frame::RetireConnectionId { sequence: 1000 };
    frame_closes_with(&frame, Code::PROTOCOL_VIOLATION);
}

#[test]
fn max_streams_grows_no_limit_backwards() {
    // RFC 9000 §19.11: smaller limits are ignored.
    let (mut net, mut evil) = established();
    evil.send_frame(&mut net, &Frame::MaxStreams { direction: Direction::Bidirectional, max: 1 });
    evil.run(&mut net, std::time::Duration::from_millis(200));
    assert_eq!(evil.close(), None);
}

fn change_hello(change: impl Fn(Vec<u8>) -> Vec<u8> + 'static) -> Tamper {
    Box::new(move |space, messages| match space {
        Space::Initial => change(messages),
        _ => messages,
    })
}

const KEY_UPDATE: [u8; 5] = [0x18, 0, 0, 1, 1];
const UNEXPECTED_MESSAGE: Code = Code::crypto(10);
const TRANSPORT_PARAMETERS: u16 = 0x39;
