//! [`EchoHandler`]: sends a request's body back as it comes. Holds one piece at most, so a body of
//! any size runs in constant memory.

use bytes::Bytes;
use http::Response;

use super::backend::RequestHandler;
use super::error::{ExchangeError, Http3Code};
use super::exchange::ServerExchange;

/// Answers 200 with the request's body, and its trailers.
#[derive(Clone, Debug, Default)]
pub struct EchoHandler {
    /// What was read and not yet written.
    held: Bytes,
}

impl EchoHandler {
    /// A handler for one request.
    pub fn new() -> Self {
        Self::default()
    }

    fn run(&mut self, exchange: &mut ServerExchange<'_>) -> Result<(), ExchangeError> {
        if !exchange.has_responded() {
            exchange.send_response(&Response::new(()))?;
        }
        while exchange.wants_body() {
            if self.held.is_empty() {
                match exchange.read_body() {
                    Some(piece) => self.held = piece,
                    None if exchange.is_body_finished() => {
                        return match exchange.trailers().cloned() {
                            Some(trailers) => exchange.finish_with_trailers(&trailers),
                            None => exchange.finish(),
                        };
                    }
                    None => return Ok(()),
                }
            }
            exchange.write_body(&mut self.held)?;
            if !self.held.is_empty() {
                return Ok(()); // on_can_write goes on
            }
        }
        Ok(())
    }
}

impl RequestHandler for EchoHandler {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        match self.run(exchange) {
            Ok(()) | Err(ExchangeError::StreamClosed) => {}
            Err(_) => exchange.cancel(Http3Code::INTERNAL_ERROR),
        }
    }

    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        self.on_body_available(exchange);
    }
}
