use super::below::BELIEVED;
use super::choice::{PLEDGE, PLEDGES};
use super::climb::Climb;
use super::*;
use crate::iptv::report::{Child, Provider};
use alloc::string::String;
use quickcheck::quickcheck;

const ME: char = 's';
const T: Instant = Instant::from_millis(1000);

fn call(n: u32) -> CallId {
    CallId::received(n)
}

fn kids(peers: &str) -> Vec<Child<char>> {
    peers.chars().map(|peer| Child { peer, slots: Some(2), rescue: false }).collect()
}

/// s ← a, b; a ← c, d; c ← e.
fn table() -> Table<char> {
    let mut t = Table::new(ME, 100, (Duration::from_secs(30), Duration::from_secs(3)));
    t.seat('a', call(0), Some(2), T);
    t.seat('b', call(1), Some(2), T);
    for (parent, children) in [('a', "cd"), ('c', "e")] {
        t.relays(parent, Some(0), T);
        t.report(parent, &kids(children), T);
    }
    t
}

fn row(t: &Table<char>, peer: char) -> (Option<u8>, Option<char>) {
    let rows = t.rows();
    let row = rows.iter().find(|r| r.peer == peer).unwrap();
    (row.depth, row.parent)
}

#[test]
fn p16_a_child_named_by_another_relayer_moves_there_with_all_below_it() {
    let mut t = table();
    assert_eq!(row(&t, 'e'), (Some(3), Some('c')));
    t.relays('b', Some(1), T);
    t.report('b', &kids("d"), T);
    t.report('d', &kids("c"), T);
    assert_eq!(row(&t, 'e'), (Some(4), Some('c')));
    assert_eq!(row(&t, 'c'), (Some(3), Some('d')));
}

#[test]
fn p16_a_child_that_moved_is_found_whichever_news_comes_first() {
    // The new parent names it before I know that it left me, and before its old parent does.
    let mut t = table();
    t.report('b', &kids("a"), T);
    assert_eq!(row(&t, 'a'), (Some(1), Some(ME)));
    t.unseat('a', call(0), T);
    assert_eq!(row(&t, 'a'), (Some(2), Some('b')));
    // The old parent's list was under way while the new one's came.
    t.report('b', &kids("ad"), T);
    t.report('a', &kids("cd"), T);
    t.report('a', &kids("c"), T);
    assert_eq!(row(&t, 'd'), (Some(2), Some('b')));
}

#[test]
fn a_lost_parent_leaves_its_subtree_adrift_and_time_forgets_it() {
    let mut t = table();
    t.rest('a', T);
    t.unseat('a', call(0), T);
    assert_eq!((row(&t, 'a'), row(&t, 'e')), ((None, None), (None, Some('c'))));
    // c still reports; the others are not heard of again.
    for later in 1..=3 {
        t.sweep(T + Duration::from_secs(30 * later));
    }
    let left: Vec<char> = t.rows().iter().map(|r| r.peer).collect();
    assert_eq!(left, ['b', 'c', 'e']);
}

#[test]
fn q13_nephews_hang_two_layers_below_me_and_below_another_child() {
    let mut t = table();
    t.report('b', &kids("f"), T);
    t.relays('b', Some(1), T);
    t.report('b', &kids("f"), T);
    let nephews = |child| t.nephews(child, 9).iter().map(|p| p.peer).collect::<String>();
    assert_eq!((nephews('a'), nephews('b'), nephews('x')), ("f".into(), "cd".into(), "cdf".into()));
    assert_eq!(t.nephews('x', 2).len(), 2);
}

#[test]
fn q13_nephews_are_found_behind_however_many_children() {
    let mut t = table();
    for (peer, n) in ('0'..='Z').zip(2..) {
        t.seat(peer, call(n), Some(2), T);
    }
    assert_eq!(t.nephews('x', 9).iter().map(|p| p.peer).collect::<String>(), "cd");
}

#[test]
fn whoever_is_named_by_one_that_is_adrift_is_adrift_with_it() {
    let mut t = table();
    t.rest('a', T);
    t.unseat('a', call(0), T);
    t.report('a', &kids("cdf"), T);
    assert_eq!((row(&t, 'f'), row(&t, 'e')), ((None, Some('a')), (None, Some('c'))));
    t.seat('a', call(3), Some(2), T);
    assert_eq!((row(&t, 'f'), row(&t, 'e')), ((Some(2), Some('a')), (Some(3), Some('c'))));
}

#[test]
fn a_viewer_that_its_parent_no_longer_names_is_gone_after_a_short_grace_unless_it_turns_up() {
    let ms = Duration::from_millis;
    for (turns_up, after) in [(false, 2_999), (false, 3_000), (true, 3_000)] {
        let mut t = table();
        t.report('c', &[], T);
        assert_eq!(row(&t, 'e'), (None, None));
        if turns_up {
            t.relays('b', Some(1), T);
            t.report('b', &kids("e"), T + ms(1_000));
        }
        let swept = t.sweep(T + ms(after));
        assert_eq!(
            (t.contains('e'), swept),
            if turns_up || after < 3_000 { (true, false) } else { (false, true) }
        );
    }
    // Who has a dialog here is believed to be somewhere.
    let mut t = table();
    t.set_call('e', Some(call(7)));
    t.report('c', &[], T);
    t.sweep(T + ms(29_999));
    assert!(t.contains('e'));
}

#[test]
fn a_relayer_that_neither_reports_nor_is_vouched_for_is_gone_at_once() {
    // Its alive messages stop first, then its seat goes; or the other way round.
    for seat_first in [false, true] {
        let mut t = table();
        if seat_first {
            t.unseat('a', call(0), T);
            assert_eq!(row(&t, 'a'), (None, None));
        }
        t.rest('a', T);
        t.lose('a', T);
        if !seat_first {
            assert_eq!(row(&t, 'a'), (Some(1), Some(ME)));
            t.unseat('a', call(0), T);
        }
        assert!(!t.contains('a'), "seat first: {seat_first}");
        assert_eq!((row(&t, 'c'), row(&t, 'e')), ((None, None), (None, Some('c'))));
    }
}

#[test]
fn a_lost_relayer_keeps_the_place_that_its_parent_vouches_for_and_goes_with_its_parent() {
    let mut t = table();
    for lost in ['c', 'a'] {
        t.rest(lost, T);
        t.lose(lost, T);
    }
    assert_eq!(row(&t, 'c'), (Some(2), Some('a')));
    t.unseat('a', call(0), T);
    let left: Vec<char> = t.rows().iter().map(|r| r.peer).collect();
    assert_eq!(left, ['b', 'd', 'e']);
    // Whoever shows itself again is somebody.
    t.report('b', &kids("c"), T);
    t.report('b', &[], T);
    assert_eq!(row(&t, 'c'), (None, None));
}

/// s ← a, b; a ← c ← d ← e ← f; all of them relay, f last, and b has so many slots left.
fn chain(free: u16) -> Table<char> {
    let mut t = table();
    for (n, (parent, children)) in [('a', "c"), ('c', "d"), ('d', "e"), ('e', "f")].into_iter().enumerate() {
        t.relays(parent, Some(0), T);
        t.report(parent, &kids(children), T);
        t.set_call(parent, Some(call(10 + n as u32)));
    }
    t.relays('f', Some(2), T);
    t.set_call('f', Some(call(14)));
    t.relays('b', Some(free), T);
    t
}

#[test]
fn whoever_comes_two_layers_nearer_with_most_below_it_climbs_to_the_highest_slot_promised_to_nobody() {
    let mut t = chain(2);
    // In layer 2 below b: the fourth and the fifth layer gain two layers or more, and e brings f along.
    let to = Vec::from([Provider { peer: 'b', depth: Some(1), free: Some(2) }]);
    assert_eq!(t.climb(T), Some(Climb { peer: 'e', call: call(13), to: to.clone() }));
    assert_eq!(t.climb(T), None, "f is on its way with e");
    let mut t = chain(2);
    t.set_call('e', None);
    assert_eq!(t.climb(T), Some(Climb { peer: 'f', call: call(14), to }), "e cannot be told");
    t.relays('b', Some(0), T);
    t.relays('b', Some(1), T);
    assert_eq!(t.climb(T), None, "f is on its way");
    let mut t = chain(1);
    t.relays('d', Some(1), T);
    assert!(t.redirect('z', 8, T, |_| 0).iter().any(|p| p.peer == 'b'));
    assert_eq!(t.climb(T), None, "the slot is promised");
    assert!(t.climb(T + PLEDGE).is_some(), "it was not taken");
}

#[test]
fn nobody_climbs_for_one_layer_or_without_an_office() {
    let mut t = chain(0);
    assert_eq!(t.climb(T), None, "only f is open");
    // Below c whoever hangs in layer 4 gains one layer, and f two, but it relays no longer.
    t.relays('c', Some(1), T);
    assert_eq!(t.climb(T).map(|c| c.peer), Some('f'));
    let mut t = chain(0);
    t.relays('c', Some(1), T);
    t.rest('f', T);
    assert_eq!(t.climb(T), None);
}

/// e and f hang deeper than need be; the slot is free whenever they are looked at.
#[test]
fn k11_whoever_was_called_up_and_has_not_come_is_passed_over_for_twice_as_long_each_time() {
    let mut t = chain(1);
    let mut called: Vec<(char, u64)> = Vec::new();
    for second in 0..1_400 {
        let now = T + Duration::from_secs(second);
        t.relays('b', Some(1), now);
        called.extend(t.climb(now).map(|c| (c.peer, second)));
    }
    let of = |peer| called.iter().filter(|c| c.0 == peer).map(|c| c.1).collect::<Vec<_>>();
    // 5, 10, 20, 40, 80, 160, 320 and 320 seconds later.
    assert_eq!(of('e'), [0, 5, 15, 35, 75, 155, 315, 635, 955, 1_275]);
    // f, below it, has its turn while e is passed over.
    assert_eq!(of('f')[..3], [10, 20, 30]);
}

#[test]
fn whoever_has_come_may_be_called_up_again_as_if_it_had_never_stayed() {
    let mut t = chain(1);
    let seconds = |s| T + Duration::from_secs(s);
    assert_eq!([0, 5, 15].map(|s| t.climb(seconds(s)).map(|c| c.peer)), [Some('e'); 3]);
    // It has come to c, in layer 3, and soon hangs below d again, in layer 4.
    t.report('c', &kids("de"), seconds(16));
    t.report('c', &kids("d"), seconds(17));
    t.report('d', &kids("e"), seconds(17));
    assert_eq!([19, 20].map(|s| t.climb(seconds(s)).map(|c| c.peer)), [None, Some('e')]);
}

#[test]
fn k8_those_that_do_not_come_hide_nobody_who_is_less_deep_however_many_they_are() {
    let mut t = Table::new(ME, 1_000, (Duration::from_secs(30), Duration::from_secs(3)));
    let many: String = ('\u{100}'..'\u{1c8}').collect();
    t.seat('a', call(0), Some(2), T);
    t.seat('b', call(1), Some(2), T);
    // 200 relayers in layer 5, below one that cannot be told, and x in layer 4.
    for (parent, children) in [('b', "c"), ('c', "d"), ('d', "ex"), ('e', many.as_str())] {
        t.relays(parent, Some(0), T);
        t.report(parent, &kids(children), T);
    }
    for (peer, n) in many.chars().chain(['x']).zip(2..) {
        t.relays(peer, Some(0), T);
        t.set_call(peer, Some(call(n)));
    }
    let mut look = |now| {
        t.relays('a', Some(1), now);
        t.climb(now).map(|c| c.peer)
    };
    let called: Vec<Option<char>> = (0..203).map(|_| look(T)).collect();
    assert_eq!((called[0], called[127], called[128]), (Some('\u{1c7}'), Some('\u{148}'), None));
    assert_eq!((called[129], called[200], called[201]), (Some('\u{147}'), Some('\u{100}'), Some('x')));
    // Then the deepest have their turn again.
    assert_eq!((called[202], look(T + Duration::from_secs(5))), (None, Some('\u{1c7}')));
}

/// Sixteen slots in layer 1, and forty relayers in layer 5 that are called up, two in 250 ms, and never come.
#[test]
fn k8_those_that_do_not_come_keep_slots_from_others_all_the_time_at_first_and_hardly_ever_in_the_end() {
    let mut t = Table::new(ME, 100, (Duration::from_secs(30), Duration::from_secs(3)));
    let many: String = ('\u{100}'..'\u{128}').collect();
    t.seat('a', call(0), Some(16), T);
    t.seat('b', call(1), Some(2), T);
    t.relays('a', Some(16), T);
    for (parent, children) in [('b', "c"), ('c', "d"), ('d', "e"), ('e', many.as_str())] {
        t.relays(parent, Some(0), T);
        t.report(parent, &kids(children), T);
    }
    for (peer, n) in many.chars().zip(2..) {
        t.relays(peer, Some(0), T);
        t.set_call(peer, Some(call(n)));
    }
    let mut kept = Vec::new();
    for step in 0..4 * 1_400 {
        let now = T + Duration::from_millis(250 * step);
        t.climb(now);
        t.climb(now);
        kept.push(t.rows[&'a'].spare(now) < 16);
    }
    let percent = |kept: &[bool]| kept.iter().filter(|k| **k).count() * 100 / kept.len();
    // In ten seconds, and in the last 320, after which all of them have been called once more.
    assert_eq!((percent(&kept[..40]), percent(&kept[4 * 1_080..])), (100, 4));
}

#[test]
fn k8_hostile_lists_make_neither_cycles_nor_endless_tables() {
    let mut t = table();
    t.report('c', &kids("acs"), T);
    assert_eq!((row(&t, 'a').1, row(&t, 'c').1), (Some(ME), Some('a')));
    let many: Vec<_> =
        ('\u{100}'..'\u{400}').map(|peer| Child { peer, slots: None, rescue: false }).collect();
    t.report('c', &many, T);
    assert_eq!(t.rows().len(), 100);
    t.report('x', &kids("b"), T);
    assert_eq!(row(&t, 'b').1, Some(ME));
}

/// Peers that a made-up aggregate names, with depth and free slots.
type Named = Vec<(u8, Option<u8>, Option<u16>)>;

quickcheck! {
    /// Whatever children say of what is below them, in any order: what is passed on and where callers are sent names
    /// neither me nor those above nor my children by hearsay, nothing nearer than it can be, and no more than fits.
    fn q9_an_aggregate_is_bounded_and_names_nobody_it_must_not(
        said: Vec<(bool, u32, u32, Named)>
    ) -> bool {
        let mut t = table();
        t.set_base(4);
        let of = |n: u8| char::from(b'a' + n % 26);
        for (first, peers, free, open) in said {
            let open = open.into_iter().map(|(n, depth, free)| Provider { peer: of(n), depth, free });
            let said = Subtree { peers, free, open: open.collect() };
            let from = if first { 'a' } else { 'b' };
            t.relays(from, Some(0), T);
            t.set_below(from, said, 8, |p| "xyz".contains(p));
            let all = t.aggregate(8);
            let hearsay = |p: &Provider<char>| {
                !"sabxyz".contains(p.peer)
                    && p.depth.is_some_and(|d| d >= 6)
                    && p.free.is_some_and(|f| (1..=BELIEVED).contains(&f))
            };
            let once = all.open.iter().all(|p| all.open.iter().filter(|q| q.peer == p.peer).count() == 1);
            let sent = t.redirect('q', 8, T, |_| 0);
            if all.open.len() > 8 || !once || !all.open.iter().chain(&sent).all(hearsay) {
                return false;
            }
            if sent.len() > 8 || sent.iter().any(|p| p.peer == 'q') || t.pledges.len() > PLEDGES {
                return false;
            }
        }
        // Who goes takes all that it said along.
        for gone in ['a', 'b'] {
            t.rest(gone, T);
            t.remove(gone, T);
        }
        t.aggregate(8) == Subtree { peers: 0, free: 0, open: Vec::new() } && !t.is_open()
    }
}

#[test]
fn k8_q9_whoever_names_accomplices_gets_a_siblings_part_of_the_list_and_less_in_each_layer_above() {
    let open = |peers: &mut dyn Iterator<Item = char>, depth| {
        let named = peers.map(|peer| Provider { peer, depth: Some(depth), free: Some(16) });
        Subtree { peers: 99, free: 99, open: named.collect() }
    };
    let mut t = table();
    t.relays('a', Some(0), T);
    t.relays('b', Some(0), T);
    // Nearer than anybody, and with the lowest names.
    t.set_below('a', open(&mut ('0'..='9'), 2), 8, |_| false);
    t.set_below('b', open(&mut ('k'..='r'), 5), 8, |_| false);
    let names = |all: &Subtree<char>| all.open.iter().map(|p| p.peer).collect::<String>();
    let told = t.aggregate(8);
    assert_eq!(names(&told), "0k1l2m3n");
    // One layer above.
    let mut above = table();
    above.relays('a', Some(0), T);
    above.relays('b', Some(1), T);
    above.set_below('a', told, 8, |_| false);
    above.set_below('b', open(&mut ('s'..='z').filter(|&c| c != ME), 6), 8, |_| false);
    assert_eq!(names(&above.aggregate(8)), "b0kt1ulv");
    // Whoever is alone is told of in full.
    above.relays('b', Some(0), T);
    above.set_below('b', open(&mut core::iter::empty(), 6), 8, |_| false);
    assert_eq!(names(&above.aggregate(8)), "0k1l2m3n");
}

#[test]
fn p11_the_candidate_is_of_the_lowest_layer_and_q10_the_best_of_it() {
    let mut t = table();
    assert_eq!(t.candidate(T, (false, DEEPEST), None, |_| None), Some('b'));
    t.offer('b', true);
    assert_eq!((t.candidate(T, (false, DEEPEST), None, |_| None), t.registered()), (Some('d'), 1));
    t.rest('b', T + Duration::from_secs(30));
    assert_eq!((t.candidate(T, (false, DEEPEST), None, |_| None), t.registered()), (Some('d'), 0));
    assert_eq!(t.candidate(T + Duration::from_secs(30), (false, DEEPEST), None, |_| None), Some('b'));
    // Nobody below the one for whom it is.
    assert_eq!(t.candidate(T, (false, DEEPEST), Some('a'), |_| None), None);
    t.report('a', &kids("cdf"), T);
    t.set_rtt('d', Duration::from_millis(200));
    assert_eq!(
        (t.candidate(T, (false, DEEPEST), None, |_| None), t.candidate(T, (true, DEEPEST), None, |_| None)),
        (Some('f'), Some('d'))
    );
}

#[test]
fn q5_a_relayer_with_two_slots_is_named_to_two_callers_and_no_third() {
    let mut t = table();
    t.relays('b', Some(2), T);
    let named = [0, 500, 1_000].map(|ms| t.redirect('z', 8, T + Duration::from_millis(ms), |_| 0).len());
    assert_eq!(named, [1, 1, 0]);
}

#[test]
fn q9_the_version_changes_with_what_an_aggregate_shows_and_with_nothing_else() {
    let mut t = table();
    let mut changes = |change: &dyn Fn(&mut Table<char>)| {
        let before = t.version();
        change(&mut t);
        t.version() != before
    };
    assert!(changes(&|t| _ = t.relays('b', Some(1), T)));
    assert!(!changes(&|t| _ = t.relays('b', Some(1), T + Duration::from_secs(1))), "the same again");
    assert!(!changes(&|t| t.set_rtt('b', Duration::from_millis(20))));
    assert!(changes(&|t| t.report('d', &kids("c"), T)), "c is a layer deeper now");
    let tell = |t: &mut Table<char>, free| {
        let open = vec![Provider { peer: 'x', depth: Some(3), free: Some(free) }];
        t.set_below('b', Subtree { peers: 2, free: free.into(), open }, 8, |_| false);
    };
    assert!(changes(&|t| tell(t, 1)));
    assert!(!changes(&|t| tell(t, 1)), "the same again");
    assert!(changes(&|t| tell(t, 2)));
    assert!(changes(&|t| _ = t.relays('b', Some(0), T)), "one slot less");
    assert!(changes(&|t| t.rest('b', T)), "neither it nor what is below it");
}

#[test]
fn q5_a_slot_is_promised_once_until_the_relayer_reports_or_the_promise_is_stale() {
    let mut t = table();
    t.relays('b', Some(1), T);
    let ask = |t: &mut Table<char>, now| t.redirect('z', 8, now, |_| 0).len();
    assert_eq!((ask(&mut t, T), ask(&mut t, T)), (1, 0));
    assert_eq!(ask(&mut t, T + PLEDGE), 1);
    t.relays('b', Some(1), T + PLEDGE);
    assert_eq!(ask(&mut t, T + PLEDGE), 1);
    // Those nearest to the source come first, whatever they have.
    t.relays('c', Some(9), T + PLEDGE);
    t.relays('b', Some(1), T + PLEDGE);
    for ticket in 0..9 {
        let named = t.redirect('z', 8, T + PLEDGE * (2 + ticket), |n| u64::from(ticket) % n);
        assert_eq!(named.iter().map(|p| p.peer).collect::<Vec<_>>(), ['b', 'c']);
    }
    t.relays('c', Some(0), T);
    // Not to somebody below the caller.
    t.relays('e', Some(5), T);
    t.relays('b', Some(0), T);
    assert!(t.redirect('a', 8, T, |_| 0).is_empty());
}

#[test]
fn q4_the_way_to_a_peer_is_the_child_that_it_is_or_that_has_it_or_that_names_it() {
    let mut t = table();
    t.report('b', &kids("f"), T);
    let open =
        |peers: &str| peers.chars().map(|peer| Provider { peer, depth: Some(3), free: Some(1) }).collect();
    t.set_below('a', Subtree { peers: 3, free: 2, open: open("xy") }, 8, |_| false);
    assert_eq!(
        "abcdexyzs".chars().map(|p| t.way_to(p)).collect::<Vec<_>>(),
        [Some('a'), Some('b'), Some('a'), Some('a'), None, Some('a'), Some('a'), None, None,]
    );
    assert_eq!(t.named_below().collect::<Vec<_>>(), [('a', 'x'), ('a', 'y')]);
}
