//! Where response bodies go, and what a person sees meanwhile.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where the bodies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To standard output.
    Stdout,
    /// Into this file.
    File(PathBuf),
    /// Into this folder, a file for each URL.
    Folder(PathBuf),
    /// Nowhere.
    Drop,
}

impl Destination {
    /// Where a body goes; in a folder, to a file of this name.
    pub fn open(&self, name: &str) -> Result<Box<dyn Write>, String> {
        let create = |path: &Path| {
            File::create(path)
                .map(|file| Box::new(file) as Box<dyn Write>)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        match self {
            Self::Stdout => Ok(Box::new(io::stdout())),
            Self::Drop => Ok(Box::new(io::sink())),
            Self::File(path) => create(path),
            Self::Folder(folder) => create(&folder.join(name)),
        }
    }
}

/// A file name for each of these URL paths: the last part of the path, with a number where that is
/// not enough to tell them apart.
pub fn file_names(paths: &[&str]) -> Vec<String> {
    let last = |path: &str| {
        let part = path.rsplit('/').next().unwrap_or_default();
        match part {
            "" | "." | ".." => "response".to_owned(),
            part => part.to_owned(),
        }
    };
    let plain: Vec<_> = paths.iter().map(|path| last(path)).collect();
    let mut count = HashMap::new();
    for name in &plain {
        *count.entry(name.clone()).or_insert(0) += 1;
    }
    let numbered = |(index, name): (usize, &String)| match count.get(name) {
        Some(1) => name.clone(),
        _ => format!("{name}-{index}"),
    };
    plain.iter().enumerate().map(numbered).collect()
}

/// A progress bar on standard error, if a person is watching and it takes more than a moment.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shown only on a terminal, and never if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template(
            "{bytes}/{total_bytes} {bytes_per_sec} [{wide_bar}] {eta}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// So many more bytes are expected.
    pub fn expect(&self, bytes: u64) {
        self.0.inc_length(bytes);
    }

    /// So many more have come.
    pub fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// It is over.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_urls_and_told_apart_by_numbers() {
        let names = file_names(&["/a/b.txt", "/c", "/", "/d/c", "/.."]);
        assert_eq!(names, ["b.txt", "c-1", "response-2", "c-3", "response-4"]);
    }
}
