//! Calls as far as the policies at their two ends can tell.

use super::media::{Leg, NO_LEG};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Names a call. It outlives the call harmlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) at: u32,
    pub(super) generation: u32,
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Caller,
    Callee,
}

impl End {
    pub(super) const fn other(self) -> Self {
        match self {
            End::Caller => End::Callee,
            End::Callee => End::Caller,
        }
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Media,
    Control,
    /// Media on demand.
    Standby,
}

/// A call from its INVITE to the moment in which neither end knows it any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    generation: u32,
    pub(super) caller: u32,
    pub(super) callee: u32,
    /// Its number at the caller. At the callee it goes by its place in the table.
    pub(super) placed: u32,
    /// One way.
    pub(super) delay: Duration,
    pub(super) purpose: Purpose,
    /// Each end knows of it.
    pub(super) up: [bool; 2],
    pub(super) cancelled: bool,
    /// The media that flow in it, from callee to caller, and whether the caller takes them.
    pub(super) leg: Leg,
    pub(super) takes: bool,
    /// Since when the caller sends reception reports, and how often.
    pub(super) reports: Option<(Instant, Duration)>,
    /// When the caller went away.
    pub(super) left: Instant,
    /// The last arrival at each end: what is sent later does not overtake it.
    pub(super) arrivals: [Instant; 2],
}

impl Session {
    pub(super) const fn of(&self, end: End) -> u32 {
        match end {
            End::Caller => self.caller,
            End::Callee => self.callee,
        }
    }
}

/// All calls.
#[derive(Default)]
pub(super) struct Sessions {
    all: Vec<Session>,
    free: Vec<u32>,
}

impl Sessions {
    pub(super) fn add(
        &mut self,
        (caller, placed): (u32, u32),
        callee: u32,
        delay: Duration,
        purpose: Purpose,
    ) -> Ticket {
        let session = Session {
            generation: 0,
            caller,
            callee,
            placed,
            delay,
            purpose,
            up: [true, false],
            cancelled: false,
            leg: NO_LEG,
            takes: false,
            reports: None,
            left: Instant::FAR_FUTURE,
            arrivals: [Instant::ZERO; 2],
        };
        if let Some(at) = self.free.pop() {
            let old = &mut self.all[at as usize];
            let generation = old.generation;
            *old = Session { generation, ..session };
            return Ticket { at, generation };
        }
        self.all.push(session);
        Ticket { at: (self.all.len() - 1) as u32, generation: 0 }
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&Session> {
        self.all.get(ticket.at as usize).filter(|s| s.generation == ticket.generation)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Session> {
        self.all.get_mut(ticket.at as usize).filter(|s| s.generation == ticket.generation)
    }

    /// The call that stands there now.
    pub(super) fn at(&self, at: u32) -> Option<(Ticket, &Session)> {
        let session = self.all.get(at as usize)?;
        Some((Ticket { at, generation: session.generation }, session))
    }

    /// Forgets a call.
    pub(super) fn remove(&mut self, ticket: Ticket) {
        if let Some(session) = self.get_mut(ticket) {
            session.generation = session.generation.wrapping_add(1);
            session.up = [false; 2];
            self.free.push(ticket.at);
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.iter_mut().filter(|s| s.up != [false; 2])
    }
}
