//! Why a client's connection ended before its work was done, in words, and what to do about it. This
//! file must not know what the work was.

use protoquic::CloseReason;

/// A line for a person, of a client's one connection.
pub fn ended_early(why: &CloseReason) -> String {
    format!("the connection ended early: {why}{}", advice(why))
}

/// A line for a person, of one connection among several.
pub fn one_ended_early(why: &CloseReason) -> String {
    format!("a connection ended early: {why}{}", advice(why))
}

/// What to do about it, if there is something.
fn advice(why: &CloseReason) -> &'static str {
    match why {
        CloseReason::HandshakeTimeout => "; is a server listening there?",
        CloseReason::Transport(error) | CloseReason::PeerTransport(error) => {
            match error.code().tls_alert() {
                Some(NO_APPLICATION_PROTOCOL) => {
                    "; the server there speaks another protocol than this program"
                }
                Some(_) if error.reason().contains("invalid peer certificate") => {
                    "; give the file of the server's certificate or of its authority, or \
                     --disable_certificate_verification for a server of your own"
                }
                _ => "",
            }
        }
        _ => "",
    }
}

/// TLS's alert of a server that serves none of the client's protocols (RFC 7301 §3.2).
pub(crate) const NO_APPLICATION_PROTOCOL: u8 = 120;
