//! [`Turns`]: which of many connections are to run in this turn and which wait for the writer, each
//! listed once. It must not know what a connection is.

/// The lists of an owner of connections, which have keys of type `K`.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    touched: Vec<K>,
    blocked: Vec<K>,
}

/// Which lists a connection is on. The owner keeps it beside the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    touched: bool,
    blocked: bool,
}

impl Listed {
    /// The connection runs now.
    pub(crate) fn on_run(&mut self) {
        self.touched = false;
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { touched: Vec::new(), blocked: Vec::new() }
    }
}

impl<K> Turns<K> {
    /// The connection runs at the end of this turn.
    pub(crate) fn touch(&mut self, key: K, listed: &mut Listed) {
        if !std::mem::replace(&mut listed.touched, true) {
            self.touched.push(key);
        }
    }

    /// The connection runs when the writer can be written again.
    pub(crate) fn block(&mut self, key: K, listed: &mut Listed) {
        if !std::mem::replace(&mut listed.blocked, true) {
            self.blocked.push(key);
        }
    }

    /// Those that wait for the writer, which is ready now: each is to be
    /// [unblocked](Self::unblock).
    pub(crate) fn take_blocked(&mut self) -> Vec<K> {
        std::mem::take(&mut self.blocked)
    }

    /// The connection waits no longer and runs at the end of this turn.
    pub(crate) fn unblock(&mut self, key: K, listed: &mut Listed) {
        listed.blocked = false;
        self.touch(key, listed);
    }

    /// Those that run in this turn. Give the list back to [`end`](Self::end).
    pub(crate) fn begin(&mut self) -> Vec<K> {
        std::mem::take(&mut self.touched)
    }

    /// What was touched meanwhile waits for the next turn; the allocation is kept.
    pub(crate) fn end(&mut self, mut ran: Vec<K>) {
        ran.clear();
        ran.append(&mut self.touched);
        self.touched = ran;
    }

    /// Whether any connection is to run.
    pub(crate) fn has_work(&self) -> bool {
        !self.touched.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_listed_once_however_often_it_finds_the_writer_full() {
        let (mut turns, mut listed) = (Turns::default(), Listed::default());
        for _ in 0..1000 {
            turns.touch(7, &mut listed);
            turns.touch(7, &mut listed);
            let ran = turns.begin();
            assert_eq!(ran, [7]);
            listed.on_run();
            turns.block(7, &mut listed);
            turns.end(ran);
        }
        assert!(!turns.has_work());
        assert_eq!(turns.take_blocked(), [7]);
        turns.unblock(7, &mut listed);
        assert!(turns.has_work());
    }
}
