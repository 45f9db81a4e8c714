//! What a newcomer may say, and what its coming costs.

use super::network::{Net, names, ring, seconds};
use p2piptv::ids::NodeId;
use p2piptv::reload::overlay::Fact;
use p2piptv::reload::topology::Topology;

/// A Node-ID in the middle of the gap behind one node.
fn id_behind(net: &Net, i: usize) -> NodeId {
    let me = net.id(i).to_u128();
    let successor = net.nodes[i].overlay.topology().successors()[0].to_u128();
    NodeId::from_u128(me.wrapping_add(successor.wrapping_sub(me) / 2))
}

/// A ring with a newcomer right behind node 3, which it cannot reach.
fn with_an_unreachable_predecessor(seed: u64) -> (Net, usize) {
    let mut net = ring(6, seed);
    names(40).iter().for_each(|name| net.store(0, 1, name, b"x", 7200));
    net.run(seconds(5));
    let id = id_behind(&net, 3);
    let joiner = net.add(id);
    net.blocked.insert((3, joiner));
    let through = (0..6).find(|&i| i != 3).unwrap();
    net.join(joiner, &[through]);
    (net, joiner)
}

#[test]
fn jl5_a_newcomer_never_says_that_there_is_nothing_at_a_place_of_a_predecessor_it_cannot_reach() {
    for seed in 400..404 {
        let (mut net, joiner) = with_an_unreachable_predecessor(seed);
        net.run(seconds(40));
        assert_eq!(net.nodes[joiner].facts.first(), Some(&Fact::Joined));
        for name in names(40) {
            net.responsible(&name);
            net.fetch(joiner, 1, &name);
            net.run(seconds(2));
            let answer = net.fetched(joiner, 1).unwrap();
            assert!(answer.as_ref().is_ok_and(|v| v.len() == 1), "{name}, seed {seed}: {answer:?}");
            net.nodes[joiner].facts.clear();
        }
    }
}

#[test]
fn a_newcomer_takes_over_from_a_predecessor_that_is_gone() {
    let (mut net, joiner) = with_an_unreachable_predecessor(410);
    net.run(seconds(40));
    net.kill(3);
    net.run(seconds(180));
    net.assert_ring();
    names(40).iter().for_each(|name| assert!(net.responsible(name) != 3));
    assert!(net.nodes[joiner].overlay.topology().presumed().is_none());
}
