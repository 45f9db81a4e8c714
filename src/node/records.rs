//! This node's own entries in the overlay: stored under the channel's name and keywords, kept fresh, removed.

use super::Node;
use super::overlay::Purpose;
use crate::env::Entropy;
use crate::ids::{ChannelId, ChannelName, ResourceId};
use crate::iptv::{self, Role};
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How long a record stands that does not say so itself.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);

/// What this node says of itself in a channel's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) role: Role,
    pub(super) depth: u8,
    pub(super) free: u16,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    record: Record,
    /// When it is stored again.
    due: Instant,
    /// Whether the policy knows that it is stored.
    told: bool,
}

/// The records that this node keeps. One for each channel at most, so it is as bounded as they are.
#[derive(Debug)]
pub(super) struct Records {
    entries: BTreeMap<ChannelId, Entry>,
    lifetime: Duration,
    retry: Duration,
}

impl Records {
    pub(super) fn new(lifetime: Duration, retry: Duration) -> Self {
        let least = Duration::from_millis(100);
        Records { entries: BTreeMap::new(), lifetime: lifetime.max(least), retry: retry.max(least) }
    }
    #[cfg(feature = "arbitrary")]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.due).min()
    }

    /// How long a record of this node stands.
    pub(super) const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Refreshing comes at half of the lifetime, a tenth of it earlier or later, so that relayers elected together do
    /// not store together for ever.
    fn refresh_at(&self, now: Instant, entropy: &mut dyn Entropy) -> Instant {
        let tenth = self.lifetime / 10;
        let jitter = Duration::from_micros(entropy.below(2 * tenth.as_micros() as u64 + 1));
        now + (self.lifetime / 2 - tenth) + jitter
    }
}

/// How much of a record's lifetime is left at least while its node lives: refreshing comes at six tenths of it at the latest,
/// and may take a twentieth.
pub(super) fn least_left(lifetime: Duration) -> Duration {
    lifetime / 20 * 7
}

impl Node {
    /// Stores this node's record, or a new version of it.
    pub(super) fn register(&mut self, channel: ChannelId, record: Record) {
        let told = self.records.entries.get(&channel).is_some_and(|entry| entry.told);
        let due = self.records.refresh_at(self.now, &mut *self.entropy);
        self.records.entries.insert(channel, Entry { record, due, told });
        self.store_record(channel, record);
    }

    /// Removes this node's record from wherever it is stored.
    pub(super) fn unregister(&mut self, channel: ChannelId) {
        self.leave_tree(channel);
        if self.records.entries.remove(&channel).is_some() {
            let lifetime = self.records.lifetime;
            for name in self.names_to_store(channel) {
                self.remove(self.resource(&name), lifetime);
                if let Some(place) = self.place_of_its_owner(channel, &name) {
                    self.remove(place, lifetime);
                }
            }
        }
    }

    /// Stores the records whose time has come.
    pub(super) fn refresh_records(&mut self) {
        let now = self.now;
        let due: Vec<(ChannelId, Record)> = self
            .records
            .entries
            .iter()
            .filter(|(_, entry)| entry.due <= now)
            .map(|(&channel, entry)| (channel, entry.record))
            .collect();
        for (channel, record) in due {
            if record.role == Role::Source {
                self.look_for_rivals(channel);
            }
            let next = self.records.refresh_at(now, &mut *self.entropy);
            if let Some(entry) = self.records.entries.get_mut(&channel) {
                entry.due = next;
            }
            self.store_record(channel, record);
        }
    }

    /// What goes with this relayer's record is another grant: it is stored once more, wherever it stands.
    pub(super) fn store_anew(&mut self, channel: ChannelId) {
        if let Some(record) = self.records.entries.get(&channel).map(|entry| entry.record) {
            self.store_record(channel, record);
        }
        self.store_in_tree_anew(channel);
    }

    /// What was stored so far was somebody else's, or in another role: it is stored for the first time.
    pub(super) fn forget_record(&mut self, channel: ChannelId) {
        self.records.entries.remove(&channel);
    }

    /// Looks whether the channel has a newer source (Q7): this one may have been cut off and taken for dead. Under the name others
    /// may have crowded it out.
    pub(super) fn look_for_rivals(&mut self, channel: ChannelId) {
        let Some(name) = self.channels.get(channel).map(|open| open.name.clone()) else { return };
        if let Some(place) = self.place_of_its_owner(channel, &name) {
            self.fetch_from(place, Purpose::OwnersRivals(channel));
        }
        self.fetch(name, Purpose::Rivals(channel));
    }

    fn store_record(&mut self, channel: ChannelId, record: Record) {
        let lifetime = self.records.lifetime;
        for (i, name) in self.names_to_store(channel).into_iter().enumerate() {
            // The channel's own name decides whether it counts as stored; keywords are extra ways in.
            let purpose = if i == 0 { Purpose::Record(channel) } else { Purpose::Keyword };
            self.store(channel, &name, record, lifetime, purpose);
            if let Some(place) = self.place_of_its_owner(channel, &name) {
                self.store_at(place, (channel, &name), record, lifetime, Purpose::Keyword);
            }
        }
    }

    /// Where its publisher stores a channel besides, for those who know its owner.
    pub(super) fn place_of_its_owner(&self, channel: ChannelId, name: &ChannelName) -> Option<ResourceId> {
        let open = self.channels.get(channel).filter(|open| open.owner.is_some())?;
        self.owners_place(name, open.trusted?)
    }

    /// The overlay has answered a store of the channel's own name.
    pub(super) fn on_record_stored(&mut self, channel: ChannelId, ok: bool) {
        let (now, retry) = (self.now, self.records.retry);
        let Some(entry) = self.records.entries.get_mut(&channel) else { return };
        if !ok {
            entry.due = entry.due.min(now + retry);
        }
        if entry.told && ok {
            return;
        }
        entry.told = ok;
        self.tell(iptv::Fact::Registered { channel, ok });
    }

    fn names_to_store(&self, channel: ChannelId) -> Vec<ChannelName> {
        let Some(channel) = self.channels.get(channel) else { return Vec::new() };
        // A relayer is granted the channel's own name only; its keywords are those that it found the channel by.
        let keywords =
            if self.needs_grants() && channel.owner.is_none() { &[] } else { &channel.keywords[..] };
        core::iter::once(&channel.name).chain(keywords).cloned().collect()
    }
}
