//! A capacity in bits a second, counted in children once the bitrate of the channels is known.

use crate::args::Capacity;
use p2piptv::time::{Duration, Instant, earliest};

/// How long an unknown bitrate is measured before an uplink is counted in children.
const MEASURE: Duration = Duration::from_secs(3);

/// One channel's bitrate: told by its clip, or measured.
#[derive(Debug, Default)]
struct Rate {
    known: Option<u64>,
    since: Option<Instant>,
    bytes: u64,
}

/// A capacity that may have to wait for the channels' bitrates. A slot has to carry the fattest of them.
#[derive(Debug)]
pub struct Uplink {
    capacity: Capacity,
    rates: Vec<Rate>,
}

impl Uplink {
    /// An uplink without channels.
    pub fn new(capacity: Capacity) -> Self {
        Uplink { capacity, rates: Vec::new() }
    }

    /// One more channel, whose bitrate may be known. Channels are numbered in this order.
    pub fn add(&mut self, bitrate: Option<u64>) {
        self.rates.push(Rate { known: bitrate, ..Rate::default() });
    }

    /// Children, as far as they can be counted yet.
    pub fn known(&self) -> Option<u16> {
        match self.capacity {
            Capacity::Slots(n) => Some(n),
            Capacity::Uplink(_) => {
                self.rates.iter().filter_map(|rate| rate.known).max().map(|rate| self.capacity.slots(rate))
            }
        }
    }

    fn is_measuring(&self) -> bool {
        matches!(self.capacity, Capacity::Uplink(_))
    }

    /// When a bitrate will be known.
    pub fn deadline(&self) -> Option<Instant> {
        let running = self.rates.iter().filter(|rate| self.is_measuring() && rate.known.is_none());
        running.map(|rate| rate.since.map(|since| since + MEASURE)).fold(None, earliest)
    }

    /// Takes note of media of a channel, and says how many children there can be once that is known.
    pub fn measure(&mut self, channel: usize, now: Instant, bytes: u64) -> Option<u16> {
        let measuring = self.is_measuring();
        if let Some(rate) = self.rates.get_mut(channel)
            && measuring
            && rate.known.is_none()
            && (bytes > 0 || rate.since.is_some())
        {
            let elapsed = now.since(*rate.since.get_or_insert(now));
            rate.bytes += bytes;
            if elapsed >= MEASURE {
                rate.known = Some((rate.bytes * 8_000_000) / elapsed.as_micros() as u64);
            }
        }
        self.known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn uplink(capacity: Capacity, bitrates: &[Option<u64>]) -> Uplink {
        let mut uplink = Uplink::new(capacity);
        bitrates.iter().for_each(|&bitrate| uplink.add(bitrate));
        uplink
    }

    #[test]
    fn an_uplink_is_counted_in_children_once_the_bitrate_is_known() {
        let mut uplink = uplink(Capacity::Uplink(2_000_000), &[None]);
        assert_eq!(uplink.measure(0, at(0), 0), None);
        for ms in (1000..4000).step_by(10) {
            assert_eq!(uplink.measure(0, at(ms), 1000), None);
        }
        assert_eq!(uplink.deadline(), Some(at(4000)));
        assert_eq!(uplink.measure(0, at(4000), 1000), Some(2), "800 kbit/s");
        assert_eq!(uplink.measure(0, at(9000), 1 << 30), Some(2), "measured once");
        assert_eq!(uplink.deadline(), None);
    }

    #[test]
    fn a_clip_says_its_bitrate_and_a_number_needs_none() {
        assert_eq!(uplink(Capacity::Uplink(2_000_000), &[Some(800_000)]).known(), Some(2));
        assert_eq!(uplink(Capacity::Slots(7), &[None]).known(), Some(7));
    }

    #[test]
    fn p9_a_slot_of_a_shared_uplink_carries_the_fattest_channel() {
        let bitrates = [Some(800_000), None, Some(4_000_000)];
        assert_eq!(uplink(Capacity::Uplink(8_000_000), &bitrates).known(), Some(2));
    }
}
