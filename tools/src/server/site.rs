//! The site that the server shows when it is given none.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use protoquic::http::{Backend, Body, RequestHandler, ServerExchange};

/// A backend of three pages, the same on every host, in front of another.
pub fn embedded_site<B: Backend>(behind: B) -> impl Backend {
    EmbeddedSite(behind)
}

struct EmbeddedSite<B>(B);

impl<B: Backend> Backend for EmbeddedSite<B> {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let page = PAGES.iter().find(|(path, ..)| *path == request.uri().path());
        let Some((_, media_type, text)) = page else {
            return self.0.on_request(request, exchange);
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            exchange.respond(not_allowed());
            return None;
        }
        let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        exchange.respond(response);
        None
    }
}

/// Nothing but GET and HEAD (RFC 9110 §15.5.6).
pub(super) fn not_allowed() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

const PAGES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("../../site/index.html")),
    ("/index.html", "text/html; charset=utf-8", include_str!("../../site/index.html")),
    ("/style.css", "text/css", include_str!("../../site/style.css")),
    ("/logo.svg", "image/svg+xml", include_str!("../../site/logo.svg")),
];
