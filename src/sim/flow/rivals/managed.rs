//! Peers that a server arranges: it knows everybody and gives each viewer the free slot nearest to the source
//! ("server-based P2P"; the coordinators of Overcast, CoopNet and many products).
//!
//! Taken for granted: the server knows the tree as it is at every instant, never fails, and answers at once. A viewer
//! asks it (one request, after a handshake), then its parent. An orphan asks it again over the connection that it
//! keeps. Everybody tells the server every second that it is there, as the relayers of this crate do, because a
//! server that does not know who is gone sends people to the dead.

use super::central::without_last_way;
use super::grove::{Ask, Grove, Rival};
use crate::sim::flow::SOURCE;
use crate::sim::flow::crowd::Person;
use crate::sim::flow::sizes;
use crate::sim::flow::summary::Control;
use crate::time::Duration;

/// Octets of a sign of life, and of its acknowledgement.
const ALIVE: (f64, f64) = (60.0, 20.0);

/// The server and its peers.
#[derive(Clone, Copy, Debug)]
pub struct Managed {
    source_slots: u32,
}

impl Managed {
    /// With a source that serves so many.
    pub const fn new(source_slots: u32) -> Self {
        Managed { source_slots }
    }
}

impl Rival for Managed {
    fn name(&self) -> &'static str {
        "server-based P2P"
    }

    fn slots(&self, node: u32, person: &Person, _: usize) -> u32 {
        if node == SOURCE { self.source_slots } else { u32::from(person.slots) }
    }

    fn ask(&mut self, grove: &mut Grove, node: u32, stripe: usize, repairs: bool) -> Ask {
        grove.count(Control::Calls, sizes::INVITE, false);
        grove.count(Control::Calls, sizes::ANSWER, true);
        let time = grove.request(node, SOURCE, !repairs);
        match grove.shallowest(node, stripe) {
            None => Ask::Wait(time + Duration::from_millis(500)),
            Some(parent) => {
                grove.count(Control::Calls, sizes::INVITE + sizes::ANSWER, false);
                let way = grove.distance(parent, node);
                Ask::Parent(parent, time + without_last_way(grove.request(node, parent, true), way))
            }
        }
    }

    fn upkeep(&self) -> (f64, f64) {
        (ALIVE.0 + ALIVE.1, ALIVE.1)
    }
}
