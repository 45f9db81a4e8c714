//! The policy: who feeds whom. Channels, admission, election, keep-alive and repair, without bytes or addresses.
//!
//! | file | |
//! | --- | --- |
//! | `config` | what the host decides: capacity, profile, timers, limits |
//! | `fact`, `report`, `order` | what goes in, what peers tell each other, what comes out |

mod config;
mod fact;
mod order;
mod report;

pub use config::{Config, Limits, Profile};
pub use fact::{ByeReason, Fact, Hold, Progress, Refusal};
pub use order::{Denial, EndReason, Event, InviteKind, Order, Role};
pub use report::{Child, Provider, Report};

use crate::env::Entropy;
use crate::ids::ChannelId;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// What every call is lent: randomness, a look at the media plane, and the queue for what it decides.
pub struct Context<'a, P> {
    /// Randomness.
    pub entropy: &'a mut dyn Entropy,
    /// A look at the media plane.
    pub progress: &'a dyn Progress,
    /// Where orders go, oldest first.
    pub orders: &'a mut VecDeque<Order<P>>,
}

/// The caller's mistake. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Neither published nor watched here.
    #[error("no such channel here")]
    UnknownChannel,
    /// Published or watched here already.
    #[error("the channel is in use here already")]
    ChannelInUse,
    /// Only the publisher can end a channel.
    #[error("this node does not publish the channel")]
    NotPublisher,
    /// [`Limits::channels`] is reached.
    #[error("too many channels")]
    TooManyChannels,
}

/// One row of the table of a channel (table 1 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow<P> {
    /// Hops from the source; `None` while nobody knows where the peer hangs.
    pub depth: Option<u8>,
    /// The peer.
    pub peer: P,
    /// Its parent (possibly this node), where known.
    pub parent: Option<P>,
    /// Whether it is an elected relayer.
    pub relayer: bool,
}

/// How a channel stands at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus<P> {
    /// Whether this node publishes it.
    pub publisher: bool,
    /// Hops from the source; 0 for the publisher, `None` while nothing plays.
    pub depth: Option<u8>,
    /// From the source (first) to the parent (last), as the parent told.
    pub path: Vec<P>,
    /// The parent whose media plays.
    pub parent: Option<P>,
    /// Whether this node sits in its parent's rescue slot.
    pub rescue: bool,
    /// Whether media comes from the parent, as far as the last timer saw.
    pub playing: bool,
    /// Whether this node is an elected relayer of the channel.
    pub relayer: bool,
    /// Children in ordinary slots and in rescue slots.
    pub children: (usize, usize),
}

/// All channels of one node, sharing one uplink. `P` names a peer; the order of `P` means nothing.
pub struct Iptv<P> {
    config: Arc<Config>,
    me: P,
}

impl<P: Copy + Ord + Debug> Iptv<P> {
    /// A node without channels. Many nodes may share one configuration.
    pub fn new(config: impl Into<Arc<Config>>, me: P) -> Self {
        Iptv { config: config.into(), me }
    }

    /// Starts to publish a channel: registers it, and admits viewers.
    pub fn publish(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        let _ = (now, channel, ctx);
        Ok(())
    }

    /// Starts to watch a channel: looks it up and joins its tree. Other channels go on.
    pub fn tune(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        let _ = (now, channel, ctx);
        Ok(())
    }

    /// Stops watching: leaves the parent, tells the children that they have to look for another one. A publisher that
    /// stops ends the channel.
    pub fn stop(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        let _ = (now, channel, ctx);
        Ok(())
    }

    /// Ends a channel that this node publishes; every viewer is told, hop by hop.
    pub fn end(
        &mut self,
        now: Instant,
        channel: ChannelId,
        ctx: &mut Context<'_, P>,
    ) -> Result<(), CommandError> {
        let _ = (now, channel, ctx);
        Ok(())
    }

    /// Ends or stops every channel.
    pub fn leave(&mut self, now: Instant, ctx: &mut Context<'_, P>) {
        let _ = (now, ctx);
    }

    /// Takes a fact. Timers that are due at `now` fire first.
    pub fn on_fact(&mut self, now: Instant, fact: Fact<P>, ctx: &mut Context<'_, P>) {
        let _ = (now, fact, ctx);
    }

    /// Fires every timer that is due. Before [`Iptv::deadline`] it does nothing.
    pub fn handle_timeout(&mut self, now: Instant, ctx: &mut Context<'_, P>) {
        let _ = (now, ctx);
    }

    /// When [`Iptv::handle_timeout`] has to be called.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The table of a channel: all peers below this node that it knows, by depth and then by age. A publisher knows
    /// everybody, others their own children.
    pub fn table(&self, channel: ChannelId) -> Vec<TableRow<P>> {
        let _ = (channel, &self.config, self.me);
        Vec::new()
    }

    /// How a channel stands here; `None` when it is not in use.
    pub fn status(&self, channel: ChannelId) -> Option<ChannelStatus<P>> {
        let _ = channel;
        None
    }
}
