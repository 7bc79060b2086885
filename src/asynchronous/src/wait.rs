//! [`call`]: a call of the shared machine as a future. Dropped, it leaves its seat.

use std::future::poll_fn;
use std::task::Poll;

use protoquic_io_thread::{Result, Seat, Turn, Watched};

/// A seat that is left in the end.
struct Sitting<'a, T> {
    at: &'a Watched<T>,
    seat: Seat,
}

impl<T> Drop for Sitting<'_, T> {
    fn drop(&mut self) {
        self.at.leave(&mut self.seat);
    }
}

/// Makes this call, whose waits are at this value, until it is done.
pub(crate) async fn call<T, R>(
    at: &Watched<T>,
    mut f: impl FnMut(Turn<'_>) -> Poll<Result<R>>,
) -> Result<R> {
    let mut sitting = Sitting { at, seat: Seat::default() };
    poll_fn(|cx| f(Turn { waker: cx.waker(), seat: &mut sitting.seat })).await
}
