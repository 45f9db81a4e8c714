//! The simulator for crowds: it repeats itself, everybody is served, and looking ahead changes nothing but the number of
//! events.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

use allocation_counter::measure;
use p2piptv::iptv::{Mode, Profile};
use p2piptv::sim::flow::rivals::{self, Central, Edges, Managed, Mesh, SourceOnly, Striped, Tracker};
use p2piptv::sim::flow::{Crowd, Setting, Summary, Terms, World};
use p2piptv::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn crowd(viewers: u32, per_minute: f64, minutes: u64) -> Crowd {
    Crowd { lasts: Duration::from_secs(60 * minutes), ..Crowd::new(7, viewers, per_minute) }
}

fn play(setting: Setting) -> Summary {
    let lasts = setting.crowd.lasts;
    let mut world = World::new(setting);
    world.grow(PATIENCE, |_| ());
    world.run_for(lasts);
    world.finish("tree")
}

fn tree(crowd: Crowd) -> Summary {
    play(Setting::new(Profile::Default, crowd))
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another_one() {
    let crowd = crowd(60, 0.5, 1);
    let (one, same) = (tree(crowd), tree(crowd));
    assert_eq!(one, same);
    assert_ne!(one.hash, tree(Crowd { seed: 8, ..crowd }).hash);
}

#[test]
fn whoever_comes_is_served_and_a_crowd_at_rest_misses_no_more_than_paths_lose() {
    let summary = tree(crowd(200, 0.0, 1));
    assert_eq!((summary.totals.never_played, summary.totals.gaps.len()), (0, 0));
    assert_eq!((summary.totals.viewers, summary.depth.len()), (200, 200));
    assert!(summary.streams_of_source() <= 8.0, "{}", summary.streams_of_source());
}

#[test]
fn orphans_find_other_parents_and_players_see_it() {
    let summary = tree(crowd(200, 0.2, 2));
    assert!(summary.departures > 50 && summary.orphaned > 20, "{summary:?}");
    assert!(summary.totals.silences.len() > 20 && summary.totals.silences.percentile(90.0) < 3_000_000);
    assert!(summary.totals.in_time() > 0.8, "{}", summary.totals.in_time());
}

#[test]
fn a_world_in_which_timers_look_ahead_is_that_in_which_they_do_not() {
    let play_all = |foresight: Duration| {
        let mut all: Vec<Summary> = Vec::new();
        for seed in 1..=3 {
            let mut setting = Setting::new(Profile::Default, Crowd { seed, ..crowd(150, 1.0, 1) })
                .with_mode(Mode::Delegated);
            setting.terms.foresight = foresight;
            all.push(play(setting));
        }
        all
    };
    let (ahead, exact) = (play_all(Duration::from_secs(60)), play_all(Duration::ZERO));
    let sum = |all: &[Summary], what: fn(&Summary) -> u64| all.iter().map(what).sum::<u64>();
    let (few, many) = (sum(&ahead, |s| s.happened), sum(&exact, |s| s.happened));
    assert!(few * 5 < many, "{few} {many}");
    // One arrives a microsecond later, and the crowds are others from then on: alike, not the same.
    let silences = |all| sum(all, |s| s.totals.silences.len());
    let (a, b) = (silences(&ahead), silences(&exact));
    assert!(a > 300 && a.abs_diff(b) * 4 <= a.max(b), "{a} {b}");
    // Whoever is not told of a break finds out a minute later.
    let longest = ahead.iter().map(|s| s.totals.silences.max()).max();
    assert!(longest < Some(4_000_000), "{longest:?}");
}

#[test]
fn a_viewer_takes_less_than_eight_kilobytes() {
    let mut world = World::new(Setting::new(Profile::Default, crowd(10, 0.0, 1)));
    world.grow(PATIENCE, |_| ());
    let setting = Setting::new(Profile::Default, crowd(1_000, 0.0, 1));
    let mut big = None;
    let taken = measure(|| {
        let mut world = World::new(setting);
        world.grow(PATIENCE, |_| ());
        big = Some(world);
    });
    let each = taken.bytes_current / 1_000;
    // The wheel of events is there for one viewer as for a million.
    assert!(each < 8 * 1024, "{each} bytes");
}

#[test]
fn every_other_system_serves_whom_it_can() {
    let crowd = crowd(300, 0.05, 2);
    let terms = Terms::plain().with_nacks().with_replay();
    let all = [
        rivals::play(&mut Central, crowd, terms),
        rivals::play(&mut Edges::new(crowd.viewers), crowd, terms),
        rivals::play(&mut Tracker::new(8), crowd, terms),
        rivals::play(&mut Managed::new(8), crowd, terms),
        rivals::play(&mut Striped::new(8), crowd, terms),
    ];
    for s in &all {
        assert!(s.totals.in_time() > 0.98, "{}: {}", s.name, s.totals.in_time());
        assert!(s.totals.never_played <= 6, "{}: {}", s.name, s.totals.never_played);
        assert_eq!(s.totals.viewers, all[0].totals.viewers, "{}: the same people come", s.name);
    }
    assert!(all[0].streams_of_source() > 299.0 && all[1].streams_of_source() < 2.0);
    assert!(all[2..].iter().all(|s| s.streams_of_source() <= 8.2));
    let alone = rivals::play(&mut SourceOnly::new(8), crowd, terms);
    assert!(alone.totals.never_played > 250, "{}", alone.totals.never_played);
    let long = Mesh { source_slots: 8, playout: Duration::from_secs(10) };
    let short = Mesh { playout: Duration::from_millis(500), ..long };
    let [long, short] = [long, short].map(|m| rivals::play_mesh(&m, crowd, terms).totals.in_time());
    assert!(long > 0.97 && short < long, "{long} {short}");
}

#[test]
fn leeches_and_liars_keep_nobody_from_the_channel() {
    let crowd = Crowd { leeches: 0.2, liars: 0.05, seed: 1, ..crowd(300, 0.01, 1) };
    let terms = Terms::plain().with_nacks().with_replay();
    let others =
        [rivals::play(&mut Tracker::new(8), crowd, terms), rivals::play(&mut Managed::new(8), crowd, terms)];
    for s in others.iter().chain([&tree(crowd)]) {
        assert!(s.totals.never_played < 9 && s.totals.in_time() > 0.97, "{}: {:?}", s.name, s.totals);
    }
}
