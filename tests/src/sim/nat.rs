//! [`Nat`]: gives hosts behind it addresses on its other side, and changes them when it likes. A
//! pure machine over addresses. This file must not know links or QUIC.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use protoquic::Time;

use super::dice::Dice;

/// What a NAT is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// Its address outside. Others are taken from the same /24, or the same /64.
    pub outside: IpAddr,
    /// A binding that was idle for so long is forgotten: RFC 4787 §4.3 asks for 2 minutes, many
    /// give 30 s.
    pub lifetime: Option<Duration>,
    /// Whether only those are let in to whom something was sent (RFC 4787 §5,
    /// address-and-port-dependent filtering).
    pub filters: bool,
    /// The bindings change by themselves.
    pub rebinding: Option<Rebinding>,
}

/// Changes of bindings at fixed times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebinding {
    /// How long after the beginning for the first time.
    pub first: Duration,
    /// How often after that; `None`: never again.
    pub every: Option<Duration>,
    /// Whether the address changes too, or only the port.
    pub address: bool,
}

impl NatConfig {
    /// A NAT with this address outside that keeps its bindings.
    pub fn new(outside: IpAddr) -> Self {
        Self { outside, lifetime: None, filters: true, rebinding: None }
    }
}

/// A NAT at work.
#[derive(Debug)]
pub struct Nat {
    config: NatConfig,
    /// The address for new bindings.
    address: IpAddr,
    bindings: Vec<Binding>,
    dice: Dice,
    rebindings: u64,
}

#[derive(Debug)]
struct Binding {
    inside: SocketAddr,
    outside: SocketAddr,
    /// To whom something was sent.
    peers: Vec<SocketAddr>,
    used: Time,
}

impl Nat {
    /// A NAT without bindings.
    pub fn new(config: NatConfig, dice: Dice) -> Self {
        Self { address: config.outside, config, bindings: Vec::new(), dice, rebindings: 0 }
    }

    /// What it is like.
    pub fn config(&self) -> &NatConfig {
        &self.config
    }

    /// Whether this is an address that it gives, gave or may give out.
    pub fn owns(&self, address: IpAddr) -> bool {
        prefix(address) == prefix(self.config.outside)
    }

    /// How often its bindings changed.
    pub fn rebindings(&self) -> u64 {
        self.rebindings
    }

    /// The source address for a datagram on its way out.
    pub fn outbound(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        self.forget_idle(now);
        let at = self.bindings.iter().position(|binding| binding.inside == from);
        let at = at.unwrap_or_else(|| self.bind(from));
        let binding = &mut self.bindings[at];
        binding.used = now;
        if !binding.peers.contains(&to) && binding.peers.len() < MAX_PEERS {
            binding.peers.push(to);
        }
        binding.outside
    }

    /// The inner address for a datagram on its way in; `None` if it is not let in.
    pub fn inbound(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        self.forget_idle(now);
        let binding = self.bindings.iter_mut().find(|binding| binding.outside == to)?;
        let known = !self.config.filters || binding.peers.contains(&from);
        known.then(|| {
            binding.used = now;
            binding.inside
        })
    }

    /// Forgets all bindings: each gets another port, and with `address` another address, when its
    /// host next sends. What is sent to the old ones is dropped.
    pub fn rebind(&mut self, address: bool) {
        self.rebindings += 1;
        self.bindings.clear();
        if address {
            self.address = self.another_address();
        }
    }

    fn bind(&mut self, inside: SocketAddr) -> usize {
        if self.bindings.len() == MAX_BINDINGS {
            self.bindings.remove(0);
        }
        let port = loop {
            let port = self.dice.between(1024, 65_535) as u16;
            if self.bindings.iter().all(|binding| binding.outside.port() != port) {
                break port;
            }
        };
        let outside = SocketAddr::new(self.address, port);
        self.bindings.push(Binding { inside, outside, peers: Vec::new(), used: Time::ZERO });
        self.bindings.len() - 1
    }

    fn forget_idle(&mut self, now: Time) {
        if let Some(lifetime) = self.config.lifetime {
            self.bindings.retain(|binding| now.saturating_since(binding.used) < lifetime);
        }
    }

    fn another_address(&mut self) -> IpAddr {
        loop {
            let last = self.dice.between(2, 254) as u8;
            let address = with_last_byte(self.config.outside, last);
            if address != self.address {
                return address;
            }
        }
    }
}

fn prefix(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => v6.to_bits() >> 64 | 1 << 127,
    }
}

fn with_last_byte(address: IpAddr, last: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff | u32::from(last)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !0xff | u128::from(last)).into(),
    }
}

/// How many bindings there are at a time; the oldest gives way.
const MAX_BINDINGS: usize = 10_000;
/// How many peers a binding remembers.
const MAX_PEERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        ([192, 168, 0, last], port).into()
    }

    fn server() -> SocketAddr {
        ([10, 0, 0, 1], 443).into()
    }

    fn nat() -> Nat {
        let mut config = NatConfig::new([203, 0, 113, 7].into());
        config.lifetime = Some(Duration::from_secs(30));
        Nat::new(config, Dice::new(3))
    }

    #[test]
    fn bindings_lead_back_and_differ_between_hosts() {
        let mut nat = nat();
        let one = nat.outbound(Time::ZERO, address(1, 5000), server());
        let two = nat.outbound(Time::ZERO, address(2, 5000), server());
        assert!(one != two && one.ip() == nat.config().outside);
        assert_eq!(nat.outbound(Time::ZERO, address(1, 5000), server()), one);
        assert_eq!(nat.inbound(Time::ZERO, server(), one), Some(address(1, 5000)));
        let stranger = ([10, 0, 0, 2], 443).into();
        assert_eq!(nat.inbound(Time::ZERO, stranger, one), None, "filtered");
    }

    #[test]
    fn rebinding_changes_the_port_and_on_demand_the_address() {
        let mut nat = nat();
        let first = nat.outbound(Time::ZERO, address(1, 5000), server());
        nat.rebind(false);
        assert_eq!(nat.inbound(Time::ZERO, server(), first), None);
        let second = nat.outbound(Time::ZERO, address(1, 5000), server());
        assert!(second.port() != first.port() && second.ip() == first.ip());
        nat.rebind(true);
        let third = nat.outbound(Time::ZERO, address(1, 5000), server());
        assert!(third.ip() != first.ip() && nat.owns(third.ip()));
        assert_eq!(nat.rebindings(), 2);
    }

    #[test]
    fn idle_bindings_are_forgotten() {
        let mut nat = nat();
        let first = nat.outbound(Time::ZERO, address(1, 5000), server());
        assert!(nat.inbound(Time::from_millis(29_999), server(), first).is_some());
        assert!(nat.inbound(Time::from_millis(59_999), server(), first).is_none());
    }
}
