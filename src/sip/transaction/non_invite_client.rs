//! The non-INVITE client transaction: figure 6 of RFC 3261 (§17.1.2).

use super::Timers;
use super::alarm::{Alarm, Ring};
use super::client::{Action, Input, Timer};
use crate::time::Instant;

/// The states of the figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The request was sent, nothing came back.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// The final response came; late copies of it are absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// One non-INVITE client transaction.
#[derive(Clone, Debug)]
pub struct NonInviteClient {
    state: State,
    reliable: bool,
    alarm: Alarm,
}

impl NonInviteClient {
    /// The request has just been sent. `reliable`: over a stream.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        let f = now + timers.t1_64();
        let alarm = if reliable { Alarm::exit_at(f) } else { Alarm::doubling(now, timers.t1, timers.t2, f) };
        NonInviteClient { state: State::Trying, reliable, alarm }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When [`NonInviteClient::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.alarm.deadline()
    }

    /// Fires the timer that is due.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> Action {
        let timer = match (self.alarm.ring(now), self.state) {
            (None, _) => return Action::None,
            (Some(Ring::Repeat), _) => Timer::E,
            (Some(Ring::Exit), State::Completed) => Timer::K,
            (Some(Ring::Exit), _) => Timer::F,
        };
        self.step(now, Input::Fired(timer), timers)
    }

    /// One event of the figure.
    pub fn step(&mut self, now: Instant, input: Input, timers: &Timers) -> Action {
        use Input::{Failure, Fired, Provisional, Success, TransportError};
        use State::{Completed, Proceeding, Terminated, Trying};
        let (next, action) = match (self.state, input) {
            (same @ (Trying | Proceeding), Fired(Timer::E)) => (same, Action::Resend),
            (Trying | Proceeding, Fired(Timer::F)) => (Terminated, Action::TimedOut),
            (Trying | Proceeding, TransportError) => (Terminated, Action::Failed),
            (Trying | Proceeding, Provisional) => (Proceeding, Action::Pass),
            (Trying | Proceeding, Success | Failure) if self.reliable => (Terminated, Action::Pass), // Timer K is zero
            (Trying | Proceeding, Success | Failure) => (Completed, Action::Pass),
            (Completed, Fired(Timer::K)) => (Terminated, Action::None),
            (same, _) => (same, Action::None),
        };
        if next != self.state {
            self.state = next;
            match next {
                // Timer F goes on, Timer E repeats every T2 from here.
                Proceeding => self.alarm.slow_down(),
                Completed => self.alarm = Alarm::exit_at(now + timers.t4),
                Trying | Terminated => self.alarm = Alarm::default(),
            }
        }
        action
    }
}
