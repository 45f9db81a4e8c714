//! Standbys and the cues about them.

use super::*;

#[test]
fn nothing_is_taken_from_a_standby_and_nothing_sent_to_one() {
    let mut b = with_standby();
    assert_eq!(b.datagram(1, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    assert_eq!((b.facts.len(), b.sends.len()), (0, 0));
    let mut b = with_lease();
    b.push(1, rtp(SSRC, 2)).unwrap();
    b.hold(Hold::Starved);
    assert_eq!((b.relay.children(CHANNEL), b.sends.len()), (&[][..], 0));
}

#[test]
fn k11_a_standby_is_asked_every_50_ms_until_media_comes_and_five_times_at_most() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    assert_eq!(b.cues(), [(addr(5), Cover::Resume, 1)]);
    // What comes meanwhile through somebody else does not change what was asked for.
    b.datagram(101, 1, rtp(SSRC, 2)).unwrap();
    for ms in [150, 200, 250, 300] {
        assert_eq!(b.relay.deadline(), Some(at(ms)));
        b.timeout(at(ms), &mut Seeded::new(1));
        assert_eq!(b.cues(), [(addr(5), Cover::Resume, 1)], "{ms}");
    }
    b.timeout(at(350), &mut Seeded::new(1));
    assert_eq!((b.cues(), b.relay.deadline()), (vec![], Some(at(1000))));

    b.order(|relay, fx| relay.resume(at(400), STANDBY, fx));
    b.datagram(405, 1, rtp(SSRC, 3)).unwrap();
    b.datagram(410, 5, rtp(SSRC, 3)).unwrap_err();
    assert_eq!(b.facts, [first(CHANNEL, STANDBY)]);
    b.timeout(at(450), &mut Seeded::new(1));
    assert_eq!(b.cues(), []);
    assert_eq!(b.relay.last_from(STANDBY), Some(at(410)));
}

#[test]
fn a_standby_far_away_is_not_asked_again_while_its_answer_may_be_on_the_way() {
    let mut b = with_standby();
    b.relay.on_round_trip(STANDBY, Duration::from_millis(120));
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    // A round trip and half of one.
    assert_eq!(b.relay.deadline(), Some(at(280)));
}

#[test]
fn a_standby_that_denies_is_asked_no_more_until_it_is_to_be() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, cue(Cover::Denied, SSRC, 0)).unwrap();
    assert_eq!(b.facts, [Fact::Denied { channel: CHANNEL, call: STANDBY }]);
    assert_eq!(b.datagram(111, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    b.datagram(112, 5, cue(Cover::Denied, SSRC, 0)).unwrap();
    assert_eq!(b.facts, [], "it was told once");
    b.timeout(at(150), &mut Seeded::new(1));
    assert_eq!(b.cues(), []);
    b.order(|relay, fx| relay.resume(at(160), STANDBY, fx));
    assert_eq!(b.cues(), [(addr(5), Cover::Resume, 1)]);
}

#[test]
fn a_denial_that_media_has_overtaken_changes_nothing() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, rtp(SSRC, 2)).unwrap();
    b.datagram(111, 5, cue(Cover::Denied, SSRC, 0)).unwrap();
    assert_eq!(b.facts, []);
    assert_eq!(b.datagram(112, 5, rtp(SSRC, 3)), Ok(()));
}

#[test]
fn a_release_that_was_lost_is_sent_again_when_media_comes_all_the_same() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, rtp(SSRC, 2)).unwrap();
    b.order(|relay, fx| relay.release(at(120), STANDBY, fx));
    assert_eq!(b.cues(), [(addr(5), Cover::Release, 2)]);
    for (ms, again) in [(130, false), (169, false), (170, true), (171, false), (220, true)] {
        assert_eq!(b.datagram(ms, 5, rtp(SSRC, 3)), Err(DropReason::UnknownSender));
        assert_eq!(b.cues().len(), usize::from(again), "{ms}");
    }
}

#[test]
fn a_standbys_child_is_served_when_it_asks_and_rests_when_it_needs_no_more() {
    let mut b = with_lease();
    b.datagram(10, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
    assert_eq!(b.relay.last_report(CHILD), Some(at(10)));
    // Until it is served its repetitions are heard, and then none.
    b.datagram(60, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    assert_eq!(b.facts.len(), 1);
    b.order(|relay, fx| relay.serve(at(61), CHILD, fx));
    b.datagram(110, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    assert_eq!((b.facts.len(), b.relay.children(CHANNEL)), (0, &[addr(9)][..]));
    b.datagram(111, 9, cue(Cover::Release, SSRC, 3)).unwrap();
    assert_eq!(b.facts, [Fact::Released { channel: CHANNEL, call: CHILD }]);
    b.relay.rest(CHILD);
    assert_eq!(b.relay.children(CHANNEL), []);
    b.datagram(112, 9, cue(Cover::Release, SSRC, 3)).unwrap();
    assert_eq!(b.facts, []);
}

#[test]
fn a_release_in_between_begins_no_replay_sooner() {
    let mut b = with_lease();
    b.datagram(10, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    b.order(|relay, fx| relay.serve(at(10), CHILD, fx));
    b.datagram(11, 9, cue(Cover::Release, SSRC, 1)).unwrap();
    b.relay.rest(CHILD);
    b.datagram(59, 9, cue(Cover::Resume, SSRC, 2)).unwrap();
    assert_eq!(b.facts, []);
    b.datagram(60, 9, cue(Cover::Resume, SSRC, 2)).unwrap();
    assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
}

#[test]
fn a_provider_that_denies_and_serves_all_the_same_is_told_to_end() {
    let mut b = with_standby();
    b.order(|relay, fx| relay.resume(at(100), STANDBY, fx));
    b.datagram(110, 5, cue(Cover::Denied, SSRC, 1)).unwrap();
    assert_eq!(b.facts, [Fact::Denied { channel: CHANNEL, call: STANDBY }]);
    // It heard the second RESUME, which crossed its answer to the first.
    assert_eq!(b.datagram(160, 5, rtp(SSRC, 2)), Err(DropReason::UnknownSender));
    assert_eq!(b.cues(), [(addr(5), Cover::Release, 1)]);
}

#[test]
fn a_child_that_asks_again_with_more_than_before_has_lost_its_release() {
    let mut b = with_lease();
    b.datagram(10, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
    b.order(|relay, fx| relay.serve(at(10), CHILD, fx));
    // Not for each of a flood of them; but after a while.
    b.datagram(59, 9, cue(Cover::Resume, SSRC, 80)).unwrap();
    assert_eq!(b.facts, []);
    b.datagram(60, 9, cue(Cover::Resume, SSRC, 80)).unwrap();
    assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
}

#[test]
fn a_standbys_child_that_is_denied_may_ask_again() {
    let mut b = with_lease();
    for ms in [10, 60] {
        b.datagram(ms, 9, cue(Cover::Resume, SSRC, 1)).unwrap();
        assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CHILD }]);
        b.order(|relay, fx| relay.deny(CHILD, fx));
        assert_eq!(b.cues(), [(addr(9), Cover::Denied, 1)]);
    }
    assert_eq!(b.relay.children(CHANNEL), []);
}

#[test]
fn orders_about_standbys_leave_all_other_calls_alone() {
    let mut b = with_standby();
    b.order(|relay, fx| {
        relay.resume(at(1), MOTHER, fx);
        relay.release(at(1), MOTHER, fx);
        relay.serve(at(1), CHILD, fx);
        relay.deny(CHILD, fx);
        relay.rest(CHILD);
    });
    assert_eq!((b.sends.len(), b.relay.children(CHANNEL)), (0, &[addr(9)][..]));
    assert_eq!(b.datagram(2, 1, rtp(SSRC, 2)), Ok(()));
    // Nor are cues for them.
    assert_eq!(b.datagram(3, 1, cue(Cover::Denied, SSRC, 0)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(3, 9, cue(Cover::Resume, SSRC, 0)), Ok(()), "it starts with a report");
    assert_eq!(b.facts, []);
}

#[test]
fn a_standby_gets_a_report_every_five_seconds() {
    let mut b = with_standby();
    let mut entropy = Seeded::new(3);
    let mut told = vec![0];
    while told.len() < 10 {
        let due = b.relay.deadline().unwrap();
        b.timeout(due, &mut entropy);
        assert!(b.receivers().starts_with(&[addr(1), addr(2)]));
        if b.receivers().contains(&addr(5)) {
            told.push(due.as_millis());
        }
    }
    assert!(told.windows(2).all(|pair| (4000..=6000).contains(&(pair[1] - pair[0]))), "{told:?}");
}

#[test]
fn a_cue_under_the_key_of_a_call_is_about_that_call() {
    let mut entropy = Seeded::new(6);
    let mut b = source();
    b.push(0, rtp(SSRC, 1)).unwrap();
    let mut sessions = [11, 12].map(|n| {
        let (ours, theirs) = (MasterKey::generate(&mut entropy), MasterKey::generate(&mut entropy));
        let session = Session::new(&Keys { ours: theirs.clone(), theirs: ours.clone() });
        let remote = Remote { addr: addr(8), keys: Some(Keys { ours, theirs }) };
        b.relay.add_standby_child(CallId::received(n), CHANNEL, remote).unwrap();
        session
    });
    for (session, n) in sessions.iter_mut().zip([11, 12]) {
        b.datagram(1, 8, session.protect(&cue(Cover::Resume, SSRC, 1)).unwrap()).unwrap();
        assert_eq!(b.facts, [Fact::Resumed { channel: CHANNEL, call: CallId::received(n) }]);
    }
    let forged = b.datagram(2, 8, cue(Cover::Release, SSRC, 1));
    assert_eq!((forged, b.facts.len()), (Err(DropReason::BadAuthentication), 0));
}
