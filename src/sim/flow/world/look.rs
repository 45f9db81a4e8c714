//! What a policy sees of the media plane. Nothing changes here.

use super::people::Hosts;
use crate::ids::{CallId, ChannelId};
use crate::iptv::{Pace, Progress};
use crate::sim::flow::media::{Media, NO_LEG};
use crate::sim::flow::session::{Session, Sessions};
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;

/// For so long the reports of a call are awaited.
const NEW: Duration = Duration::from_secs(5);

/// What a policy sees of the media plane.
pub(super) struct Look<'a> {
    pub(super) node: u32,
    pub(super) now: Instant,
    pub(super) placed: &'a BTreeMap<u32, u32>,
    pub(super) sessions: &'a Sessions,
    pub(super) media: &'a Media,
    pub(super) hosts: &'a Hosts,
    pub(super) lies: bool,
    pub(super) jitter: Duration,
}

impl Look<'_> {
    fn session(&self, call: CallId) -> Option<&Session> {
        let at = if call.is_placed() { *self.placed.get(&call.number())? } else { call.number() };
        self.sessions.at(at).map(|s| s.1)
    }
}

impl Progress for Look<'_> {
    fn last_media(&self, _: ChannelId) -> Option<Instant> {
        self.media.last_media(self.node, self.now)
    }

    fn last_from(&self, call: CallId) -> Option<Instant> {
        let session = self.session(call).filter(|s| s.leg != NO_LEG)?;
        self.media.last_from(session.leg, self.now)
    }

    /// What is lost is mended; of whoever sends nothing there is nothing to report.
    fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.last_report(call).filter(|_| !self.lies).map(|_| 0)
    }

    fn brought(&self, call: CallId) -> u64 {
        let leg = self.session(call).map_or(NO_LEG, |s| s.leg);
        if leg == NO_LEG { 0 } else { self.media.brought(leg, self.now) }
    }

    fn last_brought(&self, call: CallId) -> Option<Instant> {
        let session = self.session(call).filter(|s| s.leg != NO_LEG)?;
        self.media.media_from(session.leg, self.now)
    }

    /// Reports come at regular intervals from the moment on in which the child took the call. Of a new call none is
    /// foreseen: the first ones show what a relayer is good for, and have to have come for that.
    fn last_report(&self, call: CallId) -> Option<Instant> {
        let session = self.session(call)?;
        let (since, every) = session.reports?;
        let first = since + session.delay;
        let dies = self.hosts.get(session.caller).map(|h| h.dies);
        let stops = session.left.min(dies.unwrap_or(Instant::FAR_FUTURE));
        let is_new = self.now < since + NEW;
        let sight = if is_new { self.now } else { self.now + self.media.terms().foresight };
        let last = if stops == Instant::FAR_FUTURE { sight } else { sight.min(stops + session.delay) };
        let sent = last.since(first).as_micros() / every.as_micros();
        (last >= first).then(|| first + every * sent as u32)
    }

    /// Queues of each hop add to the jitter as independent things do.
    fn pace(&self, _: ChannelId) -> Option<Pace> {
        let depth = self.media.settled_depth(self.node, self.now)?;
        let gap = self.media.terms().gap();
        let jitter = self.jitter / 30 * (u32::from(depth) * 100).isqrt();
        Some(Pace { gap, jitter })
    }
}
