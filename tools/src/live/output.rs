//! [`Output`]: where a viewer's frames are written. A thread writes, so that a player that takes its
//! time does not stop the network. This file must not know what a frame is worth, but that decoding
//! starts at key frames.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;

use super::nal::FrameKind;

/// Where frames go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output. A reader that is too slow misses frames, up to a key frame each time.
    Stdout,
    /// This file, which gets all of them.
    File(PathBuf),
    /// They are not kept.
    Nowhere,
}

/// Writes frames.
#[derive(Debug)]
pub struct Output {
    frames: Option<SyncSender<Bytes>>,
    writer: Option<JoinHandle<io::Result<()>>>,
    name: String,
    /// Frames may be dropped for who reads too slowly.
    may_drop: bool,
    awaits_key: bool,
    dropped: u64,
}

impl Output {
    /// Opens it. The error is a line for a person.
    pub fn open(destination: &Destination) -> Result<Self, String> {
        let (sink, name): (Box<dyn Write + Send>, _) = match destination {
            Destination::Nowhere => return Ok(Self::new(None, None, String::new(), false)),
            Destination::Stdout => (Box::new(io::stdout()), "standard output".to_owned()),
            Destination::File(path) => {
                let name = path.display().to_string();
                let file = File::create(path);
                (Box::new(file.map_err(|error| format!("cannot write {name}: {error}"))?), name)
            }
        };
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let writer = std::thread::spawn(move || write(sink, &receiver));
        let may_drop = *destination == Destination::Stdout;
        Ok(Self::new(Some(sender), Some(writer), name, may_drop))
    }

    fn new(
        frames: Option<SyncSender<Bytes>>,
        writer: Option<JoinHandle<io::Result<()>>>,
        name: String,
        may_drop: bool,
    ) -> Self {
        Self { frames, writer, name, may_drop, awaits_key: false, dropped: 0 }
    }

    /// Takes a frame. Returns whether more are wanted: a player that has ended wants none.
    pub fn show(&mut self, frame: Bytes, kind: FrameKind) -> bool {
        let Some(frames) = &self.frames else { return true };
        if !self.may_drop {
            return frames.send(frame).is_ok();
        }
        if self.awaits_key && kind != FrameKind::Key {
            self.dropped += 1;
            return true;
        }
        let sent = frames.try_send(frame);
        self.awaits_key = matches!(sent, Err(TrySendError::Full(_)));
        self.dropped += u64::from(self.awaits_key);
        !matches!(sent, Err(TrySendError::Disconnected(_)))
    }

    /// Writes what is left. Returns how many frames the reader was too slow for; the error is a line
    /// for a person.
    pub fn close(&mut self) -> Result<u64, String> {
        self.frames = None; // which is how the writer is told
        let written = self.writer.take().map(JoinHandle::join);
        match written {
            Some(Ok(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("cannot write {}: {error}", self.name))
            }
            Some(Err(_)) => Err(format!("writing {} failed", self.name)),
            _ => Ok(self.dropped),
        }
    }
}

fn write(mut sink: impl Write, frames: &Receiver<Bytes>) -> io::Result<()> {
    for frame in frames {
        sink.write_all(&frame)?;
        sink.flush()?; // a player shows it now
    }
    Ok(())
}

/// How many frames wait to be written.
const MAX_WAITING: usize = 256;
