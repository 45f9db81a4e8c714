//! The tree as a whole: it grows, it is hit, and everybody plays again.

use crate::harness::{World, default, grown, ms};
use p2piptv::env::{Entropy, Seeded};
use p2piptv::iptv::{Config, Event, Mode, Profile};

#[test]
fn p8_table_1_appears_with_capacity_two_and_six_joins() {
    for profile in [Profile::Default, Profile::Paper] {
        let w = grown(Config::new(profile, 2), 6, 2000);
        let expected = [(1, 1, 0), (1, 2, 0), (2, 3, 1), (2, 4, 1), (2, 5, 2), (2, 6, 2)];
        assert_eq!(w.table(), expected, "{profile:?}\n{}", w.tail(200));
        assert!(w.starving(ms(100)).is_empty());
    }
}

#[test]
fn q18_fourteen_viewers_make_three_layers_with_relayers_that_report_through_control_dialogs() {
    let mut w = grown(default(2), 14, 2000);
    w.run(ms(5000));
    let mut layers = [0; 5];
    w.table().iter().for_each(|r| layers[usize::from(r.0)] += 1);
    assert_eq!(layers, [0, 2, 4, 8, 0], "{}", w.tail(100));
    let second: Vec<u32> = w.table().iter().filter(|r| r.0 == 2).map(|r| r.1).collect();
    let working =
        second.iter().filter(|p| w.registrations.contains(p) && w.alives.get(p).is_some_and(|&n| n >= 3));
    assert!(working.count() >= 2);
    assert!(w.starving(ms(100)).is_empty());
}

#[test]
fn q6_only_the_two_orphans_of_a_killed_relayer_act() {
    let mut w = grown(default(2), 14, 2000);
    w.run(ms(8000));
    let orphans: Vec<u32> = (1..15).filter(|&i| w.parent(i) == Some(1)).collect();
    assert_eq!(orphans.len(), 2);
    w.forget_counts();
    w.kill(1);
    let killed = w.now;
    w.run(ms(1500));
    let covered = w.event_times(|_, e| matches!(e, Event::Covered { .. }));
    assert_eq!(covered.len(), 2, "{}", w.tail(150));
    assert!(covered.iter().all(|t| t.since(killed) <= ms(500)), "{covered:?}");
    let orphaned = w.event_times(|_, e| matches!(e, Event::Orphaned { .. }));
    assert!(orphaned.len() == 2 && orphaned.iter().all(|t| t.since(killed) <= ms(1500)), "{orphaned:?}");
    for id in 2..15 {
        let calls = w.peers[id as usize].invites;
        assert!(orphans.contains(&id) || calls == 0, "{id} placed {calls}\n{}", w.tail(150));
        assert_eq!(w.peers[id as usize].fetches, 0, "repair needs no lookup");
    }
    assert!(w.starving(ms(100)).is_empty(), "{:?}\n{}", w.starving(ms(100)), w.tail(150));
    w.run(ms(20_000));
    let rescued: Vec<u32> = (2..15).filter(|&i| w.status(i).is_some_and(|s| s.rescue)).collect();
    assert!(rescued.is_empty(), "{:?} {rescued:?} still sit in rescue slots\n{}", w.table(), w.tail(1500));
    assert!(w.starving(ms(100)).is_empty());
}

/// The busiest relayer of a grown tree dies. Every viewer plays again, and whoever was rescued gets an ordinary slot soon
/// after there is one.
#[test]
fn q1_a_rescued_child_sits_in_an_ordinary_slot_within_three_seconds_of_one_being_there() {
    for (viewers, seed) in [6, 9, 14, 21].into_iter().flat_map(|v| (0..25).map(move |s| (v, s))) {
        let mut w = World::new(default(2), seed);
        w.run(ms(1000));
        for _ in 0..viewers {
            w.join();
            w.run(ms(900));
        }
        w.run(ms(2500));
        let killed = w.now;
        w.take_silences();
        w.kill(1 + (seed % 2) as u32);
        w.run(ms(15_000));
        let last = w.take_silences().iter().map(|s| s.0.since(killed)).max().unwrap_or_default();
        let deep = w.viewers().filter_map(|v| w.status(v)?.depth).max();
        let told = format!("{viewers} viewers, seed {seed}: {last:?}, {deep:?}, {:?}", w.longest_wait);
        let rescued: Vec<u32> = w.viewers().filter(|&i| w.status(i).is_some_and(|s| s.rescue)).collect();
        assert!(w.longest_wait <= ms(3000) && rescued.is_empty(), "{told}\n{}", w.tail(500));
        assert!(last <= ms(5000), "{told}\n{}", w.tail(500));
        // A full tree of this size has three layers, or four.
        assert!(deep <= Some(if viewers < 10 { 3 } else { 5 }), "{told}\n{}", w.tail(500));
        assert!(w.starving(ms(100)).is_empty());
    }
}

/// A script of joins, deaths, departures and stalls, drawn from a seed; then peace. Everybody who lives plays again, soon,
/// and nobody stays in a rescue slot. (The harness checks the other laws at every step.)
pub(crate) fn survives(seed: u64, mode: Mode) -> bool {
    let mut dice = Seeded::new(seed);
    let mut w = World::new(Config { mode, ..default(1 + dice.below(3) as u16) }, seed);
    w.latency = ms(1 + dice.below(60));
    w.run(ms(500));
    for _ in 0..6 + dice.below(40) {
        let n = w.peers.len() as u64;
        let any = 1 + dice.below(n.max(2) - 1) as u32;
        match dice.below(10) {
            _ if n < 6 => {
                w.join();
            }
            0 | 1 if w.peers[any as usize].alive => w.kill(any),
            2 if w.peers[any as usize].alive => w.stop(any),
            3 if w.peers[any as usize].alive => w.stall(any, ms(dice.below(6000))),
            _ if n < 28 => {
                w.join();
            }
            _ => {}
        }
        w.run(ms(dice.below(3000)));
    }
    w.run(ms(20_000));
    let starving = w.starving(ms(500));
    assert!(starving.is_empty(), "seed {seed}: {starving:?} starve\n{:?}\n{}", w.table(), w.tail(300));
    w.run(ms(60_000));
    let starving = w.starving(ms(500));
    assert!(starving.is_empty(), "seed {seed}: {starving:?} starve later\n{:?}\n{}", w.table(), w.tail(300));
    let rescued: Vec<u32> = w.viewers().filter(|&i| w.status(i).is_some_and(|s| s.rescue)).collect();
    assert!(rescued.is_empty(), "seed {seed}: {rescued:?} stay rescued\n{:?}\n{}", w.table(), w.tail(300));
    true
}

#[test]
fn whoever_lives_plays_again_soon_after_the_last_blow() {
    for seed in 0..24 {
        survives(seed, Mode::SourceManaged);
    }
}
