//! Whether this node has the channel to give, and what its parent says when it has not.

use super::Viewer;
use crate::ids::CallId;
use crate::iptv::fact::{ByeReason, Hold};
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant};

impl<P: Copy + Ord> Viewer<P> {
    /// Whether this node has the channel to give: its own parent is there and not starving.
    pub(in crate::iptv) fn is_fed(&self, turn: &Turn<'_, P>) -> bool {
        if let Some(cover) = &self.cover {
            // Whoever looks for somebody else himself has nothing to promise: siblings would feed each other.
            return cover.plays();
        }
        let hold = self.hold(turn);
        self.parent.as_ref().is_some_and(|p| p.lost.is_none() && (p.playing || hold == Some(Hold::Paused)))
            && !matches!(hold, Some(Hold::Starved | Hold::Sourceless))
    }

    /// What the parent says about having nothing to send, unless media came since.
    pub(in crate::iptv) fn hold(&self, turn: &Turn<'_, P>) -> Option<Hold> {
        let (hold, at) = self.parent.as_ref()?.held?;
        let media = turn.progress.last_media(self.channel);
        (media.is_none_or(|m| m <= at)).then_some(hold)
    }

    /// What children are told who get nothing.
    pub(in crate::iptv) fn hold_below(&self, turn: &Turn<'_, P>) -> Hold {
        if self.sourceless { Hold::Sourceless } else { self.hold(turn).unwrap_or(Hold::Starved) }
    }

    pub(in crate::iptv) fn on_held(
        &mut self,
        call: CallId,
        hold: Hold,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let now = turn.now;
        let links = self.parent.iter_mut().chain(self.next.as_deref_mut());
        for link in links.filter(|l| l.call == call) {
            link.held = Some((hold, now));
            if hold == Hold::Paused {
                link.paused = now;
            }
        }
        let starves = matches!(hold, Hold::Starved | Hold::Sourceless);
        if self.is_parent(call) {
            self.on_parent_held(turn);
        } else if let Some(next) = self.next.take_if(|n| n.call == call && starves && !n.playing) {
            // A parent to be that has nothing itself will not be one.
            turn.bye(next.call, ByeReason::Normal);
            self.on_next_lost(seats, turn);
        } else {
            self.on_cover_held(call, hold, seats, turn);
        }
    }

    /// Whether the parent says that nobody has anything. It may be wrong, so standbys are asked; but the tree is left as it is.
    pub(super) fn is_sourceless(&self, turn: &Turn<'_, P>) -> bool {
        let held = self.parent.as_ref().and_then(|p| p.held);
        let says_so = held.is_some_and(|(hold, at)| {
            hold == Hold::Sourceless && turn.now.since(at.max(turn.awake_since)) < turn.config.repair_after
        });
        let media = turn.progress.last_media(self.channel).unwrap_or(Instant::ZERO).max(turn.awake_since);
        says_so && turn.now.since(media) < turn.config.source_hold
    }

    /// Notes the loss of this parent.
    pub(super) fn note_loss(&mut self, parent_depth: u8) {
        self.sourceless |= parent_depth == 0;
    }

    /// Whether lookups have named no source for so long.
    pub(in crate::iptv) fn finds_no_source(&self, time: Duration, turn: &Turn<'_, P>) -> bool {
        self.unsourced.is_some_and(|t| turn.now.since(t.max(turn.awake_since)) >= time)
    }

    /// What lookups found once, or find while there is a picture, says nothing about a later silence.
    pub(in crate::iptv) fn note_fed(&mut self, turn: &Turn<'_, P>) {
        if (self.unsourced.is_some() || self.end_rumoured) && self.is_fed(turn) {
            (self.unsourced, self.end_rumoured) = (None, false);
        }
    }

    /// A parent says that the channel is over, and anybody could say so. If nobody else has it, and the records name no
    /// source any more, it is.
    pub(in crate::iptv) const fn on_rumoured_end(&mut self) {
        self.end_rumoured = true;
    }

    /// Whether the channel, which has played here, is over without anybody having said so: nobody is its source any more.
    pub(in crate::iptv) fn is_forsaken(&self, turn: &Turn<'_, P>) -> bool {
        let patience = if self.end_rumoured { turn.config.farewell } else { turn.config.source_limit };
        self.played && !self.is_fed(turn) && !turn.config.is_paper() && self.finds_no_source(patience, turn)
    }
}
