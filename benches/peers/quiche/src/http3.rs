//! HTTP/3 by quiche's own module: files out, bodies in. This file must not know the socket.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use protoquic_perf_kit::{CHUNK, Client, Mode, Result, is_whole, open_file, read_chunk};
use quiche::Connection;
use quiche::h3::{self, Event, Header, NameValue};

use crate::endpoint::Application;
use crate::tally::{Measuring, Tally};

/// Serves a folder's files.
pub struct Files {
    folder: PathBuf,
    config: h3::Config,
}

/// A server's connection.
#[derive(Default)]
pub struct Serving {
    h3: Option<h3::Connection>,
    responses: HashMap<u64, FileResponse>,
}

/// A file under way.
struct FileResponse {
    file: File,
    len: u64,
    has_head: bool,
    /// Not yet read.
    left: u64,
    /// Read ahead, and how much of it is sent.
    piece: Vec<u8>,
    sent: usize,
}

impl Files {
    /// Of this folder.
    pub fn new(folder: PathBuf) -> Result<Self> {
        let config = h3::Config::new()?;
        Ok(Self { folder, config })
    }

    fn answer(
        &self,
        h3: &mut h3::Connection,
        connection: &mut Connection,
        id: u64,
        list: &[Header],
    ) -> Option<FileResponse> {
        let path = list.iter().find(|field| field.name() == b":path")?;
        let path = std::str::from_utf8(path.value()).ok()?;
        match open_file(&self.folder, path) {
            Ok((file, len)) => Some(FileResponse {
                file,
                len,
                has_head: false,
                left: len,
                piece: Vec::new(),
                sent: 0,
            }),
            Err(_) => {
                let _ = h3.send_response(connection, id, &[Header::new(b":status", b"404")], true);
                None
            }
        }
    }
}

impl FileResponse {
    /// Sends what there is room for. Whether it is over.
    fn send(&mut self, h3: &mut h3::Connection, connection: &mut Connection, id: u64) -> bool {
        if !self.has_head {
            let len = self.len.to_string();
            let head = [
                Header::new(b":status", b"200"),
                Header::new(b"content-length", len.as_bytes()),
            ];
            match h3.send_response(connection, id, &head, self.len == 0) {
                Ok(()) => self.has_head = true,
                Err(h3::Error::StreamBlocked | h3::Error::Done) => return false,
                Err(_) => return true,
            }
        }
        loop {
            if self.sent == self.piece.len() {
                if self.left == 0 {
                    return true;
                }
                if read_chunk(&mut self.file, self.left, &mut self.piece).is_err() {
                    let _ = connection.stream_shutdown(id, quiche::Shutdown::Write, 0x102);
                    return true;
                }
                self.left -= self.piece.len() as u64;
                self.sent = 0;
            }
            match h3.send_body(connection, id, &self.piece[self.sent..], self.left == 0) {
                Ok(written) => self.sent += written,
                Err(h3::Error::Done) => return false,
                Err(_) => return true,
            }
        }
    }
}

impl Application for Files {
    type State = Serving;

    fn accepted(&mut self) -> Serving {
        Serving::default()
    }

    fn progress(&mut self, connection: &mut Connection, state: &mut Serving) {
        let Some(mut h3) = begin(&mut state.h3, connection, &self.config) else {
            return;
        };
        loop {
            match h3.poll(connection) {
                Ok((id, Event::Headers { list, .. })) => {
                    let response = self.answer(&mut h3, connection, id, &list);
                    if let Some(mut response) = response
                        && !response.send(&mut h3, connection, id)
                    {
                        state.responses.insert(id, response);
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        for id in connection.writable() {
            if let Some(response) = state.responses.get_mut(&id)
                && response.send(&mut h3, connection, id)
            {
                state.responses.remove(&id);
            }
        }
        state.h3 = Some(h3);
    }
}

/// The HTTP/3 connection, made as soon as it can be.
fn begin(
    h3: &mut Option<h3::Connection>,
    connection: &mut Connection,
    config: &h3::Config,
) -> Option<h3::Connection> {
    if h3.is_none() && connection.is_established() && !connection.is_closed() {
        *h3 = h3::Connection::with_transport(connection, config).ok();
    }
    h3.take()
}

/// Gets one URL, again and again or once.
pub struct Gets<'a> {
    client: &'a Client,
    request: Vec<Header>,
    config: h3::Config,
    scratch: Vec<u8>,
    tally: Tally,
}

/// A client's connection.
#[derive(Default)]
pub struct Getting {
    h3: Option<h3::Connection>,
    requests: HashMap<u64, (u64, Instant)>,
    begun: bool,
}

impl<'a> Gets<'a> {
    /// What the client was asked for.
    pub fn new(client: &'a Client, path: &str) -> Result<Self> {
        if matches!(client.mode, Mode::Up | Mode::Hs) {
            return Err("--http3 goes with the modes down and rps".into());
        }
        let authority = format!("localhost:{}", client.connect.port());
        let request = vec![
            Header::new(b":method", b"GET"),
            Header::new(b":scheme", b"https"),
            Header::new(b":authority", authority.as_bytes()),
            Header::new(b":path", path.as_bytes()),
        ];
        Ok(Self {
            client,
            request,
            config: h3::Config::new()?,
            scratch: vec![0; CHUNK],
            tally: Tally::new(client),
        })
    }

    fn get(&mut self, h3: &mut h3::Connection, connection: &mut Connection, getting: &mut Getting) {
        match h3.send_request(connection, &self.request, true) {
            Ok(id) => {
                getting.requests.insert(id, (0, Instant::now()));
            }
            Err(error) => self
                .tally
                .fail(format!("a request cannot be sent: {error}")),
        }
    }

    fn on_event(
        &mut self,
        h3: &mut h3::Connection,
        connection: &mut Connection,
        getting: &mut Getting,
        id: u64,
        event: &Event,
    ) {
        let Some((received, begun)) = getting.requests.get_mut(&id) else {
            return;
        };
        match event {
            Event::Headers { list, .. } => {
                let found = list
                    .iter()
                    .any(|field| field.value() == b"200" && field.name() == b":status");
                if !found {
                    self.tally.fail("the status is not 200".to_owned());
                }
            }
            Event::Data => {
                while let Ok(len) = h3.recv_body(connection, id, &mut self.scratch) {
                    *received += len as u64;
                }
            }
            Event::Finished => {
                if let Err(error) = is_whole(*received, self.client.bytes()) {
                    self.tally.fail(error.to_string());
                }
                let begun = *begun;
                getting.requests.remove(&id);
                self.answered(h3, connection, getting, begun);
            }
            Event::Reset(_) | Event::GoAway | Event::PriorityUpdate => {
                self.tally.fail("the response was cut off".to_owned());
            }
        }
    }

    fn answered(
        &mut self,
        h3: &mut h3::Connection,
        connection: &mut Connection,
        getting: &mut Getting,
        begun: Instant,
    ) {
        if self.client.mode == Mode::Rps {
            self.tally.loops.record(begun.elapsed());
            if Instant::now() < self.tally.end {
                return self.get(h3, connection, getting);
            }
        }
        if getting.requests.is_empty() {
            self.tally.done += 1;
            let _ = connection.close(true, 0x100, b"done");
        }
    }
}

impl Measuring for Gets<'_> {
    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Application for Gets<'_> {
    type State = Getting;

    fn accepted(&mut self) -> Getting {
        Getting::default()
    }

    fn progress(&mut self, connection: &mut Connection, getting: &mut Getting) {
        let Some(mut h3) = begin(&mut getting.h3, connection, &self.config) else {
            return;
        };
        self.tally.started.get_or_insert_with(Instant::now);
        if !getting.begun {
            getting.begun = true;
            for _ in 0..self.client.streams {
                self.get(&mut h3, connection, getting);
            }
        }
        while let Ok((id, event)) = h3.poll(connection) {
            self.on_event(&mut h3, connection, getting, id, &event);
        }
        getting.h3 = Some(h3);
    }
}
