//! False alarms: a parent fell silent, somebody else was asked, and the parent was heard again.
//!
//! They tell two things. The network is more uneven than the pace of the media shows, so that the next silence is borne for
//! longer; that wears off. And a parent that falls silent for the third time within seconds is one that sends in fits.

use crate::ids::CallId;
use crate::iptv::turn::Turn;
use crate::time::Instant;

/// How often a false alarm doubles, at most, what a parent is given beyond the threshold.
const MOST: u8 = 4;
/// So many times [`Config::confirm_after`](crate::iptv::Config) is soon.
const SOON: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Alarms {
    count: u8,
    last: Instant,
    returns: Option<Returns>,
}

/// When a parent came back after somebody else had sent in its place: the last time, and the one before. Who was heard
/// before anybody else sent has let nobody down.
#[derive(Debug)]
struct Returns {
    parent: CallId,
    last: Instant,
    before: Option<Instant>,
}

impl Alarms {
    /// The parent is back; `bridged` if somebody else has sent in its place.
    pub(super) fn raise<P>(&mut self, parent: CallId, bridged: bool, turn: &Turn<'_, P>) {
        self.count = self.remembered(turn).saturating_add(1).min(MOST);
        self.last = turn.now;
        if bridged {
            let before = self.returns_of(parent).map(|r| r.last);
            self.returns = Some(Returns { parent, last: turn.now, before });
        }
    }

    /// How many times longer than usual a silence is borne, for the time being.
    pub(super) fn factor<P>(&self, turn: &Turn<'_, P>) -> u32 {
        1 << self.remembered(turn)
    }

    /// Alarms that have not worn off.
    fn remembered<P>(&self, turn: &Turn<'_, P>) -> u8 {
        let decayed = turn.now.since(self.last).as_millis() / turn.config.alarm_decay.as_millis().max(1);
        self.count.saturating_sub(u8::try_from(decayed).unwrap_or(u8::MAX))
    }

    /// Whether a parent that is silent now had come back twice, of late.
    pub(super) fn sends_in_fits<P>(&self, parent: CallId, turn: &Turn<'_, P>) -> bool {
        let soon = turn.config.confirm_after.saturating_mul(SOON);
        let before = self.returns_of(parent).and_then(|r| r.before);
        before.is_some_and(|t| turn.now.since(t) < soon)
    }

    fn returns_of(&self, parent: CallId) -> Option<&Returns> {
        self.returns.as_ref().filter(|r| r.parent == parent)
    }
}
