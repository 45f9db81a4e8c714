//! Who may speak for a channel (the delegation that RFC 6940's own access policies lack): its owner, and the nodes to
//! which the owner gave a [`Grant`].
//!
//! The owner is whoever has a certificate whose user name is the channel's Resource Name, `<channel>@<overlay>`. Where
//! certificates are self-signed anybody can make one for any name, so a reader may hold the owner's key against a
//! fingerprint that he was given. Beside the place that its name has, a channel has one for each such key
//! ([`own_place`]), where nobody else's grants count: there no crowd of strangers keeps out whoever knows the key.
//!
//! A grant for the name opens the channel's tree as well. One for the tree alone ([`tree_place`]) opens nothing else: whom
//! its owner knows by hearsay only takes none of the few places that a name has.

use crate::env::{Crypto, CryptoError, Party};
use crate::ids::{KeyFingerprint, NodeId, ResourceId};
use crate::reload::codec::{Grant, ProviderRole, Signature};
use crate::time::{Duration, UnixMillis};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;

/// How far the clocks of two nodes may be apart: a grant holds so much earlier than it says.
const SKEW: u64 = 5 * 60 * 1000;

/// The largest owner's certificate that is looked at.
const MAX_CERTIFICATE: usize = 4096;

/// What a grant is for: a node that wants to be found under a name.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Where its record stands: the hash of the Resource Name, or what stands for it.
    pub resource: &'a ResourceId,
    /// The node.
    pub node: NodeId,
    /// What it says it is.
    pub role: ProviderRole,
}

/// Why a grant does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It allows another role.
    #[error("grant for another role")]
    Role,
    /// It holds no longer, or not yet.
    #[error("grant expired or not yet valid")]
    Expired,
    /// Whoever signed it does not own the name.
    #[error("not signed by the owner of the channel")]
    NotOwner,
    /// The owner's certificate or signature is not accepted; a grant for another node or another name ends here too.
    #[error("owner not proved: {0}")]
    Crypto(#[from] CryptoError),
}

/// The owner's word for a claim, from `at` on for `lifetime`. `None` when `owner` has no certificate.
pub fn issue(
    owner: &dyn Crypto,
    claim: &Claim<'_>,
    epoch: u32,
    at: UnixMillis,
    lifetime: Duration,
) -> Option<Grant> {
    let identity = owner.signer();
    let mut grant = Grant {
        role: claim.role,
        epoch,
        not_before: at,
        not_after: at + lifetime,
        certificate: owner.certificates().first()?.clone(),
        signature: Signature::none(),
    };
    let input = grant.signature_input(claim.resource, claim.node, &identity).ok()?;
    grant.signature = Signature { signed: owner.sign(&[&input]), identity };
    Some(grant)
}

/// The place of the channel with this Resource Name that belongs to one owner's key.
pub fn own_place(name: &str, owner: KeyFingerprint) -> ResourceId {
    // No user name has this form (RFC 6940 §11.3: an rfc822Name), so this is nobody's name.
    ResourceId::of_name(format!("{owner}/{name}").as_bytes())
}

/// What is granted to those who may stand in the tree of the channel with this Resource Name, and not under its name. No
/// record stands there.
pub fn tree_place(name: &str) -> ResourceId {
    // As above, this is nobody's name, and no owner's place either.
    ResourceId::of_name(format!("tree/{name}").as_bytes())
}

/// Checks a grant for a claim at the time `at`, and tells who the owner is.
pub fn verify(
    grant: &Grant,
    claim: &Claim<'_>,
    at: UnixMillis,
    crypto: &dyn Crypto,
) -> Result<Arc<Party>, GrantError> {
    // What costs nothing comes first: whoever sends grants may be a stranger.
    if grant.role != claim.role {
        return Err(GrantError::Role);
    }
    if at >= grant.not_after || at.0.saturating_add(SKEW) < grant.not_before.0 {
        return Err(GrantError::Expired);
    }
    if grant.certificate.len() > MAX_CERTIFICATE {
        return Err(CryptoError::BadCertificate.into());
    }
    let Signature { identity, signed } = &grant.signature;
    let input = grant
        .signature_input(claim.resource, claim.node, identity)
        .map_err(|_| GrantError::Crypto(CryptoError::BadSignature))?;
    let certificates: [Bytes; 1] = [grant.certificate.clone()];
    let owner = crypto.verify(at, identity, &certificates, &[&input], signed)?;
    let owns = |user: &String| {
        let places = [ResourceId::of_name(user.as_bytes()), own_place(user, owner.key), tree_place(user)];
        places.contains(claim.resource)
    };
    if owner.user.as_ref().is_some_and(owns) { Ok(owner) } else { Err(GrantError::NotOwner) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Signed, Signer};
    use crate::ids::sha1;
    use alloc::vec::Vec;

    /// Signs by hashing its name with what it signs; its certificate is its name.
    struct Named(Bytes);

    impl Named {
        fn new(user: &str) -> Self {
            Named(Bytes::copy_from_slice(user.as_bytes()))
        }
    }

    impl Crypto for Named {
        fn node_id(&self) -> NodeId {
            NodeId([0; 16])
        }
        fn certificates(&self) -> &[Bytes] {
            core::slice::from_ref(&self.0)
        }
        fn signer(&self) -> Signer {
            Signer { identity_type: 1, value: self.0.clone() }
        }
        fn sign(&self, parts: &[&[u8]]) -> Signed {
            let all: Vec<u8> = [&[self.0.as_ref()], parts].concat().concat();
            Signed { hash: 2, signature: 1, value: Bytes::copy_from_slice(&sha1(&all)) }
        }
        fn verify(
            &self,
            _at: UnixMillis,
            signer: &Signer,
            certificates: &[Bytes],
            parts: &[&[u8]],
            signed: &Signed,
        ) -> Result<Arc<Party>, CryptoError> {
            let name = certificates.iter().find(|c| **c == signer.value).ok_or(CryptoError::UnknownSigner)?;
            if Named(name.clone()).sign(parts) != *signed {
                return Err(CryptoError::BadSignature);
            }
            let (node_id, key) = (NodeId([0; 16]), KeyFingerprint::of(name));
            let user = Some(String::from_utf8(name.to_vec()).unwrap());
            Ok(Arc::new(Party { node_id, node_ids: Vec::new(), user, key, certificate: None }))
        }
    }

    const ALICE: NodeId = NodeId([1; 16]);
    const BOB: NodeId = NodeId([2; 16]);
    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn resource(name: &str) -> ResourceId {
        ResourceId::of_name(name.as_bytes())
    }

    fn later(seconds: u64) -> UnixMillis {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn q4_a_grant_is_good_for_one_name_one_node_one_role_and_its_time() {
        let owner = Named::new("100@tv.example");
        let (here, elsewhere) = (resource("100@tv.example"), resource("200@tv.example"));
        let claim = Claim { resource: &here, node: ALICE, role: ProviderRole::RELAYER };
        let grant = issue(&owner, &claim, 1, NOW, HOUR).unwrap();
        let reader = Named::new("reader");
        let check = |claim: &Claim<'_>, at| verify(&grant, claim, at, &reader).map(|owner| owner.key);
        let forged = Err(GrantError::Crypto(CryptoError::BadSignature));

        assert_eq!(check(&claim, later(10)), Ok(KeyFingerprint::of(b"100@tv.example")));
        assert_eq!(check(&Claim { node: BOB, ..claim }, NOW), forged);
        assert_eq!(check(&Claim { resource: &elsewhere, ..claim }, NOW), forged);
        assert_eq!(check(&Claim { role: ProviderRole::SOURCE, ..claim }, NOW), Err(GrantError::Role));
        assert!(check(&claim, later(3599)).is_ok());
        assert_eq!(check(&claim, later(3600)), Err(GrantError::Expired));
        // The reader's clock is late: by five minutes it may be.
        assert!(check(&claim, UnixMillis(NOW.0 - 300_000)).is_ok());
        assert_eq!(check(&claim, UnixMillis(NOW.0 - 300_001)), Err(GrantError::Expired));
    }

    #[test]
    fn q4_the_place_of_a_key_is_for_grants_of_that_key_only() {
        let owner = Named::new("100@tv.example");
        let right = own_place("100@tv.example", KeyFingerprint::of(b"100@tv.example"));
        let wrong = own_place("100@tv.example", KeyFingerprint::of(b"another"));
        for (place, expected) in [(right, Ok(())), (wrong, Err(GrantError::NotOwner))] {
            let claim = Claim { resource: &place, node: ALICE, role: ProviderRole::SOURCE };
            let grant = issue(&owner, &claim, 1, NOW, HOUR).unwrap();
            assert_eq!(verify(&grant, &claim, NOW, &Named::new("reader")).map(drop), expected);
        }
    }

    #[test]
    fn q4_a_grant_for_the_tree_is_none_for_the_name() {
        let owner = Named::new("100@tv.example");
        let (tree, name) = (tree_place("100@tv.example"), resource("100@tv.example"));
        let own = own_place("100@tv.example", KeyFingerprint::of(b"100@tv.example"));
        let claim = Claim { resource: &tree, node: ALICE, role: ProviderRole::RELAYER };
        let grant = issue(&owner, &claim, 1, NOW, HOUR).unwrap();
        let check = |place| verify(&grant, &Claim { resource: place, ..claim }, NOW, &owner).map(drop);
        let forged = Err(GrantError::Crypto(CryptoError::BadSignature));
        assert_eq!([&tree, &name, &own].map(check), [Ok(()), forged, forged]);
    }

    #[test]
    fn q4_only_who_has_the_channels_name_can_grant_it() {
        let here = resource("100@tv.example");
        let claim = Claim { resource: &here, node: ALICE, role: ProviderRole::SOURCE };
        let grant = issue(&Named::new("mallory@tv.example"), &claim, 1, NOW, HOUR).unwrap();
        assert_eq!(verify(&grant, &claim, NOW, &Named::new("reader")), Err(GrantError::NotOwner));
        let large = Grant { certificate: Bytes::from(alloc::vec![0; 5000]), ..grant };
        let refused = Err(GrantError::Crypto(CryptoError::BadCertificate));
        assert_eq!(verify(&large, &claim, NOW, &Named::new("reader")), refused);
    }
}
