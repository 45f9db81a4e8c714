//! A viewer and its parent: tuning, listening, repair, the move out of a rescue slot, and the way back up (P7, P18, Q6,
//! Q11 to Q13).
//!
//! ```text
//!   Join ──answered──► parent ──silence, HOLD for too long, BYE──► Repair ──answered──► parent
//!                        │ in a rescue slot: Move ──answered──► next ──first packet──► parent
//!                        ├ two layers deeper than before, deep, far from the parent, or called up: Climb ──answered──► next
//!                        └ somebody needs the slot, or the parent is too far: Yield ──answered──► next
//! ```
//! A parent that fell silent is kept until another one has sent for a while (`cover`): if it was only slow, nothing has
//! happened. In the paper's profile it is kept until another one answers.
//!
//! | file | |
//! | --- | --- |
//! | here | the viewer's side of a channel, its timers and its end |
//! | `link`, `place` | the dialog with a parent; where this node sits |
//! | `purpose`, `search`, `seeking` | what a parent is looked for, and who would do; whom to ask, and when; what comes of the answers |
//! | `change` | from one parent to the next |
//! | `fed`, `listen` | whether there is something to give; how a parent is judged |
//! | `standby`, `cover`, `alarms` | backup parents that are ready; the bridge over a parent's silence; that it was in vain |
//! | `climb` | the way to a better slot |

mod alarms;
mod change;
mod climb;
mod cover;
mod fed;
mod link;
mod listen;
mod place;
mod purpose;
mod search;
mod seeking;
mod standby;

use self::alarms::Alarms;
pub(super) use self::climb::WORTH;
use self::cover::Cover;
use self::link::Link;
use self::search::Search;
use self::standby::Standbys;
use super::config::Config;
use super::fact::ByeReason;
use super::report::Provider;
use super::seats::Seats;
use super::turn::Turn;
use crate::ids::{CallId, ChannelId};
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;

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
    grandparent: Option<P>,
    /// Who was, when a lookup named one.
    listed: Option<P>,
    parent: Option<Link<P>>,
    /// The parent that has said that it leaves, until another one plays.
    leaver: Option<P>,
    /// The parent to be, while both are connected.
    next: Option<Box<Link<P>>>,
    /// The bridge over the parent's silence.
    cover: Option<Box<Cover<P>>>,
    pub(super) standbys: Standbys<P>,
    /// Whether [`cover::MANY`] viewers hang below this node, as its children say where relayers elect.
    has_many: bool,
    search: Option<Box<Search<P>>>,
    /// What the last parent that told anything named as backups.
    backups: Vec<Provider<P>>,
    pub(super) rtt: Duration,
    played: bool,
    /// The parent was the source, and is gone.
    sourceless: bool,
    /// Since when lookups have named no source.
    unsourced: Option<Instant>,
    /// A parent has said that the channel is over, without its owner's word, and nothing has come since.
    end_rumoured: bool,
    listen_at: Option<Instant>,
    /// The depth that this node had, and may climb back to; moves with the path above its parent.
    home: u8,
    climbs: u8,
    /// Rounds in which no other slot was found since this parent sends: whoever has a subtree may sink by so many layers.
    sinks: u8,
    climb_at: Option<Instant>,
    news: News,
    /// Most never have any.
    alarms: Option<Box<Alarms>>,
    /// The next parent need not hang higher than this one: somebody needs the slot, or it is much nearer by.
    keeps_depth: bool,
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
            leaver: None,
            next: None,
            cover: None,
            standbys: Standbys::new(),
            has_many: false,
            search: None,
            backups: Vec::new(),
            rtt: Duration::ZERO,
            played: false,
            sourceless: false,
            unsourced: None,
            end_rumoured: false,
            listen_at: None,
            home: u8::MAX,
            climbs: 0,
            sinks: 0,
            climb_at: None,
            news: News::None,
            alarms: None,
            keeps_depth: false,
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

    /// The source that the records named last: what the tree says has no owner's word behind it.
    pub(super) const fn listed(&self) -> Option<P> {
        self.listed
    }

    pub(super) fn backups(&self) -> &[Provider<P>] {
        &self.backups
    }

    /// So many hang below this node.
    pub(super) const fn set_followers(&mut self, followers: u32) {
        self.has_many = followers >= cover::MANY;
    }

    pub(super) fn take_news(&mut self) -> News {
        core::mem::replace(&mut self.news, News::None)
    }

    /// Who covers, or is about to.
    pub(super) fn covering(&self) -> Option<&Link<P>> {
        self.cover.as_ref().and_then(|c| c.link.as_ref())
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
}
