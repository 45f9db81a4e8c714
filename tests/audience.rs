//! Whole nodes whose relayers die or leave, and whole nodes whom nobody leaves: small versions of what `simulate` plays.

use p2piptv::sim::audience::{Audience, Calm, Crash, Farewell, Mood, Player, Setting};
use p2piptv::time::Duration;

const ROUND_TRIP: Duration = Duration::from_millis(20);
/// 300 ms and three round trips.
const PLAYER: Player = Player { playout: Duration::from_millis(360) };

/// Ten viewers in three layers, of a stream of few packets.
fn audience(seed: u64) -> Audience {
    let setting = Setting { viewers: 10, source_slots: 2, rate: 500_000, ..Setting::new(seed, ROUND_TRIP) };
    let mut audience = Audience::new(setting).unwrap();
    audience.grow(|_, _| ()).unwrap();
    audience
}

fn departed(seed: u64, farewell: Farewell, times: u32) -> Crash {
    let mut crash = Crash::new(audience(seed), farewell, PLAYER);
    while crash.departures() < times {
        assert!(crash.depart().unwrap());
    }
    crash
}

#[test]
fn relayers_that_die_leave_no_gap_at_any_depth_below_them() {
    let crash = departed(1, Farewell::None, 6);
    assert!(crash.by_depth().len() > 1 && crash.without_picture() == 0, "{:?}", crash.by_depth());
    for case in crash.cases() {
        assert_eq!((case.watched.gaps, case.watched.lost), (0, 0), "{case:?}");
        // The most that is waited for, a round trip with its jitter, and a packet.
        assert!(case.watched.silence <= Duration::from_millis(400 + 80 + 21), "{case:?}");
    }
}

#[test]
fn relayers_that_leave_by_plan_cost_nobody_a_packet() {
    let crash = departed(2, Farewell::Planned, 6);
    assert!(crash.by_depth().len() > 1, "{:?}", crash.by_depth());
    for case in crash.cases() {
        assert_eq!((case.watched.lost, case.watched.late), (0, 0), "{case:?}");
    }
}

#[test]
fn k9_the_same_seed_gives_the_same_departures_and_the_same_trace() {
    let run = |seed| {
        let crash = departed(seed, Farewell::None, 2);
        (crash.cases().to_vec(), crash.audience().trace_hash())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).1, run(4).1);
}

#[test]
fn queues_of_half_a_second_and_pauses_of_the_encoder_change_no_parent() {
    // All that happens in an hour happens in five minutes.
    let mood = Mood { bloats_per_hour: 240.0, pauses_per_hour: 120.0, ..Mood::default() };
    let mut calm = Calm::new(audience(5), mood);
    calm.run_for(Duration::from_secs(150)).unwrap();
    let tally = calm.tally();
    assert!(tally.bloats > 50 && tally.pauses > 1, "{tally:?}");
    assert_eq!((tally.repairs, tally.moves, tally.lost), (0, 0, 0), "{tally:?}");
    assert!(tally.octets.media > 0 && tally.octets.standby_reports > 0, "{tally:?}");
}

#[test]
fn a_pause_of_the_encoder_is_seen_as_silence_and_as_no_loss() {
    let mut audience = audience(6);
    let viewer = audience.viewers().next().unwrap();
    let from = audience.now();
    audience.rest(Duration::from_secs(2));
    audience.run_for(Duration::from_secs(4)).unwrap();
    let watched = audience.watched(viewer, PLAYER, from, audience.now() - Duration::from_secs(1)).unwrap();
    assert!((1_950..2_100).contains(&watched.silence.as_millis()), "{watched:?}");
    assert_eq!((watched.lost, watched.gaps), (0, 0), "{watched:?}");
}
