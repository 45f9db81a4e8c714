//! Whole nodes whose source dies, or is taken for dead, beside a standby (Q7).

use crate::world::{Setup, Viewer, World, name};
use p2piptv::node::{CommandError, EndReason, Event};
use p2piptv::sim::Death;
use p2piptv::time::Duration;

/// Four viewers and a standby source.
fn world(setup: Setup) -> (World, Viewer) {
    let mut world = World::new(setup);
    let heir = world.stand_by("heir");
    assert!(world.until(20, |w| w.is_playing(heir)), "{}", world.trace());
    // It relays like anybody else.
    world.viewers.push(heir);
    world.seat(4);
    world.viewers.retain(|v| v.node != heir.node);
    world.run(8);
    (world, heir)
}

fn took_over(world: &World, heir: Viewer) -> bool {
    world.told(heir.node, |e| *e == Event::TookOver { channel: heir.channel })
}

fn everybody_plays(world: &World) -> bool {
    world.viewers.iter().all(|&viewer| world.is_playing(viewer))
}

#[test]
fn q7_the_standby_is_the_source_soon_after_the_source_died_and_newcomers_find_it() {
    for secured in [false, true] {
        let (mut world, heir) = world(Setup { secured, ..Setup::default() });
        world.net.kill(world.source, Death::Host);
        assert!(world.until(4, |w| took_over(w, heir)), "secured: {secured}\n{}", world.trace());
        world.feed(heir);
        assert!(world.until(8, everybody_plays), "secured: {secured}\n{}", world.trace());
        world.run(2);
        // Whoever knows the owner, and comes by the channel's keyword, finds the heir and nobody of the epoch before.
        let newcomer = world.add_node("newcomer");
        let channel = match world.owner {
            Some(owner) => world.net.command(newcomer, |n, now| n.tune_to(now, &name("news"), owner)),
            None => world.net.command(newcomer, |n, now| n.tune(now, &name("news"))),
        };
        let newcomer = Viewer { node: newcomer, channel: channel.unwrap().unwrap() };
        assert!(world.until(10, |w| w.is_playing(newcomer)), "secured: {secured}\n{}", world.trace());
    }
}

#[test]
fn a_source_that_was_cut_off_ends_when_it_sees_that_it_was_superseded() {
    let (mut world, heir) = world(Setup { secured: true, ..Setup::default() });
    let old = (world.source, world.channel);
    world.net.partition(&[old.0], 1);
    assert!(world.until(4, |w| took_over(w, heir)), "{}", world.trace());
    world.feed(heir);
    world.run(2);
    world.net.heal();
    let superseded = Event::Ended { channel: old.1, reason: EndReason::Superseded };
    assert!(world.until(60, |w| w.told(old.0, |e| *e == superseded)), "{}", world.trace());
    assert!(world.until(3, everybody_plays), "{}", world.trace());
    world.run_for(Duration::from_secs(2));
    assert!(
        everybody_plays(&world)
            && world.net.machine(heir.node).unwrap().status(heir.channel).unwrap().publisher
    );
}

#[test]
fn a_keyword_that_a_standby_will_publish_under_is_taken() {
    let (mut world, heir) = world(Setup::default());
    let tuned = world.net.command(heir.node, |n, now| n.tune(now, &name("news"))).unwrap();
    assert_eq!(tuned, Err(CommandError::ChannelInUse));
    let other = world.add_node("other");
    world.net.command(other, |n, now| n.tune(now, &name("news"))).unwrap().unwrap();
    let standing_by = world.net.command(other, |n, now| n.stand_by(now, &name("200"), &[name("news")]));
    assert_eq!(standing_by.unwrap(), Err(CommandError::ChannelInUse));
}

#[test]
fn of_two_standbys_that_both_took_over_one_goes_on_and_everybody_follows_it() {
    for secured in [false, true] {
        let (mut world, first) = world(Setup { secured, ..Setup::default() });
        let second = world.stand_by("second");
        assert!(world.until(20, |w| w.is_playing(second)), "{}", world.trace());
        world.run(3);
        // Nobody hears of the other in time.
        world.net.partition(&[second.node], 1);
        world.net.kill(world.source, Death::Host);
        let both = |w: &World| took_over(w, first) && took_over(w, second);
        assert!(world.until(10, both), "secured: {secured}\n{}", world.trace());
        world.net.heal();
        let on_air = |w: &World, heir: Viewer| {
            let status = w.net.machine(heir.node).unwrap().status(heir.channel);
            status.is_some_and(|status| status.publisher)
        };
        let one = |w: &World| on_air(w, first) != on_air(w, second);
        assert!(world.until(70, one), "secured: {secured}\n{}", world.trace());
        let (winner, loser) = if on_air(&world, first) { (first, second) } else { (second, first) };
        let superseded = Event::Ended { channel: loser.channel, reason: EndReason::Superseded };
        assert!(world.told(loser.node, |e| *e == superseded), "{}", world.trace());
        world.feed(winner);
        assert!(world.until(30, everybody_plays), "secured: {secured}\n{}", world.trace());
        world.run(40);
        assert!(on_air(&world, winner) && everybody_plays(&world), "secured: {secured}\n{}", world.trace());
    }
}

#[test]
fn a_source_that_was_cut_off_goes_on_when_its_heir_has_died_meanwhile() {
    let (mut world, heir) = world(Setup { secured: true, ..Setup::default() });
    let old = Viewer { node: world.source, channel: world.channel };
    world.net.partition(&[old.node], 1);
    assert!(world.until(4, |w| took_over(w, heir)), "{}", world.trace());
    world.feed(heir);
    world.run(2);
    world.net.heal();
    world.net.kill(heir.node, Death::Host);
    world.feed(old);
    world.run(45);
    assert!(!world.told(old.node, |e| matches!(e, Event::Ended { .. })), "{}", world.trace());
    // Whoever has seen the epoch of the heir believes the one after it.
    assert!(world.until(30, everybody_plays), "{}", world.trace());
}
