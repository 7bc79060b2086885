//! Opening a file below a folder with one system call, where the kernel itself sees to it that no
//! name and no link leads out.

use std::fs::File;
use std::path::{Path, PathBuf};

/// A folder whose files are opened.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    #[cfg(target_os = "linux")]
    handle: Option<File>,
}

impl Folder {
    /// This one; a canonical path.
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            handle: File::open(&root).ok(),
            root,
        }
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What is at a relative path, file or folder. `None` says nothing: it may be there but be
    /// reached by a link from outside, or this system cannot do it.
    #[cfg(target_os = "linux")]
    pub(super) fn open(&self, relative: &Path) -> Option<File> {
        use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(self.handle.as_ref()?, relative, how).ok().map(File::from)
    }

    /// See above.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn open(&self, _relative: &Path) -> Option<File> {
        None
    }
}
