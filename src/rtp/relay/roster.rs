//! The parents or the children of a node, found by address (every packet) and by call (the policy).

use super::{Fact, RelayError, Remote};
use crate::bounded::BoundedMap;
use crate::effect::Effects;
use crate::ids::{CallId, ChannelId};
use crate::rtp::srtcp::Session;
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// One call: who, which channel, and what is remembered of it.
#[derive(Debug)]
pub(super) struct Peer<T> {
    pub(super) addr: SocketAddr,
    pub(super) call: CallId,
    pub(super) channel: ChannelId,
    /// What its RTCP goes under, and has to come under.
    pub(super) srtcp: Option<Box<Session>>,
    /// There and back, where it was measured.
    pub(super) rtt: Option<Duration>,
    pub(super) state: T,
}

impl<T> Peer<T> {
    pub(super) fn new(call: CallId, channel: ChannelId, remote: &Remote, state: T) -> Self {
        let srtcp = remote.keys.as_ref().map(|keys| Box::new(Session::new(keys)));
        Peer { addr: remote.addr, call, channel, srtcp, rtt: None, state }
    }

    /// Sends a compound packet, under the call's key if it has one. A key that is used up ends the reports of its call.
    pub(super) fn send(&mut self, compound: &Bytes, fx: &mut Effects<Fact>) {
        match &mut self.srtcp {
            None => fx.send(self.addr, compound.clone()),
            Some(session) => {
                if let Ok(datagram) = session.protect(compound) {
                    fx.send(self.addr, datagram);
                }
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Roster<T> {
    /// In the order of addresses, then calls.
    peers: Vec<Peer<T>>,
    addresses: BoundedMap<CallId, SocketAddr>,
}

impl<T> Roster<T> {
    pub(super) const fn new(limit: usize) -> Self {
        Roster { peers: Vec::new(), addresses: BoundedMap::new(limit) }
    }

    /// Refuses a call that is in here already, and one too many of `what`.
    pub(super) fn insert(&mut self, peer: Peer<T>, what: &'static str) -> Result<(), RelayError> {
        if self.addresses.contains_key(&peer.call) {
            return Err(RelayError::CallInUse);
        }
        self.addresses.insert(peer.call, peer.addr).map_err(|_| RelayError::Full(what))?;
        let at = self.peers.partition_point(|p| (p.addr, p.call) < (peer.addr, peer.call));
        self.peers.insert(at, peer);
        Ok(())
    }

    pub(super) fn remove(&mut self, call: CallId) -> Option<Peer<T>> {
        let at = self.position(call)?;
        self.addresses.remove(&call);
        Some(self.peers.remove(at))
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Peer<T>) -> bool) {
        let addresses = &mut self.addresses;
        self.peers.retain(|peer| {
            let kept = keep(peer);
            if !kept {
                addresses.remove(&peer.call);
            }
            kept
        });
    }

    pub(super) fn contains(&self, call: CallId) -> bool {
        self.addresses.contains_key(&call)
    }

    pub(super) fn get(&self, call: CallId) -> Option<&Peer<T>> {
        self.peers.get(self.position(call)?)
    }

    pub(super) fn get_mut(&mut self, call: CallId) -> Option<&mut Peer<T>> {
        let at = self.position(call)?;
        self.peers.get_mut(at)
    }

    /// All calls of one address.
    pub(super) fn at(&self, addr: SocketAddr) -> &[Peer<T>] {
        let (start, end) = self.range(addr);
        &self.peers[start..end]
    }

    /// All calls of one address, to change their state.
    pub(super) fn at_mut(&mut self, addr: SocketAddr) -> &mut [Peer<T>] {
        let (start, end) = self.range(addr);
        &mut self.peers[start..end]
    }

    /// The calls, one address after the other.
    pub(super) fn by_address_mut(&mut self) -> impl Iterator<Item = &mut [Peer<T>]> {
        self.peers.chunk_by_mut(|a, b| a.addr == b.addr)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer<T>> {
        self.peers.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer<T>> {
        self.peers.iter_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn position(&self, call: CallId) -> Option<usize> {
        let addr = *self.addresses.get(&call)?;
        self.peers.binary_search_by_key(&(addr, call), |p| (p.addr, p.call)).ok()
    }

    fn range(&self, addr: SocketAddr) -> (usize, usize) {
        let start = self.peers.partition_point(|p| p.addr < addr);
        let len = self.peers[start..].iter().take_while(|p| p.addr == addr).count();
        (start, start + len)
    }
}
