//! Where the tree of a service lies in the overlay, and who lies where in the tree (RFC 7374 §3).
//!
//! ```text
//! level 0  ________________(0,0)________________       branching factor 2: every tree node has two intervals,
//! level 1  ______(1,0)______   ______(1,1)______       and the range of each is a tree node of the next level
//! level 2  _(2,0)_   _(2,1)_   _(2,2)_   _(2,3)_
//! ```
//!
//! At level l of a tree with branching factor b the space of Node-IDs is cut into b^l equal parts, one for each tree node,
//! and into b^(l+1) intervals. 2^128 is seldom a multiple of them: a key k lies in part ⌊k · b^l / 2^128⌋.

use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::RedirServiceProvider;
use alloc::vec::Vec;

/// The shape of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    branching_factor: u16,
}

/// One node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeNode {
    /// Its level; the root's is 0.
    pub level: u16,
    /// Its place in the level, from the left.
    pub node: u16,
}

impl TreeNode {
    /// Where it is stored: H(namespace, level, node). The RFC does not say how the two numbers are written: they stand here
    /// as in the record.
    pub fn resource(self, namespace: &[u8]) -> ResourceId {
        let mut name: Vec<u8> = namespace.to_vec();
        name.extend_from_slice(&self.level.to_be_bytes());
        name.extend_from_slice(&self.node.to_be_bytes());
        ResourceId::of_name(&name)
    }
}

impl Tree {
    /// The branching-factor where the configuration gives none (RFC 7374 §8).
    pub const BRANCHING_FACTOR: u16 = 10;

    /// A tree with this branching factor, which is at least 2.
    pub const fn new(branching_factor: u16) -> Self {
        Tree { branching_factor: if branching_factor < 2 { 2 } else { branching_factor } }
    }

    /// The deepest level whose nodes the 16 bits of a record can number: 4 with a branching factor of 10.
    pub fn deepest(self) -> u16 {
        let mut parts = u64::from(self.branching_factor);
        let mut level = 0;
        while parts <= 1 << 16 {
            parts *= u64::from(self.branching_factor);
            level += 1;
        }
        level
    }

    /// The tree node of a level that a key lies in; `None` below the deepest level.
    pub fn node_of(self, level: u16, key: NodeId) -> Option<TreeNode> {
        if level > self.deepest() {
            return None;
        }
        let node = u16::try_from(self.part(level, key)?).ok()?;
        Some(TreeNode { level, node })
    }

    /// I(level, key): which interval of a level a key lies in, counted from the left through all nodes of the level.
    pub fn interval_of(self, level: u16, key: NodeId) -> Option<u64> {
        self.part(level.checked_add(1)?, key)
    }

    /// Whether a record may be stored at this Resource-ID by this node (NODE-ID-MATCH, RFC 7374 §5): the Resource-ID is
    /// that of the tree node which the record names, and the node lies in it.
    pub fn admits(self, record: &RedirServiceProvider, resource: &ResourceId, node: NodeId) -> bool {
        let place = TreeNode { level: record.level, node: record.node };
        self.node_of(record.level, node) == Some(place) && place.resource(&record.namespace) == *resource
    }

    /// Which of the b^level parts a key lies in.
    fn part(self, level: u16, key: NodeId) -> Option<u64> {
        let parts = u128::from(u64::from(self.branching_factor).checked_pow(level.into())?);
        let (high, low) = (key.to_u128() >> 64, key.to_u128() & u128::from(u64::MAX));
        let carry = (low * parts) >> 64;
        u64::try_from((high * parts + carry) >> 64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::codec::RedirServiceProviderExtType;
    use bytes::Bytes;

    /// In the 4-bit space of RFC 7374 figure 4.
    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n << 124)
    }

    fn place(level: u16, node: u16) -> TreeNode {
        TreeNode { level, node }
    }

    #[test]
    fn figures_2_and_3_number_the_tree_nodes_and_their_intervals_from_the_left() {
        let tree = Tree::new(2);
        let node = |level, n| tree.node_of(level, id(n)).unwrap().node;
        assert!((0..16).all(|n| node(0, n) == 0));
        assert_eq!((node(1, 7), node(1, 8)), (0, 1));
        assert_eq!((node(2, 3), node(2, 4), node(2, 8), node(2, 12)), (0, 1, 2, 3));
        // [0,7] and [8,15] at the root; [0,3], [4,7], [8,11] and [12,15] at level 1.
        let interval = |level, n| tree.interval_of(level, id(n)).unwrap();
        assert_eq!((interval(0, 7), interval(0, 8)), (0, 1));
        assert_eq!((interval(1, 3), interval(1, 4), interval(1, 11), interval(1, 12)), (0, 1, 2, 3));
    }

    #[test]
    fn ac7_a_provider_writes_only_into_the_tree_nodes_that_it_lies_in() {
        let record = |level, node| RedirServiceProvider {
            ext_type: RedirServiceProviderExtType(1),
            destination_list: alloc::vec![],
            namespace: Bytes::from_static(b"turn-server"),
            level,
            node,
            extension: Bytes::new(),
        };
        let at = |level, node| place(level, node).resource(b"turn-server");
        let may = |n, level, node| Tree::new(2).admits(&record(level, node), &at(level, node), id(n));
        assert!((0..16).all(|n| may(n, 0, 0)), "the root is for everybody");
        assert!(may(2, 1, 0) && may(3, 1, 0) && may(4, 1, 0) && may(7, 1, 0) && !may(8, 1, 0));
        assert!(may(2, 2, 0) && !may(4, 2, 0) && may(4, 2, 1) && may(7, 2, 1), "figure 4");
        assert!(!Tree::new(2).admits(&record(1, 0), &at(1, 1), id(2)), "another tree node's Resource-ID");
        assert!(!Tree::new(2).admits(&record(0, 0), &place(0, 0).resource(b"voice-mail"), id(2)));
    }

    #[test]
    fn ac7_parts_that_do_not_divide_the_space_evenly_are_still_told_apart() {
        let third = u128::MAX / 3;
        let node = |b, level, n| Tree::new(b).node_of(level, NodeId::from_u128(n));
        assert_eq!(node(3, 1, third), Some(place(1, 0)), "the last of the first third");
        assert_eq!(node(3, 1, third + 1), Some(place(1, 1)));
        assert_eq!(node(10, 4, u128::MAX), Some(place(4, 9_999)));
        assert_eq!(Tree::new(10).interval_of(100, id(1)), None, "10^101 parts");
        assert_eq!(Tree::new(u16::MAX).interval_of(u16::MAX, id(1)), None);
    }

    #[test]
    fn a_tree_is_as_deep_as_its_records_can_number() {
        let deepest = |b| Tree::new(b).deepest();
        assert_eq!(
            (deepest(10), deepest(2), deepest(256), deepest(257), deepest(u16::MAX)),
            (4, 16, 2, 1, 1)
        );
        assert_eq!(Tree::new(2).node_of(16, id(15)), Some(place(16, 0xf000)));
        assert_eq!(Tree::new(10).node_of(5, id(0)), None, "a hundred thousand tree nodes");
        // A tree that would not branch has no level with more than one node.
        assert_eq!((Tree::new(0), Tree::new(1)), (Tree::new(2), Tree::new(2)));
    }
}
