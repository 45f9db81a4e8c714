//! One overlay and a peer made of bytes: what stands on the wire, method by method.

use bytes::Bytes;
use p2piptv::chord::Chord;
use p2piptv::effect::{Effect, Effects};
use p2piptv::env::{Crypto, InsecureIdentity, Seeded};
use p2piptv::ids::{NodeId, ResourceId, overlay_hash};
use p2piptv::reload::codec::body::{
    AppAttach, AttachReqAns, CandidateType, FetchReq, FindReq, IceCandidate, JoinReq, PingReq,
    ProbeInformation, ProbeReq, RouteQueryReq, StoreKindData, StoreReq, StoredDataSpecifier,
};
use p2piptv::reload::codec::{
    ApplicationId, Body, Destination, ErrorCode, ErrorInfo, ErrorResponse, ForwardingHeader,
    ForwardingOption, Frame, KindId, Message, MessageCode, MessageContents, MessageExtension, OptionType,
    OverlayLinkType, ProbeInformationType, RawValues, SecurityBlock, Signature, message_signature_input,
};
use p2piptv::reload::codec::{ExtensionType, StoredData};
use p2piptv::reload::overlay::{Config, Context, Fact, Overlay};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::{Duration, Instant, UnixMillis};
use std::net::SocketAddr;

pub(super) const OVERLAY: &str = "p2piptv.example";
pub(super) const ME: NodeId = NodeId([0x80; 16]);
pub(super) const PEER: NodeId = NodeId([0x40; 16]);
pub(super) const FAR: NodeId = NodeId([0x20; 16]);

pub(super) fn home() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 6084))
}

pub(super) fn away() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 6084))
}

/// An overlay that founded itself, and the other end of one link to it.
pub(super) struct Bench {
    pub(super) overlay: Overlay<Chord>,
    pub(super) identity: InsecureIdentity,
    pub(super) entropy: Seeded,
    pub(super) now: Instant,
    pub(super) sequence: u32,
    pub(super) next_id: u64,
    pub(super) facts: Vec<Fact>,
    /// Where every datagram went, and its frame.
    pub(super) sent: Vec<(SocketAddr, Frame)>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let mut bench = Bench {
            overlay: Overlay::new(Config::new(OVERLAY, home()), ME).unwrap(),
            identity: InsecureIdentity::new(ME),
            entropy: Seeded::new(1),
            now: Instant::ZERO,
            sequence: 0,
            next_id: 1000,
            facts: Vec::new(),
            sent: Vec::new(),
        };
        bench.overlay.handle_wall_clock(Instant::ZERO, UnixMillis(1_700_000_000_000));
        bench.with(|o, now, ctx| o.create(now, ctx)).0.unwrap();
        bench
    }

    /// With the link up: the peer has dialled.
    pub(super) fn linked() -> Self {
        let mut bench = Bench::new();
        let answers = bench.say(PEER, vec![NodeId::WILDCARD.into()], &ping());
        assert_eq!(answers[0].contents.message_code, MessageCode::PING_ANS);
        bench
    }

    /// With an Attach completed too.
    pub(super) fn attached() -> Self {
        let mut bench = Bench::linked();
        let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK);
        let answers = bench.say(PEER, vec![ME.into()], &offer);
        assert_eq!(answers[0].contents.message_code, MessageCode::ATTACH_ANS);
        bench
    }

    pub(super) fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Overlay<Chord>, Instant, &mut Context<'_>) -> R,
    ) -> (R, Vec<Frame>) {
        let mut effects = Effects::new();
        let mut ctx = Context { entropy: &mut self.entropy, crypto: &self.identity, effects: &mut effects };
        let result = f(&mut self.overlay, self.now, &mut ctx);
        let mut frames = Vec::new();
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, payload } => {
                    let frame = Frame::decode(&payload).unwrap();
                    self.sent.push((to, frame.clone()));
                    frames.push(frame);
                }
                Effect::Fact(fact) => self.facts.push(fact),
                other => panic!("{other:?}"),
            }
        }
        (result, frames)
    }

    /// Hands in a message and collects the messages that leave until nothing more does, acknowledging each.
    pub(super) fn exchange(&mut self, message: &Message) -> (Result<(), DropReason>, Vec<Message>) {
        let frame = Frame::Data { sequence: self.sequence, message: message.encode().unwrap() };
        self.sequence += 1;
        let datagram = frame.encode().unwrap();
        let (result, frames) = self.with(|o, now, ctx| o.handle_datagram(now, away(), datagram, ctx));
        (result, self.collect(frames))
    }

    pub(super) fn collect(&mut self, mut frames: Vec<Frame>) -> Vec<Message> {
        let mut messages = Vec::new();
        for _ in 0..20 {
            let mut next = Vec::new();
            for frame in frames {
                if let Frame::Data { sequence, message } = frame {
                    messages.push(Message::decode(&message).unwrap());
                    let ack = Frame::Ack { ack_sequence: sequence, received: 0 }.encode().unwrap();
                    next.extend(self.with(|o, now, ctx| o.handle_datagram(now, away(), ack, ctx)).1);
                }
            }
            self.now += Duration::from_millis(10);
            next.extend(self.with(|o, now, ctx| o.handle_timeout(now, ctx)).1);
            frames = next;
        }
        messages
    }

    pub(super) fn say(&mut self, signer: NodeId, list: Vec<Destination>, body: &Body) -> Vec<Message> {
        let message = self.compose(signer, list, body);
        self.exchange(&message).1
    }

    pub(super) fn compose(&mut self, signer: NodeId, list: Vec<Destination>, body: &Body) -> Message {
        self.next_id += 1;
        compose(signer, self.next_id, list, MessageContents::new(body).unwrap())
    }
}

pub(super) fn compose(signer: NodeId, id: u64, list: Vec<Destination>, contents: MessageContents) -> Message {
    let overlay = overlay_hash(OVERLAY);
    let header = ForwardingHeader { configuration_sequence: 1, ..ForwardingHeader::new(overlay, id, list) };
    let identity = InsecureIdentity::new(signer);
    let input = message_signature_input(overlay, id, &contents, &identity.signer()).unwrap();
    let signature = Signature { identity: identity.signer(), signed: identity.sign(&[&input]) };
    Message { header, contents, security: SecurityBlock { certificates: vec![], signature } }
}

pub(super) fn ping() -> Body {
    Body::PingReq(PingReq::default())
}

pub(super) fn attach(role: Bytes, overlay_link: OverlayLinkType) -> Body {
    Body::AttachReq(AttachReqAns {
        ufrag: Bytes::new(),
        password: Bytes::new(),
        role,
        candidates: vec![IceCandidate {
            addr_port: away().into(),
            overlay_link,
            foundation: Bytes::from_static(b"1"),
            priority: 1,
            candidate_type: CandidateType::Host,
            extensions: vec![],
        }],
        send_update: true,
    })
}

pub(super) fn error_in(messages: &[Message]) -> Option<ErrorCode> {
    messages.iter().find_map(|m| match m.contents.body() {
        Ok(Body::Error(ErrorResponse { error_code, .. })) => Some(error_code),
        _ => None,
    })
}

pub(super) fn anywhere() -> ResourceId {
    ResourceId::of_name(b"a")
}

#[test]
fn cl3_fr2_sr7_a_ping_to_the_wildcard_opens_a_link_and_is_answered_at_once() {
    let mut bench = Bench::new();
    let message = bench.compose(PEER, vec![NodeId::WILDCARD.into()], &ping());
    let datagram = Frame::Data { sequence: 0, message: message.encode().unwrap() }.encode().unwrap();
    let (result, frames) = bench.with(|o, now, ctx| o.handle_datagram(now, away(), datagram, ctx));
    assert_eq!(result, Ok(()));
    assert_eq!(frames[0], Frame::Ack { ack_sequence: 0, received: 0 }, "FR-2");
    let Frame::Data { sequence: 0, message } = &frames[1] else { panic!("{frames:?}") };
    let answer = Message::decode(message).unwrap();
    assert_eq!(answer.header.destination_list, [PEER.into()], "RX-11");
    assert_eq!((answer.header.ttl, answer.header.via_list.len()), (100, 0), "SR-7");
    assert_eq!(bench.overlay.connected().collect::<Vec<_>>(), [(PEER, away())]);
}

#[test]
fn a_stranger_who_does_not_open_with_a_handshake_gets_neither_link_nor_answer() {
    let mut bench = Bench::new();
    let message = bench.compose(PEER, vec![ME.into()], &ping());
    let (result, messages) = bench.exchange(&message);
    assert_eq!((result, messages.len(), bench.overlay.links()), (Err(DropReason::NotAllowedOnLink), 0, 0));
    let mut forged = bench.compose(PEER, vec![NodeId::WILDCARD.into()], &ping());
    forged.security.signature.identity = InsecureIdentity::new(FAR).signer();
    let (result, messages) = bench.exchange(&forged);
    assert_eq!((result, messages.len(), bench.overlay.links()), (Err(DropReason::BadSignature), 0, 0));
}

#[test]
fn rx1_another_overlay_or_version_is_discarded_in_silence() {
    let mut bench = Bench::linked();
    let mut other = bench.compose(PEER, vec![ME.into()], &ping());
    other.header.overlay ^= 1;
    assert_eq!(bench.exchange(&other), (Err(DropReason::WrongOverlay), vec![]));
    let mut bytes = bench.compose(PEER, vec![ME.into()], &ping()).encode().unwrap().to_vec();
    bytes[10] = 0x0b;
    let datagram = Frame::Data { sequence: 9, message: bytes.into() }.encode().unwrap();
    let (result, _) = bench.with(|o, now, ctx| o.handle_datagram(now, away(), datagram, ctx));
    assert_eq!(result, Err(DropReason::WrongVersion), "FH-4");
}

#[test]
fn fh5_fh7_the_ttl_decides_who_may_still_be_reached() {
    let mut bench = Bench::linked();
    let mut mine = bench.compose(PEER, vec![ME.into()], &ping());
    mine.header.ttl = 0;
    assert_eq!(bench.exchange(&mine).1[0].contents.message_code, MessageCode::PING_ANS);
    let mut large = bench.compose(PEER, vec![ME.into()], &ping());
    large.header.ttl = 101;
    let (result, messages) = bench.exchange(&large);
    assert_eq!((result, error_in(&messages)), (Err(DropReason::TtlExpired), Some(ErrorCode::TTL_EXCEEDED)));
    let mut through = bench.compose(FAR, vec![PEER.into()], &ping());
    through.header.ttl = 0;
    let (result, messages) = bench.exchange(&through);
    assert_eq!((result, error_in(&messages)), (Err(DropReason::TtlExpired), Some(ErrorCode::TTL_EXCEEDED)));
}

#[test]
fn fh5_rx8_what_is_forwarded_has_one_hop_less_and_the_previous_hop_in_its_via_list() {
    let mut bench = Bench::linked();
    let mut message = bench.compose(FAR, vec![ME.into(), PEER.into()], &ping());
    message.header.via_list = vec![FAR.into()];
    let (result, messages) = bench.exchange(&message);
    assert_eq!(result, Ok(()));
    let header = &messages[0].header;
    assert_eq!((header.ttl, &header.via_list[..]), (99, &[FAR.into(), PEER.into()][..]));
    assert_eq!(header.destination_list, [PEER.into()]);
    assert_eq!(messages[0].contents, message.contents, "RX-2: the payload is not touched");
}

#[test]
fn rx10_a_response_in_transit_gets_no_via() {
    let mut bench = Bench::linked();
    let contents = MessageContents {
        message_code: MessageCode::UPDATE_ANS,
        message_body: Bytes::new(),
        extensions: vec![],
    };
    let message = compose(FAR, 5, vec![ME.into(), PEER.into()], contents);
    let (_, messages) = bench.exchange(&message);
    assert_eq!((messages.len(), messages[0].header.via_list.len()), (1, 0));
}

#[test]
fn rx6_a_node_in_my_range_that_is_not_connected_is_dropped_in_silence() {
    let mut bench = Bench::linked();
    let message = bench.compose(PEER, vec![FAR.into()], &ping());
    assert_eq!(bench.exchange(&message), (Err(DropReason::NotConnected), vec![]));
}

#[test]
fn dl7_a_destination_list_that_names_somebody_twice_is_refused() {
    let mut bench = Bench::linked();
    let message = bench.compose(PEER, vec![ME.into(), PEER.into(), ME.into()], &ping());
    assert_eq!(error_in(&bench.exchange(&message).1), Some(ErrorCode::INVALID_MESSAGE));
}

#[test]
fn fo2_fo3_critical_options_are_refused_by_whom_they_concern() {
    let mut bench = Bench::linked();
    let option =
        |flags| ForwardingOption { option_type: OptionType(77), flags, value: Bytes::from_static(b"v") };
    let mut send = |list: Vec<Destination>, flags| {
        let mut message = bench.compose(PEER, list, &ping());
        message.header.options = vec![option(flags)];
        bench.exchange(&message).1
    };
    let unsupported = Some(ErrorCode::UNSUPPORTED_FORWARDING_OPTION);
    let (here, through) = (vec![ME.into()], vec![ME.into(), PEER.into()]);
    assert_eq!(error_in(&send(here.clone(), ForwardingOption::DESTINATION_CRITICAL)), unsupported);
    assert_eq!(error_in(&send(through.clone(), ForwardingOption::FORWARD_CRITICAL)), unsupported);
    assert_eq!(error_in(&send(through, ForwardingOption::DESTINATION_CRITICAL)), None);
    assert_eq!(error_in(&send(here, ForwardingOption::FORWARD_CRITICAL)), None);
}

#[test]
fn fo4_an_option_that_asks_for_it_is_copied_into_the_answer_without_its_flags() {
    let mut bench = Bench::linked();
    let mut message = bench.compose(PEER, vec![ME.into()], &ping());
    let value = Bytes::from_static(b"copy me");
    let flags = ForwardingOption::RESPONSE_COPY;
    message.header.options =
        vec![ForwardingOption { option_type: OptionType(77), flags, value: value.clone() }];
    let answer = bench.exchange(&message).1.remove(0);
    assert_eq!(answer.header.options, [ForwardingOption { option_type: OptionType(77), flags: 0, value }]);
}

#[test]
fn fh12_an_answer_that_would_be_too_long_becomes_an_error() {
    let mut bench = Bench::linked();
    let mut message = bench.compose(PEER, vec![ME.into()], &ping());
    message.header.max_response_length = 60;
    assert_eq!(error_in(&bench.exchange(&message).1), Some(ErrorCode::RESPONSE_TOO_LARGE));
}

#[test]
fn cs2_another_configuration_is_refused_at_the_destination() {
    let mut bench = Bench::linked();
    for (sequence, code) in [(0, ErrorCode::CONFIG_TOO_OLD), (2, ErrorCode::CONFIG_TOO_NEW)] {
        let mut message = bench.compose(PEER, vec![ME.into()], &ping());
        message.header.configuration_sequence = sequence;
        assert_eq!(error_in(&bench.exchange(&message).1), Some(code));
    }
}

#[test]
fn mc4_a_critical_extension_is_refused_and_another_one_ignored() {
    let mut bench = Bench::linked();
    for critical in [true, false] {
        let mut contents = MessageContents::new(&ping()).unwrap();
        let extension_contents = Bytes::new();
        contents.extensions.push(MessageExtension {
            extension_type: ExtensionType(99),
            critical,
            extension_contents,
        });
        let message = compose(PEER, 70 + u64::from(critical), vec![ME.into()], contents);
        let expected = critical.then_some(ErrorCode::UNKNOWN_EXTENSION);
        assert_eq!(error_in(&bench.exchange(&message).1), expected);
    }
}

#[test]
fn mc5_an_unknown_method_is_an_invalid_message() {
    let mut bench = Bench::linked();
    let contents =
        MessageContents { message_code: MessageCode(0x6f), message_body: Bytes::new(), extensions: vec![] };
    let message = compose(PEER, 1, vec![ME.into()], contents);
    assert_eq!(error_in(&bench.exchange(&message).1), Some(ErrorCode::INVALID_MESSAGE));
}

#[test]
fn sr6_a_repeated_request_gets_the_same_bytes_for_fifteen_seconds() {
    let mut bench = Bench::linked();
    let message = bench.compose(PEER, vec![ME.into()], &ping());
    let ask = |bench: &mut Bench| {
        let answer = bench.exchange(&message).1.remove(0);
        (answer.contents, answer.security)
    };
    let first = ask(&mut bench);
    bench.now += Duration::from_secs(4);
    assert_eq!(ask(&mut bench), first);
    bench.now += Duration::from_secs(12);
    assert_ne!(ask(&mut bench), first, "a new response_id: it was carried out anew");
}

#[test]
fn at1_at2_an_attach_of_another_kind_is_refused() {
    let mut bench = Bench::linked();
    let mut send = |role, link| error_in(&bench.say(PEER, vec![ME.into()], &attach(role, link)));
    assert_eq!(send(AttachReqAns::ACTIVE, OverlayLinkType::EXP_LINK), Some(ErrorCode::INVALID_MESSAGE));
    assert_eq!(send(AttachReqAns::PASSIVE, OverlayLinkType::DTLS_UDP_SR), Some(ErrorCode::INVALID_MESSAGE));
    assert_eq!(send(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK), None);
}

#[test]
fn at7_at3_a_member_sends_an_update_when_an_attach_completes() {
    let mut bench = Bench::linked();
    let offer = attach(AttachReqAns::PASSIVE, OverlayLinkType::EXP_LINK);
    let codes: Vec<MessageCode> =
        bench.say(PEER, vec![ME.into()], &offer).iter().map(|m| m.contents.message_code).collect();
    assert_eq!(codes, [MessageCode::ATTACH_ANS, MessageCode::UPDATE_REQ]);
    assert!(!bench.overlay.topology().contains(PEER), "AT-3: not before its own Update");
}

#[test]
fn jl1_jl2_a_join_must_come_from_the_joining_node_itself_over_its_own_link() {
    let join = |id| Body::JoinReq(JoinReq { joining_peer_id: id, overlay_specific_data: Bytes::new() });
    let mut bench = Bench::attached();
    let mut send = |signer, id, via: &[NodeId]| {
        let mut message = bench.compose(signer, vec![ME.into()], &join(id));
        message.header.via_list = via.iter().map(|n| (*n).into()).collect();
        bench.exchange(&message).1
    };
    assert_eq!(error_in(&send(PEER, FAR, &[])), Some(ErrorCode::FORBIDDEN), "another id than the signer's");
    assert_eq!(error_in(&send(FAR, FAR, &[FAR])), Some(ErrorCode::FORBIDDEN), "relayed");
    let codes: Vec<MessageCode> = send(PEER, PEER, &[]).iter().map(|m| m.contents.message_code).collect();
    assert_eq!(codes[0], MessageCode::JOIN_ANS);
    assert!(codes.contains(&MessageCode::UPDATE_REQ), "step 7");
    let mut unattached = Bench::linked();
    let message = unattached.compose(PEER, vec![ME.into()], &join(PEER));
    assert_eq!(error_in(&unattached.exchange(&message).1), Some(ErrorCode::FORBIDDEN));
}

#[test]
fn pb1_pb2_a_probe_tells_what_was_asked_for_and_is_known() {
    let mut bench = Bench::linked();
    let types = [3, 9, 1].map(ProbeInformationType).to_vec();
    let probe = Body::ProbeReq(ProbeReq { requested_info: types });
    let answer = bench.say(PEER, vec![ME.into()], &probe).remove(0);
    let Ok(Body::ProbeAns(answer)) = answer.contents.body() else { panic!() };
    let expected = [ProbeInformation::Uptime(0), ProbeInformation::ResponsibleSet(1_000_000_000)];
    assert_eq!(answer.probe_info, expected);
}

#[test]
fn rq1_rq3_a_route_query_names_the_next_hop() {
    let mut bench = Bench::linked();
    let mut ask = |destination: Destination| {
        let query = RouteQueryReq { send_update: false, destination, overlay_specific_data: Bytes::new() };
        let answer = bench.say(PEER, vec![ME.into()], &Body::RouteQueryReq(query)).remove(0);
        match answer.contents.body() {
            Ok(Body::RouteQueryAns(answer)) => Some(answer.next_peer),
            _ => None,
        }
    };
    assert_eq!(ask(anywhere().into()), Some(ME), "responsible itself");
    assert_eq!(ask(PEER.into()), Some(PEER));
    assert_eq!(ask(Destination::Compressed(0x8001)), None, "RQ-3");
}

#[test]
fn ap2_an_application_that_is_not_offered_is_not_found() {
    let mut bench = Bench::linked();
    let attach = AppAttach {
        ufrag: Bytes::new(),
        password: Bytes::new(),
        application: ApplicationId::SIP,
        role: AttachReqAns::PASSIVE,
        candidates: vec![],
    };
    let answers = bench.say(PEER, vec![ME.into()], &Body::AppAttachReq(attach));
    assert_eq!(error_in(&answers), Some(ErrorCode::NOT_FOUND));
}

#[test]
fn mc3_every_unknown_kind_of_a_request_is_listed() {
    let mut bench = Bench::linked();
    let kinds = [KindId(0xf000_0001), KindId::CHANNEL, KindId(0xf000_0002)];
    let specifiers =
        kinds.map(|kind| StoredDataSpecifier { kind, generation: 0, model_specifier: Bytes::new() }).to_vec();
    let fetch = Body::FetchReq(FetchReq { resource: anywhere(), specifiers });
    let answer = bench.say(PEER, vec![anywhere().into()], &fetch).remove(0);
    let Ok(Body::Error(error)) = answer.contents.body() else { panic!() };
    assert_eq!(error.info(), Ok(ErrorInfo::UnknownKinds(vec![kinds[0], kinds[2]])));
}

#[test]
fn fi1_fi3_a_find_asks_for_each_kind_once_and_hears_zero_when_there_is_nothing() {
    let mut bench = Bench::linked();
    let mut ask = |kinds: Vec<KindId>| {
        let find = Body::FindReq(FindReq { resource: anywhere(), kinds });
        bench.say(PEER, vec![anywhere().into()], &find)
    };
    assert_eq!(error_in(&ask(vec![KindId::CHANNEL, KindId::CHANNEL])), Some(ErrorCode::INVALID_MESSAGE));
    let Ok(Body::FindAns(answer)) = ask(vec![KindId::CHANNEL])[0].contents.body() else { panic!() };
    assert_eq!(answer.results[0].closest, ResourceId::from_u128(0));
}

#[test]
fn st14_ch7_unsigned_values_and_replicas_from_strangers_are_forbidden() {
    let mut bench = Bench::linked();
    let data = StoredData { signature: Signature::none(), ..StoredData::synthetic(0) };
    let value = p2piptv::reload::codec::Arranged::Dictionary {
        key: Bytes::copy_from_slice(&PEER.0),
        value: data.value.value().clone(),
    };
    let values = RawValues::encode_values(&[StoredData { value, ..data }]).unwrap();
    let mut store = |replica_number, generation_counter| {
        let kind_data =
            vec![StoreKindData { kind: KindId::CHANNEL, generation_counter, values: values.clone() }];
        let store = StoreReq { resource: anywhere(), replica_number, kind_data };
        error_in(&bench.say(PEER, vec![anywhere().into()], &Body::StoreReq(store)))
    };
    assert_eq!(store(0, 0), Some(ErrorCode::FORBIDDEN));
    assert_eq!(store(1, 1), Some(ErrorCode::FORBIDDEN));
    assert!(bench.overlay.storage().is_empty());
}

#[test]
fn a_peer_that_dials_again_has_forgotten_the_link_and_begins_anew() {
    let mut bench = Bench::attached();
    let again = bench.compose(PEER, vec![NodeId::WILDCARD.into()], &ping());
    bench.exchange(&again).0.unwrap();
    let join = Body::JoinReq(JoinReq { joining_peer_id: PEER, overlay_specific_data: Bytes::new() });
    let message = bench.compose(PEER, vec![ME.into()], &join);
    assert_eq!(
        error_in(&bench.exchange(&message).1),
        Some(ErrorCode::FORBIDDEN),
        "the Attach is forgotten too"
    );
    assert_eq!(bench.overlay.links(), 1);
}

#[test]
fn k8_half_open_links_have_a_limit_and_the_idlest_gives_way() {
    let mut bench = Bench::new();
    let limit = bench.overlay.config().limits.half_open;
    for n in 0..=limit as u16 {
        let id = NodeId::from_u128(u128::from(n) + 1);
        let message = bench.compose(id, vec![NodeId::WILDCARD.into()], &ping());
        let datagram = Frame::Data { sequence: 0, message: message.encode().unwrap() }.encode().unwrap();
        let from = SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 6084));
        bench.now += Duration::from_millis(1);
        bench.with(|o, now, ctx| o.handle_datagram(now, from, datagram, ctx)).0.unwrap();
    }
    assert_eq!(bench.overlay.links(), limit);
    let nodes: Vec<NodeId> = bench.overlay.connected().map(|(n, _)| n).collect();
    assert!(!nodes.contains(&NodeId::from_u128(1)) && nodes.contains(&NodeId::from_u128(limit as u128 + 1)));
}
