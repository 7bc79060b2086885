//! [`PushHandler`]: what a client's application implements to see and to decide on what a server
//! promises. Without one, promises are kept for requests to come.

use http::Request;

use super::PushId;
use crate::http::response_handler::ResponseHandler;

/// Hears of promises (RFC 9114 §4.6). Set by
/// [`set_push_handler`](crate::http::Http3ClientSession::set_push_handler).
///
/// ```
/// use http::Request;
/// use protoquic_core::http::{Http3ClientSession, Http3Config, PromiseAnswer, PushHandler, PushId};
///
/// /// Keeps style sheets for when the page asks for them, and wants nothing else.
/// struct StyleSheets;
///
/// impl PushHandler for StyleSheets {
///     fn on_promise(&mut self, _push: PushId, request: &Request<()>) -> PromiseAnswer {
///         let is_style = request.uri().path().ends_with(".css");
///         if is_style { PromiseAnswer::Keep } else { PromiseAnswer::Refuse }
///     }
/// }
///
/// let mut session = Http3ClientSession::new(Http3Config { max_pushes: 10, ..Http3Config::default() });
/// session.set_push_handler(Box::new(StyleSheets));
/// ```
pub trait PushHandler {
    /// The server promises the response to this request, which is well formed and of an origin that
    /// the server may speak for.
    fn on_promise(&mut self, push: PushId, request: &Request<()>) -> PromiseAnswer {
        let _ = (push, request);
        PromiseAnswer::Keep
    }

    /// Whether the server may speak for this request's origin, of which it was asked for nothing on
    /// this connection: whether its certificate, and all else, would have us send it such requests
    /// (RFC 9114 §3.3). Not, by default; the push is then cancelled.
    fn is_authoritative(&self, request: &Request<()>) -> bool {
        let _ = request;
        false
    }

    /// A push that was promised, and was neither taken nor asked for, is gone.
    fn on_dropped(&mut self, push: PushId, why: PushDropped) {
        let _ = (push, why);
    }
}

/// What becomes of a promise.
#[derive(Default)]
pub enum PromiseAnswer {
    /// It is kept for a time ([`push_timeout`](crate::http::Http3Config::push_timeout)): a request
    /// for the same is answered by it.
    #[default]
    Keep,
    /// It is not wanted: the push is cancelled.
    Refuse,
    /// The response is wanted now, by this handler.
    Take(Box<dyn ResponseHandler>),
}

impl std::fmt::Debug for PromiseAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Refuse => "Refuse",
            Self::Take(_) => "Take(..)",
        })
    }
}

/// Why a push is gone that nobody had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushDropped {
    /// Nobody asked for it in time, or its promise never came.
    Expired,
    /// The server took it back.
    Cancelled,
    /// More of it came, before anybody asked for it, than is kept.
    TooLarge,
    /// It must not be used: its request cannot be promised, or not by this server, or is promised
    /// already (RFC 9114 §4.6).
    Unfit,
}

impl std::fmt::Display for PushDropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expired => "nobody asked for it in time",
            Self::Cancelled => "the server took it back",
            Self::TooLarge => "it is larger than is kept for later",
            Self::Unfit => "it cannot be promised, or not by this server, or twice",
        })
    }
}
