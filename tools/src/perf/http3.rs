//! A file fetched over HTTP/3, once or in loops, from a server such as `quic_simple_server`. What is
//! fetched is counted and dropped; how a figure is printed is not known here.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, Uri};
use protoquic::http::{
    ClientExchange, Http3ClientSession, Http3Config, RequestFailure, ResponseHandler,
};
use protoquic::{ApplicationError, Time};

use super::client::PerfReport;
use super::loops::{Latency, new_latency};
use super::run::{Bulk, Requests, quantile};
use crate::ending::ended_early;
use crate::endpoint::{ClientEndpoint, ClientOptions};

/// What is fetched, and how.
#[derive(Clone, Debug)]
pub struct Http3Work {
    /// The file's URL path, beginning with a slash.
    pub path: String,
    /// How long the file is, in bytes. Another length is an error.
    pub bytes: u64,
    /// How many requests at the same time.
    pub parallel: u64,
    /// For how long new requests are made; without it each is made once.
    pub time: Option<Duration>,
}

/// Fetches a file once, or `parallel` times at once.
pub fn http3_bulk(options: ClientOptions, work: Http3Work) -> Result<Bulk, String> {
    let (mut client, board) = fetch(options, Http3Work { time: None, ..work })?;
    let stats = close(&mut client)?;
    let board = board.borrow();
    let report = PerfReport {
        received: board.received,
        sent: 0,
        setup: board.begun - board.started,
        transfer: board.last - board.begun,
    };
    Ok(Bulk { report, stats })
}

/// Fetches a file again and again.
pub fn http3_requests(options: ClientOptions, work: Http3Work) -> Result<Requests, String> {
    let (mut client, board) = fetch(options, work)?;
    let stats = close(&mut client)?;
    let board = board.borrow();
    let (median, p99) = (quantile(&board.latency, 0.5), quantile(&board.latency, 0.99));
    Ok(Requests {
        count: board.asked,
        elapsed: board.last - board.begun,
        setup: board.begun - board.started,
        median,
        p99,
        stats,
    })
}

type Client = ClientEndpoint<Http3ClientSession>;

/// Connects and does the work, to the last answer.
fn fetch(options: ClientOptions, work: Http3Work) -> Result<(Client, Rc<RefCell<Board>>), String> {
    let url = format!("https://localhost:{}{}", options.address.port(), work.path);
    let url: Uri = url.parse().map_err(|error| format!("--http3 {}: {error}", work.path))?;
    let config = Http3Config {
        max_queued_requests: usize::try_from(work.parallel).unwrap_or(usize::MAX),
        ..Http3Config::default()
    };
    let mut client = ClientEndpoint::connect(options, |_| Http3ClientSession::new(config))?;
    let started = client.now();
    while !client.host().host().connection().is_established() {
        turn(&mut client)?;
    }
    let board = Rc::new(RefCell::new(Board::new(started, client.now(), work)));
    loop {
        let wanted = board.borrow_mut().take_wanted(client.now());
        if wanted > 0 {
            ask(&mut client, &board, &url, wanted)?;
        }
        let active = {
            let board = board.borrow();
            if let Some(failure) = &board.failure {
                return Err(failure.clone());
            }
            board.active
        };
        if active == 0 {
            return Ok((client, board));
        }
        turn(&mut client)?;
    }
}

fn turn(client: &mut Client) -> Result<(), String> {
    client.run_once(Some(Duration::from_secs(1)))?;
    client.close_reason().map_or(Ok(()), |why| Err(ended_early(why)))
}

fn ask(
    client: &mut Client,
    board: &Rc<RefCell<Board>>,
    url: &Uri,
    count: u64,
) -> Result<(), String> {
    let begun = client.now();
    let request = Request::get(url.clone()).body(()).map_err(|error| error.to_string())?;
    client.enter(|session, cx| {
        for _ in 0..count {
            let handler = Download { board: Rc::clone(board), begun, received: 0 };
            let sent = session.send_request(cx, request.clone(), Box::new(handler));
            sent.map_err(|error| format!("{url} cannot be asked for: {error}"))?;
        }
        Ok(())
    })
}

/// Says goodbye, and what the connection counted.
fn close(client: &mut Client) -> Result<protoquic::ConnectionStats, String> {
    client.close(ApplicationError(protoquic::http::Http3Code::NO_ERROR.0), "");
    while client.close_reason().is_none() {
        client.run_once(Some(Duration::from_secs(1)))?;
    }
    Ok(client.host().host().connection().stats())
}

/// What all responses report to.
#[derive(Debug)]
struct Board {
    work: Http3Work,
    started: Time,
    begun: Time,
    /// When the last answer was whole.
    last: Time,
    active: u64,
    asked: u64,
    received: u64,
    latency: Latency,
    failure: Option<String>,
}

impl Board {
    fn new(started: Time, begun: Time, work: Http3Work) -> Self {
        Self {
            work,
            started,
            begun,
            last: begun,
            active: 0,
            asked: 0,
            received: 0,
            latency: new_latency(),
            failure: None,
        }
    }

    /// How many requests are to be made now; they count as made.
    fn take_wanted(&mut self, now: Time) -> u64 {
        let goes_on = match self.work.time {
            Some(time) => now - self.begun < time,
            None => self.asked == 0,
        };
        let wanted = if goes_on { self.work.parallel - self.active } else { 0 };
        self.active += wanted;
        self.asked += wanted;
        wanted
    }
}

/// One response.
struct Download {
    board: Rc<RefCell<Board>>,
    begun: Time,
    received: u64,
}

impl Download {
    fn fail(&self, why: String) {
        self.board.borrow_mut().failure.get_or_insert(why);
    }
}

impl ResponseHandler for Download {
    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        if !response.status().is_success() {
            self.fail(format!("the status is {}", response.status()));
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.received += piece.len() as u64;
        }
    }

    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        let now = exchange.now();
        let mut board = self.board.borrow_mut();
        if self.received != board.work.bytes {
            let wanted = board.work.bytes;
            board.failure.get_or_insert(format!("{} of {wanted} bytes came", self.received));
        }
        board.active -= 1;
        board.last = now;
        board.received += self.received;
        let mut latency = board.latency.borrow_mut();
        latency.saturating_record((now - self.begun).as_micros() as u64);
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.fail(failure.to_string());
    }
}
