//! protoquic-dispatcher.
