//! Who is behind a peer key: the policy knows peers by a 16-byte key, the planes by SIP contacts.

use crate::bounded::BoundedMap;
use crate::ids::{NodeId, sha1};
use crate::sip::agent::Transport;
use alloc::string::String;
use core::net::SocketAddr;

/// A peer as the policy knows it: its Node-ID, or for a plain SIP agent a digest of its contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(NodeId);

impl PeerKey {
    /// The key of a node.
    pub const fn of_node(id: NodeId) -> Self {
        PeerKey(id)
    }

    /// The key of an agent without a Node-ID.
    fn of_contact(name: &str, addr: SocketAddr) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&sha1(alloc::format!("sip:{name}@{addr}").as_bytes())[..16]);
        PeerKey(NodeId(digest))
    }

    /// The Node-ID, or what stands for it.
    pub const fn node_id(self) -> NodeId {
        self.0
    }
}

/// How to reach a peer, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    /// The user part of its SIP URI.
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    pub(super) transport: Transport,
    /// `None` for a plain SIP agent.
    pub(super) node_id: Option<NodeId>,
}

impl Contact {
    pub(super) fn key(&self) -> PeerKey {
        match self.node_id {
            Some(id) => PeerKey::of_node(id),
            None => PeerKey::of_contact(&self.name, self.addr),
        }
    }
}

/// The peers heard of lately. At the limit the one that was mentioned longest ago is forgotten; if the policy still
/// asks for it, the order fails as if that peer did not answer.
#[derive(Debug)]
pub(super) struct Directory {
    peers: BoundedMap<PeerKey, (u64, Contact)>,
    mentions: u64,
}

impl Directory {
    pub(super) const fn new(limit: usize) -> Self {
        Directory { peers: BoundedMap::new(limit), mentions: 0 }
    }

    /// Remembers a contact, or what is new about it, and gives its key.
    pub(super) fn mention(&mut self, contact: Contact) -> PeerKey {
        let key = contact.key();
        if self.peers.is_full()
            && !self.peers.contains_key(&key)
            && let Some(oldest) = self.peers.iter().min_by_key(|(_, (last, _))| *last).map(|(k, _)| *k)
        {
            self.peers.remove(&oldest);
        }
        self.mentions += 1;
        // There is room now, unless the limit is zero; then nobody can be remembered.
        let _ = self.peers.insert(key, (self.mentions, contact));
        key
    }

    pub(super) fn get(&self, key: PeerKey) -> Option<&Contact> {
        self.peers.get(&key).map(|(_, contact)| contact)
    }

    /// The peer of this name that was mentioned last.
    pub(super) fn named(&self, name: &str) -> Option<PeerKey> {
        let called_so = self.peers.iter().filter(|(_, (_, contact))| contact.name == name);
        called_so.max_by_key(|(_, (last, _))| *last).map(|(key, _)| *key)
    }

    #[cfg(any(test, feature = "arbitrary"))]
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(name: &str, port: u16, node_id: Option<NodeId>) -> Contact {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Contact { name: name.into(), addr, transport: Transport::Udp, node_id }
    }

    #[test]
    fn a_node_keeps_its_key_when_its_address_changes_and_a_plain_agent_does_not() {
        let mut d = Directory::new(8);
        let id = Some(NodeId([7; 16]));
        let a = d.mention(contact("1", 5060, id));
        assert_eq!(d.mention(contact("1", 5070, id)), a);
        assert_eq!(d.get(a).unwrap().addr.port(), 5070);
        assert_ne!(d.mention(contact("x", 5060, None)), d.mention(contact("x", 5061, None)));
    }

    #[test]
    fn k8_the_peer_mentioned_longest_ago_makes_room() {
        let mut d = Directory::new(2);
        let a = d.mention(contact("a", 1, None));
        let b = d.mention(contact("b", 2, None));
        d.mention(contact("a", 1, None));
        let c = d.mention(contact("c", 3, None));
        assert!(d.get(a).is_some() && d.get(b).is_none() && d.get(c).is_some());
        assert_eq!(d.len(), 2);
    }
}
