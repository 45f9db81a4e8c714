//! Peer-to-peer live television as pure protocol state machines.
//!
//! A source registers a channel in a [RELOAD](reload) overlay (RFC 6940). A viewer looks it up there and asks the
//! provider for it with a [SIP](sip) INVITE. When the source is full it elects viewers as **relayers** by SIP INFO, which
//! register themselves too and serve the next viewers, so that the media flows as [RTP](rtp) down a tree. When a
//! relayer vanishes, the [policy](iptv) of its children finds them another parent.
//!
//! Links and SIP go over [TLS](tls) (feature `tls`), messages and records are signed, and a channel belongs to a key, which
//! signs its [packets](rtp::integrity) too. That is the host's choice: a [`node::Config`] begins plain, and a node without
//! all that is one whose identity is called [insecure](env::InsecureIdentity).
//! All nodes can reach each other: overlays are `no-ice`, and there is no NAT traversal.
//!
//! This crate does no input or output: no sockets, no clock, no threads, no `async`, no `unsafe`; it needs `alloc` and
//! nothing of `std` (its features `tls`, `dtls` and `std` do). A [`Node`](node::Node) is a value that turns packets and
//! time into packets and time.
//!
//! # The map of the house
//!
//! ```text
//! your host          sockets, clocks, files, players
//! ────────────────────────────────────────────────────────────────────────────────────────
//! node               wires the three planes and the policy; owns the output queue
//! iptv               who feeds whom: election, keep-alive, repair. No bytes, no addresses
//! reload::overlay    sip::agent           rtp::relay        one machine for each plane
//! link request       transaction dialog   window reception  the small machines, each one figure of an RFC
//! storage · redir · chord
//! secure · tls       streams beneath the planes; their certificates and TLS (features `tls`, `dtls`)
//! reload::codec      sip::msg sdp body    rtp::header rtcp  bytes ↔ values; no state, no time
//! wire time bounded env ids effect stats                    the ground floor
//! ```
//!
//! Facts go up, orders go down, once for each input: a packet becomes a fact of its plane, the policy answers it with
//! orders, orders become packets. No layer calls upwards, and the planes do not know each other.
//!
//! # The loop, in six steps
//!
//! 1. Wait for a datagram, for a stream, or for [`deadline`](node::Node::deadline).
//! 2. Read your clock once: that is `now`.
//! 3. Hand in what has come: [`handle_datagram`](node::Node::handle_datagram),
//!    [`handle_stream`](node::Node::handle_stream).
//! 4. If the deadline has come, call [`handle_timeout`](node::Node::handle_timeout). Too early does no harm.
//! 5. Drain [`poll_output`](node::Node::poll_output) and do what it says, in that order.
//! 6. Ask for the next `deadline`, and go to 1.
//!
//! ```
//! # #[cfg(feature = "tls")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use p2piptv::env::Seeded;
//! use p2piptv::ids::ChannelName;
//! use p2piptv::node::{Addresses, Config, Event, Node, Output, Owner, Security};
//! use p2piptv::time::{Instant, UnixMillis};
//! use p2piptv::tls::{Digest, Identity, Tls};
//!
//! let addresses = Addresses {
//!     overlay: "192.0.2.1:6084".parse()?,
//!     signalling: "192.0.2.1:5060".parse()?,
//!     media: "192.0.2.1:5004".parse()?,
//! };
//! // A key of its own, from which its Node-ID comes: nobody has to vouch for it. Without security, and without the
//! // feature `tls`, it would be `Node::new` with an `env::InsecureIdentity`.
//! let identity = Identity::self_signed("tv.example", "alice", Digest::Sha256)?;
//! let tls = Tls::new(&identity)?;
//! let config = Config { security: Security::Tls, ..Config::new("alice", "tv.example", addresses) };
//! // A real host lends the system's randomness.
//! let entropy = Seeded::new(1);
//! let mut node = Node::secured(config, Box::new(entropy), Box::new(identity), Box::new(tls))?;
//!
//! let mut now = Instant::ZERO;
//! node.handle_wall_clock(now, UnixMillis(1_790_000_000_000));
//! node.create(now)?; // the first node of its overlay; all others `join`
//!
//! let mut published = false;
//! while !published {
//!     while let Some(output) = node.poll_output() {
//!         match output {
//!             Output::Event(Event::Joined) => {
//!                 // A channel belongs to a key, by whose fingerprint viewers can know it.
//!                 let owner = Identity::self_signed("tv.example", "100", Digest::Sha256)?;
//!                 let owner = Owner::new(vec![Box::new(owner)]);
//!                 node.publish_as(now, &ChannelName::new("100").expect("a legal name"), &[], owner)?;
//!             }
//!             Output::Event(Event::Published { .. }) => published = true,
//!             _ => {} // Transmit, Connect, Write, Close, Media: your sockets' work
//!         }
//!     }
//!     // Nothing has come in, so the next thing that happens is a timer.
//!     now = node.deadline().unwrap_or(now);
//!     node.handle_timeout(now);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tls"))]
//! # fn main() {}
//! ```
//!
//! `examples/two_nodes.rs` has a second node that watches, both without security; `examples/iptv` is a complete host.
//!
//! # What you can rely on
//!
//! Simulations, property tests and fuzz targets check these, most of them after every step; there they go by their numbers.
//!
//! | | |
//! | --- | --- |
//! | K1 | once drained, `deadline()` is later than the last `now`, or `None` |
//! | K2 | while output waits, `deadline()` is the last `now`; waking exactly at the deadline makes progress |
//! | K3 | any call in any order is legal and does a bounded amount of work |
//! | K4 | asking for the deadline changes nothing and costs the same however many peers there are |
//! | K5 | every input fires the timers that are due at its `now` too: a flood cannot starve them |
//! | K6 | an older `now` counts as the last one; a clock that jumps ahead has nobody taken for dead before he could answer |
//! | K7 | inputs never fail and never panic: a packet is used, or dropped and counted with its [reason](stats::DropReason) |
//! | K8 | whatever a peer can make grow has a limit with a name, in the `Limits` of each configuration |
//! | K9 | the same configuration, seed and calls give the same outputs, byte for byte |
//! | K10 | outputs come in the order in which they were caused, and an event carries its facts |
//! | K11 | timers of RFCs fire when the RFC says |
//! | K12 | waking before the deadline does nothing |

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// Without std, and without a panic that a peer could cause.
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![warn(clippy::unwrap_used, clippy::panic)]

extern crate alloc;

pub mod bounded;
pub mod chord;
pub mod effect;
pub mod env;
#[cfg(feature = "arbitrary")]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod iptv;
pub mod node;
pub mod reload;
pub mod rtp;
pub mod secure;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sip;
pub mod stats;
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;
pub mod wire;
