//! What a measuring client counts, whatever its streams carry.

use std::time::Instant;

use protoquic_perf_kit::{Client, Loops};

use crate::endpoint::Application;

/// A client's counts.
pub struct Tally {
    /// When to begin nothing more.
    pub end: Instant,
    /// Answers that came, in loops.
    pub loops: Loops,
    /// When the first handshake was done.
    pub started: Option<Instant>,
    /// Connections that have done their work.
    pub done: u64,
    /// Why the measurement is worth nothing.
    pub failure: Option<String>,
}

impl Tally {
    /// One that begins now.
    pub fn new(client: &Client) -> Self {
        Self {
            end: Instant::now() + client.time(),
            loops: Loops::default(),
            started: None,
            done: 0,
            failure: None,
        }
    }

    /// Keeps the first reason.
    pub fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }
}

/// An application that measures.
pub trait Measuring: Application {
    /// Its counts.
    fn tally(&mut self) -> &mut Tally;
}
