//! What rustls asks during a handshake, answered by the same judge that checks signatures.

use super::trust::Judge;
use crate::env::CryptoError;
use crate::time::UnixMillis;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

/// Both ends show a node's certificate, so both are judged alike; no host name plays a part.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) Arc<Judge>);

impl Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<&[u8]> = iter::once(leaf).chain(others).map(AsRef::as_ref).collect();
        let at = UnixMillis(at.as_secs().saturating_mul(1000));
        match self.0.peer(at, &chain) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))))
            }
        }
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0.provider().signature_verification_algorithms
    }
}

/// The judgement in an error of rustls, if it came from here.
pub(super) fn judgement(error: &Error) -> Option<CryptoError> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            error.downcast_ref().copied()
        }
        Error::NoCertificatesPresented => Some(CryptoError::UnknownSigner),
        Error::InvalidCertificate(_) => Some(CryptoError::BadCertificate),
        _ => None,
    }
}

/// What both ends check alike: signatures of the handshake by the key of the certificate.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, self.algorithms())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, self.algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms().supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    /// Nothing: whoever dials has one certificate for this overlay, and strangers learn no names.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}
