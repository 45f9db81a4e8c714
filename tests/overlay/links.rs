//! A secured link from its beginning to its end: what is taken, silence, limits, and what breaks it (LT).

use super::bench::{Bench, FIRST, SECOND, SECURED, codes, stolen, written};
use super::network::seconds;
use super::underlay::party;
use super::wire::{FAR, ME, PEER, away, ping};
use bytes::Bytes;
use p2piptv::effect::Effect;
use p2piptv::env::Party;
use p2piptv::ids::{NodeId, StreamId};
use p2piptv::reload::codec::body::PingReq;
use p2piptv::reload::codec::{Body, Frame, MessageCode};
use p2piptv::reload::overlay::{Fact, LinkSecurity};
use p2piptv::reload::topology::Topology;
use p2piptv::stats::DropReason;
use p2piptv::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

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
