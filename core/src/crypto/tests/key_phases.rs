//! Key updates of RFC 9001 §6, with the keys of a real handshake: both ends seal and open bare
//! short-header packets, in the order and with the numbers that a rule is about.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::hex;
use crate::TransportErrorCode;
use crate::crypto::{
    ClientTls, Identity, KeyPhases, KeyTime, NewKeys, OpenError, ServerTls, ServerTrust, TAG_LEN,
    Tls, unprotect_header,
};
use crate::time::Time;
use crate::wire::Version;

/// Both ends' keys when the handshake is complete.
fn pair() -> (KeyPhases, KeyPhases) {
    let [(_, client), (_, server)] = handshaken();
    (client.unwrap(), server.unwrap())
}

/// A client and a server whose handshake is complete.
pub(super) fn handshaken() -> [(Tls, Option<KeyPhases>); 2] {
    let client = ClientTls {
        provider: None,
        trust: ServerTrust::AnyCertificate,
        alpn: Vec::new(),
        identity: None,
        key_log: false,
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(hex(KEY)));
    let identity = Identity { chain: vec![hex(CERTIFICATE).into()], key };
    let (provider, alpn, client_verifier) = (None, Vec::new(), None);
    let server = ServerTls { provider, identity, alpn, client_verifier, key_log: false };
    let name = "localhost".try_into().unwrap();
    let (client, server) = (Arc::new(client.build().unwrap()), Arc::new(server.build().unwrap()));
    let client = Tls::client(client, Version::V1, false, name, vec![1, 1, 9]).unwrap();
    let server = Tls::server(server, Version::V1, false, false, vec![1, 1, 9]).unwrap();
    let mut ends = [(client, None), (server, None)];
    while ends.iter().any(|(_, phases)| phases.is_none()) {
        for from in 0..2 {
            loop {
                let mut bytes = Vec::new();
                let keys = ends[from].0.write(&mut bytes);
                let idle = keys.is_none() && bytes.is_empty();
                ends[1 - from].0.read(&bytes).unwrap(); // one level's messages at a time
                if let Some(NewKeys::OneRtt { keys, next }) = keys {
                    ends[from].1 = Some(KeyPhases::new(keys, next));
                }
                if idle {
                    break;
                }
            }
        }
    }
    ends
}

/// A short-header packet of this number, in the sender's present phase.
fn seal(from: &mut KeyPhases, number: u64) -> Vec<u8> {
    let first = 0x43 | u8::from(from.phase()) << 2;
    let mut packet = [&[first][..], &(number as u32).to_be_bytes(), b"frames"].concat();
    packet.extend([0; TAG_LEN]);
    from.seal(&mut packet, 1, 4, number);
    packet
}

fn open(to: &mut KeyPhases, at: u64, mut packet: Vec<u8>) -> Result<usize, OpenError> {
    let time = KeyTime { now: Time::from_millis(at), retention: Duration::from_millis(RETENTION) };
    to.expire(time.now);
    let (first, number, len) = unprotect_header(to.remote_header(), &mut packet, 1).unwrap();
    to.open(time, &mut packet, 1 + len, number, first & 0x04 != 0)
}

fn is_key_update_error(result: Result<usize, OpenError>) -> bool {
    let Err(OpenError::Fatal(error)) = result else { return false };
    error.code() == TransportErrorCode::KEY_UPDATE_ERROR
}

/// The client has updated, the server has followed; the client's packets 0 and 1 were of the old
/// keys, 2 of the new.
fn updated() -> (KeyPhases, KeyPhases) {
    let (mut client, mut server) = pair();
    assert!(open(&mut server, 0, seal(&mut client, 0)).is_ok());
    seal(&mut client, 1);
    client.on_acked(0);
    assert!(client.initiate_update());
    assert!(open(&mut server, 10, seal(&mut client, 2)).is_ok());
    assert_eq!((client.phase(), server.phase(), server.updates()), (true, true, 1));
    (client, server)
}

#[test]
fn updates_go_on_after_a_silence_in_which_the_next_keys_were_given_back() {
    let (mut client, mut server) = pair();
    let mut number = 0;
    for at in [0, 10_000, 20_000] {
        client.release_memory();
        server.release_memory();
        let packet = seal(&mut client, number);
        assert!(open(&mut server, at, packet).is_ok(), "packet {number}");
        client.on_acked(number);
        client.release_memory();
        server.release_memory();
        assert!(client.initiate_update());
        let packet = seal(&mut client, number + 1);
        assert!(open(&mut server, at + 5000, packet).is_ok(), "packet {}", number + 1);
        assert_eq!((client.phase(), client.updates()), (server.phase(), server.updates()));
        let answer = seal(&mut server, number);
        assert!(open(&mut client, at + 5000, answer).is_ok());
        number += 2;
    }
    assert_eq!(server.updates(), 3);
}

#[test]
fn the_first_altered_packet_makes_the_next_keys_whichever_phase_it_says() {
    // RFC 9001 §6.3, §9.5: how long it takes must not tell what became of the key phase bit.
    for flipped in [0, 0x04] {
        let (mut client, mut server) = pair();
        assert!(open(&mut server, 0, seal(&mut client, 0)).is_ok());
        assert!(!server.has_next(), "what nobody alters needs none");
        let mut packet = seal(&mut client, 1);
        packet[0] ^= flipped;
        *packet.last_mut().unwrap() ^= 1;
        assert!(matches!(open(&mut server, 1, packet), Err(OpenError::Drop)));
        assert!(server.has_next(), "flipped: {flipped}");
    }
}

#[test]
fn an_update_needs_an_acknowledgement_in_the_present_phase() {
    // RFC 9001 §6.1
    let (mut client, _) = pair();
    assert!(!client.initiate_update(), "nothing was sent");
    seal(&mut client, 7);
    assert!(!client.initiate_update(), "nothing is acknowledged");
    client.on_acked(7);
    assert!(client.initiate_update());
    client.on_acked(7);
    assert!(!client.initiate_update(), "that was the phase before");
    seal(&mut client, 8);
    client.on_acked(8);
    assert!(client.initiate_update());
}

#[test]
fn the_peer_follows_an_update_and_answers_with_the_new_keys() {
    // RFC 9001 §6.2
    let (mut client, mut server) = updated();
    let answer = seal(&mut server, 0);
    assert!(open(&mut client, 20, answer).is_ok());
}

#[test]
fn the_initiator_opens_both_phases_until_the_peer_follows() {
    // RFC 9001 §6.3, §6.5
    let (mut client, mut server) = pair();
    let late = seal(&mut server, 0);
    seal(&mut client, 0);
    client.on_acked(0);
    assert!(client.initiate_update());
    assert!(open(&mut client, 0, late).is_ok());
    assert!(open(&mut client, 1_000_000, seal(&mut server, 1)).is_ok(), "however late");
}

#[test]
fn old_keys_are_kept_for_three_ptos_after_the_first_packet_with_new_ones() {
    // RFC 9001 §6.5
    let (mut client, mut server) = pair();
    assert!(open(&mut server, 0, seal(&mut client, 0)).is_ok());
    let (in_time, too_late) = (seal(&mut client, 1), seal(&mut client, 2));
    client.on_acked(0);
    assert!(client.initiate_update());
    assert!(open(&mut server, 10, seal(&mut client, 3)).is_ok());
    assert!(open(&mut server, 9 + RETENTION, in_time).is_ok());
    let result = open(&mut server, 10 + RETENTION, too_late);
    assert!(matches!(result, Err(OpenError::Drop)), "{result:?}");
}

#[test]
fn a_second_update_before_an_answer_to_the_first_is_an_error() {
    // RFC 9001 §6.2
    let (mut client, mut server) = updated();
    client.on_acked(2); // a lie: the server has sent nothing
    assert!(client.initiate_update());
    assert!(is_key_update_error(open(&mut server, 20, seal(&mut client, 3))));
    let (mut client, mut server) = updated();
    seal(&mut server, 0);
    client.on_acked(2);
    assert!(client.initiate_update());
    assert!(open(&mut server, 20, seal(&mut client, 3)).is_ok(), "after an answer it is none");
}

#[test]
fn older_keys_on_a_higher_number_are_an_error() {
    // RFC 9001 §6.4
    let (mut client, mut server) = pair();
    assert!(open(&mut server, 0, seal(&mut client, 0)).is_ok());
    let high = seal(&mut client, 9);
    client.on_acked(0);
    assert!(client.initiate_update());
    assert!(open(&mut server, 10, seal(&mut client, 2)).is_ok());
    assert!(is_key_update_error(open(&mut server, 11, high)));
}

#[test]
fn forgeries_change_no_keys() {
    // RFC 9001 §6.3, §9.5: a flipped phase bit, or noise, is dropped whatever keys it is tried with.
    let (mut client, mut server) = updated();
    for number in 3..40 {
        let mut packet = seal(&mut client, number);
        let at = packet.len() - 1 - number as usize % 6;
        packet[at] ^= 1;
        packet[0] ^= if number % 2 == 0 { 0x04 } else { 0 };
        assert!(matches!(open(&mut server, 11, packet), Err(OpenError::Drop)));
        assert_eq!(server.updates(), 1);
    }
    assert!(open(&mut server, 12, seal(&mut client, 50)).is_ok());
}

const RETENTION: u64 = 300;
/// A self-signed Ed25519 certificate and its key, of use nowhere else.
const CERTIFICATE: &str = "3082015530820107a003020102021420e84724050bdc2285ae85c160c11092686bc5c3300506032b\
    657030143112301006035504030c096c6f63616c686f73743020170d323631313231313434393539\
    5a180f32313236313032383134343935395a30143112301006035504030c096c6f63616c686f7374\
    302a300506032b657003210021182fabee6029105e01cf6cc92c6f5d7d53f96a9b850c437844cc8b\
    6ce5e0a3a3693067301d0603551d0e04160414b9836b17c681e35f6b4d1ee3d2f27ef4307c34c830\
    1f0603551d23041830168014b9836b17c681e35f6b4d1ee3d2f27ef4307c34c8300f0603551d1301\
    01ff040530030101ff30140603551d11040d300b82096c6f63616c686f7374300506032b65700341\
    0000c1e27a959c04ddaa20b69066058e12f6bf0949806b13680037904bee114802ddb8785c2d603b\
    ee132a62204551f01e0ac48386a2bc3dbda07791eeead3e10d";
const KEY: &str = "302e020100300506032b657004220420c8383b4a1e24180e0ca18634000d7d40735100b5770e16d0af9293178b3ea84f";

#[test]
fn after_a_silence_keys_are_made_again_in_every_phase() {
    let (mut client, mut server) = pair();
    let mut number = 0;
    for update in 0..4 {
        for _ in 0..2 {
            client.release_memory();
            server.release_memory();
            number += 1;
            let (up, down) = (seal(&mut client, number), seal(&mut server, number));
            server.release_memory();
            let opened = (open(&mut server, 0, up).ok(), open(&mut client, 0, down).ok());
            assert_eq!(opened, (Some(6), Some(6)), "after {update} updates");
        }
        client.on_acked(number);
        // The peer's first packet after the silence may be of the next phase (RFC 9001 §6.2).
        assert!(client.initiate_update());
    }
    assert_eq!((client.updates(), server.updates()), (4, 3));
}
