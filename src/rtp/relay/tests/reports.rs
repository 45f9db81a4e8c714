//! Receiver and sender reports.

use super::*;

#[test]
fn k11_receiver_reports_leave_at_once_and_then_every_second_give_or_take_a_tenth() {
    let mut b = Bench::new(Limits::default());
    b.relay.open(CHANNEL, Role::Viewer).unwrap();
    for (call, n) in [(MOTHER, 1), (FATHER, 2)] {
        b.add_parent(at(0), call, CHANNEL, addr(n), None).unwrap();
        assert_eq!(b.receivers(), [addr(n)]);
        let packets = rtcp::parse(&b.sends[0].1).unwrap();
        assert!(matches!(packets.first(), Some(rtcp::Packet::ReceiverReport { ssrc: 0x5e1f, .. })));
    }
    let mut entropy = Seeded::new(3);
    assert_eq!(b.relay.deadline(), Some(at(1000)));
    let mut intervals = Vec::new();
    for _ in 0..200 {
        let due = b.relay.deadline().unwrap();
        b.timeout(due, &mut entropy);
        assert_eq!(b.receivers(), [addr(1), addr(2)]);
        let next = b.relay.deadline().unwrap();
        intervals.push(next.since(due).as_micros());
    }
    assert!(intervals.iter().all(|us| (900_000..=1_100_000).contains(us)));
    assert!(intervals.iter().any(|us| *us < 950_000) && intervals.iter().any(|us| *us > 1_050_000));
}

#[test]
fn k1_k12_an_early_wake_up_does_nothing_and_a_late_one_reports_once() {
    let mut b = Bench::viewer();
    let mut entropy = Seeded::new(3);
    b.timeout(at(1000), &mut entropy);
    let due = b.relay.deadline().unwrap();
    b.timeout(due - Duration::from_micros(1), &mut entropy);
    assert_eq!((b.sends.len(), b.relay.deadline()), (0, Some(due)));
    b.timeout(at(60_000), &mut entropy);
    assert_eq!(b.sends.len(), 2);
    assert!(b.relay.deadline().unwrap() > at(60_000));
}

#[test]
fn without_parents_there_is_nothing_to_wait_for() {
    let mut b = Bench::viewer();
    b.relay.remove_parent(MOTHER);
    assert!(b.relay.deadline().is_some());
    b.relay.remove_parent(FATHER);
    assert_eq!(b.relay.deadline(), None);
    b.timeout(at(5000), &mut Seeded::new(1));
    assert_eq!(b.sends, []);
}

#[test]
fn one_report_for_each_parent_address_tells_of_all_its_channels() {
    let mut b = Bench::new(Limits::default());
    for (channel, call, ssrc) in [(CHANNEL, MOTHER, 11), (OTHER, FATHER, 22)] {
        b.relay.open(channel, Role::Viewer).unwrap();
        b.add_parent(at(0), call, channel, addr(1), Some(ssrc)).unwrap();
    }
    b.add_parent(at(0), CallId::placed(3), OTHER, addr(2), None).unwrap();
    for n in [1, 2, 4] {
        b.datagram(0, 1, rtp(11, n)).unwrap();
        b.datagram(0, 1, rtp(22, n / 2)).unwrap();
    }
    b.timeout(at(1010), &mut Seeded::new(1));
    assert_eq!(b.receivers(), [addr(1), addr(2)]);
    let blocks: Vec<Vec<(u32, u8, u32)>> = b
        .sends
        .iter()
        .map(|(_, datagram)| {
            let packets = rtcp::parse(datagram).unwrap();
            let [
                rtcp::Packet::ReceiverReport { ssrc: 0x5e1f, blocks },
                rtcp::Packet::SourceDescription(sdes),
            ] = packets.as_slice()
            else {
                panic!("{packets:?}")
            };
            assert_eq!(sdes.cnames().next(), Some((0x5e1f, &b"me@here"[..])));
            blocks.iter().map(|block| (block.ssrc, block.fraction_lost, block.highest)).collect()
        })
        .collect();
    assert_eq!(blocks, [vec![(11, 64, 4), (22, 0, 2)], vec![(22, 0, 2)]]);
}

#[test]
fn more_channels_than_a_report_can_count_go_into_the_next_datagram() {
    let mut b = Bench::new(Limits::default());
    for n in 0..40u16 {
        b.relay.open(ChannelId(n), Role::Viewer).unwrap();
        let call = CallId::placed(n.into());
        b.add_parent(at(0), call, ChannelId(n), addr(1), Some(n.into())).unwrap();
        b.datagram(0, 1, rtp(n.into(), 5)).unwrap();
    }
    b.timeout(at(1000), &mut Seeded::new(1));
    assert_eq!(b.receivers(), [addr(1), addr(1)]);
    let mut parent = Bench::new(Limits::default());
    for n in 0..40u16 {
        parent.relay.open(ChannelId(n), Role::Viewer).unwrap();
        parent.add_parent(at(0), CallId::placed(n.into()), ChannelId(n), addr(3), Some(n.into())).unwrap();
        parent.add_child(CallId::received(n.into()), ChannelId(n), addr(9)).unwrap();
    }
    for (_, datagram) in core::mem::take(&mut b.sends) {
        parent.datagram(1000, 9, datagram).unwrap();
    }
    assert!((0..40).all(|n| parent.relay.last_report(CallId::received(n)) == Some(at(1000))));
}

#[test]
fn a_childs_report_shows_that_it_lives_and_what_it_lacks() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (None, None));
    assert_eq!(b.datagram(500, 9, report(&[SSRC], 12)), Ok(()));
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (Some(at(500)), Some(12)));
    // An empty report is a sign of life too.
    assert_eq!(b.datagram(600, 9, report(&[], 0)), Ok(()));
    assert_eq!((b.relay.last_report(CHILD), b.relay.reported_loss(CHILD)), (Some(at(600)), Some(12)));
    assert_eq!((b.facts.len(), b.sends.len()), (0, 0), "reports stay hop by hop");
}

#[test]
fn a_report_about_one_channel_is_silent_about_another_of_the_same_child() {
    let mut b = Bench::two_channels();
    let third = ChannelId(3);
    b.relay.open(third, Role::Viewer).unwrap();
    b.add_parent(at(0), CallId::placed(3), CHANNEL, addr(3), Some(11)).unwrap();
    b.datagram(0, 1, rtp(11, 1)).unwrap();
    b.datagram(0, 1, rtp(22, 1)).unwrap();
    let calls = [1, 2, 3].map(CallId::received);
    for (call, channel) in calls.into_iter().zip([CHANNEL, OTHER, third]) {
        b.add_child(call, channel, addr(9)).unwrap();
    }
    b.datagram(10, 9, report(&[11], 3)).unwrap();
    // The third channel has no source that the child could name.
    assert_eq!(calls.map(|call| b.relay.last_report(call)), [Some(at(10)), None, Some(at(10))]);
    assert_eq!(calls.map(|call| b.relay.reported_loss(call)), [Some(3), None, None]);
    b.datagram(20, 9, report(&[99], 0)).unwrap();
    assert_eq!(calls.map(|call| b.relay.last_report(call)), [Some(at(20)); 3]);
}

#[test]
fn reports_of_strangers_and_of_mere_parents_are_dropped() {
    let mut b = Bench::viewer();
    assert_eq!(b.datagram(0, 77, report(&[SSRC], 0)), Err(DropReason::UnknownSender));
    assert_eq!(b.datagram(0, 1, report(&[SSRC], 0)), Err(DropReason::UnknownSsrc));
    assert_eq!(b.relay.last_from(MOTHER), None);
}

#[test]
fn a_sender_report_of_the_source_goes_down_once_and_intact() {
    let mut b = Bench::viewer();
    b.add_child(CallId::received(2), CHANNEL, addr(2)).unwrap();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    let datagram = sr(SSRC, 100 << 32, &[]);
    assert_eq!(b.datagram(5, 1, datagram.clone()), Ok(()));
    assert_eq!(b.sends, [(addr(9), datagram.clone())], "and not to address 2, which is a parent");
    assert_eq!(b.relay.last_from(MOTHER), Some(at(5)));
    // The same through the other parent, and an older one that went in a circle.
    assert_eq!(b.datagram(6, 2, datagram), Ok(()));
    assert_eq!((b.sends.len(), b.relay.last_from(FATHER)), (0, Some(at(6))));
    assert_eq!(b.datagram(7, 2, sr(SSRC, 99 << 32, &[])), Ok(()));
    assert_eq!(b.sends, []);
    b.datagram(8, 2, sr(SSRC, 101 << 32, &[])).unwrap();
    assert_eq!(b.sends.len(), 1);
}

#[test]
fn a_sender_report_of_anybody_else_stays_here() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    assert_eq!(b.datagram(1, 1, sr(0xbbbb, 1, &[])), Err(DropReason::UnknownSsrc));
    assert_eq!(b.datagram(1, 77, sr(SSRC, 1, &[])), Err(DropReason::UnknownSender));
    // A child's counts as its report.
    assert_eq!(b.datagram(1, 9, sr(SSRC, 1, &[])), Ok(()));
    assert_eq!(b.sends, []);
}

#[test]
fn a_sender_report_with_a_notice_stays_here() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    let paused = notice(SSRC, Hold::Paused);
    assert_eq!(b.datagram(1, 1, sr(SSRC, 1, &paused)), Ok(()));
    assert_eq!((b.facts.len(), b.sends.len()), (1, 0));
}

#[test]
fn the_last_sender_report_comes_back_in_the_receiver_report() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(1000, 1, sr(SSRC, 0x1111_2222_3333_4444, &[])).unwrap();
    b.timeout(at(1500), &mut Seeded::new(1));
    let packets = rtcp::parse(&b.sends[0].1).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    let block = blocks.iter().next().unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x2222_3333, 1 << 15));
}

#[test]
fn the_sender_reports_of_a_new_source_start_anew() {
    let mut b = Bench::viewer();
    b.datagram(0, 1, rtp(SSRC, 1)).unwrap();
    b.datagram(0, 1, sr(SSRC, 100 << 32, &[])).unwrap();
    b.datagram(300, 1, rtp(0xbbbb, 7)).unwrap_err();
    b.datagram(301, 1, rtp(0xbbbb, 8)).unwrap();
    b.timeout(at(1000), &mut Seeded::new(1));
    let (_, report) = b.sends[0].clone();
    let packets = rtcp::parse(&report).unwrap();
    let Some(rtcp::Packet::ReceiverReport { blocks, .. }) = packets.first() else { panic!() };
    let block = blocks.iter().next().unwrap();
    assert_eq!((block.ssrc, block.last_sr, block.delay_since_last_sr), (0xbbbb, 0, 0));
    // Its clock may be behind the one of the old source.
    b.datagram(1100, 1, sr(0xbbbb, 50 << 32, &[])).unwrap();
    assert_eq!(b.receivers(), [addr(9)]);
}
