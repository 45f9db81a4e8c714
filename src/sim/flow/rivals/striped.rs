//! Several trees at once: the channel is cut into eight stripes, and each node passes on one of them only, to all the
//! children that its whole uplink can serve in it (SplitStream, Castro et al., SOSP 2003; that has sixteen stripes).
//!
//! Trees are flat this way (with room for two channels a node has sixteen children), and who loses a parent loses an
//! eighth of the packets, not all. Taken for granted: Scribe's anycast finds the free slot nearest to the source in as many
//! hops as a lookup takes; inner nodes of a stripe get the source's slots before its leaves do, without anybody being
//! pushed out; the orphan of a stripe keeps the others. A gap is
//! counted for each stripe: without layered coding a player sees it all the same.

use super::central::without_last_way;
use super::grove::{Ask, Grove, Rival};
use crate::sim::flow::SOURCE;
use crate::sim::flow::crowd::Person;
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

/// Trees.
const STRIPES: usize = 8;

/// The forest.
#[derive(Clone, Copy, Debug)]
pub struct Striped {
    source_slots: u32,
}

impl Striped {
    /// With a source that serves so many whole channels.
    pub const fn new(source_slots: u32) -> Self {
        Striped { source_slots }
    }
}

impl Rival for Striped {
    fn name(&self) -> &'static str {
        "striped multi-tree"
    }

    fn stripes(&self) -> usize {
        STRIPES
    }

    fn slots(&self, node: u32, person: &Person, stripe: usize) -> u32 {
        if node == SOURCE {
            return self.source_slots;
        }
        if node as usize % STRIPES == stripe { u32::from(person.slots) * STRIPES as u32 } else { 0 }
    }

    fn ask(&mut self, grove: &mut Grove, node: u32, stripe: usize, _: bool) -> Ask {
        // Scribe routes the request towards the root of the stripe's tree.
        let time = grove.lookup();
        match grove.shallowest(node, stripe) {
            None => Ask::Wait(time + Duration::from_millis(500)),
            Some(parent) => {
                grove.count(Control::Calls, sizes::INVITE + sizes::ANSWER, parent == SOURCE);
                let way = grove.distance(parent, node);
                Ask::Parent(parent, time + without_last_way(grove.request(node, parent, true), way))
            }
        }
    }

    /// Heartbeats to the parents of seven more trees, once a second.
    fn upkeep(&self) -> (f64, f64) {
        let reports = (STRIPES - 1) as u64 * sizes::RECEIVER_REPORT;
        (reports as f64, 0.0)
    }
}
