//! Secured associations: between the ciphertext of the overlay's datagrams and the plaintext that its machine reads.
//!
//! ```text
//! host ── datagrams ─▶ Channel (DTLS) ── plaintext, and who is at the other end ─▶ overlay
//! host ◀─ datagrams ── Channel (DTLS) ◀── plaintext ─────────────────────────────── overlay
//! ```
//!
//! Both ends of an association have one address each, so everything between two nodes travels between the same two
//! sockets: what this node dials, what the other end dials, and what is agreed already. The first record of a datagram
//! tells them apart.
//!
//! * A ClientHello from a node with which there is an association may be a spoofed one, or the node has started anew. A
//!   handshake begins beside the association, which ends when the new one is done and not before (RFC 6347 §4.2.8).
//! * When both ends dial, both wait for an answer, and neither gives one. So the end with the smaller address does not listen
//!   to the other's ClientHello while its own is under way, and the other end answers.
//! * Whoever dialled and is asked himself goes by what comes next: if his own question is answered, the one that he was
//!   asked is spoofed.

use super::Limits;
use crate::bounded::{BoundedMap, Place, gives_way};
use crate::effect::Effects;
use crate::env::{Channel, ChannelError, Channels, Party};
use crate::ids::HostPrefix;
use crate::stats::DropReason;
use crate::time::{Duration, Instant, UnixMillis, earliest};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use bytes::Bytes;
use core::net::SocketAddr;

/// What was due at one time is not due again before this has passed, whatever a channel says.
const LEAST: Duration = Duration::from_millis(1);

/// What the overlay must know of its associations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A handshake is done.
    Opened {
        /// With whom.
        peer: SocketAddr,
        /// Who is there.
        party: Arc<Party>,
    },
    /// One datagram's plaintext arrived.
    Received {
        /// From whom.
        peer: SocketAddr,
        /// All of it.
        bytes: Bytes,
    },
    /// It is over, or never came up though it was asked for.
    Closed {
        /// With whom.
        peer: SocketAddr,
    },
}

/// A handshake under way.
struct Handshake {
    channel: Box<dyn Channel>,
    /// When it is given up.
    until: Instant,
}

/// Everything between this node and one address.
#[derive(Default)]
struct Association {
    /// What plaintext travels in.
    current: Option<Box<dyn Channel>>,
    /// What this node dialled.
    mine: Option<Handshake>,
    /// What the other end dialled.
    theirs: Option<Handshake>,
    /// The overlay waits for an association.
    awaited: bool,
    alarm: Option<Instant>,
}

impl Association {
    fn is_empty(&self) -> bool {
        self.current.is_none() && self.mine.is_none() && self.theirs.is_none()
    }

    /// What is agreed is over, after what it still has to say.
    fn close(&mut self, peer: SocketAddr, effects: &mut Effects<Fact>) {
        if let Some(mut current) = self.current.take() {
            flush(peer, &mut *current, effects);
            effects.fact(Fact::Closed { peer });
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let of =
            |h: &Option<Handshake>| h.as_ref().and_then(|h| earliest(Some(h.until), h.channel.deadline()));
        let current = self.current.as_ref().and_then(|channel| channel.deadline());
        earliest(current, earliest(of(&self.mine), of(&self.theirs)))
    }
}

/// What the first record of a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    /// Whoever sent it dials.
    ClientHello,
    /// Whoever sent it was dialled, and begins to answer: ServerHello or HelloVerifyRequest.
    ServerHello,
    /// Anything else of a handshake that is in clear, or an alert.
    Plain,
    /// Something under keys, or noise.
    Protected,
}

impl Record {
    /// DTLSPlaintext (RFC 6347 §4.1, RFC 9147 §4): the content type, the version, the epoch, which is 0 before there are
    /// keys; 48 bits of sequence and a length. Of a handshake the message type follows (§4.2.2).
    const fn first(datagram: &[u8]) -> Record {
        const HANDSHAKE: u8 = 22;
        match datagram {
            [HANDSHAKE, _, _, 0, 0, _, _, _, _, _, _, _, _, 1, ..] => Record::ClientHello,
            [HANDSHAKE, _, _, 0, 0, _, _, _, _, _, _, _, _, 2 | 3, ..] => Record::ServerHello,
            [20..=23, _, _, 0, 0, ..] => Record::Plain,
            _ => Record::Protected,
        }
    }
}

/// Every association of one socket.
pub struct Associations {
    channels: Box<dyn Channels>,
    /// Where others reach this node.
    here: SocketAddr,
    associations: BoundedMap<SocketAddr, Association>,
    /// When something is due, soonest first.
    alarms: BTreeSet<(Instant, SocketAddr)>,
    /// When alarms went off last.
    fired: Option<Instant>,
    /// Handshakes that others began, oldest first.
    strangers: BTreeSet<(Instant, SocketAddr)>,
    limits: Limits,
}

impl core::fmt::Debug for Associations {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Associations")
            .field("associations", &self.associations.len())
            .field("strangers", &self.strangers.len())
            .finish_non_exhaustive()
    }
}

impl Associations {
    /// None yet. `channels` makes this node's ends, which others reach at `here`; what counts for streams in the limits
    /// counts for associations.
    pub fn new(channels: Box<dyn Channels>, here: SocketAddr, limits: Limits) -> Self {
        let associations = BoundedMap::new(limits.streams);
        Associations {
            channels,
            here,
            associations,
            alarms: BTreeSet::new(),
            fired: None,
            strangers: BTreeSet::new(),
            limits,
        }
    }

    /// Associations now, and addresses with which there is a handshake.
    pub fn len(&self) -> usize {
        self.associations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.associations.is_empty()
    }

    /// Handshakes now that others began.
    pub fn strangers(&self) -> usize {
        self.strangers.len()
    }

    /// The overlay wants to speak with an address. [`Fact::Opened`] or [`Fact::Closed`] follows. `at` is the time of day.
    pub fn associate(&mut self, now: Instant, at: UnixMillis, peer: SocketAddr, effects: &mut Effects<Fact>) {
        if self.associations.get(&peer).is_none()
            && self.associations.insert(peer, Association::default()).is_err()
        {
            return effects.fact(Fact::Closed { peer });
        }
        let Some(association) = self.associations.get_mut(&peer) else { return };
        association.awaited = true;
        // Whoever has a right to be answered by the other end does not wait for what may be spoofed.
        if association.mine.is_none() && (association.theirs.is_none() || self.here < peer) {
            let until = now + self.limits.handshake;
            association.mine = Some(Handshake { channel: self.channels.connect(now, at), until });
            if let Some(theirs) = association.theirs.take() {
                self.strangers.remove(&(theirs.until, peer));
            }
        }
        self.pump(peer, effects);
    }

    /// A datagram arrived.
    pub fn on_datagram(
        &mut self,
        now: Instant,
        at: UnixMillis,
        peer: SocketAddr,
        datagram: &[u8],
        effects: &mut Effects<Fact>,
    ) -> Result<(), DropReason> {
        let record = Record::first(datagram);
        if record == Record::ClientHello {
            self.admit(now, at, peer)?;
        }
        let association = self.associations.get_mut(&peer).ok_or(DropReason::NotSecured)?;
        if record == Record::ServerHello
            && association.mine.is_some()
            && let Some(theirs) = association.theirs.take()
        {
            self.strangers.remove(&(theirs.until, peer));
        }
        // Whoever was asked while nobody answers him is asked in earnest.
        let handshake = match record {
            Record::ClientHello => &mut association.theirs,
            Record::ServerHello => &mut association.mine,
            Record::Plain | Record::Protected if association.theirs.is_some() => &mut association.theirs,
            Record::Plain | Record::Protected => &mut association.mine,
        };
        let mut result = Ok(());
        if let Some(Handshake { channel, until }) = handshake
            && let Err(error) = channel.handle_ciphertext(now, datagram)
        {
            result = Err(error);
            flush(peer, &mut **channel, effects);
            self.strangers.remove(&(*until, peer));
            *handshake = None;
        }
        if record == Record::Protected
            && let Some(current) = &mut association.current
            && let Err(error) = current.handle_ciphertext(now, datagram)
        {
            result = Err(error);
            association.close(peer, effects);
        }
        self.pump(peer, effects);
        result.or_else(|error| reason(error).map_or(Ok(()), Err))
    }

    /// Makes room for a handshake that somebody begins. Of one host the oldest gives way, and of all hosts that of whoever
    /// has most. Nobody is refused and nobody's failures are remembered, as those of streams are: an address may be spoofed
    /// here, and whose it is must not be kept out by that.
    fn admit(&mut self, now: Instant, at: UnixMillis, peer: SocketAddr) -> Result<(), DropReason> {
        let known = self.associations.get(&peer);
        if known.is_some_and(|a| a.theirs.is_some()) {
            return Ok(());
        }
        if self.here < peer && known.is_some_and(|a| a.mine.is_some()) {
            return Err(DropReason::NotAllowedOnLink);
        }
        if let Some((until, gone)) = self.gives_way(peer) {
            self.strangers.remove(&(until, gone));
            if let Some(association) = self.associations.get_mut(&gone) {
                association.theirs = None;
            }
            self.settle(gone);
        }
        if self.associations.get(&peer).is_none() {
            self.associations.insert(peer, Association::default()).map_err(|_| DropReason::LinkLimit)?;
        }
        let until = now + self.limits.stranger;
        if let Some(association) = self.associations.get_mut(&peer) {
            association.theirs = Some(Handshake { channel: self.channels.accept(now, at), until });
            self.strangers.insert((until, peer));
        }
        Ok(())
    }

    /// Whose handshake makes room for one from this address.
    fn gives_way(&self, newcomer: SocketAddr) -> Option<(Instant, SocketAddr)> {
        let host = HostPrefix::of(newcomer.ip());
        let mut of_host = self.strangers.iter().filter(|(_, peer)| HostPrefix::of(peer.ip()) == host);
        if of_host.clone().count() >= self.limits.handshakes_per_host {
            return of_host.next().copied();
        }
        let place = |&(until, peer): &(Instant, SocketAddr)| Place {
            holder: HostPrefix::of(peer.ip()),
            used: until,
            may_go: true,
            key: peer,
        };
        let is_full = self.strangers.len() >= self.limits.handshakes;
        let gone = is_full.then(|| gives_way(self.strangers.iter().map(place), host)).flatten()?;
        Some((gone.used, gone.key))
    }

    /// The overlay sends. What cannot be taken is lost, as datagrams are.
    pub fn send(&mut self, now: Instant, peer: SocketAddr, plaintext: &[u8], effects: &mut Effects<Fact>) {
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let Some(current) = &mut association.current else { return };
        match current.send(now, plaintext) {
            Ok(()) | Err(ChannelError::Full) => {}
            Err(_) => association.close(peer, effects),
        }
        self.pump(peer, effects);
    }

    /// The overlay ends it.
    pub fn dissociate(&mut self, now: Instant, peer: SocketAddr, effects: &mut Effects<Fact>) {
        if let Some(association) = self.associations.get_mut(&peer)
            && let Some(current) = &mut association.current
        {
            current.close(now);
            flush(peer, &mut **current, effects);
        }
        self.forget(peer);
    }

    /// The network says that nobody is there, and the overlay knows.
    pub fn forget(&mut self, peer: SocketAddr) {
        if let Some(association) = self.associations.get_mut(&peer) {
            (association.current, association.mine, association.awaited) = (None, None, false);
            if let Some(theirs) = association.theirs.take() {
                self.strangers.remove(&(theirs.until, peer));
            }
        }
        self.settle(peer);
    }

    /// When [`Associations::handle_timeout`] must be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|&(at, _)| at)
    }

    /// Fires what is due: flights of handshakes are sent again, and handshakes that took too long given up.
    pub fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Fact>) {
        self.fired = self.fired.max(Some(now));
        while let Some(&(at, peer)) = self.alarms.first().filter(|(at, _)| *at <= now) {
            let Some(association) = self.associations.get_mut(&peer) else {
                self.alarms.remove(&(at, peer));
                continue;
            };
            if let Some(current) = &mut association.current
                && current.handle_timeout(now).is_err()
            {
                association.close(peer, effects);
            }
            for handshake in [&mut association.mine, &mut association.theirs] {
                if let Some(Handshake { channel, until }) = handshake
                    && (*until <= now || channel.handle_timeout(now).is_err())
                {
                    self.strangers.remove(&(*until, peer));
                    *handshake = None;
                }
            }
            self.pump(peer, effects);
        }
    }

    /// Moves what the channels hold: ciphertext to the host; who is there, and plaintext, to the overlay.
    fn pump(&mut self, peer: SocketAddr, effects: &mut Effects<Fact>) {
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let mut done = None;
        for handshake in [&mut association.mine, &mut association.theirs] {
            if let Some(under_way) = handshake {
                flush(peer, &mut *under_way.channel, effects);
            }
            let party = handshake.as_ref().and_then(|h| h.channel.peer()).cloned();
            done = done.or(party.zip(handshake.take_if(|h| h.channel.peer().is_some())));
        }
        if let Some((party, Handshake { channel, until })) = done {
            // The other one, if there is one, has nothing left to find out.
            let theirs = association.theirs.take().map_or(until, |theirs| theirs.until);
            self.strangers.remove(&(theirs, peer));
            (association.current, association.mine, association.awaited) = (Some(channel), None, false);
            effects.fact(Fact::Opened { peer, party });
        }
        if let Some(current) = &mut association.current {
            flush(peer, &mut **current, effects);
            while let Some(bytes) = current.poll_plaintext() {
                effects.fact(Fact::Received { peer, bytes });
            }
        }
        if association.is_empty() && core::mem::take(&mut association.awaited) {
            effects.fact(Fact::Closed { peer });
        }
        self.settle(peer);
    }

    /// Sets the alarm anew, and forgets what is empty.
    fn settle(&mut self, peer: SocketAddr) {
        let Some(association) = self.associations.get_mut(&peer) else { return };
        let soonest = self.fired.map_or(Instant::ZERO, |fired| fired + LEAST);
        let deadline = association.deadline().map(|at| at.max(soonest));
        if let Some(old) = core::mem::replace(&mut association.alarm, deadline) {
            self.alarms.remove(&(old, peer));
        }
        self.alarms.extend(deadline.map(|at| (at, peer)));
        if association.is_empty() {
            self.associations.remove(&peer);
        }
    }
}

fn flush(peer: SocketAddr, channel: &mut dyn Channel, effects: &mut Effects<Fact>) {
    while let Some(datagram) = channel.poll_ciphertext() {
        effects.send(peer, datagram);
    }
}

/// What an error counts as; a goodbye is none.
const fn reason(error: ChannelError) -> Option<DropReason> {
    match error {
        ChannelError::Closed => None,
        ChannelError::Certificate(_) => Some(DropReason::BadCertificate),
        _ => Some(DropReason::BadStream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;
    use crate::env::InsecureAssociations;
    use crate::ids::NodeId;
    use crate::time::Duration;
    use alloc::collections::VecDeque;
    use alloc::vec;
    use alloc::vec::Vec;

    const AT: UnixMillis = UnixMillis(0);
    const SMALL: usize = 0;
    const LARGE: usize = 1;

    fn address(host: u8) -> SocketAddr {
        ([192, 0, 2, host], 6084).into()
    }

    fn node(host: usize) -> NodeId {
        NodeId([host as u8; 16])
    }

    fn associations(host: usize, limits: Limits) -> Associations {
        let channels = Box::new(InsecureAssociations::new(node(host)));
        Associations::new(channels, address(host as u8), limits)
    }

    /// Two nodes, whose addresses are 192.0.2.0 and 192.0.2.1, and what is on its way between them.
    struct Pair {
        ends: [Associations; 2],
        now: Instant,
        wire: VecDeque<(usize, Bytes)>,
        facts: [Vec<Fact>; 2],
    }

    impl Pair {
        fn new() -> Self {
            let ends = [SMALL, LARGE].map(|host| associations(host, Limits::default()));
            let (wire, facts) = Default::default();
            Pair { ends, now: Instant::from_millis(1000), wire, facts }
        }

        fn with(&mut self, at: usize, call: impl FnOnce(&mut Associations, Instant, &mut Effects<Fact>)) {
            let mut effects = Effects::new();
            call(&mut self.ends[at], self.now, &mut effects);
            for effect in effects.drain() {
                match effect {
                    Effect::Send { to, payload } if to == address(1 - at as u8) => {
                        self.wire.push_back((1 - at, payload));
                    }
                    Effect::Fact(fact) => self.facts[at].push(fact),
                    _ => {}
                }
            }
            assert!(self.ends[at].deadline().is_none_or(|deadline| deadline > self.now), "K1");
        }

        fn dial(&mut self, at: usize) {
            self.with(at, |a, now, effects| a.associate(now, AT, address(1 - at as u8), effects));
        }

        fn send(&mut self, at: usize, bytes: &'static [u8]) {
            self.with(at, |a, now, effects| a.send(now, address(1 - at as u8), bytes, effects));
        }

        /// Everything arrives that is on its way, and what follows from it.
        fn deliver(&mut self) {
            while let Some((to, datagram)) = self.wire.pop_front() {
                self.arrive(to, &datagram).unwrap();
            }
        }

        fn arrive(&mut self, to: usize, datagram: &[u8]) -> Result<(), DropReason> {
            let mut result = Ok(());
            self.with(to, |a, now, effects| {
                result = a.on_datagram(now, AT, address(1 - to as u8), datagram, effects);
            });
            result
        }

        /// Time passes, and nothing arrives.
        fn wait(&mut self, time: Duration) {
            let end = self.now + time;
            while let Some(next) =
                self.ends.iter().filter_map(Associations::deadline).min().filter(|&at| at <= end)
            {
                self.now = next;
                for at in [SMALL, LARGE] {
                    self.with(at, |a, now, effects| a.handle_timeout(now, effects));
                }
            }
            self.now = end;
        }

        fn opened(&self, at: usize) -> usize {
            let opened = |f: &&Fact| matches!(f, Fact::Opened { party, .. } if party.node_id == node(1 - at));
            self.facts[at].iter().filter(opened).count()
        }

        /// Whether what one end says is heard at the other.
        fn is_heard(&mut self, from: usize) -> bool {
            self.send(from, b"hello");
            self.deliver();
            let heard = Fact::Received { peer: address(from as u8), bytes: Bytes::from_static(b"hello") };
            let heard = self.facts[1 - from].iter().filter(|f| **f == heard).count();
            heard > 0
        }

        fn linked() -> Self {
            let mut pair = Pair::new();
            pair.dial(SMALL);
            pair.deliver();
            assert_eq!([pair.opened(SMALL), pair.opened(LARGE)], [1, 1]);
            pair
        }
    }

    /// What somebody sends first who dials.
    fn client_hello() -> Bytes {
        let channel = InsecureAssociations::new(node(9)).connect(Instant::ZERO, AT).poll_ciphertext();
        channel.unwrap()
    }

    #[test]
    fn what_is_dialled_opens_at_both_ends_and_carries_datagrams_both_ways() {
        let mut pair = Pair::linked();
        assert!(pair.is_heard(SMALL) && pair.is_heard(LARGE));
        assert!(
            pair.ends.iter().all(|end| end.len() == 1 && end.strangers() == 0 && end.deadline().is_none())
        );
    }

    #[test]
    fn both_dial_at_once_and_one_association_comes_of_it() {
        let mut pair = Pair::new();
        pair.dial(SMALL);
        pair.dial(LARGE);
        while let Some((to, datagram)) = pair.wire.pop_front() {
            // The smaller one does not listen to the other's ClientHello.
            let _ = pair.arrive(to, &datagram);
        }
        assert_eq!([pair.opened(SMALL), pair.opened(LARGE)], [1, 1]);
        assert!(pair.is_heard(SMALL) && pair.is_heard(LARGE));
        pair.wait(Duration::from_secs(60));
        assert!(pair.wire.is_empty(), "nobody goes on dialling");
        assert_eq!([pair.opened(SMALL), pair.opened(LARGE)], [1, 1]);
    }

    #[test]
    fn a_lost_flight_is_sent_again() {
        let mut pair = Pair::new();
        pair.dial(LARGE);
        pair.wire.clear();
        pair.wait(Duration::from_millis(499));
        assert!(pair.wire.is_empty());
        pair.wait(Duration::from_millis(1));
        pair.deliver();
        assert_eq!(pair.opened(LARGE), 1);
    }

    #[test]
    fn a_dial_that_nobody_answers_ends_in_time_and_is_told_once() {
        let mut pair = Pair::new();
        pair.dial(SMALL);
        pair.wait(Duration::from_millis(4999));
        assert!(pair.facts[SMALL].is_empty());
        pair.wait(Duration::from_millis(1));
        assert_eq!(pair.facts[SMALL], [Fact::Closed { peer: address(1) }]);
        assert!(pair.ends[SMALL].is_empty() && pair.ends[SMALL].deadline().is_none());
    }

    #[test]
    fn rfc6347_4_2_8_a_spoofed_client_hello_harms_no_association() {
        let mut pair = Pair::linked();
        pair.arrive(LARGE, &client_hello()).unwrap();
        assert_eq!(pair.ends[LARGE].strangers(), 1);
        pair.deliver();
        assert!(pair.is_heard(SMALL) && pair.is_heard(LARGE));
        pair.wait(Duration::from_secs(5));
        assert!(pair.is_heard(SMALL) && pair.is_heard(LARGE));
        assert_eq!((pair.ends[LARGE].strangers(), pair.opened(LARGE)), (0, 1));
    }

    #[test]
    fn rfc6347_4_2_8_a_node_that_has_started_anew_replaces_its_association_when_it_has_proved_itself() {
        let mut pair = Pair::linked();
        pair.ends[SMALL] = associations(SMALL, Limits::default());
        pair.dial(SMALL);
        pair.deliver();
        assert_eq!([pair.opened(SMALL), pair.opened(LARGE)], [2, 2]);
        assert!(pair.is_heard(SMALL) && pair.is_heard(LARGE));
        let closed = |f: &Fact| matches!(f, Fact::Closed { .. });
        assert!(!pair.facts[LARGE].iter().any(closed), "the overlay is told by the new one");
    }

    #[test]
    fn whoever_dials_is_not_kept_from_it_by_a_spoofed_client_hello() {
        for (dials, spoofed_first) in [(SMALL, true), (SMALL, false), (LARGE, true), (LARGE, false)] {
            let mut pair = Pair::new();
            if spoofed_first {
                let _ = pair.arrive(dials, &client_hello());
                pair.wire.clear();
            }
            pair.dial(dials);
            if !spoofed_first {
                let _ = pair.arrive(dials, &client_hello());
            }
            while let Some((to, datagram)) = pair.wire.pop_front() {
                // A HelloVerifyRequest for a ClientHello that the other end never sent.
                let _ = pair.arrive(to, &datagram);
            }
            // The larger end waits for whoever asked before it.
            let waits = dials == LARGE && spoofed_first;
            assert_eq!(pair.opened(dials), usize::from(!waits), "{dials} {spoofed_first}");
            pair.wait(Duration::from_secs(5));
            let failed = pair.facts[dials].contains(&Fact::Closed { peer: address(1 - dials as u8) });
            assert_eq!(failed, waits, "and dials again when the overlay says so");
        }
    }

    #[test]
    fn a_goodbye_is_told_and_what_follows_it_is_dropped() {
        let mut pair = Pair::linked();
        pair.with(SMALL, |a, now, effects| a.dissociate(now, address(1), effects));
        pair.deliver();
        assert_eq!(pair.facts[LARGE].last(), Some(&Fact::Closed { peer: address(0) }));
        assert!(pair.ends.iter().all(Associations::is_empty));
        assert_eq!(pair.arrive(SMALL, b"anything"), Err(DropReason::NotSecured));
    }

    #[test]
    fn noise_from_the_other_ends_address_changes_nothing() {
        let mut pair = Pair::linked();
        for noise in [
            &b""[..],
            &[22],
            &[22; 13],
            &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 2, 0],
            &[21, 1, 1, 0, 0],
        ] {
            for end in [SMALL, LARGE] {
                pair.arrive(end, noise).unwrap();
            }
        }
        assert!(pair.is_heard(SMALL) && pair.is_heard(LARGE));
        assert!(pair.ends.iter().all(|end| end.strangers() == 0));
    }

    #[test]
    fn k8_strangers_have_few_places_of_which_one_host_does_not_take_all_and_the_oldest_gives_way() {
        let limits = Limits { handshakes: 3, handshakes_per_host: 2, ..Limits::default() };
        let (mut end, mut effects) = (associations(0, limits), Effects::new());
        let mut ask = |ip: u8, port: u16, at: u64| {
            let (now, from) = (Instant::from_millis(at), SocketAddr::from(([192, 0, 2, ip], port)));
            let result = end.on_datagram(now, AT, from, &client_hello(), &mut effects);
            (result, end.len(), end.strangers())
        };
        assert_eq!(ask(7, 1, 1), (Ok(()), 1, 1));
        assert_eq!(ask(7, 2, 2), (Ok(()), 2, 2));
        assert_eq!(ask(7, 3, 3), (Ok(()), 2, 2), "its host's oldest gave way");
        assert_eq!(ask(7, 3, 4), (Ok(()), 2, 2), "the same one again");
        assert_eq!(ask(8, 1, 5), (Ok(()), 3, 3));
        assert_eq!(ask(9, 1, 6), (Ok(()), 3, 3), "the first of the host with two is forgotten");
        let under_way: Vec<SocketAddr> = end.strangers.iter().map(|&(_, peer)| peer).collect();
        let at = |ip: u8, port: u16| SocketAddr::from(([192, 0, 2, ip], port));
        assert_eq!(under_way, [at(7, 3), at(8, 1), at(9, 1)]);
        let mut told = vec![];
        while let Some(effect) = effects.pop() {
            told.extend(matches!(effect, Effect::Fact(_)).then_some(effect));
        }
        assert_eq!(told, [], "nobody has to know of strangers");
    }

    /// Ends that always have something to do at once.
    struct Eager(InsecureAssociations);

    struct EagerEnd(Box<dyn Channel>);

    impl Channels for Eager {
        fn connect(&mut self, now: Instant, at: UnixMillis) -> Box<dyn Channel> {
            Box::new(EagerEnd(self.0.connect(now, at)))
        }
        fn accept(&mut self, now: Instant, at: UnixMillis) -> Box<dyn Channel> {
            Box::new(EagerEnd(self.0.accept(now, at)))
        }
    }

    impl Channel for EagerEnd {
        fn handle_ciphertext(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ChannelError> {
            self.0.handle_ciphertext(now, bytes)
        }
        fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), ChannelError> {
            self.0.send(now, plaintext)
        }
        fn close(&mut self, now: Instant) {
            self.0.close(now);
        }
        fn poll_ciphertext(&mut self) -> Option<Bytes> {
            self.0.poll_ciphertext()
        }
        fn poll_plaintext(&mut self) -> Option<Bytes> {
            self.0.poll_plaintext()
        }
        fn peer(&self) -> Option<&Arc<Party>> {
            self.0.peer()
        }
        fn deadline(&self) -> Option<Instant> {
            Some(Instant::ZERO)
        }
    }

    #[test]
    fn k1_a_channel_that_is_always_due_does_not_keep_its_node_at_it_for_ever() {
        let channels = Box::new(Eager(InsecureAssociations::new(node(SMALL))));
        let mut end = Associations::new(channels, address(0), Limits::default());
        let mut effects = Effects::new();
        let at = Instant::from_millis;
        end.associate(at(1000), AT, address(1), &mut effects);
        end.handle_timeout(at(1000), &mut effects);
        assert_eq!(end.deadline(), Some(at(1001)));
        end.handle_timeout(at(1500), &mut effects);
        assert_eq!(end.deadline(), Some(at(1501)));
    }

    #[test]
    fn k8_associations_have_a_limit() {
        let limits = Limits { streams: 1, ..Limits::default() };
        let (mut end, mut effects) = (associations(0, limits), Effects::new());
        end.associate(Instant::ZERO, AT, address(1), &mut effects);
        end.associate(Instant::ZERO, AT, address(2), &mut effects);
        let facts: Vec<_> = effects.drain().filter(|e| matches!(e, Effect::Fact(_))).collect();
        assert_eq!(facts, [Effect::Fact(Fact::Closed { peer: address(2) })]);
        let stranger = end.on_datagram(Instant::ZERO, AT, address(3), &client_hello(), &mut effects);
        assert_eq!((stranger, end.len(), end.strangers()), (Err(DropReason::LinkLimit), 1, 0));
    }
}
