//! How values go: their lifetimes end, who allowed them allows them no longer, another peer has their place.

use super::access::{Access, Claim};
use super::group::Entry;
use super::kind::Kind;
use super::store::{Storage, ValueKey};
use super::value::{Slot, StoredValue};
use crate::ids::ResourceId;
use crate::reload::codec::KindId;
use crate::time::Instant;
use alloc::vec::Vec;

impl Storage {
    /// When the next value expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.expiry.first().map(|(until, _)| *until)
    }

    /// Drops what has outlived its lifetime.
    pub fn expire(&mut self, now: Instant) {
        while self.expiry.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, key)) = self.expiry.pop_first() else { return };
            self.drop_value(&key);
            if key.1 == KindId::ACCESS_CONTROL_LIST {
                self.revoke(&key.0);
            }
        }
    }

    /// The delegations at a Resource-ID changed: what was written by a permission that is gone goes too (RFC 8076 §6.2).
    /// No reader would take it, and no other peer.
    pub(super) fn revoke(&mut self, resource: &ResourceId) {
        let list = self.access_list(resource);
        let Some(here) = self.resources.get(resource) else { return };
        let mut gone: Vec<ValueKey> = Vec::new();
        for (&kind, group) in here.groups.iter() {
            let Some(access) = self.kinds.get(&kind).map(|k| &k.access) else { continue };
            if !matches!(access, Access::UserChainAcl { .. }) {
                continue;
            }
            for (slot, entry) in group.entries.iter() {
                let StoredValue { value, signer, .. } = &entry.value;
                let value = value.as_ref();
                let claim = Claim { resource, kind, slot, value, signer, replaces: None, original: false };
                if !access.allows(&claim, &list) {
                    gone.push((resource.clone(), kind, slot.clone()));
                }
            }
        }
        gone.iter().for_each(|key| self.drop_value(key));
    }

    /// From now on these Kinds may be stored. What is here of another Kind goes, and so does what has another data model
    /// now or a value for which `keep` does not speak (CU-3).
    pub fn reconfigure(
        &mut self,
        kinds: impl IntoIterator<Item = Kind>,
        keep: impl Fn(&StoredValue) -> bool,
    ) {
        self.kinds = kinds.into_iter().map(|k| (k.id, k)).collect();
        let mut gone: Vec<ValueKey> = Vec::new();
        for (resource, here) in &self.resources {
            for (kind, group) in here.groups.iter() {
                let model = self.kinds.get(kind).map(|k| k.model);
                let stays = |slot: &Slot, entry: &Entry| model == Some(slot.model()) && keep(&entry.value);
                let leave = group.entries.iter().filter(|(slot, entry)| !stays(slot, entry));
                gone.extend(leave.map(|(slot, _)| (resource.clone(), *kind, slot.clone())));
            }
        }
        gone.iter().for_each(|key| self.drop_value(key));
    }

    /// Drops every Resource-ID for which `keep` does not speak.
    pub fn retain(&mut self, keep: impl Fn(&ResourceId) -> bool) {
        let gone: Vec<ResourceId> = self.resources.keys().filter(|r| !keep(r)).cloned().collect();
        for resource in gone {
            let Some(here) = self.resources.remove(&resource) else { continue };
            for (kind, group) in here.groups.iter() {
                for (slot, entry) in group.entries.iter() {
                    self.writers.leave(&entry.value, entry.bytes);
                    self.expiry.remove(&(entry.until, (resource.clone(), *kind, slot.clone())));
                }
            }
        }
    }

    /// Drops one value.
    pub fn discard(&mut self, resource: &ResourceId, kind: KindId, slot: &Slot) {
        self.drop_value(&(resource.clone(), kind, slot.clone()));
    }

    /// Takes one value out, and with it whatever is empty then.
    fn drop_value(&mut self, key: &ValueKey) {
        let (resource, kind, slot) = key;
        let Some(here) = self.resources.get_mut(resource) else { return };
        let Some(group) = here.groups.get_mut(kind) else { return };
        if let Some(entry) = group.entries.remove(slot) {
            self.writers.leave(&entry.value, entry.bytes);
            self.expiry.remove(&(entry.until, key.clone()));
        }
        if group.entries.is_empty() {
            here.groups.remove(kind);
        }
        if here.groups.is_empty() {
            self.resources.remove(resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::*;
    use super::*;
    use alloc::vec;

    #[test]
    fn st5_st6_values_expire_by_the_local_clock_and_are_handed_over_with_what_is_left() {
        let mut s = storage();
        let values = vec![kind(KindId::CHANNEL, 0, vec![own(A, 5)])];
        s.store(at(100), &home(), by_a(), values).unwrap();
        let (_, groups) = s.hand_over(at(250), &home()).unwrap();
        assert_eq!((groups[0].generation, groups[0].values[0].lifetime), (1, 450));
        s.expire(at(699));
        assert_eq!(s.len(), 1, "it counts from when it came");
        s.expire(at(700));
        assert!(s.is_empty() && s.bytes() == 0 && s.resources().count() == 0);
    }
}
