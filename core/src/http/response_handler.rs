//! [`ResponseHandler`]: what a client's application implements to receive a response.

use bytes::Bytes;
use http::Response;

use super::error::RequestFailure;
use super::exchange::ClientExchange;

/// Receives the response to one request. Ends with either
/// [`on_complete`](Self::on_complete) or [`on_failed`](Self::on_failed), called once.
///
/// `on_body_available` is also called when the stream is woken from outside or by
/// [`wake_at`](super::Exchange::wake_at).
pub trait ResponseHandler {
    /// An interim response (1xx) has come, such as 103 with early hints.
    fn on_interim(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>) {
        let _ = (response, exchange);
    }

    /// The final response's header section has come.
    fn on_response(&mut self, response: Response<()>, exchange: &mut ClientExchange<'_>);

    /// There may be body to [read](super::Exchange::read_body), or its end; also called right after
    /// `on_response`. What is not read holds the server back, and the exchange completes only when
    /// the body has been read to its end. By default it is read and dropped.
    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        while exchange.read_body().is_some() {}
    }

    /// There may be room to write, for a request whose body is [written](super::Body::Written) here.
    /// Called when the request was sent, and again only after
    /// [`write_body`](super::Exchange::write_body) took less than it was given.
    fn on_can_write(&mut self, exchange: &mut ClientExchange<'_>) {
        let _ = exchange;
    }

    /// Whether datagrams mean something to this exchange (RFC 9297 §2). One that comes where they do
    /// not ends the exchange with H3_DATAGRAM_ERROR.
    fn takes_datagrams(&self) -> bool {
        false
    }

    /// A datagram has come. Copy what you keep for long: it may share a receive buffer.
    fn on_datagram(&mut self, data: Bytes, exchange: &mut ClientExchange<'_>) {
        let _ = (data, exchange);
    }

    /// The response is complete, its body was whole, and
    /// [`trailers`](super::Exchange::trailers) are known.
    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        let _ = exchange;
    }

    /// There will be no complete response.
    fn on_failed(&mut self, failure: &RequestFailure) {
        let _ = failure;
    }
}
