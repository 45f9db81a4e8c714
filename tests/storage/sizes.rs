//! What fits into one answer, counted in real messages: signatures and certificates of the size of P-256 ones.

use super::net::*;
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::Selection;
use p2piptv::reload::codec::{
    Body, ErrorCode, KindId, RedirServiceProvider, RedirServiceProviderExtType, Structure as _,
};
use p2piptv::reload::overlay::{Config, Failure, Query, Write};
use p2piptv::reload::redir::TreeNode;
use p2piptv::reload::storage::Kind;
use p2piptv::sim::{Authority, Certificate};

/// A certificate as large as a self-signed one with a P-256 key, one Node-ID and a user name.
fn real(user: &str) -> Certificate {
    Certificate { padding: 420, ..person(user) }
}

/// A node that signs as many people, one after the other: each with a certificate and a key of their own.
fn crowd(message_size: usize) -> Net {
    crowd_at(&home("100"), message_size)
}

fn crowd_at(place: &ResourceId, message_size: usize) -> Net {
    let configure = move |config: &mut Config| {
        config.limits.message_size = message_size;
        // As large as where records hold grants; the policy is for everybody here.
        let channel = config.kinds.iter_mut().find(|k| k.id == KindId::CHANNEL);
        channel.unwrap().max_size = Kind::OWNED_CHANNEL.max_size;
        let redir = config.kinds.iter_mut().find(|k| k.id == KindId::REDIR);
        *redir.unwrap() = Kind::OWNED_REDIR;
    };
    Net::configured(place, vec![real("responsible@example.org"), real("crowd@example.org")], configure)
}

/// Stores records of the largest size under `n` Node-IDs, as long as they are taken; how many were.
fn fill(net: &mut Net, n: u128, size: usize) -> usize {
    fill_with(net, &home("100"), n, |node| put(KindId::CHANNEL, own_key(node), vec![b'x'; size]))
}

fn fill_with(net: &mut Net, at: &ResourceId, n: u128, write: impl Fn(NodeId) -> Write) -> usize {
    let authority = Authority::new(1);
    let own = net.nodes[1].crypto.clone();
    let mut taken = 0;
    for k in 0..n {
        let node = NodeId::from_u128(net.id(1).to_u128() ^ (k + 1) << 64);
        // The link's other end stays who it is: one certificate for both Node-IDs.
        let node_ids = vec![node, net.id(1)];
        let user = format!("relayer{k:03}@example.org");
        let der = Certificate { key: 1000 + k as u64, node_ids, ..real(&user) };
        net.nodes[1].crypto = authority.issue(&der);
        match net.store(1, at, vec![write(node)]) {
            Ok(_) => taken += 1,
            Err(failure) => assert_eq!(failure, Failure::Refused(ErrorCode::DATA_TOO_LARGE)),
        }
    }
    net.nodes[1].crypto = own;
    taken
}

/// The same with entries of a ReDiR tree node, in which everybody lies.
fn fill_root(net: &mut Net, n: u128, record: usize) -> usize {
    let root = TreeNode { level: 0, node: 0 };
    let entry = RedirServiceProvider {
        ext_type: RedirServiceProviderExtType::PROVIDER_RECORD,
        destination_list: vec![],
        namespace: Bytes::from_static(b"100@example.org"),
        level: 0,
        node: 0,
        extension: vec![b'x'; record].into(),
    };
    let entry = entry.encode().unwrap();
    fill_with(net, &root.resource(b"100@example.org"), n, |node| {
        put(KindId::REDIR, own_key(node), entry.to_vec())
    })
}

/// The size of the last FetchAns.
fn answer_size(net: &Net) -> usize {
    let answers = net.sent(0, |body| matches!(body, Body::FetchAns(_)).then_some(()));
    answers.last().unwrap().0.encode().unwrap().len()
}

/// A provider's record with a grant: contact, terms, the owner's certificate and signature.
const RECORD: usize = 700;

#[test]
fn fe4_whatever_is_stored_under_one_kind_can_be_fetched_in_one_answer() {
    // Certificates of 540 bytes.
    for (message_size, record, expected) in [
        (5000, 100, 5),
        (5000, RECORD, 2),
        (16 * 1024, RECORD, 11),
        (16 * 1024, Kind::OWNED_CHANNEL.max_size, 6),
        (32 * 1024, Kind::OWNED_CHANNEL.max_size, 14),
    ] {
        let mut net = crowd(message_size);
        let taken = fill(&mut net, Kind::CHANNEL.max_count as u128, record);
        assert_eq!(taken, expected, "{record} bytes each in {message_size}");
        let got = net.fetch(1, &home("100"), vec![all(KindId::CHANNEL)]).unwrap();
        assert_eq!((got.values.len(), got.discarded), (taken, 0), "{message_size}");
        assert!(answer_size(&net) <= message_size);
    }
}

#[test]
fn q3_the_source_and_eight_relayers_fit_into_an_answer_of_16_kib() {
    let mut net = crowd(16 * 1024);
    assert!(net.nodes[0].crypto.certificate().len() >= 500);
    assert_eq!(fill(&mut net, 9, RECORD), 9);
    assert_eq!(net.fetch(1, &home("100"), vec![all(KindId::CHANNEL)]).unwrap().values.len(), 9);
}

#[test]
fn fh12_answers_of_several_kinds_that_do_not_fit_are_refused_and_one_by_one_they_do() {
    let mut net = crowd(8192);
    let taken = fill(&mut net, 16, RECORD);
    let me = net.id(1);
    let notes = vec![put(BOARD, own_key(me), vec![b'x'; 600])];
    net.store(1, &home("100"), notes).unwrap();
    let configure = |q: Vec<Query>, net: &mut Net| net.fetch(1, &home("100"), q);
    let one = configure(vec![all(BOARD)], &mut net).unwrap();
    assert_eq!(one.values.len(), 1);
    let keys: Vec<Bytes> = {
        let got = configure(vec![all(KindId::CHANNEL)], &mut net).unwrap();
        assert_eq!(got.values.len(), taken);
        got.values.iter().map(|v| Bytes::copy_from_slice(&v.signer.node_id.0)).collect()
    };
    let both = configure(vec![all(KindId::CHANNEL), all(BOARD)], &mut net);
    assert_eq!(both.unwrap_err(), Failure::Refused(ErrorCode::RESPONSE_TOO_LARGE));
    let some = Query::new(KindId::CHANNEL, Selection::Dictionary(keys[..2].to_vec()));
    assert_eq!(configure(vec![some, all(BOARD)], &mut net).unwrap().values.len(), 3);
}

#[test]
fn q5_a_tree_node_takes_as_many_secured_providers_as_can_be_fetched_in_one_answer() {
    for (message_size, expected) in [(5000, 2), (16 * 1024, 10), (32 * 1024, 22)] {
        let root = TreeNode { level: 0, node: 0 }.resource(b"100@example.org");
        let mut net = crowd_at(&root, message_size);
        assert_eq!(fill_root(&mut net, 70, RECORD), expected, "in {message_size}");
        let got = net.fetch(1, &root, vec![all(KindId::REDIR)]).unwrap();
        assert_eq!((got.values.len(), got.discarded), (expected, 0), "{message_size}");
        assert!(answer_size(&net) <= message_size);
    }
}
