//! When this node's record in the overlay is stored anew: when its free slots reach or leave zero, at a bounded rate (Q3).
//!
//! A slot is not announced before it has been free for a while. Most are taken at once by somebody who knows without the record,
//! and a record that says so for some seconds brings everybody here who comes to the channel meanwhile.

use super::order::{Order, Role};
use super::turn::Turn;
use crate::ids::ChannelId;
use crate::time::Instant;

/// What the overlay was told.
#[derive(Debug)]
pub(super) struct Record {
    role: Role,
    listed: bool,
    full: bool,
    stored: Instant,
    /// Since when it has not been true, without a pause.
    untrue: Option<Instant>,
    /// When the truth may be stored that differs from what was told.
    due: Option<Instant>,
}

impl Record {
    /// Stores the record for the first time.
    pub(super) fn store<P>(
        channel: ChannelId,
        (role, listed): (Role, bool),
        depth: u8,
        turn: &mut Turn<'_, P>,
    ) -> Self {
        let free = turn.uplink.free();
        turn.order(Order::Register { channel, role, depth, free, listed });
        Record { role, listed, full: free == 0, stored: turn.now, untrue: None, due: None }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it stands under the channel's name.
    pub(super) const fn is_listed(&self) -> bool {
        self.listed
    }

    /// Stores it again, now or when the rate allows, if it is no longer true.
    pub(super) fn settle<P>(&mut self, channel: ChannelId, depth: u8, turn: &mut Turn<'_, P>) {
        self.due = None;
        let full = turn.uplink.free() == 0;
        if turn.config.is_paper() || self.full == full {
            self.untrue = None;
            return;
        }
        let since = *self.untrue.get_or_insert(turn.now);
        let from = if full { self.stored } else { self.stored.max(since) };
        let allowed = from + turn.config.register_interval;
        if turn.now >= allowed {
            *self = Record::store(channel, (self.role, self.listed), depth, turn);
        } else {
            self.due = Some(allowed);
        }
    }
}
