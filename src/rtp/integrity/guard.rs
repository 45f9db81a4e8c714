//! The receiver's side: what no list has is neither played nor passed on.

use super::list::{List, Lists};
use crate::rtp::header::{Header, Packet};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// Wrong signatures of one parent that are tried at once.
pub const TRIALS: u32 = 8;

/// After so long one more is tried.
pub const TRIAL_INTERVAL: Duration = Duration::from_millis(100);

/// Lists that may wait to be checked.
pub const MAX_UNCHECKED: usize = 8;

/// How much a guard may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lists that are remembered: for as far back as repairs and replays bring packets.
    pub lists: usize,
    /// Packets that wait for their list. Full: the oldest is dropped.
    pub held: usize,
    /// How long they wait.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { lists: 160, held: 256, patience: Duration::from_millis(300) }
    }
}

/// What became of packets. The numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Listed, and passed on.
    pub genuine: u64,
    /// Not what the source has sent.
    pub forged: u64,
    /// Dropped because no list came in time.
    pub unlisted: u64,
    /// Lists of the source's, and their octets.
    pub lists: crate::stats::Traffic,
    /// Lists whose signature did not hold.
    pub bad_lists: u64,
}

/// Why a list is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is known already.
    #[error("the same list again")]
    Known,
    /// It is none, or another one has its number.
    #[error("not a list of the source's")]
    BadList,
    /// Its window is over.
    #[error("an old list")]
    Old,
    /// Too many lists wait to be checked, or too many of that parent's were wrong of late.
    #[error("too many lists to check")]
    TooMany,
}

/// What a guard knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source has sent it.
    Genuine,
    /// The source has sent another one.
    Forged,
    /// No list is about it so far; it waits for one.
    Held,
}

/// What does not wait for its list any more, in the order in which it came.
#[derive(Debug)]
pub struct Released<T> {
    /// What the source has sent, and when it came.
    pub genuine: Vec<(Instant, T, Bytes)>,
    /// The headers of what it has not.
    pub forged: Vec<(T, Header)>,
}

impl<T> Default for Released<T> {
    fn default() -> Self {
        Released { genuine: Vec::new(), forged: Vec::new() }
    }
}

/// How many wrong signatures of one parent may be tried.
#[derive(Clone, Copy, Debug)]
pub struct Trials {
    left: u32,
    since: Instant,
}

impl Default for Trials {
    fn default() -> Self {
        Trials { left: TRIALS, since: Instant::ZERO }
    }
}

impl Trials {
    /// Whether one more may be tried.
    pub fn allow(&mut self, now: Instant) -> bool {
        let earned = now.since(self.since).as_micros() / TRIAL_INTERVAL.as_micros();
        if earned > 0 {
            self.left = self.left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(TRIALS);
            self.since = now;
        }
        self.left > 0
    }

    /// It was wrong.
    pub const fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

/// The receiver's side: lets through what the source has sent. `T` is where something came from.
#[derive(Debug)]
pub struct Guard<T> {
    limits: Limits,
    lists: Lists,
    pub(super) held: VecDeque<(Instant, T, Bytes)>,
    unchecked: VecDeque<(T, List)>,
    counts: Counts,
}

impl<T: Copy> Guard<T> {
    /// Nothing was listed yet.
    pub const fn new(limits: Limits) -> Self {
        let lists = crate::stats::Traffic { packets: 0, bytes: 0 };
        Guard {
            limits,
            lists: Lists::new(limits.lists),
            held: VecDeque::new(),
            unchecked: VecDeque::new(),
            counts: Counts { genuine: 0, forged: 0, unlisted: 0, lists, bad_lists: 0 },
        }
    }

    /// Refuses windows that were closed before this time of day.
    pub fn not_before(&mut self, unix_millis: u64) {
        self.lists.not_before(unix_millis);
    }

    /// The lists that are believed.
    pub const fn lists(&self) -> &Lists {
        &self.lists
    }

    /// A packet has come. One that is [`Verdict::Held`] comes back from [`Guard::release`], or not at all.
    pub fn check(&mut self, now: Instant, from: T, header: &Header, packet: &Bytes) -> Verdict {
        match self.lists.says(header, packet) {
            Some(true) => {
                self.counts.genuine += 1;
                return Verdict::Genuine;
            }
            Some(false) => {
                self.counts.forged += 1;
                return Verdict::Forged;
            }
            None => {}
        }
        if self.limits.held == 0 {
            self.counts.unlisted += 1;
            return Verdict::Held;
        }
        if self.held.len() >= self.limits.held {
            self.held.pop_front();
            self.counts.unlisted += 1;
        }
        self.held.push_back((now, from, packet.clone()));
        Verdict::Held
    }

    /// A list has come; if it may be one of the source's, [`Guard::judge`] is to be called.
    /// Nothing is offered that is not `allowed`, but what is wrong without looking at the signature, or known.
    pub fn offer(&mut self, from: T, packet: Bytes, allowed: bool) -> Result<(), Refused> {
        let list = List::parse(packet).ok_or(Refused::BadList)?;
        match self.lists.of_number(list.number) {
            Some(known) if known.packet() == list.packet() => return Err(Refused::Known),
            // Two lists of one number would be two signatures of one window.
            Some(_) => return Err(Refused::BadList),
            None if self.lists.is_old(list.number) => return Err(Refused::Old),
            None => {}
        }
        if !allowed || self.unchecked.len() >= MAX_UNCHECKED {
            return Err(Refused::TooMany);
        }
        self.unchecked.push_back((from, list));
        Ok(())
    }

    /// Judges the oldest list that was offered: `verify` says whether a signature is the source's for a list. The result says
    /// where it came from, and is the list if it is believed.
    pub fn judge(&mut self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Option<(T, Option<List>)> {
        let (from, list) = self.unchecked.pop_front()?;
        let (signed, signature) = list.parts();
        if !verify(signed, signature) {
            self.counts.bad_lists += 1;
            return Some((from, None));
        }
        self.counts.lists.count(list.packet().len());
        self.lists.insert(&list);
        Some((from, Some(list)))
    }

    /// What was held and can be judged now.
    pub fn release(&mut self) -> Released<T> {
        let Released { mut genuine, mut forged } = Released::default();
        for _ in 0..self.held.len() {
            let Some((since, from, packet)) = self.held.pop_front() else { break };
            let Ok(Packet { header, .. }) = Packet::parse(&packet) else { continue };
            match self.lists.says(&header, &packet) {
                Some(true) => {
                    self.counts.genuine += 1;
                    genuine.push((since, from, packet));
                }
                Some(false) => {
                    self.counts.forged += 1;
                    forged.push((from, header));
                }
                None => self.held.push_back((since, from, packet)),
            }
        }
        Released { genuine, forged }
    }

    /// The packets of a source that wait for their list.
    pub fn held_of(&self, ssrc: u32) -> impl Iterator<Item = u16> {
        let header = |packet: &Bytes| Some(Packet::parse(packet).ok()?.header);
        let headers = self.held.iter().filter_map(move |(_, _, packet)| header(packet));
        headers.filter(move |header| header.ssrc == ssrc).map(|header| header.sequence)
    }

    /// The sequence numbers of the lists that are missing, as what is held behind the newest one shows: from the first on, so
    /// many.
    pub fn missing(&self) -> Option<(u16, u16)> {
        let newest = self.lists.newest()?;
        let ahead = |packet: &Bytes| {
            let header = Packet::parse(packet).ok()?.header;
            let ahead = header.sequence.wrapping_sub(newest.end());
            (header.ssrc == newest.ssrc && usize::from(ahead) < self.limits.held).then_some(ahead)
        };
        let ahead = self.held.iter().filter_map(|(_, _, packet)| ahead(packet)).max()?;
        Some((newest.sequence.wrapping_add(1), 1 + ahead / newest.count()))
    }

    /// Drops what has waited for its list in vain, and tells how much.
    pub fn handle_timeout(&mut self, now: Instant) -> u64 {
        let before = self.counts.unlisted;
        while self.held.front().is_some_and(|&(since, ..)| since + self.limits.patience <= now) {
            self.held.pop_front();
            self.counts.unlisted += 1;
        }
        self.counts.unlisted - before
    }

    /// When something has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|&(since, ..)| since + self.limits.patience)
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}
