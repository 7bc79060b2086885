//! HTTP/3, polled.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails where it stands")]

mod common;

use common::{Pair, config};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use protoquic_core::http::{Http3Code, RequestFailure};
use protoquic_core::streams::Priority;
use protoquic_polled::{Connection, Error, Http3, Http3Event};

fn pair() -> Pair<Http3> {
    Pair::new(&config(b"h3"))
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

fn server(pair: &mut Pair<Http3>) -> Option<&mut Connection<Http3>> {
    pair.key.and_then(|key| pair.server.connection(key))
}

/// The next event of the server.
fn server_event(pair: &mut Pair<Http3>) -> (u64, Http3Event) {
    let mut event = None;
    pair.until(|pair| {
        event = server(pair).and_then(Connection::<Http3>::poll);
        event.is_some()
    });
    event.unwrap()
}

fn client_event(pair: &mut Pair<Http3>) -> (u64, Http3Event) {
    let mut event = None;
    pair.until(|pair| {
        event = pair.client.poll();
        event.is_some()
    });
    event.unwrap()
}

fn read_all(connection: &mut Connection<Http3>, id: u64, into: &mut Vec<u8>) {
    let mut buffer = [0; 5000];
    while let Ok(len) = connection.recv_body(id, &mut buffer) {
        into.extend_from_slice(&buffer[..len]);
    }
}

#[test]
fn a_request_is_answered() {
    let mut pair = pair();
    let request = pair.client.send_request(get("/hello?x=1"), true).unwrap();
    let (id, event) = server_event(&mut pair);
    let Http3Event::Request(asked) = event else { panic!("{event:?}") };
    assert_eq!(
        (asked.method(), asked.uri().to_string().as_str()),
        (&Method::GET, "https://localhost/hello?x=1")
    );
    let (_, end) = server_event(&mut pair);
    assert!(matches!(end, Http3Event::Finished { trailers: None }), "{end:?}");
    let answer = server(&mut pair).unwrap();
    let hints = Response::builder().status(103).body(()).unwrap();
    answer.send_interim(id, hints).unwrap();
    let head = Response::builder().header("x-test", "yes").body(()).unwrap();
    answer.send_response(id, head.clone(), false).unwrap();
    assert_eq!(answer.send_response(id, head, false), Err(Error::WrongState));
    assert_eq!(answer.send_body(id, b"hi", false), Ok(2));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_static("1"));
    answer.send_trailers(id, trailers).unwrap();
    let (of, event) = client_event(&mut pair);
    assert!(of == request && matches!(&event, Http3Event::Interim(r) if r.status() == 103));
    let (_, event) = client_event(&mut pair);
    assert!(matches!(&event, Http3Event::Response(r) if r.headers()["x-test"] == "yes"));
    assert!(matches!(client_event(&mut pair), (_, Http3Event::Data)));
    let mut body = Vec::new();
    read_all(&mut pair.client, request, &mut body);
    assert_eq!(body, b"hi");
    let (_, event) = client_event(&mut pair);
    assert!(matches!(&event, Http3Event::Finished { trailers: Some(t) } if t["x-end"] == "1"));
    assert_eq!(pair.client.recv_body(request, &mut [0; 9]), Err(Error::UnknownStream));
}

#[test]
fn bodies_of_any_size_go_both_ways_with_back_pressure() {
    let mut pair = pair();
    let data: Vec<u8> = (0..5_000_000).map(|at| (at * 7 % 253) as u8).collect();
    let head = Request::post("https://localhost/echo").body(()).unwrap();
    let request = pair.client.send_request(head, false).unwrap();
    let (mut sent, mut back, mut stream) = (0, Vec::new(), None);
    let (mut held, mut is_whole, mut is_done) = (Vec::new(), false, false);
    let mut writables = 0;
    pair.until(|pair| {
        if sent < data.len() {
            match pair.client.send_body(request, &data[sent..], true) {
                Ok(taken) => sent += taken,
                Err(error) => assert_eq!(error, Error::Done),
            }
        }
        while let Some((_, event)) = pair.client.poll() {
            is_done |= matches!(event, Http3Event::Finished { .. });
            writables += u32::from(matches!(event, Http3Event::Writable));
        }
        read_all(&mut pair.client, request, &mut back);
        let Some(server) = server(pair) else { return false };
        while let Some((id, event)) = server.poll() {
            match event {
                Http3Event::Request(_) => {
                    stream = Some(id);
                    server.send_response(id, Response::new(()), false).unwrap();
                }
                Http3Event::Finished { .. } => is_whole = true,
                _ => {}
            }
        }
        let Some(id) = stream else { return is_done };
        let mut buffer = [0; 9000];
        loop {
            if held.is_empty() {
                match server.recv_body(id, &mut buffer) {
                    Ok(len) => held.extend_from_slice(&buffer[..len]),
                    Err(_) => break,
                }
            }
            match server.send_body(id, &held, false) {
                Ok(taken) => drop(held.drain(..taken)),
                Err(_) => break,
            }
        }
        if is_whole && held.is_empty() && server.send_body(id, &[], true).is_ok() {
            stream = None;
        }
        is_done && back.len() == data.len()
    });
    assert!(back == data && writables > 0);
}

#[test]
fn what_cannot_be_sent_is_said_at_once() {
    let mut pair = pair();
    let relative = Request::get("/nowhere").body(()).unwrap();
    assert!(matches!(pair.client.send_request(relative, true), Err(Error::Invalid(_))));
    assert_eq!(pair.client.send_response(0, Response::new(()), true), Err(Error::WrongState));
    assert_eq!(pair.client.send_body(9, b"x", true), Err(Error::UnknownStream));
    let request = pair.client.send_request(get("/"), true).unwrap();
    assert_eq!(pair.client.send_body(request, b"x", true), Err(Error::WrongState));
    let (id, _) = server_event(&mut pair);
    let answer = server(&mut pair).unwrap();
    assert_eq!(answer.send_request(get("/"), true), Err(Error::WrongState));
    assert_eq!(answer.send_body(id, b"x", false), Err(Error::WrongState));
    let wrong = Response::builder().header("connection", "close").body(()).unwrap();
    assert!(matches!(answer.send_response(id, wrong, true), Err(Error::Invalid(_))));
    let (_, event) = client_event(&mut pair);
    assert!(matches!(event, Http3Event::Failed(RequestFailure::Peer(Http3Code::INTERNAL_ERROR))));
}

#[test]
fn a_response_to_head_has_no_body_whatever_is_written() {
    let mut pair = pair();
    let head = Request::head("https://localhost/").body(()).unwrap();
    let request = pair.client.send_request(head, true).unwrap();
    pair.client.prioritize(request, Priority { urgency: 1, incremental: false }).unwrap();
    let (id, _) = server_event(&mut pair);
    let answer = server(&mut pair).unwrap();
    answer.send_response(id, Response::new(()), false).unwrap();
    assert_eq!(answer.send_body(id, b"not for HEAD", true), Ok(12));
    let (_, event) = client_event(&mut pair);
    assert!(matches!(event, Http3Event::Response(_)));
    let (_, event) = client_event(&mut pair);
    assert!(matches!(event, Http3Event::Finished { .. }), "{event:?}");
}

#[test]
fn both_ends_can_give_an_exchange_up() {
    let mut pair = pair();
    let [first, second] = [(); 2].map(|()| pair.client.send_request(get("/"), true).unwrap());
    let (id, _) = server_event(&mut pair);
    server(&mut pair).unwrap().cancel(id, Http3Code::REQUEST_REJECTED).unwrap();
    let (of, event) = client_event(&mut pair);
    let failure = RequestFailure::NotProcessed;
    assert!(of == first && matches!(&event, Http3Event::Failed(f) if *f == failure), "{event:?}");
    pair.client.cancel(second, Http3Code::REQUEST_CANCELLED).unwrap();
    assert_eq!(pair.client.cancel(second, Http3Code::NO_ERROR), Err(Error::UnknownStream));
    loop {
        match server_event(&mut pair) {
            (id, Http3Event::Failed(failure)) => {
                assert_eq!(failure, RequestFailure::Peer(Http3Code::REQUEST_CANCELLED));
                let late = server(&mut pair).unwrap().send_response(id, Response::new(()), true);
                assert_eq!(late, Err(Error::UnknownStream));
                return;
            }
            (_, other) => assert!(!matches!(other, Http3Event::Response(_)), "{other:?}"),
        }
    }
}

#[test]
fn a_listener_that_stops_serves_what_runs() {
    let mut pair = pair();
    let request = pair.client.send_request(get("/"), true).unwrap();
    let (id, _) = server_event(&mut pair);
    pair.server.stop_accepting(pair.now);
    pair.until(|pair| pair.client.is_going_away());
    assert_eq!(pair.client.send_request(get("/"), true), Err(Error::Closed));
    let status = StatusCode::NO_CONTENT;
    let head = Response::builder().status(status).body(()).unwrap();
    server(&mut pair).unwrap().send_response(id, head, true).unwrap();
    let (of, event) = client_event(&mut pair);
    assert!(of == request && matches!(&event, Http3Event::Response(r) if r.status() == status));
    pair.until(|pair| pair.server.is_idle());
}
