//! Relayers go again and again, and what their descendants see of it.

use super::player::{Player, Watched};
use super::{Audience, Trouble};
use crate::env::{Entropy, Seeded};
use crate::node::Event;
use crate::sim::machine::NodeIndex;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// How long the descendants are watched.
const AFTERMATH: Duration = Duration::from_secs(6);
/// What left within this time before the end of that may still be on its way.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// The tree rests for so long before the next one goes: standbys are found within it.
const REST: Duration = Duration::from_secs(4);
/// A tree that is not whole by then is met as it is.
const PATIENCE: Duration = Duration::from_secs(30);
/// Packets from before that are needed to judge what came after.
const KEPT: Duration = Duration::from_secs(4);

/// How relayers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Without a word: the host loses its power.
    None,
    /// By plan.
    Planned,
}

/// What one descendant saw of one departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Which departure, from 0.
    pub departure: u32,
    /// When.
    pub at: Instant,
    /// Who went.
    pub relayer: NodeIndex,
    /// Who saw it.
    pub viewer: NodeIndex,
    /// Hops below the relayer; 1 is its child.
    pub below: u32,
    /// What of the media was there.
    pub watched: Watched,
    /// Whether another provider bridged the silence.
    pub covered: bool,
}

/// An audience whose relayers go, one after the other; each is replaced by somebody new.
pub struct Crash {
    audience: Audience,
    farewell: Farewell,
    player: Player,
    dice: Seeded,
    departures: u32,
    cases: Vec<Case>,
    /// Descendants that had no picture at the time.
    without_picture: u32,
    /// Departures from a tree that did not come to rest.
    restless: u32,
}

impl Crash {
    /// An audience that has grown.
    pub fn new(audience: Audience, farewell: Farewell, player: Player) -> Self {
        let dice = Seeded::new(audience.setting.seed ^ 0xc4a5);
        Crash {
            audience,
            farewell,
            player,
            dice,
            departures: 0,
            cases: Vec::new(),
            without_picture: 0,
            restless: 0,
        }
    }

    /// The next relayer goes, and what follows is watched. `false` when nobody relays.
    pub fn depart(&mut self) -> Result<bool, Trouble> {
        if !self.audience.wait_for(PATIENCE, Audience::is_whole)? {
            self.restless += 1;
        }
        let phase = Duration::from_micros(self.dice.below(1_000_000));
        self.audience.run_for(REST + phase)?;
        let relays = |&v: &NodeIndex| !self.audience.descendants(v).is_empty();
        let relayers: Vec<NodeIndex> = self.audience.viewers().filter(relays).collect();
        let chosen = self.dice.below(relayers.len().max(1) as u64) as usize;
        let Some(&relayer) = relayers.get(chosen) else { return Ok(false) };
        let descendants = self.audience.descendants(relayer);
        let at = self.audience.now();
        self.audience.forget(at - KEPT);
        self.audience.take_events();
        match self.farewell {
            Farewell::None => self.audience.kill(relayer),
            Farewell::Planned => self.audience.leave(relayer),
        }
        self.audience.run_for(AFTERMATH)?;
        let told = self.audience.take_events();
        let covered = told.iter().filter(|(_, _, event)| matches!(event, Event::Covered { .. }));
        let covered: BTreeSet<NodeIndex> = covered.map(|(_, node, _)| *node).collect();
        let end = self.audience.now() - UNDER_WAY;
        for (viewer, below) in descendants {
            let Some(watched) = self.audience.watched(viewer, self.player, at, end) else {
                self.without_picture += 1;
                continue;
            };
            let (departure, covered) = (self.departures, covered.contains(&viewer));
            self.cases.push(Case { departure, at, relayer, viewer, below, watched, covered });
        }
        self.departures += 1;
        self.audience.kill(relayer);
        self.audience.enter()?;
        Ok(true)
    }

    /// How many have gone.
    pub const fn departures(&self) -> u32 {
        self.departures
    }

    /// What every descendant of each of them saw.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Descendants that had no picture when the relayer above them went, and are in no case.
    pub const fn without_picture(&self) -> u32 {
        self.without_picture
    }

    /// Relayers that went when not everybody had an ordinary place.
    pub const fn restless(&self) -> u32 {
        self.restless
    }

    /// How many cases there are at each depth below the relayer.
    pub fn by_depth(&self) -> BTreeMap<u32, usize> {
        self.cases.iter().fold(BTreeMap::new(), |mut depths, case| {
            *depths.entry(case.below).or_default() += 1;
            depths
        })
    }

    /// The audience.
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// The audience, for observers.
    pub const fn audience_mut(&mut self) -> &mut Audience {
        &mut self.audience
    }
}
