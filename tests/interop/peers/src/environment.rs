//! The runner's environment variables, and files in its folders.

use std::path::PathBuf;

use crate::Result;

/// The test case's name.
pub fn testcase() -> String {
    std::env::var("TESTCASE").unwrap_or_default()
}

/// Ends the program as an endpoint does that does not support its test case.
pub fn unsupported() -> ! {
    std::process::exit(127)
}

/// One file to fetch.
#[derive(Clone, Debug)]
pub struct Download {
    /// The server's name.
    pub host: String,
    /// The file's path.
    pub path: String,
}

/// What the client is to fetch.
pub fn downloads() -> Result<Vec<Download>> {
    let requests = std::env::var("REQUESTS")?;
    let one = |url: &str| {
        let rest = url.strip_prefix("https://").ok_or("not https")?;
        let (authority, path) = rest.split_once('/').ok_or("no path")?;
        let host = authority.trim_end_matches(":443").to_owned();
        Ok(Download { host, path: format!("/{path}") })
    };
    requests.split_whitespace().map(one).collect()
}

/// Writes what came for a path.
pub async fn save(path: &str, data: &[u8]) -> Result<()> {
    let folder = PathBuf::from(std::env::var("DOWNLOADS")?);
    Ok(tokio::fs::write(folder.join(path.trim_start_matches('/')), data).await?)
}

/// Reads what is served at a path.
pub async fn served(path: &str) -> Result<Vec<u8>> {
    let folder = PathBuf::from(std::env::var("WWW")?);
    Ok(tokio::fs::read(folder.join(path.trim_start_matches('/'))).await?)
}
