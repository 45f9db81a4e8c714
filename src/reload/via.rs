//! How the answer to a request that passed finds its way back (RFC 6940 §6.1.2, §6.1.3).
//!
//! ```text
//!   A ──▶ B ──▶ X ──▶ Z        Via List that Z sees      what X keeps                 what Z answers to
//!   Full                       A, B                      nothing                      X, B, A
//!   Compressed                 A, b                      which neighbour b is         X, b, A
//!   Kept                       x                         for this transaction B, A    X, x
//! ```
//!
//! Every node chooses for itself; the three may meet on one path. What X gets back it opens into B, A.
//!
//! Nobody gains by guessing an id. Of the compressed kind it leads to a node that anybody may name in a Destination List
//! anyway; of the kept kind it is valid in one transaction only, and only over the link that the request left by.

use super::codec::{Destination, Entries, Structure};
use super::timers::Timers;
use crate::bounded::BoundedMap;
use crate::env::Entropy;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::wire::Writer;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

const NODE: u8 = 1;
const OPAQUE: u8 = 3;
/// Bytes of the id of a kept list.
const KEPT_ID: usize = 4;

/// What becomes of the Via List of a request that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReturnPath {
    /// The previous hop's Node-ID is appended. Nothing is kept here.
    #[default]
    Full,
    /// The previous hop is appended as an id of 16 bits instead of 18 bytes (RFC 6940 §6.3.2.2). What is kept here is
    /// one number for each neighbour.
    Compressed,
    /// The list is replaced by one opaque id and kept here until the transaction can have no answer any more. Without
    /// room for it the list is appended to as with [`ReturnPath::Full`].
    Kept,
}

/// The entry that goes on behind a Via List, or instead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Whether it stands for the whole list.
    pub replaces: bool,
    /// The encoded entry.
    pub entry: heapless::Vec<u8, 18>,
}

impl Appended {
    fn new(replaces: bool, parts: &[&[u8]]) -> Self {
        let mut entry = heapless::Vec::new();
        // The longest entry here, a Node-ID, fits.
        parts.iter().for_each(|part| drop(entry.extend_from_slice(part)));
        Appended { replaces, entry }
    }
}

/// A request that passes.
#[derive(Clone, Debug)]
pub struct Passing<'a> {
    /// Its transaction.
    pub transaction_id: u64,
    /// Whom it came from, by the link and not by the list.
    pub previous_hop: NodeId,
    /// Whom it goes to.
    pub next_hop: NodeId,
    /// The Via List that it came with.
    pub via_list: Entries<'a>,
}

/// What is kept for answers.
#[derive(Clone, Debug)]
pub struct Ways {
    mode: ReturnPath,
    handles: Handles,
    kept: KeptPaths,
}

impl Ways {
    /// At most `neighbours` ids of neighbours and `transactions` lists, each of these for `lifetime`.
    pub const fn new(mode: ReturnPath, neighbours: usize, transactions: usize, lifetime: Duration) -> Self {
        Ways { mode, handles: Handles::new(neighbours), kept: KeptPaths::new(transactions, lifetime) }
    }

    /// Lists kept from now on last for `lifetime`.
    pub fn set_lifetime(&mut self, lifetime: Duration) {
        self.kept.lifetime = lifetime;
    }

    /// What a passing request's Via List gets, so that its answer can be brought back (RX-8). Ids of neighbours that are
    /// not `connected` any more may be given to others.
    pub fn append(
        &mut self,
        now: Instant,
        request: Passing<'_>,
        entropy: &mut dyn Entropy,
        connected: impl Fn(NodeId) -> bool,
    ) -> Appended {
        let previous_hop = request.previous_hop;
        let short = match self.mode {
            ReturnPath::Full => None,
            ReturnPath::Compressed => {
                let id = self.handles.give(previous_hop, entropy, connected);
                id.map(|id| Appended::new(false, &[&id.to_be_bytes()]))
            }
            ReturnPath::Kept => {
                let id = self.kept.keep(now, &request, entropy);
                id.map(|id| Appended::new(true, &[&[OPAQUE, 1 + KEPT_ID as u8, KEPT_ID as u8], &id]))
            }
        };
        short.unwrap_or_else(|| Appended::new(false, &[&[NODE, NodeId::LEN as u8], &previous_hop.0]))
    }

    /// The encoded entries that an opaque id of this node's stands for, in the order in which an answer goes (DL-8).
    /// `None` when it is nobody's any more (DL-6). `from` is whom the message with it came from.
    pub fn open(&mut self, now: Instant, id: &[u8], transaction_id: u64, from: NodeId) -> Option<Bytes> {
        match <[u8; 2]>::try_from(id) {
            Ok(id) => {
                let node = self.handles.node(u16::from_be_bytes(id))?;
                Destination::Node(node).encode().ok()
            }
            Err(_) => self.kept.find(now, transaction_id, from, id),
        }
    }

    /// Lists kept now.
    pub fn len(&self) -> usize {
        self.kept.paths.len()
    }

    /// Whether no list is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.paths.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.handles = Handles::new(self.handles.limit);
        self.kept.clear();
    }
}

/// Ids of neighbours: a bit that is always set, the number of a slot, how often the slot was used (DL-5).
///
/// ```text
/// 1 ssssssssssss ggg
/// ```
#[derive(Clone, Debug)]
struct Handles {
    slots: Vec<Slot>,
    by_node: BTreeMap<NodeId, u16>,
    /// The slot whose turn it is.
    next: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    node: NodeId,
    generation: u16,
}

impl Handles {
    /// Slots that twelve bits can number.
    const MOST: usize = 1 << 12;

    const fn new(limit: usize) -> Self {
        let limit = if limit < Self::MOST { limit } else { Self::MOST };
        Handles { slots: Vec::new(), by_node: BTreeMap::new(), next: 0, limit }
    }

    /// The id of a neighbour. A new one gets the slot whose turn it is, so that the slots of those who went are left
    /// alone for as long as possible; `None` when every slot belongs to somebody connected.
    fn give(
        &mut self,
        node: NodeId,
        entropy: &mut dyn Entropy,
        connected: impl Fn(NodeId) -> bool,
    ) -> Option<u16> {
        let slot = match self.by_node.get(&node) {
            Some(slot) => *slot,
            None => {
                let slot = self.free(entropy, connected)?;
                let place = self.slots.get_mut(usize::from(slot))?;
                place.generation = (place.generation + 1) & 7;
                self.by_node.remove(&core::mem::replace(&mut place.node, node));
                self.by_node.insert(node, slot);
                slot
            }
        };
        self.slots.get(usize::from(slot)).map(|s| 0x8000 | slot << 3 | s.generation)
    }

    fn free(&mut self, entropy: &mut dyn Entropy, connected: impl Fn(NodeId) -> bool) -> Option<u16> {
        if self.slots.len() < self.limit {
            // Where the generations begin is nobody's business.
            self.slots.push(Slot { node: NodeId::WILDCARD, generation: entropy.below(8) as u16 });
            return u16::try_from(self.slots.len() - 1).ok();
        }
        let n = self.slots.len();
        let turn = (self.next..n).chain(0..self.next.min(n));
        let free = turn.into_iter().find(|&i| self.slots.get(i).is_some_and(|s| !connected(s.node)))?;
        self.next = free + 1;
        u16::try_from(free).ok()
    }

    /// Whose id this is, unless its slot has been used again since.
    fn node(&self, id: u16) -> Option<NodeId> {
        let slot = self.slots.get(usize::from(id >> 3 & 0xfff))?;
        (slot.generation == id & 7).then_some(slot.node)
    }
}

/// Via Lists that were replaced by an id.
#[derive(Clone, Debug)]
struct KeptPaths {
    /// By transaction and next hop: whoever can make answers up must at least be asked.
    paths: BoundedMap<(u64, NodeId), KeptPath>,
    timers: Timers<(u64, NodeId)>,
    lifetime: Duration,
}

#[derive(Clone, Debug)]
struct KeptPath {
    id: [u8; KEPT_ID],
    /// The previous hop and the Via List backwards, encoded.
    list: Bytes,
}

impl KeptPaths {
    const fn new(limit: usize, lifetime: Duration) -> Self {
        KeptPaths { paths: BoundedMap::new(limit), timers: Timers::new(), lifetime }
    }

    /// Keeps the way back of a request. Copies and fragments that came the same way have the same id; one that came
    /// another way has another one, and the answers to the earlier are lost.
    fn keep(
        &mut self,
        now: Instant,
        request: &Passing<'_>,
        entropy: &mut dyn Entropy,
    ) -> Option<[u8; KEPT_ID]> {
        self.expire(now);
        let key = (request.transaction_id, request.next_hop);
        let mut vias: Vec<Destination> = request.via_list.clone().collect();
        vias.push(Destination::Node(request.previous_hop));
        let mut w = Writer::with_capacity(18 * vias.len());
        vias.iter().rev().for_each(|via| via.write(&mut w));
        let list = w.finish().ok()?;
        let known = self.paths.get(&key).filter(|path| path.list == list).map(|path| path.id);
        let id = known.unwrap_or_else(|| (entropy.next_u64() as u32).to_be_bytes());
        self.paths.insert(key, KeptPath { id, list }).ok()?;
        self.timers.set(key, Some(now + self.lifetime));
        Some(id)
    }

    fn find(&mut self, now: Instant, transaction_id: u64, from: NodeId, id: &[u8]) -> Option<Bytes> {
        self.expire(now);
        self.paths.get(&(transaction_id, from)).filter(|path| path.id == id).map(|path| path.list.clone())
    }

    /// What is too old goes whenever somebody looks; it needs no timer of its own, for there is a limit.
    fn expire(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            self.paths.remove(&key);
        }
    }

    fn clear(&mut self) {
        self.paths.clear();
        self.timers = Timers::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;
    use alloc::vec;

    const A: NodeId = NodeId([0xa; 16]);
    const B: NodeId = NodeId([0xb; 16]);
    const C: NodeId = NodeId([0xc; 16]);
    const NEXT: NodeId = NodeId([0xe; 16]);
    const LIFETIME: Duration = Duration::from_secs(15);

    fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    fn node(n: u8) -> NodeId {
        NodeId([n; 16])
    }

    fn encode(list: &[Destination]) -> Bytes {
        let mut w = Writer::new();
        list.iter().for_each(|d| d.write(&mut w));
        w.finish().unwrap()
    }

    /// A request from C with the Via List [A, B] passes towards NEXT.
    fn pass(ways: &mut Ways, now: Instant, transaction_id: u64, previous_hop: NodeId) -> Appended {
        let list = encode(&[A.into(), B.into()]);
        let via_list = Entries::new(&list);
        let request = Passing { transaction_id, previous_hop, next_hop: NEXT, via_list };
        ways.append(now, request, &mut Seeded::new(now.as_millis() << 8 | transaction_id), |_| true)
    }

    fn entry(appended: &Appended) -> Destination {
        Destination::decode(&Bytes::copy_from_slice(&appended.entry)).unwrap()
    }

    fn opened(list: Option<Bytes>) -> Vec<Destination> {
        Entries::new(&list.unwrap_or_default()).collect()
    }

    #[test]
    fn rx8_the_three_ways_of_bringing_an_answer_back() {
        let ways = |mode| Ways::new(mode, 8, 8, LIFETIME);
        let full = pass(&mut ways(ReturnPath::Full), ms(0), 7, C);
        assert_eq!((full.replaces, entry(&full)), (false, C.into()));

        let mut compressing = ways(ReturnPath::Compressed);
        let short = pass(&mut compressing, ms(0), 7, C);
        assert_eq!((short.replaces, short.entry.len()), (false, 2));
        let id = entry(&short).opaque_id().unwrap();
        assert_eq!(opened(compressing.open(ms(0), &id, 99, NEXT)), [C.into()], "the others stand behind it");

        let mut keeping = ways(ReturnPath::Kept);
        let kept = pass(&mut keeping, ms(0), 7, C);
        assert!(kept.replaces);
        let id = entry(&kept).opaque_id().unwrap();
        assert_eq!(opened(keeping.open(ms(0), &id, 7, NEXT)), [C.into(), B.into(), A.into()], "DL-8");
    }

    #[test]
    fn rx9_a_kept_list_lasts_for_the_lifetime_of_a_request_and_not_longer() {
        let mut ways = Ways::new(ReturnPath::Kept, 8, 8, LIFETIME);
        let id = entry(&pass(&mut ways, ms(0), 7, C)).opaque_id().unwrap();
        for at in [2_900, 14_999] {
            assert_eq!(opened(ways.open(ms(at), &id, 7, NEXT)).len(), 3);
        }
        assert_eq!(ways.open(ms(15_000), &id, 7, NEXT), None);
        assert!(ways.is_empty());
    }

    #[test]
    fn rx9_a_retransmission_prolongs_and_another_path_has_another_id() {
        let mut ways = Ways::new(ReturnPath::Kept, 8, 8, LIFETIME);
        let first = pass(&mut ways, ms(0), 7, C);
        assert_eq!(pass(&mut ways, ms(3000), 7, C), first, "the same bytes");
        let id = entry(&first).opaque_id().unwrap();
        assert_eq!(opened(ways.open(ms(17_000), &id, 7, NEXT)).len(), 3);
        let elsewhere = entry(&pass(&mut ways, ms(17_000), 7, B)).opaque_id().unwrap();
        assert_eq!(ways.open(ms(17_000), &id, 7, NEXT), None, "DL-6");
        assert_eq!(opened(ways.open(ms(17_000), &elsewhere, 7, NEXT)), [B.into(), B.into(), A.into()]);
    }

    #[test]
    fn rx9_a_kept_id_is_good_in_its_transaction_and_over_its_link_only() {
        let mut ways = Ways::new(ReturnPath::Kept, 8, 8, LIFETIME);
        let id = entry(&pass(&mut ways, ms(0), 7, C)).opaque_id().unwrap();
        assert_eq!(ways.open(ms(0), &id, 8, NEXT), None);
        assert_eq!(ways.open(ms(0), &id, 7, A), None);
        assert_eq!(ways.open(ms(0), &[], 7, NEXT), None);
        assert_eq!(ways.open(ms(0), &[0; 40], 7, NEXT), None);
    }

    #[test]
    fn k8_rx9_without_room_a_list_goes_on_in_full() {
        let mut ways = Ways::new(ReturnPath::Kept, 8, 2, LIFETIME);
        assert!(pass(&mut ways, ms(0), 1, C).replaces);
        assert!(pass(&mut ways, ms(0), 2, C).replaces);
        let third = pass(&mut ways, ms(0), 3, C);
        assert_eq!((third.replaces, entry(&third), ways.len()), (false, C.into(), 2));
        assert!(pass(&mut ways, ms(15_000), 4, C).replaces, "the old ones are gone");
    }

    #[test]
    fn dl5_an_id_is_a_bit_twelve_of_the_slot_and_three_of_its_generation() {
        let mut handles = Handles::new(4096);
        let mut entropy = Seeded::new(1);
        let mut generations = vec![0; 8];
        for n in 0..100u128 {
            let id = handles.give(NodeId::from_u128(n), &mut entropy, |_| true).unwrap();
            assert_eq!((id >> 15, id >> 3 & 0xfff), (1, n as u16));
            generations[usize::from(id & 7)] += 1;
            assert_eq!(handles.node(id), Some(NodeId::from_u128(n)));
            assert_eq!(handles.give(NodeId::from_u128(n), &mut entropy, |_| true), Some(id), "once each");
        }
        assert!(generations.iter().all(|&n| n > 0), "they begin anywhere: {generations:?}");
    }

    #[test]
    fn dl5_slots_are_used_in_rotation_and_those_in_use_not_at_all() {
        let mut handles = Handles::new(4);
        let mut entropy = Seeded::new(1);
        let slot = |id: Option<u16>| id.map(|id| id >> 3 & 0xfff);
        let connected = |n: NodeId| n == node(1);
        let mut given = Vec::new();
        for n in 0..10 {
            given.push(slot(handles.give(node(n), &mut entropy, connected)));
        }
        assert_eq!(given, [0, 1, 2, 3, 0, 2, 3, 0, 2, 3].map(Some));
        assert_eq!(handles.give(node(99), &mut entropy, |_| true), None, "all in use");
        assert_eq!(handles.by_node.len(), 4);
    }

    #[test]
    fn dl6_the_id_of_a_slot_that_was_used_again_leads_nowhere() {
        let mut ways = Ways::new(ReturnPath::Compressed, 1, 0, LIFETIME);
        let mut give = |previous_hop| {
            let list = Bytes::new();
            let request =
                Passing { transaction_id: 1, previous_hop, next_hop: NEXT, via_list: Entries::new(&list) };
            let appended = ways.append(ms(0), request, &mut Seeded::new(1), |_| false);
            entry(&appended).opaque_id().unwrap()
        };
        let (old, new) = (give(A), give(B));
        assert_ne!(old, new);
        assert_eq!(ways.open(ms(0), &old, 1, NEXT), None);
        assert_eq!(opened(ways.open(ms(0), &new, 1, NEXT)), [B.into()]);
    }

    #[test]
    fn dl6_ids_that_were_never_given_lead_nowhere() {
        let mut ways = Ways::new(ReturnPath::Full, 8, 8, LIFETIME);
        assert!((0..=u16::MAX).all(|id| ways.open(ms(0), &id.to_be_bytes(), 1, NEXT).is_none()));
    }
}
