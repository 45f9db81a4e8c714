//! Two agents over a virtual wire.

use crate::wire::{ANSWER, LATENCY, OFFER, World, addr};
use bytes::Bytes;
use p2piptv::ids::{CallId, NodeId, StreamId};
use p2piptv::sip::agent::{
    Config, EndCause, Fact, Failure, Limits, OrderError, Peer, Refusal, Target, Transport,
};
use p2piptv::sip::body::Carrier;
use p2piptv::sip::msg::Status;
use p2piptv::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

#[test]
fn a_call_goes_from_invite_to_bye() {
    for transport in BOTH {
        let mut w = World::pair(transport);
        let placed = CallId::placed(1);
        let carrier = if transport == Transport::Tcp { Carrier::Stream } else { Carrier::Datagram };
        w.invite(0, placed, addr(1)).unwrap();
        w.run_until(100);
        let Some(Fact::Invited { call: received, invitation }) = w.fact(1) else { panic!("no invitation") };
        assert!(!received.is_placed());
        assert_eq!((invitation.channel.as_str(), invitation.from.as_str()), ("100", "0"));
        assert_eq!((invitation.contact.addr, invitation.contact.transport), (addr(0), transport));
        assert_eq!((invitation.contact.params.slots, invitation.urgent), (Some(2), true));
        assert_eq!(invitation.sdp.as_deref(), Some(OFFER));
        w.accept(1, received).unwrap();
        w.run_until(200);
        let Some(Fact::Answered { call, contact, sdp, via }) = w.fact(0) else { panic!("no answer") };
        assert_eq!((call, contact.addr, contact.params.depth), (placed, addr(1), Some(0)));
        assert_eq!(via, addr(1));
        assert!(contact.params.rescue);
        assert_eq!(sdp.as_deref(), Some(ANSWER));
        assert_eq!(w.fact(1), Some(Fact::Confirmed { call: received }));

        for (side, call, other) in [(0, placed, received), (1, received, placed)] {
            w.info(side, call, "IPTV INFO : Alive\r\n").unwrap();
            w.run_until(w.now.as_millis() + 100);
            let body = Bytes::from_static(b"IPTV INFO : Alive\r\n");
            let informed = Fact::Informed { call: other, body, carrier, package: true };
            assert_eq!(w.fact(1 - side), Some(informed));
            assert_eq!(w.fact(side), Some(Fact::InfoAnswered { call, status: Some(Status::OK) }));
        }
        w.bye(1, received, Some("IPTV INFO : Leaving\r\n")).unwrap();
        w.run_until(w.now.as_millis() + 100);
        let cause = EndCause::Bye { body: Some(Bytes::from_static(b"IPTV INFO : Leaving\r\n")), carrier };
        assert_eq!(w.fact(0), Some(Fact::Ended { call: placed, cause }));
        w.run_until(w.now.as_millis() + 64_000);
        assert!(w.is_quiet());
        assert!(w.facts_left(0).is_empty() && w.facts_left(1).is_empty());
        let info = w.sides[0].messages.iter().find(|m| m.starts_with("INFO")).unwrap();
        assert!(info.contains("Info-Package: iptv-tree\r\n") && !info.contains("Recv-Info"), "{info}");
        assert!(info.contains(if transport == Transport::Tcp {
            "Via: SIP/2.0/TCP"
        } else {
            "Via: SIP/2.0/UDP"
        }));
        let ack = w.sides[0].messages.iter().find(|m| m.starts_with("ACK")).unwrap();
        assert!(ack.contains("CSeq: 1 ACK\r\n") && ack.ends_with("Content-Length: 0\r\n\r\n"), "{ack}");
    }
}

#[test]
fn one_connection_serves_both_directions() {
    let mut w = World::pair(Transport::Tcp);
    let (placed, received) = w.confirmed_call();
    w.info(1, received, "IPTV INFO : Alive\r\n").unwrap();
    w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(1000);
    assert_eq!((w.sides[0].agent.streams(), w.sides[1].agent.streams()), (1, 1));
}

#[test]
fn an_idle_connection_is_closed() {
    let mut w = World::pair(Transport::Tcp);
    let (placed, _) = w.confirmed_call();
    w.bye(0, placed, None).unwrap();
    w.run_until(400_000);
    assert_eq!((w.sides[0].agent.streams(), w.sides[1].agent.streams()), (0, 0));
}

#[test]
fn a_connection_that_broke_is_opened_again() {
    let mut w = World::pair(Transport::Tcp);
    let (placed, received) = w.confirmed_call();
    w.cut(1, StreamId::accepted(0));
    w.run_until(1000);
    assert_eq!(w.sides[0].agent.streams(), 0);
    w.with(1, |agent, now, ctx| agent.on_stream_closed(now, StreamId::accepted(0), ctx));
    w.info(1, received, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(2000);
    assert!(matches!(w.fact(0), Some(Fact::Informed { call, .. }) if call == placed));
    assert_eq!(w.fact(1), Some(Fact::InfoAnswered { call: received, status: Some(Status::OK) }));
}

#[test]
fn a_round_trip_is_measured_once_and_never_over_a_retransmission() {
    let mut w = World::pair(Transport::Udp);
    let placed = CallId::placed(1);
    w.invite(0, placed, addr(1)).unwrap();
    w.run_until(15);
    let received = w.invited(1);
    w.accept(1, received).unwrap();
    w.run_until(100);
    let rtts = |w: &World| {
        let rtt = |f: &Fact| if let Fact::RoundTrip { rtt, .. } = f { Some(*rtt) } else { None };
        w.sides[0].facts.iter().filter_map(rtt).collect::<Vec<_>>()
    };
    // 10 ms each way, and 5 ms of thought.
    assert_eq!(rtts(&w), [Duration::from_millis(25)]);
    let first = Cell::new(true);
    w.lose = Box::new(move |m| m.starts_with(b"OPTIONS") && first.replace(false));
    w.with(0, |agent, now, ctx| agent.options(now, placed, ctx)).unwrap();
    w.run_until(5000);
    assert_eq!(rtts(&w).len(), 1);
    w.with(0, |agent, now, ctx| agent.options(now, placed, ctx)).unwrap();
    w.run_until(10_000);
    assert_eq!(rtts(&w), [Duration::from_millis(25), LATENCY * 2]);
}

/// The first INVITE is lost, the second comes at 510 ms and is answered 182 at 520 ms.
#[test]
fn whoever_answers_the_second_copy_of_an_invite_is_there_although_the_way_is_not_measured() {
    let mut w = World::pair(Transport::Udp);
    let first = Cell::new(true);
    w.lose = Box::new(move |m| m.starts_with(b"INVITE") && first.replace(false));
    let placed = CallId::placed(1);
    w.invite(0, placed, addr(1)).unwrap();
    w.run_until(520);
    let received = w.invited(1);
    w.queue(1, received).unwrap();
    w.run_until(529);
    assert!(w.sides[0].facts.is_empty());
    w.run_until(2_000);
    assert_eq!(w.sides[0].facts, [Fact::Proceeding { call: placed }], "once");
}

#[test]
fn nothing_is_told_of_a_call_that_was_given_up_before_it_proceeds() {
    let mut w = World::pair(Transport::Udp);
    let placed = CallId::placed(1);
    w.invite(0, placed, addr(1)).unwrap();
    w.cancel(0, placed).unwrap();
    w.run_until(50);
    let received = w.invited(1);
    w.queue(1, received).unwrap();
    w.run_until(2_000);
    assert!(w.sides[0].facts.is_empty(), "{:?}", w.sides[0].facts);
}

#[test]
fn a_round_trip_begins_when_the_connection_is_open_over_which_the_request_leaves() {
    let mut w = World::pair(Transport::Tcp);
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.run_until(100);
    let received = w.invited(1);
    w.accept(1, received).unwrap();
    w.run_until(200);
    let rtt = |f: &Fact| if let Fact::RoundTrip { rtt, .. } = f { Some(*rtt) } else { None };
    let rtts: Vec<_> = w.sides[0].facts.iter().filter_map(rtt).collect();
    // The connection took 10 ms; then the INVITE left, which was answered at 100 ms, and the answer took as long.
    assert_eq!(rtts, [Duration::from_millis(100)]);
}

#[test]
fn k11_an_invite_to_nobody_follows_timers_a_and_b() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(1), addr(9)).unwrap();
    w.run_until(31_999);
    assert_eq!(w.times(0, "INVITE"), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(w.fact(0), None);
    w.run_until(32_000);
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(1), cause: Failure::Timeout }));
    w.run_until(32_001);
    assert!(w.is_quiet());
}

#[test]
fn k11_an_info_to_a_dead_peer_follows_timers_e_and_f_and_ends_the_call() {
    let mut w = World::pair(Transport::Udp);
    let (placed, _) = w.confirmed_call();
    let start = w.now.as_millis();
    w.lose = Box::new(|_| true);
    w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(start + 32_000);
    let times: Vec<u64> = w.times(0, "INFO").iter().map(|t| t - start).collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(w.fact(0), Some(Fact::InfoAnswered { call: placed, status: None }));
    assert_eq!(w.fact(0), Some(Fact::Ended { call: placed, cause: EndCause::Lost }));
    assert_eq!(w.times(0, "BYE"), [start + 32_000]);
}

#[test]
fn k11_a_200_is_sent_again_until_its_ack_comes() {
    let mut w = World::pair(Transport::Udp);
    w.lose = Box::new(|m| m.starts_with(b"ACK"));
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.run_until(10);
    let received = w.invited(1);
    w.accept(1, received).unwrap();
    w.run_until(9000);
    assert_eq!(w.times(1, "200"), [10, 510, 1510, 3510, 7510]);
    // Each copy is ACKed, with the same ACK.
    assert_eq!(w.times(0, "ACK"), [20, 520, 1520, 3520, 7520]);
    let mut acks: Vec<&String> = w.sides[0].messages.iter().filter(|m| m.starts_with("ACK")).collect();
    acks.dedup();
    assert_eq!(acks.len(), 1);
    assert_eq!(w.facts_left(0).len(), 1, "answered once");
    w.lose = Box::new(|_| false);
    w.run_until(12_000);
    assert_eq!(w.fact(1), Some(Fact::Confirmed { call: received }));
    assert_eq!(w.times(1, "200").len(), 6);
}

#[test]
fn k11_a_200_that_is_never_acked_ends_in_a_bye() {
    for transport in BOTH {
        let mut w = World::pair(transport);
        w.invite(0, CallId::placed(1), addr(1)).unwrap();
        w.run_until(50);
        let received = w.invited(1);
        w.listening = false;
        w.lose = Box::new(|m| m.starts_with(b"ACK"));
        if transport == Transport::Tcp {
            w.cut(0, StreamId::requested(0));
        }
        w.accept(1, received).unwrap();
        w.run_until(32_050);
        assert_eq!(w.fact(1), Some(Fact::Ended { call: received, cause: EndCause::Lost }));
        w.run_until(200_000);
        assert!(w.is_quiet());
    }
}

#[test]
fn a_bye_waits_for_the_ack() {
    let mut w = World::pair(Transport::Udp);
    let (lost, counter) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (l, c) = (lost.clone(), counter.clone());
    w.lose = Box::new(move |m| {
        let drop = m.starts_with(b"ACK") && c.replace(c.get() + 1) == 0;
        l.set(l.get() + u32::from(drop));
        drop
    });
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.run_until(10);
    let received = w.invited(1);
    w.accept(1, received).unwrap();
    w.bye(1, received, None).unwrap();
    w.run_until(500);
    assert_eq!(w.times(1, "BYE"), [] as [u64; 0]);
    w.run_until(1000);
    // The second copy of the 200 at 510 is ACKed at 520, which arrives at 530.
    assert_eq!(w.times(1, "BYE"), [530]);
    assert!(matches!(w.fact(0), Some(Fact::Answered { .. })));
    assert!(matches!(w.fact(0), Some(Fact::Ended { cause: EndCause::Bye { body: None, .. }, .. })));
    assert_eq!(w.facts_left(1), [] as [&Fact; 0], "no fact follows the order that ended the call");
    assert_eq!(lost.get(), 1);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut w = World::pair(Transport::Udp);
    let placed = CallId::placed(1);
    w.invite(0, placed, addr(1)).unwrap();
    w.cancel(0, placed).unwrap();
    assert_eq!(w.cancel(0, placed), Err(OrderError::UnknownCall));
    w.run_until(150);
    assert_eq!(w.times(0, "CANCEL"), [] as [u64; 0]);
    let received = w.invited(1);
    // The 100 of the server transaction goes out after 200 ms (RFC 3261 §17.2.1).
    w.run_until(1000);
    assert_eq!(w.times(1, "100"), [210]);
    assert_eq!(w.times(0, "CANCEL"), [220]);
    assert_eq!((w.times(1, "200"), w.times(1, "487")), (vec![230], vec![230]));
    assert_eq!(w.fact(1), Some(Fact::Cancelled { call: received }));
    assert_eq!(w.facts_left(0), [] as [&Fact; 0]);
    w.run_until(80_000);
    assert!(w.is_quiet());
}

#[test]
fn a_call_that_is_queued_is_told_so_once_and_answered_later() {
    let mut w = World::pair(Transport::Udp);
    let placed = CallId::placed(1);
    w.invite(0, placed, addr(1)).unwrap();
    w.run_until(50);
    let received = w.invited(1);
    w.queue(1, received).unwrap();
    w.run_until(1_900);
    // The INVITE is not sent again, nor a 100; and the way was measured before the wait.
    assert_eq!((w.times(0, "INVITE"), w.times(1, "100"), w.times(1, "182")), (vec![0], vec![], vec![50]));
    w.accept(1, received).unwrap();
    w.run_until(2_000);
    let rtts = w.sides[0].facts.iter().filter_map(|f| match f {
        Fact::RoundTrip { rtt, .. } => Some(*rtt),
        _ => None,
    });
    assert_eq!(rtts.collect::<Vec<_>>(), [Duration::from_millis(60)]);
    assert!(matches!(w.fact(0), Some(Fact::Answered { call, .. }) if call == placed));
    assert_eq!(w.fact(1), Some(Fact::Confirmed { call: received }));
    assert_eq!(w.queue(1, received), Err(OrderError::WrongState));
    // Or refused, or given up by the caller.
    let placed = CallId::placed(2);
    w.invite(0, placed, addr(1)).unwrap();
    w.run_until(2_100);
    let received = w.invited(1);
    w.queue(1, received).unwrap();
    w.run_until(2_200);
    w.cancel(0, placed).unwrap();
    w.run_until(2_300);
    assert_eq!(w.fact(1), Some(Fact::Cancelled { call: received }));
    assert_eq!(w.times(1, "487").len(), 1);
}

#[test]
fn a_200_that_crosses_the_cancel_is_acked_and_ended() {
    let mut w = World::pair(Transport::Udp);
    let placed = CallId::placed(1);
    w.invite(0, placed, addr(1)).unwrap();
    w.run_until(100);
    let received = w.invited(1);
    w.run_until(300);
    w.accept(1, received).unwrap();
    w.cancel(0, placed).unwrap();
    w.run_until(1000);
    assert_eq!(
        (w.times(0, "CANCEL"), w.times(0, "ACK"), w.times(0, "BYE")),
        (vec![300], vec![310], vec![310])
    );
    assert_eq!(w.fact(1), Some(Fact::Confirmed { call: received }));
    assert!(matches!(w.fact(1), Some(Fact::Ended { cause: EndCause::Bye { body: None, .. }, .. })));
    assert_eq!(w.facts_left(0), [] as [&Fact; 0]);
    w.run_until(80_000);
    assert!(w.is_quiet());
}

#[test]
fn a_refusal_carries_contacts_and_retry_after() {
    for transport in BOTH {
        let mut w = World::pair(transport);
        let placed = CallId::placed(1);
        w.invite(0, placed, addr(1)).unwrap();
        w.run_until(50);
        let received = w.invited(1);
        let peer = |n: usize| Peer {
            name: n.to_string(),
            addr: addr(n),
            transport: Transport::Tcp,
            node_id: Some(NodeId::from_u128(n as u128)),
            params: Default::default(),
        };
        let refusal = Refusal {
            status: Status::MOVED_TEMPORARILY,
            contacts: (3..9).map(peer).collect(),
            retry_after: Some(Duration::from_secs(2)),
        };
        w.reject(1, received, refusal.clone()).unwrap();
        w.run_until(100);
        assert_eq!(w.fact(0), Some(Fact::Refused { call: placed, refusal }));
        w.run_until(80_000);
        assert!(w.is_quiet());
        assert_eq!(w.times(0, "ACK").len(), 1);
    }
}

#[test]
fn k11_a_refusal_is_sent_again_until_its_ack_comes() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.run_until(10);
    let received = w.invited(1);
    w.lose = Box::new(|m| m.starts_with(b"ACK"));
    w.reject(1, received, Refusal::status(Status::BUSY_HERE)).unwrap();
    w.run_until(8000);
    assert_eq!(w.times(1, "486"), [10, 510, 1510, 3510, 7510]);
    assert_eq!(w.times(0, "ACK"), [20, 520, 1520, 3520, 7520]);
    assert_eq!(w.facts_left(0).len(), 1, "refused once");
    w.run_until(32_010);
    assert_eq!(w.sides[1].agent.transactions(), (0, 0), "Timer H");
}

#[test]
fn an_unanswered_invitation_is_refused_in_the_end() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.run_until(31_990);
    let received = w.invited(1);
    w.run_until(33_000);
    // Both sides' patience ends; the caller's CANCEL is a little earlier.
    assert_eq!(w.fact(1), Some(Fact::Cancelled { call: received }));
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(1), cause: Failure::Timeout }));
    w.run_until(120_000);
    assert!(w.is_quiet());
}

#[test]
fn a_refused_connection_fails_at_once() {
    let mut w = World::pair(Transport::Tcp);
    w.listening = false;
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.run_until(20);
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(1), cause: Failure::Unreachable }));
    assert!(w.is_quiet());
}

#[test]
fn a_hard_icmp_error_fails_at_once() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(1), addr(9)).unwrap();
    w.with(0, |agent, now, ctx| agent.on_unreachable(now, addr(9), ctx));
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(1), cause: Failure::Unreachable }));
}

#[test]
fn a_large_request_takes_tcp_and_falls_back_to_udp() {
    for listening in [true, false] {
        let mut w = World::pair(Transport::Udp);
        w.listening = listening;
        let target = Target { addr: addr(1), transport: None, user: "100".into(), to: None, node_id: None };
        let sdp = Bytes::from(vec![b'x'; 1400]);
        w.invite_as(0, CallId::placed(1), target, sdp.clone()).unwrap();
        w.run_until(100);
        let Some(Fact::Invited { invitation, .. }) = w.fact(1) else { panic!("no invitation") };
        assert_eq!(invitation.sdp, Some(sdp));
        assert_eq!(w.sides[1].agent.streams(), usize::from(listening));
        let vias: Vec<bool> = w.sides[0].messages.iter().map(|m| m.contains("Via: SIP/2.0/TCP")).collect();
        assert_eq!(vias, if listening { [true] } else { [false] });
    }
}

#[test]
fn a_target_that_asks_for_udp_gets_udp() {
    let mut w = World::pair(Transport::Tcp);
    let target = Target {
        addr: addr(1),
        transport: Some(Transport::Udp),
        user: "100".into(),
        to: None,
        node_id: None,
    };
    w.invite_as(0, CallId::placed(1), target, Bytes::from(vec![b'x'; 1400])).unwrap();
    w.run_until(100);
    assert_eq!(w.sides[0].agent.streams(), 0);
    w.invited(1);
}

#[test]
fn without_a_common_package_info_is_legacy() {
    let plain = Config { info_package: false, ..Config::new("1", addr(1)) };
    let mut w = World::new(vec![Config::new("0", addr(0)), plain]);
    let (placed, received) = w.confirmed_call();
    for (side, call) in [(0, placed), (1, received)] {
        w.info(side, call, "IPTV INFO : Alive\r\n").unwrap();
        w.run_until(w.now.as_millis() + 100);
        let info = w.sides[side].messages.iter().find(|m| m.starts_with("INFO")).unwrap();
        assert!(info.contains("Content-Type: text/plain\r\n") && !info.contains("Info-Package"), "{info}");
        assert!(matches!(w.fact(1 - side), Some(Fact::Informed { package: false, .. })));
        assert_eq!(w.fact(side), Some(Fact::InfoAnswered { call, status: Some(Status::OK) }));
    }
}

#[test]
fn infos_arrive_in_order_whatever_gets_lost() {
    let mut w = World::pair(Transport::Udp);
    let (placed, received) = w.confirmed_call();
    let first = Cell::new(true);
    w.lose = Box::new(move |m| m.starts_with(b"INFO") && first.replace(false));
    for body in ["one", "two", "three"] {
        w.info(0, placed, body).unwrap();
    }
    w.run_until(5000);
    for body in ["one", "two", "three"] {
        let body = Bytes::from_static(body.as_bytes());
        let carrier = Carrier::Datagram;
        assert_eq!(w.fact(1), Some(Fact::Informed { call: received, body, carrier, package: true }));
        assert_eq!(w.fact(0), Some(Fact::InfoAnswered { call: placed, status: Some(Status::OK) }));
    }
}

#[test]
fn an_info_whose_connection_breaks_is_sent_again_on_another() {
    let mut w = World::pair(Transport::Tcp);
    let (placed, received) = w.confirmed_call();
    w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
    // Before it arrives.
    w.cut(0, StreamId::requested(0));
    w.with(0, |agent, now, ctx| agent.on_stream_closed(now, StreamId::requested(0), ctx));
    w.run_until(1000);
    assert_eq!(w.fact(0), Some(Fact::InfoAnswered { call: placed, status: Some(Status::OK) }));
    assert!(w.facts_left(1).iter().any(|f| matches!(f, Fact::Informed { call, .. } if *call == received)));
    w.listening = false;
    w.cut(0, StreamId::requested(1));
    w.with(0, |agent, now, ctx| agent.on_stream_closed(now, StreamId::requested(1), ctx));
    w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
    w.run_until(2000);
    assert_eq!(w.fact(0), Some(Fact::InfoAnswered { call: placed, status: None }));
    assert_eq!(w.fact(0), Some(Fact::Ended { call: placed, cause: EndCause::Lost }));
}

#[test]
fn orders_that_make_no_sense_are_refused_and_change_nothing() {
    let mut w = World::pair(Transport::Udp);
    let (none, placed) = (CallId::placed(99), CallId::placed(1));
    assert_eq!(w.accept(0, none), Err(OrderError::UnknownCall));
    assert_eq!(w.bye(0, none, None), Err(OrderError::UnknownCall));
    assert_eq!(w.info(0, none, "x"), Err(OrderError::UnknownCall));
    assert_eq!(w.invite(0, CallId::received(3), addr(1)), Err(OrderError::CallInUse));
    w.invite(0, placed, addr(1)).unwrap();
    assert_eq!(w.invite(0, placed, addr(1)), Err(OrderError::CallInUse));
    assert_eq!(w.info(0, placed, "x"), Err(OrderError::WrongState));
    assert_eq!(w.accept(0, placed), Err(OrderError::WrongState));
    w.run_until(100);
    let received = w.invited(1);
    assert_eq!(w.cancel(1, received), Err(OrderError::WrongState));
    assert_eq!(w.bye(1, received, None), Err(OrderError::WrongState));
    assert_eq!(w.reject(1, received, Refusal::status(Status::OK)), Err(OrderError::BadValue("status")));
    w.accept(1, received).unwrap();
    assert_eq!(w.accept(1, received), Err(OrderError::WrongState));
    let injected = Target {
        addr: addr(1),
        transport: None,
        user: "1\r\nX: y".into(),
        to: Some("a\r\nb".into()),
        node_id: None,
    };
    w.invite_as(0, CallId::placed(2), injected, Bytes::new()).unwrap();
    assert!(w.sides[0].messages.iter().all(|m| !m.contains("\nX: y") && !m.contains("\nb")));
}

#[test]
fn k8_calls_and_requests_have_limits() {
    let limits = Limits { calls: 2, requests_per_call: 2, ..Limits::default() };
    let config = |n: usize, limits| Config { limits, ..Config::new(&n.to_string(), addr(n)) };
    let mut w = World::new(vec![config(0, Limits::default()), config(1, limits)]);
    for n in 0..3 {
        w.invite(0, CallId::placed(n), addr(1)).unwrap();
    }
    w.run_until(100);
    assert_eq!(w.sides[1].agent.calls(), 2);
    let Some(Fact::Refused { call, refusal }) = w.fact(0) else { panic!("not refused") };
    assert_eq!((call, refusal.status), (CallId::placed(2), Status::SERVICE_UNAVAILABLE));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(w.invite(1, CallId::placed(0), addr(0)), Err(OrderError::Limit("calls")));
    let received = w.invited(1);
    w.accept(1, received).unwrap();
    for _ in 0..2 {
        w.info(1, received, "x").unwrap();
    }
    assert_eq!(w.info(1, received, "x"), Err(OrderError::Limit("requests in this call")));
}

#[test]
fn k8_a_call_is_idle_once_it_is_answered_and_while_no_request_waits_for_an_answer() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(0), addr(1)).unwrap();
    assert!(!w.sides[0].agent.is_idle(CallId::placed(0)), "nobody has answered");
    let mut w = World::pair(Transport::Udp);
    let (placed, _) = w.confirmed_call();
    let idle = |w: &World| w.sides[0].agent.is_idle(placed);
    assert!(idle(&w));
    w.info(0, placed, "x").unwrap();
    assert!(!idle(&w));
    w.run_until(1000);
    assert!(idle(&w) && !w.sides[0].agent.is_idle(CallId::placed(9)));
    w.bye(0, placed, None).unwrap();
    assert!(!idle(&w));
}

#[test]
fn k8_a_full_server_answers_503_without_state() {
    let limits = Limits { server_transactions: 1, ..Limits::default() };
    let mut w = World::new(vec![Config::new("0", addr(0)), Config { limits, ..Config::new("1", addr(1)) }]);
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.invite(0, CallId::placed(2), addr(1)).unwrap();
    w.run_until(100);
    let Some(Fact::Refused { refusal, .. }) = w.fact(0) else { panic!("not refused") };
    assert_eq!(refusal.status, Status::SERVICE_UNAVAILABLE);
    assert_eq!(w.sides[1].agent.transactions(), (0, 1));
}

#[test]
fn the_peers_bye_and_ours_may_cross() {
    let mut w = World::pair(Transport::Udp);
    let (placed, received) = w.confirmed_call();
    w.bye(0, placed, None).unwrap();
    w.bye(1, received, None).unwrap();
    w.run_until(100_000);
    assert!(w.is_quiet());
    assert!(w.facts_left(0).is_empty() && w.facts_left(1).is_empty());
}

#[test]
fn k8_streams_have_a_limit() {
    let limits = Limits { streams: 1, ..Limits::default() };
    let mut w = World::new(vec![Config { limits, transport: Transport::Tcp, ..Config::new("0", addr(0)) }]);
    w.invite(0, CallId::placed(1), addr(8)).unwrap();
    w.invite(0, CallId::placed(2), addr(9)).unwrap();
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(2), cause: Failure::Unreachable }));
    let (id, peer) = (StreamId::accepted(0), addr(7));
    w.with(0, |agent, now, ctx| agent.on_stream_opened(now, id, peer, None, ctx).is_ok());
    assert_eq!(w.sides[0].agent.streams(), 1, "a further accepted one is closed");
}

#[test]
fn k8_bytes_that_wait_for_a_stream_have_a_limit() {
    let limits = Limits { unwritten: 1000, ..Limits::default() };
    let mut w = World::new(vec![Config { limits, transport: Transport::Tcp, ..Config::new("0", addr(0)) }]);
    w.invite(0, CallId::placed(1), addr(9)).unwrap();
    w.invite(0, CallId::placed(2), addr(9)).unwrap();
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(2), cause: Failure::Unreachable }));
    assert_eq!(w.fact(0), None);
}

#[test]
fn a_stream_that_opens_after_it_was_given_up_is_closed() {
    let config = Config {
        stream_idle: Duration::from_secs(1),
        transport: Transport::Tcp,
        ..Config::new("0", addr(0))
    };
    let mut w = World::new(vec![config, Config::new("1", addr(1))]);
    w.listening = false;
    w.invite(0, CallId::placed(1), addr(1)).unwrap();
    w.cancel(0, CallId::placed(1)).unwrap();
    w.run_until(5000);
    assert_eq!(w.sides[0].agent.streams(), 0);
    w.with(0, |agent, now, ctx| {
        agent.on_stream_opened(now, StreamId::requested(0), addr(1), None, ctx).is_ok()
    });
    assert_eq!(w.sides[0].agent.streams(), 0);
}
