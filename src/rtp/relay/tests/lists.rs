//! Requests for the lists of windows.

use super::*;
use crate::rtp::integrity::{LIST, List, counterpart};

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
