//! What the callback layer promises whoever counts its events.

#![allow(unsafe_code, reason = "the functions under test are C's")]

use std::ffi::c_void;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{AF_INET, sockaddr, sockaddr_in};
use protoquic_ffi::*;

/// Counts ends in what its context points to.
unsafe extern "C" fn on_stream(_: pq_handle, context: *mut c_void, event: *mut pq_cb_stream_event) {
    // SAFETY: the event is valid for the call, and the context for the test.
    let (event, ends) = unsafe { (&*event, &*context.cast::<AtomicUsize>()) };
    if event.kind == pq_cb_stream_event_kind::PQ_CB_STREAM_SHUTDOWN_COMPLETE {
        ends.fetch_add(1, Ordering::Relaxed);
    }
}

unsafe extern "C" fn on_conn(_: pq_handle, _: *mut c_void, _: *mut pq_cb_conn_event) {}

/// A connection to where nobody is.
fn connect(registration: pq_handle, config: *mut pq_config) -> pq_handle {
    let mut conn = 0;
    // SAFETY: an address may be all zeros.
    let mut address: sockaddr_in = unsafe { zeroed() };
    address.sin_family = AF_INET as _;
    address.sin_port = 9_u16.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    let (to, len) = ((&raw const address).cast::<sockaddr>(), size_of::<sockaddr_in>() as _);
    let name = c"localhost".as_ptr();
    // SAFETY: handles, texts and addresses are valid.
    unsafe {
        let callback = Some(on_conn as _);
        let began =
            pq_cb_connect(registration, config, name, to, len, callback, null_mut(), &raw mut conn);
        assert_eq!(began, PQ_OK);
    }
    conn
}

/// A connection to where nobody is, that is closed while streams are begun on it. Returns how many
/// were, until it was over.
fn begin_streams(registration: pq_handle, config: *mut pq_config, ends: &AtomicUsize) -> usize {
    let (conn, mut stream, mut begun) = (connect(registration, config), 0, 0);
    let context = (&raw const *ends).cast_mut().cast();
    // SAFETY: handles and contexts are valid.
    unsafe {
        while pq_cb_stream_start(conn, true, Some(on_stream), context, &raw mut stream) == PQ_OK {
            begun += 1;
            if begun == 10 {
                pq_cb_conn_close(conn, 0);
            }
        }
    }
    begun
}

#[test]
fn every_stream_that_was_begun_says_its_end() {
    let (ends, mut registration) = (AtomicUsize::new(0), 0);
    // SAFETY: pointers and lengths are valid.
    unsafe {
        let config = pq_config_new(b"\x05qchat".as_ptr(), 6);
        assert_eq!(pq_config_verify_peer(config, false), PQ_OK);
        assert_eq!(pq_cb_open(&raw mut registration), PQ_OK);
        let begun: usize = (0..100).map(|_| begin_streams(registration, config, &ends)).sum();
        assert_eq!(pq_cb_close(registration), PQ_OK);
        pq_config_free(config);
        assert!(begun >= 1000);
        assert_eq!(ends.load(Ordering::Relaxed), begun);
    }
}

/// Counts sends that are over in what its context points to.
unsafe extern "C" fn on_send(_: pq_handle, context: *mut c_void, event: *mut pq_cb_stream_event) {
    // SAFETY: the event is valid for the call, and the context for the test.
    let (event, sends) = unsafe { (&*event, &*context.cast::<AtomicUsize>()) };
    if event.kind == pq_cb_stream_event_kind::PQ_CB_SEND_COMPLETE {
        sends.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn who_sends_and_does_not_wait_is_told_to() {
    let (sends, mut registration, mut stream) = (AtomicUsize::new(0), 0, 0);
    let context = (&raw const sends).cast_mut().cast();
    // SAFETY: pointers and lengths are valid.
    unsafe {
        let config = pq_config_new(b"\x05qchat".as_ptr(), 6);
        assert_eq!(pq_cb_open(&raw mut registration), PQ_OK);
        let conn = connect(registration, config);
        let data = vec![7; 1 << 20];
        for (len, expected) in [(data.len(), 16), (0, 1024)] {
            let started = pq_cb_stream_start(conn, true, Some(on_send), context, &raw mut stream);
            assert_eq!(started, PQ_OK);
            let send = || pq_cb_stream_send(stream, data.as_ptr(), len, false, null_mut());
            assert_eq!((0..2000).take_while(|_| send() == PQ_OK).count(), expected);
            assert_eq!(send(), PQ_ERR_QUEUE_FULL);
        }
        pq_cb_close(registration);
        pq_config_free(config);
    }
    assert_eq!(sends.load(Ordering::Relaxed), 16 + 1024, "each is told of, and no other");
}
