//! The authority of an overlay: a root, and the certificates of the nodes that it vouches for (RFC 6940 §11.3, §13.3).

use super::certificate::{KeyType, MAX_NODE_IDS, parse};
use super::identity::{generate, node_params};
use super::trust::Trust;
use super::{Identity, IdentityError, pem};
use crate::env::CryptoError;
use crate::ids::NodeId;
use crate::time::{Duration, UnixMillis};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;
use x509_cert::der::Encode;

/// A root with its private key. Whoever has it can be anybody in the overlay.
pub struct Authority {
    overlay: String,
    root: Bytes,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The user is called `<name>@<overlay>`; the characters are those of a
    /// [`ChannelName`](crate::ids::ChannelName). Names are unique in an overlay: the caller sees to that.
    pub name: &'a str,
    /// From when.
    pub from: UnixMillis,
    /// For how long. There is no other way to take a certificate back than to wait.
    pub lifetime: Duration,
}

impl Authority {
    /// A new key, and a root for it that vouches for nodes and not for other authorities.
    pub fn new(overlay: &str, from: UnixMillis, lifetime: Duration) -> Result<Self, IdentityError> {
        let key = generate(KeyType::P256)?;
        let mut params = root_params(overlay)?;
        (params.not_before, params.not_after) = times(from, lifetime)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = params.self_signed(&key).map_err(|_| IdentityError::Library)?;
        let root = Bytes::copy_from_slice(root.der());
        Ok(Authority { overlay: String::from(overlay), root, issuer: Issuer::new(params, key) })
    }

    /// An authority that was made with [`Authority::new`], from its key and its root. The overlay's name stands in the
    /// root.
    pub fn from_pem(key: &str, root: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::try_from(&pem::read_key(key)?).map_err(|_| IdentityError::Key)?;
        let root = pem::read_certificates(root)?.into_iter().next().ok_or(IdentityError::NoCertificate)?;
        let malformed = IdentityError::Root(CryptoError::BadCertificate);
        let certificate = parse(&root).map_err(IdentityError::Root)?;
        let tbs = certificate.tbs_certificate();
        if tbs.subject_public_key_info().to_der().ok() != Some(key.subject_public_key_info()) {
            return Err(IdentityError::OtherKey);
        }
        let name = tbs.subject().common_name().map_err(|_| malformed)?.ok_or(malformed)?;
        let overlay = String::from(name);
        let issuer = Issuer::new(root_params(&overlay)?, key);
        Ok(Authority { overlay, root, issuer })
    }

    /// The overlay's name.
    pub fn overlay(&self) -> &str {
        &self.overlay
    }

    /// The root (DER): what a configuration document has as its root-cert.
    pub fn root(&self) -> &Bytes {
        &self.root
    }

    /// The root as PEM.
    pub fn root_pem(&self) -> String {
        pem::write_certificate(&self.root)
    }

    /// The private key as PEM. Keep it where nobody else can read it.
    pub fn key_pem(&self) -> String {
        pem::write_key(&PrivatePkcs8KeyDer::from(self.issuer.key().serialized_der()).into())
    }

    /// Makes a node: a new key, and so many random Node-IDs, which nobody can choose (CE-4).
    pub fn node(
        &self,
        request: &Request<'_>,
        key_type: KeyType,
        node_ids: usize,
    ) -> Result<Identity, IdentityError> {
        if !(1..=MAX_NODE_IDS).contains(&node_ids) {
            return Err(IdentityError::NodeIds);
        }
        let mut ids = vec![NodeId::default(); node_ids];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        for id in &mut ids {
            random.fill(&mut id.0).map_err(|_| IdentityError::Library)?;
        }
        self.certify(request, &generate(key_type)?, &ids)
    }

    /// Makes another certificate for the key and the Node-IDs of a node: for another time, or under another name.
    pub fn again(&self, request: &Request<'_>, node: &Identity) -> Result<Identity, IdentityError> {
        let key = KeyPair::try_from(node.private_key()).map_err(|_| IdentityError::Key)?;
        self.certify(request, &key, node.node_ids())
    }

    fn certify(
        &self,
        request: &Request<'_>,
        key: &KeyPair,
        node_ids: &[NodeId],
    ) -> Result<Identity, IdentityError> {
        let mut params = node_params(&self.overlay, request.name, node_ids)?;
        (params.not_before, params.not_after) = times(request.from, request.lifetime)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(|_| IdentityError::Library)?;
        let certificate = Bytes::copy_from_slice(certificate.der());
        let trust = Trust::in_roots(&self.overlay, Vec::from([self.root.clone()]));
        let node = Identity::from_der(&key.serialize_der(), Vec::from([certificate]), trust)?;
        // Nothing leaves here that others would refuse, as with a root that another program wrote otherwise.
        node.valid_at(request.from).map_err(IdentityError::Certificate)?;
        Ok(node)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

/// Who a root is: the overlay's name, as its only name.
fn root_params(overlay: &str) -> Result<CertificateParams, IdentityError> {
    // The name has to do in the names of nodes.
    node_params(overlay, "root", &[NodeId::default()])?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, overlay);
    params.key_usages = Vec::from([KeyUsagePurpose::KeyCertSign]);
    Ok(params)
}

/// X.509 counts seconds, up to the year 9999.
fn times(from: UnixMillis, lifetime: Duration) -> Result<(OffsetDateTime, OffsetDateTime), IdentityError> {
    let date = |at: UnixMillis| {
        let seconds = i64::try_from(at.0 / 1000).map_err(|_| IdentityError::Time)?;
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| IdentityError::Time)
    };
    Ok((date(from)?, date(from + lifetime)?))
}
