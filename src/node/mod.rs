//! The node: three planes and one policy, wired.
//!
//! Inputs go in at `handle_*`, commands at their own names, and everything the node wants done comes out of
//! [`Node::poll_output`](Node), in the order it was caused.

mod api;

pub use api::*;
