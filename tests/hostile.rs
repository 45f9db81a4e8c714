//! Hostile peers against whole nodes: whatever they send, everybody else goes on being served.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "system/world.rs"]
mod world;

use bytes::Bytes;
use p2piptv::env::{InsecureChannels, InsecureIdentity, Seeded};
use p2piptv::ids::{NodeId, StreamId};
use p2piptv::node::{Addresses, Config, Datagram, Event, Node, Output, Receipt, Security, StreamInput};
use p2piptv::sim::{NodeIndex, Record, What};
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::{Duration, Instant};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use world::{Odd, Setup, World, name};

/// Somebody outside of the simulated network: what it says is injected, what is sent to it is written down.
struct Stranger {
    addr: SocketAddr,
    told: Rc<RefCell<Vec<(NodeIndex, Bytes)>>>,
}

impl Stranger {
    /// Writes down everything that is sent to this host from now on.
    fn at(world: &mut World, host: u8) -> Self {
        let addr = SocketAddr::from(([192, 0, 2, host], 5060));
        let told = Rc::new(RefCell::new(Vec::new()));
        let inbox = Rc::clone(&told);
        world.net.observe(move |record| {
            if let Record::Packet { from, to, what: What::Datagram { payload, .. }, .. } = record
                && *to == addr
                && let Some(node) = NodeIndex::of(from.ip())
            {
                inbox.borrow_mut().push((node, payload.clone()));
            }
        });
        Stranger { addr, told }
    }

    fn take(&self) -> Vec<(NodeIndex, String)> {
        let told = self.told.borrow_mut().drain(..).collect::<Vec<_>>();
        told.into_iter().map(|(node, bytes)| (node, String::from_utf8_lossy(&bytes).into_owned())).collect()
    }

    /// Line ends and Content-Length made right.
    fn say(&self, world: &mut World, to: NodeIndex, head: &str, body: &str) {
        let head: String = head.trim().lines().map(|line| format!("{}\r\n", line.trim())).collect();
        let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        world.net.inject(to, Plane::Signalling, self.addr, text.into());
    }

    /// A request of its own; what stands in `rest` is added.
    fn request(&self, world: &mut World, to: NodeIndex, method: &str, call: &Call, rest: &str, body: &str) {
        let (target, addr) = (world.net.addresses(to).signalling, self.addr);
        let Call { id, cseq, to_tag } = call;
        let tag = to_tag.as_ref().map_or_else(String::new, |tag| format!(";tag={tag}"));
        let head = format!(
            "{method} sip:100@{target} SIP/2.0
            Via: SIP/2.0/UDP {addr};branch=z9hG4bK{method}{id}{cseq}
            Max-Forwards: 70
            From: <sip:eve@example.org>;tag=e
            To: <sip:100@example.org>{tag}
            Call-ID: {id}
            CSeq: {cseq} {method}
            {rest}"
        );
        self.say(world, to, &head, body);
    }

    /// Calls the channel with this Contact and this media address, and ACKs: the call, if it was accepted.
    fn call(
        &self,
        world: &mut World,
        to: NodeIndex,
        id: &str,
        contact: &str,
        media: SocketAddr,
    ) -> Option<Call> {
        self.call_with(world, to, (id, contact), &sdp(media, "recvonly"))
    }

    /// Asks for a standby.
    fn standby(&self, world: &mut World, to: NodeIndex, id: &str) -> Option<Call> {
        let contact = format!("<sip:{id}@{}>;standby;slots=1", self.addr.ip());
        self.call_with(world, to, (id, &contact), &sdp(self.addr, "inactive"))
    }

    fn call_with(
        &self,
        world: &mut World,
        to: NodeIndex,
        (id, contact): (&str, &str),
        sdp: &str,
    ) -> Option<Call> {
        let mut call = Call { id: id.into(), cseq: 1, to_tag: None };
        let rest = format!("Contact: {contact}\nPriority: urgent\nContent-Type: application/sdp");
        self.take();
        self.request(world, to, "INVITE", &call, &rest, sdp);
        world.run_for(Duration::from_millis(50));
        let ok = self.take().into_iter().find(|(_, m)| m.starts_with("SIP/2.0 200"))?.1;
        call.to_tag = row(&ok, "To").and_then(|to| to.split("tag=").nth(1)).map(String::from);
        self.request(world, to, "ACK", &call, "", "");
        Some(call)
    }
}

struct Call {
    id: String,
    cseq: u32,
    to_tag: Option<String>,
}

fn row<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
}

fn sdp(media: SocketAddr, direction: &str) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=video {port} RTP/AVP 33\r\n\
         a=rtpmap:33 MP2T/90000\r\na={direction}\r\na=rtcp-mux\r\n"
    )
}

/// Six viewers that play.
fn grown(seed: u64) -> World {
    let mut world = World::new(Setup { seed, ..Setup::default() });
    world.seat(6);
    world.run(3);
    world
}

/// Nobody has noticed anything since, and the table is as it was.
fn unharmed(world: &mut World, since: Instant, table: &[String]) {
    for viewer in world.viewers.clone() {
        assert!(world.is_playing(viewer), "{}", world.trace());
        let hurt = world.since(since, viewer.node).any(|e| matches!(e, Event::Orphaned { .. }));
        assert!(!hurt, "{} lost its parent\n{}", viewer.node, world.trace());
    }
    assert!(!world.since(since, world.source).any(|e| matches!(e, Event::RelayerLost { .. })));
    assert_eq!(world.table(), table);
}

#[test]
fn forged_byes_and_infos_from_strangers_end_nothing() {
    let mut world = grown(1);
    let eve = Stranger::at(&mut world, 66);
    // Eve has even seen a Call-ID, and both names.
    let seen = Rc::new(RefCell::new(Vec::new()));
    let ids = Rc::clone(&seen);
    world.net.observe(move |record| {
        if let Record::Packet { plane: Plane::Signalling, what: What::Datagram { payload, .. }, .. } = record
        {
            let text = String::from_utf8_lossy(payload).into_owned();
            ids.borrow_mut().extend(row(&text, "Call-ID").map(String::from));
        }
    });
    world.run(2);
    let (since, table) = (world.net.now(), world.table());
    let nodes: Vec<NodeIndex> = world.viewers.iter().map(|v| v.node).chain([world.source]).collect();
    let ids = seen.take();
    assert!(!ids.is_empty());
    for (n, id) in ids.iter().enumerate() {
        let call = Call { id: id.clone(), cseq: 9000 + n as u32, to_tag: Some("guess".into()) };
        for &node in &nodes {
            eve.request(&mut world, node, "BYE", &call, "", "");
            let body = "IPTV INFO : Full capacity\r\nCHILD PEER : eve, mallory\r\n";
            eve.request(&mut world, node, "INFO", &call, "Content-Type: text/plain", body);
            eve.request(&mut world, node, "CANCEL", &call, "", "");
        }
    }
    world.run(5);
    assert!(eve.take().iter().all(|(_, answer)| answer.starts_with("SIP/2.0 4")));
    unharmed(&mut world, since, &table);
}

#[test]
fn k8_a_flood_of_invites_is_refused_while_everybody_is_served_and_the_repair_knows_its_way() {
    let mut world = grown(2);
    let eve = Stranger::at(&mut world, 66);
    let (since, table) = (world.net.now(), world.table());
    for n in 0..9_000u32 {
        // More names than the directory has room for, and more requests than there are transactions.
        let call = Call { id: format!("flood{n}"), cseq: 1, to_tag: None };
        let contact = format!("<sip:e{n}@192.0.2.66>;node-id={n:032x}");
        let rest = format!("Contact: {contact}\nContent-Type: application/sdp");
        let target = if n % 3 == 0 { world.viewers[1].node } else { world.source };
        eve.request(&mut world, target, "INVITE", &call, &rest, &sdp(eve.addr, "recvonly"));
        if n % 30 == 0 {
            world.run_for(Duration::from_millis(10));
        }
    }
    world.run(4);
    let answers = eve.take();
    assert!(
        answers.iter().any(|(_, a)| a.starts_with("SIP/2.0 503"))
            && !answers.iter().any(|(_, a)| a.starts_with("SIP/2.0 2"))
    );
    unharmed(&mut world, since, &table);
    let (one, killed_at) = (world.viewers[0], world.net.now());
    world.kill(one);
    world.run(10);
    for &viewer in &world.viewers {
        assert!(world.is_playing(viewer), "{}", world.trace());
        let is_back = |e: &Event| matches!(e, Event::Covered { .. } | Event::Reparented { .. });
        let back = world.first(killed_at, viewer.node, is_back);
        assert!(back.is_none_or(|at| at.since(killed_at) < Duration::from_millis(700)), "{}", world.trace());
    }
    world.run(35);
    let late = world.tune("late");
    assert!(world.until(20, |w| w.is_playing(late)), "{}", world.trace());
}

#[test]
fn k8_a_flooding_stranger_costs_a_newcomer_from_elsewhere_nothing() {
    let mut world = grown(6);
    let (eve, bob) = (Stranger::at(&mut world, 66), Stranger::at(&mut world, 67));
    let source = world.source;
    for n in 0..4_000u32 {
        let call = Call { id: format!("flood{n}"), cseq: 1, to_tag: None };
        let rest = format!("Contact: <sip:e{n}@192.0.2.66>\nContent-Type: application/sdp");
        eve.request(&mut world, source, "INVITE", &call, &rest, &sdp(eve.addr, "recvonly"));
        if n % 50 == 0 {
            world.run_for(Duration::from_millis(10));
        }
    }
    let contact = "<sip:bob@192.0.2.67>;slots=1";
    assert!(bob.call(&mut world, source, "bob", contact, bob.addr).is_some(), "the rescue slot is free");
    let told = |status: &str| eve.take().iter().filter(|(_, a)| a.starts_with(status)).count();
    assert!(told("SIP/2.0 503") > 0);
}

#[test]
fn k8_who_takes_all_standbys_of_a_node_lets_go_of_some_for_those_who_want_one() {
    let mut world = World::new(Setup { seed: 9, ..Setup::default() });
    let [eve, bob, carol] = [66, 67, 68].map(|host| Stranger::at(&mut world, host));
    let source = world.source;
    let calls: Vec<Option<Call>> =
        (0..18).map(|n| eve.standby(&mut world, source, &format!("e{n}"))).collect();
    assert_eq!(calls.iter().flatten().count(), 16, "and her own do not make room for each other");
    let ended = || {
        let byes = eve.take().into_iter().filter(|(_, m)| m.starts_with("BYE"));
        byes.filter_map(|(_, m)| row(&m, "Call-ID").map(String::from)).collect::<Vec<_>>()
    };
    ended();
    assert!(bob.standby(&mut world, source, "bob").is_some());
    assert_eq!(ended(), ["e0"]);
    // In the end each of them has as many as another one, give or take one, and no more changes.
    for n in 0..10 {
        let more = [
            bob.standby(&mut world, source, &format!("b{n}")),
            carol.standby(&mut world, source, &format!("c{n}")),
        ];
        assert_eq!(more.map(|call| call.is_some()), [n < 5, n < 5], "{n}");
    }
}

/// The source is full, and its one child is being asked to relay and says nothing.
#[test]
fn k8_who_takes_all_places_of_those_that_wait_at_a_source_lets_go_of_some_for_other_newcomers() {
    let mut world = World::new(Setup { seed: 9, capacity: 1, ..Setup::default() });
    let [eve, bob] = [66, 67].map(|host| Stranger::at(&mut world, host));
    let source = world.source;
    assert!(eve.call(&mut world, source, "seat", "<sip:seat@192.0.2.66>;slots=1", eve.addr).is_some());
    let asked =
        |world: &mut World, who: &Stranger, id: &str, params| answered(world, [&eve, who], id, params);
    for n in 0..66 {
        if n == 63 {
            let answers = asked(&mut world, &eve, "moves", "slots=1;resume=7");
            assert_eq!(answers, ["moves 503"], "it has media already");
        }
        let (id, status) = (format!("e{n}"), if n < 64 { 182 } else { 503 });
        let answers = asked(&mut world, &eve, &id, "slots=1");
        assert_eq!(answers, [format!("{id} {status}")], "and her own do not make room for each other");
    }
    assert_eq!(asked(&mut world, &bob, "b", "slots=1"), ["e63 503", "b 182"]);
    let answers = asked(&mut world, &bob, "moves", "slots=1;resume=7");
    assert_eq!(answers, ["moves 503"], "nobody makes room for that");
}

/// Who of these two is answered when the second one calls, in which calls, and how.
fn answered(world: &mut World, [other, caller]: [&Stranger; 2], id: &str, params: &str) -> Vec<String> {
    let call = Call { id: id.into(), cseq: 1, to_tag: None };
    let rest = format!("Contact: <sip:{id}@{}>;{params}\nContent-Type: application/sdp", caller.addr.ip());
    let source = world.source;
    other.take();
    caller.take();
    caller.request(world, source, "INVITE", &call, &rest, &sdp(caller.addr, "recvonly"));
    world.run_for(Duration::from_millis(15));
    let answered = other.take().into_iter().chain(caller.take()).filter(|(_, m)| m.starts_with("SIP/2.0 "));
    answered.map(|(_, m)| format!("{} {}", row(&m, "Call-ID").unwrap(), &m[8..11])).collect()
}

/// One of the two children of the source cannot relay, nor can those that wait: they keep their places.
#[test]
fn nobody_makes_room_for_a_newcomer_that_gets_a_slot() {
    let mut world = World::new(Setup { seed: 9, capacity: 2, ..Setup::default() });
    let [eve, bob] = [66, 67].map(|host| Stranger::at(&mut world, host));
    let source = world.source;
    for (id, slots) in [("relays", 1), ("leech", 0)] {
        let contact = format!("<sip:{id}@192.0.2.66>;slots={slots}");
        assert!(eve.call(&mut world, source, id, &contact, eve.addr).is_some());
    }
    for n in 0..64 {
        let id = format!("e{n}");
        assert_eq!(answered(&mut world, [&eve, &eve], &id, "slots=0"), [format!("{id} 182")]);
    }
    assert_eq!(answered(&mut world, [&eve, &bob], "b", "slots=1"), ["b 200"]);
}

#[test]
fn k8_a_seated_child_that_was_never_elected_reports_to_deaf_ears() {
    let mut world = grown(3);
    let eve = Stranger::at(&mut world, 66);
    let (since, source) = (world.net.now(), world.source);
    // It says that it cannot relay, or it would be elected at once.
    let contact = "<sip:eve@192.0.2.66>;slots=0";
    let mut call = eve.call(&mut world, source, "seat", contact, eve.addr).expect("the rescue slot is free");
    let table = world.table();
    assert_eq!(table.len(), 7);
    let names: Vec<String> = (0..128).map(|n| format!("n{n}")).collect();
    for round in 0..40 {
        for title in ["Full capacity", "Child update", "Alive", "Selected Relayer", "Tree position"] {
            call.cseq += 1;
            let names = names.iter().map(|n| format!("{n}r{round}")).collect::<Vec<_>>().join(", ");
            let body = format!("IPTV INFO : {title}\r\nCHILD PEER : {names}\r\nFREE SLOTS : 9\r\n");
            eve.request(&mut world, source, "INFO", &call, "Content-Type: text/plain", &body);
        }
        world.run_for(Duration::from_millis(10));
    }
    world.run(1);
    let rows = world.table();
    assert!(rows.len() <= 7 && !rows.iter().any(|row| row.contains('r') && row.contains("n1")), "{rows:#?}");
    // It never sends a report of its own: it is put out, and the table is as before.
    world.run(40);
    assert!(!world.table().iter().any(|row| row.contains("eve")), "{}", world.trace());
    let table: Vec<String> = table.into_iter().filter(|row| !row.contains("eve")).collect();
    unharmed(&mut world, since, &table);
}

#[test]
fn a_caller_whose_contact_is_the_node_itself_gets_nothing_going() {
    let mut world = grown(4);
    let eve = Stranger::at(&mut world, 66);
    let (since, source) = (world.net.now(), world.source);
    let table = world.table();
    let contact = format!("<sip:eve@{}>", world.net.addresses(source).signalling);
    eve.call(&mut world, source, "mirror", &contact, eve.addr).expect("the rescue slot is free");
    world.run(70);
    assert_eq!(
        world.net.machine(source).unwrap().status(world.channel).unwrap().rescued,
        0,
        "{}",
        world.trace()
    );
    unharmed(&mut world, since, &table);
}

#[test]
fn a_caller_who_wants_media_sent_to_somebody_else_is_refused() {
    let mut world = grown(4);
    let eve = Stranger::at(&mut world, 66);
    let (since, source) = (world.net.now(), world.source);
    let table = world.table();
    let own = world.net.addresses(source);
    let contact = format!("<sip:eve@{}>", own.signalling);
    // To the node itself, which would be its own mirror, and to a third party.
    let third = SocketAddr::from(([192, 0, 2, 99], 5004));
    for media in [own.media, third] {
        let before = world.net.sent(source, Plane::Media).packets;
        assert!(eve.call(&mut world, source, &format!("to {media}"), &contact, media).is_none());
        world.run(2);
        // 100 packets a second to two children, and some RTCP.
        let sent = world.net.sent(source, Plane::Media).packets - before;
        assert!(sent < 2 * 210, "{sent}");
    }
    unharmed(&mut world, since, &table);
}

#[test]
fn nobody_has_media_sent_to_somebody_else() {
    let mut world = grown(7);
    let eve = Stranger::at(&mut world, 66);
    let (since, source, table) = (world.net.now(), world.source, world.table());
    let victims = [
        SocketAddr::from(([192, 0, 2, 77], eve.addr.port())),
        world.net.addresses(source).media,
        world.net.addresses(world.viewers[5].node).media,
    ];
    let before = world.net.sent(source, Plane::Media).packets;
    for (n, victim) in victims.into_iter().enumerate() {
        for urgent in ["Priority: urgent", "Priority: normal"] {
            let call = Call { id: format!("{urgent}{n}").replace(": ", ""), cseq: 1, to_tag: None };
            let rest = format!("Contact: <sip:eve@{}>\n{urgent}\nContent-Type: application/sdp", eve.addr);
            eve.request(&mut world, source, "INVITE", &call, &rest, &sdp(victim, "recvonly"));
            world.run_for(Duration::from_millis(50));
            let answers = eve.take();
            assert!(answers.iter().any(|(_, a)| a.starts_with("SIP/2.0 403")), "{victim}: {answers:?}");
        }
    }
    world.run(1);
    // Two children at 100 packets a second, and some RTCP.
    assert!(world.net.sent(source, Plane::Media).packets - before < 2 * 140);
    unharmed(&mut world, since, &table);
}

#[test]
fn a_provider_that_answers_for_somebody_else_is_no_parent() {
    let mut world = World::new(Setup { seed: 8, ..Setup::default() });
    let eve = Stranger::at(&mut world, 60);
    liar(&mut world, "liar", eve.addr);
    // Eve is the only one who would be asked.
    let (source, channel) = (world.source, world.channel);
    world.net.command(source, |n, now| n.stop(now, channel)).unwrap().unwrap();
    world.send(false);
    world.run(3);
    let victim = SocketAddr::from(([192, 0, 2, 77], 5004));
    let flooded = Rc::new(RefCell::new(0));
    let hits = Rc::clone(&flooded);
    world.net.observe(move |record| {
        if let Record::Packet { to, .. } = record
            && *to == victim
        {
            *hits.borrow_mut() += 1;
        }
    });
    let late = world.tune("late");
    let mut goodbyes = 0;
    for _ in 0..300 {
        world.run_for(Duration::from_millis(10));
        for (node, message) in eve.take() {
            goodbyes += usize::from(message.starts_with("BYE"));
            if !message.starts_with("INVITE") {
                continue;
            }
            let rows =
                ["Via", "From", "Call-ID", "CSeq"].map(|r| format!("{r}: {}", row(&message, r).unwrap()));
            let to = row(&message, "To").unwrap();
            let head = format!(
                "SIP/2.0 200 OK\n{}\nTo: {to};tag=r\nContact: <sip:x@{}>;depth=0\nContent-Type: application/sdp",
                rows.join("\n"),
                eve.addr
            );
            eve.say(&mut world, node, &head, &sdp(victim, "sendonly"));
        }
    }
    assert!(goodbyes > 0, "{}", world.trace());
    assert_eq!(*flooded.borrow(), 0);
    assert!(!world.is_playing(late));
}

#[test]
fn media_and_holds_from_strangers_move_nobody() {
    let mut world = grown(5);
    let (since, table) = (world.net.now(), world.table());
    let viewer = world.viewers[2];
    let received =
        |w: &World| w.net.machine(viewer.node).unwrap().media_counters(viewer.channel).unwrap().sequence;
    let lost = received(&world).lost;
    let hold: &[u8] = &[0x80, 204, 0, 3, 0, 0, 0, 1, b'I', b'P', b'T', b'V', 0, 0, 0, 0];
    for n in 0..500u32 {
        let from = SocketAddr::from(([192, 0, 2, n as u8], 5004));
        let mut rtp = vec![0x80, 33, (n >> 8) as u8, n as u8, 0, 0, 0, 0];
        rtp.extend(0x5eed_u32.to_be_bytes());
        rtp.extend([0x47; 188]);
        for payload in [Bytes::from(rtp), Bytes::from_static(hold)] {
            for _ in 0..10 {
                world.net.inject(viewer.node, Plane::Media, from, payload.clone());
            }
        }
        world.run_for(Duration::from_millis(10));
    }
    assert_eq!(received(&world).lost, lost);
    unharmed(&mut world, since, &table);
}

/// A node that says of itself in the overlay that it can be reached at `signalling`, and offers the channel.
fn liar(world: &mut World, label: &str, signalling: SocketAddr) -> NodeIndex {
    let node = world.add_odd_node(label, Odd { signalling: Some(signalling), ..Odd::default() });
    world.net.command(node, |n, now| n.publish(now, &name("100"), &[])).unwrap().unwrap();
    node
}

#[test]
fn redirects_in_a_ring_and_records_of_the_dead_delay_a_viewer_and_no_more() {
    let mut world = World::new(Setup { seed: 6, ..Setup::default() });
    let ring: Vec<Stranger> = (60..63).map(|host| Stranger::at(&mut world, host)).collect();
    for (n, stranger) in ring.iter().enumerate() {
        liar(&mut world, &format!("liar{n}"), stranger.addr);
    }
    // One more, whose record leads back to the one who reads it.
    let next = NodeIndex(world.net.nodes().count() as u32 + 1);
    let own = next.addresses(p2piptv::sim::Family::V4).signalling;
    liar(&mut world, "mirror", own);
    world.run(3);
    let late = world.tune("late");
    assert_eq!(late.node, next);
    let tuned = world.net.now();
    let mut calls = 0;
    for _ in 0..500 {
        world.run_for(Duration::from_millis(10));
        for (n, stranger) in ring.iter().enumerate() {
            for (node, invite) in stranger.take().into_iter().filter(|(_, m)| m.starts_with("INVITE")) {
                calls += 1;
                let rows =
                    ["Via", "From", "Call-ID", "CSeq"].map(|r| format!("{r}: {}", row(&invite, r).unwrap()));
                let to = row(&invite, "To").unwrap();
                let other = ring[(n + 1) % ring.len()].addr;
                let contact = format!("<sip:x@{other}>;depth=0;slots=9");
                let head =
                    format!("SIP/2.0 302 Moved\n{}\nTo: {to};tag=r\nContact: {contact}", rows.join("\n"));
                stranger.say(&mut world, node, &head, "");
            }
        }
    }
    assert!((1..40).contains(&calls), "{calls} INVITEs to the ring");
    let playing = world.first(tuned, late.node, |e| matches!(e, Event::Playing { .. }));
    assert!(playing.is_some_and(|at| at.since(tuned) < Duration::from_secs(2)), "{}", world.trace());
    assert!(world.is_playing(late));
}

#[test]
fn k8_a_host_that_drains_nothing_for_a_while_gets_a_bounded_queue_and_a_node_that_still_works() {
    let at = |port| SocketAddr::from(([10, 9, 8, 7], port));
    let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
    let mut config = Config::new("slow", "tv.example", addresses);
    config.limits.outputs = 100;
    let identity = InsecureIdentity::new(NodeId([9; 16]));
    let mut node = Node::new(config, Box::new(Seeded::new(1)), Box::new(identity)).unwrap();
    let options = |n: u32| {
        let text = format!(
            "OPTIONS sip:slow@10.9.8.7:2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:slow@tv.example>\r\n\
             Call-ID: {n}@10.0.0.1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let from = SocketAddr::from(([10, 0, 0, 1], 5060));
        Datagram { plane: Plane::Signalling, from, payload: text.into() }
    };
    let receipts: Vec<Receipt> = (0..1000).map(|n| node.handle_datagram(Instant::ZERO, options(n))).collect();
    assert_eq!(receipts[99], Receipt::Accepted);
    assert_eq!(receipts[100], Receipt::Dropped(DropReason::Overloaded));
    let waiting = core::iter::from_fn(|| node.poll_output()).count();
    assert_eq!(waiting, 100);
    assert_eq!(node.handle_datagram(Instant::ZERO, options(2000)), Receipt::Accepted);
    assert!(matches!(node.poll_output(), Some(Output::Transmit { plane: Plane::Signalling, .. })));
}

/// A secured node by itself, whose streams the test plays.
struct Secured {
    node: Node,
    streams: u32,
}

impl Secured {
    const ID: NodeId = NodeId([9; 16]);

    fn new(insecure_sip: bool) -> Self {
        let at = |port| SocketAddr::from(([10, 9, 8, 7], port));
        let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
        let mut config =
            Config { security: Security::Tls, ..Config::new("secured", "tv.example", addresses) };
        config.agent.insecure_peers = insecure_sip;
        let (crypto, channels) = (InsecureIdentity::new(Self::ID), InsecureChannels::new(Self::ID));
        let node = Node::secured(config, Box::new(Seeded::new(1)), Box::new(crypto), Box::new(channels));
        Secured { node: node.unwrap(), streams: 0 }
    }

    /// What the node writes and closes.
    fn drain(&mut self) -> (String, Vec<StreamId>) {
        let (mut text, mut closed) = (String::new(), Vec::new());
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Write { bytes, .. } => text += &String::from_utf8_lossy(&bytes),
                Output::Close { stream } => closed.push(stream),
                _ => {}
            }
        }
        (text, closed)
    }

    /// A stream from this host, and the first bytes on it.
    fn knock(&mut self, now: Instant, plane: Plane, host: [u8; 4], first: &[u8]) -> StreamId {
        let (stream, peer) = (StreamId::accepted(self.streams), SocketAddr::from((host, 40_000)));
        self.streams += 1;
        self.node.handle_stream(now, stream, StreamInput::Opened { peer, plane });
        if !first.is_empty() {
            self.node.handle_stream(now, stream, StreamInput::Bytes(Bytes::copy_from_slice(first)));
        }
        stream
    }

    /// The handshake of a node, and what it says then.
    fn hello(id: u8, text: &str) -> Vec<u8> {
        [&[22][..], &[id; 16], text.as_bytes()].concat()
    }
}

fn options(from: [u8; 4]) -> String {
    let host = std::net::Ipv4Addr::from(from);
    format!(
        "OPTIONS sips:secured@10.9.8.7:2 SIP/2.0\r\nVia: SIP/2.0/TLS {host}:5060;branch=z9hG4bKa\r\n\
         Max-Forwards: 70\r\nFrom: <sips:a@b>;tag=1\r\nTo: <sips:secured@tv.example>\r\n\
         Call-ID: a@{host}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn k8_idle_secured_streams_of_strangers_keep_no_newcomer_out() {
    let mut secured = Secured::new(false);
    let ms = Instant::from_millis;
    // One host, then many: each takes all that it gets, and says nothing on it.
    for n in 0..600_u64 {
        let host = if n < 300 { [192, 0, 2, 1] } else { [198, 51, 100, n as u8] };
        secured.knock(ms(100 * n), Plane::Signalling, host, &Secured::hello(1, ""));
        secured.drain();
    }
    let newcomer = [203, 0, 113, 1];
    let hello = Secured::hello(2, &options(newcomer));
    secured.knock(ms(60_000), Plane::Signalling, newcomer, &hello);
    let (answer, _) = secured.drain();
    assert!(answer.contains("SIP/2.0 200"), "{answer:?}");
}

#[test]
fn k8_handshakes_that_are_never_done_keep_no_newcomer_out_on_either_door() {
    for (insecure_sip, first) in [(false, &[22][..]), (true, &[])] {
        let mut secured = Secured::new(insecure_sip);
        for n in 0..3000_u32 {
            let [_, a, b, _] = (n / 8).to_be_bytes();
            secured.knock(Instant::ZERO, Plane::Signalling, [100, a, b, n as u8], first);
            secured.drain();
        }
        let newcomer = [203, 0, 113, 1];
        let hello = Secured::hello(2, &options(newcomer));
        secured.knock(Instant::ZERO, Plane::Signalling, newcomer, &hello);
        let (answer, _) = secured.drain();
        assert!(answer.contains("SIP/2.0 200"), "{answer:?}");
    }
}

#[test]
fn k8_one_host_costs_a_secured_node_a_bounded_number_of_handshakes() {
    let mut secured = Secured::new(false);
    let mut answered = 0;
    for _ in 0..1000 {
        // Each address of an IPv6 network would be the same host as well.
        let stream = secured.knock(Instant::ZERO, Plane::Overlay, [192, 0, 2, 1], &[]);
        // The node has begun its part of a handshake, which is never heard of again.
        answered += usize::from(!secured.drain().0.is_empty());
        secured.node.handle_stream(Instant::ZERO, stream, StreamInput::Closed);
        secured.drain();
    }
    assert_eq!(answered, secured.node.config().streams.handshakes_per_host);
}
