//! protoquic-tools.
