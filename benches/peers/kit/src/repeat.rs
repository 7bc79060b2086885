//! What is done the same over every stack's streams: bodies in pieces, requests until the time is
//! over.

use std::time::Instant;

use bytes::Bytes;

use crate::{CHUNK, Loops, Result};

/// So many bytes, in the pieces that are written.
pub fn pieces(length: u64) -> impl Iterator<Item = Bytes> {
    let chunk = Bytes::from(vec![0; CHUNK.min(length as usize)]);
    let starts = (0..length).step_by(CHUNK);
    starts.map(move |start| chunk.slice(..chunk.len().min((length - start) as usize)))
}

/// An error if an answer was not of the length that was asked for.
pub fn is_whole(received: u64, asked: u64) -> Result<()> {
    if received == asked {
        Ok(())
    } else {
        Err(format!("{received} bytes came of {asked}").into())
    }
}

/// Does a thing again and again until it is late, and counts.
pub async fn repeat<F>(end: Instant, mut once: impl FnMut() -> F) -> Result<Loops>
where
    F: Future<Output = Result<()>>,
{
    let mut loops = Loops::default();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(loops);
        }
        once().await?;
        loops.record(begun.elapsed());
    }
}
