//! Who may write what: every access control policy in one place (RFC 6940 §7.3, RFC 7374 §5, RFC 8076 §6.6).
//!
//! A policy judges a [`Claim`]: this signer, this slot, this value. The storing peer asks it about the signer of the value
//! and, when the writer itself stores, about the signer of the StoreReq too (AC-1); a reader asks it again about every
//! value that it fetches. Signatures and certificates have been checked before.

use super::share::{AccessList, Names};
use super::value::Slot;
use crate::env::Party;
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::{KindId, RedirServiceProvider, Structure as _};
use crate::reload::redir::Tree;
use bytes::Bytes;

/// What a policy judges.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Where.
    pub resource: &'a ResourceId,
    /// The Kind.
    pub kind: KindId,
    /// The slot.
    pub slot: &'a Slot,
    /// The value; `None` when the write removes one.
    pub value: Option<&'a Bytes>,
    /// Who signed.
    pub signer: &'a Party,
    /// Whose value the write would replace, if any.
    pub replaces: Option<&'a Party>,
    /// Whether the writer itself stores. Otherwise another peer hands over what it holds, or a reader has fetched it: it
    /// has been judged by whoever was responsible then, and what counts is whether it is valid.
    pub original: bool,
}

/// Who may write a value of a Kind (RFC 6940 §7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// USER-MATCH (§7.3.1): the user whose name hashes to the Resource-ID.
    UserMatch,
    /// NODE-MATCH (§7.3.2): the node whose Node-ID hashes to the Resource-ID.
    NodeMatch,
    /// USER-NODE-MATCH (§7.3.3): the user whose name hashes to the Resource-ID, in a dictionary, under the key that is
    /// the signing node's Node-ID.
    UserNodeMatch,
    /// NODE-MULTIPLE (§7.3.4): the node for which the hash of Node-ID ∥ i is the Resource-ID. The RFC does not say how i
    /// is written and where it begins: it is one byte, as in TurnServer, from 1.
    NodeMultiple {
        /// The largest i.
        max: u8,
    },
    /// NODE-ID-KEY, a policy of our own: anyone, in a dictionary, under the key that is the signing node's Node-ID. It is
    /// what NODE-ID-MATCH comes to where there is no tree.
    NodeIdKey,
    /// NODE-ID-MATCH (RFC 7374 §5): the same, and what is stored must belong into this node of the ReDiR tree.
    NodeIdMatch {
        /// The branching-factor of the tree.
        branching_factor: u16,
    },
    /// CHANNEL-GRANT, a policy of our own: in a dictionary, under the key that is the signing node's Node-ID, with a
    /// [`Grant`](crate::reload::codec::Grant) of the resource's owner in the
    /// [`ProviderRecord`](crate::reload::codec::ProviderRecord). Whoever once stood there may remove his record.
    ChannelGrant,
    /// USER-CHAIN-ACL (RFC 8076 §6.6): the owner of the resource, and whoever has the permission from the owner by a
    /// chain of items in the ACCESS-CONTROL-LIST beside it.
    UserChainAcl {
        /// The variable resource names that are allowed; `None` when there are none and only user names count.
        names: Option<Names>,
    },
}

impl Access {
    /// The policy of this name, as configuration documents call it (RFC 6940 §11.1). NODE-MULTIPLE needs its
    /// max-node-multiple. `None` when there is no such policy here: then the Kind cannot be supported (AC-6).
    pub fn named(name: &str, max_node_multiple: Option<u8>) -> Option<Self> {
        Some(match name {
            "USER-MATCH" => Access::UserMatch,
            "NODE-MATCH" => Access::NodeMatch,
            "USER-NODE-MATCH" => Access::UserNodeMatch,
            "NODE-MULTIPLE" => Access::NodeMultiple { max: max_node_multiple.filter(|&max| max > 0)? },
            "NODE-ID-KEY" => Access::NodeIdKey,
            "NODE-ID-MATCH" => Access::NodeIdMatch { branching_factor: Tree::BRANCHING_FACTOR },
            "CHANNEL-GRANT" => Access::ChannelGrant,
            "USER-CHAIN-ACL" => Access::UserChainAcl { names: None },
            _ => return None,
        })
    }

    /// The name of the policy, as configuration documents call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Access::UserMatch => "USER-MATCH",
            Access::NodeMatch => "NODE-MATCH",
            Access::UserNodeMatch => "USER-NODE-MATCH",
            Access::NodeMultiple { .. } => "NODE-MULTIPLE",
            Access::NodeIdKey => "NODE-ID-KEY",
            Access::NodeIdMatch { .. } => "NODE-ID-MATCH",
            Access::ChannelGrant => "CHANNEL-GRANT",
            Access::UserChainAcl { .. } => "USER-CHAIN-ACL",
        }
    }

    /// The variable resource names that the policy allows.
    pub const fn names(&self) -> Option<&Names> {
        match self {
            Access::UserChainAcl { names } => names.as_ref(),
            _ => None,
        }
    }

    /// Whether the signer may write this. `list` is the ACCESS-CONTROL-LIST at the same Resource-ID.
    pub fn allows(&self, claim: &Claim<'_>, list: &AccessList) -> bool {
        let Claim { resource, slot, signer, .. } = *claim;
        let has_name = || signer.user.as_ref().is_some_and(|user| names(user, resource));
        match self {
            Access::UserMatch => has_name(),
            Access::NodeMatch => ResourceId::of_name(&signer.node_id.0) == *resource,
            Access::UserNodeMatch => has_name() && is_key(slot, signer.node_id),
            Access::NodeMultiple { max } => (1..=*max).any(|i| node_multiple(signer.node_id, i) == *resource),
            Access::NodeIdKey => is_key(slot, signer.node_id),
            // The grant itself was checked with the signature.
            Access::ChannelGrant => {
                let stands = claim.value.is_some() || claim.replaces.is_some() || !claim.original;
                is_key(slot, signer.node_id) && stands
            }
            Access::NodeIdMatch { branching_factor } => {
                let tree = Tree::new(*branching_factor);
                let belongs = |value| {
                    RedirServiceProvider::decode(value)
                        .is_ok_and(|provider| tree.admits(&provider, resource, signer.node_id))
                };
                is_key(slot, signer.node_id) && claim.value.is_none_or(belongs)
            }
            Access::UserChainAcl { names } => list.allows(claim, names.as_ref()),
        }
    }
}

/// Whether a user name hashes to a Resource-ID.
pub(super) fn names(user: &str, resource: &ResourceId) -> bool {
    ResourceId::of_name(user.as_bytes()) == *resource
}

/// The Resource-ID of a node's i-th place under NODE-MULTIPLE: the hash of Node-ID ∥ i.
pub fn node_multiple(node: NodeId, i: u8) -> ResourceId {
    let mut name = [0; NodeId::LEN + 1];
    name[..NodeId::LEN].copy_from_slice(&node.0);
    name[NodeId::LEN] = i;
    ResourceId::of_name(&name)
}

pub(super) fn is_key(slot: &Slot, node: NodeId) -> bool {
    matches!(slot, Slot::Key(key) if key.as_ref() == node.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::KeyFingerprint;
    use alloc::string::String;
    use alloc::vec;

    const A: NodeId = NodeId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const B: NodeId = NodeId([0xbb; 16]);

    fn party(user: Option<&str>, node_id: NodeId) -> Party {
        let user = user.map(String::from);
        // Both devices' Node-IDs stand in the certificate; one of them is indicated.
        Party { node_id, node_ids: vec![A, B], user, key: KeyFingerprint::of(b"k"), certificate: None }
    }

    fn judge(access: &Access, resource: &ResourceId, slot: Slot, signer: &Party) -> bool {
        let value = Bytes::from_static(b"v");
        let claim = Claim {
            resource,
            kind: KindId(1),
            slot: &slot,
            value: Some(&value),
            signer,
            replaces: None,
            original: true,
        };
        access.allows(&claim, &AccessList::default())
    }

    fn key(node: NodeId) -> Slot {
        Slot::Key(Bytes::copy_from_slice(&node.0))
    }

    #[test]
    fn ac2_user_match_is_for_the_user_whose_name_hashes_to_the_resource_id() {
        let home = ResourceId::of_name(b"alice@example.org");
        let judge = |user, resource| judge(&Access::UserMatch, resource, Slot::Single, &party(user, A));
        assert!(judge(Some("alice@example.org"), &home));
        assert!(!judge(Some("Alice@example.org"), &home), "names are compared as bytes");
        assert!(!judge(Some("bob@example.org"), &home));
        assert!(!judge(None, &home), "nobody has proved a name");
        assert!(!judge(Some("alice@example.org"), &ResourceId::of_name(b"b")));
    }

    #[test]
    fn ac6_every_policy_is_known_by_the_name_that_it_has_and_no_other_is() {
        let all = [
            Access::UserMatch,
            Access::NodeMatch,
            Access::UserNodeMatch,
            Access::NodeMultiple { max: 3 },
            Access::NodeIdKey,
            Access::NodeIdMatch { branching_factor: Tree::BRANCHING_FACTOR },
            Access::ChannelGrant,
            Access::UserChainAcl { names: None },
        ];
        for access in all {
            assert_eq!(Access::named(access.name(), Some(3)), Some(access));
        }
        assert_eq!(Access::named("user-match", Some(3)), None);
        assert_eq!([None, Some(0)].map(|max| Access::named("NODE-MULTIPLE", max)), [None, None]);
    }

    #[test]
    fn ac7_with_a_grant_too_everybody_writes_under_his_own_key_alone() {
        let home = ResourceId::of_name(b"channel");
        let judge = |slot| judge(&Access::ChannelGrant, &home, slot, &party(None, A));
        assert!(judge(key(A)) && !judge(key(B)) && !judge(Slot::Single));
    }

    #[test]
    fn ac3_node_match_is_for_the_node_that_the_signer_identity_indicates() {
        let home = ResourceId::of_name(&A.0);
        assert!(judge(&Access::NodeMatch, &home, Slot::Single, &party(None, A)));
        assert!(
            !judge(&Access::NodeMatch, &home, Slot::Single, &party(None, B)),
            "A stands in the certificate too, but B is indicated"
        );
    }

    #[test]
    fn ac4_user_node_match_wants_the_users_name_and_the_indicated_nodes_key() {
        let home = ResourceId::of_name(b"alice");
        let judge = |user, node, slot| judge(&Access::UserNodeMatch, &home, slot, &party(Some(user), node));
        assert!(judge("alice", A, key(A)));
        assert!(!judge("alice", A, key(B)), "the key of alice's other device");
        assert!(!judge("bob", A, key(A)));
        assert!(!judge("alice", A, Slot::Single), "only in dictionaries");
    }

    #[test]
    fn ac5_node_multiple_counts_in_one_byte_from_one_to_the_maximum() {
        let at = |i| ResourceId::of_name(&[&A.0[..], &[i]].concat());
        assert_eq!(alloc::format!("{}", at(1)), "bee35d7a022bb1e1b34288aae08beb4c");
        let judge = |i| judge(&Access::NodeMultiple { max: 20 }, &at(i), Slot::Single, &party(None, A));
        assert!(judge(1) && judge(20));
        assert!(!judge(0) && !judge(21));
    }

    #[test]
    fn ac6_an_unknown_policy_has_no_name_here() {
        assert_eq!(Access::named("EXP-MATCH", None), None);
        assert_eq!(Access::named("NODE-MULTIPLE", None), None, "without its maximum");
        assert_eq!(Access::named("NODE-MULTIPLE", Some(0)), None);
        assert_eq!(Access::named("NODE-MULTIPLE", Some(3)), Some(Access::NodeMultiple { max: 3 }));
        for name in ["USER-MATCH", "NODE-MATCH", "USER-NODE-MATCH", "NODE-ID-MATCH", "USER-CHAIN-ACL"] {
            assert!(Access::named(name, None).is_some(), "{name}");
        }
    }
}
