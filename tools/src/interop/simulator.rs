//! [`wait_for_simulator`]: the runner's network simulator opens a TCP port when it is ready to
//! carry packets; a client that comes earlier is lost.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Tries to connect to `host:port` until it works, for half a minute at most.
pub fn wait_for_simulator(address: &str) -> Result<(), String> {
    for _ in 0..ATTEMPTS {
        let resolved = address.to_socket_addrs().ok().and_then(|mut found| found.next());
        if resolved.is_some_and(|address| TcpStream::connect_timeout(&address, PAUSE).is_ok()) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(format!("no simulator at {address} within half a minute"))
}

const ATTEMPTS: u32 = 120;
const PAUSE: Duration = Duration::from_millis(250);
