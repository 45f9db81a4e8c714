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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::figure::assert_figure;
    use alloc::vec::Vec;

    const STATES: [State; 4] = [State::Trying, State::Proceeding, State::Completed, State::Terminated];
    const INPUTS: [Input; 7] = [
        Input::Provisional,
        Input::Success,
        Input::Failure,
        Input::TransportError,
        Input::Fired(Timer::E),
        Input::Fired(Timer::F),
        Input::Fired(Timer::K),
    ];

    /// The arrows of the figure, over UDP. What is not here changes nothing.
    const ARROWS: [(State, Input, State, Action); 13] = [
        (State::Trying, Input::Fired(Timer::E), State::Trying, Action::Resend),
        (State::Trying, Input::Fired(Timer::F), State::Terminated, Action::TimedOut),
        (State::Trying, Input::TransportError, State::Terminated, Action::Failed),
        (State::Trying, Input::Provisional, State::Proceeding, Action::Pass),
        (State::Trying, Input::Success, State::Completed, Action::Pass),
        (State::Trying, Input::Failure, State::Completed, Action::Pass),
        (State::Proceeding, Input::Fired(Timer::E), State::Proceeding, Action::Resend),
        (State::Proceeding, Input::Fired(Timer::F), State::Terminated, Action::TimedOut),
        (State::Proceeding, Input::TransportError, State::Terminated, Action::Failed),
        (State::Proceeding, Input::Provisional, State::Proceeding, Action::Pass),
        (State::Proceeding, Input::Success, State::Completed, Action::Pass),
        (State::Proceeding, Input::Failure, State::Completed, Action::Pass),
        (State::Completed, Input::Fired(Timer::K), State::Terminated, Action::None),
    ];

    fn at(state: State, reliable: bool) -> NonInviteClient {
        NonInviteClient { state, ..NonInviteClient::new(Instant::ZERO, reliable, &Timers::default()) }
    }

    #[test]
    fn every_state_and_input_does_what_the_figure_says() {
        assert_figure(&STATES, &INPUTS, (&ARROWS, Action::None), |state, input| {
            let mut m = at(state, false);
            let action = m.step(Instant::ZERO, input, &Timers::default());
            (m.state(), action)
        });
    }

    #[test]
    fn over_a_stream_timer_k_is_zero() {
        for input in [Input::Success, Input::Failure] {
            let mut m = at(State::Trying, true);
            assert_eq!(m.step(Instant::ZERO, input, &Timers::default()), Action::Pass);
            assert_eq!((m.state(), m.deadline()), (State::Terminated, None));
        }
    }

    fn timeline(mut m: NonInviteClient) -> Vec<(u64, Action)> {
        let mut done = Vec::new();
        while let Some(at) = m.deadline() {
            done.push((at.as_millis(), m.handle_timeout(at, &Timers::default())));
            assert!(m.deadline().is_none_or(|next| next > at), "K1");
        }
        done
    }

    fn expected(sends: &[u64], end: (u64, Action)) -> Vec<(u64, Action)> {
        sends.iter().map(|&at| (at, Action::Resend)).chain([end]).collect()
    }

    #[test]
    fn k11_timer_e_doubles_up_to_t2_and_timer_f_ends_it() {
        let sends = [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(timeline(at(State::Trying, false)), expected(&sends, (32_000, Action::TimedOut)));
        assert_eq!(timeline(at(State::Trying, true)), [(32_000, Action::TimedOut)]);
    }

    #[test]
    fn k11_in_proceeding_timer_e_repeats_every_t2() {
        let mut m = at(State::Trying, false);
        m.step(Instant::from_millis(100), Input::Provisional, &Timers::default());
        let sends = [500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500];
        assert_eq!(timeline(m), expected(&sends, (32_000, Action::TimedOut)));
    }

    #[test]
    fn k11_timer_k_ends_completed() {
        let mut m = at(State::Trying, false);
        m.step(Instant::from_millis(100), Input::Success, &Timers::default());
        assert_eq!(timeline(m), [(5100, Action::None)]);
    }
}
