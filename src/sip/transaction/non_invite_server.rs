//! The non-INVITE server transaction: figure 8 of RFC 3261 (§17.2.2); a transport error no longer ends it (RFC 6026 §8.8).

use super::Timers;
use super::alarm::{Alarm, Ring};
use super::server::{Action, Input, Timer};
use crate::time::Instant;

/// The states of the figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The user has the request and has not answered it.
    Trying,
    /// The user sent a provisional response.
    Proceeding,
    /// The final response was sent, and is sent again to every copy of the request.
    Completed,
    /// Over.
    Terminated,
}

/// One non-INVITE server transaction.
#[derive(Clone, Debug)]
pub struct NonInviteServer {
    state: State,
    reliable: bool,
    alarm: Alarm,
}

impl NonInviteServer {
    /// The request has just been passed to the user. `reliable`: it came over a stream.
    pub fn new(reliable: bool) -> Self {
        NonInviteServer { state: State::Trying, reliable, alarm: Alarm::default() }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When [`NonInviteServer::handle_timeout`] has something to do. Trying and Proceeding wait for the user.
    pub fn deadline(&self) -> Option<Instant> {
        self.alarm.deadline()
    }

    /// Fires the timer that is due.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> Action {
        match self.alarm.ring(now) {
            None | Some(Ring::Repeat) => Action::None,
            Some(Ring::Exit) => self.step(now, Input::Fired(Timer::J), timers),
        }
    }

    /// One event of the figure.
    pub fn step(&mut self, now: Instant, input: Input, timers: &Timers) -> Action {
        use Input::{Failure, Fired, Provisional, Request, Success, TransportError};
        use State::{Completed, Proceeding, Terminated, Trying};
        let (next, action) = match (self.state, input) {
            (Trying | Proceeding, Provisional) => (Proceeding, Action::Send),
            (Trying | Proceeding, Success | Failure) if self.reliable => (Terminated, Action::Send), // Timer J is zero
            (Trying | Proceeding, Success | Failure) => (Completed, Action::Send),
            (same @ (Proceeding | Completed), Request) => (same, Action::SendAgain),
            (same @ (Proceeding | Completed), TransportError) => (same, Action::Failed),
            (Completed, Fired(Timer::J)) => (Terminated, Action::None),
            (same, _) => (same, Action::None),
        };
        if next != self.state {
            self.state = next;
            self.alarm = match next {
                Completed => Alarm::exit_at(now + timers.t1_64()),
                Trying | Proceeding | Terminated => Alarm::default(),
            };
        }
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::figure::assert_figure;

    const STATES: [State; 4] = [State::Trying, State::Proceeding, State::Completed, State::Terminated];
    const INPUTS: [Input; 7] = [
        Input::Request,
        Input::Ack,
        Input::Provisional,
        Input::Success,
        Input::Failure,
        Input::TransportError,
        Input::Fired(Timer::J),
    ];

    /// The arrows of the figure, over UDP. What is not here changes nothing.
    const ARROWS: [(State, Input, State, Action); 11] = [
        (State::Trying, Input::Provisional, State::Proceeding, Action::Send),
        (State::Trying, Input::Success, State::Completed, Action::Send),
        (State::Trying, Input::Failure, State::Completed, Action::Send),
        (State::Proceeding, Input::Provisional, State::Proceeding, Action::Send),
        (State::Proceeding, Input::Success, State::Completed, Action::Send),
        (State::Proceeding, Input::Failure, State::Completed, Action::Send),
        (State::Proceeding, Input::Request, State::Proceeding, Action::SendAgain),
        (State::Proceeding, Input::TransportError, State::Proceeding, Action::Failed),
        (State::Completed, Input::Request, State::Completed, Action::SendAgain),
        (State::Completed, Input::TransportError, State::Completed, Action::Failed),
        (State::Completed, Input::Fired(Timer::J), State::Terminated, Action::None),
    ];

    #[test]
    fn every_state_and_input_does_what_the_figure_says() {
        assert_figure(&STATES, &INPUTS, (&ARROWS, Action::None), |state, input| {
            let mut m = NonInviteServer { state, ..NonInviteServer::new(false) };
            let action = m.step(Instant::ZERO, input, &Timers::default());
            (m.state(), action)
        });
    }

    #[test]
    fn k11_timer_j_ends_completed_and_is_zero_over_a_stream() {
        for (reliable, end) in [(false, Some(Instant::from_millis(32_100))), (true, None)] {
            let mut m = NonInviteServer::new(reliable);
            m.step(Instant::from_millis(100), Input::Success, &Timers::default());
            assert_eq!(m.deadline(), end);
            let at = end.unwrap_or_default();
            assert_eq!(m.handle_timeout(at, &Timers::default()), Action::None);
            assert_eq!((m.state(), m.deadline()), (State::Terminated, None));
        }
    }
}
