//! One channel on the media plane.

use super::{Role, TAKEOVER_AFTER};
use crate::rtp::reception::Reception;
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;

#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) role: Role,
    /// The source, once announced or seen.
    pub(super) ssrc: Option<u32>,
    pub(super) reception: Reception,
    /// Children's addresses, ascending, without those that feed the channel to this node.
    pub(super) targets: Vec<SocketAddr>,
    /// The source has sent a BYE.
    pub(super) said_goodbye: bool,
    /// Another source that wants to take over, and the sequence number that would confirm it.
    successor: Option<(u32, u16)>,
    /// NTP timestamp of the last SR.
    last_report: Option<u64>,
}

impl Channel {
    pub(super) fn new(role: Role) -> Self {
        Channel {
            role,
            ssrc: None,
            reception: Reception::new(),
            targets: Vec::new(),
            said_goodbye: false,
            successor: None,
            last_report: None,
        }
    }

    /// A parent says that this is the source. A source that is being heard is believed more.
    pub(super) fn announce(&mut self, now: Instant, ssrc: u32) {
        if self.ssrc != Some(ssrc) && (self.ssrc.is_none() || self.lost_its_source(now)) {
            self.follow(ssrc);
        }
    }

    /// Whether the source has said goodbye, or has been silent for [`TAKEOVER_AFTER`], or was never heard.
    pub(super) fn lost_its_source(&self, now: Instant) -> bool {
        self.said_goodbye || self.reception.last_new().is_none_or(|last| now.since(last) >= TAKEOVER_AFTER)
    }

    /// Whether this channel takes a packet of this source: its own, the first one of all, or another one with its
    /// second packet in a row. The caller has made sure that another one may follow.
    pub(super) fn is_from(&mut self, ssrc: u32, sequence: u16) -> bool {
        if self.ssrc == Some(ssrc) {
            return true;
        }
        let confirmed = self.successor == Some((ssrc, sequence));
        let follows = self.ssrc.is_none() || confirmed;
        if follows {
            self.follow(ssrc);
        } else {
            self.successor = Some((ssrc, sequence.wrapping_add(1)));
        }
        follows
    }

    /// Takes this source from now on.
    pub(super) fn follow(&mut self, ssrc: u32) {
        self.ssrc = Some(ssrc);
        self.reception.restart();
        self.said_goodbye = false;
        self.successor = None;
        self.last_report = None;
    }

    /// Whether an SR is newer than all before, which stops those that come twice or in a circle. The clock of an
    /// NTP timestamp may wrap.
    pub(super) fn is_newer_report(&mut self, ntp: u64) -> bool {
        let newer = self.last_report.is_none_or(|last| ntp.wrapping_sub(last) as i64 > 0);
        if newer {
            self.last_report = Some(ntp);
        }
        newer
    }
}
