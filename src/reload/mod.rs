//! RELOAD (RFC 6940).
//!
//! | module | what |
//! | --- | --- |
//! | [`codec`] | bytes ↔ values |
//! | [`configuration`] | the overlay configuration document (§11.1) |
//! | [`enrollment`] | the bodies of a certificate request and its answer (§11.3) |
//! | [`link`] | one overlay link: frames, ACKs, simple reliability (§6.6) |
//! | [`fragment`] | messages cut for small datagrams, and put together (§6.7) |
//! | [`request`] | end-to-end reliability: retransmission, and the memory of answers (§6.2.1) |
//! | [`route`] | where a message goes from here (§6.1) |
//! | [`via`] | how the answer to what passed finds its way back (§6.1.2, §6.1.3) |
//! | [`storage`] | what a peer stores for the overlay (§7) |
//! | [`redir`] | the providers of a service in a tree, and how one is found (RFC 7374) |
//! | [`topology`] | the Topology Plug-in as the overlay sees it (§6.4.1) |
//! | [`grant`] | who may speak for a channel: its owner, and whom he names |
//! | `timers` | deadlines of many, in order |
//! | [`overlay`] | the plane's machine |
//!
//! # What is left out
//!
//! Rows of the checklist in `tests/checklist` that are not carried out, and why.
//!
//! | row | rule | reason |
//! | --- | --- | --- |
//! | AT-8 | full ICE (§6.5.1.3) | overlays here are all `no-ice`; ICE agents are a host's affair |
//! | AT-9 | the controlling role of ICE (§6.5.1.9) | the same |
//! | AT-12 | STUN servers among peers (§6.5.1.4) | the same |
//! | AT-13 | the life of an ICE session (§6.5.1.10) | the same |
//! | LT-1 | DTLS with ICE (§6.6.4) | the same |
//! | SR-10 | several next hops at once (§6.2.1) | optional; a request goes to one next hop at a time |
//! | CE-12 | links with a shared secret (§13.4) | rustls has neither SRP nor outside PSKs; a document with one is refused |

pub mod codec;
pub mod configuration;
pub mod enrollment;
pub mod fragment;
pub mod grant;
pub mod link;
pub mod overlay;
pub mod redir;
pub mod request;
pub mod route;
pub mod storage;
mod timers;
pub mod topology;
pub mod via;
