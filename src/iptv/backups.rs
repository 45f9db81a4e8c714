//! What a parent tells a child about its place: the path, the slot, and whom to ask when the parent is gone (Q12, Q13).

use super::report::Provider;
use super::seats::{Place, Seat, Seats};
use alloc::vec::Vec;

/// Where this node stands itself.
pub(super) struct Standpoint<'a, P> {
    pub(super) me: P,
    /// From the source to my parent; empty for the publisher.
    pub(super) path: &'a [P],
    /// What my own parent told me: peers whose paths avoid me.
    pub(super) backups: &'a [Provider<P>],
    /// Further peers that hang below this node and not below the child, as far as the table knows.
    pub(super) nephews: &'a dyn Fn(P) -> Vec<Provider<P>>,
    /// Names in a child's list at most.
    pub(super) limit: usize,
    pub(super) delegated: bool,
}

/// A child's place. Its backups begin with peers outside of this node's subtree (my own backups, and my parent, which has
/// a slot free once I am gone), rotated by the child's number so that siblings do not all ask the same one; siblings,
/// who may have found a new parent already, fill the rest, and then their children. Of my own backups those nearest to the source are left to me
/// and mine: whatever everybody below them knew would be promised to everybody.
///
/// `here` is the position of the child among `seats`.
pub(super) fn place<P: Copy + Ord>(
    at: &Standpoint<'_, P>,
    seats: &Seats<P>,
    (here, child): (usize, &Seat<P>),
) -> Place<P> {
    let mut path = at.path.to_vec();
    path.push(at.me);
    let my_depth = u8::try_from(at.path.len()).unwrap_or(u8::MAX);

    let above = at.path.last().map(|&peer| Provider { peer, depth: my_depth.checked_sub(1), free: None });
    let near = |p: &&Provider<P>| p.depth.is_none_or(|d| d.saturating_add(1) >= my_depth);
    let mut elsewhere: Vec<Provider<P>> = at.backups.iter().filter(near).copied().collect();
    elsewhere.extend(above.filter(|a| elsewhere.iter().all(|b| b.peer != a.peer)));
    let turn = usize::from(child.number).checked_rem(elsewhere.len()).unwrap_or(0);
    elsewhere.rotate_left(turn);
    // One name is left for a sibling.
    elsewhere.truncate(at.limit.saturating_sub(1));

    let depth = Some(my_depth.saturating_add(1));
    let siblings = seats.iter().cycle().skip(here + 1).take(seats.len().saturating_sub(1).min(at.limit));
    let siblings = siblings.map(|s| Provider { peer: s.peer, depth, free: None });

    let mut backups: Vec<Provider<P>> = Vec::with_capacity(at.limit);
    for p in elsewhere.into_iter().chain(siblings).chain((at.nephews)(child.peer)) {
        let known = p.peer == child.peer || p.peer == at.me || backups.iter().any(|b| b.peer == p.peer);
        if backups.len() < at.limit && !known {
            backups.push(p);
        }
    }
    Place { path, rescue: child.rescue, backups, delegated: at.delegated }
}

#[cfg(test)]
mod tests {
    use super::super::seats::Uplink;
    use super::*;
    use crate::ids::CallId;
    use crate::time::Instant;

    fn seats(peers: &[char]) -> Seats<char> {
        let (mut seats, mut up) = (Seats::new(), Uplink::new(9, 0));
        for (n, &p) in peers.iter().enumerate() {
            seats.seat((CallId::received(n as u32), p), Some(2), false, Instant::ZERO, &mut up);
        }
        seats
    }

    fn names(place: &Place<char>) -> Vec<char> {
        place.backups.iter().map(|b| b.peer).collect()
    }

    #[test]
    fn q12_siblings_are_sent_to_different_backups_outside_of_the_subtree() {
        let seats = seats(&['a', 'b']);
        let uncle = Provider { peer: 'u', depth: Some(1), free: None };
        let at = Standpoint {
            me: 'r',
            path: &['s'],
            backups: &[uncle],
            nephews: &|_| Vec::new(),
            limit: 4,
            delegated: false,
        };
        let places: Vec<_> = seats.iter().enumerate().map(|s| place(&at, &seats, s)).collect();
        assert_eq!(names(&places[0]), ['u', 's', 'b']);
        assert_eq!(names(&places[1]), ['s', 'u', 'a']);
        assert_eq!(places[0].path, ['s', 'r']);
    }

    #[test]
    fn children_of_the_source_back_each_other_up_in_turn() {
        let seats = seats(&['a', 'b', 'c']);
        let at = Standpoint {
            me: 's',
            path: &[],
            backups: &[],
            nephews: &|_| Vec::new(),
            limit: 4,
            delegated: false,
        };
        let lists: Vec<_> = seats.iter().enumerate().map(|s| names(&place(&at, &seats, s))).collect();
        assert_eq!(lists, [['b', 'c'], ['c', 'a'], ['a', 'b']]);
    }

    #[test]
    fn k8_the_list_is_bounded_and_never_names_the_child_twice_or_itself() {
        let seats = seats(&['a', 'b', 'c', 'd', 'e', 'f']);
        let twice = ['a', 'u', 'u', 'r'].map(|peer| Provider { peer, depth: None, free: None });
        let at = Standpoint {
            me: 'r',
            path: &['s'],
            backups: &twice,
            nephews: &|_| Vec::new(),
            limit: 4,
            delegated: false,
        };
        for (here, seat) in seats.iter().enumerate() {
            let place = place(&at, &seats, (here, seat));
            let mut list = names(&place);
            assert!(list.len() <= 4 && !list.contains(&seat.peer) && !list.contains(&'r'));
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), place.backups.len());
        }
    }
}
