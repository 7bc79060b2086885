//! The recovery room.
