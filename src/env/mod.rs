//! What the host lends: randomness, identity, secured channels. The machines know only these traits.
//!
//! | file | what |
//! | --- | --- |
//! | `entropy` | [`Entropy`]: random bytes |
//! | `crypto` | [`Crypto`]: who this node is; signatures made and checked |
//! | `channel` | [`Channel`], [`Channels`]: TLS or DTLS as bytes in and bytes out |
//! | `insecure`, `association` | [`InsecureIdentity`], [`InsecureChannels`], [`InsecureAssociations`]: they believe everybody, repeatably |

mod association;
mod channel;
mod crypto;
mod entropy;
mod insecure;

pub use association::InsecureAssociations;
pub use channel::{Channel, ChannelError, Channels};
pub use crypto::{Crypto, CryptoError, Party, Signed, Signer};
pub use entropy::{Entropy, Seeded};
pub use insecure::{InsecureChannels, InsecureIdentity};
