//! Peers that find each other through a tracker, as BitTorrent's do: it names peers at random and knows nothing of their
//! slots or places.
//!
//! A viewer gets fifty names (one request, after a handshake), asks eight of them at a time, and takes the one nearest to
//! the source of those that have room. When its parent is lost it asks from the list that it has before it goes to the
//! tracker again. Everybody announces itself every 30 s (BEP 3 has 1,800 s; lists would be stale here).
//!
//! Taken for granted: a peer knows its depth and who is above it, as the peers of this crate do, and the tracker drops peers
//! that have gone at once.

use super::central::without_last_way;
use super::grove::{Ask, Grove, Rival};
use crate::sim::flow::SOURCE;
use crate::sim::flow::crowd::Person;
use crate::sim::flow::summary::Control;
use crate::time::Duration;
use alloc::vec::Vec;

/// Names in an answer.
const NAMES: usize = 50;
/// Peers that are asked at a time.
const AT_ONCE: usize = 8;
/// Octets of an announcement and its answer with compact addresses.
const ANNOUNCEMENT: u64 = 300 + 6 * NAMES as u64;
/// Octets of a request for a slot, and its answer.
const REQUEST: u64 = 150;

/// The tracker and its swarm.
#[derive(Clone, Copy, Debug)]
pub struct Tracker {
    source_slots: u32,
}

impl Tracker {
    /// With a source that serves so many.
    pub const fn new(source_slots: u32) -> Self {
        Tracker { source_slots }
    }
}

impl Rival for Tracker {
    fn name(&self) -> &'static str {
        "tracker"
    }

    fn slots(&self, node: u32, person: &Person, _: usize) -> u32 {
        if node == SOURCE { self.source_slots } else { u32::from(person.slots) }
    }

    fn ask(&mut self, grove: &mut Grove, node: u32, stripe: usize, repairs: bool) -> Ask {
        let mut time = Duration::ZERO;
        if !repairs {
            grove.count(Control::Overlay, ANNOUNCEMENT, true);
            time += grove.request(node, SOURCE, true);
        }
        let names: Vec<u32> = (0..NAMES).filter_map(|_| grove.anybody()).chain([SOURCE]).collect();
        for asked in names.chunks(AT_ONCE) {
            grove.count(Control::Calls, REQUEST * asked.len() as u64, false);
            // Who answers last of those that would do need not be waited for: the first round trip decides.
            let rounds: Vec<Duration> = asked.iter().map(|&p| grove.request(node, p, true)).collect();
            let open = (0..asked.len()).filter(|&n| grove.would_do(asked[n], node, stripe));
            let best = open.min_by_key(|&n| (grove.depth(asked[n], stripe), rounds[n]));
            if let Some(best) = best {
                let way = grove.distance(asked[best], node);
                return Ask::Parent(asked[best], time + without_last_way(rounds[best], way));
            }
            time += rounds.iter().copied().max().unwrap_or_default();
        }
        Ask::Wait(time + Duration::from_millis(500))
    }

    fn upkeep(&self) -> (f64, f64) {
        (ANNOUNCEMENT as f64 / 30.0, ANNOUNCEMENT as f64 / 60.0)
    }
}
