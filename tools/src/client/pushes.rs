//! [`Pushes`]: takes what a server pushes and shows it.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use http::{Request, Response, StatusCode};
use protoquic::http::{
    ClientExchange, Http3Code, PromiseAnswer, PushDropped, PushHandler, PushId, RequestFailure,
    ResponseHandler,
};

use super::output::Destination;

/// Takes every push.
#[derive(Debug)]
pub(super) struct Pushes {
    destination: Destination,
    quiet: bool,
    under_way: Rc<Cell<usize>>,
}

impl Pushes {
    /// Bodies go to `destination` if that is a folder, and nowhere otherwise: they would mix with
    /// what was asked for.
    pub(super) fn new(destination: Destination, quiet: bool) -> Self {
        let destination = match destination {
            folder @ Destination::Folder(_) => folder,
            _ => Destination::Drop,
        };
        Self { destination, quiet, under_way: Rc::default() }
    }

    /// How many are not over, as it changes.
    pub(super) fn under_way(&self) -> Rc<Cell<usize>> {
        Rc::clone(&self.under_way)
    }
}

impl PushHandler for Pushes {
    fn on_promise(&mut self, push: PushId, request: &Request<()>) -> PromiseAnswer {
        self.under_way.set(self.under_way.get() + 1);
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
                under_way: self.under_way(),
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
        let under_way = &self.pushes.under_way;
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
