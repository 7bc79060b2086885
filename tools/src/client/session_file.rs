//! [`SessionFile`]: a session cache that outlives the program, in a file of lines. It must not know
//! what is remembered is good for.
//!
//! rustls lets nobody take a ticket's secret out of its value or put it back, so TLS tickets live
//! as long as the program; tokens and HTTP settings are in the file.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use protoquic::{MemorySessionCache, RememberedServer};

/// A cache in memory that was read from a file and can be written back to it.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    cache: Arc<MemorySessionCache>,
}

impl SessionFile {
    /// Reads the file; one that is not there is empty. The error is a line for a person.
    pub fn open(path: &Path) -> Result<Self, String> {
        let unreadable = |why: &str| format!("the session cache {} {why}", path.display());
        let mut text = String::new();
        match fs::File::open(path) {
            Ok(file) => {
                let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
                read.map_err(|error| unreadable(&format!("cannot be read: {error}")))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&format!("cannot be read: {error}"))),
        }
        if text.len() as u64 > MAX_FILE {
            return Err(unreadable("is too large to be one"));
        }
        let servers = parse(&text).ok_or_else(|| unreadable("is not one"))?;
        let cache = Arc::new(MemorySessionCache::new());
        cache.import(servers);
        Ok(Self { path: path.to_owned(), cache })
    }

    /// The cache, for connections.
    pub fn cache(&self) -> Arc<MemorySessionCache> {
        self.cache.clone()
    }

    /// Writes what is remembered now, readable for its owner only. The file is whole at any time.
    pub fn save(&self) -> Result<(), String> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(name);
        let written = write_private(&beside, &print(&self.cache.export()))
            .and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            format!("the session cache {} cannot be written: {error}", self.path.display())
        })
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// A line for each server: its name, its application state and its tokens, oldest first.
fn print(servers: &[RememberedServer]) -> String {
    let mut text = format!("{HEADER}\n");
    for server in servers {
        text.push_str(&server.name);
        let state = server.application.as_ref().map_or_else(
            || "-".to_owned(),
            |(alpn, state)| format!("{}:{}", HEXLOWER.encode(alpn), HEXLOWER.encode(state)),
        );
        let tokens = server.tokens.iter().map(|token| HEXLOWER.encode(token));
        for word in std::iter::once(state).chain(tokens) {
            text.push(' ');
            text.push_str(&word);
        }
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Option<Vec<RememberedServer>> {
    let mut lines = text.lines();
    match lines.next() {
        None => return Some(Vec::new()),
        Some(header) if header == HEADER => {}
        Some(_) => return None,
    }
    lines.map(parse_server).collect()
}

fn parse_server(line: &str) -> Option<RememberedServer> {
    let hex = |word: &str| HEXLOWER.decode(word.as_bytes()).ok();
    let mut words = line.split(' ');
    let name = words.next()?.to_owned();
    let application = match words.next()? {
        "-" => None,
        pair => {
            let (alpn, state) = pair.split_once(':')?;
            Some((hex(alpn)?, Bytes::from(hex(state)?)))
        }
    };
    let tokens = words.map(|word| hex(word).map(Bytes::from)).collect::<Option<_>>()?;
    Some(RememberedServer { name, tokens, application })
}

const HEADER: &str = "protoquic session cache 1";
/// What 256 servers with four long tokens each stay below.
const MAX_FILE: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<RememberedServer> {
        let tokens = vec![Bytes::from_static(b"old"), Bytes::from_static(b"new")];
        let application = Some((b"h3".to_vec(), Bytes::from_static(b"settings")));
        let bare = RememberedServer { name: "::1".into(), tokens: Vec::new(), application: None };
        vec![RememberedServer { name: "localhost".into(), tokens, application }, bare]
    }

    #[test]
    fn what_is_printed_is_parsed() {
        assert_eq!(parse(&print(&servers())), Some(servers()));
        assert_eq!(parse(""), Some(Vec::new()));
    }

    #[test]
    fn other_files_are_not_caches() {
        let text = print(&servers());
        assert_eq!(parse(&text.replace("cache 1", "cache 2")), None);
        assert_eq!(parse(&text.replace(':', ";")), None);
        assert_eq!(parse(&format!("{text}alone\n")), None);
        assert_eq!(parse(&format!("{text}name - xyz\n")), None);
    }
}
