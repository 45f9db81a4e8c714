//! What viewers hear of a death above them: how long nothing comes, and what a player would miss.

use crate::host::Seat;
use p2piptv::time::{Duration, Instant};
use std::collections::BTreeMap;

/// What a player waits.
pub const PLAYOUT: Duration = Duration::from_millis(300);
/// Packets of which the moment of sending is remembered: less than what sequence numbers can tell apart.
const REMEMBERED: usize = 1 << 15;

/// One viewer between two deaths.
#[derive(Clone, Copy, Debug, Default)]
struct Ear {
    last: Option<Instant>,
    longest: Duration,
    late: u64,
}

/// Listens to all packets.
#[derive(Debug)]
pub struct Silences {
    source: Option<Seat>,
    /// When the packet of each sequence number left the source, by its lower bits.
    sent: Vec<Option<(u16, Instant)>>,
    ears: BTreeMap<Seat, Ear>,
}

/// What one viewer heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The longest time between two new packets, or since the last one.
    pub silence: Duration,
    /// Packets that came more than [`PLAYOUT`] after they had left the source.
    pub late: u64,
}

impl Default for Silences {
    fn default() -> Self {
        Silences { source: None, sent: vec![None; REMEMBERED], ears: BTreeMap::new() }
    }
}

impl Silences {
    /// Who is the source.
    pub const fn listen_to(&mut self, source: Seat) {
        self.source = Some(source);
    }

    /// New packets at a node.
    pub fn on_packets<'a>(&mut self, seat: Seat, now: Instant, packets: impl Iterator<Item = &'a [u8]>) {
        for packet in packets {
            let &[_, _, high, low, ..] = packet else { continue };
            let number = u16::from_be_bytes([high, low]);
            let slot = &mut self.sent[usize::from(number) % REMEMBERED];
            if self.source == Some(seat) {
                *slot = Some((number, now));
                continue;
            }
            let ear = self.ears.entry(seat).or_default();
            let left = slot.filter(|s| s.0 == number).map(|s| s.1);
            ear.late += u64::from(left.is_some_and(|left| now.since(left) > PLAYOUT));
            if let Some(last) = ear.last.replace(now) {
                ear.longest = ear.longest.max(now.since(last));
            }
        }
    }

    /// Somebody dies now: what was heard before does not count.
    pub fn begin(&mut self) {
        self.ears.values_mut().for_each(|ear| (ear.longest, ear.late) = (Duration::ZERO, 0));
    }

    /// What a node has heard since then.
    pub fn heard(&self, seat: Seat, now: Instant) -> Heard {
        let Some(ear) = self.ears.get(&seat) else { return Heard::default() };
        let still = ear.last.map_or(Duration::ZERO, |last| now.since(last));
        Heard { silence: ear.longest.max(still), late: ear.late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::seat_for_tests as seat;

    #[test]
    fn a_silence_lasts_from_one_packet_to_the_next_and_what_comes_after_it_may_be_late() {
        let at = Instant::from_millis;
        let (source, viewer) = (seat(0), seat(1));
        let mut silences = Silences::default();
        silences.listen_to(source);
        let packet = |n: u16| [&[0x80, 33][..], &n.to_be_bytes(), &[0; 8]].concat();
        let mut pass = |who, ms, n| silences.on_packets(who, at(ms), [&packet(n)[..]].into_iter());
        for n in 0..50u16 {
            pass(source, u64::from(n) * 10, n);
        }
        pass(viewer, 1, 0);
        pass(viewer, 401, 1);
        silences.begin();
        let mut pass = |who, ms, n| silences.on_packets(who, at(ms), [&packet(n)[..]].into_iter());
        pass(viewer, 500, 19);
        pass(viewer, 501, 21);
        let heard = Heard { silence: Duration::from_millis(99), late: 1 };
        assert_eq!(silences.heard(viewer, at(510)), heard);
        assert_eq!(silences.heard(viewer, at(700)).silence, Duration::from_millis(199));
        assert_eq!(silences.heard(source, at(700)), Heard::default());
    }
}
