//! What the end-to-end tests of protoquic share.

pub mod relay;
