//! Requests for the lists of windows.

use super::*;
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
