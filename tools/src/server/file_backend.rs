//! [`FileBackend`]: plain files of a folder, read piece by piece as they are sent.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IF_MODIFIED_SINCE, LAST_MODIFIED, LOCATION,
};
use http::{Method, Request, Response, StatusCode};
use protoquic::Time;
use protoquic::http::{Body, BodyChunk, BodySource, ServerExchange};

use super::beneath::Folder;
use super::site::not_allowed;
use super::small_files::{MAX_SMALL, SmallFile, SmallFiles};

/// Serves the files below a folder, to any host.
#[derive(Debug)]
pub struct FileBackend {
    folder: Folder,
    small: SmallFiles,
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
        Ok(Self { folder: Folder::new(root), small: SmallFiles::default() })
    }

    /// Answers a request if there is a file for it. Returns whether there was.
    pub fn serve(&self, request: &Request<()>, exchange: &mut ServerExchange<'_>) -> bool {
        let Some(answer) = self.answer(request, exchange.now()) else { return false };
        let is_fetched = matches!(*request.method(), Method::GET | Method::HEAD);
        match answer {
            _ if !is_fetched => exchange.respond(not_allowed()),
            Answer::Small(small) if is_fresh(request, small.modified) => {
                exchange.respond(not_modified(small.head.clone().map(|()| Body::Empty)));
            }
            Answer::Small(small) => exchange.respond_with(&small.head, small.content.clone()),
            Answer::Other(response) => exchange.respond(response),
        }
        true
    }

    fn answer(&self, request: &Request<()>, now: Time) -> Option<Answer> {
        let path = request.uri().path();
        if let Some(small) = self.small.get(path, now) {
            return Some(Answer::Small(small));
        }
        Some(match self.find(path)? {
            Found::File { file, metadata, path: full } if metadata.len() <= MAX_SMALL => {
                match read_small(file, &metadata, &full) {
                    Some(small) => Answer::Small(self.small.put(path, now, small)),
                    None => Answer::Other(failed()),
                }
            }
            found => Answer::Other(found.into_response(request)),
        })
    }

    /// What is at a path: a file, a folder's index. Nothing outside of the root, whatever links say.
    fn find(&self, path: &str) -> Option<Found> {
        let trimmed = path.trim_start_matches('/');
        let decoded = percent_decode(trimmed)?;
        let relative = Path::new(&decoded);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return None;
        }
        if let Some(found) = self.open_beneath(relative) {
            return Some(found);
        }
        let root = self.folder.root();
        let mut full = root.join(relative).canonicalize().ok()?;
        let is_folder = full.is_dir();
        if is_folder {
            full = full.join("index.html").canonicalize().ok()?;
        }
        if !full.starts_with(root) || !full.is_file() {
            return None;
        }
        if is_folder && !path.ends_with('/') {
            return Some(Found::Folder(format!("/{trimmed}/")));
        }
        let file = File::open(&full).ok()?;
        let metadata = file.metadata().ok()?;
        Some(Found::File { file, metadata, path: full })
    }

    /// A plain file, the usual case, with few system calls.
    fn open_beneath(&self, relative: &Path) -> Option<Found> {
        let file = self.folder.open(relative)?;
        let metadata = file.metadata().ok()?;
        let path = relative.to_owned();
        metadata.is_file().then_some(Found::File { file, metadata, path })
    }
}

/// What is said to a request.
enum Answer {
    /// This file, unless the client has it.
    Small(Arc<SmallFile>),
    Other(Response<Body>),
}

/// What is at a path.
enum Found {
    File {
        file: File,
        metadata: Metadata,
        path: PathBuf,
    },
    /// A folder whose path lacks the slash that relative links need; here with it.
    Folder(String),
}

impl Found {
    fn into_response(self, request: &Request<()>) -> Response<Body> {
        match self {
            Self::File { file, metadata, path } => {
                let modified = metadata.modified().ok();
                let mut response = head(modified, &path).map(|()| Body::Empty);
                if is_fresh(request, modified) {
                    return not_modified(response);
                }
                let len = metadata.len();
                *response.body_mut() = Body::source(FileBody { file, len, left: len });
                response
            }
            Self::Folder(location) => {
                let mut response = Response::new(Body::Empty);
                *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                if let Ok(location) = HeaderValue::from_str(&location) {
                    response.headers_mut().insert(LOCATION, location);
                }
                response
            }
        }
    }
}

/// A small file, read whole. `None` if it cannot be.
fn read_small(file: File, metadata: &Metadata, path: &Path) -> Option<SmallFile> {
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    file.take(MAX_SMALL).read_to_end(&mut content).ok()?;
    let modified = metadata.modified().ok();
    let mut head = head(modified, path);
    head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    Some(SmallFile { head, content: Bytes::from(content), modified })
}

/// What is said of a file besides its content.
fn head(modified: Option<SystemTime>, path: &Path) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    if let Some(modified) = modified {
        let value = HeaderValue::from_str(&httpdate::fmt_http_date(modified));
        headers.extend(value.ok().map(|value| (LAST_MODIFIED, value)));
    }
    let media_type = mime_guess::from_path(path).first_or_octet_stream();
    let value = HeaderValue::from_str(media_type.as_ref());
    headers.extend(value.ok().map(|value| (CONTENT_TYPE, value)));
    response
}

/// A response whose body the client has already.
fn not_modified(mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Body::Empty;
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

/// The file is there and cannot be read.
fn failed() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// RFC 9110 §13.1.3: whether the client has this version already. Dates have whole seconds.
fn is_fresh(request: &Request<()>, modified: Option<SystemTime>) -> bool {
    let since = request.headers().get(IF_MODIFIED_SINCE);
    let since = since.and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    let known = since.zip(modified);
    known.is_some_and(|(since, modified)| modified < since + Duration::from_secs(1))
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
        // Read into memory that nobody has to clear first.
        let mut buffer = Vec::with_capacity(want);
        match (&mut self.file).take(want as u64).read_to_end(&mut buffer) {
            // The file has become shorter than it was said to be.
            Ok(0) | Err(_) => BodyChunk::Failed,
            Ok(read) => {
                self.left -= read as u64;
                BodyChunk::Data(Bytes::from(buffer))
            }
        }
    }

    fn content_length(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// How much of a file is read at a time, in bytes.
const MAX_READ: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_folder_is_found() {
        let backend = FileBackend::new(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(backend.find("/Cargo.toml").is_some());
        assert!(backend.find("/%43argo.toml").is_some());
        for path in
            ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/src/", "/%zz", "/a%00"]
        {
            assert!(backend.find(path).is_none(), "{path}");
        }
    }
}
