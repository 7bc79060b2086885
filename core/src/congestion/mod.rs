//! The congestion room: how much may be in flight, and how fast it may leave.
//!
//! [`SendAlgorithm`] is the plug; [`NewReno`], [`Cubic`] and [`Bbr`] are the real ones,
//! [`FixedWindow`] is for tests, [`CarefulResume`], [`LossDifferentiation`] and [`LossTolerant`]
//! wrap any of them, and so can yours
//! ([`forward_send_algorithm!`](crate::forward_send_algorithm)). Nothing here knows packets'
//! contents, streams, timers or packet number spaces: the recovery room tells an algorithm what was
//! sent, acknowledged and lost.

mod bandwidth;
mod bbr;
mod careful_resume;
mod cubic;
mod delivery;
mod factory;
mod fixed;
mod forward;
mod hystart;
mod loss_differentiation;
mod loss_tolerant;
mod new_reno;
mod prague;
mod prr;
mod random_loss;
mod send_algorithm;
mod window;

pub use bandwidth::Bandwidth;
pub use bbr::Bbr;
pub use careful_resume::{CarefulResume, CarefulResumeFactory, SavedParameters};
pub use cubic::Cubic;
pub use delivery::{DeliveryState, DeliveryTracker, RateSample};
pub use factory::{AlgorithmParams, CongestionControl, SendAlgorithmFactory, UnknownAlgorithm};
pub use fixed::FixedWindow;
pub use hystart::HystartPlusPlus;
pub use loss_differentiation::LossDifferentiation;
pub use loss_tolerant::{InvalidLossTolerance, LossTolerance, LossTolerant, LossTolerantFactory};
pub use new_reno::NewReno;
pub use prague::Prague;
pub use prr::Prr;
pub use random_loss::{LossContext, LossVerdict, RandomLossDetector, WindowBefore};
pub use send_algorithm::{AckedPacket, CongestionEvent, LostPacket, SendAlgorithm};
use window::resized_window;
pub use window::{WindowUsage, initial_window, minimum_window};
