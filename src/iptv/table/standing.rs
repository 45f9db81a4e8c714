//! Who relays: offers, relayers that report or fall silent, and the rest of those that were no good.

use super::Table;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// How often the rest of a relayer that was no good is doubled at most.
const FAILURES: u8 = 4;
/// After so many times the first rest without another failure the earlier ones are forgotten.
const FORGIVEN: u32 = 10;

/// How far a peer is with relaying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::iptv) enum Standing {
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

impl<P: Copy + Ord> Table<P> {
    pub(in crate::iptv) fn standing(&self, peer: P) -> Option<Standing> {
        self.rows.get(&peer).map(|r| r.standing)
    }

    /// Relayers that were told to register.
    pub(in crate::iptv) const fn registered(&self) -> usize {
        self.registered
    }

    pub(in crate::iptv) fn is_to_register(&self, peer: P) -> bool {
        self.rows.get(&peer).is_some_and(|r| r.registers)
    }

    pub(in crate::iptv) fn offer(&mut self, peer: P, registers: bool) {
        self.update(peer, |r| {
            r.standing = Standing::Offered;
            r.registers = registers;
        });
    }

    /// A relayer was heard; `free` where it told. True when it was none before.
    pub(in crate::iptv) fn relays(&mut self, peer: P, free: Option<u16>, now: Instant) -> bool {
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
    pub(in crate::iptv) fn rest(&mut self, peer: P, until: Instant) {
        self.update(peer, |r| {
            r.standing = Standing::Viewer;
            r.registers = false;
            r.rests_until = until;
        });
    }

    /// A relayer was no good: it rests for twice as long as after the last time, unless it has done well since.
    pub(in crate::iptv) fn fail(&mut self, peer: P, now: Instant, rest: Duration) {
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

    pub(in crate::iptv) fn rests(&self, peer: P, now: Instant) -> bool {
        self.rows.get(&peer).is_some_and(|r| now < r.rests_until)
    }

    /// Relayers that were not heard since `limit`.
    pub(in crate::iptv) fn silent(&self, limit: Instant) -> Vec<P> {
        let silent =
            |p: &P| matches!(self.standing(*p), Some(Standing::Relayer { heard, .. }) if heard < limit);
        self.relayers.iter().map(|r| r.2).filter(silent).collect()
    }
}
