//! Who hangs deeper than need be, and where there is room nearer to the source.

use super::{ADRIFT, Row, Standing, Table};
use crate::ids::CallId;
use crate::iptv::report::Provider;
use crate::iptv::viewer::WORTH;
use crate::time::Instant;
use alloc::vec::Vec;

/// Of the deepest relayers so many are looked at.
const CONSIDERED: usize = 128;
/// Providers that whoever climbs is told.
const NAMED: usize = 3;

/// A relayer that may climb with all that is below it, and where it finds room.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::iptv) struct Climb<P> {
    pub(in crate::iptv) peer: P,
    /// The dialog in which it can be told.
    pub(in crate::iptv) call: CallId,
    pub(in crate::iptv) to: Vec<Provider<P>>,
}

impl<P: Copy + Ord> Table<P> {
    /// The next climb: on the way down to the deepest relayer the first one that comes nearer to the source by the layers
    /// that are worth a move, when it takes the highest slot that is promised to nobody; so most comes along. A slot is
    /// promised to it. Whoever is below or above somebody who is `spared` is left alone.
    pub(in crate::iptv) fn climb(&mut self, now: Instant, spared: impl Fn(P) -> bool) -> Option<Climb<P>> {
        let row = |peer: &P| self.rows.get(peer);
        let open = self.open.iter().take_while(|o| o.0 != ADRIFT).map(|o| o.2);
        let mut open = open.filter(|p| row(p).is_some_and(|r| r.spare(now) > 0)).peekable();
        let first = *open.peek()?;
        let least = row(&first)?.depth.saturating_add(1).saturating_add(WORTH);
        let deep = self.relayers.iter().rev().skip_while(|r| r.0 == ADRIFT).take_while(|r| r.0 >= least);
        let (peer, call) =
            deep.take(CONSIDERED).find_map(|r| self.first_on_the_way_to(r.2, least, &spared))?;
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
        Some(Climb { peer, call, to })
    }

    /// Of those above this peer, and itself, the highest one that hangs at least so deep, relays and can be told.
    fn first_on_the_way_to(&self, peer: P, least: u8, spared: impl Fn(P) -> bool) -> Option<(P, CallId)> {
        let mut first = None;
        let mut at = Some(peer);
        while let Some((peer, row)) = at.and_then(|p| Some((p, self.rows.get(&p)?)))
            && row.depth >= least
        {
            if spared(peer) {
                return None;
            }
            let relays = matches!(row.standing, Standing::Relayer { .. }) && !row.silent;
            first = row.call.filter(|_| relays).map(|call| (peer, call)).or(first);
            at = row.parent;
        }
        first
    }
}
