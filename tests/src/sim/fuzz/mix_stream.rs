//! [`MixStream`]: a stream of the mix, which first says what it is for and then does that. This file
//! must not know when streams are opened.

use std::time::Duration;

use bytes::Bytes;
use protoquic::{ApplicationError, Direction, Role, Stream, StreamContext, StreamId};

use super::session::{Mix, check_holdings};
use super::stream::{RELIABLE, RESET, Rx, Tx, UNHEARD};
use super::task::{NEVER, Task};
use super::world::SERVER_CLOSES;

/// A stream of either end.
#[derive(Debug)]
pub(super) struct MixStream {
    task: Option<Task>,
    tx: Option<Tx>,
    rx: Option<Rx>,
    closed: bool,
}

impl MixStream {
    /// Of the other end.
    pub(super) fn incoming(id: StreamId, role: Role) -> Self {
        let answers = id.direction() == Direction::Bidirectional;
        Self {
            task: None,
            // What a client says to a server's stream is nothing.
            tx: (answers && role.is_client()).then(Tx::empty),
            rx: Some(Rx::with_header()),
            closed: false,
        }
    }

    /// Of this end: a client's question, or what a server pushes.
    pub(super) fn opened(
        task: Task,
        role: Role,
        direction: Direction,
        ours: u64,
        theirs: u64,
    ) -> Self {
        let header = Bytes::from(task.encode());
        let answered = direction == Direction::Bidirectional;
        let (tx, rx) = match role {
            Role::Client => {
                let down = if task.pushed { 0 } else { task.down };
                (
                    Tx::new(header, ours, task.up, task.up_reset, task.up_stop)
                        .reliably(task.reliable),
                    Rx::new(theirs, down, task.down_reset, task.down_stop),
                )
            }
            Role::Server => (
                Tx::new(header, ours, task.down, task.down_reset, task.down_stop)
                    .reliably(task.reliable),
                Rx::new(theirs, 0, NEVER, NEVER),
            ),
        };
        Self { task: Some(task), tx: Some(tx), rx: answered.then_some(rx), closed: false }
    }

    /// The header is there: from now on it is known what comes, and what is to be answered.
    fn on_task(&mut self, task: Task, cx: &mut StreamContext<'_, Mix>) {
        self.task = Some(task);
        let id = cx.id();
        let (session, inner) = cx.split();
        let Some(rx) = &mut self.rx else { return };
        if session.role.is_client() {
            assert_eq!(session.client, Some(task.client), "another client's stream");
            let salt = session.salt(id, Role::Server);
            rx.expect(salt, task.down, task.down_reset, task.down_stop);
            session.awaited -= 1;
            return;
        }
        session.belongs_to(task.client);
        rx.expect(session.salt(id, Role::Client), task.up, task.up_reset, task.up_stop);
        let answer = session.salt(id, Role::Server);
        if !task.uni {
            let down = if task.pushed { 0 } else { task.down };
            let header = Bytes::new();
            let tx = Tx::new(header, answer, down, task.down_reset, task.down_stop);
            self.tx = Some(tx.reliably(task.reliable));
        }
        if task.pushed {
            session.to_open.push_back(task);
            session.open_streams(inner);
        }
    }

    fn on_over(&mut self, cx: &mut StreamContext<'_, Mix>) {
        let Some(flow) = self.rx.as_ref().and_then(|rx| rx.over) else { return };
        let (session, inner) = cx.split();
        session.with_ledger(|ledger| ledger.note(flow));
        let closes = self.task.is_some_and(|task| task.closes);
        if closes && session.role.is_server() {
            inner.close(SERVER_CLOSES, "as planned");
        }
    }
}

impl Stream<Mix> for MixStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, Mix>) {
        assert!(!self.closed && !cx.session().closed, "{} was called after its end", cx.id());
        check_holdings(cx.connection());
        if let Some(task) = self.rx.as_mut().and_then(|rx| rx.read_header(cx)) {
            self.on_task(task, cx);
        }
        let appetite = cx.session().appetite().unwrap_or(usize::MAX);
        let id = cx.id();
        if let Some(rx) = self.rx.as_mut().filter(|rx| rx.header.is_none() && rx.over.is_none()) {
            let eaten = rx.pump(cx, appetite);
            let over = rx.over.is_some();
            let (session, inner) = cx.split();
            if eaten > 0 || over {
                let now = inner.now();
                session.with_ledger(|ledger| ledger.note_progress(now, eaten));
            }
            if eaten >= appetite && !over {
                session.hungry.insert(id);
                let now = inner.now();
                session.next_meal.get_or_insert(now + MEAL);
                session.set_alarm(inner);
            }
            if over {
                self.on_over(cx);
            }
        }
        self.on_can_write(cx);
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, Mix>) {
        assert!(!self.closed && !cx.session().closed, "{} was called after its end", cx.id());
        if let Some(tx) = &mut self.tx {
            tx.pump(cx);
        }
    }

    fn on_reset(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, Mix>) {
        assert!(!self.closed, "{} was reset after its end", cx.id());
        let Some(rx) = &mut self.rx else { panic!("{} has nothing to reset", cx.id()) };
        let unheard = rx.header.is_some();
        rx.on_reset(code);
        if unheard {
            assert!(
                cx.session().role.is_server() || code == RESET,
                "{} was reset with {code}",
                cx.id()
            );
            if cx.session().role.is_client() {
                cx.session().awaited -= 1;
            }
            assert!(code != RELIABLE, "{} was reset before its header came", cx.id());
            // What was not understood is not answered.
            let _ = cx.reset(UNHEARD);
        }
        self.on_over(cx);
    }

    fn on_stop_sending(&mut self, code: ApplicationError, cx: &mut StreamContext<'_, Mix>) {
        match &mut self.tx {
            Some(tx) => tx.on_stopped(code),
            // The client wants nothing although its question was not heard yet.
            None => assert!(cx.session().role.is_server(), "{} was stopped", cx.id()),
        }
    }

    fn on_close(&mut self, session: &mut Mix) {
        assert!(!std::mem::replace(&mut self.closed, true), "a stream ended twice");
        session.open -= 1;
        session.look_whether_done();
    }
}

/// How often a slow reader reads.
const MEAL: Duration = Duration::from_millis(10);
