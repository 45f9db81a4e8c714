//! One channel on the media plane.

use super::seal::Seal;
use super::{CatchingUp, Limits, Role, TAKEOVER_AFTER};
use crate::rtp::header::{Header, Packet};
use crate::rtp::integrity;
use crate::rtp::missing::{self, Missing};
use crate::rtp::reception::Reception;
use crate::rtp::ring::Ring;
use crate::rtp::window::{Seen, WINDOW};
use crate::time::{Duration, Instant, earliest};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// When a packet has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Came {
    /// Now, from somebody to whom a message takes so long there and back, where that is known.
    Now(Option<Duration>),
    /// Then. It has waited here for its list since, which says nothing of the way.
    At(Instant),
}

/// What a channel says of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) seen: Seen,
    /// Its extended number.
    pub(super) number: u64,
    /// Nothing later has come.
    pub(super) is_newest: bool,
    /// It is the first of a sequence that has nothing to do with what was before.
    pub(super) begins: bool,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) role: Role,
    /// The source, once announced or seen.
    pub(super) ssrc: Option<u32>,
    pub(super) reception: Reception,
    /// Children's addresses, ascending, without those that feed the channel to this node.
    pub(super) targets: Vec<SocketAddr>,
    /// The addresses of those that are to be among them when their replay is over.
    pub(super) catching_up: Vec<SocketAddr>,
    /// The last packets.
    pub(super) ring: Ring,
    /// Those that did not come.
    pub(super) missing: Missing,
    /// The source signs it.
    pub(super) seal: Option<Box<Seal>>,
    /// The source has sent a BYE.
    pub(super) said_goodbye: bool,
    /// Another source that wants to take over, and the sequence number that would confirm it.
    successor: Option<(u32, u16)>,
    /// NTP timestamp of the last SR.
    last_report: Option<u64>,
}

impl Channel {
    pub(super) fn new(role: Role, limits: &Limits) -> Self {
        // A source has nobody to ask.
        let attempts = if role == Role::Source { 0 } else { limits.missing.attempts };
        Channel {
            role,
            ssrc: None,
            reception: Reception::new(),
            targets: Vec::new(),
            catching_up: Vec::new(),
            ring: Ring::new(limits.ring),
            missing: Missing::new(missing::Limits { attempts, ..limits.missing }),
            seal: None,
            said_goodbye: false,
            successor: None,
            last_report: None,
        }
    }

    /// Takes note of a packet of the source, and keeps it if it is new.
    pub(super) fn on_packet(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        datagram: &Bytes,
        came: Came,
    ) -> Arrival {
        let before = self.reception.newest();
        let header = packet.header;
        let came_at = if let Came::At(at) = came { at } else { now };
        let (sequence, timestamp) = (header.sequence, header.timestamp);
        let seen = self.reception.on_held_packet(now, came_at, sequence, timestamp, datagram.len());
        let number = self.reception.number_of(header.sequence).unwrap_or(0);
        let mut begins = false;
        if seen == Seen::New {
            begins = self.reception.has_just_begun();
            match before {
                _ if begins => {
                    self.ring.clear();
                    self.missing.clear();
                }
                Some(newest) if number > newest + 1 => {
                    let jitter = self.reception.jitter_time();
                    self.missing.on_gap(now, newest + 1..number, jitter);
                    // What leaves the window would not be taken if it came.
                    self.missing.forget_before(number.saturating_sub(WINDOW.into()));
                }
                Some(newest) if number < newest => match came {
                    Came::Now(round_trip) => self.missing.on_arrival(now, number, round_trip),
                    Came::At(_) => self.missing.on_release(number),
                },
                _ => {}
            }
            self.ring.insert(now, number, datagram, packet.payload);
        }
        Arrival { seen, number, is_newest: self.reception.newest() == Some(number), begins }
    }

    /// Whether anything is to be asked for by now.
    pub(super) fn asks_by(&self, now: Instant) -> bool {
        let lists = self.seal.as_ref().and_then(|seal| seal.missing.deadline());
        earliest(self.missing.deadline(), lists).is_some_and(|at| at <= now)
    }

    /// Whether packets under this SSRC, or lists, are passed on here.
    pub(super) fn passes_on(&self, ssrc: u32) -> bool {
        let of_lists = |seal: &Seal| [self.ssrc, seal.ssrc()].contains(&Some(integrity::counterpart(ssrc)));
        self.ssrc == Some(ssrc) || self.seal.as_deref().is_some_and(of_lists)
    }

    /// Whether this is a packet, or a list, that this node lacks and has asked somebody for.
    pub(super) fn awaits(&self, header: &Header) -> bool {
        if self.ssrc == Some(header.ssrc) {
            return self.reception.number_of(header.sequence).is_some_and(|n| self.missing.awaits(n));
        }
        self.seal.as_ref().is_some_and(|seal| {
            let number = seal.number_of(integrity::counterpart(header.ssrc), header.sequence);
            number.is_some_and(|n| seal.missing.awaits(n))
        })
    }

    /// The numbers of the packets that are here, but wait for their list, ascending.
    pub(super) fn held(&self) -> Vec<u64> {
        let seal = self.ssrc.zip(self.seal.as_ref()).into_iter();
        let held = seal.flat_map(|(ssrc, seal)| seal.held_of(ssrc));
        let mut numbers: Vec<u64> = held.filter_map(|sequence| self.reception.number_of(sequence)).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Whether this very packet has come already.
    pub(super) fn has(&self, header: &Header, packet: &Bytes) -> bool {
        let number = self.reception.number_of(header.sequence).filter(|_| self.ssrc == Some(header.ssrc));
        number.and_then(|n| self.ring.get(n)).is_some_and(|(kept, _)| kept == packet)
    }

    /// A parent says that this is the source. A source that is being heard is believed more.
    pub(super) fn announce(&mut self, now: Instant, ssrc: u32) {
        let may_follow = self.ssrc.is_none() || self.seal.is_none() && self.lost_its_source(now);
        if self.ssrc != Some(ssrc) && may_follow {
            self.follow(ssrc);
        }
    }

    /// What a parent that begins now may send without being asked.
    pub(super) fn catching_up(&self, now: Instant, patience: Duration) -> Option<CatchingUp> {
        Some(CatchingUp { after: self.reception.newest()?, until: now + patience })
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
        if let Some(seal) = &self.seal {
            // Its owner says whom to follow, and needs no confirmation.
            let follows = seal.lists().newest().is_some_and(|list| list.ssrc == ssrc);
            if follows {
                self.follow(ssrc);
            }
            return follows;
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
