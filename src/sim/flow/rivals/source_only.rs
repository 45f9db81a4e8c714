//! A DHT that knows nothing but the source: whoever looks a channel up is sent there, and the source has the slots that
//! its uplink has (the "DHT-based P2P" with which the paper compares itself).
//!
//! Who finds no slot asks again every two seconds, as long as it stays. Taken for granted: the source sees at once who is
//! gone.

use super::central::without_last_way;
use super::grove::{Ask, Grove, Rival};
use crate::sim::flow::SOURCE;
use crate::sim::flow::crowd::Person;
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

/// The source behind the DHT.
#[derive(Clone, Copy, Debug)]
pub struct SourceOnly {
    slots: u32,
}

impl SourceOnly {
    /// A source that serves so many.
    pub const fn new(slots: u32) -> Self {
        SourceOnly { slots }
    }
}

impl Rival for SourceOnly {
    fn name(&self) -> &'static str {
        "DHT, source only"
    }

    fn slots(&self, node: u32, _: &Person, _: usize) -> u32 {
        if node == SOURCE { self.slots } else { 0 }
    }

    fn ask(&mut self, grove: &mut Grove, node: u32, stripe: usize, _: bool) -> Ask {
        let time = grove.lookup() + grove.request(node, SOURCE, true);
        grove.count(Control::Calls, sizes::INVITE, false);
        if grove.would_do(SOURCE, node, stripe) {
            grove.count(Control::Calls, sizes::ANSWER, true);
            let way = grove.distance(SOURCE, node);
            return Ask::Parent(SOURCE, without_last_way(time, way));
        }
        grove.count(Control::Calls, sizes::REFUSAL, true);
        Ask::Wait(time + Duration::from_secs(2))
    }
}
