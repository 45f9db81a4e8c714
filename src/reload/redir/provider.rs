//! A provider of a service: its registration, kept fresh and taken back (RFC 7374 §4.3, §4.4, §4.6).

use super::registration::Registration;
use super::tree::{Tree, TreeNode};
use super::{Config, START};
use crate::env::Entropy;
use crate::ids::NodeId;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a provider wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Fetch this tree node; [`Provider::on_fetched`] takes the answer.
    Fetch(TreeNode),
    /// Store the record there, for [`Config::lifetime`]; [`Provider::on_stored`] takes the answer.
    Store(TreeNode),
    /// Take it back there.
    Remove(TreeNode),
}

/// One provider in one namespace.
///
/// What the record says is the caller's: [`Provider::changed`] stores it anew where it stands already, without a walk.
#[derive(Clone, Debug)]
pub struct Provider {
    tree: Tree,
    me: NodeId,
    config: Config,
    walk: Option<Registration>,
    /// Where the next walk starts.
    start: u16,
    /// Where the record may stand: one tree node in each level.
    places: BTreeMap<u16, Place>,
    /// Whether a Store was answered well since the last walk began.
    stands: bool,
    next: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: TreeNode,
    /// When it has expired there.
    until: Instant,
    /// Whether it was ever stored there.
    stored: bool,
}

impl Provider {
    /// A provider that is not registered yet; its first walk is due at once.
    pub fn new(tree: Tree, me: NodeId, config: Config, now: Instant) -> Self {
        let config = config.sane();
        Provider {
            tree,
            me,
            config,
            walk: None,
            start: START,
            places: BTreeMap::new(),
            stands: false,
            next: now,
        }
    }

    /// The shape of the tree that it stands in.
    pub const fn tree(&self) -> Tree {
        self.tree
    }

    /// When [`Provider::handle_timeout`] has to be called.
    pub const fn deadline(&self) -> Instant {
        self.next
    }

    /// Whether the record stands in the tree, as far as the last walk told.
    pub const fn is_registered(&self) -> bool {
        self.stands
    }

    /// Walks through the tree if it is time. The whole registration is repeated shortly before the records expire, a little
    /// earlier or later, so that providers which came together do not come together for ever.
    pub fn handle_timeout(&mut self, now: Instant, entropy: &mut dyn Entropy) -> Vec<Order> {
        if now < self.next {
            return Vec::new();
        }
        let lifetime = self.config.lifetime;
        let jitter = Duration::from_micros(entropy.below((lifetime / 20).as_micros() as u64 + 1));
        self.next = now + (lifetime / 10 * 9 - jitter);
        self.stands = false;
        self.places.retain(|_, place| place.until > now);
        // A walk that still waits for an answer is given up: the overlay has forgotten it.
        let walk = Registration::new(self.tree, self.me, self.start);
        self.walk = Some(walk);
        Vec::from([Order::Fetch(walk.at())])
    }

    /// A tree node was fetched: these are its providers, none when nobody answered.
    pub fn on_fetched(&mut self, now: Instant, place: TreeNode, providers: &[NodeId]) -> Vec<Order> {
        let Some(walk) = self.walk.as_mut().filter(|walk| walk.at() == place) else { return Vec::new() };
        let step = walk.on_fetched(providers);
        if step.fetch.is_none() {
            self.start = walk.next_start();
            self.walk = None;
        }
        let store = step.store.map(|place| self.store(now, place));
        store.into_iter().chain(step.fetch.map(Order::Fetch)).collect()
    }

    fn store(&mut self, now: Instant, at: TreeNode) -> Order {
        let until = now + self.config.lifetime;
        let place = self.places.entry(at.level).or_insert(Place { at, until, stored: false });
        *place = Place { at, until, ..*place };
        Order::Store(at)
    }

    /// The record was stored, or not: then what stood there before may still do so, and if nothing was stored anywhere it is
    /// tried again soon.
    pub fn on_stored(&mut self, now: Instant, at: TreeNode, ok: bool) {
        let Some(place) = self.places.get_mut(&at.level).filter(|place| place.at == at) else { return };
        if ok {
            place.stored = true;
            self.stands = true;
            return;
        }
        if !place.stored {
            self.places.remove(&at.level);
        }
        if !self.stands && self.walk.is_none() {
            self.next = self.next.min(now + self.config.retry);
        }
    }

    /// The record says something new: it is stored again wherever it stands.
    pub fn changed(&mut self, now: Instant) -> Vec<Order> {
        let standing = self.places.values().filter(|place| place.until > now);
        let places: Vec<TreeNode> = standing.map(|place| place.at).collect();
        places.into_iter().map(|at| self.store(now, at)).collect()
    }

    /// Ends the registration: the record is taken back wherever it may stand.
    pub fn leave(self, now: Instant) -> Vec<Order> {
        let standing = self.places.into_values().filter(|place| place.until > now);
        standing.map(|place| Order::Remove(place.at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;
    use alloc::vec;

    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n << 124)
    }

    fn place(level: u16, node: u16) -> TreeNode {
        TreeNode { level, node }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    /// Peer 2 of figure 4, alone in its tree, and what it ordered on its walk.
    fn registered() -> (Provider, Vec<Order>) {
        let config = Config { lifetime: Duration::from_secs(600), ..Config::default() };
        let mut provider = Provider::new(Tree::new(2), id(2), config, at(0));
        let mut orders = provider.handle_timeout(at(0), &mut Seeded::new(1));
        let mut done = 0;
        while let Some(&order) = orders.get(done) {
            done += 1;
            match order {
                Order::Fetch(place) => orders.extend(provider.on_fetched(at(0), place, &[])),
                Order::Store(place) => provider.on_stored(at(0), place, true),
                Order::Remove(_) => unreachable!(),
            }
        }
        (provider, orders)
    }

    #[test]
    fn the_first_provider_stands_at_every_level_from_two_to_the_root() {
        let (provider, orders) = registered();
        let (two, one, root) = (place(2, 0), place(1, 0), place(0, 0));
        let walk = [Order::Fetch(two), Order::Store(two), Order::Fetch(one), Order::Store(one)];
        assert_eq!(orders, [&walk[..], &[Order::Fetch(root), Order::Store(root)]].concat());
        assert!(provider.is_registered());
    }

    #[test]
    fn the_whole_registration_is_repeated_when_nine_tenths_of_the_lifetime_have_passed() {
        let (mut provider, _) = registered();
        let due = provider.deadline();
        assert!((at(510)..=at(540)).contains(&due), "{due:?}");
        let early = Instant::from_micros(due.as_micros() - 1);
        assert_eq!(provider.handle_timeout(early, &mut Seeded::new(1)), []);
        assert_eq!(provider.handle_timeout(due, &mut Seeded::new(1)), [Order::Fetch(place(2, 0))]);
        assert!(provider.deadline() > due);
    }

    #[test]
    fn what_changed_is_stored_where_the_record_stands_and_what_is_over_is_taken_back_there() {
        let (mut provider, _) = registered();
        let (two, one, root) = (place(2, 0), place(1, 0), place(0, 0));
        assert_eq!(provider.changed(at(10)), [Order::Store(root), Order::Store(one), Order::Store(two)]);
        // Nobody answered at level 1: what was stored there before may still be.
        provider.on_stored(at(10), one, false);
        assert!(provider.is_registered());
        let removals = [Order::Remove(root), Order::Remove(one), Order::Remove(two)];
        assert_eq!(provider.clone().leave(at(20)), removals);
        assert_eq!(provider.leave(at(610)), [], "by then it has expired everywhere");
    }

    #[test]
    fn a_provider_that_no_tree_node_has_room_for_comes_back_after_a_while() {
        let config = Config::default();
        let mut provider = Provider::new(Tree::new(2), id(2), config, at(0));
        provider.handle_timeout(at(0), &mut Seeded::new(1));
        for place in [place(2, 0), place(1, 0), place(0, 0)] {
            provider.on_fetched(at(1), place, &[]);
        }
        for place in [place(2, 0), place(1, 0), place(0, 0)] {
            provider.on_stored(at(1), place, false);
        }
        assert!(!provider.is_registered());
        assert_eq!(provider.deadline(), at(1) + config.retry);
        assert_eq!(provider.leave(at(2)), [], "there is nothing to take back");
    }

    #[test]
    fn answers_that_were_not_asked_for_change_nothing() {
        let (mut provider, _) = registered();
        assert_eq!(provider.on_fetched(at(5), place(2, 0), &[id(3)]), []);
        provider.on_stored(at(5), place(2, 3), false);
        assert!(provider.is_registered());
        assert_eq!(provider.leave(at(5)).len(), 3);
    }

    #[test]
    fn a_lifetime_of_nothing_is_a_lifetime_of_a_few_seconds() {
        let config = Config { lifetime: Duration::ZERO, retry: Duration::ZERO, ..Config::default() };
        let mut provider = Provider::new(Tree::new(10), id(1), config, at(0));
        let orders = provider.handle_timeout(at(0), &mut Seeded::new(1));
        assert_eq!(orders, vec![Order::Fetch(place(2, 6))]);
        assert!(provider.deadline() > at(0), "or it would never sleep");
    }
}
