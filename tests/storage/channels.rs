//! Who stands under a channel's name: owners side by side, none of whom takes all the room, and of each only what was
//! granted in the present epoch.

use crate::net::*;
use bytes::Bytes;
use p2piptv::env::Crypto as _;
use p2piptv::ids::{KeyFingerprint, NodeId, ResourceId};
use p2piptv::reload::codec::{ErrorCode, KindId, ProviderRecord, ProviderRole, Structure as _};
use p2piptv::reload::grant::{self, Claim};
use p2piptv::reload::storage::Kind;
use p2piptv::sim::{Authority, Certificate, Certified};
use p2piptv::time::{Duration, UnixMillis};

const CHANNEL: KindId = KindId::CHANNEL;
const NAME: &str = "100@p2piptv.example";

/// Somebody with the channel's name in his certificate: as with self-signed ones, anybody has it who wants to.
fn owner(key: u64) -> Certified {
    let node_ids = vec![NodeId::from_u128(u128::from(key) << 64)];
    let certificate =
        Certificate { key, user: Some(NAME.into()), node_ids, ..Certificate::of_node(NodeId([1; 16])) };
    Authority::new(1).issue(&certificate)
}

/// By what an owner is known.
fn key_of(key: u64) -> KeyFingerprint {
    let owner = owner(key);
    let signed = owner.sign(&[b"x"]);
    owner.verify(UnixMillis(WALL), &owner.signer(), owner.certificates(), &[b"x"], &signed).unwrap().key
}

const RIGHT: u64 = 1000;
const SQUATTER: u64 = 2000;

fn net(nodes: usize) -> Net {
    let people = vec![person(""); nodes];
    Net::configured(&home(NAME), people, |config| {
        config.kinds = vec![Kind::OWNED_CHANNEL];
        config.limits.message_size = 16 * 1024;
    })
}

/// A record of this node with a grant of this owner, for this place.
fn record(net: &Net, i: usize, at: &ResourceId, owner: &Certified, epoch: u32) -> Bytes {
    let (node, role) = (net.nodes[i].crypto.node_id(), ProviderRole::RELAYER);
    let claim = Claim { resource: at, node, role };
    let grant = grant::issue(owner, &claim, epoch, UnixMillis(WALL), Duration::from_secs(3600));
    let record = ProviderRecord {
        role,
        depth: 1,
        free_slots: 1,
        uptime_seconds: 0,
        sip_contact: format!("sips:{i}@10.0.0.{i}:5061"),
        grant,
    };
    record.encode().unwrap()
}

type Stored = Result<(), Option<ErrorCode>>;

fn store_at(net: &mut Net, i: usize, at: &ResourceId, owner: &Certified, epoch: u32) -> Stored {
    // Another time of storing for each.
    net.run(1);
    let write = put(CHANNEL, own_key(net.nodes[i].crypto.node_id()), record(net, i, at, owner, epoch));
    net.store(i, at, vec![write]).map(drop).map_err(|failure| match failure {
        p2piptv::reload::overlay::Failure::Refused(code) => Some(code),
        _ => None,
    })
}

fn store(net: &mut Net, i: usize, key: u64, epoch: u32) -> Stored {
    store_at(net, i, &home(NAME), &owner(key), epoch)
}

/// By whose grants, in which epochs, records are found.
fn found(net: &mut Net) -> Vec<(u64, u32)> {
    let keys: Vec<(u64, KeyFingerprint)> =
        [RIGHT, SQUATTER].into_iter().chain(3000..3020).map(|key| (key, key_of(key))).collect();
    let values = net.fetch(1, &home(NAME), vec![all(CHANNEL)]).unwrap().values;
    let mut found: Vec<(u64, u32)> = values
        .iter()
        .filter_map(|value| {
            let grant = ProviderRecord::decode(value.value.as_ref()?).ok()?.grant?;
            let claim =
                Claim { resource: &home(NAME), node: value.signer.node_id, role: ProviderRole::RELAYER };
            let party = grant::verify(&grant, &claim, UnixMillis(WALL), &net.nodes[0].crypto).ok()?;
            let (key, _) = keys.iter().find(|(_, fingerprint)| *fingerprint == party.key)?;
            Some((*key, grant.epoch))
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn q4_a_grant_of_an_earlier_epoch_is_worth_nothing_once_the_owner_has_begun_a_new_one() {
    let mut net = net(6);
    assert_eq!((store(&mut net, 3, RIGHT, 7), store(&mut net, 4, RIGHT, 7)), (Ok(()), Ok(())));
    assert_eq!(found(&mut net), [(RIGHT, 7), (RIGHT, 7)]);
    // The next broadcast: whoever stands there by the last one goes, also from the replicas.
    assert_eq!(store(&mut net, 5, RIGHT, 8), Ok(()));
    assert_eq!(found(&mut net), [(RIGHT, 8)]);
    net.run(5);
    for i in 0..3 {
        assert_eq!(net.nodes[i].overlay.storage().len(), 1, "node {i}");
    }
    // The old grant said again, by whoever has it.
    assert_eq!(store(&mut net, 3, RIGHT, 7), Err(Some(ErrorCode::FORBIDDEN)));
    // Also when nothing of the new epoch is there any more.
    let slot = own_key(net.nodes[5].crypto.node_id());
    net.store(5, &home(NAME), vec![gone(CHANNEL, slot)]).unwrap();
    net.run(1200);
    assert!(net.nodes[0].overlay.storage().is_empty());
    assert_eq!(store(&mut net, 3, RIGHT, 7), Err(Some(ErrorCode::FORBIDDEN)));
    // Another owner counts for himself.
    assert_eq!(store(&mut net, 4, SQUATTER, 1), Ok(()));
    assert_eq!(store(&mut net, 3, RIGHT, 8), Ok(()));
    assert_eq!(found(&mut net), [(RIGHT, 8), (SQUATTER, 1)]);
}

#[test]
fn q4_k8_a_squatter_fills_no_more_than_his_share_of_the_places_under_a_name() {
    let room = Kind::OWNED_CHANNEL.max_count;
    let mut net = net(room + 8);
    // He comes first, with as many nodes as there are places, and is refused more by his own share.
    for i in 0..room {
        assert_eq!(store(&mut net, i, SQUATTER, 1), Ok(()), "{i}");
    }
    assert_eq!(store(&mut net, room, SQUATTER, 1), Err(Some(ErrorCode::DATA_TOO_LARGE)));
    // Each record of the other one takes the place of the squatter's oldest, until each has half.
    for i in room..room + 6 {
        assert_eq!(store(&mut net, i, RIGHT, 5), Ok(()), "{i}");
    }
    assert_eq!(store(&mut net, room + 6, RIGHT, 5), Err(Some(ErrorCode::DATA_TOO_LARGE)));
    let expected: Vec<(u64, u32)> = [(RIGHT, 5); 6].into_iter().chain([(SQUATTER, 1); 6]).collect();
    assert_eq!(found(&mut net), expected);
    // What gave way comes back only at the cost of its own owner.
    assert_eq!(store(&mut net, 0, SQUATTER, 1), Err(Some(ErrorCode::DATA_TOO_LARGE)));
    assert_eq!(found(&mut net), expected);
    // The replicas hold the same.
    net.run(5);
    let held: Vec<usize> = (0..3).map(|i| net.nodes[i].overlay.storage().len()).collect();
    assert_eq!(held, [room; 3]);
}

#[test]
fn q4_k8_a_squatter_with_a_key_for_each_record_does_not_keep_a_newcomer_out() {
    let room = Kind::OWNED_CHANNEL.max_count;
    let mut net = net(room + 2);
    for i in 0..room {
        assert_eq!(store(&mut net, i, 3000 + i as u64, 1), Ok(()), "{i}");
    }
    assert_eq!(store(&mut net, room, RIGHT, 1), Ok(()));
    assert!(found(&mut net).contains(&(RIGHT, 1)));
}

#[test]
fn q4_a_relayer_with_the_grant_of_another_node_or_without_one_is_refused() {
    let mut net = net(5);
    let at = home(NAME);
    let id = 3;
    let write =
        |net: &Net, i: usize, value: Bytes| put(CHANNEL, own_key(net.nodes[i].crypto.node_id()), value);
    let others = record(&net, 2, &at, &owner(RIGHT), 1);
    let stolen = write(&net, id, others);
    assert_eq!(net.store(id, &at, vec![stolen]), refused(ErrorCode::FORBIDDEN));
    let mut none = ProviderRecord::decode(&record(&net, id, &at, &owner(RIGHT), 1)).unwrap();
    none.grant = None;
    let none = write(&net, id, none.encode().unwrap());
    assert_eq!(net.store(id, &at, vec![none]), refused(ErrorCode::FORBIDDEN));
    // In whose name nothing is written by anybody else.
    let own = record(&net, id, &at, &owner(RIGHT), 1);
    let elsewhere = put(CHANNEL, own_key(net.nodes[2].crypto.node_id()), own);
    assert_eq!(net.store(id, &at, vec![elsewhere]), refused(ErrorCode::FORBIDDEN));
    assert_eq!(store(&mut net, id, RIGHT, 1), Ok(()));
}

#[test]
fn q4_a_grant_for_the_tree_is_refused_under_the_name() {
    let mut net = net(4);
    let id = own_key(net.nodes[3].crypto.node_id());
    for place in [home(NAME), grant::own_place(NAME, key_of(RIGHT))] {
        let value = record(&net, 3, &grant::tree_place(NAME), &owner(RIGHT), 1);
        let stored = net.store(3, &place, vec![put(CHANNEL, id.clone(), value)]);
        assert_eq!(stored, refused(ErrorCode::FORBIDDEN));
    }
}

#[test]
fn q4_nobody_else_stands_at_the_place_of_an_owners_key() {
    let mut net = net(4);
    let place = grant::own_place(NAME, key_of(RIGHT));
    assert_eq!(store_at(&mut net, 2, &place, &owner(RIGHT), 1), Ok(()));
    assert_eq!(store_at(&mut net, 3, &place, &owner(SQUATTER), 1), Err(Some(ErrorCode::FORBIDDEN)));
    assert_eq!(net.fetch(1, &place, vec![all(CHANNEL)]).unwrap().values.len(), 1);
}

#[test]
fn sb8_q4_the_grants_of_an_owner_who_is_shut_out_are_void() {
    let bad = owner(SQUATTER).node_id();
    let people = vec![person(""); 4];
    let mut net = Net::configured(&home(NAME), people, |config| {
        config.kinds = vec![Kind::OWNED_CHANNEL];
        config.bad_nodes = vec![bad];
    });
    assert_eq!(store(&mut net, 2, SQUATTER, 1), Err(Some(ErrorCode::FORBIDDEN)));
    assert_eq!(store(&mut net, 3, RIGHT, 1), Ok(()));
    assert_eq!(found(&mut net), [(RIGHT, 1)]);
}
