//! Reading: Fetch and Stat (RFC 6940 §7.4.2, §7.4.3), and what is handed over to another peer.

use super::group::Group;
use super::store::{KindValues, Refusal, Storage};
use super::value::{Arrival, Found, Slot};
use crate::ids::ResourceId;
use crate::reload::codec::KindId;
use crate::reload::codec::body::{ArrayRange, Selection};
use crate::time::Instant;
use alloc::vec::Vec;

impl Storage {
    /// Answers a Fetch or Stat for one Kind (RFC 6940 §7.4.2): its generation counter, and the values unless `known` is
    /// that counter (FE-5; 0 never is).
    pub fn fetch(
        &mut self,
        now: Instant,
        resource: &ResourceId,
        kind: KindId,
        known: u64,
        selection: &Selection,
    ) -> Result<(u64, Vec<Found>), Refusal> {
        self.expire(now);
        let model = self.kinds.get(&kind).ok_or(Refusal::Invalid)?.model;
        let group = self.group(resource, kind);
        let generation = group.map_or(0, |g| g.generation);
        let found = |slot: Slot| {
            let entry = group.and_then(|g| g.entries.get(&slot));
            Found { slot, value: entry.map(|e| (e.value.clone(), remaining(now, e.until))) }
        };
        let slots: Vec<Slot> = match selection {
            _ if known != 0 && known == generation => Vec::new(),
            _ if selection.model() != model => return Err(Refusal::Invalid),
            Selection::Single => alloc::vec![Slot::Single],
            Selection::Array(ranges) if !ranges.is_empty() => {
                let indices = indices(ranges, group.and_then(Group::last_index))?.map(Slot::Index);
                indices.take(self.limits.answer.saturating_add(1)).collect()
            }
            Selection::Dictionary(keys) if !keys.is_empty() => keys.iter().cloned().map(Slot::Key).collect(),
            Selection::Array(_) | Selection::Dictionary(_) => {
                group.map_or_else(Vec::new, |g| g.entries.keys().cloned().collect())
            }
        };
        if slots.len() > self.limits.answer {
            return Err(Refusal::DataTooLarge);
        }
        Ok((generation, slots.into_iter().map(found).collect()))
    }

    /// Everything under one Resource-ID, as it is handed over to another peer: lifetimes are reduced by the time held
    /// (ST-6). The number that comes first is the version that it is.
    pub fn hand_over(&self, now: Instant, resource: &ResourceId) -> Option<(u64, Vec<KindValues>)> {
        let here = self.resources.get(resource)?;
        let groups = here.groups.iter().map(|(kind, group)| {
            let live = group.entries.iter().filter(|(_, e)| e.until > now);
            let values = live.map(|(slot, e)| Arrival {
                slot: slot.clone(),
                lifetime: remaining(now, e.until),
                value: e.value.clone(),
            });
            KindValues { kind: *kind, generation: group.generation, values: values.collect() }
        });
        Some((here.version, groups.collect()))
    }
}

/// The indices of these ranges, clipped to the last stored one (FE-2). There may be billions.
fn indices(ranges: &[ArrayRange], last: Option<u32>) -> Result<impl Iterator<Item = u32>, Refusal> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|r| r.first);
    let ordered = sorted.iter().all(|r| r.first <= r.last);
    let apart = sorted.windows(2).all(|w| matches!(w, [a, b] if a.last < b.first));
    if !ordered || !apart {
        return Err(Refusal::Invalid);
    }
    // "0xffffffff" alone means the last element, whatever its index is.
    let clipped = move |end: u32| {
        let first = move |first| if first == u32::MAX { end } else { first };
        ranges.iter().flat_map(move |r| first(r.first)..=r.last.min(end))
    };
    Ok(last.into_iter().flat_map(clipped))
}

/// Whole seconds left, at least one while it lives.
fn remaining(now: Instant, until: Instant) -> u32 {
    u32::try_from(until.since(now).as_secs()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::*;
    use super::*;
    use alloc::vec;
    use bytes::Bytes;

    #[test]
    fn dm2_dm5_an_array_is_sparse_and_a_fetch_fills_the_gaps() {
        let mut s = storage();
        put(&mut s, kind(ARRAY, 0, vec![arrival(Slot::Index(2), 600, value(A, 1, b"x"))])).unwrap();
        put(&mut s, kind(ARRAY, 0, vec![arrival(Slot::APPEND, 600, value(A, 1, b"y"))])).unwrap();
        let mut ask = |first, last| {
            let selection = Selection::Array(vec![ArrayRange { first, last }]);
            s.fetch(at(0), &home(), ARRAY, 0, &selection)
                .map(|(_, found)| found.into_iter().map(|f| (f.slot, f.value.is_some())).collect::<Vec<_>>())
        };
        let i = Slot::Index;
        assert_eq!(ask(0, 2), Ok(vec![(i(0), false), (i(1), false), (i(2), true)]));
        assert_eq!(
            ask(1, u32::MAX),
            Ok(vec![(i(1), false), (i(2), true), (i(3), true)]),
            "clipped to the end"
        );
        assert_eq!(ask(u32::MAX, u32::MAX), Ok(vec![(i(3), true)]), "the last element");
        assert_eq!(ask(3, 1), Err(Refusal::Invalid), "FE-2");
    }

    #[test]
    fn fe7_a_gap_of_billions_is_refused_and_not_filled() {
        let mut s = storage();
        put(&mut s, kind(ARRAY, 0, vec![arrival(Slot::Index(0xf000_0000), 600, value(A, 1, b"x"))])).unwrap();
        let ask = |s: &mut Storage, first| {
            let ranges = vec![ArrayRange { first, last: u32::MAX }];
            s.fetch(at(0), &home(), ARRAY, 0, &Selection::Array(ranges))
        };
        assert_eq!(ask(&mut s, 0), Err(Refusal::DataTooLarge));
        assert_eq!(ask(&mut s, 0xf000_0000).unwrap().1.len(), 1);
        let most = u32::try_from(LIMITS.answer).unwrap();
        let full = 0xf000_0001 - most;
        assert_eq!(ask(&mut s, full).unwrap().1.len(), LIMITS.answer);
        assert_eq!(ask(&mut s, full - 1), Err(Refusal::DataTooLarge), "one more than an answer holds");
    }

    #[test]
    fn fe3_fe5_no_keys_mean_all_and_a_known_generation_means_none() {
        let mut s = storage();
        put(&mut s, kind(KindId::CHANNEL, 0, vec![own(A, 1)])).unwrap();
        let all = Selection::Dictionary(vec![]);
        let mut count = |known| s.fetch(at(0), &home(), KindId::CHANNEL, known, &all).unwrap().1.len();
        assert_eq!((count(0), count(1), count(2)), (1, 0, 1));
        let absent = Selection::Dictionary(vec![Bytes::from_static(b"?")]);
        let (_, found) = s.fetch(at(0), &home(), KindId::CHANNEL, 0, &absent).unwrap();
        assert_eq!(found, [Found { slot: Slot::Key(Bytes::from_static(b"?")), value: None }]);
        assert!(found[0].to_wire().signature.is_none());
    }
}
