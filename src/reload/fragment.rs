//! Fragmentation and reassembly (RFC 6940 §6.7).
//!
//! ```text
//!   header │ payload                          cut for a link whose datagrams are small,
//!   header │ first  ┊ header │ second ┊ ...   by the originator or by anybody in transit, again where it must be;
//!   header │ payload                          put together by the destination alone
//! ```

use super::codec::{Fragment, HeaderView};
use super::timers::Timers;
use crate::bounded::BoundedMap;
use crate::ids::NodeId;
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;
use core::time::Duration;

/// What a fragment leaves free below the path MTU, so that the Via List can grow before anybody must cut again.
pub const RESERVE: usize = 32;

/// The least payload that a fragment carries; a message that cannot be cut into such is left to IP fragmentation.
pub const MIN_PAYLOAD: usize = 256;

/// Parts of one message with gaps between them. More are not worth waiting for: fragments of [`MIN_PAYLOAD`] come in
/// order, or nearly.
const MAX_PARTS: usize = 32;

/// A message as it goes over a link, whole or in pieces.
#[derive(Clone, Debug)]
pub struct Pieces {
    message: Option<Bytes>,
    cut: Option<(HeaderView, Range<usize>)>,
    count: usize,
}

/// Cuts a message, or a fragment, for a link over which datagrams of `path_mtu` bytes go unbroken. The pieces have one
/// size, give or take a byte (FG-3).
pub fn cut(message: Bytes, path_mtu: usize) -> Pieces {
    let largest = path_mtu.saturating_sub(RESERVE);
    let whole = |message| Pieces { message: Some(message), cut: None, count: 0 };
    if message.len() <= largest {
        return whole(message);
    }
    let Ok(view) = HeaderView::read(&message) else { return whole(message) };
    let payload = message.len() - view.header_length();
    let room = largest.saturating_sub(view.header_length());
    let end = u32::try_from(payload).ok().and_then(|n| n.checked_add(view.fragment.offset));
    if room < MIN_PAYLOAD || end.is_none_or(|end| end > Fragment::MAX_OFFSET) {
        return whole(message);
    }
    let count = payload.div_ceil(room);
    if payload / count < MIN_PAYLOAD {
        return whole(message);
    }
    Pieces { message: None, cut: Some((view, 0..payload)), count }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(whole) = self.message.take() {
            return Some(whole);
        }
        let (view, left) = self.cut.as_mut().filter(|(_, left)| !left.is_empty())?;
        let to = left.start + left.len().div_ceil(self.count.max(1));
        let piece = view.piece(left.start, to).ok()?;
        left.start = to;
        self.count = self.count.saturating_sub(1);
        Some(piece)
    }
}

/// Which message a fragment belongs to. A request and its response have the same transaction id; only whoever waits for
/// the response can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The transaction.
    pub transaction_id: u64,
    /// Whether this node waits for the response to a request of its own with this transaction id.
    pub is_response: bool,
}

/// How much of incomplete messages is held.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages in all. Full: of the link with the most the oldest goes.
    pub messages: usize,
    /// Messages from one link. Full: its oldest goes.
    pub of_one_link: usize,
    /// Bytes of one message.
    pub message_size: usize,
    /// How long an incomplete message waits (FG-5).
    pub patience: Duration,
}

/// A message that is not complete yet.
#[derive(Clone, Debug)]
struct Parts {
    /// The link over which its first fragment came.
    from: NodeId,
    since: Instant,
    bytes: Vec<u8>,
    /// What is there: in order, with gaps between.
    have: Vec<Range<usize>>,
    end: Option<usize>,
}

/// The holding buffer of the destination.
#[derive(Clone, Debug)]
pub struct Reassembly {
    sets: BoundedMap<Key, Parts>,
    timers: Timers<Key>,
    limits: Limits,
}

impl Reassembly {
    /// An empty buffer.
    pub const fn new(limits: Limits) -> Self {
        Reassembly { sets: BoundedMap::new(limits.messages), timers: Timers::new(), limits }
    }

    /// From now on messages may be so large, and incomplete ones wait so long.
    pub fn reconfigure(&mut self, message_size: usize, patience: Duration) {
        self.limits = Limits { message_size, patience, ..self.limits };
    }

    /// A fragment came over the link from `from`. The payload when it was the last that was missing. Bytes that
    /// contradict those that are there drop the whole message: somebody forges, and the originator sends it again
    /// (FG-8).
    pub fn on_fragment(
        &mut self,
        now: Instant,
        from: NodeId,
        key: Key,
        fragment: Fragment,
        payload: &[u8],
    ) -> Result<Option<Bytes>, DropReason> {
        self.expire(now);
        let start = fragment.offset as usize;
        let range = start..start + payload.len();
        if range.is_empty() || range.end > self.limits.message_size {
            return Err(DropReason::BadFragment);
        }
        if !self.sets.contains_key(&key) {
            self.make_room(from);
            let parts = Parts { from, since: now, bytes: Vec::new(), have: Vec::new(), end: None };
            self.sets.insert(key, parts).map_err(|_| DropReason::BadFragment)?;
            self.timers.set(key, Some(now + self.limits.patience));
        }
        let sound = self.sets.get_mut(&key).is_some_and(|set| set.add(range, fragment.last, payload));
        let complete = self.sets.get(&key).is_some_and(Parts::is_complete);
        if sound && !complete {
            return Ok(None);
        }
        let set = self.remove(key).filter(|_| sound);
        set.map(|set| Some(set.bytes.into())).ok_or(DropReason::BadFragment)
    }

    /// Forgets what has waited too long.
    pub fn expire(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            self.sets.remove(&key);
        }
    }

    /// When the next incomplete message has waited too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Incomplete messages now.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sets.clear();
        self.timers = Timers::new();
    }

    fn remove(&mut self, key: Key) -> Option<Parts> {
        self.timers.clear(&key);
        self.sets.remove(&key)
    }

    /// At a limit the oldest message goes of the link that holds the most, or of the one that wants more (FG-6).
    fn make_room(&mut self, newcomer: NodeId) {
        let held = |of: NodeId| self.sets.values().filter(|set| set.from == of).count();
        let loser = if held(newcomer) >= self.limits.of_one_link {
            newcomer
        } else if self.sets.is_full() {
            let greediest = self.sets.values().map(|set| set.from).max_by_key(|&of| (held(of), of));
            greediest.unwrap_or(newcomer)
        } else {
            return;
        };
        let its = self.sets.iter().filter(|(_, set)| set.from == loser);
        let oldest = its.min_by_key(|(_, set)| set.since).map(|(key, _)| *key);
        oldest.and_then(|key| self.remove(key));
    }
}

impl Parts {
    /// Adds bytes; `false` when they contradict what is there, or would make too many gaps.
    fn add(&mut self, range: Range<usize>, last: bool, payload: &[u8]) -> bool {
        let reaches = self.have.last().map_or(0, |part| part.end);
        let end = self.end.or(last.then_some(range.end));
        let ends_elsewhere = last && end != Some(range.end);
        if ends_elsewhere || end.is_some_and(|end| range.end > end || reaches > end) {
            return false;
        }
        self.end = end;
        let contradicts = self.have.iter().any(|part| {
            let common = part.start.max(range.start)..part.end.min(range.end);
            let there = self.bytes.get(common.clone());
            let here =
                payload.get(common.start.wrapping_sub(range.start)..common.end.wrapping_sub(range.start));
            !common.is_empty() && there != here
        });
        if contradicts {
            return false;
        }
        if self.bytes.len() < range.end {
            self.bytes.resize(range.end, 0);
        }
        if let Some(place) = self.bytes.get_mut(range.clone()) {
            place.copy_from_slice(payload);
        }
        self.merge(range);
        self.have.len() <= MAX_PARTS
    }

    /// Joins a range with those that it touches.
    fn merge(&mut self, range: Range<usize>) {
        let (touching, mut apart): (Vec<_>, Vec<_>) =
            self.have.drain(..).partition(|part| part.start <= range.end && range.start <= part.end);
        let start = touching.iter().map(|part| part.start).fold(range.start, usize::min);
        let end = touching.iter().map(|part| part.end).fold(range.end, usize::max);
        apart.push(start..end);
        apart.sort_unstable_by_key(|part| part.start);
        self.have = apart;
    }

    fn is_complete(&self) -> bool {
        self.have.first().is_some_and(|part| part.start == 0 && self.end == Some(part.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::codec::{Destination, ForwardingHeader, ForwardingOption, OptionType};
    use alloc::collections::BTreeSet;
    use alloc::vec;

    const SOMEBODY: NodeId = NodeId([1; 16]);
    const KEY: Key = Key { transaction_id: 7, is_response: false };
    const LIMITS: Limits =
        Limits { messages: 4, of_one_link: 2, message_size: 5000, patience: Duration::from_secs(15) };

    fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    fn key(transaction_id: u64) -> Key {
        Key { transaction_id, is_response: false }
    }

    /// A payload in which no two places are alike.
    fn payload(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    /// A message with one node in each list, one option, and a payload of `n` bytes.
    fn message(n: usize) -> Bytes {
        let node = Destination::Node(SOMEBODY);
        let option = ForwardingOption { option_type: OptionType(99), flags: 0, value: vec![7; 5].into() };
        let header = ForwardingHeader {
            via_list: vec![node.clone()],
            options: vec![option],
            ..ForwardingHeader::new(1, 7, vec![node])
        };
        header.encode(&payload(n)).unwrap()
    }

    fn pieces(n: usize, path_mtu: usize) -> Vec<(ForwardingHeader, Bytes)> {
        cut(message(n), path_mtu).map(|piece| ForwardingHeader::decode(&piece).unwrap()).collect()
    }

    /// Hands in pieces in this order; the payload where one completes the message.
    fn put_together(order: &[&(ForwardingHeader, Bytes)]) -> Vec<Result<Option<Bytes>, DropReason>> {
        let mut buffer = Reassembly::new(LIMITS);
        let each = order
            .iter()
            .map(|(header, payload)| buffer.on_fragment(ms(0), SOMEBODY, KEY, header.fragment, payload));
        each.collect()
    }

    #[test]
    fn fg2_fg3_fg4_fragments_have_the_whole_header_one_size_and_their_own_length() {
        let pieces = pieces(3000, 1000);
        let (whole, _) = ForwardingHeader::decode(&message(3000)).unwrap();
        let sizes: Vec<usize> = pieces.iter().map(|(_, payload)| payload.len()).collect();
        // 1000 − 32 − 38 − 18 − 18 − 9 bytes are left for the payload.
        assert_eq!(sizes, [750, 750, 750, 750], "four pieces of at most 885 bytes");
        for (n, (header, payload)) in pieces.iter().enumerate() {
            let fragment = Fragment { last: n == 3, offset: 750 * n as u32 };
            assert_eq!(*header, ForwardingHeader { fragment, ..whole.clone() });
            assert!(header.encode(payload).unwrap().len() <= 1000 - RESERVE);
        }
        let sizes: BTreeSet<usize> = self::pieces(3002, 1000).iter().map(|(_, p)| p.len()).collect();
        assert_eq!(sizes, [750, 751].into(), "give or take a byte");
    }

    #[test]
    fn fg2_what_cannot_be_cut_into_256_bytes_each_is_left_to_ip() {
        assert_eq!(pieces(3072, 83 + 256 + RESERVE).len(), 12);
        assert_eq!(pieces(3072, 83 + 255 + RESERVE).len(), 1, "no room for 256 bytes");
        assert_eq!(pieces(600, 83 + 200 + RESERVE).len(), 1);
        assert_eq!(pieces(400, 83 + 300 + RESERVE).len(), 1, "room, but two halves of 200 bytes");
        assert_eq!(pieces(512, 83 + 300 + RESERVE).len(), 2);
    }

    #[test]
    fn what_fits_is_sent_as_it_is() {
        let message = message(917);
        let mut whole = cut(message.clone(), message.len() + RESERVE);
        assert_eq!((whole.next().as_ref(), whole.next()), (Some(&message), None));
        assert_eq!(cut(message.clone(), message.len() + RESERVE - 1).count(), 2);
    }

    #[test]
    fn fg1_fg4_a_fragment_is_cut_again_and_the_offsets_add_up() {
        let twice: Vec<(ForwardingHeader, Bytes)> = cut(message(3000), 1000)
            .flat_map(|piece| cut(piece, 500))
            .map(|piece| ForwardingHeader::decode(&piece).unwrap())
            .collect();
        let fragments: Vec<(u32, bool)> =
            twice.iter().map(|(h, _)| (h.fragment.offset, h.fragment.last)).collect();
        let offsets: Vec<u32> = (0..8).map(|n| 375 * n).collect();
        assert_eq!(fragments, offsets.into_iter().map(|at| (at, at == 2625)).collect::<Vec<_>>());
        let results = put_together(&twice.iter().collect::<Vec<_>>());
        assert_eq!(results.last(), Some(&Ok(Some(payload(3000).into()))));
    }

    #[test]
    fn fg4_an_offset_that_does_not_fit_is_not_cut_further() {
        let fragment = Fragment { last: true, offset: Fragment::MAX_OFFSET - 100 };
        let header = ForwardingHeader { fragment, ..ForwardingHeader::new(1, 7, vec![]) };
        let message = header.encode(&payload(3000)).unwrap();
        assert_eq!(cut(message.clone(), 1000).collect::<Vec<_>>(), [message]);
    }

    #[test]
    fn fg8_fragments_in_any_order_and_more_than_once_make_one_message() {
        let p = pieces(1500, 600);
        assert_eq!(p.len(), 4);
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
        for order in orders {
            // Each comes twice before the next.
            let given: Vec<_> =
                order[..3].iter().flat_map(|&n| [&p[n], &p[n]]).chain([&p[order[3]]]).collect();
            let (last, before) =
                put_together(&given).split_last().map(|(l, b)| (l.clone(), b.to_vec())).unwrap();
            assert_eq!(last, Ok(Some(payload(1500).into())), "{order:?}");
            assert!(before.iter().all(|r| *r == Ok(None)), "{order:?}");
        }
    }

    #[test]
    fn fg8_two_fragmentations_of_one_message_fit_together() {
        let (large, small) = (pieces(1500, 700), pieces(1500, 500));
        assert_eq!((large.len(), small.len()), (3, 4));
        let results = put_together(&[&large[0], &small[3], &small[1], &large[1], &small[2]]);
        assert_eq!(results[3], Ok(None), "bytes 1000 to 1125 are missing");
        assert_eq!(results[4], Ok(Some(payload(1500).into())));
    }

    #[test]
    fn fg8_contradictions_drop_the_whole_message() {
        let p = pieces(1500, 600);
        let forged = (p[1].0.clone(), Bytes::from(vec![0; 375]));
        let results = put_together(&[&p[0], &p[1], &forged, &p[2], &p[3]]);
        assert_eq!(results[2], Err(DropReason::BadFragment));
        assert_eq!(results[4], Ok(None), "the first half was thrown away");
        let ends_early = |n: usize| {
            let fragment = Fragment { last: true, ..p[n].0.fragment };
            (ForwardingHeader { fragment, ..p[n].0.clone() }, p[n].1.clone())
        };
        assert_eq!(
            put_together(&[&p[2], &ends_early(1)])[1],
            Err(DropReason::BadFragment),
            "an end before others"
        );
        assert_eq!(put_together(&[&p[3], &ends_early(2)])[1], Err(DropReason::BadFragment), "a second end");
        let beyond = pieces(2000, 600);
        assert_eq!(
            put_together(&[&p[3], &beyond[4]])[1],
            Err(DropReason::BadFragment),
            "bytes behind the end"
        );
    }

    #[test]
    fn fg8_no_message_becomes_larger_than_allowed_and_no_offset_reserves_memory() {
        let mut buffer = Reassembly::new(LIMITS);
        let at = |offset| Fragment { last: true, offset };
        let mut add = |offset, n: usize| buffer.on_fragment(ms(0), SOMEBODY, KEY, at(offset), &payload(n));
        assert_eq!(add(Fragment::MAX_OFFSET, 1), Err(DropReason::BadFragment));
        assert_eq!(add(4999, 2), Err(DropReason::BadFragment));
        assert_eq!(add(300, 0), Err(DropReason::BadFragment), "nothing");
        assert_eq!(add(4999, 1), Ok(None));
        assert_eq!(buffer.len(), 1);
    }

    #[test]
    fn fg8_crumbs_with_gaps_between_are_not_collected() {
        let mut buffer = Reassembly::new(LIMITS);
        let mut add = |n: u32| {
            let fragment = Fragment { last: false, offset: 2 * n };
            buffer.on_fragment(ms(0), SOMEBODY, KEY, fragment, &[1])
        };
        assert!((0..MAX_PARTS as u32).all(|n| add(n) == Ok(None)));
        assert_eq!(add(MAX_PARTS as u32), Err(DropReason::BadFragment));
        assert!(buffer.is_empty());
    }

    #[test]
    fn fg5_what_is_incomplete_after_15_s_is_dropped() {
        let p = pieces(1500, 600);
        let mut buffer = Reassembly::new(LIMITS);
        let mut add = |at, n: usize| buffer.on_fragment(ms(at), SOMEBODY, KEY, p[n].0.fragment, &p[n].1);
        add(0, 0).unwrap();
        add(9000, 1).unwrap();
        add(14_999, 2).unwrap();
        assert_eq!(buffer.deadline(), Some(ms(15_000)), "from the first fragment on");
        buffer.expire(ms(14_999));
        assert_eq!(buffer.len(), 1);
        buffer.expire(ms(15_000));
        assert_eq!((buffer.len(), buffer.deadline()), (0, None));
        assert_eq!(buffer.on_fragment(ms(15_000), SOMEBODY, KEY, p[3].0.fragment, &p[3].1), Ok(None));
    }

    #[test]
    fn fg6_a_link_that_sends_too_many_beginnings_loses_its_own() {
        let mut buffer = Reassembly::new(LIMITS);
        let (other, third) = (NodeId([2; 16]), NodeId([3; 16]));
        let begin = |buffer: &mut Reassembly, at, from, id| {
            let first = Fragment { last: false, offset: 0 };
            assert_eq!(buffer.on_fragment(ms(at), from, key(id), first, &[1; 256]), Ok(None));
        };
        let held = |buffer: &Reassembly| buffer.sets.keys().map(|k| k.transaction_id).collect::<Vec<_>>();
        begin(&mut buffer, 0, other, 1);
        for id in 10..20 {
            begin(&mut buffer, id, SOMEBODY, id);
        }
        assert_eq!(held(&buffer), [1, 18, 19], "two of one link");
        begin(&mut buffer, 30, third, 30);
        begin(&mut buffer, 31, third, 31);
        assert_eq!(held(&buffer), [1, 19, 30, 31], "full: of the link with most of them the oldest goes");
    }

    #[test]
    fn a_request_and_its_response_are_not_mixed() {
        let mut buffer = Reassembly::new(LIMITS);
        let response = Key { is_response: true, ..KEY };
        let (first, last) = (Fragment { last: false, offset: 0 }, Fragment { last: true, offset: 256 });
        assert_eq!(buffer.on_fragment(ms(0), SOMEBODY, KEY, first, &[1; 256]), Ok(None));
        assert_eq!(buffer.on_fragment(ms(0), SOMEBODY, response, last, &[2; 256]), Ok(None));
    }
}
