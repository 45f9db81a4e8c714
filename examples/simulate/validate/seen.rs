//! What was seen of whole nodes: packets at players, and messages on their way.

use crate::broadcast::INTERVAL;
use p2piptv::sim::flow::{Histogram, Summary};
use p2piptv::sim::{NodeIndex, Record, What};
use p2piptv::stats::Plane;
use p2piptv::time::{Duration, Instant};
use std::collections::BTreeMap;

const PLAYOUT: Duration = Duration::from_millis(500);
/// So many packets that are missed one after the other are a gap, and fewer are single ones.
const GAP: u64 = 3;
/// Nothing for so long is a silence.
const SILENCE: Duration = Duration::from_millis(150);

/// What one viewer saw during the watch.
#[derive(Default)]
pub(super) struct Player {
    pub(super) asked: Option<Instant>,
    /// The first packet: when it came, and its number.
    pub(super) first: Option<(Instant, u64)>,
    pub(super) last: Option<Instant>,
    /// In time, by number.
    pub(super) got: Vec<bool>,
    pub(super) gone: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) begins: Option<Instant>,
    pub(super) players: BTreeMap<NodeIndex, Player>,
    pub(super) silences: Histogram,
    pub(super) startup: Histogram,
    /// Datagrams and octets of each kind of message.
    pub(super) messages: BTreeMap<String, (u64, u64)>,
    pub(super) rtp: (u64, u64),
    pub(super) rtcp: u64,
}

impl Seen {
    pub(super) fn packet(&mut self, now: Instant, node: NodeIndex, packet: &[u8]) {
        let Some(player) = self.players.get_mut(&node).filter(|_| self.begins.is_some()) else { return };
        let number = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
        if player.first.is_none() {
            if let Some(asked) = player.asked.take() {
                self.startup.add(now.since(asked).as_micros() as u64);
            }
            player.first = Some((now, number));
        }
        if let Some(last) = player.last.filter(|&last| now.since(last) > SILENCE) {
            self.silences.add(now.since(last).as_micros() as u64);
        }
        player.last = Some(now);
        let Some((first, from)) = player.first else { return };
        let Some(after) = number.checked_sub(from) else { return };
        if now <= first + PLAYOUT + INTERVAL * after as u32 {
            let at = after as usize;
            if player.got.len() <= at {
                player.got.resize(at + 1, false);
            }
            player.got[at] = true;
        }
    }

    pub(super) fn record(&mut self, record: &Record) {
        let Record::Packet { plane, what, .. } = record else { return };
        let What::Datagram { payload, .. } = what else { return };
        if self.begins.is_none() {
            return;
        }
        match plane {
            Plane::Media if payload.get(1).is_some_and(|t| (192..=223).contains(t)) => {
                self.rtcp += payload.len() as u64;
            }
            Plane::Media => {
                self.rtp.0 += 1;
                self.rtp.1 += payload.len() as u64;
            }
            Plane::Signalling => {
                let entry = self.messages.entry(kind(payload)).or_default();
                entry.0 += 1;
                entry.1 += payload.len() as u64;
            }
            Plane::Overlay => {}
        }
    }
}

/// The method of a request, or the status and the method of an answer; of an INFO also what it says.
fn kind(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let first = text.lines().next().unwrap_or_default();
    let method = |line: &str| line.split_whitespace().last().unwrap_or_default().to_owned();
    match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let cseq = text.lines().find(|l| l.starts_with("CSeq")).map(method).unwrap_or_default();
            format!("{} of {cseq}", status.get(..3).unwrap_or_default())
        }
        None => {
            let says = text.lines().find_map(|l| l.strip_prefix("IPTV INFO")).unwrap_or_default();
            let method = first.split_whitespace().next().unwrap_or_default();
            format!("{method}{says}")
        }
    }
}

/// What the players of whole nodes had in time.
pub(super) fn judge(seen: &Seen, end: Instant, summary: &mut Summary) {
    let totals = &mut summary.totals;
    let interval = INTERVAL.as_micros() as u64;
    for player in seen.players.values() {
        totals.viewers += 1;
        let Some((first, _)) = player.first else {
            totals.never_played += 1;
            continue;
        };
        let gone = player.gone.unwrap_or(end);
        // What would have been played by then.
        let due = gone.since(first + PLAYOUT).as_micros() as u64 / interval;
        let mut run = 0;
        for n in 0..=due {
            let missed = n < due && !player.got.get(n as usize).copied().unwrap_or(false);
            if missed {
                run += 1;
            } else {
                if run >= GAP {
                    totals.gaps.add(run * interval);
                    totals.missed += run * interval;
                } else {
                    totals.scattered += (run * interval) as f64;
                }
                run = 0;
            }
        }
        totals.due += due * interval;
    }
    totals.silences = seen.silences.clone();
    totals.startup = seen.startup.clone();
    totals.sent = (seen.rtp.1 as f64 / summary.rate as f64 * 1e6) as u64;
    summary.control[0] = seen.messages.values().map(|m| m.1).sum();
    summary.control[5] = seen.rtcp;
}
