//! Whom to believe: the overlay's roots, or keys that speak for themselves (RFC 6940 §11.3, §11.3.1).

use super::certificate::{KeyType, MAX_CERTIFICATE, NodeCertificate, Validity};
use super::memory::{Hash, MAX_KNOWN, Memory};
use crate::env::{CryptoError, Party, Signed, Signer};
use crate::ids::{KeyFingerprint, NodeId, sha1};
use crate::reload::codec::security::certificate_hash;
use crate::reload::codec::{HashAlgorithm, SignatureAlgorithm, SignerIdentityType};
use crate::time::{Duration, UnixMillis};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use sha2::{Digest as _, Sha256};
use std::sync::{Mutex, PoisonError};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, RequiredEkuNotFoundContext,
};

/// The most certificates between a node's certificate and a root.
pub const MAX_INTERMEDIATES: usize = 2;

/// The digest that makes a Node-ID out of a key (the `digest` of self-signed-permitted, RFC 6940 §11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Digest {
    /// The Node-ID at this place, counted from 0, of a self-signed certificate with `of` Node-IDs: the high-order
    /// bytes of the digest over the DER SubjectPublicKeyInfo. With more than one Node-ID the place, counted from 1,
    /// stands before it in 32 bits (RFC 6940 §11.3.1).
    pub fn node_id(self, public_key: &[u8], place: usize, of: usize) -> NodeId {
        let place = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1).to_be_bytes();
        let input = if of > 1 { [&place, public_key].concat() } else { public_key.to_vec() };
        let mut node_id = NodeId::default();
        let length = NodeId::LEN;
        match self {
            Digest::Sha1 => node_id.0.copy_from_slice(&sha1(&input)[..length]),
            Digest::Sha256 => node_id.0.copy_from_slice(&Sha256::digest(&input)[..length]),
        }
        node_id
    }
}

/// Whose certificates are accepted in an overlay: what its configuration document says about it (RFC 6940 §11.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The overlay's name, which every certificate has to bear.
    pub overlay: String,
    /// Certificates (DER) of the authorities that vouch for nodes: the root-cert elements.
    pub roots: Vec<Bytes>,
    /// Whether a certificate may be self-signed, and how its Node-IDs come from its key: self-signed-permitted.
    pub self_signed: Option<Digest>,
    /// Nodes whose certificates count as invalid: the bad-node elements.
    pub bad_nodes: BTreeSet<NodeId>,
}

impl Trust {
    /// Trust in certificates that these roots (DER) vouch for.
    pub fn in_roots(overlay: &str, roots: Vec<Bytes>) -> Self {
        Trust { overlay: String::from(overlay), roots, self_signed: None, bad_nodes: BTreeSet::new() }
    }

    /// Trust in every key to speak for the Node-ID that comes from it. User names prove nothing then.
    pub fn in_keys(overlay: &str, digest: Digest) -> Self {
        Trust { self_signed: Some(digest), ..Trust::in_roots(overlay, Vec::new()) }
    }
}

/// A certificate that was found good.
#[derive(Debug)]
pub(super) struct Known {
    certificate: NodeCertificate,
    /// When it and everything between it and its root is valid.
    validity: Validity,
    /// One for each of its Node-IDs, in their order.
    parties: Vec<Arc<Party>>,
}

/// Judges certificates and signatures by what the overlay's configuration says, which may change.
#[derive(Debug)]
pub(crate) struct Judge {
    provider: Arc<CryptoProvider>,
    belief: Mutex<Arc<Belief>>,
}

impl Judge {
    /// Fails when a root is no certificate.
    pub(crate) fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Result<Self, CryptoError> {
        let belief = Mutex::new(Arc::new(Belief::new(trust, provider.clone())?));
        Ok(Judge { provider, belief })
    }

    /// From now on it judges by this.
    pub(crate) fn believe(&self, trust: Trust) -> Result<(), CryptoError> {
        let belief = Arc::new(Belief::new(trust, self.provider.clone())?);
        *self.belief.lock().unwrap_or_else(PoisonError::into_inner) = belief;
        Ok(())
    }

    fn belief(&self) -> Arc<Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// Who is at the other end of a channel: the chain begins with the node's own certificate. Of several Node-IDs the
    /// first one is meant.
    pub(crate) fn peer(&self, at: UnixMillis, chain: &[&[u8]]) -> Result<Arc<Party>, CryptoError> {
        self.belief().peer(at, chain)
    }

    /// Checks whose signature this is, that its certificate is good, and the signature over the parts.
    pub(crate) fn signature(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[&[u8]],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        self.belief().signature(at, signer, certificates, parts, signed)
    }
}

/// Whom to believe at present, and the certificates that were found good by it.
#[derive(Debug)]
struct Belief {
    trust: Trust,
    anchors: Vec<TrustAnchor<'static>>,
    provider: Arc<CryptoProvider>,
    memory: Mutex<Memory>,
}

impl Belief {
    fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Result<Self, CryptoError> {
        let mut anchors = Vec::with_capacity(trust.roots.len());
        for root in &trust.roots {
            let root = CertificateDer::from(root.as_ref());
            let anchor = webpki::anchor_from_trusted_cert(&root).map_err(|_| CryptoError::BadCertificate)?;
            anchors.push(anchor.to_owned());
        }
        let memory = Mutex::new(Memory::new(MAX_KNOWN));
        Ok(Belief { trust, anchors, provider, memory })
    }

    fn peer(&self, at: UnixMillis, chain: &[&[u8]]) -> Result<Arc<Party>, CryptoError> {
        let (leaf, others) = chain.split_first().ok_or(CryptoError::BadCertificate)?;
        let certificate = NodeCertificate::read(leaf, &self.trust.overlay)?;
        let several = certificate.node_ids.len() > 1;
        let known = match self.recall(at, &hash_of(several.then(|| certificate.node_ids[0]), leaf)) {
            Some((known, _)) => known,
            None => self.judge(at, certificate, others)?,
        };
        Ok(known.parties[0].clone())
    }

    fn signature(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[&[u8]],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        // The algorithm is not covered by the signature, so nothing may be chosen by it: it must be the key's own.
        let (scheme, key_type) = match (HashAlgorithm(signed.hash), SignatureAlgorithm(signed.signature)) {
            (HashAlgorithm::SHA256, SignatureAlgorithm::RSA) => {
                (SignatureScheme::RSA_PKCS1_SHA256, KeyType::Rsa)
            }
            (HashAlgorithm::SHA256, SignatureAlgorithm::ECDSA) => {
                (SignatureScheme::ECDSA_NISTP256_SHA256, KeyType::P256)
            }
            _ => return Err(CryptoError::BadAlgorithm),
        };
        let (known, place) = self.signer(at, signer, certificates)?;
        if known.certificate.key_type != key_type {
            return Err(CryptoError::BadAlgorithm);
        }
        let der = CertificateDer::from(known.certificate.der.as_ref());
        let certificate = EndEntityCert::try_from(&der).map_err(|_| CryptoError::BadCertificate)?;
        let algorithm = self.algorithm(scheme, key_type).ok_or(CryptoError::BadAlgorithm)?;
        certificate
            .verify_signature(algorithm, &parts.concat(), &signed.value)
            .map_err(|_| CryptoError::BadSignature)?;
        Ok(known.parties[place].clone())
    }

    /// The certificate that a SignerIdentity means, and which of its Node-IDs.
    fn signer(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[&[u8]],
    ) -> Result<(Arc<Known>, usize), CryptoError> {
        let (algorithm, hash) = certificate_hash(signer).ok_or(CryptoError::UnknownSigner)?;
        if algorithm != HashAlgorithm::SHA256 {
            return Err(CryptoError::BadAlgorithm);
        }
        let hash = Hash::try_from(hash.as_ref()).map_err(|_| CryptoError::UnknownSigner)?;
        let several = SignerIdentityType(signer.identity_type) == SignerIdentityType::CERT_HASH_NODE_ID;
        if let Some((known, place)) = self.recall(at, &hash) {
            // The form of the identity is part of what is signed, and there is one for each kind of certificate.
            return if several == known.is_several() {
                Ok((known, place))
            } else {
                Err(CryptoError::UnknownSigner)
            };
        }
        let roots = self.trust.roots.iter().map(AsRef::as_ref);
        for candidate in certificates.iter().copied().chain(roots) {
            let certificate = if several {
                let Ok(read) = NodeCertificate::read(candidate, &self.trust.overlay) else { continue };
                if !read.node_ids.iter().any(|id| hash_of(Some(*id), candidate) == hash) {
                    continue;
                }
                read
            } else {
                if candidate.len() > MAX_CERTIFICATE || hash_of(None, candidate) != hash {
                    continue;
                }
                NodeCertificate::read(candidate, &self.trust.overlay)?
            };
            if several != (certificate.node_ids.len() > 1) {
                return Err(CryptoError::UnknownSigner);
            }
            let place = certificate.node_ids.iter().position(|id| hash_of(Some(*id), candidate) == hash);
            let known = self.judge(at, certificate, certificates)?;
            return Ok((known, place.unwrap_or_default()));
        }
        Err(CryptoError::UnknownSigner)
    }

    /// Finds a certificate good or not: its Node-IDs, its time, and who vouches for it.
    fn judge(
        &self,
        at: UnixMillis,
        certificate: NodeCertificate,
        others: &[&[u8]],
    ) -> Result<Arc<Known>, CryptoError> {
        if certificate.node_ids.iter().any(|id| self.trust.bad_nodes.contains(id)) {
            return Err(CryptoError::BadNode);
        }
        if !certificate.validity.contains(at) {
            return Err(CryptoError::Expired);
        }
        let validity = match self.trust.self_signed {
            Some(digest) if certificate.self_issued => self.self_signed(at, &certificate, digest)?,
            _ => self.chain(at, &certificate, others)?,
        };
        let known = Arc::new(Known::new(certificate, validity));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, party) in known.parties.iter().enumerate() {
            let node_id = known.is_several().then_some(party.node_id);
            memory.insert(hash_of(node_id, &known.certificate.der), &known, place);
        }
        Ok(known)
    }

    /// A chain to a root, with BasicConstraints (CE-6).
    fn chain(
        &self,
        at: UnixMillis,
        certificate: &NodeCertificate,
        others: &[&[u8]],
    ) -> Result<Validity, CryptoError> {
        if self.anchors.is_empty() {
            return Err(CryptoError::NotTrusted);
        }
        // Most often nobody stands in between, and what came along need not be looked at.
        match self.path(at, certificate, &self.anchors, &[]) {
            Err(CryptoError::NotTrusted) => match between(certificate, others) {
                nobody if nobody.is_empty() => Err(CryptoError::NotTrusted),
                issuers => self.path(at, certificate, &self.anchors, &issuers),
            },
            judged => judged,
        }
    }

    /// A key that speaks for itself: Node-IDs that come from it, and its own signature (CE-7, CE-8, CE-9).
    fn self_signed(
        &self,
        at: UnixMillis,
        certificate: &NodeCertificate,
        digest: Digest,
    ) -> Result<Validity, CryptoError> {
        let of = certificate.node_ids.len();
        let own = |(place, id): (usize, &NodeId)| *id == digest.node_id(&certificate.public_key, place, of);
        if !certificate.node_ids.iter().enumerate().all(own) {
            return Err(CryptoError::NotTrusted);
        }
        // As its own issuer: this checks the signature, time, and constraints. That it may be trusted at all was
        // decided by its Node-IDs.
        let der = CertificateDer::from(certificate.der.as_ref());
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| CryptoError::BadCertificate)?;
        self.path(at, certificate, &[anchor], &[])
    }

    /// A path from a certificate to an anchor, and when all of it is valid.
    fn path(
        &self,
        at: UnixMillis,
        certificate: &NodeCertificate,
        anchors: &[TrustAnchor<'_>],
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Validity, CryptoError> {
        let der = CertificateDer::from(certificate.der.as_ref());
        let leaf = EndEntityCert::try_from(&der).map_err(refusal)?;
        let time = UnixTime::since_unix_epoch(Duration::from_millis(at.0));
        let algorithms = self.provider.signature_verification_algorithms.all;
        let path = leaf
            .verify_for_usage(algorithms, anchors, intermediates, time, BothEnds, None, None)
            .map_err(refusal)?;
        let mut issuers = path.intermediate_certificates().map(|issuer| Validity::read(&issuer.der()));
        issuers.try_fold(certificate.validity, |all, one| Ok(all.and(one?)))
    }

    /// The one algorithm of a key.
    fn algorithm(
        &self,
        scheme: SignatureScheme,
        key_type: KeyType,
    ) -> Option<&'static dyn SignatureVerificationAlgorithm> {
        let key = match key_type {
            KeyType::P256 => rustls::pki_types::alg_id::ECDSA_P256,
            KeyType::Rsa => rustls::pki_types::alg_id::RSA_ENCRYPTION,
        };
        let mapping = self.provider.signature_verification_algorithms.mapping;
        let (_, algorithms) = mapping.iter().find(|(s, _)| *s == scheme)?;
        algorithms.iter().copied().find(|a| a.public_key_alg_id() == key)
    }

    /// A certificate that was found good and still is. Beyond its time, or that of an authority in between, it is judged
    /// anew (SB-7): perhaps there is another path by now.
    fn recall(&self, at: UnixMillis, hash: &Hash) -> Option<(Arc<Known>, usize)> {
        let known = self.memory.lock().unwrap_or_else(PoisonError::into_inner).get(hash);
        known.filter(|(known, _)| known.validity.contains(at))
    }
}

impl Known {
    fn new(certificate: NodeCertificate, validity: Validity) -> Self {
        let key = KeyFingerprint::of(&certificate.public_key);
        let party = |node_id: &NodeId| {
            Arc::new(Party {
                node_id: *node_id,
                node_ids: certificate.node_ids.clone(),
                user: Some(certificate.user.clone()),
                key,
                certificate: Some(certificate.der.clone()),
            })
        };
        let parties = certificate.node_ids.iter().map(party).collect();
        Known { certificate, validity, parties }
    }

    fn is_several(&self) -> bool {
        self.parties.len() > 1
    }
}

/// What may stand between a certificate and a root, of all that came along: issuers by name, and theirs.
fn between<'a>(certificate: &NodeCertificate, others: &[&'a [u8]]) -> Vec<CertificateDer<'a>> {
    // Two for each step, as when an authority changes its key.
    const MOST: usize = 2 * MAX_INTERMEDIATES;
    let mut found: Vec<CertificateDer<'a>> = Vec::new();
    let der = CertificateDer::from(certificate.der.as_ref());
    let Ok(leaf) = EndEntityCert::try_from(&der) else { return found };
    let mut wanted = Vec::from([leaf.issuer().to_vec()]);
    for _ in 0..MAX_INTERMEDIATES {
        // Nodes' certificates name nobody; they are no issuers.
        wanted.retain(|name| !name.is_empty());
        let mut next = Vec::new();
        for other in others.iter().filter(|other| other.len() <= MAX_CERTIFICATE) {
            let der = CertificateDer::from(*other);
            if wanted.is_empty() || found.len() >= MOST || found.contains(&der) {
                continue;
            }
            // This is a cheap look: nothing is copied, and nothing is checked yet.
            let Ok(issuer) = EndEntityCert::try_from(&der) else { continue };
            if wanted.iter().any(|name| name == issuer.subject()) {
                next.push(issuer.issuer().to_vec());
                found.push(CertificateDer::from(*other));
            }
        }
        wanted = next;
    }
    found
}

/// What a SignerIdentity holds: H(DER), or H(Node-ID ∥ DER) for a certificate with several Node-IDs (SB-2).
pub(crate) fn hash_of(node_id: Option<NodeId>, der: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    if let Some(node_id) = node_id {
        hash.update(node_id.0);
    }
    hash.update(der);
    hash.finalize().into()
}

/// Why webpki does not accept a chain.
fn refusal(error: webpki::Error) -> CryptoError {
    use webpki::Error::*;
    match error {
        CertExpired { .. } | CertNotValidYet { .. } => CryptoError::Expired,
        UnknownIssuer
        | CaUsedAsEndEntity
        | EndEntityUsedAsCa
        | InvalidSignatureForPublicKey
        | PathLenConstraintViolated
        | NameConstraintViolation
        | RequiredEkuNotFoundContext(_)
        | MaximumPathDepthExceeded
        | MaximumPathBuildCallsExceeded
        | MaximumSignatureChecksExceeded => CryptoError::NotTrusted,
        UnsupportedSignatureAlgorithmContext(_)
        | UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | SignatureAlgorithmMismatch => CryptoError::BadAlgorithm,
        _ => CryptoError::BadCertificate,
    }
}

/// A node is at either end of a channel: its certificate is for both or says nothing about it.
struct BothEnds;

impl ExtendedKeyUsageValidator for BothEnds {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        // id-kp-serverAuth and id-kp-clientAuth (RFC 5280 §4.2.1.12).
        const SERVER: [usize; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 1];
        const CLIENT: [usize; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 2];
        let (mut any, mut server, mut client) = (false, false, false);
        for purpose in purposes {
            let purpose = purpose?.to_decoded_oid();
            any = true;
            server |= purpose == SERVER;
            client |= purpose == CLIENT;
        }
        if !any || (server && client) {
            return Ok(());
        }
        let (required, present) = (KeyUsage::client_auth(), Vec::new());
        Err(webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present }))
    }
}
