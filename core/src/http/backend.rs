//! [`Backend`] and [`RequestHandler`]: what an application implements to serve requests (Chromium:
//! QuicSimpleServerBackend).

use http::Request;

use super::error::RequestFailure;
use super::exchange::ServerExchange;

/// Serves requests. One backend serves all connections of a worker, or of several workers if it is
/// `Sync`: share it as `Rc<B>` or `Arc<B>`, which are backends too.
///
/// ```
/// use http::{Request, Response};
/// use protoquic_core::http::{Backend, RequestHandler, ServerExchange};
///
/// struct Hello;
///
/// impl Backend for Hello {
///     fn on_request(
///         &self,
///         request: Request<()>,
///         exchange: &mut ServerExchange<'_>,
///     ) -> Option<Box<dyn RequestHandler>> {
///         exchange.respond(Response::new(format!("hello from {}", request.uri().path())));
///         None
///     }
/// }
/// ```
pub trait Backend {
    /// A request's header section has come; its body may follow. CONNECT never comes here: it is
    /// answered with 501.
    ///
    /// Answer now with [`respond`](ServerExchange::respond), or return a handler that will. Who
    /// returns none is not called again for this request: its body is not read, and if it was not
    /// answered it is answered with 500.
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>>;
}

/// Serves one request: reads its body as it comes and answers at its own pace.
///
/// Both `on_body_available` and `on_can_write` are called right after
/// [`Backend::on_request`], and when the stream is woken from outside
/// ([`SessionContext::wake_stream`](crate::SessionContext::wake_stream)) or by
/// [`wake_at`](super::Exchange::wake_at): who waits for something checks there whether it has come.
/// The handler is dropped when the exchange is over.
pub trait RequestHandler {
    /// There may be body to [read](super::Exchange::read_body), or its end. What is not read holds
    /// the client back. By default the body is read and dropped.
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        while exchange.read_body().is_some() {}
    }

    /// There may be room to write. Called again only after
    /// [`write_body`](super::Exchange::write_body) took less than it was given.
    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        let _ = exchange;
    }

    /// The exchange failed: the client gave up, broke a rule or is gone. Nothing more follows.
    fn on_failed(&mut self, failure: &RequestFailure) {
        let _ = failure;
    }
}

impl<B: Backend + ?Sized> Backend for std::rc::Rc<B> {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        (**self).on_request(request, exchange)
    }
}

impl<B: Backend + ?Sized> Backend for std::sync::Arc<B> {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        (**self).on_request(request, exchange)
    }
}

impl<B: Backend + ?Sized> Backend for Box<B> {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        (**self).on_request(request, exchange)
    }
}
