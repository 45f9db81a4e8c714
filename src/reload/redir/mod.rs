//! Service discovery by ReDiR (RFC 7374): the providers of a service stand in a tree of Resource-IDs, so that no peer has to
//! hold all of them, nor to answer everybody who looks for one.
//!
//! | file | what |
//! | --- | --- |
//! | `tree` | [`Tree`]: where the tree nodes lie, and who lies where in them (§3, §5) |
//! | `registration` | [`Registration`]: one walk of a provider up and down its path (§4.3) |
//! | `provider` | [`Provider`]: registrations repeated and taken back (§4.4, §4.6) |
//! | `lookup` | [`Lookup`]: the walk to the closest successor of a key (§4.5) |
//! | `levels` | [`Levels`]: where lookups start (§4.2) |
//!
//! These are pure machines. They order tree nodes to be fetched and stored, and are told what was there; who carries that
//! out, and what a provider's record says, is the caller's business. Neither the order nor the honesty of what they are
//! told is relied on: a walk ends after each level was asked once at most.
//!
//! A lookup takes its own Node-ID as the key. So lookups begin at as many tree nodes as there are at their starting level,
//! end with different providers, and only those whom nobody near follows come to the root.
//!
//! Whoever is a member of the overlay may write himself into any namespace (§5, §9). Whom to believe is not judged here.

mod levels;
mod lookup;
mod provider;
mod registration;
mod tree;

pub use levels::{Levels, START};
pub use lookup::{Lookup, MAX_PROVIDERS, Next};
pub use provider::{Order, Provider};
pub use registration::{Registration, Step};
pub use tree::{Tree, TreeNode};

use crate::time::Duration;

/// Timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a record lives without being stored again; ten minutes in the RFC.
    pub lifetime: Duration,
    /// A provider that could be stored nowhere tries again after this long.
    pub retry: Duration,
    /// How long a lookup waits for one tree node.
    pub patience: Duration,
}

impl Config {
    /// The same, with timers that let time pass.
    fn sane(self) -> Self {
        let least = Duration::from_secs(5);
        let Config { lifetime, retry, patience } = self;
        Config { lifetime: lifetime.max(least), retry: retry.max(least), patience }
    }
}

impl Default for Config {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Config { lifetime: seconds(600), retry: seconds(30), patience: seconds(3) }
    }
}
