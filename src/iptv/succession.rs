//! A standby source (Q7): it watches the channel, and takes it over when its source is gone.
//!
//! ```text
//!   watching ── nothing for takeover_after ──► asking the source ── no answer ──► TakeOver
//!       └──────────────── any answer: the source lives ──┘
//! ```
//! That nothing comes does not show where the tree is broken; only who has asked the source itself may take its place. Who
//! that is says the tree, and any parent may say anything: the one that the records named last is asked as well. Should
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
enum Inquiry<P> {
    Watching,
    /// This source is being called, and has until then to answer.
    Asking(CallId, P, Instant),
    /// That one is not there.
    Unanswered(P),
}

/// What a standby source knows of its source.
#[derive(Debug)]
pub(super) struct Succession<P> {
    inquiry: Inquiry<P>,
    /// Who is the source as the tree says, and is not there. The one that the records name is still to be asked.
    missed: Option<P>,
    /// When the source was known to live.
    lived: Instant,
    look_at: Instant,
}

impl<P: Copy + Ord> Succession<P> {
    pub(super) fn new(turn: &Turn<'_, P>) -> Self {
        let look_at = turn.now + turn.config.takeover_after;
        Succession { inquiry: Inquiry::Watching, missed: None, lived: turn.now, look_at }
    }

    pub(super) fn deadline(&self) -> Instant {
        match self.inquiry {
            Inquiry::Asking(_, _, until) => until.min(self.look_at),
            Inquiry::Watching | Inquiry::Unanswered(_) => self.look_at,
        }
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        matches!(self.inquiry, Inquiry::Asking(c, ..) if c == call)
    }

    /// Looks whether the channel is silent, and asks the source then. True when the source is gone.
    pub(super) fn finds_it_gone(&mut self, viewer: &Viewer<P>, turn: &mut Turn<'_, P>) -> bool {
        if self.deadline() > turn.now && !matches!(self.inquiry, Inquiry::Unanswered(_)) {
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
        if let Inquiry::Asking(_, source, until) = self.inquiry {
            if until > turn.now {
                return false;
            }
            self.hang_up(turn);
            self.inquiry = Inquiry::Unanswered(source);
        }
        if let Inquiry::Unanswered(source) = self.inquiry {
            self.missed = Some(source);
        }
        let source = match self.missed {
            None => viewer.source(),
            Some(missed) => viewer.listed().filter(|&listed| listed != missed),
        };
        let Some(source) = source else {
            // Nobody is on air, or everybody has forgotten who was.
            return self.missed.is_some() || viewer.finds_no_source(patience, turn);
        };
        // Not for media: a full source answers as well.
        let call = turn.invite(viewer.channel, source, InviteKind::Standby, 0);
        let until = turn.now + patience.max(viewer.rtt.saturating_mul(3));
        self.inquiry = Inquiry::Asking(call, source, until);
        false
    }

    /// The source has answered. Whoever says that it is below somebody else is no source.
    pub(super) fn on_answered(&mut self, call: CallId, depth: Option<u8>, turn: &mut Turn<'_, P>) {
        turn.bye(call, ByeReason::Normal);
        self.judge(depth.is_none_or(|depth| depth == 0), turn);
    }

    /// The source has refused, and so it lives; or nobody has answered, or somebody who does not have the channel.
    pub(super) fn on_refused(&mut self, refusal: &Refusal<P>, turn: &Turn<'_, P>) {
        let lives = match refusal {
            Refusal::NoAnswer | Refusal::Loop => false,
            // Nobody stands by for anybody in the paper's profile.
            Refusal::NotFound => turn.config.is_paper(),
            Refusal::Redirected(_) | Refusal::Busy { .. } | Refusal::Other => true,
        };
        self.judge(lives, turn);
    }

    fn judge(&mut self, lives: bool, turn: &Turn<'_, P>) {
        match self.inquiry {
            Inquiry::Asking(_, source, _) if !lives => self.inquiry = Inquiry::Unanswered(source),
            _ => *self = Succession::new(turn),
        }
    }

    /// Asks no more.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_, P>) {
        self.hang_up(turn);
        self.missed = None;
    }

    fn hang_up(&mut self, turn: &mut Turn<'_, P>) {
        if let Inquiry::Asking(call, ..) = core::mem::replace(&mut self.inquiry, Inquiry::Watching) {
            turn.order(Order::Cancel { call });
        }
    }
}
