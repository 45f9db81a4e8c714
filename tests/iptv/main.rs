//! The policy as a whole: many machines on one virtual clock, and the laws of the tree.
//!
//! | file | rules of |
//! | --- | --- |
//! | `tree`, `paper` | the tree as a whole; the published design |
//! | `election`, `room`, `relaying` | relayers, seen from the source, which elects ahead; seen from themselves |
//! | `delegated` | relayers that elect |
//! | `admission`, `leases` | who is let in; who may come when its parent falls silent |
//! | `search`, `orphans` | whom a viewer asks; whom one asks who has no picture |
//! | `flat`, `sinking` | how the tree stays flat; how one leaves a rescue slot |
//! | `silence`, `backups` | what silence is; who covers it |
//! | `leaving`, `succession` | planned departures; the source itself |
//! | `misuse`, `nonsense`, `pauses` | bad peers; facts without sense; how often anything is tried |
//! | `questions` | what a host may ask, and what it must not order |
//! | `harness` | the village, and one policy alone |

mod admission;
mod backups;
mod delegated;
mod election;
mod flat;
mod harness;
mod leases;
mod leaving;
mod misuse;
mod nonsense;
mod orphans;
mod paper;
mod pauses;
mod questions;
mod relaying;
mod room;
mod search;
mod silence;
mod sinking;
mod succession;
mod tree;
