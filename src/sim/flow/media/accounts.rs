//! The measurement: it begins, paths and nodes are added up when they end, and the whole is told.

use super::Media;
use super::path::Leg;
use super::totals::Totals;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

impl Media {
    /// Everything is as it would be had it always been so: paths get their delays from `delay`, players begin now, and what
    /// was measured is forgotten.
    pub fn restart(&mut self, now: Instant, mut delay: impl FnMut(u32, u32) -> Duration) {
        for path in &mut self.paths {
            path.delay = delay(path.parent, path.child);
            path.begun = Duration::ZERO;
        }
        self.totals = Totals::default();
        for node in self.nodes.iter_mut().flatten() {
            node.restart(now);
        }
        let mut work = Vec::from([self.source]);
        while let Some(at) = work.pop() {
            let Some(parent) = self.node(at) else { continue };
            for leg in parent.given.clone() {
                let child = self.paths[leg as usize].child;
                if self.node(child).is_some_and(|c| c.feed == leg && c.is_fed()) {
                    self.rest_on(child, leg);
                    let playout = self.terms.playout;
                    if let Some(child) = self.node_mut(child) {
                        child.play(now, playout);
                    }
                    work.push(child);
                }
            }
        }
    }

    /// Ends the measurement and tells it.
    pub fn finish(&mut self, now: Instant) -> Totals {
        for node in 0..self.nodes.len() as u32 {
            for leg in self.given(node).to_vec() {
                self.account(leg, now);
            }
        }
        for node in 0..self.nodes.len() as u32 {
            self.fold(node, now);
        }
        core::mem::take(&mut self.totals)
    }

    /// Adds what a node has seen to the whole.
    pub(super) fn fold(&mut self, node: u32, now: Instant) {
        let terms = self.terms;
        let watches = node > self.source + self.servers;
        if let Some((node, totals)) = self.measured(node).filter(|_| watches) {
            node.fold(now, &terms, totals);
        }
    }

    /// Counts what went over a path up to now.
    pub(super) fn account(&mut self, leg: Leg, now: Instant) {
        let path = self.paths[leg as usize];
        let Some(parent) = self.node(path.parent).filter(|p| !p.mute && path.sent) else { return };
        let sent = parent.received(now).saturating_sub(path.begun).as_micros() as u64;
        let received = parent.received(now);
        self.totals.sent += sent;
        if path.parent == self.source {
            self.totals.by_source += sent;
        }
        // One that was never taken was answered too late.
        let unwanted = path.unwanted.or((!path.taken).then_some(Instant::ZERO));
        if let Some(since) = unwanted {
            let waste = (now + path.delay).since(since).as_micros() as u64;
            self.totals.wasted += waste.min(sent);
            if self.node(path.child).is_some() {
                self.totals.twice += waste.min(sent);
            }
        }
        self.paths[leg as usize].begun = received;
    }
}
