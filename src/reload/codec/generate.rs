//! Generators of arbitrary messages and structures, shared by property tests and fuzz targets.
//!
//! What they make can be encoded, and decoding gives the same value again. Code points are taken from the whole range,
//! so unknown ones are among them.

use super::body::{
    AppAttach, ArrayRange, AttachReqAns, CandidateType, ConfigUpdateReq, Empty, FetchAns, FetchKindResponse,
    FetchReq, FindAns, FindKindData, FindReq, IceCandidate, IceExtension, JoinAns, JoinReq, LeaveReq,
    PingAns, PingReq, ProbeAns, ProbeInformation, ProbeReq, RouteQueryReq, Selection, StatAns,
    StatKindResponse, StoreAns, StoreKindData, StoreKindResponse, StoreReq, StoredDataSpecifier,
};
use super::*;
use crate::env::{Signed, Signer};
use crate::time::UnixMillis;
use alloc::string::String;
use arbitrary::{Arbitrary, Result, Unstructured};

/// The most elements of a generated list.
const LIST: usize = 3;
/// The most bytes of a generated opaque field.
const OPAQUE: usize = 40;

/// [`Arbitrary`], for types that are not this crate's too.
trait Generate: Sized {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self>;
}

/// Both traits for a type, by a function of `u`.
macro_rules! generate {
    ($($type:ty: |$u:ident| $value:expr;)*) => {$(
        impl Generate for $type {
            fn generate($u: &mut Unstructured<'_>) -> Result<Self> {
                $value
            }
        }

        impl<'a> Arbitrary<'a> for $type {
            fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
                Self::generate(u)
            }
        }
    )*};
}

/// Structures whose fields may be anything of their types.
macro_rules! generate_structs {
    ($($type:ident { $($field:ident),* })*) => {
        generate! { $($type: |u| Ok($type { $($field: any(u)?),* });)* }
    };
}

/// Types that have an [`Arbitrary`] of their own.
macro_rules! generate_arbitrary {
    ($($type:ty)*) => {$(
        impl Generate for $type {
            fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
                u.arbitrary()
            }
        }
    )*};
}

fn any<T: Generate>(u: &mut Unstructured<'_>) -> Result<T> {
    T::generate(u)
}

/// A code point for an `Unknown` variant, which must not be one of the known ones.
fn other_than(u: &mut Unstructured<'_>, known: &[u8]) -> Result<u8> {
    let n = any(u)?;
    Ok(if known.contains(&n) { 77 } else { n })
}

generate_arbitrary! { bool u8 u16 u32 u64 [u8; 4] [u8; 16] }

impl<T: Generate> Generate for Vec<T> {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        (0..u.int_in_range(0..=LIST)?).map(|_| any(u)).collect()
    }
}

impl Generate for Bytes {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        let n = u.int_in_range(0..=OPAQUE)?.min(u.len());
        u.bytes(n).map(Bytes::copy_from_slice)
    }
}

impl Generate for NodeId {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        any(u).map(NodeId)
    }
}

impl Generate for ResourceId {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(ResourceId::new(any(u)?).unwrap_or_default())
    }
}

impl Generate for UnixMillis {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        any(u).map(UnixMillis)
    }
}

impl Generate for Signer {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        let hash: Bytes = any(u)?;
        let made = match u.int_in_range(0..=3)? {
            0 => security::cert_hash(any(u)?, &hash),
            1 => security::cert_hash_node_id(any(u)?, &hash),
            2 => Ok(Signature::none().identity),
            _ => Ok(Signer { identity_type: other_than(u, &[1, 2, 3])?, value: hash }),
        };
        made.map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl Generate for Signed {
    fn generate(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Signed { hash: any(u)?, signature: any(u)?, value: any(u)? })
    }
}

generate! {
    MessageCode: |u| any(u).map(MessageCode);
    ErrorCode: |u| any(u).map(ErrorCode);
    KindId: |u| any(u).map(KindId);
    ExtensionType: |u| any(u).map(ExtensionType);
    OptionType: |u| any(u).map(OptionType);
    CertificateType: |u| any(u).map(CertificateType);
    HashAlgorithm: |u| any(u).map(HashAlgorithm);
    OverlayLinkType: |u| any(u).map(OverlayLinkType);
    ApplicationId: |u| any(u).map(ApplicationId);
    ProbeInformationType: |u| any(u).map(ProbeInformationType);
    ProviderRole: |u| any(u).map(ProviderRole);

    Frame: |u| Ok(match any(u)? {
        true => Frame::Data { sequence: any(u)?, message: any(u)? },
        false => Frame::Ack { ack_sequence: any(u)?, received: any(u)? },
    });
    Fragment: |u| Ok(Fragment { last: any(u)?, offset: any::<u32>(u)? >> 8 });
    ForwardingHeader: |u| {
        let mut destination_list = forwarders(u)?;
        if any(u)? {
            destination_list.push(Destination::Resource(any(u)?));
        }
        Ok(ForwardingHeader {
            overlay: any(u)?,
            configuration_sequence: any(u)?,
            ttl: any(u)?,
            fragment: any(u)?,
            transaction_id: any(u)?,
            max_response_length: any(u)?,
            via_list: forwarders(u)?,
            destination_list,
            options: any(u)?,
        })
    };
    Destination: |u| match u.int_in_range(0..=4)? {
        0 => any(u).map(Destination::Resource),
        _ => forwarder(u),
    };
    MessageContents: |u| MessageContents::new(&any(u)?)
        .map_err(|_| arbitrary::Error::IncorrectFormat)
        .and_then(|contents| Ok(MessageContents { extensions: any(u)?, ..contents }));
    Message: |u| Ok(Message {
        header: ForwardingHeader { fragment: Fragment::WHOLE, ..any(u)? },
        contents: any(u)?,
        security: any(u)?,
    });
    Body: |u| Ok(match u.int_in_range(0..=27)? {
        0 => Body::ProbeReq(any(u)?),
        1 => Body::ProbeAns(any(u)?),
        2 => Body::AttachReq(any(u)?),
        3 => Body::AttachAns(any(u)?),
        4 => Body::StoreReq(any(u)?),
        5 => Body::StoreAns(any(u)?),
        6 => Body::FetchReq(any(u)?),
        7 => Body::FetchAns(any(u)?),
        8 => Body::FindReq(any(u)?),
        9 => Body::FindAns(any(u)?),
        10 => Body::JoinReq(any(u)?),
        11 => Body::JoinAns(any(u)?),
        12 => Body::LeaveReq(any(u)?),
        13 => Body::LeaveAns(Empty),
        14 => Body::UpdateReq(any(u)?),
        15 => Body::UpdateAns(Empty),
        16 => Body::RouteQueryReq(any(u)?),
        17 => Body::RouteQueryAns(any(u)?),
        18 => Body::PingReq(any(u)?),
        19 => Body::PingAns(any(u)?),
        20 => Body::StatReq(any(u)?),
        21 => Body::StatAns(any(u)?),
        22 => Body::AppAttachReq(any(u)?),
        23 => Body::AppAttachAns(any(u)?),
        24 => Body::ConfigUpdateReq(any(u)?),
        25 => Body::ConfigUpdateAns(Empty),
        26 => Body::Error(any(u)?),
        _ => Body::Unknown { message_code: MessageCode(u.int_in_range(0x29..=0xfffe)?), message_body: any(u)? },
    });
    IpAddressPort: |u| Ok(match u.int_in_range(0..=2)? {
        0 => IpAddressPort::V4(any::<[u8; 4]>(u)?.into(), any(u)?),
        1 => IpAddressPort::V6(any::<[u8; 16]>(u)?.into(), any(u)?),
        _ => IpAddressPort::Unknown { address_type: other_than(u, &[1, 2])?, address: any(u)? },
    });
    CandidateType: |u| Ok(match u.int_in_range(0..=2)? {
        0 => CandidateType::Host,
        1 => CandidateType::ServerReflexive(any(u)?),
        _ => CandidateType::Relay(any(u)?),
    });
    ProbeInformation: |u| Ok(match u.int_in_range(0..=3)? {
        0 => ProbeInformation::ResponsibleSet(any(u)?),
        1 => ProbeInformation::NumResources(any(u)?),
        2 => ProbeInformation::Uptime(any(u)?),
        _ => ProbeInformation::Unknown {
            information_type: ProbeInformationType(other_than(u, &[1, 2, 3])?),
            value: any(u)?,
        },
    });
    ConfigUpdateReq: |u| Ok(match u.int_in_range(0..=2)? {
        0 => ConfigUpdateReq::Config(any(u)?),
        1 => ConfigUpdateReq::Kinds(any(u)?),
        _ => ConfigUpdateReq::Unknown { update_type: other_than(u, &[1, 2])?, content: any(u)? },
    });
    ChordTables: |u| Ok(match u.int_in_range(0..=2)? {
        0 => ChordTables::PeerReady,
        1 => ChordTables::Neighbors { predecessors: any(u)?, successors: any(u)? },
        _ => ChordTables::Full { predecessors: any(u)?, successors: any(u)?, fingers: any(u)? },
    });
    ChordLeaveData: |u| Ok(match any(u)? {
        true => ChordLeaveData::FromSuccessor(any(u)?),
        false => ChordLeaveData::FromPredecessor(any(u)?),
    });
    DataModel: |u| Ok(*u.choose(&[DataModel::Single, DataModel::Array, DataModel::Dictionary])?);
    RawValues: |u| {
        let model = any(u)?;
        let values: Result<Vec<_>> = (0..u.int_in_range(0..=LIST)?).map(|_| stored_data(model, u)).collect();
        RawValues::encode_values(&values?).map_err(|_| arbitrary::Error::IncorrectFormat)
    };
    Selection: |u| Ok(match u.int_in_range(0..=2)? {
        0 => Selection::Single,
        1 => Selection::Array(any(u)?),
        _ => Selection::Dictionary(any(u)?),
    });
    StoredDataSpecifier: |u| StoredDataSpecifier::new(any(u)?, &any(u)?)
        .map_err(|_| arbitrary::Error::IncorrectFormat)
        .and_then(|specifier| Ok(StoredDataSpecifier { generation: any(u)?, ..specifier }));
    ProviderRecord: |u| Ok(ProviderRecord {
        role: any(u)?,
        depth: any(u)?,
        free_slots: any(u)?,
        uptime_seconds: any(u)?,
        sip_contact: any::<Bytes>(u)?.iter().map(|b| char::from(b'!' + b % 94)).collect::<String>(),
        grant: if any(u)? { Some(any(u)?) } else { None },
    });
    ResourceNameExtension: |u| Ok(match any(u)? {
        true => ResourceNameExtension::Pattern(any(u)?),
        false => ResourceNameExtension::Unknown {
            name_type: ResourceNameType(other_than(u, &[1])?),
            data: any(u)?,
        },
    });
    SipRegistration: |u| Ok(match u.int_in_range(0..=2)? {
        0 => SipRegistration::Uri(any(u)?),
        1 => SipRegistration::Route {
            contact_prefs: any(u)?,
            destination_list: [alloc::vec![Destination::Node(any(u)?)], forwarders(u)?].concat(),
        },
        _ => SipRegistration::Unknown {
            registration_type: SipRegistrationType(other_than(u, &[1, 2])?),
            data: any(u)?,
        },
    });
    RedirServiceProvider: |u| Ok(RedirServiceProvider {
        ext_type: RedirServiceProviderExtType(any(u)?),
        destination_list: [alloc::vec![Destination::Node(any(u)?)], forwarders(u)?].concat(),
        namespace: any(u)?,
        level: any(u)?,
        node: any(u)?,
        extension: any(u)?,
    });
    StoredData: |u| any(u).and_then(|model| stored_data(model, u));
    StoredMetaData: |u| any(u).and_then(|model| stored_metadata(model, u));
}

generate_structs! {
    ForwardingOption { option_type, flags, value }
    MessageExtension { extension_type, critical, extension_contents }
    Payload { contents, security }
    SecurityBlock { certificates, signature }
    GenericCertificate { certificate_type, certificate }
    Grant { role, epoch, not_before, not_after, certificate, signature }
    Signature { identity, signed }
    ErrorResponse { error_code, error_info }
    ProbeReq { requested_info }
    ProbeAns { probe_info }
    PingReq { padding }
    PingAns { response_id, time }
    RouteQueryReq { send_update, destination, overlay_specific_data }
    ChordRouteQueryAns { next_peer }
    ChordUpdate { uptime, tables }
    AttachReqAns { ufrag, password, role, candidates, send_update }
    AppAttach { ufrag, password, application, role, candidates }
    IceCandidate { addr_port, overlay_link, foundation, priority, candidate_type, extensions }
    IceExtension { name, value }
    JoinReq { joining_peer_id, overlay_specific_data }
    JoinAns { overlay_specific_data }
    LeaveReq { leaving_peer_id, overlay_specific_data }
    StoreReq { resource, replica_number, kind_data }
    StoreKindData { kind, generation_counter, values }
    StoreAns { kind_responses }
    StoreKindResponse { kind, generation_counter, replicas }
    FetchReq { resource, specifiers }
    FetchAns { kind_responses }
    FetchKindResponse { kind, generation, values }
    StatAns { kind_responses }
    StatKindResponse { kind, generation, values }
    FindReq { resource, kinds }
    FindAns { results }
    FindKindData { kind, closest }
    ArrayRange { first, last }
    TurnServer { iteration, server_address }
    DataValue { exists, value }
    MetaData { exists, value_length, hash_algorithm, hash_value }
}

/// A destination that may stand anywhere in a list.
fn forwarder(u: &mut Unstructured<'_>) -> Result<Destination> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Destination::Node(any(u)?),
        1 => Destination::Opaque(any(u)?),
        2 => Destination::Compressed(any::<u16>(u)? | 0x8000),
        _ => Destination::Unknown { destination_type: u.int_in_range(4..=127)?, data: any(u)? },
    })
}

fn forwarders(u: &mut Unstructured<'_>) -> Result<Vec<Destination>> {
    (0..u.int_in_range(0..=LIST)?).map(|_| forwarder(u)).collect()
}

fn arranged<T: Generate>(model: DataModel, u: &mut Unstructured<'_>) -> Result<Arranged<T>> {
    Ok(match model {
        DataModel::Single => Arranged::Single(any(u)?),
        DataModel::Array => Arranged::Array { index: any(u)?, value: any(u)? },
        DataModel::Dictionary => Arranged::Dictionary { key: any(u)?, value: any(u)? },
    })
}

/// A stored value in this data model.
pub fn stored_data(model: DataModel, u: &mut Unstructured<'_>) -> Result<StoredData> {
    Ok(StoredData {
        storage_time: any(u)?,
        lifetime: any(u)?,
        value: arranged(model, u)?,
        signature: any(u)?,
    })
}

/// The metadata of a stored value in this data model.
pub fn stored_metadata(model: DataModel, u: &mut Unstructured<'_>) -> Result<StoredMetaData> {
    Ok(StoredMetaData { storage_time: any(u)?, lifetime: any(u)?, metadata: arranged(model, u)? })
}
