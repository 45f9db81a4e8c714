//! What holds whatever happens: lossy wires, every short sequence of events, garbage.

use crate::wire::{World, addr, ms};
use bytes::Bytes;
use p2piptv::env::{Entropy, Seeded};
use p2piptv::ids::{CallId, StreamId};
use p2piptv::sip::agent::{Config, Fact, Failure, OrderError, Refusal, Transport};
use p2piptv::sip::msg::Status;
use quickcheck::{QuickCheck, TestResult};

/// Both ends of a call agree in the end, however many datagrams get lost (as long as it is not nearly all).
#[test]
fn a_lossy_wire_delays_calls_and_breaks_none() {
    fn law(seed: u64, per_cent: u8) -> TestResult {
        let mut luck = Seeded::new(seed);
        let per_cent = u64::from(per_cent % 40);
        let mut w = World::pair(Transport::Udp);
        w.lose = Box::new(move |_| luck.below(100) < per_cent);
        let placed = CallId::placed(1);
        w.invite(0, placed, addr(1)).unwrap();
        w.run_until(20_000);
        let Some(Fact::Invited { call: received, .. }) = w.fact(1) else { return TestResult::discard() };
        if w.accept(1, received).is_err() {
            return TestResult::discard();
        }
        w.run_until(60_000);
        let (a, b) = (w.fact(0), w.fact(1));
        let (Some(Fact::Answered { .. }), Some(Fact::Confirmed { .. })) = (&a, &b) else {
            // The luck ran out for one of them. Then no side has a call that it was not told of.
            w.run_until(300_000);
            let known = [matches!(a, Some(Fact::Answered { .. })), matches!(b, Some(Fact::Confirmed { .. }))];
            let honest = w.sides.iter().zip(known).all(|(s, known)| s.agent.calls() <= usize::from(known));
            return TestResult::from_bool(honest && w.sides.iter().all(|s| s.agent.transactions() == (0, 0)));
        };
        for (side, call) in [(0, placed), (1, received), (0, placed)] {
            if w.info(side, call, "IPTV INFO : Alive\r\n").is_err() {
                return TestResult::discard();
            }
            w.run_until(w.now.as_millis() + 40_000);
            let told = |f: &&Fact| matches!(f, Fact::Informed { .. });
            let answered =
                w.facts_left(side).iter().any(|f| matches!(f, Fact::InfoAnswered { status: Some(_), .. }));
            let informed = w.facts_left(1 - side).into_iter().filter(told).count();
            // Exactly once, unless the INFO was given up; never twice.
            if informed > 1 || (answered && informed != 1) {
                return TestResult::failed();
            }
            w.sides.iter_mut().for_each(|s| s.facts.clear());
        }
        let _ = w.bye(0, placed, None);
        w.run_until(w.now.as_millis() + 100_000);
        let ended = w.sides[0].agent.calls() == 0;
        TestResult::from_bool(ended && w.sides.iter().all(|s| s.agent.transactions() == (0, 0)))
    }
    QuickCheck::new().tests(150).quickcheck(law as fn(u64, u8) -> TestResult);
}

/// What a policy, a wire or a clock can do to a pair of agents.
#[derive(Clone, Copy, Debug)]
enum Step {
    Invite,
    Cancel,
    Accept,
    Reject,
    InfoFromCaller,
    InfoFromCallee,
    Options,
    ByeFromCaller,
    ByeFromCallee,
    Wait,
    LoseAll,
    CutStream,
}

const STEPS: [Step; 12] = [
    Step::Invite,
    Step::Cancel,
    Step::Accept,
    Step::Reject,
    Step::InfoFromCaller,
    Step::InfoFromCallee,
    Step::Options,
    Step::ByeFromCaller,
    Step::ByeFromCallee,
    Step::Wait,
    Step::LoseAll,
    Step::CutStream,
];

struct Play {
    w: World,
    received: Option<CallId>,
}

impl Play {
    fn new(transport: Transport) -> Self {
        Play { w: World::pair(transport), received: None }
    }

    fn step(&mut self, step: Step) {
        let placed = CallId::placed(1);
        let w = &mut self.w;
        let received = self.received.unwrap_or(CallId::received(0));
        let _: Result<(), OrderError> = match step {
            Step::Invite => w.invite(0, placed, addr(1)),
            Step::Cancel => w.cancel(0, placed),
            Step::Accept => w.accept(1, received),
            Step::Reject => w.reject(1, received, Refusal::status(Status::BUSY_HERE)),
            Step::InfoFromCaller => w.info(0, placed, "x"),
            Step::InfoFromCallee => w.info(1, received, "y"),
            Step::Options => w.with(0, |agent, now, ctx| agent.options(now, placed, ctx)),
            Step::ByeFromCaller => w.bye(0, placed, None),
            Step::ByeFromCallee => w.bye(1, received, None),
            Step::Wait => {
                w.run_until(w.now.as_millis() + 250);
                Ok(())
            }
            Step::LoseAll => {
                w.lose = Box::new(|_| true);
                w.listening = false;
                Ok(())
            }
            Step::CutStream => {
                w.cut(0, StreamId::requested(0));
                Ok(())
            }
        };
        let invited = |f: &Fact| if let Fact::Invited { call, .. } = f { Some(*call) } else { None };
        self.received = self.w.sides[1].facts.iter().rev().find_map(invited).or(self.received);
    }

    /// The policy ends whatever is left: then nothing may be left, whatever happened before.
    fn check(mut self, trace: &[Step]) {
        let placed = CallId::placed(1);
        self.w.run_until(self.w.now.as_millis() + 200_000);
        let _ = self.w.cancel(0, placed);
        if let Some(received) = self.received {
            let _ = self.w.bye(1, received, None);
        }
        self.w.run_until(self.w.now.as_millis() + 400_000);
        assert!(self.w.is_quiet(), "something is left after {trace:?}");
        assert!(self.w.sides.iter().all(|s| s.agent.deadline().is_none()), "a timer is left after {trace:?}");
        // At most one ending is told of each call.
        for (side, s) in self.w.sides.iter().enumerate() {
            let endings = s.facts.iter().filter(|f| {
                matches!(
                    f,
                    Fact::Refused { .. } | Fact::Failed { .. } | Fact::Cancelled { .. } | Fact::Ended { .. }
                )
            });
            let calls = s.facts.iter().filter(|f| matches!(f, Fact::Invited { .. })).count();
            let placed = trace.iter().filter(|s| matches!(s, Step::Invite)).count();
            assert!(endings.count() <= [placed, calls][side], "{:?} after {trace:?}", s.facts);
        }
    }
}

/// Every three steps behind an INVITE, over both transports: nothing panics, nothing is left.
#[test]
fn every_short_sequence_of_events_ends_with_nothing_left() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for n in 0..STEPS.len().pow(3) {
            let mut trace = vec![Step::Invite];
            let mut n = n;
            for _ in 0..3 {
                trace.push(STEPS[n % STEPS.len()]);
                trace.push(Step::Wait);
                n /= STEPS.len();
            }
            let mut play = Play::new(transport);
            trace.iter().for_each(|&step| play.step(step));
            play.check(&trace);
        }
    }
}

#[test]
fn every_long_sequence_of_events_ends_with_nothing_left() {
    fn law(steps: Vec<u8>, tcp: bool) -> bool {
        let trace: Vec<Step> = steps.iter().take(30).map(|&n| STEPS[usize::from(n) % STEPS.len()]).collect();
        let mut play = Play::new(if tcp { Transport::Tcp } else { Transport::Udp });
        trace.iter().for_each(|&step| play.step(step));
        play.check(&trace);
        true
    }
    QuickCheck::new().tests(300).quickcheck(law as fn(Vec<u8>, bool) -> bool);
}

/// A stranger replays everything that was ever said, bent at one place.
#[test]
fn k7_bent_messages_neither_panic_nor_pile_up() {
    let mut w = World::pair(Transport::Udp);
    let (placed, received) = w.confirmed_call();
    w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
    w.bye(1, received, None).unwrap();
    w.run_until(5000);
    let said: Vec<String> = w.sides.iter().flat_map(|s| s.messages.clone()).collect();
    let mut luck = Seeded::new(3);
    let stranger = "127.0.0.77:9999".parse().unwrap();
    for round in 0..3000 {
        let mut bytes = said[luck.below(said.len() as u64) as usize].clone().into_bytes();
        match round % 4 {
            0 => bytes.truncate(luck.below(bytes.len() as u64) as usize),
            1 => {
                let at = luck.below(bytes.len() as u64) as usize;
                bytes[at] = luck.next_u64() as u8;
            }
            2 => {
                let other = said[luck.below(said.len() as u64) as usize].as_bytes();
                bytes.truncate(luck.below(bytes.len() as u64) as usize);
                bytes.extend_from_slice(&other[luck.below(other.len() as u64) as usize..]);
            }
            _ => {}
        }
        let payload = Bytes::from(bytes);
        for side in 0..2 {
            let p = payload.clone();
            let _ = w.with(side, |agent, now, ctx| agent.handle_datagram(now, stranger, p, ctx));
        }
    }
    w.run_until(400_000);
    assert!(w.is_quiet());
}

/// Every truncation of every message on a stream: the rest never comes.
#[test]
fn a_stream_that_ends_inside_a_message_leaves_nothing() {
    let mut w = World::pair(Transport::Tcp);
    w.confirmed_call();
    let invite = w.sides[0].messages[0].clone();
    for n in 0..invite.len() {
        let mut w = World::new(vec![Config::new("source", addr(0))]);
        let id = StreamId::accepted(0);
        w.with(0, |agent, now, ctx| agent.on_stream_opened(now, id, addr(9), None, ctx).is_ok());
        let bytes = Bytes::copy_from_slice(&invite.as_bytes()[..n]);
        assert_eq!(w.with(0, |agent, now, ctx| agent.on_stream_bytes(now, id, bytes, ctx)), Ok(()));
        w.with(0, |agent, now, ctx| agent.on_stream_closed(now, id, ctx));
        assert!(w.is_quiet() && w.sides[0].facts.is_empty() && w.sides[0].messages.is_empty());
    }
}

#[test]
fn k9_the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut w = World::pair(Transport::Udp);
        let (placed, received) = w.confirmed_call();
        w.info(0, placed, "IPTV INFO : Alive\r\n").unwrap();
        w.bye(1, received, None).unwrap();
        w.run_until(100_000);
        w.sides.into_iter().map(|s| (s.sent, s.messages)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn k12_a_timeout_before_the_deadline_does_nothing() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(1), addr(9)).unwrap();
    let deadline = w.sides[0].agent.deadline();
    w.now = ms(499);
    w.with(0, |agent, now, ctx| agent.handle_timeout(now, ctx));
    assert_eq!(w.sides[0].agent.deadline(), deadline);
    assert_eq!(w.times(0, "INVITE"), [0]);
}

#[test]
fn a_late_wake_up_fires_everything_that_is_due() {
    let mut w = World::pair(Transport::Udp);
    w.invite(0, CallId::placed(1), addr(9)).unwrap();
    w.now = ms(3_600_000);
    w.with(0, |agent, now, ctx| agent.handle_timeout(now, ctx));
    assert_eq!(w.fact(0), Some(Fact::Failed { call: CallId::placed(1), cause: Failure::Timeout }));
    assert_eq!(w.sides[0].agent.deadline(), None);
}
