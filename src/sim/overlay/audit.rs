//! The tables and the stored values of all nodes, held against what they should be.

use super::network::OverlayNetwork;
use crate::chord::{Chord, NEIGHBORS};
use crate::env::Entropy;
use crate::ids::{NodeId, ResourceId};
use crate::reload::overlay::Overlay;
use crate::reload::topology::Topology;
use crate::sim::machine::NodeIndex;
use crate::sim::statistics::Samples;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How the members of one overlay stand to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Members.
    pub members: usize,
    /// Those that know their three nearest successors and predecessors, and nobody nearer.
    pub right_neighbors: usize,
    /// Those whose range begins right behind the member in front of them and ends at themselves. When all do, every
    /// place has exactly one owner (CH-2).
    pub right_ranges: usize,
    /// Links of all members together.
    pub links: usize,
    /// Entries of all Finger Tables together, and how many of them lead to nodes that are no members.
    pub fingers: usize,
    /// Those that lead to nodes that are no members.
    pub stale_fingers: usize,
}

impl Audit {
    /// Looks at every member.
    pub fn of(net: &OverlayNetwork) -> Self {
        Self::among(net, |_| true)
    }

    /// Looks at these members, as if they were all.
    pub fn among(net: &OverlayNetwork, counts: impl Fn(NodeIndex) -> bool) -> Self {
        let mut ring: Vec<(u128, &Overlay<Chord>)> = net
            .members()
            .filter(|(n, _)| counts(*n))
            .map(|(_, overlay)| (overlay.node_id().to_u128(), overlay))
            .collect();
        ring.sort_unstable_by_key(|(place, _)| *place);
        let places: Vec<u128> = ring.iter().map(|(place, _)| *place).collect();
        let mut audit = Audit { members: ring.len(), ..Audit::default() };
        for (i, (me, overlay)) in ring.iter().enumerate() {
            let topology = overlay.topology();
            let step = |k: usize| places.iter().cycle().nth(i + k).copied();
            let steps = 1..=NEIGHBORS.min(ring.len() - 1);
            let after: Vec<u128> = steps.clone().filter_map(step).collect();
            let before: Vec<u128> = steps.filter_map(|k| step(ring.len() - k)).collect();
            let known = |nodes: Vec<NodeId>| nodes.into_iter().map(|n| n.to_u128()).collect::<Vec<_>>();
            let neighbors = known(topology.successors()) == after && known(topology.predecessors()) == before;
            audit.right_neighbors += usize::from(neighbors);
            let predecessor = before.first().copied().unwrap_or(*me);
            let begins = topology.is_responsible(predecessor.wrapping_add(1));
            let ends = predecessor == *me || !topology.is_responsible(predecessor);
            audit.right_ranges += usize::from(begins && ends && topology.is_responsible(*me));
            audit.links += overlay.links();
            let fingers = topology.fingers();
            audit.fingers += fingers.len();
            audit.stale_fingers +=
                fingers.iter().filter(|f| places.binary_search(&f.to_u128()).is_err()).count();
        }
        audit
    }

    /// Whether everybody's neighbours and ranges are right.
    pub const fn is_whole(&self) -> bool {
        self.right_neighbors == self.members && self.right_ranges == self.members
    }
}

/// Forwardings that a request for a random place needs from a random member, for many such pairs: what the members'
/// tables say at this moment, without a message being sent. A walk that goes in circles ends after 100 (the initial TTL)
/// and is counted with that.
pub fn hops(net: &mut OverlayNetwork, walks: usize) -> Samples {
    let mut samples = Samples::new();
    let pairs: Vec<(Option<NodeIndex>, u128)> = (0..walks)
        .map(|_| {
            let place = u128::from(net.dice().next_u64()) << 64 | u128::from(net.dice().next_u64());
            (net.random_member(), place)
        })
        .collect();
    let by_place: BTreeMap<u128, &Overlay<Chord>> =
        net.members().map(|(_, o)| (o.node_id().to_u128(), o)).collect();
    for (start, place) in pairs {
        let mut at = start.and_then(|n| net.overlay(n));
        let mut hops = 0;
        while let Some(overlay) = at.filter(|o| hops < 100 && !o.topology().is_responsible(place)) {
            hops += 1;
            let next = overlay.topology().next_hop(place);
            at = next.and_then(|n| by_place.get(&n.to_u128()).copied());
            if at.is_none() {
                hops = 100;
            }
        }
        samples.add(hops);
    }
    samples
}

/// On how many members each stored Resource-ID is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    holders: BTreeMap<ResourceId, u32>,
}

impl Replicas {
    /// Looks at every member's store.
    pub fn of(net: &OverlayNetwork) -> Self {
        let mut holders = BTreeMap::new();
        for (_, overlay) in net.members() {
            for resource in overlay.storage().resources() {
                *holders.entry(resource.clone()).or_default() += 1;
            }
        }
        Replicas { holders }
    }

    /// On how many members a Resource-ID is.
    pub fn get(&self, resource: &ResourceId) -> u32 {
        self.holders.get(resource).copied().unwrap_or(0)
    }

    /// How many of these Resource-IDs are on no member, on one, on two, on three, and on more.
    pub fn spread<'a>(&self, resources: impl IntoIterator<Item = &'a ResourceId>) -> [usize; 5] {
        resources.into_iter().fold([0; 5], |mut spread, resource| {
            if let Some(n) = spread.get_mut(self.get(resource).min(4) as usize) {
                *n += 1;
            }
            spread
        })
    }
}
