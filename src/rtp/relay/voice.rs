//! For which calls a control packet speaks: for the one whose key it comes under, or for those that have none.

use super::Relay;
use super::roster::Peer;
use crate::ids::CallId;
use crate::rtp::srtcp::Refused;
use crate::stats::DropReason;
use bytes::Bytes;
use core::net::SocketAddr;

/// On whose behalf a control packet was sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Voice {
    /// On that of all calls of its address that have no key.
    Anybody,
    /// On that of this call.
    Call(CallId),
}

impl Voice {
    pub(super) fn speaks_for<T>(self, peer: &Peer<T>) -> bool {
        match self {
            Voice::Anybody => peer.srtcp.is_none(),
            Voice::Call(call) => peer.call == call,
        }
    }
}

impl Relay {
    /// Who speaks, and the compound packet. Each key of the address is tried: one packet costs a hash for each of its calls
    /// at most.
    pub(super) fn voice_of(
        &mut self,
        from: SocketAddr,
        datagram: &Bytes,
    ) -> Result<(Voice, Bytes), DropReason> {
        let (parents, children) = (self.parents.at_mut(from), self.children.at_mut(from));
        if parents.is_empty() && children.is_empty() {
            return Err(DropReason::UnknownSender);
        }
        let has_plain = parents.iter().any(|peer| peer.srtcp.is_none())
            || children.iter().any(|peer| peer.srtcp.is_none());
        let parents = parents.iter_mut().filter_map(|peer| Some((peer.call, peer.srtcp.as_mut()?)));
        let children = children.iter_mut().filter_map(|peer| Some((peer.call, peer.srtcp.as_mut()?)));
        for (call, session) in parents.chain(children) {
            match session.unprotect(datagram) {
                Ok(compound) => return Ok((Voice::Call(call), compound)),
                Err(Refused::Replayed) => return Err(DropReason::Duplicate),
                Err(Refused::Short | Refused::NotAuthentic | Refused::Encrypted) => {}
            }
        }
        if has_plain { Ok((Voice::Anybody, datagram.clone())) } else { Err(DropReason::BadAuthentication) }
    }
}
