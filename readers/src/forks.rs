//! Tells whether the process is another than before: whether it has forked. It must not know who asks.

/// A number that is another one in each process that this one comes to be by forks; `None` if that
/// cannot be said.
pub(crate) fn generation() -> Option<u64> {
    imp::generation()
}

#[cfg(unix)]
mod imp {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static GENERATION: AtomicU64 = AtomicU64::new(1);

    extern "C" fn on_fork() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn generation() -> Option<u64> {
        static NOTICED: OnceLock<bool> = OnceLock::new();
        let noticed = *NOTICED.get_or_init(notice);
        noticed.then(|| GENERATION.load(Ordering::Relaxed))
    }

    /// From now on the child of a fork has another generation.
    #[expect(
        unsafe_code,
        reason = "no library only does this; asking for the process's number is a call"
    )]
    fn notice() -> bool {
        // SAFETY: the handler is a function that lives as long as the program, and all it does is to add
        // to an atomic number, which a child may do whatever the parent's threads were doing.
        let result = unsafe { libc::pthread_atfork(None, None, Some(on_fork)) };
        result == 0
    }
}

#[cfg(not(unix))]
mod imp {
    /// There are no forks.
    pub(super) fn generation() -> Option<u64> {
        Some(1)
    }
}
