//! The Routing Table (RFC 6940 §10.3): one ordered set of clockwise distances, from which the Neighbor Table, the
//! Finger Table and every routing decision are read.
//!
//! ```text
//!            d = 0                                                              2^128
//!   me ───────┼──s1──s2──s3─────f4──────f3────────f2──────────f1───p3──p2──p1────┤ me
//!              successors (§10.7)   fingers (§10.7.4.2)             predecessors
//! ```

use super::ring::{Range, distance};
use crate::env::Entropy;
use crate::ids::NodeId;
use crate::reload::topology::{Change, Heard, Place, Topology, UpdateScope};
use crate::wire::DecodeError;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;

/// Predecessors, and successors, that a peer keeps (CH-5).
pub const NEIGHBORS: usize = 3;
/// Successors that hold a replica (CH-6).
pub const REPLICAS: usize = 2;
/// Entries of the Finger Table (CU10-12).
pub const FINGERS: u32 = 16;

/// The tables of one node.
#[derive(Clone, Debug)]
pub struct Chord {
    me: NodeId,
    member: bool,
    /// Clockwise distances from here to each peer of the Routing Table; never 0.
    peers: BTreeSet<Place>,
}

/// The distances that belong to finger entry `i`, counted from 1 (CU10-11).
const fn finger_distances(i: u32) -> (Place, Place) {
    let first = 1 << (128 - i);
    (first, first + (first - 1))
}

impl Chord {
    fn distance_to(&self, node: NodeId) -> Place {
        distance(self.me.to_u128(), node.to_u128())
    }

    fn at(&self, distance: Place) -> NodeId {
        NodeId::from_u128(self.me.to_u128().wrapping_add(distance))
    }

    /// The places that this node is responsible for, as a member.
    fn range(&self) -> Range {
        let me = self.me.to_u128();
        Range { after: self.peers.last().map_or(me, |d| me.wrapping_add(*d)), last: me }
    }

    /// Distances of the nearest successors, and of the nearest predecessors.
    fn neighbors(&self) -> (Vec<Place>, Vec<Place>) {
        (
            self.peers.iter().copied().take(NEIGHBORS).collect(),
            self.peers.iter().rev().copied().take(NEIGHBORS).collect(),
        )
    }

    /// What the change that `f` makes means for the tables.
    fn changing(&mut self, f: impl FnOnce(&mut Self)) -> Change {
        let (before, range) = (self.neighbors(), self.range());
        f(self);
        let after = self.neighbors();
        let replicas = |s: &[Place]| s.iter().copied().take(REPLICAS).collect::<heapless::Vec<_, REPLICAS>>();
        Change {
            neighbors: before != after,
            range: self.range() != range,
            replicas: replicas(&before.0) != replicas(&after.0),
        }
    }

    /// The distances between the third successor and the third predecessor, where peers may be that this node does
    /// not know; `None` when the neighbours are the whole ring.
    fn unknown(&self) -> Option<(Place, Place)> {
        let (successors, predecessors) = self.neighbors();
        let first = successors.get(NEIGHBORS - 1)?.checked_add(1)?;
        let last = predecessors.get(NEIGHBORS - 1)?.checked_sub(1)?;
        (first <= last).then_some((first, last))
    }

    /// For each finger entry without a peer: the distances where one might be, farthest entry first.
    fn invalid_fingers(&self) -> impl Iterator<Item = (Place, Place)> + '_ {
        let unknown = self.unknown();
        (1..=FINGERS).map(finger_distances).filter_map(move |(first, last)| {
            let (unknown_first, unknown_last) = unknown?;
            let (first, last) = (first.max(unknown_first), last.min(unknown_last));
            (first <= last && self.peers.range(first..=last).next().is_none()).then_some((first, last))
        })
    }

    fn finger(&self, i: u32) -> Option<Place> {
        let (first, last) = finger_distances(i);
        self.peers.range(first..=last).next().copied()
    }
}

impl Topology for Chord {
    fn new(me: NodeId) -> Self {
        Chord { me, member: false, peers: BTreeSet::new() }
    }

    fn enter(&mut self) {
        self.member = true;
    }

    fn clear(&mut self) {
        self.member = false;
        self.peers.clear();
    }

    fn insert(&mut self, peer: NodeId) -> Change {
        let d = self.distance_to(peer);
        if d == 0 || peer == NodeId::WILDCARD {
            return Change::default();
        }
        self.changing(|t| {
            t.peers.insert(d);
        })
    }

    fn remove(&mut self, peer: NodeId) -> Change {
        let d = self.distance_to(peer);
        self.changing(|t| {
            t.peers.remove(&d);
        })
    }

    fn contains(&self, peer: NodeId) -> bool {
        self.peers.contains(&self.distance_to(peer))
    }

    fn len(&self) -> usize {
        self.peers.len()
    }

    fn needs(&self, peer: NodeId) -> bool {
        let d = self.distance_to(peer);
        let (successors, predecessors) = self.neighbors();
        successors.contains(&d)
            || predecessors.contains(&d)
            || (1..=FINGERS).any(|i| self.finger(i) == Some(d))
    }

    fn is_responsible(&self, place: Place) -> bool {
        self.member && self.range().contains(place)
    }

    /// CH-3, for the part behind "directly connected": the peer farthest along in (me, place), and when there is none
    /// the first peer behind the place.
    fn next_hop(&self, place: Place) -> Option<NodeId> {
        let d = distance(self.me.to_u128(), place);
        let before = self.peers.range(..d).next_back();
        before.or_else(|| self.peers.range(d..).next()).map(|&d| self.at(d))
    }

    fn is_close_enough(&self, signer: NodeId, place: Place) -> bool {
        let d = distance(place, signer.to_u128());
        let (successors, predecessors) = self.neighbors();
        let mut closest =
            successors.iter().chain(&predecessors).map(|&n| distance(place, self.at(n).to_u128()));
        closest.all(|n| d <= n) && (!self.member || d <= distance(place, self.me.to_u128()))
    }

    fn predecessors(&self) -> Vec<NodeId> {
        self.neighbors().1.into_iter().map(|d| self.at(d)).collect()
    }

    fn successors(&self) -> Vec<NodeId> {
        self.neighbors().0.into_iter().map(|d| self.at(d)).collect()
    }

    fn fingers(&self) -> Vec<NodeId> {
        (1..=FINGERS).filter_map(|i| self.finger(i)).map(|d| self.at(d)).collect()
    }

    fn replicas(&self) -> Vec<NodeId> {
        self.peers.iter().take(REPLICAS).map(|&d| self.at(d)).collect()
    }

    /// CU10-9: with three predecessors between the place and here, the value belongs elsewhere.
    fn holds(&self, place: Place) -> bool {
        let me = self.me.to_u128();
        match self.peers.iter().rev().nth(REPLICAS) {
            Some(&third) => Range { after: me.wrapping_add(third), last: me }.contains(place),
            None => true,
        }
    }

    fn accepts_replica(&self, from: NodeId, place: Place) -> bool {
        let d = self.distance_to(from);
        let between = self.peers.range(d..).count().saturating_sub(1);
        self.peers.contains(&d)
            && between < REPLICAS
            && distance(place, from.to_u128()) < distance(place, self.me.to_u128())
    }

    fn wanted(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut all = self.peers.clone();
        all.extend(nodes.iter().filter(|&&n| n != NodeId::WILDCARD).map(|&n| self.distance_to(n)));
        all.remove(&0);
        let mut wanted = Vec::new();
        for &d in all.iter().take(NEIGHBORS).chain(all.iter().rev().take(NEIGHBORS)) {
            let node = self.at(d);
            if !self.peers.contains(&d) && !wanted.contains(&node) {
                wanted.push(node);
            }
        }
        wanted
    }

    fn admission_place(&self) -> Place {
        self.me.to_u128().wrapping_add(1)
    }

    fn passes_to(&self, joining: NodeId, place: Place) -> bool {
        Range { after: self.range().after, last: joining.to_u128() }.contains(place)
    }

    fn finger_places(&self) -> Vec<Place> {
        self.invalid_fingers().map(|(first, _)| self.me.to_u128().wrapping_add(first)).collect()
    }

    fn finger_search(&self, entropy: &mut dyn Entropy) -> Option<Place> {
        let (first, last) = self.invalid_fingers().find(|_| entropy.below(2) == 0)?;
        let random = u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64());
        // The bias of the remainder is far below the width of a range.
        let d = first + random % (last - first + 1);
        Some(self.me.to_u128().wrapping_add(d))
    }

    fn responsible_ppb(&self) -> u32 {
        if self.member { self.range().parts_per_billion() } else { 0 }
    }

    fn update(&self, uptime: u32, scope: UpdateScope) -> Bytes {
        let _ = (uptime, scope);
        Bytes::new()
    }

    fn read_update(&self, body: &Bytes) -> Result<Heard, DecodeError> {
        let _ = body;
        Ok(Heard::default())
    }

    fn leave(&self, to: NodeId) -> Bytes {
        let _ = to;
        Bytes::new()
    }

    fn read_leave(&self, body: &Bytes) -> Result<Vec<NodeId>, DecodeError> {
        let _ = body;
        Ok(Vec::new())
    }

    fn route_query_answer(&self, place: Place) -> Bytes {
        let _ = place;
        Bytes::new()
    }
}
