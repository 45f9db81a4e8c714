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
use crate::reload::codec::{ChordLeaveData, ChordTables, ChordUpdate};
use crate::reload::topology::{Change, Heard, Place, Topology, UpdateScope};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Predecessors, and successors, that a peer keeps (CH-5).
pub const NEIGHBORS: usize = 3;
/// Successors that hold a replica (CH-6).
pub const REPLICAS: usize = 2;
/// Entries that the Finger Table has at least. It has as many as are needed for the last successor to be in one of them,
/// and 128 at most (CU10-12).
pub const FINGERS: u32 = 16;

/// The tables of one node.
#[derive(Clone, Debug)]
pub struct Chord {
    me: NodeId,
    member: bool,
    /// Clockwise distances from here to each peer of the Routing Table; never 0.
    peers: BTreeSet<Place>,
    /// The distance to a predecessor that is known by another's word alone. It bounds the range and nothing else.
    presumed: Option<Place>,
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
        let predecessor = self.peers.last().copied().max(self.presumed);
        Range { after: predecessor.map_or(me, |d| me.wrapping_add(d)), last: me }
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

    /// Entries of the Finger Table now (RFC 6940 §10.7.4.3): in a large ring the successors are so near that more entries
    /// lie between them and the rest.
    fn entries(&self) -> u32 {
        let last = self.peers.iter().take(NEIGHBORS).next_back();
        last.map_or(FINGERS, |d| FINGERS.max(d.leading_zeros() + 1))
    }

    /// For each finger entry without a peer: the distances where one might be, farthest entry first.
    fn invalid_fingers(&self) -> impl Iterator<Item = (Place, Place)> + '_ {
        let unknown = self.unknown();
        (1..=self.entries()).map(finger_distances).filter_map(move |(first, last)| {
            let (unknown_first, unknown_last) = unknown?;
            let (first, last) = (first.max(unknown_first), last.min(unknown_last));
            (first <= last && self.peers.range(first..=last).next().is_none()).then_some((first, last))
        })
    }

    /// A random place at one of these distances.
    fn random_place(&self, first: Place, last: Place, entropy: &mut dyn Entropy) -> Place {
        let random = u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64());
        // The bias of the remainder is far below the width of a range; the sum is 0 only for all 2^128 distances.
        let d = first + random % (last - first).saturating_add(1);
        self.me.to_u128().wrapping_add(d)
    }

    fn finger(&self, i: u32) -> Option<Place> {
        let (first, last) = finger_distances(i);
        self.peers.range(first..=last).next().copied()
    }
}

impl Topology for Chord {
    fn new(me: NodeId) -> Self {
        Chord { me, member: false, peers: BTreeSet::new(), presumed: None }
    }

    fn enter(&mut self) {
        self.member = true;
    }

    fn clear(&mut self) {
        self.member = false;
        self.peers.clear();
        self.presumed = None;
    }

    fn presume(&mut self, predecessor: Option<NodeId>) -> Change {
        let farthest = self.peers.last().copied();
        let distance = predecessor.filter(|&n| n != NodeId::WILDCARD).map(|n| self.distance_to(n));
        self.changing(|t| t.presumed = distance.filter(|&d| d != 0 && Some(d) > farthest))
    }

    fn presumed(&self) -> Option<NodeId> {
        self.presumed.map(|d| self.at(d))
    }

    fn insert(&mut self, peer: NodeId) -> Change {
        let d = self.distance_to(peer);
        if d == 0 || peer == NodeId::WILDCARD {
            return Change::default();
        }
        self.changing(|t| {
            t.peers.insert(d);
            t.presumed = t.presumed.filter(|&p| p > d);
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
            || (1..=self.entries()).any(|i| self.finger(i) == Some(d))
    }

    fn is_responsible(&self, place: Place) -> bool {
        self.member && self.range().contains(place)
    }

    /// CH-3, for the part behind "directly connected": the peer farthest along in (me, place), and when there is none
    /// the first peer behind the place.
    fn next_hops(&self, place: Place) -> impl Iterator<Item = NodeId> {
        let d = distance(self.me.to_u128(), place);
        let before = self.peers.range(..d);
        let behind = before.clone().next().is_none().then(|| self.peers.range(d..).next()).flatten();
        before.rev().chain(behind).map(|&d| self.at(d))
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
        (1..=self.entries()).filter_map(|i| self.finger(i)).map(|d| self.at(d)).collect()
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

    fn owner(&self, place: Place) -> Option<NodeId> {
        if self.is_responsible(place) {
            return None;
        }
        let behind = self.peers.range(distance(self.me.to_u128(), place)..).next();
        behind.map(|&d| self.at(d))
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
        Some(self.random_place(first, last, entropy))
    }

    fn finger_replacement(&self, lost: NodeId, entropy: &mut dyn Entropy) -> Option<Place> {
        // The distances of one entry have their highest bit in common.
        let entry = self.distance_to(lost).leading_zeros();
        let (first, last) = self.invalid_fingers().find(|(first, _)| first.leading_zeros() == entry)?;
        Some(self.random_place(first, last, entropy))
    }

    fn responsible_ppb(&self) -> u32 {
        if self.member { self.range().parts_per_billion() } else { 0 }
    }

    fn update(&self, uptime: u32, scope: UpdateScope) -> ChordUpdate {
        let (predecessors, successors) = (self.predecessors(), self.successors());
        let tables = match scope {
            UpdateScope::Neighbors => ChordTables::Neighbors { predecessors, successors },
            UpdateScope::Full => {
                let mut fingers = self.fingers();
                fingers.sort_unstable();
                ChordTables::Full { predecessors, successors, fingers }
            }
        };
        ChordUpdate { uptime, tables }
    }

    fn hear(&self, from: NodeId, update: &ChordUpdate) -> Heard {
        let (predecessors, successors, fingers) = match &update.tables {
            ChordTables::PeerReady => return Heard::default(),
            ChordTables::Neighbors { predecessors, successors } => (predecessors, successors, &Vec::new()),
            ChordTables::Full { predecessors, successors, fingers } => (predecessors, successors, fingers),
        };
        let nodes: Vec<NodeId> = predecessors.iter().chain(successors).chain(fingers).copied().collect();
        // Between its last predecessor and its last successor the sender knows everybody.
        let spans = |list: &[NodeId], last_first: bool| {
            let (last, from) = (list.last().map(|n| n.to_u128()), from.to_u128());
            last.map(|last| if last_first { (last, from) } else { (from, last) })
        };
        let known = [spans(predecessors, true), spans(successors, false)];
        let (near, far) = self.neighbors();
        let mut omitted: Vec<NodeId> = near.into_iter().chain(far).map(|d| self.at(d)).collect();
        omitted.sort_unstable();
        omitted.dedup();
        omitted.retain(|n| {
            let within = |&(after, before): &(Place, Place)| {
                let d = distance(after, n.to_u128());
                d != 0 && d < distance(after, before)
            };
            *n != from && !nodes.contains(n) && known.iter().flatten().any(within)
        });
        let names_me_predecessor = predecessors.first() == Some(&self.me);
        let before_me = predecessors.get(1).copied().filter(|&n| names_me_predecessor && n != from);
        let others = nodes.iter().chain([&from]).filter(|n| **n != self.me && **n != NodeId::WILDCARD);
        let behind_me = others.copied().min_by_key(|n| self.distance_to(*n));
        let agrees_on_replicas = self.replicas().last() == Some(&from) && {
            let between = self.peers.range(..self.distance_to(from)).rev().map(|&d| self.at(d));
            predecessors.iter().copied().take(REPLICAS).eq(between.chain([self.me]).take(REPLICAS))
        };
        Heard { nodes, omitted, names_me_predecessor, behind_me, before_me, agrees_on_replicas }
    }

    /// The receiver learns who comes behind the leaver, on the side that faces away from it.
    fn leave(&self, to: NodeId) -> ChordLeaveData {
        let d = self.distance_to(to);
        let (successors, predecessors) = (self.successors(), self.predecessors());
        if self.peers.last() == Some(&d) || predecessors.contains(&to) && !successors.contains(&to) {
            ChordLeaveData::FromSuccessor(successors)
        } else {
            ChordLeaveData::FromPredecessor(predecessors)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;
    use alloc::vec;
    use quickcheck::quickcheck;

    fn node(n: u128) -> NodeId {
        NodeId::from_u128(n)
    }

    fn nodes(ns: &[u128]) -> Vec<NodeId> {
        ns.iter().map(|&n| node(n)).collect()
    }

    fn member(me: u128, peers: &[u128]) -> Chord {
        let mut chord = Chord::new(node(me));
        chord.enter();
        for &p in peers {
            chord.insert(node(p));
        }
        chord
    }

    /// The ring of these nodes in which everybody knows its neighbours and fingers and nobody else.
    fn ring(ids: &BTreeSet<u128>) -> Vec<Chord> {
        let all: Vec<u128> = ids.iter().copied().collect();
        ids.iter()
            .map(|&me| {
                let mut chord = member(me, &all);
                for p in nodes(&all).into_iter().filter(|&p| !chord.needs(p)).collect::<Vec<_>>() {
                    chord.remove(p);
                }
                chord
            })
            .collect()
    }

    /// Few enough ids, and never the wildcard.
    fn some_ids(seeds: Vec<(u64, u64)>) -> BTreeSet<u128> {
        seeds
            .into_iter()
            .take(24)
            .map(|(a, b)| u128::from(a) << 64 | u128::from(b))
            .chain([77])
            .filter(|&n| n != u128::MAX)
            .collect()
    }

    #[test]
    fn ch2_outside_the_ring_a_node_is_responsible_for_nothing_and_alone_for_everything() {
        let mut chord = Chord::new(node(5));
        assert!(!chord.is_responsible(5));
        chord.enter();
        assert!(chord.is_responsible(5) && chord.is_responsible(6) && chord.holds(6));
        assert_eq!(chord.responsible_ppb(), 1_000_000_000);
    }

    #[test]
    fn ch2_responsible_from_behind_the_predecessor_up_to_itself() {
        let chord = member(100, &[50, 200]);
        assert!(!chord.is_responsible(50) && chord.is_responsible(51) && chord.is_responsible(100));
        assert!(!chord.is_responsible(101) && !chord.is_responsible(0));
    }

    #[test]
    fn ch2_a_presumed_predecessor_bounds_the_range_until_it_comes_or_is_taken_back() {
        let mut chord = member(100, &[50, 200]);
        assert!(chord.presume(Some(node(70))).range && !chord.is_responsible(70) && chord.is_responsible(71));
        assert_eq!((chord.presumed(), chord.predecessors()), (Some(node(70)), nodes(&[50, 200])));
        assert_eq!(chord.next_hop(60), Some(node(50)), "nothing goes through it");
        assert_eq!(chord.insert(node(80)), Change { neighbors: true, range: true, replicas: false });
        assert_eq!(chord.presumed(), None, "somebody is nearer");
        assert_eq!(chord.presume(Some(node(70))), Change::default());
        assert!(chord.presume(Some(node(90))).range && chord.presume(None).range);
        assert!(chord.is_responsible(81) && !chord.is_responsible(80));
    }

    #[test]
    fn ch3_routes_to_the_farthest_peer_before_the_place_else_to_the_first_behind_it() {
        let chord = member(100, &[110, 150, 50]);
        assert_eq!(chord.next_hop(140), Some(node(110)));
        assert_eq!(chord.next_hop(150), Some(node(110)), "the peer at the place itself is not before it");
        assert_eq!(chord.next_hop(40), Some(node(150)), "across the zero");
        assert_eq!(chord.next_hop(105), Some(node(110)));
        assert_eq!(Chord::new(node(1)).next_hop(2), None);
    }

    #[test]
    fn ch3_every_peer_before_the_place_brings_a_message_nearer_and_those_behind_it_are_for_want_of_any() {
        let chord = member(100, &[110, 150, 50]);
        let through = |place| chord.next_hops(place).collect::<Vec<_>>();
        assert_eq!(through(40), nodes(&[150, 110]), "the farthest along first");
        assert_eq!(through(150), nodes(&[110]));
        assert_eq!(through(105), nodes(&[110]), "only one of those behind, so that nothing runs in circles");
    }

    #[test]
    fn ch5_small_rings_have_as_many_neighbours_as_there_are_peers_and_never_the_node_itself() {
        let chord = member(10, &[10]);
        assert!(chord.predecessors().is_empty() && chord.successors().is_empty());
        let chord = member(10, &[20]);
        assert_eq!((chord.predecessors(), chord.successors()), (nodes(&[20]), nodes(&[20])));
        let chord = member(10, &[20, 30, 40, 50]);
        assert_eq!(chord.successors(), nodes(&[20, 30, 40]));
        assert_eq!(chord.predecessors(), nodes(&[50, 40, 30]));
    }

    #[test]
    fn a_change_says_what_changed() {
        let mut chord = member(100, &[200, 300, 400, 500, 600, 700, 800]);
        let quiet = chord.insert(node(450));
        assert_eq!(quiet, Change::default(), "neither a neighbour nor the range");
        assert_eq!(chord.insert(node(90)), Change { neighbors: true, range: true, replicas: false });
        assert_eq!(chord.insert(node(250)), Change { neighbors: true, range: false, replicas: true });
        assert_eq!(chord.insert(node(250)), Change::default());
    }

    #[test]
    fn ch7_a_replica_is_accepted_from_one_of_the_two_peers_before() {
        let chord = member(100, &[70, 80, 90, 200]);
        assert!(chord.accepts_replica(node(90), 85) && chord.accepts_replica(node(80), 75));
        assert!(!chord.accepts_replica(node(70), 65), "two peers stand between");
        assert!(!chord.accepts_replica(node(90), 95), "that place is behind the sender");
        assert!(!chord.accepts_replica(node(60), 55), "a stranger");
    }

    #[test]
    fn sr9_an_answer_from_farther_away_than_a_neighbour_is_not_believed() {
        let chord = member(100, &[110, 120, 130, 90]);
        assert!(chord.is_close_enough(node(110), 105));
        assert!(!chord.is_close_enough(node(120), 105));
        assert!(chord.is_close_enough(node(5000), 4000), "closer than any neighbour");
    }

    #[test]
    fn cu10_11_no_finger_is_looked_for_where_the_neighbours_leave_no_room() {
        assert!(member(0, &[1 << 100, 1 << 120]).finger_places().is_empty(), "the whole ring is known");
        let chord = member(0, &[1, 2, 1 << 112, u128::MAX - 1, u128::MAX - 2, u128::MAX - 3]);
        let places = chord.finger_places();
        assert_eq!((places.len(), places[0]), (16, 1 << 127));
        assert_eq!(places[15], (1 << 112) + 1, "behind the last successor");
    }

    #[test]
    fn cu10_12_sixteen_fingers_and_more_when_the_successors_are_so_near_that_more_lie_behind_them() {
        let predecessors = [u128::MAX - 1, u128::MAX - 2, u128::MAX - 3];
        let every_power: Vec<u128> = (0..128).map(|i| 1 << i).chain(predecessors).collect();
        let chord = member(0, &every_power);
        let fingers = chord.fingers();
        assert_eq!((fingers.len(), fingers[0], fingers[125]), (126, node(1 << 127), node(1 << 2)));
        assert!(chord.needs(node(1 << 2)) && chord.needs(node(1 << 60)), "and keeps the links to them");
        for (last, entries) in [(1_u128 << 112, 16), (1 << 111, 17), (1 << 64, 64), (3, 127)] {
            let peers: Vec<u128> = [1, 2, last].into_iter().chain(predecessors).collect();
            let chord = member(0, &peers);
            // Everything behind the last successor is invalid, and so to be searched for.
            assert_eq!(chord.finger_places().len(), entries - usize::from(last == 3), "{last:#x}");
            assert_eq!(chord.finger_places()[0], 1 << 127);
        }
    }

    #[test]
    fn cu10_12_the_finger_table_can_hold_128_entries() {
        assert_eq!(member(0, &[1]).fingers(), nodes(&[1]), "the last entry is the place right behind");
        let entries: Vec<(Place, Place)> = (1..=128).rev().map(finger_distances).collect();
        assert_eq!((entries[0], entries[127].1), ((1, 1), u128::MAX));
        assert!(entries.windows(2).all(|w| w[0].1 + 1 == w[1].0), "every distance belongs to one entry");
    }

    #[test]
    fn cu10_11_searches_prefer_the_far_entries_and_stay_in_range() {
        let chord = member(0, &[1, 2, 1 << 112, u128::MAX - 1, u128::MAX - 2, u128::MAX - 3]);
        let mut entropy = Seeded::new(3);
        let mut hits = vec![0; 129];
        for _ in 0..1000 {
            if let Some(place) = chord.finger_search(&mut entropy) {
                hits[place.leading_zeros() as usize + 1] += 1;
            }
        }
        assert!((400..600).contains(&hits[1]) && (150..350).contains(&hits[2]), "{hits:?}");
        assert!(hits[17..].iter().all(|&n| n == 0), "only {FINGERS} entries");
    }

    #[test]
    fn ch5_links_to_neighbours_and_fingers_are_needed_and_others_are_not() {
        let chord =
            member(0, &[1, 2, 3, 1 << 100, (1 << 100) + 1, u128::MAX - 1, u128::MAX - 2, u128::MAX - 3]);
        assert!([1, 2, 3, 1 << 100, u128::MAX - 3].iter().all(|&n| chord.needs(node(n))));
        assert!(!chord.needs(node((1 << 100) + 1)), "its finger entry has a nearer one");
        assert!(!chord.needs(node(7)));
        assert_eq!(chord.len(), 8);
    }

    #[test]
    fn ch4_the_way_leads_through_neighbours_and_fingers_alike() {
        let chord = member(0, &[1, 2, 3, 1 << 100, u128::MAX - 1, u128::MAX - 2, u128::MAX - 3]);
        assert_eq!(chord.next_hop((1 << 100) + 5), Some(node(1 << 100)), "a finger");
        assert_eq!(chord.next_hop(3), Some(node(2)), "a successor");
        assert_eq!(chord.next_hop(u128::MAX - 1), Some(node(u128::MAX - 2)), "a predecessor");
    }

    #[test]
    fn sr9_a_member_is_itself_a_neighbour_of_the_place_and_a_joining_node_is_none() {
        let mut chord = Chord::new(node(100));
        chord.insert(node(110));
        assert!(chord.is_close_enough(node(110), 95), "whoever is no member is responsible for nothing");
        chord.enter();
        assert!(!chord.is_close_enough(node(110), 95) && chord.is_close_enough(node(100), 95));
    }

    #[test]
    fn ch2_who_is_in_the_routing_table_is_not_presumed() {
        let mut chord = member(100, &[50, 200]);
        assert_eq!((chord.presume(Some(node(50))), chord.presumed()), (Change::default(), None));
        assert_eq!((chord.presume(Some(node(200))), chord.presumed()), (Change::default(), None));
    }

    #[test]
    fn jl5_to_a_joining_node_passes_what_lies_up_to_it_and_nothing_else() {
        let chord = member(100, &[50, 200]);
        assert!(chord.passes_to(node(70), 51) && chord.passes_to(node(70), 70));
        assert!(!chord.passes_to(node(70), 50) && !chord.passes_to(node(70), 71));
        assert!(!chord.passes_to(node(70), 100));
    }

    #[test]
    fn cu10_6_in_place_of_a_lost_finger_somebody_of_its_entry_is_looked_for() {
        let neighbors = [1, 2, 3, u128::MAX - 1, u128::MAX - 2, u128::MAX - 3];
        let chord = member(0, &neighbors);
        let mut entropy = Seeded::new(7);
        for entry in [1_u32, 2, 16, 100] {
            let (first, last) = finger_distances(entry);
            let places: BTreeSet<Place> =
                (0..20).filter_map(|_| chord.finger_replacement(node(first + 1), &mut entropy)).collect();
            assert!(places.len() > 10, "a random one");
            assert!(places.iter().all(|p| (first..=last).contains(p)), "entry {entry}");
        }
        let other = member(0, &[&neighbors[..], &[(1 << 127) + 9]].concat());
        assert_eq!(other.finger_replacement(node((1 << 127) + 1), &mut entropy), None, "there is another");
    }

    #[test]
    fn cu10_15_a_leaver_names_the_side_that_faces_away_from_whom_it_tells() {
        let chord = member(100, &[110, 120, 130, 70, 80, 90]);
        assert_eq!(chord.leave(node(90)), ChordLeaveData::FromSuccessor(nodes(&[110, 120, 130])));
        assert_eq!(chord.leave(node(70)), ChordLeaveData::FromSuccessor(nodes(&[110, 120, 130])));
        assert_eq!(chord.leave(node(110)), ChordLeaveData::FromPredecessor(nodes(&[90, 80, 70])));
        assert_eq!(chord.leave(node(5000)), ChordLeaveData::FromPredecessor(nodes(&[90, 80, 70])));
        // In a small ring everybody is on both sides; the nearest predecessor hears of successors.
        let small = member(100, &[110, 90]);
        assert_eq!(small.leave(node(90)), ChordLeaveData::FromSuccessor(nodes(&[110, 90])));
        assert_eq!(small.leave(node(110)), ChordLeaveData::FromPredecessor(nodes(&[90, 110])));
    }

    fn neighbors_update(predecessors: &[u128], successors: &[u128]) -> ChordUpdate {
        let tables =
            ChordTables::Neighbors { predecessors: nodes(predecessors), successors: nodes(successors) };
        ChordUpdate { uptime: 1, tables }
    }

    #[test]
    fn cu10_7_an_update_is_heard_for_who_is_missing_in_it_and_who_is_next_to_this_node() {
        let chord = member(100, &[110, 120, 130, 70, 80, 90]);
        // 110 knows everybody between 80 and 140, and says nothing of 90 and 120.
        let heard = chord.hear(node(110), &neighbors_update(&[100, 80], &[130, 140]));
        assert_eq!(heard.omitted, nodes(&[90, 120]));
        assert!(heard.names_me_predecessor);
        assert_eq!(heard.before_me, Some(node(80)));
        assert_eq!(heard.behind_me, Some(node(110)), "the sender counts, this node does not");
        // The ends of what it knows are named, and nothing beyond them is missing.
        let heard = chord.hear(node(110), &neighbors_update(&[90], &[120]));
        assert!(heard.omitted.is_empty() && !heard.names_me_predecessor && heard.before_me.is_none());
        let heard = chord.hear(node(110), &neighbors_update(&[100, 110], &[]));
        assert_eq!(heard.before_me, None, "in a ring of two the sender is on both sides");
        let heard = chord.hear(node(90), &neighbors_update(&[80], &[100, u128::MAX]));
        assert_eq!(heard.behind_me, Some(node(80)), "never everybody, and never this node");
    }

    #[test]
    fn cu10_7_only_nodes_that_belong_into_the_neighbor_table_are_wanted() {
        let chord = member(100, &[110, 120, 130, 70, 80, 90]);
        assert_eq!(chord.wanted(&nodes(&[100, 110, 500])), vec![]);
        assert_eq!(chord.wanted(&nodes(&[115, 85, 500])), nodes(&[115, 85]));
        assert_eq!(chord.wanted(&[NodeId::WILDCARD]), vec![]);
    }

    quickcheck! {
        fn ch2_the_ranges_of_a_ring_partition_it(seeds: Vec<(u64, u64)>, a: u64, b: u64) -> bool {
            let place = u128::from(a) << 64 | u128::from(b);
            ring(&some_ids(seeds)).iter().filter(|c| c.is_responsible(place)).count() == 1
        }

        fn ch6_every_place_belongs_to_three_nodes_or_to_all(seeds: Vec<(u64, u64)>, a: u64, b: u64) -> bool {
            let place = u128::from(a) << 64 | u128::from(b);
            let ring = ring(&some_ids(seeds));
            ring.iter().filter(|c| c.holds(place)).count() == ring.len().min(REPLICAS + 1)
        }

        fn ch6_the_replicas_of_a_responsible_node_hold_its_places(seeds: Vec<(u64, u64)>) -> bool {
            let ring = ring(&some_ids(seeds));
            ring.iter().all(|c| {
                let place = c.me.to_u128();
                c.replicas().iter().all(|r| {
                    ring.iter().any(|o| o.me == *r && o.holds(place) && o.accepts_replica(c.me, place))
                })
            })
        }

        fn ch3_every_lookup_ends_at_the_responsible_node_in_few_hops(
            seeds: Vec<(u64, u64)>, a: u64, b: u64
        ) -> bool {
            let place = u128::from(a) << 64 | u128::from(b);
            let ring = ring(&some_ids(seeds));
            ring.iter().all(|start| {
                let (mut at, mut hops) = (start, 0);
                while !at.is_responsible(place) && hops <= 6 {
                    let next = at.next_hop(place).unwrap();
                    at = ring.iter().find(|c| c.me == next).unwrap();
                    hops += 1;
                }
                at.is_responsible(place) && ring.iter().all(|c| c.is_close_enough(at.me, place))
            })
        }
    }
}
