//! Who says so: certificates and signatures (RFC 6940 §6.3.4), and exactly which bytes signatures cover.
//!
//! ```text
//! GenericCertificate  u8 type | opaque certificate<0..2^16-1>
//! Signature           u8 hash | u8 signature | SignerIdentity | opaque signature_value<0..2^16-1>
//! SignerIdentity      u8 identity_type | u16 length | identity
//!   cert_hash           identity = u8 hash_alg | opaque certificate_hash<0..2^8-1>
//!   cert_hash_node_id   identity = u8 hash_alg | opaque certificate_node_id_hash<0..2^8-1>
//!   none                identity is empty
//! ```

use super::{
    CertificateType, HashAlgorithm, KindId, MessageContents, SignerIdentityType, StoredDataValue, Structure,
    read_list, write_list,
};
use crate::env::{Signed, Signer};
use crate::ids::ResourceId;
use crate::time::UnixMillis;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenericCertificate {
    /// Its type; X.509 is the only one that RELOAD defines.
    pub certificate_type: CertificateType,
    /// X.509: the DER form.
    pub certificate: Bytes,
}

impl Structure for GenericCertificate {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(GenericCertificate {
            certificate_type: CertificateType::read(r)?,
            certificate: r.sub16("certificate")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.certificate_type.write(w);
        w.sub16("certificate", |w| w.raw(&self.certificate));
    }
}

/// A signature and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who signed. This is covered by the signature.
    pub identity: Signer,
    /// The algorithm, which is not covered, and the signature_value.
    pub signed: Signed,
}

impl Signature {
    /// No signature: algorithm {0, 0}, identity `none`, no value. It stands on values that were made up to fill a gap in
    /// an array (DM-5), and nowhere else.
    pub const fn none() -> Self {
        Signature {
            identity: Signer { identity_type: SignerIdentityType::NONE.0, value: Bytes::new() },
            signed: Signed { hash: 0, signature: 0, value: Bytes::new() },
        }
    }

    /// Whether nobody signed: identity `none` or algorithm {0, 0} with no value (ST-14).
    pub fn is_none(&self) -> bool {
        self.identity.identity_type == SignerIdentityType::NONE.0
            || (self.signed.hash, self.signed.signature) == (0, 0) && self.signed.value.is_empty()
    }
}

impl Structure for Signature {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (hash, signature) = (r.u8("hash")?, r.u8("signature")?);
        let identity = Signer::read(r)?;
        Ok(Signature {
            identity,
            signed: Signed { hash, signature, value: r.sub16("signature_value")?.rest() },
        })
    }

    fn write(&self, w: &mut Writer) {
        w.u8(self.signed.hash);
        w.u8(self.signed.signature);
        self.identity.write(w);
        w.sub16("signature_value", |w| w.raw(&self.signed.value));
    }
}

/// The SignerIdentity. The known types are checked for their structure; unknown ones pass.
impl Structure for Signer {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let identity_type = r.u8("identity_type")?;
        let mut identity = r.sub16("identity")?;
        let mut inside = identity.clone();
        match SignerIdentityType(identity_type) {
            SignerIdentityType::CERT_HASH | SignerIdentityType::CERT_HASH_NODE_ID => {
                HashAlgorithm::read(&mut inside)?;
                inside.sub8("certificate_hash")?;
                inside.finish("identity")?;
            }
            SignerIdentityType::NONE => inside.finish("identity")?,
            _ => (),
        }
        Ok(Signer { identity_type, value: identity.rest() })
    }

    fn write(&self, w: &mut Writer) {
        w.u8(self.identity_type);
        w.sub16("identity", |w| w.raw(&self.value));
    }
}

/// The hash algorithm and the hash in a `cert_hash` or `cert_hash_node_id` identity.
pub fn certificate_hash(signer: &Signer) -> Option<(HashAlgorithm, Bytes)> {
    match SignerIdentityType(signer.identity_type) {
        SignerIdentityType::CERT_HASH | SignerIdentityType::CERT_HASH_NODE_ID => {
            let mut r = Reader::new(&signer.value);
            let algorithm = HashAlgorithm::read(&mut r).ok()?;
            Some((algorithm, r.sub8("certificate_hash").ok()?.rest()))
        }
        _ => None,
    }
}

/// A `cert_hash` identity: for certificates with one Node-ID, the hash of the DER form (SB-2).
pub fn cert_hash(algorithm: HashAlgorithm, hash: &[u8]) -> Result<Signer, EncodeError> {
    identity(SignerIdentityType::CERT_HASH, algorithm, hash)
}

/// A `cert_hash_node_id` identity: for certificates with several Node-IDs, the hash of Node-ID ∥ DER (SB-2).
pub fn cert_hash_node_id(algorithm: HashAlgorithm, hash: &[u8]) -> Result<Signer, EncodeError> {
    identity(SignerIdentityType::CERT_HASH_NODE_ID, algorithm, hash)
}

fn identity(kind: SignerIdentityType, algorithm: HashAlgorithm, hash: &[u8]) -> Result<Signer, EncodeError> {
    let mut w = Writer::new();
    algorithm.write(&mut w);
    w.sub8("certificate_hash", |w| w.raw(hash));
    Ok(Signer { identity_type: kind.0, value: w.finish()? })
}

/// The third part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityBlock {
    /// Every certificate that is needed to check the signatures in this message, once each (SB-3).
    pub certificates: Vec<GenericCertificate>,
    /// The originator's signature.
    pub signature: Signature,
}

impl SecurityBlock {
    /// The DER form of the X.509 certificates, as [`Crypto::verify`](crate::env::Crypto::verify) takes them.
    pub fn x509(&self) -> Vec<Bytes> {
        let x509 = self.certificates.iter().filter(|c| c.certificate_type == CertificateType::X509);
        x509.map(|c| c.certificate.clone()).collect()
    }
}

impl Structure for SecurityBlock {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(SecurityBlock {
            certificates: read_list(r.sub16("certificates")?)?,
            signature: Signature::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("certificates", |w| write_list(w, &self.certificates));
        self.signature.write(w);
    }
}

/// What the signature of a message covers (RFC 6940 §6.3.4):
/// `overlay ∥ transaction_id ∥ MessageContents ∥ SignerIdentity`. Nothing that changes on the way (SB-6).
pub fn message_signature_input(
    overlay: u32,
    transaction_id: u64,
    contents: &MessageContents,
    identity: &Signer,
) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    w.u32(overlay);
    w.u64(transaction_id);
    contents.write(&mut w);
    identity.write(&mut w);
    w.finish()
}

/// What the signature of a stored value covers (RFC 6940 §7.1):
/// `resource_id ∥ kind ∥ storage_time ∥ StoredDataValue ∥ SignerIdentity`.
///
/// The Resource-ID stands without its length byte, which the RFC leaves open. An array index counts as 0, so that an
/// appended value keeps its signature (DM-3). Lifetime, generation counter and replica number are not covered.
pub fn data_signature_input(
    resource: &ResourceId,
    kind: KindId,
    storage_time: UnixMillis,
    value: &StoredDataValue,
    identity: &Signer,
) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    w.raw(resource.as_bytes());
    kind.write(&mut w);
    w.u64(storage_time.0);
    match value {
        StoredDataValue::Array { value, .. } => {
            w.u32(0);
            value.write(&mut w);
        }
        single_or_dictionary => single_or_dictionary.write(&mut w),
    }
    identity.write(&mut w);
    w.finish()
}
