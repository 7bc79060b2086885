//! [`Encoder`]: fields in, field sections out (RFC 9204 §2.1). Uses the dynamic table as far as the
//! peer's settings allow; never blocks more streams than they do, and never drops an entry that is
//! still referred to.

use bytes::{BufMut, Bytes, BytesMut};

use super::dynamic_table::{DynamicTable, ENTRY_OVERHEAD, entry_size};
use super::outstanding::{Outstanding, Section};
use super::prefix_int::{Cursor, Unreadable, put_integer, put_string};
use super::static_table::Found;
use super::{FieldRef, QpackError, static_table};
use crate::rare::Rare;

/// Encodes for one peer.
#[derive(Debug, Default)]
pub struct Encoder {
    table: DynamicTable,
    /// The peer's SETTINGS_QPACK_MAX_TABLE_CAPACITY, by which counts are encoded.
    peer_capacity: u64,
    max_blocked: u64,
    outstanding: Rare<Outstanding>,
    /// How many inserts the peer is known to have received.
    known_received: u64,
    /// For the encoder stream.
    out: Vec<u8>,
    /// An instruction of the decoder stream of which not all has come.
    partial: Vec<u8>,
    lines: Vec<u8>,
}

/// What a section being encoded refers to.
#[derive(Debug)]
struct References {
    base: u64,
    required: u64,
    lowest: u64,
    /// Entries that the peer may not have received may be referred to.
    may_block: bool,
    /// The dynamic table may be referred to at all.
    may_refer: bool,
}

impl References {
    fn add(&mut self, index: u64) {
        self.required = self.required.max(index + 1);
        self.lowest = self.lowest.min(index);
    }
}

/// What the dynamic table has for a field.
#[derive(Clone, Copy, Debug)]
enum InTable {
    Exact(u64),
    Name(u64),
    Nothing,
}

impl Encoder {
    /// Without a dynamic table until the peer's settings are known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back what only a busy connection needs.
    pub(crate) fn release_memory(&mut self) {
        self.outstanding.release_if(Outstanding::is_empty);
        self.out.shrink_to_fit();
        self.lines.shrink_to_fit();
    }

    /// The peer's settings: what its decoder can keep, and how many streams may wait.
    pub fn set_peer_settings(&mut self, max_table_capacity: u64, blocked_streams: u64) {
        self.peer_capacity = max_table_capacity;
        self.max_blocked = blocked_streams;
        let capacity = max_table_capacity.min(MAX_CAPACITY);
        if capacity > self.table.capacity() {
            put_integer(&mut self.out, 0x20, 5, capacity);
            self.table.set_capacity(capacity);
        }
    }

    /// Appends a field section of this stream.
    pub fn encode<'a>(
        &mut self,
        stream: u64,
        fields: impl Iterator<Item = FieldRef<'a>>,
        out: &mut BytesMut,
    ) {
        self.encode_with(stream, fields, |prefix, lines| {
            out.put_slice(prefix);
            out.put_slice(lines);
        });
    }

    /// Encodes a field section of this stream and lends its two parts, so that what must be said
    /// before it can count them.
    pub(crate) fn encode_with<'a, R>(
        &mut self,
        stream: u64,
        fields: impl Iterator<Item = FieldRef<'a>>,
        take: impl FnOnce(&[u8], &[u8]) -> R,
    ) -> R {
        let mut references = References {
            base: self.table.inserted(),
            required: 0,
            lowest: u64::MAX,
            may_block: self.may_block(stream),
            may_refer: self.table.capacity() > 0 && self.outstanding.has_room(),
        };
        let mut section = std::mem::take(&mut self.lines);
        section.clear();
        for field in fields {
            self.line(&field, &mut references, &mut section);
        }
        let References { base, required, lowest, .. } = references;
        // The prefix is known last, and is kept behind the lines.
        let end = section.len();
        self.prefix(required, base, &mut section);
        let (lines, prefix) = section.split_at(end);
        let taken = take(prefix, lines);
        self.lines = section;
        if required > 0 {
            self.outstanding.add(stream, Section { required, lowest });
        }
        taken
    }

    /// Whether a section of this stream may refer to what the peer may not have received
    /// (RFC 9204 §2.1.2).
    fn may_block(&self, stream: u64) -> bool {
        let known = self.known_received;
        if known == self.table.inserted() {
            return self.max_blocked > 0; // nobody can be waiting
        }
        self.outstanding.is_blocked(stream, known)
            || self.outstanding.blocked_streams(known) < self.max_blocked
    }

    /// RFC 9204 §4.5.1
    fn prefix(&self, required: u64, base: u64, out: &mut Vec<u8>) {
        if required == 0 {
            out.extend([0, 0]);
            return;
        }
        let full_range = 2 * (self.peer_capacity / ENTRY_OVERHEAD);
        put_integer(out, 0, 8, required % full_range + 1);
        if base >= required {
            put_integer(out, 0, 7, base - required);
        } else {
            put_integer(out, 0x80, 7, required - base - 1);
        }
    }

    fn line(&mut self, field: &FieldRef<'_>, references: &mut References, out: &mut Vec<u8>) {
        let in_static = static_table::find(field.name, field.value);
        if let (Found::Exact(index), false) = (in_static, field.sensitive) {
            return put_integer(out, 0xc0, 6, index);
        }
        let mut in_table = InTable::Nothing;
        if references.may_refer && is_worth_keeping(field.name, in_static) {
            in_table = self.find(field, references.may_block);
            if !field.sensitive && !matches!(in_table, InTable::Exact(_)) {
                let inserted = self.insert(field, in_static, in_table, references.lowest);
                if let Some(index) = inserted.filter(|_| references.may_block) {
                    in_table = InTable::Exact(index);
                } else if let InTable::Name(index) = in_table
                    && self.table.get(index).is_none()
                {
                    in_table = InTable::Nothing;
                }
            }
        }
        match (in_table, in_static) {
            (InTable::Exact(index), _) if !field.sensitive => {
                references.add(index);
                match references.base.checked_sub(index + 1) {
                    Some(age) => put_integer(out, 0x80, 6, age),
                    None => put_integer(out, 0x10, 4, index - references.base),
                }
            }
            (_, Found::Exact(index) | Found::Name(index)) => {
                let never = if field.sensitive { 0x20 } else { 0 };
                put_integer(out, 0x50 | never, 4, index);
                put_string(out, 0, 7, field.value);
            }
            (InTable::Exact(index) | InTable::Name(index), _) => {
                references.add(index);
                if let Some(age) = references.base.checked_sub(index + 1) {
                    let never = if field.sensitive { 0x20 } else { 0 };
                    put_integer(out, 0x40 | never, 4, age);
                } else {
                    let never = if field.sensitive { 0x08 } else { 0 };
                    put_integer(out, never, 3, index - references.base);
                }
                put_string(out, 0, 7, field.value);
            }
            (InTable::Nothing, Found::Nothing) => {
                let never = if field.sensitive { 0x10 } else { 0 };
                put_string(out, 0x20 | never, 3, field.name);
                put_string(out, 0, 7, field.value);
            }
        }
    }

    /// The newest usable entry for a field.
    fn find(&self, field: &FieldRef<'_>, may_block: bool) -> InTable {
        let mut found = InTable::Nothing;
        for (index, entry) in self.table.newest_first() {
            if (!may_block && index >= self.known_received) || entry.name != field.name {
                continue;
            }
            if entry.value == field.value {
                return InTable::Exact(index);
            }
            if matches!(found, InTable::Nothing) {
                found = InTable::Name(index);
            }
        }
        found
    }

    /// Puts a field into the table, if there is room without dropping what is in use: by earlier
    /// sections, or by this one from `referred_from` on.
    fn insert(
        &mut self,
        field: &FieldRef<'_>,
        in_static: Found,
        in_table: InTable,
        referred_from: u64,
    ) -> Option<u64> {
        let size = entry_size(field.name, field.value);
        // A large entry would drive out many small ones.
        if size > self.table.capacity() / 2 {
            return None;
        }
        let evictions = self.table.evictions_for(size)? as u64;
        let kept_from = self.table.oldest() + evictions;
        // RFC 9204 §2.1.1: neither referred to, nor possibly still on its way.
        let referred = self.outstanding.lowest().unwrap_or(u64::MAX).min(referred_from);
        let evictable = referred.min(self.known_received);
        if evictions > 0 && kept_from > evictable {
            return None;
        }
        match (in_static, in_table) {
            (Found::Exact(index) | Found::Name(index), _) => {
                put_integer(&mut self.out, 0xc0, 6, index);
            }
            (_, InTable::Exact(index) | InTable::Name(index)) if index >= kept_from => {
                put_integer(&mut self.out, 0x80, 6, self.table.inserted() - 1 - index);
            }
            _ => put_string(&mut self.out, 0x40, 5, field.name),
        }
        put_string(&mut self.out, 0, 7, field.value);
        let [name, value] = [field.name, field.value].map(Bytes::copy_from_slice);
        self.table.insert(name, value)
    }

    /// What to write on the encoder stream, before or with the sections that rely on it.
    pub fn take_encoder_stream(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// Takes bytes of the peer's decoder stream (RFC 9204 §4.4).
    pub fn on_decoder_stream(&mut self, data: &[u8]) -> Result<(), QpackError> {
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(data);
        let mut read = 0;
        while let Some(first) = joined.get(read).copied() {
            let mut cursor = Cursor::new(&joined[read..]);
            let bits = match first {
                0x80.. => 7,
                _ => 6,
            };
            let value = match cursor.integer(bits) {
                Ok(value) => value,
                Err(Unreadable::Short) => break,
                Err(Unreadable::Bad(why)) => return Err(QpackError::decoder_stream(why)),
            };
            read += cursor.position();
            self.feedback(first, value)?;
        }
        self.partial = joined.split_off(read);
        Ok(())
    }

    fn feedback(&mut self, first: u8, value: u64) -> Result<(), QpackError> {
        if first & 0x80 != 0 {
            // Section Acknowledgment (§4.4.1)
            let section = self.outstanding.acknowledge(value).ok_or_else(|| {
                QpackError::decoder_stream(format!(
                    "stream {value} has no section to be acknowledged"
                ))
            })?;
            self.known_received = self.known_received.max(section.required);
        } else if first & 0x40 != 0 {
            // Stream Cancellation (§4.4.2)
            if let Some(outstanding) = self.outstanding.get_mut() {
                outstanding.cancel(value);
            }
        } else {
            // Insert Count Increment (§4.4.3)
            let known = self.known_received.checked_add(value);
            let known = known.filter(|known| value > 0 && *known <= self.table.inserted());
            self.known_received = known.ok_or_else(|| {
                QpackError::decoder_stream(format!(
                    "an increment of {value} on {} of {} inserts",
                    self.known_received,
                    self.table.inserted()
                ))
            })?;
        }
        Ok(())
    }
}

/// Whether a field is likely to come again as it is. Values that differ with every message would
/// only drive out those that do not; they are not looked for in the dynamic table either.
fn is_worth_keeping(name: &[u8], in_static: Found) -> bool {
    match in_static {
        Found::Exact(index) | Found::Name(index) => !VARIES[index as usize],
        Found::Nothing => name != VARYING_ELSEWHERE,
    }
}

/// Which entries of the static table have a name of [`VARYING`].
static VARIES: [bool; static_table::ENTRY_COUNT] = {
    let mut varies = [false; static_table::ENTRY_COUNT];
    let mut at = 0;
    while at < varies.len() {
        let name = static_table::ENTRIES[at].0.as_bytes();
        let mut varying = 0;
        while varying < VARYING.len() {
            varies[at] |= static_table::is_same(name, VARYING[varying].as_bytes());
            varying += 1;
        }
        at += 1;
    }
    varies
};

/// The name of fields that vary which the static table does not have.
const VARYING_ELSEWHERE: &[u8] = b"content-range";

/// The names that it has.
const VARYING: [&str; 11] = [
    ":path",
    ":status",
    "age",
    "content-length",
    "date",
    "etag",
    "if-modified-since",
    "if-none-match",
    "last-modified",
    "location",
    "range",
];

/// How large a table we keep, whatever the peer could.
const MAX_CAPACITY: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a field of this name goes into the dynamic table.
    fn is_kept(name: &[u8]) -> bool {
        let mut encoder = Encoder::new();
        encoder.set_peer_settings(4096, 100);
        let _ = encoder.take_encoder_stream(); // how large the table is
        let field = FieldRef { name, value: b"of this message", sensitive: false };
        encoder.encode(0, [field].into_iter(), &mut BytesMut::new());
        encoder.take_encoder_stream().is_some()
    }

    #[test]
    fn what_varies_does_not_drive_out_what_does_not() {
        for name in VARYING {
            assert!(!is_kept(name.as_bytes()), "{name}");
        }
        assert!(!is_kept(VARYING_ELSEWHERE));
        assert!(is_kept(b"user-agent") && is_kept(b"x-of-ours"));
    }
}
