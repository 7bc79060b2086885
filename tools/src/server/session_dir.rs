//! [`SessionDir`]: a server's TLS sessions as files in a folder, which outlives the server and may be
//! shared by several. It must not know what is in a session.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use protoquic::crypto::{NAME_LEN, SessionStore};

/// One file for each session. Who takes it renames it first, which only one of several can.
#[derive(Debug)]
pub struct SessionDir {
    folder: PathBuf,
    max: usize,
    /// Those that were there in the beginning and those put here since, the oldest first.
    order: Mutex<VecDeque<String>>,
    next: AtomicU64,
}

impl SessionDir {
    /// Keeps sessions in this folder, which is made if it is not there: as many as are found, and
    /// `max` in all; each server that shares the folder adds `max` at most. The error is a line for
    /// a person.
    pub fn open(folder: &Path, max: usize) -> Result<Self, String> {
        let explain = |error| format!("the folder {} cannot be used: {error}", folder.display());
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(explain)?;
        let found = read_folder(folder).map_err(explain)?;
        let order = Mutex::new(found.into());
        let (folder, next) = (folder.to_owned(), AtomicU64::new(0));
        let store = Self { folder, max, order, next };
        store.make_room();
        Ok(store)
    }

    fn make_room(&self) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while order.len() > self.max {
            if let Some(oldest) = order.pop_front() {
                // It may be taken already.
                let _ = fs::remove_file(self.folder.join(oldest));
            }
        }
    }

    /// A name that nobody else uses.
    fn private_name(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{}-{number}{ASIDE}", std::process::id()))
    }

    fn write(&self, file: &str, session: &[u8]) -> io::Result<()> {
        let beside = self.private_name();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&beside)
            .and_then(|mut open| open.write_all(session))
            .and_then(|()| fs::rename(&beside, self.folder.join(file)));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn claim(&self, file: &str) -> io::Result<Vec<u8>> {
        let claimed = self.private_name();
        fs::rename(self.folder.join(file), &claimed)?;
        let mut session = Vec::new();
        let read =
            File::open(&claimed).and_then(|open| open.take(MAX_SESSION).read_to_end(&mut session));
        fs::remove_file(&claimed)?;
        read.map(|_| session)
    }
}

impl SessionStore for SessionDir {
    fn put(&self, name: &[u8], session: &[u8]) -> bool {
        let file = HEXLOWER.encode(name);
        if self.max == 0 || session.len() as u64 > MAX_SESSION {
            return false;
        }
        if let Err(error) = self.write(&file, session) {
            log::warn!("a session is not kept in {}: {error}", self.folder.display());
            return false;
        }
        self.order.lock().unwrap_or_else(PoisonError::into_inner).push_back(file);
        self.make_room();
        true
    }

    fn take(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.claim(&HEXLOWER.encode(name)).ok()
    }
}

/// The names of sessions that are there, the oldest first. Removes what is too old to be resumed, or
/// was left by who was interrupted.
fn read_folder(folder: &Path) -> io::Result<Vec<String>> {
    let now = time_of(folder)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let since = entry.metadata()?.modified()?;
        let age = now.duration_since(since).unwrap_or_default();
        let is_session = name.len() == 2 * NAME_LEN && HEXLOWER.decode(name.as_bytes()).is_ok();
        let left = name.ends_with(ASIDE) && age > INTERRUPTED;
        if left || (is_session && age > MAX_AGE) {
            let _ = fs::remove_file(entry.path());
        } else if is_session {
            found.push((since, name));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// The time as the folder's file system has it, which need not be on this machine.
fn time_of(folder: &Path) -> io::Result<SystemTime> {
    let probe = folder.join(format!("{}{ASIDE}", std::process::id()));
    let now = File::create(&probe)?.metadata()?.modified();
    fs::remove_file(&probe)?;
    now
}

/// What files end in that are being written or taken.
const ASIDE: &str = ".aside";
/// Nobody is at work on one for so long.
const INTERRUPTED: Duration = Duration::from_mins(1);
/// The largest session, in bytes: a client's certificates are in it.
const MAX_SESSION: u64 = 64 * 1024;
/// RFC 8446 §4.6.1: no ticket lives longer.
const MAX_AGE: Duration = Duration::from_hours(7 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("protoquic-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            Self(folder)
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn name(n: u8) -> [u8; NAME_LEN] {
        [n; NAME_LEN]
    }

    #[test]
    fn a_session_outlives_the_server_and_is_given_out_once() {
        let folder = Folder::new("session-once");
        let first = SessionDir::open(&folder.0, 10).unwrap();
        assert!(first.put(&name(1), b"session"));
        let second = SessionDir::open(&folder.0, 10).unwrap();
        assert_eq!(second.take(&name(2)), None);
        assert_eq!(second.take(&name(1)).as_deref(), Some(&b"session"[..]));
        assert_eq!((first.take(&name(1)), second.take(&name(1))), (None, None));
        assert_eq!(folder.files(), 0);
    }

    #[test]
    fn of_many_who_want_one_only_one_gets_it() {
        let folder = Folder::new("session-race");
        let stores = [(); 4].map(|()| SessionDir::open(&folder.0, 1000).unwrap());
        (0..200).for_each(|n| assert!(stores[0].put(&name(n), &[n])));
        let taken =
            |store: &SessionDir| (0..200).filter(|n| store.take(&name(*n)).is_some()).count();
        let sum: usize = std::thread::scope(|scope| {
            let threads = stores.each_ref().map(|store| scope.spawn(move || taken(store)));
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((sum, folder.files()), (200, 0));
    }

    #[test]
    fn old_sessions_make_room_also_those_of_before() {
        let folder = Folder::new("session-room");
        let before = SessionDir::open(&folder.0, 10).unwrap();
        (0..10).for_each(|n| assert!(before.put(&name(n), b"session")));
        let store = SessionDir::open(&folder.0, 5).unwrap();
        assert_eq!(folder.files(), 5);
        (10..30).for_each(|n| assert!(store.put(&name(n), b"session")));
        assert_eq!(folder.files(), 5);
        assert!(store.take(&name(29)).is_some() && store.take(&name(24)).is_none());
    }

    #[test]
    fn a_folder_that_cannot_be_is_explained() {
        let file = Folder::new("session-file");
        fs::write(&file.0, "a file").unwrap();
        let error = SessionDir::open(&file.0, 5).unwrap_err();
        assert!(error.contains("session-file") && error.contains("cannot be used"), "{error}");
        fs::remove_file(&file.0).unwrap();
    }
}
