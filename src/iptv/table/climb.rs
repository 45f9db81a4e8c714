//! Who hangs deeper than need be, and where there is room nearer to the source.

use super::{ADRIFT, Row, Standing, Table};
use crate::ids::CallId;
use crate::iptv::report::Provider;
use crate::iptv::viewer::WORTH;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

/// So many relayers are looked at in one go.
const CONSIDERED: usize = 128;
/// Providers that whoever climbs is told.
const NAMED: usize = 3;
/// Whoever was called up may take so long to come.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// How often the time is doubled at most after which one is called again that has not come.
const DOUBLED: u8 = 6;

/// A relayer that may climb with all that is below it, and where it finds room.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::iptv) struct Climb<P> {
    pub(in crate::iptv) peer: P,
    /// The dialog in which it can be told.
    pub(in crate::iptv) call: CallId,
    pub(in crate::iptv) to: Vec<Provider<P>>,
}

/// How often a relayer was called up, and when it was last. Once it has another parent, only the last time counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Called {
    times: u8,
    last: Instant,
}

impl Called {
    fn again(&mut self, now: Instant) {
        *self = Called { times: self.times.saturating_add(1), last: now };
    }

    pub(super) fn moved(&mut self) {
        self.times = self.times.min(1);
    }

    /// Whether it may be on its way.
    fn is_under_way(self, now: Instant) -> bool {
        self.times > 0 && now.since(self.last) < UNDER_WAY
    }

    /// Whether it has not come, and is not called again yet.
    fn is_stuck(self, now: Instant) -> bool {
        let doubled = self.times.saturating_sub(1).min(DOUBLED);
        self.times > 0 && now.since(self.last) < UNDER_WAY.saturating_mul(1 << doubled)
    }
}

impl<P: Copy + Ord> Table<P> {
    /// The next climb: on the way down to the deepest relayer the first one that comes nearer to the source by the layers
    /// that are worth a move, when it takes the highest slot that is promised to nobody; so most comes along. A slot is
    /// promised to it. Whoever is below somebody who is on its way is left alone, and who has not come is passed over for
    /// longer each time. Where all that are looked at can only be left alone, the next look goes on with those less deep.
    pub(in crate::iptv) fn climb(&mut self, now: Instant) -> Option<Climb<P>> {
        let row = |peer: &P| self.rows.get(peer);
        let open = self.open.iter().take_while(|o| o.0 != ADRIFT).map(|o| o.2);
        let mut open = open.filter(|p| row(p).is_some_and(|r| r.spare(now) > 0)).peekable();
        let first = *open.peek()?;
        let least = row(&first)?.depth.saturating_add(1).saturating_add(WORTH);
        let from = self.looked_at.map_or(Unbounded, Excluded);
        let deep = self.relayers.range((Unbounded, from)).rev();
        let deep = deep.skip_while(|r| r.0 == ADRIFT).take_while(|r| r.0 >= least);
        let mut goes_on = None;
        let found = deep.take(CONSIDERED).enumerate().find_map(|(n, r)| {
            goes_on = Some(*r).filter(|_| n + 1 == CONSIDERED);
            self.first_on_the_way_to(r.2, least, now)
        });
        let Some((peer, call)) = found else {
            self.looked_at = goes_on;
            return None;
        };
        let near = |r: &&Row<P>| r.depth.saturating_add(1).saturating_add(WORTH) <= least;
        let to = open.map_while(|p| row(&p).filter(near).map(|r| (p, r)));
        let provider = |(peer, r): (P, &Row<P>)| match r.standing {
            Standing::Relayer { free, .. } => {
                Some(Provider { peer, depth: self.absolute(r.depth), free: Some(free) })
            }
            Standing::Viewer | Standing::Offered => None,
        };
        let to = to.filter_map(provider).take(NAMED).collect();
        self.pledge(first, now);
        self.update(peer, |r| r.called.again(now));
        Some(Climb { peer, call, to })
    }

    /// Of those above this peer, and itself, the highest one that hangs at least so deep, relays and can be told.
    fn first_on_the_way_to(&self, peer: P, least: u8, now: Instant) -> Option<(P, CallId)> {
        let mut first = None;
        let mut at = Some(peer);
        while let Some((peer, row)) = at.and_then(|p| Some((p, self.rows.get(&p)?)))
            && row.depth >= least
        {
            if row.called.is_under_way(now) {
                return None;
            }
            let relays = matches!(row.standing, Standing::Relayer { .. }) && !row.silent;
            let may = relays && !row.called.is_stuck(now);
            first = row.call.filter(|_| may).map(|call| (peer, call)).or(first);
            at = row.parent;
        }
        first
    }
}
