//! What makes a relayer one that can be found, and what takes the office away again.

use crate::harness::{CHANNEL, Solo, default, has};
use p2piptv::ids::CallId;
use p2piptv::iptv::{ByeReason, Config, Event, Fact, InviteKind, Order, Profile, Reception, Report, Role};

fn registers(orders: &[Order<u32>]) -> bool {
    orders.iter().any(|o| matches!(o, Order::Register { role: Role::Relayer, .. }))
}

/// The first report, which is empty, comes at once, the next ones every second.
#[test]
fn q8_a_new_relayer_registers_when_a_child_that_it_served_for_a_while_misses_nothing() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let orders = s.reported(parent, Report::SelectedRelayer { register: true });
    let accepted = Order::Inform { call: parent, report: Report::RelayerAccepted { free: 2 } };
    assert!(orders.contains(&accepted), "its elector sends it callers at once");
    let orders = s.hear_for(2_000);
    assert!(!registers(&orders), "nobody has tried it");
    let (child, orders) = s.invited(3, false);
    assert!(has(&orders, |o| matches!(o, Order::Accept { call, .. } if *call == child)));
    s.told.report = Some(s.now);
    assert!(!registers(&s.hear_for(1_000)), "one report, of nothing yet");
    s.told.report = Some(s.now);
    let orders = s.hear_for(250);
    let register =
        |free| Order::Register { channel: CHANNEL, role: Role::Relayer, depth: 1, free, listed: true };
    assert_eq!(orders.iter().filter(|o| **o == register(1)).count(), 1, "{orders:?}");
    let orders = s.act(|i, now, ctx| i.leave(now, ctx));
    assert!(orders.contains(&Order::Unregister { channel: CHANNEL }));
}

#[test]
fn q8_a_relayer_registers_untried_when_nobody_comes_but_later_when_somebody_came_and_went() {
    for (comes, after) in [(false, 3_000), (true, 30_000)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        if comes {
            let (child, _) = s.invited(3, false);
            s.hear_for(500);
            s.fact(Fact::Ended { call: child, reason: ByeReason::Normal });
        }
        let before = s.hear_for(after - 10);
        let orders = s.hear_for(20);
        assert_eq!((registers(&before), registers(&orders)), (false, true), "somebody came: {comes}");
    }
}

#[test]
fn q8_the_papers_relayer_registers_with_its_election() {
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Paper, 2), 9);
    assert!(registers(&Vec::from(s.reported(parent, Report::SelectedRelayer { register: true }))));
}

/// A relayer with children that report a loss of 12 %. If it loses as much itself it is not its uplink, and if one child
/// loses nothing it is not either. If there is only the one that misses packets, nobody finds it by name.
#[test]
fn q8_a_relayer_whose_children_all_miss_what_it_has_is_a_viewer_again() {
    for (own_loss, second_child, fails) in [(0, false, true), (12, false, false), (0, true, false)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        let (child, _) = s.invited(3, false);
        s.told.lossy = Some(child);
        if second_child {
            s.invited(4, false);
        }
        let mut orders = Vec::new();
        for n in 0..50_u64 {
            s.hear();
            s.told.report = Some(s.now);
            s.told.reception = Some(Reception { received: n * (100 - own_loss), lost: n * own_loss });
            orders.extend(s.pass(100));
        }
        let declined = orders.contains(&Order::Inform { call: parent, report: Report::RelayerDeclined });
        assert_eq!(declined, fails, "own loss {own_loss}, another child: {second_child}");
        assert_eq!(
            (registers(&orders), orders.contains(&Order::Unregister { channel: CHANNEL })),
            (!fails, false)
        );
        assert_eq!(orders.contains(&Order::Inform { call: child, report: Report::Leaving }), fails);
        assert_eq!(s.iptv.status(CHANNEL).unwrap().relayer, !fails);
    }
}

#[test]
fn q8_a_relayer_from_whom_four_children_move_on_before_they_can_have_had_media_is_a_viewer_again() {
    // How long each of them stays, and why it goes: at 400 ms a child that gets nothing has waited long enough.
    let moved = |times: &[u64], reason| {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: false });
        for (n, stays) in times.iter().enumerate() {
            let (call, _) = s.invited(3 + n as u32, false);
            for _ in 0..stays / 10 {
                s.told.report = Some(s.now);
                s.hear_for(10);
            }
            let orders = Vec::from(s.fact(Fact::Ended { call, reason }));
            let declined = orders.contains(&Order::Inform { call: parent, report: Report::RelayerDeclined });
            assert_eq!(
                declined,
                n == 3 && !s.iptv.status(CHANNEL).unwrap().relayer,
                "child {n} of {times:?}"
            );
        }
        !s.iptv.status(CHANNEL).unwrap().relayer
    };
    assert!(moved(&[400, 1_000, 600, 3_990], ByeReason::Normal));
    assert!(!moved(&[400, 1_000, 600], ByeReason::Normal));
    assert!(!moved(&[400, 1_000, 600, 4_000, 400, 400, 400], ByeReason::Normal), "one of them stayed");
    assert!(!moved(&[1_000, 1_000, 1_000], ByeReason::Normal));
    assert!(!moved(&[390; 9], ByeReason::Normal), "they had asked several");
    assert!(!moved(&[1_000; 9], ByeReason::Leaving), "they have seen enough");
    assert!(!moved(&[1_000; 9], ByeReason::Lost), "they are gone");
}

#[test]
fn q8_a_relayer_whom_one_child_has_stayed_with_may_lose_four_others() {
    for (since, relays) in [(4_000, true), (1_000, false)] {
        let (mut s, parent) = Solo::viewer(default(5), 9);
        s.reported(parent, Report::SelectedRelayer { register: false });
        let wait = |s: &mut Solo, time: u64| {
            for _ in 0..time / 10 {
                s.told.report = Some(s.now);
                s.hear_for(10);
            }
        };
        s.invited(3, false);
        wait(&mut s, since - 500);
        let others = [4, 5, 6, 7].map(|peer| s.invited(peer, false).0);
        wait(&mut s, 500);
        for call in others {
            s.fact(Fact::Ended { call, reason: ByeReason::Normal });
        }
        assert_eq!(s.iptv.status(CHANNEL).unwrap().relayer, relays, "after {since}");
    }
}

#[test]
fn q18_a_relayer_says_something_every_second_give_or_take_a_tenth() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(parent, Report::SelectedRelayer { register: false });
    s.hear_for(2_000);
    let (mut last, mut rests) = (None, Vec::new());
    for _ in 0..4_000 {
        let to_parent = |o: &Order<u32>| matches!(o, Order::Inform { call, .. } if *call == parent);
        if s.hear_for(10).iter().any(to_parent) {
            rests.extend(last.replace(s.now).map(|last| s.now.since(last).as_millis()));
        }
    }
    assert!(rests.iter().all(|&rest| rest <= 1_110) && rests.iter().any(|&rest| rest > 1_010), "{rests:?}");
    assert!(rests.iter().filter(|&&rest| rest < 890).count() <= 2, "{rests:?}");
}

#[test]
fn q8_a_relayer_that_delivered_once_and_does_no_more_takes_its_record_back() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    s.reported(parent, Report::SelectedRelayer { register: false });
    let (child, _) = s.invited(3, false);
    let mut orders = Vec::new();
    for n in 0..100 {
        s.hear();
        s.told.report = Some(s.now);
        s.told.lossy = Some(child).filter(|_| n >= 50);
        s.told.reception = Some(Reception { received: n * 100, lost: 0 });
        for _ in 0..10 {
            orders.extend(s.pass(10));
            orders.extend(s.act(|i, now, ctx| i.set_capacity(now, 2, ctx)));
        }
        assert!(n != 6 && n != 12 || registers(&orders) == (n == 12), "{n}");
        // Four looks in a row, 1.1 s apart, however often there is something else to do.
        assert!(n != 82 || s.iptv.status(CHANNEL).unwrap().relayer, "not before 8.2 s");
    }
    assert!(orders.contains(&Order::Unregister { channel: CHANNEL }));
    assert!(!s.iptv.status(CHANNEL).unwrap().relayer);
}

#[test]
fn q18_a_control_dialog_is_taken_from_the_elector_and_from_nobody_else() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let invite = |s: &mut Solo, n, peer| {
        let call = CallId::received(n);
        let orders = s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer });
        has(&orders, |o| matches!(o, Order::Accept { call: c, .. } if *c == call))
    };
    assert_eq!([invite(&mut s, 50, 8), invite(&mut s, 51, 9)], [false, true], "a candidate knows the source");
    s.reported(parent, Report::SelectedRelayer { register: true });
    assert_eq!([invite(&mut s, 52, 8), invite(&mut s, 53, 9)], [false, true], "a relayer its elector");
}

#[test]
fn q18_a_relayer_whose_elector_lets_it_go_is_a_viewer_with_the_children_it_has() {
    for (reason, relays) in [(ByeReason::Normal, false), (ByeReason::Leaving, false), (ByeReason::Lost, true)]
    {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        let path = vec![50, 9];
        let backups = vec![];
        s.reported(parent, Report::TreePosition { depth: 0, path, rescue: false, backups, delegated: false });
        let call = CallId::received(70);
        s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer: 50 });
        s.reported(call, Report::SelectedRelayer { register: true });
        s.invited(3, false);
        let mut orders: Vec<_> = s.fact(Fact::Ended { call, reason }).into();
        s.told.report = Some(s.now);
        orders.extend(s.hear_for(2_000));
        let redials = |o: &Order<u32>| matches!(o, Order::Invite { peer: 50, kind: InviteKind::Control, .. });
        assert_eq!((s.iptv.status(CHANNEL).unwrap().relayer, orders.iter().any(redials)), (relays, relays));
        assert_eq!(s.iptv.status(CHANNEL).unwrap().children, (1, 0), "{reason:?}");
    }
}

#[test]
fn q8_only_a_relayer_whose_record_was_taken_is_told_so() {
    for (relays, ok) in [(true, true), (true, false), (false, true)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        if relays {
            s.reported(parent, Report::SelectedRelayer { register: true });
        }
        let told = s.fact(Fact::Registered { channel: CHANNEL, ok });
        let registered = Order::Event(Event::Registered { channel: CHANNEL });
        assert_eq!(told.contains(&registered), relays && ok, "{relays} {ok}");
    }
}

/// The child misses 30 of 256, and 13 more than its parent are too many.
#[test]
fn q8_a_relayer_may_be_found_when_its_child_misses_hardly_more_than_itself() {
    for (lost, found) in [(17, false), (18, true)] {
        let (mut s, parent) = Solo::viewer(default(2), 9);
        s.reported(parent, Report::SelectedRelayer { register: true });
        let (child, _) = s.invited(3, false);
        s.told.lossy = Some(child);
        s.told.reception = Some(Reception { received: 256 - lost, lost });
        s.hear_for(900);
        s.told.report = Some(s.now);
        assert_eq!(registers(&s.hear_for(260)), found, "{lost}");
    }
}
