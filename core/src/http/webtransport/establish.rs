//! How sessions begin (draft-ietf-webtrans-http3-07 §3): what a client asks, what a server looks at
//! before its backend is asked, and what accepting means.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response};

use super::handler::SessionHandler;
use super::visitor::WebTransportVisitor;
use crate::http::backend::RequestHandler;
use crate::http::body::Body;
use crate::http::client::{Http3ClientSession, RequestId};
use crate::http::config::Http3Config;
use crate::http::connect::{PROTOCOL_WEBTRANSPORT, Protocol, is_webtransport};
use crate::http::connection::Http3Connection;
use crate::http::error::{ExchangeError, Fault, Http3Code};
use crate::http::exchange::ServerExchange;
use crate::http::settings::Settings;
use crate::session::SessionContext;

/// A configuration with everything that sessions need.
pub(in crate::http) fn complete(config: Arc<Http3Config>) -> Arc<Http3Config> {
    // §3.1, §3.2: both extended CONNECT and datagrams.
    if config.webtransport_sessions == 0 || (config.enable_connect_protocol && config.datagrams) {
        return config;
    }
    let config = Arc::unwrap_or_clone(config);
    Arc::new(Http3Config { enable_connect_protocol: true, datagrams: true, ..config })
}

/// Whether a request cannot be looked at before the client's settings have come.
pub(in crate::http) fn must_wait(request: &Request<()>, http: &Http3Connection) -> bool {
    // §3.1: they say which version of WebTransport it is.
    is_webtransport(request) && http.offers_webtransport() && http.peer_settings().is_none()
}

/// Why a server refuses a request whatever its backend thinks, if it does.
pub(in crate::http) fn refusal(request: &Request<()>, http: &Http3Connection) -> Option<Fault> {
    if !is_webtransport(request) || !http.offers_webtransport() {
        return None;
    }
    // §3.1
    let is_agreed = http.peer_settings().is_some_and(Settings::takes_webtransport);
    if !(is_agreed && http.datagrams.announced) {
        return Some(Fault::message("a WebTransport session without the settings for it"));
    }
    // §3.4: the client was told how many there may be.
    if http.webtransport.live() >= http.config().webtransport_sessions {
        let reason = "more WebTransport sessions than are allowed";
        return Some(Fault::stream(Http3Code::REQUEST_REJECTED, reason));
    }
    None
}

impl ServerExchange<'_> {
    /// Accepts a WebTransport session, in [`on_connect`](crate::http::Backend::on_connect) for a
    /// request whose [`Protocol`] is `webtransport` or later: answers 200, and returns the handler
    /// that `on_connect` must return. Who does not want the session
    /// [answers](Self::respond) 404, say. A browser names the site it acts for in the `origin`
    /// header: to look at it is the backend's part.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Invalid`] where
    /// [`webtransport_sessions`](Http3Config::webtransport_sessions) is 0 or as many are there, and
    /// others if the request was answered already.
    pub fn accept_webtransport(
        &mut self,
        visitor: Box<dyn WebTransportVisitor>,
    ) -> Result<Box<dyn RequestHandler>, ExchangeError> {
        if self.state.method != Method::CONNECT || !self.http.offers_webtransport() {
            return Err(ExchangeError::Invalid("WebTransport was not offered, or not asked for"));
        }
        if self.http.webtransport.live() >= self.http.config().webtransport_sessions {
            return Err(ExchangeError::Invalid("as many WebTransport sessions as are allowed"));
        }
        let mut response = Response::new(());
        // Browsers of the days of draft-02 look for it.
        response.headers_mut().insert(DRAFT, HeaderValue::from_static("draft02"));
        self.send_response(&response)?;
        self.http.webtransport.open(self.state.id);
        Ok(Box::new(SessionHandler::accepted(visitor, self.http.webtransport.token())))
    }
}

impl Http3ClientSession {
    /// Asks the server for a WebTransport session. Of the request, its URI, which must be absolute
    /// and of scheme https, and its headers matter: browsers send `origin`. It is sent when the
    /// server's settings are known; if they do not offer WebTransport, the visitor is told that it
    /// failed. [`cancel_request`](Self::cancel_request) breaks the session off without a word.
    ///
    /// ```
    /// use http::Request;
    /// use protoquic_core::SessionContext;
    /// use protoquic_core::http::webtransport::WebTransportEcho;
    /// use protoquic_core::http::{ExchangeError, Http3ClientSession, RequestId};
    ///
    /// fn join(
    ///     session: &mut Http3ClientSession,
    ///     cx: &mut SessionContext<'_, Http3ClientSession>,
    /// ) -> Result<RequestId, ExchangeError> {
    ///     let request = Request::get("https://localhost/echo").body(());
    ///     let request = request.expect("the request is well formed");
    ///     session.open_webtransport(cx, request, Box::new(WebTransportEcho::default()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueFull`](ExchangeError::QueueFull) for more sessions than the server allows, of which it
    /// is one before that is known; [`Invalid`](ExchangeError::Invalid) where
    /// [`webtransport_sessions`](Http3Config::webtransport_sessions) is 0, the server is known to
    /// offer none, or the URI is not absolute; and as [`send_request`](Self::send_request).
    pub fn open_webtransport(
        &mut self,
        cx: &mut SessionContext<'_, Self>,
        request: Request<()>,
        visitor: Box<dyn WebTransportVisitor>,
    ) -> Result<RequestId, ExchangeError> {
        if !self.http.offers_webtransport() {
            return Err(ExchangeError::Invalid("webtransport_sessions is 0 in the configuration"));
        }
        if request.uri().scheme_str() != Some("https") {
            return Err(ExchangeError::Invalid("a WebTransport session needs an https URI"));
        }
        // §3.4: before the server has said how many, one.
        let limit = self.http.peer_settings().map_or(1, Settings::webtransport_limit);
        if limit > 0 && self.http.webtransport.live() >= limit {
            return Err(ExchangeError::QueueFull);
        }
        let mut request = request.map(|()| Body::Written);
        *request.method_mut() = Method::CONNECT;
        let protocol = Protocol::new(PROTOCOL_WEBTRANSPORT).expect("the name is a token");
        request.extensions_mut().insert(protocol);
        request.headers_mut().insert(DRAFT02, HeaderValue::from_static("1"));
        let handler = SessionHandler::asked(visitor, self.http.webtransport.token());
        self.send_request(cx, request, Box::new(handler))
    }
}

/// How both sides of draft-02 name their version.
const DRAFT02: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft02");
const DRAFT: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft");
