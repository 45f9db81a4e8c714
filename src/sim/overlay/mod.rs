//! Overlays without anything on top of them, many of them: what RFC 6940 promises of a ring can be measured here.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `network` | [`OverlayNetwork`]: the overlays, their datagrams, one virtual clock |
//! | `growth` | how a ring of any size comes to be: every node joins as nodes join, many at a time |
//! | `audit` | [`Audit`]: the tables and the stored values of all nodes against what they should be |
//! | `churn` | [`Churn`]: crashes and newcomers without end, and lookups that must go on being answered |
//! | `partition` | [`Partition`]: an overlay in two halves, and how they become one again |

mod audit;
mod churn;
mod growth;
mod network;
mod partition;

pub use audit::{Audit, Replicas, hops};
pub use churn::{Churn, Crash, Lookup, Loss, Moment, Setting, Summary};
pub use growth::Growth;
pub use network::{Config, Identities, OverlayNetwork};
pub use partition::{Agreement, Partition};
