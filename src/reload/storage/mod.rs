//! What a peer stores for the overlay (RFC 6940 §7).

mod kind;

pub use kind::{Access, DataModel, Kind};
