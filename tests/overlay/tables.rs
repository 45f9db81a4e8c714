//! Who is in the Routing Table, and what follows for stored values and for those who have to be told.

use super::hub::{Hub, Left, code, decoded, header};
use super::network::seconds;
use super::wire::{ME, anywhere, attach, error_in};
use bytes::Bytes;
use p2piptv::env::{Crypto, InsecureIdentity};
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::body::{
    AttachReqAns, FetchReq, JoinReq, LeaveReq, StoreKindData, StoreReq, StoredDataSpecifier,
};
use p2piptv::reload::codec::{
    Arranged, Body, ChordLeaveData, ChordTables, DataValue, Destination, ErrorCode, KindId, MessageCode,
    OverlayLinkType, RawValues, Signature, StoredData, Structure, data_signature_input,
};
use p2piptv::reload::overlay::{Address, Slot, Ticket};
use p2piptv::reload::topology::Topology;
use p2piptv::time::{Duration, UnixMillis};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// [`anywhere`] lies between this node and that one.
const BEHIND: NodeId = NodeId([0x90; 16]);
const OTHER: NodeId = NodeId([0x20; 16]);
/// A Node-ID that this node admits.
const JOINER: NodeId = NodeId([0x60; 16]);
const WALL: u64 = 1_700_000_000_000;

/// Where messages with this code went.
fn went(left: &[Left], wanted: MessageCode) -> Vec<NodeId> {
    left.iter().filter(|(_, m)| code(m) == Some(wanted)).map(|(to, _)| *to).collect()
}

/// A value that a node has signed, under its own key.
fn value_of(writer: NodeId, time: u64) -> StoredData {
    let identity = InsecureIdentity::new(writer);
    let value = Arranged::Dictionary {
        key: Bytes::copy_from_slice(&writer.0),
        value: DataValue::existing(Bytes::from_static(b"x")),
    };
    let storage_time = UnixMillis(time);
    let input =
        data_signature_input(&anywhere(), KindId::CHANNEL, storage_time, &value, &identity.signer()).unwrap();
    let signature = Signature { identity: identity.signer(), signed: identity.sign(&[&input]) };
    StoredData { storage_time, lifetime: 7200, value, signature }
}

fn store(writer: NodeId, replica_number: u8, generation_counter: u64, time: u64) -> Body {
    let values = RawValues::encode_values(&[value_of(writer, time)]).unwrap();
    let kind_data = vec![StoreKindData { kind: KindId::CHANNEL, generation_counter, values }];
    Body::StoreReq(StoreReq { resource: anywhere(), replica_number, kind_data })
}

fn fetch() -> Body {
    let kind = KindId::CHANNEL;
    let specifiers =
        vec![StoredDataSpecifier { kind, generation: 0, model_specifier: Bytes::from_static(&[0, 0]) }];
    Body::FetchReq(FetchReq { resource: anywhere(), specifiers })
}

fn put_own_value(hub: &mut Hub) {
    let slot = Slot::Key(Bytes::copy_from_slice(&ME.0));
    let at = Address { resource: anywhere(), kind: KindId::CHANNEL, slot };
    let value = Bytes::from_static(b"mine");
    hub.bench.with(|o, now, ctx| o.store(now, Ticket(1), at, value, seconds(7200), ctx)).0.unwrap();
    hub.wait(seconds(1));
    assert_eq!(hub.bench.overlay.storage().resources().count(), 1);
}

#[test]
fn ch4_whoever_has_attached_and_sent_no_update_is_routed_through_by_nobody() {
    let mut hub = Hub::new(&[BEHIND, OTHER], |_| {});
    let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK);
    hub.say(BEHIND, BEHIND, vec![ME.into()], &offer);
    let place = || vec![Destination::Resource(anywhere())];
    let left = hub.say(OTHER, OTHER, place(), &fetch());
    assert_eq!(went(&left, MessageCode::FETCH_ANS), [OTHER], "a client, or not ready: it is not there");
    assert!(hub.bench.overlay.topology().is_empty());
    hub.adopt(BEHIND);
    let left = hub.say(OTHER, OTHER, place(), &fetch());
    assert_eq!(went(&left, MessageCode::FETCH_REQ), [BEHIND]);
    assert!(went(&left, MessageCode::FETCH_ANS).is_empty());
}

#[test]
fn jl1_no_peer_joins_or_leaves_for_another_one_however_well_both_are_known() {
    let mut hub = Hub::new(&[BEHIND, OTHER, JOINER], |_| {});
    hub.adopt(BEHIND);
    hub.adopt(OTHER);
    let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK);
    hub.say(JOINER, JOINER, vec![ME.into()], &offer);
    let overlay_specific_data = ChordLeaveData::FromSuccessor(vec![]).encode().unwrap();
    let leave = Body::LeaveReq(LeaveReq { leaving_peer_id: OTHER, overlay_specific_data });
    let join = Body::JoinReq(JoinReq { joining_peer_id: JOINER, overlay_specific_data: Bytes::new() });
    for body in [leave, join] {
        let left = hub.say(BEHIND, BEHIND, vec![ME.into()], &body);
        assert_eq!(error_in(&decoded(&left)), Some(ErrorCode::FORBIDDEN));
    }
    let topology = hub.bench.overlay.topology();
    assert!(topology.contains(OTHER) && !topology.contains(JOINER));
}

#[test]
fn ch8_any_number_but_zero_makes_a_store_a_replicas() {
    let mut hub = Hub::new(&[BEHIND, OTHER], |_| {});
    hub.adopt(BEHIND);
    let counters: Vec<(u8, u64)> = vec![(1, 7), (2, 9), (3, 4), (255, 5)];
    for (n, (replica_number, generation)) in counters.into_iter().enumerate() {
        let body = store(BEHIND, replica_number, generation, WALL + n as u64);
        let left = hub.say(BEHIND, BEHIND, vec![ME.into()], &body);
        assert_eq!(went(&left, MessageCode::STORE_ANS), [BEHIND], "replica {replica_number}");
        let here = hub.bench.overlay.storage().generation(&anywhere(), KindId::CHANNEL);
        assert_eq!(here, generation, "the counter is copied, whatever the number");
    }
    let left = hub.say(BEHIND, BEHIND, vec![ME.into()], &store(BEHIND, 0, 0, WALL + 10));
    assert!(went(&left, MessageCode::STORE_ANS).is_empty(), "an original belongs to its owner");
}

#[test]
fn ch8_an_original_counts_up_where_it_belongs_and_its_counter_is_not_copied() {
    let mut hub = Hub::new(&[OTHER], |_| {});
    for (generation, expected) in [(0, 1), (1, 2), (0, 3)] {
        let body = store(OTHER, 0, generation, WALL + expected);
        let left = hub.say(OTHER, OTHER, vec![anywhere().into()], &body);
        assert_eq!(went(&left, MessageCode::STORE_ANS), [OTHER]);
        assert_eq!(hub.bench.overlay.storage().generation(&anywhere(), KindId::CHANNEL), expected);
    }
}

#[test]
fn jl8_what_an_update_shows_to_be_anothers_is_stored_there() {
    let mut hub = Hub::new(&[BEHIND, OTHER], |_| {});
    put_own_value(&mut hub);
    assert!(hub.bench.overlay.is_responsible_for(&anywhere()));
    // The other part of a partition comes in sight: nobody joins, nobody asks.
    let left = hub.adopt(BEHIND);
    assert!(!hub.bench.overlay.is_responsible_for(&anywhere()));
    assert_eq!(went(&left, MessageCode::STORE_REQ), [BEHIND]);
    let stores = left.iter().filter(|(_, m)| code(m) == Some(MessageCode::STORE_REQ)).cloned();
    let Ok(Body::StoreReq(store)) = decoded(&stores.collect::<Vec<_>>())[0].contents.body() else { panic!() };
    assert_eq!(store.resource, anywhere());
    assert_ne!(store.replica_number, 0, "it is not signed by whoever sends it");
}

#[test]
fn jl8_what_the_owner_is_known_to_have_is_not_brought_to_it() {
    let mut hub = Hub::new(&[BEHIND, OTHER], |_| {});
    hub.adopt(BEHIND);
    let left = hub.say(BEHIND, BEHIND, vec![ME.into()], &store(BEHIND, 1, 3, WALL));
    assert_eq!(went(&left, MessageCode::STORE_ANS), [BEHIND]);
    let left = hub.wait(seconds(1500));
    assert!(went(&left, MessageCode::UPDATE_REQ).len() > 1, "periodic Updates, after which it looks");
    assert!(went(&left, MessageCode::STORE_REQ).is_empty());
    assert_eq!(hub.bench.overlay.storage().resources().count(), 1);
}

#[test]
fn cu10_3_the_loss_of_a_neighbour_is_told_at_once_to_those_who_are_left_and_without_it() {
    let mut hub = Hub::new(&[BEHIND, OTHER], |_| {});
    hub.adopt(BEHIND);
    hub.adopt(OTHER);
    hub.wait(seconds(5));
    let gone = SocketAddr::from(([10, 0, 1, BEHIND.0[0]], 6084));
    hub.bench.with(|o, now, ctx| o.handle_unreachable(now, gone, ctx));
    let left = hub.wait(Duration::from_millis(150));
    assert_eq!(went(&left, MessageCode::UPDATE_REQ), [OTHER]);
    let updates = left.iter().filter(|(_, m)| code(m) == Some(MessageCode::UPDATE_REQ)).cloned();
    let Ok(Body::UpdateReq(update)) = decoded(&updates.collect::<Vec<_>>())[0].contents.body() else {
        panic!()
    };
    let tables = ChordTables::Neighbors { predecessors: vec![OTHER], successors: vec![OTHER] };
    assert_eq!(update.tables, tables);
}

#[test]
fn cu10_10_every_neighbour_hears_an_update_about_every_ten_minutes_and_never_on_the_dot() {
    let mut hub = Hub::new(&[BEHIND, OTHER], |_| {});
    hub.adopt(BEHIND);
    hub.adopt(OTHER);
    hub.wait(seconds(60));
    let mut heard: BTreeMap<NodeId, Vec<(u64, Duration)>> = BTreeMap::new();
    let begin = hub.bench.now;
    for _ in 0..4 * 3600 {
        let left = hub.wait(seconds(1));
        let at = hub.bench.now.since(begin);
        for (to, message) in left.iter().filter(|(_, m)| code(m) == Some(MessageCode::UPDATE_REQ)) {
            let (id, times) = (header(message).transaction_id, heard.entry(*to).or_default());
            if times.iter().all(|(other, _)| *other != id) {
                times.push((id, at));
            }
        }
    }
    for peer in [BEHIND, OTHER] {
        let gaps: Vec<u64> = heard[&peer].windows(2).map(|w| (w[1].1 - w[0].1).as_secs()).collect();
        assert!((19..=32).contains(&gaps.len()), "{gaps:?}");
        assert!(gaps.iter().all(|gap| (448..=752).contains(gap)), "a quarter more or less: {gaps:?}");
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(most - least > 100, "a random time: {gaps:?}");
        let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
        assert!((520..=680).contains(&mean), "{mean}");
    }
}
