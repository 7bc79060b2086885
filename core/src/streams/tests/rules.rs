//! Every rule that ends a connection, each with its section of RFC 9000.

use super::*;

#[test]
fn a_receiving_frame_for_our_unidirectional_stream_is_a_state_error() {
    // RFC 9000 §19.4, §19.8, §19.13
    let state = TransportErrorCode::STREAM_STATE_ERROR;
    let mut server = server(&small());
    server.open(UNI).unwrap();
    assert_eq!(code(server.on_stream_frame(id(3), 0, false, zeros(0))), state);
    assert_eq!(code(server.on_reset_stream(id(3), CODE, 0)), state);
    assert_eq!(code(server.on_stream_data_blocked(id(3), 0)), state);
}

#[test]
fn a_sending_frame_for_the_peers_unidirectional_stream_is_a_state_error() {
    // RFC 9000 §19.5, §19.10
    let state = TransportErrorCode::STREAM_STATE_ERROR;
    let mut server = server(&small());
    assert_eq!(code(server.on_stop_sending(id(2), CODE)), state);
    assert_eq!(code(server.on_max_stream_data(id(2), 1)), state);
}

#[test]
fn any_frame_for_a_stream_of_ours_that_is_not_open_is_a_state_error() {
    // RFC 9000 §19.4, §19.5, §19.8, §19.10, §19.13
    let state = TransportErrorCode::STREAM_STATE_ERROR;
    let mut server = server(&small());
    assert_eq!(code(server.on_stream_frame(id(1), 0, false, zeros(0))), state);
    assert_eq!(code(server.on_reset_stream(id(1), CODE, 0)), state);
    assert_eq!(code(server.on_stop_sending(id(101), CODE)), state);
    assert_eq!(code(server.on_max_stream_data(id(101), 1)), state);
    assert_eq!(code(server.on_stream_data_blocked(id(1), 0)), state);
}

#[test]
fn a_stream_beyond_the_limit_is_a_limit_error() {
    // RFC 9000 §4.6
    let limit = TransportErrorCode::STREAM_LIMIT_ERROR;
    let mut server = server(&small());
    assert_eq!(code(server.on_stream_frame(id(40), 0, false, zeros(0))), limit);
    assert_eq!(code(server.on_max_stream_data(id(1_000_000_000), 1)), limit);
    assert_eq!(code(server.on_reset_stream(id(42), CODE, 0)), limit);
    server.on_stream_frame(id(36), 0, false, zeros(0)).unwrap();
}

#[test]
fn a_stream_count_beyond_2_60_is_an_encoding_error() {
    // RFC 9000 §19.11, §19.14
    let encoding = TransportErrorCode::FRAME_ENCODING_ERROR;
    let mut server = server(&small());
    assert_eq!(code(server.on_max_streams(BIDI, (1 << 60) + 1)), encoding);
    assert_eq!(code(server.on_streams_blocked(UNI, (1 << 60) + 1)), encoding);
    server.on_max_streams(BIDI, 1 << 60).unwrap();
}

#[test]
fn an_offset_beyond_2_62_is_an_encoding_error() {
    // RFC 9000 §19.8
    let mut server = server(&small());
    let result = server.on_stream_frame(id(0), (1 << 62) - 1, false, zeros(1));
    assert_eq!(code(result), TransportErrorCode::FRAME_ENCODING_ERROR);
    let result = server.on_stream_frame(id(0), u64::MAX, false, zeros(1));
    assert_eq!(code(result), TransportErrorCode::FRAME_ENCODING_ERROR);
}

#[test]
fn a_byte_past_the_streams_limit_is_a_flow_control_error() {
    // RFC 9000 §4.1
    let flow = TransportErrorCode::FLOW_CONTROL_ERROR;
    let mut server = server(&small());
    server.on_stream_frame(id(0), 999, false, zeros(1)).unwrap();
    assert_eq!(code(server.on_stream_frame(id(0), 1000, false, zeros(1))), flow);
    assert_eq!(code(server.on_stream_frame(id(4), 100_000_000, true, zeros(7))), flow);
}

#[test]
fn a_byte_past_the_connections_limit_is_a_flow_control_error() {
    // RFC 9000 §4.1
    let mut server = server(&small());
    server.on_stream_frame(id(0), 0, false, zeros(1000)).unwrap();
    server.on_stream_frame(id(4), 0, false, zeros(999)).unwrap();
    server.on_stream_frame(id(8), 0, false, zeros(1)).unwrap();
    let result = server.on_stream_frame(id(8), 1, false, zeros(1));
    assert_eq!(code(result), TransportErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_reset_counts_its_final_size_against_both_limits() {
    // RFC 9000 §4.5
    for (final_size, allowed) in [(0, true), (1000, true), (1001, false), ((1 << 62) - 1, false)] {
        let result = server(&small()).on_reset_stream(id(0), CODE, final_size);
        assert_eq!(result.is_ok(), allowed, "{final_size}");
        if !allowed {
            assert_eq!(code(result), TransportErrorCode::FLOW_CONTROL_ERROR);
        }
    }
    let mut server = server(&small());
    server.on_stream_frame(id(0), 0, false, zeros(1000)).unwrap();
    server.on_stream_frame(id(4), 0, false, zeros(1000)).unwrap();
    let result = server.on_reset_stream(id(8), CODE, 1);
    assert_eq!(code(result), TransportErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_final_size_that_changes_is_a_final_size_error() {
    // RFC 9000 §4.5
    let sized = || {
        let mut server = server(&small());
        server.on_stream_frame(id(0), 90, true, zeros(10)).unwrap();
        server
    };
    let size = TransportErrorCode::FINAL_SIZE_ERROR;
    assert_eq!(code(sized().on_stream_frame(id(0), 100, false, zeros(1))), size);
    assert_eq!(code(sized().on_stream_frame(id(0), 98, true, zeros(1))), size);
    assert_eq!(code(sized().on_stream_frame(id(0), 101, true, zeros(0))), size);
    assert_eq!(code(sized().on_reset_stream(id(0), CODE, 99)), size);
    assert_eq!(code(sized().on_reset_stream(id(0), CODE, 101)), size);
    sized().on_reset_stream(id(0), CODE, 100).unwrap();
    sized().on_stream_frame(id(0), 50, false, zeros(50)).unwrap();
}

#[test]
fn a_final_size_below_received_data_is_a_final_size_error() {
    // RFC 9000 §4.5
    let size = TransportErrorCode::FINAL_SIZE_ERROR;
    let mut server = server(&small());
    server.on_stream_frame(id(0), 90, false, zeros(10)).unwrap();
    assert_eq!(code(server.on_stream_frame(id(0), 0, true, zeros(99))), size);
    assert_eq!(code(server.on_reset_stream(id(0), CODE, 99)), size);
}

#[test]
fn the_final_size_holds_after_a_reset_too() {
    // RFC 9000 §4.5
    let mut server = server(&small());
    server.on_reset_stream(id(0), CODE, 100).unwrap();
    server.on_stream_frame(id(0), 0, true, zeros(100)).unwrap();
    let result = server.on_stream_frame(id(0), 100, false, zeros(1));
    assert_eq!(code(result), TransportErrorCode::FINAL_SIZE_ERROR);
}
