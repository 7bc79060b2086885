//! What the programs share: endpoints on real sockets, certificates, command lines. The programs
//! themselves are thin; no protocol rule lives here.

pub mod arguments;
pub mod certificate;
pub mod client;
pub mod congestion;
pub mod ending;
pub mod endpoint;
pub mod interop;
pub mod interrupt;
pub mod known_certificate;
pub mod live;
pub mod perf;
pub mod qchat;
pub mod qpack_offline;
pub mod quic_echo;
pub mod server;
pub mod trust;
pub mod vcl_test;
pub mod workers;
