//! What the policy wants done, in the order in which it decided.

use super::fact::{ByeReason, Hold};
use super::report::{Provider, Report};
use crate::ids::{CallId, ChannelId};
use crate::time::Duration;
use alloc::vec::Vec;

/// One order. Events are orders too, so that they stand where they were caused.
///
/// Media follows the calls: after `Accept` on a media call the node sends the channel's media to that peer, after
/// `Fact::Answered` on a media call it takes media from that peer, and `Bye` or `Fact::Ended` stops either. In a standby
/// the node is ready to take media after `Fact::Answered`, and sends it between `Serve` and `Rest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order<P> {
    /// Be the channel's source from now on, in a new epoch: the host pushes its media, and nobody else's counts.
    TakeOver {
        /// The channel.
        channel: ChannelId,
    },
    /// Be the channel's source in a new epoch, later than any that was heard of: the source of a later one is gone.
    BeginAnew {
        /// The channel.
        channel: ChannelId,
    },
    /// Look the channel up in the overlay.
    Fetch {
        /// The channel.
        channel: ChannelId,
    },
    /// Store this node's record for the channel, or store it again because the values changed. Refreshing it before it
    /// expires is not the policy's business.
    Register {
        /// The channel.
        channel: ChannelId,
        /// As what.
        role: Role,
        /// Hops from the source.
        depth: u8,
        /// Free ordinary slots.
        free: u16,
        /// Whether it is one of the few under the channel's name. The others stand where there is room for many.
        listed: bool,
    },
    /// Remove this node's record.
    Unregister {
        /// The channel.
        channel: ChannelId,
    },
    /// Place a call.
    Invite {
        /// The channel.
        channel: ChannelId,
        /// Its number, new.
        call: CallId,
        /// Whom to call.
        peer: P,
        /// What for.
        kind: InviteKind,
        /// How many children of this channel this node could serve.
        slots: u16,
    },
    /// Give up a placed call that was not answered. Should an answer come all the same, it will be told and BYEd.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// Answer 200.
    Accept {
        /// The call.
        call: CallId,
        /// This node's own hops from the source.
        depth: u8,
        /// Whether the caller sits in a rescue slot.
        rescue: bool,
        /// Ordinary slots that are free now.
        free: u16,
    },
    /// Answer 302.
    Redirect {
        /// The call.
        call: CallId,
        /// Whom to ask, best first; never empty.
        providers: Vec<Provider<P>>,
    },
    /// Answer 182: the caller waits for its final answer.
    Queue {
        /// The call.
        call: CallId,
    },
    /// Answer with a refusal.
    Refuse {
        /// The call.
        call: CallId,
        /// Which.
        denial: Denial,
    },
    /// End an answered call.
    Bye {
        /// The call.
        call: CallId,
        /// What to tell.
        reason: ByeReason,
    },
    /// Send a report in the call's dialog.
    Inform {
        /// The call.
        call: CallId,
        /// The report.
        report: Report<P>,
    },
    /// Ask the provider of this standby for media, from behind what is here already (RESUME).
    Resume {
        /// The call.
        call: CallId,
    },
    /// Tell the provider that this call is a standby again (RELEASE).
    Release {
        /// The call.
        call: CallId,
    },
    /// Send media in this standby from now on, beginning with what its child asked for.
    Serve {
        /// The call.
        call: CallId,
    },
    /// Send no media in this call any more: it is a standby again.
    Rest {
        /// The call.
        call: CallId,
    },
    /// Tell the child of this standby that it gets nothing now (DENIED).
    Deny {
        /// The call.
        call: CallId,
    },
    /// Tell all children of the channel now that there is nothing to send.
    Hold {
        /// The channel.
        channel: ChannelId,
        /// Why.
        hold: Hold,
    },
    /// Tell the user.
    Event(Event<P>),
}

/// As what a node registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The publisher.
    Source,
    /// An elected relayer.
    Relayer,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteKind {
    /// Media.
    Media,
    /// Media, for an orphan that may also be given a rescue slot.
    Urgent,
    /// A dialog for reports only.
    Control,
    /// A backup parent: a dialog in which no media flows until this node asks for it.
    Standby,
}

/// How an INVITE is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 503 with Retry-After.
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    /// 482: the caller stands in this node's path to the source.
    Loop,
    /// 404: the channel is not offered here.
    NotFound,
    /// 486: this control dialog is not wanted.
    ControlUnwanted,
}

/// Something that a user may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<P> {
    /// The channel's record is stored.
    Published {
        /// The channel.
        channel: ChannelId,
    },
    /// The channel's record could not be stored.
    PublishFailed {
        /// The channel.
        channel: ChannelId,
    },
    /// The source is gone, and this node, its standby, is the source now.
    TookOver {
        /// The channel.
        channel: ChannelId,
    },
    /// Nobody offers the channel; looked up again later.
    NotFound {
        /// The channel.
        channel: ChannelId,
    },
    /// Nobody has room or answers; tried again after this long.
    Unavailable {
        /// The channel.
        channel: ChannelId,
        /// Until the next attempt.
        retry_after: Duration,
    },
    /// The first packet of the channel has arrived.
    Playing {
        /// The channel.
        channel: ChannelId,
        /// Who sends it.
        parent: P,
        /// This node's hops from the source.
        depth: u8,
    },
    /// The parent is gone, or silent.
    Orphaned {
        /// The channel.
        channel: ChannelId,
        /// The parent that was lost.
        parent: P,
    },
    /// The parent is silent, and a backup parent sends the media meanwhile. Nothing has changed in the tree.
    Covered {
        /// The channel.
        channel: ChannelId,
        /// Who sends it.
        provider: P,
    },
    /// Media flows again, or from somebody else now. The parent may be the one that had fallen silent.
    Reparented {
        /// The channel.
        channel: ChannelId,
        /// The parent.
        parent: P,
        /// This node's hops from the source.
        depth: u8,
        /// Whether this node sits in a rescue slot.
        rescue: bool,
    },
    /// This node was elected as a relayer, and accepted.
    Elected {
        /// The channel.
        channel: ChannelId,
    },
    /// This node's record as a relayer is stored.
    Registered {
        /// The channel.
        channel: ChannelId,
    },
    /// A child is served here now.
    ChildJoined {
        /// The channel.
        channel: ChannelId,
        /// The child.
        child: P,
    },
    /// A child is no longer served here.
    ChildLeft {
        /// The channel.
        channel: ChannelId,
        /// The child.
        child: P,
    },
    /// The elector was told that no slot is free.
    FullCapacityReported {
        /// The channel.
        channel: ChannelId,
    },
    /// The table changed (told once for each input).
    TableChanged {
        /// The channel.
        channel: ChannelId,
    },
    /// An elected relayer is ready.
    RelayerReady {
        /// The channel.
        channel: ChannelId,
        /// The relayer.
        relayer: P,
    },
    /// A relayer has fallen silent or left.
    RelayerLost {
        /// The channel.
        channel: ChannelId,
        /// The relayer.
        relayer: P,
    },
    /// The channel is over for this node.
    Ended {
        /// The channel.
        channel: ChannelId,
        /// Why.
        reason: EndReason,
    },
}

/// Why a channel is over for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The source ended it.
    EndOfChannel,
    /// This node stopped watching or publishing.
    Stopped,
    /// The source is gone, and no other one has come.
    SourceLost,
    /// This node published, and another source does now: one of a later epoch, or of the same one with a lower Node-ID.
    Superseded,
}
