//! Recovery as the connection sees it: RFC 9002's rules, hostile ACKs, and a random history against
//! a plain model.

mod bbr;
mod careful_resume;
mod harness;
mod hostile;
mod link;
mod model;
mod rules;
mod throughput;
mod timers;
