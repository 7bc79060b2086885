//! The server's side of one viewer: [`LiveServer`], the session, and its streams. Whichever session's
//! alarm rings first takes the due frame from the broadcast; each then sends it as its viewer has
//! asked. This file must not know how frames are cut, nor where they come from.

use std::rc::Rc;
use std::time::Duration;

use protoquic::connection::DatagramId;
use protoquic::{
    ApplicationError, CloseReason, Direction, FnFactory, Refuse, ServerConfig, Session,
    SessionContext, SessionFactory, SessionHost, Stream, StreamContext, StreamId, Time,
};

use super::broadcast::{Frame, SharedBroadcast};
use super::feedback::{Message as _, Messages, Mode, Notice, Request};
use super::fragments::MAX_PARITY;
use super::selection::Selection;
use super::sender::{DatagramSender, FrameSender, Sender, StreamSender};
use super::wire::{micros, span_micros};
use super::{ALPN, Say, codes};

/// One viewer's connection.
pub struct LiveServer {
    /// Counts the connections, to tell their lines apart.
    number: u64,
    broadcast: SharedBroadcast,
    say: Say,
    feedback: Option<StreamId>,
    messages: Messages,
    viewer: Option<Viewer>,
    /// The video ends here, even if it is not over.
    shutting_down: bool,
}

/// What is sent to a viewer.
#[derive(Debug)]
struct Viewer {
    selection: Selection,
    sender: Sender,
    /// The next frame to look at.
    cursor: u64,
    begun: bool,
    /// Everything was handed over; the viewer has so long to leave.
    ended: Option<Time>,
    tally: Tally,
}

/// What became of the frames that were looked at, and what else is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Not wanted by the viewer, or not decodable for it.
    skipped: u64,
    /// Too much was waiting.
    dropped: u64,
    /// Given up because they were late.
    expired: u64,
    /// How often the viewer has asked for something else.
    requests: u64,
}

/// One stream of a viewer.
#[derive(Debug)]
pub enum ServerStream {
    /// Requests come on it and notices leave.
    Feedback,
    /// Carries all frames.
    Video,
    /// Carries one frame.
    Frame {
        /// How long it is.
        bytes: usize,
    },
}

impl std::fmt::Debug for LiveServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveServer").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Makes a [`LiveServer`] for each viewer of this broadcast. `say` is given a line for everything
/// that happens.
pub fn live_factory(
    config: ServerConfig,
    broadcast: SharedBroadcast,
    say: Say,
) -> impl SessionFactory {
    let mut accepted = 0;
    FnFactory::new(&[ALPN], config, move |connection| {
        accepted += 1;
        let session = LiveServer {
            number: accepted,
            broadcast: Rc::clone(&broadcast),
            say: Rc::clone(&say),
            feedback: None,
            messages: Messages::default(),
            viewer: None,
            shutting_down: false,
        };
        session.say(&format!("connected from {}", connection.peer_address()));
        Box::new(SessionHost::new(connection, session))
    })
}

impl LiveServer {
    fn say(&self, what: &str) {
        (self.say)(&format!("viewer {}: {what}", self.number));
    }

    fn notify(&self, notice: Notice, cx: &mut SessionContext<'_, Self>) {
        if let Some(id) = self.feedback {
            let _ = cx.write_all_to(id, notice.encode()); // fails if the viewer does not listen
        }
    }

    /// Whether the viewer reads what it is told: who asks without end, and does not, is not answered.
    fn has_room(&self, cx: &mut SessionContext<'_, Self>) -> bool {
        self.feedback.is_some_and(|id| cx.connection().stream_writable(id).unwrap_or(0) >= 1024)
    }

    fn on_request(&mut self, request: Request, cx: &mut SessionContext<'_, Self>) {
        match request {
            Request::Play { mode, deadline, parity } => self.play(mode, deadline, parity, cx),
            Request::Ping(theirs) if self.has_room(cx) => {
                self.notify(Notice::Pong(theirs, micros(cx.now())), cx);
            }
            Request::Ping(_) => {}
            request => self.obey(request, cx),
        }
    }

    fn play(&mut self, mode: Mode, deadline: u64, parity: u64, cx: &mut SessionContext<'_, Self>) {
        if self.viewer.is_some() {
            return refuse("the video was asked for twice", cx);
        }
        let deadline = Duration::from_millis(deadline.clamp(1, MAX_DEADLINE));
        let sender = match mode {
            Mode::Stream => {
                match cx.open_stream(Direction::Unidirectional, |_| ServerStream::Video) {
                    Ok(id) => Sender::Stream(StreamSender::new(id)),
                    Err(error) => return refuse(&format!("no stream can be opened: {error}"), cx),
                }
            }
            Mode::Frames => Sender::Frames(FrameSender::new(deadline)),
            Mode::Datagrams if cx.max_datagram_size().is_none() => {
                return refuse("a viewer that takes no datagrams has asked for them", cx);
            }
            Mode::Datagrams => {
                Sender::Datagrams(DatagramSender::new(deadline, parity.min(MAX_PARITY)))
            }
        };
        let cursor = self.broadcast.borrow_mut().join();
        let selection = if cursor == 0 { Selection::default() } else { Selection::from_next_key() };
        let tally = Tally::default();
        let viewer = Viewer { selection, sender, cursor, begun: false, ended: None, tally };
        self.viewer = Some(viewer);
        let milliseconds = deadline.as_millis();
        self.say(&format!(
            "watches from frame {cursor} on; mode {mode}, deadline {milliseconds} ms, parity {parity} %"
        ));
        self.serve(cx);
    }

    /// Does what the viewer asks for, and says so.
    fn obey(&mut self, request: Request, cx: &mut SessionContext<'_, Self>) {
        let Some(viewer) = &mut self.viewer else {
            return refuse("a viewer must begin with asking for the video", cx);
        };
        viewer.tally.requests += 1;
        viewer.selection.apply(request, cx.now());
        let selection = viewer.selection;
        let (bitrate, skip) = (selection.bitrate(), selection.skip());
        // Not among what is said: a viewer can ask without end.
        log::debug!("viewer {}: asks: {request:?}", self.number);
        if self.has_room(cx) {
            self.notify(Notice::State { bitrate, skip, paused: selection.is_paused() }, cx);
        }
    }

    /// Sends what is due, and sets the alarm for what will be.
    fn serve(&mut self, cx: &mut SessionContext<'_, Self>) {
        let broadcast = Rc::clone(&self.broadcast);
        broadcast.borrow_mut().advance(cx.now());
        while let Some(frame) = self.next_frame() {
            self.begin(cx);
            self.send(&frame, cx);
        }
        let is_over = self.shutting_down || broadcast.borrow().is_over();
        let wake = broadcast.borrow().next_wake(cx.now());
        if is_over { self.end(cx) } else { cx.set_alarm(wake) }
    }

    fn next_frame(&mut self) -> Option<Rc<Frame>> {
        let viewer = self.viewer.as_mut().filter(|viewer| viewer.ended.is_none())?;
        let frame = self.broadcast.borrow().frame_from(viewer.cursor)?;
        viewer.tally.dropped += frame.number - viewer.cursor;
        if frame.number > viewer.cursor {
            viewer.selection.on_dropped(super::FrameKind::Reference);
        }
        viewer.cursor = frame.number + 1;
        Some(frame)
    }

    /// Tells the viewer what is coming, before it comes.
    fn begin(&mut self, cx: &mut SessionContext<'_, Self>) {
        let broadcast = self.broadcast.borrow();
        let interval = span_micros(broadcast.config().interval);
        let Some(codec) = broadcast.codec() else { return };
        drop(broadcast);
        if let Some(viewer) = self.viewer.as_mut()
            && !std::mem::replace(&mut viewer.begun, true)
        {
            self.notify(Notice::Begun { codec, interval }, cx);
        }
    }

    fn send(&mut self, frame: &Rc<Frame>, cx: &mut SessionContext<'_, Self>) {
        let Some(viewer) = &mut self.viewer else { return };
        if !viewer.selection.admits(frame.unit.kind, frame.unit.bytes.len(), cx.now()) {
            viewer.tally.skipped += 1;
            return;
        }
        let (taken, given_up) = viewer.sender.offer(frame, cx);
        viewer.tally.expired += given_up;
        if !taken {
            viewer.tally.dropped += 1;
            // The frames that were given up before it may be what the next ones need.
            viewer.selection.on_dropped(super::FrameKind::Reference);
        }
    }

    /// There may be room for what waits.
    fn pump(&mut self, cx: &mut SessionContext<'_, Self>) {
        if let Some(viewer) = &mut self.viewer {
            viewer.tally.expired += viewer.sender.pump(cx);
        }
        let is_over = self.shutting_down || self.broadcast.borrow().is_over();
        if is_over {
            self.serve(cx); // which ends when nothing waits
        }
    }

    /// A frame on a stream of its own has arrived, or will not.
    fn on_frame_over(&mut self, bytes: usize, cx: &mut SessionContext<'_, Self>) {
        if let Some(viewer) = &mut self.viewer {
            viewer.sender.on_frame_over(bytes);
        }
        self.pump(cx);
    }

    /// The video is over: hands over what is left, says so, and gives the viewer time to leave.
    fn end(&mut self, cx: &mut SessionContext<'_, Self>) {
        let frames = self.broadcast.borrow().next_number();
        let Some(viewer) = &mut self.viewer else {
            return cx.close(codes::DONE, "the video is over");
        };
        if let Some(ended) = viewer.ended {
            if cx.now() >= ended + LINGER {
                cx.close(codes::DONE, "the video is over");
            }
            return;
        }
        if viewer.sender.finish(cx) {
            let sent = viewer.sender.sent();
            viewer.ended = Some(cx.now());
            self.notify(Notice::End { sent, frames }, cx);
            cx.set_alarm(Some(cx.now() + LINGER));
        } else {
            cx.set_alarm(Some(cx.now() + LAST_FRAMES)); // what waits may be too late then
        }
    }
}

fn refuse(why: &str, cx: &mut SessionContext<'_, LiveServer>) {
    cx.close(codes::BAD_MESSAGE, why);
}

impl Session for LiveServer {
    type Stream = ServerStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<ServerStream, Refuse> {
        if id.direction() == Direction::Unidirectional || self.feedback.is_some() {
            return Err(Refuse(codes::NO_SUCH_STREAM));
        }
        self.feedback = Some(id);
        Ok(ServerStream::Feedback)
    }

    fn on_handshake_complete(&mut self, cx: &mut SessionContext<'_, Self>) {
        cx.set_alarm(Some(cx.now() + FIRST_WORD));
    }

    fn on_alarm(&mut self, cx: &mut SessionContext<'_, Self>) {
        if self.viewer.is_none() {
            // The program ends when all have left: who never begins must not keep it.
            return refuse("the video was not asked for", cx);
        }
        self.serve(cx);
    }

    fn on_datagram_acked(&mut self, _id: DatagramId, cx: &mut SessionContext<'_, Self>) {
        self.pump(cx);
    }

    fn on_datagram_lost(&mut self, _id: DatagramId, cx: &mut SessionContext<'_, Self>) {
        if let Some(viewer) = &mut self.viewer {
            viewer.sender.on_lost();
        }
        self.pump(cx);
    }

    fn on_datagram_dropped(&mut self, id: DatagramId, cx: &mut SessionContext<'_, Self>) {
        self.on_datagram_lost(id, cx);
    }

    fn on_shutdown(&mut self, cx: &mut SessionContext<'_, Self>) {
        self.shutting_down = true;
        self.serve(cx);
    }

    fn on_connection_closed(&mut self, why: &CloseReason) {
        if let Some(viewer) = &self.viewer {
            self.broadcast.borrow_mut().leave();
            let Tally { skipped, dropped, expired, requests } = viewer.tally;
            let sent = viewer.sender.sent();
            self.say(&format!(
                "{sent} frames sent, of which {expired} were given up late; {skipped} skipped, \
                 {dropped} dropped because too much waited; {requests} requests"
            ));
        }
        self.say(&format!("closed: {why}"));
    }
}

impl Stream<LiveServer> for ServerStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, LiveServer>) {
        while let Some(data) = cx.read() {
            let (session, cx) = cx.split();
            session.messages.push(&data);
            loop {
                match session.messages.next_message() {
                    Ok(Some(request)) => session.on_request(request, cx),
                    Ok(None) => break,
                    Err(why) => return refuse(&why, cx),
                }
            }
        }
        if cx.is_read_finished() {
            let _ = cx.finish(); // the viewer asks for nothing more, and still watches
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, LiveServer>) {
        if matches!(self, Self::Video) {
            let (session, cx) = cx.split();
            session.pump(cx);
        }
    }

    fn on_all_data_acked(&mut self, cx: &mut StreamContext<'_, LiveServer>) {
        if let Self::Frame { bytes } = self {
            let (session, cx) = cx.split();
            session.on_frame_over(std::mem::take(bytes), cx);
        }
    }

    fn on_deadline_missed(&mut self, cx: &mut StreamContext<'_, LiveServer>) {
        let (session, cx) = cx.split();
        if let Some(viewer) = &mut session.viewer {
            viewer.tally.expired += 1;
            viewer.sender.on_lost();
        }
        if let Self::Frame { bytes } = self {
            session.on_frame_over(std::mem::take(bytes), cx);
        }
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, LiveServer>) {
        if matches!(self, Self::Video) {
            cx.session().say(&format!("wants no more video: {code}"));
            cx.session_context().close(codes::DONE, "the viewer wants no more video");
        }
    }

    fn on_close(&mut self, session: &mut LiveServer) {
        if let (&mut Self::Frame { bytes }, Some(viewer)) = (self, &mut session.viewer) {
            viewer.sender.on_frame_over(bytes);
        }
    }
}

/// How long a viewer may take to ask for the video.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// The longest deadline that a viewer may ask for, in milliseconds.
const MAX_DEADLINE: u64 = 60_000;
/// How often it is looked whether the last frames have left.
const LAST_FRAMES: Duration = Duration::from_millis(20);
/// How long a viewer may stay when the video is over.
const LINGER: Duration = Duration::from_secs(10);
