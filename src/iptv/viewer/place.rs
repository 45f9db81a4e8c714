//! Where this node sits: the path from the source to it, as its parent tells, and who else is known.

use super::{Link, News, Viewer};
use crate::ids::CallId;
use crate::iptv::fact::ByeReason;
use crate::iptv::report::Provider;
use crate::iptv::seats::{Place, Seats};
use crate::iptv::turn::Turn;
use crate::time::Duration;
use alloc::vec::Vec;

/// Round trips above this are not believed when waits are derived from them.
pub(super) const LONGEST_RTT: Duration = Duration::from_secs(1);

impl<P: Copy + Ord> Viewer<P> {
    /// Hops from the source.
    pub(in crate::iptv) fn depth(&self) -> Option<u8> {
        self.parent.as_ref().map(Link::depth)
    }

    /// From the source to the parent; the parent alone while it has not told.
    pub(in crate::iptv) fn path(&self) -> Vec<P> {
        match &self.parent {
            Some(p) if p.path.is_empty() => Vec::from([p.peer]),
            Some(p) => p.path.clone(),
            None => Vec::new(),
        }
    }

    /// Who elects in this tree, as the parent says.
    pub(in crate::iptv) fn root(&self) -> Option<P> {
        self.parent.as_ref()?.path.first().copied()
    }

    /// Whether a peer stands between this node and the source.
    pub(in crate::iptv) fn is_above(&self, peer: P) -> bool {
        let above = |l: &Link<P>| l.peer == peer || l.path.contains(&peer);
        let links = self.parent.iter().chain(self.next.as_deref()).chain(self.covering());
        links.into_iter().any(above)
    }

    /// Whether this node is asking a peer to be its parent.
    pub(in crate::iptv) fn asks(&self, peer: P) -> bool {
        self.search.as_ref().is_some_and(|s| s.asks(peer))
    }

    /// Whether a peer is, was or may become a parent of this node.
    pub(in crate::iptv) fn counts_on(&self, peer: P) -> bool {
        let named = |providers: &[Provider<P>]| providers.iter().any(|p| p.peer == peer);
        let linked = self.parent.iter().chain(self.next.as_deref()).any(|l| l.peer == peer);
        let searched = self.search.as_ref().is_some_and(|s| s.counts_on(peer));
        let backs_up = self.standbys.contains(peer) || self.covering().is_some_and(|l| l.peer == peer);
        let source = self.source == Some(peer) || self.listed == Some(peer);
        linked || searched || backs_up || source || named(&self.backups)
    }

    /// Where a caller is sent for whom nothing is known below: to the source, which knows everybody; or else to the parent
    /// and somebody above it, who know more than this node does.
    pub(in crate::iptv) fn upwards(
        &self,
        turn: &mut Turn<'_, P>,
    ) -> impl Iterator<Item = Provider<P>> + use<P> {
        let names = match &self.parent {
            Some(parent) if self.delegated => [Some(parent.peer), self.somebody_above(turn)],
            _ => [self.source, None],
        };
        let source = self.source;
        names.into_iter().flatten().map(move |peer| {
            let depth = (source == Some(peer)).then_some(0);
            Provider { peer, depth, free: None }
        })
    }

    /// A peer between the source and the parent, any of them.
    pub(super) fn somebody_above(&self, turn: &mut Turn<'_, P>) -> Option<P> {
        some_above(&self.parent.as_ref()?.path, 1, turn).next()
    }

    /// The parent told this node's place.
    pub(in crate::iptv) fn on_place(
        &mut self,
        call: CallId,
        Place { path, rescue, mut backups, delegated }: Place<P>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let known = self.is_link(call) || self.covering().is_some_and(|l| l.call == call);
        if !known && self.standbys.get(call).is_none() {
            return;
        }
        if path.contains(&turn.me) || path.len() > usize::from(turn.config.limits.depth) {
            // A cycle: this parent lives from me.
            turn.bye(call, ByeReason::Normal);
            return self.on_ended(call, seats, turn);
        }
        if !path.is_empty() && (self.source.is_none() || self.is_parent(call)) {
            self.source = path.first().copied();
        }
        backups.retain(|b| b.peer != turn.me);
        backups.truncate(usize::from(turn.config.limits.backups));
        if !known {
            return self.on_early_place(call, (path, rescue), backups, turn);
        }
        let is_parent = self.is_parent(call);
        if is_parent {
            self.delegated = delegated && !turn.config.is_paper();
        }
        let covering = self.cover.as_mut().and_then(|c| {
            let covers = c.link.as_mut().filter(|l| l.call == call)?;
            c.backups.clone_from(&backups);
            Some(covers)
        });
        let is_covering = covering.is_some();
        let links = self.parent.iter_mut().chain(self.next.as_deref_mut()).chain(covering);
        for link in links.filter(|l| l.call == call) {
            if !path.is_empty() && link.path != path {
                let before = link.depth();
                link.path = path.clone();
                if is_parent {
                    self.news = News::Now;
                    let sunk = i16::from(link.depth()) - i16::from(before);
                    self.home = u8::try_from(i16::from(self.home) + sunk).unwrap_or(u8::MAX);
                }
            }
            link.rescue = rescue;
        }
        if self.backups != backups && !is_covering {
            self.backups = backups;
            self.news = self.news.max(News::Later);
            self.standbys.plan(turn);
        }
        self.settle_slot(turn);
    }

    pub(in crate::iptv) fn on_round_trip(&mut self, call: CallId, rtt: Duration, turn: &mut Turn<'_, P>) {
        let was_far = self.has_far_parent();
        let millis = u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX);
        // How far away it is: what queues add on top passes.
        let least = |before: Option<u16>| before.map_or(millis, |before| before.min(millis));
        let covering = self.cover.as_mut().and_then(|c| c.link.as_mut());
        let links = self.parent.iter_mut().chain(self.next.as_deref_mut()).chain(covering);
        if let Some(link) = links.into_iter().find(|l| l.call == call) {
            link.rtt = Some(least(link.rtt));
        } else if let Some(standby) = self.standbys.get_mut(call) {
            standby.rtt = Some(least(standby.rtt));
        } else if let Some(search) = &mut self.search {
            search.on_round_trip(call, millis);
        }
        let rtt = rtt.min(LONGEST_RTT);
        self.rtt = if rtt > self.rtt { rtt } else { (self.rtt * 7 + rtt) / 8 };
        if self.has_far_parent() && !was_far {
            self.climbs = 0;
            self.plan_climb(turn);
        }
    }
}

/// Peers between the source and the end of a path, so many at most, any of them, as far apart as may be.
pub(super) fn some_above<'a, P: Copy>(
    path: &'a [P],
    most: usize,
    turn: &mut Turn<'_, P>,
) -> impl Iterator<Item = P> + use<'a, P> {
    let between = path.get(1..path.len().saturating_sub(1)).unwrap_or_default();
    let nth = turn.entropy.below(u64::try_from(between.len()).unwrap_or(u64::MAX).max(1));
    let apart = between.len().div_ceil(most.max(1)).max(1);
    let from = usize::try_from(nth).unwrap_or(0);
    between.iter().cycle().skip(from).step_by(apart).take(most.min(between.len())).copied()
}
