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
