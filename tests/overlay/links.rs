//! Secured links: what their rules look like from outside, on one overlay and on many.

use super::network::{Net, names, ring_over, seconds};
use super::signing::Counting;
use super::underlay::party;
use super::wire::{FAR, ME, OVERLAY, PEER, anywhere, attach, away, compose, error_in, home, ping};
use bytes::Bytes;
use p2piptv::chord::Chord;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Party, Seeded};
use p2piptv::ids::{KeyFingerprint, NodeId, ResourceId, StreamId};
use p2piptv::reload::codec::body::{AttachReqAns, FindReq, IceExtension, JoinReq, PingAns, PingReq};
use p2piptv::reload::codec::{
    Body, ChordTables, ChordUpdate, Destination, ErrorCode, Frame, KindId, Message, MessageCode,
    MessageContents, OverlayLinkType,
};
use p2piptv::reload::overlay::{Config, Context, Fact, LinkSecurity, Overlay};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

const SECURED: [LinkSecurity; 2] = [LinkSecurity::Tls, LinkSecurity::Dtls];
/// A stream that PEER dialled.
pub(super) const FIRST: StreamId = StreamId::accepted(1);
const SECOND: StreamId = StreamId::accepted(2);
/// The first stream that this node dials.
const DIALLED: StreamId = StreamId::requested_link(0);
/// A Node-ID larger than this node's.
const LARGE: NodeId = NodeId([0xc0; 16]);
/// A Node-ID that this node admits.
const JOINER: NodeId = NodeId([0x60; 16]);

/// One member of an overlay over TLS, and the other ends of its streams.
pub(super) struct Bench {
    pub(super) overlay: Overlay<Chord>,
    pub(super) identity: Counting,
    pub(super) entropy: Seeded,
    pub(super) now: Instant,
    next_id: u64,
    sequences: BTreeMap<StreamId, u32>,
    pub(super) facts: Vec<Fact>,
    /// Everything else that it did.
    pub(super) done: Vec<Effect<Fact>>,
    /// Nothing is acknowledged.
    pub(super) deaf: bool,
}

impl Bench {
    pub(super) fn new(security: LinkSecurity) -> Self {
        Bench::with_config(Config { security, ..Config::new(OVERLAY, home()) })
    }

    pub(super) fn with_config(config: Config) -> Self {
        let mut bench = Bench {
            overlay: Overlay::new(config, ME).unwrap(),
            identity: Counting::new(ME),
            entropy: Seeded::new(1),
            now: Instant::ZERO,
            next_id: 1000,
            sequences: BTreeMap::new(),
            facts: Vec::new(),
            done: Vec::new(),
            deaf: false,
        };
        bench.overlay.handle_wall_clock(Instant::ZERO, UnixMillis(1_700_000_000_000));
        bench.with(|o, now, ctx| o.create(now, ctx)).unwrap();
        bench
    }

    /// With a stream from PEER.
    pub(super) fn linked() -> Self {
        let mut bench = Bench::new(LinkSecurity::Tls);
        bench.open(FIRST, &[PEER]).unwrap();
        bench
    }

    /// With PEER in the Routing Table.
    pub(super) fn with_peer() -> Self {
        let mut bench = Bench::linked();
        bench.become_peer(FIRST, PEER);
        bench
    }

    pub(super) fn become_peer(&mut self, stream: StreamId, node: NodeId) {
        let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::TLS_TCP_FH_NO_ICE);
        self.say(stream, node, vec![ME.into()], &offer);
        self.say(stream, node, vec![ME.into()], &update(vec![]));
        assert!(self.overlay.topology().contains(node));
    }

    pub(super) fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> R {
        let mut effects = Effects::new();
        let mut ctx = Context { entropy: &mut self.entropy, crypto: &self.identity, effects: &mut effects };
        let result = f(&mut self.overlay, self.now, &mut ctx);
        for effect in effects.drain() {
            match effect {
                Effect::Fact(fact) => self.facts.push(fact),
                other => self.done.push(other),
            }
        }
        result
    }

    pub(super) fn open(&mut self, stream: StreamId, node_ids: &[NodeId]) -> Result<(), DropReason> {
        self.open_as(stream, party(node_ids))
    }

    fn open_as(&mut self, stream: StreamId, party: Arc<Party>) -> Result<(), DropReason> {
        self.with(|o, now, ctx| o.on_stream_opened(now, stream, away(), Some(party), ctx))
    }

    pub(super) fn feed(&mut self, stream: StreamId, bytes: &[u8]) -> Result<(), DropReason> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.with(|o, now, ctx| o.on_stream_bytes(now, stream, bytes, ctx))
    }

    pub(super) fn frame(&mut self, stream: StreamId, message: &Message) -> Bytes {
        let sequence = self.sequences.entry(stream).or_default();
        let frame = Frame::Data { sequence: *sequence, message: message.encode().unwrap() };
        *sequence += 1;
        frame.encode().unwrap()
    }

    /// Hands in a message and collects what is written until nothing more is, acknowledging each message.
    pub(super) fn exchange(
        &mut self,
        stream: StreamId,
        message: &Message,
    ) -> (Result<(), DropReason>, Vec<(StreamId, Message)>) {
        let since = self.done.len();
        let frame = self.frame(stream, message);
        let result = self.feed(stream, &frame);
        (result, self.collect(since))
    }

    pub(super) fn collect(&mut self, since: usize) -> Vec<(StreamId, Message)> {
        let (mut messages, mut at) = (Vec::new(), since);
        for _ in 0..20 {
            while at < self.done.len() {
                if let Some((stream, Frame::Data { sequence, message })) = written(&self.done[at]) {
                    messages.push((stream, Message::decode(&message).unwrap()));
                    let ack = Frame::Ack { ack_sequence: sequence, received: 0 }.encode().unwrap();
                    if !self.deaf {
                        // The stream may be closed already.
                        let _ = self.feed(stream, &ack);
                    }
                }
                at += 1;
            }
            self.now += Duration::from_millis(10);
            self.with(|o, now, ctx| o.handle_timeout(now, ctx));
        }
        messages
    }

    pub(super) fn compose(&mut self, signer: NodeId, list: Vec<Destination>, body: &Body) -> Message {
        self.next_id += 1;
        compose(signer, self.next_id, list, MessageContents::new(body).unwrap())
    }

    pub(super) fn say(
        &mut self,
        stream: StreamId,
        signer: NodeId,
        list: Vec<Destination>,
        body: &Body,
    ) -> Vec<(StreamId, Message)> {
        let message = self.compose(signer, list, body);
        self.exchange(stream, &message).1
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.overlay.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.with(|o, now, ctx| o.handle_timeout(now, ctx));
        }
        self.now = end;
    }

    fn closed(&self, stream: StreamId) -> bool {
        self.done.contains(&Effect::Close { stream })
    }

    fn connected(&self) -> Vec<NodeId> {
        self.overlay.connected().map(|(n, _)| n).collect()
    }

    /// Whom a Ping by this node would reach, by the stream that it is written to.
    fn stream_of(&mut self, node: NodeId) -> Option<StreamId> {
        let through = self.compose(FAR, vec![ME.into(), node.into()], &ping());
        let helper = StreamId::accepted(99);
        if !self.sequences.contains_key(&helper) {
            self.open(helper, &[FAR]).unwrap();
        }
        self.exchange(helper, &through).1.first().map(|(stream, _)| *stream)
    }
}

pub(super) fn written(effect: &Effect<Fact>) -> Option<(StreamId, Frame)> {
    match effect {
        Effect::Write { stream, bytes } => Some((*stream, Frame::decode(bytes).unwrap())),
        _ => None,
    }
}

fn messages(answers: Vec<(StreamId, Message)>) -> Vec<Message> {
    answers.into_iter().map(|(_, m)| m).collect()
}

fn error(answers: Vec<(StreamId, Message)>) -> Option<ErrorCode> {
    error_in(&messages(answers))
}

fn codes(answers: &[(StreamId, Message)]) -> Vec<(StreamId, MessageCode)> {
    answers.iter().map(|(stream, m)| (*stream, m.contents.message_code)).collect()
}

pub(super) fn update(successors: Vec<NodeId>) -> Body {
    let tables = ChordTables::Neighbors { predecessors: vec![], successors };
    Body::UpdateReq(ChordUpdate { uptime: 1, tables })
}

fn find() -> Body {
    Body::FindReq(FindReq { resource: anywhere(), kinds: vec![KindId::CHANNEL] })
}

pub(super) fn offer(links: &[OverlayLinkType]) -> Body {
    let Body::AttachReq(mut offer) = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK) else {
        panic!()
    };
    let candidate = offer.candidates.remove(0);
    offer.candidates.extend(links.iter().map(|&overlay_link| {
        let mut candidate = candidate.clone();
        candidate.overlay_link = overlay_link;
        candidate
    }));
    Body::AttachReq(offer)
}

/// The certificate of somebody else with the same Node-ID.
fn stolen(node_id: NodeId) -> Arc<Party> {
    let key = KeyFingerprint::of(b"another key");
    Arc::new(Party { key, ..(*party(&[node_id])).clone() })
}

pub(super) const TLS: OverlayLinkType = OverlayLinkType::TLS_TCP_FH_NO_ICE;

#[test]
fn fr2_fr5_a_message_that_comes_byte_by_byte_gets_one_ack_and_one_answer() {
    let mut bench = Bench::linked();
    let message = bench.compose(PEER, vec![ME.into()], &ping());
    let frame = bench.frame(FIRST, &message);
    let since = bench.done.len();
    for byte in &frame[..frame.len() - 1] {
        bench.feed(FIRST, &[*byte]).unwrap();
    }
    assert_eq!(bench.done.len(), since);
    bench.feed(FIRST, &frame[frame.len() - 1..]).unwrap();
    let frames: Vec<_> = bench.done[since..].iter().map(|e| written(e).unwrap()).collect();
    assert_eq!(frames[0], (FIRST, Frame::Ack { ack_sequence: 0, received: 0 }));
    assert!(matches!(frames[1], (FIRST, Frame::Data { sequence: 0, .. })), "FR-1");
    assert_eq!(frames.len(), 2);
}

#[test]
fn fr5_several_frames_in_one_record_are_worked_off_in_their_order() {
    let mut bench = Bench::linked();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let message = bench.compose(PEER, vec![ME.into()], &ping());
        bytes.extend(bench.frame(FIRST, &message));
    }
    let since = bench.done.len();
    bench.feed(FIRST, &bytes).unwrap();
    let acks: Vec<u32> = bench.done[since..]
        .iter()
        .filter_map(|e| match written(e) {
            Some((_, Frame::Ack { ack_sequence, .. })) => Some(ack_sequence),
            _ => None,
        })
        .collect();
    assert_eq!(acks, [0, 1, 2]);
    assert_eq!(bench.collect(since).len(), 3);
}

#[test]
fn fr6_a_message_announced_to_be_too_large_is_refused_by_its_header_and_the_link_closed() {
    let mut bench = Bench::linked();
    let padding = Bytes::from(vec![0; 6000]);
    let message = bench.compose(PEER, vec![ME.into()], &Body::PingReq(PingReq { padding }));
    let frame = bench.frame(FIRST, &message);
    let since = bench.done.len();
    assert_eq!(bench.feed(FIRST, &frame[..100]), Err(DropReason::TooLarge));
    assert!(bench.closed(FIRST), "long before the message is there");
    assert_eq!(bench.done.last(), Some(&Effect::Close { stream: FIRST }), "after the error");
    assert_eq!(error(bench.collect(since)), Some(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(bench.overlay.links(), 0);
    assert_eq!(
        bench.feed(FIRST, &frame[100..]),
        Err(DropReason::NotInUse),
        "what comes later is not looked at"
    );
}

#[test]
fn fr6_a_header_that_is_too_large_or_an_answer_is_closed_in_silence() {
    let mut bench = Bench::linked();
    let mut message = bench.compose(PEER, vec![ME.into()], &ping());
    message.header.via_list = vec![FAR.into(); 400];
    let frame = bench.frame(FIRST, &message);
    assert_eq!(bench.feed(FIRST, &frame), Err(DropReason::TooLarge));
    assert_eq!(bench.done, [Effect::Close { stream: FIRST }]);

    let mut bench = Bench::linked();
    let contents = MessageContents {
        message_code: MessageCode::PING_ANS,
        message_body: Bytes::from(vec![0; 6000]),
        extensions: vec![],
    };
    let frame = bench.frame(FIRST, &compose(PEER, 1, vec![ME.into()], contents));
    assert_eq!(bench.feed(FIRST, &frame), Err(DropReason::TooLarge));
    assert_eq!(bench.done, [Effect::Close { stream: FIRST }]);
}

#[test]
fn fr5_whoever_breaks_the_framing_is_closed_and_loses_his_place() {
    let mut bench = Bench::with_peer();
    assert_eq!(bench.feed(FIRST, b"GET / HTTP/1.1\r\n\r\n"), Err(DropReason::BadStream));
    assert!(bench.closed(FIRST) && bench.connected().is_empty());
    assert!(!bench.overlay.topology().contains(PEER));
    assert_eq!(bench.feed(FIRST, b"GET"), Err(DropReason::NotInUse));
}

#[test]
fn garbage_in_good_frames_is_acknowledged_dropped_and_costs_nothing_else() {
    let mut bench = Bench::linked();
    for n in 0..1000 {
        let frame = Frame::Data { sequence: n, message: Bytes::from(vec![n as u8; 60]) }.encode().unwrap();
        assert_eq!(bench.feed(FIRST, &frame), Err(DropReason::BadHeader));
    }
    assert_eq!(bench.done.len(), 1000, "one ACK each");
    assert_eq!(bench.overlay.links(), 1);
}

#[test]
fn lt6_nothing_plain_is_taken_where_links_are_secured() {
    for security in SECURED {
        let mut bench = Bench::new(security);
        let result = bench.with(|o, now, ctx| o.on_stream_opened(now, FIRST, away(), None, ctx));
        assert_eq!(result, Err(DropReason::NotSecured));
        assert_eq!((bench.closed(FIRST), bench.overlay.links()), (true, 0));
        let hello = bench.compose(PEER, vec![NodeId::WILDCARD.into()], &ping());
        let frame = bench.frame(FIRST, &hello);
        let result = bench.with(|o, now, ctx| o.handle_datagram(now, away(), frame, ctx));
        let reason =
            if security == LinkSecurity::Tls { DropReason::NotSecured } else { DropReason::NotAllowedOnLink };
        assert_eq!((result, bench.done.len(), bench.overlay.links()), (Err(reason), 1, 0));
    }
    let mut bench = Bench::new(LinkSecurity::Dtls);
    assert_eq!(bench.open(FIRST, &[PEER]), Err(DropReason::NotAllowedOnLink), "TLS where DTLS is spoken");
    assert!(bench.closed(FIRST));
    let mut bench = Bench::new(LinkSecurity::Tls);
    let result = bench.with(|o, now, ctx| o.on_association(now, away(), party(&[PEER]), ctx));
    assert_eq!(result, Err(DropReason::NotAllowedOnLink));
    assert_eq!(bench.done, [Effect::Dissociate { to: away() }]);
}

#[test]
fn a_plain_stream_is_a_link_where_links_are_plain_once_an_opening_ping_has_come() {
    let mut bench = Bench::new(LinkSecurity::InsecurePlain);
    let opened = |b: &mut Bench, s| b.with(|o, now, ctx| o.on_stream_opened(now, s, away(), None, ctx));
    opened(&mut bench, FIRST).unwrap();
    let early = bench.compose(PEER, vec![ME.into()], &ping());
    assert_eq!(bench.exchange(FIRST, &early).0, Err(DropReason::NotAllowedOnLink));
    let answers = bench.say(FIRST, PEER, vec![NodeId::WILDCARD.into()], &ping());
    assert_eq!(codes(&answers), [(FIRST, MessageCode::PING_ANS)]);
    assert_eq!(bench.connected(), [PEER]);
    opened(&mut bench, SECOND).unwrap();
    bench.wait(seconds(4));
    assert!(bench.closed(SECOND) && !bench.closed(FIRST), "whoever says nothing is closed");
}

#[test]
fn at10_lt4_the_answerer_of_an_attach_dials_the_passive_candidate_over_tls() {
    let mut bench = Bench::linked();
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    let Ok(Body::AttachAns(answer)) = answers[0].1.contents.body() else { panic!("{answers:?}") };
    assert_eq!(answer.role, AttachReqAns::ACTIVE, "AT-1");
    let [candidate] = &answer.candidates[..] else { panic!("one candidate") };
    assert_eq!(candidate.overlay_link, TLS);
    let (name, value) = (Bytes::from_static(b"tcptype"), Bytes::from_static(b"passive"));
    assert_eq!(candidate.extensions, [IceExtension { name, value }]);
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: away() }));
    let since = bench.done.len();
    bench.open(DIALLED, &[FAR]).unwrap();
    assert_eq!(codes(&bench.collect(since)), [(DIALLED, MessageCode::UPDATE_REQ)], "AT-7");
    assert_eq!(bench.connected(), [FAR, PEER]);
}

/// What this node offers in its answer to an Attach.
fn priority_of_offer(security: LinkSecurity, links: &[OverlayLinkType]) -> u32 {
    let mut bench = Bench::new(security);
    if security == LinkSecurity::Dtls {
        bench.with(|o, now, ctx| o.on_association(now, away(), party(&[PEER]), ctx)).unwrap();
        let message = bench.compose(PEER, vec![ME.into()], &offer(links));
        let frame = bench.frame(FIRST, &message);
        bench.with(|o, now, ctx| o.handle_datagram(now, away(), frame, ctx)).unwrap();
    } else {
        bench.open(FIRST, &[PEER]).unwrap();
        bench.say(FIRST, PEER, vec![ME.into()], &offer(links));
    }
    let frames = bench.done.iter().filter_map(|e| match e {
        Effect::Send { payload, .. } => Frame::decode(payload).ok(),
        other => written(other).map(|(_, frame)| frame),
    });
    let answers = frames.filter_map(|f| match f {
        Frame::Data { message, .. } => match Message::decode(&message).unwrap().contents.body() {
            Ok(Body::AttachAns(answer)) => Some(answer),
            _ => None,
        },
        Frame::Ack { .. } => None,
    });
    let priorities: Vec<u32> = answers.map(|a| a.candidates[0].priority).collect();
    assert_eq!(priorities.len(), 1);
    priorities[0]
}

#[test]
fn at14_tcp_comes_before_simple_reliability_and_the_candidate_with_the_highest_priority_is_dialled() {
    let tcp = priority_of_offer(LinkSecurity::Tls, &[TLS]);
    let datagrams = priority_of_offer(LinkSecurity::Dtls, &[OverlayLinkType::DTLS_UDP_SR_NO_ICE]);
    assert!(tcp > datagrams && datagrams >> 24 == 126, "{tcp:#x} {datagrams:#x}");
    assert!(tcp < 126 << 24 | 0xffff << 8, "something without head-of-line blocking would come first");
    let mut bench = Bench::linked();
    let Body::AttachReq(mut several) = offer(&[TLS, TLS, TLS]) else { panic!() };
    for (n, priority) in [5, 9, 9].into_iter().enumerate() {
        let at = SocketAddr::from(([10, 0, 0, 20 + n as u8], 6084));
        several.candidates[n].addr_port = at.into();
        several.candidates[n].priority = priority;
    }
    bench.say(FIRST, FAR, vec![ME.into()], &Body::AttachReq(several));
    let best = SocketAddr::from(([10, 0, 0, 21], 6084));
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: best }), "of equal ones the first");
}

#[test]
fn at4_an_attach_is_answered_and_carried_out_while_none_of_ones_own_to_that_node_is_under_way() {
    let mut bench = Bench::with_peer();
    // An Attach of this node's own to somebody else is under way.
    bench.say(FIRST, PEER, vec![ME.into()], &update(vec![LARGE]));
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(codes(&answers)[0], (FIRST, MessageCode::ATTACH_ANS));
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: away() }), "the connectivity check");
    // With one to that very node, whose Node-ID is larger, it is not.
    let answers = bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(codes(&answers)[0], (FIRST, MessageCode::ATTACH_ANS), "the smaller gives way (AT-6)");
}

#[test]
fn bs2_an_address_is_remembered_when_somebody_was_reached_there_and_not_before() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    assert!(bench.done.contains(&Effect::Connect { stream: DIALLED, to: away() }));
    assert_eq!(bench.overlay.bootstraps(), [], "neither who dialled nor who is being dialled");
    bench.open(DIALLED, &[FAR]).unwrap();
    assert_eq!(bench.overlay.bootstraps(), [away()]);
}

#[test]
fn lr1_every_data_frame_gets_one_ack_whatever_it_holds_and_an_ack_gets_none() {
    let mut bench = Bench::with_peer();
    let ping = bench.compose(PEER, vec![ME.into()], &ping());
    let answer =
        bench.compose(PEER, vec![ME.into()], &Body::PingAns(PingAns { response_id: 1, time: UnixMillis(1) }));
    let mut fragment = ping.encode().unwrap().to_vec();
    fragment[12] = 0x80;
    let messages =
        [ping.encode().unwrap(), answer.encode().unwrap(), fragment.into(), Bytes::from_static(b"?")];
    for (n, message) in messages.into_iter().enumerate() {
        let sequence = 500 + n as u32;
        let frame = Frame::Data { sequence, message }.encode().unwrap();
        let since = bench.done.len();
        let _ = bench.feed(FIRST, &frame);
        let acks = bench.done[since..].iter().filter_map(written).filter_map(|(_, frame)| match frame {
            Frame::Ack { ack_sequence, .. } => Some(ack_sequence),
            Frame::Data { .. } => None,
        });
        assert_eq!(acks.collect::<Vec<u32>>(), [sequence]);
    }
    let since = bench.done.len();
    let ack = Frame::Ack { ack_sequence: 0, received: 0 }.encode().unwrap();
    let _ = bench.feed(FIRST, &ack);
    assert_eq!(bench.done.len(), since);
}

#[test]
fn at2_candidates_that_are_plain_or_need_ice_or_are_not_listened_at_are_refused() {
    use OverlayLinkType as T;
    let mut bench = Bench::linked();
    let mut ask = |links: &[OverlayLinkType]| error(bench.say(FIRST, FAR, vec![ME.into()], &offer(links)));
    for bad in [&[T::EXP_LINK][..], &[T::DTLS_UDP_SR], &[TLS, T::DTLS_UDP_SR], &[TLS, T::EXP_LINK], &[]] {
        assert_eq!(ask(bad), Some(ErrorCode::INVALID_MESSAGE), "{bad:?}");
    }
    assert_eq!(ask(&[T::DTLS_UDP_SR_NO_ICE]), Some(ErrorCode::INVALID_MESSAGE), "not what is spoken here");
    let Body::AttachReq(mut active) = offer(&[TLS]) else { panic!() };
    let (name, value) = (Bytes::from_static(b"tcptype"), Bytes::from_static(b"active"));
    active.candidates[0].extensions.push(IceExtension { name, value });
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &Body::AttachReq(active));
    assert_eq!(error(answers), Some(ErrorCode::INVALID_MESSAGE), "LT-4");
    assert_eq!(bench.overlay.links(), 1);
    let answers = bench.say(FIRST, FAR, vec![ME.into()], &offer(&[T::DTLS_UDP_SR_NO_ICE, TLS]));
    assert_eq!(error(answers), None, "both without ICE");
}

#[test]
fn at11_a_dialled_stream_whose_certificate_names_somebody_else_is_closed() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(bench.open(DIALLED, &[LARGE]), Err(DropReason::NotAllowedOnLink));
    assert!(bench.closed(DIALLED));
    assert_eq!(bench.connected(), [PEER]);
    // Whoever comes under his own name is welcome, but nobody has agreed with him on a link.
    bench.open(SECOND, &[LARGE]).unwrap();
    let join = Body::JoinReq(JoinReq { joining_peer_id: LARGE, overlay_specific_data: Bytes::new() });
    assert_eq!(error(bench.say(SECOND, LARGE, vec![ME.into()], &join)), Some(ErrorCode::FORBIDDEN));
}

#[test]
fn at11_nobody_is_linked_under_this_nodes_own_name_or_as_everybody() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    for node in [ME, NodeId::WILDCARD] {
        assert_eq!(bench.open(FIRST, &[node]), Err(DropReason::NotAllowedOnLink));
        assert!(bench.closed(FIRST));
    }
    assert_eq!(bench.overlay.links(), 0);
}

#[test]
fn sb8_a_bad_node_gets_no_link() {
    let mut config = Config { security: LinkSecurity::Tls, ..Config::new(OVERLAY, home()) };
    config.bad_nodes = vec![PEER];
    let mut bench = Bench::with_config(config);
    assert_eq!(bench.open(FIRST, &[PEER]), Err(DropReason::NotAllowedOnLink));
    assert_eq!(
        bench.open(SECOND, &[FAR, PEER]),
        Err(DropReason::NotAllowedOnLink),
        "under none of its names"
    );
    assert!(bench.closed(FIRST) && bench.closed(SECOND));
    bench.open(FIRST, &[FAR]).unwrap();
}

#[test]
fn at5_an_attach_that_comes_while_the_other_end_is_dialling_is_in_progress() {
    let mut bench = Bench::with_peer();
    let told = bench.say(FIRST, PEER, vec![ME.into()], &update(vec![LARGE]));
    let (_, asked) = told.iter().find(|(_, m)| m.contents.message_code == MessageCode::ATTACH_REQ).unwrap();
    let Body::AttachReq(answer) = offer(&[TLS]) else { panic!() };
    let answer = AttachReqAns { role: AttachReqAns::ACTIVE, ..answer };
    let contents = MessageContents::new(&Body::AttachAns(answer)).unwrap();
    let granted = compose(LARGE, asked.header.transaction_id, vec![ME.into()], contents);
    bench.exchange(FIRST, &granted).0.unwrap();
    let answers = bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(error(answers), Some(ErrorCode::IN_PROGRESS));
    assert!(!bench.done.iter().any(|e| matches!(e, Effect::Connect { .. })));
    bench.wait(seconds(4));
    let answers = bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    assert_eq!(error(answers), None, "the dial would have come by now");
}

#[test]
fn rx12_a_certificate_with_several_node_ids_may_ping_and_attach_until_it_is_known_which_is_meant() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    bench.open(FIRST, &[PEER, FAR]).unwrap();
    assert_eq!(bench.connected(), [], "nobody knows yet");
    assert_eq!(error(bench.say(FIRST, FAR, vec![anywhere().into()], &find())), Some(ErrorCode::FORBIDDEN));
    assert_eq!(bench.connected(), [FAR]);
    let answers = bench.say(FIRST, FAR, vec![NodeId::WILDCARD.into()], &ping());
    assert_eq!(codes(&answers), [(FIRST, MessageCode::PING_ANS)], "CL-3");
    assert_eq!(error(bench.say(FIRST, FAR, vec![anywhere().into()], &find())), Some(ErrorCode::FORBIDDEN));
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    let answers = bench.say(FIRST, FAR, vec![anywhere().into()], &find());
    assert_eq!(codes(&answers), [(FIRST, MessageCode::FIND_ANS)]);
}

#[test]
fn rx12_nobody_introduces_himself_with_a_node_id_that_his_certificate_does_not_name() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    bench.open(FIRST, &[PEER, FAR]).unwrap();
    let forged = bench.compose(LARGE, vec![NodeId::WILDCARD.into()], &ping());
    assert_eq!(bench.exchange(FIRST, &forged).0, Err(DropReason::NotAllowedOnLink));
    let mut passed_on = bench.compose(LARGE, vec![ME.into()], &ping());
    passed_on.header.via_list = vec![PEER.into()];
    assert_eq!(bench.exchange(FIRST, &passed_on).0, Err(DropReason::NotAllowedOnLink));
    assert!(bench.connected().is_empty());
    bench.wait(seconds(4));
    assert!(bench.closed(FIRST), "there is a time for introductions");
}

#[test]
fn rx12_at15_a_node_with_several_node_ids_that_was_dialled_is_whom_the_attach_promised() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    bench.open(DIALLED, &[LARGE, FAR]).unwrap();
    assert_eq!(bench.connected(), [FAR, PEER]);
    let answers = bench.say(DIALLED, FAR, vec![anywhere().into()], &find());
    assert_eq!(codes(&answers), [(DIALLED, MessageCode::FIND_ANS)]);
}

#[test]
fn cl3_a_bootstrap_node_with_several_node_ids_is_pinged_to_learn_which_it_is() {
    let mut bench = Bench::new(LinkSecurity::Tls);
    let config = Config { security: LinkSecurity::Tls, ..Config::new(OVERLAY, home()) };
    bench.overlay = Overlay::new(config, ME).unwrap();
    bench.with(|o, now, ctx| o.join(now, &[away()], ctx)).unwrap();
    assert_eq!(bench.done, [Effect::Connect { stream: DIALLED, to: away() }]);
    bench.open(DIALLED, &[PEER, FAR]).unwrap();
    let (_, Frame::Data { message, .. }) = written(&bench.done[1]).unwrap() else { panic!() };
    let hello = Message::decode(&message).unwrap();
    assert_eq!(hello.header.destination_list, [NodeId::WILDCARD.into()]);
    let pong = PingAns { response_id: 1, time: UnixMillis(1) };
    let contents = MessageContents::new(&Body::PingAns(pong)).unwrap();
    let answer = compose(FAR, hello.header.transaction_id, vec![ME.into()], contents);
    let (result, next) = bench.exchange(DIALLED, &answer);
    result.unwrap();
    assert_eq!(codes(&next), [(DIALLED, MessageCode::ATTACH_REQ)]);
    assert_eq!(bench.connected(), [FAR]);
}

#[test]
fn rx13_the_answer_to_a_joining_nodes_attach_comes_back_through_its_bootstrap_node() {
    let mut bench = Bench::with_peer();
    bench.open(SECOND, &[LARGE]).unwrap();
    let place = ResourceId::from_u128(PEER.to_u128());
    let asked = bench.say(SECOND, LARGE, vec![place.into()], &offer(&[TLS]));
    let [(FIRST, request)] = &asked[..] else { panic!("{:?}", codes(&asked)) };
    assert_eq!(request.header.via_list, [LARGE.into()], "SB-5: the previous hop is whom the link binds");
    let Body::AttachReq(answer) = offer(&[TLS]) else { panic!() };
    let contents = MessageContents::new(&Body::AttachAns(answer)).unwrap();
    let answer = compose(PEER, request.header.transaction_id, vec![ME.into(), LARGE.into()], contents);
    let (_, back) = bench.exchange(FIRST, &answer);
    assert_eq!(codes(&back), [(SECOND, MessageCode::ATTACH_ANS)]);
}

#[test]
fn jl2_a_join_counts_over_the_link_that_its_node_is_bound_to_and_over_no_other() {
    let mut bench = Bench::with_peer();
    bench.open(SECOND, &[JOINER]).unwrap();
    bench.say(SECOND, JOINER, vec![ME.into()], &offer(&[TLS]));
    let join = Body::JoinReq(JoinReq { joining_peer_id: JOINER, overlay_specific_data: Bytes::new() });
    let over_anothers = bench.say(FIRST, JOINER, vec![ME.into()], &join);
    assert_eq!(error(over_anothers), Some(ErrorCode::FORBIDDEN));
    let mut message = bench.compose(JOINER, vec![ME.into()], &join);
    // Some put themselves into the Via List of what they originate.
    message.header.via_list = vec![JOINER.into()];
    let answers = bench.exchange(SECOND, &message).1;
    assert!(codes(&answers).contains(&(SECOND, MessageCode::JOIN_ANS)), "{:?}", codes(&answers));
    assert_eq!(answers[0].1.header.destination_list, [JOINER.into()]);
}

#[test]
fn rx8_an_originator_that_put_itself_into_the_via_list_stands_there_once_behind_this_node() {
    let mut bench = Bench::with_peer();
    bench.open(SECOND, &[LARGE]).unwrap();
    let mut message = bench.compose(LARGE, vec![PEER.into()], &ping());
    message.header.via_list = vec![LARGE.into()];
    let passed_on = bench.exchange(SECOND, &message).1;
    assert_eq!(passed_on[0].1.header.via_list, [LARGE.into()]);
}

#[test]
fn lt3_lt5_a_stream_without_acks_leaves_the_routing_table_comes_back_and_is_closed_in_the_end() {
    let mut bench = Bench::with_peer();
    bench.deaf = true;
    let since = bench.done.len();
    let asked_at = bench.now;
    bench.say(FIRST, PEER, vec![ME.into()], &ping());
    let first_write = bench.done[since..].iter().filter_map(written).find_map(|(_, f)| match f {
        Frame::Data { sequence, .. } => Some(sequence),
        Frame::Ack { .. } => None,
    });
    bench.now = asked_at + Duration::from_millis(999);
    bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
    assert!(bench.overlay.topology().contains(PEER));
    bench.now = asked_at + seconds(1);
    bench.with(|o, now, ctx| o.handle_timeout(now, ctx));
    assert!(!bench.overlay.topology().contains(PEER), "at the RTO");
    assert!(!bench.closed(FIRST));
    let ack = Frame::Ack { ack_sequence: first_write.unwrap() + 50, received: 0 }.encode().unwrap();
    bench.feed(FIRST, &ack).unwrap();
    assert!(!bench.overlay.topology().contains(PEER), "of nothing that was sent");
    let ack = Frame::Ack { ack_sequence: first_write.unwrap(), received: 0 }.encode().unwrap();
    bench.feed(FIRST, &ack).unwrap();
    assert!(bench.overlay.topology().contains(PEER));
    bench.say(FIRST, PEER, vec![ME.into()], &ping());
    let again_at = bench.now;
    while bench.overlay.topology().contains(PEER) {
        bench.wait(Duration::from_millis(10));
        assert!(bench.now < again_at + seconds(5), "a few round trips");
    }
    bench.wait(Duration::from_millis(29_980));
    assert!(!bench.closed(FIRST) && !bench.overlay.topology().contains(PEER));
    bench.wait(Duration::from_millis(20));
    assert!(bench.closed(FIRST), "30 s later");
}

#[test]
fn lt3_nothing_is_ever_sent_twice_over_a_stream_by_the_link() {
    let mut bench = Bench::linked();
    bench.deaf = true;
    bench.say(FIRST, PEER, vec![ME.into()], &ping());
    let since = bench.done.len();
    bench.wait(seconds(30));
    assert!(bench.done[since..].iter().all(|e| written(e).is_none()), "{:?}", &bench.done[since..]);
}

#[test]
fn a_second_key_for_a_node_id_gets_no_link_while_the_first_one_lives() {
    let mut bench = Bench::with_peer();
    bench.now += seconds(60);
    assert_eq!(bench.open_as(SECOND, stolen(PEER)), Err(DropReason::NotAllowedOnLink));
    assert!(bench.closed(SECOND) && !bench.closed(FIRST));
    assert!(bench.overlay.topology().contains(PEER));
    bench.deaf = true;
    bench.say(FIRST, PEER, vec![ME.into()], &ping());
    bench.wait(seconds(2));
    bench.open_as(StreamId::accepted(3), stolen(PEER)).unwrap();
    assert!(bench.closed(FIRST), "once it is degraded the newcomer is believed");
    assert_eq!(bench.connected(), [PEER]);
    assert!(!bench.overlay.topology().contains(PEER), "and begins anew");
}

#[test]
fn a_node_that_dials_again_with_the_same_key_has_forgotten_the_link_and_begins_anew() {
    for after in [1, 60] {
        let mut bench = Bench::with_peer();
        bench.now += seconds(after);
        bench.open(SECOND, &[PEER]).unwrap();
        assert!(bench.closed(FIRST) && !bench.closed(SECOND));
        assert_eq!(bench.stream_of(PEER), Some(SECOND));
        assert!(!bench.overlay.topology().contains(PEER));
        bench.become_peer(SECOND, PEER);
    }
}

#[test]
fn at6_of_two_dials_that_cross_the_one_of_the_smaller_node_id_stays() {
    // FAR is smaller: its dial is kept, and this node closes its own.
    for peers_first in [true, false] {
        let mut bench = Bench::linked();
        bench.open(StreamId::accepted(9), &[LARGE]).unwrap();
        bench.say(StreamId::accepted(9), FAR, vec![ME.into()], &offer(&[TLS]));
        let order = if peers_first { [SECOND, DIALLED] } else { [DIALLED, SECOND] };
        order.into_iter().for_each(|stream| bench.open(stream, &[FAR]).unwrap());
        assert!(bench.closed(DIALLED) && !bench.closed(SECOND), "{peers_first}");
        assert_eq!(bench.connected(), [FAR, PEER, LARGE]);
        // What an Attach has settled on the one holds for the other.
        bench.say(SECOND, FAR, vec![ME.into()], &update(vec![]));
        assert!(bench.overlay.topology().contains(FAR));
    }
    // LARGE is larger: this node's dial is kept, and LARGE will close its own.
    for peers_first in [true, false] {
        let mut bench = Bench::linked();
        bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
        let order = if peers_first { [SECOND, DIALLED] } else { [DIALLED, SECOND] };
        order.into_iter().for_each(|stream| bench.open(stream, &[LARGE]).unwrap());
        assert!(!bench.closed(DIALLED) && !bench.closed(SECOND), "{peers_first}");
        assert_eq!(bench.stream_of(LARGE), Some(DIALLED));
        let late = bench.say(SECOND, LARGE, vec![ME.into()], &ping());
        assert_eq!(codes(&late), [(DIALLED, MessageCode::PING_ANS)], "what is on its way is not lost");
        bench.with(|o, now, ctx| o.on_stream_closed(now, SECOND, ctx));
        assert_eq!(bench.connected(), [FAR, PEER, LARGE]);
        bench.say(DIALLED, LARGE, vec![ME.into()], &update(vec![]));
        assert!(bench.overlay.topology().contains(LARGE));
    }
}

#[test]
fn a_second_link_that_its_dialler_does_not_close_is_closed_after_the_time_of_a_dial() {
    let mut bench = Bench::linked();
    bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    [DIALLED, SECOND].into_iter().for_each(|stream| bench.open(stream, &[LARGE]).unwrap());
    bench.wait(seconds(4));
    assert!(bench.closed(SECOND) && !bench.closed(DIALLED));
    assert_eq!(bench.connected(), [PEER, LARGE]);
}

#[test]
fn a_dial_that_fails_or_is_not_answered_is_over_and_may_be_repeated() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    bench.with(|o, now, ctx| o.on_stream_closed(now, DIALLED, ctx));
    assert_eq!(bench.overlay.links(), 1);
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    let again = StreamId::requested_link(1);
    assert!(bench.done.contains(&Effect::Connect { stream: again, to: away() }), "under a new name");
    bench.wait(seconds(4));
    assert!(bench.closed(again));
    assert_eq!(bench.open(again, &[FAR]), Err(DropReason::NotInUse), "too late");
    assert_eq!(bench.connected(), [PEER]);
}

#[test]
fn an_address_where_somebody_was_found_earlier_is_dialled_when_another_node_says_it_is_there() {
    let mut bench = Bench::linked();
    bench.say(FIRST, FAR, vec![ME.into()], &offer(&[TLS]));
    bench.open(DIALLED, &[FAR]).unwrap();
    bench.with(|o, now, ctx| o.on_stream_closed(now, DIALLED, ctx));
    bench.open(SECOND, &[FAR]).unwrap();
    bench.say(FIRST, LARGE, vec![ME.into()], &offer(&[TLS]));
    let again = StreamId::requested_link(1);
    assert!(bench.done.contains(&Effect::Connect { stream: again, to: away() }));
    bench.open(again, &[LARGE]).unwrap();
    assert_eq!(bench.connected(), [FAR, PEER, LARGE]);
}

#[test]
fn lr7_a_stream_that_breaks_takes_its_node_out_of_the_routing_table_at_once() {
    let mut bench = Bench::with_peer();
    bench.with(|o, now, ctx| o.on_stream_closed(now, FIRST, ctx));
    assert!(bench.connected().is_empty() && !bench.overlay.topology().contains(PEER));
    assert!(!bench.closed(FIRST), "it is closed already");
    bench.with(|o, now, ctx| o.on_stream_closed(now, FIRST, ctx));
    assert_eq!(bench.feed(FIRST, &[0x80]), Err(DropReason::NotInUse));
}

#[test]
fn k8_streams_that_only_stand_there_have_a_limit_and_the_idlest_is_closed() {
    let mut bench = Bench::with_peer();
    let limit = bench.overlay.config().limits.half_open as u32;
    for n in 0..=limit {
        bench.now += Duration::from_millis(1);
        bench.open(StreamId::accepted(100 + n), &[NodeId::from_u128(u128::from(n) + 1)]).unwrap();
    }
    assert!(bench.closed(StreamId::accepted(100)) && !bench.closed(StreamId::accepted(101)));
    assert!(!bench.closed(FIRST), "a peer is no such stream");
    assert_eq!(bench.overlay.links() as u32, limit + 1);
}

#[test]
fn k8_a_peer_that_acknowledges_nothing_is_written_no_more_than_a_queue_of_messages() {
    let mut bench = Bench::linked();
    bench.deaf = true;
    let limit = bench.overlay.config().limits.link_queue;
    let since = bench.done.len();
    for _ in 0..2 * limit {
        let message = bench.compose(PEER, vec![ME.into()], &ping());
        let frame = bench.frame(FIRST, &message);
        bench.feed(FIRST, &frame).unwrap();
    }
    let data = |e: &&Effect<Fact>| matches!(written(e), Some((_, Frame::Data { .. })));
    assert_eq!(bench.done[since..].iter().filter(data).count(), limit);
}

#[test]
fn nothing_is_opened_or_kept_outside_an_overlay() {
    let mut bench = Bench::with_peer();
    bench.with(|o, now, ctx| o.leave(now, ctx)).unwrap();
    bench.wait(seconds(4));
    assert!(bench.facts.contains(&Fact::Left));
    assert!(bench.closed(FIRST), "whoever leaves hangs up");
    assert_eq!(bench.open(SECOND, &[FAR]), Err(DropReason::NotInUse));
    assert!(bench.closed(SECOND));
}

#[test]
fn lt2_an_association_binds_its_address_and_a_new_one_begins_anew() {
    let mut bench = Bench::new(LinkSecurity::Dtls);
    let associate =
        |b: &mut Bench, p: Arc<Party>| b.with(|o, now, ctx| o.on_association(now, away(), p, ctx));
    associate(&mut bench, party(&[PEER])).unwrap();
    assert_eq!(bench.overlay.connected().collect::<Vec<_>>(), [(PEER, away())]);
    assert!(bench.done.is_empty(), "no STUN, no Ping");
    let two: Vec<u8> = (0..2u32)
        .flat_map(|_| {
            let message = bench.compose(PEER, vec![ME.into()], &ping());
            bench.frame(FIRST, &message)
        })
        .collect();
    bench.with(|o, now, ctx| o.handle_datagram(now, away(), two.into(), ctx)).unwrap();
    let acks = bench.done.iter().filter(|e| matches!(e, Effect::Send { payload, .. } if payload[0] == 0x81));
    assert_eq!(acks.count(), 2, "two frames in one record");
    bench.now += seconds(60);
    associate(&mut bench, party(&[FAR])).unwrap();
    assert_eq!(bench.connected(), [FAR], "whoever is there now is there");
    bench.now += seconds(60);
    let elsewhere = SocketAddr::from(([10, 0, 0, 9], 6084));
    let result = bench.with(|o, now, ctx| o.on_association(now, elsewhere, stolen(FAR), ctx));
    assert_eq!(result, Err(DropReason::NotAllowedOnLink));
    assert!(bench.done.contains(&Effect::Dissociate { to: elsewhere }));
    bench.with(|o, now, ctx| o.handle_unreachable(now, away(), ctx));
    assert!(bench.connected().is_empty());
}

#[test]
fn lt2_fr6_a_message_that_is_too_large_ends_the_association() {
    let mut bench = Bench::new(LinkSecurity::Dtls);
    bench.with(|o, now, ctx| o.on_association(now, away(), party(&[PEER]), ctx)).unwrap();
    let padding = Bytes::from(vec![0; 6000]);
    let message = bench.compose(PEER, vec![ME.into()], &Body::PingReq(PingReq { padding }));
    let frame = bench.frame(FIRST, &message);
    let result = bench.with(|o, now, ctx| o.handle_datagram(now, away(), frame, ctx));
    assert_eq!((result, bench.overlay.links()), (Err(DropReason::TooLarge), 0));
    assert_eq!(bench.done.last(), Some(&Effect::Dissociate { to: away() }));
}

/// Everybody's links, by both ends.
fn links_of(net: &Net) -> BTreeSet<(usize, usize)> {
    let at = |id: NodeId| (0..net.nodes.len()).find(|&i| net.id(i) == id).unwrap();
    net.living()
        .into_iter()
        .flat_map(|i| net.nodes[i].overlay.connected().map(move |(n, _)| (i, n)).collect::<Vec<_>>())
        .map(|(i, n)| (i, at(n)))
        .collect()
}

#[test]
fn lt3_lt2_rings_form_over_tls_and_over_dtls_and_nobody_drops_anything() {
    for security in SECURED {
        for n in [1, 2, 3, 8] {
            let net = ring_over(security, n, 77 + n as u64);
            net.assert_ring();
            for node in &net.nodes {
                let strange = |r: &&DropReason| {
                    !matches!(
                        r,
                        DropReason::NoRoute | DropReason::NotConnected | DropReason::UnknownTransaction
                    )
                };
                let strange: Vec<_> = node.drops.keys().filter(strange).collect();
                assert_eq!(strange, Vec::<&DropReason>::new(), "{security:?} {n}");
            }
        }
    }
}

#[test]
fn at6_at5_everybody_joining_at_once_gives_one_stream_for_each_pair_that_is_linked() {
    for seed in 0..4 {
        let mut net = Net { security: LinkSecurity::Tls, ..Net::new(seed) };
        for i in 0..8 {
            let id = net.random_id();
            net.add(id);
            if i == 0 {
                net.create(0);
            } else {
                net.join(i, &[0]);
            }
        }
        net.run(seconds(120));
        net.assert_ring();
        let links = links_of(&net);
        assert!(links.iter().all(|&(a, b)| links.contains(&(b, a))), "both ends agree, seed {seed}");
        assert_eq!(net.underlay.streams() * 2, links.len(), "seed {seed}");
    }
}

#[test]
fn lt5_cu10_3_a_ring_over_secured_links_survives_a_silent_death_and_keeps_its_values() {
    for security in SECURED {
        let mut net = ring_over(security, 8, 5);
        for name in names(5) {
            net.store(1, 1, &name, b"x", 3600);
            net.run(seconds(2));
        }
        let victim = net.responsible("channel 0");
        net.kill(victim);
        net.run(seconds(180));
        net.assert_ring();
        let asker = net.living()[0];
        for (ticket, name) in names(5).iter().enumerate() {
            net.fetch(asker, 100 + ticket as u64, name);
            net.run(seconds(5));
            let values = net.fetched(asker, 100 + ticket as u64).unwrap().unwrap();
            assert_eq!(values.len(), 1, "{security:?} {name}");
        }
    }
}

#[test]
fn lt3_a_cut_of_ten_seconds_closes_no_stream_and_the_ring_is_whole_again() {
    let mut net = ring_over(LinkSecurity::Tls, 6, 9);
    let before = net.underlay.streams();
    net.cut = Some(3);
    net.run(seconds(10));
    net.cut = None;
    net.run(seconds(180));
    net.assert_ring();
    assert!(net.underlay.streams() >= before - 1, "{} of {before}", net.underlay.streams());
}

#[test]
fn a_node_that_was_switched_off_and_joins_again_takes_its_place() {
    for security in SECURED {
        let mut net = ring_over(security, 5, 11);
        net.kill(2);
        net.run(seconds(1));
        net.restart(2);
        net.join(2, &[0]);
        net.run(seconds(120));
        net.assert_ring();
        assert!(net.nodes[2].facts.contains(&Fact::Joined), "{security:?}");
    }
}
