//! The channels of this node: their numbers and their names.

use super::api::Owner;
use super::delegated::Passed;
use super::integrity::OwnerKey;
use crate::bounded::BoundedMap;
use crate::ids::{ChannelId, ChannelName, KeyFingerprint};
use crate::reload::codec::Grant;
use crate::reload::redir::Levels;
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;

/// One channel in use here.
#[derive(Debug)]
pub(super) struct Channel {
    /// What the channel calls itself: the user part of the URI that is INVITEd.
    pub(super) name: ChannelName,
    /// Other names under which its source stores it.
    pub(super) keywords: Vec<ChannelName>,
    pub(super) since: Instant,
    /// At its publisher, in a secured overlay.
    pub(super) owner: Option<Owner>,
    /// At a standby source: as what it will publish.
    pub(super) inheritance: Option<Inheritance>,
    /// The key of the owner whose grants count here: as the host said, or of whom was believed first.
    pub(super) trusted: Option<KeyFingerprint>,
    /// What that key signs by.
    pub(super) owner_key: Option<OwnerKey>,
    /// The owner's word that the channel is over.
    pub(super) end: Option<Bytes>,
    /// The owner's leave for this node to be found as a relayer.
    pub(super) grant: Option<Grant>,
    /// The same for the channel's tree only.
    pub(super) tree_grant: Option<Grant>,
    /// The grants for those below this node.
    pub(super) passed: Passed,
    /// At its publisher the epoch of what it grants, elsewhere the newest that the trusted owner was found to grant in. Where
    /// nobody owns it, at a source that has taken it over, that of its record.
    pub(super) epoch: u32,
    /// At its publisher the latest epoch of another source.
    pub(super) outdone: u32,
    /// Whether the list under the channel's name is about as long as it gets, so that there are more in the tree.
    pub(super) crowded: bool,
    /// When the tree was asked last.
    pub(super) walked: Option<Instant>,
    /// Where lookups in the tree ended.
    pub(super) levels: Levels,
}

/// What a standby source publishes with when it takes over.
#[derive(Debug)]
pub(super) struct Inheritance {
    pub(super) keywords: Vec<ChannelName>,
    /// In a secured overlay.
    pub(super) owner: Option<Owner>,
}

impl Channel {
    pub(super) fn new(name: ChannelName, keywords: Vec<ChannelName>, since: Instant) -> Self {
        Channel {
            name,
            keywords,
            since,
            owner: None,
            inheritance: None,
            trusted: None,
            owner_key: None,
            end: None,
            grant: None,
            tree_grant: None,
            passed: Passed::default(),
            epoch: 0,
            outdone: 0,
            crowded: false,
            walked: None,
            levels: Levels::default(),
        }
    }
}

/// All channels in use here.
#[derive(Debug)]
pub(super) struct Channels {
    open: BoundedMap<ChannelId, Channel>,
    max_keywords: usize,
    next: u16,
}

impl Channels {
    pub(super) fn new(limit: u16, max_keywords: usize) -> Self {
        Channels { open: BoundedMap::new(limit.into()), max_keywords, next: 0 }
    }

    pub(super) const fn max_keywords(&self) -> usize {
        self.max_keywords
    }

    /// Numbers a channel; `None` at the limit. Numbers are used again only after all others were.
    pub(super) fn open(&mut self, channel: Channel) -> Option<ChannelId> {
        if self.open.is_full() {
            return None;
        }
        // The limit is at most 65,535, so one of all 65,536 numbers is free.
        while self.open.contains_key(&ChannelId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = ChannelId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.insert(id, channel).ok()?;
        Some(id)
    }

    pub(super) fn close(&mut self, id: ChannelId) {
        self.open.remove(&id);
    }

    pub(super) fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.open.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.open.get_mut(&id)
    }

    /// The channel that is called so, or that is stored under this keyword.
    pub(super) fn named(&self, name: &str) -> Option<ChannelId> {
        let is_called =
            |c: &Channel| c.name.as_str() == name || c.keywords.iter().any(|k| k.as_str() == name);
        self.open.iter().find(|(_, channel)| is_called(channel)).map(|(&id, _)| id)
    }

    /// Whether a channel is called so, or is stored under this keyword, or will be when it is taken over.
    pub(super) fn claims(&self, name: &ChannelName) -> bool {
        let inherits = |c: &Channel| c.inheritance.as_ref().is_some_and(|i| i.keywords.contains(name));
        self.named(name.as_str()).is_some() || self.open.values().any(inherits)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.open.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::new(ChannelName::new(name).unwrap(), Vec::new(), Instant::ZERO)
    }

    #[test]
    fn k8_the_limit_refuses_and_a_number_rests_before_it_is_used_again() {
        let mut c = Channels::new(2, 4);
        let a = c.open(channel("a")).unwrap();
        assert!(c.open(channel("b")).is_some());
        assert_eq!(c.open(channel("c")), None);
        c.close(a);
        assert_ne!(c.open(channel("c")), Some(a));
    }

    #[test]
    fn p5_a_channel_is_found_by_its_name_and_by_each_keyword() {
        let mut c = Channels::new(2, 4);
        let mut news = channel("100");
        news.keywords.push(ChannelName::new("news").unwrap());
        let id = c.open(news);
        assert_eq!((c.named("100"), c.named("news"), c.named("10")), (id, id, None));
    }
}
