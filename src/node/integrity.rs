//! The keys behind [`rtp::integrity`](crate::rtp::integrity): a publisher signs as the channel's owner, and everybody else
//! checks by the certificate in the owner's grants, which stand in every record of the channel.
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
use crate::env::{Signed, Signer};
use crate::ids::{CallId, ChannelId};
use crate::iptv::{self, ByeReason};
use crate::reload::codec::Grant;
use crate::rtp::integrity::CONTEXT;
use crate::rtp::relay::RelayError;
use crate::time::Duration;
use bytes::Bytes;

/// A newcomer takes no windows that were closed so long ago: as far as the clocks of a source and a viewer may be apart, as
/// for grants, and what providers keep for newcomers.
const OLDEST: Duration = Duration::from_secs(6 * 60);

/// Who has deceived this node is not asked again for so long.
pub(super) const SHUNNED: Duration = Duration::from_secs(60);

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
            let Some(key) = &open.owner_key else { return false };
            let signed =
                Signed { hash: key.hash, signature: key.signature, value: Bytes::copy_from_slice(signature) };
            let parts = [CONTEXT, place.as_bytes(), list];
            let certificate = core::slice::from_ref(&key.certificate);
            let owner = crypto.verify(at, &key.signer, certificate, &parts, &signed);
            owner.is_ok_and(|owner| open.trusted == Some(owner.key))
        };
        self.relay.judge(self.now, channel, verify, &mut self.media_effects);
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
    use crate::node::channels::Channel;
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
}
