//! Where a host is: `quic://HOST/PORT`, as host stacks write it, or `quic://HOST:PORT`.

use std::net::{SocketAddr, ToSocketAddrs as _};

use crate::{Error, Result};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn parse(uri: &str) -> Result<Self> {
        let bad = || Error::Invalid(format!("{uri} is not quic://HOST/PORT"));
        let place = uri.strip_prefix("quic://").ok_or_else(bad)?;
        let (host, port) =
            place.rsplit_once('/').or_else(|| place.rsplit_once(':')).ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Its first address, IPv4 before IPv6.
    pub(crate) fn resolve(&self) -> Result<SocketAddr> {
        let Self { host, port } = self;
        let nowhere = |why: String| Error::Invalid(format!("cannot find the host {host}: {why}"));
        let found = (host.as_str(), *port).to_socket_addrs();
        let all: Vec<_> = found.map_err(|error| nowhere(error.to_string()))?.collect();
        let ipv4 = all.iter().find(|address| address.is_ipv4());
        ipv4.or(all.first()).copied().ok_or_else(|| nowhere("it has no address".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_port_and_both_families() {
        let place = |uri| Place::parse(uri).map(|place| (place.host, place.port));
        let is = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(place("quic://1.1.1.1/1234"), is("1.1.1.1", 1234));
        assert_eq!(place("quic://localhost:443"), is("localhost", 443));
        assert_eq!(place("quic://[::1]/443"), is("::1", 443));
        assert_eq!(place("quic://[::1]:443"), is("::1", 443));
        for bad in ["1.1.1.1/1234", "quic://", "quic:///1", "quic://host", "quic://host/65536"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_resolve_to_themselves() {
        let resolve = |uri| Place::parse(uri).and_then(|place| place.resolve());
        assert_eq!(resolve("quic://127.0.0.1/7").unwrap(), ([127, 0, 0, 1], 7).into());
        assert!(resolve("quic://[::1]/7").unwrap().is_ipv6());
    }
}
