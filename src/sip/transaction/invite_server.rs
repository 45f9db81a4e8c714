//! The INVITE server transaction: figure 7 of RFC 6026 (RFC 3261 §17.2.1).

use super::Timers;
use super::alarm::{Alarm, Ring};
use super::server::{Action, Input, Timer};
use crate::time::Instant;

/// The states of the figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The user has the INVITE and has not answered it.
    Proceeding,
    /// The user sent a 2xx, and sends it again until its ACK comes (RFC 6026).
    Accepted,
    /// A response from 300 to 699 was sent and waits for its ACK.
    Completed,
    /// The ACK came; late copies of it are absorbed.
    Confirmed,
    /// Over.
    Terminated,
}

/// One INVITE server transaction.
#[derive(Clone, Debug)]
pub struct InviteServer {
    state: State,
    reliable: bool,
    alarm: Alarm,
}

impl InviteServer {
    /// The INVITE has just been passed to the user. `reliable`: it came over a stream.
    pub fn new(now: Instant, reliable: bool, timers: &Timers) -> Self {
        InviteServer { state: State::Proceeding, reliable, alarm: Alarm::exit_at(now + timers.trying) }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When [`InviteServer::handle_timeout`] has something to do. Proceeding waits without limit: its exit is the user's.
    pub fn deadline(&self) -> Option<Instant> {
        self.alarm.deadline()
    }

    /// Fires the timer that is due.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> Action {
        let timer = match (self.alarm.ring(now), self.state) {
            (None, _) => return Action::None,
            (Some(Ring::Repeat), _) => Timer::G,
            (Some(Ring::Exit), State::Proceeding) => Timer::Trying,
            (Some(Ring::Exit), State::Accepted) => Timer::L,
            (Some(Ring::Exit), State::Completed) => Timer::H,
            (Some(Ring::Exit), _) => Timer::I,
        };
        self.step(now, Input::Fired(timer), timers)
    }

    /// One event of the figure.
    pub fn step(&mut self, now: Instant, input: Input, timers: &Timers) -> Action {
        use Input::{Ack, Failure, Fired, Provisional, Request, Success, TransportError};
        use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        let (next, action) = match (self.state, input) {
            (Proceeding, Fired(Timer::Trying)) => (Proceeding, Action::SendTrying),
            (Proceeding, Request) => (Proceeding, Action::SendAgain),
            (Proceeding, Provisional) => (Proceeding, Action::Send),
            (Proceeding, Success) => (Accepted, Action::Send),
            (Proceeding, Failure) => (Completed, Action::Send),
            (Accepted, Success) => (Accepted, Action::Send),
            (Accepted, Ack) => (Accepted, Action::PassAck),
            (Accepted, Fired(Timer::L)) => (Terminated, Action::None),
            (Completed, Request | Fired(Timer::G)) => (Completed, Action::SendAgain),
            (Completed, Ack) if self.reliable => (Terminated, Action::None), // Timer I is zero
            (Completed, Ack) => (Confirmed, Action::None),
            (Completed, Fired(Timer::H)) => (Terminated, Action::None),
            (Confirmed, Fired(Timer::I)) => (Terminated, Action::None),
            (same @ (Proceeding | Accepted | Completed), TransportError) => (same, Action::Failed),
            (same, _) => (same, Action::None),
        };
        if matches!((self.state, action), (Proceeding, Action::Send)) {
            self.alarm = Alarm::default(); // answered: no 100 is due any more
        }
        if next != self.state {
            self.state = next;
            let in_64_t1 = now + timers.t1_64();
            self.alarm = match next {
                Accepted => Alarm::exit_at(in_64_t1),
                Completed if self.reliable => Alarm::exit_at(in_64_t1),
                Completed => Alarm::doubling(now, timers.t1, timers.t2, in_64_t1),
                Confirmed => Alarm::exit_at(now + timers.t4),
                Proceeding | Terminated => Alarm::default(),
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
        [State::Proceeding, State::Accepted, State::Completed, State::Confirmed, State::Terminated];
    const INPUTS: [Input; 11] = [
        Input::Request,
        Input::Ack,
        Input::Provisional,
        Input::Success,
        Input::Failure,
        Input::TransportError,
        Input::Fired(Timer::Trying),
        Input::Fired(Timer::G),
        Input::Fired(Timer::H),
        Input::Fired(Timer::I),
        Input::Fired(Timer::L),
    ];

    /// The arrows of the figure, over UDP. What is not here changes nothing.
    const ARROWS: [(State, Input, State, Action); 16] = [
        (State::Proceeding, Input::Fired(Timer::Trying), State::Proceeding, Action::SendTrying),
        (State::Proceeding, Input::Request, State::Proceeding, Action::SendAgain),
        (State::Proceeding, Input::Provisional, State::Proceeding, Action::Send),
        (State::Proceeding, Input::TransportError, State::Proceeding, Action::Failed),
        (State::Proceeding, Input::Success, State::Accepted, Action::Send),
        (State::Proceeding, Input::Failure, State::Completed, Action::Send),
        (State::Accepted, Input::Success, State::Accepted, Action::Send),
        (State::Accepted, Input::Ack, State::Accepted, Action::PassAck),
        (State::Accepted, Input::TransportError, State::Accepted, Action::Failed),
        (State::Accepted, Input::Fired(Timer::L), State::Terminated, Action::None),
        (State::Completed, Input::Request, State::Completed, Action::SendAgain),
        (State::Completed, Input::Fired(Timer::G), State::Completed, Action::SendAgain),
        (State::Completed, Input::TransportError, State::Completed, Action::Failed),
        (State::Completed, Input::Ack, State::Confirmed, Action::None),
        (State::Completed, Input::Fired(Timer::H), State::Terminated, Action::None),
        (State::Confirmed, Input::Fired(Timer::I), State::Terminated, Action::None),
    ];

    fn at(state: State, reliable: bool) -> InviteServer {
        InviteServer { state, ..InviteServer::new(Instant::ZERO, reliable, &Timers::default()) }
    }

    #[test]
    fn every_state_and_input_does_what_the_figure_says() {
        assert_figure(&STATES, &INPUTS, (&ARROWS, Action::None), |state, input| {
            let mut m = at(state, false);
            let action = m.step(Instant::ZERO, input, &Timers::default());
            (m.state(), action)
        });
    }

    fn timeline(mut m: InviteServer) -> Vec<(u64, Action)> {
        let mut done = Vec::new();
        while let Some(at) = m.deadline() {
            done.push((at.as_millis(), m.handle_timeout(at, &Timers::default())));
            assert!(m.deadline().is_none_or(|next| next > at), "K1");
        }
        done
    }

    #[test]
    fn k11_an_unanswered_invite_gets_one_100_after_200_ms() {
        assert_eq!(timeline(at(State::Proceeding, false)), [(200, Action::SendTrying)]);
        let mut answered = at(State::Proceeding, false);
        answered.step(Instant::from_millis(10), Input::Provisional, &Timers::default());
        assert_eq!(answered.deadline(), None);
    }

    #[test]
    fn k11_timer_g_doubles_up_to_t2_and_timer_h_ends_it() {
        for reliable in [false, true] {
            let mut m = at(State::Proceeding, reliable);
            m.step(Instant::ZERO, Input::Failure, &Timers::default());
            let sends = [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
            let sends = if reliable { &[] } else { &sends[..] };
            let sends = sends.iter().map(|&at| (at, Action::SendAgain));
            assert_eq!(timeline(m), sends.chain([(32_000, Action::None)]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn k11_timer_i_absorbs_acks_and_is_zero_over_a_stream() {
        for (reliable, end) in [(false, Some(Instant::from_millis(5100))), (true, None)] {
            let mut m = at(State::Proceeding, reliable);
            m.step(Instant::ZERO, Input::Failure, &Timers::default());
            m.step(Instant::from_millis(100), Input::Ack, &Timers::default());
            assert_eq!(m.deadline(), end);
            assert_eq!(m.state() == State::Terminated, reliable);
        }
    }

    #[test]
    fn k11_timer_l_ends_accepted_on_every_transport() {
        for reliable in [false, true] {
            let mut m = at(State::Proceeding, reliable);
            m.step(Instant::ZERO, Input::Success, &Timers::default());
            assert_eq!(timeline(m), [(32_000, Action::None)]);
        }
    }
}
