//! [`load_secret`]: a server's secret from a file, so that it survives restarts and can be shared.
//! It must not know what the secret is used for.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use protoquic::crypto::ServerSecret;
use protoquic::{RandomGenerator, SystemRandom};

/// Reads a secret of 64 hex digits, and from a second line one that is still accepted. A file that
/// is not there is made, with a random secret, readable for its owner only.
pub fn load_secret(path: &Path) -> Result<ServerSecret, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)
            .map_err(|error| format!("the secret {} cannot be made: {error}", path.display()))?,
        Err(error) => return Err(format!("the secret {} cannot be read: {error}", path.display())),
    };
    parse(&text).ok_or_else(|| {
        format!("{} is no secret: it must be one or two lines of 64 hex digits", path.display())
    })
}

fn parse(text: &str) -> Option<ServerSecret> {
    let mut secrets = text.lines().map(|line| {
        let bytes = HEXLOWER_PERMISSIVE.decode(line.trim().as_bytes()).ok()?;
        <[u8; 32]>::try_from(bytes).ok()
    });
    let used = ServerSecret::new(secrets.next()??);
    let secret = match secrets.next() {
        Some(accepted) => used.accepting(accepted?),
        None => used,
    };
    secrets.next().is_none().then_some(secret)
}

fn make(path: &Path) -> std::io::Result<String> {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    let text = HEXLOWER_PERMISSIVE.encode(&bytes) + "\n";
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_or_two() {
        let line = "0123456789abcdef".repeat(4);
        assert!(parse(&line).is_some());
        assert!(parse(&format!("{line}\n{line}\n")).is_some());
        assert!(parse(&format!("{line}\n{line}\n{line}\n")).is_none());
        assert!(parse("").is_none());
        assert!(parse(&line[1..]).is_none());
        assert!(parse(&format!("{line}\nshort\n")).is_none());
    }
}
