//! The viewer's side: [`Viewer`], the session, and its streams: asks for the video, puts it together
//! whichever way it comes, shows it in order and measures. This file must not know where frames are
//! shown or written down.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protoquic::wire::Reader;
use protoquic::{
    ApplicationError, CloseReason, Direction, Refuse, Session, SessionContext, Stream,
    StreamContext, StreamId, Time,
};

use super::feedback::{Message as _, Messages, Mode, Notice, Request};
use super::measure::{FrameRecord, Measure};
use super::nal::FrameKind;
use super::playout::{Arrived, ClockComparison, Played, Playout};
use super::reassembly::{Reassembly, ReassemblyTally};
use super::wire::{FrameHeader, micros, span_micros};
use super::{Say, codes};
use crate::ending::ended_early;

/// What a viewer asks for, and who is told.
pub struct ViewerPlan {
    /// How frames are to travel.
    pub mode: Mode,
    /// After which a frame is late. Twice this time after it was due, a missing frame is no longer
    /// waited for.
    pub deadline: Duration,
    /// Parity of datagrams, in percent of the data.
    pub parity: u64,
    /// What else is asked for at the start.
    pub requests: Vec<Request>,
    /// Whether the server is asked, when a frame is lost, to send nothing before the next key frame.
    pub recover: bool,
    /// For how long to watch.
    pub duration: Option<Duration>,
    /// Is given a line for everything that happens.
    pub say: Say,
    /// Is given the frames, in order. Returns whether more are wanted.
    pub show: Box<dyn FnMut(Bytes, FrameKind) -> bool>,
    /// Is told what became of each frame.
    pub record: Box<dyn FnMut(&FrameRecord)>,
}

impl std::fmt::Debug for ViewerPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewerPlan").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// One connection that watches.
#[derive(Debug)]
pub struct Viewer {
    plan: ViewerPlan,
    feedback: Option<StreamId>,
    messages: Messages,
    clocks: ClockComparison,
    next_ping: Option<Time>,
    playout: Playout,
    reassembly: Reassembly,
    /// How many bytes of frames on streams are not whole.
    partial_bytes: usize,
    measure: Measure,
    /// A key frame was asked for and has not come.
    awaits_key: bool,
    /// The one stream has ended.
    stream_ended: bool,
    /// What the server said at the end, and when.
    end: Option<(u64, u64, Time)>,
    stop_at: Option<Time>,
    outcome: Option<Result<(), String>>,
}

/// One stream of it.
#[derive(Debug)]
pub enum ViewerStream {
    /// Notices come on it and requests leave.
    Feedback,
    /// Frames come on it: one, or all.
    Video(FrameReader),
}

impl Viewer {
    /// A viewer that begins when it is connected.
    pub fn new(plan: ViewerPlan) -> Self {
        Self {
            measure: Measure::new(plan.deadline),
            plan,
            feedback: None,
            messages: Messages::default(),
            clocks: ClockComparison::default(),
            next_ping: None,
            playout: Playout::default(),
            reassembly: Reassembly::default(),
            partial_bytes: 0,
            awaits_key: false,
            stream_ended: false,
            end: None,
            stop_at: None,
            outcome: None,
        }
    }

    /// What became of the frames so far.
    pub fn measure(&self) -> &Measure {
        &self.measure
    }

    /// What came in datagrams.
    pub fn reassembly(&self) -> ReassemblyTally {
        self.reassembly.tally()
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Result<(), String>> {
        self.outcome.as_ref()
    }

    /// Asks the server for something.
    pub fn request(&mut self, request: Request, cx: &mut SessionContext<'_, Self>) {
        if let Some(id) = self.feedback {
            let _ = cx.write_all_to(id, request.encode()); // fails if the server does not listen
        }
    }

    /// Watches no longer.
    pub fn stop(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.finish(Ok(()), cx);
    }

    fn finish(&mut self, outcome: Result<(), String>, cx: &mut SessionContext<'_, Self>) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            cx.set_alarm(None);
            cx.close(codes::DONE, "goodbye");
        }
    }

    fn fail(&mut self, why: String, cx: &mut SessionContext<'_, Self>) {
        self.outcome.get_or_insert(Err(why.clone()));
        cx.close(codes::BAD_MESSAGE, &why);
    }

    fn ping(&mut self, cx: &mut SessionContext<'_, Self>) {
        let now = cx.now();
        self.request(Request::Ping(micros(now)), cx);
        // Often at first: frames are not judged before the clocks are compared.
        let rest = if self.clocks.answers() < FIRST_PINGS { PING_FIRST } else { PING_LATER };
        self.next_ping = Some(now + rest);
    }

    fn on_notice(&mut self, notice: Notice, now: Time) {
        match notice {
            Notice::Begun { codec, interval } => {
                let rate = 1e6 / interval.max(1) as f64;
                (self.plan.say)(&format!("{codec}, {rate:.3} frames a second"));
            }
            Notice::Pong(ours, theirs) => self.clocks.on_pong(ours, theirs, micros(now)),
            Notice::State { bitrate, skip, paused } => {
                let limit = match bitrate {
                    0 => "no bitrate".to_owned(),
                    rate => format!("bitrate {} kbit/s", rate / 1000),
                };
                let paused = if paused { ", paused" } else { "" };
                (self.plan.say)(&format!("the server has set: {limit}, skip {skip}{paused}"));
            }
            Notice::End { sent, frames } => {
                (self.plan.say)(&format!("the video is over: {sent} of {frames} frames sent"));
                self.end = Some((sent, frames, now));
            }
        }
    }

    fn on_frame(&mut self, header: FrameHeader, bytes: Bytes, now: Time) {
        self.playout.insert(Arrived { header, bytes, at: now });
    }

    /// Plays what is there, ends if all is, and sets the alarm. Called at the end of every callback.
    fn go_on(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.outcome.is_some() {
            return;
        }
        let now = cx.now();
        let is_compared =
            self.clocks.answers() >= FIRST_PINGS || (self.clocks.is_known() && self.end.is_some());
        // A server that answers no ping must not fill our memory.
        if is_compared || self.playout.is_crowded() {
            self.play(now, cx);
        }
        if self.stop_at.is_some_and(|stop| stop <= now) {
            return self.stop(cx);
        }
        if self.is_complete(now) {
            return self.complete(cx);
        }
        let awaited = self.playout.awaits().map(|due| self.clocks.to_ours(due) + self.patience());
        let ended = self.end.map(|(_, _, at)| at + self.patience());
        let alarms = [self.next_ping, self.stop_at, awaited, ended];
        cx.set_alarm(alarms.into_iter().flatten().filter(|at| *at > now).min());
    }

    fn play(&mut self, now: Time, cx: &mut SessionContext<'_, Self>) {
        let here = self.clocks.to_server(micros(now));
        let patience = span_micros(self.patience());
        let is_stream = self.plan.mode == Mode::Stream; // on which nothing is ever lost
        let given_up = |due: u64| !is_stream && due.saturating_add(patience) <= here;
        let mut wanted = true;
        while let Some(played) = self.playout.play(given_up) {
            match played {
                Played::Frame(frame) => wanted &= self.show(frame),
                Played::Lost(count) => self.on_lost(count, here, cx),
            }
        }
        self.reassembly.forget_before(self.playout.next_sequence());
        if !wanted {
            self.stop(cx);
        }
    }

    fn show(&mut self, frame: Arrived) -> bool {
        let arrived = self.clocks.to_server(micros(frame.at));
        let latency = arrived.saturating_sub(frame.header.due);
        let record = self.measure.on_frame(&frame.header, latency);
        (self.plan.record)(&record);
        self.awaits_key &= frame.header.kind != FrameKind::Key;
        (self.plan.show)(frame.bytes, frame.header.kind)
    }

    fn on_lost(&mut self, count: u64, here: u64, cx: &mut SessionContext<'_, Self>) {
        let next = self.playout.next_sequence();
        for sequence in next.saturating_sub(count.min(MAX_LOST))..next {
            let record = self.measure.on_lost(sequence, here);
            (self.plan.record)(&record);
        }
        if self.plan.recover && self.end.is_none() && !std::mem::replace(&mut self.awaits_key, true)
        {
            self.request(Request::KeyFrame, cx);
        }
    }

    /// How long after it was due a frame is waited for.
    fn patience(&self) -> Duration {
        2 * self.plan.deadline
    }

    fn is_complete(&self, now: Time) -> bool {
        let Some((sent, _, at)) = self.end else { return false };
        match self.plan.mode {
            Mode::Stream => self.stream_ended,
            _ => self.playout.next_sequence() >= sent || now >= at + self.patience(),
        }
    }

    fn complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        let Some((sent, frames, _)) = self.end else { return };
        let here = self.clocks.to_server(micros(cx.now()));
        let missing = self.playout.give_up_before(sent);
        self.on_lost(missing, here, cx);
        self.measure.on_end(frames);
        self.finish(Ok(()), cx);
    }
}

impl Session for Viewer {
    type Stream = ViewerStream;

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        match cx.open_stream(Direction::Bidirectional, |_| ViewerStream::Feedback) {
            Ok(id) => self.feedback = Some(id),
            Err(error) => return self.fail(format!("no stream can be opened: {error}"), cx),
        }
        (self.plan.say)("connected");
        self.stop_at = self.plan.duration.map(|duration| cx.now() + duration);
        let deadline = u64::try_from(self.plan.deadline.as_millis()).unwrap_or(u64::MAX);
        let play = Request::Play { mode: self.plan.mode, deadline, parity: self.plan.parity };
        self.request(play, cx);
        for request in std::mem::take(&mut self.plan.requests) {
            self.request(request, cx);
        }
        self.ping(cx);
        self.go_on(cx);
    }

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<ViewerStream, Refuse> {
        match id.direction() {
            Direction::Unidirectional => Ok(ViewerStream::Video(FrameReader::default())),
            Direction::Bidirectional => Err(Refuse(codes::NO_SUCH_STREAM)),
        }
    }

    fn on_datagram_received(&mut self, data: Bytes, cx: &mut SessionContext<'_, Self>) {
        match self.reassembly.on_datagram(&data) {
            Ok(Some((header, bytes))) => {
                self.on_frame(header, bytes, cx.now());
                self.go_on(cx);
            }
            Ok(None) => {}
            Err(why) => self.fail(why, cx),
        }
    }

    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.next_ping.is_some_and(|at| at <= cx.now()) {
            self.ping(cx);
        }
        self.go_on(cx);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        self.outcome.get_or_insert_with(|| Err(ended_early(why)));
        (self.plan.say)(&format!("closed: {why}"));
    }
}

impl Stream<Viewer> for ViewerStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Viewer>) {
        while let Some(data) = cx.read() {
            let (session, cx) = cx.split();
            let taken = match self {
                Self::Feedback => on_feedback(&data, session, cx.now()),
                Self::Video(reader) => reader.on_data(&data, session, cx.now()),
            };
            if let Err(why) = taken {
                return session.fail(why, cx);
            }
        }
        let is_finished = cx.is_read_finished();
        let (session, cx) = cx.split();
        if let Self::Video(reader) = self
            && is_finished
        {
            session.stream_ended = true;
            if reader.is_within_frame() {
                return session.fail("a stream that ends within a frame".to_owned(), cx);
            }
        }
        session.go_on(cx);
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, Viewer>) {
        let (session, cx) = cx.split();
        match self {
            Self::Video(reader) if session.plan.mode == Mode::Frames => {
                if let Some(sequence) = reader.sequence() {
                    session.playout.on_gone(sequence);
                }
                session.go_on(cx);
            }
            _ => session.fail(format!("the server abandoned a stream: {code}"), cx),
        }
    }

    fn on_close(&mut self, session: &mut Viewer) {
        if let Self::Video(reader) = self {
            session.partial_bytes = session.partial_bytes.saturating_sub(reader.buffer.len());
        }
    }
}

fn on_feedback(data: &[u8], session: &mut Viewer, now: Time) -> Result<(), String> {
    session.messages.push(data);
    while let Some(notice) = session.messages.next_message()? {
        session.on_notice(notice, now);
    }
    Ok(())
}

/// Reads frames, one after the other, from a stream.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
    /// That of the frame whose bytes are coming.
    header: Option<FrameHeader>,
}

impl FrameReader {
    fn on_data(&mut self, data: &[u8], session: &mut Viewer, now: Time) -> Result<(), String> {
        let before = self.buffer.len();
        self.buffer.extend_from_slice(data);
        loop {
            let header = match self.header {
                Some(header) => header,
                None => match self.read_header()? {
                    Some(header) => *self.header.insert(header),
                    None => break,
                },
            };
            let len = header.len as usize;
            if self.buffer.len() < len {
                break;
            }
            self.header = None;
            session.on_frame(header, self.buffer.split_to(len).freeze(), now);
        }
        session.partial_bytes = (session.partial_bytes + self.buffer.len()).saturating_sub(before);
        if session.partial_bytes > MAX_PARTIAL_BYTES {
            Err(format!("more than {MAX_PARTIAL_BYTES} bytes of unfinished frames"))
        } else {
            Ok(())
        }
    }

    fn read_header(&mut self) -> Result<Option<FrameHeader>, String> {
        let mut reader = Reader::new(&self.buffer);
        let Some(header) = FrameHeader::read(&mut reader)? else { return Ok(None) };
        let len = reader.position();
        drop(self.buffer.split_to(len));
        Ok(Some(header))
    }

    fn is_within_frame(&self) -> bool {
        self.header.is_some() || !self.buffer.is_empty()
    }

    fn sequence(&self) -> Option<u64> {
        Some(self.header?.sequence)
    }
}

/// So many answers are waited for before frames are judged.
const FIRST_PINGS: u64 = 4;
/// Between the first pings.
const PING_FIRST: Duration = Duration::from_millis(50);
/// Between later ones.
const PING_LATER: Duration = Duration::from_secs(1);
/// How many bytes of frames that are not whole are kept.
const MAX_PARTIAL_BYTES: usize = 64 << 20;
/// How many lost frames are listed one by one at a time.
const MAX_LOST: u64 = 100_000;
