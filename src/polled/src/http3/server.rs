//! [`Requests`]: the backend of a polled server: it answers nothing by itself, and puts every request
//! on the board. This file must not know the connection.

use http::Request;
use protoquic_core::http::{
    Backend, ExchangeError, Http3Code, RequestFailure, RequestHandler, ServerExchange,
};

use super::board::{Message, SharedBoard};
use super::connection::Http3Event;

/// Puts requests on a board.
#[derive(Debug)]
pub(super) struct Requests {
    board: SharedBoard,
}

impl Requests {
    pub(super) fn new(board: SharedBoard) -> Self {
        Self { board }
    }
}

impl Backend for Requests {
    fn on_request(
        &self,
        request: Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let id = exchange.id().as_u64();
        let mut board = self.board.borrow_mut();
        board.begin(id);
        board.tell(id, Http3Event::Request(request));
        Some(Box::new(Answer { id, board: SharedBoard::clone(&self.board) }))
    }
}

/// One exchange.
struct Answer {
    id: u64,
    board: SharedBoard,
}

impl Answer {
    /// Sends what the caller has left for it.
    fn send(&self, exchange: &mut ServerExchange<'_>) -> Result<(), ExchangeError> {
        let mut board = self.board.borrow_mut();
        let Ok(message) = board.get(self.id) else { return Ok(()) };
        if let Some(code) = message.cancel {
            exchange.cancel(Http3Code(code));
            return Ok(());
        }
        while let Some(interim) = message.interim.pop_front() {
            exchange.send_interim(&interim)?;
        }
        if let Some(head) = message.head.take() {
            exchange.send_response(&head)?;
        }
        if !exchange.has_responded() || message.is_sent {
            return Ok(());
        }
        if send_body(message, exchange)? && message.fin {
            match message.trailers.take() {
                Some(trailers) => exchange.finish_with_trailers(&trailers)?,
                None => exchange.finish()?,
            }
            message.on_sent();
        }
        if message.take_room() {
            board.tell(self.id, Http3Event::Writable);
        }
        Ok(())
    }
}

/// Sends what there is of the body, as far as there is room. Whether that was all.
fn send_body(
    message: &mut Message,
    exchange: &mut ServerExchange<'_>,
) -> Result<bool, ExchangeError> {
    while let Some(mut piece) = message.next_piece() {
        if exchange.wants_body() {
            exchange.write_body(&mut piece)?;
        } else {
            piece.clear(); // HEAD, 204, 304
        }
        if !piece.is_empty() {
            message.put_back(piece);
            return Ok(false); // on_can_write goes on
        }
    }
    Ok(true)
}

impl RequestHandler for Answer {
    fn on_body_available(&mut self, exchange: &mut ServerExchange<'_>) {
        self.board.borrow_mut().take_in(self.id, exchange);
    }

    fn on_can_write(&mut self, exchange: &mut ServerExchange<'_>) {
        let Err(error) = self.send(exchange) else { return };
        if error != ExchangeError::StreamClosed {
            exchange.cancel(Http3Code::INTERNAL_ERROR);
        }
        self.board.borrow_mut().error = Some(error.into());
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.board.borrow_mut().fail(self.id, failure.clone());
    }
}

/// The exchange is over: nothing more can be sent, and what was not read is of no interest.
impl Drop for Answer {
    fn drop(&mut self) {
        self.board.borrow_mut().remove(self.id);
    }
}
