//! Values on their way between peers: certificates go along, merges do not depend on who comes first.

use super::net::*;
use bytes::Bytes;
use p2piptv::env::{Crypto, Party};
use p2piptv::ids::{KeyFingerprint, NodeId, ResourceId};
use p2piptv::reload::codec::{
    Body, DataModel, DataValue, ErrorCode, KindId, RawValues, Signature, StoredData, StoredDataValue,
    data_signature_input,
};
use p2piptv::reload::overlay::Slot;
use p2piptv::reload::storage::{
    Access, Arrival, Kind, KindValues, Limits, Origin, Refusal, Storage, StoredValue,
};
use p2piptv::sim::{Certificate, Certified};
use p2piptv::time::{Duration, Instant, UnixMillis};
use quickcheck::quickcheck;
use std::sync::Arc;

#[test]
fn sb3_sb4_replicas_come_with_the_certificates_of_their_writers() {
    let mut net = Net::new(&home("alice@x"), ["", "bob@x", "carol@x", "alice@x"].map(person).to_vec());
    net.store(3, &home("alice@x"), vec![put(NOTE, Slot::Single, "a")]).unwrap();
    // Whoever wrote it and whoever took it are gone; the replica answers for both.
    net.nodes[3].alive = false;
    net.nodes[0].alive = false;
    net.run(120);
    assert!(net.nodes[1].overlay.is_responsible_for(&home("alice@x")));
    let got = net.fetch(2, &home("alice@x"), vec![all(NOTE)]).unwrap();
    assert_eq!((got.texts(), got.discarded), (vec![String::from("a")], 0));
    assert_eq!(got.values[0].signer.user.as_deref(), Some("alice@x"));
}

/// A value as its writer would have stored it at this time.
fn signed(by: &Certified, at: &ResourceId, kind: KindId, time: u64, text: &'static str) -> StoredData {
    let value = StoredDataValue::Single(DataValue::existing(Bytes::from_static(text.as_bytes())));
    let (storage_time, identity) = (UnixMillis(time), by.signer());
    let input = data_signature_input(at, kind, storage_time, &value, &identity).unwrap();
    let signature = Signature { signed: by.sign(&[&input]), identity };
    StoredData { storage_time, lifetime: 600, value, signature }
}

#[test]
fn st16_a_peer_whose_replica_is_refused_as_too_old_fetches_the_newer_value() {
    let at = home("alice@x");
    let mut net = Net::new(&at, ["", "alice@x", ""].map(person).to_vec());
    // The replicas get a newer value of alice's than the responsible peer has, as if in another part of a cut network.
    let newer = signed(&net.nodes[1].crypto, &at, NOTE, WALL + 3_600_000, "newer");
    net.lie(0, move |body| match body {
        Body::StoreReq(mut s) if s.replica_number != 0 => {
            s.kind_data[0].values = RawValues::encode_values(std::slice::from_ref(&newer)).unwrap();
            Some(Body::StoreReq(s))
        }
        _ => None,
    });
    net.store(1, &at, vec![put(NOTE, Slot::Single, "old")]).unwrap();
    net.tamper = None;
    assert_eq!(net.texts(2, &at, NOTE), ["old"]);
    // Something else changes there, and everything is replicated anew.
    net.log.clear();
    net.store(2, &at, vec![put(BOARD, own_key(net.id(2)), "x")]).unwrap();
    let too_old = |body| match body {
        Body::Error(e) => Some(e.error_code).filter(|code| *code == ErrorCode::DATA_TOO_OLD),
        _ => None,
    };
    assert!(net.sent(1, too_old).len() + net.sent(2, too_old).len() > 0);
    net.run(5);
    assert_eq!(net.texts(2, &at, NOTE), ["newer"]);
}

#[test]
fn st13_a_replica_that_its_writer_did_not_sign_is_forbidden_whoever_hands_it_over() {
    let mut net = Net::new(&home("alice@x"), ["", "alice@x", ""].map(person).to_vec());
    net.lie(0, |body| match body {
        Body::StoreReq(mut s) if s.replica_number != 0 => {
            let model = DataModel::Single;
            let mut values = s.kind_data[0].values.decode_values(model).unwrap();
            if let StoredDataValue::Single(value) = &mut values[0].value {
                value.value = Bytes::from_static(b"forged");
            }
            s.kind_data[0].values = RawValues::encode_values(&values).unwrap();
            Some(Body::StoreReq(s))
        }
        _ => None,
    });
    net.log.clear();
    net.store(1, &home("alice@x"), vec![put(NOTE, Slot::Single, "a")]).unwrap();
    let codes: Vec<ErrorCode> = [1, 2]
        .iter()
        .flat_map(|&i| net.sent(i, |b| if let Body::Error(e) = b { Some(e.error_code) } else { None }))
        .map(|(_, code)| code)
        .collect();
    assert_eq!(codes, [ErrorCode::FORBIDDEN; 2]);
    assert!(net.nodes[1].overlay.storage().is_empty() && net.nodes[2].overlay.storage().is_empty());
}

const MERGED: KindId = KindId(0xf000_0077);

fn store_of_one_kind() -> Storage {
    let kind = Kind {
        id: MERGED,
        model: DataModel::Array,
        access: Access::NodeMatch,
        max_count: 100,
        max_size: 100,
        findable: true,
    };
    let limits = Limits {
        resources: 10,
        values: 100,
        bytes: 1 << 20,
        signer_values: 100,
        signer_bytes: 1 << 20,
        group_bytes: 1 << 20,
        answer: 100,
        epochs: 10,
        lifetime: Duration::from_secs(3600),
    };
    Storage::new([kind], limits)
}

fn written(index: u32, storage_time: u64) -> Arrival {
    let node_id = NodeId([1; 16]);
    let key = KeyFingerprint::of(&node_id.0);
    let signer = Arc::new(Party { node_id, node_ids: vec![node_id], user: None, key, certificate: None });
    let value = StoredValue {
        storage_time: UnixMillis(storage_time),
        value: Some(Bytes::from(format!("{index} at {storage_time}"))),
        signature: Signature::none(),
        signer,
        granted: None,
    };
    Arrival { slot: Slot::Index(index), lifetime: 600, value }
}

fn adopt(storage: &mut Storage, values: &[(u32, u64)]) {
    for &(index, time) in values {
        let arrivals = vec![KindValues { kind: MERGED, generation: 1, values: vec![written(index, time)] }];
        let home = ResourceId::of_name(&[1; 16]);
        let result = storage.store(Instant::ZERO, &home, Origin::Replica, arrivals);
        assert!(matches!(result, Ok(_) | Err(Refusal::DataTooOld)), "{result:?}");
    }
}

fn content(storage: &Storage) -> Vec<(Slot, UnixMillis)> {
    let home = ResourceId::of_name(&[1; 16]);
    let (_, groups) = storage.hand_over(Instant::ZERO, &home).unwrap_or_default();
    groups.into_iter().flat_map(|g| g.values).map(|a| (a.slot, a.value.storage_time)).collect()
}

quickcheck! {
    fn st17_two_parts_merge_to_the_same_whichever_comes_first(
        one: Vec<(u8, u16)>, other: Vec<(u8, u16)>
    ) -> bool {
        let spread = |part: Vec<(u8, u16)>| -> Vec<(u32, u64)> {
            part.into_iter().map(|(i, t)| (u32::from(i % 8), u64::from(t))).collect()
        };
        let (one, other) = (spread(one), spread(other));
        let (mut a, mut b) = (store_of_one_kind(), store_of_one_kind());
        adopt(&mut a, &one);
        adopt(&mut a, &other);
        adopt(&mut b, &other);
        adopt(&mut b, &one);
        let mut in_order = store_of_one_kind();
        let mut all = [one, other].concat();
        all.sort_by_key(|(_, time)| *time);
        adopt(&mut in_order, &all);
        content(&a) == content(&b) && content(&a) == content(&in_order)
    }
}

#[test]
fn sb7_a_value_whose_certificate_expired_keeps_no_other_from_being_replicated() {
    let soon = Certificate { not_after: UnixMillis(WALL + 60_000), ..person("") };
    let mut net = Net::new(&home("board"), vec![person(""), soon, person(""), person("")]);
    for i in [1, 2] {
        let write = put(BOARD, own_key(net.id(i)), format!("by {i}"));
        net.store(i, &home("board"), vec![write]).unwrap();
    }
    // It expires before its writer dies and another replica is wanted.
    net.run(70);
    net.nodes[1].alive = false;
    net.run(300);
    // Node 3 has taken the place of node 1 in the replica set, and was offered both.
    let holder = net.nodes[3].overlay.storage();
    let at = home("board");
    let (_, groups) = holder.hand_over(net.now, &at).unwrap();
    let signers: Vec<NodeId> =
        groups.iter().flat_map(|g| &g.values).map(|v| v.value.signer.node_id).collect();
    assert_eq!(signers, [net.id(2)]);
    assert_eq!(net.nodes[0].overlay.storage().len(), 1, "what nobody would take is garbage");
}
