//! What NODE-ID-MATCH must know of a ReDiR tree (RFC 7374 §4.1, §5): which tree node a record belongs to, and whether
//! its provider lies in it.
//!
//! ```text
//! RedirServiceProvider   u8 type | Destination destination_list<0..2^16-1> | opaque namespace<0..2^16-1>
//!                        u16 level | u16 node | u16 length | extension
//! ```
//!
//! At level l of a tree with branching factor b the space of Node-IDs is cut into b^l equal parts; part j belongs to tree
//! node (l, j).

use crate::ids::{NodeId, ResourceId};
use crate::wire::{DecodeError, Reader};
use alloc::vec::Vec;
use bytes::Bytes;

/// The branching-factor where the configuration gives none (RFC 7374 §4.1).
pub const BRANCHING_FACTOR: u16 = 10;

/// Whether a record may be stored at this Resource-ID by this node: the Resource-ID is that of the tree node that the
/// record names, and the node lies in it.
pub fn belongs(record: &Bytes, resource: &ResourceId, node: NodeId, branching_factor: u16) -> bool {
    let Ok((namespace, level, number)) = tree_node(record) else { return false };
    resource_of(&namespace, level, number) == *resource
        && part_of(node, level, branching_factor) == Some(u64::from(number))
}

/// The Resource-ID of a tree node: the hash of namespace ∥ level ∥ node. The RFC does not say how the two numbers are
/// written: they stand here as in the record.
pub fn resource_of(namespace: &[u8], level: u16, node: u16) -> ResourceId {
    let mut name: Vec<u8> = namespace.to_vec();
    name.extend_from_slice(&level.to_be_bytes());
    name.extend_from_slice(&node.to_be_bytes());
    ResourceId::of_name(&name)
}

/// Which part of its level a node lies in: ⌊Node-ID · b^level / 2^128⌋. `None` where the parts are too many to count,
/// which is far behind what the 16 bits of a record can name.
pub fn part_of(node: NodeId, level: u16, branching_factor: u16) -> Option<u64> {
    let parts = u128::from(u64::from(branching_factor).checked_pow(level.into())?);
    let (high, low) = (node.to_u128() >> 64, node.to_u128() & u128::from(u64::MAX));
    let carry = (low * parts) >> 64;
    u64::try_from((high * parts + carry) >> 64).ok()
}

fn tree_node(record: &Bytes) -> Result<(Bytes, u16, u16), DecodeError> {
    let mut r = Reader::new(record);
    r.u8("type")?;
    r.sub16("destination_list")?;
    let namespace = r.sub16("namespace")?.rest();
    let tree_node = (namespace, r.u16("level")?, r.u16("node")?);
    r.sub16("length")?;
    r.finish("RedirServiceProvider")?;
    Ok(tree_node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    fn record(level: u16, node: u16) -> Bytes {
        let mut w = Writer::new();
        w.u8(1);
        w.sub16("destination_list", |w| w.raw(&[0x81, 0x23]));
        w.sub16("namespace", |w| w.raw(b"turn-server"));
        w.u16(level);
        w.u16(node);
        w.u16(0);
        w.finish().unwrap()
    }

    /// In the 4-bit space of RFC 7374 figure 4.
    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n << 124)
    }

    #[test]
    fn ac7_a_provider_writes_only_into_the_tree_nodes_that_it_lies_in() {
        let at = |level, node| resource_of(b"turn-server", level, node);
        let may = |n, level, node| belongs(&record(level, node), &at(level, node), id(n), 2);
        assert!((0..16).all(|n| may(n, 0, 0)), "the root is for everybody");
        assert!(may(2, 1, 0) && may(3, 1, 0) && may(4, 1, 0) && may(7, 1, 0) && !may(8, 1, 0));
        assert!(may(2, 2, 0) && !may(4, 2, 0) && may(4, 2, 1) && may(7, 2, 1), "figure 4");
        assert!(!belongs(&record(1, 0), &at(1, 1), id(2), 2), "another tree node's Resource-ID");
        assert!(!belongs(&Bytes::from_static(b"junk"), &at(0, 0), id(2), 2));
        assert!(!belongs(&record(0, 0).slice(..20), &at(0, 0), id(2), 2));
    }

    #[test]
    fn ac7_parts_that_do_not_divide_the_space_evenly_are_still_told_apart() {
        let third = u128::MAX / 3;
        assert_eq!(part_of(NodeId::from_u128(third), 1, 3), Some(0), "the last of the first third");
        assert_eq!(part_of(NodeId::from_u128(third + 1), 1, 3), Some(1));
        assert_eq!(part_of(NodeId::from_u128(u128::MAX), 5, 10), Some(99_999));
        assert_eq!(part_of(NodeId::from_u128(u128::MAX), 100, 10), None, "10^100 parts");
    }
}
