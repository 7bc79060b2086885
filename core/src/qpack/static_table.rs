//! The static table (RFC 9204 App. A) and finding things in it: by a hash of the name, worked out
//! when this is compiled.

/// Name and value of every entry.
pub(super) static ENTRIES: [(&str, &str); ENTRY_COUNT] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// What the table has for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This entry is the field.
    Exact(u64),
    /// This entry has its name.
    Name(u64),
    Nothing,
}

/// Looks a field up. Names are compared until one is found; then only values, of its namesakes.
pub(super) fn find(name: &[u8], value: &[u8]) -> Found {
    let mut at = INDEX.heads[hash(name)];
    while at != END && ENTRIES[usize::from(at)].0.as_bytes() != name {
        at = INDEX.next[usize::from(at)];
    }
    if at == END {
        return Found::Nothing;
    }
    let first = at;
    while at != END {
        // Names that share a hash are told apart by where each was seen first.
        if INDEX.first[usize::from(at)] == first && ENTRIES[usize::from(at)].1.as_bytes() == value {
            return Found::Exact(u64::from(at));
        }
        at = INDEX.next[usize::from(at)];
    }
    Found::Name(u64::from(first))
}

/// The entries by their names.
struct Index {
    /// The first entry of each hash.
    heads: [u8; HASHES],
    /// The next entry of the same hash.
    next: [u8; ENTRY_COUNT],
    /// The first entry of the same name.
    first: [u8; ENTRY_COUNT],
}

/// How many there are.
pub(super) const ENTRY_COUNT: usize = 99;
const HASHES: usize = 256;
/// No entry.
const END: u8 = u8::MAX;

static INDEX: Index = index();

const fn index() -> Index {
    let mut index =
        Index { heads: [END; HASHES], next: [END; ENTRY_COUNT], first: [END; ENTRY_COUNT] };
    // From the last to the first: what is linked in front ends up in order.
    let mut at = ENTRY_COUNT;
    while at > 0 {
        at -= 1;
        let head = &mut index.heads[hash(ENTRIES[at].0.as_bytes())];
        index.next[at] = *head;
        *head = at as u8;
    }
    while at < ENTRY_COUNT {
        let mut first = 0;
        while !is_same(ENTRIES[first].0.as_bytes(), ENTRIES[at].0.as_bytes()) {
            first += 1;
        }
        index.first[at] = first as u8;
        at += 1;
    }
    index
}

/// Of a name's length, its middle and its end: that tells most of the table's names apart.
const fn hash(name: &[u8]) -> usize {
    let Some(last) = name.last() else { return 0 };
    let middle = name[name.len() / 2] as usize;
    (name.len() * 5 + middle * 17 + *last as usize * 3) % HASHES
}

/// Whether two names are one.
pub(super) const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// The entry of this index.
pub(super) fn get(index: u64) -> Option<(&'static str, &'static str)> {
    ENTRIES.get(usize::try_from(index).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields_names_and_nothing() {
        assert_eq!(find(b":method", b"GET"), Found::Exact(17));
        assert_eq!(find(b":status", b"200"), Found::Exact(25));
        assert_eq!(find(b":status", b"418"), Found::Name(24));
        assert_eq!(find(b"x-frame-options", b"sameorigin"), Found::Exact(98));
        assert_eq!(find(b"x-unknown", b""), Found::Nothing);
        assert_eq!(find(b"", b""), Found::Nothing);
    }

    #[test]
    fn every_entry_is_found_and_names_by_their_first() {
        for (index, (name, value)) in ENTRIES.iter().enumerate() {
            assert_eq!(find(name.as_bytes(), value.as_bytes()), Found::Exact(index as u64));
            let first = ENTRIES.iter().position(|(known, _)| known == name).unwrap();
            assert_eq!(find(name.as_bytes(), b"?"), Found::Name(first as u64), "{name}");
        }
    }
}
