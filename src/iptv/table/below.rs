//! What is below my children, where relayers elect for themselves (Q9): what they say of it, and what I say in turn.

use super::{Row, Standing, Table};
use crate::iptv::report::{Provider, Subtree};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The most slots that are believed of one provider of an aggregate.
pub(super) const BELIEVED: u16 = 16;

impl<P: Copy + Ord> Table<P> {
    /// A relayer among my children says what is below it. Nobody speaks for me, for those above me, for itself, or for
    /// whoever sits here; nothing below it is as near to the source as it is; and nobody has any number of slots.
    pub(in crate::iptv) fn set_below(
        &mut self,
        peer: P,
        mut said: Subtree<P>,
        most: usize,
        is_above: impl Fn(P) -> bool,
    ) {
        let relays = matches!(self.standing(peer), Some(Standing::Relayer { .. }));
        if !relays || self.parent(peer) != Some(self.me) {
            return;
        }
        let nearest = self.base.saturating_add(2);
        let mine = |p: P| self.rows.get(&p).is_some_and(|r| r.parent == Some(self.me));
        said.open.retain(|p| p.peer != self.me && p.free != Some(0) && !mine(p.peer) && !is_above(p.peer));
        said.open.truncate(most);
        for p in &mut said.open {
            p.depth = Some(p.depth.unwrap_or(nearest).max(nearest));
            p.free = Some(p.free.unwrap_or(1).min(BELIEVED));
        }
        if self.rows.get(&peer).and_then(|r| r.below.as_deref()) != Some(&said) {
            self.version = self.version.wrapping_add(1);
            self.update(peer, |r| r.below = Some(Box::new(said)));
            self.followers = self.count_followers();
        }
    }

    /// What is below me, as far as I know and believe: how many peers, and `most` of those with free slots by name, from each
    /// child in turn as it names them, itself first. So whoever lies gets as much of the list as a sibling, and of the lists
    /// further up a part of its branch's part.
    pub(in crate::iptv) fn aggregate(&self, most: usize) -> Subtree<P> {
        let mut all = Subtree { peers: 0, free: 0, open: Vec::new() };
        let mut named: Vec<(usize, Provider<P>)> = Vec::new();
        for (&peer, row) in self.rows.iter().filter(|(_, r)| r.parent == Some(self.me)) {
            all.peers = all.peers.saturating_add(1);
            let Standing::Relayer { free, .. } = row.standing else { continue };
            all.free = all.free.saturating_add(free.into());
            let itself = Provider { peer, depth: self.absolute(row.depth), free: Some(free) };
            let itself = Some(itself).filter(|_| free > 0);
            let mut below: &[Provider<P>] = &[];
            if let Some(said) = &row.below {
                all.peers = all.peers.saturating_add(said.peers);
                all.free = all.free.saturating_add(said.free);
                below = &said.open;
            }
            named.extend(itself.into_iter().chain(below.iter().copied()).enumerate());
        }
        named.sort_by_key(|&(turn, p)| (turn, p.depth, p.peer));
        for (_, p) in named {
            if all.open.len() < most && all.open.iter().all(|known| known.peer != p.peer) {
                all.open.push(p);
            }
        }
        all
    }

    /// How many peers hang below a child, as far as it said.
    pub(in crate::iptv) fn weight(&self, child: P) -> u32 {
        let Some(row) = self.rows.get(&child) else { return 0 };
        let named = u32::try_from(row.children.len()).unwrap_or(u32::MAX);
        row.below.as_ref().map_or(0, |below| below.peers).max(named)
    }

    /// How many peers hung below me, as far as my children said, when one of them said something new.
    pub(in crate::iptv) const fn followers(&self) -> u32 {
        self.followers
    }

    fn count_followers(&self) -> u32 {
        let mine = self.rows.iter().filter(|(_, row)| row.parent == Some(self.me));
        mine.fold(0, |all, (&child, _)| all.saturating_add(1).saturating_add(self.weight(child)))
    }

    /// Changes whenever an aggregate would.
    pub(in crate::iptv) const fn version(&self) -> u32 {
        self.version
    }

    /// Whether a peer stands in a row or is named by an aggregate.
    pub(in crate::iptv) fn knows(&self, peer: P) -> bool {
        let names = |r: &Row<P>| r.below.as_ref().is_some_and(|b| b.open.iter().any(|p| p.peer == peer));
        self.contains(peer) || self.naming > 0 && self.rows.values().any(names)
    }

    /// Whom the aggregates of my children name, and which child does.
    pub(in crate::iptv) fn named_below(&self) -> impl Iterator<Item = (P, P)> + '_ {
        let mine = self.rows.iter().filter(|(_, row)| row.parent == Some(self.me));
        let open = mine.filter_map(|(&child, row)| Some((child, &row.below.as_deref()?.open)));
        open.flat_map(|(child, open)| open.iter().map(move |p| (child, p.peer)))
    }

    /// The child that a peer is, or below which it is as far as rows and aggregates say.
    pub(in crate::iptv) fn way_to(&self, peer: P) -> Option<P> {
        match self.parent(peer) {
            Some(parent) if parent == self.me => Some(peer),
            Some(parent) if self.parent(parent) == Some(self.me) => Some(parent),
            _ => self.named_below().find(|named| named.1 == peer).map(|named| named.0),
        }
    }
}
