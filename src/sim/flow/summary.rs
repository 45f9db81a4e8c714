//! What a run was, in numbers that every system can be asked for.

use super::histogram::Histogram;
use super::media::{Terms, Totals};
use super::offices::Offices;
use super::sizes;
use crate::iptv::Event;
use crate::time::{Duration, Instant};
use alloc::string::String;

/// What control messages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Calls: INVITE, BYE, and what answers them; or whatever a system does in their place.
    Calls,
    /// Elections, tables, places in the tree.
    Reports,
    /// Alive messages.
    Alive,
    /// HOLD and its like.
    Notices,
    /// Lookups and registrations.
    Overlay,
    /// Reception reports and NACKs, buffer maps.
    Media,
}

/// How many kinds of control there are.
const CONTROLS: usize = 6;

/// What a run was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Which system.
    pub name: String,
    /// How long it was watched.
    pub lasted: Duration,
    /// Octets of media a second.
    pub rate: u64,
    /// Octets of a packet.
    pub packet: u64,
    /// Media, players and breaks.
    pub totals: Totals,
    /// Hops from the source, of everybody who was fed at the end.
    pub depth: Histogram,
    /// Octets of control by kind, of all nodes.
    pub control: [u64; CONTROLS],
    /// Octets of control that the source sent.
    pub control_of_source: u64,
    /// Requests for media at the source.
    pub joins_at_source: u64,
    /// Viewers that came and went during the watch.
    pub arrivals: u64,
    /// See `arrivals`.
    pub departures: u64,
    /// Viewers that found no place at all, because the system has none to give.
    pub rejected: u64,
    /// Media octets that machines sent which are nobody's home: servers and edges.
    pub by_servers: u64,
    /// Orphans, and those that found another parent.
    pub orphaned: u64,
    /// See `orphaned`.
    pub reparented: u64,
    /// Silences that a backup bridged.
    pub covered: u64,
    /// Times that everybody who was asked refused.
    pub unavailable: u64,
    /// Relayers elected.
    pub elected: u64,
    /// What became of them.
    pub offices: Offices,
    /// Everything that happened.
    pub happened: u64,
    /// Of this, what happened before the watch, while the crowd came.
    pub before: u64,
    /// The hash of everything that happened, and when.
    pub hash: u64,
}

impl Summary {
    /// Takes control octets into account.
    pub fn count(&mut self, control: Control, octets: u64, of_source: bool) {
        self.control[control as usize] += octets;
        if of_source {
            self.control_of_source += octets;
        }
    }

    pub(super) fn remember(&mut self, now: Instant, kind: u64, who: u32) {
        let what = now.as_micros() ^ kind << 56 ^ u64::from(who) << 24;
        self.hash = (self.hash.rotate_left(5) ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(super) fn event(&mut self, event: &Event<u32>) {
        match event {
            Event::Orphaned { .. } => self.orphaned += 1,
            Event::Reparented { .. } => self.reparented += 1,
            Event::Unavailable { .. } => self.unavailable += 1,
            Event::Covered { .. } => self.covered += 1,
            Event::Elected { .. } => self.elected += 1,
            _ => {}
        }
    }

    /// Reception reports, and NACKs where there are any, follow from how long media flowed.
    pub(super) fn count_media_control(&mut self, terms: &Terms) {
        let reports = self.totals.sent / 1_000_000 * sizes::RECEIVER_REPORT;
        let nacks = if terms.nacks > 0 { self.totals.mended * sizes::NACK as f64 } else { 0.0 };
        self.count(Control::Media, reports + nacks as u64, false);
    }

    /// Octets of all control.
    pub fn all_control(&self) -> u64 {
        self.control.iter().sum()
    }

    /// Octets of media for a time of media in microseconds.
    pub fn octets(&self, micros: u64) -> f64 {
        micros as f64 / 1e6 * self.rate as f64
    }

    /// Octets of control to an octet of media.
    pub fn control_share(&self) -> f64 {
        self.all_control() as f64 / self.octets(self.totals.sent).max(1.0)
    }

    /// Octets that came twice or for nobody, to an octet of media.
    pub fn waste_share(&self) -> f64 {
        self.totals.wasted as f64 / self.totals.sent.max(1) as f64
    }

    /// Octets that came twice, to an octet of media.
    pub fn duplicate_share(&self) -> f64 {
        self.totals.twice as f64 / self.totals.sent.max(1) as f64
    }

    /// How much happens in a second of the watch for each of those who are there: about as many as there were at its end.
    pub fn happened_a_viewer_second(&self) -> f64 {
        let there = self.totals.viewers.saturating_sub(self.departures) as f64;
        self.happened.saturating_sub(self.before) as f64 / (there * self.lasted.as_secs_f64()).max(1.0)
    }

    /// Channels' worth of media that the source sends.
    pub fn streams_of_source(&self) -> f64 {
        self.totals.by_source as f64 / (self.lasted.as_micros() as f64).max(1.0)
    }
}
