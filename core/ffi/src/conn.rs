//! A client's connection: made, fed, emptied and freed. What is asked of connections of either side
//! is in `state.rs`. This file must not know what runs on it.

use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

use libc::{sockaddr, socklen_t};
use protoquic::polled::{Application, Client, RecvInfo, SendInfo, connect};
use protoquic::readers::SystemClock;
use protoquic::{Clock as _, Ecn, PathAddress, Time};

use crate::address::{from_c, pq_path};
use crate::arguments::{check_place, put_if, slice, slice_mut, text};
use crate::handles::{Handle as _, Link, pq_config, pq_conn, with_conn};
use crate::status::{Failure, Outcome, PQ_ERR_WRONG_STATE, PQ_OK, guard, guard_quietly};

/// How a datagram arrived.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct pq_recv_info {
    /// The peer's address.
    pub from: *const sockaddr,
    /// How long it is.
    pub from_len: socklen_t,
    /// Our address; NULL if it is not known, and there is only one.
    pub to: *const sockaddr,
    /// How long it is.
    pub to_len: socklen_t,
    /// The two ECN bits of its IP header; 0 if they are not known.
    pub ecn: u8,
    /// If not 0: the buffer holds datagrams of so many bytes each, the last may be shorter (UDP_GRO).
    pub segment: usize,
    /// When it was read, in nanoseconds.
    pub now: u64,
}

/// Where a datagram goes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct pq_send_info {
    /// From where to where.
    pub path: pq_path,
    /// The two ECN bits to mark it with.
    pub ecn: u8,
    /// The buffer holds datagrams of so many bytes each, the last may be shorter (UDP_SEGMENT).
    pub segment: usize,
}

/// What a timeout is if there is none.
pub const PQ_FOREVER: i64 = i64::MAX;

/// The time now, in nanoseconds, on a clock that does not run backwards.
#[unsafe(no_mangle)]
pub extern "C" fn pq_now() -> u64 {
    static CLOCK: std::sync::LazyLock<SystemClock> = std::sync::LazyLock::new(SystemClock::new);
    CLOCK.now().as_nanos()
}

/// Begins a connection for bare streams to the server of this name. `local` may be NULL: the system
/// chooses. Its first datagrams wait for pq_conn_send. NULL if that cannot be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_connect(
    config: *mut pq_config,
    server_name: *const c_char,
    local: *const sockaddr,
    local_len: socklen_t,
    peer: *const sockaddr,
    peer_len: socklen_t,
    now: u64,
) -> *mut pq_conn {
    // SAFETY: the header asks for valid handles, texts and addresses.
    unsafe { begin(config, server_name, (local, local_len), (peer, peer_len), now, Link::Streams) }
}

/// As pq_connect, for HTTP/3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_h3_connect(
    config: *mut pq_config,
    server_name: *const c_char,
    local: *const sockaddr,
    local_len: socklen_t,
    peer: *const sockaddr,
    peer_len: socklen_t,
    now: u64,
) -> *mut pq_conn {
    // SAFETY: the header asks for valid handles, texts and addresses.
    unsafe { begin(config, server_name, (local, local_len), (peer, peer_len), now, Link::Http3) }
}

/// # Safety
///
/// The handle is valid, the text ends with NUL, the addresses are as long as they say.
unsafe fn begin<A: Application>(
    config: *mut pq_config,
    server_name: *const c_char,
    local: (*const sockaddr, socklen_t),
    peer: (*const sockaddr, socklen_t),
    now: u64,
    link: impl FnOnce(Box<Client<A>>) -> Link,
) -> *mut pq_conn {
    let mut made = std::ptr::null_mut();
    guard_quietly(|| {
        // SAFETY: promised to us.
        let (config, name, path) = unsafe {
            let peer = from_c(peer.0, peer.1)?;
            (pq_config::follow(config)?, text(server_name, "the name")?, path(local, peer)?)
        };
        let client = connect::<A>(&config.config, name, path, Time::from_nanos(now))?;
        made = pq_conn::new(link(Box::new(client))).release();
        Ok(())
    });
    made
}

/// # Safety
///
/// The address is NULL or as long as it says.
unsafe fn path(
    local: (*const sockaddr, socklen_t),
    peer: std::net::SocketAddr,
) -> Outcome<PathAddress> {
    let local = if local.0.is_null() {
        let unspecified: std::net::IpAddr = if peer.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        (unspecified, 0).into()
    } else {
        // SAFETY: promised to us.
        unsafe { from_c(local.0, local.1)? }
    };
    Ok(PathAddress::new(local, peer))
}

impl pq_recv_info {
    /// # Safety
    ///
    /// Its addresses are as long as they say.
    pub(crate) unsafe fn read(info: *const Self) -> Outcome<RecvInfo> {
        check_place(info.cast_mut(), "the info")?;
        // SAFETY: it is not NULL, and valid by promise, as are its addresses.
        let (info, path) = unsafe {
            let info = *info;
            let peer = from_c(info.from, info.from_len)?;
            (info, path((info.to, info.to_len), peer)?)
        };
        let ecn = match info.ecn & 3 {
            0 => Ecn::NotEct,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::Ce,
        };
        let now = Time::from_nanos(info.now);
        Ok(RecvInfo { path, ecn, now, segment: info.segment })
    }
}

impl pq_send_info {
    pub(crate) fn new(sent: &SendInfo) -> Self {
        Self { path: pq_path::new(sent.path), ecn: sent.ecn as u8, segment: sent.segment }
    }
}

/// A client's own way in and out.
macro_rules! with_client {
    ($conn:expr, $client:ident => $body:expr) => {
        match &mut $conn.link {
            Link::Streams($client) => $body,
            Link::Http3($client) => $body,
            Link::Accepted { .. } => {
                let text = "an accepted connection is fed and emptied by its listener";
                return Err(Failure::new(PQ_ERR_WRONG_STATE, text));
            }
        }
    };
}

/// Gives a client's connection a datagram that has arrived, or a batch of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_recv(
    conn: *mut pq_conn,
    data: *const u8,
    len: usize,
    info: *const pq_recv_info,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, data, info) = unsafe {
            (pq_conn::follow(conn)?, slice(data, len, "the datagram")?, pq_recv_info::read(info)?)
        };
        with_client!(conn, client => client.recv(data, &info)?);
        Ok(PQ_OK)
    })
}

/// Puts the next datagram of a client's connection into `out`, and returns its length.
/// PQ_ERR_DONE if there is none now. `info` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_send(
    conn: *mut pq_conn,
    out: *mut u8,
    len: usize,
    info: *mut pq_send_info,
    now: u64,
) -> isize {
    // SAFETY: the header asks for valid handles, pointers and lengths.
    unsafe { pq_conn_send_batch(conn, out, len, 1, info, now) }
}

/// Puts as many datagrams as fit, `max` at most, one behind the other: all of one size, but for the
/// last, which may be shorter. Returns the length of all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_send_batch(
    conn: *mut pq_conn,
    out: *mut u8,
    len: usize,
    max: usize,
    info: *mut pq_send_info,
    now: u64,
) -> isize {
    guard(|| {
        // SAFETY: the header asks for valid handles, pointers and lengths.
        let (conn, out) = unsafe { (pq_conn::follow(conn)?, slice_mut(out, len, "the buffer")?) };
        let now = Time::from_nanos(now);
        let sent = with_client!(conn, client => client.send_batch(out, max, now))?;
        // SAFETY: likewise.
        unsafe { put_if(info, pq_send_info::new(&sent)) };
        Ok(sent.len as isize)
    })
}

/// How many nanoseconds a client's connection can wait before pq_conn_on_timeout; PQ_FOREVER if
/// nothing is awaited. 0 as long as there may be something to send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_timeout(conn: *mut pq_conn, now: u64) -> i64 {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        Ok(nanos(with_client!(conn, client => client.timeout(Time::from_nanos(now)))))
    })
}

pub(crate) fn nanos(timeout: Option<Duration>) -> i64 {
    timeout.map_or(PQ_FOREVER, |timeout| i64::try_from(timeout.as_nanos()).unwrap_or(PQ_FOREVER))
}

/// The timeout of a client's connection has passed. Harmless if it has not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_on_timeout(conn: *mut pq_conn, now: u64) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        with_client!(conn, client => client.on_timeout(Time::from_nanos(now)));
        Ok(PQ_OK)
    })
}

/// Frees a connection, and forgets it without a word to the peer; one that a listener has accepted is
/// closed. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_free(conn: *mut pq_conn) {
    guard_quietly(|| {
        if conn.is_null() {
            return Ok(());
        }
        let mut conn = pq_conn::reclaim(conn)?;
        if let Link::Accepted { key, conns, .. } = &conn.link
            && let Some(conns) = conns.upgrade()
        {
            conns.borrow_mut().remove(&key.0);
        }
        if matches!(conn.link, Link::Accepted { .. }) {
            let _ = close(&mut conn); // it may be over already
        }
        Ok(())
    });
}

fn close(conn: &mut pq_conn) -> Outcome<()> {
    with_conn!(conn, connection => connection.close(0, ""));
    Ok(())
}

/// Keeps a pointer of the caller's with a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_set_data(conn: *mut pq_conn, data: *mut c_void) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        unsafe { pq_conn::follow(conn)?.data = data };
        Ok(PQ_OK)
    })
}

/// The pointer that was kept; NULL if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_data(conn: *mut pq_conn) -> *mut c_void {
    let mut data = std::ptr::null_mut();
    guard_quietly(|| {
        // SAFETY: the header asks for a valid handle.
        data = unsafe { pq_conn::follow(conn)?.data };
        Ok(())
    });
    data
}
