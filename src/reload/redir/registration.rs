//! One registration of a service provider: the walk up and down its path through the tree (RFC 7374 §4.3).
//!
//! ```text
//!   Up    Lstart: fetch, store ─ lowest or highest in the tree node ─► next level up: fetch, store ─ lowest or highest
//!         in the interval ─► ... the root
//!   Down  Lstart ─ others in the interval ─► next level down: fetch, store if lowest or highest in the interval ─► ...
//!         alone in the interval
//! ```
//!
//! The text speaks of the tree node at Lstart and of the interval above it. Both are taken at their word, as the peers of
//! figure 4 do: by the interval alone peer 7 would be right as well, by the tree node alone peer 4 would not reach the root.

use super::levels::START;
use super::tree::{Tree, TreeNode};
use crate::ids::NodeId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    Up,
    Down,
    Over,
}

/// What follows from an answer: both may be done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The tree node to store the record in.
    pub store: Option<TreeNode>,
    /// The tree node to fetch next; `None` when the walk is over.
    pub fetch: Option<TreeNode>,
}

/// A walk under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    tree: Tree,
    me: NodeId,
    start: u16,
    at: TreeNode,
    walk: Walk,
    /// Whether there are others in the interval of Lstart.
    crowded: bool,
    /// The level nearest to the root where the provider was alone in its interval.
    alone: Option<u16>,
}

impl Registration {
    /// Begins at this level, or at the deepest one. The tree node to fetch first is [`Registration::at`].
    pub fn new(tree: Tree, me: NodeId, start: u16) -> Self {
        let start = start.min(tree.deepest());
        let at = tree.node_of(start, me).unwrap_or(TreeNode { level: 0, node: 0 });
        Registration { tree, me, start, at, walk: Walk::Up, crowded: false, alone: None }
    }

    /// The tree node that is being fetched.
    pub const fn at(&self) -> TreeNode {
        self.at
    }

    /// Where the next registration may start: at the level nearest to the root at which this one found itself alone in its
    /// interval, but not above the level where lookups start that know nothing (§4.2).
    pub fn next_start(&self) -> u16 {
        self.alone.unwrap_or(self.at.level).max(START)
    }

    /// The present tree node was fetched: these are its providers, none when nobody answered. Those that do not lie in it are
    /// ignored, and so is this provider's own record.
    pub fn on_fetched(&mut self, providers: &[NodeId]) -> Step {
        let Registration { tree, me, at, .. } = *self;
        let mine = tree.interval_of(at.level, me);
        let here = || providers.iter().filter(|&&id| id != me && tree.node_of(at.level, id) == Some(at));
        let beside = || here().filter(|&&id| tree.interval_of(at.level, id) == mine);
        let is_end = |low: bool, high: bool| !(low && high);
        let ends_interval = is_end(beside().any(|&id| id < me), beside().any(|&id| id > me));
        let ends_node = is_end(here().any(|&id| id < me), here().any(|&id| id > me));
        let alone = beside().next().is_none();
        if alone {
            self.alone = Some(self.alone.map_or(at.level, |level| level.min(at.level)));
        }
        match self.walk {
            Walk::Up => {
                let goes_on = if at.level == self.start { ends_node } else { ends_interval };
                self.crowded |= at.level == self.start && !alone;
                let up = at.level.checked_sub(1).filter(|_| goes_on);
                let down = || (self.start + 1, Walk::Down);
                let next = up.map(|level| (level, Walk::Up)).or_else(|| self.crowded.then(down));
                Step { store: Some(at), fetch: self.go(next) }
            }
            Walk::Down => {
                let next = (!alone).then_some((at.level.saturating_add(1), Walk::Down));
                Step { store: ends_interval.then_some(at), fetch: self.go(next) }
            }
            Walk::Over => Step { store: None, fetch: None },
        }
    }

    fn go(&mut self, next: Option<(u16, Walk)>) -> Option<TreeNode> {
        let next = next.and_then(|(level, walk)| Some((self.tree.node_of(level, self.me)?, walk)));
        self.walk = next.map_or(Walk::Over, |next| next.1);
        self.at = next?.0;
        Some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;
    use crate::reload::redir::lookup::{Lookup, Next};
    use crate::time::{Duration, Instant};
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Who stands where, and since which round.
    type Stored = BTreeMap<TreeNode, BTreeMap<NodeId, u16>>;

    /// In the 4-bit space of RFC 7374 figure 4.
    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n << 124)
    }

    /// Registers in a tree that stores everything; tells the tree nodes that were fetched and where the next one starts.
    fn register(stored: &mut Stored, tree: Tree, me: NodeId, start: u16) -> (Vec<(u16, u16)>, u16) {
        register_in(0, stored, tree, me, start)
    }

    fn register_in(
        round: u16,
        stored: &mut Stored,
        tree: Tree,
        me: NodeId,
        start: u16,
    ) -> (Vec<(u16, u16)>, u16) {
        let mut registration = Registration::new(tree, me, start);
        let mut fetched = vec![];
        loop {
            let at = registration.at();
            fetched.push((at.level, at.node));
            assert!(fetched.len() <= 2 * 17, "{fetched:?}");
            let providers: Vec<NodeId> = stored.get(&at).into_iter().flatten().map(|(&id, _)| id).collect();
            let step = registration.on_fetched(&providers);
            if let Some(place) = step.store {
                stored.entry(place).or_default().insert(me, round);
            }
            if step.fetch.is_none() {
                return (fetched, registration.next_start());
            }
        }
    }

    fn contents(stored: &Stored, level: u16, node: u16) -> Vec<u128> {
        let all = stored.get(&TreeNode { level, node }).into_iter().flatten();
        all.map(|(id, _)| id.to_u128() >> 124).collect()
    }

    #[test]
    fn section_7_1_four_providers_build_the_tree_of_figure_4() {
        let (mut stored, tree) = (Stored::new(), Tree::new(2));
        let fetched = [2, 3, 7, 4].map(|n| register(&mut stored, tree, id(n), 2).0);
        assert_eq!(fetched[0], [(2, 0), (1, 0), (0, 0)]);
        assert_eq!(fetched[1], [(2, 0), (1, 0), (0, 0), (3, 1)], "3 shares its interval with 2");
        assert_eq!(fetched[2], [(2, 1), (1, 0), (0, 0)]);
        assert_eq!(fetched[3], [(2, 1), (1, 0), (0, 0)]);
        assert_eq!(contents(&stored, 0, 0), [2, 3, 4, 7]);
        assert_eq!(contents(&stored, 1, 0), [2, 3, 4, 7]);
        assert_eq!((contents(&stored, 2, 0), contents(&stored, 2, 1)), (vec![2, 3], vec![4, 7]));
        assert_eq!(contents(&stored, 3, 1), [3]);
        assert_eq!(stored.len(), 5, "and nothing else: {stored:?}");
    }

    #[test]
    fn the_walk_up_ends_where_others_are_at_both_ends() {
        let (mut stored, tree) = (Stored::new(), Tree::new(2));
        for n in [4, 7, 6] {
            register(&mut stored, tree, id(n), 1);
        }
        // 5 lies between 4 and 6 in node (1,0): it is stored there all the same, and goes down until it is alone.
        let (fetched, _) = register(&mut stored, tree, id(5), 1);
        assert_eq!(fetched, [(1, 0), (2, 1)]);
        assert!(contents(&stored, 1, 0).contains(&5) && !contents(&stored, 0, 0).contains(&5));
        assert_eq!(contents(&stored, 2, 1), [5, 6, 7], "4 was alone when it came and stayed above");
    }

    #[test]
    fn nobody_walks_below_the_deepest_level() {
        let mut stored = Stored::new();
        let near = |n: u128| NodeId::from_u128(7 << 124 | n);
        for n in 0..20 {
            let (fetched, start) = register(&mut stored, Tree::new(10), near(n), 2);
            assert!(fetched.len() <= 5 && start <= 4, "{fetched:?}");
        }
        let (fetched, _) = register(&mut stored, Tree::new(10), near(99), 80);
        assert_eq!(fetched[0].0, 4);
    }

    #[test]
    fn the_next_registration_starts_where_the_provider_was_alone_and_never_above_level_two() {
        let (mut stored, tree) = (Stored::new(), Tree::new(2));
        assert_eq!(register(&mut stored, tree, id(2), 2).1, 2, "alone up to the root");
        let (_, start) = register(&mut stored, tree, id(3), 2);
        assert_eq!(start, 3);
        // From there up, and not down: it is alone in the interval where it starts.
        assert_eq!(register(&mut stored, tree, id(3), start).0, [(3, 1), (2, 0), (1, 0), (0, 0)]);
        stored.clear();
        assert_eq!(register(&mut stored, tree, id(3), 3).1, 2, "the others have gone");
    }

    #[test]
    fn answers_of_strangers_do_not_change_the_walk() {
        let mut r = Registration::new(Tree::new(2), id(5), 2);
        // 0 and 15 do not lie in [4,7]; 5 is the provider itself, from its last registration.
        let step = r.on_fetched(&[id(0), id(15), id(5)]);
        let (here, up) = (TreeNode { level: 2, node: 1 }, TreeNode { level: 1, node: 0 });
        assert_eq!(step, Step { store: Some(here), fetch: Some(up) });
        let over = Step { store: None, fetch: None };
        while r.on_fetched(&[]) != over {}
        assert_eq!(r.on_fetched(&[id(4)]), over);
    }

    /// Where a key's closest successor is, and how many Fetches it took.
    fn look_up(stored: &Stored, tree: Tree, key: NodeId, start: u16) -> (Option<NodeId>, u32) {
        let mut lookup = Lookup::new(tree, key, start, Duration::from_secs(1), Instant::ZERO);
        loop {
            let providers = stored.get(&lookup.at()).into_iter().flatten().map(|(&id, _)| (id, id));
            if lookup.on_fetched(providers, Instant::ZERO) == Next::Done {
                let fetches = lookup.fetches();
                return (lookup.found(&mut Seeded::new(1)).first().copied(), fetches);
            }
        }
    }

    /// A tree in which everybody has registered as often as it takes until who was alone where others came later has gone
    /// further down; and how many of so many keys find their closest successor there.
    fn exact(tree: Tree, providers: u64, keys: u32) -> u32 {
        use crate::env::Entropy;
        let mut entropy = Seeded::new(providers);
        let mut random = || {
            let mut id = NodeId::default();
            entropy.fill(&mut id.0);
            id
        };
        let mut stored = Stored::new();
        let mut all: Vec<(NodeId, u16)> = (0..providers).map(|_| (random(), 2)).collect();
        for round in 0..=tree.deepest() + 1 {
            for (id, start) in &mut all {
                *start = register_in(round, &mut stored, tree, *id, *start).1;
            }
            // What was not stored again has expired.
            stored.values_mut().for_each(|ids| ids.retain(|_, since| *since == round));
        }
        let all: BTreeMap<NodeId, u16> = all.into_iter().collect();
        let mut exact = 0;
        for _ in 0..keys {
            let key = random();
            let (found, fetches) = look_up(&stored, tree, key, 2);
            assert!(found.is_some() && fetches <= u32::from(tree.deepest()) + 1, "{key}");
            let closest = all.range(key..).next().map(|(id, _)| *id);
            exact += u32::from(closest.is_none() || found == closest);
        }
        exact
    }

    #[test]
    fn every_key_finds_its_closest_successor_in_a_tree_that_has_room_for_all() {
        for (branching_factor, providers) in [(2, 3), (2, 200), (10, 5), (10, 60), (16, 60)] {
            let exact = exact(Tree::new(branching_factor), providers, 500);
            assert_eq!(exact, 500, "{providers} at {branching_factor}");
        }
    }

    #[test]
    fn where_tree_nodes_have_more_providers_than_a_lookup_takes_most_keys_still_find_the_closest() {
        let exact = exact(Tree::new(10), 800, 500);
        assert!((475..500).contains(&exact), "{exact} of 500");
    }
}
