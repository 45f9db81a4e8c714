//! What a peer stores for the overlay (RFC 6940 §7): values with their signatures, lifetimes and generation counters.
//!
//! | file | what |
//! | --- | --- |
//! | `kind` | [`Kind`]: data model, access control, limits |
//! | `value` | [`StoredValue`], its [`Slot`], and what is asked for ([`Selection`]) |
//! | `store` | [`Storage`]: atomic stores, fetches, expiry |
//!
//! Signatures are checked before values come here; what is checked here is who may write what, in which order of time,
//! and how much.

mod kind;
mod store;
mod value;

pub use kind::{Access, DataModel, Kind};
pub use store::{Limits, Origin, Refusal, Storage};
pub use value::{Arrival, Found, Selection, Slot, StoredValue};
