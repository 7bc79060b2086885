//! [`serve`], [`serve_while`] and [`serve_workers`]: run a server until it is interrupted, or has done
//! its work: the first Ctrl-C drains it, the second stops it at once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use protoquic::ApplicationError;
use protoquic::dispatcher::DispatcherStats;

use crate::endpoint::ServerEndpoint;
use crate::workers::Workers;

/// What the first Ctrl-C does; the second always stops a server at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstInterrupt {
    /// New clients are refused, and sessions end when they can.
    Drains,
    /// Every session is closed.
    Stops,
}

/// Waits until the workers of the program `tool` have ended. Once in a process. What they have done
/// together, or why one has failed.
pub fn serve_workers(
    tool: &'static str,
    workers: Workers,
    first: FirstInterrupt,
) -> Result<DispatcherStats, String> {
    let control = workers.control();
    let mut interrupted = first == FirstInterrupt::Stops;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut interrupted, true) {
            control.stop();
        } else {
            eprintln!("{tool}: draining; Ctrl-C again to stop at once");
            control.drain();
        }
    })
    .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    workers.join()
}

/// Runs the server of the program `tool`. Once in a process.
pub fn serve(tool: &str, server: &mut ServerEndpoint) -> Result<(), String> {
    serve_while(tool, server, |_| Some(OFTEN))
}

/// As [`serve`], and ends when `goes_on`, which is called after each turn, returns `None`: there is no
/// more to do. Otherwise it says how long the next turn may wait.
pub fn serve_while(
    tool: &str,
    server: &mut ServerEndpoint,
    mut goes_on: impl FnMut(&mut ServerEndpoint) -> Option<Duration>,
) -> Result<(), String> {
    static INTERRUPTS: AtomicU8 = AtomicU8::new(0);
    let waker = server.waker();
    ctrlc::set_handler(move || {
        INTERRUPTS.fetch_add(1, Ordering::SeqCst);
        let _ = waker.wake(); // the loop also looks every second
    })
    .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    let mut handled = 0;
    let mut wait = OFTEN;
    loop {
        server.run_once(Some(wait))?;
        let interrupts = INTERRUPTS.load(Ordering::SeqCst);
        if interrupts > handled {
            handled = interrupts;
            if interrupts == 1 {
                eprintln!("{tool}: draining; Ctrl-C again to stop at once");
                server.drain();
            } else {
                server.close_all(ApplicationError(0), "the server was stopped");
                server.run_once(Some(Duration::ZERO))?;
                return Ok(());
            }
        }
        match goes_on(server) {
            Some(next) if handled == 0 || !server.dispatcher().is_idle() => wait = next.min(OFTEN),
            _ => return Ok(()),
        }
    }
}

/// How often it is looked whether somebody has interrupted, at least.
const OFTEN: Duration = Duration::from_secs(1);
