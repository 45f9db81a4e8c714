//! What a world of secured nodes has besides: identities that an authority vouches for, channels that every run repeats,
//! and owners of television channels.

use super::cast::{EVERYBODY, NAMES, OVERLAY, node_id};
use crate::env::{Channels, InsecureAssociations, InsecureChannels};
use crate::ids::KeyFingerprint;
use crate::node::{Config, Owner, Security};
use crate::sim::{Authority, Certificate, Certified};
use crate::time::{Duration, UnixMillis};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

const AUTHORITY: Authority = Authority::new(7);
/// Alice and carol have one owner, the others another; of the strangers each is one.
const OWNERS: [u64; EVERYBODY] = [100, 101, 100, 101, 101, 102, 103];

/// Limits that certificates and grants fit into and a short script still meets. Carol lets plain SIP agents in.
pub(super) fn configure(config: &mut Config, who: usize, security: Security) {
    config.security = security;
    config.agent.insecure_peers = who == 2;
    // Renewed while a script lasts; and of two who are named one gets a grant from bob.
    config.grant_lifetime = Duration::from_secs(60);
    config.limits.grants = if who == 1 { 1 } else { 2 };
    let limits = &mut config.overlay.limits;
    (limits.answer_bytes, limits.value_bytes, limits.unsigned) = (16 << 10, 16 << 10, 16);
    let limits = &mut config.streams;
    (limits.streams, limits.handshakes, limits.handshakes_per_host) = (12, 4, 2);
}

/// Who this is.
pub(super) fn identity(who: usize) -> Certified {
    AUTHORITY.issue(&Certificate::of_user(&format!("{who}@{OVERLAY}"), node_id(who)))
}

/// What stands in the place of TLS.
pub(super) fn channels(who: usize) -> Box<dyn Channels> {
    Box::new(InsecureChannels::new(node_id(who)))
}

/// What stands in the place of DTLS.
pub(super) fn associations(who: usize) -> Box<dyn Channels> {
    Box::new(InsecureAssociations::new(node_id(who)))
}

/// A datagram of it, with this inside.
pub(super) fn sealed(plaintext: &[u8]) -> Bytes {
    [&InsecureAssociations::DATA, plaintext].concat().into()
}

/// What is inside a datagram of it.
pub(super) fn opened(datagram: &Bytes) -> Bytes {
    let inside = datagram.strip_prefix(&InsecureAssociations::DATA);
    inside.map_or_else(Bytes::new, |inside| datagram.slice_ref(inside))
}

/// What such a channel says first.
pub(super) fn hello(who: usize) -> Bytes {
    let first = channels(who).connect(crate::time::Instant::ZERO, UnixMillis(0)).poll_ciphertext();
    first.unwrap_or_default()
}

/// For whom a node publishes.
pub(super) fn owner(who: usize) -> Owner {
    Owner::new(names_of(who).into_iter().map(|identity| Box::new(identity) as _).collect())
}

/// By what this owner is known.
pub(super) fn fingerprint(who: usize) -> KeyFingerprint {
    AUTHORITY.fingerprint(OWNERS[who])
}

fn names_of(who: usize) -> Vec<Certified> {
    let identity = |name: &&str| {
        let certificate = Certificate::of_user(&format!("{name}@{OVERLAY}"), node_id(who));
        AUTHORITY.issue(&Certificate { key: OWNERS[who], ..certificate })
    };
    NAMES.iter().map(identity).collect()
}
