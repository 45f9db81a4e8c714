//! Keys, certificates, signatures.

use super::forge::*;
use bytes::Bytes;
use p2piptv::env::{Channels as _, Crypto, CryptoError, Signed, Signer};
use p2piptv::ids::{KeyFingerprint, NodeId, bytes_from_hex};
use p2piptv::reload::codec::{MessageContents, Structure, message_signature_input};
use p2piptv::time::{Duration, Instant, UnixMillis};
use p2piptv::tls::{
    Authority, Digest, Identity, IdentityError, KeyType, MAX_KNOWN, MAX_NODE_IDS, ReloadUri, Request, Tls,
    Trust,
};
use quickcheck::quickcheck;
use rcgen::{BasicConstraints, CertificateParams, PublicKeyData, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn der(pem: &str) -> Bytes {
    Bytes::from(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec())
}

fn hex(text: &str) -> Bytes {
    bytes_from_hex(text).unwrap().into()
}

#[test]
fn sb1_a_signature_of_either_kind_of_key_is_checked_and_names_its_signer() {
    let reader = node("reader");
    for (key_type, algorithm) in [(KeyType::P256, (4, 3)), (KeyType::Rsa, (4, 1))] {
        let writer = Identity::self_signed_with(OVERLAY, "writer", Digest::Sha256, key_type, 1).unwrap();
        let signed = writer.sign(&[b"one ", b"two"]);
        assert_eq!((signed.hash, signed.signature), algorithm);
        let check =
            |text: &[u8]| reader.verify(TODAY, &writer.signer(), writer.certificates(), &[text], &signed);
        let party = check(b"one two").unwrap();
        assert_eq!(party.node_id, writer.node_id());
        assert_eq!(party.node_ids, writer.node_ids());
        assert_eq!(party.user.as_deref(), Some("writer@overlay.example.org"));
        assert_eq!(party.certificate.as_ref(), writer.certificates().first());
        // The signer is known by now; the signature counts all the same.
        assert_eq!(check(b"one twO"), Err(CryptoError::BadSignature));
        assert_eq!(check(b"one two"), Ok(party));
    }
}

/// The signature input of vector V1 (a Ping), signed by `openssl dgst -sha256 -sign`.
#[test]
fn sb1_sb9_v5_another_implementations_certificates_and_signatures_are_good() {
    let root = der(include_str!("../data/tls/root.pem"));
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![root])).unwrap();
    for (name, pem, node_id, hash, algorithm, value) in [
        (
            "alice",
            include_str!("../data/tls/alice.pem"),
            [0x11; 16],
            "265b51cd1e4afe2251d0b8e36ae73839c410b443884d6f03580b2a440b4063e6",
            3,
            "304502210091a670190c00f22229c4c4aa19d642f318b885fcb7019175153b180ce1538efb02200143b3d78f7f5816d951\
             c7ff1839673a8e6de01df22a42edf19977a5ffa872fa",
        ),
        (
            "bob",
            include_str!("../data/tls/bob.pem"),
            [0x22; 16],
            "d8e5d74421649a96dfdf936c95aa2e1bb07680b3f668fd1b1570f7073e6c8947",
            1,
            "60a9ffe34ecc168ba00516ebca344b57153fa75464190f41297d17d0f67284964ddcd673bbcc38806093a965a594a67ab24\
             7f60baf9b098c1a75f20c043d8337779b5921f89c0de00276a10eacf70c49c3657fb30b1e3629457a847f3e9fdbf95f58b74\
             4a605e239b9b9c6a1d166ff990c7c5657adde5f817de0d39cf512772a852fc09d488239d4a9fd7cc1b37adcf7d12def3242f\
             abc4cf592f37c676aed866c1d6683a54f6f84146c1023521626828ad4b77f96293db7750e2dc9f032389faf18a4e59a693dd\
             298daf13172d86f617b6d18a0ed8ed3b4f6adfd09af6ca5fbab74bb3ff13a8a38f524f8ae10d5d3ee3debb28d8636b931df9\
             1a180574c8d92",
        ),
    ] {
        let certificate = der(pem);
        let signer = identity_of(&certificate);
        assert_eq!(signer.value, hex(&format!("0420{hash}")));
        let ping = MessageContents::decode(&hex("0017000000020000 00000000")).unwrap();
        let input = message_signature_input(0x9aa3_2b8d, 0x0102_0304_0506_0708, &ping, &signer).unwrap();
        let signed = Signed { hash: 4, signature: algorithm, value: hex(value) };
        let party = reader.verify(TODAY, &signer, &[certificate], &[&input], &signed).unwrap();
        assert_eq!(party.node_id, NodeId(node_id));
        assert_eq!(party.user, Some(format!("{name}@{OVERLAY}")));
    }
}

/// The SubjectPublicKeyInfo of `carol.pem`; the digests are those of `openssl dgst`.
const CAROL: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200041b200a6ab7de520328c63cfef46e267ed526cdd85\
                     57920b65de89b0107ce8b510bb716a3c0ab21e7e6cb583948716d5ded93a580d90b2cca642cb00f39ff53d1";

#[test]
fn ce7_a_node_id_is_the_beginning_of_the_digest_of_the_key() {
    let key = hex(CAROL);
    for (digest, expected) in [
        (Digest::Sha1, "de39be1e0f07e8cd4fb9bdc21feb0feb"),
        (Digest::Sha256, "3ad3495a62d376a1f5b4e7a4c4592397"),
    ] {
        assert_eq!(digest.node_id(&key, 0, 1).to_string(), expected);
    }
    // The certificate that another implementation made for it.
    let carol = der(include_str!("../data/tls/carol.pem"));
    let party = |digest| {
        let reader = Identity::self_signed(OVERLAY, "reader", digest).unwrap();
        let signed = Signed { hash: 4, signature: 3, value: Bytes::new() };
        reader.verify(TODAY, &identity_of(&carol), std::slice::from_ref(&carol), &[b""], &signed)
    };
    // The certificate is good, only the signature is none; by the other digest the Node-ID is another's.
    assert_eq!(party(Digest::Sha1), Err(CryptoError::BadSignature));
    assert_eq!(party(Digest::Sha256), Err(CryptoError::NotTrusted));
}

#[test]
fn ce8_with_several_node_ids_each_has_its_place_before_the_key() {
    let key = hex(CAROL);
    for (digest, first, second) in [
        (Digest::Sha1, "77971bfe137476ef5fc1eca23ee68745", "1eae47a2fb40aaa24ccab9fb23c2c8ac"),
        (Digest::Sha256, "0792befe84f02b4f632a8ce2bac82409", "465d64bee886c946130f4ece8a3dab32"),
    ] {
        assert_eq!(digest.node_id(&key, 0, 2).to_string(), first);
        assert_eq!(digest.node_id(&key, 1, 2).to_string(), second);
        // The trap: the first of several is not the only one of one.
        assert_ne!(digest.node_id(&key, 0, 2), digest.node_id(&key, 0, 1));
    }
}

#[test]
fn sb2_one_node_id_signs_by_cert_hash_and_several_by_cert_hash_node_id() {
    for (node_ids, identity_type) in [(1, 1), (2, 2), (MAX_NODE_IDS, 2)] {
        let writer =
            Identity::self_signed_with(OVERLAY, "writer", Digest::Sha1, KeyType::P256, node_ids).unwrap();
        assert_eq!(writer.signer().identity_type, identity_type);
        assert_eq!(writer.node_ids().len(), node_ids);
        let reader = Identity::self_signed(OVERLAY, "reader", Digest::Sha1).unwrap();
        let signed = writer.sign(&[b"x"]);
        // Once as a stranger, once as one who is known.
        for _ in 0..2 {
            let party =
                reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed).unwrap();
            assert_eq!((party.node_id, party.node_ids.len()), (writer.node_id(), node_ids));
            // The other form of identity names nobody.
            let mut signer = writer.signer();
            signer.identity_type = 3 - identity_type;
            let other = reader.verify(TODAY, &signer, writer.certificates(), &[b"x"], &signed);
            assert_eq!(other, Err(CryptoError::UnknownSigner));
        }
    }
}

#[test]
fn sb7_a_certificate_counts_from_its_first_to_its_last_second_however_well_it_is_known() {
    let (from, until) = (UnixMillis(1_767_225_600_000), UnixMillis(1_798_761_599_999));
    let writer = self_signed(|params| {
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1) - std::time::Duration::from_secs(1);
    });
    let (signer, signed) = writer.sign(b"x");
    let reader = node("reader");
    let check = |at| reader.verify(at, &signer, std::slice::from_ref(&writer.der), &[b"x"], &signed);
    for _ in 0..2 {
        assert_eq!(check(UnixMillis(from.0 - 1)), Err(CryptoError::Expired));
        assert_eq!(check(UnixMillis(until.0 + 1)), Err(CryptoError::Expired));
        assert!(check(from).is_ok());
        assert!(check(until).is_ok());
    }
}

#[test]
fn sb7_an_authority_in_between_that_expires_takes_its_nodes_along() {
    let root = root();
    let mut params = authority("between", BasicConstraints::Unconstrained, None).params;
    params.not_after = date_time_ymd(2027, 1, 1);
    let between = issue(params, key(), Some(&root));
    let writer = issue(good(), key(), Some(&between));
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap();
    let (signer, signed) = writer.sign(b"x");
    let bucket = [writer.der.clone(), between.der.clone()];
    let check = |year| {
        let at = UnixMillis(u64::try_from(date_time_ymd(year, 2, 1).unix_timestamp()).unwrap() * 1000);
        reader.verify(at, &signer, &bucket, &[b"x"], &signed).map(|p| p.node_id)
    };
    assert_eq!(check(2026), Ok(ID));
    assert_eq!(check(2027), Err(CryptoError::Expired), "it is remembered, but not for ever");
}

#[test]
fn sb7_a_bystander_that_expires_takes_nobody_along() {
    let root = root();
    // Whoever passes Alice's value on adds an authority that has nothing to do with her.
    let mut params = authority("bystander", BasicConstraints::Unconstrained, None).params;
    params.not_after = date_time_ymd(2027, 1, 31);
    let bystander = issue(params, key(), Some(&root));
    let writer = issue(good(), key(), Some(&root));
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap();
    let (signer, signed) = writer.sign(b"x");
    let bucket = [bystander.der.clone(), writer.der.clone()];
    assert!(reader.verify(TODAY, &signer, &bucket, &[b"x"], &signed).is_ok());
    assert!(reader.verify(TODAY + YEAR, &signer, &[], &[b"x"], &signed).is_ok());
}

#[test]
fn sb7_an_authority_in_between_may_be_renewed() {
    let root = root();
    let mut params = authority("between", BasicConstraints::Unconstrained, None).params;
    let key_of_both = key();
    params.not_after = date_time_ymd(2027, 1, 31);
    let old = params.signed_by(&key_of_both, &root.issuer()).unwrap();
    let old = Bytes::copy_from_slice(old.der());
    params.not_after = date_time_ymd(2030, 1, 1);
    let new = issue(params, key_of_both, Some(&root));
    let writer = issue(good(), key(), Some(&new));
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap();
    let (signer, signed) = writer.sign(b"x");
    let check = |at, bucket: &[&Bytes]| {
        let bucket: Vec<Bytes> = bucket.iter().copied().chain([&writer.der]).cloned().collect();
        reader.verify(at, &signer, &bucket, &[b"x"], &signed).map(|p| p.node_id)
    };
    assert_eq!(check(TODAY, &[&old]), Ok(ID));
    assert_eq!(check(TODAY + YEAR, &[&old]), Err(CryptoError::Expired));
    assert_eq!(check(TODAY + YEAR, &[&old, &new.der]), Ok(ID));
}

#[test]
fn sb3_a_message_may_carry_values_under_many_authorities() {
    let root = root();
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap();
    let between: Vec<Forged> = (0..8)
        .map(|n| authority(&format!("authority {n}"), BasicConstraints::Constrained(0), Some(&root)))
        .collect();
    let writers: Vec<Forged> = between.iter().map(|by| issue(good(), key(), Some(by))).collect();
    let bucket: Vec<Bytes> = between.iter().chain(&writers).map(|f| f.der.clone()).collect();
    for writer in &writers {
        let (signer, signed) = writer.sign(b"x");
        assert!(reader.verify(TODAY, &signer, &bucket, &[b"x"], &signed).is_ok());
    }
}

#[test]
fn sb8_a_bad_node_is_nobody() {
    let writer = Identity::self_signed_with(OVERLAY, "w", Digest::Sha256, KeyType::P256, 3).unwrap();
    let mut trust = Trust::in_keys(OVERLAY, Digest::Sha256);
    trust.bad_nodes.insert(writer.node_ids()[2]);
    let reader = node("reader").trusting(trust).unwrap();
    let signed = writer.sign(&[b"x"]);
    let judged = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed);
    assert_eq!(judged, Err(CryptoError::BadNode));
}

#[test]
fn ce6_sb9_a_chain_may_have_two_authorities_between_node_and_root() {
    let root = root();
    let first = authority("first", BasicConstraints::Constrained(1), Some(&root));
    let second = authority("second", BasicConstraints::Constrained(0), Some(&first));
    let writer = issue(good(), key(), Some(&second));
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap();
    // In any order, and among other things.
    let other = node("other");
    let (signer, signed) = writer.sign(b"x");
    let own = other.certificates()[0].clone();
    let bucket = [own, first.der.clone(), writer.der.clone(), second.der.clone()];
    assert_eq!(reader.verify(TODAY, &signer, &bucket, &[b"x"], &signed).unwrap().node_id, ID);
    // Who is known needs no certificates any more.
    assert_eq!(reader.verify(TODAY, &signer, &[], &[b"x"], &signed).unwrap().node_id, ID);
    // Others need them.
    let reader = reader.trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap();
    assert_eq!(reader.verify(TODAY, &signer, &[], &[b"x"], &signed), Err(CryptoError::UnknownSigner));
    assert_eq!(judge(&reader, &writer, &[&second]), Err(CryptoError::NotTrusted));
}

#[test]
fn sb9_the_certificate_of_a_signer_may_be_a_root_that_everybody_has() {
    // A root that is no authority: it vouches for itself alone.
    let writer = issue(good(), key(), None);
    let reader = node("reader").trusting(Trust::in_roots(OVERLAY, vec![writer.der.clone()])).unwrap();
    let (signer, signed) = writer.sign(b"x");
    assert_eq!(reader.verify(TODAY, &signer, &[], &[b"x"], &signed).unwrap().node_id, ID);
}

#[test]
fn cf5_all_copies_of_an_identity_and_its_channels_go_by_the_newest_configuration() {
    let (reader, writer) = (node("reader"), node("writer"));
    let lent = reader.clone();
    let judge = || {
        let signed = writer.sign(&[b"x"]);
        lent.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed).map(|p| p.node_id)
    };
    let mut channels = Tls::new(&reader).unwrap();
    let mut shakes_hands = || {
        let (mut here, mut there) =
            (channels.accept(Instant::ZERO, TODAY), Tls::new(&writer).unwrap().connect(Instant::ZERO, TODAY));
        for _ in 0..4 {
            while let Some(bytes) = there.poll_ciphertext() {
                let _ = here.handle_ciphertext(Instant::ZERO, &bytes);
            }
            while let Some(bytes) = here.poll_ciphertext() {
                let _ = there.handle_ciphertext(Instant::ZERO, &bytes);
            }
        }
        here.peer().is_some()
    };
    assert_eq!((judge(), shakes_hands()), (Ok(writer.node_id()), true));
    let mut trust = Trust::in_keys(OVERLAY, Digest::Sha256);
    trust.bad_nodes.insert(writer.node_id());
    reader.believe(trust).unwrap();
    assert_eq!((judge(), shakes_hands()), (Err(CryptoError::BadNode), false));
    // A root that is no certificate changes nothing.
    let broken = Trust::in_roots(OVERLAY, vec![Bytes::from_static(b"no certificate")]);
    assert!(matches!(reader.believe(broken), Err(IdentityError::Root(_))));
    reader.believe(Trust::in_keys(OVERLAY, Digest::Sha256)).unwrap();
    assert_eq!((judge(), shakes_hands()), (Ok(writer.node_id()), true));
}

#[test]
fn a_flood_of_new_certificates_costs_others_a_second_check_and_nothing_else() {
    let reader = node("reader");
    let first = node("first");
    let check = |who: &Identity, certificates: &[Bytes]| {
        reader.verify(TODAY, &who.signer(), certificates, &[b"x"], &who.sign(&[b"x"])).map(|p| p.node_id)
    };
    assert_eq!(check(&first, first.certificates()), Ok(first.node_id()));
    for _ in 0..MAX_KNOWN / MAX_NODE_IDS {
        let stranger =
            Identity::self_signed_with(OVERLAY, "stranger", Digest::Sha256, KeyType::P256, MAX_NODE_IDS)
                .unwrap();
        assert_eq!(check(&stranger, stranger.certificates()), Ok(stranger.node_id()));
    }
    assert_eq!(check(&first, &[]), Err(CryptoError::UnknownSigner), "forgotten");
    assert_eq!(check(&first, first.certificates()), Ok(first.node_id()));
}

#[test]
fn ce4_an_authority_gives_random_node_ids_and_its_nodes_believe_each_other() {
    let authority = Authority::new(OVERLAY, TODAY, YEAR * 10).unwrap();
    // As it comes back from its files.
    let authority = Authority::from_pem(&authority.key_pem(), &authority.root_pem()).unwrap();
    assert_eq!(authority.overlay(), OVERLAY);
    let request = |name| Request { name, from: TODAY, lifetime: YEAR };
    let alice = authority.node(&request("alice"), KeyType::P256, 1).unwrap();
    let bob = authority.node(&request("bob"), KeyType::Rsa, 3).unwrap();
    assert_eq!(bob.node_ids().len(), 3);
    assert_ne!(alice.node_id(), bob.node_id());
    for (writer, reader) in [(&alice, &bob), (&bob, &alice)] {
        let signed = writer.sign(&[b"x"]);
        let party = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed).unwrap();
        assert_eq!(party.node_ids, writer.node_ids());
        assert_eq!(party.user.as_deref(), writer.user());
    }
    assert_eq!(alice.valid_at(TODAY), Ok(()));
    assert_eq!(alice.valid_at(UnixMillis(0)), Err(CryptoError::Expired));
    assert_eq!(alice.valid_at(TODAY + YEAR * 2), Err(CryptoError::Expired));

    let later = Request { name: "alice", from: TODAY + YEAR, lifetime: YEAR };
    let again = authority.again(&later, &alice).unwrap();
    assert_eq!(again.node_ids(), alice.node_ids());
    assert_eq!(again.key_pem(), alice.key_pem());
    assert_eq!(again.valid_at(TODAY + YEAR + YEAR), Ok(()));
    let bobs = authority.again(&request("robert"), &bob).unwrap();
    assert_eq!((bobs.user(), bobs.node_ids()), (Some("robert@overlay.example.org"), bob.node_ids()));
}

#[test]
fn an_identity_comes_back_from_its_files() {
    for key_type in [KeyType::P256, KeyType::Rsa] {
        let first = Identity::self_signed_with(OVERLAY, "a", Digest::Sha1, key_type, 2).unwrap();
        let trust = Trust::in_keys(OVERLAY, Digest::Sha1);
        let second = Identity::from_pem(&first.key_pem(), &first.certificates_pem(), trust.clone()).unwrap();
        assert_eq!((second.node_ids(), second.user()), (first.node_ids(), first.user()));
        assert_eq!(second.key_type(), key_type);
        // One file may hold both.
        let both = format!("{}{}", second.certificates_pem(), second.key_pem());
        let third = Identity::from_pem(&both, &both, trust).unwrap();
        assert_eq!(third.certificates(), first.certificates());
        assert_eq!(third.key_pem(), first.key_pem());
    }
}

#[test]
fn what_cannot_be_an_identity_is_refused_by_name() {
    let (alice, bob) = (node("alice"), node("bob"));
    let trust = || Trust::in_keys(OVERLAY, Digest::Sha256);
    let (key, chain) = (alice.key_pem(), alice.certificates_pem());
    let from_pem = |key: &str, chain: &str| Identity::from_pem(key, chain, trust()).unwrap_err();
    assert_eq!(from_pem(&bob.key_pem(), &chain), IdentityError::OtherKey);
    assert_eq!(from_pem("", &chain), IdentityError::Key);
    assert_eq!(from_pem(&chain, &chain), IdentityError::Key);
    assert_eq!(from_pem(&key, ""), IdentityError::NoCertificate);
    assert_eq!(from_pem(&key, &chain.replace('M', "!")), IdentityError::Pem);
    assert_eq!(from_pem(&key, &chain.repeat(4)), IdentityError::TooManyCertificates);
    let elsewhere = Trust::in_keys("other.example.org", Digest::Sha256);
    let malformed = IdentityError::Certificate(CryptoError::BadCertificate);
    assert_eq!(Identity::from_pem(&key, &chain, elsewhere).unwrap_err(), malformed);
    let no_root = Trust::in_roots(OVERLAY, vec![Bytes::from_static(b"root")]);
    let error = Identity::from_pem(&key, &chain, no_root).unwrap_err();
    assert_eq!(error, IdentityError::Root(CryptoError::BadCertificate));

    let new = |overlay, name| Identity::self_signed(overlay, name, Digest::Sha1).unwrap_err();
    assert_eq!(new(OVERLAY, "a@b"), IdentityError::Name);
    assert_eq!(new(OVERLAY, ""), IdentityError::Name);
    assert_eq!(new("", "a"), IdentityError::Overlay);
    assert_eq!(new("a/b", "a"), IdentityError::Overlay);
    assert_eq!(new("tv.exämple", "a"), IdentityError::Overlay);
    for n in [0, MAX_NODE_IDS + 1] {
        let error = Identity::self_signed_with(OVERLAY, "a", Digest::Sha1, KeyType::P256, n).unwrap_err();
        assert_eq!(error, IdentityError::NodeIds);
    }

    let authority = Authority::new(OVERLAY, TODAY, YEAR).unwrap();
    let (key, root) = (authority.key_pem(), authority.root_pem());
    let load = |key: &str, root: &str| Authority::from_pem(key, root).unwrap_err();
    assert_eq!(load(&bob.key_pem(), &root), IdentityError::OtherKey);
    assert_eq!(load(&key, ""), IdentityError::NoCertificate);
    assert_eq!(load(&key, &key), IdentityError::NoCertificate);
    assert_eq!(load(&alice.key_pem(), &chain), IdentityError::Root(CryptoError::BadCertificate));
    assert_eq!(Authority::new(OVERLAY, UnixMillis(u64::MAX), YEAR).unwrap_err(), IdentityError::Time);
    assert_eq!(Authority::new("a b", TODAY, YEAR).unwrap_err(), IdentityError::Overlay);
    // A root of the same key whose name is written otherwise: what it issues would not be believed.
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, OVERLAY);
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
    let stranger = issue(params, key_of(&authority), None);
    let root = pem_of(&stranger.der);
    let odd = Authority::from_pem(&key, &root).unwrap();
    let request = Request { name: "a", from: TODAY, lifetime: YEAR };
    let error = odd.node(&request, KeyType::P256, 1).unwrap_err();
    assert_eq!(error, IdentityError::Certificate(CryptoError::NotTrusted));
}

fn key_of(authority: &Authority) -> rcgen::KeyPair {
    use rustls::pki_types::PrivateKeyDer;
    let key = PrivateKeyDer::from_pem_slice(authority.key_pem().as_bytes()).unwrap();
    rcgen::KeyPair::try_from(&key).unwrap()
}

fn pem_of(der: &[u8]) -> String {
    x509_cert::der::pem::encode_string("CERTIFICATE", x509_cert::der::pem::LineEnding::LF, der).unwrap()
}

#[test]
fn a_self_signed_identity_serves_from_the_first_to_the_last_second_of_x509_and_says_what_it_is() {
    let alice = node("alice");
    assert!(alice.is_self_signed());
    let end = UnixMillis(253_402_300_799_999);
    assert_eq!((alice.valid_at(UnixMillis(0)), alice.valid_at(end)), (Ok(()), Ok(())));
    assert_eq!(alice.valid_at(UnixMillis(end.0 + 1)), Err(CryptoError::Expired));
    assert_eq!(alice.valid_at(UnixMillis(u64::MAX)), Err(CryptoError::Expired));
}

#[test]
fn a_debug_print_shows_no_key() {
    let alice = node("alice");
    let text = format!("{alice:?}");
    assert!(text.contains(&alice.node_id().to_string()) && text.contains("alice@overlay.example.org"));
    assert!(text.len() < 200, "{text}");
}

#[test]
fn the_fingerprint_of_a_party_is_that_of_its_key() {
    let writer = self_signed(|_| ());
    let party = judge(&node("reader"), &writer, &[]).unwrap();
    assert_eq!(party.key, KeyFingerprint::of(&writer.key.subject_public_key_info()));
}

quickcheck! {
    fn how_the_signed_bytes_are_cut_does_not_matter(parts: Vec<Vec<u8>>) -> bool {
        thread_local!(static NODE: Identity = node("alice"));
        NODE.with(|node| {
            let cut: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
            let whole = parts.concat();
            let signed = node.sign(&cut);
            node.verify(TODAY, &node.signer(), &[], &[&whole], &signed).is_ok()
        })
    }

    fn ce2_the_uri_of_a_node_is_read_as_it_was_written(id: u128) -> bool {
        let uri = ReloadUri::of_node(NodeId::from_u128(id), OVERLAY);
        ReloadUri::parse(&uri.to_string()) == Ok(uri)
    }

    fn ce2_reading_any_text_as_a_uri_ends(text: String) -> bool {
        let with_scheme = format!("reload://{text}");
        ReloadUri::parse(&text).is_err() && !ReloadUri::parse(&with_scheme).is_ok_and(|u| u.node_id().is_some())
    }
}

/// The type that a signer has who names nobody.
#[test]
fn sb5_a_signer_who_names_nobody_or_by_another_hash_is_refused() {
    let alice = node("alice");
    let signed = alice.sign(&[b"x"]);
    let hash = alice.signer().value;
    for (identity_type, value, error) in [
        (3, Bytes::new(), CryptoError::UnknownSigner),
        (0, hash.clone(), CryptoError::UnknownSigner),
        (7, hash.clone(), CryptoError::UnknownSigner),
        (1, Bytes::new(), CryptoError::UnknownSigner),
        (1, [&[2, 32], &hash[2..]].concat().into(), CryptoError::BadAlgorithm),
        (1, [&[4, 31], &hash[2..33]].concat().into(), CryptoError::UnknownSigner),
        (1, [&[4, 32], &[0; 32][..]].concat().into(), CryptoError::UnknownSigner),
    ] {
        let signer = Signer { identity_type, value };
        let judged = alice.verify(TODAY, &signer, alice.certificates(), &[b"x"], &signed);
        assert_eq!(judged, Err(error), "{signer:?}");
    }
}
