//! What connections of either side can be asked and told, whatever runs on them. This file must not
//! know streams or exchanges.

use std::ffi::{c_char, c_int};

use protoquic::{CloseReason, ConnectionStats};

use crate::arguments::{self, copy_text, put, slice};
use crate::handles::{Handle as _, pq_conn, with_conn};
use crate::status::{Outcome, PQ_OK, guard};

/// Counters of a connection, and the state of its path now.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct pq_stats {
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// QUIC packets received and authenticated.
    pub packets_received: u64,
    /// QUIC packets that were dropped.
    pub packets_dropped: u64,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// Bytes sent in QUIC packets.
    pub bytes_sent: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Of these, arrived after all.
    pub spurious_losses: u64,
    /// The smoothed round-trip time, in nanoseconds.
    pub smoothed_rtt: u64,
    /// The congestion window, in bytes.
    pub congestion_window: u64,
    /// The UDP payload size in use, in bytes.
    pub packet_size: usize,
    /// Key updates by either side.
    pub key_updates: u64,
}

impl From<ConnectionStats> for pq_stats {
    fn from(stats: ConnectionStats) -> Self {
        Self {
            datagrams_received: stats.datagrams_received,
            bytes_received: stats.bytes_received,
            packets_received: stats.packets_received,
            packets_dropped: stats.packets_dropped,
            packets_sent: stats.packets_sent,
            bytes_sent: stats.bytes_sent,
            packets_lost: stats.packets_lost,
            spurious_losses: stats.spurious_losses,
            smoothed_rtt: stats.smoothed_rtt.as_nanos() as u64,
            congestion_window: stats.congestion_window,
            packet_size: stats.packet_size,
            key_updates: stats.key_updates,
        }
    }
}

/// Why a connection ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum pq_close_kind {
    /// It has not.
    #[default]
    PQ_CLOSE_NONE = 0,
    /// Our side closed it, with an application's code.
    PQ_CLOSE_APPLICATION = 1,
    /// The peer closed it, with an application's code.
    PQ_CLOSE_PEER_APPLICATION = 2,
    /// The peer broke a rule, or we failed; with a code of RFC 9000 section 20.1.
    PQ_CLOSE_TRANSPORT = 3,
    /// The peer closed it with such a code.
    PQ_CLOSE_PEER_TRANSPORT = 4,
    /// Silence, or a handshake that took too long.
    PQ_CLOSE_TIMEOUT = 5,
    /// The peer has lost its state, has no version in common with us, or cannot be sent to.
    PQ_CLOSE_OTHER = 6,
}

/// How a connection ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct pq_close_info {
    /// Why.
    pub kind: pq_close_kind,
    /// With which code, if the kind has one.
    pub code: u64,
}

impl pq_close_info {
    pub(crate) fn new(reason: &CloseReason) -> Self {
        use pq_close_kind as kind;
        let (kind, code) = match reason {
            CloseReason::Application { code, .. } => (kind::PQ_CLOSE_APPLICATION, code.0),
            CloseReason::PeerApplication { code, .. } => (kind::PQ_CLOSE_PEER_APPLICATION, code.0),
            CloseReason::Transport(error) => (kind::PQ_CLOSE_TRANSPORT, error.code().0),
            CloseReason::PeerTransport(error) => (kind::PQ_CLOSE_PEER_TRANSPORT, error.code().0),
            CloseReason::IdleTimeout | CloseReason::HandshakeTimeout => (kind::PQ_CLOSE_TIMEOUT, 0),
            _ => (kind::PQ_CLOSE_OTHER, 0),
        };
        Self { kind, code }
    }
}

/// Asks a connection of either side.
macro_rules! ask {
    ($conn:expr, $connection:ident => $body:expr) => {
        guard(|| {
            // SAFETY: the header asks for a valid handle.
            let conn = unsafe { pq_conn::follow($conn)? };
            Ok(with_conn!(conn, $connection => $body))
        })
    };
}

/// 1 if the handshake is complete and the connection is not closing, 0 if not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_is_established(conn: *mut pq_conn) -> c_int {
    ask!(conn, connection => connection.is_established().into())
}

/// 1 if the handshake is confirmed: a client may change its path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_is_confirmed(conn: *mut pq_conn) -> c_int {
    ask!(conn, connection => connection.is_confirmed().into())
}

/// 1 if the connection is closing or over. An accepted one is soon forgotten then: PQ_ERR_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_is_closed(conn: *mut pq_conn) -> c_int {
    ask!(conn, connection => connection.is_closed().into())
}

/// 1 if nothing will ever be sent again: it can be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_is_drained(conn: *mut pq_conn) -> c_int {
    ask!(conn, connection => connection.is_drained().into())
}

/// 1 if TLS resumed an earlier session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_is_resumed(conn: *mut pq_conn) -> c_int {
    ask!(conn, connection => connection.is_resumed().into())
}

/// Closes a connection with an application's error code and a reason, which may be NULL with a length
/// of 0. Does nothing if it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_close(
    conn: *mut pq_conn,
    code: u64,
    reason: *const c_char,
    reason_len: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, reason) = unsafe {
            (pq_conn::follow(conn)?, slice(reason.cast::<u8>(), reason_len, "the reason")?)
        };
        let code = arguments::code(code)?;
        with_conn!(conn, connection => connection.close(code, &String::from_utf8_lossy(reason)));
        Ok(PQ_OK)
    })
}

/// Has a PING sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_ping(conn: *mut pq_conn) -> c_int {
    ask!(conn, connection => {
        connection.ping();
        PQ_OK
    })
}

/// How the connection ended, with a text that may be cut to fit `text_len` bytes; `text` may be NULL
/// with a length of 0. Returns the text's whole length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_close_info(
    conn: *mut pq_conn,
    info: *mut pq_close_info,
    text: *mut c_char,
    text_len: usize,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let reason = match &conn.ended {
            Some(reason) => Some(reason.clone()),
            None => reason(conn)?,
        };
        let found = reason.as_ref().map(pq_close_info::new).unwrap_or_default();
        let words = reason.map(|reason| reason.to_string()).unwrap_or_default();
        // SAFETY: the header asks for valid pointers and lengths.
        unsafe {
            put(info, found, "the info")?;
            copy_text(words.as_bytes(), text, text_len)
        }
    })
}

fn reason(conn: &mut pq_conn) -> Outcome<Option<CloseReason>> {
    Ok(with_conn!(conn, connection => connection.close_reason().cloned()))
}

/// Counters, and the state of the path now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_stats(conn: *mut pq_conn, stats: *mut pq_stats) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let found = with_conn!(conn, connection => connection.stats());
        // SAFETY: the header asks for valid pointers.
        unsafe { put(stats, found.into(), "the place for stats")? };
        Ok(PQ_OK)
    })
}

/// The application protocol that was agreed on, as a C string cut to fit. Returns its whole length, 0
/// before it is known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_alpn(conn: *mut pq_conn, out: *mut c_char, len: usize) -> isize {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let alpn = with_conn!(conn, connection => connection.alpn().to_vec());
        // SAFETY: the header asks for valid pointers and lengths.
        unsafe { copy_text(&alpn, out, len) }
    })
}

/// On a server: the name that the client asked for, as a C string cut to fit. Returns its whole
/// length, 0 if it gave none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_server_name(
    conn: *mut pq_conn,
    out: *mut c_char,
    len: usize,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let name = with_conn!(conn, connection => {
            connection.server_name().unwrap_or_default().to_owned()
        });
        // SAFETY: the header asks for valid pointers and lengths.
        unsafe { copy_text(name.as_bytes(), out, len) }
    })
}
