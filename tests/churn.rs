//! Whole overlays under churn, at rest and in two halves: small versions of what `simulate` plays.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

use allocation_counter::measure;
use p2piptv::sim::overlay::{Audit, Churn, Config, Identities, Lookup, Partition, Replicas, Setting, hops};
use p2piptv::sim::{Conditions, Latency};
use p2piptv::time::Duration;

/// Half of the pairs nearer than 30 ms, one in twenty farther than 100 ms, 5 ms of jitter.
fn world(seed: u64, loss: f64) -> Config {
    let (median, p95) = (Duration::from_millis(30), Duration::from_millis(100));
    let conditions =
        Conditions { latency: Latency::LogNormal { median, p95 }, ..Conditions::constant(Duration::ZERO) };
    Config::new(seed, conditions.with_jitter(Duration::from_millis(5)).with_loss(loss))
}

fn setting(seed: u64, nodes: usize, minutes: u64, replaced_per_minute: f64) -> Setting {
    Setting {
        world: world(seed, 0.01),
        nodes,
        lasts: Duration::from_secs(60 * minutes),
        replaced_per_minute,
        values: nodes,
        lookups_per_second: 6.0,
    }
}

/// A run that has ended and settled.
fn played(setting: Setting) -> Churn {
    let mut churn = Churn::new(setting);
    churn.grow(|_, _| ()).unwrap();
    churn.store();
    churn.run(|_| ()).unwrap();
    churn.rest(Duration::from_secs(180));
    churn
}

#[test]
fn sixty_nodes_of_which_six_a_minute_are_replaced_answer_every_lookup_and_lose_nothing() {
    // With seed 1 the three holders of a value crash within ten seconds.
    let mut churn = played(setting(2, 60, 2, 0.1));
    let summary = churn.summary_mut();
    assert!(summary.crashes >= 6, "{}", summary.crashes);
    assert!(summary.count(Lookup::Answered) > 600);
    assert_eq!(summary.count(Lookup::Answered), summary.answerable(), "{:?}", summary.lookups);
    assert_eq!(summary.losses, []);
    assert!(Audit::of(churn.network()).is_whole(), "{:?}", Audit::of(churn.network()));
    let spread = Replicas::of(churn.network()).spread(churn.resources());
    assert_eq!(spread, [0, 0, 0, 60, 0], "values on 0/1/2/3/more peers");
}

#[test]
fn ch2_ch3_ch6_at_rest_every_range_has_one_owner_every_value_three_and_lookups_few_hops() {
    let mut setting = setting(2, 100, 1, 0.0);
    setting.world = world(2, 0.0);
    let mut churn = played(setting);
    let audit = Audit::of(churn.network());
    assert!(audit.is_whole(), "{audit:?}");
    assert_eq!(Replicas::of(churn.network()).spread(churn.resources()), [0, 0, 0, 100, 0]);
    let mut hops = hops(churn.network_mut(), 10_000);
    let log = 100f64.log2();
    assert!(hops.mean() <= 0.5 * log + 0.5, "{}", hops.mean());
    assert!(hops.percentile(99.0) as f64 <= log, "{}", hops.percentile(99.0));
    assert_eq!(churn.summary_mut().success(), 1.0);
}

#[test]
fn cu10_13_two_halves_that_were_cut_apart_become_one_ring_with_the_newest_of_every_value() {
    let mut world = world(5, 0.01);
    world.node.timers.partition_interval = Duration::from_secs(60);
    let mut parts = Partition::new(world).unwrap();
    parts.grow(24, 24, |_, _| ()).unwrap();
    parts.cut();
    parts.run_for(Duration::from_secs(120));
    parts.rewrite();
    assert!(parts.halves().iter().all(|half| half.members == 12 && half.is_whole()), "{:?}", parts.halves());
    assert!(!parts.agreement().is_whole());
    parts.heal();
    let whole = parts.wait_until_whole(Duration::from_secs(400), |_, _| ());
    assert!(whole.is_some(), "{:?}", parts.agreement());
}

#[test]
fn k9_the_same_seed_gives_the_same_trace_to_the_last_datagram() {
    let hash = |seed| played(setting(seed, 30, 1, 0.2)).network().trace_hash();
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

#[test]
fn what_a_node_has_been_through_leaves_little_behind_in_its_memory() {
    const NODES: usize = 100;
    let mut setting = setting(6, NODES, 1, 0.0);
    setting.world = world(6, 0.0);
    let mut churn = Churn::new(setting);
    let grown = measure(|| churn.grow(|_, _| ()).unwrap());
    let links = Audit::of(churn.network()).links;
    // With 32 links 40 KiB.
    let most = 8192 * NODES + 1024 * links;
    assert!(grown.bytes_current <= most as i64, "{} of {most}, {links} links", grown.bytes_current);
    let stored = measure(|| churn.store());
    let per_copy = stored.bytes_current / (3 * NODES) as i64;
    assert!(per_copy < 2500, "{per_copy}");
}

#[test]
fn values_that_are_signed_with_certificates_survive_as_well() {
    let mut setting = setting(2, 30, 1, 0.2);
    setting.world.identities = Identities::Certified;
    let mut churn = played(setting);
    assert_eq!(churn.summary_mut().success(), 1.0, "{:?}", churn.summary_mut().lookups);
    assert_eq!(churn.summary_mut().losses, []);
    let (values, bytes) = churn.network().members().fold((0, 0), |(values, bytes), (_, overlay)| {
        (values + overlay.storage().len(), bytes + overlay.storage().bytes())
    });
    assert_eq!(values, 90);
    assert!(bytes > 400 * values, "each keeps its certificate: {bytes}");
}
