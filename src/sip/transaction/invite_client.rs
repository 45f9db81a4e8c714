//! The INVITE client transaction: figure 5 of RFC 6026 (RFC 3261 §17.1.1).

use super::Timers;
use super::alarm::{Alarm, Ring};
use super::client::{Action, Input, Timer};
use crate::time::{Duration, Instant};

/// The states of the figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The INVITE was sent, nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A response from 300 to 699 came and was ACKed.
    Completed,
    /// A 2xx came; more of them may follow, from other branches too (RFC 6026).
    Accepted,
    /// Over.
    Terminated,
}

/// One INVITE client transaction.
#[derive(Clone, Debug)]
pub struct InviteClient {
    state: State,
    reliable: bool,
    alarm: Alarm,
}

impl InviteClient {
    /// The INVITE has just been sent. `reliable`: over a stream.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        let b = now + timers.t1_64();
        let alarm =
            if reliable { Alarm::exit_at(b) } else { Alarm::doubling(now, timers.t1, Duration::MAX, b) };
        InviteClient { state: State::Calling, reliable, alarm }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When [`InviteClient::handle_timeout`] has something to do. Proceeding waits without limit: its exit is the user's.
    pub fn deadline(&self) -> Option<Instant> {
        self.alarm.deadline()
    }

    /// Fires the timer that is due.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> Action {
        let timer = match (self.alarm.ring(now), self.state) {
            (None, _) => return Action::None,
            (Some(Ring::Repeat), _) => Timer::A,
            (Some(Ring::Exit), State::Calling) => Timer::B,
            (Some(Ring::Exit), State::Accepted) => Timer::M,
            (Some(Ring::Exit), _) => Timer::D,
        };
        self.step(now, Input::Fired(timer), timers)
    }

    /// One event of the figure.
    pub fn step(&mut self, now: Instant, input: Input, timers: &Timers) -> Action {
        use Input::{Failure, Fired, Provisional, Success, TransportError};
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        let (next, action) = match (self.state, input) {
            (Calling, Fired(Timer::A)) => (Calling, Action::Resend),
            (Calling, Fired(Timer::B)) => (Terminated, Action::TimedOut),
            (Calling, TransportError) => (Terminated, Action::Failed),
            (Calling | Proceeding, Provisional) => (Proceeding, Action::Pass),
            (Calling | Proceeding, Success) => (Accepted, Action::Pass),
            (Calling | Proceeding, Failure) if self.reliable => (Terminated, Action::PassAndAck), // Timer D is zero
            (Calling | Proceeding, Failure) => (Completed, Action::PassAndAck),
            (Completed, Failure) => (Completed, Action::Ack),
            (Completed, TransportError) => (Terminated, Action::Failed),
            (Completed, Fired(Timer::D)) => (Terminated, Action::None),
            (Accepted, Success) => (Accepted, Action::Pass),
            (Accepted, Fired(Timer::M)) => (Terminated, Action::None),
            (same, _) => (same, Action::None),
        };
        if next != self.state {
            self.state = next;
            self.alarm = match next {
                Completed => Alarm::exit_at(now + timers.d),
                Accepted => Alarm::exit_at(now + timers.t1_64()),
                Calling | Proceeding | Terminated => Alarm::default(),
            };
        }
        action
    }
}
