//! Certificates as a forger would make them: every part can be what it should not be.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use bytes::Bytes;
use p2piptv::env::{Channel, ChannelError, Crypto, CryptoError, Party, Signed, Signer};
use p2piptv::ids::NodeId;
use p2piptv::time::{Instant, UnixMillis};
use p2piptv::tls::{Digest, Identity, ReloadUri, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
    SanType, SigningKey,
};
use sha2::Digest as _;
use std::sync::Arc;

pub const OVERLAY: &str = "overlay.example.org";
pub const NOW: Instant = Instant::ZERO;
/// Some day in 2027.
pub const TODAY: UnixMillis = UnixMillis(1_800_000_000_000);
pub const ID: NodeId = NodeId([0x22; 16]);

/// A node of an overlay where keys speak for themselves.
pub fn node(name: &str) -> Identity {
    Identity::self_signed(OVERLAY, name, Digest::Sha256).unwrap()
}

/// A certificate with its key.
pub struct Forged {
    pub der: Bytes,
    pub params: CertificateParams,
    pub key: KeyPair,
}

impl Forged {
    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// Signs and says who it is, as an honest node would.
    pub fn sign(&self, parts: &[u8]) -> (Signer, Signed) {
        (identity_of(&self.der), signed(&self.key, parts))
    }

    /// The same with this as somebody's identity, who believes `trust`.
    pub fn identity(&self, more: &[&Forged], trust: Trust) -> Identity {
        let chain = [self].iter().chain(more).map(|f| f.der.clone()).collect();
        Identity::from_der(&self.key.serialize_der(), chain, trust).unwrap()
    }
}

pub fn uri(node_id: NodeId) -> SanType {
    SanType::URI(ReloadUri::of_node(node_id, OVERLAY).to_string().try_into().unwrap())
}

pub fn text(uri: &str) -> SanType {
    SanType::URI(uri.to_owned().try_into().unwrap())
}

pub fn user(name: &str) -> SanType {
    SanType::Rfc822Name(name.to_owned().try_into().unwrap())
}

/// A node's certificate without a fault.
pub fn good() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(ID), user("alice@overlay.example.org")];
    params
}

pub fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// An authority that this one vouches for; nobody vouches for a root.
pub fn authority(name: &str, constraints: BasicConstraints, by: Option<&Forged>) -> Forged {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    issue(params, key(), by)
}

pub fn root() -> Forged {
    authority("root", BasicConstraints::Unconstrained, None)
}

/// Signs a certificate: with its own key, when nobody is named.
pub fn issue(params: CertificateParams, key: KeyPair, by: Option<&Forged>) -> Forged {
    let certificate = match by {
        None => params.self_signed(&key),
        Some(by) => params.signed_by(&key, &by.issuer()),
    };
    Forged { der: Bytes::copy_from_slice(certificate.unwrap().der()), params, key }
}

/// A self-signed certificate whose Node-ID comes from its key, with faults of this kind.
pub fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Forged {
    let key = key();
    let mut params = good();
    params.subject_alt_names[0] = uri(Digest::Sha256.node_id(&key.subject_public_key_info(), 0, 1));
    change(&mut params);
    issue(params, key, None)
}

/// SHA-256 of a certificate as a SignerIdentity.
pub fn identity_of(der: &[u8]) -> Signer {
    let hash: [u8; 32] = sha2::Sha256::digest(der).into();
    Signer { identity_type: 1, value: [&[4, 32][..], &hash].concat().into() }
}

pub fn signed(key: &KeyPair, bytes: &[u8]) -> Signed {
    let signature = if key.is_compatible(&rcgen::PKCS_RSA_SHA256) { 1 } else { 3 };
    Signed { hash: 4, signature, value: key.sign(bytes).unwrap().into() }
}

/// What a reader says to a message that `writer` signed.
pub fn judge(reader: &Identity, writer: &Forged, more: &[&Forged]) -> Result<Arc<Party>, CryptoError> {
    let (signer, signed) = writer.sign(b"message");
    let certificates: Vec<Bytes> = [writer].iter().chain(more).map(|f| f.der.clone()).collect();
    reader.verify(TODAY, &signer, &certificates, &[b"mess", b"age"], &signed)
}

pub type Ended = Result<(), ChannelError>;

/// Carries bytes between two ends, in pieces, until both have none left; says how each fared.
pub fn carry(a: &mut dyn Channel, b: &mut dyn Channel, piece: usize) -> (Ended, Ended) {
    let (mut of_a, mut of_b) = (Ok(()), Ok(()));
    loop {
        let (to_b, to_a) = (a.poll_ciphertext(), b.poll_ciphertext());
        if to_a.is_none() && to_b.is_none() {
            return (of_a, of_b);
        }
        for bytes in to_b.unwrap_or_default().chunks(piece) {
            of_b = of_b.and(b.handle_ciphertext(NOW, bytes));
        }
        for bytes in to_a.unwrap_or_default().chunks(piece) {
            of_a = of_a.and(a.handle_ciphertext(NOW, bytes));
        }
    }
}
