//! `qpack_offline_decoder`: checks files of the QPACK offline interop, and makes them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use protoquic_tools::arguments;
use protoquic_tools::qpack_offline::{Parameters, decode, encode, parse_qif};

/// Decodes QPACK files and compares them with the header lists they should hold.
///
/// Takes pairs of an encoded file, named NAME.out.CAPACITY.BLOCKED.ACK, and a .qif file. Ends with
/// status 0 only if all header lists are equal. With --encode it makes the encoded file from the
/// .qif file instead.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Makes the encoded files.
    #[arg(long)]
    encode: bool,
    /// ENCODED QIF [ENCODED QIF ...]
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    arguments::run("qpack_offline_decoder", || {
        let (pairs, rest) = arguments.files.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("files come in pairs: ENCODED QIF".into());
        }
        pairs.iter().try_for_each(|[encoded, qif]| work(arguments.encode, encoded, qif))
    })
}

fn work(making: bool, encoded: &Path, qif: &Path) -> Result<(), String> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let in_file = |path: &Path, error: String| format!("{}: {error}", path.display());
    let name = encoded.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parameters = Parameters::from_name(name)?;
    let lists = parse_qif(&read(qif)?).map_err(|error| in_file(qif, error))?;
    if making {
        let bytes = encode(&lists, parameters).map_err(|error| in_file(qif, error))?;
        return std::fs::write(encoded, bytes)
            .map_err(|error| format!("cannot write {}: {error}", encoded.display()));
    }
    let decoded = decode(&read(encoded)?, parameters).map_err(|error| in_file(encoded, error))?;
    if decoded.len() != lists.len() {
        let (have, want) = (decoded.len(), lists.len());
        return Err(in_file(encoded, format!("{have} header lists, not {want}")));
    }
    match decoded.iter().zip(&lists).position(|(have, want)| have != want) {
        Some(at) => Err(in_file(encoded, format!("header list {} differs", at + 1))),
        None => Ok(()),
    }
}
