//! The bridge over a parent's silence: another provider sends the media, and the tree stays as it is until the parent has
//! had its chance (Q12).
//!
//! ```text
//!   silence ──► asking ──first packet──► covered ──parent silent for confirm_after──► the cover is the parent
//!                 │                         └ the parent speaks again: Release, as if nothing had been (`alarms`)
//!                 └ nobody left to ask ──► a search (Repair, or Farewell) beside it
//! ```
//! The same way leads from a parent that says that it leaves to the next one; then the first packet decides.
//!
//! | file | |
//! | --- | --- |
//! | here | who covers: how that begins, how it is judged, and whether it or the parent is the parent in the end |
//! | `asking` | whom this node asks, and when the next one |
//! | `back`, `leaving` | a silent parent that comes back; one that says that it leaves |

mod asking;
mod back;
mod leaving;

use self::asking::Asked;
pub(super) use self::asking::MANY;
use self::back::Back;
use super::standby::State;
use super::{Link, News, Viewer};
use crate::ids::CallId;
use crate::iptv::counters::count;
use crate::iptv::fact::{ByeReason, Hold};
use crate::iptv::order::Event;
use crate::iptv::report::Provider;
use crate::iptv::seats::Seats;
use crate::iptv::threshold::{grace, threshold};
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;

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
    asked: Asked,
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
    pub(in crate::iptv::viewer) fn hears_parent(&self) -> bool {
        self.back.heard().is_some()
    }

    /// Whether somebody had covered before the parent was heard again.
    fn has_bridged(&self) -> bool {
        self.bridged.zip(self.back.heard()).is_some_and(|(bridged, heard)| bridged < heard)
    }
}

impl<P: Copy + Ord> Viewer<P> {
    /// How long nothing may come before that is a silence: by the pace of the media, within the profile's limits.
    pub(in crate::iptv) fn threshold(&self, turn: &Turn<'_, P>) -> Duration {
        threshold(self.channel, turn)
    }

    /// How long a parent may be silent before a standby is asked. A starving parent says HOLD at its own threshold, so
    /// that only the children of the dead come to this.
    pub(in crate::iptv::viewer) fn cover_after(&self, turn: &Turn<'_, P>) -> Duration {
        let grace = grace(self.channel, turn)
            .saturating_mul(self.alarms.as_ref().map_or(1, |alarms| alarms.factor(turn)));
        self.threshold(turn).saturating_add(grace).min(turn.config.repair_after)
    }

    /// The calls of standbys, and of a cover.
    pub(in crate::iptv::viewer) fn backs_up(&self, call: CallId) -> bool {
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
            asked: Asked::default(),
            link: None,
            began: None,
            bridged: None,
            backups: Vec::new(),
            early: Vec::new(),
            told,
            paused: Instant::ZERO,
            back: Back::new(trial, brought, turn.now),
        };
        self.cover = Some(Box::new(cover));
        self.climb_at = None;
        self.ask_next(seats, turn);
        self.listen_at = self.tend_cover(seats, turn);
    }

    /// A call that was placed because no standby was left is answered.
    pub(in crate::iptv::viewer) fn cover_with(&mut self, link: Link<P>, turn: &mut Turn<'_, P>) {
        let patience = self.patience(turn);
        let Some(cover) = &mut self.cover else { return };
        cover.link = Some(link);
        self.listen_at = earliest(self.listen_at, Some(turn.now + patience));
    }

    /// The first packet of a standby or of a cover. True when it was one of these.
    pub(in crate::iptv::viewer) fn on_cover_packet(
        &mut self,
        call: CallId,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) -> bool {
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
        cover.asked.hedge_at = None;
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
    pub(in crate::iptv::viewer) fn on_early_place(
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

    /// Judges the cover by what was heard; tells when to look again.
    pub(in crate::iptv::viewer) fn tend_cover(
        &mut self,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) -> Option<Instant> {
        let (now, config) = (turn.now, turn.config);
        if self.parent_is_back(turn) {
            self.uncover(turn);
            return Some(now + self.cover_after(turn));
        }
        let look = now + config.hold_after / 2;
        let cover = self.cover.as_deref()?;
        let Some(link) = &cover.link else {
            // Who was asked and says nothing may be gone: it is waited for until the next one is due, and no longer.
            let waits = self.search.is_some() || self.next.is_some() || cover.asked.hedge_at.is_some();
            if cover.asked.hedge_at.is_some_and(|t| t <= now) || !waits {
                self.ask_next(seats, turn);
            }
            return earliest(Some(look), self.cover.as_ref().and_then(|c| c.asked.hedge_at));
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
            return earliest(Some(look), self.cover.as_ref().and_then(|c| c.asked.hedge_at));
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
    pub(in crate::iptv::viewer) fn drop_cover(&mut self, call: CallId, turn: &mut Turn<'_, P>) {
        if self.standbys.get(call).is_some() {
            self.standbys.release(call, turn);
        } else {
            turn.bye(call, ByeReason::Normal);
        }
    }

    /// The parent is back: nothing has happened but a silence that was too short to act on.
    pub(in crate::iptv::viewer) fn uncover(&mut self, turn: &mut Turn<'_, P>) {
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
    pub(in crate::iptv::viewer) fn gone_while_covered(
        &mut self,
        link: Link<P>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let Some(cover) = &mut self.cover else { return };
        if link.playing && !core::mem::replace(&mut cover.told, true) {
            turn.event(Event::Orphaned { channel: self.channel, parent: link.peer });
        }
        cover.cause = Cause::Silence;
        if cover.plays() {
            self.confirm(turn);
        } else {
            // They may have room by now.
            cover.asked.begin_anew(&self.standbys);
            if let Some(search) = &mut self.search {
                search.lose_parent();
            }
            if self.covering().is_none() && !self.standbys.any_asked() {
                self.ask_next(seats, turn);
            }
        }
        self.listen_at = earliest(self.listen_at, self.tend_cover(seats, turn));
    }

    /// A covering provider, or one to be, has nothing itself.
    pub(in crate::iptv::viewer) fn on_cover_held(
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
