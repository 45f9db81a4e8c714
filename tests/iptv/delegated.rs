//! Relayers that elect among their own children (Q9).

use crate::backups::resumed;
use crate::harness::{CHANNEL, SOURCE, Solo, World, default, delegated, grown, has, ms, placed, selected};
use crate::tree::survives;
use p2piptv::ids::{CallId, ChannelId};
use p2piptv::iptv::{
    ByeReason, Child, Config, Denial, Event, Fact, InviteKind, Mode, Order, Pace, Profile, Provider, Refusal,
    Report, Subtree,
};
use p2piptv::time::Instant;
use std::collections::VecDeque;

/// INVITEs to the source that ask for media, as the trace shows them.
fn asked_source(w: &World) -> usize {
    let asks = |l: &&String| l.contains(&format!("-> {SOURCE} Invited"));
    w.trace.iter().filter(asks).count()
}

#[test]
fn q9_every_relayer_elects_its_own_children_and_the_source_knows_two_layers() {
    let mut w = grown(delegated(2), 30, 1000);
    w.run(ms(10_000));
    assert!(w.starving(ms(100)).is_empty());
    let mut layers = [0; 8];
    w.viewers().for_each(|v| layers[usize::from(w.status(v).unwrap().depth.unwrap())] += 1);
    // The upper layers are full, and nobody hangs more than two below what would do.
    assert_eq!((&layers[..3], layers[7]), (&[0, 2, 4][..], 0), "{layers:?} {}", w.tail(100));
    assert!(w.table().iter().all(|r| r.0 <= 2), "{:?}", w.table());
    // Only those whom the source elected stand under the channel's name, and nobody needs a dialog for control.
    assert!(w.registrations.iter().all(|&r| w.parent(r) == Some(SOURCE)), "{:?}", w.registrations);
    let control = |l: &&String| l.contains("kind: Control");
    assert_eq!(w.trace.iter().filter(control).count(), 0);
    // One of three who may be asked is the source.
    assert!(asked_source(&w) <= 15, "{}", asked_source(&w));
}

#[test]
fn q9_after_a_crash_the_children_of_the_dead_call_and_nobody_asks_the_source() {
    let mut w = grown(delegated(2), 40, 1000);
    w.run(ms(10_000));
    let children = |w: &World, of| w.viewers().filter(|&v| w.parent(v) == Some(of)).collect::<Vec<u32>>();
    let serves = |&v: &u32| w.status(v).unwrap().depth == Some(3) && children(&w, v).len() == 2;
    let dead = w.viewers().find(serves).unwrap();
    let orphans = children(&w, dead);
    // Whoever sits deep looks for something better now and then.
    let shallow: Vec<u32> =
        w.viewers().filter(|&v| w.status(v).unwrap().depth <= Some(3) && v != dead).collect();
    w.forget_counts();
    let asked = asked_source(&w);
    w.kill(dead);
    w.run(ms(15_000));
    // An orphan with a subtree may have taken the place of somebody with a smaller one.
    let yields = |v: u32| {
        let told = format!("-> {v} Reported");
        w.trace.iter().any(|l| l.contains(&told) && l.contains("Yield"))
    };
    let callers: Vec<u32> =
        shallow.into_iter().filter(|&v| w.peers[v as usize].invites > 0 && !yields(v)).collect();
    assert!(callers.iter().all(|c| orphans.contains(c)), "{callers:?}, not {orphans:?}\n{}", w.tail(300));
    assert_eq!(asked_source(&w), asked);
    assert!(w.viewers().all(|v| w.peers[v as usize].fetches == 0), "repair needs no lookup");
    assert!(w.starving(ms(100)).is_empty());
    assert!(w.viewers().all(|v| w.status(v).is_some_and(|s| !s.rescue)), "{}", w.tail(300));
}

#[test]
fn q9_whoever_configures_nothing_follows_the_source() {
    let mut w = World::new(delegated(2), 3);
    w.run(ms(1000));
    for _ in 0..14 {
        w.join_with(default(2));
        w.run(ms(1000));
    }
    w.run(ms(5000));
    assert!(w.starving(ms(100)).is_empty() && w.table().iter().all(|r| r.0 <= 2), "{:?}", w.table());
    let deep = w.viewers().filter(|&v| w.status(v).is_some_and(|s| s.relayer && s.depth > Some(1)));
    assert!(deep.count() >= 2, "{}", w.tail(100));
    // The paper knows one elector only.
    let paper = Config { mode: Mode::Delegated, ..Config::new(Profile::Paper, 2) };
    let mut w = World::new(paper, 3);
    for _ in 0..7 {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(30_000));
    assert!(w.table().iter().any(|r| r.0 == 3), "{:?}", w.table());
}

// ---- one relayer, told by hand

const PARENT: u32 = 9;

/// A relayer at depth 2 with two children, of whom the first relays and has two free slots. Its own number is 0, which is
/// the source's elsewhere.
fn relayer() -> (Solo, CallId, [CallId; 2]) {
    let (mut s, parent) = Solo::viewer(delegated(2), PARENT);
    s.reported(parent, place(vec![7, PARENT]));
    s.reported(parent, Report::SelectedRelayer { register: false });
    let first = s.invited(11, false).0;
    let (second, orders) = s.invited(12, false);
    let offer = Order::Inform { call: first, report: Report::SelectedRelayer { register: false } };
    assert!(orders.contains(&offer), "{orders:?}");
    s.reported(first, Report::RelayerAccepted { free: 2 });
    (s, parent, [first, second])
}

fn place(path: Vec<u32>) -> Report<u32> {
    let depth = path.len() as u8;
    Report::TreePosition { depth, path, rescue: false, backups: vec![], delegated: true }
}

fn open(peer: u32, depth: u8) -> Provider<u32> {
    Provider { peer, depth: Some(depth), free: Some(1) }
}

fn below(open: Vec<Provider<u32>>) -> Report<u32> {
    Report::Subtree(Subtree { peers: 9, free: open.len() as u32, open })
}

/// What is told to the parent of what is below, and when.
fn told(s: &mut Solo, time: u64) -> Vec<(Instant, Vec<u32>)> {
    let end = s.now + ms(time);
    let mut all = Vec::new();
    while s.now < end {
        s.hear();
        s.told.report = Some(s.now);
        let at = s.now;
        all.extend(subtrees(s.pass(10)).into_iter().map(|names| (at, names)));
    }
    all
}

fn subtrees(orders: impl IntoIterator<Item = Order<u32>>) -> Vec<Vec<u32>> {
    let name = |o| match o {
        Order::Inform { report: Report::Subtree(s), .. } => Some(s.open.iter().map(|p| p.peer).collect()),
        _ => None,
    };
    orders.into_iter().filter_map(name).collect()
}

fn named(orders: &VecDeque<Order<u32>>) -> Vec<u32> {
    let names = |o: &Order<u32>| match o {
        Order::Redirect { providers, .. } => Some(providers.iter().map(|p| p.peer).collect()),
        _ => None,
    };
    orders.iter().find_map(names).unwrap_or_default()
}

#[test]
fn q9_a_caller_is_sent_to_the_nearest_open_relayer_of_the_subtree_and_each_slot_is_promised_once() {
    let (mut s, _, [first, second]) = relayer();
    // No child is open: the next one is elected, although something is open further below.
    assert_eq!(selected(s.reported(first, Report::FullCapacity { children: vec![] })), [second]);
    s.reported(second, Report::RelayerDeclined);
    s.reported(first, below(vec![open(21, 5), open(22, 4)]));
    assert_eq!(named(&s.invited(31, false).1), [22, 21]);
    assert_eq!(named(&s.invited(32, false).1), [21]);
    // Both are promised: the child below which they are is asked itself.
    assert_eq!(named(&s.invited(33, false).1), [11]);
    told(&mut s, 2000);
    assert_eq!(named(&s.invited(34, false).1), [22, 21]);
    // Nobody is sent to where itself hangs.
    assert!(!named(&s.invited(11, false).1).iter().any(|p| [21, 22].contains(p)));
}

#[test]
fn q9_without_room_below_callers_go_upwards_and_not_to_the_source() {
    let (mut s, parent) = Solo::viewer(delegated(1), PARENT);
    s.reported(parent, place(vec![1, 2, 3, 4, PARENT]));
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.invited(11, false);
    let names = named(&s.invited(31, false).1);
    assert!(names.len() == 2 && names[0] == PARENT && [2, 3, 4].contains(&names[1]), "{names:?}");
}

#[test]
fn q9_several_offers_are_made_at_once_while_callers_find_nothing() {
    let (mut s, parent) = Solo::viewer(delegated(6), PARENT);
    s.reported(parent, place(vec![7, PARENT]));
    s.reported(parent, Report::SelectedRelayer { register: false });
    let mut offers: Vec<CallId> = (11..17).flat_map(|p| selected(s.invited(p, false).1)).collect();
    assert_eq!(offers.len(), 1, "one as soon as the slots are taken");
    for peer in 31..40 {
        offers.extend(selected(s.invited(peer, false).1));
    }
    assert_eq!(offers.len(), 4, "Limits::offers");
    // A declined one makes room for the next.
    s.reported(offers[0], Report::RelayerDeclined);
    assert_eq!(selected(s.invited(40, false).1).len(), 1);
}

#[test]
fn q9_aggregates_are_merged_and_told_once_a_second_and_sooner_when_the_last_slot_goes() {
    let (mut s, _, [first, second]) = relayer();
    let begun = told(&mut s, 2500);
    assert_eq!(begun.last().unwrap().1, [11]);
    s.reported(second, Report::RelayerAccepted { free: 1 });
    s.reported(second, below(vec![open(41, 4)]));
    s.reported(first, below((51..60).map(|p| open(p, 5)).collect()));
    let all = told(&mut s, 3000);
    // The nearest first, no more than eight, and what changed within the second travelled together.
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].1, [11, 12, 41, 51, 52, 53, 54, 55]);
    let at = s.now;
    s.reported(second, Report::FullCapacity { children: vec![] });
    s.reported(second, below(vec![]));
    s.reported(first, below(vec![]));
    let orders = s.reported(first, Report::FullCapacity { children: vec![] });
    // What the second child still had was told at once, that nothing is left a tenth of a second later at most.
    let gone: Vec<_> = subtrees(orders).into_iter().map(|n| (at, n)).chain(told(&mut s, 3000)).collect();
    let (when, names) = gone.last().unwrap();
    assert!(names.is_empty() && when.since(at) <= ms(100), "{gone:?}");
}

#[test]
fn q12_whoever_has_sixty_four_below_asks_two_standbys_at_once() {
    for (below, at_once) in [(61, 1), (62, 2)] {
        let (mut s, parent, [first, _]) = relayer();
        s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
        let path = vec![7, PARENT];
        let backups = [31, 32, 33].map(|peer| open(peer, 1)).to_vec();
        let place = Report::TreePosition { depth: 2, path, rescue: false, backups, delegated: true };
        s.reported(parent, place);
        let mut standbys = Vec::new();
        for _ in 0..400 {
            s.hear();
            s.told.report = Some(s.now);
            for order in s.pass(10) {
                if let Order::Invite { call, kind: InviteKind::Standby, .. } = order {
                    s.told.elsewhere.insert(call, Instant::ZERO);
                    s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
                    standbys.push(call);
                }
            }
        }
        assert_eq!(standbys.len(), 3);
        // Its two children, and those below the first.
        s.reported(first, Report::Subtree(Subtree { peers: below, free: 0, open: vec![] }));
        s.hear();
        let mut asked = resumed(&s.pass(70));
        assert_eq!(asked, standbys[..at_once], "{below}");
        // A refusal has the next one asked, beside the other.
        let denied = s.fact(Fact::Denied { call: standbys[0] });
        asked.extend(resumed(&Vec::from(denied)));
        assert_eq!(asked, standbys[..=at_once], "{below}");
    }
}

#[test]
fn q9_mere_numbers_wait_for_the_refresh() {
    let (mut s, parent, [first, _]) = relayer();
    s.reported(first, below(vec![open(21, 4)]));
    told(&mut s, 34_000);
    s.reported(first, Report::Subtree(Subtree { peers: 70, free: 50, open: vec![open(21, 4)] }));
    let mut all = Vec::new();
    for _ in 0..3400 {
        s.hear();
        s.told.report = Some(s.now);
        all.extend(s.pass(10));
    }
    let is_ours =
        |o: &&Order<u32>| matches!(o, Order::Inform { call, report: Report::Subtree(_) } if *call == parent);
    let reports: Vec<_> = all.iter().filter(is_ours).collect();
    assert!((1..=2).contains(&reports.len()), "{reports:?}");
    assert!(
        matches!(reports[0], Order::Inform { report: Report::Subtree(s), .. } if s.peers == 72 && s.free == 52)
    );
    // There are no alive messages beside.
    assert!(!all.iter().any(|o| matches!(o, Order::Inform { report: Report::Alive, .. })));
}

#[test]
fn q9_a_relayer_announces_itself_to_a_new_parent_and_keeps_its_office_without_one() {
    let (mut s, parent, [first, _]) = relayer();
    s.reported(first, below(vec![open(21, 4)]));
    told(&mut s, 1500);
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Leaving });
    assert!(s.iptv.status(CHANNEL).unwrap().relayer);
    assert!(!has(&orders, |o| matches!(o, Order::Invite { kind: InviteKind::Control, .. })));
    let call = orders.iter().find_map(|o| match o {
        Order::Invite { call, .. } => Some(*call),
        _ => None,
    });
    let mut call = call.unwrap_or(CallId::placed(0));
    if !has(&orders, |o| matches!(o, Order::Invite { .. })) {
        let providers = vec![Provider { peer: 77, depth: Some(1), free: Some(1) }];
        let orders = s.fact(Fact::Fetched { channel: CHANNEL, providers });
        call = placed(&orders, 77).expect("the provider is called");
    }
    let orders = s.fact(Fact::Answered { call, depth: Some(1), rescue: false });
    let mine: Vec<&Report<u32>> = orders
        .iter()
        .filter_map(|o| match o {
            Order::Inform { call: to, report } if *to == call => Some(report),
            _ => None,
        })
        .collect();
    let children = [11, 12].map(|peer| Child { peer, slots: Some(2), rescue: false }).to_vec();
    assert!(mine.contains(&&Report::RelayerAccepted { free: 0 }), "{mine:?}");
    assert!(mine.contains(&&Report::FullCapacity { children }), "{mine:?}");
    assert!(
        mine.iter().any(|r| matches!(r, Report::Subtree(s) if s.open.iter().any(|p| p.peer == 21))),
        "{mine:?}"
    );
}

#[test]
fn q9_one_that_came_with_its_office_is_a_relayer_of_whoever_is_elected_later() {
    let (mut s, parent) = Solo::viewer(delegated(2), PARENT);
    s.reported(parent, place(vec![7, PARENT]));
    let (call, _) = s.invited(11, true);
    s.reported(call, Report::RelayerAccepted { free: 2 });
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.invited(12, false);
    s.reported(call, Report::ChildUpdate { children: vec![], free: Some(2) });
    assert_eq!(named(&s.invited(31, false).1), [11]);
}

#[test]
fn q9_one_that_came_with_its_office_is_a_relayer_as_soon_as_it_tells_of_its_children() {
    let (mut s, parent) = Solo::viewer(delegated(2), PARENT);
    s.reported(parent, place(vec![7, PARENT]));
    s.reported(parent, Report::SelectedRelayer { register: false });
    let (call, orders) = s.invited(11, false);
    assert!(selected(orders).is_empty(), "a slot is free");
    let orders = s.reported(call, Report::ChildUpdate { children: vec![], free: Some(2) });
    assert!(
        has(&orders, |o| matches!(o, Order::Event(Event::RelayerReady { relayer: 11, .. }))),
        "{orders:?}"
    );
}

#[test]
fn q9_lies_in_aggregates_name_neither_me_nor_mine_nor_those_above_and_count_no_more_than_they_may() {
    let (mut s, _, [first, _]) = relayer();
    s.reported(first, Report::FullCapacity { children: vec![] });
    let lies =
        [SOURCE, 7, PARENT, 11, 12].map(|peer| Provider { peer, depth: Some(0), free: Some(u16::MAX) });
    s.reported(first, Report::Subtree(Subtree { peers: u32::MAX, free: u32::MAX, open: lies.to_vec() }));
    let (call, orders) = s.invited(31, false);
    assert!(
        named(&orders).iter().all(|p| [PARENT, 7].contains(p)),
        "as if nothing had been said: {orders:?}"
    );
    s.fact(Fact::Cancelled { call });
    // A million slots are as many as are believed of one, and the depth of the source is nobody's.
    let liar = Provider { peer: 66, depth: Some(0), free: Some(u16::MAX) };
    let orders = s.reported(first, Report::Subtree(Subtree { peers: 1, free: 1, open: vec![liar; 300] }));
    drop(orders);
    let (_, orders) = s.invited(32, false);
    let named = orders.iter().find_map(|o| match o {
        Order::Redirect { providers, .. } => Some(providers.clone()),
        _ => None,
    });
    assert_eq!(named.unwrap(), [Provider { peer: 66, depth: Some(4), free: Some(16) }]);
    // Whoever is not here, or does not relay, says nothing of its subtree.
    let (mut s, _, [_, second]) = relayer();
    s.reported(second, below(vec![open(21, 4)]));
    s.invited(31, false);
    let orders = s.invited(32, false).1;
    assert!(!has(
        &orders,
        |o| matches!(o, Order::Redirect { providers, .. } if providers.iter().any(|p| p.peer == 21))
    ));
}

#[test]
fn q9_a_child_that_leaves_takes_its_subtree_along() {
    let (mut s, _, [first, _]) = relayer();
    s.reported(first, below(vec![open(21, 4)]));
    assert!(s.iptv.counts_on(21));
    s.fact(Fact::Ended { call: first, reason: ByeReason::Normal });
    assert!(!s.iptv.counts_on(21) && !s.iptv.counts_on(11));
    s.invited(13, false);
    assert!(!named(&s.invited(31, false).1).contains(&21));
}

#[test]
fn q9_a_relayer_reports_to_its_parent_and_to_no_source_whatever_the_records_and_the_tree_say() {
    let (mut s, parent, _) = relayer();
    let source = vec![Provider { peer: 7, depth: Some(0), free: Some(1) }];
    s.fact(Fact::Fetched { channel: CHANNEL, providers: source });
    s.told.report = Some(s.now);
    let mut orders: Vec<_> = s.reported(parent, place(vec![7, PARENT])).into();
    orders.extend(s.hear_for(3_000));
    assert!(!orders.iter().any(|o| matches!(o, Order::Invite { peer: 7, .. })), "{orders:?}");
    let to_parent = |o: &Order<u32>| matches!(o, Order::Inform { call, .. } if *call == parent);
    assert!(orders.iter().any(to_parent), "{orders:?}");
    let announced =
        |o: &Order<u32>| matches!(o, Order::Inform { report: Report::RelayerAccepted { .. }, .. });
    assert!(!orders.iter().any(announced), "its parent was its elector before: {orders:?}");
}

#[test]
fn q9_a_relayer_below_which_nobody_is_says_nothing_of_that() {
    let (mut s, parent) = Solo::viewer(delegated(2), PARENT);
    s.reported(parent, place(vec![7, PARENT]));
    let mut orders: Vec<_> = s.reported(parent, Report::SelectedRelayer { register: false }).into();
    orders.extend(s.hear_for(5_000));
    assert_eq!(subtrees(orders), Vec::<Vec<u32>>::new());
}

#[test]
fn q9_nobody_gets_a_control_dialog_where_relayers_elect() {
    let mut s = Solo::publisher(delegated(2));
    let call = CallId::received(90);
    let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer: 5 });
    assert!(orders.contains(&Order::Refuse { call, denial: Denial::ControlUnwanted }));
}

/// A viewer that hangs in the rescue slot of 77, six hops below the source 1, since its parent was lost.
fn in_a_rescue_slot() -> Solo {
    let (mut s, parent) = Solo::viewer(delegated(2), PARENT);
    s.reported(parent, place(vec![1, 2, 3, PARENT]));
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    let fetched = has(&orders, |o| matches!(o, Order::Fetch { .. }));
    let orders = if fetched {
        let providers = vec![Provider { peer: 77, depth: Some(5), free: Some(1) }];
        s.fact(Fact::Fetched { channel: CHANNEL, providers })
    } else {
        orders
    };
    let call = orders.iter().find_map(|o| match o {
        Order::Invite { call, .. } => Some(*call),
        _ => None,
    });
    let call = call.expect("somebody is called");
    s.fact(Fact::Answered { call, depth: Some(5), rescue: true });
    s.hear();
    s.fact(Fact::FirstPacket { channel: CHANNEL, call });
    let rescued = Report::TreePosition {
        depth: 6,
        path: vec![1, 2, 4, 5, 6, 77],
        rescue: true,
        backups: vec![],
        delegated: true,
    };
    s.reported(call, rescued);
    s
}

/// Whom it asks for so long where nobody has room, and lookups name these, if anybody.
fn asked_out_of_a_rescue_slot(s: &mut Solo, millis: u64, named: Option<&[Provider<u32>]>) -> Vec<u32> {
    let mut asked = Vec::new();
    for _ in 0..millis / 10 {
        s.hear();
        let mut orders = s.pass(10);
        while let Some(order) = orders.pop() {
            match order {
                Order::Invite { call, peer, .. } => {
                    asked.push(peer);
                    let refusal = Refusal::Busy { retry_after: None };
                    orders.extend(s.fact(Fact::Refused { call, refusal }));
                }
                Order::Fetch { .. } => {
                    let providers = named.map(<[_]>::to_vec);
                    let found = providers.map(|providers| Fact::Fetched { channel: CHANNEL, providers });
                    orders.extend(found.into_iter().flat_map(|found| s.fact(found)));
                }
                _ => {}
            }
        }
    }
    asked
}

#[test]
fn q9_whoever_sits_in_a_rescue_slot_asks_where_a_slot_becomes_free_and_not_the_source() {
    let mut s = in_a_rescue_slot();
    let asked = asked_out_of_a_rescue_slot(&mut s, 3_000, None);
    assert_eq!(asked.first(), Some(&3), "the parent of the one that was lost");
    assert!(!asked.contains(&1), "{asked:?}");
    assert!(!s.iptv.status(CHANNEL).unwrap().relayer);
}

/// A crowd has hundreds in rescue slots at any moment, and every lookup names the source.
#[test]
fn q9_whoever_sits_in_a_rescue_slot_leaves_the_source_alone_where_the_overlay_names_enough_others() {
    for (relayers, asks_the_source) in [(3, true), (4, false)] {
        let mut named = vec![Provider { peer: 1, depth: Some(0), free: Some(0) }];
        named.extend((11..11 + relayers).map(|peer| Provider { peer, depth: Some(5), free: Some(1) }));
        let asked = asked_out_of_a_rescue_slot(&mut in_a_rescue_slot(), 30_000, Some(&named));
        assert!(asked.iter().filter(|&&peer| peer == 11).count() > 2, "{asked:?}");
        assert_eq!(asked.contains(&1), asks_the_source, "{relayers} relayers: {asked:?}");
    }
}

#[test]
fn q9_whoever_lives_plays_again_soon_after_the_last_blow() {
    for seed in 100..112 {
        survives(seed, Mode::Delegated);
    }
}

#[test]
fn q9_events_of_offices_come_and_go() {
    let (mut s, _, [first, _]) = relayer();
    let orders = s.fact(Fact::Ended { call: first, reason: ByeReason::Leaving });
    assert!(has(&orders, |o| matches!(o, Order::Event(Event::RelayerLost { relayer: 11, .. }))));
}

#[test]
fn q9_a_source_says_of_its_own_channel_whether_relayers_elect() {
    assert!(Solo::publisher(delegated(2)).iptv.delegates(CHANNEL));
    assert!(!Solo::publisher(delegated(2)).iptv.delegates(ChannelId(7)));
    assert!(!Solo::publisher(default(2)).iptv.delegates(CHANNEL));
    assert!(!Solo::viewer(delegated(2), PARENT).0.iptv.delegates(CHANNEL), "it is not its to say");
}

#[test]
fn q9_whom_an_aggregate_names_may_be_called_and_nobody_else() {
    let mut s = Solo::publisher(delegated(1));
    let (call, _) = s.invited(1, false);
    s.reported(call, Report::RelayerAccepted { free: 0 });
    let open = vec![Provider { peer: 7, depth: Some(2), free: Some(1) }];
    s.reported(call, Report::Subtree(Subtree { peers: 1, free: 1, open }));
    assert_eq!([1, 7, 8].map(|peer| s.iptv.counts_on(peer)), [true, true, false]);
}

#[test]
fn q1_a_full_relayer_that_knows_nobody_below_names_the_source_as_such_and_others_without_a_depth() {
    let named = |config: Config, path: Vec<u32>| {
        let delegated = config.mode == Mode::Delegated;
        let (mut s, parent) = Solo::viewer(config, PARENT);
        let place = Report::TreePosition { depth: 3, path, rescue: false, backups: vec![], delegated };
        s.reported(parent, place);
        s.reported(parent, Report::SelectedRelayer { register: false });
        s.invited(30, false);
        let (_, orders) = s.invited(31, false);
        let named = |o: &Order<u32>| match o {
            Order::Redirect { providers, .. } => Some(providers.iter().map(|p| (p.peer, p.depth)).collect()),
            _ => None,
        };
        orders.iter().find_map(named).unwrap_or_else(Vec::new)
    };
    assert_eq!(named(default(1), vec![7, 8, PARENT]), [(7, Some(0))]);
    assert_eq!(named(delegated(1), vec![7, 8, PARENT]), [(PARENT, None), (8, None)]);
    assert_eq!(named(delegated(1), vec![PARENT]), [(PARENT, Some(0))]);
}

/// Whom a newcomer asks in its first rounds, each time in this order, of so many full relayers and the source, 50, whose record
/// tells so many free slots. All are busy.
fn rounds_with_source(relayers: u32, free: u16) -> Vec<Vec<u32>> {
    let mut s = Solo::new(delegated(2));
    let mut orders = s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let mut asked: Vec<Vec<u32>> = Vec::new();
    while asked.len() <= 20 {
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Fetch { .. } => {
                    asked.push(Vec::new());
                    let full = (11..11 + relayers).map(|peer| Provider { free: Some(0), ..open(peer, 2) });
                    let source = Provider { peer: 50, depth: Some(0), free: Some(free) };
                    let providers = full.chain([source]).collect();
                    orders.extend(s.fact(Fact::Fetched { channel: CHANNEL, providers }));
                }
                Order::Invite { peer, call, .. } => {
                    asked.last_mut().unwrap().push(peer);
                    let refusal = Refusal::Busy { retry_after: None };
                    orders.extend(s.fact(Fact::Refused { call, refusal }));
                }
                _ => {}
            }
        }
        orders.extend(s.pass(100));
    }
    asked.truncate(20);
    asked
}

/// The source tells no free slots.
#[test]
fn q9_four_dead_relayers_keep_a_newcomer_from_the_source_for_less_than_a_second() {
    let mut s = Solo::new(delegated(2));
    s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap());
    let full = |peer, depth| Provider { free: Some(0), ..open(peer, depth) };
    let providers = [11, 12, 13, 14].map(|peer| full(peer, 2)).into_iter().chain([full(50, 0)]).collect();
    s.fact(Fact::Fetched { channel: CHANNEL, providers });
    let asked = (1..5_000).find(|_| placed(&s.pass(1), 50).is_some());
    assert_eq!(asked, Some(800));
}

#[test]
fn q9_whoever_is_named_enough_relayers_asks_the_source_after_all_of_them_unless_it_has_room() {
    let last = |rounds: &[Vec<u32>]| rounds.iter().filter(|round| round.last() == Some(&50)).count();
    let first = |rounds: &[Vec<u32>]| rounds.iter().filter(|round| round.first() == Some(&50)).count();
    assert_eq!(last(&rounds_with_source(4, 0)), 20);
    let few = rounds_with_source(3, 0);
    assert!(last(&few) < 20 && first(&few) > 0, "among few it is one of them: {few:?}");
    let open = rounds_with_source(4, 1);
    assert!(first(&open) > 0, "it has room: {open:?}");
}
