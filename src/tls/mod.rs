//! Identities with certificates, and the channels that they secure (features `tls` and `dtls`).
//!
//! | file | what |
//! | --- | --- |
//! | `identity` | [`Identity`]: a key, its certificates, and whom it believes; implements [`Crypto`](crate::env::Crypto) |
//! | `trust` | [`Trust`]: whose certificates are accepted; judges certificates and signatures |
//! | `certificate` | the form of a node's certificate (RFC 6940 §11.3) |
//! | `channel` | [`Tls`]: TLS over streams; implements [`Channels`](crate::env::Channels) |
//! | `dtls` | `Dtls`: DTLS over datagrams, for ECDSA keys (feature `dtls`) |
//! | `verifier` | the same judgement, as rustls asks for it |
//! | `uri` | [`ReloadUri`]: `reload://` names (RFC 6940 §14.15) |
//! | `memory` | certificates that were found good |
//! | `authority` | [`Authority`]: makes roots and nodes' certificates |
//! | `pem` | keys and certificates as text |
//!
//! Certificates are X.509, read by `x509-cert` and judged by `rustls-webpki`; the TLS is that of `rustls`; keys and
//! certificates are made with `rcgen`. All cryptography is `aws-lc-rs`, and what is random in it comes from the
//! operating system, not from [`Entropy`](crate::env::Entropy).
//!
//! ```
//! use p2piptv::env::{Channel, Channels, Crypto};
//! use p2piptv::time::{Instant, UnixMillis};
//! use p2piptv::tls::{Digest, Identity, Tls};
//!
//! // Two nodes make keys; their Node-IDs come from the keys, so nobody has to vouch for them.
//! let alice = Identity::self_signed("tv.example", "alice", Digest::Sha256)?;
//! let bob = Identity::self_signed("tv.example", "bob", Digest::Sha256)?;
//! let (now, today) = (Instant::ZERO, UnixMillis(1_790_000_000_000));
//!
//! // What one signs, the other can check.
//! let signed = alice.sign(&[b"channel ", b"100"]);
//! let signer = bob.verify(today, &alice.signer(), alice.certificates(), &[b"channel 100"], &signed)?;
//! assert_eq!((signer.node_id, signer.user.as_deref()), (alice.node_id(), Some("alice@tv.example")));
//!
//! // Two ends of a channel. Nothing is sent here: the host carries the bytes, over TCP for example.
//! let mut dialling = Tls::new(&alice)?.connect(now, today);
//! let mut dialled = Tls::new(&bob)?.accept(now, today);
//! dialling.send(now, b"hello")?;
//! while dialled.peer().is_none() {
//!     while let Some(bytes) = dialling.poll_ciphertext() {
//!         dialled.handle_ciphertext(now, &bytes)?;
//!     }
//!     while let Some(bytes) = dialled.poll_ciphertext() {
//!         dialling.handle_ciphertext(now, &bytes)?;
//!     }
//! }
//! assert_eq!(dialling.peer().map(|peer| peer.node_id), Some(bob.node_id()));
//! assert_eq!(dialled.peer().map(|peer| peer.node_id), Some(alice.node_id()));
//!
//! // What waited for the end of the handshake.
//! while let Some(bytes) = dialling.poll_ciphertext() {
//!     dialled.handle_ciphertext(now, &bytes)?;
//! }
//! assert_eq!(dialled.poll_plaintext().as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authority;
pub(crate) mod certificate;
mod channel;
#[cfg(feature = "dtls")]
mod dtls;
mod identity;
mod memory;
mod pem;
pub(crate) mod trust;
mod uri;
mod verifier;

pub use authority::{Authority, Request};
pub use certificate::{KeyType, MAX_CERTIFICATE, MAX_NODE_IDS, MAX_USER};
pub use channel::{KeyLog, MAX_HANDSHAKE, MAX_UNREAD, MAX_UNSENT, MAX_WAITING, Tls};
#[cfg(feature = "dtls")]
pub use dtls::Dtls;
pub use identity::Identity;
pub use memory::MAX_KNOWN;
pub use pem::read_certificates;
pub use trust::{Digest, MAX_INTERMEDIATES, Trust};
pub use uri::ReloadUri;

use crate::env::CryptoError;

/// What is wrong with a key, a certificate or a name that the caller handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text is no PEM.
    #[error("this is no PEM")]
    Pem,
    /// No private key is there, or one of another kind.
    #[error("no private key of a kind that is supported (ECDSA P-256, RSA of 2048 to 4096 bits)")]
    Key,
    /// No certificate is there.
    #[error("no certificate")]
    NoCertificate,
    /// The chain is longer than [`MAX_INTERMEDIATES`] allows.
    #[error("too many certificates between this one and its root")]
    TooManyCertificates,
    /// The certificate is for another key.
    #[error("the certificate is for another key")]
    OtherKey,
    /// The node's own certificate.
    #[error("the node's certificate: {0}")]
    Certificate(CryptoError),
    /// A root's certificate.
    #[error("a root's certificate: {0}")]
    Root(CryptoError),
    /// The user name.
    #[error("a name has 1 to 64 letters, digits and -_.!~*'&=+$")]
    Name,
    /// The overlay's name.
    #[error("this cannot be the name of an overlay")]
    Overlay,
    /// The number of Node-IDs.
    #[error("a certificate has 1 to {MAX_NODE_IDS} Node-IDs")]
    NodeIds,
    /// A certificate that the node signs itself, where that is not permitted.
    #[error("self-signed certificates are not permitted in this overlay")]
    NotSelfSigned,
    /// A time that a certificate cannot say.
    #[error("a certificate ends in the year 9999 at the latest")]
    Time,
    /// The cryptographic library, or the randomness that it has from the operating system, failed.
    #[error("the cryptographic library failed")]
    Library,
}
