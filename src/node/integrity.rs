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
