//! DTLS, over a network that loses, repeats and reorders, on a clock that nobody waits for.

use super::forge::*;
use bytes::Bytes;
use p2piptv::env::{Channel, ChannelError, Channels, Crypto, CryptoError, Entropy, Seeded};
use p2piptv::time::{Duration, Instant, earliest};
use p2piptv::tls::{Digest, Dtls, Identity, IdentityError, KeyType, Trust};
use std::collections::BTreeMap;

/// Two ends, and what is on the way between them.
struct World {
    ends: [Box<dyn Channel>; 2],
    ended: [Ended; 2],
    /// By the time of arrival; the end that it goes to.
    flying: BTreeMap<(Instant, u64), (usize, Bytes)>,
    sent: u64,
    now: Instant,
    chance: Seeded,
    /// In per cent.
    loss: u64,
    jitter: Duration,
}

impl World {
    fn new(a: &Identity, b: &Identity, seed: u64, loss: u64, jitter: Duration) -> Self {
        let dials = Dtls::new(a).unwrap().connect(NOW, TODAY);
        let dialled = Dtls::new(b).unwrap().accept(NOW, TODAY);
        World {
            ends: [dials, dialled],
            ended: [Ok(()), Ok(())],
            flying: BTreeMap::new(),
            sent: 0,
            now: NOW,
            chance: Seeded::new(seed),
            loss,
            jitter,
        }
    }

    /// What the ends want sent, onto the way or lost.
    fn transmit(&mut self) {
        for from in [0, 1] {
            while let Some(datagram) = self.ends[from].poll_ciphertext() {
                assert!(datagram.len() <= 1232, "{} bytes do not travel everywhere", datagram.len());
                for _ in 0..1 + u64::from(self.loss > 0 && self.chance.below(10) == 0) {
                    self.sent += 1;
                    if self.chance.below(100) >= self.loss {
                        let jitter =
                            Duration::from_micros(self.chance.below(self.jitter.as_micros() as u64 + 1));
                        let at = self.now + Duration::from_millis(20) + jitter;
                        self.flying.insert((at, self.sent), (1 - from, datagram.clone()));
                    }
                }
            }
        }
    }

    /// Lets the next thing happen; `false` when nothing will.
    fn step(&mut self) -> bool {
        self.transmit();
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let deadline = earliest(self.ends[0].deadline(), self.ends[1].deadline());
        let Some(next) = earliest(arrival, deadline) else { return false };
        assert!(next >= self.now);
        self.now = next;
        if arrival == Some(next) {
            let (_, (to, datagram)) = self.flying.pop_first().unwrap();
            if self.ended[to].is_ok() {
                self.ended[to] = self.ends[to].handle_ciphertext(next, &datagram);
            }
            return true;
        }
        for i in [0, 1] {
            if self.ends[i].deadline() == Some(next) {
                let early = next - Duration::from_micros(1);
                self.ends[i].handle_timeout(early).unwrap();
                assert_eq!(self.ends[i].deadline(), Some(next), "too early does nothing");
                self.ended[i] = self.ends[i].handle_timeout(next);
                assert!(self.ends[i].deadline().is_none_or(|d| d > next), "it is later afterwards");
            }
        }
        true
    }

    /// Until nothing happens any more.
    fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 2000, "it does not come to rest");
        }
    }

    fn received(&mut self, at: usize) -> Vec<Bytes> {
        std::iter::from_fn(|| self.ends[at].poll_plaintext()).collect()
    }
}

const STILL: Duration = Duration::ZERO;

#[test]
fn at11_both_ends_of_an_association_learn_whose_certificate_the_other_has() {
    let (alice, bob) = (node("alice"), node("bob"));
    let mut world = World::new(&alice, &bob, 1, 0, STILL);
    world.ends[0].send(NOW, b"early").unwrap();
    world.ends[1].send(NOW, b"patience").unwrap();
    world.run();
    assert_eq!(world.ended, [Ok(()), Ok(())]);
    assert_eq!(world.ends[0].peer().unwrap().node_id, bob.node_id());
    assert_eq!(world.ends[1].peer().unwrap().node_id, alice.node_id());
    assert_eq!(world.ends[1].peer().unwrap().user.as_deref(), Some("alice@overlay.example.org"));
    assert_eq!(world.received(1), ["early"]);
    assert_eq!(world.received(0), ["patience"]);
    assert!(
        world.now < Instant::from_millis(500),
        "nothing was lost, so nothing was repeated: {:?}",
        world.now
    );
}

#[test]
fn a_handshake_ends_well_through_loss_repetition_and_disorder() {
    let (alice, bob) = (node("alice"), node("bob"));
    for seed in 0..30 {
        let mut world = World::new(&alice, &bob, seed, 20, Duration::from_millis(30));
        world.run();
        assert_eq!(world.ended, [Ok(()), Ok(())], "seed {seed}");
        assert!(world.ends.iter().all(|end| end.peer().is_some()), "seed {seed}");
    }
}

#[test]
fn jl3_a_datagram_is_one_message_and_is_heard_once() {
    let mut world = World::new(&node("alice"), &node("bob"), 1, 0, STILL);
    world.run();
    let messages: Vec<Bytes> = (0..20u8).map(|n| vec![n; usize::from(n) * 50 + 1].into()).collect();
    for message in &messages {
        world.ends[0].send(world.now, message).unwrap();
    }
    let mut datagrams: Vec<Bytes> = std::iter::from_fn(|| world.ends[0].poll_ciphertext()).collect();
    assert_eq!(datagrams.len(), messages.len());
    // Backwards and each twice.
    datagrams.reverse();
    for datagram in datagrams.iter().chain(&datagrams) {
        world.ends[1].handle_ciphertext(world.now, datagram).unwrap();
    }
    let mut received = world.received(1);
    received.reverse();
    assert_eq!(received, messages);
}

#[test]
fn whoever_dials_a_silent_address_gives_up() {
    let mut end = Dtls::new(&node("alice")).unwrap().connect(NOW, TODAY);
    let mut sent = Vec::new();
    let mut now = NOW;
    let ended = loop {
        while let Some(datagram) = end.poll_ciphertext() {
            sent.push((now, datagram));
        }
        now = end.deadline().expect("it does not wait for ever");
        if let Err(error) = end.handle_timeout(now) {
            break error;
        }
    };
    assert_eq!(ended, ChannelError::Timeout);
    assert!((3..=10).contains(&sent.len()), "{}", sent.len());
    assert!(now <= Instant::from_millis(60_000), "{now:?}");
    assert_eq!(end.deadline(), None);
    assert_eq!(end.send(now, b"x"), Err(ChannelError::Timeout));
}

#[test]
fn whoever_was_dialled_waits_without_a_timer_and_answers_a_stranger_with_no_more_than_was_asked() {
    let mut dials = Dtls::new(&node("alice")).unwrap().connect(NOW, TODAY);
    let mut dialled = Dtls::new(&node("bob")).unwrap().accept(NOW, TODAY);
    assert_eq!((dialled.deadline(), dialled.poll_ciphertext()), (None, None));
    let mut asked = 0;
    while let Some(hello) = dials.poll_ciphertext() {
        asked += hello.len();
        dialled.handle_ciphertext(NOW, &hello).unwrap();
    }
    let answer: usize = std::iter::from_fn(|| dialled.poll_ciphertext()).map(|d| d.len()).sum();
    assert!(0 < answer && answer <= asked, "asked with {asked} bytes, answered with {answer}");
}

#[test]
fn a_goodbye_is_heard() {
    let mut world = World::new(&node("alice"), &node("bob"), 1, 0, STILL);
    world.run();
    world.ends[0].close(world.now);
    assert_eq!(world.ends[0].send(world.now, b"x"), Err(ChannelError::Closed));
    world.run();
    assert_eq!(world.ended[1], Err(ChannelError::Closed));
    assert_eq!(world.ends[1].deadline(), None);
}

#[test]
fn noise_and_broken_datagrams_are_passed_over() {
    let mut world = World::new(&node("alice"), &node("bob"), 1, 0, STILL);
    let mut noise = Seeded::new(7);
    for _ in 0..400 {
        let mut junk = vec![0; noise.below(100) as usize];
        noise.fill(&mut junk);
        for end in &mut world.ends {
            assert_eq!(end.handle_ciphertext(world.now, &junk), Ok(()), "{junk:02x?}");
        }
        world.step();
    }
    world.run();
    assert!(world.ends.iter().all(|end| end.peer().is_some()));
    // Afterwards, every bit of a datagram counts.
    world.ends[0].send(world.now, b"message").unwrap();
    let datagram = world.ends[0].poll_ciphertext().unwrap();
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(world.ends[1].handle_ciphertext(world.now, &flipped), Ok(()));
        assert!(world.received(1).is_empty(), "bit {bit}");
    }
    for length in 0..datagram.len() {
        assert_eq!(world.ends[1].handle_ciphertext(world.now, &datagram[..length]), Ok(()));
    }
    world.ends[1].handle_ciphertext(world.now, &datagram).unwrap();
    assert_eq!(world.received(1), ["message"]);
}

#[test]
fn a_handshake_whose_datagrams_are_bent_on_their_way_never_opens_to_anybody_else() {
    let (alice, bob) = (node("alice"), node("bob"));
    for seed in 0..150 {
        let mut world = World::new(&alice, &bob, seed, 5, Duration::from_millis(30));
        let mut chance = Seeded::new(seed + 1000);
        let mut steps = 0;
        while world.ended == [Ok(()), Ok(())] && steps < 500 && world.step() {
            steps += 1;
            for (_, datagram) in world.flying.values_mut() {
                if chance.below(40) == 0 {
                    let mut bent = datagram.to_vec();
                    bent[chance.below(datagram.len() as u64) as usize] ^= 1 << chance.below(8);
                    *datagram = bent.into();
                }
            }
        }
        for (end, other) in [(0, &bob), (1, &alice)] {
            assert!(world.ends[end].peer().is_none_or(|p| p.node_id == other.node_id()), "seed {seed}");
        }
    }
}

#[test]
fn sb9_ce9_a_certificate_that_is_not_believed_ends_the_association() {
    let (alice, root) = (node("alice"), root());
    let stranger =
        issue(good(), key(), Some(&root)).identity(&[], Trust::in_roots(OVERLAY, vec![root.der.clone()]));
    let credulous = stranger.trusting(Trust::in_keys(OVERLAY, Digest::Sha256)).unwrap();
    for (a, b, victim) in [(&credulous, &alice, 1), (&alice, &credulous, 0)] {
        let mut world = World::new(a, b, 1, 0, STILL);
        world.run();
        let refused = Err(ChannelError::Certificate(CryptoError::NotTrusted));
        assert_eq!(world.ended[victim], refused);
        assert!(world.ends[victim].peer().is_none());
        assert_eq!(world.ends[victim].poll_plaintext(), None);
    }
}

#[test]
fn an_rsa_key_is_refused_at_once() {
    let rsa = Identity::self_signed_with(OVERLAY, "a", Digest::Sha1, KeyType::Rsa, 1).unwrap();
    assert_eq!(Dtls::new(&rsa).unwrap_err(), IdentityError::Key);
}

#[test]
fn what_cannot_be_one_record_or_waits_too_long_is_refused_whole() {
    let mut world = World::new(&node("alice"), &node("bob"), 1, 0, STILL);
    assert_eq!(world.ends[0].send(NOW, &[0; 16 * 1024 + 1]), Err(ChannelError::Full));
    let block = [0; 16 * 1024];
    for _ in 0..4 {
        world.ends[0].send(NOW, &block).unwrap();
    }
    assert_eq!(world.ends[0].send(NOW, &[0]), Err(ChannelError::Full));
}

#[test]
fn a_clock_that_goes_back_or_jumps_to_its_end_breaks_nothing() {
    let mut world = World::new(&node("alice"), &node("bob"), 1, 0, STILL);
    world.run();
    for now in [Instant::FAR_FUTURE, NOW, Instant::FAR_FUTURE] {
        world.ends[0].send(now, b"x").unwrap();
        world.ends[0].handle_timeout(now).unwrap();
        let datagram = world.ends[0].poll_ciphertext().unwrap();
        world.ends[1].handle_ciphertext(now, &datagram).unwrap();
        assert_eq!(world.received(1), ["x"]);
    }
}
