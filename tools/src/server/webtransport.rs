//! [`WebTransportBackend`]: an echo for WebTransport sessions, before any other backend.

use http::{Request, Response, StatusCode};
use protoquic::http::webtransport::WebTransportEcho;
use protoquic::http::{Backend, Protocol, RequestHandler, ServerExchange};

use super::ECHO_PATH;

/// Accepts WebTransport sessions at [`ECHO_PATH`], where they are offered, and leaves all else to
/// another backend.
#[derive(Clone, Debug)]
pub struct WebTransportBackend<B>(pub B);

impl<B: Backend> Backend for WebTransportBackend<B> {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        self.0.on_request(request, exchange)
    }

    fn on_connect(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let protocol = request.extensions().get::<Protocol>();
        if protocol.is_none_or(|protocol| protocol.as_str() != "webtransport") {
            return self.0.on_connect(request, exchange);
        }
        if request.uri().path() != ECHO_PATH {
            let mut refusal = Response::new(());
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            exchange.respond(refusal);
            return None;
        }
        exchange.accept_webtransport(Box::new(WebTransportEcho::default())).ok()
    }
}
