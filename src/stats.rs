//! What the node counts: every drop with its reason, and every byte with its plane.

/// The network that a datagram or stream travels on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    /// RELOAD.
    Overlay,
    /// SIP.
    Signalling,
    /// RTP and RTCP.
    Media,
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why an input was not used. Nothing is dropped without one of these being counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// Every reason, in order.
            pub const ALL: &[DropReason] = &[$(DropReason::$name,)*];

            /// One short phrase, for people.
            pub const fn as_str(self) -> &'static str {
                match self { $(DropReason::$name => $text,)* }
            }
        }
    };
}

drop_reasons! {
    /// Overlay: no framing header (RFC 6940 §6.6.2).
    NotFramed => "no RELOAD frame",
    /// Overlay: the forwarding header does not parse.
    BadHeader => "malformed forwarding header",
    /// Overlay: the body or the security block does not parse.
    BadMessage => "malformed RELOAD message",
    /// Overlay: another overlay's message.
    WrongOverlay => "wrong overlay",
    /// Overlay: another version.
    WrongVersion => "wrong RELOAD version",
    /// Overlay: the time to live is spent, or larger than allowed.
    TtlExpired => "TTL",
    /// Overlay: no way on towards the destination.
    NoRoute => "no route",
    /// Overlay: for a Node-ID in our range that is not connected (RFC 6940 §6.1.1).
    NotConnected => "destination not connected",
    /// Overlay: a response that nobody waits for.
    UnknownTransaction => "unknown transaction",
    /// Overlay: a signature that does not hold.
    BadSignature => "bad signature",
    /// Overlay: a response of a peer that, as far as is known here, was not the one to answer.
    WrongResponder => "response of another peer",
    /// Overlay: too many links, or too many from one place.
    LinkLimit => "too many links",
    /// Overlay: more than a link may have waiting.
    LinkQueueFull => "link queue full",
    /// Overlay: not allowed on a link in this state.
    NotAllowedOnLink => "not allowed on this link",
    /// Overlay: pieces of messages that do not fit together, or too many of them.
    BadFragment => "bad fragment",
    /// Overlay: no room for the request's state.
    RequestLimit => "too many requests",
    /// Overlay: too many messages wait for the check of their signatures.
    VerificationLimit => "too many signatures to check",
    /// Overlay: a signature of the host that nobody waits for.
    StraySignature => "signature that nobody waits for",
    /// Signalling: not SIP, or a response that does not parse.
    NotSip => "not a SIP message",
    /// Signalling: a request so broken that no answer can be addressed.
    UnanswerableRequest => "SIP request that cannot be answered",
    /// Signalling: a response or an ACK without a transaction.
    StrayMessage => "stray SIP message",
    /// Signalling: too many transactions.
    TransactionLimit => "too many SIP transactions",
    /// Overlay and signalling: a stream that broke the framing rules.
    BadStream => "broken stream",
    /// Overlay and signalling: a stream whose other end has no acceptable certificate.
    BadCertificate => "certificate not accepted",
    /// Overlay and signalling: plain bytes where only secured ones are taken.
    NotSecured => "not secured",
    /// A grant that its channel's owner did not give, or for somebody else.
    NotGranted => "grant not accepted",
    /// Media: neither RTP nor RTCP.
    NotRtp => "neither RTP nor RTCP",
    /// Media: from somebody who is not a parent or a child.
    UnknownSender => "media from a stranger",
    /// Media: an SSRC that no channel has.
    UnknownSsrc => "unknown SSRC",
    /// Media: RTCP that does not come under the key of its call.
    BadAuthentication => "RTCP not authentic",
    /// Media: this packet was here already.
    Duplicate => "duplicate packet",
    /// Media: not what the channel's source has sent.
    Forged => "not what the source has sent",
    /// Media: nothing that the source has signed was about it in time.
    Unlisted => "not listed by the source",
    /// Media: a list that the source has not signed, or an old one.
    BadList => "not a list of the source's",
    /// Media: a parent sends more wrong lists than are looked at.
    TooManyLists => "too many wrong lists",
    /// Media: older than the duplicate window reaches.
    TooOld => "packet older than the window",
    /// Media: a child asks for more packets again than it may.
    TooManyNacks => "more NACKs than a child may send",
    /// Media: a jump in the sequence that no second packet has confirmed yet (RFC 3550 §A.1).
    SequenceJump => "unconfirmed jump in the sequence",
    /// Any: a plane or stream that is not in use.
    NotInUse => "nothing listens here",
    /// Any: more output waits for the host than may.
    Overloaded => "the host does not drain its output",
    /// Any: larger than this plane's limit.
    TooLarge => "too large",
}

/// Datagrams and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams, or chunks written to a stream.
    pub packets: u64,
    /// Bytes of payload, without UDP, TCP and IP headers.
    pub bytes: u64,
}

impl Traffic {
    /// Counts one.
    pub fn count(&mut self, bytes: usize) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// The counters of one node. They only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    dropped: [u64; DropReason::ALL.len()],
    received: [Traffic; 3],
    sent: [Traffic; 3],
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            dropped: [0; DropReason::ALL.len()],
            received: [Traffic::default(); 3],
            sent: [Traffic::default(); 3],
        }
    }
}

impl Stats {
    /// How often something was dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Every reason that occurred, with its count.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&r| (r, self.dropped(r))).filter(|&(_, n)| n > 0)
    }

    /// What arrived on a plane.
    pub fn received(&self, plane: Plane) -> Traffic {
        self.received[plane as usize]
    }

    /// What was sent on a plane, counting a media packet once for each child.
    pub fn sent(&self, plane: Plane) -> Traffic {
        self.sent[plane as usize]
    }

    /// Counts a drop.
    pub fn count_drop(&mut self, reason: DropReason) {
        let n = &mut self.dropped[reason as usize];
        *n = n.saturating_add(1);
    }

    /// Counts an arrival.
    pub fn count_received(&mut self, plane: Plane, bytes: usize) {
        self.received[plane as usize].count(bytes);
    }

    /// Counts a departure.
    pub fn count_sent(&mut self, plane: Plane, bytes: usize) {
        self.sent[plane as usize].count(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let mut s = Stats::default();
        for (i, &r) in DropReason::ALL.iter().enumerate() {
            (0..=i).for_each(|_| s.count_drop(r));
        }
        for (i, &r) in DropReason::ALL.iter().enumerate() {
            assert_eq!(s.dropped(r), i as u64 + 1, "{}", r.as_str());
        }
    }
}
