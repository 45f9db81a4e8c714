//! A machine whose promises are checked at every call.

use super::machine::Machine;
use crate::node::Output;
use crate::time::Instant;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// A promise of every machine that can be seen to hold, or not, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Once drained, `deadline()` is later than the last `now`, or `None`. Checked after *every* input, this is also
    /// K5 (any input fires the timers that are due) and the progress of K2. A machine that has done enough for one call
    /// may ask for another one at once, but not without end.
    K1,
    /// While output waits, `deadline()` is the last `now`.
    K2,
    /// Any call is bounded: it does not cause output without end.
    K3,
    /// `handle_timeout` before the deadline does nothing.
    K12,
}

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// The last `now` that the machine knew.
    pub now: Instant,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken at {:?}: {}", self.promise, self.now, self.seen)
    }
}

/// Wraps a machine, drains it after every call, and reports the first promise that it breaks.
///
/// It is the inner loop of [`Network`](super::Network), and good on its own for a single machine under a script or a
/// fuzzer.
#[derive(Clone, Debug)]
pub struct Checked<M> {
    machine: M,
    last: Instant,
}

impl<M: Machine> Checked<M> {
    /// More outputs than this from one call count as endless.
    pub const MAX_OUTPUTS: usize = 1_000_000;
    /// More calls than this at one instant count as endless.
    pub const MAX_TURNS: usize = 10_000;

    /// A machine that nothing has happened to yet.
    pub const fn new(machine: M) -> Self {
        Checked { machine, last: Instant::ZERO }
    }

    /// The machine, to look at.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine itself.
    pub fn into_inner(self) -> M {
        self.machine
    }

    /// When the machine wants to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Gives the buffer of a run back.
    pub fn recycle(&mut self, packets: Vec<Bytes>) {
        self.machine.recycle(packets);
    }

    /// Gives the machine one input, or any number of them, and hands each output to `output` in order, with the
    /// machine as it is then.
    pub fn step<R>(
        &mut self,
        now: Instant,
        input: impl FnOnce(&mut M) -> R,
        mut output: impl FnMut(&M, Output),
    ) -> Result<R, Violation> {
        // K6: a clock that goes backwards stands still.
        self.last = self.last.max(now);
        let result = input(&mut self.machine);
        let mut turns = 0;
        for _ in 0..Self::MAX_OUTPUTS {
            let deadline = self.machine.deadline();
            let Some(next) = self.machine.poll_output() else {
                match deadline {
                    Some(d) if d == self.last && turns < Self::MAX_TURNS => {
                        turns += 1;
                        self.machine.handle_timeout(self.last);
                        continue;
                    }
                    Some(d) if d <= self.last => {
                        let seen =
                            format!("nothing waits and the deadline is {d:?} after {turns} more turns");
                        return self.broken(Promise::K1, seen);
                    }
                    _ => return Ok(result),
                }
            };
            if deadline != Some(self.last) {
                let seen = format!("the deadline was {deadline:?} while this waited: {next:?}");
                return self.broken(Promise::K2, seen);
            }
            output(&self.machine, next);
        }
        self.broken(Promise::K3, format!("more than {} outputs from one call", Self::MAX_OUTPUTS))
    }

    /// Gives the machine one input and drains nothing, as a busy host does. What waits then comes with the next
    /// [`step`](Self::step).
    pub fn step_undrained<R>(
        &mut self,
        now: Instant,
        input: impl FnOnce(&mut M) -> R,
    ) -> Result<R, Violation> {
        self.last = self.last.max(now);
        let result = input(&mut self.machine);
        match self.machine.deadline() {
            Some(d) if d < self.last => self.broken(Promise::K2, format!("the deadline is {d:?}")),
            _ => Ok(result),
        }
    }

    /// Wakes the machine before its deadline; it must not care. Does nothing once the deadline has come.
    pub fn wake_early(&mut self, now: Instant) -> Result<(), Violation> {
        let deadline = self.machine.deadline();
        if now < self.last || deadline.is_some_and(|d| d <= now) {
            return Ok(());
        }
        self.last = now;
        self.machine.handle_timeout(now);
        let after = self.machine.deadline();
        if after != deadline {
            let seen = format!("an early wake-up moved the deadline from {deadline:?} to {after:?}");
            return self.broken(Promise::K12, seen);
        }
        match self.machine.poll_output() {
            None => Ok(()),
            Some(output) => self.broken(Promise::K12, format!("an early wake-up caused {output:?}")),
        }
    }

    fn broken<T>(&self, promise: Promise, seen: String) -> Result<T, Violation> {
        Err(Violation { promise, now: self.last, seen })
    }
}

/// The FNV-1a hash of a run: two runs with the same hash did the same (K9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// The hash so far.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Takes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes in the bytes of a packet, eight at a time: most of what a simulation does is to pass packets on.
    fn packet(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.bytes(rest);
        self.word(bytes.len() as u64);
    }

    /// Takes in a word. Each step can be undone, so no word does what another one does.
    fn word(&mut self, word: u64) {
        self.0 ^= word;
        // The product carries upwards only.
        self.0 = (self.0 ^ self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.word(ip.to_bits().into()),
            IpAddr::V6(ip) => self.packet(&ip.octets()),
        }
        self.word(address.port().into());
    }

    /// Takes in an output, with every byte that it carries.
    pub fn output(&mut self, output: &Output) {
        use fmt::Write;
        match output {
            Output::Transmit { plane, to, payload } => {
                self.word(1 << 8 | *plane as u64);
                self.address(*to);
                self.packet(payload);
            }
            Output::Media { channel, packets } => {
                self.word(2 << 8);
                self.word(channel.0.into());
                packets.iter().for_each(|packet| self.packet(packet));
            }
            // Fnv takes everything that is written.
            Output::Write { stream, bytes } => {
                let _ = write!(self, "write {stream:?} ");
                self.packet(bytes);
            }
            other => drop(write!(self, "{other:?}")),
        }
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChannelId, StreamId};
    use crate::node::{Datagram, Event, Receipt, StreamInput};
    use crate::stats::Plane;
    use core::net::SocketAddr;

    /// Ticks once a second. Its flaws can be switched on one by one.
    #[derive(Default)]
    struct Clock {
        now: Instant,
        next: Instant,
        waiting: usize,
        deadline_stays_behind: bool,
        hides_its_output: bool,
        never_ends: bool,
        minds_early_calls: bool,
    }

    impl Machine for Clock {
        fn handle_datagram(&mut self, now: Instant, _: Datagram) -> Receipt {
            self.handle_timeout(now);
            Receipt::Accepted
        }
        fn handle_stream(&mut self, now: Instant, _: StreamId, _: StreamInput) {
            self.handle_timeout(now);
        }
        fn handle_unreachable(&mut self, now: Instant, _: Plane, _: SocketAddr) {
            self.handle_timeout(now);
        }
        fn handle_timeout(&mut self, now: Instant) {
            self.now = self.now.max(now);
            if self.minds_early_calls || self.next <= self.now {
                self.waiting += 1;
                if !self.deadline_stays_behind {
                    self.next = self.now + core::time::Duration::from_secs(1);
                }
            }
        }
        fn poll_output(&mut self) -> Option<Output> {
            let waiting = self.waiting.checked_sub(1)?;
            if !self.never_ends {
                self.waiting = waiting;
            }
            Some(Output::Event(Event::Joined))
        }
        fn deadline(&self) -> Option<Instant> {
            Some(if self.waiting > 0 && !self.hides_its_output { self.now } else { self.next })
        }
        fn children(&self, _: ChannelId) -> &[SocketAddr] {
            &[]
        }
    }

    fn tick(clock: Clock) -> Result<usize, Promise> {
        let mut checked = Checked::new(clock);
        let (mut outputs, now) = (0, Instant::from_millis(1500));
        checked.step(now, |m| m.handle_timeout(now), |_, _| outputs += 1).map_err(|v| v.promise)?;
        checked.wake_early(now).map_err(|v| v.promise)?;
        Ok(outputs)
    }

    #[test]
    fn a_good_machine_passes() {
        assert_eq!(tick(Clock::default()), Ok(1));
    }

    #[test]
    fn k1_a_deadline_left_in_the_past_is_seen() {
        assert_eq!(tick(Clock { deadline_stays_behind: true, ..Clock::default() }), Err(Promise::K1));
    }

    #[test]
    fn k2_output_that_the_deadline_does_not_tell_of_is_seen() {
        assert_eq!(tick(Clock { hides_its_output: true, ..Clock::default() }), Err(Promise::K2));
    }

    #[test]
    fn k2_a_deadline_behind_the_clock_is_seen_before_anything_is_drained() {
        let flawed = Clock { deadline_stays_behind: true, hides_its_output: true, ..Clock::default() };
        let late = Instant::from_millis(1500);
        for (clock, promise) in [(Clock::default(), None), (flawed, Some(Promise::K2))] {
            let seen = Checked::new(clock).step_undrained(late, |m| m.handle_timeout(late));
            assert_eq!(seen.err().map(|v| v.promise), promise);
        }
    }

    #[test]
    fn k3_output_without_end_is_seen() {
        assert_eq!(tick(Clock { never_ends: true, ..Clock::default() }), Err(Promise::K3));
    }

    #[test]
    fn k5_an_input_that_does_not_fire_due_timers_is_seen() {
        let mut checked = Checked::new(Clock::default());
        let late = Instant::from_millis(5000);
        // Nothing at all is given to the machine, as if the input had returned early.
        assert_eq!(checked.step(late, |_| (), |_, _| ()).unwrap_err().promise, Promise::K1);
    }

    #[test]
    fn k12_a_machine_that_minds_early_calls_is_seen() {
        assert_eq!(tick(Clock { minds_early_calls: true, ..Clock::default() }), Err(Promise::K12));
    }

    #[test]
    fn k9_every_byte_of_a_packet_and_every_part_of_its_address_count() {
        let hash = |to: &str, payload: &[u8]| {
            let mut fnv = Fnv::default();
            let payload = Bytes::copy_from_slice(payload);
            fnv.output(&Output::Transmit { plane: Plane::Media, to: to.parse().unwrap(), payload });
            fnv.value()
        };
        let packet: Vec<u8> = (0..29).collect();
        let mut seen = alloc::collections::BTreeSet::from([hash("10.0.0.1:1", &packet)]);
        for at in 0..packet.len() {
            let mut other = packet.clone();
            other[at] ^= 0x80;
            assert!(
                seen.insert(hash("10.0.0.1:1", &other)) && seen.insert(hash("10.0.0.1:1", &packet[..at]))
            );
        }
        for to in ["10.0.0.2:1", "10.0.0.1:2", "[::1]:1", "[1::1]:1", "[::2]:1"] {
            assert!(seen.insert(hash(to, &packet)), "{to}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_standard_test_vectors() {
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut fnv = Fnv::default();
            fnv.bytes(text.as_bytes());
            assert_eq!(fnv.value(), hash, "{text:?}");
        }
    }
}
