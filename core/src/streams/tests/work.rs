//! Counts the steps of a test's own thread, for tests about how much work there is: a clock would
//! tell how busy the machine is.

use std::cell::Cell;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// So many more.
pub(in crate::streams) fn count(steps: usize) {
    STEPS.set(STEPS.get() + steps);
}

/// How many there were since this was last asked.
pub(super) fn take() -> usize {
    STEPS.take()
}
