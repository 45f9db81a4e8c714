//! What a peer stores for the overlay (RFC 6940 §7): values with their signatures, lifetimes and generation counters.
//!
//! | file | what |
//! | --- | --- |
//! | `kind` | [`Kind`]: data model, access control, limits |
//! | `value` | [`StoredValue`] and its [`Slot`] |
//! | `store` | [`Storage`]: atomic stores, fetches, expiry |
//!
//! Signatures are checked before values come here; what is checked here is who may write what, in which order of time,
//! and how much.

mod kind;
mod store;
mod value;

pub use kind::{Access, Kind};
pub use store::{KindValues, Limits, Origin, Refusal, Storage, Stored};
pub use value::{Arrival, Found, Slot, StoredValue};
