//! [`HqServer`]: files of a folder over HTTP/0.9 on QUIC streams, written on bare `Session` and
//! `Stream`.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use protoquic::{
    ApplicationError, Direction, FnFactory, Refuse, ServerConfig, Session, SessionContext,
    SessionFactory, SessionHost, Stream, StreamContext, StreamId,
};

/// One client.
#[derive(Debug)]
pub struct HqServer {
    root: Arc<Path>,
}

/// One request.
#[derive(Debug, Default)]
pub struct HqServerStream {
    request: Vec<u8>,
    response: Option<Response>,
}

/// A file on its way.
#[derive(Debug)]
struct Response {
    file: File,
    /// What was read from it and found no room.
    piece: Bytes,
}

/// A factory of [`HqServer`] sessions that serve this folder.
pub fn hq_factory(config: ServerConfig, root: &Path) -> impl SessionFactory + use<> {
    let root: Arc<Path> = root.into();
    FnFactory::new(&[super::HQ_ALPN], config, move |connection| {
        Box::new(SessionHost::new(connection, HqServer { root: Arc::clone(&root) }))
    })
}

impl Session for HqServer {
    type Stream = HqServerStream;

    fn create_incoming_stream(
        &mut self,
        id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<HqServerStream, Refuse> {
        match id.direction() {
            Direction::Bidirectional => Ok(HqServerStream::default()),
            Direction::Unidirectional => Err(Refuse(BAD_REQUEST)),
        }
    }
}

impl Stream<HqServer> for HqServerStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, HqServer>) {
        while let Some(data) = cx.read() {
            self.request.extend_from_slice(&data);
            if self.request.len() > MAX_REQUEST {
                return refuse(cx, BAD_REQUEST);
            }
        }
        // A request ends with its line or with its stream, whichever comes first.
        let is_whole = cx.is_read_finished() || self.request.contains(&b'\n');
        if self.response.is_some() || !is_whole {
            return;
        }
        let Some(path) = parse_request(&self.request) else { return refuse(cx, BAD_REQUEST) };
        match find(&cx.session().root, path).and_then(|path| File::open(path).ok()) {
            Some(file) => {
                self.response = Some(Response { file, piece: Bytes::new() });
                self.on_can_write(cx);
            }
            None => refuse(cx, NOT_FOUND),
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, HqServer>) {
        let Some(response) = &mut self.response else { return };
        loop {
            if response.piece.is_empty() {
                match read_piece(&mut response.file) {
                    Ok(piece) if piece.is_empty() => {
                        let _ = cx.finish(); // fails only if the client wants no more
                        return;
                    }
                    Ok(piece) => response.piece = piece,
                    Err(_) => return refuse(cx, NOT_FOUND),
                }
            }
            match cx.write(&mut response.piece) {
                Ok(_) if response.piece.is_empty() => {}
                _ => return,
            }
        }
    }
}

/// HTTP/0.9 has no status: a request that cannot be answered is reset.
fn refuse(cx: &mut StreamContext<'_, HqServer>, code: ApplicationError) {
    // Either may fail because the stream is over, which is as good.
    let _ = cx.stop_sending(code);
    let _ = cx.reset(code);
}

/// The path of `GET /path`, with or without a line's end.
fn parse_request(request: &[u8]) -> Option<&str> {
    let line = request.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.trim_end().strip_prefix("GET ")
}

/// The file of a path; nothing outside of the root.
fn find(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    is_inside.then(|| root.join(relative)).filter(|path| path.is_file())
}

fn read_piece(file: &mut File) -> std::io::Result<Bytes> {
    let mut buffer = vec![0; PIECE];
    let read = file.read(&mut buffer)?;
    buffer.truncate(read);
    Ok(buffer.into())
}

/// The largest request, in bytes.
const MAX_REQUEST: usize = 4096;
/// How much of a file is read at a time, in bytes.
const PIECE: usize = 64 * 1024;
/// HTTP/0.9 has no codes; these are only to be seen in captures.
const BAD_REQUEST: ApplicationError = ApplicationError(1);
const NOT_FOUND: ApplicationError = ApplicationError(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_one_line() {
        assert_eq!(parse_request(b"GET /file\r\n"), Some("/file"));
        assert_eq!(parse_request(b"GET /file"), Some("/file"));
        assert_eq!(parse_request(b"GET /file\n"), Some("/file"));
        assert_eq!(parse_request(b"POST /file\r\n"), None);
        assert_eq!(parse_request(b"GET \xff\r\n"), None);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(find(root, "/Cargo.toml").is_some());
        assert!(find(root, "/src/lib.rs").is_some());
        assert!(find(root, "/../Cargo.toml").is_none());
        assert!(find(root, "/src").is_none());
    }
}
