//! Identities for simulations and tests: certificates, users, several Node-IDs to a certificate; every run the same.
//!
//! This is no cryptography. Whoever holds the [`Authority`] can forge everything, and everybody who checks a signature
//! holds it: a "signature" is a digest over the key's secret and what is signed, and the secret follows from the
//! authority's seed. But all that the real thing decides is decided here too: a signer is only known by a certificate
//! that came along, a changed byte is noticed, certificates expire, have to be of this authority, and can be bad.
//!
//! ```text
//! certificate   "cert" | u64 key | u64 not_before | u64 not_after | u8 length of user | user
//!               | u8 Node-IDs | Node-IDs | u16 length of padding | padding | the authority's seal (32)
//! ```

use crate::env::{Crypto, CryptoError, Party, Signed, Signer};
use crate::ids::{KeyFingerprint, NodeId};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, Reader, Writer};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// SHA-256 with ECDSA, as a P-256 key signs.
const ALGORITHM: (u8, u8) = (4, 3);
/// Bytes of a signature, which is what a P-256 signature takes at most.
const SIGNATURE: usize = 72;
const CERT_HASH: u8 = 1;
const CERT_HASH_NODE_ID: u8 = 2;
const SHA256: u8 = 4;

/// Issues certificates, and knows which of them are good.
#[derive(Clone, Debug)]
pub struct Authority {
    seed: u64,
    bad: Vec<NodeId>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The number of the key that it speaks for.
    pub key: u64,
    /// The user name.
    pub user: Option<String>,
    /// The Node-IDs that it binds, at least one.
    pub node_ids: Vec<NodeId>,
    /// Valid from here.
    pub not_before: UnixMillis,
    /// Valid up to here.
    pub not_after: UnixMillis,
    /// Bytes that it is made longer by, so that it is as large as a real one: those take 400 to 500 with a P-256 key.
    pub padding: u16,
}

impl Certificate {
    /// For one node, valid always; the key is the low half of the Node-ID.
    pub fn of_node(node: NodeId) -> Self {
        Certificate {
            key: node.to_u128() as u64,
            user: None,
            node_ids: vec![node],
            not_before: UnixMillis(0),
            not_after: UnixMillis(u64::MAX),
            padding: 0,
        }
    }

    /// The same with a user name.
    pub fn of_user(user: &str, node: NodeId) -> Self {
        Certificate { user: Some(String::from(user)), ..Certificate::of_node(node) }
    }
}

impl Authority {
    /// The authority that belongs to a seed.
    pub const fn new(seed: u64) -> Self {
        Authority { seed, bad: Vec::new() }
    }

    /// The same with nodes that the configuration calls bad (SB-8).
    pub fn with_bad_nodes(mut self, nodes: &[NodeId]) -> Self {
        self.bad.extend_from_slice(nodes);
        self
    }

    /// The identity of a certificate's first node.
    pub fn issue(&self, certificate: &Certificate) -> Certified {
        let mut w = Writer::new();
        w.raw(b"cert");
        w.u64(certificate.key);
        w.u64(certificate.not_before.0);
        w.u64(certificate.not_after.0);
        w.sub8("user", |w| w.raw(certificate.user.as_deref().unwrap_or_default().as_bytes()));
        w.u8(certificate.node_ids.len() as u8);
        certificate.node_ids.iter().for_each(|node| w.raw(&node.0));
        w.sub16("padding", |w| w.raw(&vec![0; certificate.padding.into()]));
        let seal = digest(&[&self.seed.to_be_bytes(), w.as_slice()]);
        w.raw(&seal);
        Certified {
            authority: self.clone(),
            node_id: certificate.node_ids.first().copied().unwrap_or_default(),
            several: certificate.node_ids.len() > 1,
            key: certificate.key,
            user: certificate.user.clone(),
            self_signed: false,
            certificates: w.finish().into_iter().collect(),
        }
    }

    /// By what the key of this number is known.
    pub fn fingerprint(&self, key: u64) -> KeyFingerprint {
        KeyFingerprint::of(&self.secret(key))
    }

    fn secret(&self, key: u64) -> [u8; 32] {
        digest(&[b"secret", &self.seed.to_be_bytes(), &key.to_be_bytes()])
    }

    fn sign(&self, key: u64, parts: &[&[u8]]) -> Bytes {
        let whole = digest(&[&self.secret(key), &parts.concat()]);
        [whole, whole, whole].concat()[..SIGNATURE].to_vec().into()
    }

    /// What a certificate says, and who this node would be by it.
    fn read(&self, der: &Bytes) -> Result<Certificate, CryptoError> {
        let (certificate, sealed, seal) = parse(der).map_err(|_| CryptoError::BadCertificate)?;
        let good = digest(&[&self.seed.to_be_bytes(), &der[..sealed]]) == seal;
        if good { Ok(certificate) } else { Err(CryptoError::NotTrusted) }
    }
}

fn parse(der: &Bytes) -> Result<(Certificate, usize, [u8; 32]), DecodeError> {
    let mut r = Reader::new(der);
    r.take(4, "cert")?;
    let (key, not_before, not_after) = (r.u64("key")?, r.u64("not_before")?, r.u64("not_after")?);
    let user = r.sub8("user")?.rest();
    let user = core::str::from_utf8(&user).ok().filter(|u| !u.is_empty()).map(String::from);
    let n = r.u8("node_ids")?;
    let node_ids = (0..n).map(|_| r.array("NodeId").map(NodeId)).collect::<Result<_, _>>()?;
    let padding = r.sub16("padding")?.rest().len() as u16;
    let sealed = r.offset();
    let seal = r.array("seal")?;
    r.finish("certificate")?;
    let (not_before, not_after) = (UnixMillis(not_before), UnixMillis(not_after));
    Ok((Certificate { key, user, node_ids, not_before, not_after, padding }, sealed, seal))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    KeyFingerprint::of(&parts.concat()).0
}

/// An identity that an [`Authority`] vouches for.
#[derive(Clone, Debug)]
pub struct Certified {
    authority: Authority,
    node_id: NodeId,
    several: bool,
    key: u64,
    user: Option<String>,
    self_signed: bool,
    certificates: Vec<Bytes>,
}

impl Certified {
    /// The same identity, with the word that it made its certificate itself.
    pub fn self_signed(mut self) -> Self {
        self.self_signed = true;
        self
    }

    /// The same identity, signing as another of its certificate's Node-IDs.
    pub fn acting_as(mut self, node: NodeId) -> Self {
        self.node_id = node;
        self
    }

    /// The certificate.
    pub fn certificate(&self) -> &Bytes {
        &self.certificates[0]
    }

    fn identity_of(several: bool, node: NodeId, der: &[u8]) -> Signer {
        let hash = if several { digest(&[&node.0, der]) } else { digest(&[der]) };
        let identity_type = if several { CERT_HASH_NODE_ID } else { CERT_HASH };
        Signer { identity_type, value: [&[SHA256, 32], &hash[..]].concat().into() }
    }
}

impl Crypto for Certified {
    fn node_id(&self) -> NodeId {
        self.node_id
    }

    fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn is_self_signed(&self) -> bool {
        self.self_signed
    }

    fn certificates(&self) -> &[Bytes] {
        &self.certificates
    }

    fn signer(&self) -> Signer {
        Certified::identity_of(self.several, self.node_id, self.certificate())
    }

    fn sign(&self, parts: &[&[u8]]) -> Signed {
        let (hash, signature) = ALGORITHM;
        Signed { hash, signature, value: self.authority.sign(self.key, parts) }
    }

    fn verify(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        for der in certificates.iter().chain(&self.certificates) {
            let Ok((Certificate { node_ids, .. }, ..)) = parse(der) else { continue };
            let several = node_ids.len() > 1;
            let is_meant = |node: &&NodeId| Certified::identity_of(several, **node, der) == *signer;
            let Some(&node_id) = node_ids.iter().find(is_meant) else { continue };
            let Certificate { key, user, not_before, not_after, .. } = self.authority.read(der)?;
            if at < not_before || at > not_after {
                return Err(CryptoError::Expired);
            }
            if node_ids.iter().any(|node| self.authority.bad.contains(node)) {
                return Err(CryptoError::BadNode);
            }
            if (signed.hash, signed.signature) != ALGORITHM {
                return Err(CryptoError::BadAlgorithm);
            }
            if signed.value != self.authority.sign(key, parts) {
                return Err(CryptoError::BadSignature);
            }
            let key = self.authority.fingerprint(key);
            let certificate = Some(der.clone());
            return Ok(Arc::new(Party { node_id, node_ids, user, key, certificate }));
        }
        Err(CryptoError::UnknownSigner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([0xaa; 16]);
    const B: NodeId = NodeId([0xbb; 16]);

    fn check(by: &Certified, who: &Certified, certificates: &[Bytes]) -> Result<Arc<Party>, CryptoError> {
        by.verify(UnixMillis(50), &who.signer(), certificates, &[b"ab", b"c"], &who.sign(&[b"a", b"bc"]))
    }

    #[test]
    fn a_signer_is_known_by_the_certificate_that_came_along_and_by_nothing_else() {
        let authority = Authority::new(1);
        let alice = authority.issue(&Certificate::of_user("alice", A));
        let bob = authority.issue(&Certificate::of_node(B));
        let party = check(&bob, &alice, alice.certificates()).unwrap();
        assert_eq!((party.node_id, party.user.as_deref()), (A, Some("alice")));
        assert_eq!(party.certificate.as_ref(), Some(alice.certificate()));
        assert_eq!(check(&bob, &alice, &[]), Err(CryptoError::UnknownSigner));
        assert_eq!(check(&bob, &alice, bob.certificates()), Err(CryptoError::UnknownSigner));
        assert_ne!(party.key, check(&alice, &bob, bob.certificates()).unwrap().key);
    }

    #[test]
    fn of_several_node_ids_the_one_that_signs_is_indicated() {
        let authority = Authority::new(1);
        let two = Certificate { node_ids: vec![A, B], ..Certificate::of_user("alice", A) };
        let (a, b) = (authority.issue(&two), authority.issue(&two).acting_as(B));
        let party = check(&a, &b, b.certificates()).unwrap();
        assert_eq!((party.node_id, &party.node_ids[..]), (B, &[A, B][..]));
        assert_eq!(party.key, check(&b, &a, a.certificates()).unwrap().key);
    }

    #[test]
    fn what_is_expired_forged_bad_or_changed_is_refused() {
        let authority = Authority::new(1);
        let bob = authority.issue(&Certificate::of_node(B));
        let expired = Certificate { not_after: UnixMillis(49), ..Certificate::of_node(A) };
        let expired = authority.issue(&expired);
        assert_eq!(check(&bob, &expired, expired.certificates()), Err(CryptoError::Expired));
        let stranger = Authority::new(2).issue(&Certificate::of_node(A));
        assert_eq!(check(&bob, &stranger, stranger.certificates()), Err(CryptoError::NotTrusted));
        let strict = Authority::new(1).with_bad_nodes(&[A]).issue(&Certificate::of_node(B));
        let alice = authority.issue(&Certificate::of_node(A));
        assert_eq!(check(&strict, &alice, alice.certificates()), Err(CryptoError::BadNode));
        let signed = alice.sign(&[b"x"]);
        let changed = bob.verify(UnixMillis(0), &alice.signer(), alice.certificates(), &[b"y"], &signed);
        assert_eq!(changed, Err(CryptoError::BadSignature));
    }

    #[test]
    fn a_certificate_can_be_as_large_as_a_real_one() {
        let padded = Certificate { padding: 350, ..Certificate::of_user("alice@example.org", A) };
        let alice = Authority::new(1).issue(&padded);
        assert_eq!(alice.certificate().len(), 447);
        assert_eq!(alice.sign(&[b""]).value.len(), 72);
    }
}
