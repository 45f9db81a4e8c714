//! Identity without proof, and channels without secrets.

use super::{Channel, ChannelError, Channels, Crypto, CryptoError, Party, Signed, Signer};
use crate::ids::{KeyFingerprint, NodeId, sha1};
use crate::time::{Instant, UnixMillis};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
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

/// Channels that hide nothing and prove nothing: each end begins with its Node-ID in clear, and is believed.
///
/// They take the place of TLS in simulations and tests, where every run has to repeat itself byte for byte.
#[derive(Clone, Debug)]
pub struct InsecureChannels(NodeId);

impl InsecureChannels {
    /// The channels of whoever claims this Node-ID.
    pub const fn new(node_id: NodeId) -> Self {
        InsecureChannels(node_id)
    }

    fn open(&self) -> Box<dyn Channel> {
        let hello = [&[InsecureChannel::HELLO], self.0.0.as_slice()].concat();
        let outgoing = VecDeque::from([Bytes::from(hello)]);
        let (hello, plaintext) = (heapless::Vec::new(), VecDeque::new());
        Box::new(InsecureChannel { hello, peer: None, outgoing, waiting: Vec::new(), plaintext })
    }
}

impl Channels for InsecureChannels {
    fn connect(&mut self, _now: Instant, _at: UnixMillis) -> Box<dyn Channel> {
        self.open()
    }

    fn accept(&mut self, _now: Instant, _at: UnixMillis) -> Box<dyn Channel> {
        self.open()
    }
}

/// One end.
struct InsecureChannel {
    /// What has come of the other end's first bytes.
    hello: heapless::Vec<u8, { 1 + NodeId::LEN }>,
    peer: Option<Arc<Party>>,
    outgoing: VecDeque<Bytes>,
    /// Plaintext before the other end is known.
    waiting: Vec<u8>,
    plaintext: VecDeque<Bytes>,
}

impl InsecureChannel {
    /// The byte that a TLS handshake begins with, so that both are told from SIP in the same way.
    const HELLO: u8 = 22;
    /// Bytes that may wait for the other end's first.
    const WAITING: usize = 64 * 1024;
}

impl Channel for InsecureChannel {
    fn handle_ciphertext(&mut self, _now: Instant, bytes: &[u8]) -> Result<(), ChannelError> {
        let missing = self.hello.capacity() - self.hello.len();
        let (hello, rest) = bytes.split_at(missing.min(bytes.len()));
        // There is room: no more was cut off than is missing.
        let _ = self.hello.extend_from_slice(hello);
        if self.hello.first().is_some_and(|&byte| byte != Self::HELLO) {
            return Err(ChannelError::Protocol);
        }
        if self.peer.is_none()
            && let [_, id @ ..] = self.hello.as_slice()
            && let Ok(id) = id.try_into()
        {
            let node_id = NodeId(id);
            let key = KeyFingerprint::of(&node_id.0);
            let party = Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None };
            self.peer = Some(Arc::new(party));
            if !self.waiting.is_empty() {
                self.outgoing.push_back(core::mem::take(&mut self.waiting).into());
            }
        }
        if !rest.is_empty() {
            self.plaintext.push_back(Bytes::copy_from_slice(rest));
        }
        Ok(())
    }

    fn send(&mut self, _now: Instant, plaintext: &[u8]) -> Result<(), ChannelError> {
        if self.peer.is_some() {
            self.outgoing.push_back(Bytes::copy_from_slice(plaintext));
        } else if self.waiting.len() + plaintext.len() <= Self::WAITING {
            self.waiting.extend_from_slice(plaintext);
        } else {
            return Err(ChannelError::Full);
        }
        Ok(())
    }

    fn close(&mut self, _now: Instant) {}

    fn poll_ciphertext(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    fn poll_plaintext(&mut self) -> Option<Bytes> {
        self.plaintext.pop_front()
    }

    fn peer(&self) -> Option<&Arc<Party>> {
        self.peer.as_ref()
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
