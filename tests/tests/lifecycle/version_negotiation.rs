//! What a client makes of Version Negotiation packets (RFC 9000 §6.2).

use protoquic::wire::{PacketHeader, Version, parse_header, write_version_negotiation};
use protoquic::{CloseReason, ConnectionId, SeededRandom};

use super::{SECOND, end, lonely_client};

/// Answers the client's Initial with these versions: why its attempt has ended after a second, if it
/// has, and whether it has begun another.
fn after_negotiation(versions: &[Version], mirrored: bool) -> (Option<CloseReason>, bool) {
    let (mut net, address) = lonely_client();
    let mail = net.take_mail(address).swap_remove(0);
    let Ok(PacketHeader::Long(header)) = parse_header(&mail.data, 0) else {
        panic!("a long header");
    };
    let mut out = Vec::new();
    let other = ConnectionId::new(&[1; 16]).expect("16 bytes");
    let first = header.destination;
    let from = if mirrored { first } else { other };
    let (to, from) = (header.source.as_bytes(), from.as_bytes());
    write_version_negotiation(&mut out, to, from, versions, &mut SeededRandom::new(1));
    net.inject(address, mail.from, out);
    net.run_for(SECOND);
    let is_another = |data: &[u8]| match parse_header(data, 0) {
        Ok(PacketHeader::Long(header)) => header.destination != first,
        _ => false,
    };
    let again = net.take_mail(address).iter().any(|mail| is_another(&mail.data));
    (end(&net).cloned(), again)
}

#[test]
fn without_our_version_ends_the_attempt() {
    // RFC 9000 §6.2
    let (reason, again) = after_negotiation(&[Version(0xff00_001d)], true);
    let Some(CloseReason::VersionMismatch { offered }) = reason else { panic!("{reason:?}") };
    assert!(!again);
    assert!(offered.contains(&0xff00_001d));
}

#[test]
fn with_our_version_is_ignored() {
    // RFC 9000 §6.2
    assert_eq!(after_negotiation(&[Version(0xff00_001d), Version::V1], true), (None, false));
}

#[test]
fn for_another_connection_is_ignored() {
    // RFC 8999 §6
    assert_eq!(after_negotiation(&[Version(0xff00_001d)], false), (None, false));
}
