//! The streams of offers and answers: under which keys their RTCP travels, and whether they are where the peer is.
//!
//! A secured node offers a key of its own wherever nobody else can read it, and answers one with another. Calls of plain
//! SIP agents, where they are welcome, have none.

use super::{Node, Security};
use crate::rtp::relay::Remote;
use crate::rtp::srtcp::{Keys, MasterKey};
use crate::sip::agent::Transport;
use crate::sip::sdp::{Direction, Media, OFFERED_TAG, Profile, SessionDescription};
use core::net::SocketAddr;

impl Node {
    /// The key for a call that is placed over this transport. Datagrams are in clear, and a key that everybody can read is
    /// none.
    pub(super) fn new_key(&mut self, transport: Option<Transport>) -> Option<MasterKey> {
        let secured = self.config.security != Security::InsecurePlain && transport != Some(Transport::Udp);
        secured.then(|| MasterKey::generate(&mut *self.entropy))
    }

    /// The stream of an offer that this node can serve, and the caller's key: with one if the caller has proved who he is,
    /// plain if this node is, or takes plain SIP agents.
    pub(super) fn offered_stream<'a>(
        &self,
        offer: &'a SessionDescription,
        authenticated: bool,
    ) -> Option<(&'a Media, Option<MasterKey>)> {
        let secured = self.config.security != Security::InsecurePlain;
        if secured
            && authenticated
            && let Some(media) = offer.mp2t(Profile::Savp)
            && let Some(crypto) = media.crypto
        {
            return Some((media, Some(MasterKey::new(crypto.key))));
        }
        let takes_plain = !secured || self.config.agent.insecure_peers;
        Some((offer.mp2t(Profile::Avp).filter(|_| takes_plain)?, None))
    }
}

/// The parent that an answer from `via` describes, and its source: with a key where we offered ours. In a standby nothing
/// flows.
pub(super) fn answered_stream(
    answer: &SessionDescription,
    ours: Option<MasterKey>,
    via: SocketAddr,
    standby: bool,
) -> Option<(Remote, Option<u32>)> {
    let profile = if ours.is_some() { Profile::Savp } else { Profile::Avp };
    let media = answer.mp2t(profile).filter(|media| {
        if standby { media.direction == Direction::Inactive } else { media.direction.sends() }
    })?;
    let addr = answer.address_of(media).filter(|&addr| is_same_host(addr, via))?;
    let keys = match ours {
        Some(ours) => {
            let crypto = media.crypto.filter(|crypto| crypto.tag == OFFERED_TAG)?;
            Some(Keys { ours, theirs: MasterKey::new(crypto.key) })
        }
        None => None,
    };
    Some((Remote { addr, keys }, media.ssrc.as_ref().map(|(ssrc, _)| *ssrc)))
}

/// Whether the media of a peer are to go to, or to come from, where its signalling comes from.
pub(super) fn is_same_host(media: SocketAddr, signalling: SocketAddr) -> bool {
    media.ip().to_canonical() == signalling.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::sdp::Local;

    const OURS: [u8; 30] = [1; 30];
    const THEIRS: [u8; 30] = [2; 30];

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn local<'a>(direction: Direction, key: Option<&'a [u8; 30]>) -> Local<'a> {
        Local { session: (1, 1), address: at("192.0.2.1:5004"), direction, ssrc: Some((7, "100")), key }
    }

    fn answer(offered: Option<&[u8; 30]>, answered: Option<&[u8; 30]>) -> Option<SessionDescription> {
        let offer = SessionDescription::offer(&local(Direction::RecvOnly, offered));
        offer.answer(&local(Direction::SendOnly, answered)).ok()
    }

    #[test]
    fn an_answer_to_a_key_has_one_too() {
        let ours = || Some(MasterKey::new(OURS));
        let via = at("192.0.2.1:5061");
        let secured = answer(Some(&OURS), Some(&THEIRS)).unwrap();
        let keys = Some(Keys { ours: MasterKey::new(OURS), theirs: MasterKey::new(THEIRS) });
        let remote = Remote { addr: at("192.0.2.1:5004"), keys };
        assert_eq!(answered_stream(&secured, ours(), via, false), Some((remote, Some(7))));
        // Neither a plain answer, nor one to an attribute that was not offered.
        let plain = answer(None, None).unwrap();
        assert_eq!(answered_stream(&plain, ours(), via, false), None);
        let mut other = secured.clone();
        other.media[0].crypto.as_mut().unwrap().tag = OFFERED_TAG + 1;
        assert_eq!(answered_stream(&other, ours(), via, false), None);
        // And a plain offer is answered plainly.
        let remote = Remote::from(at("192.0.2.1:5004"));
        assert_eq!(answered_stream(&plain, None, via, false), Some((remote, Some(7))));
        assert_eq!(answered_stream(&secured, None, via, false), None);
        assert_eq!(answer(None, Some(&THEIRS)), None);
    }

    #[test]
    fn media_come_from_the_host_that_answers() {
        let plain = answer(None, None).unwrap();
        for (via, same) in [
            ("192.0.2.1:9", true),
            ("[::ffff:192.0.2.1]:9", true),
            ("192.0.2.2:5004", false),
            ("[2001:db8::1]:5004", false),
        ] {
            assert_eq!(answered_stream(&plain, None, at(via), false).is_some(), same, "{via}");
        }
    }
}
