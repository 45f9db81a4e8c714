//! Requests for the lists of windows.

use super::*;
use crate::rtp::header::Packet;
use crate::rtp::integrity::{LIST, List, Outgoing, Signer, counterpart};

/// A source that has sent so many packets, one each millisecond, and signed what it sent; CHILD is fed under a key from
/// `start` on. The other end of its call.
fn signing(packets: u16, start: Start) -> (Bench, Session) {
    let mut b = source();
    b.relay.remove_child(CHILD);
    b.relay.protect(CHANNEL, 0).unwrap();
    for n in 0..packets {
        b.push(n.into(), video(n, if n == 60 { KEY_PICTURE } else { PICTURE })).unwrap();
        let sign = |_: &[u8]| Some(Bytes::from_static(&[1; 72]));
        b.order(|relay, fx| relay.sign(at(n.into()), CHANNEL, n.into(), sign, fx));
    }
    b.until(600);
    let mut entropy = Seeded::new(4);
    let mut key = || MasterKey::generate(&mut entropy);
    let (ours, theirs) = (key(), key());
    let child = Session::new(&Keys { ours: theirs.clone(), theirs: ours.clone() });
    let remote = Remote { addr: addr(9), keys: Some(Keys { ours, theirs }) };
    b.order(|relay, fx| relay.add_child(at(700), CHILD, CHANNEL, remote, start, fx).unwrap());
    (b, child)
}

impl Bench {
    /// The sequence numbers of the lists that the last call sent to the child.
    fn lists(&self) -> Vec<u16> {
        let lists = self.sends.iter().filter(|(to, packet)| *to == addr(9) && packet[1] & 0x7f == LIST.0);
        lists.map(|(_, packet)| u16::from_be_bytes([packet[2], packet[3]])).collect()
    }

    fn newest_list(&self) -> &List {
        self.relay.channels.get(&CHANNEL).and_then(|c| c.seal.as_ref()?.lists().newest()).unwrap()
    }

    /// Who is sent lists as they come.
    fn listeners(&self) -> &[SocketAddr] {
        &self.relay.channels.get(&CHANNEL).and_then(|c| c.seal.as_ref()).unwrap().listeners
    }

    /// The newest list, counted back.
    fn list(&self, back: u16) -> u16 {
        self.newest_list().sequence.wrapping_sub(back)
    }

    fn asks_for_list(&mut self, ms: u64, child: &mut Session, sequence: u16) -> Vec<u16> {
        let datagram = child.protect(&nack(counterpart(SSRC), &[sequence])).unwrap();
        self.datagram(ms, 9, datagram).unwrap();
        self.lists()
    }
}

#[test]
fn a_list_is_brought_again_once_in_a_round_trip() {
    let (mut b, mut child) = signing(97, Start::Live);
    let (last, other) = (b.list(0), b.list(1));
    assert_eq!(b.asks_for_list(800, &mut child, last), [last]);
    assert_eq!(b.asks_for_list(814, &mut child, last), []);
    assert_eq!(b.asks_for_list(814, &mut child, other), [other]);
    assert_eq!(b.asks_for_list(815, &mut child, last), [last]);
}

#[test]
fn a_list_that_a_replay_brings_anyway_is_not_sent_at_request() {
    let (mut b, mut child) = signing(193, Start::RandomAccess);
    let (last, first) = (b.list(0), b.list(4));
    assert_eq!(b.lists().first(), Some(&first), "that of the window in which the picture begins");
    assert!(!b.lists().contains(&last));
    assert_eq!(b.listeners(), [], "whoever is replayed to gets lists with that");
    assert_eq!(b.asks_for_list(700, &mut child, last), []);
    assert_eq!(b.asks_for_list(700, &mut child, first), [first]);
}

#[test]
fn a_child_that_comes_before_the_first_packet_gets_the_lists_that_are_ahead_of_it() {
    let mut b = source();
    b.relay.remove_child(CHILD);
    b.relay.protect(CHANNEL, 0).unwrap();
    for n in 0..64u16 {
        b.push(n.into(), video(n, PICTURE)).unwrap();
        let sign = |_: &[u8]| Some(Bytes::from_static(&[1; 72]));
        b.order(|relay, fx| relay.sign(at(n.into()), CHANNEL, n.into(), sign, fx));
    }
    let mut entropy = Seeded::new(4);
    let mut key = || MasterKey::generate(&mut entropy);
    let remote = Remote { addr: addr(9), keys: Some(Keys { ours: key(), theirs: key() }) };
    b.order(|relay, fx| relay.add_child(at(100), CHILD, CHANNEL, remote, Start::RandomAccess, fx).unwrap());
    assert_eq!(b.lists(), [b.list(1), b.list(0)]);
}

/// Windows of eight packets each, with their lists in front of them.
fn windows(many: u16) -> Vec<Vec<Bytes>> {
    windows_of(SSRC, 0, many)
}

/// The same of any source, with no lower numbers than this.
fn windows_of(ssrc: u32, least: u64, many: u16) -> Vec<Vec<Bytes>> {
    let mut signer = Signer::new(least);
    let window = |n: u16| {
        (8 * n..8 * n + 8).for_each(|n| signer.push(at(0), rtp(ssrc, n)).unwrap());
        signer.finish();
        signer.sign(at(0), n.into(), |_| Some(Bytes::from_static(&[1; 72])));
        let octets = |outgoing| match outgoing {
            Outgoing::List(list) => list.packet().clone(),
            Outgoing::Media(packet) => packet,
        };
        core::iter::from_fn(|| signer.pop(at(0))).map(octets).collect()
    };
    (0..many).map(window).collect()
}

impl Bench {
    /// The list is the source's.
    fn list_from(&mut self, ms: u64, from: u8, list: &Bytes) {
        self.datagram(ms, from, list.clone()).unwrap();
        self.order(|relay, fx| relay.judge(at(ms), CHANNEL, |_, _| true, fx));
    }

    /// The requests for lists that left by then, with their times.
    fn asked_by(&mut self, until: u64) -> Vec<(u64, Vec<u16>)> {
        let (mut asked, mut entropy) = (Vec::new(), Seeded::new(1));
        while let Some(now) = self.relay.deadline().filter(|&now| now <= at(until)) {
            self.timeout(now, &mut entropy);
            let lost = self.asked_of(counterpart(SSRC));
            asked.extend(lost.into_iter().map(|(_, lost)| (now.as_micros() / 1000, lost)));
        }
        asked
    }
}

#[test]
fn k11_a_list_that_was_lost_is_asked_for_and_what_waits_for_it_is_what_its_parent_has_brought() {
    let mut b = Bench::viewer();
    b.relay.remove_parent(FATHER);
    b.relay.protect(CHANNEL, 0).unwrap();
    b.relay.on_round_trip(MOTHER, Duration::from_millis(80));
    let sent = windows(4);
    b.list_from(0, 1, &sent[0][0]);
    for (ms, packet) in (0..).step_by(5).zip(&sent[0][1..]) {
        b.datagram(ms, 1, packet.clone()).unwrap();
    }
    assert_eq!((b.relay.last_brought(MOTHER), b.relay.brought(MOTHER)), (Some(at(35)), 8));
    // Its first packet shows that the list is missing; it is lost once more.
    let mut asked = Vec::new();
    for (ms, packet) in (40..).step_by(5).zip(sent[1][1..].iter().chain(&sent[2][1..])) {
        asked.extend(b.asked_by(ms));
        b.datagram(ms, 1, packet.clone()).unwrap();
        assert_eq!(b.relay.last_brought(MOTHER), Some(at(ms)));
        // That they are true nobody knows yet.
        assert_eq!((b.relay.last_media(CHANNEL), b.relay.brought(MOTHER)), (Some(at(35)), 8));
    }
    let (first, second) = (sequence(&sent[1][0]), sequence(&sent[2][0]));
    asked.extend(b.asked_by(249));
    assert_eq!(asked, [(50, vec![first]), (90, vec![second]), (150, vec![first]), (190, vec![second])]);
    b.list_from(250, 1, &sent[1][0]);
    b.list_from(290, 1, &sent[2][0]);
    assert_eq!((b.relay.brought(MOTHER), b.relay.last_media(CHANNEL)), (24, Some(at(290))));
    let evenly = Pace { gap: Duration::from_millis(5), jitter: Duration::ZERO };
    assert_eq!(b.relay.pace(CHANNEL), Some(evenly), "they came one after the other");
}

fn sequence(packet: &Bytes) -> u16 {
    Packet::parse(packet).unwrap().header.sequence
}

/// Three lists are ahead of the first packet of the source that follows.
#[test]
fn a_list_of_an_encoder_that_begins_anew_is_asked_for_while_packets_of_the_one_before_still_come() {
    let (old, new) = (windows(2), windows_of(0xbbbb, 1000, 3));
    let mut b = signed_and_far(&old);
    [&new[0], &new[2]].iter().for_each(|window| b.list_from(10, 1, &window[0]));
    b.timeout(at(20), &mut Seeded::new(1));
    assert_eq!(b.relay.ssrc(CHANNEL), Some(SSRC));
    let lost = sequence(&new[1][0]);
    assert_eq!(b.asked_of(counterpart(SSRC)), []);
    assert_eq!(b.asked_of(counterpart(0xbbbb)), [(addr(5), vec![lost])]);
    // The standby's answer is taken, and it answers in its turn, for both sources.
    b.list_from(60, 5, &new[1][0]);
    assert_eq!(b.relay.counters(CHANNEL).unwrap().integrity.unwrap().lists.packets, 4);
    b.list_from(61, 1, &old[1][0]);
    for (ssrc, list) in [(0xbbbb, &new[1][0]), (SSRC, &old[0][0])] {
        b.datagram(100, 9, nack(counterpart(ssrc), &[sequence(list)])).unwrap();
        assert_eq!(b.got(9), [sequence(list)]);
    }
}

/// The list of the second window is lost; its packets wait, and that of the third shows that they are missing.
#[test]
fn what_waits_for_its_list_is_not_asked_for_again_and_says_nothing_of_the_way_when_it_is_there() {
    let sent = windows(4);
    let mut b = signed_and_far(&sent);
    b.relay.remove_parent(STANDBY);
    let lost = sequence(&sent[1][2]);
    sent[1][1..].iter().filter(|p| sequence(p) != lost).for_each(|p| b.datagram(5, 1, p.clone()).unwrap());
    b.list_from(10, 1, &sent[2][0]);
    sent[2][1..].iter().for_each(|packet| b.datagram(10, 1, packet.clone()).unwrap());
    let mut asked = Vec::new();
    while let Some(due) = b.relay.deadline().filter(|&due| due <= at(45)) {
        b.timeout(due, &mut Seeded::new(1));
        asked.extend(b.asked().into_iter().map(|(_, lost)| (due, lost)));
    }
    assert_eq!(asked, [(at(20), vec![lost])]);
    b.list_from(45, 1, &sent[1][0]);
    let repair = b.relay.counters(CHANNEL).unwrap().repair;
    assert_eq!(repair, missing::Counts { asked: 1, repaired: 0, given_up: 0 });
    // Packets come as evenly, and are as little late, as before.
    b.list_from(46, 1, &sent[3][0]);
    b.datagram(50, 1, sent[3][2].clone()).unwrap();
    b.timeout(at(60), &mut Seeded::new(1));
    assert_eq!(b.asked(), [(addr(1), vec![sequence(&sent[3][1])])]);
}

#[test]
fn who_sends_nothing_but_packets_without_lists_is_taken_at_his_word_for_300_ms() {
    let mut b = Bench::viewer();
    b.relay.protect(CHANNEL, 0).unwrap();
    let sent = windows(11);
    b.list_from(0, 1, &sent[0][0]);
    sent[0][1..].iter().for_each(|packet| b.datagram(0, 1, packet.clone()).unwrap());
    let without = sent[1..].iter().flat_map(|window| &window[1..]);
    for (ms, packet) in (5..).step_by(5).zip(without) {
        b.datagram(ms, 1, packet.clone()).unwrap();
        assert_eq!(b.relay.last_brought(MOTHER), Some(at(ms.min(295))));
    }
    // Nor does it count what is not further on.
    let mut b = Bench::viewer();
    b.relay.protect(CHANNEL, 0).unwrap();
    b.list_from(0, 1, &sent[1][0]);
    sent[1][1..].iter().for_each(|packet| b.datagram(0, 1, packet.clone()).unwrap());
    b.datagram(10, 1, sent[0][1].clone()).unwrap();
    assert_eq!(b.relay.last_brought(MOTHER), Some(at(0)));
}

/// The first packet is judged at 0, and no other list comes.
#[test]
fn a_parent_whose_list_was_lost_is_heard_for_as_long_as_packets_wait_for_one() {
    let (source, _) = signing(97, Start::Live);
    let list = source.newest_list().clone();
    let mut b = Bench::viewer();
    b.relay.protect(CHANNEL, 0).unwrap();
    b.datagram(0, 1, list.packet().clone()).unwrap();
    b.order(|relay, fx| relay.judge(at(0), CHANNEL, |_, _| true, fx));
    b.datagram(0, 1, video(list.first, PICTURE)).unwrap();
    assert_eq!(b.relay.last_media(CHANNEL), Some(at(0)));
    for (ms, heard) in [(100, 100), (299, 299), (300, 299)] {
        b.datagram(ms, 1, video(list.end() + (ms / 100) as u16, PICTURE)).unwrap();
        assert_eq!(b.relay.last_from(MOTHER), Some(at(heard)), "{ms}");
    }
}

#[test]
fn two_calls_of_one_child_are_sent_each_list_once() {
    let (mut b, _) = signing(97, Start::Live);
    assert_eq!(b.listeners(), [addr(9)]);
    let mut entropy = Seeded::new(5);
    let mut key = || MasterKey::generate(&mut entropy);
    let remote = Remote { addr: addr(9), keys: Some(Keys { ours: key(), theirs: key() }) };
    let again = CallId::received(2);
    b.order(|relay, fx| relay.add_child(at(700), again, CHANNEL, remote, Start::Live, fx).unwrap());
    assert_eq!(b.listeners(), [addr(9)]);
    b.add_child(CallId::received(3), CHANNEL, addr(8)).unwrap();
    assert_eq!(b.listeners(), [addr(9)], "a plain receiver is sent the media only");
}

#[test]
fn a_list_from_before_the_first_that_came_is_brought_too_over_the_wrap_of_their_numbers() {
    let mut signer = Signer::new(0);
    let [before, first] = [65_535, 0].map(|sequence| {
        signer.push(at(0), video(sequence, PICTURE)).unwrap();
        signer.finish();
        signer.sign(at(0), 1000, |_| Some(Bytes::from_static(&[1; 72])));
        let leaving = core::iter::from_fn(|| signer.pop(at(0)));
        leaving.fold(Bytes::new(), |list, outgoing| match outgoing {
            Outgoing::List(list) => list.packet().clone(),
            Outgoing::Media(_) => list,
        })
    });
    let (mut b, _, mut child) = keyed();
    // What it has been sent gives it the right to ask.
    (2..20).for_each(|n| b.datagram(n.into(), 1, rtp(SSRC, n)).unwrap());
    b.relay.protect(CHANNEL, 0).unwrap();
    b.add_parent(at(0), FATHER, CHANNEL, addr(2), None).unwrap();
    for list in [first, before] {
        b.datagram(0, 2, list).unwrap();
        b.order(|relay, fx| relay.judge(at(0), CHANNEL, |_, _| true, fx));
    }
    assert_eq!(b.asks_for_list(10, &mut child, 65_535), [65_535]);
}

/// A packet every 10 ms, of which the second of three windows is lost; the replay goes on at four times that pace.
#[test]
fn a_list_that_comes_late_is_sent_on_to_whom_the_replay_has_brought_later_ones_already() {
    let sent = windows(3);
    let [first, lost, last] = [0, 1, 2].map(|n| Packet::parse(&sent[n][0]).unwrap().header.sequence);
    for (late, brought) in [(301, vec![]), (320, vec![lost])] {
        let mut b = Bench::viewer();
        b.relay.remove_child(CHILD);
        b.relay.protect(CHANNEL, 0).unwrap();
        for n in [0, 2] {
            b.list_from(80 * n as u64, 1, &sent[n][0]);
            for (ms, packet) in (80 * n as u64..).step_by(10).zip(&sent[n][1..]) {
                b.datagram(ms, 1, packet.clone()).unwrap();
            }
        }
        let mut entropy = Seeded::new(5);
        let mut key = || MasterKey::generate(&mut entropy);
        let remote = Remote { addr: addr(9), keys: Some(Keys { ours: key(), theirs: key() }) };
        b.order(|relay, fx| relay.add_child(at(300), CHILD, CHANNEL, remote, Start::After(0), fx).unwrap());
        assert_eq!((b.lists(), b.got(9)), (vec![first], vec![first, 1, 2]));
        let replayed = b.until(late).last().map(|last| last.1);
        assert_eq!(replayed >= Some(16), late == 320, "{replayed:?}");
        assert_eq!(b.relay.children(CHANNEL), [], "it goes on");
        b.list_from(late, 1, &sent[1][0]);
        assert_eq!(b.lists(), brought, "{late}: {first} {lost} {last}");
    }
}

#[test]
fn a_late_list_of_the_source_before_leaves_the_count_of_the_present_ones_alone() {
    let list = |ssrc, unix_millis| {
        let mut signer = Signer::new(0);
        signer.push(at(0), rtp(ssrc, 100)).unwrap();
        signer.finish();
        signer.sign(at(0), unix_millis, |_| Some(Bytes::from_static(&[1; 72])));
        let Some(Outgoing::List(list)) = signer.pop(at(0)) else { panic!("a list comes first") };
        list.packet().clone()
    };
    let mut b = Bench::viewer();
    b.relay.protect(CHANNEL, 0).unwrap();
    b.list_from(0, 1, &list(SSRC, 2000));
    let numbered = |b: &Bench| {
        let seal = b.relay.channels.get(&CHANNEL).and_then(|c| c.seal.as_ref()).unwrap();
        [SSRC, 0xbbbb].map(|ssrc| seal.number_of(ssrc, 101).is_some())
    };
    assert_eq!(numbered(&b), [true, false]);
    b.list_from(1, 1, &list(0xbbbb, 1000));
    assert_eq!(numbered(&b), [true, false]);
    b.list_from(2, 1, &list(0xbbbb, 3000));
    assert_eq!(numbered(&b), [false, true]);
}

/// A viewer of a signed channel whose MOTHER is 250 ms away and whose standby is 40, and which has the first window.
fn signed_and_far(sent: &[Vec<Bytes>]) -> Bench {
    let mut b = Bench::viewer();
    b.relay.remove_parent(FATHER);
    b.relay.protect(CHANNEL, 0).unwrap();
    b.order(|relay, fx| relay.add_standby_parent(at(0), STANDBY, CHANNEL, addr(5), fx).unwrap());
    b.relay.on_round_trip(MOTHER, Duration::from_millis(250));
    b.relay.on_round_trip(STANDBY, Duration::from_millis(40));
    b.list_from(0, 1, &sent[0][0]);
    sent[0][1..].iter().for_each(|packet| b.datagram(0, 1, packet.clone()).unwrap());
    b
}

#[test]
fn a_lost_list_is_asked_for_at_the_standby_where_the_parent_is_far() {
    let sent = windows(2);
    let mut b = signed_and_far(&sent);
    for (ms, packet) in (10..).zip(&sent[1][1..]) {
        b.datagram(ms, 1, packet.clone()).unwrap();
    }
    // Nobody has asked the standby yet.
    assert_eq!(b.datagram(18, 5, sent[1][0].clone()), Err(DropReason::UnknownSender));
    b.timeout(at(20), &mut Seeded::new(1));
    let number = Packet::parse(&sent[1][0]).unwrap().header.sequence;
    assert_eq!(b.asked_of(counterpart(SSRC)), [(addr(5), vec![number])]);
    b.list_from(60, 5, &sent[1][0]);
    assert_eq!(b.relay.brought(MOTHER), 16, "it has brought all of them");
    assert_eq!(b.relay.last_from(STANDBY), None);
}

#[test]
fn what_a_standby_forges_is_no_answer_and_what_it_sends_without_a_list_is_not_kept() {
    let sent = windows(3);
    let mut b = signed_and_far(&sent);
    let forged = |packet: &Bytes| {
        let mut forged = packet.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        Bytes::from(forged)
    };
    b.list_from(5, 1, &sent[1][0]);
    // The first of the window is lost, and so is one of those for which there is no list.
    sent[1][2..].iter().chain(&sent[2][2..]).for_each(|packet| b.datagram(10, 1, packet.clone()).unwrap());
    b.timeout(at(20), &mut Seeded::new(1));
    assert_eq!(b.asked().iter().map(|asked| asked.0).collect::<Vec<_>>(), [addr(5)]);
    assert_eq!(b.datagram(60, 5, forged(&sent[1][1])), Err(DropReason::Forged));
    assert_eq!(b.relay.parents.get(STANDBY).unwrap().state.vain, 1);
    b.datagram(61, 5, sent[1][1].clone()).unwrap();
    assert_eq!(b.relay.parents.get(STANDBY).unwrap().state.vain, 0);
    assert_eq!(
        b.datagram(62, 5, sent[2][1].clone()),
        Err(DropReason::UnknownSender),
        "it is not known to be missing"
    );
    // The list of the second window is lost, and that of the third shows that its packets are missing.
    let mut b = signed_and_far(&sent);
    b.list_from(5, 1, &sent[2][0]);
    sent[2][1..].iter().for_each(|packet| b.datagram(10, 1, packet.clone()).unwrap());
    b.timeout(at(20), &mut Seeded::new(1));
    assert_eq!(b.datagram(60, 5, sent[1][1].clone()), Err(DropReason::Unlisted));
    b.list_from(61, 5, &sent[1][0]);
    b.datagram(62, 5, sent[1][1].clone()).unwrap();
}

#[test]
fn what_a_parent_forged_long_ago_is_not_what_is_missing_now() {
    for (later, deceives) in [(9_000, true), (14_000, false)] {
        let sent = windows(2 + HARM as u16);
        let mut b = signed_and_far(&sent);
        b.relay.remove_parent(STANDBY);
        let mut forged = sent[1][1].to_vec();
        *forged.last_mut().unwrap() ^= 1;
        b.list_from(5, 1, &sent[1][0]);
        assert_eq!(b.datagram(6, 1, forged.into()), Err(DropReason::Forged));
        // Of each window after it one packet is lost for good.
        let mut told = false;
        for (ms, window) in (later - 400 * HARM..).step_by(400).zip(&sent[2..]) {
            b.list_from(ms, 1, &window[0]);
            window[2..].iter().for_each(|packet| b.datagram(ms, 1, packet.clone()).unwrap());
            while let Some(due) = b.relay.deadline().filter(|&due| due < at(ms + 400)) {
                b.timeout(due, &mut Seeded::new(1));
                told |= b.facts.contains(&Fact::Deceived { channel: CHANNEL, call: MOTHER });
            }
        }
        assert_eq!(told, deceives, "{later}");
    }
}
