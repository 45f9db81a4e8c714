//! Kinds: which data there are, who may write them, how much of them (RFC 6940 §7.3, §7.4.5).

use crate::reload::codec::body::Selection;
use crate::reload::codec::{DataModel, KindId};
use alloc::vec::Vec;

/// Who may write a value of a Kind (RFC 6940 §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, in a dictionary, under the key that is the signer's own Node-ID (the core of NODE-ID-MATCH, RFC 7374 §5).
    NodeIdMatch,
    /// The node whose Node-ID hashes to the Resource-ID (NODE-MATCH, RFC 6940 §7.3.2).
    NodeMatch,
}

/// The definition of a Kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Kind {
    /// What selects all values of this Kind.
    pub const fn everything(&self) -> Selection {
        match self.model {
            DataModel::Single => Selection::Single,
            DataModel::Array => Selection::Array(Vec::new()),
            DataModel::Dictionary => Selection::Dictionary(Vec::new()),
        }
    }

    /// The providers of a channel: at the channel's Resource-ID, one record for each, under its Node-ID.
    ///
    /// The counts are chosen so that an answer with every record fits into a message of 5000 bytes in practice.
    pub const CHANNEL: Kind = Kind {
        id: KindId::CHANNEL,
        model: DataModel::Dictionary,
        access: Access::NodeIdMatch,
        max_count: 16,
        max_size: 384,
    };
}
