//! Fetch, Stat and Find: what is answered, and what a reader believes.

use super::net::*;
use bytes::Bytes;
use p2piptv::ids::ResourceId;
use p2piptv::reload::codec::body::{ArrayRange, FindReq, Selection};
use p2piptv::reload::codec::{
    Body, DataModel, DataValue, ErrorCode, HashAlgorithm, KindId, MetaData, MetaDataValue, RawValues,
    StoredDataValue, StoredMetaData,
};
use p2piptv::reload::overlay::{Config, Fact, Failure, OrderError, Query, Slot};
use p2piptv::sim::Certificate;
use p2piptv::time::{Duration, UnixMillis};
use std::collections::BTreeSet;

const ALICE: &str = "alice@example.org";

/// Three writers and a reader; the board is for everybody.
fn board() -> Net {
    let mut net = Net::new(&home("board"), vec![person(""), person(""), person(""), person("")]);
    for i in 0..3 {
        let write = put(BOARD, own_key(net.id(i)), format!("by {i}"));
        net.store(i, &home("board"), vec![write]).unwrap();
    }
    net
}

#[test]
fn sb3_an_answer_brings_the_certificates_of_all_writers_and_of_its_sender_once_each() {
    let mut net = board();
    net.log.clear();
    let got = net.fetch(3, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.values.len(), got.discarded), (3, 0));
    let answers = net.sent(0, |body| matches!(body, Body::FetchAns(_)).then_some(()));
    let mut sent: Vec<Bytes> = answers[0].0.security.x509();
    let mut expected: Vec<Bytes> = (0..3).map(|i| net.nodes[i].crypto.certificate().clone()).collect();
    sent.sort();
    expected.sort();
    assert_eq!(sent, expected, "the answering peer is one of the writers");
}

/// Writers who store their certificates, and a storing peer that leaves those of others out of its answers, as it may where
/// they can be had elsewhere.
fn terse(writers: usize, configure: impl Fn(&mut Config)) -> Net {
    let people = std::iter::repeat_with(|| person("")).take(writers + 1).collect();
    let mut net = Net::configured(&home("board"), people, |config| {
        config.usages.lifetime = Some(Duration::from_secs(3600));
        configure(config);
    });
    for i in 0..writers {
        let write = put(BOARD, own_key(net.id(i)), format!("by {i}"));
        net.store(i, &home("board"), vec![write]).unwrap();
    }
    leave_certificates_out(&mut net);
    net
}

fn leave_certificates_out(net: &mut Net) {
    let own = net.nodes[0].crypto.certificate().clone();
    net.tamper = Some(Box::new(move |from, message| {
        let Ok(Body::FetchAns(answer)) = message.contents.body() else { return false };
        let is_its_own = from == 0 && answer.kind_responses.iter().all(|r| [BOARD, NOTE].contains(&r.kind));
        if is_its_own {
            message.security.certificates.retain(|c| c.certificate == own);
        }
        is_its_own
    }));
}

/// Where a node asked others for certificates since the log was emptied.
fn asked_for(net: &Net, reader: usize) -> BTreeSet<ResourceId> {
    let by = [KindId::CERTIFICATE_BY_NODE, KindId::CERTIFICATE_BY_USER];
    let asked = net.sent(reader, |body| match body {
        Body::FetchReq(f) => f.specifiers.iter().any(|s| by.contains(&s.kind)).then_some(f.resource),
        _ => None,
    });
    asked.into_iter().map(|(_, resource)| resource).collect()
}

#[test]
fn sb3_certificates_that_an_answer_leaves_out_are_fetched_from_where_their_nodes_keep_them() {
    let mut net = terse(4, |_| ());
    net.log.clear();
    let got = net.fetch(4, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.texts().len(), got.discarded), (4, 0));
    let places = (1..4).map(|i| ResourceId::of_name(&net.id(i).0));
    let of_others = places.filter(|place| !net.nodes[4].overlay.is_responsible_for(place)).collect();
    assert_eq!(asked_for(&net, 4), of_others, "and none for the answering peer, whose own came along");
}

#[test]
fn sb3_the_certificate_of_whoever_has_the_name_of_a_place_is_there_by_user() {
    let people = vec![person(""), person(ALICE), person("")];
    let mut net = Net::configured(&home(ALICE), people, |config| {
        config.usages.lifetime = Some(Duration::from_secs(3600));
    });
    net.store(1, &home(ALICE), vec![put(NOTE, Slot::Single, "hers")]).unwrap();
    leave_certificates_out(&mut net);
    net.log.clear();
    let got = net.fetch(2, &home(ALICE), vec![all(NOTE)]).unwrap();
    assert_eq!((got.texts(), got.discarded), (vec![String::from("hers")], 0));
    assert_eq!(asked_for(&net, 2), BTreeSet::from([home(ALICE)]));
}

#[test]
fn k8_for_one_answer_so_many_certificates_are_fetched_and_values_that_need_more_are_thrown_away() {
    let mut net = terse(4, |config| config.limits.certificates = 2);
    net.log.clear();
    let got = net.fetch(4, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.values.len(), got.discarded), (3, 1));
    assert!(asked_for(&net, 4).len() <= 2);
    // What is stored nowhere is asked for and still missing, unless its node is the one who says so.
    let mut net = terse(3, |config| config.usages.lifetime = None);
    let got = net.fetch(3, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.values.len(), got.discarded), (2, 1));
}

#[test]
fn sb4_values_are_verified_with_kept_certificates_when_their_writers_are_gone() {
    let mut net = board();
    net.nodes[1].alive = false;
    net.nodes[2].alive = false;
    let ticket = net.ticket();
    net.with(3, |o, now, ctx| o.fetch(now, ticket, home("board"), BOARD, ctx)).unwrap();
    net.run(60);
    let values = net.nodes[3].facts.iter().find_map(|f| match f {
        Fact::Fetched { result: Ok(values), discarded: 0, .. } => Some(values.len()),
        _ => None,
    });
    assert_eq!(values, Some(3));
    let before = net.nodes[0].overlay.storage().bytes();
    net.run(700);
    assert!(before > 0);
    assert_eq!(net.nodes[0].overlay.storage().bytes(), 0, "the certificates go with the values");
}

#[test]
fn sb7_fe6_what_an_expired_certificate_signed_is_thrown_away_and_the_answer_called_partial() {
    let soon = Certificate { not_after: UnixMillis(WALL + 100_000), ..person(ALICE) };
    let mut net = Net::new(&home("board"), vec![person(""), soon, person(""), person("")]);
    for i in 0..3 {
        let write = put(BOARD, own_key(net.id(i)), format!("by {i}"));
        net.store(i, &home("board"), vec![write]).unwrap();
    }
    let got = net.fetch(3, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.values.len(), got.discarded), (3, 0));
    net.nodes[1].alive = false;
    net.run(100);
    let got = net.fetch(3, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.values.len(), got.discarded), (2, 1));
}

#[test]
fn fe6_one_forged_value_of_three_is_thrown_away_and_the_answer_called_partial() {
    let mut net = board();
    net.lie(0, |body| match body {
        Body::FetchAns(mut answer) => {
            let response = &mut answer.kind_responses[0];
            let mut values = response.values.decode_values(DataModel::Dictionary).unwrap();
            if let StoredDataValue::Dictionary { value, .. } = &mut values[1].value {
                *value = DataValue::existing(Bytes::from_static(b"forged"));
            }
            response.values = RawValues::encode_values(&values).unwrap();
            Some(Body::FetchAns(answer))
        }
        _ => None,
    });
    let got = net.fetch(3, &home("board"), vec![all(BOARD)]).unwrap();
    assert_eq!((got.values.len(), got.discarded), (2, 1));
    assert!(!got.texts().contains(&String::from("forged")));
}

#[test]
fn fe4_every_kind_that_was_asked_for_is_answered_and_an_answer_without_one_is_none() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    net.store(1, &home(ALICE), vec![put(NOTE, Slot::Single, "a")]).unwrap();
    let ask = || vec![all(NOTE), all(LIST), all(BOARD)];
    let got = net.fetch(1, &home(ALICE), ask()).unwrap();
    assert_eq!(got.generations, [(NOTE, 1), (LIST, 0), (BOARD, 0)]);
    assert_eq!(got.texts(), ["a"]);
    net.lie(0, |body| match body {
        Body::FetchAns(mut answer) => {
            answer.kind_responses.remove(1);
            Some(Body::FetchAns(answer))
        }
        _ => None,
    });
    assert_eq!(net.fetch(1, &home(ALICE), ask()).unwrap_err(), Failure::BadAnswer);
}

#[test]
fn fe5_a_known_generation_is_answered_without_values() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    net.store(1, &home(ALICE), vec![put(NOTE, Slot::Single, "a")]).unwrap();
    let known = |known| vec![Query { known, ..all(NOTE) }];
    let got = net.fetch(1, &home(ALICE), known(1)).unwrap();
    assert_eq!((got.values.len(), got.generations), (0, vec![(NOTE, 1)]), "unchanged");
    assert_eq!(net.fetch(1, &home(ALICE), known(2)).unwrap().texts(), ["a"]);
}

#[test]
fn fe2_ranges_that_run_backwards_or_overlap_are_invalid() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    net.store(1, &home(ALICE), vec![put(LIST, Slot::Index(0), "a")]).unwrap();
    let ranges = |ranges: &[(u32, u32)]| {
        let ranges = ranges.iter().map(|&(first, last)| ArrayRange { first, last });
        vec![Query::new(LIST, Selection::Array(ranges.collect()))]
    };
    let invalid = Failure::Refused(ErrorCode::INVALID_MESSAGE);
    assert_eq!(net.fetch(1, &home(ALICE), ranges(&[(5, 3)])).unwrap_err(), invalid);
    assert_eq!(net.fetch(1, &home(ALICE), ranges(&[(0, 4), (3, 9)])).unwrap_err(), invalid);
    assert_eq!(net.fetch(1, &home(ALICE), ranges(&[(0, 4), (5, 9)])).unwrap().texts(), ["a"]);
}

#[test]
fn fe7_an_index_above_half_of_all_is_stored_and_fetched() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    net.store(1, &home(ALICE), vec![put(LIST, Slot::Index(0xf000_0000), "high")]).unwrap();
    assert_eq!(
        net.fetch(1, &home(ALICE), vec![range(LIST, 0xf000_0000, u32::MAX)]).unwrap().texts(),
        ["high"]
    );
}

#[test]
fn fe8_st5_what_has_expired_is_not_told() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    net.store(1, &home(ALICE), vec![put(NOTE, Slot::Single, "a")]).unwrap();
    net.run(590);
    assert_eq!(net.texts(1, &home(ALICE), NOTE), ["a"]);
    net.run(10);
    assert!(net.texts(1, &home(ALICE), NOTE).is_empty());
}

#[test]
fn st21_a_reader_notices_that_a_peer_went_back_to_an_older_value() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE), person("")]);
    net.store(1, &home(ALICE), vec![put(NOTE, Slot::Single, "old")]).unwrap();
    let old = std::cell::RefCell::new(None);
    net.fetch(2, &home(ALICE), vec![all(NOTE)]).unwrap();
    let answer = net.sent(0, |b| if let Body::FetchAns(a) = b { Some(a) } else { None }).pop().unwrap();
    old.replace(Some(answer.1));
    net.store(1, &home(ALICE), vec![put(NOTE, Slot::Single, "new")]).unwrap();
    assert!(!net.fetch(2, &home(ALICE), vec![all(NOTE)]).unwrap().values[0].rolled_back);
    net.lie(0, move |body| match body {
        Body::FetchAns(_) => old.borrow().clone().map(Body::FetchAns),
        _ => None,
    });
    let got = net.fetch(2, &home(ALICE), vec![all(NOTE)]).unwrap();
    assert_eq!(got.texts(), ["old"]);
    assert!(got.values[0].rolled_back);
}

#[test]
fn sa1_a_stat_tells_of_every_value_without_it() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    let writes = vec![put(NOTE, Slot::Single, "foo"), gone(LIST, Slot::Index(2))];
    net.store(1, &home(ALICE), writes).unwrap();
    let (values, generations) = net.stat(1, &home(ALICE), vec![all(NOTE), all(LIST)]).unwrap();
    assert_eq!(generations, [(NOTE, 1), (LIST, 1)]);
    let [note, removed] = &values[..] else { panic!("{values:?}") };
    assert_eq!((note.kind, &note.slot, note.metadata.value_length), (NOTE, &Slot::Single, 3));
    let foo = DataValue::existing(Bytes::from_static(b"foo"));
    assert_eq!(note.metadata.describes(&foo), Some(true));
    assert_eq!(note.metadata.describes(&DataValue::existing(Bytes::from_static(b"bar"))), Some(false));
    assert_eq!((&removed.slot, removed.metadata.exists), (&Slot::Index(2), false));
    let hex: String = note.metadata.hash_value.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "836afe02b110447aaff2c667b801bade1ce4d6a24aa311c00b926a1685ce5ab6");
}

#[test]
fn sa2_the_answering_peer_may_choose_another_hash() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    let foo = DataValue::existing(Bytes::from_static(b"foo"));
    for (algorithm, known) in
        [(HashAlgorithm::SHA1, true), (HashAlgorithm::SHA256, true), (HashAlgorithm::SHA512, false)]
    {
        let hash_value = foo.digest(algorithm).unwrap().unwrap_or(Bytes::from_static(&[0; 64]));
        let metadata = MetaData { exists: true, value_length: 3, hash_algorithm: algorithm, hash_value };
        net.lie(0, move |body| match body {
            Body::StatAns(mut answer) => {
                let metadata = MetaDataValue::Single(metadata.clone());
                let value = StoredMetaData { storage_time: UnixMillis(1), lifetime: 9, metadata };
                answer.kind_responses[0].values = RawValues::encode_metadata(&[value]).unwrap();
                Some(Body::StatAns(answer))
            }
            _ => None,
        });
        let (values, _) = net.stat(1, &home(ALICE), vec![all(NOTE)]).unwrap();
        assert_eq!(values[0].metadata.describes(&foo), known.then_some(true), "{algorithm:?}");
    }
}

#[test]
fn fi1_fi3_a_find_names_the_nearest_place_of_each_kind_that_may_be_searched_for() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    let writes = vec![put(NOTE, Slot::Single, "a"), put(BOARD, own_key(net.id(1)), "b")];
    net.store(1, &home(ALICE), writes).unwrap();
    let before = ResourceId::from_u128(home(ALICE).to_u128().unwrap() - 1000);
    let found = net.find(1, &before, vec![NOTE, LIST, BOARD]).unwrap();
    assert_eq!(found, [(NOTE, Some(home(ALICE))), (LIST, None)], "BOARD is not to be searched for");
    let ticket = net.ticket();
    let twice = net.with(1, |o, now, ctx| o.find(now, ticket, before.clone(), vec![NOTE, NOTE], ctx));
    assert_eq!(twice, Err(OrderError::BadKind));
    net.lie(1, |body| match body {
        Body::FindReq(f) => Some(Body::FindReq(FindReq { kinds: vec![NOTE, NOTE], ..f })),
        _ => None,
    });
    assert_eq!(net.find(1, &before, vec![NOTE]), Err(Failure::Refused(ErrorCode::INVALID_MESSAGE)));
    net.lie(1, |body| match body {
        Body::FindReq(f) => Some(Body::FindReq(FindReq { kinds: vec![KindId(0xfffe_0000)], ..f })),
        _ => None,
    });
    assert_eq!(
        net.find(1, &before, vec![NOTE]),
        Ok(vec![]),
        "of Kinds that were not asked for nothing is told"
    );
    let answer = net.sent(0, |b| if let Body::FindAns(a) = b { Some(a) } else { None }).pop().unwrap().1;
    assert_eq!(answer.results[0].closest, ResourceId::from_u128(0), "an unknown Kind is nowhere");
}

#[test]
fn fi2_a_find_for_a_place_that_is_anothers_is_not_found() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE)]);
    let elsewhere = ResourceId::from_u128(net.id(1).to_u128());
    net.lie(1, move |body| match body {
        Body::FindReq(f) => Some(Body::FindReq(FindReq { resource: elsewhere.clone(), ..f })),
        _ => None,
    });
    assert_eq!(net.find(1, &home(ALICE), vec![NOTE]), Err(Failure::Refused(ErrorCode::NOT_FOUND)));
}

#[test]
fn a_fetch_of_named_keys_gets_those_and_no_others() {
    let mut net = board();
    let keys = vec![Bytes::copy_from_slice(&net.id(1).0), Bytes::from_static(b"nobody")];
    let got = net.fetch(3, &home("board"), vec![Query::new(BOARD, Selection::Dictionary(keys))]).unwrap();
    assert_eq!((got.texts(), got.discarded), (vec![String::from("by 1")], 0));
}
