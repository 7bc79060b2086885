//! The QPACK offline-interop format: encoded files as records of stream, length and bytes, and
//! `.qif` files as the header lists that they hold. Stream 0 carries the encoder stream.

use bytes::{Bytes, BytesMut};
use protoquic::qpack::{Decoded, Decoder, Encoder, FieldRef};

/// Name and value of every field of a list.
pub type HeaderList = Vec<(Bytes, Bytes)>;

/// The parameters that an encoded file's name ends in: `NAME.out.CAPACITY.BLOCKED.ACK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The dynamic table's capacity in bytes.
    pub capacity: u64,
    /// How many streams may be blocked.
    pub blocked: u64,
    /// Whether the encoder heard every section acknowledged at once.
    pub acknowledged: bool,
}

impl Parameters {
    /// From a file's name.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let bad = || format!("{name} is not named NAME.out.CAPACITY.BLOCKED.ACK");
        let mut parts = name.rsplit('.');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (ack, blocked, capacity) =
            (number().ok_or_else(bad)?, number().ok_or_else(bad)?, number().ok_or_else(bad)?);
        Ok(Self { capacity, blocked, acknowledged: ack != 0 })
    }
}

/// Reads a `.qif` file: a line for each field, name and value separated by a tab; lists by blank
/// lines; lines that begin with `#` do not count.
pub fn parse_qif(text: &[u8]) -> Result<Vec<HeaderList>, String> {
    let mut lists = Vec::new();
    let mut list = HeaderList::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if !list.is_empty() {
                lists.push(std::mem::take(&mut list));
            }
        } else if line[0] != b'#' {
            let tab = line.iter().position(|byte| *byte == b'\t');
            let tab = tab.ok_or_else(|| format!("line {} of the qif has no tab", number + 1))?;
            let copy = Bytes::copy_from_slice;
            list.push((copy(&line[..tab]), copy(&line[tab + 1..])));
        }
    }
    if !list.is_empty() {
        lists.push(list);
    }
    Ok(lists)
}

/// Decodes an encoded file. The lists in the order of their streams.
pub fn decode(encoded: &[u8], parameters: Parameters) -> Result<Vec<HeaderList>, String> {
    let mut decoder = Decoder::new(parameters.capacity, parameters.blocked, u64::MAX >> 8);
    let mut lists = Vec::new();
    let mut waiting: Vec<(u64, Bytes)> = Vec::new();
    let mut rest = encoded;
    while !rest.is_empty() {
        let (stream, bytes) = next_record(&mut rest)?;
        if stream == 0 {
            decoder.on_encoder_stream(bytes).map_err(|error| format!("encoder stream: {error}"))?;
        } else {
            waiting.push((stream, Bytes::copy_from_slice(bytes)));
        }
        let mut failure = Ok(());
        waiting.retain(|(stream, section)| match decoder.decode(*stream, section.clone()) {
            Ok(Decoded::Blocked) => true,
            Ok(Decoded::Fields(fields)) => {
                let pair = |field: protoquic::qpack::Field| (field.name, field.value);
                lists.push((*stream, fields.into_iter().map(pair).collect()));
                false
            }
            Ok(Decoded::TooLarge) => {
                failure = Err(format!("stream {stream}: the list is too large"));
                false
            }
            Err(error) => {
                failure = Err(format!("stream {stream}: {error}"));
                false
            }
        });
        failure?;
    }
    if let Some((stream, _)) = waiting.first() {
        return Err(format!("stream {stream} waits for inserts that never come"));
    }
    lists.sort_by_key(|(stream, _)| *stream);
    Ok(lists.into_iter().map(|(_, list)| list).collect())
}

fn next_record<'a>(rest: &mut &'a [u8]) -> Result<(u64, &'a [u8]), String> {
    let cut = || "the last record is cut off".to_owned();
    let (stream, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let (len, after) = after.split_first_chunk::<4>().ok_or_else(cut)?;
    let (bytes, after) =
        after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(cut)?;
    *rest = after;
    Ok((u64::from_be_bytes(*stream), bytes))
}

/// Encodes lists as such a file.
pub fn encode(lists: &[HeaderList], parameters: Parameters) -> Result<Vec<u8>, String> {
    let mut encoder = Encoder::new();
    encoder.set_peer_settings(parameters.capacity, parameters.blocked);
    // With acknowledgements: those that a decoder would send.
    let mut decoder = Decoder::new(parameters.capacity, parameters.blocked, u64::MAX >> 8);
    let mut out = Vec::new();
    for (list, stream) in lists.iter().zip(1..) {
        let mut section = BytesMut::new();
        let fields = list.iter().map(|(name, value)| FieldRef { name, value, sensitive: false });
        encoder.encode(stream, fields, &mut section);
        if let Some(inserts) = encoder.take_encoder_stream() {
            record(&mut out, 0, &inserts);
            let taken = decoder.on_encoder_stream(&inserts);
            taken.map_err(|error| format!("our own encoder stream is wrong: {error}"))?;
        }
        record(&mut out, stream, &section);
        let decoded = decoder.decode(stream, section.freeze());
        decoded.map_err(|error| format!("our own section {stream} is wrong: {error}"))?;
        if parameters.acknowledged
            && let Some(acks) = decoder.take_decoder_stream()
        {
            let heard = encoder.on_decoder_stream(&acks);
            heard.map_err(|error| format!("our own decoder stream is wrong: {error}"))?;
        }
    }
    Ok(out)
}

fn record(out: &mut Vec<u8>, stream: u64, bytes: &[u8]) {
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_the_same_lists() {
        let qif = b"# a comment\n:method\tGET\nx-name\tvalue\n\n:method\tGET\nx-name\tvalue\n";
        let lists = parse_qif(qif).unwrap();
        assert_eq!(lists.len(), 2);
        for (capacity, blocked) in [(0, 0), (256, 0), (4096, 100)] {
            for acknowledged in [false, true] {
                let parameters = Parameters { capacity, blocked, acknowledged };
                let encoded = encode(&lists, parameters).unwrap();
                assert_eq!(decode(&encoded, parameters).unwrap(), lists);
            }
        }
    }

    #[test]
    fn names_tell_parameters_and_cut_files_are_refused() {
        let parameters = Parameters { capacity: 4096, blocked: 100, acknowledged: true };
        assert_eq!(Parameters::from_name("a.out.4096.100.1"), Ok(parameters));
        assert!(Parameters::from_name("a.out").is_err());
        assert!(decode(&[0; 11], parameters).is_err());
    }
}
