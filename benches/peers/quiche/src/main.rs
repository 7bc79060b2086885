//! The perf protocol over quiche: bulk data, request loops, handshakes.

mod endpoint;
mod http3;
mod tally;

use std::collections::HashMap;
use std::time::Instant;

use endpoint::{Application, Endpoint};
use http3::{Files, Gets, Getting};
use protoquic_perf_kit::{
    ALPN, CHUNK, CONNECTION_WINDOW, Client, HTTP3_ALPN, Identity, MAX_UDP_PAYLOAD, Mode, Program,
    Result, STREAM_WINDOW, STREAMS, Server, report_bulk, report_handshakes, report_requests,
};
use quiche::{Config, Connection};
use tally::{Measuring, Tally};

fn main() -> Result<()> {
    match Program::read() {
        Program::Server(server) => serve(&server),
        Program::Client(client) => measure(&client),
    }
}

fn settings(congestion_control: &str, is_http3: bool) -> Result<Config> {
    let mut config = Config::new(quiche::PROTOCOL_VERSION)?;
    config.set_application_protos(&[if is_http3 { HTTP3_ALPN } else { ALPN }])?;
    config.set_cc_algorithm_name(match congestion_control {
        "bbr" => "bbr2_gcongestion",
        other => other,
    })?;
    config.set_max_idle_timeout(30_000);
    config.set_max_send_udp_payload_size(usize::from(MAX_UDP_PAYLOAD));
    config.set_initial_max_data(u64::from(CONNECTION_WINDOW));
    config.set_initial_max_stream_data_bidi_local(u64::from(STREAM_WINDOW));
    config.set_initial_max_stream_data_bidi_remote(u64::from(STREAM_WINDOW));
    config.set_max_connection_window(u64::from(CONNECTION_WINDOW));
    config.set_max_stream_window(u64::from(STREAM_WINDOW));
    config.set_initial_max_streams_bidi(u64::from(STREAMS));
    // HTTP/3's control streams and QPACK's.
    config.set_initial_max_stream_data_uni(u64::from(STREAM_WINDOW));
    config.set_initial_max_streams_uni(u64::from(STREAMS));
    config.verify_peer(false);
    Ok(config)
}

/// What one stream has still to do.
#[derive(Default)]
struct Exchange {
    /// A server's: the eight bytes that it is asked by.
    asked: Vec<u8>,
    /// A client's: the eight bytes that it asks by, what is left of them.
    head: Vec<u8>,
    left: u64,
    received: u64,
    is_answering: bool,
    finished: bool,
}

impl Exchange {
    /// Sends what there is room for.
    fn write(&mut self, connection: &mut Connection, id: u64, chunk: &[u8]) {
        while !self.finished {
            let is_head = !self.head.is_empty();
            let part = self.left.min(chunk.len() as u64) as usize;
            let (data, fin) = if is_head {
                (&self.head[..], self.left == 0)
            } else {
                (&chunk[..part], part as u64 == self.left)
            };
            let Ok(written) = connection.stream_send(id, data, fin) else {
                return;
            };
            let whole = written == data.len();
            if is_head {
                self.head.drain(..written);
            } else {
                self.left -= written as u64;
            }
            self.finished = fin && whole;
            if !whole {
                return;
            }
        }
    }
}

/// Answers.
struct Answers {
    chunk: Vec<u8>,
    scratch: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        Self {
            chunk: vec![0; CHUNK],
            scratch: vec![0; CHUNK],
        }
    }
}

impl Application for Answers {
    type State = HashMap<u64, Exchange>;

    fn accepted(&mut self) -> Self::State {
        HashMap::new()
    }

    fn progress(&mut self, connection: &mut Connection, exchanges: &mut Self::State) {
        for id in connection.readable() {
            let exchange = exchanges.entry(id).or_default();
            while let Ok((len, fin)) = connection.stream_recv(id, &mut self.scratch) {
                let missing = 8 - exchange.asked.len();
                exchange
                    .asked
                    .extend_from_slice(&self.scratch[..len.min(missing)]);
                if fin {
                    let asked = exchange.asked.as_slice().try_into();
                    exchange.left = u64::from_be_bytes(asked.unwrap_or_default());
                    exchange.is_answering = true;
                }
            }
            if exchange.is_answering {
                exchange.write(connection, id, &self.chunk);
            }
        }
        for id in connection.writable() {
            if let Some(exchange) = exchanges
                .get_mut(&id)
                .filter(|exchange| exchange.is_answering)
            {
                exchange.write(connection, id, &self.chunk);
            }
        }
        exchanges.retain(|_, exchange| !exchange.finished);
    }
}

fn serve(server: &Server) -> Result<()> {
    let identity = Identity::of(server)?;
    let mut config = settings(&server.congestion_control, server.http3.is_some())?;
    let (chain, key) = identity.to_pem_files()?;
    config.load_cert_chain_from_pem_file(&chain)?;
    config.load_priv_key_from_pem_file(&key)?;
    match &server.http3 {
        Some(folder) => answer(server, config, Files::new(folder.clone())?),
        None => answer(server, config, Answers::new()),
    }
}

fn answer<A: Application>(server: &Server, config: Config, application: A) -> Result<()> {
    let mut endpoint = Endpoint::bind(server.listen, config, application, true)?;
    endpoint.set_paced(server.congestion_control == "bbr");
    println!("listening on {}", endpoint.local());
    loop {
        endpoint.turn()?;
    }
}

/// Asks.
struct Asks<'a> {
    client: &'a Client,
    chunk: Vec<u8>,
    scratch: Vec<u8>,
    tally: Tally,
}

impl Measuring for Asks<'_> {
    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// A client's connection.
#[derive(Default)]
struct Asked {
    exchanges: HashMap<u64, (Exchange, Instant)>,
    opened: u64,
    answered: u64,
}

impl Asked {
    fn open(&mut self, connection: &mut Connection, client: &Client, chunk: &[u8]) {
        let (down, up) = match client.mode {
            Mode::Down | Mode::Up => client.share(self.opened),
            Mode::Rps => (client.bytes(), 0),
            Mode::Hs => (1, 0),
        };
        let mut exchange = Exchange {
            head: down.to_be_bytes().to_vec(),
            left: up,
            ..Exchange::default()
        };
        let id = self.opened * 4;
        self.opened += 1;
        exchange.write(connection, id, chunk);
        self.exchanges.insert(id, (exchange, Instant::now()));
    }
}

impl Application for Asks<'_> {
    type State = Asked;

    fn accepted(&mut self) -> Asked {
        Asked::default()
    }

    fn progress(&mut self, connection: &mut Connection, asked: &mut Asked) {
        if !connection.is_established() || connection.is_closed() {
            return;
        }
        self.tally.started.get_or_insert_with(Instant::now);
        if asked.opened == 0 {
            let first = match self.client.mode {
                Mode::Hs => u64::from(self.client.resume),
                _ => self.client.streams,
            };
            for _ in 0..first {
                asked.open(connection, self.client, &self.chunk);
            }
            if first == 0 {
                self.tally.done += 1;
                asked.opened = 1;
                let _ = connection.close(true, 0, b"done");
                return;
            }
        }
        for id in connection.readable() {
            let Some((exchange, begun)) = asked.exchanges.get_mut(&id) else {
                continue;
            };
            let mut fin = false;
            while let Ok((len, last)) = connection.stream_recv(id, &mut self.scratch) {
                exchange.received += len as u64;
                fin |= last;
            }
            if fin {
                let begun = *begun;
                asked.exchanges.remove(&id);
                self.answered(connection, asked, begun);
            }
        }
        for id in connection.writable() {
            if let Some((exchange, _)) = asked.exchanges.get_mut(&id) {
                exchange.write(connection, id, &self.chunk);
            }
        }
    }
}

impl Asks<'_> {
    fn answered(&mut self, connection: &mut Connection, asked: &mut Asked, begun: Instant) {
        asked.answered += 1;
        if self.client.mode == Mode::Rps {
            self.tally.loops.record(begun.elapsed());
            if Instant::now() < self.tally.end {
                return asked.open(connection, self.client, &self.chunk);
            }
        }
        if asked.exchanges.is_empty() {
            self.tally.done += 1;
            let _ = connection.close(true, 0, b"done");
        }
    }
}

fn measure(client: &Client) -> Result<()> {
    let config = settings(&client.congestion_control, client.http3.is_some())?;
    if let Some(path) = &client.http3 {
        let mut endpoint = Endpoint::bind(client.local(), config, Gets::new(client, path)?, false)?;
        return on_one_connection(client, &mut endpoint, Getting::default());
    }
    let asks = Asks {
        client,
        chunk: vec![0; CHUNK],
        scratch: vec![0; CHUNK],
        tally: Tally::new(client),
    };
    let mut endpoint = Endpoint::bind(client.local(), config, asks, false)?;
    if client.mode == Mode::Hs {
        return handshakes(client, &mut endpoint);
    }
    on_one_connection(client, &mut endpoint, Asked::default())
}

fn on_one_connection<A: Measuring>(
    client: &Client,
    endpoint: &mut Endpoint<A>,
    state: A::State,
) -> Result<()> {
    let begin = Instant::now();
    endpoint.connect(client.connect, state, None)?;
    while endpoint.application.tally().done == 0 {
        let ended = !endpoint.turn()?.is_empty();
        let tally = endpoint.application.tally();
        if let Some(failure) = tally.failure.take() {
            return Err(failure.into());
        }
        if ended && tally.done == 0 {
            return Err("the connection ended early".into());
        }
    }
    let tally = endpoint.application.tally();
    let elapsed = tally.started.unwrap_or(begin).elapsed();
    match client.mode {
        Mode::Rps => report_requests(client, &tally.loops, elapsed),
        _ => report_bulk(client, elapsed),
    }
    endpoint.turn()?;
    Ok(())
}

fn handshakes(client: &Client, endpoint: &mut Endpoint<Asks<'_>>) -> Result<()> {
    let begin = Instant::now();
    let mut ticket: Option<Vec<u8>> = None;
    loop {
        // One that only waits for its end to be known does not count as one of those at once.
        let active = endpoint
            .members
            .values()
            .filter(|member| member.connection.local_error().is_none());
        let missing = client.connections.saturating_sub(active.count() as u64);
        if Instant::now() < endpoint.application.tally.end {
            for _ in 0..missing {
                endpoint.connect(client.connect, Asked::default(), ticket.as_deref())?;
            }
        } else if missing == client.connections {
            break;
        }
        endpoint.turn()?;
        if client.resume {
            let sessions = endpoint
                .members
                .values()
                .filter_map(|member| member.connection.session());
            ticket = sessions.last().map(<[u8]>::to_vec).or(ticket);
        }
    }
    report_handshakes(client, endpoint.application.tally.done, begin.elapsed());
    Ok(())
}
