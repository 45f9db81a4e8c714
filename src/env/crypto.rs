//! Who this node is, and whose a signature is (RFC 6940 §6.3.4, §11.3).

use crate::ids::{KeyFingerprint, NodeId};
use crate::time::UnixMillis;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Who signed, as the SignerIdentity structure says it (RFC 6940 §6.3.4): its type and its value without the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// SignerIdentityType: 1 cert_hash, 2 cert_hash_node_id, 3 none.
    pub identity_type: u8,
    /// The identity_value, without its 16-bit length.
    pub value: Bytes,
}

/// A signature with its algorithm bytes (the SignatureAndHashAlgorithm of TLS 1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// HashAlgorithm.
    pub hash: u8,
    /// SignatureAlgorithm.
    pub signature: u8,
    /// The signature_value, without its 16-bit length.
    pub value: Bytes,
}

/// Who somebody is: what one certificate binds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The Node-ID that is meant: of a signature the one that its SignerIdentity indicates, of a channel the first one.
    pub node_id: NodeId,
    /// Every Node-ID that the certificate binds, `node_id` among them. With more than one, the other end of a link may
    /// only Ping and Attach until an Attach has said which is meant (RX-12).
    pub node_ids: Vec<NodeId>,
    /// The user name: the certificate's rfc822Name. `None` where nobody has proved one.
    pub user: Option<String>,
    /// The key that the certificate speaks for.
    pub key: KeyFingerprint,
    /// The certificate itself (DER), where there is one.
    pub certificate: Option<Bytes>,
}

/// Why a signature, or the certificate under it, was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The signer cannot be told from the identity and the certificates at hand.
    #[error("unknown signer")]
    UnknownSigner,
    /// The bytes are not those that were signed.
    #[error("bad signature")]
    BadSignature,
    /// The algorithm is not allowed for this key.
    #[error("algorithm not allowed")]
    BadAlgorithm,
    /// The certificate breaks the profile of RFC 6940 §11.3, or is too large to be looked at.
    #[error("malformed certificate")]
    BadCertificate,
    /// The certificate is not valid at this time (SB-7).
    #[error("certificate expired or not yet valid")]
    Expired,
    /// No root vouches for the certificate, and it is not self-signed where that is permitted (SB-9).
    #[error("certificate not trusted")]
    NotTrusted,
    /// The configuration lists its Node-ID as a bad node (SB-8).
    #[error("bad node")]
    BadNode,
}

/// Identity and signatures. The core asks only this; certificates and keys stay with whoever implements it.
pub trait Crypto: Send {
    /// The Node-ID that this node's certificate binds.
    fn node_id(&self) -> NodeId;
    /// The user name in this node's certificate.
    fn user(&self) -> Option<&str> {
        None
    }
    /// Whether this node made its certificate itself, so that nobody has seen to it that no other has its user name
    /// (RFC 6940 §11.3.1).
    fn is_self_signed(&self) -> bool {
        false
    }
    /// Certificates to send along (DER), without the roots that everybody has.
    fn certificates(&self) -> &[Bytes];
    /// The SignerIdentity under which [`Crypto::sign`] signs; it is itself part of what is signed.
    fn signer(&self) -> Signer;
    /// Signs the concatenation of `parts`.
    fn sign(&self, parts: &[&[u8]]) -> Signed;
    /// Checks a signature over the concatenation of `parts`, and that the signer's certificate is good at the time `at`,
    /// and tells whose it is. `certificates` are those that came along (DER), in any order; an implementation may know more.
    fn verify(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError>;
}
