//! Where response bodies go, and what a person sees meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where the bodies go. Clones are the same place.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To standard output. Bodies of parallel requests mix there.
    Stdout,
    /// Into this file.
    File(PathBuf),
    /// Into a folder, a file for each response.
    Folder(Rc<Folder>),
    /// Nowhere.
    Drop,
}

/// A folder, and which names were given to files in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    taken: RefCell<BTreeSet<String>>,
}

impl Destination {
    /// What `--output` means for so many responses: a folder if there are several, or if it is one.
    /// The error is a line for a person.
    pub fn at(path: &Path, responses: usize) -> Result<Self, String> {
        let shown = path.display();
        if !path.is_dir() {
            if responses <= 1 {
                return Ok(Self::File(path.to_owned()));
            }
            if path.exists() {
                return Err(format!(
                    "{shown} is a file; --output for several responses is a folder"
                ));
            }
            fs::create_dir_all(path).map_err(|error| format!("cannot make {shown}: {error}"))?;
        }
        let folder = Folder { path: path.to_owned(), taken: RefCell::default() };
        Ok(Self::Folder(Rc::new(folder)))
    }

    /// Where the body of a response from this path goes.
    pub fn open(&self, url_path: &str) -> Result<Box<dyn Write>, String> {
        let create = |path: &Path| {
            File::create(path)
                .map(|file| Box::new(BufWriter::with_capacity(BUFFER, file)) as Box<dyn Write>)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        match self {
            Self::Stdout => Ok(Box::new(BufWriter::with_capacity(BUFFER, io::stdout()))),
            Self::Drop => Ok(Box::new(io::sink())),
            Self::File(path) => create(path),
            Self::Folder(folder) => create(&folder.path.join(folder.name(url_path))),
        }
    }
}

impl Folder {
    /// The last segment of a URL's path, made unique; nothing that leads out of the folder.
    fn name(&self, url_path: &str) -> String {
        let name = match url_path.rsplit('/').next().unwrap_or_default() {
            "" | "." | ".." => "index.html",
            name => name,
        };
        let mut taken = self.taken.borrow_mut();
        let numbered = (1_u64..).map(|n| format!("{name}.{n}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(free.clone());
        free
    }
}

/// A progress bar on standard error, if a person is watching and it takes more than a moment.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Still to be shown once the moment is over.
    waits: Cell<bool>,
}

impl Progress {
    /// Shown only on a terminal, and never if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(
            "{bytes}/{total_bytes} {bytes_per_sec} [{wide_bar}] {eta}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, waits: Cell::new(!quiet && io::stderr().is_terminal()) }
    }

    /// So many more bytes are expected.
    pub fn expect(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    /// So many more have come.
    pub fn advance(&self, bytes: u64) {
        if self.waits.get() && self.bar.elapsed() > MOMENT {
            self.waits.set(false);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(bytes);
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.bar.elapsed()
    }

    /// It is over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What ends sooner shows no progress.
const MOMENT: Duration = Duration::from_secs(1);
/// How much is written at a time, in bytes.
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_a_folder_have_names_of_their_own_and_stay_in_it() {
        let folder = Folder { path: PathBuf::new(), taken: RefCell::default() };
        let names = ["/a/b.html", "/c/b.html", "/", "/..", "/b.html"].map(|path| folder.name(path));
        assert_eq!(names, ["b.html", "b.html.1", "index.html", "index.html.1", "b.html.2"]);
    }
}
