//! What may be promised (RFC 9114 §4.6), and which requests a promised response answers
//! (RFC 9111 §4.1). Pure; must not know streams.

use http::{HeaderMap, Method, Request, Response, Uri, header};

/// Why a request cannot be promised, whoever promises it; `None` if it can.
pub(super) fn unfit(request: &Request<()>) -> Option<&'static str> {
    // RFC 9114 §4.6: safe and cacheable (RFC 9110 §9.2.1, §9.2.3).
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some("a promised request is a GET or a HEAD");
    }
    // RFC 9114 §4.6: neither content nor trailers.
    let length = request.headers().get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length != "0") || request.headers().contains_key(header::TRAILER)
    {
        return Some("a promised request has neither content nor trailers");
    }
    None
}

/// Whether two URIs are of one origin (RFC 6454 §4).
pub(super) fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().or((uri.scheme_str() == Some("https")).then_some(443));
    let (host, other_host) = (one.host().unwrap_or(""), other.host().unwrap_or(""));
    one.scheme() == other.scheme()
        && host.eq_ignore_ascii_case(other_host)
        && port(one) == port(other)
}

/// Whether a request asks for what was promised, as far as can be told before the response is there.
pub(super) fn asks_for(asked: &Request<()>, promised: &Request<()>) -> bool {
    asked.method() == promised.method()
        && asked.uri().path_and_query() == promised.uri().path_and_query()
        && same_origin(asked.uri(), promised.uri())
        && !asked.headers().contains_key(header::RANGE)
}

/// Whether the response to the promised request is one to the request that was asked: they agree in
/// all that the response varies by (RFC 9111 §4.1).
pub(in crate::http) fn serves<T>(
    response: &Response<T>,
    promised: &HeaderMap,
    asked: &HeaderMap,
) -> bool {
    let varies = response.headers().get_all(header::VARY);
    varies.iter().all(|value| {
        let Ok(names) = value.to_str() else { return false };
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .all(|name| name != "*" && promised.get_all(name).iter().eq(asked.get_all(name).iter()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> Request<()> {
        Request::builder().method(method).uri(uri).body(()).unwrap()
    }

    #[test]
    fn only_safe_cacheable_requests_without_content_are_promised() {
        // RFC 9114 §4.6
        assert!(unfit(&request("GET", "https://a/")).is_none());
        assert!(unfit(&request("HEAD", "https://a/")).is_none());
        for method in ["POST", "OPTIONS", "PUT", "TRACE", "DELETE"] {
            assert!(unfit(&request(method, "https://a/")).is_some(), "{method}");
        }
        for (name, value, is_fit) in
            [("content-length", "0", true), ("content-length", "1", false), ("trailer", "x", false)]
        {
            let mut request = request("GET", "https://a/");
            request.headers_mut().insert(name, value.parse().unwrap());
            assert_eq!(unfit(&request).is_none(), is_fit, "{name}: {value}");
        }
    }

    #[test]
    fn a_request_asks_for_a_promise_of_its_origin_and_path() {
        let asked = request("GET", "https://Example.org/a?b");
        assert!(asks_for(&asked, &request("GET", "https://example.org:443/a?b")));
        for (method, uri) in [
            ("HEAD", "https://example.org/a?b"),
            ("GET", "http://example.org/a?b"),
            ("GET", "https://example.org:444/a?b"),
            ("GET", "https://example.org/a"),
            ("GET", "https://example.com/a?b"),
        ] {
            assert!(!asks_for(&asked, &request(method, uri)), "{method} {uri}");
        }
    }

    #[test]
    fn a_response_serves_those_who_agree_in_what_it_varies_by() {
        // RFC 9111 §4.1
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        let answer = |vary: &str| Response::builder().header("vary", vary).body(()).unwrap();
        let (br, gzip) =
            (headers(&[("accept-encoding", "br")]), headers(&[("accept-encoding", "gzip")]));
        assert!(serves(&Response::new(()), &br, &gzip));
        assert!(serves(&answer("Accept-Encoding, Cookie"), &br, &br));
        assert!(!serves(&answer("Cookie, Accept-Encoding"), &br, &gzip));
        assert!(!serves(&answer("*"), &br, &br));
    }
}
