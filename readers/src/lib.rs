//! protoquic-readers.
