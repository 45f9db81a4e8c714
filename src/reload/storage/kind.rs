//! Kinds: which data there are, who may write them, how much of them (RFC 6940 §7.3, §7.4.5).

use super::access::Access;
use crate::reload::codec::body::Selection;
use crate::reload::codec::{DataModel, KindId};
use crate::reload::redir::Tree;
use alloc::vec::Vec;

/// The definition of a Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its number.
    pub id: KindId,
    /// How its values are arranged.
    pub model: DataModel,
    /// Who may write them.
    pub access: Access,
    /// Values under one Resource-ID at most, removed ones that have not expired included (ST-15).
    pub max_count: usize,
    /// Bytes of one value at most (ST-15).
    pub max_size: usize,
    /// Whether a Find may look for it (FI-3).
    pub findable: bool,
}

impl Kind {
    /// What selects all values of this Kind. The RFC gives an empty list of array ranges no meaning; here it means all
    /// that are stored, for a range over everything would ask for billions of gaps.
    pub const fn everything(&self) -> Selection {
        match self.model {
            DataModel::Single => Selection::Single,
            DataModel::Array => Selection::Array(Vec::new()),
            DataModel::Dictionary => Selection::Dictionary(Vec::new()),
        }
    }

    /// The registered Kind of this number, with limits that fit its values. A configuration document may set other limits,
    /// but neither another data model nor another policy (RFC 6940 §11.1).
    pub fn registered(id: KindId) -> Option<Kind> {
        Kind::REGISTERED.into_iter().find(|k| k.id == id)
    }

    /// The registered Kind of this name, as configuration documents call it.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::REGISTERED.into_iter().find(|k| k.id.name() == Some(name))
    }

    /// Every registered Kind that can be stored here.
    pub const REGISTERED: [Kind; 6] = [
        Kind::SIP_REGISTRATION,
        Kind::TURN_SERVICE,
        Kind::CERTIFICATE_BY_NODE,
        Kind::ACCESS_CONTROL_LIST,
        Kind::CERTIFICATE_BY_USER,
        Kind::REDIR,
    ];

    /// Where a SIP user can be reached (RFC 7904 §7): at the hash of the address of record without its scheme, one
    /// [`SipRegistration`](crate::reload::codec::SipRegistration) for each of the user's nodes, under its Node-ID.
    pub const SIP_REGISTRATION: Kind = Kind {
        id: KindId::SIP_REGISTRATION,
        model: DataModel::Dictionary,
        access: Access::UserNodeMatch,
        max_count: 8,
        max_size: 512,
        findable: true,
    };

    /// Where a TURN server is (RFC 6940 §9): at the hashes of Node-ID ∥ 1, Node-ID ∥ 2 and so on, one
    /// [`TurnServer`](crate::reload::codec::TurnServer) each.
    pub const TURN_SERVICE: Kind = Kind {
        id: KindId::TURN_SERVICE,
        model: DataModel::Single,
        access: Access::NodeMultiple { max: 20 },
        max_count: 1,
        max_size: 64,
        findable: true,
    };

    /// Certificates (DER) of a node (RFC 6940 §8): at the hash of its Node-ID, the newest at the end.
    pub const CERTIFICATE_BY_NODE: Kind = Kind {
        id: KindId::CERTIFICATE_BY_NODE,
        model: DataModel::Array,
        access: Access::NodeMatch,
        max_count: 4,
        max_size: 2048,
        findable: true,
    };

    /// Certificates (DER) of a user (RFC 6940 §8): at the hash of the user name, the newest at the end.
    pub const CERTIFICATE_BY_USER: Kind = Kind {
        id: KindId::CERTIFICATE_BY_USER,
        model: DataModel::Array,
        access: Access::UserMatch,
        max_count: 8,
        max_size: 2048,
        findable: true,
    };

    /// Who may write the other Kinds at the same Resource-ID (RFC 8076 §7): one
    /// [`AccessControlListItem`](crate::reload::codec::AccessControlListItem) for each delegation, at indices that begin
    /// with the low 24 bits of the delegating node's Node-ID.
    pub const ACCESS_CONTROL_LIST: Kind = Kind {
        id: KindId::ACCESS_CONTROL_LIST,
        model: DataModel::Array,
        access: Access::UserChainAcl { names: None },
        max_count: 64,
        max_size: 512,
        findable: true,
    };

    /// Providers of services (RFC 7374 §6): at the hash of namespace ∥ level ∥ node of a ReDiR tree, one
    /// [`RedirServiceProvider`](crate::reload::codec::RedirServiceProvider) for each provider that lies there, under its
    /// Node-ID. The extension of one may hold a [`ProviderRecord`](crate::reload::codec::ProviderRecord).
    pub const REDIR: Kind = Kind {
        id: KindId::REDIR,
        model: DataModel::Dictionary,
        access: Access::NodeIdMatch { branching_factor: Tree::BRANCHING_FACTOR },
        max_count: 64,
        max_size: 768,
        findable: true,
    };

    /// The same where the record in the extension needs a grant. How many fit into a tree node says max-message-size: some
    /// ten into an answer of 16 KiB.
    pub const OWNED_REDIR: Kind = Kind { max_size: 2048, ..Kind::REDIR };

    /// The providers of a channel: at the hash of the channel's name, one
    /// [`ProviderRecord`](crate::reload::codec::ProviderRecord) for each, in UTF-8 where it is text, under its Node-ID.
    /// When parts of the overlay find each other again the newest record of each provider counts.
    pub const CHANNEL: Kind = Kind {
        id: KindId::CHANNEL,
        model: DataModel::Dictionary,
        access: Access::NodeIdKey,
        max_count: 16,
        max_size: 384,
        findable: true,
    };

    /// The same where channels have owners: a record stands there by a grant. Several may claim a name; when the places are
    /// taken, of whoever has most the oldest gives way.
    ///
    /// With self-signed certificates a record has some 700 bytes, its signature and its writer's certificate 550 more;
    /// all of them fit into an answer of 16 KiB.
    pub const OWNED_CHANNEL: Kind =
        Kind { access: Access::ChannelGrant, max_count: 12, max_size: 1536, ..Kind::CHANNEL };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kn1_every_kind_has_the_number_model_and_policy_of_its_registration() {
        use Access::{NodeIdMatch, NodeMatch, NodeMultiple, UserChainAcl, UserMatch, UserNodeMatch};
        use DataModel::{Array, Dictionary, Single};
        let registry = [
            (0x1, "SIP-REGISTRATION", Dictionary, UserNodeMatch),
            (0x2, "TURN-SERVICE", Single, NodeMultiple { max: 20 }),
            (0x3, "CERTIFICATE_BY_NODE", Array, NodeMatch),
            (0x4, "ACCESS-CONTROL-LIST", Array, UserChainAcl { names: None }),
            (0x10, "CERTIFICATE_BY_USER", Array, UserMatch),
            (0x104, "REDIR", Dictionary, NodeIdMatch { branching_factor: 10 }),
        ];
        for (id, name, model, access) in registry {
            let kind = Kind::named(name).unwrap();
            assert_eq!((kind.id, kind.model, &kind.access), (KindId(id), model, &access), "{name}");
            assert_eq!(Kind::registered(KindId(id)), Some(kind));
        }
        const { assert!(Kind::CHANNEL.id.0 >= 0xf000_0001, "KN-1: private use") };
        assert_eq!(Kind::registered(Kind::CHANNEL.id), None);
        assert_eq!(Kind::named("IPTV-CHANNEL"), None);
    }
}
