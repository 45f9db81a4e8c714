//! Why a parent is looked for, who would do, and in which order those that a lookup names are asked (Q5).

use crate::env::Entropy;
use crate::iptv::config::Config;
use crate::iptv::report::Provider;
use alloc::vec::Vec;

/// Why a parent is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing has played yet.
    Join,
    /// The parent is lost.
    Repair,
    /// The parent says that it leaves; in the background, and urgent.
    Farewell,
    /// Somebody needs this node's slot; to another ordinary slot, in the background.
    Yield {
        /// A rescue slot will do as well, for somebody there has a smaller subtree.
        rescue: bool,
    },
    /// From a rescue slot into an ordinary one, in the background.
    Move {
        /// Whether only those who are known are asked yet.
        first: bool,
    },
    /// From an ordinary slot to a provider that has at most so many hops to the source, in the background.
    Climb {
        /// The provider's hops.
        within: u8,
        /// The hops that one may have who is much nearer by.
        near: u8,
    },
}

impl Purpose {
    /// Whether the present parent goes on until the next one plays.
    pub(super) const fn is_planned(self) -> bool {
        matches!(
            self,
            Purpose::Farewell | Purpose::Yield { .. } | Purpose::Move { .. } | Purpose::Climb { .. }
        )
    }

    /// Whether those who are known have to do, at least in this round.
    pub(super) const fn looks_nothing_up(self) -> bool {
        matches!(self, Purpose::Climb { .. } | Purpose::Yield { .. } | Purpose::Move { first: true })
    }

    /// Whether the picture stands still, or soon will: no backup parent has helped.
    pub(super) const fn is_pressing(self) -> bool {
        matches!(self, Purpose::Repair | Purpose::Farewell)
    }

    /// Whether rescue slots will do as well.
    pub(super) const fn is_urgent(self) -> bool {
        matches!(self, Purpose::Repair | Purpose::Farewell | Purpose::Yield { rescue: true })
    }

    /// Whether this provider would do, who hangs no deeper than the `deepest` that may.
    pub(super) fn suits<P>(self, provider: &Provider<P>, deepest: Option<u8>) -> bool {
        let is_within = deepest.is_none_or(|deepest| provider.depth.is_none_or(|depth| depth <= deepest));
        match self {
            Purpose::Climb { within, near } => provider.depth.is_some_and(|d| d <= within.max(near)),
            // Who is served already has no need to ask those that are full, and leaves the source, where everybody who is sent
            // upwards comes to, to its children.
            Purpose::Move { first } => {
                provider.free != Some(0) && !(first && provider.is_source()) && is_within
            }
            Purpose::Yield { .. } => provider.free != Some(0) && is_within,
            Purpose::Join | Purpose::Repair | Purpose::Farewell => true,
        }
    }
}

/// Whether a relayer was said to have room. The source is not asked beside others: everybody would.
pub(super) fn is_open<P>(provider: &Provider<P>) -> bool {
    !provider.is_source() && provider.free.is_some_and(|free| free > 0)
}

/// The order in which providers from the overlay are asked (Q5): those with free slots at random, weighted by them; then
/// the source; then those that were full. Whoever has been in the tree, and may bring a subtree along, begins with those
/// nearest to the source, so that the tree does not grow into a chain. Where relayers elect everybody does so; those that
/// were full and the source are one then, for each knows who is open below it. In the paper's profile: as they stand.
pub(super) fn rank<P: Copy + Ord>(
    providers: &[Provider<P>],
    (purpose, delegated): (Purpose, bool),
    config: &Config,
    entropy: &mut dyn Entropy,
) -> Vec<P> {
    let providers = providers.iter().take(usize::from(config.limits.providers));
    if config.is_paper() {
        return providers.map(|p| p.peer).collect();
    }
    let mut keyed: Vec<(u8, u8, u64, P)> = providers
        .map(|p| {
            let free = u64::from(p.free.unwrap_or(1));
            let class = match (p.is_source(), free == 0) {
                (false, false) => 0,
                // Any of them knows who is open below it, and the source knows those who have yet to register.
                (true, _) | (false, true) if delegated => 1,
                (true, _) => 2,
                (false, true) => 3,
            };
            // The least of `free` draws wins about `free` times as often as a single draw.
            let draw = (0..free.clamp(1, 16)).map(|_| entropy.next_u64()).min().unwrap_or(0);
            let nearest = purpose != Purpose::Join || delegated;
            let layer = if nearest && class != 1 { p.depth.unwrap_or(u8::MAX) } else { 0 };
            (class, layer, draw, p.peer)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|k| k.3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Seeded;

    #[test]
    fn q5_providers_are_drawn_by_their_free_slots_and_the_source_is_the_last_resort() {
        let p = |peer, depth, free| Provider { peer, depth: Some(depth), free: Some(free) };
        let providers = [p('s', 0, 5), p('f', 1, 0), p('a', 1, 1), p('b', 2, 3)];
        let config = Config::default();
        let mut entropy = Seeded::new(1);
        let (mut first, mut sent_on_by_source) = ([0; 2], 0);
        for _ in 0..4000 {
            let order = rank(&providers, (Purpose::Join, false), &config, &mut entropy);
            assert_eq!(&order[2..], ['s', 'f']);
            first[usize::from(order[0] == 'b')] += 1;
            // Who has been in the tree goes to the upper layer.
            assert_eq!(
                rank(&providers, (Purpose::Repair, false), &config, &mut entropy),
                ['a', 'b', 's', 'f']
            );
            // Where relayers elect, everybody does; the source is one of those that send callers on.
            let order = rank(&providers, (Purpose::Join, true), &config, &mut entropy);
            assert_eq!(order[..2], ['a', 'b']);
            sent_on_by_source += u32::from(order[2] == 's');
        }
        // Three of four, give or take five standard deviations.
        assert!((2860..3140).contains(&first[1]), "{first:?}");
        // With five slots it is drawn five times of six.
        assert!((3215..3450).contains(&sent_on_by_source), "{sent_on_by_source}");
    }

    #[test]
    fn the_paper_asks_in_the_order_of_the_answer() {
        let p = |peer| Provider { peer, depth: None, free: None };
        let config = Config::new(crate::iptv::Profile::Paper, 2);
        assert_eq!(
            rank(&[p(3), p(1), p(2)], (Purpose::Repair, true), &config, &mut Seeded::new(1)),
            [3, 1, 2]
        );
    }
}
