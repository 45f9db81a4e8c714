//! Clients (RFC 6940 §4.2): nodes that store and fetch and can be reached, and neither route for others nor hold anything.
//!
//! A client goes the first two steps of a join, but to the peer that is responsible for its Node-ID, and stays there. When
//! that peer's Updates name another one that is nearer behind the client, it attaches to that one (CL-1).

use super::join::Join;
use super::{Context, Fact, OrderError, Overlay, Phase, Task};
use crate::ids::NodeId;
use crate::reload::topology::{Heard, Topology};
use crate::time::Instant;
use alloc::boxed::Box;
use core::net::SocketAddr;

impl<T: Topology> Overlay<T> {
    /// Becomes a client of the overlay, through the first of these bootstrap nodes that answers. [`Fact::Joined`] or
    /// [`Fact::JoinFailed`] follows. A client whose peers are all lost looks for the overlay again by itself; until it has
    /// found it, orders are refused.
    pub fn join_as_client(
        &mut self,
        now: Instant,
        bootstrap: &[SocketAddr],
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        self.begin_join(now, bootstrap, true, ctx)
    }

    /// Whether this node is a client of the overlay now.
    pub fn is_client(&self) -> bool {
        matches!(self.phase, Phase::Client)
    }

    /// The peer that is responsible for this node's Node-ID is linked, and has told of its neighbours.
    pub(super) fn become_client(&mut self, now: Instant, from: NodeId, heard: &Heard, ctx: &mut Context<'_>) {
        self.phase = Phase::Client;
        self.tasks.clear(&Task::Join);
        ctx.effects.fact(Fact::Joined);
        self.watch_neighbors(now, ctx);
        self.follow(now, from, heard, ctx);
    }

    /// Attaches to the peer that an Update shows to be responsible for this client now.
    pub(super) fn follow(&mut self, now: Instant, from: NodeId, heard: &Heard, ctx: &mut Context<'_>) {
        if let Some(peer) = heard.behind_me.filter(|&peer| peer != from) {
            self.attach_to(now, peer, from, ctx);
        }
    }

    /// A peer of this client is gone. With none left it begins anew.
    pub(super) fn on_peer_of_client_lost(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Some(&first) = self.bootstraps.first() else { return };
        if self.topology.is_empty() {
            self.tasks.clear(&Task::Neighbors);
            self.phase = Phase::Joining(Box::new(Join::new(first, self.bootstraps.clone(), true)));
            self.dial_bootstrap(now, ctx);
        }
    }
}
