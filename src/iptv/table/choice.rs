//! Who is chosen: the next candidate, and those that a caller or an orphan is sent to.

use super::{ADRIFT, Key, Row, Standing, Table};
use crate::ids::CallId;
use crate::iptv::report::Provider;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::ops::Bound;

/// The reported loss, in 1/256, from which a candidate counts as lossy.
const LOSSY: u8 = 13;
/// Candidates of one layer that are compared; the rest of the layer has its turn later.
const COMPARED: usize = 16;
/// Relayers among which a redirect chooses.
const CONSIDERED: usize = 32;
/// A slot promised by a redirect is not promised again for this long, unless the relayer reports earlier.
pub(super) const PLEDGE: Duration = Duration::from_secs(2);
/// The most promises that are remembered of slots further below; the oldest are forgotten first.
pub(super) const PLEDGES: usize = 64;

impl<P: Copy + Ord> Table<P> {
    /// The next candidate (P11): of the lowest layer that has one. Which of the layer is the policy's choice (Q10): the
    /// first of the table, or else the one with most slots, then who receives well, the nearest, the oldest. Nobody who
    /// hangs below `caller`, for whom the slots are wanted, nobody in a layer below the `deepest`, and nobody who rests at
    /// `now`.
    pub(in crate::iptv) fn candidate(
        &self,
        now: Instant,
        (paper, deepest): (bool, u8),
        caller: Option<P>,
        loss: impl Fn(CallId) -> Option<u8>,
    ) -> Option<P> {
        let able = |&(depth, _, p): &(u8, u32, P)| {
            depth <= deepest && !self.rests(p, now) && caller.is_none_or(|c| p != c && !self.is_below(p, c))
        };
        let mut able = self.electable.iter().copied().filter(able);
        let first = able.next()?;
        if paper {
            return Some(first.2);
        }
        let merit = |&(_, arrival, p): &(u8, u32, P)| {
            let row = self.rows.get(&p);
            let slots = row.and_then(|r| r.slots).unwrap_or(1);
            // Who loses a packet in twenty would pass the gaps on. Of peers without a dialog here nobody knows.
            let lossy = row.and_then(|r| r.call).and_then(&loss).is_some_and(|lost| lost >= LOSSY);
            // Differences below 50 ms are noise.
            let far = row.map_or(0, |r| r.rtt.as_millis() / 50);
            (core::cmp::Reverse(slots), lossy, far, arrival)
        };
        let layer = able.take_while(|c| c.0 == first.0).take(COMPARED);
        layer.chain([first]).min_by_key(merit).map(|c| c.2)
    }

    /// Relayers that a caller is sent to (Q1, Q5): those nearest to the source first, of one layer at random, weighted by the
    /// slots that are not promised yet. They are relayers of the table, and those that their aggregates name.
    pub(in crate::iptv) fn redirect(
        &mut self,
        caller: P,
        most: usize,
        now: Instant,
        mut below: impl FnMut(u64) -> u64,
    ) -> Vec<Provider<P>> {
        self.pledges.retain(|p| now.since(p.2) < PLEDGE);
        let mut pool: Vec<(u64, Provider<P>)> = Vec::new();
        for &(depth, _, peer) in self.open.iter().filter(|o| o.2 != caller).take(CONSIDERED) {
            let Some(row) = self.rows.get(&peer) else { continue };
            let Standing::Relayer { free, .. } = row.standing else { continue };
            let depth = self.absolute(depth);
            let left = u64::from(row.spare(now));
            if left > 0 && !self.is_below(peer, caller) {
                pool.push((left, Provider { peer, depth, free: Some(free) }));
            }
        }
        for aggregate in self.branches(caller).filter_map(|(_, row)| row.below.as_deref()) {
            for &p in aggregate.open.iter().filter(|p| p.peer != caller) {
                let pledged = self.pledges.iter().find(|known| known.0 == p.peer).map_or(0, |known| known.1);
                let left = u64::from(p.free.unwrap_or(1).saturating_sub(pledged));
                if left > 0 && pool.iter().all(|known| known.1.peer != p.peer) {
                    pool.push((left, p));
                }
            }
        }
        // Where nobody knows the depth is farthest.
        pool.sort_by_key(|p| p.1.depth.unwrap_or(ADRIFT));
        let ranked = draw(pool, most, &mut below);
        if let Some(first) = ranked.first() {
            self.pledge(first.peer, now);
        }
        ranked
    }

    /// One slot of this provider is promised.
    pub(super) fn pledge(&mut self, peer: P, now: Instant) {
        if let Some(row) = self.rows.get_mut(&peer).filter(|r| matches!(r.standing, Standing::Relayer { .. }))
        {
            row.pledged = (row.promised(now).saturating_add(1), now);
        } else if let Some(known) = self.pledges.iter_mut().find(|known| known.0 == peer) {
            *known = (peer, known.1.saturating_add(1), now);
        } else {
            if self.pledges.len() >= PLEDGES {
                self.pledges.remove(0);
            }
            self.pledges.push((peer, 1, now));
        }
    }

    /// Peers two layers below me whose parent is not this child, the longest known first.
    pub(in crate::iptv) fn nephews(&self, child: P, most: usize) -> Vec<Provider<P>> {
        let second = [&self.relayers, &self.electable]
            .into_iter()
            .flat_map(|set| set.iter().skip_while(|r| r.0 < 2).take(CONSIDERED));
        let foreign = second.filter(|&&(depth, _, p)| depth == 2 && self.parent(p) != Some(child));
        let provider =
            |&(depth, _, peer): &(u8, u32, P)| Provider { peer, depth: self.absolute(depth), free: None };
        foreign.map(provider).take(most).collect()
    }

    /// Whom an orphan may ask for a rescue slot when no ordinary one is open (Q13): relayers, and viewers that could relay,
    /// the ones nearest to the source, of one layer at random. Nobody who hangs where the orphan did: if its parent is
    /// gone they are without media too. And while many ask at once each is sent to others, for a rescue slot is for one.
    pub(in crate::iptv) fn rescuers(
        &mut self,
        orphan: P,
        most: usize,
        now: Instant,
        mut below: impl FnMut(u64) -> u64,
    ) -> Vec<Provider<P>> {
        let mut next = match now.since(self.rescued.1) < PLEDGE {
            true => self.next_rescuers(orphan, most),
            false => Vec::new(),
        };
        if next.is_empty() {
            self.rescued.0 = [None; 2];
            next = self.next_rescuers(orphan, most);
        }
        for &(key, n) in &next {
            if let Some(last) = self.rescued.0.get_mut(n) {
                *last = Some(key);
            }
        }
        self.rescued.1 = now;
        next.sort_by_cached_key(|&((depth, ..), _)| (depth, below(u64::MAX)));
        let provider = |((depth, _, peer), _)| Provider { peer, depth: self.absolute(depth), free: Some(0) };
        next.into_iter().map(provider).collect()
    }

    /// The next ones of the relayers (0) and of those that could relay (1), behind the last that was named.
    fn next_rescuers(&self, orphan: P, most: usize) -> Vec<(Key<P>, usize)> {
        let lost = self.parent(orphan).filter(|&p| p != self.me).unwrap_or(orphan);
        let is_able = |&&(depth, _, p): &&Key<P>| {
            let silent = self.rows.get(&p).is_some_and(|r| r.silent);
            depth != ADRIFT && !silent && p != lost && p != orphan && !self.is_below(p, lost)
        };
        let mut next = Vec::new();
        for (n, (set, last)) in [&self.relayers, &self.electable].into_iter().zip(self.rescued.0).enumerate()
        {
            let behind = set.range((last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
            next.extend(behind.take(CONSIDERED).filter(is_able).take(most).map(|&key| (key, n)));
        }
        next.sort_unstable();
        next.truncate(most);
        next
    }

    /// Relayers among my children, without the one below which a caller hangs, as far as I know.
    fn branches(&self, caller: P) -> impl Iterator<Item = (P, &Row<P>)> {
        let row = |r: &(u8, u32, P)| Some((r.2, self.rows.get(&r.2)?));
        let first = self.relayers.iter().take_while(|r| r.0 == 1).take(CONSIDERED).filter_map(row);
        first.filter(move |&(peer, _)| peer != caller && !self.is_below(caller, peer))
    }

    /// Children in whose subtrees slots are free beyond those that they name, drawn by how many they say.
    pub(in crate::iptv) fn branches_with_room(
        &self,
        caller: P,
        most: usize,
        mut below: impl FnMut(u64) -> u64,
    ) -> Vec<Provider<P>> {
        let room = |(peer, row): (P, &Row<P>)| {
            let free = row.below.as_ref().filter(|b| !b.open.is_empty())?.free;
            let provider = Provider { peer, depth: self.absolute(row.depth), free: None };
            Some((u64::from(free.min(u32::from(u16::MAX))), provider))
        };
        draw(self.branches(caller).filter_map(room).collect(), most, &mut below)
    }

    /// Whether fewer than so many slots are free, and promised to nobody, with relayers that hang no deeper than this layer.
    pub(in crate::iptv) fn lacks(&self, slots: u16, layer: u8, now: Instant) -> bool {
        let open = self.open.iter().take_while(|o| o.0 <= layer && o.0 != ADRIFT);
        let mut found: u16 = 0;
        for row in open.filter_map(|o| self.rows.get(&o.2)) {
            if found >= slots {
                break;
            }
            found = found.saturating_add(row.spare(now));
        }
        found < slots
    }

    /// The highest layer in which somebody could relay who does not.
    pub(in crate::iptv) fn idle_layer(&self) -> Option<u8> {
        self.electable.first().map(|e| e.0).filter(|&layer| layer != ADRIFT)
    }

    /// The layer of a peer, and the slots that it would bring as a relayer.
    pub(in crate::iptv) fn prospect(&self, peer: P) -> (u8, u16) {
        self.rows.get(&peer).map_or((ADRIFT, 0), |r| (r.depth, r.slots.unwrap_or(1)))
    }

    /// Whether some relayer has a free slot, and media to fill it as far as anybody knows. Of what aggregates name nothing
    /// counts: it is farther from the source than the slots of one more child that relays would be.
    pub(in crate::iptv) fn is_open(&self) -> bool {
        self.open.first().is_some_and(|o| o.0 != ADRIFT)
    }
}

/// Draws providers from a pool that is sorted by depth: layer after layer, within one by weight.
fn draw<P: Copy>(
    mut pool: Vec<(u64, Provider<P>)>,
    most: usize,
    below: &mut impl FnMut(u64) -> u64,
) -> Vec<Provider<P>> {
    let mut ranked = Vec::new();
    while ranked.len() < most
        && let Some(depth) = pool.first().map(|p| p.1.depth)
    {
        let layer = || pool.iter().take_while(|p| p.1.depth == depth);
        let mut ticket = below(layer().map(|p| p.0).sum());
        let drawn = layer().position(|p| {
            let hit = ticket < p.0;
            ticket = ticket.saturating_sub(p.0);
            hit
        });
        ranked.push(pool.remove(drawn.unwrap_or(0)).1);
    }
    ranked
}
