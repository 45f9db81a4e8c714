//! What a peer stores for the overlay (RFC 6940 §7): values with their signatures, lifetimes and generation counters.
//!
//! | file | what |
//! | --- | --- |
//! | `kind` | [`Kind`]: data model, access control, limits; those that are registered |
//! | `access` | [`Access`]: who may write what, every policy |
//! | `share` | [`AccessList`]: delegated write access (RFC 8076) |
//! | `pattern` | [`Pattern`]: variable resource names (RFC 8076 §5) |
//! | `value` | [`StoredValue`] and its [`Slot`] |
//! | `store` | [`Storage`]: atomic stores, versions, and which nodes hold them as replicas |
//! | `plan` | what a Store would write, judged before anything is changed |
//! | `limits` | [`Limits`]: whether there is room for it |
//! | `fetch` | what a Fetch is answered with, and what is handed over |
//! | `removal` | expiry, delegations taken back, another configuration |
//! | `group` | what stands under one Resource-ID |
//! | `few` | a map for the few Kinds and values that there usually are |
//! | `writers` | whose values these are: certificates kept as long as the data, and shares of the store |
//!
//! Signatures are checked before values come here; what is checked here is who may write what, in which order of time,
//! and how much.

mod access;
mod fetch;
mod few;
#[cfg(test)]
mod fixtures;
mod group;
mod kind;
mod limits;
mod pattern;
mod plan;
mod removal;
mod share;
mod store;
mod value;
mod writers;

pub use access::{Access, Claim, node_multiple};
pub use kind::Kind;
pub use limits::Limits;
pub use pattern::Pattern;
pub use share::{AccessList, Names};
pub use store::{KindValues, Origin, Refusal, Storage, Stored};
pub use value::{Arrival, Found, Granted, Slot, StoredValue};
