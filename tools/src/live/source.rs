//! Where a broadcast's frames come from: a file or standard input, read and split by a thread of its
//! own ([`read_in_thread`]), or a list ([`ListSource`]). This file must not know what time it is.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::annex_b::{AccessUnit, Splitter};
use super::nal::Codec;

/// What a source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextUnit {
    /// A frame.
    Unit(AccessUnit),
    /// One will come later.
    NotYet,
    /// There are no more.
    End,
    /// There are no more, for this reason.
    Failed(String),
}

/// Has frames, one after the other. Never waits.
pub trait Source {
    /// The next frame.
    fn next_unit(&mut self) -> NextUnit;
}

/// A source of frames that are there already.
#[derive(Clone, Debug, Default)]
pub struct ListSource(VecDeque<AccessUnit>);

impl ListSource {
    /// These frames, once.
    pub fn new(frames: &[AccessUnit]) -> Self {
        Self(frames.iter().cloned().collect())
    }
}

impl Source for ListSource {
    fn next_unit(&mut self) -> NextUnit {
        self.0.pop_front().map_or(NextUnit::End, NextUnit::Unit)
    }
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// This file.
    File(PathBuf),
    /// Standard input, once.
    Stdin,
}

/// Frames from a thread that reads ahead a little.
#[derive(Debug)]
pub struct ThreadSource(Receiver<Result<AccessUnit, String>>);

impl Source for ThreadSource {
    fn next_unit(&mut self) -> NextUnit {
        match self.0.try_recv() {
            Ok(Ok(unit)) => NextUnit::Unit(unit),
            Ok(Err(why)) => NextUnit::Failed(why),
            Err(TryRecvError::Empty) => NextUnit::NotYet,
            Err(TryRecvError::Disconnected) => NextUnit::End,
        }
    }
}

/// Reads the input, a file so many times over (0: for ever). The first frame is read before it
/// returns, so that what is no video is refused at once. The error is a line for a person.
pub fn read_in_thread(
    input: &Input,
    codec: Option<Codec>,
    times: u64,
) -> Result<ThreadSource, String> {
    let (sender, receiver) = sync_channel(READ_AHEAD);
    match input.clone() {
        Input::Stdin => {
            std::thread::spawn(move || tell(&sender, read_once(io::stdin(), codec, &sender)));
        }
        Input::File(path) => {
            check(&path, codec)?;
            std::thread::spawn(move || tell(&sender, read_file(&path, codec, times, &sender)));
        }
    }
    Ok(ThreadSource(receiver))
}

/// How reading ends early.
enum Stop {
    /// Nobody wants frames any more.
    Unwanted,
    Failed(String),
}

/// Whether the file begins like video.
fn check(path: &Path, codec: Option<Codec>) -> Result<(), String> {
    let failed = |error: String| format!("{}: {error}", path.display());
    let mut front = Vec::new();
    let file = open(path)?.take(CHECKED as u64);
    { file }.read_to_end(&mut front).map_err(|error| failed(error.to_string()))?;
    if front.is_empty() {
        return Err(failed("the file is empty".to_owned()));
    }
    let mut splitter = Splitter::new(codec);
    splitter.push(&front);
    splitter.next_unit().map_err(|error| failed(error.to_string()))?;
    if front.len() < CHECKED {
        splitter.finish().map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))
}

fn read_file(
    path: &Path,
    codec: Option<Codec>,
    times: u64,
    sender: &SyncSender<Result<AccessUnit, String>>,
) -> Result<(), Stop> {
    let mut read = 0;
    while times == 0 || read < times {
        read_once(open(path).map_err(Stop::Failed)?, codec, sender)?;
        read += 1;
    }
    Ok(())
}

fn read_once(
    mut input: impl Read,
    codec: Option<Codec>,
    sender: &SyncSender<Result<AccessUnit, String>>,
) -> Result<(), Stop> {
    let send = |unit| sender.send(Ok(unit)).map_err(|_| Stop::Unwanted);
    let broken = |error: super::annex_b::AnnexBError| Stop::Failed(error.to_string());
    let mut splitter = Splitter::new(codec);
    let mut buffer = vec![0; BLOCK];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => splitter.push(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::Failed(format!("the video cannot be read: {error}"))),
        }
        while let Some(unit) = splitter.next_unit().map_err(broken)? {
            send(unit)?;
        }
    }
    while let Some(unit) = splitter.finish().map_err(broken)? {
        send(unit)?;
    }
    Ok(())
}

fn tell(sender: &SyncSender<Result<AccessUnit, String>>, end: Result<(), Stop>) {
    if let Err(Stop::Failed(why)) = end {
        let _ = sender.send(Err(why)); // nobody may be listening any more
    }
}

/// How many frames are read before they are due.
const READ_AHEAD: usize = 32;
/// How much is read at a time, in bytes.
const BLOCK: usize = 64 << 10;
/// How much of a file is looked at before it is broadcast, in bytes.
const CHECKED: usize = 256 << 10;
