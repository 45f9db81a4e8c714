//! The offices of a viewer: relayer, and where relayers elect, elector of its own children (P12, Q8, Q9).

use super::Watching;
use crate::ids::{CallId, ChannelId};
use crate::iptv::duty::Duty;
use crate::iptv::election::Election;
use crate::iptv::fact::ByeReason;
use crate::iptv::report::Report;
use crate::iptv::seats::Seats;
use crate::iptv::turn::Turn;
use alloc::boxed::Box;

impl<P: Copy + Ord> Watching<P> {
    /// Where relayers elect, whoever relays is the elector of its children, and nobody else is.
    pub(super) fn settle_office(&mut self, channel: ChannelId, seats: &Seats<P>, turn: &mut Turn<'_, P>) {
        if self.duty.is_none() || !self.viewer.is_delegated() {
            if let Some(mut election) = self.election.take() {
                election.stop(ByeReason::Normal, turn);
            }
            return;
        }
        let election = self.election.get_or_insert_with(|| {
            let mut election = Box::new(Election::of_relayer(channel, turn.me, turn.config));
            for seat in seats.iter() {
                election.table.seat(seat.peer, seat.call, seat.slots, turn.now);
            }
            election
        });
        election.table.set_base(self.viewer.depth().unwrap_or_default());
        if self.viewer.is_fed(turn) {
            election.settle(turn);
        }
    }

    /// Gives up whatever this node is to others than its children: relayer, elector, heir of the source. `parting` when it
    /// waits for its children to move.
    pub(super) fn resign(
        &mut self,
        parting: bool,
        channel: ChannelId,
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        if let Some(duty) = self.duty.take() {
            duty.resign(parting, turn);
        }
        self.settle_office(channel, seats, turn);
        if let Some((call, _)) = self.control.take() {
            turn.bye(call, ByeReason::Normal);
        }
        if let Some(mut succession) = self.succession.take() {
            succession.stop(turn);
        }
    }

    /// Whether the parent may end the channel for this node. A standby source believes nobody but the source of the records;
    /// a viewer believes whoever feeds it, where nobody needs to prove it.
    pub(super) fn believes_an_end(&self) -> bool {
        let parent = self.viewer.parent().map(|parent| parent.peer);
        self.succession.is_none() || parent.is_some() && parent == self.viewer.listed()
    }

    /// A child of this relayer reports.
    pub(super) fn on_child_reported(&mut self, child: Option<P>, report: Report<P>, turn: &mut Turn<'_, P>) {
        let (Some(election), Some(peer)) = (&mut self.election, child) else { return };
        match report {
            Report::Subtree(said) => {
                let viewer = &self.viewer;
                election.on_subtree(peer, said, |p| viewer.is_above(p), turn);
            }
            report => election.on_reported(peer, report, turn),
        }
    }

    /// An offer to relay. It is taken when there is a slot to give, or when this node serves children from an earlier
    /// office, whom the elector would otherwise not know. The media may still be on its way.
    pub(super) fn on_selected(
        &mut self,
        channel: ChannelId,
        (call, register): (CallId, bool),
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) {
        let in_parent_dialog = self.viewer.is_parent(call);
        if let Some(duty) = &mut self.duty {
            // A parent that has taken the channel over is the elector once the records say so.
            let elects = self.viewer.parent().is_some_and(|parent| parent.peer == duty.elector());
            if in_parent_dialog && elects || duty.owns(call) {
                duty.renew(call, turn);
            }
            return;
        }
        let control = self.control.filter(|c| c.0 == call).map(|c| c.1);
        let parent = self.viewer.parent().filter(|_| in_parent_dialog).map(|p| p.peer);
        let Some(elector) = control.or(parent) else { return };
        if turn.uplink.free() == 0 && seats.is_empty() || !self.viewer.has_joined() {
            return turn.inform(call, Report::RelayerDeclined);
        }
        let depth = self.viewer.depth().unwrap_or(u8::MAX);
        let dialog = (call, in_parent_dialog);
        let duty = Duty::accept(channel, elector, dialog, (register, depth), turn);
        self.duty = Some(Box::new(duty));
        self.control.take_if(|c| c.0 == call);
    }
}
