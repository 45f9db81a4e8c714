//! The source dies: a standby takes over with the tree as it is, or the channel ends everywhere (Q7).

use crate::harness::{CHANNEL, SOURCE, World, ms};
use p2piptv::iptv::{Config, EndReason, Event, Fact, Hold, Profile, Report};
use p2piptv::time::{Duration, Instant};

/// A source, its standby, and viewers that came one after the other.
fn with_a_standby(viewers: usize, seed: u64) -> (World, u32) {
    let mut w = World::new(Config::new(Profile::Default, 2), seed);
    w.run(ms(1000));
    let heir = w.stand_by();
    w.run(ms(2000));
    for _ in 0..viewers {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(8000));
    (w, heir)
}

fn took_over(w: &World) -> Vec<Instant> {
    w.event_times(|_, e| matches!(e, Event::TookOver { .. }))
}

#[test]
fn q7_a_standby_takes_over_two_seconds_after_the_source_died_and_everybody_plays_again() {
    for seed in 0..12 {
        let (mut w, heir) = with_a_standby(12, seed);
        let parents: Vec<Option<u32>> = w.viewers().map(|v| w.parent(v)).collect();
        w.forget_counts();
        let died = w.now;
        w.kill(SOURCE);
        w.run(ms(12_000));
        let after: Vec<Duration> = took_over(&w).iter().map(|t| t.since(died)).collect();
        assert!(matches!(after[..], [t] if (ms(2000)..ms(2700)).contains(&t)), "seed {seed}: {after:?}");
        assert!(w.status(heir).is_some_and(|s| s.publisher && s.depth == Some(0)));
        assert!(w.starving(ms(100)).is_empty(), "seed {seed}: {:?}\n{}", w.starving(ms(100)), w.tail(300));
        // Whoever hung below a relayer hangs there still.
        let before = parents.iter().filter(|p| p.is_some_and(|p| p != SOURCE)).count();
        let moved =
            (1..).zip(&parents).filter(|(v, p)| p.is_some_and(|p| p != SOURCE) && w.parent(*v) != **p);
        let moved = moved.count();
        assert!(moved <= 2, "seed {seed}: {moved} of {before} moved\n{}", w.tail(300));
        let longest = w.take_silences().iter().map(|s| s.2).max().unwrap_or_default();
        assert!(longest <= ms(6000), "seed {seed}: {longest:?}\n{}", w.tail(400));
    }
}

#[test]
fn q7_the_heir_knows_the_tree_and_elects_in_it() {
    let (mut w, heir) = with_a_standby(12, 3);
    w.kill(SOURCE);
    w.run(ms(20_000));
    let rows = w.peers[heir as usize].iptv.table(CHANNEL);
    let placed = rows.iter().filter(|r| r.depth.is_some()).count();
    assert_eq!(placed, 12, "{rows:?}");
    assert!(rows.iter().filter(|r| r.relayer).count() >= 4, "{rows:?}");
    for _ in 0..6 {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(4000));
    assert!(w.starving(ms(100)).is_empty(), "{}", w.tail(300));
}

#[test]
fn a_source_that_answers_is_not_replaced_whatever_the_tree_has() {
    let (mut w, heir) = with_a_standby(6, 5);
    // The source's media reaches nobody, and its SIP everybody.
    for viewer in 1..=7 {
        w.cut(SOURCE, viewer, true);
    }
    w.run(ms(30_000));
    assert!(took_over(&w).is_empty() && w.status(heir).is_some_and(|s| !s.publisher));
    // A pause is none of its business either.
    let (mut w, _) = with_a_standby(6, 6);
    w.paused = true;
    w.run(ms(30_000));
    assert!(took_over(&w).is_empty());
    w.paused = false;
    w.run(ms(2000));
    assert!(w.starving(ms(100)).is_empty());
}

#[test]
fn where_nobody_is_on_air_the_standby_is() {
    let mut w = World::new(Config::new(Profile::Default, 2), 8);
    w.run(ms(1000));
    w.stop(SOURCE);
    w.run(ms(1000));
    w.stand_by();
    let from = w.now;
    w.run(ms(6000));
    assert!(matches!(took_over(&w)[..], [t] if t.since(from) <= ms(5000)), "{}", w.tail(50));
    w.join();
    w.run(ms(2000));
    assert!(w.starving(ms(100)).is_empty());
}

#[test]
fn q7_without_a_standby_the_channel_ends_everywhere_and_says_that_its_source_is_lost() {
    let mut w = World::new(Config::new(Profile::Default, 2), 9);
    w.run(ms(1000));
    for _ in 0..12 {
        w.join();
        w.run(ms(2000));
    }
    w.forget_counts();
    let died = w.now;
    w.kill(SOURCE);
    // Its record lives for a minute, and lookups, which grow seldom, have to do without it for three quarters of another.
    w.run(ms(100_000));
    assert!(w.event_times(|_, e| matches!(e, Event::Ended { .. })).is_empty());
    w.run(ms(80_000));
    let ended = w.event_times(|_, e| {
        matches!(e, Event::Ended { reason: EndReason::SourceLost | EndReason::EndOfChannel, .. })
    });
    assert_eq!(ended.len(), 12, "{:?}\n{}", ended, w.tail(100));
    assert!(ended.iter().all(|t| t.since(died) <= ms(170_000)), "{ended:?}");
    assert!(w.viewers().all(|v| w.status(v).is_none()));
}

#[test]
fn a_source_that_learns_of_a_newer_one_ends_and_its_children_go_there() {
    let (mut w, heir) = with_a_standby(6, 11);
    w.stall(SOURCE, ms(6000));
    w.run(ms(7000));
    assert_eq!(took_over(&w).len(), 1, "{}", w.tail(100));
    w.command(SOURCE, |i, now, ctx| i.on_fact(now, Fact::Superseded { channel: CHANNEL }, ctx));
    let ended = w
        .event_times(|id, e| id == SOURCE && matches!(e, Event::Ended { reason: EndReason::Superseded, .. }));
    assert_eq!((ended.len(), w.status(SOURCE)), (1, None));
    w.run(ms(8000));
    assert!(w.starving(ms(100)).is_empty(), "{:?}\n{}", w.starving(ms(100)), w.tail(300));
    let root = |v: u32| w.status(v).and_then(|s| s.path.first().copied());
    assert!((1..8).filter(|&v| v != heir).all(|v| root(v) == Some(heir)), "{}", w.tail(300));
}

#[test]
fn a_parent_that_only_says_that_the_source_is_gone_keeps_nobody_who_has_a_standby() {
    let mut w = World::new(Config::new(Profile::Default, 2), 4);
    w.run(ms(1000));
    for _ in 0..8 {
        w.join();
        w.run(ms(2000));
    }
    w.run(ms(6000));
    let relayer = (1..9).find(|&r| (1..9).any(|v| w.parent(v) == Some(r))).unwrap();
    let below: Vec<u32> = (1..9).filter(|&v| w.parent(v) == Some(relayer)).collect();
    assert!(below.iter().all(|&v| w.status(v).is_some_and(|s| s.standbys > 0)), "{}", w.tail(100));
    for &child in &below {
        w.cut(relayer, child, true);
    }
    w.take_silences();
    w.lie(relayer, Hold::Sourceless);
    w.run(ms(4000));
    let silences = w.take_silences();
    for child in below {
        let longest = silences.iter().filter(|s| s.1 == child).map(|s| s.2).max();
        assert!(longest.is_some_and(|s| s <= ms(2600)), "{child}: {longest:?}\n{}", w.tail(300));
    }
}

#[test]
fn a_parent_that_names_another_source_makes_nobody_take_over_from_the_one_of_the_records() {
    for seed in 0..4 {
        let (mut w, heir) = with_a_standby(8, seed);
        let dead = w.join();
        w.run(ms(1000));
        w.kill(dead);
        for other in 0..w.peers.len() as u32 {
            w.cut(other, heir, true);
        }
        let lie = |path| Report::TreePosition {
            depth: 2,
            path,
            rescue: false,
            backups: Vec::new(),
            delegated: false,
        };
        for _ in 0..200 {
            w.mislead(heir, &lie(vec![dead, 2]));
            w.run(ms(50));
        }
        assert!(took_over(&w).is_empty(), "seed {seed}: {}", w.tail(100));
        // The other way round: who is not there any more is replaced, whoever is named.
        w.kill(SOURCE);
        w.run(ms(8_000));
        assert_eq!(took_over(&w).len(), 1, "seed {seed}: {}", w.tail(100));
    }
}

#[test]
fn q7_a_source_that_came_back_without_its_channel_is_no_source() {
    let (mut w, heir) = with_a_standby(6, 2);
    let from = w.now;
    w.restart(SOURCE);
    w.run(ms(12_000));
    assert!(matches!(took_over(&w)[..], [t] if t.since(from) <= ms(2700)), "{}", w.tail(100));
    assert!(w.status(heir).is_some_and(|s| s.publisher) && w.starving(ms(100)).is_empty());
}

#[test]
fn a_standby_that_takes_its_leave_takes_nothing_over() {
    for seed in 0..8 {
        let (mut w, heir) = with_a_standby(8, seed);
        w.stop(heir);
        w.kill(SOURCE);
        w.run(ms(10_000));
        assert!(took_over(&w).is_empty() && w.status(heir).is_none(), "seed {seed}: {}", w.tail(100));
    }
}

#[test]
fn a_lookup_that_named_no_source_while_all_was_well_ends_nothing_later() {
    let mut w = World::new(Config::new(Profile::Default, 2), 4);
    w.run(ms(1000));
    let viewer = w.join();
    w.run(ms(2000));
    w.command(viewer, |i, now, ctx| {
        i.on_fact(now, Fact::Fetched { channel: CHANNEL, providers: Vec::new() }, ctx);
    });
    w.run(ms(60_000));
    w.cut(SOURCE, viewer, true);
    w.run(ms(3000));
    w.cut(SOURCE, viewer, false);
    w.run(ms(8000));
    assert!(w.status(viewer).is_some() && w.starving(ms(100)).is_empty(), "{}", w.tail(100));
}

#[test]
fn relayers_that_a_lookup_came_by_do_not_show_that_there_is_no_source() {
    let mut w = World::new(Config::new(Profile::Default, 2), 4);
    w.run(ms(1000));
    let viewer = w.join();
    w.run(ms(2000));
    w.cut(SOURCE, viewer, true);
    w.hide_records();
    for _ in 0..60 {
        w.run(ms(1000));
        w.command(viewer, |i, now, ctx| {
            i.on_fact(now, Fact::Met { channel: CHANNEL, providers: Vec::new() }, ctx);
        });
    }
    assert!(w.status(viewer).is_some(), "{}", w.tail(100));
}
