//! What the suites of transport rules share, whichever end is attacked: an [`Evil`] breaks a rule
//! and the other side must close with the right code. It knows none of the rules.

use protoquic::wire::{Frame, PacketType};
use protoquic::{ConnectionId, ResetToken, Session, StreamId, TransportErrorCode as Code};

use crate::evil::{Evil, SeenClose, bytes_of};
use crate::net::Net;

/// The other side closes, and its transport gives this code.
#[track_caller]
pub fn expect_close<S: Session>(net: &mut Net<S>, evil: &mut Evil, code: Code) {
    let close = evil.wait_for_close(net);
    let Some(SeenClose { application: false, code: got, .. }) = close else {
        panic!("a close by the transport, not {close:?}");
    };
    assert_eq!(Code(got), code);
}

/// Sends these bytes in a 1-RTT packet and expects a close with this code.
#[track_caller]
pub fn expect_one_rtt_close<S: Session>(
    (mut net, mut evil): (Net<S>, Evil),
    frames: &[u8],
    code: Code,
) {
    evil.send(&mut net, PacketType::OneRtt, frames);
    expect_close(&mut net, &mut evil, code);
}

/// An empty STREAM frame of this stream.
pub fn stream(raw: u64) -> Frame<'static> {
    Frame::Stream { id: StreamId::from_raw(raw), offset: 0, fin: false, data: b"" }
}

/// A NEW_CONNECTION_ID frame whose ID and token are all this byte.
pub fn new_id(sequence: u64, retire_prior_to: u64, byte: u8) -> Vec<u8> {
    let id = ConnectionId::new(&[byte; 8]).expect("eight bytes");
    let reset_token = ResetToken([byte; 16]);
    bytes_of(&Frame::NewConnectionId { sequence, retire_prior_to, id, reset_token })
}
