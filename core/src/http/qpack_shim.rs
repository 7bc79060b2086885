//! SHIM until the qpack room is merged: literals only, with the intended interface.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    unused_variables,
    dead_code,
    reason = "shim"
)]
use bytes::{BufMut, Bytes, BytesMut};
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Bytes,
    pub value: Bytes,
    pub sensitive: bool,
}
#[derive(Clone, Copy, Debug)]
pub struct FieldRef<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub sensitive: bool,
}
#[derive(Debug)]
pub struct QpackError {
    pub code: u64,
    pub reason: String,
}
#[derive(Debug)]
pub enum Decoded {
    Fields(Vec<Field>),
    Blocked,
    TooLarge,
}
#[derive(Debug)]
pub struct Encoder;
#[derive(Debug)]
pub struct Decoder {
    max: u64,
}
fn int(out: &mut BytesMut, first: u8, bits: u8, v: usize) {
    let max = (1 << bits) - 1;
    if v < max {
        out.put_u8(first | v as u8);
        return;
    }
    out.put_u8(first | max as u8);
    let mut v = v - max;
    while v >= 128 {
        out.put_u8((v & 127) as u8 | 128);
        v >>= 7;
    }
    out.put_u8(v as u8);
}
fn read_int(b: &mut &[u8], bits: u8) -> Option<usize> {
    let max = (1_usize << bits) - 1;
    let (first, rest) = b.split_first()?;
    *b = rest;
    let mut v = usize::from(*first) & max;
    if v < max {
        return Some(v);
    }
    let mut shift = 0;
    loop {
        let (byte, rest) = b.split_first()?;
        *b = rest;
        v += usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return Some(v);
        }
        if shift > 28 {
            return None;
        }
    }
}
impl Encoder {
    pub fn new() -> Self {
        Self
    }
    pub fn set_peer_settings(&mut self, cap: u64, blocked: u64) {}
    pub fn encode<'a>(
        &mut self,
        id: u64,
        fields: impl Iterator<Item = FieldRef<'a>>,
        out: &mut BytesMut,
    ) {
        out.put_slice(&[0, 0]);
        for f in fields {
            int(out, 0x20, 3, f.name.len());
            out.put_slice(f.name);
            int(out, 0, 7, f.value.len());
            out.put_slice(f.value);
        }
    }
    pub fn take_encoder_stream(&mut self) -> Option<Bytes> {
        None
    }
    pub fn on_decoder_stream(&mut self, data: &[u8]) -> Result<(), QpackError> {
        Ok(())
    }
}
impl Decoder {
    pub fn new(cap: u64, blocked: u64, max: u64) -> Self {
        Self { max }
    }
    pub fn on_encoder_stream(&mut self, data: &[u8]) -> Result<(), QpackError> {
        Ok(())
    }
    pub fn decode(&mut self, id: u64, section: Bytes) -> Result<Decoded, QpackError> {
        let err = || QpackError { code: 0x200, reason: "shim".into() };
        let mut b = section.get(2..).ok_or_else(err)?;
        let (mut fields, mut size) = (Vec::new(), 0);
        while !b.is_empty() {
            if b[0] & 0xe0 != 0x20 || b[0] & 8 != 0 {
                return Err(err());
            }
            let n = read_int(&mut b, 3).ok_or_else(err)?;
            let (name, rest) = b.split_at_checked(n).ok_or_else(err)?;
            b = rest;
            let n = read_int(&mut b, 7).ok_or_else(err)?;
            let (value, rest) = b.split_at_checked(n).ok_or_else(err)?;
            b = rest;
            size += name.len() + value.len() + 32;
            if size as u64 > self.max {
                return Ok(Decoded::TooLarge);
            }
            fields.push(Field {
                name: section.slice_ref(name),
                value: section.slice_ref(value),
                sensitive: false,
            });
        }
        Ok(Decoded::Fields(fields))
    }
    pub fn poll_unblocked(&mut self) -> Option<u64> {
        None
    }
    pub fn cancel_stream(&mut self, id: u64) {}
    pub fn take_decoder_stream(&mut self) -> Option<Bytes> {
        None
    }
}
