//! Identities with certificates, and TLS channels (RFC 6940 §6.3.4, §11.3, §14.15).

use p2piptv::env::{Channel, ChannelError, Channels, Crypto, CryptoError};
use p2piptv::time::{Instant, UnixMillis};
use p2piptv::tls::{Digest, Identity, KeyType, MAX_NODE_IDS, Tls};

const OVERLAY: &str = "overlay.example.org";
const NOW: Instant = Instant::ZERO;
/// Some day in 2026.
const TODAY: UnixMillis = UnixMillis(1_790_000_000_000);

fn node(name: &str) -> Identity {
    Identity::self_signed(OVERLAY, name, Digest::Sha256).unwrap()
}

#[test]
fn sb1_a_signature_of_either_kind_of_key_is_checked_and_names_its_signer() {
    let reader = node("reader");
    for (key_type, algorithm) in [(KeyType::P256, (4, 3)), (KeyType::Rsa, (4, 1))] {
        let writer = Identity::self_signed_with(OVERLAY, "writer", Digest::Sha256, key_type, 1).unwrap();
        let signed = writer.sign(&[b"one ", b"two"]);
        assert_eq!((signed.hash, signed.signature), algorithm);
        let party =
            reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"one two"], &signed).unwrap();
        assert_eq!(party.node_id, writer.node_id());
        assert_eq!(party.node_ids, writer.node_ids());
        assert_eq!(party.user.as_deref(), Some("writer@overlay.example.org"));
        assert_eq!(party.certificate.as_ref(), writer.certificates().first());
        let wrong = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"one twO"], &signed);
        assert_eq!(wrong, Err(CryptoError::BadSignature));
    }
}

#[test]
fn sb2_one_node_id_signs_by_cert_hash_and_several_by_cert_hash_node_id() {
    let reader = node("reader");
    for (node_ids, identity_type) in [(1, 1), (2, 2), (MAX_NODE_IDS, 2)] {
        let writer =
            Identity::self_signed_with(OVERLAY, "writer", Digest::Sha1, KeyType::P256, node_ids).unwrap();
        assert_eq!(writer.signer().identity_type, identity_type);
        assert_eq!(writer.node_ids().len(), node_ids);
        let believer = Identity::self_signed(OVERLAY, "believer", Digest::Sha1).unwrap();
        let signed = writer.sign(&[b"x"]);
        for _ in 0..2 {
            let party =
                believer.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed).unwrap();
            assert_eq!((party.node_id, party.node_ids.len()), (writer.node_id(), node_ids));
            // SHA-256 makes other Node-IDs of the same key.
            let other = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed);
            assert_eq!(other, Err(CryptoError::NotTrusted));
            // The other form of identity names nobody.
            let mut signer = writer.signer();
            signer.identity_type = 3 - identity_type;
            let other = believer.verify(TODAY, &signer, writer.certificates(), &[b"x"], &signed);
            assert_eq!(other, Err(CryptoError::UnknownSigner));
        }
    }
}

/// Carries bytes between two ends until both have none left; says how each fared.
fn carry(
    a: &mut dyn Channel,
    b: &mut dyn Channel,
    piece: usize,
) -> (Result<(), ChannelError>, Result<(), ChannelError>) {
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

#[test]
fn at11_both_ends_of_a_channel_learn_whose_certificate_the_other_has() {
    let (alice, bob) = (node("alice"), node("bob"));
    for piece in [1, 7, 1000, usize::MAX] {
        let mut a = Tls::new(&alice).unwrap().connect(NOW, TODAY);
        let mut b = Tls::new(&bob).unwrap().accept(NOW, TODAY);
        a.send(NOW, b"early").unwrap();
        b.send(NOW, b"patience").unwrap();
        assert_eq!(b.poll_ciphertext(), None, "whoever was dialled waits");
        assert_eq!(carry(&mut *a, &mut *b, piece), (Ok(()), Ok(())));
        assert_eq!(a.peer().unwrap().node_id, bob.node_id());
        assert_eq!(b.peer().unwrap().user.as_deref(), Some("alice@overlay.example.org"));
        assert_eq!(a.poll_plaintext().unwrap(), "patience");
        assert_eq!(b.poll_plaintext().unwrap(), "early");
        b.close(NOW);
        assert_eq!(carry(&mut *a, &mut *b, piece).0, Err(ChannelError::Closed));
        assert_eq!(a.send(NOW, b"late"), Err(ChannelError::Closed));
    }
}
