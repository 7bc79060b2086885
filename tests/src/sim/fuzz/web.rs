//! [`WebPlan`]: the HTTP/3 connections of a plan: what is asked for, and who stops when. This file
//! must not know how they are played.

use std::time::Duration;

use protoquic::connection::Config;
use protoquic::http::{EarlyRequests, Http3Config};

use super::super::dice::Dice;
use super::super::link::LinkConfig;
use super::lines::{access_line, magnitude};
use super::plan::millis;
use super::settings::client_config;

/// One HTTP/3 connection of a client.
#[derive(Clone, Debug)]
pub struct WebPlan {
    /// When it begins.
    pub start: Duration,
    /// Its own line, to the trunk and back.
    pub line: [LinkConfig; 2],
    /// The transport's settings.
    pub config: Config,
    /// HTTP/3's.
    pub http: Http3Config,
    /// What is asked for, when, counted from the start. In the order of time.
    pub requests: Vec<(Duration, WebRequest)>,
    /// How it ends.
    pub ending: WebEnding,
    /// The HTTP/3 connection that it follows, on the same host, and whose tickets it has.
    pub follows: Option<usize>,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebRequest {
    /// How many bytes the client sends, which come back; `None`: it only asks.
    pub upload: Option<u32>,
    /// How many bytes the server sends when it is only asked.
    pub download: u32,
    /// Whether there are trailers.
    pub trailers: bool,
    /// How many header fields there are besides the necessary ones.
    pub fields: u8,
    /// The server answers in early data that it is too early (RFC 8470).
    pub too_early: bool,
    /// After how long the client gives it up.
    pub cancelled: Option<Duration>,
}

/// How an HTTP/3 connection ends. All of them are graceful (RFC 9114 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebEnding {
    /// The client goes away when all is answered.
    WhenDone,
    /// The client goes away so long after its start, whatever is under way.
    ClientGoesAway(Duration),
    /// The server goes away so long after the handshake.
    ServerGoesAway(Duration),
}

impl WebPlan {
    fn new(big: bool, rtt: Duration, dice: &mut Dice) -> Self {
        let ending = match dice.below(5) {
            0 => WebEnding::ClientGoesAway(millis(dice.below(5000))),
            1 | 2 => WebEnding::ServerGoesAway(millis(dice.below(4000))),
            _ => WebEnding::WhenDone,
        };
        let mut requests: Vec<_> = (0..dice.between(1, 25))
            .map(|_| {
                let at = if dice.chance(0.5) { 0 } else { dice.below(4000) };
                (millis(at), request(big, dice))
            })
            .collect();
        requests.sort_by_key(|(at, _)| *at);
        Self {
            start: millis(dice.below(3000)),
            line: [access_line(dice), access_line(dice)],
            config: client_config(big, rtt, dice),
            http: http_config(dice),
            requests,
            ending,
            follows: None,
        }
    }

    /// How many bytes it takes at most.
    pub(super) fn size(&self) -> u64 {
        let sizes = self.requests.iter().map(|(_, request)| {
            request.upload.map_or(u64::from(request.download), |size| 2 * u64::from(size))
        });
        sizes.sum()
    }
}

/// Draws some, of whom some come again.
pub(super) fn web_plans(big: bool, rtt: Duration, dice: &mut Dice) -> Vec<WebPlan> {
    let mut plans: Vec<WebPlan> = Vec::new();
    if !dice.chance(0.35) {
        return plans;
    }
    for _ in 0..dice.between(1, 2) {
        let plan = WebPlan::new(big, rtt, dice);
        let (first, again) = (plans.len(), dice.chance(0.4));
        let before = plan.clone();
        plans.push(plan);
        if again {
            let config = before.config;
            let line = before.line;
            plans.push(WebPlan {
                follows: Some(first),
                config,
                line,
                ..WebPlan::new(big, rtt, dice)
            });
        }
    }
    plans
}

/// Draws the settings of either end.
pub(super) fn http_config(dice: &mut Dice) -> Http3Config {
    Http3Config {
        qpack_max_table_capacity: *dice.pick(&[0, 100, 300, 4096]),
        qpack_blocked_streams: *dice.pick(&[0, 1, 16]),
        grease: dice.chance(0.7).then(|| dice.number()),
        early_requests: *dice.pick(&[
            EarlyRequests::Safe,
            EarlyRequests::Safe,
            EarlyRequests::None,
        ]),
        shutdown_grace: millis(dice.below(1000)),
        // Failures must come from faults, not from impatience.
        shutdown_timeout: Duration::from_mins(10),
        header_deadline: Duration::from_mins(10),
        ..Http3Config::default()
    }
}

fn request(big: bool, dice: &mut Dice) -> WebRequest {
    let size = |dice: &mut Dice| match dice.below(12) {
        0 => 0,
        1 if big => magnitude(dice, 100_000.0, 2_000_000.0) as u32,
        _ => magnitude(dice, 1.0, 60_000.0) as u32,
    };
    WebRequest {
        upload: dice.chance(0.25).then(|| size(dice)),
        download: size(dice),
        trailers: dice.chance(0.2),
        fields: dice.below(8) as u8,
        too_early: dice.chance(0.1),
        cancelled: dice.chance(0.05).then(|| millis(dice.below(2000))),
    }
}
