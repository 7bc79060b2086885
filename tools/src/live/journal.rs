//! What is written down: [`Log`], a line for everything that happens, and [`Csv`], a row for every
//! frame. This file must not know what a line says.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::rc::Rc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Say;
use super::measure::{FrameRecord, Outcome};

/// A file of lines, each with the time. Without a file, lines go to standard error.
#[derive(Clone, Debug)]
pub struct Log(Option<Rc<RefCell<BufWriter<File>>>>);

impl Log {
    /// Begins a file, if one is named. The error is a line for a person.
    pub fn create(path: Option<&Path>) -> Result<Self, String> {
        Ok(Self(path.map(create).transpose()?.map(|file| Rc::new(RefCell::new(file)))))
    }

    /// Writes lines that begin with this word; nothing to standard error if that is to be quiet.
    pub fn say(&self, quiet: bool) -> Say {
        let file = self.0.clone();
        Rc::new(move |line| match &file {
            Some(file) => {
                let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
                let mut file = file.borrow_mut();
                // A full disk is no reason to stop the video.
                let _ = writeln!(file, "{now} {line}").and_then(|()| file.flush());
            }
            None if quiet => {}
            None => eprintln!("{line}"),
        })
    }
}

/// A file with a row for every frame, of one viewer or several. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct Csv(Rc<RefCell<BufWriter<File>>>);

impl Csv {
    /// Begins the file. The error is a line for a person.
    pub fn create(path: &Path) -> Result<Self, String> {
        let mut file = create(path)?;
        let failed = |error| format!("cannot write {}: {error}", path.display());
        writeln!(file, "viewer,sequence,number,kind,bytes,due_ms,latency_ms,outcome")
            .map_err(failed)?;
        Ok(Self(Rc::new(RefCell::new(file))))
    }

    /// Writes a row. What cannot be written is missing: the video goes on.
    pub fn write(&self, viewer: usize, record: &FrameRecord) {
        let FrameRecord { number, sequence, kind, bytes, due, latency, outcome } = *record;
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        let kind = kind.map(|kind| kind.to_string()).unwrap_or_default();
        let due = due as f64 / 1000.0;
        let latency = latency.map(|latency| format!("{:.3}", latency as f64 / 1000.0));
        let latency = latency.unwrap_or_default();
        let outcome = match outcome {
            Outcome::OnTime => "on time",
            Outcome::Late => "late",
            Outcome::Lost => "lost",
        };
        let row =
            format!("{viewer},{sequence},{number},{kind},{bytes},{due:.3},{latency},{outcome}");
        let _ = writeln!(self.0.borrow_mut(), "{row}");
    }

    /// Writes what is left. The error is a line for a person.
    pub fn finish(&self) -> Result<(), String> {
        self.0.borrow_mut().flush().map_err(|error| format!("the CSV file is not whole: {error}"))
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, String> {
    File::create(path)
        .map(BufWriter::new)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
