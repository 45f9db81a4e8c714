//! What children are told about their places in the tree (Q12, Q13).

use super::{Channel, Station};
use crate::ids::CallId;
use crate::iptv::backups::{Standpoint, place};
use crate::iptv::report::{Provider, Report};
use crate::iptv::seats::Place;
use crate::iptv::turn::Turn;
use crate::iptv::viewer::News;
use crate::time::earliest;
use alloc::vec::Vec;

impl<P: Copy + Ord> Channel<P> {
    /// Tells children their places: changes of the path soon, new backups at leisure, both coalesced.
    pub(super) fn settle_places(&mut self, news: News, turn: &mut Turn<'_, P>) {
        if turn.config.is_paper() {
            return;
        }
        let interval = turn.config.update_interval;
        let due = match news {
            News::Now => Some((self.placed_at + interval / 10).max(turn.now)),
            News::Later => Some(turn.now + interval),
            News::None if self.placed != self.seats.version() => Some(turn.now + interval),
            News::None => None,
        };
        self.placed = self.seats.version();
        self.place_at = earliest(self.place_at, due);
        if self.seats.is_empty() {
            self.place_at = None;
        }
        if self.place_at.is_some_and(|t| t <= turn.now) {
            self.place_at = None;
            self.placed_at = turn.now;
            self.tell_places(None, turn);
        }
    }

    /// Tells one child, or all, what they do not know yet about their places.
    pub(super) fn tell_places(&mut self, only: Option<CallId>, turn: &mut Turn<'_, P>) {
        if turn.config.is_paper() {
            return;
        }
        let (path, backups): (Vec<P>, &[Provider<P>]) = match &self.station {
            Station::Publisher { .. } => (Vec::new(), &[]),
            // Who has no parent has no place to tell.
            Station::Viewer(w) if w.viewer.parent().is_none() => return,
            Station::Viewer(w) => (w.viewer.path(), w.viewer.backups()),
        };
        let limit = usize::from(turn.config.limits.backups);
        let election = self.station.election();
        let nephews =
            |child: P| election.map(|election| election.table.nephews(child, limit)).unwrap_or_default();
        let delegated = match &self.station {
            Station::Publisher { election, .. } => election.delegated,
            Station::Viewer(w) => w.viewer.is_delegated(),
        };
        let at = Standpoint { me: turn.me, path: &path, backups, nephews: &nephews, limit, delegated };
        let told: Vec<Option<Place<P>>> = self
            .seats
            .iter()
            .enumerate()
            .map(|(n, seat)| {
                let wanted = only.is_none_or(|c| c == seat.call);
                let place = wanted.then(|| place(&at, &self.seats, (n, seat)))?;
                (seat.told.as_ref() != Some(&place)).then_some(place)
            })
            .collect();
        for (seat, place) in self.seats.iter_mut().zip(told) {
            let Some(place) = place else { continue };
            seat.told = Some(place.clone());
            let Place { path, rescue, backups, delegated } = place;
            let depth = u8::try_from(path.len()).unwrap_or(u8::MAX);
            turn.inform(seat.call, Report::TreePosition { depth, path, rescue, backups, delegated });
        }
    }
}
