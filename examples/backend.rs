//! A server with a backend of its own: it counts the words of what is posted to it. One request is
//! made to it, from the same process, and both end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use protoquic::ApplicationError;
use protoquic::dispatcher::DispatcherConfig;
use protoquic::http::{
    ALPN, Backend, ClientExchange, Http3ClientSession, Http3Config, Http3ServerFactory,
    RequestHandler, ResponseHandler, ServerExchange,
};
use protoquic_tools::endpoint::{ClientEndpoint, ClientOptions, ServerEndpoint, self_made_server};

/// What is asked once for every request.
struct WordCounter;

/// What serves one request.
#[derive(Default)]
struct Count {
    words: usize,
    in_word: bool,
}

impl Backend for WordCounter {
    fn on_request(
        &self,
        request: Request<()>,
        _exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        println!("server: {} {}", request.method(), request.uri());
        Some(Box::new(Count::default()))
    }
}

impl RequestHandler for Count {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            for byte in piece {
                self.words += usize::from(!self.in_word && !byte.is_ascii_whitespace());
                self.in_word = !byte.is_ascii_whitespace();
            }
        }
        if exchange.is_body_finished() && !exchange.has_responded() {
            exchange.respond(Response::new(format!("{} words", self.words)));
        }
    }
}

/// Collects the answer.
struct Answer(Arc<Mutex<Option<String>>>, Vec<u8>);

impl ResponseHandler for Answer {
    fn on_response(&mut self, _response: Response<()>, _exchange: &mut ClientExchange<'_>) {}

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while let Some(piece) = exchange.read_body() {
            self.1.extend_from_slice(&piece);
        }
    }

    fn on_complete(&mut self, _exchange: &mut ClientExchange<'_>) {
        let text = String::from_utf8_lossy(&self.1).into_owned();
        *self.0.lock().expect("nobody panics with it") = Some(text);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (config, http) = (self_made_server(ALPN)?, Http3Config::default());
    let factory = Box::new(Http3ServerFactory::new(Arc::new(WordCounter), config, http));
    let listen = ([127, 0, 0, 1], 0).into();
    let mut server = ServerEndpoint::bind(listen, DispatcherConfig::default(), vec![factory])?;

    let options = ClientOptions::believing_anyone(server.address(), ALPN)?;
    let mut client =
        ClientEndpoint::connect(options, |_| Http3ClientSession::new(Http3Config::default()))?;
    let answer = Arc::new(Mutex::new(None));
    let handler = Box::new(Answer(answer.clone(), Vec::new()));
    let request =
        Request::post("https://localhost/count").body(Bytes::from("one two  three\nfour"))?;
    client.enter(|session, cx| session.send_request(cx, request, handler))?;

    while client.close_reason().is_none() {
        server.run_once(Some(Duration::from_millis(1)))?;
        client.run_once(Some(Duration::from_millis(1)))?;
        if let Some(text) = answer.lock().expect("nobody panics with it").take() {
            println!("client: {text}");
            assert_eq!(text, "4 words");
            client.close(ApplicationError(0x100), "done"); // H3_NO_ERROR
        }
    }
    Ok(())
}
