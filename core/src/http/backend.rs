//! [`Backend`] and [`RequestHandler`]: what an application implements to serve requests (Chromium:
//! QuicSimpleServerBackend).

use bytes::Bytes;
use http::{Request, Response, StatusCode};

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
    /// A request's header section has come; its body may follow. CONNECT never comes here: see
    /// [`on_connect`](Self::on_connect).
    ///
    /// Answer now with [`respond`](ServerExchange::respond), or return a handler that will. Who
    /// returns none is not called again for this request: its body is not read, if it was not
    /// answered it is answered with 500, and an answer that was begun and not ended is cut off.
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>>;

    /// A CONNECT has come (RFC 9114 §4.4): its URI is the `host:port` to be connected to. Or an
    /// extended CONNECT (RFC 9220), if
    /// [`enable_connect_protocol`](super::Http3Config::enable_connect_protocol) is set: its URI is
    /// absolute and its [`Protocol`](super::Protocol) is among its extensions. Who agrees sends a
    /// response of 2xx without content-length; the bodies both ways are then what the tunnel
    /// carries, and each side ends on its own. A tunnel that breaks is
    /// [cancelled](super::Exchange::cancel) with H3_CONNECT_ERROR.
    ///
    /// By default it is answered with 501.
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use protoquic_core::http::{Backend, EchoHandler, Protocol, RequestHandler, ServerExchange};
    ///
    /// /// Carries a protocol that sends everything back.
    /// struct Echo;
    ///
    /// impl Backend for Echo {
    ///     fn on_request(
    ///         &self,
    ///         _request: Request<()>,
    ///         exchange: &mut ServerExchange<'_>,
    ///     ) -> Option<Box<dyn RequestHandler>> {
    ///         exchange.respond(Response::new("use extended CONNECT"));
    ///         None
    ///     }
    ///
    ///     fn on_connect(
    ///         &self,
    ///         request: Request<()>,
    ///         exchange: &mut ServerExchange<'_>,
    ///     ) -> Option<Box<dyn RequestHandler>> {
    ///         match request.extensions().get::<Protocol>() {
    ///             Some(protocol) if protocol.as_str() == "echo" => Some(Box::new(EchoHandler::new())),
    ///             _ => {
    ///                 let mut refusal = Response::new(());
    ///                 *refusal.status_mut() = StatusCode::NOT_IMPLEMENTED;
    ///                 exchange.respond(refusal);
    ///                 None
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    fn on_connect(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let _ = request;
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        exchange.respond(response);
        None
    }
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

    /// Whether datagrams mean something to this exchange (RFC 9297 §2). One that comes where they do
    /// not ends the exchange with H3_DATAGRAM_ERROR.
    fn takes_datagrams(&self) -> bool {
        false
    }

    /// A datagram has come. Copy what you keep for long: it may share a receive buffer.
    fn on_datagram(&mut self, data: Bytes, exchange: &mut ServerExchange<'_>) {
        let _ = (data, exchange);
    }

    /// The exchange failed: the client gave up, broke a rule or is gone. Nothing more follows.
    fn on_failed(&mut self, failure: &RequestFailure) {
        let _ = failure;
    }
}

/// Whoever holds a backend is one.
macro_rules! holders {
    ($($holder:ty),*) => {$(
        impl<B: Backend + ?Sized> Backend for $holder {
            fn on_request(
                &self,
                request: Request<()>,
                exchange: &mut ServerExchange<'_>,
            ) -> Option<Box<dyn RequestHandler>> {
                (**self).on_request(request, exchange)
            }

            fn on_connect(
                &self,
                request: Request<()>,
                exchange: &mut ServerExchange<'_>,
            ) -> Option<Box<dyn RequestHandler>> {
                (**self).on_connect(request, exchange)
            }
        }
    )*};
}

holders!(std::rc::Rc<B>, std::sync::Arc<B>, Box<B>);
