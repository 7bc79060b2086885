//! [`PromiseInbox`]: what streams of a client read of pushes, until the session looks at it, and the
//! IDs that the server may use. Must not know requests or handlers.

use crate::http::error::{Http3Code, Http3Error};
use crate::qpack::Field;
use crate::rare::Blank;
use crate::time::Time;

/// A PUSH_PROMISE frame.
#[derive(Debug)]
pub(in crate::http) struct Promise {
    pub(in crate::http) push: u64,
    /// The promised request, in its order.
    pub(in crate::http) fields: Vec<Field>,
}

/// What came of pushes, on a client.
#[derive(Debug, Default)]
pub(in crate::http) struct PromiseInbox {
    /// The server may use IDs below this one: MAX_PUSH_ID plus one; 0 if it may not push.
    pub(in crate::http) limit: u64,
    /// The ID after the largest that the server has used.
    pub(in crate::http) end: u64,
    /// From this ID on, pushes are refused: that of our GOAWAY.
    pub(in crate::http) refused_from: Option<u64>,
    pub(in crate::http) promised: Vec<Promise>,
    /// Named by CANCEL_PUSH frames.
    pub(in crate::http) cancelled: Vec<u64>,
    /// When the session has something to expire.
    pub(in crate::http) deadline: Option<Time>,
}

impl Blank for PromiseInbox {
    const BLANK: &'static Self = &Self {
        limit: 0,
        end: 0,
        refused_from: None,
        promised: Vec::new(),
        cancelled: Vec::new(),
        deadline: None,
    };
}

impl PromiseInbox {
    pub(in crate::http) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// A promise was read.
    pub(in crate::http) fn on_promise(&mut self, promise: Promise) -> Result<(), Http3Error> {
        if self.promised.len() >= MAX_AT_ONCE {
            return Err(Http3Error::new(
                Http3Code::EXCESSIVE_LOAD,
                format!("more than {MAX_AT_ONCE} promises at once"),
            ));
        }
        self.promised.push(promise);
        Ok(())
    }

    /// The server uses this ID in a promise or for a stream.
    pub(in crate::http) fn on_id(&mut self, push: u64, what: &str) -> Result<(), Http3Error> {
        self.check(push, what)?;
        self.end = self.end.max(push + 1);
        Ok(())
    }

    /// A CANCEL_PUSH frame came. It may be ahead of the promise (RFC 9114 §7.2.3).
    pub(in crate::http) fn on_cancel(&mut self, push: u64) -> Result<(), Http3Error> {
        self.check(push, "CANCEL_PUSH")?;
        self.cancelled.push(push);
        Ok(())
    }

    /// RFC 9114 §4.6, §7.2.3, §7.2.5: none is above what we allowed.
    fn check(&self, push: u64, what: &str) -> Result<(), Http3Error> {
        if push < self.limit {
            return Ok(());
        }
        let allowed = match self.limit {
            0 => "no push is allowed".to_owned(),
            limit => format!("push IDs up to {} are allowed", limit - 1),
        };
        Err(Http3Error::new(Http3Code::ID_ERROR, format!("{what} of push {push} where {allowed}")))
    }
}

/// How many promises are read before the session looks at them, which it does after every callback.
const MAX_AT_ONCE: usize = 1024;
