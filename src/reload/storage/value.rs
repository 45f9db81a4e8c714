//! One stored value, its slot, and what a Fetch selects.

use super::DataModel;
use crate::ids::NodeId;
use crate::reload::codec::Signature;
use crate::time::UnixMillis;
use alloc::vec::Vec;
use bytes::Bytes;

/// Where a value stands within a Resource-ID and Kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The only value (data model single, RFC 6940 §7.2.1).
    Single,
    /// An index (array, §7.2.2). [`Slot::APPEND`] appends.
    Index(u32),
    /// A key (dictionary, §7.2.3).
    Key(Bytes),
}

impl Slot {
    /// The index that appends (DM-2).
    pub const APPEND: Slot = Slot::Index(u32::MAX);

    /// The data model that has such slots.
    pub const fn model(&self) -> DataModel {
        match self {
            Slot::Single => DataModel::Single,
            Slot::Index(_) => DataModel::Array,
            Slot::Key(_) => DataModel::Dictionary,
        }
    }
}

/// A value as its writer signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// When the writer stored it, by the writer's clock.
    pub storage_time: UnixMillis,
    /// The bytes; `None` when the writer has removed the value.
    pub value: Option<Bytes>,
    /// The writer's signature.
    pub signature: Signature,
    /// Whose signature it is.
    pub signer: NodeId,
}

/// A value that shall be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub slot: Slot,
    /// For how long from now, in seconds.
    pub lifetime: u32,
    /// What.
    pub value: StoredValue,
}

/// What a Fetch or Stat asks for (StoredDataSpecifier, RFC 6940 §7.4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything of the Kind.
    All,
    /// The indices of these ranges, both ends included; 0xffffffff is the last element.
    Indices(Vec<(u32, u32)>),
    /// The values under these keys.
    Keys(Vec<Bytes>),
}

/// One answer to a Fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub slot: Slot,
    /// The value and the seconds that it will live on; `None` is a synthetic value: nothing is known here (DM-5).
    pub value: Option<(StoredValue, u32)>,
}
