//! What happens next: a priority queue in virtual time whose entries can be cancelled.

use crate::time::Instant;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Names one entry of a [`Queue`], so that it can be cancelled. It outlives the entry harmlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    generation: u64,
}

/// Entries in the order of their times; those of one instant in the order in which they were scheduled.
///
/// The heap holds 24 bytes an entry; what shall happen lies beside it and is taken out at once when it is cancelled.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    slots: Vec<(u64, Option<E>)>,
    free: Vec<u32>,
    scheduled: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }
}

impl<E> Queue<E> {
    /// Nothing will happen.
    pub fn new() -> Self {
        Self::default()
    }

    /// `event` shall happen at `at`.
    pub fn schedule(&mut self, at: Instant, event: E) -> Ticket {
        let generation = self.scheduled;
        self.scheduled += 1;
        let entry = (generation, Some(event));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                (self.slots.len() - 1) as u32
            }
        };
        self.heap.push(Reverse((at, generation, slot)));
        Ticket { slot, generation }
    }

    /// Takes an entry out again, unless it has happened already.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<E> {
        let (generation, event) = self.slots.get_mut(ticket.slot as usize)?;
        // The slot is given back when its place in the heap comes up.
        if *generation == ticket.generation { event.take() } else { None }
    }

    /// When the next thing happens.
    pub fn next_time(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, _, slot))) = self.heap.peek() {
            if self.slots[slot as usize].1.is_some() {
                return Some(at);
            }
            self.heap.pop();
            self.free.push(slot);
        }
        None
    }

    /// The next thing that happens, and when.
    pub fn pop(&mut self) -> Option<(Instant, E)> {
        self.next_time()?;
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let event = self.slots[slot as usize].1.take()?;
        self.free.push(slot);
        Some((at, event))
    }

    /// Entries that are still to happen, and cancelled ones whose time has not come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use quickcheck::quickcheck;

    const fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    #[test]
    fn entries_of_one_instant_keep_their_order() {
        let mut q = Queue::new();
        for (at, e) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            q.schedule(ms(at), e);
        }
        let order: Vec<char> = core::iter::from_fn(|| q.pop()).map(|(_, e)| e).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }

    #[test]
    fn an_old_ticket_does_not_cancel_the_next_tenant_of_its_slot() {
        let mut q = Queue::new();
        let old = q.schedule(ms(1), 'a');
        assert_eq!(q.pop(), Some((ms(1), 'a')));
        q.schedule(ms(2), 'b');
        assert_eq!(q.cancel(old), None);
        assert_eq!(q.pop(), Some((ms(2), 'b')));
    }

    quickcheck! {
        fn agrees_with_a_sorted_map(ops: Vec<(u8, bool)>) -> bool {
            let (mut q, mut model) = (Queue::new(), BTreeMap::new());
            let mut tickets = Vec::new();
            for (n, (x, cancels)) in ops.into_iter().enumerate() {
                if cancels && !tickets.is_empty() {
                    let (key, ticket) = tickets[usize::from(x) % tickets.len()];
                    if q.cancel(ticket) != model.remove(&key) {
                        return false;
                    }
                } else if x % 3 == 0 {
                    if q.pop() != model.pop_first().map(|((at, _), e)| (at, e)) {
                        return false;
                    }
                } else {
                    let key = (ms(u64::from(x)), n);
                    tickets.push((key, q.schedule(key.0, n)));
                    model.insert(key, n);
                }
            }
            core::iter::from_fn(|| q.pop()).eq(model.into_iter().map(|((at, _), e)| (at, e)))
        }
    }
}
