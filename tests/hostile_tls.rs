//! What attackers try against certificates, signatures and TLS, one test for each attempt. All are refused, cheaply.

#[path = "tls/forge.rs"]
mod forge;

use bytes::Bytes;
use forge::*;
use p2piptv::env::{Channel, ChannelError, Channels, Crypto, CryptoError, Signed};
use p2piptv::ids::NodeId;
use p2piptv::tls::{
    Digest, Identity, KeyType, MAX_CERTIFICATE, MAX_HANDSHAKE, MAX_NODE_IDS, MAX_USER, ReloadUri, Tls, Trust,
};
use quickcheck::quickcheck;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PublicKeyData, SanType, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, crypto};
use std::io::Write as _;
use std::sync::Arc;

/// Believes one root.
fn believer(root: &Forged) -> Identity {
    node("reader").trusting(Trust::in_roots(OVERLAY, vec![root.der.clone()])).unwrap()
}

/// What a reader says, first to a message that the forger signed, then to the forger at either end of a channel.
fn refused(reader: &Identity, forged: &Forged, more: &[&Forged], error: CryptoError) {
    assert_eq!(judge(reader, forged, more).err(), Some(error));
    // Our own library would not make such an identity, so the forger speaks TLS by himself.
    let mut accepting = Tls::new(reader).unwrap().accept(NOW, TODAY);
    let chain: Vec<&Bytes> = [forged].iter().chain(more).map(|f| &f.der).collect();
    let config = showing(&chain, forged.key.serialize_der(), stranger());
    assert_eq!(speak(config, &mut *accepting), Err(ChannelError::Certificate(error)));
    assert!(accepting.peer().is_none());
    assert_eq!(accepting.poll_plaintext(), None);
}

/// Accepts whatever the other end shows.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
        ]
    }
}

type ClientBuilder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn stranger_of(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientBuilder {
    ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
}

fn stranger() -> ClientBuilder {
    stranger_of(rustls::ALL_VERSIONS)
}

fn dial(config: ClientConfig) -> ClientConnection {
    ClientConnection::new(Arc::new(config), ServerName::try_from("stranger.example").unwrap()).unwrap()
}

/// A client that shows these certificates, whatever they are.
fn showing(chain: &[&Bytes], key: Vec<u8>, builder: ClientBuilder) -> ClientConfig {
    let chain = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = crypto::aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::try_from(key).unwrap()).unwrap();
    let certified = CertifiedKey::new(chain, key);
    builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

/// Lets a client of another kind speak to one of our ends until neither says more.
fn speak(config: ClientConfig, end: &mut dyn Channel) -> Ended {
    converse(&mut dial(config), end)
}

fn converse(client: &mut ClientConnection, end: &mut dyn Channel) -> Ended {
    let mut ended = Ok(());
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        ended = ended.and(end.handle_ciphertext(NOW, &bytes));
        let Some(answer) = end.poll_ciphertext() else { return ended };
        let mut answer = &answer[..];
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            if client.process_new_packets().is_err() {
                return ended;
            }
        }
    }
}

#[test]
fn the_forgers_tools_make_good_certificates_too() {
    let root = root();
    let forged = issue(good(), key(), Some(&root));
    assert_eq!(judge(&believer(&root), &forged, &[]).unwrap().node_id, ID);
    assert!(judge(&node("reader"), &self_signed(|_| ()), &[]).is_ok());
    let mut end = Tls::new(&believer(&root)).unwrap().accept(NOW, TODAY);
    let config = showing(&[&forged.der], forged.key.serialize_der(), stranger());
    assert_eq!(speak(config, &mut *end), Ok(()));
    assert_eq!(end.peer().unwrap().node_id, ID);
}

#[test]
fn sb7_a_certificate_out_of_its_time_is_refused() {
    let root = root();
    let reader = believer(&root);
    for change in [(|p| p.not_after = date_time_ymd(2026, 12, 31)) as fn(&mut CertificateParams), |p| {
        p.not_before = date_time_ymd(2028, 1, 1)
    }] {
        let mut params = good();
        change(&mut params);
        refused(&reader, &issue(params, key(), Some(&root)), &[], CryptoError::Expired);
        refused(&node("reader"), &self_signed(change), &[], CryptoError::Expired);
    }
}

/// Every fault in the form of a certificate (RFC 6940 §11.3), vouched for by a careless root.
#[test]
fn ce1_a_certificate_of_another_form_is_refused() {
    let root = root();
    let reader = believer(&root);
    type Fault = fn(&mut CertificateParams);
    let faults: &[(&str, Fault)] = &[
        ("a subject", |p| p.distinguished_name.push(DnType::CommonName, "alice")),
        ("no name at all", |p| p.subject_alt_names.clear()),
        ("no user name", |p| p.subject_alt_names.truncate(1)),
        ("no Node-ID", |p| drop(p.subject_alt_names.remove(0))),
        ("two user names", |p| p.subject_alt_names.push(user("bob@overlay.example.org"))),
        ("the same user name twice", |p| p.subject_alt_names.push(user("alice@overlay.example.org"))),
        ("a host name", |p| p.subject_alt_names.push(SanType::DnsName("a.example".try_into().unwrap()))),
        ("an address", |p| p.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()))),
        ("another kind of name", |p| {
            p.subject_alt_names.push(SanType::OtherName((vec![1, 2, 3], "x".to_owned().into())));
        }),
        ("a URI of another scheme", |p| p.subject_alt_names.push(text("http://overlay.example.org/"))),
        ("another overlay", |p| {
            let other = ReloadUri::of_node(ID, "other.example.org").to_string();
            p.subject_alt_names[0] = text(&other);
        }),
        ("another overlay besides", |p| {
            let other = ReloadUri::of_node(NodeId([1; 16]), "other.example.org").to_string();
            p.subject_alt_names.push(text(&other));
        }),
        ("the beginning of the overlay's name", |p| {
            p.subject_alt_names[0] = text(&ReloadUri::of_node(ID, "overlay.example").to_string());
        }),
        ("a bare Node-ID", |p| p.subject_alt_names[0] = text(&format!("reload://{ID}@{OVERLAY}/"))),
        ("a path of two nodes", |p| {
            p.subject_alt_names[0] = text(&format!("reload://0110{ID}0110{ID}@{OVERLAY}/"));
        }),
        ("a resource", |p| p.subject_alt_names[0] = text(&format!("reload://021110{ID}@{OVERLAY}/"))),
        ("a value", |p| p.subject_alt_names[0] = text(&format!("reload://0110{ID}@{OVERLAY}/01"))),
        ("the same Node-ID twice", |p| p.subject_alt_names.push(p.subject_alt_names[0].clone())),
        ("too many Node-IDs", |p| {
            p.subject_alt_names.extend((0..MAX_NODE_IDS).map(|n| uri(NodeId::from_u128(n as u128))));
        }),
        ("a user name with a NUL", |p| p.subject_alt_names[1] = user("alice\0@overlay.example.org")),
        ("a user name with a line", |p| p.subject_alt_names[1] = user("alice\r\n@overlay.example.org")),
        ("an empty user name", |p| p.subject_alt_names[1] = user("")),
        ("a long user name", |p| p.subject_alt_names[1] = user(&"a".repeat(MAX_USER + 1))),
        ("an unknown critical extension", |p| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(true);
            p.custom_extensions.push(extension);
        }),
    ];
    for (fault, change) in faults {
        let mut params = good();
        change(&mut params);
        let forged = issue(params, key(), Some(&root));
        assert_eq!(judge(&reader, &forged, &[]).err(), Some(CryptoError::BadCertificate), "{fault}");
        refused(&reader, &forged, &[], CryptoError::BadCertificate);
        let forged = self_signed(*change);
        assert_eq!(judge(&node("reader"), &forged, &[]).err(), Some(CryptoError::BadCertificate), "{fault}");
    }
}

#[test]
fn sb9_another_authority_is_not_believed_whatever_it_is_called() {
    let (root, other) = (root(), root());
    refused(&believer(&root), &issue(good(), key(), Some(&other)), &[], CryptoError::NotTrusted);
    refused(&believer(&root), &issue(good(), key(), Some(&other)), &[&other], CryptoError::NotTrusted);
}

#[test]
fn ce6_a_node_is_no_authority() {
    let root = root();
    let mut params = good();
    params.distinguished_name.push(DnType::CommonName, "alice");
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        params.is_ca = is_ca;
        let node = issue(params.clone(), key(), Some(&root));
        refused(&believer(&root), &issue(good(), key(), Some(&node)), &[&node], CryptoError::NotTrusted);
    }
    // Nor is an authority a node.
    let mut params = good();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    refused(&believer(&root), &issue(params, key(), Some(&root)), &[], CryptoError::NotTrusted);
}

#[test]
fn ce6_an_authority_vouches_for_no_more_than_it_may() {
    let root = root();
    let narrow = authority("narrow", BasicConstraints::Constrained(0), Some(&root));
    let below = authority("below", BasicConstraints::Constrained(0), Some(&narrow));
    let forged = issue(good(), key(), Some(&below));
    refused(&believer(&root), &forged, &[&below, &narrow], CryptoError::NotTrusted);
    // Longer chains than anybody needs.
    let one = authority("one", BasicConstraints::Unconstrained, Some(&root));
    let two = authority("two", BasicConstraints::Unconstrained, Some(&one));
    let three = authority("three", BasicConstraints::Unconstrained, Some(&two));
    let forged = issue(good(), key(), Some(&three));
    refused(&believer(&root), &forged, &[&three, &two, &one], CryptoError::NotTrusted);
}

#[test]
fn a_certificate_for_something_else_is_refused() {
    use ExtendedKeyUsagePurpose::*;
    let root = root();
    for (usages, good_enough) in [
        (vec![ServerAuth, ClientAuth], true),
        (vec![EmailProtection, ClientAuth, ServerAuth], true),
        (vec![ServerAuth], false),
        (vec![ClientAuth], false),
        (vec![CodeSigning], false),
    ] {
        let mut params = good();
        params.extended_key_usages = usages;
        let forged = issue(params, key(), Some(&root));
        let judged = judge(&believer(&root), &forged, &[]);
        assert_eq!(judged.err(), (!good_enough).then_some(CryptoError::NotTrusted), "{:?}", forged.params);
    }
}

#[test]
fn ce9_a_self_signed_certificate_with_anothers_node_id_is_refused() {
    let theft = self_signed(|p| p.subject_alt_names[0] = uri(ID));
    refused(&node("reader"), &theft, &[], CryptoError::NotTrusted);
    // One of two is not enough, nor the right ones in the wrong places.
    let key = key();
    let public_key = key.subject_public_key_info();
    let [first, second] = [0, 1].map(|place| uri(Digest::Sha256.node_id(&public_key, place, 2)));
    for names in [[first.clone(), uri(ID)], [second, first]] {
        let mut params = good();
        params.subject_alt_names.splice(0..1, names);
        let certificate = params.self_signed(&key).unwrap();
        let mut end = Tls::new(&node("reader")).unwrap().accept(NOW, TODAY);
        let config = showing(&[&Bytes::copy_from_slice(certificate.der())], key.serialize_der(), stranger());
        let refused = Err(ChannelError::Certificate(CryptoError::NotTrusted));
        assert_eq!(speak(config, &mut *end), refused);
    }
}

#[test]
fn sb9_self_signed_certificates_are_refused_where_they_are_not_permitted() {
    let root = root();
    refused(&believer(&root), &self_signed(|_| ()), &[], CryptoError::NotTrusted);
    // And where nobody is believed at all.
    let hermit = node("hermit").trusting(Trust::in_roots(OVERLAY, Vec::new())).unwrap();
    refused(&hermit, &self_signed(|_| ()), &[], CryptoError::NotTrusted);
    refused(&hermit, &issue(good(), key(), Some(&root)), &[&root], CryptoError::NotTrusted);
}

#[test]
fn ce9_a_self_signed_certificate_that_another_key_signed_is_refused() {
    // The victim's public key and Node-ID, another user name, signed by the thief.
    let victim = key();
    let mut params = good();
    params.subject_alt_names[0] = uri(Digest::Sha256.node_id(&victim.subject_public_key_info(), 0, 1));
    let mut nameless = CertificateParams::default();
    nameless.distinguished_name = rcgen::DistinguishedName::new();
    let thief = Forged { der: Bytes::new(), params: nameless, key: key() };
    let forged = issue(params, victim, Some(&thief));
    assert_eq!(judge(&node("reader"), &forged, &[]).err(), Some(CryptoError::NotTrusted));
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let root = root();
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let forged = issue(good(), key, Some(&root));
        refused(&believer(&root), &forged, &[], CryptoError::BadAlgorithm);
    }
    let large = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096).unwrap();
    assert!(judge(&believer(&root), &issue(good(), large, Some(&root)), &[]).is_ok());
}

#[test]
fn sb1_another_algorithm_than_the_keys_own_is_refused() {
    let reader = node("reader");
    for key_type in [KeyType::P256, KeyType::Rsa] {
        let writer = Identity::self_signed_with(OVERLAY, "writer", Digest::Sha256, key_type, 1).unwrap();
        let honest = writer.sign(&[b"x"]);
        for hash in 0..=8 {
            for signature in 0..=8 {
                let signed = Signed { hash, signature, value: honest.value.clone() };
                let judged = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed);
                if (hash, signature) == (honest.hash, honest.signature) {
                    assert!(judged.is_ok());
                } else {
                    assert_eq!(judged, Err(CryptoError::BadAlgorithm), "{{{hash}, {signature}}}");
                }
            }
        }
        // No signature at all.
        let nothing = Signed { hash: 0, signature: 0, value: Bytes::new() };
        let judged = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &nothing);
        assert_eq!(judged, Err(CryptoError::BadAlgorithm));
    }
}

#[test]
fn sb5_a_signature_with_another_key_is_refused() {
    let (reader, alice, mallory) = (node("reader"), node("alice"), node("mallory"));
    let signed = mallory.sign(&[b"x"]);
    let bucket = [mallory.certificates(), alice.certificates()].concat();
    let judged = reader.verify(TODAY, &alice.signer(), &bucket, &[b"x"], &signed);
    assert_eq!(judged, Err(CryptoError::BadSignature));
    // Mallory's name stands under it, if he says so.
    let judged = reader.verify(TODAY, &mallory.signer(), &bucket, &[b"x"], &signed);
    assert_eq!(judged.unwrap().node_id, mallory.node_id());
}

#[test]
fn sb5_every_flipped_bit_of_a_signature_counts() {
    let (reader, writer) = (node("reader"), node("writer"));
    let honest = writer.sign(&[b"x"]);
    for bit in 0..honest.value.len() * 8 {
        let mut value = honest.value.to_vec();
        value[bit / 8] ^= 1 << (bit % 8);
        let signed = Signed { value: value.into(), ..honest.clone() };
        let judged = reader.verify(TODAY, &writer.signer(), writer.certificates(), &[b"x"], &signed);
        assert_eq!(judged, Err(CryptoError::BadSignature), "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_and_every_missing_byte_of_a_certificate_counts() {
    let root = root();
    let good = issue(good(), key(), Some(&root));
    let speaks_for_itself = self_signed(|_| ());
    for (reader, forged) in [(believer(&root), good), (node("reader"), speaks_for_itself)] {
        let check = |der: Vec<u8>| {
            let der = Bytes::from(der);
            let signed = signed(&forged.key, b"x");
            reader.verify(TODAY, &identity_of(&der), std::slice::from_ref(&der), &[b"x"], &signed)
        };
        for bit in 0..forged.der.len() * 8 {
            let mut der = forged.der.to_vec();
            der[bit / 8] ^= 1 << (bit % 8);
            assert!(check(der).is_err(), "bit {bit}");
        }
        for length in 0..forged.der.len() {
            assert_eq!(check(forged.der[..length].to_vec()), Err(CryptoError::BadCertificate), "{length}");
        }
        let longer = [&forged.der[..], &[0]].concat();
        assert_eq!(check(longer), Err(CryptoError::BadCertificate));
    }
}

#[test]
fn a_certificate_that_is_too_large_is_nobodys() {
    let root = root();
    let mut params = good();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; MAX_CERTIFICATE]));
    let large = issue(params.clone(), key(), Some(&root));
    // It is not even hashed, so nobody has signed.
    assert_eq!(judge(&believer(&root), &large, &[]).err(), Some(CryptoError::UnknownSigner));
    let mut end = Tls::new(&believer(&root)).unwrap().accept(NOW, TODAY);
    let config = showing(&[&large.der], large.key.serialize_der(), stranger());
    assert_eq!(speak(config, &mut *end), Err(ChannelError::Certificate(CryptoError::BadCertificate)));
    // One that is just not too large is good.
    params.custom_extensions[0] =
        CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; MAX_CERTIFICATE - 500]);
    let large = issue(params, key(), Some(&root));
    assert!(large.der.len() > MAX_CERTIFICATE - 200);
    assert!(judge(&believer(&root), &large, &[]).is_ok());
}

#[test]
fn what_is_too_large_is_not_looked_at() {
    let reader = node("reader");
    // A length that promises four gigabytes, and one that is there.
    let promise = Bytes::from_static(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]);
    let present: Bytes = [&[0x30, 0x82, 0xff, 0xfb][..], &[0x30; 0xfffb]].concat().into();
    for der in [promise, present] {
        let signed = Signed { hash: 4, signature: 3, value: Bytes::new() };
        let allocated = allocation_counter::measure(|| {
            let judged =
                reader.verify(TODAY, &identity_of(&der), std::slice::from_ref(&der), &[b"x"], &signed);
            assert!(matches!(judged, Err(CryptoError::BadCertificate | CryptoError::UnknownSigner)));
        });
        assert!(allocated.bytes_total < 10_000, "{allocated:?}");
    }
}

#[test]
fn whoever_shows_no_certificate_is_nobody() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let mut end = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
        let ended = speak(stranger_of(versions).with_no_client_auth(), &mut *end);
        assert_eq!(ended, Err(ChannelError::Certificate(CryptoError::UnknownSigner)));
        assert!(end.peer().is_none());
        assert_eq!(end.poll_plaintext(), None);
    }
}

/// An honest node's own configuration as a client of another kind.
fn honest(alice: &Identity, builder: ClientBuilder) -> ClientConfig {
    let key = PrivateKeyDer::from_pem_slice(alice.key_pem().as_bytes()).unwrap();
    let chain: Vec<&Bytes> = alice.certificates().iter().collect();
    showing(&chain, key.secret_der().to_vec(), builder)
}

#[test]
fn tls_1_2_serves_as_well_and_older_versions_do_not() {
    let mut end = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
    let config = honest(&node("alice"), stranger_of(&[&rustls::version::TLS12]));
    assert_eq!(speak(config, &mut *end), Ok(()));
    assert!(end.peer().is_some());
    // A ClientHello of TLS 1.0, as far as it is read.
    let mut end = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0, 0x2f, 1, 0]);
    assert_eq!(end.handle_ciphertext(NOW, &hello), Err(ChannelError::Protocol));
}

#[test]
fn sessions_are_not_resumed_and_nothing_is_sent_early() {
    let mut config = honest(&node("alice"), stranger());
    config.enable_early_data = true;
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let mut tls = Tls::new(&node("bob")).unwrap();
    for _ in 0..3 {
        let mut client = dial(config.clone());
        assert!(client.early_data().is_none());
        let mut end = tls.accept(NOW, TODAY);
        assert_eq!(converse(&mut client, &mut *end), Ok(()));
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

#[test]
fn bytes_that_are_no_tls_end_the_channel_at_once() {
    for plain in [&b"OPTIONS sip:bob SIP/2.0\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 100], &[0xff; 5]] {
        for dialled in [false, true] {
            let mut tls = Tls::new(&node("bob")).unwrap();
            let mut end = if dialled { tls.accept(NOW, TODAY) } else { tls.connect(NOW, TODAY) };
            assert_eq!(end.handle_ciphertext(NOW, plain), Err(ChannelError::Protocol), "{plain:?}");
            // It stays so.
            assert_eq!(end.handle_ciphertext(NOW, b"x"), Err(ChannelError::Protocol));
            assert_eq!(end.send(NOW, b"x"), Err(ChannelError::Protocol));
        }
    }
}

#[test]
fn a_handshake_without_end_stops_at_its_limit() {
    // A certificate message of 16 MB, announced; then records that fill it, and records that hold one byte each.
    for size in [1, 1000, 16_000] {
        let mut end = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
        let mut record = vec![22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
        let mut fed = 0;
        let ended = loop {
            fed += record.len();
            if let Err(error) = end.handle_ciphertext(NOW, &record) {
                break error;
            }
            record = vec![22, 3, 3];
            record.extend_from_slice(&u16::to_be_bytes(size));
            record.resize(5 + usize::from(size), 0);
        };
        assert_eq!(ended, ChannelError::Protocol);
        assert!(fed <= MAX_HANDSHAKE + 20_000, "{fed} bytes were taken");
    }
}

#[test]
fn a_handshake_that_is_cut_or_bent_anywhere_opens_nothing() {
    let (alice, bob) = (node("alice"), node("bob"));
    // What an honest handshake sends, first to the one who was dialled, then to the one who dialled.
    let mut a = Tls::new(&alice).unwrap().connect(NOW, TODAY);
    let hello = a.poll_ciphertext().unwrap();
    for length in 0..hello.len() {
        let mut end = Tls::new(&bob).unwrap().accept(NOW, TODAY);
        assert_eq!(end.handle_ciphertext(NOW, &hello[..length]), Ok(()), "{length}");
        assert_eq!((end.poll_ciphertext(), end.peer().is_none()), (None, true));
    }
    for at in 0..hello.len() {
        let mut bent = hello.to_vec();
        bent[at] ^= 0x41;
        let mut dials = Tls::new(&alice).unwrap().connect(NOW, TODAY);
        let mut end = Tls::new(&bob).unwrap().accept(NOW, TODAY);
        let _ = dials.poll_ciphertext();
        if end.handle_ciphertext(NOW, &bent).is_ok() {
            // The answer is for another question: whoever dialled does not go on with it.
            let (of_dials, _) = carry(&mut *dials, &mut *end, usize::MAX);
            assert!(of_dials.is_err() || dials.peer().is_none(), "byte {at}");
        }
        assert!(end.peer().is_none(), "byte {at}");
    }
    let mut b = Tls::new(&bob).unwrap().accept(NOW, TODAY);
    b.handle_ciphertext(NOW, &hello).unwrap();
    let answer = b.poll_ciphertext().unwrap();
    // This end takes each beginning of the answer, byte by byte, and is not satisfied before the last.
    for (i, byte) in answer.iter().enumerate() {
        assert!(a.peer().is_none(), "byte {i}");
        a.handle_ciphertext(NOW, &[*byte]).unwrap();
    }
    assert!(a.peer().is_some());
    let last = a.poll_ciphertext().unwrap();
    for byte in last.iter() {
        assert!(b.peer().is_none());
        b.handle_ciphertext(NOW, &[*byte]).unwrap();
    }
    assert!(b.peer().is_some());
}

#[test]
fn what_is_sent_before_a_certificate_was_found_good_is_never_read() {
    let mut end = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
    let theft = self_signed(|p| p.subject_alt_names[0] = uri(ID));
    let mut client = dial(showing(&[&theft.der], theft.key.serialize_der(), stranger()));
    client.writer().write_all(b"do this").unwrap();
    let refused = Err(ChannelError::Certificate(CryptoError::NotTrusted));
    assert_eq!(converse(&mut client, &mut *end), refused);
    assert_eq!(end.poll_plaintext(), None);
}

#[test]
fn an_open_channel_does_not_take_bent_records() {
    let (mut a, mut b) = (
        Tls::new(&node("alice")).unwrap().connect(NOW, TODAY),
        Tls::new(&node("bob")).unwrap().accept(NOW, TODAY),
    );
    assert_eq!(carry(&mut *a, &mut *b, usize::MAX), (Ok(()), Ok(())));
    a.send(NOW, b"message").unwrap();
    let mut record = a.poll_ciphertext().unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    assert_eq!(b.handle_ciphertext(NOW, &record), Err(ChannelError::Protocol));
    assert_eq!(b.poll_plaintext(), None);
    assert!(b.poll_ciphertext().is_some(), "an alert says why");
}

quickcheck! {
    fn arbitrary_bytes_are_no_certificate(der: Vec<u8>) -> bool {
        thread_local!(static NODE: Identity = node("reader"));
        let der = Bytes::from(der);
        let signed = Signed { hash: 4, signature: 3, value: Bytes::new() };
        NODE.with(|n| n.verify(TODAY, &identity_of(&der), std::slice::from_ref(&der), &[b"x"], &signed).is_err())
    }

    fn arbitrary_bytes_open_no_channel(pieces: Vec<Vec<u8>>) -> bool {
        let mut end = Tls::new(&node("bob")).unwrap().accept(NOW, TODAY);
        for piece in &pieces {
            let _ = end.handle_ciphertext(NOW, piece);
        }
        end.peer().is_none() && end.poll_plaintext().is_none()
    }
}
