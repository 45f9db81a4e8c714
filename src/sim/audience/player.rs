//! A player that is a little behind the source.

use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;

/// The transit of a stream is that of its fastest packet within this time before the player is set up.
const MEASURED: Duration = Duration::from_secs(1);

/// How far a player is behind what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Player {
    /// It plays a packet so long after the moment at which that packet would have come on the fastest way of late.
    pub playout: Duration,
}

/// What a player missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The longest time between two new packets, of which the second came after the beginning.
    pub silence: Duration,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came when the player had gone on.
    pub late: u64,
    /// Runs of packets that were lost or late: what somebody sees.
    pub gaps: u64,
}

/// Judges the packets that left between `from` and `to`. `sent` says when each left, `arrivals` when each came, in the order of
/// coming. `None` if nothing came in the second before.
pub(super) fn judge(
    player: Player,
    (from, to): (Instant, Instant),
    sent: impl Iterator<Item = (u64, Instant)> + Clone,
    arrivals: impl Iterator<Item = (Instant, u64)> + Clone,
) -> Option<Watched> {
    let left: BTreeMap<u64, Instant> = sent.collect();
    let before = arrivals.clone().filter(|a| a.0 < from && from.since(a.0) <= MEASURED);
    let transit = before.filter_map(|(at, number)| Some(at.since(*left.get(&number)?))).min()?;
    let mut watched = Watched::default();
    let mut last: Option<Instant> = None;
    for (at, _) in arrivals.clone() {
        if let Some(last) = last.filter(|_| at >= from) {
            watched.silence = watched.silence.max(at.since(last));
        }
        last = Some(at);
    }
    let came: BTreeMap<u64, Instant> = arrivals.map(|(at, number)| (number, at)).collect();
    let mut missing = false;
    for (number, &at) in left.iter().filter(|(_, at)| **at >= from && **at < to) {
        let missed = match came.get(number) {
            None => {
                watched.lost += 1;
                true
            }
            Some(&came) if came > at + transit + player.playout => {
                watched.late += 1;
                true
            }
            Some(_) => false,
        };
        watched.gaps += u64::from(missed && !missing);
        missing = missed;
    }
    Some(watched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const PLAYER: Player = Player { playout: Duration::from_millis(300) };

    /// A packet every 10 ms that takes 20 ms, from 0 to 3 s; each may be changed.
    fn watched(change: impl Fn(u64) -> Option<u64>) -> Option<Watched> {
        let ms = Instant::from_millis;
        let sent = (0..300).map(|n| (n, ms(n * 10)));
        let mut arrivals: Vec<_> = (0..300).filter_map(|n| Some((ms(n * 10 + 20 + change(n)?), n))).collect();
        arrivals.sort();
        judge(PLAYER, (ms(1000), ms(2500)), sent, arrivals.into_iter())
    }

    #[test]
    fn a_stream_without_trouble_is_silent_for_one_interval_and_misses_nothing() {
        let silence = Duration::from_millis(10);
        assert_eq!(watched(|_| Some(0)), Some(Watched { silence, ..Watched::default() }));
    }

    #[test]
    fn what_comes_at_once_after_a_silence_is_late_only_where_the_player_has_gone_on() {
        // All of 1.5 s to 1.9 s comes at 1.92 s: the first ten are more than 300 ms late.
        let burst = |n: u64| Some(if (150..190).contains(&n) { 1900 - n * 10 } else { 0 });
        let silence = Duration::from_millis(1920 - 1510);
        assert_eq!(watched(burst), Some(Watched { silence, lost: 0, late: 10, gaps: 1 }));
        let spared = |n: u64| Some(if (170..190).contains(&n) { 1900 - n * 10 } else { 0 });
        assert_eq!(watched(spared).map(|w| (w.late, w.gaps)), Some((0, 0)));
    }

    #[test]
    fn two_holes_are_two_gaps_and_what_left_outside_of_the_time_does_not_count() {
        let holes = |n: u64| (![120, 121, 140, 260].contains(&n)).then_some(0);
        assert_eq!(watched(holes).map(|w| (w.lost, w.late, w.gaps)), Some((3, 0, 2)));
    }

    #[test]
    fn who_had_nothing_before_has_no_player() {
        assert_eq!(watched(|n| (n > 110).then_some(0)), None);
    }
}
