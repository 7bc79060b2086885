//! [`Pushes`]: takes what a server pushes and shows it.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use protoquic::http::{
    ClientExchange, Http3Code, PromiseAnswer, PushDropped, PushHandler, PushId, RequestFailure,
    ResponseHandler,
};

use super::output::Destination;

/// What a server may push before it is too much: nobody asked for it.
#[derive(Clone, Copy, Debug)]
pub struct PushLimits {
    /// How many pushes are taken on a connection; those after them are refused.
    pub pushes: usize,
    /// How many bytes all of their bodies may have; a push that goes beyond is cancelled.
    pub bytes: u64,
    /// How long pushes are waited for when every response that was asked for is there.
    pub time: Duration,
}

impl Default for PushLimits {
    /// 10,000 pushes, 1 GiB, a minute.
    fn default() -> Self {
        Self { pushes: 10_000, bytes: 1 << 30, time: Duration::from_mins(1) }
    }
}

/// Takes every push, within limits.
#[derive(Debug)]
pub(super) struct Pushes {
    destination: Destination,
    quiet: bool,
    limits: PushLimits,
    tally: Rc<Tally>,
}

/// What pushes of a connection amount to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    under_way: Cell<usize>,
    taken: Cell<usize>,
    bytes: Cell<u64>,
}

impl Tally {
    /// How many are not over.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }
}

impl Pushes {
    /// Bodies go to `destination` if that is a folder, and nowhere otherwise: they would mix with
    /// what was asked for.
    pub(super) fn new(destination: Destination, quiet: bool, limits: PushLimits) -> Self {
        let destination = match destination {
            folder @ Destination::Folder(_) => folder,
            _ => Destination::Drop,
        };
        Self { destination, quiet, limits, tally: Rc::default() }
    }

    /// What they amount to, as it changes.
    pub(super) fn tally(&self) -> Rc<Tally> {
        Rc::clone(&self.tally)
    }
}

impl PushHandler for Pushes {
    fn on_promise(&mut self, push: PushId, request: &Request<()>) -> PromiseAnswer {
        let Tally { under_way, taken, .. } = &*self.tally;
        taken.set(taken.get() + 1);
        if taken.get() > self.limits.pushes {
            if taken.get() == self.limits.pushes + 1 {
                eprintln!("{push} and all after it are refused: {} are enough", self.limits.pushes);
            }
            return PromiseAnswer::Refuse;
        }
        under_way.set(under_way.get() + 1);
        PromiseAnswer::Take(Box::new(Pushed {
            name: format!("{push}: {} {}", request.method(), request.uri()),
            path: request.uri().path().to_owned(),
            status: StatusCode::OK,
            bytes: 0,
            out: Box::new(io::sink()),
            problem: None,
            pushes: Self {
                destination: self.destination.clone(),
                quiet: self.quiet,
                limits: self.limits,
                tally: self.tally(),
            },
        }))
    }

    fn on_dropped(&mut self, push: PushId, why: PushDropped) {
        if !self.quiet {
            eprintln!("{push}: {why}");
        }
    }
}

/// One pushed response.
struct Pushed {
    name: String,
    path: String,
    status: StatusCode,
    bytes: u64,
    out: Box<dyn Write>,
    problem: Option<String>,
    pushes: Pushes,
}

impl Pushed {
    fn fail(&mut self, problem: String, exchange: &mut ClientExchange<'_>) {
        self.problem = Some(problem);
        exchange.cancel(Http3Code::REQUEST_CANCELLED);
    }
}

/// Says how it ended.
impl Drop for Pushed {
    fn drop(&mut self) {
        let under_way = &self.pushes.tally.under_way;
        under_way.set(under_way.get().saturating_sub(1));
        if let Some(problem) = &self.problem {
            eprintln!("{}: {problem}", self.name);
        } else if !self.pushes.quiet {
            eprintln!("{}: {}, {} bytes", self.name, self.status, self.bytes);
        }
    }
}

impl ResponseHandler for Pushed {
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        self.status = response.status();
        match self.pushes.destination.open(&self.path) {
            Ok(out) => self.out = out,
            Err(problem) => self.fail(problem, exchange),
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.bytes += piece.len() as u64;
            let (total, limit) = (&self.pushes.tally.bytes, self.pushes.limits.bytes);
            total.set(total.get() + piece.len() as u64);
            if total.get() > limit {
                return self.fail(format!("pushes have more than {limit} bytes"), exchange);
            }
            if let Err(error) = self.out.write_all(&piece) {
                return self.fail(format!("it cannot be written: {error}"), exchange);
            }
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        if let Err(error) = self.out.flush() {
            self.problem = Some(format!("it cannot be written: {error}"));
        }
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.problem = Some(failure.to_string());
    }
}
