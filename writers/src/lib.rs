//! protoquic-writers.
