//! Where packets come from: readers for sockets and for tests, and the event loop that runs them.
//!
//! [`BatchReader`] is the one for production; [`PlainReader`] reads one datagram at a time,
//! [`MemoryReader`] none from a socket at all. The [`EventLoop`] waits for sockets and alarms and
//! calls an [`EventLoopVisitor`](protoquic_core::EventLoopVisitor): a dispatcher, or a client's
//! session. [`VirtualTime`] stands in for its clock in tests.

mod arrival;
mod batch_reader;
mod busy_poll;
mod clock;
mod event_loop;
mod forks;
mod memory_reader;
mod plain_reader;
mod random;
mod socket;
mod socket_group;
mod steering;
mod timer_wheel;
mod virtual_time;
#[cfg_attr(unix, path = "wait_unix.rs")]
#[cfg_attr(not(unix), path = "wait_other.rs")]
mod wait;

pub use batch_reader::BatchReader;
pub use busy_poll::BusyPoll;
pub use clock::{SystemClock, SystemHelper};
pub use event_loop::{EventLoop, Waker};
pub use memory_reader::MemoryReader;
pub use plain_reader::PlainReader;
pub use random::{BufferedRandom, buffered_ring_provider};
pub use socket::{SocketOptions, bind, connectable_from};
pub use socket_group::{GroupSteering, SocketGroup, bind_group};
pub use timer_wheel::TimerWheel;
pub use virtual_time::{VirtualClock, VirtualHelper, VirtualTime};
