//! The qpack room.
