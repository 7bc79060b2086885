//! [`SendAlgorithmFactory`]: how a configuration names the algorithm of connections to come.

use std::fmt::Debug;

use crate::congestion::{Cubic, NewReno, SendAlgorithm};
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
    /// RFC 9438, with HyStart++ (RFC 9406).
    #[default]
    Cubic,
}

impl SendAlgorithmFactory for CongestionControl {
    fn create(&self, params: &AlgorithmParams) -> Box<dyn SendAlgorithm> {
        match self {
            Self::NewReno => Box::new(NewReno::new(params.max_datagram_size)),
            Self::Cubic => Box::new(Cubic::new(params.max_datagram_size)),
        }
    }
}
