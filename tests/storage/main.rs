//! Data storage between peers (RFC 6940 §7 to §9, RFC 8076): certified nodes on a small network.

mod channels;
mod net;
mod orders;
mod policies;
mod readers;
mod replicas;
mod sizes;
mod usages;
