//! The word of a channel's owner that a node may store itself as a provider of the channel: it stands in the provider's
//! [`ProviderRecord`](super::ProviderRecord), where every reader can check it.
//!
//! ```text
//! u8  role           what the node may be: source 1, relayer 2
//! u32 epoch          of the channel; a source that takes over counts on
//! u64 not_before     milliseconds since 1970 UTC
//! u64 not_after
//! opaque certificate<0..2^16-1>     the owner's (DER); its user name is the channel's Resource Name
//! Signature                         the owner's (RFC 6940 §6.3.4)
//! ```

use super::{ProviderRole, Signature, Structure};
use crate::env::Signer;
use crate::ids::{NodeId, ResourceId};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use bytes::Bytes;

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What the node may be.
    pub role: ProviderRole,
    /// The channel's epoch.
    pub epoch: u32,
    /// It does not hold earlier.
    pub not_before: UnixMillis,
    /// It does not hold at this time or later.
    pub not_after: UnixMillis,
    /// The owner's certificate (DER).
    pub certificate: Bytes,
    /// The owner's signature over [`Grant::signature_input`].
    pub signature: Signature,
}

impl Grant {
    /// Stands in front of what a grant's signature covers, so that it is the signature of nothing else.
    const CONTEXT: &[u8] = b"p2piptv channel grant";

    /// What the signature covers:
    /// `"p2piptv channel grant" ∥ resource_id ∥ Node-ID ∥ role ∥ epoch ∥ not_before ∥ not_after ∥ SignerIdentity`.
    /// So a grant is good for one name and one node.
    pub fn signature_input(
        &self,
        resource: &ResourceId,
        node: NodeId,
        identity: &Signer,
    ) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.raw(Self::CONTEXT);
        resource.write(&mut w);
        node.write(&mut w);
        self.write_terms(&mut w);
        identity.write(&mut w);
        w.finish()
    }

    fn write_terms(&self, w: &mut Writer) {
        w.u8(self.role.0);
        w.u32(self.epoch);
        w.u64(self.not_before.0);
        w.u64(self.not_after.0);
    }
}

impl Structure for Grant {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Grant {
            role: ProviderRole(r.u8("role")?),
            epoch: r.u32("epoch")?,
            not_before: UnixMillis(r.u64("not_before")?),
            not_after: UnixMillis(r.u64("not_after")?),
            certificate: r.sub16("certificate")?.rest(),
            signature: Signature::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        self.write_terms(w);
        w.sub16("certificate", |w| w.raw(&self.certificate));
        self.signature.write(w);
    }
}
