//! A standby source (Q7): it watches the channel, and takes it over when its source is gone.
//!
//! ```text
//!   watching ── nothing for takeover_after ──► asking the source ── no answer ──► TakeOver
//!       └──────────────── any answer: the source lives ──┘
//! ```
//! That nothing comes does not show where the tree is broken; only who has asked the source itself may take its place. Should
//! it have been cut off and not dead, there are two for a while: the records of the newer epoch count, and the older source
//! ends when it sees them.

use super::fact::{ByeReason, Hold, Refusal};
use super::order::{InviteKind, Order};
use super::turn::Turn;
use super::viewer::Viewer;
use crate::ids::CallId;
use crate::time::Instant;

/// How far this node is with finding out whether the source lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inquiry {
    Watching,
    /// The source is being called, and has until then to answer.
    Asking(CallId, Instant),
    Unanswered,
}

/// What a standby source knows of its source.
#[derive(Debug)]
pub(super) struct Succession {
    inquiry: Inquiry,
    /// When the source was known to live.
    lived: Instant,
    look_at: Instant,
}

impl Succession {
    pub(super) fn new<P>(turn: &Turn<'_, P>) -> Self {
        let look_at = turn.now + turn.config.takeover_after;
        Succession { inquiry: Inquiry::Watching, lived: turn.now, look_at }
    }

    pub(super) fn deadline(&self) -> Instant {
        match self.inquiry {
            Inquiry::Asking(_, until) => until.min(self.look_at),
            Inquiry::Watching | Inquiry::Unanswered => self.look_at,
        }
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        matches!(self.inquiry, Inquiry::Asking(c, _) if c == call)
    }

    /// Looks whether the channel is silent, and asks the source then. True when the source is gone.
    pub(super) fn finds_it_gone<P: Copy + Ord>(
        &mut self,
        viewer: &Viewer<P>,
        turn: &mut Turn<'_, P>,
    ) -> bool {
        if self.inquiry == Inquiry::Unanswered {
            return true;
        }
        if self.deadline() > turn.now {
            return false;
        }
        let patience = turn.config.takeover_after;
        let media = turn.progress.last_media(viewer.channel).unwrap_or(self.lived);
        let silent_at = media.max(self.lived).max(turn.awake_since) + patience;
        let pauses = viewer.hold(turn) == Some(Hold::Paused) && viewer.is_fed(turn);
        if silent_at > turn.now || pauses {
            self.stop(turn);
            self.look_at = silent_at.max(turn.now + patience / 2);
            return false;
        }
        self.look_at = turn.now + patience / 2;
        match (self.inquiry, viewer.source()) {
            (Inquiry::Asking(_, until), _) => {
                let late = until <= turn.now;
                if late {
                    self.stop(turn);
                }
                late
            }
            // Not for media: a full source answers as well.
            (_, Some(source)) => {
                let call = turn.invite(viewer.channel, source, InviteKind::Standby, 0);
                let until = turn.now + patience.max(viewer.rtt.saturating_mul(3));
                self.inquiry = Inquiry::Asking(call, until);
                false
            }
            // Nobody is on air, or everybody has forgotten who was.
            (_, None) => viewer.finds_no_source(patience, turn),
        }
    }

    /// The source has answered.
    pub(super) fn on_answered<P>(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        turn.bye(call, ByeReason::Normal);
        self.rest(turn);
    }

    /// The source has refused, and so it lives; or nobody has answered.
    pub(super) fn on_refused<P>(&mut self, refusal: &Refusal<P>, turn: &Turn<'_, P>) {
        if matches!(refusal, Refusal::NoAnswer) {
            self.inquiry = Inquiry::Unanswered;
        } else {
            self.rest(turn);
        }
    }

    fn rest<P>(&mut self, turn: &Turn<'_, P>) {
        *self = Succession::new(turn);
    }

    /// Asks no more.
    pub(super) fn stop<P>(&mut self, turn: &mut Turn<'_, P>) {
        if let Inquiry::Asking(call, _) = core::mem::replace(&mut self.inquiry, Inquiry::Watching) {
            turn.order(Order::Cancel { call });
        }
    }
}
