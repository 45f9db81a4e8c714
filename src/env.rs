//! What the host lends: randomness and identity. The machines know only these two traits.

use crate::ids::{NodeId, sha1};
use alloc::vec::Vec;
use bytes::Bytes;

/// A source of random bytes. Transaction ids, branches, tags and SSRCs come from here, so in production it must be
/// unpredictable; in a test it must be repeatable.
pub trait Entropy: Send {
    /// Fills the whole slice.
    fn fill(&mut self, bytes: &mut [u8]);

    /// 64 random bits.
    fn next_u64(&mut self) -> u64 {
        let mut b = [0; 8];
        self.fill(&mut b);
        u64::from_le_bytes(b)
    }

    /// A number in `0..n`; 0 when `n` is 0. The bias is below 2^-32 for any `n` that fits into 32 bits.
    fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64 }
    }
}

/// A repeatable [`Entropy`] for tests and simulations (SplitMix64). Never use it where a stranger could guess the seed.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The stream of random bytes that belongs to this seed.
    pub const fn new(seed: u64) -> Self {
        Seeded(seed)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let b = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&b[..chunk.len()]);
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

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

/// Why a signature was not accepted.
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
}

/// Identity and signatures. The core asks only this; certificates and keys stay with whoever implements it.
pub trait Crypto: Send {
    /// The Node-ID that this node's certificate binds.
    fn node_id(&self) -> NodeId;
    /// Certificates to send along (DER), without the roots that everybody has.
    fn certificates(&self) -> &[Bytes];
    /// The SignerIdentity under which [`Crypto::sign`] signs; it is itself part of what is signed.
    fn signer(&self) -> Signer;
    /// Signs the concatenation of `parts`.
    fn sign(&self, parts: &[&[u8]]) -> Signed;
    /// Checks a signature over the concatenation of `parts` and tells whose it is. `certificates` are those of the
    /// message's SecurityBlock (DER).
    fn verify(
        &self,
        signer: &Signer,
        certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<NodeId, CryptoError>;
}

/// No security at all: a node says in clear text who it is, and everybody believes it.
///
/// The SignerIdentity is `cert_hash_node_id` with hash algorithm 0 (none) and the Node-ID itself as the "hash"; the
/// "signature" has algorithm {0, 0} (none, anonymous) and is the SHA-1 of what it covers, which finds accidents and
/// stops nobody. It is for tests, simulations and closed networks, and has to be asked for by name.
#[derive(Clone, Debug)]
pub struct InsecureIdentity {
    node_id: NodeId,
}

impl InsecureIdentity {
    const CERT_HASH_NODE_ID: u8 = 2;

    /// The identity that claims this Node-ID.
    pub const fn new(node_id: NodeId) -> Self {
        InsecureIdentity { node_id }
    }

    fn digest(parts: &[&[u8]]) -> Bytes {
        let all: Vec<u8> = parts.concat();
        Bytes::copy_from_slice(&sha1(&all))
    }
}

impl Crypto for InsecureIdentity {
    fn node_id(&self) -> NodeId {
        self.node_id
    }

    fn certificates(&self) -> &[Bytes] {
        &[]
    }

    fn signer(&self) -> Signer {
        let mut value = Vec::with_capacity(2 + NodeId::LEN);
        value.extend_from_slice(&[0, NodeId::LEN as u8]);
        value.extend_from_slice(&self.node_id.0);
        Signer { identity_type: Self::CERT_HASH_NODE_ID, value: value.into() }
    }

    fn sign(&self, parts: &[&[u8]]) -> Signed {
        Signed { hash: 0, signature: 0, value: Self::digest(parts) }
    }

    fn verify(
        &self,
        signer: &Signer,
        _certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<NodeId, CryptoError> {
        if signer.identity_type != Self::CERT_HASH_NODE_ID {
            return Err(CryptoError::UnknownSigner);
        }
        let [0, 16, id @ ..] = signer.value.as_ref() else { return Err(CryptoError::UnknownSigner) };
        let id = id.try_into().map_err(|_| CryptoError::UnknownSigner)?;
        if (signed.hash, signed.signature) != (0, 0) {
            return Err(CryptoError::BadAlgorithm);
        }
        if signed.value != Self::digest(parts) {
            return Err(CryptoError::BadSignature);
        }
        Ok(NodeId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_entropy_repeats_itself_and_fills_odd_lengths() {
        let (mut a, mut b) = (Seeded::new(7), Seeded::new(7));
        let (mut x, mut y) = ([0; 13], [0; 13]);
        a.fill(&mut x);
        b.fill(&mut y);
        assert_eq!(x, y);
        assert_ne!(x, [0; 13]);
        assert_ne!(a.next_u64(), Seeded::new(8).next_u64());
    }

    #[test]
    fn below_stays_below() {
        let mut e = Seeded::new(1);
        assert_eq!(e.below(0), 0);
        assert!((0..1000).all(|_| e.below(7) < 7));
    }

    #[test]
    fn the_insecure_identity_names_its_signer_and_notices_accidents() {
        let alice = InsecureIdentity::new(NodeId([1; 16]));
        let bob = InsecureIdentity::new(NodeId([2; 16]));
        let signed = alice.sign(&[b"ab", b"c"]);
        assert_eq!(bob.verify(&alice.signer(), &[], &[b"a", b"bc"], &signed), Ok(NodeId([1; 16])));
        assert_eq!(bob.verify(&alice.signer(), &[], &[b"abd"], &signed), Err(CryptoError::BadSignature));
        let nobody = Signer { identity_type: 3, value: Bytes::new() };
        assert_eq!(bob.verify(&nobody, &[], &[b"abc"], &signed), Err(CryptoError::UnknownSigner));
    }
}
