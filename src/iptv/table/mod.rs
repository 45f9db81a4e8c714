//! The peer table (P8): the subtree below me, as my own dialogs and my relayers' reports show it.
//!
//! A row moves with everything below it. A row whose parent nobody knows any more is *adrift*: it keeps its subtree for
//! a while, because a moved peer soon turns up under another parent.
//!
//! Where relayers elect for themselves (`Mode::Delegated`) there are rows for my children and theirs only. What is below
//! them a child's aggregate ([`Subtree`]) says, merged from those of its own children.
//!
//! | file | |
//! | --- | --- |
//! | here | the rows, and the indexes that every change of a row keeps true |
//! | `places` | where everybody hangs |
//! | `standing` | who relays |
//! | `choice` | who is chosen: candidates, redirects, rescuers |
//! | `climb` | who hangs deeper than need be, and where there is room |
//! | `below` | aggregates |

mod below;
mod choice;
mod climb;
mod places;
mod standing;
#[cfg(test)]
mod tests;

pub(super) use self::standing::Standing;

use super::TableRow;
use super::report::Subtree;
use crate::ids::CallId;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The depth of a row that is adrift; sorts behind every layer.
const ADRIFT: u8 = u8::MAX;
/// The deepest layer that is told apart.
const DEEPEST: u8 = u8::MAX - 1;

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
    /// How often it was called up to a higher place.
    called: climb::Called,
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
    /// Slots that were promised to redirected callers a short while ago.
    fn promised(&self, now: Instant) -> u16 {
        if now.since(self.pledged.1) < choice::PLEDGE { self.pledged.0 } else { 0 }
    }

    /// Free slots that are promised to nobody; nobody but a relayer has any.
    fn spare(&self, now: Instant) -> u16 {
        match self.standing {
            Standing::Relayer { free, .. } => free.saturating_sub(self.promised(now)),
            Standing::Viewer | Standing::Offered => 0,
        }
    }

    fn names(&self) -> bool {
        self.below.as_ref().is_some_and(|b| !b.open.is_empty())
    }
}

/// A row in an index: its layer, the order of its arrival, and whose it is.
type Key<P> = (u8, u32, P);

/// The table of one channel.
#[derive(Debug)]
pub(super) struct Table<P> {
    me: P,
    /// My own hops from the source: the rows count from me.
    base: u8,
    limit: usize,
    rows: BTreeMap<P, Row<P>>,
    /// Viewers that could relay, by layer and arrival.
    electable: BTreeSet<Key<P>>,
    /// Relayers with free slots, by layer and arrival.
    open: BTreeSet<Key<P>>,
    /// All relayers, by layer and arrival.
    relayers: BTreeSet<Key<P>>,
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
    /// Who was named last for a rescue slot, of the relayers and of those that could relay, and when.
    rescued: ([Option<Key<P>>; 2], Instant),
    /// The relayer that was looked at last when all of the deepest could only be left alone.
    looked_at: Option<(u8, u32, P)>,
    /// Grows with everything that an aggregate would show.
    version: u32,
    /// How many hang below my children and here, as of the last thing new that one of them said.
    followers: u32,
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
            rescued: ([None, None], Instant::ZERO),
            looked_at: None,
            version: 0,
            followers: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
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

    /// Where I am myself.
    pub(super) const fn set_base(&mut self, base: u8) {
        self.base = base;
    }

    /// Hops from the source.
    const fn absolute(&self, depth: u8) -> Option<u8> {
        if depth == ADRIFT { None } else { Some(depth.saturating_add(self.base)) }
    }
}

fn set<T: Ord>(into: &mut BTreeSet<T>, value: T, present: bool) {
    if present {
        into.insert(value);
    } else {
        into.remove(&value);
    }
}
