//! [`Decoder`]: field sections in, fields out (RFC 9204 §2.2). Follows the peer's encoder stream,
//! and tells the peer's encoder what it has processed. Everything it keeps is bounded by the table's
//! capacity and the number of streams that may be blocked.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::dynamic_table::{DynamicTable, ENTRY_OVERHEAD, entry_size};
use super::prefix_int::{Cursor, Unreadable, put_integer};
use super::{Field, QpackError, static_table};

/// What became of a field section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Its fields.
    Fields(Vec<Field>),
    /// It needs table entries that have not come yet: keep it, and try again when
    /// [`Decoder::poll_unblocked`] names its stream.
    Blocked,
    /// Its fields are larger than allowed, in the measure of RFC 9114 §4.2.2. They were not all
    /// decoded; [cancel](Decoder::cancel_stream) the stream.
    TooLarge,
}

/// Decodes what one peer sends.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    max_capacity: u64,
    max_blocked: u64,
    max_section: u64,
    /// An instruction of the encoder stream of which not all has come.
    partial: Vec<u8>,
    /// The Required Insert Count that each blocked stream waits for.
    blocked: BTreeMap<u64, u64>,
    /// How many inserts the peer's encoder knows that we have.
    acknowledged: u64,
    out: Vec<u8>,
    /// Where strings are put, those of many sections in one allocation.
    text: BytesMut,
}

impl Decoder {
    /// With the limits that we advertise: the table's capacity in bytes, how many streams may be
    /// blocked, and how large a decoded section may be.
    pub fn new(max_capacity: u64, max_blocked: u64, max_section: u64) -> Self {
        Self {
            table: DynamicTable::default(),
            max_capacity,
            max_blocked,
            max_section,
            partial: Vec::new(),
            blocked: BTreeMap::new(),
            acknowledged: 0,
            out: Vec::new(),
            text: BytesMut::new(),
        }
    }

    /// Gives back what only a busy connection needs.
    pub(crate) fn release_memory(&mut self) {
        self.text = BytesMut::new();
        self.out.shrink_to_fit();
    }

    /// Takes bytes of the peer's encoder stream.
    pub fn on_encoder_stream(&mut self, data: &[u8]) -> Result<(), QpackError> {
        // Whole instructions are read where they lie; only a piece at the end is kept.
        let mut joined = std::mem::take(&mut self.partial);
        let bytes = if joined.is_empty() {
            data
        } else {
            joined.extend_from_slice(data);
            &joined
        };
        let mut read = 0;
        while read < bytes.len() {
            let mut cursor = Cursor::new(&bytes[read..]);
            match self.instruction(&mut cursor) {
                Ok(()) => read += cursor.position(),
                Err(Failure::Read(Unreadable::Short)) => break,
                Err(Failure::Read(Unreadable::Bad(why))) => {
                    return Err(QpackError::encoder_stream(why));
                }
                Err(Failure::Rule(why)) => return Err(QpackError::encoder_stream(why)),
            }
        }
        self.partial = bytes[read..].to_vec();
        Ok(())
    }

    /// One instruction (RFC 9204 §4.3).
    fn instruction(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Failure> {
        let max = self.max_string();
        let first = cursor.peek().ok_or(Unreadable::Short)?;
        if first & 0x80 != 0 {
            // Insert with Name Reference (§4.3.2)
            let index = cursor.integer(6)?;
            let value = self.kept(cursor, 7, max)?;
            let name = if first & 0x40 != 0 {
                let (name, _) = static_table::get(index).ok_or_else(|| no_static(index))?;
                Bytes::from_static(name.as_bytes())
            } else {
                self.relative(index)?.name
            };
            self.insert(name, value)
        } else if first & 0x40 != 0 {
            // Insert with Literal Name (§4.3.3)
            let name = self.kept(cursor, 5, max)?;
            let value = self.kept(cursor, 7, max)?;
            self.insert(name, value)
        } else if first & 0x20 != 0 {
            // Set Dynamic Table Capacity (§4.3.1)
            let capacity = cursor.integer(5)?;
            if capacity > self.max_capacity {
                return Err(Failure::Rule(format!(
                    "table capacity {capacity}; {} was allowed",
                    self.max_capacity
                )));
            }
            self.table.set_capacity(capacity);
            Ok(())
        } else {
            // Duplicate (§4.3.4)
            let index = cursor.integer(5)?;
            let entry = self.relative(index)?;
            self.insert(entry.name, entry.value)
        }
    }

    /// A string for the table, in no more memory than it needs.
    fn kept(&mut self, cursor: &mut Cursor<'_>, bits: u8, max: usize) -> Result<Bytes, Unreadable> {
        let text = cursor.string(bits, max, &mut self.text)?;
        Ok(Bytes::copy_from_slice(&text))
    }

    /// No string of an entry can be longer than this, Huffman-coded or not: a code has at least
    /// five bits a byte, and at most thirty.
    fn max_string(&self) -> usize {
        usize::try_from(self.max_capacity.saturating_mul(4)).unwrap_or(usize::MAX)
    }

    /// An entry by its age (RFC 9204 §3.2.5).
    fn relative(&self, age: u64) -> Result<super::dynamic_table::Entry, Failure> {
        let index = self.table.inserted().checked_sub(age.saturating_add(1));
        let entry = index.and_then(|index| self.table.get(index)).cloned();
        entry
            .ok_or_else(|| Failure::Rule(format!("the table has no entry of relative index {age}")))
    }

    fn insert(&mut self, name: Bytes, value: Bytes) -> Result<(), Failure> {
        let size = entry_size(&name, &value);
        match self.table.insert(name, value) {
            Some(_) => Ok(()),
            // RFC 9204 §3.2.2
            None => Err(Failure::Rule(format!(
                "an entry of {size} bytes for a table of {}",
                self.table.capacity()
            ))),
        }
    }

    /// Decodes a field section of this stream.
    pub fn decode(&mut self, stream: u64, section: Bytes) -> Result<Decoded, QpackError> {
        self.decode_section(stream, &section)
    }

    /// The same, of a section that is only lent.
    pub(crate) fn decode_section(
        &mut self,
        stream: u64,
        section: &[u8],
    ) -> Result<Decoded, QpackError> {
        let mut cursor = Cursor::new(section);
        let (required, base) = self.prefix(&mut cursor)?;
        if required > self.table.inserted() {
            self.blocked.insert(stream, required);
            // RFC 9204 §2.1.2
            if self.blocked.len() as u64 > self.max_blocked {
                return Err(QpackError::decompression(format!(
                    "{} streams are blocked; {} were allowed",
                    self.blocked.len(),
                    self.max_blocked
                )));
            }
            return Ok(Decoded::Blocked);
        }
        self.blocked.remove(&stream);
        // A field line has at least a byte.
        let mut fields = Vec::with_capacity(section.len().min(USUAL_FIELDS));
        let (mut size, mut highest) = (0_u64, 0);
        while cursor.position() < section.len() {
            let line = self.line(&mut cursor, base, required, &mut highest);
            let field = line.map_err(|failure| match failure {
                Failure::Read(Unreadable::Short) => {
                    QpackError::decompression("a field line is cut off")
                }
                Failure::Read(Unreadable::Bad(why)) => QpackError::decompression(why),
                Failure::Rule(why) => QpackError::decompression(why),
            })?;
            size += field.name.len() as u64 + field.value.len() as u64 + ENTRY_OVERHEAD;
            if size > self.max_section {
                return Ok(Decoded::TooLarge);
            }
            fields.push(field);
        }
        if required > 0 {
            // RFC 9204 §2.2.1: what is promised must also be referred to.
            if highest != required {
                return Err(QpackError::decompression(format!(
                    "Required Insert Count {required}, but the references end at {highest}"
                )));
            }
            // Section Acknowledgment (§4.4.1)
            put_integer(&mut self.out, 0x80, 7, stream);
            self.acknowledged = self.acknowledged.max(required);
        }
        Ok(Decoded::Fields(fields))
    }

    /// Required Insert Count and Base (RFC 9204 §4.5.1).
    fn prefix(&self, cursor: &mut Cursor<'_>) -> Result<(u64, u64), QpackError> {
        let cut = |_| QpackError::decompression("a field section's prefix is cut off");
        let encoded = cursor.integer(8).map_err(cut)?;
        let required = self.required_insert_count(encoded)?;
        let is_negative = cursor.peek().is_some_and(|byte| byte & 0x80 != 0);
        let delta = cursor.integer(7).map_err(cut)?;
        let base = if is_negative {
            required.checked_sub(delta.saturating_add(1))
        } else {
            required.checked_add(delta)
        };
        let base = base.ok_or_else(|| QpackError::decompression("the Base is negative"))?;
        Ok((required, base))
    }

    /// RFC 9204 §4.5.1.1
    fn required_insert_count(&self, encoded: u64) -> Result<u64, QpackError> {
        if encoded == 0 {
            return Ok(0);
        }
        let wrong =
            || QpackError::decompression(format!("the encoded Required Insert Count is {encoded}"));
        let max_entries = self.max_capacity / ENTRY_OVERHEAD;
        let full_range = 2 * max_entries;
        if encoded > full_range {
            return Err(wrong());
        }
        let max_value = self.table.inserted() + max_entries;
        let max_wrapped = max_value / full_range * full_range;
        let mut required = max_wrapped + encoded - 1;
        if required > max_value {
            required = required.checked_sub(full_range).filter(|r| *r > 0).ok_or_else(wrong)?;
        }
        if required == 0 { Err(wrong()) } else { Ok(required) }
    }

    /// One field line (RFC 9204 §4.5.2 to §4.5.6).
    fn line(
        &mut self,
        cursor: &mut Cursor<'_>,
        base: u64,
        required: u64,
        highest: &mut u64,
    ) -> Result<Field, Failure> {
        let first = cursor.peek().ok_or(Unreadable::Short)?;
        let max = usize::try_from(self.max_section.saturating_mul(4)).unwrap_or(usize::MAX);
        let Self { table, text, .. } = self;
        let mut dynamic = |index: Option<u64>| {
            let index = index.filter(|index| *index < required);
            let entry = index.and_then(|index| {
                *highest = (*highest).max(index + 1);
                table.get(index)
            });
            entry.ok_or_else(|| Failure::Rule("a reference to no entry of the table".into()))
        };
        let before_base = |age: u64| base.checked_sub(age.saturating_add(1));
        if first & 0x80 != 0 {
            let index = cursor.integer(6)?;
            if first & 0x40 != 0 {
                let (name, value) = static_table::get(index).ok_or_else(|| no_static(index))?;
                let [name, value] = [name, value].map(|s| Bytes::from_static(s.as_bytes()));
                return Ok(Field { name, value, sensitive: false });
            }
            let entry = dynamic(before_base(index))?;
            return Ok(field(entry.name.clone(), entry.value.clone(), false));
        }
        if first & 0x40 != 0 {
            // Literal with Name Reference (§4.5.4)
            let sensitive = first & 0x20 != 0;
            let index = cursor.integer(4)?;
            let name = if first & 0x10 != 0 {
                let (name, _) = static_table::get(index).ok_or_else(|| no_static(index))?;
                Bytes::from_static(name.as_bytes())
            } else {
                dynamic(before_base(index))?.name.clone()
            };
            return Ok(field(name, cursor.string(7, max, text)?, sensitive));
        }
        if first & 0x20 != 0 {
            // Literal with Literal Name (§4.5.6)
            let sensitive = first & 0x10 != 0;
            let name = cursor.string(3, max, text)?;
            return Ok(field(name, cursor.string(7, max, text)?, sensitive));
        }
        if first & 0x10 != 0 {
            // Indexed with Post-Base Index (§4.5.3)
            let index = cursor.integer(4)?;
            let entry = dynamic(base.checked_add(index))?;
            return Ok(field(entry.name.clone(), entry.value.clone(), false));
        }
        // Literal with Post-Base Name Reference (§4.5.5)
        let sensitive = first & 0x08 != 0;
        let index = cursor.integer(3)?;
        let name = dynamic(base.checked_add(index))?.name.clone();
        Ok(field(name, cursor.string(7, max, text)?, sensitive))
    }

    /// A stream whose section can be decoded now, each once.
    pub fn poll_unblocked(&mut self) -> Option<u64> {
        let inserted = self.table.inserted();
        let (stream, _) = self.blocked.iter().find(|(_, required)| **required <= inserted)?;
        let stream = *stream;
        self.blocked.remove(&stream);
        Some(stream)
    }

    /// The stream was abandoned: its sections will not be decoded (RFC 9204 §2.2.2.2).
    pub fn cancel_stream(&mut self, stream: u64) {
        self.blocked.remove(&stream);
        // Without a table there is nothing that the encoder could be waiting for.
        if self.max_capacity > 0 {
            put_integer(&mut self.out, 0x40, 6, stream);
        }
    }

    /// Whether there is something to write on the decoder stream.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty() || self.table.inserted() > self.acknowledged
    }

    /// How many bytes that is, without what inserts will add.
    pub(crate) const fn output_len(&self) -> usize {
        self.out.len()
    }

    /// Moves it to `to`.
    pub(crate) fn drain_output(&mut self, to: &mut BytesMut) {
        self.note_inserts();
        to.extend_from_slice(&self.out);
        self.out.clear();
    }

    /// What to write on the decoder stream.
    pub fn take_decoder_stream(&mut self) -> Option<Bytes> {
        self.note_inserts();
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// Insert Count Increment (RFC 9204 §4.4.3)
    fn note_inserts(&mut self) {
        if self.table.inserted() > self.acknowledged {
            let increment = self.table.inserted() - self.acknowledged;
            put_integer(&mut self.out, 0, 6, increment);
            self.acknowledged = self.table.inserted();
        }
    }
}

/// For how many fields there is room at first.
const USUAL_FIELDS: usize = 8;

fn field(name: Bytes, value: Bytes, sensitive: bool) -> Field {
    Field { name, value, sensitive }
}

fn no_static(index: u64) -> Failure {
    Failure::Rule(format!("the static table has no entry {index}"))
}

/// Why an instruction or line cannot be applied.
#[derive(Debug)]
enum Failure {
    Read(Unreadable),
    Rule(String),
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        Self::Read(unreadable)
    }
}
