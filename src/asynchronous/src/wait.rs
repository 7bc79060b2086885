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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use protoquic_io_thread::{News, Waiter as _};

    use super::*;

    #[test]
    fn a_call_that_is_dropped_leaves_its_seat() {
        let watched = Watched::new(());
        let mut cx = Context::from_waker(Waker::noop());
        for polls in 0..3 {
            let f = |turn: Turn<'_>| turn.until(&watched, News::IN, |()| None::<Result<()>>);
            let mut future = pin!(call(&watched, f));
            for _ in 0..polls {
                assert!(future.as_mut().poll(&mut cx).is_pending());
            }
            assert_eq!(watched.seats(), usize::from(polls > 0), "one seat, however often");
        }
        assert_eq!(watched.seats(), 0);
    }
}
