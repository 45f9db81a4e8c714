//! What can be wrong with a configuration document.

use crate::env::CryptoError;

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentErrorKind {
    /// The file is larger than [`Document::MAX_SIZE`](super::Document::MAX_SIZE), or has more parts than one may have.
    #[error("too large")]
    TooLarge,
    /// The bytes are not UTF-8, or not well-formed XML, or bring a document type definition along (they may not).
    #[error("not well-formed XML in UTF-8, without a document type")]
    NotWellFormed,
    /// There is no `configuration` element with this instance-name (RFC 6940 §11.2).
    #[error("no configuration of this overlay")]
    WrongOverlay,
    /// It must be there.
    #[error("missing")]
    Missing,
    /// It may be there once.
    #[error("more than once")]
    Repeated,
    /// The text is not a value of its type.
    #[error("not a legal value")]
    InvalidValue,
    /// A number outside of what this element may have.
    #[error("out of range")]
    OutOfRange,
    /// This version cannot do what it asks for, so this node must not be in this overlay (RFC 6940 §11.1).
    #[error("not supported")]
    Unsupported,
    /// Its sequence is not newer than that of the current document (RFC 6940 §6.5.4.2).
    #[error("not newer than the current document")]
    NotNewer,
    /// Its expiration lies in the past.
    #[error("expired")]
    Expired,
    /// Nobody signed it.
    #[error("not signed")]
    NotSigned,
    /// A namespace of it is declared outside of the signed bytes, and not as everybody declares it.
    #[error("its namespaces are not covered by the signature")]
    UnsignedNamespace,
    /// A good signature of somebody who may not sign this.
    #[error("signed by a node that may not sign it")]
    WrongSigner,
    /// The signature does not hold.
    #[error("signature: {0}")]
    BadSignature(CryptoError),
}

/// What was wrong with which element, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{element} at byte {offset}: {kind}")]
pub struct DocumentError {
    /// What was wrong.
    pub kind: DocumentErrorKind,
    /// The RFC's name of the element or attribute.
    pub element: &'static str,
    /// Bytes from the start of the file.
    pub offset: usize,
}

impl DocumentError {
    pub(super) const fn new(kind: DocumentErrorKind, element: &'static str, offset: usize) -> Self {
        DocumentError { kind, element, offset }
    }
}
