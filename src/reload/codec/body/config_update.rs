//! ConfigUpdate (RFC 6940 §6.5.4): `u8 type | u32 length | content`. ConfigUpdateAns has no fields.
//!
//! ```text
//! config  opaque config_data<0..2^24-1>
//! kind    KindDescription kinds<0..2^24-1>, each an opaque<0..2^16-1>
//! ```

use crate::reload::codec::Structure;
use crate::wire::{DecodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

const CONFIG: u8 = 1;
const KIND: u8 = 2;

/// A newer configuration document, or definitions of Kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigUpdateReq {
    /// config: a whole configuration document.
    Config(Bytes),
    /// kind: kind-block elements in UTF-8, default namespace `urn:ietf:params:xml:ns:p2p:config-base` (CU-6).
    Kinds(Vec<Bytes>),
    /// Of a type that this version does not know.
    Unknown {
        /// ConfigUpdateType: neither 1 nor 2.
        update_type: u8,
        /// What follows the length.
        content: Bytes,
    },
}

impl Structure for ConfigUpdateReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let update_type = r.u8("ConfigUpdateType")?;
        let mut content = r.sub32("length")?;
        let update = match update_type {
            CONFIG => ConfigUpdateReq::Config(content.sub24("config_data")?.rest()),
            KIND => {
                let mut list = content.sub24("kinds")?;
                let mut kinds = Vec::new();
                while !list.is_empty() {
                    kinds.push(list.sub16("KindDescription")?.rest());
                }
                ConfigUpdateReq::Kinds(kinds)
            }
            _ => ConfigUpdateReq::Unknown { update_type, content: content.rest() },
        };
        content.finish("length")?;
        Ok(update)
    }

    fn write(&self, w: &mut Writer) {
        w.u8(match self {
            ConfigUpdateReq::Config(_) => CONFIG,
            ConfigUpdateReq::Kinds(_) => KIND,
            ConfigUpdateReq::Unknown { update_type, .. } => *update_type,
        });
        w.sub32("length", |w| match self {
            ConfigUpdateReq::Config(document) => w.sub24("config_data", |w| w.raw(document)),
            ConfigUpdateReq::Kinds(kinds) => w.sub24("kinds", |w| {
                kinds.iter().for_each(|kind| w.sub16("KindDescription", |w| w.raw(kind)));
            }),
            ConfigUpdateReq::Unknown { content, .. } => w.raw(content),
        });
    }
}
