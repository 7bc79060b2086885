//! [`fetch_all`]: runs a list of requests on one connection, to the end or to the first reason why
//! there can be none.

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use protoquic::http::Http3ClientSession;
use protoquic::http::{
    ALPN, ClientExchange, Http3Code, Http3Config, RequestFailure, ResponseHandler,
};
use protoquic::readers::BusyPoll;
use protoquic::{ApplicationError, CloseReason, Config, Connection, EarlyData};
use protoquic_qlog::QlogDirectory;
use rustls_pki_types::ServerName;

use super::output::{Destination, Progress};
use super::pushes::{PushLimits, Pushes, Tally};
use super::upload::RequestBody;
use crate::ending::NO_APPLICATION_PROTOCOL;
use crate::endpoint::{ClientEndpoint, ClientOptions};

/// How requests are made and what becomes of the responses.
#[derive(Debug)]
pub struct FetchOptions {
    /// Where the server is.
    pub address: SocketAddr,
    /// From where to connect; any address and port if `None`.
    pub local: Option<SocketAddr>,
    /// The name that it must prove.
    pub server_name: ServerName<'static>,
    /// The transport's settings.
    pub config: Arc<Config>,
    /// TLS's settings.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where the connection has a qlog file, if anywhere.
    pub qlog: Option<QlogDirectory>,
    /// The method; GET, or POST with a body, if `None`.
    pub method: Option<Method>,
    /// Further header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// Where response bodies go.
    pub destination: Destination,
    /// Whether heads are not shown.
    pub quiet: bool,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    /// Whether to update the keys as soon as they may be.
    pub update_keys: bool,
    /// How many pushes the server may have under way at a time.
    pub pushes: u64,
    /// What it may push altogether.
    pub push_limits: PushLimits,
}

/// How one request ended: with this status, its response whole, or with this failure.
pub type Outcome = Result<StatusCode, String>;

/// What all handlers of a connection report to. They run on one thread, in callbacks of one loop.
#[derive(Debug)]
struct Board {
    outcomes: Vec<Option<Outcome>>,
    progress: Progress,
}

/// Fetches these URLs, all of one host, in parallel on one connection. An error if there was no
/// connection at all.
pub fn fetch_all(urls: &[Uri], options: &FetchOptions) -> Result<Vec<Outcome>, String> {
    let connect = ClientOptions {
        server_name: options.server_name.clone(),
        address: options.address,
        config: options.config.clone(),
        tls: options.tls.clone(),
        qlog: options.qlog.clone(),
        busy_poll: BusyPoll::default(),
    };
    let http = Http3Config {
        max_queued_requests: urls.len(),
        max_pushes: options.pushes,
        ..Http3Config::default()
    };
    let pushes = Pushes::new(options.destination.clone(), options.quiet, options.push_limits);
    let pushed = pushes.tally();
    let session = |_| {
        let mut session = Http3ClientSession::new(http);
        session.set_push_handler(Box::new(pushes));
        session
    };
    let mut client = match options.local {
        Some(local) => ClientEndpoint::connect_from(local, connect, session)?,
        None => ClientEndpoint::connect(connect, session)?,
    };
    let board = Rc::new(RefCell::new(Board {
        outcomes: vec![None; urls.len()],
        progress: Progress::new(options.quiet),
    }));
    for (index, url) in urls.iter().enumerate() {
        let request = request(url, options)?;
        let handler = Handler {
            index,
            board: Rc::clone(&board),
            out: None,
            path: url.path().to_owned(),
            destination: options.destination.clone(),
            quiet: options.quiet,
            status: StatusCode::OK,
        };
        let body = options.body.open()?;
        let (parts, ()) = request.into_parts();
        let request = Request::from_parts(parts, body);
        client
            .enter(|session, cx| session.send_request(cx, request, Box::new(handler)))
            .map_err(|error| format!("{url} cannot be asked for: {error}"))?;
    }
    let ending = run(&mut client, options, &board, &pushed)?;
    let mut board = board.borrow_mut();
    board.progress.finish();
    let unfinished = || Err(format!("the response is not whole: {ending}"));
    Ok(board.outcomes.drain(..).map(|outcome| outcome.unwrap_or_else(unfinished)).collect())
}

fn request(url: &Uri, options: &FetchOptions) -> Result<Request<()>, String> {
    let default = if options.body.is_some() { Method::POST } else { Method::GET };
    let method = options.method.clone().unwrap_or(default);
    let mut request = Request::builder().method(method).uri(url.clone());
    if let Some(headers) = request.headers_mut() {
        headers.extend(options.headers.clone());
    }
    request.body(()).map_err(|error| format!("{url} is no request: {error}"))
}

/// Runs to the end, and says what it was for requests that have none of their own.
fn run(
    client: &mut ClientEndpoint<Http3ClientSession>,
    options: &FetchOptions,
    board: &RefCell<Board>,
    pushed: &Tally,
) -> Result<String, String> {
    let mut closing = None;
    let mut update_keys = options.update_keys;
    let mut answered_at = None;
    loop {
        client.run_once(Some(Duration::from_millis(250)))?;
        if update_keys && client.host().host().connection().is_confirmed() {
            update_keys = !client.enter(|_, cx| cx.connection().initiate_key_update());
        }
        if let Some(reason) = client.close_reason() {
            let answered = |outcome: &Option<Outcome>| matches!(outcome, Some(Ok(_)));
            let any = board.borrow().outcomes.iter().any(answered);
            let was_connected = any || client.host().host().connection().is_confirmed();
            if !options.quiet && was_connected {
                show_resumption(client.host().host().connection());
            }
            return match closing {
                Some(ending) => Ok(ending),
                None if was_connected => Ok(reason.to_string()),
                None => Err(explain(reason, options)),
            };
        }
        if closing.is_some() {
            continue;
        }
        let elapsed = board.borrow().progress.elapsed();
        let is_answered = board.borrow().outcomes.iter().all(Option::is_some);
        if is_answered
            && pushes_are_over(*answered_at.get_or_insert(elapsed), elapsed, options, pushed)
        {
            closing = Some(String::new());
            client.close(ApplicationError(Http3Code::NO_ERROR.0), "");
        } else if let Some(timeout) = options.timeout.filter(|timeout| elapsed >= *timeout) {
            closing = Some(format!("{} s are over", timeout.as_secs_f64()));
            client.close(ApplicationError(Http3Code::REQUEST_CANCELLED.0), "");
        }
    }
}

/// Whether no push is waited for any more. Every response has been there since `answered_at`.
fn pushes_are_over(
    answered_at: Duration,
    elapsed: Duration,
    options: &FetchOptions,
    pushed: &Tally,
) -> bool {
    let (under_way, limit) = (pushed.under_way(), options.push_limits.time);
    let is_late = elapsed.saturating_sub(answered_at) >= limit;
    if under_way > 0 && is_late {
        let seconds = limit.as_secs_f64();
        eprintln!("{under_way} pushes are given up, {seconds} s after the last response");
    }
    under_way == 0 || is_late
}

/// Why there is no connection, and what to do.
fn explain(reason: &CloseReason, options: &FetchOptions) -> String {
    let address = options.address;
    match reason {
        CloseReason::HandshakeTimeout | CloseReason::IdleTimeout => format!(
            "no answer from {address} within {} s; is an HTTP/3 server listening there?",
            options.config.handshake_timeout.as_secs()
        ),
        CloseReason::Transport(error) | CloseReason::PeerTransport(error) => {
            match error.code().tls_alert() {
                Some(NO_APPLICATION_PROTOCOL) => format!(
                    "the server at {address} does not speak {}",
                    String::from_utf8_lossy(ALPN)
                ),
                Some(_) if error.reason().contains("invalid peer certificate") => {
                    format!(
                        "the certificate of {} is not to be trusted: {}; give --ca_file, or \
                         --disable_certificate_verification for a server of your own",
                        options.server_name.to_str(),
                        error.reason()
                    )
                }
                _ => format!("the server at {address} cannot be connected to: {reason}"),
            }
        }
        reason => format!("the server at {address} cannot be connected to: {reason}"),
    }
}

struct Handler {
    index: usize,
    board: Rc<RefCell<Board>>,
    out: Option<Box<dyn Write>>,
    path: String,
    destination: Destination,
    quiet: bool,
    status: StatusCode,
}

impl Handler {
    fn end(&self, outcome: Outcome) {
        self.board.borrow_mut().outcomes[self.index].get_or_insert(outcome);
    }
}

impl ResponseHandler for Handler {
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        self.status = response.status();
        if !self.quiet {
            show_head(&response);
        }
        let length = response.headers().get(http::header::CONTENT_LENGTH);
        if let Some(length) = length.and_then(|value| value.to_str().ok()?.parse().ok()) {
            self.board.borrow().progress.expect(length);
        }
        match self.destination.open(&self.path) {
            Ok(out) => self.out = Some(out),
            Err(error) => {
                self.end(Err(error));
                exchange.cancel(Http3Code::REQUEST_CANCELLED);
            }
        }
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.board.borrow().progress.advance(piece.len() as u64);
            let Some(out) = &mut self.out else { continue };
            if let Err(error) = out.write_all(&piece) {
                self.end(Err(format!("the response cannot be written: {error}")));
                return exchange.cancel(Http3Code::REQUEST_CANCELLED);
            }
        }
        // What has come is shown; how it ends is told by the last flush.
        let _ = self.out.as_mut().map(Write::flush);
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        let flushed = self.out.as_mut().map_or(Ok(()), Write::flush);
        self.end(match flushed {
            Ok(()) => Ok(self.status),
            Err(error) => Err(format!("the response cannot be written: {error}")),
        });
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        // Why the connection ended is known only after this.
        if *failure != RequestFailure::ConnectionClosed {
            self.end(Err(failure.to_string()));
        }
    }
}

/// What the session remembered was good for.
fn show_resumption(connection: &Connection) {
    let early = match connection.early_data() {
        EarlyData::Accepted => ", early data was accepted",
        EarlyData::Rejected => ", early data was rejected",
        EarlyData::None | EarlyData::Offered => "",
    };
    if connection.is_resumed() || !early.is_empty() {
        eprintln!("the session was resumed{early}");
    }
}

fn show_head(response: &Response<()>) {
    eprintln!("HTTP/3 {}", response.status());
    for (name, value) in response.headers() {
        eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    eprintln!();
}
