//! A parent that says that it leaves, and sends until somebody else does.

use super::{Cause, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::iptv::viewer::search::Search;
use crate::time::earliest;

impl<P: Copy + Ord> Viewer<P> {
    /// Whether the parent has said that it leaves.
    pub(in crate::iptv::viewer) fn parent_leaves(&self) -> bool {
        self.leaver.is_some() && self.leaver == self.parent.as_ref().map(|p| p.peer)
    }

    /// A dialog is over because its peer leaves.
    pub(in crate::iptv) fn note_leaver(&mut self, call: CallId) {
        if let Some(parent) = self.parent.as_ref().filter(|p| p.call == call) {
            self.leaver = Some(parent.peer);
        }
    }

    /// The same search, without the one that has said that it leaves: it is asked after all others. A source that wants a
    /// slot back says the same, and knows who has another one.
    pub(in crate::iptv::viewer) fn without_leaver(&self, search: Search<P>) -> Search<P> {
        match self.leaver.filter(|&leaver| self.source != Some(leaver)) {
            Some(leaver) => search.after(leaver).avoiding(leaver),
            None => search,
        }
    }

    /// The parent says that it leaves, and goes on sending for a while.
    pub(in crate::iptv) fn on_leaving(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.next.take_if(|n| n.call == call).is_some() {
            turn.bye(call, ByeReason::Normal);
            return self.on_next_lost(seats, turn);
        }
        if self.cover.as_ref().and_then(|c| c.link.as_ref()).is_some_and(|l| l.call == call) {
            self.drop_cover(call, turn);
            return self.uncovered_by(call, seats, turn);
        }
        let Some(parent) = self.parent.as_ref().filter(|p| p.call == call && !turn.config.is_paper()) else {
            return;
        };
        self.leaver = Some(parent.peer);
        match &self.cover {
            Some(cover) if cover.plays() => {
                // It need not come back.
                self.confirm(turn);
                self.listen_at = earliest(self.listen_at, Some(turn.now + self.cover_after(turn)));
            }
            Some(_) => {}
            None if self.next.is_some() => {}
            None => self.cover(Cause::Leaving, false, seats, turn),
        }
    }
}
