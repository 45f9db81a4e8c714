//! Who may write what, between peers: delegated access (RFC 8076) and the shares of a store.

use super::net::*;
use bytes::Bytes;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::acl::shared_index;
use p2piptv::reload::codec::{
    AccessControlListItem, Body, ErrorCode, KindId, ResourceNameExtension, SipRegistration, Structure,
};
use p2piptv::reload::overlay::{Slot, Write};
use p2piptv::reload::storage::Pattern;
use p2piptv::sim::{Authority, Certificate};
use p2piptv::time::Duration;
use p2piptv::wire::Writer;

const ACL: KindId = KindId::ACCESS_CONTROL_LIST;
const OWNER: usize = 1;
const ALICE: usize = 2;
const BOB: usize = 3;
const CAROL: usize = 4;

/// The responsible peer, the owner of the resource, and three whom it may be shared with.
fn company() -> Net {
    let people = ["", "owner@x", "alice@x", "bob@x", "carol@x"];
    Net::new(&home("owner@x"), people.map(person).to_vec())
}

fn item(to: &str, kind: KindId, allow_delegation: bool) -> Bytes {
    let to_user = Bytes::copy_from_slice(to.as_bytes());
    AccessControlListItem { res_name_ext: None, to_user, kind, allow_delegation }.encode().unwrap()
}

fn slot(net: &Net, who: usize, n: u8) -> Slot {
    Slot::Index(shared_index(net.id(who), n))
}

/// `who` stores an item under its own n-th index.
fn delegate(net: &mut Net, who: usize, n: u8, to: &str, ad: bool) -> bool {
    let write = put(ACL, slot(net, who, n), item(to, SHARED, ad));
    net.store(who, &home("owner@x"), vec![write]).is_ok()
}

fn write(net: &mut Net, who: usize, text: &'static str) -> bool {
    let write = put(SHARED, own_key(net.id(who)), text);
    net.store(who, &home("owner@x"), vec![write]).is_ok()
}

fn read(net: &mut Net) -> Vec<String> {
    let mut texts = net.texts(OWNER, &home("owner@x"), SHARED);
    texts.sort();
    texts
}

#[test]
fn ac8_the_permission_goes_from_the_owner_along_the_chain_and_no_further() {
    let mut net = company();
    assert!(write(&mut net, OWNER, "owner's"), "the owner needs no list");
    assert!(!write(&mut net, ALICE, "alice's"));
    assert!(!delegate(&mut net, ALICE, 1, "alice@x", true), "a root item is the owner's");
    assert!(!delegate(&mut net, ALICE, 1, "bob@x", true));
    assert!(delegate(&mut net, OWNER, 1, "owner@x", true));
    assert!(!write(&mut net, ALICE, "alice's"), "the root alone lets nobody in");
    assert!(delegate(&mut net, OWNER, 2, "alice@x", true));
    assert!(write(&mut net, ALICE, "alice's"));
    assert!(!delegate(&mut net, ALICE, 1, "alice@x", true), "nor does a permission make it hers");
    assert!(delegate(&mut net, ALICE, 1, "bob@x", false));
    assert!(write(&mut net, BOB, "bob's"));
    assert!(!delegate(&mut net, BOB, 1, "carol@x", false), "bob may write and not delegate");
    assert!(!write(&mut net, CAROL, "carol's"));
    let other_kind = put(SHARED_LIST, slot(&net, ALICE, 0), "x");
    assert!(net.store(ALICE, &home("owner@x"), vec![other_kind]).is_err(), "a permission is for one Kind");
    assert_eq!(read(&mut net), ["alice's", "bob's", "owner's"]);
}

#[test]
fn ac8_to_revoke_a_permission_takes_everything_that_hangs_on_it() {
    let mut net = company();
    delegate(&mut net, OWNER, 1, "owner@x", true);
    delegate(&mut net, OWNER, 2, "alice@x", true);
    delegate(&mut net, ALICE, 1, "bob@x", false);
    assert!(
        write(&mut net, ALICE, "alice's") && write(&mut net, BOB, "bob's") && write(&mut net, OWNER, "o")
    );
    let revoked = gone(ACL, slot(&net, OWNER, 2));
    net.store(OWNER, &home("owner@x"), vec![revoked]).unwrap();
    assert_eq!(read(&mut net), ["o"]);
    assert!(!write(&mut net, BOB, "again"));
    net.run(60);
    for i in 0..3 {
        let storage = net.nodes[i].overlay.storage();
        assert_eq!(storage.len(), 3, "node {i}: root, revocation and the owner's value");
    }
    // Granted anew, bob's part comes back only with a new item of alice's.
    delegate(&mut net, OWNER, 3, "alice@x", true);
    assert!(write(&mut net, ALICE, "alice again"));
    assert!(!write(&mut net, BOB, "bob again"));
}

#[test]
fn ac8_what_a_delegate_takes_back_is_taken_back_at_replicas_and_for_readers_too() {
    let mut net = company();
    delegate(&mut net, OWNER, 1, "owner@x", true);
    delegate(&mut net, OWNER, 2, "alice@x", true);
    delegate(&mut net, ALICE, 1, "bob@x", false);
    assert!(write(&mut net, BOB, "bob's"));
    net.store(ALICE, &home("owner@x"), vec![gone(ACL, slot(&net, ALICE, 1))]).unwrap();
    let got = net.fetch(CAROL, &home("owner@x"), vec![all(ACL)]).unwrap();
    let removed = got.values.iter().filter(|v| v.value.is_none());
    assert_eq!((got.values.len(), removed.count(), got.discarded), (3, 1, 0));
    net.run(60);
    for i in 0..3 {
        let storage = net.nodes[i].overlay.storage();
        assert_eq!(storage.len(), 3, "node {i}: root, alice's permission, and what she has taken back");
    }
}

#[test]
fn ac8_a_permission_that_runs_out_takes_along_what_was_written_by_it() {
    let mut net = company();
    delegate(&mut net, OWNER, 1, "owner@x", true);
    let permission = put(ACL, slot(&net, OWNER, 2), item("alice@x", SHARED, true));
    let permission = Write { lifetime: Duration::from_secs(60), ..permission };
    net.store(OWNER, &home("owner@x"), vec![permission]).unwrap();
    assert!(write(&mut net, ALICE, "alice's") && write(&mut net, OWNER, "owner's"));
    assert_eq!(net.nodes[0].overlay.storage().len(), 4);
    net.run(60);
    for i in 0..3 {
        let storage = net.nodes[i].overlay.storage();
        assert_eq!(storage.len(), 2, "node {i}: root and the owner's value");
    }
}

#[test]
fn ac8_chains_that_run_in_circles_end_and_count_for_nothing_without_a_root() {
    let mut net = company();
    delegate(&mut net, OWNER, 1, "owner@x", true);
    delegate(&mut net, OWNER, 2, "alice@x", true);
    assert!(delegate(&mut net, ALICE, 1, "bob@x", true));
    assert!(delegate(&mut net, BOB, 1, "alice@x", true), "legal, though not very meaningful");
    assert!(write(&mut net, ALICE, "alice's") && write(&mut net, BOB, "bob's"));
    let cut = gone(ACL, slot(&net, OWNER, 2));
    net.store(OWNER, &home("owner@x"), vec![cut]).unwrap();
    assert!(
        !write(&mut net, ALICE, "x") && !write(&mut net, BOB, "x"),
        "each holds the other and nobody both"
    );
    assert!(read(&mut net).is_empty());
}

#[test]
fn ac8_nobody_but_the_owner_writes_into_anothers_slots() {
    let mut net = company();
    delegate(&mut net, OWNER, 1, "owner@x", true);
    delegate(&mut net, OWNER, 2, "alice@x", true);
    delegate(&mut net, OWNER, 3, "bob@x", true);
    delegate(&mut net, ALICE, 1, "carol@x", false);
    let at = home("owner@x");
    let over_alice = |net: &Net| put(ACL, slot(net, ALICE, 1), item("bob@x", SHARED, true));
    let write_over = over_alice(&net);
    assert_eq!(net.store(BOB, &at, vec![write_over]), refused(ErrorCode::FORBIDDEN));
    let empty_slot = gone(ACL, slot(&net, BOB, 9));
    assert_eq!(net.store(BOB, &at, vec![empty_slot]), refused(ErrorCode::FORBIDDEN), "nothing to take back");
    let foreign_key = put(SHARED, own_key(net.id(ALICE)), "x");
    assert_eq!(net.store(BOB, &at, vec![foreign_key]), refused(ErrorCode::FORBIDDEN));
    assert!(net.store(ALICE, &at, vec![gone(ACL, slot(&net, ALICE, 1))]).is_ok(), "her own");
    delegate(&mut net, ALICE, 1, "carol@x", false);
    assert!(net.store(OWNER, &at, vec![gone(ACL, slot(&net, ALICE, 1))]).is_ok(), "the owner may");
    assert!(!write(&mut net, CAROL, "x"));
}

#[test]
fn ac8_a_reader_judges_by_the_list_and_not_by_the_storing_peer() {
    let mut net = company();
    delegate(&mut net, OWNER, 1, "owner@x", true);
    delegate(&mut net, OWNER, 2, "alice@x", false);
    assert!(write(&mut net, ALICE, "alice's") && write(&mut net, OWNER, "owner's"));
    // The storing peer keeps the list to itself.
    net.lie(0, |body| match body {
        Body::FetchAns(mut answer) => {
            for response in answer.kind_responses.iter_mut().filter(|r| r.kind == ACL) {
                response.values.0 = Bytes::new();
            }
            Some(Body::FetchAns(answer))
        }
        _ => None,
    });
    let got = net.fetch(BOB, &home("owner@x"), vec![all(SHARED)]).unwrap();
    assert_eq!((got.texts(), got.discarded), (vec![String::from("owner's")], 1), "FE-6");
}

#[test]
fn ac8_a_variable_name_is_the_owners_as_the_pattern_says_and_hashes_to_the_place() {
    let name = "friday-conf-owner@x";
    let people = ["", "owner@x", "alice@x", "eve@x"].map(person).to_vec();
    let mut net = Net::configured(&home(name), people, with_variable_names);
    let extension = |name: &str| ResourceNameExtension::Pattern(Bytes::copy_from_slice(name.as_bytes()));
    let item = |name: &str, to: &str| AccessControlListItem {
        res_name_ext: Some(extension(name)),
        to_user: Bytes::copy_from_slice(to.as_bytes()),
        kind: SHARED,
        allow_delegation: true,
    };
    let value = |name: &str| {
        let mut w = Writer::new();
        extension(name).write(&mut w);
        w.raw(b"content");
        w.finish().unwrap()
    };
    let at = home(name);
    let root = |net: &Net, who: usize, name: &str, to: &str| -> Vec<Write> {
        vec![put(ACL, slot(net, who, 1), item(name, to).encode().unwrap())]
    };
    let forbidden = refused(ErrorCode::FORBIDDEN);
    let eves = root(&net, 3, name, "eve@x");
    assert_eq!(net.store(3, &at, eves), forbidden, "not eve's pattern");
    let misnamed = root(&net, 1, "monday-conf-owner@x", "owner@x");
    assert_eq!(net.store(1, &at, misnamed), forbidden, "another name than the place's");
    let good = root(&net, 1, name, "owner@x");
    assert!(net.store(1, &at, good).is_ok());
    let grant = vec![put(ACL, slot(&net, 1, 2), item(name, "alice@x").encode().unwrap())];
    assert!(net.store(1, &at, grant).is_ok());
    let nameless = vec![put(SHARED, own_key(net.id(2)), "content")];
    assert_eq!(net.store(2, &at, nameless), forbidden, "the extension is mandatory");
    let named = vec![put(SHARED, own_key(net.id(2)), value(name))];
    assert!(net.store(2, &at, named).is_ok());
    assert_eq!(net.fetch(3, &at, vec![all(SHARED)]).unwrap().values.len(), 1);
    let revoked = vec![gone(ACL, slot(&net, 1, 1))];
    assert!(net.store(1, &at, revoked).is_ok(), "the root");
    assert_eq!(net.fetch(3, &at, vec![all(SHARED)]).unwrap().values.len(), 0);
}

#[test]
fn ac4_each_of_a_users_devices_registers_under_its_own_node_id() {
    let at = home("alice@x");
    let mut net = Net::new(&at, ["", "alice@x", "alice@x", "eve@x"].map(person).to_vec());
    let registration = |node: NodeId| {
        let destination_list = vec![node.into()];
        SipRegistration::Route { contact_prefs: Bytes::new(), destination_list }.encode().unwrap()
    };
    let register = |net: &mut Net, who: usize, node: NodeId| {
        net.store(who, &at, vec![put(KindId::SIP_REGISTRATION, own_key(node), registration(node))])
    };
    let ids: Vec<NodeId> = (0..4).map(|i| net.id(i)).collect();
    assert!(register(&mut net, 1, ids[1]).is_ok() && register(&mut net, 2, ids[2]).is_ok());
    assert_eq!(register(&mut net, 1, ids[2]), refused(ErrorCode::FORBIDDEN), "her other device's key");
    assert_eq!(register(&mut net, 3, ids[3]), refused(ErrorCode::FORBIDDEN), "not her name");
    let got = net.fetch(3, &at, vec![all(KindId::SIP_REGISTRATION)]).unwrap();
    assert_eq!(got.values.len(), 2);
}

#[test]
fn ac3_sb2_of_a_certificate_for_two_nodes_the_one_that_signs_counts() {
    let other = NodeId([0xee; 16]);
    let two = Certificate { node_ids: vec![NodeId([0; 16]), other], ..person("") };
    let mut net = Net::new(&home("x"), vec![person(""), two]);
    let me = net.id(1);
    let certificate = |net: &mut Net, node: NodeId| {
        let write = put(KindId::CERTIFICATE_BY_NODE, Slot::APPEND, "der");
        net.store(1, &ResourceId::of_name(&node.0), vec![write])
    };
    assert!(certificate(&mut net, me).is_ok());
    assert_eq!(
        certificate(&mut net, other),
        refused(ErrorCode::FORBIDDEN),
        "in the certificate, not indicated"
    );
}

#[test]
fn k8_one_key_fills_its_share_of_a_store_and_the_values_of_others_stay_and_come() {
    let people = vec![person(""), person("flood@x"), person("honest@x")];
    let mut net = Net::configured(&home("x"), people, |config| {
        config.limits.signer_values = 20;
        config.limits.resources = 64;
    });
    let board = |net: &Net, who: usize| vec![put(BOARD, own_key(net.id(who)), "x")];
    let honest = board(&net, 2);
    net.store(2, &ResourceId::of_name(b"first"), honest.clone()).unwrap();
    let flood = board(&net, 1);
    let mut refused_at = None;
    for n in 0..40u8 {
        let result = net.store(1, &ResourceId::of_name(&[n]), flood.clone());
        if result == refused(ErrorCode::DATA_TOO_LARGE) {
            refused_at.get_or_insert(n);
        }
    }
    assert!(refused_at.is_some());
    // A second certificate for the same key is no second share.
    let second = Certificate { padding: 9, ..Certificate::of_user("flood2@x", net.id(1)) };
    net.nodes[1].crypto = Authority::new(1).issue(&Certificate { key: 1, ..second });
    assert_eq!(net.store(1, &ResourceId::of_name(&[39]), flood), refused(ErrorCode::DATA_TOO_LARGE));
    assert!(net.store(2, &ResourceId::of_name(b"second"), honest).is_ok());
    for name in [&b"first"[..], b"second"] {
        let got = net.fetch(0, &ResourceId::of_name(name), vec![all(BOARD)]).unwrap();
        assert_eq!(got.values.len(), 1);
    }
    for node in &net.nodes {
        assert!(node.overlay.storage().len() <= 22);
    }
}

quickcheck::quickcheck! {
    fn k7_no_pattern_and_no_name_makes_the_matcher_panic(text: String, name: Vec<u8>, user: String) -> bool {
        let delimited = format!("{text}-$USER@$DOMAIN");
        let name = [&name[..], b"-", user.as_bytes(), b"@d"].concat();
        for pattern in [Pattern::new(&text), Pattern::new(&delimited)].into_iter().flatten() {
            let _ = pattern.matches(&format!("{user}@d"), &name);
        }
        true
    }
}
