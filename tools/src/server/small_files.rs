//! [`SmallFiles`]: what small files held a moment ago, so that a crowd that asks for the same ones
//! costs no system calls. It must not know where files are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Response;
use protoquic::Time;

/// A small file as it is served.
#[derive(Debug)]
pub(super) struct SmallFile {
    /// What is said of it, its length too.
    pub(super) head: Response<()>,
    pub(super) content: Bytes,
    /// When the file was changed.
    pub(super) modified: Option<SystemTime>,
}

/// Small files by the path of their request.
#[derive(Debug, Default)]
pub(super) struct SmallFiles {
    kept: Mutex<HashMap<String, (Time, Arc<SmallFile>)>>,
}

impl SmallFiles {
    /// What was kept for this path, if that is not long ago.
    pub(super) fn get(&self, path: &str, now: Time) -> Option<Arc<SmallFile>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, file) = kept.get(path)?;
        (now - *since < FRESH).then(|| Arc::clone(file))
    }

    /// Keeps a file that was read just now, and returns it.
    pub(super) fn put(&self, path: &str, now: Time, file: SmallFile) -> Arc<SmallFile> {
        let file = Arc::new(file);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_FILES {
            kept.clear();
        }
        kept.insert(path.to_owned(), (now, Arc::clone(&file)));
        file
    }
}

/// How long a file may have changed without being noticed.
const FRESH: Duration = Duration::from_secs(1);

/// The longest file that is kept, in bytes.
pub(super) const MAX_SMALL: u64 = 16 * 1024;

/// How many are kept: not more than 16 MiB in all.
const MAX_FILES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &'static [u8]) -> SmallFile {
        let content = Bytes::from_static(content);
        SmallFile { head: Response::new(()), content, modified: None }
    }

    #[test]
    fn what_is_kept_grows_old_and_is_bounded() {
        let (files, now) = (SmallFiles::default(), Time::ZERO);
        files.put("/a", now, file(b"a"));
        assert_eq!(files.get("/a", now).unwrap().content, "a");
        assert!(files.get("/b", now).is_none());
        assert!(files.get("/a", now + FRESH).is_none());
        for number in 0..3 * MAX_FILES {
            files.put(&number.to_string(), now, file(b"b"));
            assert!(files.kept.lock().unwrap().len() <= MAX_FILES);
        }
    }
}
