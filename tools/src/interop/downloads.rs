//! [`Downloads`]: the files that a client was asked for, and the folder they go to.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use http::Uri;

/// One file to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where it is.
    pub url: Uri,
    /// The file it is written to.
    pub target: PathBuf,
}

/// All of them, from one server.
#[derive(Clone, Debug)]
pub struct Downloads {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The files.
    pub files: Vec<Download>,
    /// The folder that all targets are in.
    pub folder: PathBuf,
}

impl Downloads {
    /// Reads the runner's list: URLs with spaces between. The error is a line for a person.
    pub fn parse(requests: &str, folder: PathBuf) -> Result<Self, String> {
        let mut found: Option<Self> = None;
        for text in requests.split_whitespace() {
            let bad = |why: &str| format!("REQUESTS has {text}: {why}");
            let url: Uri = text.parse().map_err(|error| bad(&format!("{error}")))?;
            let host = url.host().ok_or_else(|| bad("it has no host"))?;
            let port = url.port_u16().unwrap_or(443);
            let name = url.path().rsplit('/').next().unwrap_or_default();
            if name.is_empty() || name == "." || name == ".." {
                return Err(bad("it names no file"));
            }
            let all = found.get_or_insert_with(|| Self {
                host: host.to_owned(),
                port,
                files: Vec::new(),
                folder: folder.clone(),
            });
            if all.host != host || all.port != port {
                return Err(bad("it is of another server than the first"));
            }
            all.files.push(Download { target: folder.join(name), url });
        }
        found.ok_or_else(|| "REQUESTS is empty: there is nothing to fetch".into())
    }
}

impl Download {
    /// The path to ask for.
    pub fn path(&self) -> &str {
        self.url.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Makes the file.
    pub fn create(&self) -> Result<BufWriter<File>, String> {
        File::create(&self.target)
            .map(BufWriter::new)
            .map_err(|error| format!("cannot write {}: {error}", self.target.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_of_one_server_and_name_files() {
        let parse = |text: &str| Downloads::parse(text, PathBuf::from("/d"));
        let all = parse("https://server4:443/one https://server4/two").unwrap();
        assert_eq!((all.host.as_str(), all.port, all.files.len()), ("server4", 443, 2));
        assert_eq!(all.files[1].target, PathBuf::from("/d/two"));
        assert_eq!(all.files[1].path(), "/two");
        assert!(parse("").is_err());
        assert!(parse("https://server4/").is_err());
        assert!(parse("https://server4/../..").is_err());
        assert!(parse("https://server4/a https://server6/b").is_err());
    }
}
