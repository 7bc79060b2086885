//! CONNECT (RFC 9114 §4.4) and extended CONNECT (RFC 8441, RFC 9220): which [`Protocol`] a request
//! wants its stream to carry, and how a client's such requests wait for the server's settings.

use std::fmt;

use http::{Method, Request};

use super::client::Http3ClientSession;
use super::error::{ExchangeError, Http3Code, Http3Error, RequestFailure};
use super::settings::Settings;
use crate::session::SessionContext;

/// The `:protocol` of an extended CONNECT, such as `websocket`; an extension of [`http::Request`].
///
/// ```
/// use http::Request;
/// use protoquic_core::http::Protocol;
///
/// let mut request = Request::connect("https://example.org/chat").body(()).unwrap();
/// request.extensions_mut().insert(Protocol::new("websocket").unwrap());
/// assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(Box<str>);

impl Protocol {
    /// A protocol of this name, as it is registered for HTTP Upgrade. `None` if it is no token
    /// (RFC 9110 §5.6.2).
    pub fn new(name: &str) -> Option<Self> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
        (!name.is_empty() && name.bytes().all(is_token)).then(|| Self(name.into()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a request is an extended CONNECT.
pub(super) fn is_extended(request: &Request<()>) -> bool {
    *request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some()
}

/// Whether a request asks for a WebTransport session.
pub(super) fn is_webtransport(request: &Request<()>) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    is_extended(request) && protocol.is_some_and(|name| name.as_str() == PROTOCOL_WEBTRANSPORT)
}

/// The `:protocol` of WebTransport (draft-ietf-webtrans-http3-07 §3.3).
pub(super) const PROTOCOL_WEBTRANSPORT: &str = "webtransport";

/// Whether a request may be sent to a server with these settings, which may not have come yet.
pub(super) fn may_go(request: &Request<()>, settings: Option<&Settings>) -> bool {
    // RFC 8441 §3: no :protocol before the server has said that it takes it.
    let taken = |settings: &Settings| {
        // draft-ietf-webtrans-http3-07 §3.1: nor a session before it has said that it takes them.
        settings.enable_connect_protocol
            && (!is_webtransport(request) || settings.takes_webtransport())
    };
    !is_extended(request) || settings.is_some_and(taken)
}

/// Refuses what this server will never take.
pub(super) fn check(
    request: &Request<()>,
    settings: Option<&Settings>,
) -> Result<(), ExchangeError> {
    if settings.is_some() && !may_go(request, settings) {
        return Err(ExchangeError::Invalid(NOT_TAKEN));
    }
    Ok(())
}

impl Http3ClientSession {
    /// The server's settings may have come: what waited for them goes, or never will.
    pub(super) fn release_connects(&mut self, cx: &mut SessionContext<'_, Self>) {
        let settings = self.http.peer_settings().copied();
        if settings.is_none() || !std::mem::take(&mut self.waits_for_settings) {
            return;
        }
        let (kept, refused) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(_, pending)| may_go(&pending.head, settings.as_ref()));
        self.queue = kept;
        for (_, mut pending) in refused {
            let reason = NOT_TAKEN;
            let error = Http3Error::new(Http3Code::SETTINGS_ERROR, reason);
            pending.handler.on_failed(&RequestFailure::Message(error));
        }
        self.start_requests(cx);
    }
}

const NOT_TAKEN: &str = "the server does not take extended CONNECT of this protocol";
