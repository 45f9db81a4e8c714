//! The two clocks of a transaction: one that repeats (Timers A, E, G) and one that ends its state (all others).

use crate::time::{Duration, Instant, earliest};

/// What a transaction waits for. A repeating clock never runs without an ending one, so every state has an exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alarm {
    repeat: Option<Repeat>,
    exit: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Repeat {
    at: Instant,
    /// From `at` to the time after it.
    interval: Duration,
    longest: Duration,
}

/// Which clock rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    Repeat,
    Exit,
}

/// Intervals below this would let a wrong configuration spin.
const SHORTEST: Duration = Duration::from_millis(1);

impl Alarm {
    /// Nothing but an exit.
    pub(super) fn exit_at(at: Instant) -> Self {
        Alarm { repeat: None, exit: Some(at) }
    }

    /// Repeats after `first`, then with doubled intervals up to `longest`, until `exit`.
    pub(super) fn doubling(now: Instant, first: Duration, longest: Duration, exit: Instant) -> Self {
        let first = first.max(SHORTEST);
        let longest = longest.max(SHORTEST);
        let interval = first.saturating_mul(2).min(longest);
        Alarm { repeat: Some(Repeat { at: now + first, interval, longest }), exit: Some(exit) }
    }

    /// The next firing stays where it is; those after it come at the longest interval.
    pub(super) fn slow_down(&mut self) {
        if let Some(r) = &mut self.repeat {
            r.interval = r.longest;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.repeat.map(|r| r.at), self.exit)
    }

    /// The clock that is due, and winds it up again. An exit goes first: who is over sends nothing more. A repetition
    /// that was missed several times over rings once, and the rhythm stays that of the first one.
    pub(super) fn ring(&mut self, now: Instant) -> Option<Ring> {
        if self.exit.is_some_and(|at| at <= now) {
            *self = Alarm::default();
            return Some(Ring::Exit);
        }
        let r = self.repeat.as_mut().filter(|r| r.at <= now)?;
        while r.at <= now {
            r.at += r.interval;
            r.interval = r.interval.saturating_mul(2).min(r.longest);
        }
        Some(Ring::Repeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_configuration_makes_an_alarm_spin() {
        let exit = Instant::from_millis(10);
        let mut a = Alarm::doubling(Instant::ZERO, Duration::ZERO, Duration::ZERO, exit);
        let mut rings = 0;
        while let Some(at) = a.deadline() {
            a.ring(at);
            assert!(a.deadline().is_none_or(|next| next > at));
            rings += 1;
        }
        assert_eq!(rings, 10, "every millisecond, and the exit");
        assert_eq!(a.ring(Instant::FAR_FUTURE), None);
    }

    #[test]
    fn an_exit_goes_before_a_repetition() {
        let at = Instant::from_millis(500);
        let mut a = Alarm::doubling(Instant::ZERO, Duration::from_millis(500), Duration::MAX, at);
        assert_eq!(a.ring(at), Some(Ring::Exit));
        assert_eq!(a.deadline(), None);
    }
}
