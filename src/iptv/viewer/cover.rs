//! The bridge over a parent's silence: another provider sends the media, and the tree stays as it is until the parent has
//! had its chance (Q12).
//!
//! ```text
//!   silence ──► asking ──first packet──► covered ──parent silent for confirm_after──► the cover is the parent
//!                 │                         └ the parent speaks again: Release, as if nothing had been (`alarms`)
//!                 └ nobody left to ask ──► a search (Repair, or Farewell) beside it
//! ```
//! The same way leads from a parent that says that it leaves to the next one; then the first packet decides.

use super::purpose::Purpose;
use super::search::Search;
use super::standby::State;
use super::{Link, News, Viewer};
use crate::ids::{CallId, ChannelId};
use crate::iptv::counters::count;
use crate::iptv::fact::{ByeReason, Hold};
use crate::iptv::order::Event;
use crate::iptv::report::Provider;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// So much longer than its own threshold a parent's silence is borne at least: its HOLD may be on the way.
const MARGIN: Duration = Duration::from_millis(20);

/// Whoever has so many below asks two standbys at once: each refusal takes a round trip in which all of them have nothing.
pub(super) const MANY: u32 = 64;

/// So often those that have denied are asked again, at most.
const ROUNDS: u8 = 4;

/// Why somebody else is asked to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::iptv) enum Cause {
    /// Nothing at all is heard from the parent, or it is gone.
    Silence,
    /// The parent is alive, and starves for too long.
    Starved,
    /// The parent says that it leaves, and sends until then.
    Leaving,
}

/// What is under way to bridge the silence.
#[derive(Debug)]
pub(in crate::iptv) struct Cover<P> {
    cause: Cause,
    since: Instant,
    /// The standbys that were asked.
    tried: Vec<CallId>,
    /// Those that have denied since they were asked last.
    denied: Vec<CallId>,
    /// How often such were asked again, and when they may be once more.
    rounds: u8,
    again_at: Instant,
    hedge_at: Option<Instant>,
    /// Who covers, or is about to.
    pub(in crate::iptv) link: Option<Link<P>>,
    /// When its first packet came.
    began: Option<Instant>,
    /// When the first packet of anybody came who has covered.
    bridged: Option<Instant>,
    /// What it named as backups.
    pub(in crate::iptv) backups: Vec<Provider<P>>,
    /// Places that came before the first packet did.
    early: Vec<Early<P>>,
    /// Whether the loss of the parent was told.
    told: bool,
    /// When it said last that the source pauses.
    paused: Instant,
    /// How far the silent parent is with coming back.
    back: Back,
}

/// A silent parent that may be on its way back. A packet now and then does not make it the parent again: it has to send for
/// a while, as densely as the threshold of silence asks for.
#[derive(Debug)]
struct Back {
    /// For how long it has to send.
    trial: Duration,
    /// What it had brought when it was looked at last.
    brought: u64,
    /// When it had brought something more, last.
    moved: Instant,
    /// Since when it sends again, and what it had brought then.
    since: Option<(Instant, u64)>,
}

impl Back {
    /// Takes a look at what the parent has brought by now. Whether that makes it the parent again.
    fn look(&mut self, now: Instant, brought: u64, threshold: Duration) -> bool {
        if brought > self.brought {
            (self.brought, self.moved) = (brought, now);
            self.since.get_or_insert((now, brought));
        } else if now.since(self.moved) >= threshold {
            self.since = None;
        }
        self.since.is_some_and(|(since, before)| {
            let (time, packets) = (now.since(since), brought.saturating_sub(before));
            let fewest = time.as_micros() / threshold.as_micros().max(1);
            time >= self.trial && u128::from(packets) >= fewest.max(1)
        })
    }
}

/// What a standby's provider told about the place of its child.
#[derive(Debug)]
struct Early<P> {
    call: CallId,
    path: Vec<P>,
    rescue: bool,
    backups: Vec<Provider<P>>,
}

impl<P: Copy + Ord> Cover<P> {
    /// Whether media flows from it.
    pub(in crate::iptv) fn plays(&self) -> bool {
        self.link.as_ref().is_some_and(|l| l.playing)
    }

    /// Whether the silent parent sends again, and need only go on.
    pub(super) fn hears_parent(&self) -> bool {
        self.back.since.is_some()
    }

    /// Whether somebody had covered before the parent was heard again.
    fn has_bridged(&self) -> bool {
        self.bridged.zip(self.back.since).is_some_and(|(bridged, (heard, _))| bridged < heard)
    }
}

impl<P: Copy + Ord> Viewer<P> {
    /// How long nothing may come before that is a silence: by the pace of the media, within the profile's limits.
    pub(in crate::iptv) fn threshold(&self, turn: &Turn<'_, P>) -> Duration {
        threshold(self.channel, turn)
    }

    /// How long a parent may be silent before a standby is asked. A starving parent says HOLD at its own threshold, so
    /// that only the children of the dead come to this.
    pub(super) fn cover_after(&self, turn: &Turn<'_, P>) -> Duration {
        let grace = grace(self.channel, turn)
            .saturating_mul(self.alarms.as_ref().map_or(1, |alarms| alarms.factor(turn)));
        self.threshold(turn).saturating_add(grace).min(turn.config.repair_after)
    }

    /// The calls of standbys, and of a cover.
    pub(super) fn backs_up(&self, call: CallId) -> bool {
        let covers = self.cover.as_ref().and_then(|c| c.link.as_ref()).is_some_and(|l| l.call == call);
        covers || self.standbys.get(call).is_some()
    }

    /// Asks for media from elsewhere. The parent, if there is one, keeps its place.
    pub(in crate::iptv) fn cover(
        &mut self,
        cause: Cause,
        told: bool,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        if let Some(link) = self.parent.as_mut().filter(|_| cause != Cause::Leaving) {
            link.lost = Some(turn.now);
            let depth = link.depth;
            self.note_loss(depth);
        }
        let parent = self.parent.as_ref().map(|p| p.call);
        let fitful =
            self.alarms.as_ref().zip(parent).is_some_and(|(alarms, call)| alarms.sends_in_fits(call, turn));
        // Longer than it takes until another one that sends is the parent.
        let trial = if fitful { turn.config.confirm_after.saturating_mul(2) } else { self.threshold(turn) };
        let brought = self.parent.as_ref().map_or(0, |p| turn.progress.brought(p.call));
        let cover = Cover {
            cause,
            since: turn.now,
            tried: Vec::new(),
            denied: Vec::new(),
            rounds: 0,
            again_at: Instant::ZERO,
            hedge_at: None,
            link: None,
            began: None,
            bridged: None,
            backups: Vec::new(),
            early: Vec::new(),
            told,
            paused: Instant::ZERO,
            back: Back { trial, brought, moved: turn.now, since: None },
        };
        self.cover = Some(Box::new(cover));
        self.climb_at = None;
        self.ask_next(seats, turn);
        self.listen_at = self.tend_cover(seats, turn);
    }

    /// Nobody covers yet: asks the next standby, or searches when none is left.
    fn ask_next(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let Some(cover) = &mut self.cover else { return };
        let depth = self.parent.as_ref().map_or(self.home, Link::depth);
        // A parent that leaves may take long, and name others again and again.
        cover.tried.retain(|&call| self.standbys.get(call).is_some());
        let at_once = if self.has_many { 2 } else { 1 };
        for _ in 0..at_once {
            let Some(call) = self.standbys.next(&cover.tried, &self.backups, depth) else { break };
            cover.tried.push(call);
            cover.hedge_at = Some(turn.now + self.standbys.wait(call, self.rtt, turn.config));
            self.standbys.resume(call, turn);
        }
        if self.standbys.any_asked() && cover.hedge_at.is_some_and(|t| t > turn.now) {
            return;
        }
        cover.hedge_at = None;
        if self.next.is_some() || self.is_sourceless(turn) {
            return;
        }
        self.search_beside(seats, turn);
        self.ask_again(turn);
    }

    /// No standby helps at once: looks for somebody else, beside those that may still.
    fn search_beside(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let Some(cover) = &mut self.cover else { return };
        let purpose = if cover.cause == Cause::Leaving { Purpose::Farewell } else { Purpose::Repair };
        if self.search.as_ref().is_some_and(|s| s.purpose == purpose) {
            return;
        }
        let (tried, told) = (cover.tried.clone(), core::mem::replace(&mut cover.told, true));
        let lost = self.parent.as_ref().map(|p| p.peer);
        if let Some(parent) = lost.filter(|_| !told && purpose == Purpose::Repair) {
            turn.event(Event::Orphaned { channel: self.channel, parent });
        }
        let known = self.known(purpose, turn);
        let mut search = Search::new(purpose, &known);
        if let Some(lost) = lost {
            search = search.after(lost);
        }
        for peer in tried.iter().filter_map(|&call| self.standbys.get(call)).map(|s| s.peer) {
            search = search.avoiding(peer);
        }
        self.search(self.without_leaver(search), seats, turn);
    }

    /// Asks those again that have denied: most of them had just given their slot to somebody who asks several as well, and
    /// needs only one. Siblings lose their parent at the same moment, and know the same backup parents.
    fn ask_again(&mut self, turn: &mut Turn<'_, P>) {
        let Some(cover) = self.cover.as_mut().filter(|c| c.link.is_none() && c.rounds < ROUNDS) else {
            return;
        };
        if turn.now < cover.again_at {
            cover.hedge_at = Some(cover.again_at).filter(|_| !cover.denied.is_empty());
            return;
        }
        let is_called = |peer: P| self.search.as_ref().is_some_and(|s| s.asks(peer));
        for call in core::mem::take(&mut cover.denied) {
            if self.standbys.get(call).is_some_and(|s| s.state == State::Ready && !is_called(s.peer)) {
                let due = turn.now + self.standbys.wait(call, self.rtt, turn.config);
                cover.hedge_at = Some(cover.hedge_at.map_or(due, |t| t.min(due)));
                self.standbys.resume(call, turn);
            }
        }
        if let Some(due) = cover.hedge_at {
            cover.again_at = due;
            cover.rounds += 1;
        }
    }

    /// A call that was placed because no standby was left is answered.
    pub(super) fn cover_with(&mut self, link: Link<P>, turn: &mut Turn<'_, P>) {
        let patience = self.patience(turn);
        let Some(cover) = &mut self.cover else { return };
        cover.link = Some(link);
        self.listen_at = earliest(self.listen_at, Some(turn.now + patience));
    }

    /// The first packet of a standby or of a cover. True when it was one of these.
    pub(super) fn on_cover_packet(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) -> bool {
        if !self.backs_up(call) {
            return false;
        }
        let standby = self.standbys.get(call).copied();
        let covers = self.covering().is_some_and(|l| l.call == call);
        let Some(cover) = self.cover.as_mut().filter(|c| !c.plays()) else {
            // Another one was faster, or the parent. Who covers may begin anew: it was released and asked again at once, and has
            // come to both only now.
            if !covers {
                self.standbys.release(call, turn);
            }
            return true;
        };
        if let Some(standby) = standby {
            let mut link = Link::of_standby(standby, turn.now);
            if let Some(at) = cover.early.iter().position(|e| e.call == call) {
                let Early { path, rescue, backups, .. } = cover.early.swap_remove(at);
                (link.path, link.rescue, cover.backups) = (path, rescue, backups);
            }
            if let Some(slower) = cover.link.replace(link) {
                turn.bye(slower.call, ByeReason::Normal);
            }
        }
        let Some(link) = &mut cover.link else { return true };
        link.playing = true;
        let provider = link.peer;
        cover.began = Some(turn.now);
        cover.bridged.get_or_insert(turn.now);
        cover.hedge_at = None;
        let confirmed = cover.cause == Cause::Leaving || self.parent.is_none() || self.parent_leaves();
        self.standbys.release_all_but(Some(call), turn);
        if let Some(mut search) = self.search.take() {
            search.cancel(turn);
        }
        count(&mut turn.counters.covers);
        if confirmed {
            self.confirm(turn);
        } else {
            turn.event(Event::Covered { channel: self.channel, provider });
        }
        self.listen_at = earliest(Some(turn.now + self.cover_after(turn)), self.tend_cover(seats, turn));
        true
    }

    /// The provider of a standby that was asked tells the place, and its media is still on the way.
    pub(super) fn on_early_place(
        &mut self,
        call: CallId,
        (path, rescue): (Vec<P>, bool),
        backups: Vec<Provider<P>>,
        turn: &Turn<'_, P>,
    ) {
        let most = usize::from(turn.config.limits.standbys);
        let Some(standby) = self.standbys.get_mut(call).filter(|s| s.state == State::Asked) else { return };
        // It may have sunk, and is asked accordingly the next time.
        standby.depth = u8::try_from(path.len().saturating_sub(1)).unwrap_or(u8::MAX);
        let Some(cover) = &mut self.cover else { return };
        cover.early.retain(|e| e.call != call);
        if cover.early.len() < most {
            cover.early.push(Early { call, path, rescue, backups });
        }
    }

    /// The provider of a standby sends nothing, or no more.
    pub(in crate::iptv) fn on_denied(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.is_parent(call) {
            turn.bye(call, ByeReason::Normal);
            return self.on_ended(call, seats, turn);
        }
        if self.standbys.on_denied(call) {
            if let Some(cover) = self.cover.as_mut().filter(|c| !c.denied.contains(&call)) {
                cover.denied.push(call);
            }
            self.uncovered_by(call, seats, turn);
        }
    }

    /// This provider does not cover, or no longer.
    pub(super) fn uncovered_by(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let Some(cover) = &mut self.cover else { return };
        if cover.link.take_if(|l| l.call == call).is_some() {
            cover.began = None;
            cover.backups.clear();
        } else if !cover.tried.contains(&call) {
            return;
        }
        if cover.link.is_none() {
            self.ask_next(seats, turn);
            self.listen_at = earliest(self.listen_at, self.tend_cover(seats, turn));
        }
    }

    /// Judges the cover by what was heard; tells when to look again.
    pub(super) fn tend_cover(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) -> Option<Instant> {
        let (now, config) = (turn.now, turn.config);
        if self.parent_is_back(turn) {
            self.uncover(turn);
            return Some(now + self.cover_after(turn));
        }
        let look = now + config.hold_after / 2;
        let cover = self.cover.as_deref()?;
        let Some(link) = &cover.link else {
            // Who was asked and says nothing may be gone: it is waited for until the next one is due, and no longer.
            let waits = self.search.is_some() || self.next.is_some() || cover.hedge_at.is_some();
            if cover.hedge_at.is_some_and(|t| t <= now) || !waits {
                self.ask_next(seats, turn);
            }
            return earliest(Some(look), self.cover.as_ref().and_then(|c| c.hedge_at));
        };
        let since = link.since.max(turn.awake_since);
        let mut heard = turn.progress.last_from(link.call).map_or(since, |t| t.max(since));
        let media = turn.progress.last_media(self.channel).unwrap_or(Instant::ZERO);
        if let Some(began) = cover.began {
            // Whoever sends what is here already covers nothing, but for what the source does not send either.
            heard = heard.min(media.max(cover.paused).max(began).max(turn.awake_since));
        }
        let patience = if link.playing { config.repair_after } else { self.patience(turn) };
        if now >= heard + patience {
            let call = link.call;
            self.drop_cover(call, turn);
            self.uncovered_by(call, seats, turn);
            return earliest(Some(look), self.cover.as_ref().and_then(|c| c.hedge_at));
        }
        let due = cover.began.map(|t| t.max(turn.awake_since) + config.confirm_after);
        let brings = cover.began.is_some_and(|t| t < media);
        if due.is_some_and(|t| t <= now) && brings && !self.parent_holds(turn) {
            self.confirm(turn);
            return Some(now + self.cover_after(turn));
        }
        // A parent that speaks is seen soon.
        earliest(Some(look.min(heard + patience)), due.filter(|&t| t > now))
    }

    /// Ends what a provider sends, as a standby or as a call of its own.
    pub(super) fn drop_cover(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.standbys.get(call).is_some() {
            self.standbys.release(call, turn);
        } else {
            turn.bye(call, ByeReason::Normal);
        }
    }

    /// Whether the silent, or starving, parent sends media again. If it has said meanwhile that it leaves, somebody else is
    /// looked for all the same; but until then it is a parent that sends.
    fn parent_is_back(&mut self, turn: &Turn<'_, P>) -> bool {
        let (threshold, leaves) = (self.threshold(turn), self.parent_leaves());
        let Some(cover) = self.cover.as_deref_mut().filter(|c| c.cause != Cause::Leaving) else {
            return false;
        };
        let Some(parent) = &mut self.parent else { return false };
        let is_back = cover.back.look(turn.now, turn.progress.brought(parent.call), threshold);
        if is_back && leaves {
            cover.cause = Cause::Leaving;
            parent.lost = None;
        }
        is_back && !leaves
    }

    /// Whether the parent is alive, and has not starved for too long yet.
    fn parent_holds(&self, turn: &Turn<'_, P>) -> bool {
        let Some(cover) = self.cover.as_ref().filter(|c| c.cause == Cause::Silence) else { return false };
        let held = self.parent.as_ref().and_then(|p| p.held).map(|h| h.1);
        let waited = |since: Instant| turn.now.since(since.max(turn.awake_since));
        held.is_some_and(|t| {
            waited(t) < turn.config.repair_after && waited(cover.since) < turn.config.hold_limit
        })
    }

    /// The silent parent has said that it is alive (HOLD, PAUSED). Whoever was asked and sends nothing yet is not needed.
    pub(super) fn on_parent_held(&mut self, turn: &mut Turn<'_, P>) {
        let silent = self.cover.as_ref().is_some_and(|c| c.cause == Cause::Silence && !c.plays());
        if silent && !self.parent_leaves() {
            self.uncover(turn);
        }
    }

    /// The parent is back: nothing has happened but a silence that was too short to act on.
    pub(super) fn uncover(&mut self, turn: &mut Turn<'_, P>) {
        let Some(cover) = self.cover.take() else { return };
        if let Some(parent) = &self.parent {
            self.alarms.get_or_insert_default().raise(parent.call, cover.has_bridged(), turn);
        }
        self.standbys.release_all_but(None, turn);
        if let Some(link) = cover.link {
            match self.standbys.get_mut(link.call) {
                // It has told where it hangs.
                Some(standby) => standby.depth = link.depth().saturating_sub(1),
                None => turn.bye(link.call, ByeReason::Normal),
            }
        }
        count(&mut turn.counters.false_alarms);
        self.listen_at = Some(turn.now + self.cover_after(turn));
        self.recover(cover.told, turn);
    }

    /// Whoever covers is the parent from now on.
    fn confirm(&mut self, turn: &mut Turn<'_, P>) {
        let Some(cover) = self.cover.take() else { return };
        let Cover { cause, link, backups, told, .. } = *cover;
        let Some(link) = link else { return };
        self.standbys.take(link.call);
        self.standbys.release_all_but(None, turn);
        let channel = self.channel;
        if let Some(old) = self.parent.take() {
            self.grandparent = old.grandparent();
            if !told && cause != Cause::Leaving {
                turn.event(Event::Orphaned { channel, parent: old.peer });
            }
            turn.bye(old.call, ByeReason::Normal);
        }
        if cause != Cause::Leaving {
            count(&mut turn.counters.repairs);
        }
        let (parent, depth, rescue) = (link.peer, link.depth(), link.rescue);
        self.parent = Some(link);
        self.sinks = 0;
        self.leaver = None;
        self.sourceless = false;
        self.unsourced = None;
        turn.event(Event::Reparented { channel, parent, depth, rescue });
        if !backups.is_empty() {
            self.backups = backups;
        }
        self.climbs = 0;
        self.news = News::Now;
        self.standbys.plan(turn);
        self.settle_slot(turn);
    }

    /// The dialog with the parent is over while somebody else is asked, or sends.
    pub(super) fn gone_while_covered(&mut self, link: Link<P>, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let Some(cover) = &mut self.cover else { return };
        if link.playing && !core::mem::replace(&mut cover.told, true) {
            turn.event(Event::Orphaned { channel: self.channel, parent: link.peer });
        }
        cover.cause = Cause::Silence;
        if cover.plays() {
            self.confirm(turn);
        } else {
            // They may have room by now.
            cover.tried.retain(|&call| self.standbys.get(call).is_some_and(|s| s.state == State::Asked));
            cover.denied.clear();
            cover.rounds = 0;
            if let Some(search) = &mut self.search {
                search.lose_parent();
            }
            if self.covering().is_none() && !self.standbys.any_asked() {
                self.ask_next(seats, turn);
            }
        }
        self.listen_at = earliest(self.listen_at, self.tend_cover(seats, turn));
    }

    /// Whether the parent has said that it leaves.
    pub(super) fn parent_leaves(&self) -> bool {
        self.leaver.is_some() && self.leaver == self.parent.as_ref().map(|p| p.peer)
    }

    /// A dialog is over because its peer leaves.
    pub(in crate::iptv) fn note_leaver(&mut self, call: CallId) {
        if let Some(parent) = self.parent.as_ref().filter(|p| p.call == call) {
            self.leaver = Some(parent.peer);
        }
    }

    /// The same search, without the one that has said that it leaves: it is asked after all others. A source that wants a
    /// slot back says the same, and knows who has another one.
    pub(super) fn without_leaver(&self, search: Search<P>) -> Search<P> {
        match self.leaver.filter(|&leaver| self.source != Some(leaver)) {
            Some(leaver) => search.after(leaver).avoiding(leaver),
            None => search,
        }
    }

    /// The parent says that it leaves, and goes on sending for a while.
    pub(in crate::iptv) fn on_leaving(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.next.take_if(|n| n.call == call).is_some() {
            turn.bye(call, ByeReason::Normal);
            return self.on_next_lost(seats, turn);
        }
        if self.cover.as_ref().and_then(|c| c.link.as_ref()).is_some_and(|l| l.call == call) {
            self.drop_cover(call, turn);
            return self.uncovered_by(call, seats, turn);
        }
        let Some(parent) = self.parent.as_ref().filter(|p| p.call == call && !turn.config.is_paper()) else {
            return;
        };
        self.leaver = Some(parent.peer);
        match &self.cover {
            Some(cover) if cover.plays() => {
                // It need not come back.
                self.confirm(turn);
                self.listen_at = earliest(self.listen_at, Some(turn.now + self.cover_after(turn)));
            }
            Some(_) => {}
            None if self.next.is_some() => {}
            None => self.cover(Cause::Leaving, false, seats, turn),
        }
    }

    /// A covering provider, or one to be, has nothing itself.
    pub(super) fn on_cover_held(
        &mut self,
        call: CallId,
        hold: Hold,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        if !self.backs_up(call) {
            return;
        }
        let Some(cover) = &mut self.cover else { return };
        match hold {
            Hold::Starved | Hold::Sourceless => {
                self.drop_cover(call, turn);
                self.uncovered_by(call, seats, turn);
            }
            Hold::Paused if cover.link.as_ref().is_some_and(|l| l.call == call) => cover.paused = turn.now,
            Hold::Paused => {}
        }
    }
}

/// How much longer than its threshold a node bears the silence of its parent. A parent that starves says HOLD at a
/// threshold that is as long: within this time it is heard, though jitter holds it up, and though the first one is lost,
/// for it is said again after half of it.
pub(in crate::iptv) fn grace<P>(channel: ChannelId, turn: &Turn<'_, P>) -> Duration {
    let threshold = threshold(channel, turn);
    match turn.progress.pace(channel) {
        Some(pace) => (threshold / 2).max(pace.jitter.saturating_mul(4)).max(MARGIN),
        None => threshold,
    }
}

/// How long nothing may come before that is a silence: four packets, or one with four times its jitter, within the
/// profile's limits.
pub(in crate::iptv) fn threshold<P>(channel: ChannelId, turn: &Turn<'_, P>) -> Duration {
    let ceiling = turn.config.hold_after;
    let Some(pace) = turn.progress.pace(channel).filter(|_| !turn.config.is_paper()) else { return ceiling };
    let jittery = pace.gap.saturating_add(pace.jitter.saturating_mul(4));
    let threshold = pace.gap.saturating_mul(4).max(jittery).max(turn.config.silence_floor).min(ceiling);
    // The clock knows no less than a microsecond; a deadline is never early.
    Duration::from_micros(u64::try_from(threshold.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_begins_anew_while_the_parent_is_watched_brings_it_not_back() {
        let at = Instant::from_millis;
        let trial = Duration::from_millis(10);
        let mut back = Back { trial, brought: 10, moved: at(0), since: None };
        let mut look = |ms, brought| back.look(at(ms), brought, Duration::from_millis(40));
        assert_eq!([look(10, 12), look(30, 0), look(40, 1), look(45, 14)], [false, false, false, true]);
    }
}
