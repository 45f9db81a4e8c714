//! What the policy is told, and what it may ask.

use super::report::{Provider, Report};
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// How far media and reports have come. Read when a timer fires, never pushed for each packet.
pub trait Progress {
    /// When the last *new* packet of the channel arrived here, or was pushed by the publisher.
    fn last_media(&self, channel: ChannelId) -> Option<Instant>;
    /// When this parent was last heard on the media plane: media, HOLD, PAUSED or any RTCP.
    fn last_from(&self, call: CallId) -> Option<Instant>;
    /// How many packets this parent has brought, each of them further on than all before it. What it repeats does not
    /// count, nor does anything but media.
    fn brought(&self, call: CallId) -> u64;
    /// When it brought the last of them.
    fn last_brought(&self, call: CallId) -> Option<Instant>;
    /// When this child last sent a reception report.
    fn last_report(&self, call: CallId) -> Option<Instant>;
    /// The share of packets that this child missed of late, in 1/256, as its last report says.
    fn reported_loss(&self, _call: CallId) -> Option<u8> {
        None
    }
    /// How many packets of the channel came here, and how many never did; what children report is more than that when it is
    /// this node that loses them.
    fn reception(&self, _channel: ChannelId) -> Option<Reception> {
        None
    }
    /// The pace of the channel's packets as they arrive here, once it is known. Thresholds of silence follow it.
    fn pace(&self, _channel: ChannelId) -> Option<Pace> {
        None
    }
    /// The usual round trip between this node and others, where nothing is known of a peer itself.
    fn round_trip(&self) -> Option<Duration> {
        None
    }
}

/// What has come of a channel since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// New packets.
    pub received: u64,
    /// Packets that are missing.
    pub lost: u64,
}

/// How evenly a channel's packets arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The usual time between two packets, smoothed; packets that come in one burst count as one.
    pub gap: Duration,
    /// How much that time varies, smoothed.
    pub jitter: Duration,
}

/// Something that happened. About calls and channels that the policy does not know, any fact is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<P> {
    /// The lookup of a channel ended; the list may be empty.
    Fetched {
        /// The channel.
        channel: ChannelId,
        /// Live records, in the order in which the overlay gave them.
        providers: Vec<Provider<P>>,
    },
    /// The lookup failed.
    FetchFailed {
        /// The channel.
        channel: ChannelId,
    },
    /// A record of this node was stored for the first time, or could not be.
    Registered {
        /// The channel.
        channel: ChannelId,
        /// Whether it is stored.
        ok: bool,
    },
    /// Somebody asks for media.
    Invited {
        /// The channel.
        channel: ChannelId,
        /// The call to answer. While another call has its number this says nothing.
        call: CallId,
        /// Who asks.
        peer: P,
        /// Whether it is an orphan (`Priority: urgent`).
        urgent: bool,
        /// Whether it has media already, and only looks for another place.
        moves: bool,
        /// How many children the caller could serve itself; `None` from a plain SIP agent.
        slots: Option<u16>,
    },
    /// Somebody asks for a dialog without media (a control dialog).
    ControlInvited {
        /// The channel.
        channel: ChannelId,
        /// The call to answer. While another call has its number this says nothing.
        call: CallId,
        /// Who asks.
        peer: P,
    },
    /// Somebody asks for a standby: a dialog in which no media flows until its caller asks for it ([`Fact::Resumed`]).
    StandbyInvited {
        /// The channel.
        channel: ChannelId,
        /// The call to answer. While another call has its number this says nothing.
        call: CallId,
        /// Who asks.
        peer: P,
        /// How many children the caller could serve itself.
        slots: Option<u16>,
    },
    /// Whoever was called is there, and at work on its answer (a provisional response; where the caller waits, a 182).
    Proceeding {
        /// The call.
        call: CallId,
    },
    /// A call that this node placed was accepted.
    Answered {
        /// The call.
        call: CallId,
        /// The provider's hops from the source, where it told.
        depth: Option<u8>,
        /// Whether this node sits in its rescue slot.
        rescue: bool,
    },
    /// A call that this node placed was refused, or nobody answered it.
    Refused {
        /// The call.
        call: CallId,
        /// Why.
        refusal: Refusal<P>,
    },
    /// The caller gave up before it saw an answer.
    Cancelled {
        /// The call.
        call: CallId,
    },
    /// The other side ended the call, or it broke.
    Ended {
        /// The call.
        call: CallId,
        /// Why.
        reason: ByeReason,
    },
    /// A report arrived in the call's dialog.
    Reported {
        /// The call.
        call: CallId,
        /// What it says.
        report: Report<P>,
    },
    /// A report of this node did not get through.
    ReportFailed {
        /// The call.
        call: CallId,
    },
    /// The first packet from this parent arrived.
    FirstPacket {
        /// The channel.
        channel: ChannelId,
        /// The call to that parent.
        call: CallId,
    },
    /// A parent says that it has nothing to send.
    Held {
        /// The call to that parent.
        call: CallId,
        /// Why it has nothing.
        hold: Hold,
    },
    /// The child of a standby asks for media (RESUME).
    Resumed {
        /// The call.
        call: CallId,
    },
    /// The child of a standby has enough (RELEASE).
    Released {
        /// The call.
        call: CallId,
    },
    /// The provider of a standby sends nothing now (DENIED).
    Denied {
        /// The call.
        call: CallId,
    },
    /// The lookup of a channel has come by relayers, where its source never stands.
    Met {
        /// The channel.
        channel: ChannelId,
        /// Relayers, in any order.
        providers: Vec<Provider<P>>,
    },
    /// The records of this channel, which is published here, name another source, whose epoch is later.
    Outdone {
        /// The channel.
        channel: ChannelId,
        /// The other one, which may be dead by now.
        by: P,
    },
    /// How long a request and its answer took.
    RoundTrip {
        /// The call.
        call: CallId,
        /// The time.
        rtt: Duration,
    },
}

/// Why a placed call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal<P> {
    /// 302: ask one of these, best first.
    Redirected(Vec<Provider<P>>),
    /// 503: no room now.
    Busy {
        /// When to ask again, where told.
        retry_after: Option<Duration>,
    },
    /// 482: this node stands in the provider's own path to the source.
    Loop,
    /// 404: the channel is not offered there.
    NotFound,
    /// No final answer came, or the provider cannot be reached.
    NoAnswer,
    /// Anything else.
    Other,
}

/// Why a call ends (the body of the BYE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByeReason {
    /// The channel is over. As a fact: its owner says so, where it has one.
    EndOfChannel,
    /// The sender goes away by plan: its children repair at once, its elector forgets it.
    Leaving,
    /// Nothing special: a viewer stops, or a newer call took the place of this one.
    Normal,
    /// Facts only: the other side says that the channel is over, and has not its owner's word for it where one is needed.
    RumouredEnd,
    /// Facts only: the dialog broke without a BYE.
    Lost,
}

/// Why a parent has nothing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It gets nothing itself (HOLD).
    Starved,
    /// The source is gone, and another one is looked for (SOURCELESS).
    Sourceless,
    /// The source has nothing to send (PAUSED).
    Paused,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bare;

    impl Progress for Bare {
        fn last_media(&self, _: ChannelId) -> Option<Instant> {
            None
        }
        fn last_from(&self, _: CallId) -> Option<Instant> {
            None
        }
        fn brought(&self, _: CallId) -> u64 {
            0
        }
        fn last_brought(&self, _: CallId) -> Option<Instant> {
            None
        }
        fn last_report(&self, _: CallId) -> Option<Instant> {
            None
        }
    }

    #[test]
    fn a_host_that_counts_and_measures_nothing_says_so() {
        let (call, channel) = (CallId::received(1), ChannelId(1));
        assert_eq!((Bare.reported_loss(call), Bare.reception(channel)), (None, None));
        assert_eq!((Bare.pace(channel), Bare.round_trip()), (None, None));
    }
}
