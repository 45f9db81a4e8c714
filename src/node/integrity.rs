//! The keys behind [`rtp::integrity`](crate::rtp::integrity): a publisher signs as the channel's owner, and everybody else
//! checks by the certificate in the owner's grants, which stand in every record of the channel.
//!
//! The owner also ends the channel: his word for it ([`Node::proof_of_end`]) goes down the tree in the BYEs, from parent to child,
//! and whoever says that a channel is over and does not show it is a parent that is lost, no more
//! ([`ByeReason::RumouredEnd`]). A word that is older than what the owner has sent since ends nothing.
//!
//! Nobody asks a provider for media before he has found such a record, so in a secured overlay every channel is checked. In
//! one that is not, nobody owns a channel, and what comes is believed
//! ([`Counters::integrity`](crate::rtp::reception::Counters::integrity) is `None`).
//!
//! Signatures are made and checked in the call that needs them. One takes 27 µs with the usual keys, and half a
//! millisecond with RSA, a few times a second; to have them made elsewhere, as
//! [`Output::Sign`](super::Output::Sign) does for the overlay, would take longer, and media waits for them.

use super::Node;
use super::api::Event;
use super::channels::Channel;
use crate::env::{Crypto, Signed, Signer};
use crate::ids::{CallId, ChannelId};
use crate::iptv::{self, ByeReason};
use crate::reload::codec::Grant;
use crate::rtp::integrity::CONTEXT;
use crate::rtp::relay::RelayError;
use crate::time::{Duration, UnixMillis};
use alloc::vec::Vec;
use bytes::Bytes;

/// A newcomer takes no windows that were closed so long ago: as far as the clocks of a source and a viewer may be apart, as
/// for grants, and what providers keep for newcomers.
const OLDEST: Duration = Duration::from_secs(6 * 60);

/// Who has deceived this node is not asked again for so long.
pub(super) const SHUNNED: Duration = Duration::from_secs(60);

/// What the end of a channel is signed for: behind it stand the channel and the time, as milliseconds since 1970.
const END: &[u8] = b"p2piptv end of channel 1\0";

/// So many deceivers are remembered.
const MAX_SHUNNED: usize = 32;

/// A channel owner's key, as a grant proved it.
#[derive(Clone, Debug)]
pub(super) struct OwnerKey {
    signer: Signer,
    certificate: Bytes,
    hash: u8,
    signature: u8,
}

impl OwnerKey {
    /// The key that has signed a grant. It keeps no part of the message that brought it.
    pub(super) fn of(grant: &Grant) -> Self {
        let (identity, signed) = (&grant.signature.identity, &grant.signature.signed);
        OwnerKey {
            signer: Signer { value: Bytes::copy_from_slice(&identity.value), ..identity.clone() },
            certificate: Bytes::copy_from_slice(&grant.certificate),
            hash: signed.hash,
            signature: signed.signature,
        }
    }
}

impl Channel {
    /// Whether a signature is that of the channel's owner, for these parts.
    fn has_signed(&self, parts: &[&[u8]], signature: &[u8], (crypto, at): (&dyn Crypto, UnixMillis)) -> bool {
        let Some(key) = &self.owner_key else { return false };
        let signed =
            Signed { hash: key.hash, signature: key.signature, value: Bytes::copy_from_slice(signature) };
        let certificate = core::slice::from_ref(&key.certificate);
        let owner = crypto.verify(at, &key.signer, certificate, parts, &signed);
        owner.is_ok_and(|owner| self.trusted == Some(owner.key))
    }
}

impl Node {
    /// Nothing of a channel goes on from here that its owner has not signed, where channels have owners.
    pub(super) fn protect(&mut self, channel: ChannelId) -> Result<(), RelayError> {
        if !self.needs_grants() {
            return Ok(());
        }
        let oldest = u64::try_from(OLDEST.as_millis()).unwrap_or(u64::MAX);
        let since = self.overlay.time_of_day(self.now).0.saturating_sub(oldest);
        self.relay.protect(channel, since)
    }

    pub(super) fn sign_media(&mut self, channel: ChannelId) {
        let Some(open) = self.channels.get(channel) else { return };
        let (name, place) = (self.resource_name(&open.name), self.resource(&open.name));
        let at = self.overlay.time_of_day(self.now);
        let owner = open.owner.as_ref().and_then(|owner| owner.identity(&name));
        let sign = |list: &[u8]| Some(owner?.sign(&[CONTEXT, place.as_bytes(), list]).value);
        self.relay.sign(self.now, channel, at.0, sign, &mut self.media_effects);
    }

    pub(super) fn judge_media(&mut self, channel: ChannelId) {
        let Some(open) = self.channels.get(channel) else { return };
        let place = self.resource(&open.name);
        let at = self.overlay.time_of_day(self.now);
        let crypto = &*self.crypto;
        let verify = |list: &[u8], signature: &[u8]| {
            open.has_signed(&[CONTEXT, place.as_bytes(), list], signature, (crypto, at))
        };
        self.relay.judge(self.now, channel, verify, &mut self.media_effects);
    }

    /// The owner's word that the channel of a call is over: at its publisher a new one, elsewhere the one that has come.
    pub(super) fn proof_of_end(&mut self, call: CallId) -> Option<Bytes> {
        let channel = self.calls.get(&call)?.channel;
        let newest = self.relay.newest_window(channel).unwrap_or(0);
        let at = self.overlay.time_of_day(self.now).0.max(newest).to_be_bytes();
        let open = self.channels.get(channel)?;
        if open.end.is_none() {
            let (name, place) = (self.resource_name(&open.name), self.resource(&open.name));
            let signed = open.owner.as_ref()?.identity(&name)?.sign(&[END, place.as_bytes(), &at]);
            let proof: Vec<u8> = [&at[..], &signed.value].concat();
            self.channels.get_mut(channel)?.end = Some(proof.into());
        }
        self.channels.get(channel)?.end.clone()
    }

    /// The other end of a call says that its channel is over. Where channels have owners that is a rumour without the word of
    /// this one's, which is kept; and one that he gave before what he has sent since says nothing.
    pub(super) fn take_end(&mut self, call: CallId, proof: Option<&Bytes>) -> ByeReason {
        if !self.needs_grants() {
            return ByeReason::EndOfChannel;
        }
        let at = self.overlay.time_of_day(self.now);
        let is_true = |node: &Self, proof: &Bytes| -> Option<ChannelId> {
            let channel = node.calls.get(&call)?.channel;
            let (number, signature) = proof.split_first_chunk()?;
            let open = node.channels.get(channel)?;
            let place = node.resource(&open.name);
            let parts = [END, place.as_bytes(), number];
            let is_new = node.relay.newest_window(channel)? <= u64::from_be_bytes(*number);
            (is_new && open.has_signed(&parts, signature, (&*node.crypto, at))).then_some(channel)
        };
        let Some((channel, proof)) = proof.and_then(|proof| Some((is_true(self, proof)?, proof))) else {
            return ByeReason::RumouredEnd;
        };
        if let Some(open) = self.channels.get_mut(channel) {
            open.end = Some(Bytes::copy_from_slice(proof));
        }
        ByeReason::EndOfChannel
    }

    /// A parent sends other packets than the source, so it is none any more.
    pub(super) fn leave_deceiver(&mut self, channel: ChannelId, call: CallId) {
        let Some(peer) = self.calls.get(&call).map(|call| call.peer) else { return };
        self.shunned.retain(|&(_, until)| until > self.now);
        if self.shunned.len() < MAX_SHUNNED {
            self.shunned.push((peer, self.now + SHUNNED));
        }
        let parent = self.name_of(peer);
        self.queue.event(Event::Deceived { channel, parent }, &mut self.stats);
        self.call_is_over(call);
        let _ = self.with_agent(|agent, now, ctx| agent.bye(now, call, None, ctx));
        self.tell(iptv::Fact::Ended { call, reason: ByeReason::Lost });
    }

    /// Whether a peer has deceived this node of late.
    pub(super) fn is_shunned(&self, peer: super::PeerKey) -> bool {
        self.shunned.iter().any(|&(deceiver, until)| deceiver == peer && until > self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effects;
    use crate::env::{Crypto, InsecureChannels, Seeded};
    use crate::ids::{ChannelName, NodeId, ResourceId};
    use crate::node::signalling::{Call, Usage};
    use crate::node::{Addresses, Config, Datagram, Security};
    use crate::reload::codec::ProviderRole;
    use crate::reload::grant::{self, Claim};
    use crate::rtp::integrity::{Outgoing, Signer as Windows};
    use crate::rtp::mp2t::Packetizer;
    use crate::rtp::relay::Role;
    use crate::sim::{Authority, Certificate, Certified};
    use crate::stats::Plane;
    use crate::time::{Instant, UnixMillis};
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    const ME: NodeId = NodeId([1; 16]);
    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
    const CHANNEL: &str = "100@tv.example";

    fn owner(key: u64, user: &str) -> Certified {
        let node = NodeId::from_u128(key.into());
        let certificate = Certificate { key, user: Some(String::from(user)), ..Certificate::of_node(node) };
        Authority::new(1).issue(&certificate)
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// A viewer of channel "100" of the owner with key 7, fed from port 9.
    fn viewer() -> (Node, ChannelId) {
        let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
        let config = Config { security: Security::Tls, ..Config::new("viewer", "tv.example", addresses) };
        let crypto = Authority::new(1).issue(&Certificate::of_node(ME));
        let channels = Box::new(InsecureChannels::new(ME));
        let mut node = Node::secured(config, Box::new(Seeded::new(1)), Box::new(crypto), channels).unwrap();
        node.handle_wall_clock(Instant::ZERO, NOW);
        let place = ResourceId::of_name(CHANNEL.as_bytes());
        let claim = Claim { resource: &place, node: ME, role: ProviderRole::RELAYER };
        let grant = grant::issue(&owner(7, CHANNEL), &claim, 1, NOW, Duration::from_secs(600)).unwrap();
        let open = Channel::new(ChannelName::new("100").unwrap(), Vec::new(), Instant::ZERO);
        let trusted = grant::verify(&grant, &claim, NOW, &*node.crypto).unwrap().key;
        let open = Channel { trusted: Some(trusted), owner_key: Some(OwnerKey::of(&grant)), ..open };
        let channel = node.channels.open(open).unwrap();
        node.relay.open(channel, Role::Viewer).unwrap();
        node.protect(channel).unwrap();
        let call = CallId::placed(1);
        node.relay.add_parent(Instant::ZERO, call, channel, at(9), None, &mut Effects::new()).unwrap();
        (node, channel)
    }

    /// A packet under its list, which somebody has signed for the channel of this name at this time of day.
    fn window(signs: &Certified, name: &str, unix_millis: u64) -> Vec<Bytes> {
        let place = ResourceId::of_name(name.as_bytes());
        let mut windows = Windows::new(0);
        let packet = Packetizer::new(5, 1).packetize(0, false, &[0x47; 188]).unwrap();
        windows.push(Instant::ZERO, packet).unwrap();
        windows.finish();
        let sign = |list: &[u8]| Some(signs.sign(&[CONTEXT, place.as_bytes(), list]).value);
        windows.sign(Instant::ZERO, unix_millis, sign);
        let octets = |outgoing| match outgoing {
            Outgoing::List(list) => list.packet().clone(),
            Outgoing::Media(packet) => packet,
        };
        core::iter::from_fn(|| windows.pop(Instant::ZERO)).map(octets).collect()
    }

    #[test]
    fn only_the_owner_of_this_channel_speaks_for_it_and_only_lately() {
        let (right, same_name) = (owner(7, CHANNEL), owner(8, CHANNEL));
        let minutes = |n: u64| NOW.0 - n * 60_000;
        let cases = vec![
            ("the owner", window(&right, CHANNEL, minutes(0)), 1),
            ("the owner, whose clock is five minutes late", window(&right, CHANNEL, minutes(5)), 1),
            ("the owner, a while ago", window(&right, CHANNEL, minutes(7)), 0),
            ("the owner, for another channel of his", window(&right, "200@tv.example", minutes(0)), 0),
            ("somebody of the same name", window(&same_name, CHANNEL, minutes(0)), 0),
        ];
        for (who, sent, expected) in cases {
            let (mut node, channel) = viewer();
            for payload in sent {
                let datagram = Datagram { plane: Plane::Media, from: at(9), payload };
                node.handle_datagram(Instant::ZERO, datagram);
            }
            assert_eq!(node.media_counters(channel).unwrap().media.packets, expected, "{who}");
        }
    }

    /// What somebody says at this time of day of the end of a channel of this name.
    fn word(signs: &Certified, name: &str, unix_millis: u64) -> Bytes {
        let (place, at) = (ResourceId::of_name(name.as_bytes()), unix_millis.to_be_bytes());
        let signature = signs.sign(&[END, place.as_bytes(), &at]).value;
        [&at[..], &signature].concat().into()
    }

    #[test]
    fn a_channel_is_over_when_its_owner_says_so_after_all_that_he_has_sent() {
        let (right, same_name) = (owner(7, CHANNEL), owner(8, CHANNEL));
        let number = |at: u64| at.to_be_bytes();
        let of_a_list = {
            let list = window(&right, CHANNEL, NOW.0).remove(0);
            list.slice(list.len() - 40..)
        };
        let cases = [
            ("the owner", Some(word(&right, CHANNEL, NOW.0)), ByeReason::EndOfChannel),
            ("the owner, later", Some(word(&right, CHANNEL, NOW.0 + 5000)), ByeReason::EndOfChannel),
            (
                "the owner, of what he sent before",
                Some(word(&right, CHANNEL, NOW.0 - 1)),
                ByeReason::RumouredEnd,
            ),
            ("the owner, of another", Some(word(&right, "200@tv.example", NOW.0)), ByeReason::RumouredEnd),
            ("somebody of the same name", Some(word(&same_name, CHANNEL, NOW.0)), ByeReason::RumouredEnd),
            (
                "the owner, of something else",
                Some([&number(NOW.0)[..], &of_a_list].concat().into()),
                ByeReason::RumouredEnd,
            ),
            ("nobody", None, ByeReason::RumouredEnd),
            ("less than a number", Some(Bytes::from_static(&[0xff; 7])), ByeReason::RumouredEnd),
        ];
        for (who, proof, expected) in cases {
            let (mut node, channel) = viewer();
            let call = CallId::placed(1);
            let peer = crate::node::PeerKey::of_node(NodeId([9; 16]));
            let call_with = |peer| Call {
                channel,
                peer,
                usage: Usage::Media(Some(at(9))),
                offer: None,
                key: None,
                resume: None,
                rtt: None,
                serving: false,
            };
            node.calls.insert(call, call_with(peer));
            // To somebody who has nothing of the owner's it might be of long ago.
            assert_eq!(node.take_end(call, proof.as_ref()), ByeReason::RumouredEnd, "{who}");
            for payload in window(&right, CHANNEL, NOW.0) {
                node.handle_datagram(Instant::ZERO, Datagram { plane: Plane::Media, from: at(9), payload });
            }
            assert_eq!(node.take_end(call, proof.as_ref()), expected, "{who}");
            // It is passed on as it came, or not at all.
            let passed_on = proof.filter(|_| expected == ByeReason::EndOfChannel);
            assert_eq!(node.proof_of_end(call), passed_on, "{who}");
        }
    }
}
