//! Paths: which one a connection uses, and how a client takes another. This file must not know how
//! paths are proven.

use std::ffi::c_int;

use libc::{sockaddr, socklen_t};

use crate::address::{from_c, pq_path};
use crate::arguments::put;
use crate::handles::{Handle as _, pq_conn, with_conn};
use crate::status::{PQ_OK, guard};

/// The addresses that the connection runs between.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_path(conn: *mut pq_conn, path: *mut pq_path) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a valid handle.
        let conn = unsafe { pq_conn::follow(conn)? };
        let found = with_conn!(conn, connection => connection.path());
        // SAFETY: the header asks for valid pointers.
        unsafe { put(path, pq_path::new(found), "the place for the path")? };
        Ok(PQ_OK)
    })
}

/// Has a client's connection do something with an address of ours.
macro_rules! from_here {
    ($conn:expr, $address:expr, $connection:ident, $local:ident => $body:expr) => {
        guard(|| {
            // SAFETY: the header asks for valid handles and addresses.
            let (conn, $local) =
                unsafe { (pq_conn::follow($conn)?, from_c($address.0, $address.1)?) };
            with_conn!(conn, $connection => $body?);
            Ok(PQ_OK)
        })
    };
}

/// On a client: probes the path from another address of ours. With bare streams, PQ_EVENT_PATH_VALIDATED
/// or PQ_EVENT_PATH_FAILED tells how it went.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_probe_path(
    conn: *mut pq_conn,
    local: *const sockaddr,
    local_len: socklen_t,
) -> c_int {
    from_here!(conn, (local, local_len), connection, here => connection.probe_path(here))
}

/// On a client: moves to another address of ours as soon as the path from there is proven.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_conn_migrate(
    conn: *mut pq_conn,
    local: *const sockaddr,
    local_len: socklen_t,
) -> c_int {
    from_here!(conn, (local, local_len), connection, here => connection.migrate(here))
}
