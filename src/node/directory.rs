//! Who is behind a peer key: the policy knows peers by a 16-byte key, the planes by SIP contacts.

use crate::bounded::BoundedMap;
use crate::ids::{NodeId, sha1};
use crate::sip::agent::{Peer, Transport};
use crate::sip::msg::SipUri;
use alloc::collections::BTreeMap;
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

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The peer itself: its signed record, its own call or answer.
    Itself,
    /// Somebody else.
    Hearsay,
}

impl Contact {
    /// The contact of a peer.
    pub(super) fn of_peer(peer: Peer) -> Self {
        let Peer { name, addr, transport, node_id, params: _ } = peer;
        Contact { name, addr, transport, node_id }
    }

    /// Whom a SIP URI leads to; `None` unless its host is an address.
    pub(super) fn of_uri(uri: &SipUri<'_>, node_id: Option<NodeId>) -> Option<Self> {
        let name = uri.unescaped_user().map(String::from).unwrap_or_default();
        Some(Contact { name, addr: uri.address()?, transport: Transport::of_uri(uri), node_id })
    }

    /// The SIP URI that leads there.
    pub(super) fn uri(&self) -> SipUri<'static> {
        SipUri::of_user(&self.name, self.addr).with_transport(self.transport.to_msg())
    }

    pub(super) fn key(&self) -> PeerKey {
        match self.node_id {
            Some(id) => PeerKey::of_node(id),
            None => PeerKey::of_contact(&self.name, self.addr),
        }
    }
}

/// When the directory is full, at most so many peers are asked after until one of them has to go.
const SPARED: usize = 64;

#[derive(Debug)]
struct Entry {
    /// When it was mentioned last.
    mention: u64,
    contact: Contact,
    source: Source,
}

/// The peers heard of lately. What a peer says of itself replaces what others say of it, never the other way round. At the
/// limit the one that was mentioned longest ago, and that the policy does not count
/// on, is forgotten. Should it be asked for later, the order fails as if that peer did not answer.
#[derive(Debug)]
pub(super) struct Directory {
    peers: BoundedMap<PeerKey, Entry>,
    /// The same by their last mention.
    by_age: BTreeMap<u64, PeerKey>,
    mentions: u64,
}

impl Directory {
    pub(super) const fn new(limit: usize) -> Self {
        Directory { peers: BoundedMap::new(limit), by_age: BTreeMap::new(), mentions: 0 }
    }

    /// Remembers a contact, or what is new about it, and gives its key. Whoever `is_needed` is spared, within reason.
    pub(super) fn mention(
        &mut self,
        contact: Contact,
        source: Source,
        is_needed: impl Fn(PeerKey) -> bool,
    ) -> PeerKey {
        let key = contact.key();
        if self.peers.is_full() && !self.peers.contains_key(&key) {
            self.make_room(is_needed);
        }
        self.mentions += 1;
        let mention = self.mentions;
        if source == Source::Hearsay
            && let Some(known) = self.peers.get_mut(&key).filter(|known| known.source == Source::Itself)
        {
            self.by_age.remove(&known.mention);
            known.mention = mention;
            self.by_age.insert(mention, key);
            return key;
        }
        // There is room now, unless the limit is zero; then nobody can be remembered.
        if let Ok(old) = self.peers.insert(key, Entry { mention, contact, source }) {
            old.and_then(|old| self.by_age.remove(&old.mention));
            self.by_age.insert(mention, key);
        }
        key
    }

    /// Forgets one peer. Those that are needed count as mentioned just now, so that they are not looked at again soon.
    fn make_room(&mut self, is_needed: impl Fn(PeerKey) -> bool) {
        for _ in 0..SPARED {
            let Some((_, key)) = self.by_age.pop_first() else { return };
            let Some(known) = self.peers.get_mut(&key).filter(|_| is_needed(key)) else {
                self.peers.remove(&key);
                return;
            };
            self.mentions += 1;
            known.mention = self.mentions;
            self.by_age.insert(self.mentions, key);
        }
        if let Some((_, key)) = self.by_age.pop_first() {
            self.peers.remove(&key);
        }
    }

    pub(super) fn get(&self, key: PeerKey) -> Option<&Contact> {
        self.peers.get(&key).map(|known| &known.contact)
    }

    /// The peer of this name that was mentioned last.
    pub(super) fn named(&self, name: &str) -> Option<PeerKey> {
        let called_so = self.peers.iter().filter(|(_, known)| known.contact.name == name);
        called_so.max_by_key(|(_, known)| known.mention).map(|(key, _)| *key)
    }

    #[cfg(any(test, feature = "arbitrary"))]
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn contact(name: &str, port: u16, node_id: Option<NodeId>) -> Contact {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Contact { name: name.into(), addr, transport: Transport::Udp, node_id }
    }

    #[test]
    fn a_node_keeps_its_key_when_its_address_changes_and_a_plain_agent_does_not() {
        let mut d = Directory::new(8);
        let id = Some(NodeId([7; 16]));
        let mut mention = |name, port, id| d.mention(contact(name, port, id), Source::Itself, |_| false);
        let a = mention("1", 5060, id);
        assert_eq!(mention("1", 5070, id), a);
        assert_ne!(mention("x", 5060, None), mention("x", 5061, None));
        assert_eq!(d.get(a).unwrap().addr.port(), 5070);
        assert_eq!(d.by_age.len(), d.len());
    }

    #[test]
    fn what_a_peer_says_of_itself_is_not_overwritten_by_what_others_say_of_it() {
        let mut d = Directory::new(8);
        let id = Some(NodeId([7; 16]));
        let mut mention = |port, source| d.mention(contact("1", port, id), source, |_| false);
        let key = mention(1, Source::Hearsay);
        mention(2, Source::Hearsay);
        mention(5060, Source::Itself);
        mention(9, Source::Hearsay);
        assert_eq!(d.get(key).unwrap().addr.port(), 5060);
        d.mention(contact("1", 5070, id), Source::Itself, |_| false);
        assert_eq!((d.get(key).unwrap().addr.port(), d.by_age.len()), (5070, 1));
    }

    #[test]
    fn k8_the_peer_mentioned_longest_ago_makes_room() {
        let mut d = Directory::new(2);
        let mut mention = |name, port| d.mention(contact(name, port, None), Source::Itself, |_| false);
        let a = mention("a", 1);
        let b = mention("b", 2);
        mention("a", 1);
        let c = mention("c", 3);
        assert!(d.get(a).is_some() && d.get(b).is_none() && d.get(c).is_some());
        assert_eq!((d.len(), d.by_age.len()), (2, 2));
    }

    #[test]
    fn k8_peers_that_are_needed_are_spared_from_a_flood_of_names() {
        let mut d = Directory::new(100);
        let mut needed = Vec::new();
        for n in 0..10 {
            needed.push(d.mention(contact("needed", n, None), Source::Itself, |_| false));
        }
        for n in 0..1000 {
            d.mention(contact("noise", n, None), Source::Hearsay, |key| needed.contains(&key));
        }
        assert!(needed.iter().all(|&key| d.get(key).is_some()));
        // If all are, one has to go all the same.
        for n in 0..1000 {
            d.mention(contact("more noise", n, None), Source::Hearsay, |_| true);
        }
        assert_eq!((d.len(), d.by_age.len()), (100, 100));
    }
}
