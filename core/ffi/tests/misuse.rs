//! What C can do wrong: every mistake is a code, and changes nothing.

#![allow(unsafe_code, reason = "the functions under test are C's")]

use std::ffi::{CStr, c_int};
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use libc::{AF_INET, sockaddr, sockaddr_in};
use protoquic_ffi::*;

fn peer() -> sockaddr_in {
    // SAFETY: an address may be all zeros.
    let mut address: sockaddr_in = unsafe { zeroed() };
    address.sin_family = AF_INET as _;
    address.sin_port = 443_u16.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    address
}

fn last_error() -> String {
    // SAFETY: it is never NULL, and ends with NUL.
    unsafe { CStr::from_ptr(pq_last_error()) }.to_string_lossy().into_owned()
}

fn config(alpn: &[u8]) -> *mut pq_config {
    // SAFETY: pointer and length belong together.
    let config = unsafe { pq_config_new(alpn.as_ptr(), alpn.len()) };
    // SAFETY: the handle is valid.
    assert_eq!(unsafe { pq_config_verify_peer(config, false) }, PQ_OK);
    config
}

fn connect(config: *mut pq_config, http3: bool) -> *mut pq_conn {
    let address = peer();
    let (name, to) = (c"localhost".as_ptr(), (&raw const address).cast::<sockaddr>());
    let begin = if http3 { pq_h3_connect } else { pq_connect };
    // SAFETY: the handle, the text and the address are valid.
    unsafe { begin(config, name, null(), 0, to, size_of::<sockaddr_in>() as _, pq_now()) }
}

#[test]
fn null_and_freed_handles_are_codes() {
    // SAFETY: that none of this is followed is what is tested.
    unsafe {
        assert_eq!(pq_conn_is_closed(null_mut()), PQ_ERR_NULL);
        assert_eq!(pq_listener_is_idle(null_mut()), PQ_ERR_NULL);
        assert_eq!(pq_stream_open(null_mut(), true), i64::from(PQ_ERR_NULL));
        assert_eq!(pq_config_set_backlog(null_mut(), 1), PQ_ERR_NULL);
        assert!(pq_listen(null_mut()).is_null());
        assert!(pq_conn_data(null_mut()).is_null());
        let config = config(b"\x05qchat");
        let conn = connect(config, false);
        assert_eq!(pq_conn_is_closed(conn), 0);
        assert_eq!(pq_conn_is_closed(config.cast()), PQ_ERR_BAD_HANDLE);
        assert_eq!(pq_listener_is_idle(conn.cast()), PQ_ERR_BAD_HANDLE);
        assert!(last_error().contains("Listener"), "{}", last_error());
        pq_conn_free(conn);
        assert_eq!(pq_conn_is_closed(conn), PQ_ERR_BAD_HANDLE);
        pq_conn_free(conn);
        pq_conn_free(null_mut());
        pq_config_free(config);
        pq_config_free(config);
        assert_eq!(pq_config_verify_peer(config, true), PQ_ERR_BAD_HANDLE);
    }
}

#[test]
fn bad_pointers_lengths_and_values_are_codes() {
    // SAFETY: what is not NULL is valid for the length that is given with it, where that is not
    // itself refused.
    unsafe {
        assert!(pq_config_new(b"\x09qchat".as_ptr(), 6).is_null());
        assert!(last_error().contains("length byte"), "{}", last_error());
        assert!(pq_config_new(null(), 6).is_null());
        let config = config(b"\x05qchat");
        assert_eq!(pq_config_set_congestion_control(config, c"fast".as_ptr()), PQ_ERR_INVALID);
        assert_eq!(pq_config_set_congestion_control(config, null()), PQ_ERR_NULL);
        let missing = c"/no/such/file".as_ptr();
        assert_eq!(pq_config_set_identity_files(config, missing, missing), PQ_ERR_SYSTEM);
        assert!(last_error().contains("/no/such/file"), "{}", last_error());
        assert!(pq_listen(config).is_null(), "without a certificate");
        let conn = connect(config, false);
        let mut byte = 0;
        let now = pq_now();
        let short = pq_conn_send(conn, &raw mut byte, 1, null_mut(), now);
        assert_eq!(short, PQ_ERR_BUFFER_TOO_SHORT as isize);
        let endless = pq_conn_send(conn, &raw mut byte, usize::MAX, null_mut(), now);
        assert_eq!(endless, PQ_ERR_INVALID as isize);
        assert_eq!(pq_conn_send(conn, null_mut(), 1500, null_mut(), now), PQ_ERR_NULL as isize);
        assert_eq!(pq_conn_recv(conn, &raw const byte, 1, null()), PQ_ERR_NULL);
        let mut info: pq_recv_info = zeroed();
        assert_eq!(pq_conn_recv(conn, &raw const byte, 1, &raw const info), PQ_ERR_NULL);
        let address = peer();
        (info.from, info.from_len) = ((&raw const address).cast(), 3);
        assert_eq!(pq_conn_recv(conn, &raw const byte, 1, &raw const info), PQ_ERR_INVALID);
        assert_eq!(pq_conn_close(conn, u64::MAX, null(), 0), PQ_ERR_INVALID);
        assert_eq!(pq_conn_poll(conn, null_mut()), PQ_ERR_NULL);
        assert_eq!(pq_stream_priority(conn, 0, 8, false), PQ_ERR_INVALID);
        assert_eq!(pq_stream_reset(conn, u64::MAX, 0), PQ_ERR_INVALID);
        assert_eq!(pq_conn_stats(conn, null_mut()), PQ_ERR_NULL);
        pq_conn_free(conn);
        pq_config_free(config);
    }
}

#[test]
fn calls_in_the_wrong_state_or_of_the_wrong_kind_are_codes() {
    // SAFETY: everything is valid.
    unsafe {
        let config = config(b"\x02h3");
        let (streams, http3) = (connect(config, false), connect(config, true));
        assert_eq!(pq_stream_open(http3, true), i64::from(PQ_ERR_WRONG_STATE));
        let mut event: pq_h3_event = zeroed();
        assert_eq!(pq_h3_poll(streams, &raw mut event), PQ_ERR_WRONG_STATE);
        assert_eq!(pq_h3_poll(http3, &raw mut event), PQ_ERR_DONE);
        assert_eq!(pq_stream_open(streams, true), i64::from(PQ_ERR_STREAM_LIMIT));
        assert_eq!(pq_dgram_max_size(streams), PQ_ERR_NOT_SUPPORTED as isize);
        let (mut byte, mut fin) = (0, false);
        let read = pq_stream_recv(streams, 0, &raw mut byte, 1, &raw mut fin, null_mut());
        assert_eq!(read, PQ_ERR_UNKNOWN_STREAM as isize);
        let field = pq_header {
            name: c":status".as_ptr(),
            name_len: 7,
            value: c"200".as_ptr(),
            value_len: 3,
        };
        let answered = pq_h3_send_response(http3, 0, &raw const field, 1, true);
        assert_eq!(answered, PQ_ERR_WRONG_STATE);
        let asked = pq_h3_send_request(http3, &raw const field, 1, true);
        assert_eq!(asked, i64::from(PQ_ERR_INVALID));
        assert!(last_error().contains(":method"), "{}", last_error());
        let upper = pq_header { name: c"Host".as_ptr(), name_len: 4, ..field };
        assert_eq!(pq_h3_send_trailers(http3, 0, &raw const upper, 1), PQ_ERR_INVALID);
        assert_eq!(pq_conn_migrate(streams, null(), 0), PQ_ERR_NULL);
        assert_eq!(pq_conn_close(streams, 7, c"bye".as_ptr(), 3), PQ_OK);
        let mut info = pq_close_info::default();
        let mut text = [0; 8];
        let len = pq_conn_close_info(streams, &raw mut info, text.as_mut_ptr(), text.len());
        assert!(len > 8 && info.code == 7, "{info:?}");
        assert_eq!(info.kind, pq_close_kind::PQ_CLOSE_APPLICATION);
        assert_eq!(CStr::from_ptr(text.as_ptr()), c"closed ");
        assert_eq!(pq_stream_open(streams, true), i64::from(PQ_ERR_CLOSED));
        pq_conn_free(streams);
        pq_conn_free(http3);
        pq_config_free(config);
    }
}

#[test]
fn every_code_has_a_text_of_its_own() {
    // SAFETY: texts are never NULL and end with NUL.
    let text = |code: c_int| unsafe { CStr::from_ptr(pq_error_text(code)) };
    let texts: std::collections::BTreeSet<_> = (PQ_ERR_SYSTEM..=PQ_OK).map(text).collect();
    assert_eq!(texts.len(), PQ_ERR_SYSTEM.unsigned_abs() as usize + 1);
    assert!(!texts.contains(text(-1000)));
    // SAFETY: likewise.
    let version = unsafe { CStr::from_ptr(pq_version()) };
    assert_eq!(version.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
}
