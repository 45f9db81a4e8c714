//! Store, Fetch, Stat and Find (RFC 6940 §7.4).
//!
//! ```text
//! StoreReq   ResourceId | u8 replica_number | StoreKindData kind_data<0..2^32-1>
//!              StoreKindData      u32 kind | u64 generation_counter | StoredData values<0..2^32-1>
//! StoreAns   StoreKindResponse kind_responses<0..2^16-1>
//!              StoreKindResponse  u32 kind | u64 generation_counter | NodeId replicas<0..2^16-1>
//! FetchReq   ResourceId | StoredDataSpecifier specifiers<0..2^16-1>           StatReq is the same
//!              StoredDataSpecifier  u32 kind | u64 generation | u16 length | model_specifier
//! FetchAns   FetchKindResponse kind_responses<0..2^32-1>
//!              FetchKindResponse  u32 kind | u64 generation | StoredData values<0..2^32-1>
//! StatAns    StatKindResponse kind_responses<0..2^32-1>
//!              StatKindResponse   u32 kind | u64 generation | StoredMetaData values<0..2^32-1>
//! FindReq    ResourceId | KindId kinds<0..2^8-1>
//! FindAns    FindKindData results<0..2^16-1>
//!              FindKindData       u32 kind | ResourceId closest
//! ```
//!
//! Values and specifiers stay raw until the data model of their Kind is known: a request with unknown Kinds can still
//! be answered with the list of all of them.

use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::{DataModel, KindId, RawValues, Structure, read_list, write_list};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// Stores values of one or more Kinds at one Resource-ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReq {
    /// Where.
    pub resource: ResourceId,
    /// 0 for the responsible peer, 1 and more for its replicas.
    pub replica_number: u8,
    /// The values by Kind.
    pub kind_data: Vec<StoreKindData>,
}

/// The values of one Kind in a Store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreKindData {
    /// The Kind.
    pub kind: KindId,
    /// The counter that the peer must have now; 0 for any (ST-8).
    pub generation_counter: u64,
    /// The values.
    pub values: RawValues,
}

impl Structure for StoreReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StoreReq {
            resource: ResourceId::read(r)?,
            replica_number: r.u8("replica_number")?,
            kind_data: read_list(r.sub32("kind_data")?)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.resource.write(w);
        w.u8(self.replica_number);
        w.sub32("kind_data", |w| write_list(w, &self.kind_data));
    }
}

impl Structure for StoreKindData {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StoreKindData {
            kind: KindId::read(r)?,
            generation_counter: r.u64("generation_counter")?,
            values: RawValues::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.kind.write(w);
        w.u64(self.generation_counter);
        self.values.write(w);
    }
}

/// The answer to a Store; also the error_info of Error_Generation_Counter_Too_Low.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreAns {
    /// One for each Kind of the request.
    pub kind_responses: Vec<StoreKindResponse>,
}

/// What became of one Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreKindResponse {
    /// The Kind.
    pub kind: KindId,
    /// Its counter now.
    pub generation_counter: u64,
    /// Where the values were or will be replicated (ST-20).
    pub replicas: Vec<NodeId>,
}

impl Structure for StoreAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StoreAns { kind_responses: read_list(r.sub16("kind_responses")?)? })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("kind_responses", |w| write_list(w, &self.kind_responses));
    }
}

impl Structure for StoreKindResponse {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StoreKindResponse {
            kind: KindId::read(r)?,
            generation_counter: r.u64("generation_counter")?,
            replicas: read_list(r.sub16("replicas")?)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.kind.write(w);
        w.u64(self.generation_counter);
        w.sub16("replicas", |w| write_list(w, &self.replicas));
    }
}

/// Asks for values of one or more Kinds at one Resource-ID. A Stat asks in the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReq {
    /// Where.
    pub resource: ResourceId,
    /// Which values, by Kind.
    pub specifiers: Vec<StoredDataSpecifier>,
}

impl Structure for FetchReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FetchReq { resource: ResourceId::read(r)?, specifiers: read_list(r.sub16("specifiers")?)? })
    }

    fn write(&self, w: &mut Writer) {
        self.resource.write(w);
        w.sub16("specifiers", |w| write_list(w, &self.specifiers));
    }
}

/// Which values of a Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDataSpecifier {
    /// The Kind.
    pub kind: KindId,
    /// The counter that the asker knows already; 0 for none.
    pub generation: u64,
    /// The selection, not looked at: to read it one must know the data model.
    pub model_specifier: Bytes,
}

/// Which values, in a data model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The only one.
    Single,
    /// Those in these ranges: `ArrayRange indices<0..2^16-1>`.
    Array(Vec<ArrayRange>),
    /// Those under these keys, or all of them when there are no keys: `DictionaryKey keys<0..2^16-1>` (FE-3).
    Dictionary(Vec<Bytes>),
}

/// Indices from `first` to `last`, both included; 0xffffffff is the last one that is stored.
///
/// The RFC says int32; they are unsigned all the same, as ArrayEntry's index is (FE-7). Whether ranges are in order and
/// apart from each other is for the storage to judge (FE-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrayRange {
    /// The first index.
    pub first: u32,
    /// The last index.
    pub last: u32,
}

impl Selection {
    /// The data model that such a selection is for.
    pub const fn model(&self) -> DataModel {
        match self {
            Selection::Single => DataModel::Single,
            Selection::Array(_) => DataModel::Array,
            Selection::Dictionary(_) => DataModel::Dictionary,
        }
    }
}

impl StoredDataSpecifier {
    /// Asks for these values of a Kind, whatever the generation.
    pub fn new(kind: KindId, selection: &Selection) -> Result<Self, EncodeError> {
        let mut w = Writer::new();
        match selection {
            Selection::Single => (),
            Selection::Array(ranges) => w.sub16("indices", |w| write_list(w, ranges)),
            Selection::Dictionary(keys) => {
                w.sub16("keys", |w| keys.iter().for_each(|key| w.sub16("key", |w| w.raw(key))));
            }
        }
        Ok(StoredDataSpecifier { kind, generation: 0, model_specifier: w.finish()? })
    }

    /// Reads the selection, given the data model of the Kind. A model_specifier of length 0 is taken as an empty list
    /// (FE-3). Offsets of errors count from the start of the model_specifier.
    pub fn selection(&self, model: DataModel) -> Result<Selection, DecodeError> {
        let mut r = Reader::new(&self.model_specifier);
        let selection = match model {
            DataModel::Single => Selection::Single,
            DataModel::Array if r.is_empty() => Selection::Array(Vec::new()),
            DataModel::Array => Selection::Array(read_list(r.sub16("indices")?)?),
            DataModel::Dictionary if r.is_empty() => Selection::Dictionary(Vec::new()),
            DataModel::Dictionary => {
                let mut list = r.sub16("keys")?;
                let mut keys = Vec::new();
                while !list.is_empty() {
                    keys.push(list.sub16("key")?.rest());
                }
                Selection::Dictionary(keys)
            }
        };
        r.finish("model_specifier")?;
        Ok(selection)
    }
}

impl Structure for StoredDataSpecifier {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StoredDataSpecifier {
            kind: KindId::read(r)?,
            generation: r.u64("generation")?,
            model_specifier: r.sub16("model_specifier")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.kind.write(w);
        w.u64(self.generation);
        w.sub16("model_specifier", |w| w.raw(&self.model_specifier));
    }
}

impl Structure for ArrayRange {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ArrayRange { first: r.u32("first")?, last: r.u32("last")? })
    }

    fn write(&self, w: &mut Writer) {
        w.u32(self.first);
        w.u32(self.last);
    }
}

/// The answer to a Fetch.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FetchAns {
    /// One for each Kind of the request (FE-4).
    pub kind_responses: Vec<FetchKindResponse>,
}

/// The values of one Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchKindResponse {
    /// The Kind.
    pub kind: KindId,
    /// Its counter.
    pub generation: u64,
    /// The values; [`RawValues::decode_values`] reads them.
    pub values: RawValues,
}

impl Structure for FetchAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FetchAns { kind_responses: read_list(r.sub32("kind_responses")?)? })
    }

    fn write(&self, w: &mut Writer) {
        w.sub32("kind_responses", |w| write_list(w, &self.kind_responses));
    }
}

impl Structure for FetchKindResponse {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FetchKindResponse {
            kind: KindId::read(r)?,
            generation: r.u64("generation")?,
            values: RawValues::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.kind.write(w);
        w.u64(self.generation);
        self.values.write(w);
    }
}

/// The answer to a Stat.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StatAns {
    /// One for each Kind of the request.
    pub kind_responses: Vec<StatKindResponse>,
}

/// The metadata of one Kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatKindResponse {
    /// The Kind.
    pub kind: KindId,
    /// Its counter.
    pub generation: u64,
    /// The metadata; [`RawValues::decode_metadata`] reads them.
    pub values: RawValues,
}

impl Structure for StatAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StatAns { kind_responses: read_list(r.sub32("kind_responses")?)? })
    }

    fn write(&self, w: &mut Writer) {
        w.sub32("kind_responses", |w| write_list(w, &self.kind_responses));
    }
}

impl Structure for StatKindResponse {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StatKindResponse {
            kind: KindId::read(r)?,
            generation: r.u64("generation")?,
            values: RawValues::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.kind.write(w);
        w.u64(self.generation);
        self.values.write(w);
    }
}

/// Asks which Resource-IDs a peer has values at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindReq {
    /// From here.
    pub resource: ResourceId,
    /// The Kinds, each once (FI-1).
    pub kinds: Vec<KindId>,
}

impl Structure for FindReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FindReq { resource: ResourceId::read(r)?, kinds: read_list(r.sub8("kinds")?)? })
    }

    fn write(&self, w: &mut Writer) {
        self.resource.write(w);
        w.sub8("kinds", |w| write_list(w, &self.kinds));
    }
}

/// The answer to a Find.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FindAns {
    /// One for each Kind that may be searched for (FI-3).
    pub results: Vec<FindKindData>,
}

/// Where the nearest values of a Kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindKindData {
    /// The Kind.
    pub kind: KindId,
    /// The nearest Resource-ID; all zeros when there is none.
    pub closest: ResourceId,
}

impl Structure for FindAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FindAns { results: read_list(r.sub16("results")?)? })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("results", |w| write_list(w, &self.results));
    }
}

impl Structure for FindKindData {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FindKindData { kind: KindId::read(r)?, closest: ResourceId::read(r)? })
    }

    fn write(&self, w: &mut Writer) {
        self.kind.write(w);
        self.closest.write(w);
    }
}
