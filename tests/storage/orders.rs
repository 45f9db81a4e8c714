//! What a storing peer does with Stores, and what comes of them at the writer.

use super::net::*;
use bytes::Bytes;
use p2piptv::ids::ResourceId;
use p2piptv::reload::codec::body::StoreReq;
use p2piptv::reload::codec::{
    Body, DataModel, ErrorCode, KindId, MessageContents, RawValues, Signature, StoredData,
};
use p2piptv::reload::overlay::{Address, Fact, Failure, OrderError, Slot, Write};
use p2piptv::sim::{Authority, Certificate};
use p2piptv::time::{Duration, UnixMillis};

const ALICE: &str = "alice@example.org";

/// Alice is the second node, and a third one reads.
fn alice() -> Net {
    Net::new(&home(ALICE), vec![person(""), person(ALICE), person("")])
}

fn note(text: &'static str) -> Vec<Write> {
    vec![put(NOTE, Slot::Single, text)]
}

#[test]
fn st3_a_writer_whose_clock_is_years_ahead_or_behind_is_accepted() {
    let mut net = alice();
    let now = net.now;
    net.nodes[1].overlay.handle_wall_clock(now, UnixMillis(WALL * 2));
    net.store(1, &home(ALICE), note("future")).unwrap();
    net.nodes[1].overlay.handle_wall_clock(now, UnixMillis(5));
    net.store(1, &home(ALICE), vec![put(LIST, Slot::Index(0), "past")]).unwrap();
    assert_eq!(net.texts(2, &home(ALICE), NOTE), ["future"]);
    assert_eq!(net.texts(2, &home(ALICE), LIST), ["past"]);
}

#[test]
fn what_lives_for_a_part_of_a_second_is_stored_for_the_whole_of_it() {
    let mut net = alice();
    for (millis, seconds) in [(1, 1), (1_000, 1), (1_001, 2)] {
        net.log.clear();
        let write = Write { lifetime: Duration::from_millis(millis), ..put(NOTE, Slot::Single, "a") };
        net.store(1, &home(ALICE), vec![write]).unwrap();
        let lifetime = |body| match body {
            Body::StoreReq(s) => {
                Some(s.kind_data[0].values.decode_values(DataModel::Single).ok()?[0].lifetime)
            }
            _ => None,
        };
        assert_eq!(net.sent(1, lifetime)[0].1, seconds, "{millis} ms");
    }
}

#[test]
fn st4_a_store_that_is_too_old_is_sent_again_one_millisecond_behind_what_is_there() {
    let mut net = alice();
    net.store(1, &home(ALICE), note("first")).unwrap();
    // Alice's other device, whose clock is slow.
    let other = Authority::new(1).issue(&Certificate { key: 1, ..Certificate::of_user(ALICE, net.id(2)) });
    net.nodes[2].crypto = other;
    let now = net.now;
    net.nodes[2].overlay.handle_wall_clock(now, UnixMillis(WALL / 2));
    let first = net.fetch(1, &home(ALICE), vec![all(NOTE)]).unwrap().values[0].storage_time;
    net.log.clear();
    assert!(net.store(2, &home(ALICE), note("second")).is_ok());
    let got = net.fetch(1, &home(ALICE), vec![all(NOTE)]).unwrap();
    assert_eq!(got.texts(), ["second"]);
    assert_eq!(got.values[0].storage_time, UnixMillis(first.0 + 1));
    let original =
        |body| if let Body::StoreReq(s) = body { (s.replica_number == 0).then_some(()) } else { None };
    let mut sent: Vec<u64> = net.sent(2, original).iter().map(|(m, _)| m.header.transaction_id).collect();
    sent.dedup();
    assert_eq!(sent.len(), 2, "once more and not again and again");
}

#[test]
fn st10_st11_one_counter_that_is_too_low_keeps_every_kind_of_the_request_out() {
    let mut net = alice();
    let both = |text| vec![put(NOTE, Slot::Single, text), put(LIST, Slot::Index(0), text)];
    let stored = net.store(1, &home(ALICE), both("a")).unwrap();
    let counters: Vec<(KindId, u64)> = stored.iter().map(|s| (s.kind, s.generation_counter)).collect();
    assert_eq!(counters, [(NOTE, 1), (LIST, 1)], "one Store for both");
    net.store(1, &home(ALICE), note("b")).unwrap();
    let low = net.store_if(1, &home(ALICE), both("c"), &[(NOTE, 1), (LIST, 1)]);
    assert_eq!(low, refused(ErrorCode::GENERATION_COUNTER_TOO_LOW));
    assert_eq!(net.texts(2, &home(ALICE), LIST), ["a"]);
    assert!(net.store_if(1, &home(ALICE), both("c"), &[(NOTE, 2), (LIST, 1)]).is_ok());
    assert_eq!(net.texts(2, &home(ALICE), LIST), ["c"]);
    let too_large = vec![put(NOTE, Slot::Single, "d"), put(LIST, Slot::Index(0), vec![b'x'; 601])];
    assert_eq!(net.store(1, &home(ALICE), too_large), refused(ErrorCode::DATA_TOO_LARGE));
    assert_eq!(net.texts(2, &home(ALICE), NOTE), ["c"], "rolled back");
}

#[test]
fn st18_who_stores_with_an_old_counter_is_told_what_is_there_instead() {
    let mut net = alice();
    net.store(1, &home(ALICE), note("newer")).unwrap();
    let low = net.store_if(1, &home(ALICE), note("mine"), &[(NOTE, 7)]);
    assert_eq!(low, refused(ErrorCode::GENERATION_COUNTER_TOO_LOW));
    let instead = net.nodes[1].facts.iter().find_map(|f| match f {
        Fact::Fetched { result: Ok(values), generations, .. } => Some((values.clone(), generations.clone())),
        _ => None,
    });
    let (values, generations) = instead.unwrap();
    assert_eq!(values[0].value.as_deref(), Some(&b"newer"[..]));
    assert_eq!(generations, [(NOTE, 1)]);
}

#[test]
fn st20_the_answer_to_a_store_lists_the_two_successors_which_hold_replicas() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE), person(""), person("")]);
    let stored = net.store(1, &home(ALICE), note("a")).unwrap();
    assert_eq!(stored[0].replicas, [net.id(1), net.id(2)]);
    for (i, holds) in [(0, true), (1, true), (2, true), (3, false)] {
        assert_eq!(!net.nodes[i].overlay.storage().is_empty(), holds, "node {i}");
    }
}

#[test]
fn st12_st9_a_store_belongs_to_the_responsible_peer_and_a_replica_brings_its_counter() {
    let mut net = Net::new(&home(ALICE), vec![person(""), person(ALICE), person(""), person("")]);
    // The StoreReq names another resource than the place it was sent to, which is not node 0's.
    let elsewhere = ResourceId::from_u128(net.id(2).to_u128());
    net.lie(1, move |body| match body {
        Body::StoreReq(s) if s.replica_number == 0 => {
            Some(Body::StoreReq(StoreReq { resource: elsewhere.clone(), ..s }))
        }
        _ => None,
    });
    assert_eq!(net.store(1, &home(ALICE), note("a")), refused(ErrorCode::NOT_FOUND));
    let far = ResourceId::from_u128(net.id(1).to_u128());
    net.lie(3, |body| match body {
        Body::StoreReq(mut s) if s.replica_number == 0 => {
            s.replica_number = 1;
            s.kind_data[0].generation_counter = 0;
            Some(Body::StoreReq(s))
        }
        _ => None,
    });
    let board = vec![put(BOARD, own_key(net.id(3)), "x")];
    assert!(net.store(3, &far, board).is_err(), "ST-9: a replica without a counter");
}

#[test]
fn st13_st14_sb7_values_that_nobody_or_the_wrong_one_signed_are_forbidden() {
    let mut net = alice();
    let change = |change: fn(&mut StoredData)| {
        move |body| match body {
            Body::StoreReq(mut s) if s.replica_number == 0 => {
                let model = DataModel::Single;
                let mut values = s.kind_data[0].values.decode_values(model).unwrap();
                change(&mut values[0]);
                s.kind_data[0].values = RawValues::encode_values(&values).unwrap();
                Some(Body::StoreReq(s))
            }
            _ => None,
        }
    };
    let forbidden = refused(ErrorCode::FORBIDDEN);
    net.lie(1, change(|data| data.storage_time.0 += 1));
    assert_eq!(net.store(1, &home(ALICE), note("a")), forbidden, "the signature does not hold");
    net.lie(1, change(|data| data.signature = Signature::none()));
    assert_eq!(net.store(1, &home(ALICE), note("a")), forbidden, "nobody signed");
    net.lie(1, change(|data| data.lifetime -= 1));
    assert!(net.store(1, &home(ALICE), note("a")).is_ok(), "the lifetime is not signed");
    net.tamper = None;
    assert_eq!(net.store(2, &home(ALICE), note("b")), forbidden, "not authorised");
}

#[test]
fn ac1_what_alice_signed_nobody_else_stores_as_an_original() {
    let mut net = alice();
    net.store(1, &home(ALICE), note("a")).unwrap();
    let signed = net.sent(1, |body| if let Body::StoreReq(s) = body { Some(s) } else { None }).remove(0);
    let (captured, certificates) = (signed.1, signed.0.security.certificates);
    net.run(700);
    assert!(net.nodes[0].overlay.storage().is_empty(), "it has expired");
    // Node 2 sends alice's own words again, under its own signature.
    net.tamper = Some(Box::new(move |from, message| {
        let is_store = matches!(message.contents.body(), Ok(Body::StoreReq(s)) if s.replica_number == 0);
        if from != 2 || !is_store {
            return false;
        }
        let body = Body::StoreReq(captured.clone());
        message.contents = MessageContents::new(&body).unwrap();
        message.security.certificates.extend(certificates.clone());
        true
    }));
    let board = vec![put(BOARD, own_key(net.id(2)), "x")];
    assert_eq!(net.store(2, &home(ALICE), board), refused(ErrorCode::FORBIDDEN));
}

#[test]
fn sr6_a_store_that_comes_twice_is_answered_twice_and_done_once() {
    let mut net = alice();
    // The first answer is lost.
    let lost = std::cell::Cell::new(false);
    net.tamper = Some(Box::new(move |from, message| {
        let is_answer = matches!(message.contents.body(), Ok(Body::StoreAns(_)));
        if from == 0 && is_answer && !lost.replace(true) {
            // Another transaction's: the writer throws it away.
            message.header.transaction_id ^= 1;
            return true;
        }
        false
    }));
    let append = vec![put(LIST, Slot::APPEND, "once")];
    let ticket = net.ticket();
    net.with(1, |o, now, ctx| o.store_all(now, ticket, home(ALICE), append, &[], ctx)).unwrap();
    net.run(4);
    let stored = net.nodes[1].facts.iter().find_map(|f| match f {
        Fact::Stored { ticket: t, result } if *t == ticket => Some(result.clone()),
        _ => None,
    });
    assert_eq!(stored.unwrap().unwrap()[0].generation_counter, 1, "answered after 3 s");
    assert_eq!(net.texts(2, &home(ALICE), LIST), ["once"], "appended once");
}

#[test]
fn fe1_mc3_an_order_for_an_unknown_kind_is_the_callers_mistake_and_a_peer_that_asks_is_refused() {
    let mut net = alice();
    let unknown = KindId(0xf123_4567);
    let at = Address { resource: home(ALICE), kind: unknown, slot: Slot::Single };
    let ticket = net.ticket();
    let order =
        net.with(1, |o, now, ctx| o.store(now, ticket, at, Bytes::new(), Duration::from_secs(1), ctx));
    assert_eq!(order, Err(OrderError::BadKind));
    net.lie(1, move |body| match body {
        Body::FetchReq(mut f) => {
            f.specifiers[0].kind = unknown;
            Some(Body::FetchReq(f))
        }
        _ => None,
    });
    let got = net.fetch(1, &home(ALICE), vec![all(NOTE)]);
    assert_eq!(got.unwrap_err(), Failure::Refused(ErrorCode::UNKNOWN_KIND));
}

#[test]
fn dm2_dm3_appended_values_get_their_indices_and_keep_their_signatures() {
    let mut net = alice();
    let append =
        |texts: &[&'static str]| texts.iter().map(|t| put(LIST, Slot::APPEND, *t)).collect::<Vec<_>>();
    net.store(1, &home(ALICE), append(&["a", "b"])).unwrap();
    net.store(1, &home(ALICE), vec![put(LIST, Slot::Index(7), "h")]).unwrap();
    net.store(1, &home(ALICE), append(&["i"])).unwrap();
    let got = net.fetch(2, &home(ALICE), vec![all(LIST)]).unwrap();
    let slots: Vec<Slot> = got.values.iter().map(|v| v.slot.clone()).collect();
    assert_eq!(slots, [0, 1, 7, 8].map(Slot::Index));
    assert_eq!((got.texts().concat().as_str(), got.discarded), ("abhi", 0));
    let got = net.fetch(2, &home(ALICE), vec![range(LIST, 6, u32::MAX)]).unwrap();
    assert_eq!(got.texts(), ["h", "i"], "gaps are nobody's values");
}

#[test]
fn dm4_a_dictionary_key_may_be_any_bytes() {
    let mut net = alice();
    let keys: [&[u8]; 3] = [b"", b"\0", b"\xff\xfe"];
    let pages = keys.map(|k| put(PAGES, Slot::Key(Bytes::copy_from_slice(k)), k.len().to_string()));
    net.store(1, &home(ALICE), pages.to_vec()).unwrap();
    assert_eq!(net.texts(2, &home(ALICE), PAGES), ["0", "1", "2"]);
}
