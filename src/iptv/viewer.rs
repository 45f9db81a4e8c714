//! A viewer and its parent: tuning, listening, repair, the move out of a rescue slot, and the way back up (P7, P18, Q6,
//! Q11 to Q13).
//!
//! ```text
//!   Join ──answered──► parent ──silence, HOLD for too long, BYE──► Repair ──answered──► parent
//!                        │ in a rescue slot: Move ──answered──► next ──first packet──► parent
//!                        └ two layers deeper than before, or deep: Climb ──answered──► next ──first packet──► parent
//! ```
//! A parent that fell silent is kept until another one has sent for a while (`cover`): if it was only slow, nothing has
//! happened. In the paper's profile it is kept until another one answers.

use super::config::Config;
use super::cover::{Cause, Cover};
use super::fact::{ByeReason, Hold, Refusal};
use super::order::Event;
use super::report::Provider;
use super::search::{Purpose, Scope, Search};
use super::seats::{Place, Seats};
use super::standby::{Standby, Standbys, State};
use super::turn::Turn;
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A place is worth a move when it is so many layers nearer to the source.
const WORTH: u8 = 2;
/// Attempts to climb after a repair. Then the new depth is accepted.
const CLIMBS: u8 = 4;
/// Who can relay and sits deeper than this asks those above it now and then whether somebody who cannot has a better place.
const DEEP: u8 = 3;

/// Round trips above this are not believed when waits are derived from them.
const LONGEST_RTT: Duration = Duration::from_secs(1);

/// The dialog with a parent.
#[derive(Debug)]
pub(super) struct Link<P> {
    pub(super) call: CallId,
    pub(super) peer: P,
    /// The parent's hops from the source.
    pub(super) depth: u8,
    pub(super) rescue: bool,
    /// The call is a standby, and may become one again.
    pub(super) standby: bool,
    /// From the source to this parent, once it told.
    pub(super) path: Vec<P>,
    pub(super) since: Instant,
    pub(super) playing: bool,
    /// When it was found to be silent, or starving for too long.
    pub(super) lost: Option<Instant>,
    /// What it said last about having nothing to send.
    pub(super) held: Option<(Hold, Instant)>,
    /// When it said last that the source pauses.
    paused: Instant,
}

impl<P: Copy> Link<P> {
    fn new((call, peer): (CallId, P), depth: u8, rescue: bool, now: Instant) -> Self {
        Link {
            call,
            peer,
            depth,
            rescue,
            standby: false,
            path: Vec::new(),
            since: now,
            playing: false,
            lost: None,
            held: None,
            paused: Instant::ZERO,
        }
    }

    /// A standby whose media begins to flow.
    pub(super) fn of_standby(standby: Standby<P>, now: Instant) -> Self {
        Link { standby: true, ..Link::new((standby.call, standby.peer), standby.depth, true, now) }
    }

    /// Whether media comes from it, as far as known.
    pub(super) const fn is_playing(&self) -> bool {
        self.playing && self.lost.is_none()
    }

    /// The parent of this parent, where it told.
    pub(super) fn grandparent(&self) -> Option<P> {
        self.path.get(self.path.len().checked_sub(2)?).copied()
    }

    pub(super) fn depth(&self) -> u8 {
        match u8::try_from(self.path.len()) {
            Ok(0) => self.depth.saturating_add(1),
            n => n.unwrap_or(u8::MAX),
        }
    }
}

/// How soon the children have to learn about a changed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    None,
    Later,
    Now,
}

/// The viewer's side of a channel.
#[derive(Debug)]
pub(super) struct Viewer<P> {
    pub(super) channel: ChannelId,
    /// Who is the source, as a lookup or the tree said last.
    source: Option<P>,
    /// Whether relayers elect, as the parent says, or the configuration while there was none.
    delegated: bool,
    /// The parent of the parent that was lost last: there a slot becomes free.
    pub(super) grandparent: Option<P>,
    /// Who was, when a lookup named one.
    listed: Option<P>,
    pub(super) parent: Option<Link<P>>,
    /// The parent to be, while both are connected.
    pub(super) next: Option<Box<Link<P>>>,
    /// The bridge over the parent's silence.
    pub(super) cover: Option<Box<Cover<P>>>,
    pub(super) standbys: Standbys<P>,
    pub(super) search: Option<Box<Search<P>>>,
    /// What the last parent that told anything named as backups.
    pub(super) backups: Vec<Provider<P>>,
    pub(super) rtt: Duration,
    played: bool,
    /// The parent was the source, and is gone.
    pub(super) sourceless: bool,
    /// Since when lookups have named no source.
    pub(super) unsourced: Option<Instant>,
    pub(super) listen_at: Option<Instant>,
    /// The depth that this node had, and may climb back to; moves with the path above its parent.
    home: u8,
    pub(super) climbs: u8,
    pub(super) climb_at: Option<Instant>,
    pub(super) news: News,
    /// False alarms of late, and when the last one was.
    pub(super) alarms: u8,
    /// The next parent need not be better than this one: somebody needs the slot.
    yields: bool,
    pub(super) alarmed: Instant,
}

impl<P: Copy + Ord> Viewer<P> {
    pub(super) const fn new(channel: ChannelId, delegated: bool) -> Self {
        Viewer {
            channel,
            source: None,
            delegated,
            grandparent: None,
            listed: None,
            parent: None,
            next: None,
            cover: None,
            standbys: Standbys::new(),
            search: None,
            backups: Vec::new(),
            rtt: Duration::ZERO,
            played: false,
            sourceless: false,
            unsourced: None,
            listen_at: None,
            home: u8::MAX,
            climbs: 0,
            climb_at: None,
            news: News::None,
            alarms: 0,
            yields: false,
            alarmed: Instant::ZERO,
        }
    }

    pub(super) fn parent(&self) -> Option<&Link<P>> {
        self.parent.as_ref()
    }

    pub(super) const fn source(&self) -> Option<P> {
        self.source
    }

    pub(super) const fn is_delegated(&self) -> bool {
        self.delegated
    }

    /// Where a caller is sent for whom nothing is known below: to the source, which knows everybody; or else to the parent
    /// and somebody above it, who know more than this node does.
    pub(super) fn upwards(&self, turn: &mut Turn<'_, P>) -> impl Iterator<Item = Provider<P>> + use<P> {
        let names = match &self.parent {
            Some(parent) if self.delegated => [Some(parent.peer), self.somebody_above(turn)],
            _ => [self.source, None],
        };
        let source = self.source;
        names.into_iter().flatten().map(move |peer| {
            let depth = (source == Some(peer)).then_some(0);
            Provider { peer, depth, free: None }
        })
    }

    /// A peer between the source and the parent, any of them.
    fn somebody_above(&self, turn: &mut Turn<'_, P>) -> Option<P> {
        let path = &self.parent.as_ref()?.path;
        let between = path.get(1..path.len().checked_sub(1)?)?;
        let nth = turn.entropy.below(u64::try_from(between.len()).unwrap_or(u64::MAX).max(1));
        between.get(usize::try_from(nth).unwrap_or(0)).copied()
    }

    /// The source that the records named last: what the tree says has no owner's word behind it.
    pub(super) const fn listed(&self) -> Option<P> {
        self.listed
    }

    pub(super) fn backups(&self) -> &[Provider<P>] {
        &self.backups
    }

    pub(super) fn take_news(&mut self) -> News {
        core::mem::replace(&mut self.news, News::None)
    }

    /// Hops from the source.
    pub(super) fn depth(&self) -> Option<u8> {
        self.parent.as_ref().map(Link::depth)
    }

    /// From the source to the parent; the parent alone while it has not told.
    pub(super) fn path(&self) -> Vec<P> {
        match &self.parent {
            Some(p) if p.path.is_empty() => Vec::from([p.peer]),
            Some(p) => p.path.clone(),
            None => Vec::new(),
        }
    }

    /// Who covers, or is about to.
    pub(super) fn covering(&self) -> Option<&Link<P>> {
        self.cover.as_ref().and_then(|c| c.link.as_ref())
    }

    /// Whether a peer stands between this node and the source.
    pub(super) fn is_above(&self, peer: P) -> bool {
        let above = |l: &Link<P>| l.peer == peer || l.path.contains(&peer);
        let links = self.parent.iter().chain(self.next.as_deref()).chain(self.covering());
        links.into_iter().any(above)
    }

    /// Whether a peer is, was or may become a parent of this node.
    pub(super) fn counts_on(&self, peer: P) -> bool {
        let named = |providers: &[Provider<P>]| providers.iter().any(|p| p.peer == peer);
        let linked = self.parent.iter().chain(self.next.as_deref()).any(|l| l.peer == peer);
        let searched = self.search.as_ref().is_some_and(|s| s.counts_on(peer));
        let backs_up = self.standbys.contains(peer) || self.covering().is_some_and(|l| l.peer == peer);
        let source = self.source == Some(peer) || self.listed == Some(peer);
        linked || searched || backs_up || source || named(&self.backups)
    }

    /// What the parent says about having nothing to send, unless media came since.
    pub(super) fn hold(&self, turn: &Turn<'_, P>) -> Option<Hold> {
        let (hold, at) = self.parent.as_ref()?.held?;
        let media = turn.progress.last_media(self.channel);
        (media.is_none_or(|m| m <= at)).then_some(hold)
    }

    /// What children are told who get nothing.
    pub(super) fn hold_below(&self, turn: &Turn<'_, P>) -> Hold {
        if self.sourceless { Hold::Sourceless } else { self.hold(turn).unwrap_or(Hold::Starved) }
    }

    /// Whether the parent says that nobody has anything. It may be wrong, so standbys are asked; but the tree is left as it is.
    pub(super) fn is_sourceless(&self, turn: &Turn<'_, P>) -> bool {
        let held = self.parent.as_ref().and_then(|p| p.held);
        let says_so = held.is_some_and(|(hold, at)| {
            hold == Hold::Sourceless && turn.now.since(at.max(turn.awake_since)) < turn.config.repair_after
        });
        let media = turn.progress.last_media(self.channel).unwrap_or(Instant::ZERO).max(turn.awake_since);
        says_so && turn.now.since(media) < turn.config.source_hold
    }

    /// Notes the loss of this parent.
    pub(super) fn note_loss(&mut self, parent_depth: u8) {
        self.sourceless |= parent_depth == 0;
    }

    /// Whether lookups have named no source for so long.
    pub(super) fn finds_no_source(&self, time: Duration, turn: &Turn<'_, P>) -> bool {
        self.unsourced.is_some_and(|t| turn.now.since(t.max(turn.awake_since)) >= time)
    }

    /// What lookups found once, or find while there is a picture, says nothing about a later silence.
    pub(super) fn note_fed(&mut self, turn: &Turn<'_, P>) {
        if self.unsourced.is_some() && self.is_fed(turn) {
            self.unsourced = None;
        }
    }

    /// Whether the channel, which has played here, is over without anybody having said so: nobody is its source any more.
    pub(super) fn is_forsaken(&self, turn: &Turn<'_, P>) -> bool {
        self.played
            && !self.is_fed(turn)
            && !turn.config.is_paper()
            && self.finds_no_source(turn.config.source_limit, turn)
    }

    /// Who elects in this tree, as the parent says.
    pub(super) fn root(&self) -> Option<P> {
        self.parent.as_ref()?.path.first().copied()
    }

    /// Whether this node has the channel to give: its own parent is there and not starving.
    pub(super) fn is_fed(&self, turn: &Turn<'_, P>) -> bool {
        if let Some(cover) = &self.cover {
            // Whoever looks for somebody else himself has nothing to promise: siblings would feed each other.
            return cover.plays();
        }
        let hold = self.hold(turn);
        self.parent.as_ref().is_some_and(|p| p.lost.is_none() && (p.playing || hold == Some(Hold::Paused)))
            && !matches!(hold, Some(Hold::Starved | Hold::Sourceless))
    }

    /// Whether it is, or was, part of the tree.
    pub(super) fn has_joined(&self) -> bool {
        self.played || self.parent.is_some()
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        self.is_link(call) || self.backs_up(call) || self.search.as_ref().is_some_and(|s| s.owns(call))
    }

    fn is_link(&self, call: CallId) -> bool {
        self.parent.as_ref().is_some_and(|l| l.call == call)
            || self.next.as_ref().is_some_and(|l| l.call == call)
    }

    pub(super) fn is_parent(&self, call: CallId) -> bool {
        self.parent.as_ref().is_some_and(|l| l.call == call)
    }

    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let parent = earliest(earliest(self.listen_at, self.climb_at), self.standbys.deadline());
        earliest(parent, self.search.as_ref().and_then(|s| s.deadline(config)))
    }

    /// Begins to look for a first parent.
    pub(super) fn tune(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.search(Search::new(Purpose::Join, &[]), seats, turn);
    }

    /// Leaves the channel: the parents are told that this node goes away, and every search is given up.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_, P>) {
        if let Some(mut search) = self.search.take() {
            search.cancel(turn);
        }
        let cover = self.cover.take().and_then(|c| c.link).filter(|l| !l.standby);
        let next = self.next.take().map(|l| *l);
        for link in next.into_iter().chain(cover).chain(self.parent.take()) {
            turn.bye(link.call, ByeReason::Leaving);
        }
        self.standbys.stop(turn);
        self.listen_at = None;
        self.climb_at = None;
    }

    /// Looks for nothing better any more: this node is about to leave.
    pub(super) fn stand_still(&mut self, turn: &mut Turn<'_, P>) {
        if let Some(mut search) = self.search.take_if(|s| s.purpose.is_planned()) {
            search.cancel(turn);
        }
        if let Some(next) = self.next.take() {
            turn.bye(next.call, ByeReason::Normal);
        }
        self.climb_at = None;
    }

    /// The parent has ended the dialog itself; nobody needs to be told.
    pub(super) fn forget_parent(&mut self) {
        self.parent = None;
    }

    pub(super) fn handle_timeout(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.listen_at.is_some_and(|t| t <= turn.now) {
            self.listen(seats, turn);
        }
        if self.search.as_ref().and_then(|s| s.deadline(turn.config)).is_some_and(|t| t <= turn.now) {
            self.advance(seats, turn);
        }
        if self.climb_at.is_some_and(|t| t <= turn.now) {
            self.climb(seats, turn);
        }
    }

    // ---- the search

    pub(super) fn search(&mut self, search: Search<P>, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if let Some(mut old) = self.search.replace(Box::new(search)) {
            old.cancel(turn);
        }
        self.advance(seats, turn);
    }

    /// What a round of a search begins with, before the overlay is asked.
    pub(super) fn known(&self, purpose: Purpose, turn: &mut Turn<'_, P>) -> Vec<P> {
        let backups = match purpose {
            _ if turn.config.is_paper() => return Vec::new(),
            Purpose::Join => return Vec::new(),
            Purpose::Repair | Purpose::Farewell => self.backups.as_slice(),
            // The source knows best who has a slot.
            Purpose::Move | Purpose::Yield | Purpose::Climb { .. } => &[],
        };
        let backups = backups.iter().map(|b| b.peer);
        let Some(parent) = self.parent.as_ref().filter(|_| self.delegated) else {
            return backups.chain(self.source).collect();
        };
        // Those above know what is free below them; the source, which everybody would ask, is left to its children.
        let moves = purpose == Purpose::Move;
        let near = [self.grandparent, Some(parent.peer)].into_iter().flatten().filter(|_| moves);
        let mut known: Vec<P> = backups.chain(near).chain(self.somebody_above(turn)).collect();
        if known.is_empty() {
            known.extend(self.source);
        }
        known
    }

    fn scoped<R>(
        &mut self,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
        act: impl FnOnce(&mut Search<P>, &Scope<'_, P>, &mut Turn<'_, P>) -> R,
    ) -> Option<R> {
        let mut search = self.search.take()?;
        let known = self.known(search.purpose, turn);
        // The source may be asked out of its own rescue slot: it knows who else has room.
        let asks_source = search.purpose.is_planned() && search.purpose != Purpose::Farewell;
        let parent = self.parent.as_ref().map(|p| p.peer);
        let asks_parent =
            asks_source && self.source == parent || self.delegated && search.purpose == Purpose::Move;
        let parent = parent.filter(|_| !asks_parent);
        let excluded: Vec<P> = seats.iter().map(|s| s.peer).chain(parent).collect();
        let scope = Scope {
            channel: self.channel,
            source: self.source,
            known: &known,
            excluded: &excluded,
            slots: turn.uplink.free().saturating_add(seats.ordinary()),
            rtt: self.rtt,
            delegated: self.delegated,
        };
        let result = act(&mut search, &scope, turn);
        self.search = Some(search);
        Some(result)
    }

    fn advance(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.scoped(seats, turn, |search, scope, turn| search.advance(scope, turn));
        let Some(purpose) = self.search.as_ref().filter(|s| s.is_waiting()).map(|s| s.purpose) else {
            return;
        };
        if let Purpose::Climb { .. } | Purpose::Yield = purpose {
            self.search = None;
            self.plan_climb(turn);
        }
        // Whoever is silent for a short while only may still come back.
        let patience = if turn.config.is_paper() { Duration::ZERO } else { turn.config.confirm_after };
        let (now, awake) = (turn.now, turn.awake_since);
        let gone = |p: &mut Link<P>| p.lost.is_some_and(|t| now.since(t.max(awake)) >= patience);
        if !purpose.is_planned()
            && let Some(lost) = self.parent.take_if(gone)
        {
            // Nobody else has room; the next round may ask this one as well, as anybody would.
            turn.bye(lost.call, ByeReason::Normal);
            if self.cover.is_none() {
                self.listen_at = None;
            }
        }
    }

    pub(super) fn on_fetched(
        &mut self,
        (mut providers, all): (Vec<Provider<P>>, bool),
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        providers.truncate(usize::from(turn.config.limits.providers));
        if let Some(source) = providers.iter().find(|p| p.is_source()) {
            self.source = Some(source.peer);
            self.listed = self.source;
            self.unsourced = None;
        } else if all {
            self.unsourced.get_or_insert(turn.now);
        }
        self.scoped(seats, turn, |search, scope, turn| search.on_fetched(&providers, scope, turn));
        self.advance(seats, turn);
    }

    pub(super) fn on_refused(
        &mut self,
        call: CallId,
        refusal: Refusal<P>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        if self.standbys.get(call).is_some() {
            return self.standbys.on_refused(call, turn);
        }
        self.scoped(seats, turn, |search, scope, turn| {
            search.on_refused(call, refusal, scope, turn.config);
        });
        self.advance(seats, turn);
    }

    pub(super) fn on_answered(
        &mut self,
        call: CallId,
        depth: Option<u8>,
        rescue: bool,
        turn: &mut Turn<'_, P>,
    ) {
        if self.standbys.get(call).is_some() {
            return self.standbys.on_answered(call, depth, turn);
        }
        let Some(search) = &mut self.search else { return };
        let purpose = search.purpose;
        let Some(peer) = search.on_answered(call, turn) else { return };
        self.search = None;
        let link = Link::new((call, peer), depth.unwrap_or(0), rescue, turn.now);
        let unfit = match purpose {
            Purpose::Climb { within } => link.depth > within,
            Purpose::Yield => link.rescue,
            _ => false,
        };
        if unfit {
            turn.bye(call, ByeReason::Normal);
            return self.plan_climb(turn);
        }
        self.yields = purpose == Purpose::Yield;
        if purpose.is_planned() {
            self.next = Some(Box::new(link));
        } else if self.cover.is_some() {
            return self.cover_with(link, turn);
        } else {
            self.climbs = 0;
            if let Some(lost) = self.parent.replace(link) {
                turn.bye(lost.call, ByeReason::Normal);
            }
            self.news = self.news.max(News::Later);
        }
        self.listen_at = earliest(self.listen_at, Some(turn.now + self.patience(turn)));
    }

    // ---- the parent

    /// How long a new parent may take until it is heard.
    pub(super) fn patience(&self, turn: &Turn<'_, P>) -> Duration {
        turn.config.repair_after.max(self.rtt.saturating_mul(3))
    }

    pub(super) fn on_first_packet(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let channel = self.channel;
        if self.on_cover_packet(call, seats, turn) {
            return;
        }
        if let Some(next) = self.next.take_if(|n| n.call == call) {
            // Whatever was to bridge the way from the old parent is not needed.
            if let Some(cover) = self.cover.take() {
                self.standbys.release_all_but(None, turn);
                if let Some(link) = cover.link.filter(|l| !l.standby) {
                    turn.bye(link.call, ByeReason::Normal);
                }
            }
            if let Some(old) = self.parent.replace(*next) {
                self.part(old, turn);
            }
        }
        let Some(link) = self.parent.as_mut().filter(|l| l.call == call && !l.playing) else { return };
        link.playing = true;
        self.sourceless = false;
        self.unsourced = None;
        self.climb_at = None;
        let (parent, depth, rescue) = (link.peer, link.depth(), link.rescue);
        if core::mem::replace(&mut self.played, true) {
            turn.event(Event::Reparented { channel, parent, depth, rescue });
        } else {
            turn.event(Event::Playing { channel, parent, depth });
        }
        // What the one before promised says nothing about this one.
        self.listen_at = earliest(self.listen_at, Some(turn.now + self.cover_after(turn)));
        self.news = News::Now;
        self.standbys.plan(turn);
        self.settle_slot(turn);
    }

    /// Says goodbye to a parent in whose place another one is. One that was a standby is one again.
    fn part(&mut self, old: Link<P>, turn: &mut Turn<'_, P>) {
        if old.standby && old.lost.is_none() {
            let Link { call, peer, depth, .. } = old;
            self.standbys.keep(Standby { call, peer, depth, state: State::Ready }, turn);
        } else {
            turn.bye(old.call, ByeReason::Normal);
        }
    }

    /// Keeps the standbys in order.
    pub(super) fn settle_standbys(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let (parent, next) = (self.parent.as_ref().map(|p| p.peer), self.next.as_ref().map(|n| n.peer));
        let useless = |p: P| parent == Some(p) || next == Some(p) || seats.by_peer(p).is_some();
        if self.standbys.deadline().is_none_or(|t| t > turn.now) && !self.standbys.any(useless) {
            return;
        }
        let playing = self.parent.as_ref().is_some_and(Link::is_playing);
        let wanted = if playing { self.backups.as_slice() } else { &[] };
        let slots = turn.uplink.free().saturating_add(seats.ordinary());
        self.standbys.settle((self.channel, slots), wanted, useless, turn);
    }

    /// Looks for an ordinary slot while in a rescue slot, and no longer.
    pub(super) fn settle_slot(&mut self, turn: &mut Turn<'_, P>) {
        let Some(parent) = self.parent.as_ref().filter(|p| p.is_playing()) else { return };
        let depth = parent.depth();
        if parent.rescue {
            if self.search.is_none() && self.next.is_none() && self.cover.is_none() {
                let until = turn.now + turn.at_least(turn.config.move_after);
                self.search = Some(Box::new(Search::later(Purpose::Move, until)));
            }
            return;
        }
        if let Some(mut search) = self.search.take_if(|s| s.purpose == Purpose::Move) {
            search.cancel(turn);
        }
        let leaves = self.cover.is_some() || self.yields && self.next.is_some();
        if let Some(next) = self.next.take_if(|n| !leaves && n.depth().saturating_add(WORTH) > depth) {
            turn.bye(next.call, ByeReason::Normal);
        }
        if self.climb_at.is_none() && self.search.is_none() && self.next.is_none() && !leaves {
            self.plan_climb(turn);
        }
    }

    /// The parent needs the slot for somebody who can relay.
    pub(super) fn on_yield(
        &mut self,
        call: CallId,
        to: Vec<Provider<P>>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let settled = self.parent.as_ref().is_some_and(|p| p.call == call && p.is_playing() && !p.rescue);
        let busy = self.search.is_some() || self.next.is_some() || self.cover.is_some();
        if !settled || busy || turn.config.is_paper() {
            return;
        }
        self.climb_at = None;
        let most = usize::from(turn.config.limits.redirect_contacts);
        let above = if self.delegated { self.somebody_above(turn) } else { self.source };
        let above = above.filter(|&s| self.parent.as_ref().is_none_or(|p| p.peer != s));
        let known: Vec<P> = to.into_iter().take(most).map(|p| p.peer).chain(above).collect();
        self.search(Search::new(Purpose::Yield, &known), seats, turn);
    }

    // ---- the way back up

    /// Plans to look for a place nearer to the source when this one is much farther away than the one that was lost. Who
    /// only sank with its parent leaves that to the parent.
    fn plan_climb(&mut self, turn: &mut Turn<'_, P>) {
        self.climb_at = None;
        let Some(depth) = self.parent.as_ref().map(Link::depth).filter(|_| !turn.config.is_paper()) else {
            return;
        };
        self.home = self.home.min(depth);
        if self.climbs >= CLIMBS {
            self.home = depth;
        }
        if self.has_sunk(depth) || depth > DEEP && turn.uplink.capacity() > 0 {
            // Those above change all the time; the source, which the others ask, has more to do.
            let most = if self.has_sunk(depth) || self.delegated { CLIMBS } else { 1 };
            let pause = turn.config.climb_after.saturating_mul(1 << self.climbs.min(most));
            self.climb_at = Some(turn.now + turn.at_least(pause));
        }
    }

    const fn has_sunk(&self, depth: u8) -> bool {
        depth.saturating_sub(self.home) >= WORTH
    }

    fn climb(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.climb_at = None;
        self.climbs = self.climbs.saturating_add(1);
        let ordinary = self.parent.as_ref().filter(|p| p.is_playing() && !p.rescue);
        // Where the children of such a provider sit it is worth to move to.
        let within = ordinary.and_then(|p| p.depth().checked_sub(WORTH + 1));
        if let Some(within) = within.filter(|_| self.search.is_none() && self.next.is_none()) {
            let depth = within.saturating_add(WORTH + 1);
            let known = match &self.parent {
                Some(p) if !self.has_sunk(depth) && !p.path.is_empty() => {
                    // Somebody above, but not the source, which everybody would ask.
                    let nth = 1 + turn.entropy.below(u64::from(within).max(1));
                    p.path.get(usize::try_from(nth).unwrap_or(0)).copied().into_iter().collect()
                }
                _ => self.known(Purpose::Climb { within }, turn),
            };
            self.search(Search::new(Purpose::Climb { within }, &known), seats, turn);
        }
    }

    pub(super) fn on_held(&mut self, call: CallId, hold: Hold, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let now = turn.now;
        let links = self.parent.iter_mut().chain(self.next.as_deref_mut());
        for link in links.filter(|l| l.call == call) {
            link.held = Some((hold, now));
            if hold == Hold::Paused {
                link.paused = now;
            }
        }
        if self.is_parent(call) {
            self.on_parent_held(turn);
        } else {
            self.on_cover_held(call, hold, seats, turn);
        }
    }

    pub(super) fn on_round_trip(&mut self, rtt: Duration) {
        let rtt = rtt.min(LONGEST_RTT);
        self.rtt = if rtt > self.rtt { rtt } else { (self.rtt * 7 + rtt) / 8 };
    }

    /// The parent told this node's place.
    pub(super) fn on_place(
        &mut self,
        call: CallId,
        Place { path, rescue, mut backups, delegated }: Place<P>,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let known = self.is_link(call) || self.covering().is_some_and(|l| l.call == call);
        if !known && self.standbys.get(call).is_none() {
            return;
        }
        if path.contains(&turn.me) || path.len() > usize::from(turn.config.limits.depth) {
            // A cycle: this parent lives from me.
            turn.bye(call, ByeReason::Normal);
            return self.on_ended(call, seats, turn);
        }
        if !path.is_empty() && (self.source.is_none() || self.is_parent(call)) {
            self.source = path.first().copied();
        }
        backups.retain(|b| b.peer != turn.me);
        backups.truncate(usize::from(turn.config.limits.backups));
        if !known {
            return self.on_early_place(call, (path, rescue), backups, turn);
        }
        let is_parent = self.is_parent(call);
        if is_parent {
            self.delegated = delegated && !turn.config.is_paper();
        }
        let covering = self.cover.as_mut().and_then(|c| {
            let covers = c.link.as_mut().filter(|l| l.call == call)?;
            c.backups.clone_from(&backups);
            Some(covers)
        });
        let is_covering = covering.is_some();
        let links = self.parent.iter_mut().chain(self.next.as_deref_mut()).chain(covering);
        for link in links.filter(|l| l.call == call) {
            if !path.is_empty() && link.path != path {
                let before = link.depth();
                link.path = path.clone();
                if is_parent {
                    self.news = News::Now;
                    let sunk = i16::from(link.depth()) - i16::from(before);
                    self.home = u8::try_from(i16::from(self.home) + sunk).unwrap_or(u8::MAX);
                }
            }
            link.rescue = rescue;
        }
        if self.backups != backups && !is_covering {
            self.backups = backups;
            self.news = self.news.max(News::Later);
            self.standbys.plan(turn);
        }
        self.settle_slot(turn);
    }

    /// The dialog with a parent is over.
    pub(super) fn on_ended(&mut self, call: CallId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.next.take_if(|n| n.call == call).is_some() {
            return self.settle_slot(turn);
        }
        if self.standbys.on_ended(call, turn) || self.covering().is_some_and(|l| l.call == call) {
            return self.uncovered_by(call, seats, turn);
        }
        let Some(link) = self.parent.take_if(|p| p.call == call) else { return };
        if self.cover.is_some() {
            return self.gone_while_covered(link, seats, turn);
        }
        // One that was lost before is being replaced already.
        if link.lost.is_none() {
            self.orphan(link, seats, turn);
        }
    }

    /// This parent is no longer any good, and no longer there.
    fn orphan(&mut self, link: Link<P>, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        self.grandparent = link.grandparent();
        if link.playing {
            turn.event(Event::Orphaned { channel: self.channel, parent: link.peer });
            self.note_loss(link.depth);
        }
        if let Some(next) = self.next.take() {
            self.parent = Some(Link { since: turn.now, ..*next });
            self.listen_at = Some(turn.now + self.patience(turn));
            return;
        }
        self.listen_at = None;
        self.climb_at = None;
        if link.playing && self.standbys.any_ready(turn.config) {
            if let Some(mut search) = self.search.take() {
                search.cancel(turn);
            }
            return self.cover(Cause::Silence, true, seats, turn);
        }
        let purpose = if self.played { Purpose::Repair } else { Purpose::Join };
        let known = self.known(purpose, turn);
        let search = Search::new(purpose, &known);
        // One that never sent anything is not worth asking again at once.
        let search = if link.playing { search.after(link.peer) } else { search.avoiding(link.peer) };
        self.search(search, seats, turn);
    }

    /// Judges the parents by what was heard from them.
    fn listen(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let (now, config, patience) = (turn.now, turn.config, self.patience(turn));
        let cover_after = self.cover_after(turn);
        // An instant is in whole microseconds: whoever compares must compare what the timer was set to.
        let due_at = |n: &Link<P>| n.since.max(turn.awake_since) + patience;
        if let Some(next) = self.next.take_if(|n| due_at(n) <= now) {
            turn.bye(next.call, ByeReason::Normal);
            self.settle_slot(turn);
        }
        let next_due = self.next.as_deref().map(|n| n.since.max(turn.awake_since) + patience);
        let hold = self.hold(turn);
        if self.parent.is_none() && self.cover.is_none() {
            self.listen_at = next_due;
            return;
        }
        if self.cover.is_some() {
            let due = self.tend_cover(seats, turn);
            self.listen_at = earliest(next_due, due);
            return;
        }
        let Some(link) = &mut self.parent else { return };
        let heard = turn.progress.last_from(link.call);
        let media = turn.progress.last_media(self.channel);
        let since = link.since.max(turn.awake_since);
        if let Some(lost) = link.lost {
            self.listen_at = Some(now + config.hold_after);
            if heard.min(media).is_some_and(|t| t > lost) {
                self.recover(true, turn);
            }
            return;
        }
        let (heard, silence) = match (link.playing, hold) {
            (false, _) => (heard, patience),
            // Media is expected of it: a report, or an old packet, shows nothing.
            (true, None) if self.standbys.any_ready(config) => {
                (turn.progress.last_brought(link.call), cover_after)
            }
            // Who said HOLD will say so again.
            (true, _) => (heard, config.repair_after),
        };
        let mut due = heard.map_or(since, |t| t.max(since)) + silence;
        if hold != Some(Hold::Paused) && !config.is_paper() {
            let media = media.unwrap_or(Instant::ZERO);
            due = due.min(media.max(since).max(link.paused) + config.hold_limit);
        }
        if now < due {
            self.listen_at = earliest(next_due, Some(due));
            return;
        }
        self.lose_parent(seats, turn);
    }

    /// The parent is silent, or starves for too long. If it never played it is left at once, otherwise it keeps its chance
    /// until another one has answered.
    fn lose_parent(&mut self, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        let keep = self.next.is_none() && self.parent.as_ref().is_some_and(|p| p.playing);
        if !keep {
            let Some(link) = self.parent.take() else { return };
            turn.bye(link.call, ByeReason::Normal);
            return self.orphan(link, seats, turn);
        }
        if !turn.config.is_paper() {
            let cause = match self.hold(turn) {
                Some(_) => Cause::Starved,
                None => Cause::Silence,
            };
            return self.cover(cause, false, seats, turn);
        }
        let Some(link) = &mut self.parent else { return };
        let lost = link.peer;
        link.lost = Some(turn.now);
        turn.event(Event::Orphaned { channel: self.channel, parent: lost });
        self.listen_at = Some(turn.now + turn.config.hold_after);
        self.climb_at = None;
        let known = self.known(Purpose::Repair, turn);
        self.search(Search::new(Purpose::Repair, &known).after(lost), seats, turn);
    }

    /// The parent that was given up is back before another one was found; `told` whether its loss was.
    pub(super) fn recover(&mut self, told: bool, turn: &mut Turn<'_, P>) {
        if let Some(mut search) = self.search.take() {
            search.cancel(turn);
        }
        let channel = self.channel;
        if let Some(link) = &mut self.parent {
            link.lost = None;
            self.sourceless = false;
            let (parent, depth, rescue) = (link.peer, link.depth(), link.rescue);
            if told {
                turn.event(Event::Reparented { channel, parent, depth, rescue });
            }
        }
        self.settle_slot(turn);
    }
}
