//! Everything brought in line after an input: whether the channel goes on here, timers of children, the election or the duty,
//! and what children are told.

use super::{Channel, Station, Watching};
use crate::ids::ChannelId;
use crate::iptv::config::LEAST;
use crate::iptv::duty::Views;
use crate::iptv::fact::ByeReason;
use crate::iptv::order::{EndReason, Event};
use crate::iptv::report::Report;
use crate::iptv::seats::Seats;
use crate::iptv::succession::Finding;
use crate::iptv::threshold::threshold;
use crate::iptv::turn::Turn;
use crate::iptv::viewer::News;

impl<P: Copy + Ord> Channel<P> {
    /// Brings everything in line after an input.
    pub(in crate::iptv) fn settle(&mut self, turn: &mut Turn<'_, P>) {
        if self.is_over() {
            return;
        }
        if let Some(until) = self.farewell
            && (until <= turn.now || self.seats.iter().all(|s| s.slots.is_none()))
        {
            return self.close(ByeReason::Leaving, EndReason::Stopped, turn);
        }
        if let Some(why) = self.has_ended(turn) {
            return self.close(ByeReason::EndOfChannel, why, turn);
        }
        let depth = self.depth();
        if let Station::Publisher { election, .. } = &mut self.station {
            election.settle(turn);
        }
        self.serve_waiting(turn);
        let news = match &mut self.station {
            Station::Publisher { election, record, .. } => {
                record.settle(self.id, depth, turn);
                if election.table.take_changed() {
                    turn.event(Event::TableChanged { channel: self.id });
                    News::Later
                } else {
                    News::None
                }
            }
            Station::Viewer(w) => w.settle((self.id, depth), &self.seats, turn),
        };
        self.settle_timers(turn);
        self.end_leases_above(turn);
        self.settle_places(news, turn);
    }

    /// Whether the channel is over for a viewer, though nobody who may has said so. An heir of its source takes it over.
    fn has_ended(&mut self, turn: &mut Turn<'_, P>) -> Option<EndReason> {
        let Station::Viewer(w) = &mut self.station else { return None };
        w.viewer.note_fed(turn);
        let Some(heir) = &mut w.succession else {
            return w.viewer.is_forsaken(turn).then_some(EndReason::SourceLost);
        };
        match heir.look(&w.viewer, turn) {
            Finding::Lives => None,
            Finding::Gone => {
                self.take_over(turn);
                None
            }
            Finding::Over => Some(EndReason::EndOfChannel),
        }
    }

    /// When children are told that nothing comes, and when the first of them will have been silent for too long.
    fn settle_timers(&mut self, turn: &Turn<'_, P>) {
        if self.seats.is_empty() {
            self.hold_at = None;
        } else {
            let hold = (!turn.config.is_paper()).then(|| turn.now + threshold(self.id, turn));
            self.hold_at = self.hold_at.or(hold);
        }
        if self.swept != self.seats.version() {
            self.sweep_at = None;
            self.swept = self.seats.version();
        }
        let silence = |channel: &Self| Some(channel.next_silence(turn)?.max(turn.now + LEAST));
        self.sweep_at = self.sweep_at.or_else(|| silence(self));
    }
}

impl<P: Copy + Ord> Watching<P> {
    /// The office of a relayer, its duty, and the standbys; tells what is news to its children.
    fn settle(
        &mut self,
        (channel, depth): (ChannelId, u8),
        seats: &Seats<P>,
        turn: &mut Turn<'_, P>,
    ) -> News {
        self.settle_office(channel, seats, turn);
        if let Some(duty) = &mut self.duty {
            let parent = self.viewer.parent().map(|p| (p.call, p.peer));
            let table = self.election.as_ref().map(|e| &e.table);
            let root = self.viewer.root().filter(|_| !turn.config.is_paper() && table.is_none());
            duty.follow(root, self.viewer.listed(), turn);
            duty.settle(&Views { parent, depth, seats, table }, turn);
        }
        if self.duty.as_mut().is_some_and(|d| d.fails(seats, turn))
            && let Some(duty) = self.duty.take()
        {
            duty.give_up(turn);
            self.settle_office(channel, seats, turn);
            for seat in seats.iter() {
                turn.inform(seat.call, Report::Leaving);
            }
        }
        self.viewer.settle_standbys(seats, turn);
        let changed = self.election.as_mut().is_some_and(|e| e.table.take_changed());
        if let Some(election) = &self.election {
            self.viewer.set_followers(election.table.followers());
        }
        self.viewer.take_news().max(if changed { News::Later } else { News::None })
    }
}
