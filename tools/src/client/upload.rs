//! [`RequestBody`]: the body of every request, from the command line or from a file that is read as
//! it is sent.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use protoquic::http::{Body, BodyChunk, BodySource};

/// Where the body comes from.
#[derive(Clone, Debug, Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    None,
    /// These bytes.
    Bytes(Bytes),
    /// This file.
    File(PathBuf),
}

impl RequestBody {
    /// Whether there is a body: requests are then POST unless told otherwise.
    pub fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// A body for one request.
    pub fn open(&self) -> Result<Body, String> {
        Ok(match self {
            Self::None => Body::Empty,
            Self::Bytes(bytes) => Body::Full(bytes.clone()),
            Self::File(path) => {
                let metadata = std::fs::metadata(path).and_then(|metadata| {
                    File::open(path)?; // to say now that it cannot be read
                    Ok(metadata)
                });
                let metadata =
                    metadata.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                let left = metadata.is_file().then_some(metadata.len());
                Body::source(FileSource { path: path.clone(), file: None, left })
            }
        })
    }
}

/// A file, opened when its turn comes: thousands of requests may wait for theirs.
struct FileSource {
    path: PathBuf,
    file: Option<File>,
    /// What is still to come, of a file whose length is known.
    left: Option<u64>,
}

impl FileSource {
    fn read(&mut self, max: usize) -> io::Result<Bytes> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        let left = usize::try_from(self.left.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let mut buffer = BytesMut::zeroed(max.clamp(1, MAX_READ).min(left));
        let read = file.read(&mut buffer)?;
        buffer.truncate(read);
        if let Some(left) = &mut self.left {
            if read == 0 && *left > 0 {
                return Err(io::Error::other("the file has become shorter"));
            }
            *left -= read as u64;
        }
        Ok(buffer.freeze())
    }
}

impl BodySource for FileSource {
    fn poll_chunk(&mut self, max: usize) -> BodyChunk {
        match self.read(max) {
            Ok(chunk) if chunk.is_empty() => BodyChunk::End(None),
            Ok(chunk) => BodyChunk::Data(chunk),
            Err(error) => {
                log::error!("cannot read {}: {error}", self.path.display());
                BodyChunk::Failed
            }
        }
    }

    fn content_length(&self) -> Option<u64> {
        self.left
    }
}

/// How much of a file is read at a time, in bytes.
const MAX_READ: usize = 64 * 1024;
