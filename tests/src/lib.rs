//! protoquic-tests.
