//! [`FileBackend`]: plain files of a folder, read piece by piece as they are sent.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use http::{Method, Request, Response, StatusCode};
use protoquic::http::{Body, BodyChunk, BodySource, ServerExchange};

/// Serves the files below a folder, to any host.
#[derive(Debug)]
pub struct FileBackend {
    root: PathBuf,
}

impl FileBackend {
    /// Serves this folder. The error is a line for a person.
    pub fn new(root: &Path) -> Result<Self, String> {
        let root = root
            .canonicalize()
            .map_err(|error| format!("cannot serve {}: {error}", root.display()))?;
        if !root.is_dir() {
            return Err(format!("cannot serve {}: it is not a folder", root.display()));
        }
        Ok(Self { root })
    }

    /// Answers a request if there is a file for it. Returns whether there was.
    pub fn serve(&self, request: &Request<()>, exchange: &mut ServerExchange<'_>) -> bool {
        let Some((file, len, path)) = self.open(request.uri().path()) else { return false };
        let mut response = Response::new(Body::Empty);
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            exchange.respond(response);
            return true;
        }
        let headers = response.headers_mut();
        let media_type = mime_guess::from_path(&path).first_or_octet_stream();
        if let Ok(value) = HeaderValue::from_str(media_type.as_ref()) {
            headers.insert(CONTENT_TYPE, value);
        }
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        if let Ok(modified) = modified
            && let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(modified))
        {
            headers.insert(LAST_MODIFIED, value);
        }
        *response.body_mut() = Body::source(FileBody { file, len, left: len });
        exchange.respond(response);
        true
    }

    /// The file of a path; its index for a folder. Nothing outside of the root, whatever links say.
    fn open(&self, path: &str) -> Option<(File, u64, PathBuf)> {
        let decoded = percent_decode(path.trim_start_matches('/'))?;
        let relative = Path::new(&decoded);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return None;
        }
        let mut full = self.root.join(relative).canonicalize().ok()?;
        if full.is_dir() {
            full = full.join("index.html").canonicalize().ok()?;
        }
        if !full.starts_with(&self.root) || !full.is_file() {
            return None;
        }
        let file = File::open(&full).ok()?;
        let len = file.metadata().ok()?.len();
        Some((file, len, full))
    }
}

/// Decodes `%41` and the like; `None` if that is not well done or not text.
fn percent_decode(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push((digit()? * 16 + digit()?) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().filter(|path| !path.contains('\0'))
}

/// A file, read as it is sent.
struct FileBody {
    file: File,
    len: u64,
    left: u64,
}

impl BodySource for FileBody {
    fn poll_chunk(&mut self, max: usize) -> BodyChunk {
        if self.left == 0 {
            return BodyChunk::End(None);
        }
        let want = max.clamp(1, MAX_READ).min(usize::try_from(self.left).unwrap_or(MAX_READ));
        let mut buffer = BytesMut::zeroed(want);
        match self.file.read(&mut buffer) {
            // The file has become shorter than it was said to be.
            Ok(0) | Err(_) => BodyChunk::Failed,
            Ok(read) => {
                self.left -= read as u64;
                buffer.truncate(read);
                BodyChunk::Data(Bytes::from(buffer))
            }
        }
    }

    fn content_length(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// How much of a file is read at a time.
const MAX_READ: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_folder_is_found() {
        let backend = FileBackend::new(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(backend.open("/Cargo.toml").is_some());
        assert!(backend.open("/%43argo.toml").is_some());
        for path in
            ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/src/", "/%zz", "/a%00"]
        {
            assert!(backend.open(path).is_none(), "{path}");
        }
    }
}
