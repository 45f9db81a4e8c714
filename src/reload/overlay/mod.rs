//! The overlay plane's machine: RELOAD (RFC 6940) over plain datagrams.
//!
//! ```text
//! handle_datagram ─▶ link (frame, ACK) ─▶ header ─▶ route: forward │ answer from memory │ mine
//!                                                                   mine ─▶ storage, topology ─▶ facts, sends
//! store, fetch ... ─▶ request (retransmission) ─▶ route ─▶ link ─▶ Effects
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `api` | [`Context`], [`Fact`], [`Ticket`], [`Value`], [`Failure`], [`OrderError`] |
//! | `config` | [`Config`], [`Timers`], [`Limits`] |

mod api;
mod config;

pub use super::storage::Slot;
pub use api::{Address, Context, Fact, Failure, OrderError, Ticket, Value};
pub use config::{Config, ConfigError, Limits, LinkSecurity, Timers};

use super::codec::KindId;
use super::topology::Topology;
use crate::ids::{NodeId, ResourceId};
use crate::stats::DropReason;
use crate::time::{Instant, UnixMillis};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;

/// One node's view of one overlay instance, and its part in it.
#[derive(Debug)]
pub struct Overlay<T> {
    config: Config,
    topology: T,
}

impl<T: Topology> Overlay<T> {
    /// A node that is in no overlay yet.
    pub fn new(config: Config, me: NodeId) -> Result<Self, ConfigError> {
        Ok(Overlay { config, topology: T::new(me) })
    }

    /// Founds the overlay: this node is its first peer and responsible for everything (JL-6: only by explicit order).
    /// [`Fact::Joined`] comes at once.
    pub fn create(&mut self, now: Instant, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        let _ = (now, ctx);
        Ok(())
    }

    /// Joins through the first of these bootstrap nodes that answers. [`Fact::Joined`] or [`Fact::JoinFailed`] follows.
    pub fn join(
        &mut self,
        now: Instant,
        bootstrap: &[SocketAddr],
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let _ = (now, bootstrap, ctx);
        Ok(())
    }

    /// Leaves: what only this node holds goes to its successors, its neighbours get a Leave (RFC 6940 §10.9).
    /// [`Fact::Left`] follows when they have answered, at the latest after [`Timers::leave`].
    pub fn leave(&mut self, now: Instant, ctx: &mut Context<'_>) -> Result<(), OrderError> {
        let _ = (now, ctx);
        Ok(())
    }

    /// Stores a value at the responsible peer (RFC 6940 §7.4.1). [`Fact::Stored`] follows. It lives for `lifetime`; who
    /// wants it to live longer stores it again.
    pub fn store(
        &mut self,
        now: Instant,
        ticket: Ticket,
        address: Address,
        value: Bytes,
        lifetime: Duration,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let _ = (now, ticket, address, value, lifetime, ctx);
        Ok(())
    }

    /// Removes a value: stores that it does not exist (RFC 6940 §7.4.1.3), for at least as long as the value would have
    /// lived. [`Fact::Stored`] follows.
    pub fn remove(
        &mut self,
        now: Instant,
        ticket: Ticket,
        address: Address,
        lifetime: Duration,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let _ = (now, ticket, address, lifetime, ctx);
        Ok(())
    }

    /// Asks the responsible peer for all values of a Kind (RFC 6940 §7.4.2). [`Fact::Fetched`] follows.
    pub fn fetch(
        &mut self,
        now: Instant,
        ticket: Ticket,
        resource: ResourceId,
        kind: KindId,
        ctx: &mut Context<'_>,
    ) -> Result<(), OrderError> {
        let _ = (now, ticket, resource, kind, ctx);
        Ok(())
    }

    /// One datagram arrived. Never fails the machine: what was not used says why, so that it can be counted.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        payload: Bytes,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let _ = (now, from, payload, ctx);
        Ok(())
    }

    /// The network says that an address cannot be reached: a hard ICMP error (LR-7).
    pub fn handle_unreachable(&mut self, now: Instant, to: SocketAddr, ctx: &mut Context<'_>) {
        let _ = (now, to, ctx);
    }

    /// Fires everything that is due; harmless when early.
    pub fn handle_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let _ = (now, ctx);
    }

    /// Tells the time of day, which storage_time follows. Timers do not.
    pub fn handle_wall_clock(&mut self, now: Instant, wall: UnixMillis) {
        let _ = (now, wall);
    }

    /// When [`Overlay::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// This node's Node-ID.
    pub fn node_id(&self) -> NodeId {
        NodeId::default()
    }

    /// Whether this node is a peer of the overlay now.
    pub fn is_joined(&self) -> bool {
        false
    }

    /// Whether this node is responsible for a Resource-ID.
    pub fn is_responsible_for(&self, resource: &ResourceId) -> bool {
        let _ = resource;
        false
    }

    /// The Routing Table.
    pub fn topology(&self) -> &T {
        &self.topology
    }

    /// How this overlay was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
