//! Where a message goes from here (RFC 6940 §6.1): the first Destination entries decide, nothing else is read.

use super::codec::{Destination, Entries};
use super::topology::Place;
use crate::ids::NodeId;
use crate::stats::DropReason;
use alloc::vec::Vec;
use bytes::Bytes;

/// What a node knows when it routes.
pub trait Surroundings {
    /// Whether a Node-ID is this node's.
    fn is_me(&self, node: NodeId) -> bool;
    /// Whether there is a link to this node.
    fn is_connected(&self, node: NodeId) -> bool;
    /// Whether this node is responsible for a place.
    fn is_responsible(&self, place: Place) -> bool;
    /// The connected peer to route through towards a place.
    fn next_hop(&self, place: Place) -> Option<NodeId>;
}

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is for this node.
    Deliver,
    /// It goes over the link to its destination itself.
    Direct(NodeId),
    /// It goes through this peer of the Routing Table.
    Through(NodeId),
    /// It goes where this opaque id says, which only who made it knows: to be looked at again when it is opened (DL-8).
    Open(Bytes),
    /// It goes nowhere, and nobody is told (RX-3, RX-6).
    Drop(DropReason),
}

/// Decides by the first entry that is not this node's own. The number is that of own entries in front of others, which
/// are to be taken off the list (RX-4).
pub fn decide(list: impl Iterator<Item = Destination>, around: &impl Surroundings) -> (usize, Verdict) {
    let mut passed = 0;
    let mut list = list.peekable();
    let mut first = list.next();
    // When only own entries are left the last of them stays: it is the destination.
    while matches!(&first, Some(Destination::Node(n)) if around.is_me(*n)) && list.peek().is_some() {
        first = list.next();
        passed += 1;
    }
    let Some(first) = first else { return (passed, Verdict::Drop(DropReason::BadHeader)) };
    (passed, verdict(&first, list.peek().is_none(), around))
}

fn verdict(first: &Destination, only: bool, around: &impl Surroundings) -> Verdict {
    let through = |place| match around.next_hop(place) {
        Some(peer) => Verdict::Through(peer),
        None => Verdict::Drop(DropReason::NoRoute),
    };
    match first {
        Destination::Node(NodeId::WILDCARD) => Verdict::Deliver,
        Destination::Node(node) if around.is_me(*node) => Verdict::Deliver,
        Destination::Node(node) if around.is_connected(*node) => Verdict::Direct(*node),
        Destination::Node(node) if around.is_responsible(node.to_u128()) => {
            Verdict::Drop(DropReason::NotConnected)
        }
        Destination::Node(node) => through(node.to_u128()),
        Destination::Resource(resource) => match resource.to_u128() {
            None => Verdict::Drop(DropReason::NoRoute),
            Some(place) if !around.is_responsible(place) => through(place),
            Some(_) if only => Verdict::Deliver,
            Some(_) => Verdict::Drop(DropReason::BadHeader),
        },
        opaque @ (Destination::Opaque(_) | Destination::Compressed(_)) => {
            opaque.opaque_id().map_or(Verdict::Drop(DropReason::NoRoute), Verdict::Open)
        }
        // An entry of unknown type cannot be routed (DL-3).
        Destination::Unknown { .. } => Verdict::Drop(DropReason::NoRoute),
    }
}

/// [`decide`] for a list of this node's own, from which the own entries in front are taken off.
pub fn route(destinations: &mut Vec<Destination>, around: &impl Surroundings) -> Verdict {
    let (passed, verdict) = decide(destinations.iter().cloned(), around);
    destinations.drain(..passed.min(destinations.len()));
    verdict
}

/// The Destination List of the answer to a request: the previous hop, then the Via List backwards (RX-11).
pub fn way_back(previous_hop: NodeId, via_list: &[Destination]) -> Vec<Destination> {
    let mut list = Vec::with_capacity(via_list.len() + 1);
    list.push(Destination::Node(previous_hop));
    list.extend(via_list.iter().rev().cloned());
    list
}

/// Entries that are compared one with another, without sorting them first.
const FEW: usize = 8;

/// Whether a Destination List names somebody twice (DL-7): a list that goes to and fro would make two nodes send a
/// message as often as its TTL allows. The ids that two nodes made may happen to be equal, those of three hardly.
pub fn has_duplicates(list: Entries<'_>) -> bool {
    let key = |d: Destination| match d.opaque_id() {
        Some(id) => Destination::Opaque(id),
        None => d,
    };
    let is_opaque = |d: &Destination| matches!(d, Destination::Opaque(_));
    let is_simple = |d: &Destination| matches!(d, Destination::Node(_) | Destination::Resource(_));
    let few: heapless::Vec<Destination, FEW> = list.clone().take(FEW).collect();
    if few.len() < FEW && few.iter().all(is_simple) {
        return few.iter().enumerate().any(|(n, d)| few.iter().take(n).any(|earlier| earlier == d));
    }
    let mut all: Vec<Destination> = list.map(key).collect();
    all.sort_unstable();
    let twice = |pair: &[Destination]| matches!(pair, [a, b] if a == b && !is_opaque(a));
    let thrice = |three: &[Destination]| matches!(three, [a, b, c] if a == b && b == c);
    all.windows(2).any(twice) || all.windows(3).any(thrice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ResourceId;
    use crate::reload::codec::{ForwardingHeader, HeaderView};
    use alloc::vec;

    const ME: NodeId = NodeId([0x10; 16]);
    const CLIENT: NodeId = NodeId([0x20; 16]);
    const FAR: NodeId = NodeId([0x30; 16]);
    const HOP: NodeId = NodeId([0x40; 16]);

    /// Responsible for every place below 0x2f.., connected to CLIENT, routes through HOP.
    struct Around;

    impl Surroundings for Around {
        fn is_me(&self, node: NodeId) -> bool {
            node == ME
        }
        fn is_connected(&self, node: NodeId) -> bool {
            node == CLIENT || node == HOP
        }
        fn is_responsible(&self, place: Place) -> bool {
            place < NodeId([0x2f; 16]).to_u128()
        }
        fn next_hop(&self, _: Place) -> Option<NodeId> {
            Some(HOP)
        }
    }

    fn node(n: NodeId) -> Destination {
        Destination::Node(n)
    }

    fn resource(n: NodeId) -> Destination {
        Destination::Resource(ResourceId::from_u128(n.to_u128()))
    }

    /// The verdict, and what is left of the list.
    fn routed(list: &[Destination]) -> (Verdict, Vec<Destination>) {
        let mut list = list.to_vec();
        (route(&mut list, &Around), list)
    }

    #[test]
    fn rx4_own_entries_in_front_are_taken_off_and_the_last_one_is_delivered() {
        assert_eq!(routed(&[node(ME)]).0, Verdict::Deliver);
        assert_eq!(routed(&[node(ME), node(ME)]).0, Verdict::Deliver);
        assert_eq!(routed(&[node(ME), node(CLIENT)]), (Verdict::Direct(CLIENT), vec![node(CLIENT)]));
        assert_eq!(routed(&[node(ME), resource(CLIENT)]).0, Verdict::Deliver);
        assert_eq!(routed(&[node(ME), resource(FAR)]), (Verdict::Through(HOP), vec![resource(FAR)]));
    }

    #[test]
    fn rx3_a_resource_of_mine_must_be_the_only_entry() {
        assert_eq!(routed(&[resource(ME)]).0, Verdict::Deliver);
        let more = routed(&[resource(ME), node(FAR)]).0;
        assert_eq!(more, Verdict::Drop(DropReason::BadHeader));
    }

    #[test]
    fn rx5_the_wildcard_is_consumed_here() {
        assert_eq!(routed(&[node(NodeId::WILDCARD)]).0, Verdict::Deliver);
        assert_eq!(routed(&[node(NodeId::WILDCARD), node(FAR)]).0, Verdict::Deliver);
    }

    #[test]
    fn rx6_a_node_in_my_range_is_reached_directly_or_not_at_all() {
        assert_eq!(routed(&[node(CLIENT)]).0, Verdict::Direct(CLIENT));
        let absent = routed(&[node(NodeId([0x21; 16]))]).0;
        assert_eq!(absent, Verdict::Drop(DropReason::NotConnected));
    }

    #[test]
    fn rx7_a_direct_link_beats_the_routing_table_for_nodes_and_not_for_resources() {
        assert_eq!(routed(&[node(HOP)]).0, Verdict::Direct(HOP));
        assert_eq!(routed(&[node(FAR)]).0, Verdict::Through(HOP));
        assert_eq!(routed(&[resource(HOP)]).0, Verdict::Through(HOP));
    }

    #[test]
    fn dl3_what_is_not_understood_is_not_routed_to() {
        let unknown = Destination::Unknown { destination_type: 9, data: vec![].into() };
        assert_eq!(routed(&[unknown]).0, Verdict::Drop(DropReason::NoRoute));
        assert_eq!(routed(&[]).0, Verdict::Drop(DropReason::BadHeader));
    }

    #[test]
    fn dl2_dl8_an_opaque_id_of_either_form_is_to_be_opened() {
        let id = Bytes::from_static(&[0x81, 0x23]);
        let short = routed(&[node(ME), Destination::Compressed(0x0123)]);
        assert_eq!(short, (Verdict::Open(id.clone()), vec![Destination::Compressed(0x0123)]));
        assert_eq!(routed(&[Destination::Opaque(id.clone()), node(FAR)]).0, Verdict::Open(id));
    }

    #[test]
    fn rx11_the_way_back_is_the_previous_hop_and_the_via_list_backwards() {
        let via = [node(CLIENT), node(FAR)];
        assert_eq!(way_back(HOP, &via), [node(HOP), node(FAR), node(CLIENT)]);
    }

    /// Whether a message with this Destination List names somebody twice.
    fn twice(list: &[Destination]) -> bool {
        let message = ForwardingHeader::new(1, 1, list.to_vec()).encode(&[]).unwrap();
        has_duplicates(HeaderView::read(&message).unwrap().destination_list())
    }

    #[test]
    fn dl7_a_list_that_names_somebody_twice_is_noticed() {
        let many: Vec<Destination> = (0..20).map(|n| node(NodeId([n; 16]))).collect();
        assert!(twice(&[node(ME), node(FAR), node(ME)]));
        assert!(twice(&[node(ME), node(ME)]));
        assert!(!twice(&[node(ME), node(FAR), resource(ME)]));
        assert!(!twice(&many));
        assert!(twice(&[&many[..], &[node(NodeId([3; 16]))]].concat()));
    }

    #[test]
    fn dl7_two_nodes_may_have_made_equal_ids_and_three_not() {
        let (short, long) = (Destination::Compressed(0x8123), Destination::Opaque(vec![0x81, 0x23].into()));
        assert!(!twice(&[node(ME), short.clone(), node(FAR), short.clone()]));
        assert!(!twice(&[short.clone(), long.clone()]));
        assert!(twice(&[short.clone(), node(ME), long, node(FAR), short]));
    }
}
