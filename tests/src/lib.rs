//! What protoquic's end-to-end tests share: a network in virtual time ([`net`]), certificates made
//! once per process, and small protocols to run over it. Public seams only.

pub mod http3;
pub mod net;
pub mod protocols;
pub mod raw;
pub mod tls;
