//! A polled client's side of an exchange: a handler that puts the response on the board, and a body
//! that is taken from it. This file must not know the connection.

use http::Response;
use protoquic_core::http::{
    BodyChunk, BodySource, ClientExchange, RequestFailure, ResponseHandler,
};

use super::board::SharedBoard;
use super::connection::Http3Event;

/// Puts a response on the board.
pub(super) struct Receive {
    pub(super) id: u64,
    pub(super) board: SharedBoard,
}

impl ResponseHandler for Receive {
    fn on_interim(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        self.board.borrow_mut().tell(self.id, Http3Event::Interim(response));
    }

    fn on_response(&mut self, response: Response<()>, _exchange: &mut ClientExchange<'_>) {
        self.board.borrow_mut().tell(self.id, Http3Event::Response(response));
    }

    fn on_body_available(&mut self, exchange: &mut ClientExchange<'_>) {
        self.board.borrow_mut().take_in(self.id, exchange);
    }

    fn on_complete(&mut self, exchange: &mut ClientExchange<'_>) {
        let mut board = self.board.borrow_mut();
        if let Ok(message) = board.get(self.id) {
            message.on_sent(); // the rest of the request, if there is one, is of no interest
            message.is_complete = true;
        }
        board.take_in(self.id, exchange);
        if board.get(self.id).is_ok_and(|message| message.is_read()) {
            board.remove(self.id);
        }
    }

    fn on_failed(&mut self, failure: &RequestFailure) {
        self.board.borrow_mut().fail(self.id, failure.clone());
    }
}

/// A request's body, as the caller writes it.
pub(super) struct Upload {
    pub(super) id: u64,
    pub(super) board: SharedBoard,
}

impl BodySource for Upload {
    fn poll_chunk(&mut self, max: usize) -> BodyChunk {
        let mut board = self.board.borrow_mut();
        let Ok(message) = board.get(self.id) else { return BodyChunk::Failed };
        let Some(mut piece) = message.next_piece() else {
            return if message.fin {
                let trailers = message.trailers.take();
                message.on_sent();
                BodyChunk::End(trailers)
            } else {
                BodyChunk::Later
            };
        };
        if piece.len() > max {
            message.put_back(piece.split_off(max));
        }
        if message.take_room() {
            board.tell(self.id, Http3Event::Writable);
        }
        BodyChunk::Data(piece)
    }
}
