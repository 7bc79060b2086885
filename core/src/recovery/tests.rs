//! Recovery as the connection sees it: RFC 9002's rules, hostile ACKs, and a random history against
//! a plain model.

mod harness;
mod hostile;
mod model;
mod rules;
mod timers;
