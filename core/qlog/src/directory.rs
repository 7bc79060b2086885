//! [`QlogDirectory`]: a folder in which every connection gets a file of its own. This file must not
//! know what is in them.

use std::fs::{File, create_dir_all};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use protoquic_core::connection::ConnectionStart;
use protoquic_core::{Observer, ObserverFactory, Role};

use crate::QlogObserver;

/// A folder for qlog files: an [`ObserverFactory`] for dispatchers, and a source of observers for
/// clients.
#[derive(Clone, Debug)]
pub struct QlogDirectory {
    path: PathBuf,
    wall_now: fn() -> SystemTime,
    for_qvis: bool,
}

impl QlogDirectory {
    /// Files will go into this folder, which is made if it is not there. Each says when it was
    /// begun, as `wall_now` tells it: the time of day, which no protocol needs.
    pub fn new(path: impl Into<PathBuf>, wall_now: fn() -> SystemTime) -> io::Result<Self> {
        let path = path.into();
        create_dir_all(&path)?;
        Ok(Self { path, wall_now, for_qvis: false })
    }

    /// The files will be of version 0.3, the one that qvis opens.
    #[must_use]
    pub fn for_qvis(self) -> Self {
        Self { for_qvis: true, ..self }
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An observer that makes its file when its connection begins. The file is named by the
    /// destination of the client's first packet, which both ends know, and the role.
    pub fn observer(&self) -> QlogObserver {
        let (path, wall_now) = (self.path.clone(), self.wall_now);
        let observer = QlogObserver::opening(move |start: &ConnectionStart| {
            let role = match start.role {
                Role::Client => "client",
                Role::Server => "server",
            };
            let name = path.join(format!("{}_{role}.sqlog", start.original_destination));
            let file = File::create(&name).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", name.display()))
            })?;
            Ok((Box::new(BufWriter::new(file)), Some(wall_now())))
        });
        if self.for_qvis { observer.for_qvis() } else { observer }
    }
}

impl ObserverFactory for QlogDirectory {
    fn create_observer(&mut self, _start: &ConnectionStart) -> Option<Box<dyn Observer>> {
        Some(Box::new(self.observer()))
    }
}
