//! The host's clock and its one timer.
//!
//! mio rounds a timeout up to whole milliseconds, which is too coarse to pace media. On Linux an absolute `timerfd` is
//! registered in the poll instead; elsewhere the poll's timeout has to do.

use mio::{Registry, Token};
use p2piptv::time::Instant;
use std::io;
use std::time::Duration;

#[cfg(target_os = "linux")]
pub use linux::{Clock, Timer};
#[cfg(not(target_os = "linux"))]
pub use portable::{Clock, Timer};

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use mio::Interest;
    use mio::unix::SourceFd;
    use rustix::fd::{AsRawFd, OwnedFd};
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
        timerfd_create, timerfd_settime,
    };

    /// Microseconds since this clock was made, on CLOCK_MONOTONIC.
    #[derive(Clone, Copy, Debug)]
    pub struct Clock {
        zero: Duration,
    }

    fn monotonic() -> Duration {
        let t = clock_gettime(ClockId::Monotonic);
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    }

    impl Clock {
        /// A clock whose zero is now.
        pub fn new() -> Self {
            Clock { zero: monotonic() }
        }

        /// The time on it.
        pub fn now(&self) -> Instant {
            Instant::from_micros((monotonic() - self.zero).as_micros() as u64)
        }
    }

    /// One absolute alarm, which wakes the poll.
    pub struct Timer {
        fd: OwnedFd,
        clock: Clock,
        armed: Option<Instant>,
    }

    impl Timer {
        /// A timer that is not set, registered under `token`.
        pub fn new(registry: &Registry, token: Token, clock: Clock) -> io::Result<Self> {
            let fd =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Timer { fd, clock, armed: None })
        }

        /// Sets the alarm to `deadline`, or takes it away. The same deadline again costs nothing.
        pub fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
            if deadline == self.armed {
                return Ok(());
            }
            let at = deadline.map_or(Duration::ZERO, |d| {
                self.clock.zero.saturating_add(Duration::from_micros(d.as_micros()))
            });
            let it_value = Timespec {
                tv_sec: at.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: i64::from(at.subsec_nanos()),
            };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let alarm = Itimerspec { it_interval, it_value };
            timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &alarm)?;
            self.armed = deadline;
            Ok(())
        }

        /// The alarm rang: it has to be set again.
        pub fn rang(&mut self) {
            // Without this read an edge-triggered poll would still see every later alarm: setting the time clears it.
            self.armed = None;
        }

        /// How long the poll itself may wait: for ever, the alarm wakes it.
        pub fn poll_timeout(&self) -> Option<Duration> {
            None
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::*;

    /// Microseconds since this clock was made.
    #[derive(Clone, Copy, Debug)]
    pub struct Clock {
        zero: std::time::Instant,
    }

    impl Clock {
        /// A clock whose zero is now.
        pub fn new() -> Self {
            Clock { zero: std::time::Instant::now() }
        }

        /// The time on it.
        pub fn now(&self) -> Instant {
            Instant::from_micros(self.zero.elapsed().as_micros() as u64)
        }
    }

    /// One alarm, as the timeout of the poll.
    pub struct Timer {
        clock: Clock,
        armed: Option<Instant>,
    }

    impl Timer {
        /// A timer that is not set.
        pub fn new(_: &Registry, _: Token, clock: Clock) -> io::Result<Self> {
            Ok(Timer { clock, armed: None })
        }

        /// Sets the alarm to `deadline`, or takes it away.
        pub fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
            self.armed = deadline;
            Ok(())
        }

        /// The alarm rang.
        pub fn rang(&mut self) {}

        /// How long the poll may wait.
        pub fn poll_timeout(&self) -> Option<Duration> {
            self.armed.map(|deadline| deadline.since(self.clock.now()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    #[test]
    fn the_alarm_wakes_the_poll_and_never_early() {
        let mut poll = Poll::new().expect("poll");
        let clock = Clock::new();
        let mut timer = Timer::new(poll.registry(), Token(7), clock).expect("timer");
        let mut events = Events::with_capacity(4);
        for _ in 0..3 {
            let deadline = clock.now() + Duration::from_micros(1500);
            timer.arm(Some(deadline)).expect("arm");
            while clock.now() < deadline {
                poll.poll(&mut events, timer.poll_timeout()).expect("poll");
            }
            timer.rang();
        }
    }

    #[test]
    fn a_deadline_in_the_past_rings_at_once() {
        let mut poll = Poll::new().expect("poll");
        let clock = Clock::new();
        let mut timer = Timer::new(poll.registry(), Token(7), clock).expect("timer");
        timer.arm(Some(clock.now())).expect("arm");
        poll.poll(&mut Events::with_capacity(4), timer.poll_timeout()).expect("poll");
        assert!(clock.now() > Instant::ZERO);
    }
}
