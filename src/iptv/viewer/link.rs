//! The dialog with a parent, and what it has said in it.

use super::standby::Standby;
use crate::ids::CallId;
use crate::iptv::fact::Hold;
use crate::time::Instant;
use alloc::vec::Vec;

/// The dialog with a parent.
#[derive(Debug)]
pub(in crate::iptv) struct Link<P> {
    pub(in crate::iptv) call: CallId,
    pub(in crate::iptv) peer: P,
    /// The parent's hops from the source.
    pub(in crate::iptv) depth: u8,
    pub(in crate::iptv) rescue: bool,
    /// The call is a standby, and may become one again.
    pub(in crate::iptv) standby: bool,
    /// From the source to this parent, once it told.
    pub(in crate::iptv) path: Vec<P>,
    pub(in crate::iptv) since: Instant,
    pub(in crate::iptv) playing: bool,
    /// When it was found to be silent, or starving for too long.
    pub(in crate::iptv) lost: Option<Instant>,
    /// What it said last about having nothing to send.
    pub(in crate::iptv) held: Option<(Hold, Instant)>,
    /// When it said last that the source pauses.
    pub(super) paused: Instant,
}

impl<P: Copy> Link<P> {
    pub(super) fn new((call, peer): (CallId, P), depth: u8, rescue: bool, now: Instant) -> Self {
        Link {
            call,
            peer,
            depth,
            rescue,
            standby: false,
            path: Vec::new(),
            since: now,
            playing: false,
            lost: None,
            held: None,
            paused: Instant::ZERO,
        }
    }

    /// A standby whose media begins to flow.
    pub(super) fn of_standby(standby: Standby<P>, now: Instant) -> Self {
        Link { standby: true, ..Link::new((standby.call, standby.peer), standby.depth, true, now) }
    }

    /// Whether media comes from it, as far as known.
    pub(in crate::iptv) const fn is_playing(&self) -> bool {
        self.playing && self.lost.is_none()
    }

    /// The parent of this parent, where it told.
    pub(super) fn grandparent(&self) -> Option<P> {
        self.path.get(self.path.len().checked_sub(2)?).copied()
    }

    pub(in crate::iptv) fn depth(&self) -> u8 {
        match u8::try_from(self.path.len()) {
            Ok(0) => self.depth.saturating_add(1),
            n => n.unwrap_or(u8::MAX),
        }
    }
}
