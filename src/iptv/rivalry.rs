//! A source whose channel the records give to a newer one (Q7): it was cut off and taken for dead, or two standbys took over.
//!
//! ```text
//!   on air ── outdone ──► asking the other one ── it lives ──► Superseded
//!     ▲                          └── nobody there, or no source ──► a later epoch
//!     └───────────────────────────────────────────────────────────────┘
//! ```
//! Of two sources the one of the later epoch goes on, and of two in one epoch the one with the lower Node-ID: so both see the
//! same winner. Its record outlives it by up to a minute, though, and a source that ended for the sake of a dead one would
//! leave nobody on air. So it asks first, and takes its time: nobody misses anything meanwhile, and should it be wrong about
//! the silence of the other, that one will see a later epoch and end.
//!
//! Epochs are the channel owner's, who signs them. Where channels have no owners, in an overlay that is not secured, an epoch
//! is what a record says: whoever stores a high one under the channel's name, and answers when he is asked, ends the source.
//! Nothing there tells him from an heir.

use super::fact::{ByeReason, Refusal};
use super::order::{InviteKind, Order};
use super::succession::lives;
use super::turn::Turn;
use crate::ids::{CallId, ChannelId};
use crate::time::Instant;

/// The newer source is being called.
#[derive(Debug)]
pub(super) struct Rivalry {
    call: CallId,
    until: Instant,
}

impl Rivalry {
    /// Asks the other one whether it is on air: not for media, so that it answers if it is full.
    pub(super) fn ask<P: Copy>(channel: ChannelId, rival: P, turn: &mut Turn<'_, P>) -> Self {
        let call = turn.invite(channel, rival, InviteKind::Standby, 0);
        Rivalry { call, until: turn.now + turn.config.answer_limit }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.until
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        self.call == call
    }

    /// It has answered. Whoever says that it is below somebody else is no source.
    pub(super) fn on_answered<P>(&self, depth: Option<u8>, turn: &mut Turn<'_, P>) -> bool {
        turn.bye(self.call, ByeReason::Normal);
        depth.is_none_or(|depth| depth == 0)
    }

    /// Whether it lives although it has refused.
    pub(super) fn on_refused<P>(refusal: &Refusal<P>, turn: &Turn<'_, P>) -> bool {
        lives(refusal, turn.config)
    }

    /// Asks no more.
    pub(super) fn stop<P>(self, turn: &mut Turn<'_, P>) {
        turn.order(Order::Cancel { call: self.call });
    }
}
