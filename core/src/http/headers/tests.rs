//! What is a well-formed message, rule by rule.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};

use super::*;
use crate::http::error::{Fault, Http3Code};
use crate::qpack::Field;

fn list(fields: &[(&str, &str)]) -> Vec<Field> {
    fields.iter().map(|(name, value)| field(name, value)).collect()
}

fn field(name: &str, value: &str) -> Field {
    Field {
        name: Bytes::copy_from_slice(name.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        sensitive: false,
    }
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.org"), (":path", "/a?b=c")];

fn get_with(more: &[(&str, &str)]) -> Result<RequestHead, Fault> {
    parse_request(list(&[&GET, more].concat()))
}

fn get_replacing(name: &str, value: Option<&str>) -> Result<RequestHead, Fault> {
    let fields = GET.iter().filter_map(|(n, v)| {
        let value = if *n == name { value? } else { v };
        Some(field(n, value))
    });
    parse_request(fields.collect())
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(result: Result<T, Fault>) {
    match result {
        Err(Fault::Stream(error)) => assert_eq!(error.code, Http3Code::MESSAGE_ERROR),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_becomes_an_http_request() {
    let head = get_with(&[("accept", "*/*"), ("content-length", "7"), ("x-empty", "")]).unwrap();
    assert_eq!(head.request.uri(), "https://example.org/a?b=c");
    assert_eq!(head.request.method(), Method::GET);
    assert_eq!(head.request.headers()["accept"], "*/*");
    assert_eq!(head.content_length, Some(7));
}

#[test]
fn every_mandatory_pseudo_header_field_is_needed_once_and_not_empty() {
    for (name, value) in GET {
        assert_malformed(get_replacing(name, None));
        assert_malformed(get_replacing(name, Some("")));
        // h3spec 2: a second :method at the end of the pseudo-header fields
        assert_malformed(get_with(&[(name, value)]));
    }
}

#[test]
fn pseudo_header_fields_are_valid_defined_and_first() {
    assert_malformed(get_replacing(":method", Some("GET IT")));
    assert_malformed(get_replacing(":scheme", Some("$fail")));
    assert_malformed(get_replacing(":path", Some("a")));
    assert_malformed(get_replacing(":path", Some("*")));
    assert_malformed(get_replacing(":path", Some("/a#b")));
    assert_malformed(get_replacing(":authority", Some("me@example.org")));
    assert_malformed(get_with(&[(":foo", "bar")]));
    assert_malformed(get_with(&[(":status", "200")]));
    assert_malformed(get_with(&[(":protocol", "webtransport")]));
    let late = [&[("foo", "bar")], &GET[..]].concat();
    assert_malformed(parse_request(list(&late)));
}

#[test]
fn host_stands_in_for_authority_and_must_not_contradict_it() {
    let without = [GET[0], GET[1], GET[3], ("host", "example.org")];
    let head = parse_request(list(&without)).unwrap();
    assert_eq!(head.request.uri().authority().unwrap(), "example.org");
    assert!(get_with(&[("host", "example.org")]).is_ok());
    assert_malformed(get_with(&[("host", "example.com")]));
    assert_malformed(get_with(&[("host", "example.org"), ("host", "example.org")]));
    let empty = [GET[0], GET[1], GET[3], ("host", "")];
    assert_malformed(parse_request(list(&empty)));
}

#[test]
fn field_names_are_lowercase_tokens() {
    for name in ["Accept", "a b", "", "a\r", "a\0", "a:b", "a\"b", "\u{e9}"] {
        assert_malformed(get_with(&[(name, "x")]));
    }
}

#[test]
fn field_values_have_no_control_characters_and_no_space_around() {
    for value in ["a\rb", "a\nb", "a\0b", " a", "a ", "\ta", "a\x7f"] {
        assert_malformed(get_with(&[("x", value)]));
    }
    assert!(get_with(&[("x", "a \t b")]).is_ok());
}

#[test]
fn fields_of_connections_are_malformed() {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_malformed(get_with(&[(name, "x")]));
    }
    assert!(get_with(&[("te", "trailers")]).is_ok());
    assert_malformed(get_with(&[("te", "gzip")]));
    assert_malformed(parse_trailers(list(&[("te", "trailers")])));
}

#[test]
fn content_length_is_one_number() {
    for value in ["", "-1", "+1", "1,1", "0x1", "99999999999999999999"] {
        assert_malformed(get_with(&[("content-length", value)]));
    }
    assert_malformed(get_with(&[("content-length", "1"), ("content-length", "2")]));
    assert_malformed(get_with(&[("content-length", "1"), ("content-length", "1")]));
}

#[test]
fn cookies_are_joined() {
    let head = get_with(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).unwrap();
    let cookies: Vec<_> = head.request.headers().get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
}

#[test]
fn trailers_have_no_pseudo_header_fields() {
    assert!(parse_trailers(list(&[("checksum", "1")])).is_ok());
    assert_malformed(parse_trailers(list(&[(":path", "/")])));
}

#[test]
fn connect_has_an_authority_only() {
    let connect = [(":method", "CONNECT"), (":authority", "example.org:443")];
    assert!(parse_request(list(&connect)).is_ok());
    assert_malformed(parse_request(list(&connect[..1])));
    assert_malformed(parse_request(list(&[&connect[..], &[(":path", "/")]].concat())));
}

#[test]
fn options_may_ask_about_the_server() {
    let mut fields = GET;
    fields[0].1 = "OPTIONS";
    fields[3].1 = "*";
    assert_eq!(parse_request(list(&fields)).unwrap().request.uri().path(), "*");
}

#[test]
fn a_response_has_one_status_of_three_digits() {
    let parse = |fields: &[(&str, &str)]| parse_response(&Method::GET, list(fields));
    let head = parse(&[(":status", "200"), ("content-length", "5")]).unwrap();
    assert_eq!((head.response.status(), head.body_length), (StatusCode::OK, Some(5)));
    for fields in [
        &[("x", "y")][..],
        &[(":status", "200"), (":status", "200")],
        &[("x", "y"), (":status", "200")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "")],
        &[(":status", "101")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "200"), ("Server", "x")],
    ] {
        assert_malformed(parse(fields));
    }
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    let length = |method, status| {
        let fields = list(&[(":status", status), ("content-length", "5")]);
        parse_response(&method, fields).unwrap().body_length
    };
    assert_eq!(length(Method::HEAD, "200"), Some(0));
    assert_eq!(length(Method::GET, "204"), Some(0));
    assert_eq!(length(Method::GET, "304"), Some(0));
    assert_eq!(length(Method::GET, "404"), Some(5));
}

#[test]
fn a_request_goes_out_as_it_came_in() {
    let request = Request::get("https://example.org/a?b=c")
        .header("accept", "*/*")
        .header("host", "example.org")
        .body(())
        .unwrap();
    let fields = request_fields(&request).unwrap();
    let received = fields.iter().map(|f| Field {
        name: Bytes::copy_from_slice(f.name),
        value: Bytes::copy_from_slice(f.value),
        sensitive: f.sensitive,
    });
    let head = parse_request(received.collect()).unwrap();
    assert_eq!(head.request.uri(), request.uri());
    assert!(!head.request.headers().contains_key("host"));
}

#[test]
fn what_cannot_be_said_in_http3_is_refused() {
    let refused =
        |request: http::request::Builder| request_fields(&request.body(()).unwrap()).is_err();
    assert!(refused(Request::get("/relative")));
    assert!(refused(Request::connect("https://example.org/")));
    assert!(refused(Request::connect("example.org")));
    assert!(!refused(Request::connect("example.org:443")));
    assert!(refused(Request::get("https://me@example.org/")));
    assert!(refused(Request::get("https://a/").header("host", "b")));
    assert!(refused(Request::get("https://a/").header("connection", "close")));
    assert!(refused(Request::get("https://a/").header("te", "gzip")));
    let mut headers = http::HeaderMap::new();
    headers.insert("x", HeaderValue::from_static(" padded "));
    let fields = response_fields(&StatusCode::OK, &headers).unwrap();
    assert_eq!(fields[1].value, b"padded");
}
