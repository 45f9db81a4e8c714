//! A source that elects for the whole tree keeps room in it, before somebody asks and near itself, and fills it from below.

use crate::harness::{CHANNEL, Solo, called, default, has, ms, placed, selected};
use p2piptv::ids::CallId;
use p2piptv::iptv::{Child, Config, Fact, InviteKind, Mode, Order, Profile, Report};

fn children(peers: std::ops::RangeInclusive<u32>) -> Vec<Child<u32>> {
    peers.map(|peer| Child { peer, slots: Some(2), rescue: false }).collect()
}

/// A source with one slot, whose child 1 relays to the children 2 to `last` and has so many slots left.
fn with_relayer(config: Config, last: u32, free: u16) -> (Solo, CallId, Vec<u32>) {
    let mut s = Solo::publisher(config);
    let (relayer, orders) = s.invited(1, false);
    assert_eq!(selected(orders), [relayer], "a full source with one child has one candidate");
    s.reported(relayer, Report::RelayerAccepted { free: 2 });
    let report = Report::ChildUpdate { children: children(2..=last), free: Some(free) };
    let asked = dialled(&s.reported(relayer, report));
    (s, relayer, asked)
}

/// Who gets a control dialog, which an offer begins with.
fn dialled<'a>(orders: impl IntoIterator<Item = &'a Order<u32>>) -> Vec<u32> {
    called(orders).into_iter().filter(|c| c.2 == InviteKind::Control).map(|c| c.0).collect()
}

#[test]
fn q14_one_slot_is_kept_open_for_every_sixteen_peers_before_anybody_asks_and_64_at_most() {
    let mut config = default(1);
    config.limits.report_children = 2_000;
    // Peers in the tree, slots that are free, and how many more relayers with two slots each are wanted.
    let cases = [(31, 1, 0), (32, 1, 1), (32, 2, 0), (79, 0, 2), (79, 1, 2), (1_100, 63, 1), (1_100, 64, 0)];
    for (peers, free, wanted) in cases {
        let (_, _, asked) = with_relayer(config.clone(), peers, free);
        assert_eq!(asked.len(), wanted, "{peers} peers, {free} slots: {asked:?}");
    }
}

#[test]
fn q14_callers_that_find_no_room_do_not_wait_for_each_others_elections() {
    let (mut s, _, asked) = with_relayer(default(1), 9, 0);
    assert_eq!(asked, [2]);
    let turned_away = [20, 21, 22, 23].map(|caller| dialled(&s.invited(caller, false).1));
    assert_eq!(turned_away, [vec![3], vec![4], vec![5], vec![]], "four offers wait at most");
    assert_eq!(dialled(&s.pass(3_000)), [6], "when those have not answered one more is wanted, and not four");
}

#[test]
fn p11_room_far_below_keeps_nobody_near_the_source_from_relaying() {
    let mut s = Solo::publisher(default(2));
    let (first, _) = s.invited(1, false);
    let (second, _) = s.invited(2, false);
    s.reported(first, Report::RelayerAccepted { free: 2 });
    let orders = s.reported(first, Report::FullCapacity { children: children(3..=4) });
    assert_eq!(selected(orders), [second]);
    let orders = s.reported(second, Report::RelayerDeclined);
    // While it rests the next layer has its turn.
    let call = placed(&orders, 3).expect("the next layer relays");
    s.fact(Fact::Answered { call, depth: Some(2), rescue: false });
    s.reported(call, Report::RelayerAccepted { free: 5 });
    let mut offers = Vec::new();
    for _ in 0..31 {
        s.told.report = Some(s.now);
        s.reported(first, Report::Alive);
        s.reported(call, Report::Alive);
        offers.extend(selected(s.pass(1_000)));
    }
    assert_eq!(offers, [second], "five slots are free, but one layer deeper");
}

/// Both candidates bring two slots. The one in layer 2 has yet to answer.
#[test]
fn p11_whoever_is_asked_far_below_keeps_nobody_near_the_source_from_being_asked() {
    let mut s = Solo::publisher(default(2));
    let [first, second] = [1, 2].map(|peer| s.invited(peer, false).0);
    s.reported(first, Report::RelayerAccepted { free: 2 });
    s.reported(first, Report::FullCapacity { children: children(3..=4) });
    assert_eq!(dialled(&s.reported(second, Report::RelayerDeclined)), [3]);
    s.act(|i, now, ctx| i.set_capacity(now, 3, ctx));
    let (third, orders) = s.invited(5, false);
    assert_eq!(selected(orders), [third]);
    // Whoever is asked nearer to the source does, and so does who is asked beside it.
    assert!(dialled(&s.pass(1_000)).is_empty());
}

/// A source with two slots, whose child 1 has free ones; below its child 2 the relayers 3, 4, 5 and 6 hang one below the other.
/// With the dialogs of all six.
fn with_a_chain(config: Config, free: u16) -> (Solo, Vec<CallId>) {
    let mut s = Solo::publisher(config);
    let mut calls: Vec<CallId> = [1, 2].map(|peer| s.invited(peer, false).0).to_vec();
    for peer in 2..=6 {
        let call = *calls.get(peer as usize - 1).unwrap_or(&CallId::received(100 + peer));
        if peer > 2 {
            s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer });
            calls.push(call);
        }
        s.reported(call, Report::RelayerAccepted { free: 0 });
        if peer < 6 {
            s.reported(call, Report::FullCapacity { children: children(peer + 1..=peer + 1) });
        }
    }
    s.reported(calls[0], Report::RelayerAccepted { free });
    (s, calls)
}

/// Who is called up in sixteen seconds, in which all six report and nobody comes, and where to.
fn called_up(config: Config, free: u16) -> Vec<(u64, CallId, Vec<u32>)> {
    let (mut s, calls) = with_a_chain(config, free);
    s.told.report = Some(s.now + ms(16_000));
    let mut all = Vec::new();
    for step in 1..=16_000 {
        for order in s.pass(1) {
            if let Order::Inform { call, report: Report::Climb { to } } = order {
                all.push((step, call, to.iter().map(|p| p.peer).collect()));
            }
        }
        if step % 1_000 == 0 {
            calls.iter().for_each(|&call| drop(s.reported(call, Report::Alive)));
        }
    }
    all
}

#[test]
fn k11_whoever_hangs_deeper_than_need_be_is_called_up_after_250_ms_and_less_and_less_often_when_it_does_not_come()
 {
    // In layer 4, so that it comes into layer 2, with 6 below it.
    let [five, six] = [105, 106].map(CallId::received);
    let up =
        [(250, five), (5_250, five), (10_250, six), (15_250, five)].map(|(at, call)| (at, call, vec![1]));
    assert_eq!(called_up(default(2), 2), up);
    assert!(called_up(default(2), 0).is_empty(), "there is no room");
}

/// 100 is sent to the only slot at 0 and does not come; 101 waits from 100 ms on. The slot is free again at 2,000 ms.
#[test]
fn q1_a_slot_that_becomes_free_goes_to_who_waits_for_a_first_one_before_anybody_climbs() {
    let (mut s, calls) = with_a_chain(default(2), 1);
    s.told.report = Some(s.now + ms(9_000));
    let (_, orders) = s.invited(100, false);
    assert!(has(&orders, |o| matches!(o, Order::Redirect { .. })), "{orders:?}");
    s.pass(100);
    let (waiting, orders) = s.invited(101, false);
    assert_eq!(orders, [Order::Queue { call: waiting }]);
    s.pass(800);
    calls.iter().for_each(|&call| drop(s.reported(call, Report::Alive)));
    let orders = s.pass(1_200);
    let climbs = |o: &Order<u32>| matches!(o, Order::Inform { report: Report::Climb { .. }, .. });
    let sent_on = |o: &Order<u32>| matches!(o, Order::Redirect { call, .. } if *call == waiting);
    assert!(orders.iter().any(sent_on) && !orders.iter().any(climbs), "{orders:?}");
}

#[test]
fn nobody_is_called_up_in_the_papers_profile_nor_by_who_elects_among_its_children() {
    assert!(called_up(Config::new(Profile::Paper, 2), 2).is_empty());
    assert!(called_up(Config { mode: Mode::Delegated, ..default(2) }, 2).is_empty());
}

#[test]
fn p10_the_paper_elects_when_nothing_is_free_and_one_at_a_time() {
    let (mut s, _, asked) = with_relayer(Config::new(Profile::Paper, 1), 79, 0);
    assert_eq!(asked, [2]);
    for caller in 100..104 {
        assert!(dialled(&s.invited(caller, false).1).is_empty());
    }
    assert!(with_relayer(Config::new(Profile::Paper, 1), 79, 1).2.is_empty());
}

#[test]
fn q9_where_relayers_elect_they_elect_when_nothing_is_free() {
    let mut s = Solo::publisher(Config { mode: Mode::Delegated, ..default(40) });
    let calls: Vec<CallId> = (1..=40).map(|peer| s.invited(peer, false).0).collect();
    let orders = s.reported(calls[0], Report::RelayerAccepted { free: 1 });
    assert!(selected(orders).is_empty(), "one slot is free");
}
