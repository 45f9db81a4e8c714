//! What happens next, among millions of entries: a wheel of short slots, and a heap for what is far away.
//!
//! [`Queue`](crate::sim::Queue) is a heap, whose cost grows with what waits in it. Here an entry is put into the slot of its
//! time and looked at once more when that slot comes up, whatever else waits.

use crate::time::Instant;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Microseconds of one slot, as a power of two.
const SLOT: u32 = 8;
/// Slots of the wheel: 16.8 s.
const SLOTS: u64 = 1 << 16;

struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Entry<E> {
    const fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }

    const fn slot(&self) -> u64 {
        self.at.as_micros() >> SLOT
    }
}

/// The reverse, so that a heap gives the earliest first.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

/// Entries in the order of their times; those of one instant in the order in which they were scheduled.
pub struct Wheel<E> {
    slots: Vec<Vec<Entry<E>>>,
    /// The slot that is being emptied, latest first.
    current: Vec<Entry<E>>,
    turn: u64,
    in_slots: usize,
    far: BinaryHeap<Entry<E>>,
    scheduled: u64,
}

impl<E> Default for Wheel<E> {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Wheel { slots, current: Vec::new(), turn: 0, in_slots: 0, far: BinaryHeap::new(), scheduled: 0 }
    }
}

impl<E> Wheel<E> {
    /// `event` shall happen at `at`; if that is over, at once.
    pub fn schedule(&mut self, at: Instant, event: E) {
        let entry = Entry { at, number: self.scheduled, event };
        self.scheduled += 1;
        self.file(entry);
    }

    fn file(&mut self, entry: Entry<E>) {
        let slot = entry.slot();
        if slot <= self.turn {
            let place = self.current.partition_point(|e| e.key() > entry.key());
            self.current.insert(place, entry);
        } else if slot < self.turn + SLOTS {
            self.slots[(slot % SLOTS) as usize].push(entry);
            self.in_slots += 1;
        } else {
            self.far.push(entry);
        }
    }

    /// The next thing that happens, and when, if that is not after `end`.
    pub fn pop(&mut self, end: Instant) -> Option<(Instant, E)> {
        while self.current.is_empty() {
            if self.turn >= end.as_micros() >> SLOT || self.is_empty() {
                return None;
            }
            self.advance();
        }
        let entry = self.current.pop_if(|e| e.at <= end)?;
        Some((entry.at, entry.event))
    }

    fn advance(&mut self) {
        self.turn = match self.far.peek() {
            Some(next) if self.in_slots == 0 => next.slot().max(self.turn + 1),
            _ => self.turn + 1,
        };
        while self.far.peek().is_some_and(|next| next.slot() < self.turn + SLOTS) {
            let Some(entry) = self.far.pop() else { break };
            self.file(entry);
        }
        let slot = &mut self.slots[(self.turn % SLOTS) as usize];
        self.in_slots -= slot.len();
        // What came back from afar may lie in `current` already.
        self.current.append(slot);
        self.current.sort_unstable();
    }

    /// Entries that are still to happen.
    pub fn len(&self) -> usize {
        self.current.len() + self.in_slots + self.far.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use quickcheck::quickcheck;

    quickcheck! {
        fn agrees_with_a_sorted_map(ops: Vec<(u32, bool)>) -> bool {
            let (mut wheel, mut model, mut now) = (Wheel::default(), BTreeMap::new(), Instant::ZERO);
            for (n, (x, pops)) in ops.into_iter().enumerate() {
                if pops {
                    let end = now + core::time::Duration::from_micros(u64::from(x) % 40_000_000);
                    let due = model.first_key_value().is_some_and(|((at, _), _)| *at <= end);
                    let expected = if due { model.pop_first().map(|((at, _), e)| (at, e)) } else { None };
                    if wheel.pop(end) != expected {
                        return false;
                    }
                    now = expected.map_or(now, |(at, _)| at);
                } else {
                    let at = now + core::time::Duration::from_micros(u64::from(x) % 60_000_000);
                    wheel.schedule(at, n);
                    model.insert((at, n), n);
                }
            }
            wheel.len() == model.len()
                && core::iter::from_fn(|| wheel.pop(Instant::from_millis(1 << 40)))
                    .eq(model.into_iter().map(|((at, _), e)| (at, e)))
        }
    }

    #[test]
    fn entries_of_one_instant_keep_their_order_near_and_far() {
        let mut wheel = Wheel::default();
        let times = [100_000_000, 3, 100_000_000, 3];
        times.iter().enumerate().for_each(|(n, &at)| wheel.schedule(Instant::from_micros(at), n));
        let order: Vec<_> =
            core::iter::from_fn(|| wheel.pop(Instant::from_millis(200_000))).map(|e| e.1).collect();
        assert_eq!(order, [1, 3, 0, 2]);
    }
}
