//! How often things are said and tried: HOLD, searches, climbs, a lost control dialog.

use crate::harness::{CHANNEL, Solo, default, delegated, ms, placed};
use p2piptv::ids::CallId;
use p2piptv::iptv::{ByeReason, Config, Fact, Hold, InviteKind, Mode, Order, Pace, Profile, Refusal, Report};

/// The search finds nobody, again and again: how long it rests after each round.
fn rests(s: &mut Solo, mut orders: Vec<Order<u32>>, rounds: usize) -> Vec<u64> {
    let mut rests = Vec::new();
    for _ in 0..rounds {
        if let Some(call) = placed(&orders, 9) {
            orders = s.fact(Fact::Refused { call, refusal: Refusal::NoAnswer }).into();
        }
        assert!(orders.iter().any(|o| matches!(o, Order::Fetch { .. })), "{orders:?}");
        s.fact(Fact::Fetched { channel: CHANNEL, providers: vec![] });
        let since = s.now;
        loop {
            orders = s.pass(10);
            if orders.iter().any(|o| matches!(o, Order::Fetch { .. } | Order::Invite { .. })) {
                break;
            }
        }
        rests.push(s.now.since(since).as_millis() as u64);
    }
    rests
}

fn assert_rests(rests: &[u64], least: &[u64]) {
    assert_eq!(rests.len(), least.len());
    for (rest, &least) in rests.iter().zip(least) {
        assert!((least..=least * 3 / 2 + 10).contains(rest), "{rests:?}, and not {least} or half more");
    }
}

#[test]
fn q14_a_newcomer_whom_nobody_serves_waits_twice_as_long_each_time_up_to_eight_seconds() {
    let mut s = Solo::new(default(2));
    let orders = s.act(|i, now, ctx| i.tune(now, CHANNEL, ctx).unwrap()).into();
    assert_rests(&rests(&mut s, orders, 6), &[500, 1_000, 2_000, 4_000, 8_000, 8_000]);
}

#[test]
fn q14_an_orphan_whom_nobody_serves_hurries_for_eight_rounds_and_then_waits_like_a_newcomer() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    let orders = s.fact(Fact::Ended { call, reason: ByeReason::Lost }).into();
    let least = [300, 600, 1_200, 1_500, 1_500, 1_500, 1_500, 1_500, 8_000];
    assert_rests(&rests(&mut s, orders, 9), &least);
}

/// The last packet came at 0, ten milliseconds after the one before. The first HOLD is said again in half of the time that
/// children give it; all that follow within 400 ms are expected by them.
#[test]
fn q6_the_first_holds_follow_the_pace_of_the_media_and_those_after_400_ms_come_every_200_ms() {
    let mut s = Solo::publisher(default(2));
    s.told.pace = Some(Pace { gap: ms(10), jitter: ms(0) });
    s.invited(3, false);
    s.told.media = Some(s.now);
    let hold = Order::Hold { channel: CHANNEL, hold: Hold::Paused };
    let times: Vec<u64> = (1..900).filter(|_| s.pass(1).contains(&hold)).collect();
    assert_eq!(times, [40, 50, 90, 130, 170, 210, 250, 290, 330, 370, 410, 610, 810]);
}

#[test]
fn q14_only_whoever_can_relay_and_hangs_deep_looks_for_a_better_place() {
    for (capacity, path, asks) in
        [(2, vec![9, 1, 2], false), (2, vec![9, 1, 2, 3], true), (0, vec![9, 1, 2, 3], false)]
    {
        let (mut s, call) = Solo::viewer(default(capacity), 9);
        s.reported(
            call,
            Report::TreePosition {
                depth: 0,
                path: path.clone(),
                rescue: false,
                backups: vec![],
                delegated: false,
            },
        );
        // The first time after four seconds, or half as much again.
        assert_eq!(placed(&s.hear_for(3_990), 1), None);
        assert_eq!(placed(&s.hear_for(2_200), 1).is_some(), asks, "{capacity} slots below {path:?}");
    }
}

#[test]
fn q18_a_control_dialog_in_which_a_report_was_lost_is_replaced_after_a_pause() {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let path = vec![50, 9];
    s.reported(
        parent,
        Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
    );
    let call = CallId::received(7);
    s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer: 50 });
    let orders = s.reported(call, Report::SelectedRelayer { register: true });
    assert!(orders.contains(&Order::Inform { call, report: Report::RelayerAccepted { free: 2 } }));
    let orders = s.fact(Fact::ReportFailed { call });
    assert!(orders.contains(&Order::Bye { call, reason: ByeReason::Normal }), "{orders:?}");
    assert_eq!(placed(&s.hear_for(490), 50), None);
    let again = s.hear_for(270);
    assert!(again.iter().any(|o| matches!(o, Order::Invite { peer: 50, kind: InviteKind::Control, .. })));
}

/// How long a viewer waits each time before it looks for a better place, where everybody is busy.
fn climbs(config: Config, path: &[u32], rtt: Option<u64>, seconds: u64) -> Vec<u64> {
    let delegated = config.mode == Mode::Delegated;
    let (mut s, call) = Solo::viewer(config, 9);
    let path = path.to_vec();
    s.reported(call, Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated });
    if let Some(rtt) = rtt {
        s.fact(Fact::RoundTrip { call, rtt: ms(rtt) });
    }
    let (mut last, mut waits) = (s.now, Vec::new());
    for _ in 0..seconds * 100 {
        for order in s.hear_for(10) {
            if let Order::Invite { call, .. } = order {
                waits.push(s.now.since(last).as_millis() as u64);
                last = s.now;
                s.fact(Fact::Refused { call, refusal: Refusal::Busy { retry_after: None } });
            }
        }
    }
    waits
}

#[test]
fn q14_whoever_finds_no_better_place_looks_for_one_ever_less_often() {
    let deep = [9, 1, 2, 3, 4];
    assert_rests(&climbs(default(2), &deep, None, 40)[..4], &[4_000, 8_000, 8_000, 8_000]);
    for (rtt, most) in [(None, 128), (Some(100), 128), (Some(101), 64), (Some(300), 64), (Some(301), 16)] {
        let least = [4_u64, 8, 16, 32, 64, 128, 256].map(|seconds| seconds.min(most) * 1_000);
        assert_rests(&climbs(delegated(2), &deep, rtt, 650)[..7], &least);
    }
    assert!(
        climbs(Config::new(Profile::Paper, 2), &deep, None, 300).is_empty(),
        "the paper knows nothing of it"
    );
}

#[test]
fn q18_a_control_dialog_that_broke_or_was_refused_is_opened_anew_after_half_a_second_and_then_after_a_whole_one()
 {
    let (mut s, parent) = Solo::viewer(default(2), 9);
    let path = vec![50, 9];
    s.reported(
        parent,
        Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
    );
    let call = CallId::received(7);
    s.fact(Fact::ControlInvited { channel: CHANNEL, call, peer: 50 });
    s.reported(call, Report::SelectedRelayer { register: true });
    s.fact(Fact::Ended { call, reason: ByeReason::Lost });
    let mut rests = Vec::new();
    for _ in 0..2 {
        let since = s.now;
        let call = (0..1_000).find_map(|_| placed(&s.hear_for(10), 50)).expect("it is opened anew");
        rests.push(s.now.since(since).as_millis() as u64);
        s.fact(Fact::Refused { call, refusal: Refusal::NoAnswer });
    }
    assert_rests(&rests, &[500, 1_000]);
    assert!(s.iptv.status(CHANNEL).unwrap().relayer);
}

#[test]
fn q14_news_of_the_place_put_no_look_for_a_better_one_off() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    for n in 0..7 {
        let path = vec![9, 1, 2, 3 + n];
        s.reported(
            call,
            Report::TreePosition { depth: 0, path, rescue: false, backups: vec![], delegated: false },
        );
        if placed(&s.hear_for(1_000), 1).is_some() {
            assert!((4..=6).contains(&n), "{n}");
            return;
        }
    }
    panic!("put off");
}

#[test]
fn q1_news_of_the_place_put_no_search_for_an_ordinary_slot_off() {
    let (mut s, call) = Solo::viewer(default(2), 9);
    for n in 0..20 {
        let path = vec![9];
        s.reported(
            call,
            Report::TreePosition { depth: 0, path, rescue: true, backups: vec![], delegated: false },
        );
        if placed(&s.hear_for(100), 9).is_some() {
            assert!((11..=18).contains(&n), "{n}");
            return;
        }
    }
    panic!("put off");
}
