//! The search for a parent: whom to ask, in which order, how many at once, and when to try again (P6, P7, Q1, Q2, Q5,
//! Q13, Q14).
//!
//! ```text
//!   Known ── nobody left ──► Fetching ── Fetched ──► Fetched ── nobody left ──► Waiting ── back-off ──► Known
//! ```
//! In Known and Fetched the candidates are asked one after the other; hedged, the next one is asked already when the
//! last has not answered for a few round trips. Who has no picture, or soon will have none, asks several at once.

use super::place::LONGEST_RTT;
use super::purpose::{Purpose, is_open, rank};
use crate::ids::{CallId, ChannelId};
use crate::iptv::config::Config;
use crate::iptv::fact::Refusal;
use crate::iptv::order::{Event, InviteKind, Order};
use crate::iptv::report::Provider;
use crate::iptv::turn::Turn;
use crate::time::{Duration, Instant, earliest};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Rounds of a search for somebody without a picture that follow quickly on each other.
const HASTE: u8 = 8;

/// Whoever has not answered an orphan when so many others could have been asked is given up; and a newcomer, when somebody else
/// is left to be asked.
const DEAD: u32 = 3;
/// Where relayers elect, whoever is named so many of them asks the source after all of these.
const ENOUGH: usize = 4;
/// Who has not answered an orphan for so many times [`Config::hedge_after`] no longer counts among those of whom it asks so many
/// at once.
const MUTE: u32 = 2;
/// Of those that are said to have room so many are asked at once.
const RACERS: usize = 3;

#[derive(Debug)]
enum Phase {
    Known,
    Fetching { until: Instant },
    Fetched,
    Waiting { until: Instant },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<P> {
    peer: P,
    /// Redirects that led here, without those that led one layer further down.
    redirects: u8,
    /// Its hops to the source, as whoever named it says.
    depth: Option<u8>,
    /// It was said to have room.
    open: bool,
}

impl<P> Candidate<P> {
    /// Of whom no more is known than who it is.
    const fn of(peer: P, redirects: u8) -> Self {
        Candidate { peer, redirects, depth: None, open: false }
    }

    /// Whom this one's answer names.
    fn names(&self, provider: Provider<P>, delegated: bool) -> Self {
        // Where relayers elect, whoever has more callers than names of those with room sends them on to its children, and so
        // do these: every step is one down, and soon few take the same way.
        let descends = delegated && self.depth.zip(provider.depth).is_some_and(|(from, to)| from < to);
        let redirects = self.redirects.saturating_add(u8::from(!descends));
        let open = is_open(&provider);
        Candidate { peer: provider.peer, redirects, depth: provider.depth, open }
    }
}

#[derive(Debug)]
struct Asked<P> {
    call: CallId,
    candidate: Candidate<P>,
    until: Instant,
    /// From then on it is not waited for while somebody else could be asked in its place.
    vain: Instant,
    /// Something has come from there, if only that the call waits.
    proceeding: bool,
    /// Whether it is one of those of whom so many may be asked at once.
    counts: bool,
    rtt: Option<u16>,
}

/// Who may be asked, as the viewer sees it at this moment.
pub(super) struct Scope<'a, P> {
    pub(super) channel: ChannelId,
    pub(super) source: Option<P>,
    /// What a round begins with: the backups, or what is known from the last lookup.
    pub(super) known: &'a [P],
    /// Never asked: this node's children and the parent that is to be left.
    pub(super) excluded: &'a [P],
    /// How many children of this channel this node could serve.
    pub(super) slots: u16,
    /// The hops that a provider may have, if that matters.
    pub(super) deepest: Option<u8>,
    /// The longest round trip seen.
    pub(super) rtt: Duration,
    /// Whether relayers elect: then the source knows no more than anybody else.
    pub(super) delegated: bool,
}

/// One search, from its cause to its success; it never gives up by itself.
#[derive(Debug)]
pub(super) struct Search<P> {
    pub(super) purpose: Purpose,
    /// The parent whose loss is mended; the last to be asked.
    lost: Option<P>,
    phase: Phase,
    queue: VecDeque<Candidate<P>>,
    /// Whom this round has asked, bounded by `Limits::asked`.
    asked: Vec<P>,
    calls: Vec<Asked<P>>,
    hedge_at: Instant,
    /// The longest Retry-After of this round.
    wanted_wait: Duration,
    rounds: u8,
    found_nobody: bool,
}

impl<P: Copy + Ord> Search<P> {
    /// A search that begins at once.
    pub(super) fn new(purpose: Purpose, known: &[P]) -> Self {
        Search {
            purpose,
            lost: None,
            phase: Phase::Known,
            queue: known.iter().map(|&peer| Candidate::of(peer, 0)).collect(),
            asked: Vec::new(),
            calls: Vec::new(),
            hedge_at: Instant::ZERO,
            wanted_wait: Duration::ZERO,
            rounds: 0,
            found_nobody: false,
        }
    }

    /// The same, after the loss of this parent. Its record may outlive it.
    pub(super) const fn after(mut self, lost: P) -> Self {
        self.lost = Some(lost);
        self
    }

    /// The same, without asking this one in the first round.
    pub(super) fn avoiding(mut self, peer: P) -> Self {
        self.asked.push(peer);
        self
    }

    /// Goes on with the calls of another search, whose answers are on their way, if somebody waits for a parent now. Who was
    /// asked without urgency does not count as asked.
    pub(super) fn take_over(&mut self, other: &mut Self, config: &Config) {
        if !self.purpose.is_urgent() || config.is_paper() {
            return;
        }
        let vain =
            |a: &Asked<P>| self.lost == Some(a.candidate.peer) || self.asked.contains(&a.candidate.peer);
        let (vain, calls) = core::mem::take(&mut other.calls).into_iter().partition(vain);
        other.calls = vain;
        self.calls = calls;
        if other.purpose.is_urgent() {
            self.asked.extend(self.calls.iter().map(|a| a.candidate.peer));
        }
    }

    /// The parent is gone before another one has answered: whoever is being asked is still asked.
    pub(super) fn lose_parent(&mut self) {
        if self.purpose == Purpose::Farewell && !self.is_waiting() {
            self.purpose = Purpose::Repair;
        }
    }

    /// A search that begins after a pause.
    pub(super) fn later(purpose: Purpose, until: Instant) -> Self {
        Search { phase: Phase::Waiting { until }, rounds: 1, ..Search::new(purpose, &[]) }
    }

    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Fetching { until } | Phase::Waiting { until } => Some(until),
            Phase::Known | Phase::Fetched => None,
        };
        let hedge = match self.queue.is_empty() {
            false => self.may_hedge(config).then_some(self.hedge_at),
            true => self.looks_up_beside(config).then_some(self.hedge_at),
        };
        let vain = self.calls.iter().filter_map(|c| self.vain_at(c, config)).min();
        earliest(phase, self.calls.iter().map(|c| c.until).chain(hedge).chain(vain).min())
    }

    /// When a call makes room, if as many are under way as may be and somebody else could be asked in its place.
    fn vain_at(&self, asked: &Asked<P>, config: &Config) -> Option<Instant> {
        let blocked = !self.queue.is_empty() && !config.is_paper() && !self.may_hedge(config);
        let stays = asked.proceeding && !self.is_pressing(config);
        (blocked && asked.counts && !stays).then(|| asked.vain.max(self.hedge_at))
    }

    pub(super) fn owns(&self, call: CallId) -> bool {
        self.calls.iter().any(|c| c.call == call)
    }

    /// Whether a peer is being asked.
    pub(super) fn asks(&self, peer: P) -> bool {
        self.call_to(peer).is_some()
    }

    /// The call in which a peer is being asked.
    pub(super) fn call_to(&self, peer: P) -> Option<CallId> {
        self.calls.iter().find(|c| c.candidate.peer == peer).map(|c| c.call)
    }

    /// Whether a peer is being asked, or may be.
    pub(super) fn counts_on(&self, peer: P) -> bool {
        self.calls.iter().map(|c| &c.candidate).chain(&self.queue).any(|c| c.peer == peer)
    }

    /// How many rounds have failed.
    pub(super) const fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Whether a whole round has failed.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }

    /// Asks whoever is to be asked now.
    pub(super) fn advance(&mut self, scope: &Scope<'_, P>, turn: &mut Turn<'_, P>) {
        let now = turn.now;
        let vain = |c: &&Asked<P>| self.vain_at(c, turn.config).is_some_and(|t| t <= now);
        let vain: Vec<CallId> = self.calls.iter().filter(vain).map(|c| c.call).collect();
        let pressing = self.is_pressing(turn.config);
        let is_vain = |c: &Asked<P>| c.counts && vain.contains(&c.call);
        for asked in self.calls.iter_mut().filter(|c| pressing && is_vain(c)) {
            // Whoever answers first is welcome, and be it this one.
            asked.counts = false;
        }
        let late = |c: &&Asked<P>| c.until <= now || is_vain(c);
        let late: Vec<CallId> = self.calls.iter().filter(late).map(|c| c.call).collect();
        for call in late {
            self.forget(call);
            turn.order(Order::Cancel { call });
        }
        loop {
            let hedges = !self.calls.is_empty();
            if self.may_ask(scope, turn)
                && let Some(candidate) = self.next_candidate(scope, turn)
            {
                self.ask(candidate, scope, turn);
                if hedges && let Some(source) = self.take_source(scope, turn) {
                    self.ask(source, scope, turn);
                }
                continue;
            }
            if let Phase::Fetching { until } = self.phase
                && until <= now
            {
                self.phase = Phase::Fetched;
                continue;
            }
            if !self.calls.is_empty() {
                // Where the source elects it is among those who are asked, and knows more than the overlay.
                let due = scope.delegated || self.queue.is_empty() && now >= self.hedge_at;
                if due && self.looks_up_beside(turn.config) {
                    self.look_up(scope.channel, turn);
                }
                return;
            }
            match self.phase {
                // Who only wants to climb asks those it knows: a lookup would tell no more.
                Phase::Known if self.purpose.looks_nothing_up() => self.phase = Phase::Fetched,
                Phase::Known => return self.look_up(scope.channel, turn),
                Phase::Fetched => {
                    self.pause(scope.channel, turn);
                    return;
                }
                Phase::Waiting { until } if until <= now => {
                    self.phase = Phase::Known;
                    self.asked.clear();
                    self.queue = scope.known.iter().map(|&peer| Candidate::of(peer, 0)).collect();
                }
                Phase::Fetching { .. } | Phase::Waiting { .. } => return,
            }
        }
    }

    fn look_up(&mut self, channel: ChannelId, turn: &mut Turn<'_, P>) {
        turn.order(Order::Fetch { channel });
        self.phase = Phase::Fetching { until: turn.now + turn.config.fetch_limit };
    }

    /// Whether somebody waits for media, or soon will.
    fn is_pressing(&self, config: &Config) -> bool {
        self.purpose.is_pressing() && !config.is_paper()
    }

    /// Whether the overlay is asked beside those who have been asked for a slot and have not answered: who loses its parent does
    /// not wait until all of them count as gone too.
    fn looks_up_beside(&self, config: &Config) -> bool {
        matches!(self.phase, Phase::Known) && !self.calls.is_empty() && self.is_pressing(config)
    }

    fn may_ask(&self, scope: &Scope<'_, P>, turn: &Turn<'_, P>) -> bool {
        if self.queue.is_empty() || self.is_waiting() {
            return false;
        }
        self.calls.is_empty()
            || self.may_hedge(turn.config) && (turn.now >= self.hedge_at || self.hurries(scope, turn))
    }

    /// Whether the next candidate is asked beside those that are, without waiting for them. Of those known to an orphan many may
    /// have gone at the same moment as its parent and its standbys, or starve as it does. The source is not asked so: everybody
    /// would.
    fn hurries(&self, scope: &Scope<'_, P>, turn: &Turn<'_, P>) -> bool {
        let is_source = |c: &Candidate<P>| scope.source == Some(c.peer);
        let next = self.queue.iter().find(|c| self.is_askable(c, scope, turn));
        let presses = self.is_pressing(turn.config) && next.is_some_and(|c| !is_source(c));
        presses || scope.delegated && self.races()
    }

    /// Whether the next candidate is asked beside those that are, for all of them were named as having room: the nearest
    /// answers first. Whoever only looks for something better takes one slot at a time, and so does everybody where one source
    /// promises all slots.
    fn races(&self) -> bool {
        !matches!(self.purpose, Purpose::Climb { .. })
            && self.calls.len() < RACERS
            && self.calls.iter().all(|c| c.candidate.open)
            && self.queue.front().is_some_and(|c| c.open)
    }

    /// Whether this one may be asked at all. The source may be twice: first, and again after redirects led nowhere.
    fn is_askable(&self, candidate: &Candidate<P>, scope: &Scope<'_, P>, turn: &Turn<'_, P>) -> bool {
        let peer = candidate.peer;
        let before = self.asked.iter().filter(|&&p| p == peer).count();
        let most = if scope.source == Some(peer) && candidate.redirects > 0 { 2 } else { 1 };
        peer != turn.me && !scope.excluded.contains(&peer) && before < most && !self.asks(peer)
    }

    fn may_hedge(&self, config: &Config) -> bool {
        let most = if self.is_pressing(config) { config.limits.urgent } else { config.limits.hedges };
        !config.is_paper() && self.calls.iter().filter(|c| c.counts).count() < usize::from(most)
    }

    /// The next candidate that may be asked.
    fn next_candidate(&mut self, scope: &Scope<'_, P>, turn: &Turn<'_, P>) -> Option<Candidate<P>> {
        while let Some(candidate) = self.queue.pop_front() {
            if self.is_askable(&candidate, scope, turn) {
                return Some(candidate);
            }
        }
        None
    }

    /// The source, which a newcomer asks beside the first one that follows a silent provider: it knows who lives, and the next
    /// record may be that of somebody dead as well.
    fn take_source(&mut self, scope: &Scope<'_, P>, turn: &Turn<'_, P>) -> Option<Candidate<P>> {
        if self.purpose != Purpose::Join || scope.delegated || !self.may_hedge(turn.config) {
            return None;
        }
        let source = scope.source.filter(|s| *s != turn.me && !self.asked.contains(s))?;
        let at = self.queue.iter().position(|c| c.peer == source)?;
        self.queue.remove(at)
    }

    fn ask(&mut self, candidate: Candidate<P>, scope: &Scope<'_, P>, turn: &mut Turn<'_, P>) {
        if self.asked.len() >= usize::from(turn.config.limits.asked) {
            self.queue.clear();
            return;
        }
        // Of those who do not count any more as many may still answer as do count: the oldest is given up for the next.
        let most = usize::from(turn.config.limits.urgent).saturating_mul(2);
        if self.calls.len() >= most
            && let Some(oldest) = self.calls.iter().find(|c| !c.counts).map(|c| c.call)
        {
            self.forget(oldest);
            turn.order(Order::Cancel { call: oldest });
        }
        let urgent = self.purpose.is_urgent() && !turn.config.is_paper();
        let kind = if urgent { InviteKind::Urgent } else { InviteKind::Media };
        let call = turn.invite(scope.channel, candidate.peer, kind, scope.slots);
        self.asked.push(candidate.peer);
        // Who has had no parent yet knows how far its peers in the overlay are.
        let rtt = turn.progress.round_trip().unwrap_or_default().min(LONGEST_RTT).max(scope.rtt);
        let hedge = turn.config.hedge_after.max(rtt.saturating_mul(3));
        let (vain, until) = (hedge.saturating_mul(DEAD), turn.config.answer_limit);
        // Of those known to an orphan many may have gone at the same moment: they are not to keep the others from being asked.
        let until = turn.now + if urgent { until.min(vain) } else { until };
        let (hedge, vain) = match self.is_pressing(turn.config) {
            // However far the farthest are that this node has heard of.
            true => (turn.config.hedge_after, turn.config.hedge_after.saturating_mul(MUTE)),
            false => (hedge, vain),
        };
        let vain = turn.now + vain;
        self.calls.push(Asked { call, candidate, until, vain, proceeding: false, counts: true, rtt: None });
        self.hedge_at = turn.now + hedge;
    }

    fn pause(&mut self, channel: ChannelId, turn: &mut Turn<'_, P>) {
        let config = turn.config;
        let (first, longest) = match self.purpose {
            Purpose::Join => (config.retry_after, config.retry_limit),
            // Somebody has no picture, or stands in the way of who will have none.
            _ if self.rounds < HASTE => (config.seek_after, config.seek_limit),
            // Nor has anybody else, by now.
            _ => (config.retry_after, config.retry_limit),
        };
        let mut wait = first.saturating_mul(1 << self.rounds.min(16));
        if !self.wanted_wait.is_zero() {
            // Who says when to come again is believed, within reason (Q14).
            wait = wait.clamp(self.wanted_wait, self.wanted_wait.saturating_mul(4));
        }
        let wait = turn.at_least(wait.min(longest));
        self.rounds = self.rounds.saturating_add(1);
        self.wanted_wait = Duration::ZERO;
        self.phase = Phase::Waiting { until: turn.now + wait };
        if let Purpose::Move { first } = &mut self.purpose {
            *first = false;
        }
        match self.purpose {
            _ if self.purpose.is_planned() => {}
            _ if self.found_nobody => turn.event(Event::NotFound { channel }),
            _ => turn.event(Event::Unavailable { channel, retry_after: wait }),
        }
    }

    /// The lookup ended. The source stays the last resort (Q3).
    pub(super) fn on_fetched(
        &mut self,
        providers: &[Provider<P>],
        scope: &Scope<'_, P>,
        turn: &mut Turn<'_, P>,
    ) {
        if !matches!(self.phase, Phase::Fetching { .. }) {
            return;
        }
        self.phase = Phase::Fetched;
        self.found_nobody = providers.is_empty();
        let last = Self::asks_source_last(providers, scope, turn.config);
        let may = |p: &&Provider<P>| self.purpose.suits(p, scope.deepest) && !(last && p.is_source());
        let providers: Vec<_> = providers.iter().filter(may).copied().collect();
        let ranked = rank(&providers, (self.purpose, scope.delegated), turn.config, turn.entropy);
        let (lost, others): (Vec<P>, Vec<P>) = ranked.into_iter().partition(|&p| self.lost == Some(p));
        // Nor does whoever has a slot for the time being need the one whom every lookup names.
        let spared = last && matches!(self.purpose, Purpose::Move { .. });
        let ranked = others.into_iter().chain(scope.source.filter(|_| !spared)).chain(lost);
        let candidate = |peer: P| match providers.iter().find(|p| p.peer == peer) {
            Some(p) => Candidate { peer, redirects: 0, depth: p.depth, open: is_open(p) },
            None => Candidate::of(peer, 0),
        };
        self.queue.extend(ranked.map(candidate));
    }

    /// Whether the source, to which every lookup leads, is asked when all others have been: where relayers elect, each of those
    /// that are named knows somebody above it.
    fn asks_source_last(named: &[Provider<P>], scope: &Scope<'_, P>, config: &Config) -> bool {
        let is_open = |p: &Provider<P>| p.is_source() && p.free.is_some_and(|free| free > 0);
        let relayers = named.iter().filter(|p| !p.is_source()).count();
        scope.delegated && !config.is_paper() && relayers >= ENOUGH && !named.iter().any(is_open)
    }

    /// A call was refused.
    pub(super) fn on_refused(
        &mut self,
        call: CallId,
        refusal: Refusal<P>,
        scope: &Scope<'_, P>,
        config: &Config,
    ) {
        let Some(asked) = self.pass_over(call) else { return };
        // One that was asked for an ordinary slot only, before the parent was lost, may have a rescue slot.
        let was_not_urgent = !self.asked.contains(&asked.peer);
        if was_not_urgent && !matches!(refusal, Refusal::NoAnswer | Refusal::Loop) {
            self.queue.push_front(asked);
        }
        // Whoever asks those above it for a better place has one, and takes no slot's promise from who has none.
        let lifts = matches!(self.purpose, Purpose::Climb { .. })
            && scope.source != Some(asked.peer)
            && !scope.delegated;
        match refusal {
            Refusal::Redirected(_) if lifts && asked.redirects == 0 => {}
            Refusal::Redirected(providers) => {
                let most = usize::from(config.limits.redirect_contacts);
                let suits = |p: &&Provider<P>| self.purpose.suits(p, scope.deepest);
                let named =
                    providers.iter().take(most).filter(suits).map(|&p| asked.names(p, scope.delegated));
                let mut named: Vec<_> = named.filter(|c| c.redirects <= config.limits.redirects).collect();
                // When they lead nowhere, the source decides.
                if let Some(source) = scope.source.filter(|_| !scope.delegated && !named.is_empty()) {
                    self.queue.push_back(Candidate::of(source, asked.redirects.saturating_add(1)));
                }
                while let Some(candidate) = named.pop() {
                    self.queue.push_front(candidate);
                }
                self.queue.truncate(usize::from(config.limits.asked));
            }
            Refusal::Busy { retry_after } => {
                self.wanted_wait = self.wanted_wait.max(retry_after.unwrap_or_default());
                let knows_all = scope.source == Some(asked.peer) && !config.is_paper() && !scope.delegated;
                if knows_all && !self.purpose.is_urgent() {
                    // It elects already. An orphan goes on all the same: rescue slots are in no table.
                    self.queue.clear();
                }
                if knows_all && self.purpose.is_planned() && !self.purpose.is_urgent() {
                    // Nor would the overlay know of a slot that the source does not.
                    self.phase = Phase::Fetched;
                }
            }
            _ => {}
        }
    }

    /// Whoever is asked is there.
    pub(super) fn on_proceeding(&mut self, call: CallId) {
        if let Some(asked) = self.calls.iter_mut().find(|c| c.call == call) {
            asked.proceeding = true;
        }
    }

    /// How far away is whoever answers.
    pub(super) fn on_round_trip(&mut self, call: CallId, rtt: u16) {
        if let Some(asked) = self.calls.iter_mut().find(|c| c.call == call) {
            asked.rtt = Some(rtt);
        }
    }

    /// Whose answer this is: what for it was asked, who it is, and how far.
    pub(super) fn answer(&self, call: CallId) -> Option<(Purpose, P, Option<u16>)> {
        let asked = self.calls.iter().find(|c| c.call == call)?;
        Some((self.purpose, asked.candidate.peer, asked.rtt))
    }

    /// Gives up every call that is under way.
    pub(super) fn cancel(&mut self, turn: &mut Turn<'_, P>) {
        for asked in self.calls.drain(..) {
            turn.orders.push_back(Order::Cancel { call: asked.call });
        }
    }

    /// This one will not be the parent: the next one is asked in its place, whoever else has not answered yet.
    pub(super) fn pass_over(&mut self, call: CallId) -> Option<Candidate<P>> {
        self.hedge_at = Instant::ZERO;
        self.forget(call)
    }

    /// Takes a call out of those that are under way.
    pub(super) fn forget(&mut self, call: CallId) -> Option<Candidate<P>> {
        let at = self.calls.iter().position(|c| c.call == call)?;
        Some(self.calls.remove(at).candidate)
    }
}
