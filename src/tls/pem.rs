//! Keys and certificates as PEM texts (RFC 7468).

use super::IdentityError;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::pem::{LineEnding, encode_string};

/// The first private key in the text.
pub(super) fn read_key(text: &str) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| IdentityError::Key)
}

/// All certificates (DER) in a PEM text, in its order. Whatever else lies in it is passed over.
pub fn read_certificates(text: &str) -> Result<Vec<Bytes>, IdentityError> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|der| der.map(|der| Bytes::from(der.to_vec())).map_err(|_| IdentityError::Pem))
        .collect()
}

pub(super) fn write_key(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    write(label, key.secret_der())
}

pub(super) fn write_certificate(der: &[u8]) -> String {
    write("CERTIFICATE", der)
}

/// Labels are ours and lengths those of keys and certificates, so this cannot fail.
fn write(label: &'static str, der: &[u8]) -> String {
    encode_string(label, LineEnding::LF, der).unwrap_or_default()
}
