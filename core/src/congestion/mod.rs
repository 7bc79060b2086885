//! The congestion room.
