//! [`Turns`]: which of many connections are to run in this turn and which wait for the writer, each
//! listed once, and what is sent before the turn ends; and [`InTurns`], how their owner runs them. It
//! must not know what a connection is.

use protoquic_core::{AlarmFactory, PacketWriter, Time};

/// An owner of connections that share a writer and run in turns.
pub(crate) trait InTurns {
    /// What names a connection.
    type Key: Copy;

    fn turns(&mut self) -> &mut Turns<Self::Key>;

    fn writer(&mut self) -> &mut dyn PacketWriter;

    /// The lists, and which of them a connection is on; `None` if it lives no more.
    fn listed(&mut self, key: Self::Key) -> Option<(&mut Turns<Self::Key>, &mut Listed)>;

    /// Runs a connection, if it still lives.
    fn run(&mut self, now: Time, key: Self::Key, alarms: &mut dyn AlarmFactory);

    /// The connection runs at the end of this turn.
    fn touch(&mut self, key: Self::Key) {
        if let Some((turns, listed)) = self.listed(key) {
            turns.touch(key, listed);
        }
    }

    /// The connection's alarm went off: it runs at the end of this turn, and hears of it then.
    fn touch_for_alarm(&mut self, key: Self::Key) {
        if let Some((turns, listed)) = self.listed(key) {
            listed.add(ALARM);
            turns.touch(key, listed);
        }
    }

    /// The writer can be written again: those that wait for it run at the end of this turn.
    fn unblock_all(&mut self) {
        self.writer().set_writable();
        let _ = self.writer().flush();
        for key in std::mem::take(&mut self.turns().blocked) {
            if let Some((turns, listed)) = self.listed(key) {
                listed.remove(BLOCKED);
                turns.touch(key, listed);
            }
        }
    }

    /// Runs those that were touched, and sends what they have written.
    fn run_touched(&mut self, now: Time, alarms: &mut dyn AlarmFactory) {
        let touched = std::mem::take(&mut self.turns().touched);
        for key in &touched {
            self.run(now, *key, alarms);
        }
        self.turns().end(touched);
        let _ = self.writer().flush();
    }

    /// A connection has answered what completed its handshake, or what began it: it is sent at once, or
    /// together with the next ones if those follow closely.
    fn on_answer(&mut self, together: u32) {
        if self.turns().ahead.on_answer(together) {
            let _ = self.writer().flush(); // a blocked writer keeps it
        }
    }

    /// A datagram is about to be delivered: what is written waits for a few of them at most.
    fn on_datagram(&mut self) {
        if self.turns().ahead.on_datagram() {
            let _ = self.writer().flush();
        }
    }
}

/// Answers that are written in the middle of a turn. What is left to do is done at the turn's end, as
/// for all. A handshake takes so long that the peers of a whole batch would otherwise idle until the
/// last connection of the batch has made it; but each send takes as long as a tenth of a handshake, so
/// that a few for one peer go together.
#[derive(Debug, Default)]
struct Ahead {
    /// Written, not sent.
    answers: u32,
    /// Datagrams that came since.
    datagrams: u32,
}

impl Ahead {
    /// Whether to send what is written, now that there is one more, if so many go together.
    fn on_answer(&mut self, together: u32) -> bool {
        self.answers += 1;
        self.answers >= together && self.end()
    }

    /// Whether to send what is written, before a datagram takes its time.
    fn on_datagram(&mut self) -> bool {
        self.datagrams += u32::from(self.answers > 0);
        self.datagrams >= MAX_DATAGRAMS_AHEAD && self.end()
    }

    fn end(&mut self) -> bool {
        *self = Self::default();
        true
    }
}

/// How many answers that complete handshakes go together.
pub(crate) const ANSWERS_TOGETHER: u32 = 4;
/// After so many datagrams, answers wait for no more.
const MAX_DATAGRAMS_AHEAD: u32 = 8;

/// The lists of an owner of connections, which have keys of type `K`.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    touched: Vec<K>,
    blocked: Vec<K>,
    ahead: Ahead,
}

/// Which lists a connection is on, and why. The owner keeps it beside the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed(u8);

const TOUCHED: u8 = 1;
const BLOCKED: u8 = 2;
/// Its alarm went off.
const ALARM: u8 = 4;

impl Listed {
    /// The connection runs now. Whether its alarm went off before.
    pub(crate) fn on_run(&mut self) -> bool {
        self.remove(TOUCHED);
        self.remove(ALARM)
    }

    /// Returns whether it is new.
    fn add(&mut self, list: u8) -> bool {
        let was = self.0;
        self.0 |= list;
        self.0 != was
    }

    /// Returns whether it was there.
    fn remove(&mut self, list: u8) -> bool {
        let was = self.0;
        self.0 &= !list;
        self.0 != was
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { touched: Vec::new(), blocked: Vec::new(), ahead: Ahead::default() }
    }
}

impl<K> Turns<K> {
    /// The connection runs at the end of this turn.
    pub(crate) fn touch(&mut self, key: K, listed: &mut Listed) {
        if listed.add(TOUCHED) {
            self.touched.push(key);
        }
    }

    /// The connection runs when the writer can be written again.
    pub(crate) fn block(&mut self, key: K, listed: &mut Listed) {
        if listed.add(BLOCKED) {
            self.blocked.push(key);
        }
    }

    /// What was touched meanwhile waits for the next turn; the allocation is kept.
    fn end(&mut self, mut ran: Vec<K>) {
        ran.clear();
        ran.append(&mut self.touched);
        self.touched = ran;
        self.ahead.end();
    }

    /// Whether any connection is to run.
    pub(crate) fn has_work(&self) -> bool {
        !self.touched.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use protoquic_core::{Alarm, AlarmOwner, OutgoingPacket, WriteResult};

    use super::*;

    /// A connection that finds the writer full whenever it runs.
    #[derive(Default)]
    struct Owner {
        turns: Turns<usize>,
        listed: Listed,
        ran: usize,
        writer: NoWriter,
    }

    #[derive(Default)]
    struct NoWriter;

    impl PacketWriter for NoWriter {
        fn write_packet(&mut self, _packet: &OutgoingPacket<'_>) -> WriteResult {
            WriteResult::Ok
        }
    }

    impl InTurns for Owner {
        type Key = usize;

        fn turns(&mut self) -> &mut Turns<usize> {
            &mut self.turns
        }

        fn writer(&mut self) -> &mut dyn PacketWriter {
            &mut self.writer
        }

        fn listed(&mut self, key: usize) -> Option<(&mut Turns<usize>, &mut Listed)> {
            (key == 7).then_some((&mut self.turns, &mut self.listed))
        }

        fn run(&mut self, _now: Time, key: usize, _alarms: &mut dyn AlarmFactory) {
            self.ran += 1;
            self.listed.on_run();
            self.turns.block(key, &mut self.listed);
        }
    }

    /// Has no alarms.
    struct NoAlarms;

    impl AlarmFactory for NoAlarms {
        fn create_alarm(&mut self, _owner: AlarmOwner) -> Alarm {
            unreachable!("nobody asks for one")
        }

        fn set_alarm(&mut self, _alarm: Alarm, _deadline: Option<Time>) {}

        fn remove_alarm(&mut self, _alarm: Alarm) {}

        fn next_deadline(&self) -> Option<Time> {
            None
        }

        fn pop_expired(&mut self, _now: Time) -> Option<AlarmOwner> {
            None
        }
    }

    #[test]
    fn a_connection_is_listed_once_however_often_it_finds_the_writer_full() {
        let mut owner = Owner::default();
        for turn in 0..1000 {
            owner.touch(7);
            owner.touch(7);
            owner.touch(8); // lives no more
            owner.run_touched(Time::ZERO, &mut NoAlarms);
            assert_eq!(owner.ran, turn + 1);
            assert!(!owner.turns.has_work() && owner.turns.blocked == [7]);
        }
        owner.unblock_all();
        assert!(owner.turns.has_work() && owner.turns.blocked.is_empty());
    }

    #[test]
    fn a_few_answers_go_together() {
        let mut ahead = Ahead::default();
        let sent: Vec<_> = (0..8).map(|_| ahead.on_answer(4)).collect();
        assert_eq!(sent, [false, false, false, true, false, false, false, true]);
        assert!(ahead.on_answer(1), "this one is for somebody else");
    }

    #[test]
    fn an_answer_waits_for_others_only_as_long_as_they_come() {
        let mut ahead = Ahead::default();
        assert!(!(0..100).any(|_| ahead.on_datagram()), "nothing waits");
        assert!(!ahead.on_answer(4));
        let sent = (1..=100).find(|_| ahead.on_datagram());
        assert_eq!(sent, Some(MAX_DATAGRAMS_AHEAD));
        assert!(!(0..100).any(|_| ahead.on_datagram()), "it is sent");
    }
}
