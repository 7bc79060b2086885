//! What protoquic's end-to-end tests share: a network in virtual time ([`net`]), a
//! simulator of whole networks ([`sim`]), a bad network
//! between real sockets ([`relay`]), certificates made once per process, and small protocols to run
//! over them. Public seams only.

pub mod conformance;
pub mod datagram_pair;
pub mod datagrams;
pub mod evil;
pub mod evil_hello;
pub mod filter;
pub mod gro;
pub mod http3;
pub mod limited_suite;
pub mod mangle;
pub mod net;
pub mod protocols;
pub mod raw;
pub mod relay;
pub mod sim;
pub mod tls;
