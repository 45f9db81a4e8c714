//! Signatures over elements of a document (RFC 6940 §11.1): of a `configuration` by a configuration-signer, of a `kind`
//! by a kind-signer.
//!
//! What is signed is the element as it stands in the file, from its first `<` to its last `>`, and nobody may write it
//! anew. The RFC asks for "the standard SecurityBlock" and does not say what goes in front of the SignerIdentity; the
//! formulas of messages and of stored values need fields that a file does not have. Here it is the element alone:
//! `element ∥ SignerIdentity`.

use super::{DocumentError, DocumentErrorKind};
use crate::env::{Crypto, CryptoError, Signer};
use crate::ids::NodeId;
use crate::reload::codec::{
    CertificateType, GenericCertificate, SecurityBlock, Signature, Structure, security::certificate_hash,
};
use crate::time::UnixMillis;
use crate::wire::{EncodeError, Writer};
use alloc::string::String;
use bytes::Bytes;

/// What the signature of an element covers.
pub fn signature_input(element: &[u8], identity: &Signer) -> Result<Bytes, EncodeError> {
    let mut w = Writer::with_capacity(element.len() + 64);
    w.raw(element);
    identity.write(&mut w);
    w.finish()
}

/// Signs an element; the certificates come along.
pub(super) fn sign(element: &[u8], crypto: &dyn Crypto) -> Result<SecurityBlock, EncodeError> {
    let identity = crypto.signer();
    let signed = crypto.sign(&[&signature_input(element, &identity)?]);
    let certificates = crypto
        .certificates()
        .iter()
        .map(|der| GenericCertificate { certificate_type: CertificateType::X509, certificate: der.clone() });
    Ok(SecurityBlock { certificates: certificates.collect(), signature: Signature { identity, signed } })
}

/// Checks one signature, and tells whose it is.
fn signer(
    element: &[u8],
    security: &SecurityBlock,
    at: UnixMillis,
    crypto: &dyn Crypto,
) -> Result<NodeId, CryptoError> {
    let Signature { identity, signed } = &security.signature;
    if certificate_hash(identity).is_none() {
        return Err(CryptoError::UnknownSigner);
    }
    let input = signature_input(element, identity).map_err(|_| CryptoError::BadSignature)?;
    crypto.verify(at, identity, &security.x509(), &[&input], signed).map(|party| party.node_id)
}

/// Whose of these may sign has signed the element; the error says what is wrong with the last signature.
pub(super) fn verify(
    element: &[u8],
    signatures: &[SecurityBlock],
    may_sign: &[NodeId],
    bad: &[NodeId],
    at: UnixMillis,
    crypto: &dyn Crypto,
) -> Result<NodeId, DocumentErrorKind> {
    let mut wrong = DocumentErrorKind::NotSigned;
    for security in signatures {
        wrong = match signer(element, security, at, crypto) {
            Ok(node) if bad.contains(&node) => DocumentErrorKind::BadSignature(CryptoError::BadNode),
            Ok(node) if may_sign.contains(&node) => return Ok(node),
            Ok(_) => DocumentErrorKind::WrongSigner,
            Err(error) => DocumentErrorKind::BadSignature(error),
        };
    }
    Err(wrong)
}

/// The SecurityBlock in a `signature` or `kind-signature`. One that cannot be read is none.
pub(super) fn read(item: &super::xml::Item<'_>) -> Result<SecurityBlock, DocumentError> {
    SecurityBlock::decode(&item.base64()?).map_err(|_| item.error(DocumentErrorKind::InvalidValue))
}

/// A SecurityBlock as the text of a `signature`.
pub(super) fn encode(security: &SecurityBlock) -> Result<String, EncodeError> {
    Ok(super::xml::to_base64(&security.encode()?))
}
