//! Where a message goes from here (RFC 6940 §6.1): the first Destination entries decide, nothing else is read.

use super::codec::{Destination, ForwardingHeader};
use super::topology::Place;
use crate::ids::NodeId;
use crate::stats::DropReason;
use alloc::vec::Vec;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is for this node.
    Deliver,
    /// It goes over the link to its destination itself.
    Direct(NodeId),
    /// It goes through this peer of the Routing Table.
    Through(NodeId),
    /// It goes nowhere, and nobody is told (RX-3, RX-6).
    Drop(DropReason),
}

/// Decides by the first entry. This node's own entries in front of others are taken off the list (RX-4).
pub fn route(destinations: &mut Vec<Destination>, around: &impl Surroundings) -> Verdict {
    let own = |d: &Destination| matches!(d, Destination::Node(n) if around.is_me(*n));
    let passed = destinations.iter().take_while(|d| own(d)).count();
    // When only own entries are left the last of them stays: it is the destination.
    destinations.drain(..passed.min(destinations.len().saturating_sub(1)));
    let through = |place| match around.next_hop(place) {
        Some(peer) => Verdict::Through(peer),
        None => Verdict::Drop(DropReason::NoRoute),
    };
    match destinations.as_slice() {
        [] => Verdict::Drop(DropReason::BadHeader),
        [Destination::Node(NodeId::WILDCARD), ..] => Verdict::Deliver,
        [Destination::Node(node)] if around.is_me(*node) => Verdict::Deliver,
        [Destination::Node(node), ..] if around.is_connected(*node) => Verdict::Direct(*node),
        [Destination::Node(node), ..] if around.is_responsible(node.to_u128()) => {
            Verdict::Drop(DropReason::NotConnected)
        }
        [Destination::Node(node), ..] => through(node.to_u128()),
        [Destination::Resource(resource), rest @ ..] => match resource.to_u128() {
            None => Verdict::Drop(DropReason::NoRoute),
            Some(place) if !around.is_responsible(place) => through(place),
            Some(_) if rest.is_empty() => Verdict::Deliver,
            Some(_) => Verdict::Drop(DropReason::BadHeader),
        },
        // This node hands out no compressed lists, so an opaque id is one that has outlived its slot (DL-6), and an
        // entry of unknown type cannot be routed (DL-3).
        [Destination::Opaque(_) | Destination::Compressed(_) | Destination::Unknown { .. }, ..] => {
            Verdict::Drop(DropReason::NoRoute)
        }
    }
}

/// The Destination List of the answer to a request: the previous hop, then the Via List backwards (RX-11).
pub fn way_back(previous_hop: NodeId, via_list: &[Destination]) -> Vec<Destination> {
    let mut list = Vec::with_capacity(via_list.len() + 1);
    list.push(Destination::Node(previous_hop));
    list.extend(via_list.iter().rev().cloned());
    list
}

/// Whether a Destination List names somebody twice (DL-7): a list that goes to and fro would make two nodes send a
/// message as often as its TTL allows.
pub fn has_duplicates(header: &ForwardingHeader) -> bool {
    let mut list: Vec<&Destination> = header.destination_list.iter().collect();
    list.sort_unstable();
    list.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ResourceId;
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
    fn dl3_dl6_what_cannot_be_expanded_or_understood_is_dropped() {
        let drop = Verdict::Drop(DropReason::NoRoute);
        assert_eq!(routed(&[Destination::Compressed(0x8123)]).0, drop);
        assert_eq!(routed(&[node(ME), Destination::Opaque(vec![1].into())]).0, drop);
        let unknown = Destination::Unknown { destination_type: 9, data: vec![].into() };
        assert_eq!(routed(&[unknown]).0, drop);
        assert_eq!(routed(&[]).0, Verdict::Drop(DropReason::BadHeader));
    }

    #[test]
    fn rx11_the_way_back_is_the_previous_hop_and_the_via_list_backwards() {
        let via = [node(CLIENT), node(FAR)];
        assert_eq!(way_back(HOP, &via), [node(HOP), node(FAR), node(CLIENT)]);
    }

    #[test]
    fn dl7_a_list_that_names_somebody_twice_is_noticed() {
        let list = |d: &[Destination]| ForwardingHeader::new(1, 1, d.to_vec());
        assert!(has_duplicates(&list(&[node(ME), node(FAR), node(ME)])));
        assert!(!has_duplicates(&list(&[node(ME), node(FAR), resource(ME)])));
    }
}
