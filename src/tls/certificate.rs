//! A node's certificate, and what RFC 6940 §11.3 says about its form.
//!
//! ```text
//! subject           empty
//! subjectAltName    reload://<Destination List with one node>@<overlay>/     once or more
//!                   rfc822Name, the user name                                once
//!                   and nothing else
//! ```

use super::uri::ReloadUri;
use crate::env::CryptoError;
use crate::ids::NodeId;
use crate::time::UnixMillis;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The most bytes of a certificate (DER) that is looked at. One with an RSA-2048 key and one Node-ID has about 800.
pub const MAX_CERTIFICATE: usize = 8 * 1024;
/// The most Node-IDs in a certificate.
pub const MAX_NODE_IDS: usize = 16;
/// The most bytes of a user name.
pub const MAX_USER: usize = 255;
/// The most bytes of a SubjectPublicKeyInfo: an RSA key of 4096 bits has 550. Larger keys make others work too much.
pub(crate) const MAX_KEY: usize = 600;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The kind of a key; it decides alone by which algorithm its signatures are made and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on the curve P-256: signatures are {4, 3}, ECDSA with SHA-256.
    #[default]
    P256,
    /// RSA, 2048 to 4096 bits: signatures are {4, 1}, RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa,
}

/// From when to when, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: UnixMillis,
    pub(super) until: UnixMillis,
}

impl Validity {
    /// When the certificate of an authority is valid.
    pub(super) fn read(der: &[u8]) -> Result<Self, CryptoError> {
        parse(der).map(|certificate| Validity::of(&certificate))
    }

    fn of(certificate: &Certificate) -> Self {
        let validity = certificate.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Validity {
            from: UnixMillis(seconds(validity.not_before).saturating_mul(1000)),
            // notAfter is the last second that counts.
            until: UnixMillis(seconds(validity.not_after).saturating_mul(1000).saturating_add(999)),
        }
    }

    /// When both are valid.
    pub(super) fn and(self, other: Validity) -> Self {
        Validity { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    pub(super) fn contains(&self, at: UnixMillis) -> bool {
        (self.from..=self.until).contains(&at)
    }
}

/// What a certificate of the right form says. Nothing is said about who vouches for it.
#[derive(Clone, Debug)]
pub(crate) struct NodeCertificate {
    pub(crate) der: Bytes,
    /// In the order of the certificate; at least one.
    pub(crate) node_ids: Vec<NodeId>,
    pub(crate) user: String,
    /// The SubjectPublicKeyInfo, DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) key_type: KeyType,
    pub(super) validity: Validity,
    /// Whether nobody is named as its issuer, as nobody is named as its subject.
    pub(super) self_issued: bool,
}

impl NodeCertificate {
    /// Reads a certificate, copies it, and checks its form (CE-1).
    pub(crate) fn read(der: &[u8], overlay: &str) -> Result<Self, CryptoError> {
        let certificate = parse(der)?;
        let tbs = certificate.tbs_certificate();
        if !tbs.subject().is_empty() {
            return Err(CryptoError::BadCertificate);
        }
        let (_, names) = tbs
            .get_extension::<SubjectAltName>()
            .map_err(|_| CryptoError::BadCertificate)?
            .ok_or(CryptoError::BadCertificate)?;
        let (node_ids, user) = identities(&names, overlay)?;
        let key = tbs.subject_public_key_info();
        let curve = || key.algorithm.parameters.as_ref().and_then(|p| p.decode_as().ok());
        let key_type = match key.algorithm.oid {
            EC_PUBLIC_KEY if curve() == Some(PRIME256V1) => KeyType::P256,
            RSA_ENCRYPTION => KeyType::Rsa,
            _ => return Err(CryptoError::BadAlgorithm),
        };
        let public_key = key.to_der().map_err(|_| CryptoError::BadCertificate)?;
        if public_key.len() > MAX_KEY {
            return Err(CryptoError::BadAlgorithm);
        }
        Ok(NodeCertificate {
            // A copy, so that no datagram is kept for the sake of a certificate.
            der: Bytes::copy_from_slice(der),
            node_ids,
            user,
            public_key,
            key_type,
            validity: Validity::of(&certificate),
            self_issued: tbs.issuer().is_empty(),
        })
    }
}

/// The Node-IDs and the user name, and nothing else.
fn identities(names: &SubjectAltName, overlay: &str) -> Result<(Vec<NodeId>, String), CryptoError> {
    let (mut node_ids, mut user) = (Vec::new(), None);
    for name in &names.0 {
        match name {
            GeneralName::UniformResourceIdentifier(uri) if node_ids.len() < MAX_NODE_IDS => {
                let uri = ReloadUri::parse(uri.as_str()).map_err(|_| CryptoError::BadCertificate)?;
                let node_id = uri.node_id().ok_or(CryptoError::BadCertificate)?;
                if !uri.overlay.eq_ignore_ascii_case(overlay) || node_ids.contains(&node_id) {
                    return Err(CryptoError::BadCertificate);
                }
                node_ids.push(node_id);
            }
            GeneralName::Rfc822Name(name) if user.is_none() && is_user_name(name.as_str()) => {
                user = Some(String::from(name.as_str()));
            }
            _ => return Err(CryptoError::BadCertificate),
        }
    }
    match user {
        Some(user) if !node_ids.is_empty() => Ok((node_ids, user)),
        _ => Err(CryptoError::BadCertificate),
    }
}

/// Whether a name has nothing in it that could deceive a reader or a parser. Its right side may be anything.
fn is_user_name(name: &str) -> bool {
    (1..=MAX_USER).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// The size comes first: what is too large is not looked at.
pub(super) fn parse(der: &[u8]) -> Result<Certificate, CryptoError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(CryptoError::BadCertificate);
    }
    Certificate::from_der(der).map_err(|_| CryptoError::BadCertificate)
}
