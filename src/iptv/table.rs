//! The peer table (P8): the subtree below me, as my own dialogs and my relayers' reports show it.
//!
//! A row moves with everything below it. A row whose parent nobody knows any more is *adrift*: it keeps its subtree for
//! a while, because a moved peer soon turns up under another parent.
//!
//! Where relayers elect for themselves (`Mode::Delegated`) there are rows for my children and theirs only. What is below
//! them a child's aggregate ([`Subtree`]) says, merged from those of its own children.

use super::TableRow;
use super::report::{Child, Provider, Subtree};
use crate::ids::CallId;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The depth of a row that is adrift; sorts behind every layer.
const ADRIFT: u8 = u8::MAX;
/// The deepest layer that is told apart.
const DEEPEST: u8 = u8::MAX - 1;
/// The reported loss, in 1/256, from which a candidate counts as lossy.
const LOSSY: u8 = 13;
/// Candidates of one layer that are compared; the rest of the layer has its turn later.
const COMPARED: usize = 16;
/// Relayers among which a redirect chooses.
const CONSIDERED: usize = 32;
/// A slot promised by a redirect is not promised again for this long, unless the relayer reports earlier.
const PLEDGE: Duration = Duration::from_secs(2);
/// How often the rest of a relayer that was no good is doubled at most.
const FAILURES: u8 = 4;
/// After so many times the first rest without another failure the earlier ones are forgotten.
const FORGIVEN: u32 = 10;
/// The most slots that are believed of one provider of an aggregate.
const BELIEVED: u16 = 16;
/// The most promises that are remembered of slots further below; the oldest are forgotten first.
const PLEDGES: usize = 64;

/// How far a peer is with relaying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It only watches.
    Viewer,
    /// It has an offer.
    Offered,
    /// It relays and reports.
    Relayer {
        /// Free ordinary slots by its last report.
        free: u16,
        /// When it was heard last.
        heard: Instant,
    },
}

#[derive(Debug)]
struct Row<P> {
    parent: Option<P>,
    depth: u8,
    /// The order of arrival, which is the order of the paper's table.
    arrival: u32,
    slots: Option<u16>,
    standing: Standing,
    /// Slots promised to redirected callers, and when the last one was.
    pledged: (u16, Instant),
    /// Whether it was told to put a record into the overlay.
    registers: bool,
    /// Not a candidate before this.
    rests_until: Instant,
    /// How often it was no good as a relayer, of late.
    failures: u8,
    call: Option<CallId>,
    rtt: Duration,
    /// Under which time it is filed while it is adrift.
    adrift_until: Instant,
    /// It was a relayer, and its alive messages have stopped: only its parent still vouches for it.
    silent: bool,
    /// Another relayer that named this peer as its child. News of a move come in any order: when the present parent lets
    /// go, that one is believed.
    claimed: Option<P>,
    /// What is below it, as it says.
    below: Option<Box<Subtree<P>>>,
    children: Vec<P>,
}

impl<P> Row<P> {
    fn names(&self) -> bool {
        self.below.as_ref().is_some_and(|b| !b.open.is_empty())
    }
}

/// The table of one channel.
#[derive(Debug)]
pub(super) struct Table<P> {
    me: P,
    /// My own hops from the source: the rows count from me.
    base: u8,
    limit: usize,
    rows: BTreeMap<P, Row<P>>,
    /// Viewers that could relay, by layer and arrival.
    electable: BTreeSet<(u8, u32, P)>,
    /// Relayers with free slots, by layer and arrival.
    open: BTreeSet<(u8, u32, P)>,
    /// All relayers, by layer and arrival.
    relayers: BTreeSet<(u8, u32, P)>,
    /// Rows that are adrift, by the time at which they are forgotten.
    adrift: BTreeSet<(Instant, P)>,
    /// How long a row may be adrift, and how long one that may be gone.
    patience: (Duration, Duration),
    arrivals: u32,
    registered: usize,
    changed: bool,
    /// Rows whose aggregates name somebody.
    naming: usize,
    /// Slots below my children's that were promised to redirected callers: whose, how many, and when the last one was.
    pledges: Vec<(P, u16, Instant)>,
    /// Grows with everything that an aggregate would show.
    version: u32,
}

impl<P: Copy + Ord> Table<P> {
    /// An empty table of at most `limit` rows. Rows that are adrift are forgotten after the first patience, and after the
    /// second one when their own parent has struck them off.
    pub(super) const fn new(me: P, limit: usize, patience: (Duration, Duration)) -> Self {
        Table {
            patience,
            me,
            base: 0,
            limit,
            rows: BTreeMap::new(),
            electable: BTreeSet::new(),
            open: BTreeSet::new(),
            relayers: BTreeSet::new(),
            adrift: BTreeSet::new(),
            arrivals: 0,
            registered: 0,
            changed: false,
            naming: 0,
            pledges: Vec::new(),
            version: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn contains(&self, peer: P) -> bool {
        self.rows.contains_key(&peer)
    }

    /// Whether rows changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// The rows by depth, then by arrival.
    pub(super) fn rows(&self) -> Vec<TableRow<P>> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(_, r)| (r.depth, r.arrival));
        let row = |(&peer, r): (&P, &Row<P>)| TableRow {
            depth: (r.depth != ADRIFT).then_some(r.depth),
            peer,
            parent: r.parent,
            relayer: matches!(r.standing, Standing::Relayer { .. }),
        };
        rows.into_iter().map(row).collect()
    }

    /// A peer became my own child.
    pub(super) fn seat(&mut self, peer: P, call: CallId, slots: Option<u16>, now: Instant) {
        if !self.attach(peer, self.me, now) {
            return;
        }
        self.update(peer, |r| {
            r.call = Some(call);
            r.slots = slots.or(r.slots);
            r.silent = false;
            r.claimed = None;
        });
    }

    /// A peer is fed by me while its parent is silent. Should that one come back, it is the parent again.
    pub(super) fn cover(&mut self, peer: P, call: CallId, slots: Option<u16>, now: Instant) {
        let (parent, dialog) = (self.parent(peer), self.call(peer));
        self.seat(peer, call, slots, now);
        self.update(peer, |r| {
            r.call = dialog.or(r.call);
            r.claimed = parent;
        });
    }

    /// A peer is my child no longer. It stays, adrift, while there is reason to expect it elsewhere.
    pub(super) fn unseat(&mut self, peer: P, call: CallId, now: Instant) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        if row.call == Some(call) {
            row.call = None;
        }
        if row.parent != Some(self.me) {
            return;
        }
        if row.standing == Standing::Viewer && row.children.is_empty() {
            match self.claimant(peer) {
                Some(parent) => _ = self.attach(peer, parent, now),
                None => self.remove(peer, now),
            }
        } else {
            self.let_go(peer, now);
        }
    }

    /// Another relayer that would have this peer.
    fn claimant(&self, peer: P) -> Option<P> {
        let row = self.rows.get(&peer)?;
        row.claimed.filter(|&c| row.parent != Some(c) && self.contains(c))
    }

    /// Its parent has this peer no longer.
    fn let_go(&mut self, peer: P, now: Instant) {
        match self.claimant(peer) {
            Some(parent) if self.attach(peer, parent, now) => {}
            // Without a dialog here it cannot speak for itself.
            _ if self.rows.get(&peer).is_some_and(|r| r.call.is_none()) => {
                self.set_adrift(peer, now, self.patience.1);
            }
            _ => self.set_adrift(peer, now, self.patience.0),
        }
    }

    /// A relayer named its children: all of them.
    pub(super) fn report(&mut self, parent: P, children: &[Child<P>], now: Instant) {
        if parent == self.me || !self.contains(parent) {
            return;
        }
        let mut named: Vec<P> = children.iter().map(|c| c.peer).collect();
        named.sort_unstable();
        let before = self.rows.get(&parent).map(|r| r.children.clone()).unwrap_or_default();
        for gone in before.into_iter().filter(|c| named.binary_search(c).is_err()) {
            self.let_go(gone, now);
        }
        for child in children {
            // What I serve myself, I know better.
            let mine = self.rows.get(&child.peer).is_some_and(|r| r.parent == Some(self.me));
            if let Some(row) = self.rows.get_mut(&child.peer).filter(|r| r.parent != Some(parent)) {
                row.claimed = if mine { Some(parent) } else { row.parent };
            }
            if !mine && self.attach(child.peer, parent, now) {
                self.update(child.peer, |r| r.slots = child.slots.or(r.slots));
            }
        }
    }

    /// Puts a row under a parent, new or with all that hangs below it. False when that cannot be.
    fn attach(&mut self, peer: P, parent: P, now: Instant) -> bool {
        if peer == self.me || peer == parent || self.is_below(parent, peer) {
            return false;
        }
        let depth = match self.rows.get(&parent) {
            _ if parent == self.me => 1,
            Some(r) if r.depth == ADRIFT => ADRIFT,
            Some(r) => r.depth.saturating_add(1).min(DEEPEST),
            None => return false,
        };
        if self.rows.get(&peer).is_some_and(|r| r.parent == Some(parent)) {
            return true;
        }
        if !self.contains(peer) && !self.add(peer, now) {
            return false;
        }
        self.detach(peer);
        if let Some(r) = self.rows.get_mut(&peer) {
            r.parent = Some(parent);
            r.silent = false;
        }
        if let Some(p) = self.rows.get_mut(&parent) {
            p.children.push(peer);
        }
        self.sink(peer, depth);
        self.changed = true;
        true
    }

    /// Adds a row that hangs nowhere yet.
    fn add(&mut self, peer: P, now: Instant) -> bool {
        if self.rows.len() >= self.limit {
            return false;
        }
        let arrival = self.arrivals;
        self.arrivals = self.arrivals.wrapping_add(1);
        let row = Row {
            parent: None,
            depth: ADRIFT,
            arrival,
            slots: None,
            standing: Standing::Viewer,
            pledged: (0, now),
            registers: false,
            rests_until: Instant::ZERO,
            failures: 0,
            call: None,
            rtt: Duration::ZERO,
            adrift_until: now,
            silent: false,
            claimed: None,
            below: None,
            children: Vec::new(),
        };
        self.rows.insert(peer, row);
        true
    }

    /// A relayer that nobody has named, or no longer, shows itself. False when there is no room for it.
    pub(super) fn introduce(&mut self, peer: P, now: Instant) -> bool {
        if peer == self.me || !self.contains(peer) && !self.add(peer, now) {
            return false;
        }
        self.seen(peer, now);
        true
    }

    /// Whether `peer` hangs somewhere below `ancestor`. A chain too long to be believed counts as such.
    fn is_below(&self, peer: P, ancestor: P) -> bool {
        let mut at = peer;
        for _ in 0..=usize::from(u8::MAX) {
            match self.rows.get(&at).and_then(|r| r.parent) {
                Some(p) if p == ancestor => return true,
                Some(p) => at = p,
                None => return false,
            }
        }
        true
    }

    /// Takes a row from its parent.
    fn detach(&mut self, peer: P) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        self.adrift.remove(&(row.adrift_until, peer));
        if let Some(parent) = row.parent.take()
            && let Some(p) = self.rows.get_mut(&parent)
        {
            p.children.retain(|&c| c != peer);
        }
    }

    /// Nobody knows where a peer is. One that has fallen silent before is gone.
    fn set_adrift(&mut self, peer: P, now: Instant, patience: Duration) {
        if self.rows.get(&peer).is_some_and(|r| r.silent) {
            return self.remove(peer, now);
        }
        self.detach(peer);
        let Some(row) = self.rows.get_mut(&peer) else { return };
        row.adrift_until = now + patience;
        self.adrift.insert((row.adrift_until, peer));
        self.sink(peer, ADRIFT);
        self.changed = true;
    }

    /// Gives a row its depth, and everything below it theirs.
    fn sink(&mut self, peer: P, depth: u8) {
        let mut work = Vec::from([(peer, depth)]);
        while let Some((peer, depth)) = work.pop() {
            self.update(peer, |r| r.depth = depth);
            let below = if depth == ADRIFT { ADRIFT } else { depth.saturating_add(1).min(DEEPEST) };
            if let Some(r) = self.rows.get(&peer) {
                work.extend(r.children.iter().map(|&c| (c, below)));
            }
        }
    }

    /// Changes a row and keeps the indexes true.
    fn update(&mut self, peer: P, change: impl FnOnce(&mut Row<P>)) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        let old = (row.depth, row.arrival, peer);
        let old_standing = row.standing;
        self.registered -= usize::from(row.registers);
        self.naming -= usize::from(row.names());
        change(row);
        if !matches!(row.standing, Standing::Relayer { .. }) {
            row.below = None;
        }
        self.registered += usize::from(row.registers);
        self.naming += usize::from(row.names());
        let new = (row.depth, row.arrival, peer);
        let (electable, relays, open) = match row.standing {
            Standing::Viewer => (row.slots != Some(0), false, false),
            Standing::Offered => (false, false, false),
            Standing::Relayer { free, .. } => (false, true, free > 0),
        };
        if old != new {
            self.electable.remove(&old);
            self.open.remove(&old);
            self.relayers.remove(&old);
        }
        set(&mut self.electable, new, electable);
        set(&mut self.open, new, open);
        set(&mut self.relayers, new, relays);
        let free = |s: Standing| if let Standing::Relayer { free, .. } = s { Some(free) } else { None };
        if old != new || free(row.standing) != free(old_standing) {
            self.version = self.version.wrapping_add(1);
        }
        self.changed |= relays != matches!(old_standing, Standing::Relayer { .. });
    }

    /// Forgets a peer. Those below it are adrift, as far as they speak for themselves.
    pub(super) fn remove(&mut self, peer: P, now: Instant) {
        let mut gone = Vec::from([peer]);
        while let Some(peer) = gone.pop() {
            self.update(peer, |r| {
                r.standing = Standing::Offered;
                r.registers = false;
            });
            self.detach(peer);
            let Some(row) = self.rows.remove(&peer) else { continue };
            self.changed = true;
            for child in row.children {
                match self.rows.get_mut(&child) {
                    Some(c) if c.silent => {
                        c.parent = None;
                        gone.push(child);
                    }
                    _ => self.set_adrift(child, now, self.patience.0),
                }
            }
        }
    }

    /// Rows that are adrift, without those below them.
    pub(super) fn adrift(&self) -> usize {
        self.adrift.len()
    }

    /// Forgets what has been adrift for too long; whether anybody was.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let before = self.rows.len();
        while let Some(&(until, peer)) = self.adrift.first() {
            if now < until {
                break;
            }
            self.adrift.remove(&(until, peer));
            match self.standing(peer) {
                // A relayer that still reports is somewhere.
                Some(Standing::Relayer { .. }) => self.set_adrift(peer, now, self.patience.0),
                _ => self.remove(peer, now),
            }
        }
        self.rows.len() < before
    }

    /// The alive messages of a relayer have stopped. It keeps its place as long as its parent vouches for it.
    pub(super) fn lose(&mut self, peer: P, now: Instant) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        row.silent = true;
        if row.parent.is_none() {
            self.remove(peer, now);
        }
    }

    /// A peer that is adrift shows that it is alive.
    pub(super) fn seen(&mut self, peer: P, now: Instant) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        row.silent = false;
        if row.parent.is_none() {
            self.set_adrift(peer, now, self.patience.0);
        }
    }

    pub(super) fn standing(&self, peer: P) -> Option<Standing> {
        self.rows.get(&peer).map(|r| r.standing)
    }

    /// Under whom a peer hangs, as far as known.
    pub(super) fn parent(&self, peer: P) -> Option<P> {
        self.rows.get(&peer)?.parent
    }

    /// Under whom a peer hangs, and who else had or would have it.
    pub(super) fn parents(&self, peer: P) -> [Option<P>; 2] {
        self.rows.get(&peer).map_or([None; 2], |r| [r.parent, r.claimed])
    }

    /// The dialog in which a peer can be reached.
    pub(super) fn call(&self, peer: P) -> Option<CallId> {
        self.rows.get(&peer)?.call
    }

    pub(super) fn set_call(&mut self, peer: P, call: Option<CallId>) {
        self.update(peer, |r| r.call = call);
    }

    pub(super) fn set_rtt(&mut self, peer: P, rtt: Duration) {
        self.update(peer, |r| r.rtt = rtt);
    }

    /// Relayers that were told to register.
    pub(super) const fn registered(&self) -> usize {
        self.registered
    }

    pub(super) fn is_to_register(&self, peer: P) -> bool {
        self.rows.get(&peer).is_some_and(|r| r.registers)
    }

    pub(super) fn offer(&mut self, peer: P, registers: bool) {
        self.update(peer, |r| {
            r.standing = Standing::Offered;
            r.registers = registers;
        });
    }

    /// A relayer was heard; `free` where it told. True when it was none before.
    pub(super) fn relays(&mut self, peer: P, free: Option<u16>, now: Instant) -> bool {
        let was = self.standing(peer);
        self.update(peer, |r| {
            let known = match r.standing {
                Standing::Relayer { free, .. } => free,
                _ => r.slots.unwrap_or(1),
            };
            if free.is_some() {
                r.pledged.0 = 0;
            }
            r.silent = false;
            r.standing = Standing::Relayer { free: free.unwrap_or(known), heard: now };
        });
        was.is_some_and(|s| !matches!(s, Standing::Relayer { .. }))
    }

    /// A relayer, or a candidate, is a viewer again and rests.
    pub(super) fn rest(&mut self, peer: P, until: Instant) {
        self.update(peer, |r| {
            r.standing = Standing::Viewer;
            r.registers = false;
            r.rests_until = until;
        });
    }

    /// A relayer was no good: it rests for twice as long as after the last time, unless it has done well since.
    pub(super) fn fail(&mut self, peer: P, now: Instant, rest: Duration) {
        self.update(peer, |r| {
            let did_well = now.since(r.rests_until) >= rest.saturating_mul(FORGIVEN);
            r.failures = if did_well { 0 } else { r.failures };
            let doubled = rest.saturating_mul(1 << r.failures.min(FAILURES));
            r.failures = r.failures.saturating_add(1);
            r.standing = Standing::Viewer;
            r.registers = false;
            r.rests_until = now + doubled;
        });
    }

    pub(super) fn rests(&self, peer: P, now: Instant) -> bool {
        self.rows.get(&peer).is_some_and(|r| now < r.rests_until)
    }

    /// Relayers that were not heard since `limit`.
    pub(super) fn silent(&self, limit: Instant) -> Vec<P> {
        let silent =
            |p: &P| matches!(self.standing(*p), Some(Standing::Relayer { heard, .. }) if heard < limit);
        self.relayers.iter().map(|r| r.2).filter(silent).collect()
    }

    /// Whether some relayer has a free slot, and media to fill it as far as anybody knows. Of what aggregates name nothing
    /// counts: it is farther from the source than the slots of one more child that relays would be.
    pub(super) fn is_open(&self) -> bool {
        self.open.first().is_some_and(|o| o.0 != ADRIFT)
    }

    /// Where I am myself.
    pub(super) const fn set_base(&mut self, base: u8) {
        self.base = base;
    }

    /// Hops from the source.
    const fn absolute(&self, depth: u8) -> Option<u8> {
        if depth == ADRIFT { None } else { Some(depth.saturating_add(self.base)) }
    }

    /// The next candidate (P11): of the lowest layer that has one. Which of the layer is the policy's choice (Q10): the
    /// first of the table, or else the one with most slots, then who receives well, the nearest, the oldest. Nobody who
    /// hangs below `caller`, for whom the slots are wanted, nobody in a layer below the `deepest`, and nobody who rests at
    /// `now`.
    pub(super) fn candidate(
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
    pub(super) fn redirect(
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
            let pledged = if now.since(row.pledged.1) < PLEDGE { row.pledged.0 } else { 0 };
            let depth = self.absolute(depth);
            let left = u64::from(free.saturating_sub(pledged));
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

    /// Children in whose subtrees slots are free beyond those that they name, drawn by how many they say.
    pub(super) fn branches_with_room(
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

    /// Relayers among my children, without the one below which a caller hangs, as far as I know.
    fn branches(&self, caller: P) -> impl Iterator<Item = (P, &Row<P>)> {
        let row = |r: &(u8, u32, P)| Some((r.2, self.rows.get(&r.2)?));
        let first = self.relayers.iter().take_while(|r| r.0 == 1).take(CONSIDERED).filter_map(row);
        first.filter(move |&(peer, _)| peer != caller && !self.is_below(caller, peer))
    }

    /// One slot of this provider is promised.
    fn pledge(&mut self, peer: P, now: Instant) {
        if let Some(row) = self.rows.get_mut(&peer).filter(|r| matches!(r.standing, Standing::Relayer { .. }))
        {
            let pledged = if now.since(row.pledged.1) < PLEDGE { row.pledged.0 } else { 0 };
            row.pledged = (pledged.saturating_add(1), now);
        } else if let Some(known) = self.pledges.iter_mut().find(|known| known.0 == peer) {
            *known = (peer, known.1.saturating_add(1), now);
        } else {
            if self.pledges.len() >= PLEDGES {
                self.pledges.remove(0);
            }
            self.pledges.push((peer, 1, now));
        }
    }

    /// A relayer among my children says what is below it. Nobody speaks for me, for those above me, for itself, or for
    /// whoever sits here; nothing below it is as near to the source as it is; and nobody has any number of slots.
    pub(super) fn set_below(
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
        }
    }

    /// What is below me, as far as I know and believe: how many peers, and where slots are free, the `most` nearest by name.
    pub(super) fn aggregate(&self, most: usize) -> Subtree<P> {
        let mut all = Subtree { peers: 0, free: 0, open: Vec::new() };
        for (&peer, row) in self.rows.iter().filter(|(_, r)| r.parent == Some(self.me)) {
            all.peers = all.peers.saturating_add(1);
            let Standing::Relayer { free, .. } = row.standing else { continue };
            all.free = all.free.saturating_add(free.into());
            if free > 0 {
                all.open.push(Provider { peer, depth: self.absolute(row.depth), free: Some(free) });
            }
            if let Some(below) = &row.below {
                all.peers = all.peers.saturating_add(below.peers);
                all.free = all.free.saturating_add(below.free);
                all.open.extend_from_slice(&below.open);
            }
        }
        all.open.sort_by_key(|p| (p.depth, p.peer));
        let mut nearest: Vec<Provider<P>> = Vec::with_capacity(most.min(all.open.len()));
        for p in core::mem::take(&mut all.open) {
            if nearest.len() < most && nearest.iter().all(|known| known.peer != p.peer) {
                nearest.push(p);
            }
        }
        all.open = nearest;
        all
    }

    /// Changes whenever an aggregate would.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// Whether a peer stands in a row or is named by an aggregate.
    pub(super) fn knows(&self, peer: P) -> bool {
        let names = |r: &Row<P>| r.below.as_ref().is_some_and(|b| b.open.iter().any(|p| p.peer == peer));
        self.contains(peer) || self.naming > 0 && self.rows.values().any(names)
    }

    /// Whom the aggregates of my children name, and which child does.
    pub(super) fn named_below(&self) -> impl Iterator<Item = (P, P)> + '_ {
        let mine = self.rows.iter().filter(|(_, row)| row.parent == Some(self.me));
        let open = mine.filter_map(|(&child, row)| Some((child, &row.below.as_deref()?.open)));
        open.flat_map(|(child, open)| open.iter().map(move |p| (child, p.peer)))
    }

    /// The child that a peer is, or below which it is as far as rows and aggregates say.
    pub(super) fn way_to(&self, peer: P) -> Option<P> {
        match self.parent(peer) {
            Some(parent) if parent == self.me => Some(peer),
            Some(parent) if self.parent(parent) == Some(self.me) => Some(parent),
            _ => self.named_below().find(|named| named.1 == peer).map(|named| named.0),
        }
    }

    /// Peers two layers below me whose parent is not this child, the longest known first.
    pub(super) fn nephews(&self, child: P, most: usize) -> Vec<Provider<P>> {
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
    /// gone they are without media too.
    pub(super) fn rescuers(
        &self,
        orphan: P,
        most: usize,
        mut below: impl FnMut(u64) -> u64,
    ) -> Vec<Provider<P>> {
        let lost = self.parent(orphan).filter(|&p| p != self.me).unwrap_or(orphan);
        let able = self.relayers.iter().take(CONSIDERED).chain(self.electable.iter().take(CONSIDERED));
        let able = able.filter(|&&(depth, _, p)| {
            let silent = self.rows.get(&p).is_some_and(|r| r.silent);
            depth != ADRIFT && !silent && p != lost && p != orphan && !self.is_below(p, lost)
        });
        let mut drawn: Vec<(u8, u64, P)> = able.map(|&(depth, _, p)| (depth, below(u64::MAX), p)).collect();
        drawn.sort_unstable();
        let provider = |(depth, _, peer)| Provider { peer, depth: self.absolute(depth), free: Some(0) };
        drawn.into_iter().take(most).map(provider).collect()
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

fn set<T: Ord>(into: &mut BTreeSet<T>, value: T, present: bool) {
    if present {
        into.insert(value);
    } else {
        into.remove(&value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const ME: char = 's';
    const T: Instant = Instant::from_millis(1000);

    fn call(n: u32) -> CallId {
        CallId::received(n)
    }

    fn kids(peers: &str) -> Vec<Child<char>> {
        peers.chars().map(|peer| Child { peer, slots: Some(2), rescue: false }).collect()
    }

    /// s ← a, b; a ← c, d; c ← e.
    fn table() -> Table<char> {
        let mut t = Table::new(ME, 100, (Duration::from_secs(30), Duration::from_secs(3)));
        t.seat('a', call(0), Some(2), T);
        t.seat('b', call(1), Some(2), T);
        for (parent, children) in [('a', "cd"), ('c', "e")] {
            t.relays(parent, Some(0), T);
            t.report(parent, &kids(children), T);
        }
        t
    }

    fn row(t: &Table<char>, peer: char) -> (Option<u8>, Option<char>) {
        let rows = t.rows();
        let row = rows.iter().find(|r| r.peer == peer).unwrap();
        (row.depth, row.parent)
    }

    #[test]
    fn p16_a_child_named_by_another_relayer_moves_there_with_all_below_it() {
        let mut t = table();
        assert_eq!(row(&t, 'e'), (Some(3), Some('c')));
        t.relays('b', Some(1), T);
        t.report('b', &kids("d"), T);
        t.report('d', &kids("c"), T);
        assert_eq!(row(&t, 'e'), (Some(4), Some('c')));
        assert_eq!(row(&t, 'c'), (Some(3), Some('d')));
    }

    #[test]
    fn p16_a_child_that_moved_is_found_whichever_news_comes_first() {
        // The new parent names it before I know that it left me, and before its old parent does.
        let mut t = table();
        t.report('b', &kids("a"), T);
        assert_eq!(row(&t, 'a'), (Some(1), Some(ME)));
        t.unseat('a', call(0), T);
        assert_eq!(row(&t, 'a'), (Some(2), Some('b')));
        // The old parent's list was under way while the new one's came.
        t.report('b', &kids("ad"), T);
        t.report('a', &kids("cd"), T);
        t.report('a', &kids("c"), T);
        assert_eq!(row(&t, 'd'), (Some(2), Some('b')));
    }

    #[test]
    fn a_lost_parent_leaves_its_subtree_adrift_and_time_forgets_it() {
        let mut t = table();
        t.rest('a', T);
        t.unseat('a', call(0), T);
        assert_eq!((row(&t, 'a'), row(&t, 'e')), ((None, None), (None, Some('c'))));
        // c still reports; the others are not heard of again.
        for later in 1..=3 {
            t.sweep(T + Duration::from_secs(30 * later));
        }
        let left: Vec<char> = t.rows().iter().map(|r| r.peer).collect();
        assert_eq!(left, ['b', 'c', 'e']);
    }

    #[test]
    fn a_viewer_that_its_parent_no_longer_names_is_gone_after_a_short_grace_unless_it_turns_up() {
        let ms = Duration::from_millis;
        for (turns_up, after) in [(false, 2_999), (false, 3_000), (true, 3_000)] {
            let mut t = table();
            t.report('c', &[], T);
            assert_eq!(row(&t, 'e'), (None, None));
            if turns_up {
                t.relays('b', Some(1), T);
                t.report('b', &kids("e"), T + ms(1_000));
            }
            t.sweep(T + ms(after));
            assert_eq!(t.contains('e'), turns_up || after < 3_000);
        }
        // Who has a dialog here is believed to be somewhere.
        let mut t = table();
        t.set_call('e', Some(call(7)));
        t.report('c', &[], T);
        t.sweep(T + ms(29_999));
        assert!(t.contains('e'));
    }

    #[test]
    fn a_relayer_that_neither_reports_nor_is_vouched_for_is_gone_at_once() {
        // Its alive messages stop first, then its seat goes; or the other way round.
        for seat_first in [false, true] {
            let mut t = table();
            if seat_first {
                t.unseat('a', call(0), T);
                assert_eq!(row(&t, 'a'), (None, None));
            }
            t.rest('a', T);
            t.lose('a', T);
            if !seat_first {
                assert_eq!(row(&t, 'a'), (Some(1), Some(ME)));
                t.unseat('a', call(0), T);
            }
            assert!(!t.contains('a'), "seat first: {seat_first}");
            assert_eq!((row(&t, 'c'), row(&t, 'e')), ((None, None), (None, Some('c'))));
        }
    }

    #[test]
    fn a_lost_relayer_keeps_the_place_that_its_parent_vouches_for_and_goes_with_its_parent() {
        let mut t = table();
        for lost in ['c', 'a'] {
            t.rest(lost, T);
            t.lose(lost, T);
        }
        assert_eq!(row(&t, 'c'), (Some(2), Some('a')));
        t.unseat('a', call(0), T);
        let left: Vec<char> = t.rows().iter().map(|r| r.peer).collect();
        assert_eq!(left, ['b', 'd', 'e']);
        // Whoever shows itself again is somebody.
        t.report('b', &kids("c"), T);
        t.report('b', &[], T);
        assert_eq!(row(&t, 'c'), (None, None));
    }

    #[test]
    fn k8_hostile_lists_make_neither_cycles_nor_endless_tables() {
        let mut t = table();
        t.report('c', &kids("acs"), T);
        assert_eq!((row(&t, 'a').1, row(&t, 'c').1), (Some(ME), Some('a')));
        let many: Vec<_> =
            ('\u{100}'..'\u{400}').map(|peer| Child { peer, slots: None, rescue: false }).collect();
        t.report('c', &many, T);
        assert_eq!(t.rows().len(), 100);
        t.report('x', &kids("b"), T);
        assert_eq!(row(&t, 'b').1, Some(ME));
    }

    /// Peers that a made-up aggregate names, with depth and free slots.
    type Named = Vec<(u8, Option<u8>, Option<u16>)>;

    quickcheck! {
        /// Whatever children say of what is below them, in any order: what is passed on and where callers are sent names
        /// neither me nor those above nor my children by hearsay, nothing nearer than it can be, and no more than fits.
        fn q9_an_aggregate_is_bounded_and_names_nobody_it_must_not(
            said: Vec<(bool, u32, u32, Named)>
        ) -> bool {
            let mut t = table();
            t.set_base(4);
            let of = |n: u8| char::from(b'a' + n % 26);
            for (first, peers, free, open) in said {
                let open = open.into_iter().map(|(n, depth, free)| Provider { peer: of(n), depth, free });
                let said = Subtree { peers, free, open: open.collect() };
                let from = if first { 'a' } else { 'b' };
                t.relays(from, Some(0), T);
                t.set_below(from, said, 8, |p| "xyz".contains(p));
                let all = t.aggregate(8);
                let hearsay = |p: &Provider<char>| {
                    !"sabxyz".contains(p.peer)
                        && p.depth.is_some_and(|d| d >= 6)
                        && p.free.is_some_and(|f| (1..=BELIEVED).contains(&f))
                };
                let once = all.open.iter().all(|p| all.open.iter().filter(|q| q.peer == p.peer).count() == 1);
                let sent = t.redirect('q', 8, T, |_| 0);
                if all.open.len() > 8 || !once || !all.open.iter().chain(&sent).all(hearsay) {
                    return false;
                }
                if sent.len() > 8 || sent.iter().any(|p| p.peer == 'q') || t.pledges.len() > PLEDGES {
                    return false;
                }
                if all.open.iter().zip(all.open.iter().skip(1)).any(|(p, q)| p.depth > q.depth) {
                    return false;
                }
            }
            // Who goes takes all that it said along.
            for gone in ['a', 'b'] {
                t.rest(gone, T);
                t.remove(gone, T);
            }
            t.aggregate(8) == Subtree { peers: 0, free: 0, open: Vec::new() } && !t.is_open()
        }
    }

    #[test]
    fn p11_the_candidate_is_of_the_lowest_layer_and_q10_the_best_of_it() {
        let mut t = table();
        assert_eq!(t.candidate(T, (false, DEEPEST), None, |_| None), Some('b'));
        t.offer('b', true);
        assert_eq!((t.candidate(T, (false, DEEPEST), None, |_| None), t.registered()), (Some('d'), 1));
        t.rest('b', T + Duration::from_secs(30));
        assert_eq!((t.candidate(T, (false, DEEPEST), None, |_| None), t.registered()), (Some('d'), 0));
        assert_eq!(t.candidate(T + Duration::from_secs(30), (false, DEEPEST), None, |_| None), Some('b'));
        // Nobody below the one for whom it is.
        assert_eq!(t.candidate(T, (false, DEEPEST), Some('a'), |_| None), None);
        t.report('a', &kids("cdf"), T);
        t.set_rtt('d', Duration::from_millis(200));
        assert_eq!(
            (
                t.candidate(T, (false, DEEPEST), None, |_| None),
                t.candidate(T, (true, DEEPEST), None, |_| None)
            ),
            (Some('f'), Some('d'))
        );
    }

    #[test]
    fn q5_a_slot_is_promised_once_until_the_relayer_reports_or_the_promise_is_stale() {
        let mut t = table();
        t.relays('b', Some(1), T);
        let ask = |t: &mut Table<char>, now| t.redirect('z', 8, now, |_| 0).len();
        assert_eq!((ask(&mut t, T), ask(&mut t, T)), (1, 0));
        assert_eq!(ask(&mut t, T + PLEDGE), 1);
        t.relays('b', Some(1), T + PLEDGE);
        assert_eq!(ask(&mut t, T + PLEDGE), 1);
        // Those nearest to the source come first, whatever they have.
        t.relays('c', Some(9), T + PLEDGE);
        t.relays('b', Some(1), T + PLEDGE);
        for ticket in 0..9 {
            let named = t.redirect('z', 8, T + PLEDGE * (2 + ticket), |n| u64::from(ticket) % n);
            assert_eq!(named.iter().map(|p| p.peer).collect::<Vec<_>>(), ['b', 'c']);
        }
        t.relays('c', Some(0), T);
        // Not to somebody below the caller.
        t.relays('e', Some(5), T);
        t.relays('b', Some(0), T);
        assert!(t.redirect('a', 8, T, |_| 0).is_empty());
    }
}
