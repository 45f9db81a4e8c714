//! How a new document reaches every node, and what it changes there.

use crate::network::{AT, NAME, Net, authority, seconds, signed, version};
use bytes::Bytes;
use p2piptv::env::{Crypto, InsecureIdentity};
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::{ConfigUpdateReq, PingReq};
use p2piptv::reload::codec::{Body, Destination, ErrorCode, KindId, MessageCode};
use p2piptv::reload::configuration::{Configuration, Document, DocumentErrorKind, KindBlock, KindDefinition};
use p2piptv::reload::overlay::{Address, Config, Fact, Failure, Slot, Ticket};
use p2piptv::reload::storage::Kind;
use std::collections::BTreeSet;
use std::time::Duration;

const ANY: u16 = 65_535;

fn ping() -> Body {
    Body::PingReq(PingReq::default())
}

fn update(document: &Document) -> Body {
    Body::ConfigUpdateReq(ConfigUpdateReq::Config(document.file().clone()))
}

fn kinds(blocks: &[KindBlock]) -> Body {
    let blocks = blocks.iter().map(|b| Bytes::from(b.to_xml().unwrap()));
    Body::ConfigUpdateReq(ConfigUpdateReq::Kinds(blocks.collect()))
}

/// ConfigUpdates that were sent: who told whom, each as often as it was begun.
fn told(net: &Net) -> BTreeSet<(usize, usize, u64)> {
    let updates = net.sent.iter().filter(|(.., m)| m.contents.message_code == MessageCode::CONFIG_UPDATE_REQ);
    updates.map(|(from, to, m)| (*from, *to, m.header.transaction_id)).collect()
}

fn reconfigure(net: &mut Net, i: usize, document: &Document) {
    net.with(i, |o, now, ctx| o.reconfigure(now, document.clone(), ctx)).unwrap();
}

/// A private Kind of single values that nodes store at their own place.
fn diary(n: u32, max_size: u32) -> KindDefinition {
    KindDefinition {
        id: KindId(0xf000_0100 + n),
        access_control: "NODE-MATCH".to_owned(),
        data_model: p2piptv::reload::codec::DataModel::Single,
        max_size,
        ..KindDefinition::of(&Kind::CHANNEL)
    }
}

fn store_diary(net: &mut Net, i: usize, ticket: u64, n: u32) -> Option<Result<(), Failure>> {
    let resource = ResourceId::of_name(&net.id(i).0);
    let at = Address { resource, kind: KindId(0xf000_0100 + n), slot: Slot::Single };
    let text = Bytes::from_static(b"dear diary");
    let ordered = net.with(i, |o, now, ctx| o.store(now, Ticket(ticket), at, text, seconds(3600), ctx));
    ordered.ok()?;
    net.run(seconds(5));
    net.nodes[i].facts.iter().find_map(|f| match f {
        Fact::Stored { ticket: t, result } if t.0 == ticket => Some(result.clone().map(drop)),
        _ => None,
    })
}

#[test]
fn cs2_the_destination_of_a_request_refuses_another_sequence_in_either_direction() {
    let mut net = Net::of(2, &signed(&version(22), 1));
    for (sequence, refusal) in [
        (22, None),
        (21, Some(ErrorCode::CONFIG_TOO_OLD)),
        (0, Some(ErrorCode::CONFIG_TOO_OLD)),
        (23, Some(ErrorCode::CONFIG_TOO_NEW)),
        (32_789, Some(ErrorCode::CONFIG_TOO_NEW)),
        (32_790, Some(ErrorCode::CONFIG_TOO_OLD)),
        (65_534, Some(ErrorCode::CONFIG_TOO_OLD)),
    ] {
        assert_eq!(net.refused(1, 0, sequence, &ping()), refusal, "{sequence}");
    }
}

#[test]
fn cs2_a_node_in_transit_looks_at_no_sequence_and_a_response_is_never_refused() {
    let mut net = Net::of(3, &signed(&version(22), 1));
    let through = vec![Destination::from(net.id(1)), net.id(2).into()];
    let answer = net.ask(0, 1, through, 21, &ping());
    assert!(matches!(&answer, Some(Body::Error(e)) if e.error_code == ErrorCode::CONFIG_TOO_OLD));
    let forwarded = |(from, to, m): &(usize, usize, p2piptv::reload::codec::Message)| {
        (*from, *to) == (1, 2) && m.header.configuration_sequence == 21
    };
    assert!(net.sent.iter().any(forwarded), "it was the destination that refused it");
    // The answer to the document that follows comes from a node that still has the old number.
    let told = told(&net);
    assert_eq!(told.iter().filter(|(from, ..)| *from == 2).count(), 1, "{told:?}");
}

#[test]
fn cs3_who_has_an_old_document_is_told_once_in_a_request_s_lifetime() {
    let mut net = Net::of(2, &signed(&version(22), 1));
    for _ in 0..7 {
        assert_eq!(net.refused(1, 0, 21, &ping()), Some(ErrorCode::CONFIG_TOO_OLD));
    }
    assert_eq!(told(&net).len(), 1, "seven requests in 14 s");
    net.run(seconds(2));
    net.refused(1, 0, 21, &ping());
    assert_eq!(told(&net).len(), 2, "15 s are over");
    net.refused(1, 0, 23, &ping());
    assert_eq!(told(&net).len(), 2, "who is newer is not told");
}

#[test]
fn cs4_65535_is_for_config_updates_and_nothing_else() {
    let mut net = Net::of(2, &signed(&version(22), 1));
    assert_eq!(net.refused(1, 0, ANY, &ping()), Some(ErrorCode::CONFIG_TOO_NEW));
    assert_eq!(told(&net).len(), 0, "it is nobody's number");
    let next = signed(&version(23), 1);
    assert_eq!(net.refused(1, 0, 23, &update(&next)), Some(ErrorCode::CONFIG_TOO_NEW), "as any request");
    assert_eq!(net.refused(1, 0, ANY, &update(&next)), None);
    assert_eq!(net.nodes[0].overlay.config().configuration_sequence, 23);
    net.run(seconds(16));
    net.refused(1, 0, 22, &ping());
    let sequences: BTreeSet<u16> = net
        .sent
        .iter()
        .filter(|(from, _, m)| *from == 0 && m.contents.message_code == MessageCode::CONFIG_UPDATE_REQ)
        .map(|(.., m)| m.header.configuration_sequence)
        .collect();
    assert_eq!(sequences, [ANY].into());
}

#[test]
fn cs5_after_65534_comes_0() {
    let mut net = Net::of(3, &signed(&version(65_534), 1));
    reconfigure(&mut net, 2, &signed(&version(0), 1));
    net.run(seconds(2));
    assert_eq!(net.sequences(), [0].into());
}

#[test]
fn cu1_a_document_is_taken_from_a_signer_of_the_current_one_and_from_nobody_else() {
    let mut net = Net::of(2, &signed(&version(22), 1));
    let unsigned = version(23).to_document(&[]).unwrap();
    let spoilt = {
        let good = signed(&version(23), 1);
        let text = std::str::from_utf8(good.file()).unwrap();
        let text = text.replace("EXP-PROTOCOL", "EXP-PROTOCOl");
        Document::parse(text.as_bytes(), NAME).unwrap()
    };
    for (document, refusal, why) in [
        (signed(&version(22), 1), ErrorCode::CONFIG_TOO_OLD, "equal"),
        (
            signed(&Configuration { initial_ttl: 9, ..version(22) }, 1),
            ErrorCode::CONFIG_TOO_OLD,
            "equal number",
        ),
        (signed(&version(21), 1), ErrorCode::CONFIG_TOO_OLD, "older"),
        (unsigned, ErrorCode::FORBIDDEN, "unsigned"),
        (signed(&version(23), 2), ErrorCode::FORBIDDEN, "wrong signer"),
        (spoilt, ErrorCode::FORBIDDEN, "changed"),
        (signed(&Configuration { expiration: Some(AT), ..version(23) }, 1), ErrorCode::FORBIDDEN, "expired"),
    ] {
        assert_eq!(net.refused(1, 0, ANY, &update(&document)), Some(refusal), "{why}");
    }
    let other = signed(&Configuration { instance_name: "b.example".to_owned(), ..version(23) }, 1);
    assert_eq!(net.refused(1, 0, ANY, &update(&other)), Some(ErrorCode::FORBIDDEN), "another overlay's");
    let garbage = Body::ConfigUpdateReq(ConfigUpdateReq::Config(Bytes::from_static(b"<overlay/")));
    assert_eq!(net.refused(1, 0, ANY, &garbage), Some(ErrorCode::INVALID_MESSAGE));
    let unknown = Body::ConfigUpdateReq(ConfigUpdateReq::Unknown { update_type: 9, content: Bytes::new() });
    assert_eq!(net.refused(1, 0, ANY, &unknown), Some(ErrorCode::INVALID_MESSAGE));
    assert_eq!(net.nodes[0].overlay.config().configuration_sequence, 22, "nothing has changed");

    let good = signed(&version(23), 1);
    assert_eq!(net.refused(1, 0, ANY, &update(&good)), None);
    let fact = Fact::Reconfigured { sequence: 23, document: good.file().clone() };
    assert!(net.nodes[0].facts.contains(&fact), "{:?}", net.nodes[0].facts);
    assert_eq!(net.nodes[0].overlay.document(), Some(&good));
}

#[test]
fn cu1_without_a_document_nothing_is_taken_and_nobody_is_told() {
    let mut net = Net::default();
    for i in 0..2 {
        let identity = InsecureIdentity::new(NodeId([i + 1; 16]));
        let address = std::net::SocketAddr::from(([10, 0, 0, i], 6084));
        net.add_configured(Config::new(NAME, address), identity);
    }
    net.with(0, |o, now, ctx| o.create(now, ctx)).unwrap();
    net.join(1);
    net.run(seconds(10));
    assert_eq!(net.refused(1, 0, ANY, &update(&signed(&version(5), 1))), Some(ErrorCode::FORBIDDEN));
    assert_eq!(net.refused(1, 0, ANY, &kinds(&[])), Some(ErrorCode::FORBIDDEN));
    assert_eq!(net.refused(1, 0, 0, &ping()), Some(ErrorCode::CONFIG_TOO_OLD));
    assert_eq!(told(&net).iter().filter(|(from, ..)| *from == 0).count(), 0);
    // The host may still hand one in: it starts from here.
    reconfigure(&mut net, 0, &signed(&version(5), 1));
    assert_eq!(net.nodes[0].overlay.config().configuration_sequence, 5);
}

#[test]
fn cu4_a_node_that_comes_with_an_old_document_is_told_and_let_in() {
    let mut net = Net::of(4, &signed(&version(22), 1));
    reconfigure(&mut net, 0, &signed(&version(23), 1));
    net.run(seconds(2));
    assert_eq!(net.sequences(), [23].into());
    let late = net.add(&signed(&version(21), 1));
    net.join(late);
    net.run(seconds(10));
    assert!(net.nodes[late].overlay.is_joined());
    assert_eq!(net.sequences(), [23].into());
}

#[test]
fn cu4_a_node_that_comes_with_a_new_document_brings_it_along() {
    let mut net = Net::of(4, &signed(&version(22), 1));
    let herald = net.add(&signed(&version(23), 1));
    net.join(herald);
    net.run(seconds(15));
    assert!(net.nodes[herald].overlay.is_joined());
    assert_eq!(net.sequences(), [23].into());
}

#[test]
fn cu4_a_flood_over_twenty_nodes_reaches_all_and_tells_nobody_twice_over_one_link() {
    let mut net = Net::of(20, &signed(&version(22), 1));
    let links: usize = net.nodes.iter().map(|n| n.overlay.connected().count()).sum();
    reconfigure(&mut net, 7, &signed(&version(23), 1));
    net.run(seconds(1));
    assert_eq!(net.sequences(), [23].into(), "within a second");
    net.run(seconds(60));
    let told = told(&net);
    let pairs: BTreeSet<(usize, usize)> = told.iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(told.len(), pairs.len(), "nobody told another twice");
    assert!(told.len() <= links, "{} over {links} ends of links", told.len());
    let taken = |f: &&Fact| matches!(f, Fact::Reconfigured { sequence: 23, .. });
    assert!(net.nodes.iter().all(|n| n.facts.iter().filter(taken).count() == 1));
    assert!(net.nodes.iter().all(|n| n.overlay.is_joined()));
}

#[test]
fn cf3_who_has_missed_a_change_of_signers_needs_the_configuration_server() {
    let handed_over = Configuration { configuration_signers: vec![authority(2).node_id()], ..version(23) };
    let third = Configuration { sequence: 24, ..handed_over.clone() };
    let mut net = Net::of(2, &signed(&handed_over, 1));
    reconfigure(&mut net, 0, &signed(&third, 2));
    net.run(seconds(2));
    assert_eq!(net.sequences(), [24].into());
    let late = net.add(&signed(&version(22), 1));
    net.join(late);
    net.run(seconds(40));
    let config = net.nodes[late].overlay.config();
    assert_eq!(config.configuration_sequence, 22, "it cannot check what it is told");
    assert!(!net.nodes[late].overlay.is_joined());
    assert!(told(&net).iter().filter(|(_, to, _)| *to == late).count() <= 3, "and is not told all the time");
    // Fetched by HTTPS.
    reconfigure(&mut net, late, &signed(&third, 2));
    if net.nodes[late].facts.contains(&Fact::JoinFailed) {
        net.join(late);
    }
    net.run(seconds(20));
    assert!(net.nodes[late].overlay.is_joined());
}

#[test]
fn cu2_a_kind_is_taken_from_a_kind_signer_and_a_conflict_is_forbidden() {
    let two =
        Configuration { kind_signers: vec![authority(1).node_id(), authority(2).node_id()], ..version(22) };
    let mut net = Net::of(2, &signed(&two, 1));
    let by = |definition: KindDefinition, n| kinds(&[KindBlock::signed(definition, &authority(n)).unwrap()]);
    let answer = |net: &mut Net, body: &Body| net.refused(1, 0, ANY, body);
    assert_eq!(answer(&mut net, &by(diary(1, 100), 3)), Some(ErrorCode::FORBIDDEN), "no kind-signer");
    let unsigned = kinds(&[KindBlock::unsigned(diary(1, 100))]);
    assert_eq!(answer(&mut net, &unsigned), Some(ErrorCode::FORBIDDEN), "not signed");
    assert_eq!(answer(&mut net, &by(diary(1, 100), 1)), None);
    assert_eq!(answer(&mut net, &by(diary(1, 100), 2)), Some(ErrorCode::FORBIDDEN), "another signer's");
    assert_eq!(answer(&mut net, &by(diary(1, 200), 1)), None, "its own signer may change it");
    let known = |net: &Net| {
        net.nodes[0].overlay.config().kinds.iter().find(|k| k.id.0 == 0xf000_0101).map(|k| k.max_size)
    };
    assert_eq!(known(&net), Some(200));
    let channel = KindDefinition { max_count: 1, ..KindDefinition::of(&Kind::CHANNEL) };
    assert_eq!(answer(&mut net, &by(channel, 1)), Some(ErrorCode::FORBIDDEN), "the document defines it");
    assert_eq!(answer(&mut net, &by(KindDefinition::of(&Kind::CHANNEL), 1)), None, "and says the same");
    let odd = KindDefinition { access_control: "EXP-MATCH".to_owned(), ..diary(2, 100) };
    assert_eq!(answer(&mut net, &by(odd, 1)), Some(ErrorCode::FORBIDDEN), "AC-6");
    let broken = Body::ConfigUpdateReq(ConfigUpdateReq::Kinds(vec![Bytes::from_static(b"<kind-block/>")]));
    assert_eq!(answer(&mut net, &broken), Some(ErrorCode::INVALID_MESSAGE));
}

#[test]
fn k8_learned_kinds_have_their_limit() {
    let mut net = Net::of(2, &signed(&version(22), 1));
    let block = |n| KindBlock::signed(diary(n, 100), &authority(1)).unwrap();
    let mut taken = 0;
    for n in (0..80).step_by(8) {
        let eight: Vec<KindBlock> = (n..n + 8).map(block).collect();
        match net.refused(1, 0, ANY, &kinds(&eight)) {
            None => taken += 8,
            refusal => assert_eq!(refusal, Some(ErrorCode::FORBIDDEN)),
        }
    }
    assert_eq!(taken, KindBlock::MAX_BLOCKS);
    assert_eq!(net.nodes[0].overlay.config().kinds.len(), 1 + KindBlock::MAX_BLOCKS);
}

#[test]
fn cu5_who_does_not_know_a_kind_of_the_document_is_told_of_it() {
    let mut with_diary = version(22);
    with_diary.kinds.push(KindBlock::signed(diary(1, 100), &authority(1)).unwrap());
    let document = signed(&with_diary, 1);
    let mut net = Net::of(1, &document);
    let forgetful = net.add(&document);
    let mut config = net.nodes[forgetful].overlay.config().clone();
    config.kinds.retain(|k| k.id == KindId::CHANNEL);
    let identity = net.nodes.pop().unwrap().identity;
    net.add_configured(config, identity);
    net.join(1);
    net.run(seconds(10));
    // Its own place lies with the other.
    let resource = ResourceId::of_name(&net.id(0).0);
    assert!(net.nodes[1].overlay.is_responsible_for(&resource), "choose other Node-IDs");
    let refused = Some(Err(Failure::Refused(ErrorCode::UNKNOWN_KIND)));
    assert_eq!(store_diary(&mut net, 0, 1, 1), refused);
    assert!(matches!(store_diary(&mut net, 0, 2, 1), Some(Ok(_))));
}

#[test]
fn cu3_the_data_of_a_kind_that_is_withdrawn_is_gone_everywhere() {
    let mut with_diary = version(22);
    with_diary.kinds.push(KindBlock::signed(diary(1, 100), &authority(1)).unwrap());
    let mut net = Net::of(4, &signed(&with_diary, 1));
    assert!(matches!(store_diary(&mut net, 0, 1, 1), Some(Ok(_))));
    let holders = |net: &Net| net.nodes.iter().filter(|n| !n.overlay.storage().is_empty()).count();
    assert!(holders(&net) >= 3, "{}", holders(&net));
    reconfigure(&mut net, 0, &signed(&version(23), 1));
    net.run(seconds(2));
    assert_eq!((holders(&net), net.sequences()), (0, [23].into()));
    assert_eq!(store_diary(&mut net, 0, 2, 1), None, "there is no such Kind");
}

#[test]
fn cf4_a_kind_goes_with_the_right_of_its_signer() {
    let mut by_two =
        Configuration { kind_signers: vec![authority(1).node_id(), authority(2).node_id()], ..version(22) };
    by_two.kinds.push(KindBlock::signed(diary(1, 100), &authority(2)).unwrap());
    let mut net = Net::of(3, &signed(&by_two, 1));
    let learned = KindBlock::signed(diary(2, 100), &authority(2)).unwrap();
    assert_eq!(net.refused(1, 0, ANY, &kinds(&[learned])), None);
    assert!(matches!(store_diary(&mut net, 0, 1, 1), Some(Ok(_))));
    // The same Kinds, of whose signers one is withdrawn.
    let next = Configuration { sequence: 23, kind_signers: vec![authority(1).node_id()], ..by_two.clone() };
    reconfigure(&mut net, 0, &signed(&next, 1));
    net.run(seconds(2));
    assert_eq!(net.sequences(), [23].into());
    for node in &net.nodes {
        let left: Vec<KindId> = node.overlay.config().kinds.iter().map(|k| k.id).collect();
        assert_eq!(left, [KindId::CHANNEL]);
        assert!(node.overlay.storage().is_empty());
    }
}

#[test]
fn cu3_timers_and_limits_follow_the_document() {
    let mut net = Net::of(3, &signed(&version(22), 1));
    let next = Configuration {
        initial_ttl: 30,
        max_message_size: 6000,
        overlay_reliability_timer: Duration::from_millis(500),
        chord_update_interval: seconds(5),
        chord_ping_interval: seconds(7),
        ..version(23)
    };
    reconfigure(&mut net, 1, &signed(&next, 1));
    net.run(seconds(1));
    net.sent.clear();
    net.run(seconds(9));
    for node in &net.nodes {
        let config = node.overlay.config();
        assert_eq!((config.initial_ttl, config.limits.message_size), (30, 6000));
        assert_eq!(config.timers.request, Duration::from_millis(500));
        assert_eq!(config.timers.update_interval, seconds(5));
        assert_eq!(config.timers.ping_interval, seconds(7));
    }
    let updates = net.sent.iter().filter(|(.., m)| m.contents.message_code == MessageCode::UPDATE_REQ);
    let from: BTreeSet<usize> = updates.map(|(from, ..)| *from).collect();
    assert_eq!(from, [0, 1, 2].into(), "and not only after the 600 s that had begun");
    assert!(
        net.sent
            .iter()
            .filter(|(.., m)| m.contents.message_code.is_request())
            .all(|(.., m)| m.header.ttl <= 30)
    );
}

#[test]
fn cf5_a_node_that_cannot_do_what_a_document_asks_for_leaves_and_says_why() {
    let v = version(23);
    for (configuration, element) in [
        (
            Configuration { mandatory_extensions: vec!["urn:example:holograms".to_owned()], ..v.clone() },
            "mandatory-extension",
        ),
        (Configuration { topology_plugin: "PASTRY".to_owned(), ..v.clone() }, "topology-plugin"),
        (Configuration { node_id_length: 20, ..v.clone() }, "node-id-length"),
        (Configuration { max_message_size: 100, ..v.clone() }, "configuration"),
        (Configuration { max_message_size: 4_000_000_000, ..v.clone() }, "max-message-size"),
    ] {
        let mut net = Net::of(3, &signed(&version(22), 1));
        let document = signed(&configuration, 1);
        assert_eq!(net.refused(1, 0, ANY, &update(&document)), None, "{element}");
        net.run(seconds(10));
        let facts = &net.nodes[0].facts;
        let why = facts.iter().find_map(|f| match f {
            Fact::Incompatible { sequence: 23, why, .. } => Some((why.kind, why.element)),
            _ => None,
        });
        assert_eq!(why, Some((DocumentErrorKind::Unsupported, element)));
        assert_eq!(facts.last(), Some(&Fact::Left));
        assert_eq!(net.nodes[1].overlay.config().configuration_sequence, 22, "it does not pass it on");
    }
}

#[test]
fn sb8_a_bad_node_loses_its_links_its_voice_and_what_it_has_written() {
    let mut with_diary = version(22);
    with_diary.kinds.push(KindBlock::signed(diary(1, 100), &authority(1)).unwrap());
    let mut net = Net::of(4, &signed(&with_diary, 1));
    assert!(matches!(store_diary(&mut net, 2, 1, 1), Some(Ok(_))));
    assert!(matches!(store_diary(&mut net, 1, 1, 1), Some(Ok(_))));
    let bad = net.id(2);
    let next = Configuration { sequence: 23, bad_nodes: vec![bad], ..with_diary };
    reconfigure(&mut net, 0, &signed(&next, 1));
    net.run(seconds(1));
    for i in [0, 1, 3] {
        let overlay = &net.nodes[i].overlay;
        assert!(overlay.connected().all(|(node, _)| node != bad));
        let place = ResourceId::of_name(&bad.0);
        assert!(overlay.storage().resources().all(|r| *r != place));
    }
    assert!(net.nodes.iter().any(|n| !n.overlay.storage().is_empty()), "what others wrote is there");
    assert_eq!(net.ask(2, 0, vec![net.id(0).into()], 23, &ping()), None, "nobody listens any more");
    net.run(seconds(60));
    assert!([0, 1, 3].iter().all(|&i| net.nodes[i].overlay.is_joined()));
    reconfigure(&mut net, 2, &signed(&next, 1));
    net.run(seconds(10));
    let revoked = |f: &Fact| matches!(f, Fact::Incompatible { why, .. } if why.element == "bad-node");
    assert!(net.nodes[2].facts.iter().any(revoked), "it has to go when it learns of it");
    assert_eq!(net.nodes[2].facts.last(), Some(&Fact::Left));
}

#[test]
fn a_document_that_fits_into_no_message_is_taken_from_the_host_and_sent_to_nobody() {
    let mut net = Net::of(2, &signed(&version(22), 1));
    let certificate = Bytes::from(vec![0x30; 4000]);
    let large = Configuration { root_certs: vec![certificate], ..version(23) };
    let document = signed(&large, 1);
    assert!(!document.fits_into_a_message());
    reconfigure(&mut net, 0, &document);
    net.run(seconds(1));
    assert_eq!(net.nodes[0].overlay.config().configuration_sequence, 23);
    assert_eq!((told(&net).len(), net.nodes[1].overlay.config().configuration_sequence), (0, 22));
    let roomy = signed(&Configuration { max_message_size: 9000, ..large }, 1);
    assert!(roomy.fits_into_a_message());
}

#[test]
fn the_host_is_refused_what_is_not_newer() {
    let mut net = Net::of(1, &signed(&version(22), 1));
    let same = signed(&version(22), 1);
    let error = net.with(0, |o, now, ctx| o.reconfigure(now, same, ctx)).unwrap_err();
    assert_eq!(error.kind, DocumentErrorKind::NotNewer);
}
