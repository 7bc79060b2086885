//! The server: a thread accepts connections, one for each accepts its streams, and one for each of
//! those does what its header says.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread;

use protoquic::blocking::{ApplicationError, Connection, Direction, Listener, Stream};

use super::{Header, Mode, Pattern};

/// Serves until the listener fails. `log` is given a line for what happens.
pub fn serve(listener: &Listener, log: &Arc<dyn Fn(&str) + Send + Sync>) -> io::Result<()> {
    let pattern = Pattern::default();
    loop {
        let connection = Arc::new(listener.accept()?);
        let (log, pattern) = (Arc::clone(log), pattern.clone());
        spawn(move || {
            let peer = connection.peer_address();
            let peer = peer.map_or_else(|_| "?".to_owned(), |peer| peer.to_string());
            log(&format!("{peer}: connected"));
            let why = serve_connection(&connection, &pattern, &log);
            log(&format!("{peer}: {why}"));
        })?;
    }
}

/// Returns why there are no more streams.
fn serve_connection(
    connection: &Arc<Connection>,
    pattern: &Pattern,
    log: &Arc<dyn Fn(&str) + Send + Sync>,
) -> io::Error {
    loop {
        let stream = match connection.accept() {
            Ok(stream) => stream,
            Err(error) => return error.into(),
        };
        let (connection, pattern, log) = (Arc::clone(connection), pattern.clone(), Arc::clone(log));
        let spawned = spawn(move || {
            if let Err(error) = serve_stream(&connection, &stream, &pattern) {
                log(&format!("a stream failed: {error}"));
                let _ = stream.reset(FAILED); // it may be over, or one without a way back
            }
        });
        if let Err(error) = spawned {
            return error;
        }
    }
}

fn serve_stream(connection: &Connection, stream: &Stream, pattern: &Pattern) -> io::Result<()> {
    let Header { mode, bytes } = Header::read(&mut { stream })?;
    match mode {
        Mode::Echo => {
            io::copy(&mut { stream }, &mut { stream })?;
            stream.finish()?;
        }
        Mode::OneWay => {
            pattern.verify(&mut { stream }, bytes, BUFFER)?;
            // It has no way back: the answer goes on a stream of ours.
            let mut answer = connection.open(Direction::Unidirectional)?;
            answer.write_all(&bytes.to_be_bytes())?;
            answer.finish()?;
        }
        Mode::BothWays => thread::scope(|scope| {
            let writer = scope.spawn(|| {
                pattern.write(&mut { stream }, bytes, BUFFER)?;
                Ok::<_, io::Error>(stream.finish()?)
            });
            pattern.verify(&mut { stream }, bytes, BUFFER)?;
            writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        })?,
    }
    Ok(())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}

/// How much is read or written at a time, in bytes.
const BUFFER: usize = 64 * 1024;
/// The stack of a thread, in bytes: there are many.
const STACK: usize = 256 * 1024;
/// The code of streams on which something went wrong.
const FAILED: ApplicationError = ApplicationError(1);
