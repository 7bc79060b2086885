//! QPACK as a whole: the RFC's example, round trips under every kind of delay, and what a hostile
//! peer may send.

use bytes::{Bytes, BytesMut};

use super::prefix_int::put_integer;
use super::*;
use crate::helper::{RandomGenerator, SeededRandom};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn pairs(decoded: Decoded) -> Vec<(String, String)> {
    let Decoded::Fields(fields) = decoded else { panic!("{decoded:?}") };
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    fields.iter().map(|field| (text(&field.name), text(&field.value))).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

#[test]
fn the_example_of_the_rfc() {
    // RFC 9204 App. B
    let mut decoder = Decoder::new(220, 100, 10_000);
    let b1 = decoder.decode(0, hex("0000510b2f696e6465782e68746d6c").into()).unwrap();
    assert_eq!(pairs(b1), [pair(":path", "/index.html")]);
    let stream = "3fbd01c00f7777772e6578616d706c652e636f6dc10c2f73616d706c652f70617468";
    let section = Bytes::from(hex("03811011"));
    assert_eq!(decoder.decode(4, section.clone()), Ok(Decoded::Blocked));
    decoder.on_encoder_stream(&hex(stream)).unwrap();
    assert_eq!(decoder.poll_unblocked(), Some(4));
    let b2 = decoder.decode(4, section).unwrap();
    assert_eq!(pairs(b2), [pair(":authority", "www.example.com"), pair(":path", "/sample/path")]);
    assert_eq!(decoder.take_decoder_stream().unwrap(), hex("84"));
    decoder.on_encoder_stream(&hex("4a637573746f6d2d6b65790c637573746f6d2d76616c7565")).unwrap();
    assert_eq!(decoder.take_decoder_stream().unwrap(), hex("01"));
    decoder.on_encoder_stream(&hex("02")).unwrap();
    let b4 = decoder.decode(8, hex("050080c181").into()).unwrap();
    let expected = [
        pair(":authority", "www.example.com"),
        pair(":path", "/"),
        pair("custom-key", "custom-value"),
    ];
    assert_eq!(pairs(b4), expected);
    assert_eq!(decoder.take_decoder_stream().unwrap(), hex("88"));
    decoder.on_encoder_stream(&hex("810d637573746f6d2d76616c756532")).unwrap();
    assert_eq!(decoder.take_decoder_stream().unwrap(), hex("01"));
}

/// Fields of which some come again and some do not.
fn random_fields(random: &mut SeededRandom) -> Vec<(String, String, bool)> {
    let count = random.next_u64() % 12;
    let field = |random: &mut SeededRandom| {
        let name = match random.next_u64() % 8 {
            0 => ":path".into(),
            1 => "cookie".into(),
            2 => "content-type".into(),
            n => format!("x-name-{}", n * (random.next_u64() % 5)),
        };
        let value = format!("value {}", random.next_u64() % (1 << (random.next_u64() % 12)));
        (name, value, random.next_u64().is_multiple_of(16))
    };
    (0..count).map(|_| field(random)).collect()
}

#[test]
fn what_is_encoded_comes_back_however_the_streams_are_delayed() {
    for capacity in [0, 64, 256, 4096] {
        for max_blocked in [0, 1, 100] {
            for seed in 0..40 {
                round_trip(capacity, max_blocked, seed);
            }
        }
    }
}

/// A stream, its section, and what the section should say.
type Waiting = (u64, Bytes, Vec<(String, String)>);

fn round_trip(capacity: u64, max_blocked: u64, seed: u64) {
    let context = format!("capacity {capacity}, blocked {max_blocked}, seed {seed}");
    let mut random = SeededRandom::new(seed);
    let mut encoder = Encoder::new();
    encoder.set_peer_settings(capacity, max_blocked);
    let mut decoder = Decoder::new(capacity, max_blocked, 100_000);
    let (mut to_decoder, mut to_encoder) = (Vec::new(), Vec::new());
    let mut waiting: Vec<Waiting> = Vec::new();
    for stream in 0..200 {
        let fields = random_fields(&mut random);
        let mut section = BytesMut::new();
        let refs = fields.iter().map(|(name, value, sensitive)| FieldRef {
            name: name.as_bytes(),
            value: value.as_bytes(),
            sensitive: *sensitive,
        });
        encoder.encode(stream, refs, &mut section);
        to_decoder.extend(encoder.take_encoder_stream().unwrap_or_default());
        let expected = fields.into_iter().map(|(name, value, _)| (name, value)).collect();
        waiting.push((stream, section.freeze(), expected));
        // Some of each stream arrives; what cannot be decoded waits.
        let some = random.next_u64() as usize % (to_decoder.len() + 1);
        decoder.on_encoder_stream(&to_decoder.drain(..some).collect::<Vec<_>>()).expect(&context);
        waiting.retain(|(stream, section, expected)| {
            match decoder.decode(*stream, section.clone()).expect(&context) {
                Decoded::Blocked => true,
                decoded => {
                    assert_eq!(pairs(decoded), *expected, "{context}");
                    false
                }
            }
        });
        assert!(waiting.len() as u64 <= max_blocked, "{context}");
        to_encoder.extend(decoder.take_decoder_stream().unwrap_or_default());
        let some = random.next_u64() as usize % (to_encoder.len() + 1);
        encoder.on_decoder_stream(&to_encoder.drain(..some).collect::<Vec<_>>()).expect(&context);
    }
}

#[test]
fn repeated_fields_shrink_to_a_byte_each() {
    let mut encoder = Encoder::new();
    encoder.set_peer_settings(4096, 100);
    let field =
        FieldRef { name: b"x-custom-name", value: b"a rather long value", sensitive: false };
    let mut encode = |stream| {
        let mut out = BytesMut::new();
        encoder.encode(stream, [field].into_iter(), &mut out);
        out.len()
    };
    encode(0);
    assert_eq!(encode(4), 3);
}

#[test]
fn a_sensitive_field_is_a_literal_that_says_so() {
    // RFC 9204 §7.1.3
    let mut encoder = Encoder::new();
    encoder.set_peer_settings(4096, 100);
    let field = FieldRef { name: b"authorization", value: b"secret", sensitive: true };
    let mut out = BytesMut::new();
    encoder.encode(0, [field].into_iter(), &mut out);
    assert!(encoder.take_encoder_stream().is_none_or(|bytes| bytes[0] & 0xe0 == 0x20));
    let mut decoder = Decoder::new(0, 0, 1000);
    let Ok(Decoded::Fields(fields)) = decoder.decode(0, out.freeze()) else { panic!() };
    assert!(fields[0].sensitive);
}

#[test]
fn a_peer_that_acknowledges_nothing_gets_sections_without_references() {
    let mut encoder = Encoder::new();
    encoder.set_peer_settings(4096, u64::MAX);
    let field = FieldRef { name: b"x-name", value: b"value", sensitive: false };
    let mut sizes = (0..2000).map(|stream| {
        let mut out = BytesMut::new();
        encoder.encode(stream * 4, [field].into_iter(), &mut out);
        out.len()
    });
    assert!(sizes.by_ref().take(1024).skip(1).all(|len| len <= 4));
    assert!(sizes.all(|len| len > 8));
}

#[test]
fn each_rule_of_the_decoder_has_its_error() {
    let decode = |bytes: &[u8]| {
        Decoder::new(4096, 0, 10_000).decode(0, Bytes::copy_from_slice(bytes)).unwrap_err().code
    };
    // RFC 9204 §3.1: static index 99
    assert_eq!(decode(&[0, 0, 0xff, 0x24]), QpackError::DECOMPRESSION_FAILED);
    // §2.2.3: a reference to an entry that was never inserted
    assert_eq!(decode(&[0, 0, 0x80]), QpackError::DECOMPRESSION_FAILED);
    // §2.1.2: a blocked stream where none may be
    assert_eq!(decode(&[2, 0, 0x80]), QpackError::DECOMPRESSION_FAILED);
    // §4.5.1.1: a count beyond twice the possible entries
    assert_eq!(decode(&hex("ffff0700")), QpackError::DECOMPRESSION_FAILED);
    // A line that is cut off
    assert_eq!(decode(&[0, 0, 0x51, 0x0b]), QpackError::DECOMPRESSION_FAILED);
    let instruct =
        |bytes: &[u8]| Decoder::new(100, 0, 10_000).on_encoder_stream(bytes).unwrap_err().code;
    // §4.3.1: more capacity than allowed
    assert_eq!(instruct(&hex("3fe1c7afa025")), QpackError::ENCODER_STREAM_ERROR);
    // §3.2.2: an entry larger than the table
    assert_eq!(instruct(&hex("c00161")), QpackError::ENCODER_STREAM_ERROR);
    // §4.3.4: a duplicate of nothing
    assert_eq!(instruct(&[0x00]), QpackError::ENCODER_STREAM_ERROR);
    // A string longer than the table could ever hold, at its length
    assert_eq!(instruct(&hex("5fffffffff7f")), QpackError::ENCODER_STREAM_ERROR);
    let acknowledge = |bytes: &[u8]| Encoder::new().on_decoder_stream(bytes).unwrap_err().code;
    // §4.4.3: an increment of zero, or beyond what was inserted; §4.4.1: no such section
    for bytes in [[0x00], [0x01], [0x84]] {
        assert_eq!(acknowledge(&bytes), QpackError::DECODER_STREAM_ERROR);
    }
}

#[test]
fn the_required_insert_count_is_exact() {
    let decode = |section: &[u8]| {
        let mut decoder = Decoder::new(4096, 0, 10_000);
        // A capacity of 100 and twice `foo: bar`
        decoder.on_encoder_stream(b"\x3f\x45\x43foo\x03bar\x43foo\x03bar").unwrap();
        decoder.decode(0, Bytes::copy_from_slice(section)).map_err(|error| error.code)
    };
    let foo = || Ok(vec![pair("foo", "bar")]);
    assert_eq!(decode(&[3, 0, 0x80]).map(pairs), foo());
    assert_eq!(decode(&[2, 0, 0x80]).map(pairs), foo());
    // RFC 9204 §2.2.1: more is promised than is referred to
    assert_eq!(decode(&[3, 0, 0x81]), Err(QpackError::DECOMPRESSION_FAILED));
    // §2.2.3: more is referred to than was promised
    assert_eq!(decode(&[0, 2, 0x80]), Err(QpackError::DECOMPRESSION_FAILED));
    // §4.5.1.1: beyond twice the possible entries, where streams may be blocked
    let beyond = Decoder::new(4096, 10, 10_000).decode(0, Bytes::from(hex("ffff0700")));
    assert_eq!(beyond.map_err(|error| error.code), Err(QpackError::DECOMPRESSION_FAILED));
}

#[test]
fn a_header_bomb_stops_at_the_limit() {
    let mut decoder = Decoder::new(4096, 0, 32_768);
    let mut stream = Vec::new();
    put_integer(&mut stream, 0x20, 5, 4096);
    put_integer(&mut stream, 0xc0, 6, 0);
    put_integer(&mut stream, 0, 7, 4000);
    stream.extend([b'\\'; 4000]);
    decoder.on_encoder_stream(&stream).unwrap();
    let mut section = vec![2, 0];
    section.resize(30_000, 0x80);
    assert_eq!(decoder.decode(0, section.into()), Ok(Decoded::TooLarge));
}

#[test]
fn random_bytes_are_refused_or_decoded_but_never_panic() {
    for seed in 0..20_000 {
        let mut random = SeededRandom::new(seed);
        let mut bytes = vec![0; random.next_u64() as usize % 60];
        random.fill(&mut bytes);
        let mut decoder = Decoder::new(1000, 10, 1000);
        let _ = decoder.on_encoder_stream(&bytes);
        let _ = decoder.decode(0, bytes.clone().into());
        let mut encoder = Encoder::new();
        encoder.set_peer_settings(1000, 10);
        let _ = encoder.on_decoder_stream(&bytes);
    }
}
