//! How the nodes are configured: with small limits, so that a short script meets them.

use crate::fuzzing::cast::{OVERLAY, address};
use crate::fuzzing::secured;
use crate::iptv::Mode;
use crate::node::{Addresses, Config, Security};
use crate::sip::agent::Transport;
use crate::stats::Plane;
use crate::time::Duration;

pub(super) fn config(who: usize, (security, mode): (Security, Mode)) -> Config {
    let addresses = Addresses {
        overlay: address(who, Plane::Overlay),
        signalling: address(who, Plane::Signalling),
        media: address(who, Plane::Media),
    };
    let mut config = Config::new(["alice", "bob", "carol", "dave", "erin"][who], OVERLAY, addresses);
    // One slot and a rescue slot: the third node is redirected, or its relayer elected.
    config.policy.capacity = 1;
    // Alice's relayers stand under the channel's name, those of the others in its tree.
    config.policy.registered_relayers = u16::from(who == 0);
    config.policy.limits.channels = 3;
    // A source looks for newer ones whenever it refreshes its record.
    config.record_lifetime = Duration::from_secs(10);
    config.policy.limits.rows = 8;
    config.policy.limits.controls = 4;
    // Whoever takes a channel over takes the way of electing over too.
    config.policy.mode = if who == 1 { Mode::SourceManaged } else { mode };
    let limits = &mut config.policy.limits;
    (limits.subtree_rows, limits.offers, limits.open) = (4, 2, 2);
    config.agent.transport = if who == 2 { Transport::Tcp } else { Transport::Udp };
    let limits = &mut config.agent.limits;
    (limits.calls, limits.streams, limits.requests_per_call) = (8, 4, 3);
    // An answered request is remembered for 32 seconds, and a relayer reports once a second.
    (limits.client_transactions, limits.server_transactions, limits.unwritten) = (64, 128, 4096);
    let limits = &mut config.overlay.limits;
    (limits.links, limits.half_open, limits.link_queue, limits.requests) = (8, 3, 8, 16);
    (limits.answers, limits.answer_bytes, limits.transfers) = (8, 4096, 2);
    (limits.resources, limits.values, limits.value_bytes) = (8, 12, 2048);
    let limits = &mut config.media;
    (limits.channels, limits.parents, limits.children) = (3, 4, 4);
    (config.limits.peers, config.limits.queries, config.limits.outputs) = (8, 2, 64);
    if security != Security::InsecurePlain {
        secured::configure(&mut config, who, security);
    }
    config
}
