//! What a host may ask of its policy, and what it is told when it gives an order that cannot be carried out.

use crate::backups::covered;
use crate::harness::{CHANNEL, Solo, default, delegated, placed};
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{ByeReason, CommandError, Config, Fact, Limits, Order, Provider, Report, Subtree};

const OTHER: ChannelId = ChannelId(7);

fn at(peer: u32) -> Provider<u32> {
    Provider { peer, depth: Some(1), free: Some(1) }
}

#[test]
fn an_order_that_cannot_be_carried_out_comes_back_and_changes_nothing() {
    let limits = Limits { channels: 2, ..Limits::default() };
    let (mut s, _) = Solo::viewer(Config { limits, ..default(2) }, 9);
    let mut order = |n, expected: Result<(), CommandError>| {
        let orders = s.act(|i, now, ctx| {
            let result = match n {
                0 => i.end(now, CHANNEL, ctx),
                1 => i.end(now, OTHER, ctx),
                2 => i.stop(now, OTHER, ctx),
                3 => i.tune(now, CHANNEL, ctx),
                4 => i.publish(now, CHANNEL, ctx),
                5 => i.stand_by(now, CHANNEL, ctx),
                6 => i.publish(now, OTHER, ctx),
                7 => i.tune(now, ChannelId(8), ctx),
                _ => i.end(now, OTHER, ctx),
            };
            assert_eq!(result, expected, "{n}");
        });
        assert_eq!(orders.is_empty(), expected.is_err(), "{n}: {orders:?}");
    };
    order(0, Err(CommandError::NotPublisher));
    order(1, Err(CommandError::UnknownChannel));
    order(2, Err(CommandError::UnknownChannel));
    (3..6).for_each(|n| order(n, Err(CommandError::ChannelInUse)));
    order(6, Ok(()));
    order(7, Err(CommandError::TooManyChannels));
    order(8, Ok(()));
    assert_eq!(s.iptv.channels().collect::<Vec<_>>(), [CHANNEL]);
}

/// Each of them in one part only, so that nobody else speaks for it.
#[test]
fn a_viewer_counts_on_whoever_is_or_may_become_its_parent_and_on_nobody_else() {
    let (mut s, parent, _) = covered();
    let counts = |s: &Solo| -> Vec<u32> { (1..70).filter(|&peer| s.iptv.counts_on(peer)).collect() };
    assert_eq!(counts(&s), [4, 5, 6, 9], "who covers, two that stand by, and the parent");
    s.hear_for(200);
    let place = Report::TreePosition {
        depth: 2,
        path: vec![50, 20, 9],
        rescue: false,
        backups: vec![at(30), at(31)],
        delegated: false,
    };
    s.reported(parent, place.clone());
    assert_eq!(counts(&s), [4, 5, 6, 9, 30, 31, 50], "the source, and none of those between");
    s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![Provider { depth: Some(0), ..at(51) }] });
    assert_eq!(counts(&s), [4, 5, 6, 9, 30, 31, 51], "the records name another one");
    s.reported(parent, place);
    assert_eq!(counts(&s), [4, 5, 6, 9, 30, 31, 50, 51], "and the tree goes on");
    let orders = s.reported(parent, Report::Yield { to: vec![at(60), at(61)] });
    let next = placed(&orders, 60).expect("it is asked");
    assert_eq!(counts(&s), [4, 5, 6, 9, 30, 31, 50, 51, 60, 61], "who is asked, and who will be");
    s.fact(Fact::Answered { call: next, depth: Some(1), rescue: false });
    assert!(s.iptv.counts_on(60), "the next parent");
    s.told.elsewhere.insert(next, s.now);
    s.fact(Fact::FirstPacket { channel: CHANNEL, call: next });
    assert!(s.iptv.counts_on(60) && !s.iptv.counts_on(61) && !s.iptv.counts_on(9));
    s.act(|i, now, ctx| i.stop(now, CHANNEL, ctx).unwrap());
    assert_eq!(counts(&s), []);
}

#[test]
fn whoever_serves_counts_on_children_and_on_those_whom_it_has_promised_its_rescue_slot() {
    let mut s = Solo::publisher(default(2));
    let (child, _) = s.invited(3, false);
    let lease = CallId::received(100);
    s.fact(Fact::StandbyInvited { channel: CHANNEL, call: lease, peer: 4, slots: Some(2) });
    s.reported(child, Report::RelayerAccepted { free: 2 });
    assert!([3, 4].into_iter().all(|peer| s.iptv.counts_on(peer)) && !s.iptv.counts_on(5));
    assert_eq!(s.iptv.leases().collect::<Vec<_>>(), [lease]);
    s.fact(Fact::Ended { call: lease, reason: ByeReason::Normal });
    s.fact(Fact::Ended { call: child, reason: ByeReason::Leaving });
    assert!(!s.iptv.counts_on(3) && !s.iptv.counts_on(4));
}

#[test]
fn whom_a_source_relies_on_is_whoever_relays_or_is_asked_to() {
    let mut s = Solo::publisher(default(1));
    let (call, orders) = s.invited(3, false);
    let asked = Order::Inform { call, report: Report::SelectedRelayer { register: true } };
    assert_eq!((orders.contains(&asked), s.iptv.relies_on(CHANNEL, 3)), (true, true));
    assert!(!s.iptv.relies_on(OTHER, 3) && !s.iptv.relies_on(CHANNEL, 4));
    s.reported(call, Report::RelayerAccepted { free: 2 });
    assert!(s.iptv.relies_on(CHANNEL, 3));
    s.reported(call, Report::RelayerDeclined);
    assert!(!s.iptv.relies_on(CHANNEL, 3), "it is a mere viewer");
    let (mut viewer, parent) = Solo::viewer(default(2), 9);
    assert_eq!(viewer.iptv.parent_call(CHANNEL), Some(parent));
    assert_eq!((viewer.iptv.parent_call(OTHER), s.iptv.parent_call(CHANNEL)), (None, None));
    viewer.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert_eq!(viewer.iptv.parent_call(CHANNEL), None);
}

#[test]
fn q9_the_ways_down_to_those_who_are_named_below_lead_over_the_child_that_named_them() {
    let mut s = Solo::publisher(delegated(2));
    let [first, second] = [11, 12].map(|peer| {
        let (call, _) = s.invited(peer, false);
        s.reported(call, Report::RelayerAccepted { free: 2 });
        call
    });
    let below = |peers: &[u32]| {
        let open = peers.iter().map(|&peer| at(peer)).collect();
        Report::Subtree(Subtree { peers: 9, free: 2, open })
    };
    s.reported(first, below(&[21, 22]));
    s.reported(second, below(&[23]));
    assert_eq!(s.iptv.named_below(CHANNEL), [(first, 21), (first, 22), (second, 23)]);
    let way = |s: &Solo, peer| s.iptv.way_down(CHANNEL, peer);
    assert_eq!([11, 21, 22, 23, 12, 24].map(|peer| way(&s, peer)), {
        let (first, second) = (Some(first), Some(second));
        [first, first, first, second, second, None]
    });
    assert_eq!((s.iptv.named_below(OTHER), s.iptv.way_down(OTHER, 21)), (vec![], None));
    s.fact(Fact::Ended { call: first, reason: ByeReason::Leaving });
    assert_eq!((s.iptv.named_below(CHANNEL), way(&s, 21)), (vec![(second, 23)], None));
    let mut managed = Solo::publisher(default(2));
    let (call, _) = managed.invited(11, false);
    managed.reported(call, Report::RelayerAccepted { free: 2 });
    assert_eq!(managed.iptv.way_down(CHANNEL, 11), None, "where the source elects nobody needs one");
}

#[test]
fn of_the_sources_that_the_records_name_the_one_of_the_tree_counts() {
    let (mut s, parent) = Solo::viewer(default(2), 4);
    let path = vec![9, 4];
    s.reported(
        parent,
        Report::TreePosition { depth: 2, path, rescue: false, backups: vec![], delegated: false },
    );
    let source = |peer| Provider { depth: Some(0), ..at(peer) };
    s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![source(8), source(9)] });
    assert!(s.iptv.counts_on(9) && !s.iptv.counts_on(8));
}
