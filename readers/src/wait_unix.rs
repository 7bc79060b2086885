//! [`Wait`]: sleeps until one of a few sockets is ready, a time has passed or another thread calls,
//! by `poll`: one system call, with a timeout in nanoseconds where the system takes them. An event loop
//! has so few sockets that registering them with the kernel would cost more than naming them each
//! time. This file must not know who reads the sockets.

use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smallvec::SmallVec;

/// Waits for sockets.
pub(crate) struct Wait {
    sockets: Vec<Arc<UdpSocket>>,
    notified: UnixStream,
    notifier: Arc<Notifier>,
}

/// Ends the wait of another thread, or its next one.
#[derive(Debug)]
pub(crate) struct Notifier(UnixStream);

impl Notifier {
    pub(crate) fn notify(&self) -> io::Result<()> {
        match (&self.0).write(&[1]) {
            // It is so full of calls that one more makes no difference.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

impl Wait {
    pub(crate) fn new() -> io::Result<Self> {
        let (notified, notifier) = UnixStream::pair()?;
        notified.set_nonblocking(true)?;
        notifier.set_nonblocking(true)?;
        Ok(Self { sockets: Vec::new(), notified, notifier: Arc::new(Notifier(notifier)) })
    }

    pub(crate) fn notifier(&self) -> Arc<Notifier> {
        self.notifier.clone()
    }

    /// Waits for this socket too.
    #[expect(clippy::unnecessary_wraps, reason = "where sockets are registered, that can fail")]
    pub(crate) fn add(&mut self, socket: Arc<UdpSocket>) -> io::Result<()> {
        self.sockets.push(socket);
        Ok(())
    }

    /// Waits, at most so long. `ready` is told the place of each socket that is, in the order in
    /// which they were added, and whether it can be read and written.
    pub(crate) fn wait(
        &mut self,
        writes: bool,
        timeout: Option<Duration>,
        mut ready: impl FnMut(usize, bool, bool),
    ) -> io::Result<()> {
        let interest = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds: SmallVec<[PollFd<'_>; 4]> =
            self.sockets.iter().map(|socket| PollFd::new(&**socket, interest)).collect();
        fds.push(PollFd::new(&self.notified, PollFlags::IN));
        // A time that cannot be told is as good as for ever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) | Ok(0) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let failed = PollFlags::ERR | PollFlags::HUP;
        for (at, fd) in fds[..self.sockets.len()].iter().enumerate() {
            let is = |flag| fd.revents().intersects(flag | failed);
            ready(at, is(PollFlags::IN), writes && is(PollFlags::OUT));
        }
        let called = fds.last().is_some_and(|fd| !fd.revents().is_empty());
        if called {
            let _ = (&self.notified).read(&mut [0; 64]); // what is left ends the next wait
        }
        Ok(())
    }
}
