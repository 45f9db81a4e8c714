//! A standby source (Q7): it watches the channel, and takes it over when its source is gone.
//!
//! ```text
//!   watching ── nothing for takeover_after ──► asking the source ── no answer ──► TakeOver
//!       └──────────────── any answer: the source lives ──┘
//! ```
//! Nor does a parent end the channel for it by saying that it is over: any relayer may say so. Only the source itself may,
//! when it is the parent that the records name. Of anybody else it is a rumour, and the standby asks the source as in any
//! silence. If that one is not there, the records tell the difference: a source that ends its channel takes its record back,
//! and the record of one that died stays for a while.
//!
//! That nothing comes does not show where the tree is broken; only who has asked the source itself may take its place. Who
//! that is says the tree, and any parent may say anything: the one that the records named last is asked as well. Should
//! it have been cut off and not dead, there are two for a while: the records of the newer epoch count, and the older source
//! ends when it sees them (`rivalry`).

use super::config::Config;
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

/// What a standby source finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The source lives, as far as known.
    Lives,
    /// It is gone, and nobody has ended the channel.
    Gone,
    /// It has ended the channel.
    Over,
}

/// A parent has said that the channel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rumour {
    at: Instant,
    /// When the records were asked for; what came before says nothing.
    asked: Option<Instant>,
    /// Whether they name a source.
    named: Option<bool>,
}

/// What a standby source knows of its source.
#[derive(Debug)]
pub(super) struct Succession<P> {
    inquiry: Inquiry<P>,
    /// Who is the source as the tree says, and is not there. The one that the records name is still to be asked.
    missed: Option<P>,
    rumour: Option<Rumour>,
    /// When the source was known to live.
    lived: Instant,
    look_at: Instant,
}

impl<P: Copy + Ord> Succession<P> {
    pub(super) fn new(turn: &Turn<'_, P>) -> Self {
        let look_at = turn.now + turn.config.takeover_after;
        Succession { inquiry: Inquiry::Watching, missed: None, rumour: None, lived: turn.now, look_at }
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

    /// A parent that is not the source says that the channel is over.
    pub(super) fn on_rumour(&mut self, turn: &Turn<'_, P>) {
        self.rumour.get_or_insert(Rumour { at: turn.now, asked: None, named: None });
    }

    /// The records name a source, or none.
    pub(super) fn on_looked_up(&mut self, named: bool) {
        if let Some(rumour) = self.rumour.as_mut().filter(|rumour| rumour.asked.is_some()) {
            rumour.named = Some(named);
        }
    }

    /// Looks whether the channel is silent, and asks the source then.
    pub(super) fn look(&mut self, viewer: &Viewer<P>, turn: &mut Turn<'_, P>) -> Finding {
        if self.deadline() > turn.now && !matches!(self.inquiry, Inquiry::Unanswered(_)) {
            return Finding::Lives;
        }
        let patience = turn.config.takeover_after;
        let media = turn.progress.last_media(viewer.channel).unwrap_or(self.lived);
        let silent_at = media.max(self.lived).max(turn.awake_since) + patience;
        let pauses = viewer.hold(turn) == Some(Hold::Paused) && viewer.is_fed(turn);
        if silent_at > turn.now || pauses {
            self.hang_up(turn);
            self.missed = None;
            // What is under way still arrives after an end.
            self.rumour.take_if(|rumour| media > rumour.at + patience);
            self.look_at = silent_at.max(turn.now + patience / 2);
            return Finding::Lives;
        }
        self.look_at = turn.now + patience / 2;
        if let Inquiry::Asking(_, source, until) = self.inquiry {
            if until > turn.now {
                return Finding::Lives;
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
            return match self.missed.is_some() || viewer.finds_no_source(patience, turn) {
                true => self.judge_rumour(viewer, turn),
                false => Finding::Lives,
            };
        };
        // Not for media: a full source answers as well.
        let call = turn.invite(viewer.channel, source, InviteKind::Standby, 0);
        let until = turn.now + patience.max(viewer.rtt.saturating_mul(3));
        self.inquiry = Inquiry::Asking(call, source, until);
        Finding::Lives
    }

    /// The source is gone: whether it has died, or ended the channel as somebody says, the records know.
    fn judge_rumour(&mut self, viewer: &Viewer<P>, turn: &mut Turn<'_, P>) -> Finding {
        let Some(rumour) = &mut self.rumour else { return Finding::Gone };
        match (rumour.named, rumour.asked) {
            (Some(true), _) => return Finding::Gone,
            (Some(false), _) => return Finding::Over,
            // A record that is being taken back may still stand.
            _ if turn.now < rumour.at + turn.config.farewell => {}
            (None, Some(asked)) if turn.now < asked + turn.config.fetch_limit => {}
            (None, _) => {
                rumour.asked = Some(turn.now);
                turn.order(Order::Fetch { channel: viewer.channel });
            }
        }
        Finding::Lives
    }

    /// The source has answered. Whoever says that it is below somebody else is no source.
    pub(super) fn on_answered(&mut self, call: CallId, depth: Option<u8>, turn: &mut Turn<'_, P>) {
        turn.bye(call, ByeReason::Normal);
        self.judge(depth.is_none_or(|depth| depth == 0), turn);
    }

    /// The source has refused, and so it lives; or nobody has answered, or somebody who does not have the channel.
    pub(super) fn on_refused(&mut self, refusal: &Refusal<P>, turn: &Turn<'_, P>) {
        self.judge(lives(refusal, turn.config), turn);
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
        (self.missed, self.rumour) = (None, None);
    }

    fn hang_up(&mut self, turn: &mut Turn<'_, P>) {
        if let Inquiry::Asking(call, ..) = core::mem::replace(&mut self.inquiry, Inquiry::Watching) {
            turn.order(Order::Cancel { call });
        }
    }
}

/// Whether a source that has refused a standby is on air.
pub(super) fn lives<P>(refusal: &Refusal<P>, config: &Config) -> bool {
    match refusal {
        Refusal::NoAnswer | Refusal::Loop => false,
        // Nobody stands by for anybody in the paper's profile.
        Refusal::NotFound => config.is_paper(),
        Refusal::Redirected(_) | Refusal::Busy { .. } | Refusal::Other => true,
    }
}
