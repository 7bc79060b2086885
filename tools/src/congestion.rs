//! The congestion control that a tool's command line asks for. It must not know what else a tool does.

use std::sync::Arc;

use clap::Args;
use protoquic::congestion::{
    CongestionControl, LossTolerance, LossTolerantFactory, SendAlgorithmFactory,
};

/// Which algorithm, and what it takes for congestion.
#[derive(Clone, Copy, Debug, Args)]
pub struct CongestionArguments {
    /// The congestion control algorithm: reno, cubic, cubic-strict, bbr or prague. cubic takes losses
    /// that prove to be random for what they are; cubic-strict takes every loss for congestion, as
    /// RFC 9438 does.
    #[arg(long, default_value = "cubic")]
    congestion_control: CongestionControl,
    /// The share of losses, 1 to 20 percent, that is not taken for congestion while the round trip
    /// time shows no queue. For paths known to lose packets by themselves, such as radio links: it
    /// wants no proof that losses are random, and takes more of them.
    #[arg(long, value_name = "PERCENT")]
    loss_tolerance: Option<LossTolerance>,
}

impl CongestionArguments {
    /// What makes the algorithms.
    pub fn factory(self) -> Arc<dyn SendAlgorithmFactory> {
        let inner = Arc::new(self.congestion_control);
        match self.loss_tolerance {
            Some(tolerance) => Arc::new(LossTolerantFactory { inner, tolerance }),
            None => inner,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use protoquic::Time;
    use protoquic::congestion::AlgorithmParams;

    use super::*;

    #[derive(Parser)]
    struct Tool {
        #[command(flatten)]
        congestion: CongestionArguments,
    }

    fn parse(arguments: &[&str]) -> Result<CongestionArguments, String> {
        let line = ["tool"].iter().chain(arguments);
        Tool::try_parse_from(line).map(|tool| tool.congestion).map_err(|error| error.to_string())
    }

    #[test]
    fn the_algorithm_is_named_and_may_be_tolerant() {
        let params = AlgorithmParams { now: Time::ZERO, max_datagram_size: 1200 };
        let name = |arguments: &[&str]| parse(arguments).unwrap().factory().create(&params).name();
        assert_eq!(name(&[]), "cubic");
        assert_eq!(name(&["--congestion-control", "bbr"]), "bbr");
        assert_eq!(name(&["--congestion-control", "cubic-strict"]), "cubic");
        assert_eq!(name(&["--congestion-control", "reno", "--loss-tolerance", "5"]), "new_reno");
        let tolerant = parse(&["--loss-tolerance", "5"]).unwrap().factory();
        assert!(format!("{tolerant:?}").contains("LossTolerance(5)"), "{tolerant:?}");
    }

    #[test]
    fn a_tolerance_out_of_range_is_refused_with_the_range() {
        for wrong in ["0", "21", "-1", "2%", "half"] {
            let error = parse(&[&format!("--loss-tolerance={wrong}")]).unwrap_err();
            assert!(error.contains("1 to 20 percent"), "{error}");
        }
    }
}
