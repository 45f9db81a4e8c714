//! RTCP that steers the tree is authenticated (RFC 3711 §3.4): who forges it costs the victim a counter.

use allocation_counter::measure;
use bytes::Bytes;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{
    Crypto, CryptoError, Entropy as _, InsecureChannels, InsecureIdentity, Party, Seeded, Signed, Signer,
};
use p2piptv::ids::{CallId, ChannelId, ChannelName, NodeId};
use p2piptv::node::{Config, Event, Node, Owner, Security};
use p2piptv::rtp::header::{Header, Kind, PayloadType, kind_of};
use p2piptv::rtp::integrity;
use p2piptv::rtp::mp2t::Packetizer;
use p2piptv::rtp::relay::{self, Fact, Relay, Remote, Role, Start};
use p2piptv::rtp::rtcp::{self, Composer, Hold, Notice};
use p2piptv::rtp::srtcp::{Keys, MasterKey, Session};
use p2piptv::sim::{self, Conditions, Death, Network, NodeIndex, Record, What};
use p2piptv::stats::{DropReason, Plane};
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

const SSRC: u32 = 0x5eed;
const PACE: Duration = Duration::from_millis(10);

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

/// A sender report of a time far ahead, which would make all of the source's own ones old.
fn sender_report(ssrc: u32) -> Bytes {
    let ntp = u64::MAX / 2;
    [&[0x80, 200, 0, 6][..], &ssrc.to_be_bytes(), &ntp.to_be_bytes(), &[0; 12]].concat().into()
}

/// What somebody would say in a parent's or a child's name.
fn forgeries() -> Vec<Bytes> {
    let notice = |hold| Notice { hold, ssrc: SSRC, highest: 0 };
    let say = |ssrc| Composer::receiver_report(ssrc, &[]).cname("eve");
    let block = rtcp::ReportBlock { ssrc: SSRC, fraction_lost: 255, ..rtcp::ReportBlock::default() };
    vec![
        say(SSRC).goodbye().finish(),
        say(7).notice(notice(Hold::Starved)).finish(),
        say(7).notice(notice(Hold::Paused)).finish(),
        Composer::receiver_report(7, &[block]).finish(),
        sender_report(SSRC),
    ]
}

// One relay.

const CHANNEL: ChannelId = ChannelId(1);

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 5004))
}

/// A relay with a parent at address 1 and a child at 9, both with keys, and the other end of the parent.
fn keyed() -> (Relay, Session) {
    let config = relay::Config { ssrc: 1, cname: "n@h".into(), limits: relay::Limits::default() };
    let mut relay = Relay::new(config);
    relay.open(CHANNEL, Role::Viewer).unwrap();
    let mut entropy = Seeded::new(1);
    let mut keys =
        || Keys { ours: MasterKey::generate(&mut entropy), theirs: MasterKey::generate(&mut entropy) };
    let (up, down) = (keys(), keys());
    let parent = Session::new(&Keys { ours: up.theirs.clone(), theirs: up.ours.clone() });
    let (mother, child) = (CallId::placed(1), CallId::received(1));
    let remote = Remote { addr: addr(1), keys: Some(up) };
    relay.add_parent(Instant::ZERO, mother, CHANNEL, remote, Some(SSRC), &mut Effects::new()).unwrap();
    relay
        .add_child(
            Instant::ZERO,
            child,
            CHANNEL,
            Remote { addr: addr(9), keys: Some(down) },
            Start::Live,
            &mut Effects::new(),
        )
        .unwrap();
    (relay, parent)
}

#[test]
fn k8_a_flood_of_forgeries_allocates_nothing() {
    let (mut relay, mut parent) = keyed();
    let mut forgeries = forgeries();
    // And some that look the part: a real packet with one bit changed, and a real one again.
    let real = parent.protect(&forgeries[0]).unwrap();
    let mut changed = real.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    forgeries.push(changed.into());
    let mut fx: Effects<Fact> = Effects::new();
    let header =
        Header { marker: false, payload_type: PayloadType::MP2T, sequence: 1, timestamp: 0, ssrc: SSRC };
    let packet = Bytes::from([&header.to_bytes()[..], &[0x47; 188]].concat());
    relay.handle_datagram(Instant::ZERO, addr(1), packet, &mut fx).unwrap();
    relay.handle_datagram(Instant::ZERO, addr(1), real.clone(), &mut fx).unwrap();
    fx.drain().for_each(drop);
    let now = Instant::from_millis(1);
    let mut flood = |rounds| {
        for _ in 0..rounds {
            for forged in &forgeries {
                for from in [addr(1), addr(9)] {
                    let result = relay.handle_datagram(now, from, forged.clone(), &mut fx);
                    assert_eq!(result, Err(DropReason::BadAuthentication));
                }
            }
            let result = relay.handle_datagram(now, addr(1), real.clone(), &mut fx);
            assert_eq!(result, Err(DropReason::Duplicate));
        }
    };
    // A buffer that is counted for the first time gets its counter.
    flood(1);
    assert_eq!(measure(|| flood(1_000)).count_total, 0);
    assert!(fx.is_empty());
    assert_eq!(relay.last_from(CallId::placed(1)), Some(Instant::ZERO));
    assert_eq!(relay.last_report(CallId::received(1)), None);
}

#[test]
fn a_relay_without_keys_would_have_believed_every_one_of_them() {
    let config = relay::Config { ssrc: 1, cname: "n@h".into(), limits: relay::Limits::default() };
    let mut relay = Relay::new(config);
    relay.open(CHANNEL, Role::Viewer).unwrap();
    let mut fx: Effects<Fact> = Effects::new();
    relay.add_parent(Instant::ZERO, CallId::placed(1), CHANNEL, addr(1), Some(SSRC), &mut fx).unwrap();
    relay
        .add_child(Instant::ZERO, CallId::received(1), CHANNEL, addr(9), Start::Live, &mut Effects::new())
        .unwrap();
    let believed = |from: u8, relay: &mut Relay, fx: &mut Effects<Fact>| -> Vec<bool> {
        let each = |forged| relay.handle_datagram(Instant::from_millis(1), addr(from), forged, fx).is_ok();
        forgeries().into_iter().map(each).collect()
    };
    // A report is a child's.
    assert_eq!(believed(1, &mut relay, &mut fx), [true, true, true, false, true]);
    assert_eq!(believed(9, &mut relay, &mut fx), [true; 5]);
    let held = fx.drain().filter(|e| matches!(e, Effect::Fact(Fact::Held { .. }))).count();
    assert_eq!(held, 2);
}

// Whole nodes.

/// Identities that everybody believes, one of which owns the channel.
struct Vouched(InsecureIdentity, Option<&'static str>, Vec<Bytes>);

impl Vouched {
    const OWNER: NodeId = NodeId([0x77; 16]);
    const USER: &str = "100@tv.example";

    fn node(id: NodeId) -> Self {
        Vouched(InsecureIdentity::new(id), None, Vec::new())
    }

    fn owner() -> Self {
        Vouched(InsecureIdentity::new(Self::OWNER), Some(Self::USER), vec![Bytes::from_static(b"the owner")])
    }
}

impl Crypto for Vouched {
    fn node_id(&self) -> NodeId {
        self.0.node_id()
    }

    fn user(&self) -> Option<&str> {
        self.1
    }

    fn certificates(&self) -> &[Bytes] {
        &self.2
    }

    fn signer(&self) -> Signer {
        self.0.signer()
    }

    fn sign(&self, parts: &[&[u8]]) -> Signed {
        self.0.sign(parts)
    }

    fn verify(
        &self,
        at: UnixMillis,
        signer: &Signer,
        certificates: &[Bytes],
        parts: &[&[u8]],
        signed: &Signed,
    ) -> Result<Arc<Party>, CryptoError> {
        let party = self.0.verify(at, signer, certificates, parts, signed)?;
        let user = (party.node_id == Self::OWNER).then(|| Self::USER.to_string());
        Ok(Arc::new(Party { user, ..Arc::unwrap_or_clone(party) }))
    }
}

/// A source and a viewer that plays, and what travelled between them.
struct Pair {
    net: Network<Node>,
    source: NodeIndex,
    viewer: NodeIndex,
    channel: ChannelId,
    watched: ChannelId,
    packetizer: Packetizer,
    pushed: Vec<Bytes>,
    /// Media and control packets on the wire, from whom, and what the viewer's player got.
    media: Rc<RefCell<Vec<Bytes>>>,
    control: Rc<RefCell<Vec<(SocketAddr, Bytes)>>>,
    played: Rc<RefCell<Vec<Bytes>>>,
    events: Vec<(NodeIndex, Event)>,
}

impl Pair {
    fn new(security: Security) -> Self {
        Self::with(security, false)
    }

    /// The same, where plain SIP agents are welcome or not.
    fn with(security: Security, insecure_peers: bool) -> Self {
        let conditions = Conditions::constant(Duration::from_millis(5));
        let mut net = Network::new(sim::Config { seed: 1, conditions, ..sim::Config::default() });
        let mut add = |label: &str| {
            let node = net.add(|index, at| {
                let mut random = Seeded::new(100 + u64::from(index.0));
                let mut id = [0; 16];
                random.fill(&mut id);
                let mut config = Config { security, ..Config::new(label, "tv.example", at) };
                config.agent.insecure_peers = insecure_peers;
                let crypto = Box::new(Vouched::node(NodeId(id)));
                match security {
                    Security::Tls => {
                        let channels = Box::new(InsecureChannels::new(NodeId(id)));
                        Node::secured(config, Box::new(random), crypto, channels).unwrap()
                    }
                    _ => Node::new(config, Box::new(random), crypto).unwrap(),
                }
            });
            net.command(node, |n, now| n.handle_wall_clock(now, UnixMillis(1_700_000_000_000)));
            node
        };
        let (source, viewer) = (add("source"), add("viewer"));
        let (media, control, played) = Default::default();
        let mut pair = Pair {
            net,
            source,
            viewer,
            channel: ChannelId(0),
            watched: ChannelId(0),
            packetizer: Packetizer::new(SSRC, 0),
            pushed: Vec::new(),
            media,
            control,
            played,
            events: Vec::new(),
        };
        pair.watch();
        let net = &mut pair.net;
        net.command(source, |n, now| n.create(now)).unwrap().unwrap();
        let owner = Owner::new(vec![Box::new(Vouched::owner())]);
        let publish = |n: &mut Node, now| match security {
            Security::Tls => n.publish_as(now, &name("100"), &[], owner),
            _ => n.publish(now, &name("100"), &[]),
        };
        pair.channel = net.command(source, publish).unwrap().unwrap();
        let bootstrap = net.addresses(source).overlay;
        net.command(viewer, |n, now| n.join(now, &[bootstrap])).unwrap().unwrap();
        pair.until(30, |p| p.told(viewer, |e| *e == Event::Joined));
        pair.watched = pair.net.command(viewer, |n, now| n.tune(now, &name("100"))).unwrap().unwrap();
        pair.until(10, |p| p.told(viewer, |e| matches!(e, Event::Playing { .. })));
        pair.run(Duration::from_secs(3));
        pair
    }

    fn watch(&mut self) {
        let (media, control, played) =
            (Rc::clone(&self.media), Rc::clone(&self.control), Rc::clone(&self.played));
        self.net.observe(move |record| {
            if let Record::Packet {
                from, plane: Plane::Media, what: What::Datagram { payload, .. }, ..
            } = record
            {
                match kind_of(payload) {
                    Some(Kind::Rtp) if payload[1] & 0x7f == integrity::LIST.0 => {}
                    Some(Kind::Rtp) => media.borrow_mut().push(payload.clone()),
                    _ => control.borrow_mut().push((*from, payload.clone())),
                }
            }
        });
        self.net.watch(move |_, _, _, packet| played.borrow_mut().push(packet.clone()));
    }

    fn told(&self, node: NodeIndex, is: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(n, event)| *n == node && is(event))
    }

    fn until(&mut self, seconds: u64, holds: impl Fn(&Self) -> bool) {
        for _ in 0..seconds * 100 {
            if holds(self) {
                return;
            }
            self.run(PACE);
        }
        panic!("{}\n{:?}", self.net.trace(), self.events);
    }

    /// Time passes, and the source sends while it lives.
    fn run(&mut self, time: Duration) {
        let end = self.net.now() + time;
        while self.net.now() < end {
            let slice = self.net.now() + PACE;
            self.net.run_until(slice);
            let mut null = [0xff; 188];
            null[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
            let packet = self.packetizer.packetize(self.pushed.len() as u32 * 900, false, &null).unwrap();
            let (channel, pushed) = (self.channel, packet.clone());
            if let Some(result) = self.net.command(self.source, |n, now| n.push_media(now, channel, packet)) {
                result.unwrap();
                self.pushed.push(pushed);
            }
            self.events.extend(self.net.take_events().into_iter().map(|(_, node, event)| (node, event)));
        }
    }

    fn dropped(&self, node: NodeIndex, reason: DropReason) -> u64 {
        self.net.machine(node).unwrap().stats().dropped(reason)
    }

    /// As if `from` had sent it.
    fn forge(&mut self, from: NodeIndex, to: NodeIndex, payload: Bytes) {
        let from = self.net.addresses(from).media;
        self.net.inject(to, Plane::Media, from, payload);
    }

    /// For a second somebody says goodbye in the source's name and sends media of his own: how many the player got.
    fn taken_over(&mut self) -> usize {
        let played = self.played.borrow().len();
        let bye = Composer::receiver_report(SSRC, &[]).goodbye().finish();
        self.forge(self.source, self.viewer, bye);
        let mut packetizer = Packetizer::new(0xbad, 0);
        for n in 0..100 {
            let packet = packetizer.packetize(n * 900, false, &[0x47; 188]).unwrap();
            self.forge(self.source, self.viewer, packet);
            self.run(PACE);
        }
        let played = self.played.borrow()[played..].to_vec();
        played.iter().filter(|packet| packet[8..12] == 0xbad_u32.to_be_bytes()).count()
    }
}

#[test]
fn secured_nodes_exchange_keys_and_send_rtp_as_it_is_and_rtcp_under_them() {
    let pair = Pair::new(Security::Tls);
    let addresses = [pair.source, pair.viewer].map(|node| pair.net.addresses(node).media);
    let control = pair.control.borrow().clone();
    assert!(control.iter().any(|(from, _)| *from == addresses[1]), "reports go up");
    for (_, datagram) in control.iter() {
        assert!(rtcp::parse(datagram).is_err());
        let compound = datagram.slice(..datagram.len() - p2piptv::rtp::srtcp::OVERHEAD);
        assert!(rtcp::parse(&compound).is_ok(), "in clear, with an index and a tag behind it");
    }
    for media in [pair.media.borrow(), pair.played.borrow()] {
        assert!(media.len() > 200);
        assert!(media.iter().all(|packet| pair.pushed.contains(packet)));
    }
    for node in [pair.source, pair.viewer] {
        assert_eq!(pair.dropped(node, DropReason::BadAuthentication), 0);
        assert_eq!(pair.dropped(node, DropReason::NotRtp), 0);
    }
}

#[test]
fn forgeries_in_the_name_of_parent_and_child_change_nothing_between_secured_nodes() {
    let mut pair = Pair::new(Security::Tls);
    let (source, viewer) = (pair.source, pair.viewer);
    let from = pair.net.addresses(viewer).media;
    let control = pair.control.borrow().clone();
    let replayed: Vec<Bytes> = control.into_iter().filter(|c| c.0 == from).map(|c| c.1).collect();
    let played = pair.played.borrow().len();
    for _ in 0..100 {
        for forged in forgeries() {
            pair.forge(source, viewer, forged.clone());
            pair.forge(viewer, source, forged);
        }
        for old in &replayed {
            pair.forge(viewer, source, old.clone());
        }
        pair.run(PACE);
    }
    assert!(pair.played.borrow().len() >= played + 98);
    for node in [source, viewer] {
        assert_eq!(pair.dropped(node, DropReason::BadAuthentication), 500);
    }
    assert_eq!(pair.dropped(source, DropReason::Duplicate), 100 * replayed.len() as u64);
    pair.run(Duration::from_secs(5));
    assert!(!pair.told(viewer, |e| matches!(e, Event::Orphaned { .. })));
    assert!(!pair.told(source, |e| matches!(e, Event::ChildLeft { .. })));
}

/// For a second somebody asks for the last packets again and again in the viewer's name: how many more were sent than the
/// source has pushed, and how many of the requests were found to be forged.
fn flooded_with_nacks(security: Security) -> (usize, u64) {
    let mut pair = Pair::new(security);
    let (sent, pushed) = (pair.media.borrow().len(), pair.pushed.len());
    for _ in 0..100 {
        let newest = pair.media.borrow().last().map(|packet| u16::from_be_bytes([packet[2], packet[3]]));
        let lost = (0..64).map(|n| newest.unwrap().wrapping_sub(n + 1));
        let nack = Composer::receiver_report(7, &[]).cname("eve").nack(SSRC, lost).finish();
        for _ in 0..10 {
            pair.forge(pair.viewer, pair.source, nack.clone());
        }
        pair.run(PACE);
    }
    let more = pair.media.borrow().len() - sent - (pair.pushed.len() - pushed);
    (more, pair.dropped(pair.source, DropReason::BadAuthentication))
}

#[test]
fn k8_a_flood_of_nacks_has_nothing_sent_between_secured_nodes_and_a_bounded_number_where_nothing_is() {
    assert_eq!(flooded_with_nacks(Security::Tls), (0, 1000));
    let (more, _) = flooded_with_nacks(Security::InsecurePlain);
    let bound = relay::NACK_BURST + 100 / relay::NACK_EARNED_IN + 1;
    assert!((1..=bound as usize).contains(&more), "{more} of at most {bound}");
}

#[test]
fn a_forged_goodbye_hands_a_channel_over_to_a_stranger_only_where_nothing_is_secured() {
    assert!(Pair::new(Security::InsecurePlain).taken_over() > 90);
    assert_eq!(Pair::new(Security::Tls).taken_over(), 0);
}

#[test]
fn a_forged_pause_keeps_a_child_at_a_dead_parent_only_where_nothing_is_secured() {
    for (security, noticed) in [(Security::InsecurePlain, false), (Security::Tls, true)] {
        let mut pair = Pair::new(security);
        let (source, viewer) = (pair.source, pair.viewer);
        pair.net.kill(source, Death::Host);
        let notice = Notice { hold: Hold::Paused, ssrc: SSRC, highest: 0 };
        let paused = Composer::receiver_report(7, &[]).cname("eve").notice(notice).finish();
        for _ in 0..200 {
            pair.forge(source, viewer, paused.clone());
            pair.run(PACE);
        }
        assert_eq!(pair.told(viewer, |e| matches!(e, Event::Orphaned { .. })), noticed, "{security:?}");
    }
}

/// What the source answers a plain SIP agent that offers this transport.
fn answers_to_a_plain_agent(insecure_peers: bool, transport: &str) -> Vec<String> {
    let mut pair = Pair::with(Security::Tls, insecure_peers);
    let agent = SocketAddr::from(([192, 0, 2, 66], 5060));
    let answers = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&answers);
    pair.net.observe(move |record| {
        if let Record::Packet { to, what: What::Datagram { payload, .. }, .. } = record
            && *to == agent
            && payload.starts_with(b"SIP/2.0")
        {
            told.borrow_mut().push(String::from_utf8_lossy(payload).into_owned());
        }
    });
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.66\r\ns=-\r\nc=IN IP4 192.0.2.66\r\nt=0 0\r\nm=video 5004 {transport}"
    );
    let target = pair.net.addresses(pair.source).signalling;
    let invite = format!(
        "INVITE sip:100@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {agent};branch=z9hG4bKplain\r\nMax-Forwards: 70\r\n\
         From: <sip:plain@example.org>;tag=p\r\nTo: <sip:100@example.org>\r\nCall-ID: plain\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:plain@{agent}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    pair.net.inject(pair.source, Plane::Signalling, agent, invite.into());
    pair.run(Duration::from_millis(50));
    answers.take()
}

#[test]
fn a_plain_agent_is_served_without_keys_where_it_is_welcome() {
    let plain = "RTP/AVP 33\r\na=recvonly\r\na=rtcp-mux\r\n";
    let answers = answers_to_a_plain_agent(true, plain);
    let ok = answers.iter().find(|a| a.starts_with("SIP/2.0 200")).expect("served");
    assert!(ok.contains(" RTP/AVP 33\r\n") && !ok.contains("crypto"));
    assert!(answers_to_a_plain_agent(false, plain).is_empty());
    // A key that everybody on the way could read is none.
    let key = "inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    let secured = format!(
        "RTP/SAVP 33\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key} UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP\r\n"
    );
    let answers = answers_to_a_plain_agent(true, &secured);
    assert!(answers.iter().any(|a| a.starts_with("SIP/2.0 488")), "{answers:?}");
}

#[test]
fn k9_two_runs_with_keys_are_the_same_byte_for_byte() {
    let (a, b) = (Pair::new(Security::Tls), Pair::new(Security::Tls));
    assert_eq!(*a.control.borrow(), *b.control.borrow());
}
