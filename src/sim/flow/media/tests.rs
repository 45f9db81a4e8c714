use super::scattered::{Mender, unmended};
use super::{Leg, Media, Terms};
use crate::time::{Duration, Instant};
use alloc::vec;
use alloc::vec::Vec;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Instant {
    Instant::from_millis(n)
}

/// A source 0 and a line of nodes below it, 30 ms from each other, that plays since the instant 0.
fn line(terms: Terms, nodes: u32) -> (Media, Vec<Leg>) {
    let mut media = Media::new(terms, 0, Instant::ZERO);
    let mut legs = Vec::new();
    for node in 1..=nodes {
        media.begin(node, Instant::ZERO);
        legs.push(media.connect(Instant::ZERO, (node - 1, node), ms(30), true));
    }
    assert_eq!(media.take_firsts().len(), nodes as usize);
    (media, legs)
}

fn without_loss(terms: Terms) -> Terms {
    Terms { loss: 0.0, ..terms }
}

#[test]
fn a_break_reaches_those_below_when_the_last_packets_do() {
    let (mut media, _) = line(without_loss(Terms::plain()), 3);
    assert_eq!(media.depth(3), Some(3));
    media.die(at(1000), 1);
    assert_eq!(media.last_media(2, at(2000)), Some(at(1030)));
    assert_eq!(media.last_media(3, at(2000)), Some(at(1060)));
    assert!(!media.is_fed(3));
}

#[test]
fn without_a_replay_everybody_below_misses_what_was_sent_meanwhile() {
    let (mut media, legs) = line(without_loss(Terms::plain()), 3);
    media.die(at(1000), 1);
    media.drop_leg(at(1200), legs[1]);
    media.connect(at(1300), (0, 2), ms(30), true);
    // The last packet at 2 was sent at 970 and came at 1030, the next one was sent at 1300 and came at 1330.
    let totals = media.finish(at(3000));
    let missed = [330u64, 330].map(|n| n * 1000);
    assert_eq!(totals.missed, missed.iter().sum::<u64>());
    assert_eq!((totals.gaps.len(), totals.silences.len()), (2, 2));
    assert!(totals.silences.max() == 300_000, "{}", totals.silences.max());
}

#[test]
fn a_replay_in_time_leaves_no_gap_and_one_too_late_only_a_part() {
    for (back_at, missed) in [(1300, 0), (1930, 400)] {
        let (mut media, legs) = line(without_loss(Terms::plain().with_replay()), 2);
        media.die(at(1000), 1);
        media.drop_leg(at(1200), legs[1]);
        media.connect(at(back_at), (0, 2), ms(30), true);
        // Sent at 970 it would have been played at 1530. Replayed from 1960 on at four times the pace, it is late until
        // what was sent 4/3 * 430 ms afterwards.
        let totals = media.finish(at(5000));
        let missed = missed * 1000 * 43 / 30;
        assert!(totals.missed.abs_diff(missed) < 1000, "{back_at}: {} {missed}", totals.missed);
    }
}

#[test]
fn a_second_parent_takes_over_without_a_pause() {
    let (mut media, legs) = line(without_loss(Terms::plain()), 3);
    media.begin(4, Instant::ZERO);
    media.connect(Instant::ZERO, (0, 4), ms(90), false);
    media.connect(at(500), (4, 2), ms(90), false);
    media.die(at(1000), 1);
    media.close(at(1000), legs[0]);
    media.drop_leg(at(1100), legs[1]);
    assert_eq!((media.parent(2), media.depth(3)), (Some(4), Some(3)));
    assert_eq!(media.last_media(3, at(2000)).map(|t| t >= at(2000)), Some(true));
    let totals = media.finish(at(3000));
    assert_eq!((totals.missed, totals.silences.len()), (0, 0));
    // Both sent from 590 to 1030, and what was on its way to the dead arrived nowhere.
    assert_eq!(totals.wasted, 470_000);
}

#[test]
fn whoever_moves_nearer_to_the_source_at_once_loses_the_difference_unless_it_is_replayed() {
    for (replays, missed) in [(false, 60), (true, 0)] {
        let (mut media, legs) = line(without_loss(Terms::plain().with_replay()), 3);
        media.connect(at(1000), (0, 3), ms(30), replays);
        media.drop_leg(at(1030), legs[2]);
        let totals = media.finish(at(3000));
        assert_eq!(totals.missed, missed * 1000);
    }
}

#[test]
fn nodes_that_feed_each_other_starve() {
    let (mut media, legs) = line(Terms::plain(), 3);
    media.connect(at(500), (3, 1), ms(30), false);
    media.close(at(1000), legs[0]);
    assert!([1, 2, 3].iter().all(|&n| !media.is_fed(n)));
    assert_eq!(media.last_media(3, at(9000)), Some(at(1090)));
}

#[test]
fn a_player_to_which_everything_comes_too_late_waits_once() {
    let (mut media, legs) = line(without_loss(Terms::plain()), 2);
    media.connect(at(1000), (0, 2), ms(700), false);
    media.drop_leg(at(2000), legs[1]);
    let totals = media.finish(at(10_000));
    assert_eq!((totals.gaps.len(), totals.missed), (1, (700 + 500 - 560) * 1000));
}

#[test]
fn packets_that_are_asked_for_again_are_missed_where_the_deadline_does_not_allow_it() {
    let of = |delay: u64| Mender { round_trip: ms(2 * delay), answers: true };
    let left = |delay, slack| unmended(&Terms::plain().with_nacks(), None, of(delay), ms(slack));
    // A request or its answer is lost, and so are two and three of them.
    let fails: f64 = 1.0 - 0.99 * 0.99;
    for (delay, slack, requests) in [(30, 500, 3), (60, 500, 2), (100, 500, 2), (200, 500, 1), (30, 80, 0)] {
        let expected = 0.01 * fails.powi(requests);
        assert!((left(delay, slack) - expected).abs() < 1e-12, "{delay} {slack}: {}", left(delay, slack));
    }
    assert_eq!(unmended(&Terms::plain(), None, of(30), ms(500)), 0.01);
    // A standby 20 ms away is asked first, a parent 200 ms away 60 ms later, and then it is too late for either.
    for (answers, slack, requests) in [(true, 500, 2), (false, 500, 1), (true, 300, 1), (false, 300, 0)] {
        let standby = Mender { round_trip: ms(40), answers };
        let left = unmended(&Terms::plain().with_nacks(), Some(standby), of(200), ms(slack));
        let expected = 0.01 * fails.powi(requests);
        assert!((left - expected).abs() < 1e-12, "{answers} {slack}: {left}");
    }
    let (mut media, _) = line(Terms::plain(), 10);
    let totals = media.finish(at(100_000));
    let expected = (1..=10).map(|d| 1.0 - 0.99f64.powi(d)).sum::<f64>() / 10.0;
    assert!((totals.scattered / totals.due as f64 - expected).abs() < 1e-3);
}

#[test]
fn what_came_too_late_for_a_player_is_passed_on_and_may_be_in_time_below() {
    // 1 plays, sinks by 460 ms, and goes on with a slack of 40 ms, which leaves no time to mend anything.
    let mut media = Media::new(Terms::plain().with_nacks(), 0, Instant::ZERO);
    media.begin(1, Instant::ZERO);
    let near = media.connect(Instant::ZERO, (0, 1), ms(10), false);
    media.begin(2, Instant::ZERO);
    media.connect(Instant::ZERO, (0, 2), ms(440), false);
    media.connect(at(1000), (2, 1), ms(30), false);
    media.drop_leg(at(2000), near);
    // 3 begins below it and waits for half a second of its own.
    media.begin(3, at(3000));
    media.connect(at(3000), (1, 3), ms(30), false);
    let residue = |n: u32| media.node(n).map_or(0.0, |n| n.residue);
    let far = 0.01;
    assert!((residue(1) - (1.0 - 0.99 * 0.99)).abs() < 1e-9, "{}", residue(1));
    assert!((residue(3) - far).abs() < 1e-5, "{}", residue(3));
}

#[test]
fn whoever_was_told_that_more_would_come_is_told_when_it_does_not() {
    let (mut media, legs) = line(Terms::plain(), 2);
    media.begin(3, at(1000));
    media.connect(at(1000), (2, 3), ms(30), false);
    // A path that is exchanged for another one breaks nothing off; but that it brings nothing more is news to its child.
    media.connect(at(1000), (1, 2), ms(30), true);
    media.drop_leg(at(1500), legs[1]);
    assert_eq!(media.take_broken(), vec![2]);
    let sight = media.terms().foresight;
    assert_eq!([2, 3].map(|n| media.last_media(n, at(2000))), [Some(at(2000) + sight); 2]);
    media.die(at(2500), 1);
    assert_eq!((media.take_broken(), media.take_broken()), (vec![2, 3], vec![]));
    assert_eq!([2, 3].map(|n| media.last_media(n, at(2500))), [Some(at(2530)), Some(at(2560))]);
    // Who looks all the time need not be told.
    let (mut media, legs) = line(Terms { foresight: Duration::ZERO, ..Terms::plain() }, 2);
    media.drop_leg(at(1500), legs[1]);
    assert_eq!((media.last_media(1, at(1400)), media.take_broken()), (Some(at(1400)), vec![]));
}

#[test]
fn single_packets_are_mended_by_a_standby_where_the_parent_is_far_and_all_below_feel_it() {
    let mut media = Media::new(Terms::plain().with_nacks(), 0, Instant::ZERO);
    for node in 1..=3 {
        media.begin(node, Instant::ZERO);
    }
    media.connect(Instant::ZERO, (0, 1), ms(240), false);
    media.connect(Instant::ZERO, (1, 2), ms(10), false);
    media.connect(Instant::ZERO, (0, 3), ms(30), false);
    let residue = |media: &Media, n: u32| media.node(n).map_or(0.0, |n| n.residue);
    let fails: f64 = 1.0 - 0.99 * 0.99;
    // Its playout of 500 ms leaves no time for a parent that is 480 ms away there and back, and asked after 20.
    let far = |media: &Media| (residue(media, 1), residue(media, 2));
    let near = |n: i32| 0.01 * fails.powi(n);
    let is = |(a, b): (f64, f64), c: f64| (a - c).abs() < 1e-6 && (b - c).abs() < 1e-6;
    assert!(is(far(&media), 0.01), "{:?}", far(&media));
    media.stand_by(at(1000), (3, 1), ms(20));
    assert!(is(far(&media), near(1)), "{:?}", far(&media));
    // What has everything later is no help; nor is somebody who has gone.
    media.stand_down(at(2000), (3, 1));
    assert!(is(far(&media), 0.01), "{:?}", far(&media));
    media.begin(4, at(2000));
    media.connect(at(2000), (3, 4), ms(280), false);
    media.stand_by(at(3000), (4, 1), ms(20));
    assert!(is(far(&media), 0.01), "{:?}", far(&media));
}
