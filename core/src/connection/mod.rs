//! The connection room.
