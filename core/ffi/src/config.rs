//! `pq_config`: settings, certificates and protocols. This file must not know connections.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use protoquic::congestion::CongestionControl;
use protoquic::dispatcher::AddressValidation;
use protoquic::polled::Config;

use crate::arguments::{slice, text};
use crate::handles::{Handle as _, pq_config};
use crate::status::{Failure, Outcome, PQ_ERR_SYSTEM, PQ_OK, guard, guard_quietly};

/// Settings for these application protocols, each behind a byte with its length, most wanted first,
/// as TLS has them: "\x05qchat". NULL if they are malformed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_new(alpn: *const u8, alpn_len: usize) -> *mut pq_config {
    let mut made = std::ptr::null_mut();
    guard_quietly(|| {
        // SAFETY: the header asks for a valid pointer and length.
        let alpn = unsafe { slice(alpn, alpn_len, "the protocols")? };
        made = pq_config { config: Config::new(&protocols(alpn)?) }.release();
        Ok(())
    });
    made
}

fn protocols(mut wire: &[u8]) -> Outcome<Vec<&[u8]>> {
    let mut protocols = Vec::new();
    while let Some((len, rest)) = wire.split_first() {
        match rest.split_at_checked(usize::from(*len)) {
            Some((name, rest)) if !name.is_empty() => {
                protocols.push(name);
                wire = rest;
            }
            _ => return Err(Failure::invalid("a protocol is shorter than its length byte says")),
        }
    }
    if protocols.is_empty() { Err(Failure::invalid("no protocol is given")) } else { Ok(protocols) }
}

/// Frees settings. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_free(config: *mut pq_config) {
    guard_quietly(|| if config.is_null() { Ok(()) } else { pq_config::reclaim(config).map(drop) });
}

/// Changes settings.
///
/// # Safety
///
/// As the header asks: nobody else uses them meanwhile.
unsafe fn change(config: *mut pq_config, f: impl FnOnce(&mut Config) -> Outcome<()>) -> c_int {
    guard(|| {
        // SAFETY: promised to us.
        let config = unsafe { pq_config::follow(config)? };
        f(&mut config.config).map(|()| PQ_OK)
    })
}

fn read(path: &str) -> Outcome<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Failure::new(PQ_ERR_SYSTEM, format!("{path} cannot be read: {error}")))
}

/// A certificate chain, its own certificate first, and its private key, in PEM files. A listener
/// needs one; a client shows it to servers that ask. What is in them is looked at when they are used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_identity_files(
    config: *mut pq_config,
    certificate: *const c_char,
    key: *const c_char,
) -> c_int {
    // SAFETY: the header asks for valid handles and texts.
    unsafe {
        change(config, |config| {
            let certificate = read(text(certificate, "the certificate's path")?)?;
            config.set_identity(certificate, read(text(key, "the key's path")?)?);
            Ok(())
        })
    }
}

/// As pq_config_set_identity_files, with PEM in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_identity(
    config: *mut pq_config,
    certificate: *const u8,
    certificate_len: usize,
    key: *const u8,
    key_len: usize,
) -> c_int {
    // SAFETY: the header asks for valid handles, pointers and lengths.
    unsafe {
        change(config, |config| {
            let certificate = slice(certificate, certificate_len, "the certificate")?;
            config.set_identity(certificate, slice(key, key_len, "the key")?);
            Ok(())
        })
    }
}

/// Authorities in a PEM file to verify servers by; the system's otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_authorities_file(
    config: *mut pq_config,
    path: *const c_char,
) -> c_int {
    // SAFETY: the header asks for valid handles and texts.
    unsafe {
        change(config, |config| {
            config.set_authorities(read(text(path, "the path")?)?);
            Ok(())
        })
    }
}

/// Whether a client verifies its server. To be switched off for servers of one's own only. Default
/// yes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_verify_peer(config: *mut pq_config, yes: bool) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.trust_any_certificate(!yes);
            Ok(())
        })
    }
}

/// How long the peer may be silent, in milliseconds; 0: for ever. Default 30,000.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_idle_timeout(config: *mut pq_config, ms: u64) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.transport_mut().idle_timeout = Duration::from_millis(ms);
            Ok(())
        })
    }
}

/// Sends a PING after so many milliseconds of silence; 0: never, the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_keep_alive(config: *mut pq_config, ms: u64) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.transport_mut().keep_alive = (ms > 0).then(|| Duration::from_millis(ms));
            Ok(())
        })
    }
}

/// The receive windows to begin with, in bytes: of all streams together, and of each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_windows(
    config: *mut pq_config,
    connection: u64,
    stream: u64,
) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            let streams = &mut config.transport_mut().streams;
            streams.max_data = connection;
            streams.max_stream_data_bidi_local = stream;
            streams.max_stream_data_bidi_remote = stream;
            streams.max_stream_data_uni = stream;
            Ok(())
        })
    }
}

/// How many streams the peer may have open at a time. Default 100 of each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_max_streams(
    config: *mut pq_config,
    bidirectional: u64,
    unidirectional: u64,
) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            let streams = &mut config.transport_mut().streams;
            streams.max_streams_bidi = bidirectional;
            streams.max_streams_uni = unidirectional;
            Ok(())
        })
    }
}

/// Whether datagrams of the peer are taken (RFC 9221). Default no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_enable_datagrams(config: *mut pq_config, yes: bool) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.transport_mut().datagrams.max_frame_size = if yes { 65_535 } else { 0 };
            Ok(())
        })
    }
}

/// The congestion controller: "reno", "cubic" (the default), "bbr" or "prague".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_congestion_control(
    config: *mut pq_config,
    name: *const c_char,
) -> c_int {
    // SAFETY: the header asks for valid handles and texts.
    unsafe {
        change(config, |config| {
            let name = text(name, "the name")?;
            let found = name.parse::<CongestionControl>();
            let found = found.map_err(|error| Failure::invalid(format!("{name:?}: {error}")))?;
            config.transport_mut().congestion = std::sync::Arc::new(found);
            Ok(())
        })
    }
}

/// The UDP payloads to begin with and to probe for, in bytes, 1200 to 65527. Default 1200 and 1452.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_packet_sizes(
    config: *mut pq_config,
    initial: usize,
    max: usize,
) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            let transport = config.transport_mut();
            (transport.initial_packet_size, transport.max_packet_size) = (initial, max);
            Ok(())
        })
    }
}

/// Whether packets are to be marked for ECN. Who switches it on marks them as pq_send_info says, and
/// tells with pq_recv_info how they came. Default no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_enable_ecn(config: *mut pq_config, yes: bool) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.transport_mut().ecn = yes;
            Ok(())
        })
    }
}

/// Whether a client remembers servers, in memory, to resume their sessions. Default no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_remember_sessions(config: *mut pq_config, yes: bool) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.remember_sessions(yes);
            Ok(())
        })
    }
}

/// Whether early data is sent by clients that resume, and taken by servers. It can be replayed
/// (RFC 9001 section 9.2). Default no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_allow_early_data(config: *mut pq_config, yes: bool) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.allow_early_data(yes);
            Ok(())
        })
    }
}

/// Whether a listener has every client prove its address first (Retry). Default: when there are too
/// many at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_always_retry(config: *mut pq_config, yes: bool) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            let when = if yes { AddressValidation::Always } else { AddressValidation::default() };
            config.listener_mut().address_validation = when;
            Ok(())
        })
    }
}

/// How many connections may wait for pq_listener_poll at most; more are refused. Default 1024.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pq_config_set_backlog(config: *mut pq_config, backlog: usize) -> c_int {
    // SAFETY: the header asks for a valid handle.
    unsafe {
        change(config, |config| {
            config.set_backlog(backlog);
            Ok(())
        })
    }
}
