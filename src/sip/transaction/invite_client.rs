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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::figure::assert_figure;
    use alloc::vec::Vec;

    const STATES: [State; 5] =
        [State::Calling, State::Proceeding, State::Completed, State::Accepted, State::Terminated];
    const INPUTS: [Input; 8] = [
        Input::Provisional,
        Input::Success,
        Input::Failure,
        Input::TransportError,
        Input::Fired(Timer::A),
        Input::Fired(Timer::B),
        Input::Fired(Timer::D),
        Input::Fired(Timer::M),
    ];

    /// The arrows of the figure, over UDP. What is not here changes nothing.
    const ARROWS: [(State, Input, State, Action); 14] = [
        (State::Calling, Input::Fired(Timer::A), State::Calling, Action::Resend),
        (State::Calling, Input::Fired(Timer::B), State::Terminated, Action::TimedOut),
        (State::Calling, Input::TransportError, State::Terminated, Action::Failed),
        (State::Calling, Input::Provisional, State::Proceeding, Action::Pass),
        (State::Calling, Input::Success, State::Accepted, Action::Pass),
        (State::Calling, Input::Failure, State::Completed, Action::PassAndAck),
        (State::Proceeding, Input::Provisional, State::Proceeding, Action::Pass),
        (State::Proceeding, Input::Success, State::Accepted, Action::Pass),
        (State::Proceeding, Input::Failure, State::Completed, Action::PassAndAck),
        (State::Completed, Input::Failure, State::Completed, Action::Ack),
        (State::Completed, Input::TransportError, State::Terminated, Action::Failed),
        (State::Completed, Input::Fired(Timer::D), State::Terminated, Action::None),
        (State::Accepted, Input::Success, State::Accepted, Action::Pass),
        (State::Accepted, Input::Fired(Timer::M), State::Terminated, Action::None),
    ];

    fn at(state: State, reliable: bool) -> InviteClient {
        InviteClient { state, ..InviteClient::new(Instant::ZERO, reliable, &Timers::default()) }
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
    fn over_a_stream_timer_d_is_zero() {
        for state in [State::Calling, State::Proceeding] {
            let mut m = at(state, true);
            assert_eq!(m.step(Instant::ZERO, Input::Failure, &Timers::default()), Action::PassAndAck);
            assert_eq!((m.state(), m.deadline()), (State::Terminated, None));
        }
    }

    /// What the machine does at its deadlines, until it waits for none.
    fn timeline(mut m: InviteClient) -> Vec<(u64, Action)> {
        let mut done = Vec::new();
        while let Some(at) = m.deadline() {
            let early = Instant::from_micros(at.as_micros() - 1);
            assert_eq!(m.handle_timeout(early, &Timers::default()), Action::None, "K12");
            done.push((at.as_millis(), m.handle_timeout(at, &Timers::default())));
            assert!(m.deadline().is_none_or(|next| next > at), "K1");
        }
        done
    }

    #[test]
    fn k11_timer_a_doubles_without_limit_and_timer_b_ends_it() {
        let sends = [500, 1500, 3500, 7500, 15_500, 31_500].map(|at| (at, Action::Resend));
        let expected: Vec<_> = sends.into_iter().chain([(32_000, Action::TimedOut)]).collect();
        assert_eq!(timeline(at(State::Calling, false)), expected);
        assert_eq!(timeline(at(State::Calling, true)), [(32_000, Action::TimedOut)]);
    }

    #[test]
    fn k11_timers_d_and_m_end_their_states() {
        for (input, state) in [(Input::Failure, State::Completed), (Input::Success, State::Accepted)] {
            let mut m = at(State::Calling, false);
            m.step(Instant::from_millis(100), input, &Timers::default());
            assert_eq!(m.state(), state);
            assert_eq!(timeline(m), [(32_100, Action::None)]);
        }
    }

    #[test]
    fn late_timers_ring_once_and_keep_their_rhythm() {
        let mut m = at(State::Calling, false);
        assert_eq!(m.handle_timeout(Instant::from_millis(4000), &Timers::default()), Action::Resend);
        assert_eq!(m.deadline(), Some(Instant::from_millis(7500)));
        assert_eq!(m.handle_timeout(Instant::from_millis(90_000), &Timers::default()), Action::TimedOut);
    }
}
