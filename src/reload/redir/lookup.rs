//! One service lookup: the walk through the tree to the closest successor of a key (RFC 7374 §4.5).
//!
//! ```text
//!            no successor in the tree node: one level up (condition 1)
//!   start ──►                                                            ──► the closest successor
//!            the key lies between two of its interval: one level down (condition 2)
//! ```
//!
//! The RFC's walk ends in a tree that is in order. In one that is not, because records expired or because somebody lies,
//! the two conditions may send it to and fro; so no level is asked twice, and what was seen on the way (the RFC's temporary
//! cache) decides instead. Hence there are at most as many Fetches as levels.

use super::tree::{Tree, TreeNode};
use crate::env::Entropy;
use crate::ids::NodeId;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Providers that are taken from one tree node; the rest of a longer list is ignored.
pub const MAX_PROVIDERS: usize = 64;

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Fetch this tree node.
    Fetch(TreeNode),
    /// The walk is over: [`Lookup::found`] tells what it found.
    Done,
}

/// A lookup under way. `T` is what the caller knows of a provider.
#[derive(Clone, Debug)]
pub struct Lookup<T> {
    tree: Tree,
    key: NodeId,
    /// The tree node that is being fetched; the last one when the walk is over.
    at: TreeNode,
    /// How long to wait for each tree node, and for this one until when.
    patience: Duration,
    until: Option<Instant>,
    /// Levels that were asked, one bit each: there are seventeen at most.
    asked: u32,
    seen: BTreeMap<NodeId, T>,
}

impl<T> Lookup<T> {
    /// Begins to look for the closest successor of `key` at this level, or at the deepest one. The tree node to fetch
    /// first is [`Lookup::at`].
    pub fn new(tree: Tree, key: NodeId, start: u16, patience: Duration, now: Instant) -> Self {
        let level = start.min(tree.deepest());
        let at = tree.node_of(level, key).unwrap_or(TreeNode { level: 0, node: 0 });
        let until = Some(now + patience);
        Lookup { tree, key, at, patience, until, asked: 1 << at.level, seen: BTreeMap::new() }
    }

    /// The tree node that is being fetched.
    pub const fn at(&self) -> TreeNode {
        self.at
    }

    /// Tree nodes fetched so far, the present one included.
    pub const fn fetches(&self) -> u32 {
        self.asked.count_ones()
    }

    /// When the present tree node is not waited for any more; `None` once the walk is over.
    pub const fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// The present tree node was fetched, and these are its providers; none when it is empty, or when nobody answered. Those
    /// that do not lie in the tree node are ignored.
    pub fn on_fetched(&mut self, providers: impl IntoIterator<Item = (NodeId, T)>, now: Instant) -> Next {
        let Lookup { tree, key, at, .. } = *self;
        let mine = tree.interval_of(at.level, key);
        let (mut successor, mut below, mut above) = (false, false, false);
        let here = |id: &NodeId| tree.node_of(at.level, *id) == Some(at);
        for (id, provider) in providers.into_iter().filter(|(id, _)| here(id)).take(MAX_PROVIDERS) {
            let in_my_interval = tree.interval_of(at.level, id) == mine;
            successor |= id > key;
            above |= in_my_interval && id > key;
            below |= in_my_interval && id < key;
            self.seen.insert(id, provider);
        }
        // Conditions 1, 2 and 3. A level that was asked already is the one that sent the walk here: what it promised is not
        // there.
        let next = match (successor, above && below) {
            (false, _) => at.level.checked_sub(1),
            (true, true) => at.level.checked_add(1),
            (true, false) => None,
        };
        let fresh = next.filter(|&level| level <= tree.deepest() && self.asked & (1 << level) == 0);
        match fresh.and_then(|level| tree.node_of(level, key)) {
            Some(at) => {
                self.at = at;
                self.asked |= 1 << at.level;
                self.until = Some(now + self.patience);
                Next::Fetch(at)
            }
            None => {
                self.until = None;
                Next::Done
            }
        }
    }

    /// Goes on without the present tree node if its time is over. `None` when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Next> {
        self.until.filter(|&until| until <= now)?;
        Some(self.on_fetched(core::iter::empty(), now))
    }

    /// Ends the lookup with every provider that was seen: the closest successor of the key first, and then on around the
    /// ring. When nobody follows the key they come in random order (§4.5), so that they share those whom nobody follows.
    pub fn found(self, entropy: &mut dyn Entropy) -> Vec<T> {
        let key = self.key;
        let (after, before): (Vec<_>, Vec<_>) = self.seen.into_iter().partition(|(id, _)| *id > key);
        let anywhere = after.is_empty();
        let mut found: Vec<T> = after.into_iter().chain(before).map(|(_, provider)| provider).collect();
        if anywhere {
            for last in (1..found.len()).rev() {
                found.swap(last, entropy.below(last as u64 + 1) as usize);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;
    use alloc::vec;

    const PATIENCE: Duration = Duration::from_secs(3);

    /// In the 4-bit space of RFC 7374 figure 4.
    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n << 124)
    }

    /// The tree of figure 4.
    fn figure_4(at: TreeNode) -> Vec<u128> {
        match (at.level, at.node) {
            (0, 0) | (1, 0) => vec![2, 3, 4, 7],
            (2, 0) => vec![2, 3],
            (2, 1) => vec![4, 7],
            (3, 1) => vec![3],
            _ => vec![],
        }
    }

    /// Looks up, and tells the tree nodes that were fetched and what was found.
    fn walk(key: u128, start: u16, tree: impl Fn(TreeNode) -> Vec<u128>) -> (Vec<(u16, u16)>, Vec<u128>) {
        let mut lookup = Lookup::new(Tree::new(2), id(key), start, PATIENCE, Instant::ZERO);
        let mut fetched = vec![];
        loop {
            let at = lookup.at();
            fetched.push((at.level, at.node));
            assert!(fetched.len() <= 17, "{fetched:?}");
            if lookup.on_fetched(tree(at).into_iter().map(|n| (id(n), n)), Instant::ZERO) == Next::Done {
                assert_eq!((lookup.fetches(), lookup.deadline()), (fetched.len() as u32, None));
                return (fetched, lookup.found(&mut Seeded::new(1)));
            }
        }
    }

    #[test]
    fn section_7_2_peer_5_finds_7_in_one_fetch_from_level_2_and_in_two_from_level_3() {
        assert_eq!(walk(5, 2, figure_4), (vec![(2, 1)], vec![7, 4]));
        assert_eq!(walk(5, 3, figure_4), (vec![(3, 2), (2, 1)], vec![7, 4]));
    }

    #[test]
    fn a_key_whose_successor_lies_elsewhere_is_looked_for_further_up() {
        // 1 lies left of everybody in its tree node, 3 right of everybody in its own.
        assert_eq!(walk(1, 2, figure_4).0, [(2, 0)]);
        assert_eq!(walk(3, 2, figure_4), (vec![(2, 0), (1, 0)], vec![4, 7, 2, 3]));
    }

    #[test]
    fn a_key_that_nobody_follows_gets_somebody_from_the_root() {
        let (fetched, found) = walk(9, 2, figure_4);
        assert_eq!(fetched, [(2, 2), (1, 1), (0, 0)]);
        let first = |seed| {
            let mut lookup = Lookup::new(Tree::new(2), id(9), 0, PATIENCE, Instant::ZERO);
            let next = lookup.on_fetched([2, 3, 4, 7].map(|n| (id(n), n)), Instant::ZERO);
            assert_eq!(next, Next::Done);
            lookup.found(&mut Seeded::new(seed))[0]
        };
        let firsts: alloc::collections::BTreeSet<u128> = (0..64).map(first).collect();
        assert_eq!((found.len(), firsts.len()), (4, 4), "anybody may be the first");
    }

    #[test]
    fn a_key_between_two_of_its_interval_is_looked_for_further_down() {
        // Level 0 knows the ends of [0,7] only; 3 is found where it was stored.
        let tree = |at: TreeNode| match (at.level, at.node) {
            (0, 0) => vec![0, 7],
            (1, 0) => vec![0, 3, 7],
            _ => vec![],
        };
        assert_eq!(walk(2, 0, tree), (vec![(0, 0), (1, 0), (2, 0)], vec![3, 7, 0]));
    }

    #[test]
    fn an_empty_tree_is_asked_once_at_each_level_up_to_the_root() {
        assert_eq!(walk(5, 2, |_| vec![]), (vec![(2, 1), (1, 0), (0, 0)], vec![]));
        assert_eq!(walk(5, 99, |_| vec![]).0.len(), 17, "from the deepest level there is");
    }

    #[test]
    fn a_tree_that_leads_up_and_down_in_circles_is_left_with_what_was_seen() {
        // Level 2 knows no successor of 5, level 1 says that there are some below.
        let tree = |at: TreeNode| match (at.level, at.node) {
            (1, 0) => vec![4, 7],
            _ => vec![],
        };
        assert_eq!(walk(5, 2, tree), (vec![(2, 1), (1, 0)], vec![7, 4]));
        // The other way round: a promise at level 1 that level 2 does not keep.
        assert_eq!(walk(5, 1, tree), (vec![(1, 0), (2, 1)], vec![7, 4]));
        // And one that goes on for ever.
        let (fetched, found) = walk(5, 0, |_| (0..16).collect());
        assert!(
            fetched.len() <= 5,
            "from where an interval holds one Node-ID there is no way down: {fetched:?}"
        );
        assert_eq!(found[0], 6);
    }

    #[test]
    fn what_does_not_lie_in_the_tree_node_counts_for_nothing_there() {
        // Node (2,1) is [4,7]; a peer that answers with 8 would end the walk.
        let tree = |at: TreeNode| if at.level == 2 { vec![8, 2] } else { figure_4(at) };
        assert_eq!(walk(5, 2, tree), (vec![(2, 1), (1, 0)], vec![7, 2, 3, 4]));
    }

    #[test]
    fn k8_of_a_list_that_is_too_long_the_first_providers_are_taken() {
        let mut lookup = Lookup::new(Tree::new(10), id(0), 0, PATIENCE, Instant::ZERO);
        let many = (1..10_000u128).map(|n| (NodeId::from_u128(n << 64), n));
        assert_eq!(lookup.on_fetched(many, Instant::ZERO), Next::Done);
        assert_eq!(lookup.found(&mut Seeded::new(1)).len(), MAX_PROVIDERS);
    }

    #[test]
    fn a_peer_that_answers_nothing_is_passed_over_when_patience_ends() {
        let mut lookup: Lookup<u8> = Lookup::new(Tree::new(2), id(5), 2, PATIENCE, Instant::ZERO);
        assert_eq!(lookup.handle_timeout(Instant::from_millis(2_999)), None);
        let up = TreeNode { level: 1, node: 0 };
        assert_eq!(lookup.handle_timeout(Instant::from_millis(3_000)), Some(Next::Fetch(up)));
        assert_eq!(lookup.deadline(), Some(Instant::from_millis(6_000)));
        let root = TreeNode { level: 0, node: 0 };
        assert_eq!(lookup.handle_timeout(Instant::from_millis(6_000)), Some(Next::Fetch(root)));
        assert_eq!(lookup.handle_timeout(Instant::from_millis(9_000)), Some(Next::Done));
        assert_eq!((lookup.deadline(), lookup.handle_timeout(Instant::from_millis(99_000))), (None, None));
    }
}
