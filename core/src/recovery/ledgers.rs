//! [`Ledgers`]: the three packet number spaces' ledgers. Those of the handshake are made when
//! something is sent there and forgotten after it: a connection lives long without them. This file
//! must not know what a ledger holds.

use crate::recovery::SentLedger;
use crate::types::Space;

#[derive(Debug)]
pub(super) struct Ledgers<F> {
    /// Initial and Handshake.
    handshake: [Option<Box<SentLedger<F>>>; 2],
    application: SentLedger<F>,
}

impl<F> Default for Ledgers<F> {
    fn default() -> Self {
        Self { handshake: [None, None], application: SentLedger::default() }
    }
}

impl<F> Ledgers<F> {
    /// `None`: nothing was ever sent there, or it does not matter any more.
    pub(super) fn get(&self, space: Space) -> Option<&SentLedger<F>> {
        match self.handshake.get(space as usize) {
            Some(ledger) => ledger.as_deref(),
            None => Some(&self.application),
        }
    }

    /// Made anew if there is none.
    pub(super) fn get_mut(&mut self, space: Space) -> &mut SentLedger<F> {
        match self.handshake.get_mut(space as usize) {
            Some(ledger) => ledger.get_or_insert_default(),
            None => &mut self.application,
        }
    }

    /// Gives memory back that a silent connection does not need.
    pub(super) fn release_memory(&mut self) {
        self.application.release_memory();
    }

    /// The handshake is over.
    pub(super) fn forget_handshake(&mut self) {
        self.handshake = [None, None];
    }
}
