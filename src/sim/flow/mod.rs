//! A million viewers: the real policies on one virtual clock, with media as a flow; and the systems that they are compared
//! with.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `crowd` | [`Crowd`]: who watches, for how long, and with what uplink |
//! | `media` | [`Media`]: who is fed by whom from when to when, and what players miss |
//! | `session` | calls between policies |
//! | `world` | [`World`]: `N` machines of [`iptv`](crate::iptv), their messages, and their media |
//! | `offices` | whether those who were elected go on relaying |
//! | `sizes` | octets of control messages |
//! | `summary` | [`Summary`]: what a run was |
//! | `rivals` | other systems, as models |
//! | `wheel`, `histogram` | the queue of events, and how numbers are spread |

mod crowd;
mod histogram;
mod media;
mod offices;
pub mod rivals;
mod session;
pub mod sizes;
mod summary;
mod wheel;
mod world;

pub use crowd::{Crowd, Person, Stay, Uplinks};
pub use histogram::Histogram;
pub use media::{Leg, Media, NO_LEG, Terms, Totals};
pub use offices::{Offices, Share};
pub use summary::{Control, Summary};
pub use wheel::Wheel;
pub use world::{SOURCE, Setting, World};

use crate::sim::{Conditions, Latency};
use crate::time::Duration;

/// The underlay of all runs: half of the pairs are nearer than 30 ms one way, one in twenty is farther than 100 ms, queues
/// add up to 5 ms, and 1 % is lost.
pub const fn underlay() -> Conditions {
    let latency = Latency::LogNormal { median: Duration::from_millis(30), p95: Duration::from_millis(100) };
    Conditions { latency, ..Conditions::constant(Duration::ZERO) }
        .with_jitter(Duration::from_millis(5))
        .with_loss(0.01)
}
