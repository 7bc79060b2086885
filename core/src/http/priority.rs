//! The priority of a request as text (RFC 9218 §4): a dictionary of structured fields (RFC 9651) in
//! the `priority` header and in PRIORITY_UPDATE frames. What is not understood in it is passed over.
//! This file must not know streams.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::streams::Priority;

/// The header's name.
pub(super) const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// What holds for a request that says nothing (RFC 9218 §4.1, §4.2).
pub(super) const DEFAULT: Priority = Priority { urgency: 3, incremental: false };

/// The longest text that is looked at, in bytes. Ours have five.
pub(super) const MAX_LEN: usize = 512;

/// The priority that a message asks for; `None` if it does not say, or not so that it can be read.
pub(super) fn of(headers: &HeaderMap) -> Option<Priority> {
    let mut lines = headers.get_all(PRIORITY).iter().peekable();
    lines.peek()?;
    // RFC 9651 §4.2: several lines are one list.
    parse(&lines.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b','))
}

/// Reads a priority. Members that are missing, unknown, or out of their range have their defaults
/// (RFC 9218 §4); `None` if it is no dictionary.
pub(super) fn parse(text: &[u8]) -> Option<Priority> {
    if text.len() > MAX_LEN {
        return None;
    }
    let mut parser = Parser { rest: text };
    let mut priority = DEFAULT;
    parser.skip(b" ");
    while !parser.rest.is_empty() {
        let key = parser.key()?;
        let value = if parser.take(b'=') { parser.member()? } else { Value::Boolean(true) };
        parser.parameters()?;
        match (key, value) {
            (b"u", value) => {
                // RFC 9651 §3.2: the last one counts, whatever it is.
                priority.urgency = match value {
                    Value::Integer(n @ 0..=7) => n as u8,
                    _ => DEFAULT.urgency,
                };
            }
            (b"i", value) => {
                priority.incremental = value == Value::Boolean(true);
            }
            _ => {}
        }
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            break;
        }
        if !parser.take(b',') {
            return None;
        }
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            return None; // RFC 9651 §4.2.2: a comma at the end
        }
    }
    Some(priority)
}

/// Writes a priority; empty for the default.
pub(super) fn emit(priority: Priority) -> String {
    let urgency =
        (priority.urgency != DEFAULT.urgency).then(|| format!("u={}", priority.urgency.min(7)));
    let incremental = priority.incremental.then(|| "i".to_owned());
    urgency.into_iter().chain(incremental).collect::<Vec<_>>().join(", ")
}

/// Has a message ask for a priority. The default is not said (RFC 9651 §4.1: nor is an empty list).
pub(super) fn set(headers: &mut HeaderMap, priority: Priority) {
    headers.remove(PRIORITY);
    let value = emit(priority);
    if !value.is_empty() {
        let value = HeaderValue::try_from(value).expect("digits and letters are a value");
        headers.insert(PRIORITY, value);
    }
}

/// A value, as far as it is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Integer(i64),
    Boolean(bool),
    Other,
}

/// Reads structured fields (RFC 9651 §4.2), as strictly as is needed to find their ends.
struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn skip(&mut self, bytes: &[u8]) {
        while self.rest.first().is_some_and(|byte| bytes.contains(byte)) {
            self.rest = &self.rest[1..];
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take_while(|byte| wanted(**byte)).count();
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let first = *self.rest.first()?;
        if !first.is_ascii_lowercase() && first != b'*' {
            return None;
        }
        Some(self.take_while(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }))
    }

    /// An item or an inner list, without its parameters.
    fn member(&mut self) -> Option<Value> {
        if !self.take(b'(') {
            return self.item();
        }
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !self.rest.first().is_some_and(|byte| b" )".contains(byte)) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    fn item(&mut self) -> Option<Value> {
        match *self.rest.first()? {
            b'?' => {
                self.rest = &self.rest[1..];
                let is_true = self.take(b'1');
                (is_true || self.take(b'0')).then_some(Value::Boolean(is_true))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b':' => {
                self.rest = &self.rest[1..];
                self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.take(b':').then_some(Value::Other)
            }
            b'@' => {
                self.rest = &self.rest[1..];
                self.number().map(|_| Value::Other)
            }
            first if first.is_ascii_alphabetic() || first == b'*' => {
                self.take_while(|byte| {
                    byte.is_ascii_graphic() && !b"\"(),;<=>?@[\\]{}".contains(&byte)
                });
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.take(b'-');
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            return (1..=3).contains(&fraction.len()).then_some(Value::Other);
        }
        let value = digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
        Some(Value::Integer(if negative { -value } else { value }))
    }

    fn string(&mut self) -> Option<Value> {
        self.rest = &self.rest[1..];
        loop {
            self.take_while(|byte| matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\');
            if self.take(b'"') {
                return Some(Value::Other);
            }
            if !self.take(b'\\') || !(self.take(b'"') || self.take(b'\\')) {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(urgency: u8, incremental: bool) -> Priority {
        Priority { urgency, incremental }
    }

    #[test]
    fn priorities_are_read() {
        // RFC 9218 §4
        let cases = [
            ("", priority(3, false)),
            ("u=0", priority(0, false)),
            ("u=7, i", priority(7, true)),
            ("i=?1,u=5", priority(5, true)),
            ("  i=?0 ,\tu=1", priority(1, false)),
            ("u=2;x=\"a,b\";y, i;q=1.5", priority(2, true)),
            ("u=1, u=6", priority(6, false)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_passed_over() {
        // RFC 9218 §4: unknown, out of range, or of another type than it should be
        for text in [
            "u=8",
            "u=-1",
            "u=3.0",
            "u=a",
            "u",
            "u=(1 2)",
            "u=?1",
            "i=1",
            "i=tok",
            "x=5, *y=:YQ==:",
            "z=@12, a=(\"\\\"\" b;c=1 3)",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(priority(3, false)), "{text}");
        }
    }

    #[test]
    fn what_is_no_dictionary_says_nothing() {
        let long = format!("u=1, x=\"{}\"", "a".repeat(MAX_LEN));
        for text in [
            "u=", "=1", "u=1,", "u=1 i", "U=1", "u=\"1", "i=?2", ",", "u=(1", "u=1;", "\u{fc}=1",
            &long,
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_the_default_is_silence() {
        assert_eq!(emit(DEFAULT), "");
        for urgency in 0..8 {
            for incremental in [false, true] {
                let one = Priority { urgency, incremental };
                assert_eq!(parse(emit(one).as_bytes()), Some(one));
            }
        }
    }

    #[test]
    fn lines_of_a_header_are_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), None);
        headers.append(PRIORITY, "u=1".parse().unwrap());
        headers.append(PRIORITY, "i".parse().unwrap());
        assert_eq!(of(&headers), Some(priority(1, true)));
    }
}
