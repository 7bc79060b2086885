//! What becomes of a datagram that belongs to no session: the order of decisions of Chromium's
//! dispatcher. Each step is cheaper than the next, and none keeps state for a client that has shown
//! nothing.
//!
//! 1. blocked source ports: dropped
//! 2. unreadable headers: dropped
//! 3. known connection IDs: to their session (`dispatcher/mod.rs`)
//! 4. IDs whose ClientHello is being collected: kept with it
//! 5. IDs of closed connections: the stored close, ever more rarely
//! 6. not accepting: refused
//! 7. unknown versions: Version Negotiation, for datagrams of 1200 bytes
//! 8. Initial packets in datagrams below 1200 bytes: dropped
//! 9. unproven addresses when proof is required: Retry
//! 10. the ClientHello is collected, and a session made
//! 11. early data without a connection: kept for its Initial, for a moment
//! 12. short headers that nobody knows: stateless reset

use protoquic_core::connection::MIN_PACKET_SIZE;
use protoquic_core::crypto::TokenVerdict;
use protoquic_core::wire::{
    LongHeader, LongType, PacketHeader, Version, parse_greased_header, parse_header,
};
use protoquic_core::{ConnectionId, PathAddress};

/// A client's Initial that may become a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) version: Version,
    pub(crate) path: PathAddress,
    /// The destination of its Initial as it came.
    pub(crate) destination: ConnectionId,
    pub(crate) source: ConnectionId,
    /// The destination of its very first Initial.
    pub(crate) original_destination: ConnectionId,
    pub(crate) retry_source: Option<ConnectionId>,
    pub(crate) address_validated: bool,
}

/// What a header alone decides.
#[derive(Debug)]
pub(crate) enum FirstLook<'a> {
    Drop,
    /// For the session, or the stored packets, of this ID; the rest is decided if there is none.
    Short(ConnectionId),
    Initial(LongHeader<'a>),
    /// Early data, which may have overtaken its connection's Initial.
    ZeroRtt(ConnectionId),
    /// A long header that begins no connection.
    Other(ConnectionId),
    UnknownVersion,
}

/// Reads a datagram's first header, if it begins a connection in one of these versions.
/// `any_quic_bit`: sessions have told their clients that they do not mind (RFC 9287 §3).
pub(crate) fn look<'a>(
    datagram: &'a [u8],
    id_length: usize,
    versions: &[Version],
    any_quic_bit: bool,
) -> FirstLook<'a> {
    let parse = if any_quic_bit { parse_greased_header } else { parse_header };
    match parse(datagram, id_length) {
        Ok(PacketHeader::Short(short)) => FirstLook::Short(short.destination),
        Ok(PacketHeader::Long(long)) => match long.ty {
            LongType::Initial if !versions.contains(&long.version) => FirstLook::UnknownVersion,
            LongType::Initial => FirstLook::Initial(long),
            // A Retry is for clients (RFC 9000 §17.2.5).
            LongType::Retry => FirstLook::Drop,
            LongType::ZeroRtt => FirstLook::ZeroRtt(long.destination),
            LongType::Handshake => FirstLook::Other(long.destination),
        },
        Ok(PacketHeader::UnknownVersion(_)) => FirstLook::UnknownVersion,
        // RFC 9000 §6.1: never an answer to a Version Negotiation packet.
        Ok(PacketHeader::VersionNegotiation(_)) | Err(_) => FirstLook::Drop,
    }
}

/// Whether an Initial may begin a connection at all.
pub(crate) fn is_plausible(initial: &LongHeader<'_>, datagram_len: usize) -> bool {
    // RFC 9000 §14.1, §7.2
    datagram_len >= MIN_PACKET_SIZE && initial.destination.len() >= MIN_DESTINATION_LEN
}

/// What a token makes of an Initial.
#[derive(Debug)]
pub(crate) enum TokenOutcome {
    Admit(Admission),
    /// A Retry token that does not hold (RFC 9000 §8.1.2).
    Invalid(&'static str),
}

pub(crate) fn judge_token(
    initial: &LongHeader<'_>,
    path: PathAddress,
    verdict: TokenVerdict,
) -> TokenOutcome {
    let admission = Admission {
        version: initial.version,
        path,
        destination: initial.destination,
        source: initial.source,
        original_destination: initial.destination,
        retry_source: None,
        address_validated: false,
    };
    match verdict {
        TokenVerdict::Retry { original_destination, retry_source } => {
            // RFC 9000 §17.2.5.2: the client sends to the ID that our Retry named.
            if retry_source != initial.destination {
                return TokenOutcome::Invalid("the Retry token was made for another connection ID");
            }
            TokenOutcome::Admit(Admission {
                original_destination,
                retry_source: Some(retry_source),
                address_validated: true,
                ..admission
            })
        }
        TokenVerdict::NewToken => {
            TokenOutcome::Admit(Admission { address_validated: true, ..admission })
        }
        TokenVerdict::BadRetry(why) => TokenOutcome::Invalid(why),
        // RFC 9000 §8.1.3: as if there were none.
        TokenVerdict::Unknown => TokenOutcome::Admit(admission),
    }
}

/// RFC 9000 §7.2: a client's first destination is at least so long.
const MIN_DESTINATION_LEN: usize = 8;
