//! The runner's test cases by name, as each role sees them. A name that is not here is not
//! supported; the runner asks for one that nobody has, to see whether that is said.

/// What the client is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCase {
    /// Fetch everything on one connection.
    Transfer,
    /// Likewise, offering ChaCha20-Poly1305 alone.
    ChaCha20,
    /// Likewise, updating the keys early.
    KeyUpdate,
    /// A connection for each file.
    MultiConnect,
    /// The first file, then the rest on a resumed connection.
    Resumption,
    /// Likewise, asking for the rest in early data.
    ZeroRtt,
    /// Fetch everything on one connection that begins with version 1 and changes to 2.
    Version2,
    /// Fetch everything on one connection, over HTTP/3.
    Http3,
}

impl ClientCase {
    /// The case of this name, if it is supported.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "handshake"
            | "transfer"
            | "longrtt"
            | "retry"
            | "ecn"
            | "multiplexing"
            | "blackhole"
            | "amplificationlimit"
            | "transferloss"
            | "transfercorruption"
            | "ipv6"
            | "rebind-port"
            | "rebind-addr"
            | "connectionmigration"
            | "goodput"
            | "crosstraffic" => Self::Transfer,
            "multiconnect" | "handshakeloss" | "handshakecorruption" => Self::MultiConnect,
            "chacha20" => Self::ChaCha20,
            "keyupdate" => Self::KeyUpdate,
            "resumption" => Self::Resumption,
            "zerortt" => Self::ZeroRtt,
            "v2" => Self::Version2,
            "http3" => Self::Http3,
            _ => return None,
        })
    }
}

/// What the server is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCase {
    /// Serve.
    Transfer,
    /// Serve who has answered a Retry.
    Retry,
    /// Serve early data too.
    ZeroRtt,
    /// Change connections that begin with version 1 to version 2.
    Version2,
    /// Ask clients to come to another port.
    ConnectionMigration,
}

impl ServerCase {
    /// The case of this name, if it is supported.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "retry" => Some(Self::Retry),
            "zerortt" => Some(Self::ZeroRtt),
            "v2" => Some(Self::Version2),
            "connectionmigration" => Some(Self::ConnectionMigration),
            _ => ClientCase::from_name(name).map(|_| Self::Transfer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_not_supported() {
        assert_eq!(ClientCase::from_name("xkqzvbnw"), None);
        assert_eq!(ServerCase::from_name("xkqzvbnw"), None);
        assert_eq!(ServerCase::from_name("retry"), Some(ServerCase::Retry));
        assert_eq!(ServerCase::from_name("keyupdate"), Some(ServerCase::Transfer));
    }
}
