//! What the published design does without our answers: fifteen seconds, and another lookup.

use crate::harness::{CHANNEL, Solo, grown, ms, placed};
use p2piptv::iptv::{ByeReason, Config, Event, Fact, Order, Profile, Provider, Report};

#[test]
fn p18_the_paper_notices_after_fifteen_seconds_and_looks_the_channel_up_again() {
    let mut w = grown(Config::new(Profile::Paper, 2), 6, 2000);
    w.forget_counts();
    w.kill(1);
    let killed = w.now;
    w.run(ms(14_000));
    assert!(w.event_times(|_, e| matches!(e, Event::Orphaned { .. })).is_empty(), "{}", w.tail(300));
    w.run(ms(120_000));
    let orphaned = w.event_times(|_, e| matches!(e, Event::Orphaned { .. }));
    assert_eq!(orphaned.len(), 2, "{killed:?} {orphaned:?} {}", w.tail(400));
    assert!(orphaned.iter().all(|t| (15_000..15_200).contains(&t.since(killed).as_millis())));
    for id in [3, 4] {
        assert!(w.peers[id].fetches > 0);
    }
    assert!(w.starving(ms(100)).is_empty(), "{:?} {:?}\n{}", w.starving(ms(100)), w.table(), w.tail(100));
}

/// Fifteen seconds until an orphan notices, some more until the source has noticed too and its slot is free; no longer. And
/// whoever lives stands in the table with its depth (P17).
#[test]
fn p18_the_papers_orphans_do_not_wait_for_the_dead_and_its_table_is_refreshed() {
    for (viewers, seed) in [6, 9, 14].into_iter().flat_map(|v| (0..12).map(move |s| (v, s))) {
        let mut w = grown(Config::new(Profile::Paper, 2), viewers, 900 + seed);
        w.run(ms(2500));
        let killed = w.now;
        w.kill(1 + (seed % 2) as u32);
        w.run(ms(40_000));
        let back = w.event_times(|_, e| matches!(e, Event::Reparented { .. }));
        let last = back.into_iter().max().map(|t| t.since(killed));
        assert!(last <= Some(ms(30_000)), "{viewers} viewers, seed {seed}: {last:?}\n{}", w.tail(200));
        assert!(w.starving(ms(500)).is_empty());
        let mut told: Vec<(u32, u32)> =
            w.table().iter().filter(|r| r.0 < u8::MAX).map(|r| (r.1, r.2)).collect();
        told.sort_unstable();
        let real: Vec<(u32, u32)> = w.viewers().map(|v| (v, w.parent(v).unwrap())).collect();
        assert_eq!(told, real, "{viewers} viewers, seed {seed}");
    }
}

#[test]
fn p18_a_parent_that_sends_again_before_another_one_answers_is_the_parent_still() {
    for (late, back) in [(0, false), (1, true)] {
        let (mut s, parent) = Solo::viewer(Config::new(Profile::Paper, 2), 9);
        let orders = s.pass(15_000);
        assert!(
            orders.contains(&Order::Event(Event::Orphaned { channel: CHANNEL, parent: 9 })),
            "{orders:?}"
        );
        // What has come until then has been heard already.
        s.told.media = Some(s.now);
        s.told.from = Some(s.now);
        s.now += ms(late);
        if late > 0 {
            s.hear();
        }
        let orders = s.pass(300);
        let reparented = |o: &Order<u32>| matches!(o, Order::Event(Event::Reparented { parent: 9, .. }));
        assert_eq!(orders.iter().any(reparented), back, "{orders:?}");
        assert!(!orders.contains(&Order::Bye { call: parent, reason: ByeReason::Normal }), "{orders:?}");
    }
}

/// It sits in a rescue slot, as its parent says, and is asking 7 for an ordinary one.
#[test]
fn p18_the_papers_orphan_looks_the_channel_up_and_waits_for_nobody_whom_it_was_asking() {
    let (mut s, parent) = Solo::viewer(Config::new(Profile::Paper, 2), 9);
    let path = vec![9];
    s.reported(
        parent,
        Report::TreePosition { depth: 1, path, rescue: true, backups: vec![], delegated: false },
    );
    s.hear_for(2_000);
    let providers = vec![Provider { peer: 7, depth: Some(1), free: Some(1) }];
    let call = placed(&s.fact(Fact::Fetched { channel: CHANNEL, providers }), 7).unwrap();
    let orders = s.fact(Fact::Ended { call: parent, reason: ByeReason::Lost });
    assert!(orders.contains(&Order::Cancel { call }), "{orders:?}");
    assert!(orders.contains(&Order::Fetch { channel: CHANNEL }), "{orders:?}");
}
