//! Who this node is: a key, the certificate of its public half, and whom it believes.

use super::certificate::{KeyType, MAX_NODE_IDS, NodeCertificate};
use super::trust::{Digest, Judge, Trust, hash_of};
use super::uri::ReloadUri;
use super::{IdentityError, pem};
use crate::env::{Crypto, CryptoError, Party, Signed, Signer};
use crate::ids::{ChannelName, KeyFingerprint, NodeId};
use crate::reload::codec::{HashAlgorithm, SignatureAlgorithm, SignerIdentityType};
use crate::time::UnixMillis;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{SignatureScheme, crypto};
use time::OffsetDateTime;

/// The last second that X.509 can say: 9999-12-31T23:59:59Z.
const END: i64 = 253_402_300_799;

/// A private key with its certificates, and the roots or keys that this node believes: the [`Crypto`] of an overlay
/// with certificates (RFC 6940 §6.3.4, §11.3, §13.3).
///
/// Copies share the key and what was learnt about other nodes' certificates.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    /// PKCS #8 or what the file had, DER.
    key: PrivateKeyDer<'static>,
    signing_key: Arc<dyn SigningKey>,
    signer: Box<dyn rustls::sign::Signer>,
    key_type: KeyType,
    own: NodeCertificate,
    /// Its own certificate and those between it and a root.
    certificates: Vec<Bytes>,
    identity: Signer,
    judge: Arc<Judge>,
}

impl Identity {
    /// Makes a new key and signs a certificate with it, for overlays that permit this (RFC 6940 §11.3.1).
    ///
    /// The Node-ID comes from the key, the user name is `<name>@<overlay>`. The name has the characters of a
    /// [`ChannelName`]. The randomness for the key comes from the operating system. Who loads the key from
    /// [`Identity::key_pem`] at the next start keeps the Node-ID. The certificate does not expire: a key that speaks for
    /// itself is not worth more with a date.
    pub fn self_signed(overlay: &str, name: &str, digest: Digest) -> Result<Self, IdentityError> {
        Self::self_signed_with(overlay, name, digest, KeyType::default(), 1)
    }

    /// The same with this type of key and up to [`MAX_NODE_IDS`] Node-IDs.
    pub fn self_signed_with(
        overlay: &str,
        name: &str,
        digest: Digest,
        key_type: KeyType,
        node_ids: usize,
    ) -> Result<Self, IdentityError> {
        let key = generate(key_type)?;
        let public_key = key.subject_public_key_info();
        let node_ids: Vec<_> =
            (0..node_ids).map(|place| digest.node_id(&public_key, place, node_ids)).collect();
        let mut params = node_params(overlay, name, &node_ids)?;
        // A certificate without a well-known end (RFC 5280 §4.1.2.5), which also serves who does not know the time yet.
        params.not_before = OffsetDateTime::UNIX_EPOCH;
        params.not_after = OffsetDateTime::from_unix_timestamp(END).map_err(|_| IdentityError::Library)?;
        let certificate = params.self_signed(&key).map_err(|_| IdentityError::Library)?;
        let certificate = Bytes::copy_from_slice(certificate.der());
        Self::from_der(&key.serialize_der(), Vec::from([certificate]), Trust::in_keys(overlay, digest))
    }

    /// The same for a key that is there already (PEM): a new certificate for this name. Certificates of one key for
    /// several names have the same Node-ID and the same fingerprint.
    pub fn self_signed_by(
        key_pem: &str,
        overlay: &str,
        name: &str,
        trust: Trust,
    ) -> Result<Self, IdentityError> {
        let der = pem::read_key(key_pem)?;
        let key = KeyPair::try_from(&der).map_err(|_| IdentityError::Key)?;
        let digest = trust.self_signed.ok_or(IdentityError::NotSelfSigned)?;
        let node_id = digest.node_id(&key.subject_public_key_info(), 0, 1);
        let certificate =
            node_params(overlay, name, &[node_id])?.self_signed(&key).map_err(|_| IdentityError::Library)?;
        Self::new(der, Vec::from([Bytes::copy_from_slice(certificate.der())]), trust)
    }

    /// An identity from a private key (PKCS #8, or PKCS #1 or SEC 1; DER) and its certificates: the node's own, then
    /// those between it and a root, at most [`super::MAX_INTERMEDIATES`].
    pub fn from_der(key: &[u8], certificates: Vec<Bytes>, trust: Trust) -> Result<Self, IdentityError> {
        let key = PrivateKeyDer::try_from(key.to_vec()).map_err(|_| IdentityError::Key)?;
        Self::new(key, certificates, trust)
    }

    /// The same from PEM texts. Whatever else lies in the files is passed over.
    pub fn from_pem(key: &str, certificates: &str, trust: Trust) -> Result<Self, IdentityError> {
        Self::new(pem::read_key(key)?, pem::read_certificates(certificates)?, trust)
    }

    fn new(
        key: PrivateKeyDer<'static>,
        certificates: Vec<Bytes>,
        trust: Trust,
    ) -> Result<Self, IdentityError> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let leaf = certificates.first().ok_or(IdentityError::NoCertificate)?;
        if certificates.len() > 1 + super::MAX_INTERMEDIATES {
            return Err(IdentityError::TooManyCertificates);
        }
        let own = NodeCertificate::read(leaf, &trust.overlay).map_err(IdentityError::Certificate)?;
        let signing_key =
            provider.key_provider.load_private_key(key.clone_key()).map_err(|_| IdentityError::Key)?;
        let chain = certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let certified = CertifiedKey::new(chain, signing_key.clone());
        certified.keys_match().map_err(|_| IdentityError::OtherKey)?;
        let scheme = match own.key_type {
            KeyType::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            KeyType::Rsa => SignatureScheme::RSA_PKCS1_SHA256,
        };
        let signer = signing_key.choose_scheme(&[scheme]).ok_or(IdentityError::Key)?;
        let judge = Judge::new(trust, provider).map_err(IdentityError::Root)?;
        Ok(Identity(Arc::new(Inner {
            identity: signer_identity(&own),
            key,
            signing_key,
            signer,
            key_type: own.key_type,
            own,
            certificates,
            judge: Arc::new(judge),
        })))
    }

    /// The same node, apart from this one, with another idea of whom to believe.
    pub fn trusting(&self, trust: Trust) -> Result<Self, IdentityError> {
        Self::new(self.0.key.clone_key(), self.0.certificates.clone(), trust)
    }

    /// From now on this node believes something else, as after a new configuration document: all copies of the identity do,
    /// and the channels that were made with it. What was learnt about other nodes' certificates is forgotten; channels that
    /// are open stay.
    pub fn believe(&self, trust: Trust) -> Result<(), IdentityError> {
        self.0.judge.believe(trust).map_err(IdentityError::Root)
    }

    /// By what people know the key.
    pub fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint::of(&self.0.own.public_key)
    }

    /// Whether those who believe the same would accept this identity at that time.
    pub fn valid_at(&self, at: UnixMillis) -> Result<(), CryptoError> {
        let chain: Vec<&[u8]> = self.0.certificates.iter().map(AsRef::as_ref).collect();
        self.0.judge.peer(at, &chain).map(|_| ())
    }

    /// Every Node-ID that the certificate binds.
    pub fn node_ids(&self) -> &[NodeId] {
        &self.0.own.node_ids
    }

    /// The key, as it is pinned and told to people.
    pub fn key(&self) -> KeyFingerprint {
        KeyFingerprint::of(&self.0.own.public_key)
    }

    /// The kind of key.
    pub fn key_type(&self) -> KeyType {
        self.0.key_type
    }

    /// The private key as PEM. Keep it where nobody else can read it.
    pub fn key_pem(&self) -> String {
        pem::write_key(&self.0.key)
    }

    /// The certificates as PEM, the node's own first.
    pub fn certificates_pem(&self) -> String {
        self.0.certificates.iter().map(|der| pem::write_certificate(der)).collect()
    }

    pub(super) fn judge(&self) -> &Arc<Judge> {
        &self.0.judge
    }

    /// Key and chain, as TLS sends and uses them.
    pub(super) fn certified(&self) -> CertifiedKey {
        let chain = self.0.certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        CertifiedKey::new(chain, self.0.signing_key.clone())
    }

    pub(super) fn private_key(&self) -> &PrivateKeyDer<'static> {
        &self.0.key
    }
}

impl Crypto for Identity {
    fn node_id(&self) -> NodeId {
        self.0.own.node_ids[0]
    }

    fn user(&self) -> Option<&str> {
        Some(&self.0.own.user)
    }

    fn is_self_signed(&self) -> bool {
        self.0.own.self_issued
    }

    fn certificates(&self) -> &[Bytes] {
        &self.0.certificates
    }

    fn signer(&self) -> Signer {
        self.0.identity.clone()
    }

    fn sign(&self, parts: &[&[u8]]) -> Signed {
        let signature = match self.0.key_type {
            KeyType::P256 => SignatureAlgorithm::ECDSA,
            KeyType::Rsa => SignatureAlgorithm::RSA,
        };
        // A key that was loaded and fits its certificate signs. If it ever does not, nobody accepts the empty value.
        let value = self.0.signer.sign(&parts.concat()).unwrap_or_default();
        Signed { hash: HashAlgorithm::SHA256.0, signature: signature.0, value: value.into() }
    }

    fn verify(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        let known: Vec<&[u8]> = certificates.iter().chain(&self.0.certificates).map(AsRef::as_ref).collect();
        self.0.judge.signature(at, signer, &known, parts, signed)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("node_ids", &self.0.own.node_ids)
            .field("user", &self.0.own.user)
            .field("key_type", &self.0.key_type)
            .finish_non_exhaustive()
    }
}

/// `cert_hash` for one Node-ID, `cert_hash_node_id` for several: the first one signs (SB-2).
fn signer_identity(own: &NodeCertificate) -> Signer {
    let several = own.node_ids.len() > 1;
    let hash = hash_of(several.then(|| own.node_ids[0]), &own.der);
    let identity_type =
        if several { SignerIdentityType::CERT_HASH_NODE_ID } else { SignerIdentityType::CERT_HASH };
    let value = [&[HashAlgorithm::SHA256.0, hash.len() as u8], hash.as_slice()].concat();
    Signer { identity_type: identity_type.0, value: value.into() }
}

/// A new key.
pub(super) fn generate(key_type: KeyType) -> Result<KeyPair, IdentityError> {
    let algorithm = match key_type {
        KeyType::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyType::Rsa => &rcgen::PKCS_RSA_SHA256,
    };
    KeyPair::generate_for(algorithm).map_err(|_| IdentityError::Library)
}

/// A node's certificate without its times: an empty subject, the URIs, the user name.
pub(super) fn node_params(
    overlay: &str,
    name: &str,
    node_ids: &[NodeId],
) -> Result<CertificateParams, IdentityError> {
    if !(1..=MAX_NODE_IDS).contains(&node_ids.len()) {
        return Err(IdentityError::NodeIds);
    }
    // The name also stands in SIP URIs, so it has their characters.
    let name = ChannelName::new(name).ok_or(IdentityError::Name)?;
    let ia5 = |text: String| text.try_into().map_err(|_| IdentityError::Overlay);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for node_id in node_ids {
        let uri = format!("{}", ReloadUri::of_node(*node_id, overlay));
        ReloadUri::parse(&uri).map_err(|_| IdentityError::Overlay)?;
        params.subject_alt_names.push(SanType::URI(ia5(uri)?));
    }
    params.subject_alt_names.push(SanType::Rfc822Name(ia5(format!("{name}@{overlay}"))?));
    Ok(params)
}
