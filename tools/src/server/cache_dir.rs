//! Recorded sites: a tree as `wget -p --save-headers` leaves it, each file with the response's head
//! in front (Chromium: QuicMemoryCacheBackend). The first folder is the host, unless the head's
//! X-Original-Url says otherwise; X-Push-Url names what is pushed with it, once for each.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode, Uri};
use protoquic::http::CachedResponse;

/// One recorded response.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The host, without port.
    pub host: String,
    /// The path with its query.
    pub path: String,
    /// What to answer.
    pub response: CachedResponse,
}

/// Reads a folder's recorded responses; none if its files are plain ones.
pub fn load_recorded(root: &Path) -> Result<Vec<Recorded>, String> {
    let (heads, plain): (Vec<_>, Vec<_>) =
        files_below(root)?.into_iter().partition(|path| begins_with_head(path));
    if !heads.is_empty() && !plain.is_empty() {
        let (first, count) = (plain[0].display(), plain.len());
        log::warn!("{first} has no recorded head; it is not served, nor are such others ({count})");
    }
    let mut recorded = Vec::new();
    for path in heads {
        let bytes = std::fs::read(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let relative = path.strip_prefix(root).unwrap_or(&path);
        match parse(relative, &bytes) {
            Some(response) => recorded.push(response),
            None => log::warn!("{} begins like a response and is none", path.display()),
        }
    }
    Ok(recorded)
}

fn files_below(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("cannot read the folder {}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(ty) if ty.is_dir() => folders.push(path),
                Ok(ty) if ty.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

fn begins_with_head(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; HEAD_START.len()];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *HEAD_START
}

fn parse(relative: &Path, bytes: &[u8]) -> Option<Recorded> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).ok()?;
    let mut parts = relative.iter().filter_map(|part| part.to_str());
    let mut host = parts.next()?.to_owned();
    let mut path = parts.fold(String::new(), |path, part| path + "/" + part);
    if let Some(folder) = path.strip_suffix("/index.html") {
        path = format!("{folder}/");
    }
    let mut pushes = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("x-original-url") {
            let url: Uri = value.parse().ok()?;
            url.host()?.clone_into(&mut host);
            url.path_and_query()?.as_str().clone_into(&mut path);
        } else if name.eq_ignore_ascii_case("x-push-url") {
            pushes.push(value);
        } else if !CONNECTION_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            response.headers_mut().append(name, HeaderValue::from_str(value).ok()?);
        }
    }
    let body = Bytes::copy_from_slice(&bytes[end + 4..]);
    let pushes = pushes.into_iter().map(|url| push_url(&host, url)).collect::<Option<_>>()?;
    let response = CachedResponse { head: response, body, pushes, ..CachedResponse::default() };
    Some(Recorded { host, path, response })
}

/// What an X-Push-Url names: a URL, or a path on the same host. It is pushed as https, which is what
/// the client speaks, whatever it was recorded by.
fn push_url(host: &str, url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    let path = url.path_and_query()?.clone();
    let authority = url.authority().map_or(host, |authority| authority.as_str());
    Uri::builder().scheme("https").authority(authority).path_and_query(path).build().ok()
}

const HEAD_START: &[u8; 5] = b"HTTP/";
/// What belonged to the connection it was recorded on (RFC 9114 §4.2), and the length, which the
/// body tells.
const CONNECTION_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_file_tells_host_path_status_and_headers() {
        let file = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbody";
        let recorded = parse(Path::new("example.org/a/index.html"), file).unwrap();
        assert_eq!((recorded.host.as_str(), recorded.path.as_str()), ("example.org", "/a/"));
        assert_eq!(recorded.response.body, "body");
        assert_eq!(recorded.response.head.headers().len(), 1);
        let file = b"HTTP/1.1 404 No\r\nX-Original-Url: https://www.example.org/x?y=1\r\n\r\n";
        let recorded = parse(Path::new("elsewhere/z"), file).unwrap();
        assert_eq!((recorded.host.as_str(), recorded.path.as_str()), ("www.example.org", "/x?y=1"));
        assert_eq!(recorded.response.head.status(), 404);
    }

    #[test]
    fn a_recorded_file_tells_what_is_pushed_with_it() {
        let file =
            b"HTTP/1.1 200 OK\r\nX-Push-Url: /style.css\r\nx-push-url: http://b.example/x\r\n\r\n";
        let recorded = parse(Path::new("a.example/index.html"), file).unwrap();
        let pushes: Vec<_> = recorded.response.pushes.iter().map(ToString::to_string).collect();
        assert_eq!(pushes, ["https://a.example/style.css", "https://b.example/x"]);
        assert!(recorded.response.head.headers().is_empty());
    }
}
