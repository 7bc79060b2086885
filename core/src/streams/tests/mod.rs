//! Tests of the room through its public functions. [`Packet`] stands for a packet being built;
//! [`Pair`] for two ends of a connection whose packets the test carries.

mod flow;
mod hostile;
mod lifecycle;
mod reset_at;
mod rules;
mod trains;
mod transfer;
pub(super) mod work;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::error::{ApplicationError, StreamError, TransportError, TransportErrorCode};

/// A frame as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Frame {
    Control(ControlFrame),
    Stream(StreamId, u64, bool, Bytes),
}

/// A packet of a fixed size. Every frame costs [`OVERHEAD`] bytes besides its data.
#[derive(Clone, Debug)]
struct Packet {
    room: usize,
    frames: Vec<Frame>,
}

const OVERHEAD: usize = 20;

impl Packet {
    fn new(room: usize) -> Self {
        Self { room, frames: Vec::new() }
    }

    fn records(&self) -> impl Iterator<Item = StreamRecord> + '_ {
        self.frames.iter().map(|frame| match *frame {
            Frame::Control(frame) => frame.record(),
            Frame::Stream(id, offset, fin, ref data) => {
                let len = data.len() as u32;
                StreamRecord::Data { id, offset, len, fin }
            }
        })
    }

    fn data(&self) -> Vec<(u64, u64, usize, bool)> {
        let data = self.frames.iter().filter_map(|frame| match frame {
            Frame::Stream(id, offset, fin, data) => Some((id.as_u64(), *offset, data.len(), *fin)),
            Frame::Control(_) => None,
        });
        data.collect()
    }

    fn controls(&self) -> Vec<ControlFrame> {
        let controls = self.frames.iter().filter_map(|frame| match frame {
            Frame::Control(frame) => Some(*frame),
            Frame::Stream(..) => None,
        });
        controls.collect()
    }
}

impl FrameSink for Packet {
    fn remaining(&self) -> usize {
        self.room
    }

    fn control(&mut self, frame: ControlFrame) -> bool {
        let fits = self.room >= OVERHEAD;
        if fits {
            self.room -= OVERHEAD;
            self.frames.push(Frame::Control(frame));
        }
        fits
    }

    fn stream_room(&self, _: StreamId, _: u64) -> usize {
        self.room.saturating_sub(OVERHEAD)
    }

    fn stream(
        &mut self,
        id: StreamId,
        offset: u64,
        fin: bool,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        let mut data = vec![0; len];
        fill(&mut data);
        assert!(self.room >= len + OVERHEAD, "the frame fits");
        self.room -= len + OVERHEAD;
        self.frames.push(Frame::Stream(id, offset, fin, data.into()));
    }
}

fn receive(streams: &mut Streams, frame: &Frame) -> Result<(), TransportError> {
    match frame.clone() {
        Frame::Stream(id, offset, fin, data) => streams.on_stream_frame(id, offset, fin, data),
        Frame::Control(frame) => match frame {
            ControlFrame::MaxData(max) => {
                streams.on_max_data(max);
                Ok(())
            }
            ControlFrame::MaxStreamData { id, max } => streams.on_max_stream_data(id, max),
            ControlFrame::MaxStreams { dir, max } => streams.on_max_streams(dir, max),
            ControlFrame::DataBlocked(limit) => {
                streams.on_data_blocked(limit);
                Ok(())
            }
            ControlFrame::StreamDataBlocked { id, limit } => {
                streams.on_stream_data_blocked(id, limit)
            }
            ControlFrame::StreamsBlocked { dir, limit } => streams.on_streams_blocked(dir, limit),
            ControlFrame::ResetStream { id, error, final_size } => {
                streams.on_reset_stream(id, error, final_size)
            }
            ControlFrame::ResetStreamAt { id, error, final_size, reliable } => {
                streams.on_reset_stream_at(id, error, final_size, reliable)
            }
            ControlFrame::StopSending { id, error } => streams.on_stop_sending(id, error),
        },
    }
}

/// One packet; it must not be empty if the streams said that they want to send.
fn packet(streams: &mut Streams) -> Packet {
    let mut packet = Packet::new(1200);
    let wanted = streams.wants_to_send();
    streams.write_frames(&mut packet);
    assert_eq!(wanted, !packet.frames.is_empty(), "wants_to_send is exact");
    packet
}

struct Pair {
    client: Streams,
    server: Streams,
}

impl Pair {
    fn new(config: &StreamsConfig) -> Self {
        let mut client = Streams::new(Role::Client, config);
        let mut server = Streams::new(Role::Server, config);
        client.set_peer_parameters(limits(config));
        server.set_peer_parameters(limits(config));
        Self { client, server }
    }

    /// Carries packets both ways, each acknowledged at once, until nobody wants to send.
    fn exchange(&mut self) {
        while self.client.wants_to_send() || self.server.wants_to_send() {
            carry(&mut self.client, &mut self.server);
            carry(&mut self.server, &mut self.client);
        }
    }
}

fn carry(from: &mut Streams, to: &mut Streams) -> Packet {
    let packet = packet(from);
    for frame in &packet.frames {
        receive(to, frame).expect("the peer keeps the rules");
    }
    packet.records().for_each(|record| from.on_acked(&record));
    packet
}

fn limits(config: &StreamsConfig) -> PeerLimits {
    PeerLimits {
        initial_max_data: config.max_data,
        initial_max_stream_data_bidi_local: config.max_stream_data_bidi_local,
        initial_max_stream_data_bidi_remote: config.max_stream_data_bidi_remote,
        initial_max_stream_data_uni: config.max_stream_data_uni,
        initial_max_streams_bidi: config.max_streams_bidi,
        initial_max_streams_uni: config.max_streams_uni,
        reset_stream_at: true,
    }
}

/// 10 streams of each kind, 1000 bytes on each, 2000 on all; windows do not grow.
fn small() -> StreamsConfig {
    StreamsConfig {
        max_data: 2000,
        max_stream_data_bidi_local: 1000,
        max_stream_data_bidi_remote: 1000,
        max_stream_data_uni: 1000,
        max_streams_bidi: 10,
        max_streams_uni: 10,
        max_stream_window: 0,
        max_connection_window: 0,
        send_buffer: 4000,
    }
}

fn server(config: &StreamsConfig) -> Streams {
    Pair::new(config).server
}

fn events(streams: &mut Streams) -> Vec<StreamEvent> {
    std::iter::from_fn(|| streams.poll_event()).collect()
}

fn read_all(streams: &mut Streams, id: StreamId) -> Vec<u8> {
    let mut data = Vec::new();
    while let Ok(Some(chunk)) = streams.read(id) {
        data.extend_from_slice(&chunk);
    }
    data
}

fn code(result: Result<(), TransportError>) -> TransportErrorCode {
    result.expect_err("a rule is broken").code()
}

fn id(raw: u64) -> StreamId {
    StreamId::from_raw(raw)
}

fn zeros(len: usize) -> Bytes {
    vec![0; len].into()
}

const BIDI: Direction = Direction::Bidirectional;
const UNI: Direction = Direction::Unidirectional;
const CODE: ApplicationError = ApplicationError(7);
