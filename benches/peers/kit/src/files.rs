//! Files of a folder, for HTTP/3 servers: opened and read with as few system calls as can be, so
//! that the stack is measured and not this.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use crate::Result;

/// How much of a file is read ahead, in bytes: `quic_simple_server` has the same bound.
pub const FILE_CHUNK: usize = 64 * 1024;

/// The file that a request's path names, and its length in bytes.
pub fn open_file(folder: &Path, path: &str) -> Result<(File, u64)> {
    let relative = Path::new(path.trim_start_matches('/'));
    let mut parts = relative.components();
    if !parts.all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{path} is not below the folder").into());
    }
    let file = File::open(folder.join(relative))?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

/// The file's next piece of at most [`FILE_CHUNK`] bytes, in place of what `buffer` held.
pub fn read_chunk(file: &mut File, left: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let want = left.min(FILE_CHUNK as u64);
    buffer.reserve(want as usize);
    if file.take(want).read_to_end(buffer)? == 0 && want > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
