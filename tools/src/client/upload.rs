//! [`RequestBody`]: the body of every request, from the command line or from a file that is read as
//! it is sent.

use std::fs::File;
use std::io::Read;
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
                let fail = |error| format!("cannot read {}: {error}", path.display());
                let file = File::open(path).map_err(fail)?;
                let len = file.metadata().map_err(fail)?.len();
                Body::source(FileSource { file, len })
            }
        })
    }
}

struct FileSource {
    file: File,
    len: u64,
}

impl BodySource for FileSource {
    fn poll_chunk(&mut self, max: usize) -> BodyChunk {
        let mut buffer = BytesMut::zeroed(max.clamp(1, MAX_READ));
        match self.file.read(&mut buffer) {
            Ok(0) => BodyChunk::End(None),
            Ok(read) => {
                buffer.truncate(read);
                BodyChunk::Data(buffer.freeze())
            }
            Err(error) => {
                log::error!("the body cannot be read: {error}");
                BodyChunk::Failed
            }
        }
    }

    fn content_length(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// How much of a file is read at a time.
const MAX_READ: usize = 128 * 1024;
