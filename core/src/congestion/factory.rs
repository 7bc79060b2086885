//! [`SendAlgorithmFactory`]: how a configuration names the algorithm of connections to come.

use std::fmt::Debug;

use crate::congestion::{Bbr, Cubic, LossDifferentiation, NewReno, Prague, SendAlgorithm};
use crate::time::Time;

/// What an algorithm is started with.
#[derive(Clone, Copy, Debug)]
pub struct AlgorithmParams {
    /// The time now.
    pub now: Time,
    /// The largest UDP payload the path is known to carry, in bytes.
    pub max_datagram_size: u16,
}

/// Makes the algorithm of each new path. [`CongestionControl`] is the shelf of built-in ones; a
/// user's own factory brings a user's own algorithm.
pub trait SendAlgorithmFactory: Debug + Send + Sync {
    /// Called when a connection begins, and when it migrates to a new path.
    fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm>;
}

/// The built-in algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// RFC 9002 §7, the reference algorithm of QUIC.
    NewReno,
    /// RFC 9438, with HyStart++ (RFC 9406); but losses that prove to be random are not taken for
    /// congestion ([`LossDifferentiation`]).
    #[default]
    Cubic,
    /// The same, to the letter: every loss is congestion.
    CubicStrict,
    /// BBRv3 (draft-ietf-ccwg-bbr).
    Bbr,
    /// The response of L4S (RFC 9331), which sends ECT(1). For paths known to mark that way.
    Prague,
}

/// The names `reno`, `cubic`, `cubic-strict`, `bbr` and `prague`.
impl std::str::FromStr for CongestionControl {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "reno" => Ok(Self::NewReno),
            "cubic" => Ok(Self::Cubic),
            "cubic-strict" => Ok(Self::CubicStrict),
            "bbr" => Ok(Self::Bbr),
            "prague" => Ok(Self::Prague),
            _ => Err(UnknownAlgorithm),
        }
    }
}

/// A name that is none of [`CongestionControl`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm;

impl std::fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("congestion control is one of reno, cubic, cubic-strict, bbr, prague")
    }
}

impl std::error::Error for UnknownAlgorithm {}

impl SendAlgorithmFactory for CongestionControl {
    fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        match self {
            Self::NewReno => Box::new(NewReno::new(params.max_datagram_size)),
            Self::Cubic => {
                let cubic = Cubic::new(params.max_datagram_size);
                Box::new(LossDifferentiation::new(cubic, params.max_datagram_size))
            }
            Self::CubicStrict => Box::new(Cubic::new(params.max_datagram_size)),
            Self::Bbr => Box::new(Bbr::new(params.now, params.max_datagram_size)),
            Self::Prague => Box::new(Prague::new(params.max_datagram_size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_algorithms_are_picked_by_name() {
        let params = AlgorithmParams { now: Time::ZERO, max_datagram_size: 1200 };
        let names = [
            ("reno", "new_reno"),
            ("cubic", "cubic"),
            ("cubic-strict", "cubic"),
            ("bbr", "bbr"),
            ("prague", "prague"),
        ];
        for (name, algorithm) in names {
            let picked: CongestionControl = name.parse().unwrap();
            assert_eq!(picked.create(&params).name(), algorithm);
        }
        assert_eq!("vegas".parse::<CongestionControl>(), Err(UnknownAlgorithm));
    }
}
