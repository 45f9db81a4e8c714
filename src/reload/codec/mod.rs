//! The RELOAD message, bytes to values and back (RFC 6940 §6.3 to §6.7, §7, §10).
//!
//! ```text
//! frame        80 | sequence | message                   81 | ack_sequence | received
//! message      ForwardingHeader ∥ MessageContents ∥ SecurityBlock
//!              where it goes       what it says      who says so
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | [`framing`] | what lies on a link: messages and acknowledgements (§6.6.2) |
//! | [`header`] | the forwarding header, [`destination`] lists and [`option`]s (§6.3.2) |
//! | [`view`] | the same header read in place, for what only passes through |
//! | [`message`] | a whole message; its contents and extensions (§6.3.3) |
//! | [`error`] | the error response (§6.3.3.1) |
//! | [`security`] | certificates, signatures, and exactly which bytes they cover (§6.3.4, §7.1) |
//! | [`body`] | the bodies of all methods (§6.4, §6.5, §7.4) |
//! | [`stored`] | stored data, metadata, specifiers (§7) |
//! | [`chord`] | what CHORD-RELOAD puts into Update, Leave and RouteQuery (§10) |
//! | [`provider`] | the record that a provider of a channel stores |
//! | [`grant`] | an owner's word for a provider of the channel |
//! | [`acl`] | delegations of write access to shared resources (RFC 8076) |
//! | [`usages`] | values of TURN-SERVICE (§9) and SIP-REGISTRATION (RFC 7904) |
//! | [`redir`] | a provider of a service in its ReDiR tree (RFC 7374) |
//! | [`address`] | IP addresses with ports (§6.3.1.1) |
//! | [`numbers`] | code points |
//! | `generate` | generators of all of this, with the feature `arbitrary` |
//!
//! A node decodes as little as it can: a [`HeaderView`] stops behind the lists, so what travels through is rewritten
//! without a look at its payload; a body is decoded when its message is for this node; values are decoded
//! when their Kind is known, because the data model is not on the wire.

use crate::ids::{NodeId, ResourceId};
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

pub mod acl;
pub mod address;
pub mod body;
pub mod chord;
pub mod destination;
pub mod error;
pub mod framing;
#[cfg(feature = "arbitrary")]
pub mod generate;
pub mod grant;
pub mod header;
pub mod message;
pub mod numbers;
pub mod option;
pub mod provider;
pub mod redir;
pub mod security;
pub mod stored;
pub mod usages;
pub mod view;

pub use acl::{AccessControlListItem, ResourceNameExtension};
pub use address::IpAddressPort;
pub use body::Body;
pub use chord::{ChordLeaveData, ChordRouteQueryAns, ChordTables, ChordUpdate};
pub use destination::Destination;
pub use error::{ErrorInfo, ErrorResponse};
pub use framing::Frame;
pub use grant::Grant;
pub use header::{ForwardingHeader, Fragment};
pub use message::{Message, MessageContents, MessageExtension, Payload};
pub use numbers::{
    ApplicationId, CertificateType, ErrorCode, ExtensionType, HashAlgorithm, KindId, MessageCode, OptionType,
    OverlayLinkType, ProbeInformationType, RedirServiceProviderExtType, ResourceNameType, SignatureAlgorithm,
    SignerIdentityType, SipRegistrationType,
};
pub use option::ForwardingOption;
pub use provider::{ProviderRecord, ProviderRole};
pub use redir::RedirServiceProvider;
pub use security::{
    GenericCertificate, SecurityBlock, Signature, data_signature_input, message_signature_input,
};
pub use stored::{
    Arranged, DataModel, DataValue, MetaData, MetaDataValue, RawValues, StoredData, StoredDataValue,
    StoredMetaData,
};
pub use usages::{SipRegistration, TurnServer};
pub use view::{Entries, HeaderView, Passage};

/// A structure of the presentation language (RFC 6940 §6.3.1).
pub trait Structure: Sized {
    /// Reads one structure and leaves the reader behind it.
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Appends the structure.
    fn write(&self, w: &mut Writer);

    /// Reads bytes that hold one structure and nothing else.
    fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::read(&mut r)?;
        r.finish("message")?;
        Ok(value)
    }

    /// The structure as bytes; an error when a field is too long for its length prefix.
    fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }
}

impl Structure for NodeId {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array("NodeId").map(NodeId)
    }

    fn write(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
}

impl Structure for ResourceId {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let too_long = r.error(DecodeErrorKind::TooLong, "ResourceId");
        ResourceId::new(r.sub8("ResourceId")?.rest()).ok_or(too_long)
    }

    fn write(&self, w: &mut Writer) {
        w.sub8("ResourceId", |w| w.raw(self.as_bytes()));
    }
}

/// Structures until the reader is empty: the content of a `<0..2^n-1>` list.
fn read_list<T: Structure>(mut r: Reader<'_>) -> Result<Vec<T>, DecodeError> {
    let mut list = Vec::new();
    while !r.is_empty() {
        list.push(T::read(&mut r)?);
    }
    Ok(list)
}

fn write_list<T: Structure>(w: &mut Writer, list: &[T]) {
    list.iter().for_each(|item| item.write(w));
}

/// Boolean: one byte, 0 or 1 and nothing else (EN-3).
fn read_bool(r: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    let invalid = r.error(DecodeErrorKind::InvalidValue, field);
    match r.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid),
    }
}

fn write_bool(w: &mut Writer, b: bool) {
    w.u8(b.into());
}
