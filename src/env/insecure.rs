//! Identity without proof.

use super::{Crypto, CryptoError, Party, Signed, Signer};
use crate::ids::{KeyFingerprint, NodeId, sha1};
use crate::time::UnixMillis;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

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
        _at: UnixMillis,
        signer: &Signer,
        _certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        if signer.identity_type != Self::CERT_HASH_NODE_ID {
            return Err(CryptoError::UnknownSigner);
        }
        let [0, 16, id @ ..] = signer.value.as_ref() else { return Err(CryptoError::UnknownSigner) };
        let node_id = NodeId(id.try_into().map_err(|_| CryptoError::UnknownSigner)?);
        if (signed.hash, signed.signature) != (0, 0) {
            return Err(CryptoError::BadAlgorithm);
        }
        if signed.value != Self::digest(parts) {
            return Err(CryptoError::BadSignature);
        }
        let key = KeyFingerprint::of(&node_id.0);
        Ok(Arc::new(Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_insecure_identity_names_its_signer_and_notices_accidents() {
        let alice = InsecureIdentity::new(NodeId([1; 16]));
        let bob = InsecureIdentity::new(NodeId([2; 16]));
        let signed = alice.sign(&[b"ab", b"c"]);
        assert_eq!(
            bob.verify(UnixMillis(0), &alice.signer(), &[], &[b"a", b"bc"], &signed).map(|p| p.node_id),
            Ok(NodeId([1; 16]))
        );
        assert_eq!(
            bob.verify(UnixMillis(0), &alice.signer(), &[], &[b"abd"], &signed),
            Err(CryptoError::BadSignature)
        );
        let nobody = Signer { identity_type: 3, value: Bytes::new() };
        assert_eq!(
            bob.verify(UnixMillis(0), &nobody, &[], &[b"abc"], &signed),
            Err(CryptoError::UnknownSigner)
        );
    }
}
