//! The simulated network: many machines on one virtual clock, with the trouble that real networks make.
//!
//! Nothing here reads a clock or opens a socket, and everything random comes from one seed, so that a run can be
//! repeated byte for byte. After every step the promises K1, K2, K5 and K12 are checked; a machine that breaks one
//! stops the run with the last lines of its trace.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `machine` | [`Machine`]: what a node looks like from outside, and the sockets it has |
//! | `checked` | [`Checked`]: a machine whose promises are checked at every call |
//! | `underlay` | [`Conditions`]: latency, jitter, loss, duplication and reordering of one path |
//! | `queue` | [`Queue`]: what happens next; also useful to simulations that do without datagrams |
//! | `network` | [`Network`]: the machines, their datagrams, and what can befall them |
//! | `streams` | TCP as far as a machine can see it |
//! | `authority` | [`Authority`]: identities with certificates and users, the same in every run |
//! | `trace` | [`Record`]: one line for everything that travels |
//! | `summary` | what a datagram is, in a few words |
//! | `audience` | [`audience::Audience`]: one source and its viewers, all of them whole nodes, and what their players miss |
//! | `overlay` | [`overlay::OverlayNetwork`]: thousands of overlays with nothing on top, growth, churn, audits |
//! | `flow` | [`flow::World`]: crowds of viewers, each with the policy alone, and media as a flow; other systems beside them |
//! | `statistics` | [`Samples`] and their percentiles |
//! | `pcapng` | a capture file of what travelled, for Wireshark |

pub mod audience;
mod authority;
mod checked;
pub mod flow;
mod machine;
mod network;
pub mod overlay;
pub mod pcapng;
mod queue;
mod statistics;
mod streams;
mod summary;
mod trace;
mod underlay;

pub use authority::{Authority, Certificate, Certified};
pub use checked::{Checked, Fnv, Promise, Violation};
pub use machine::{Family, Machine, NodeIndex};
pub use network::{Config, Death, Network, Played};
pub use queue::{Queue, Ticket};
pub use statistics::Samples;
pub use summary::summarise;
pub use trace::{Fate, Record, What};
pub use underlay::{Conditions, Latency};
