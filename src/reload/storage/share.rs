//! Shared resources: the USER-CHAIN-ACL policy and the list that it walks (RFC 8076 §6).
//!
//! The owner of a resource stores a root item (to_user is the owner, delegation allowed); from it the permission goes
//! from user to user, item by item. The walk begins at the roots and takes every item once, so that chains that go in a
//! circle end like all others, and what hangs on a removed item hangs on nothing.
//!
//! RFC 8076 §6.6 read to the letter forbids what the RFC is for: a delegate satisfies neither USER-MATCH nor
//! USER-NODE-MATCH. Here these say who the owner is, and the list says who else may write.

use super::access::{Claim, is_key, names};
use super::pattern::Pattern;
use super::value::Slot;
use crate::env::Party;
use crate::ids::ResourceId;
use crate::reload::codec::acl::shared_index;
use crate::reload::codec::{AccessControlListItem, KindId, ResourceNameExtension, Structure};
use crate::wire::Reader;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// The variable resource names that the configuration allows for a Kind (RFC 8076 §5.3). Its values then begin with a
/// ResourceNameExtension.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Names {
    /// A name must match one of these; without any, only user names are allowed.
    pub patterns: Vec<Pattern>,
}

/// The items of an ACCESS-CONTROL-LIST by slot, each with the user who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccessList {
    items: BTreeMap<Slot, (AccessControlListItem, String)>,
}

impl AccessList {
    /// A value of the list was written, or removed. What is no item, or whose signer has no name, delegates nothing.
    pub fn set(&mut self, slot: &Slot, value: Option<&Bytes>, signer: &Party, names: Option<&Names>) {
        let item = value.and_then(|value| AccessControlListItem::decode(value, names.is_some()).ok());
        match (item, &signer.user) {
            (Some(item), Some(user)) => self.items.insert(slot.clone(), (item, user.clone())),
            _ => self.items.remove(slot),
        };
    }

    /// The USER-CHAIN-ACL policy.
    pub(super) fn allows(&self, claim: &Claim<'_>, names: Option<&Names>) -> bool {
        let Some(user) = claim.signer.user.as_deref() else { return false };
        let kind = claim.kind;
        let item = claim.value.filter(|_| kind == KindId::ACCESS_CONTROL_LIST);
        let item = item.map(|value| AccessControlListItem::decode(value, names.is_some()));
        let extension = match (&item, claim.value) {
            (Some(Err(_)), _) => return false,
            (Some(Ok(item)), _) => item.res_name_ext.clone(),
            (None, Some(value)) if names.is_some() => {
                ResourceNameExtension::read(&mut Reader::new(value)).ok()
            }
            (None, _) => None,
        };
        let name = extension.as_ref().and_then(ResourceNameExtension::resource_name);
        if names.is_some() && claim.value.is_some() && !name.is_some_and(|n| is_name_of(n, claim.resource)) {
            return false;
        }
        let is_root = |item: &AccessControlListItem, by: &str| {
            let name = item.res_name_ext.as_ref().and_then(ResourceNameExtension::resource_name);
            item.to_user == by.as_bytes() && owns(by, claim.resource, name, names)
        };
        let owner = owns(user, claim.resource, name, names)
            || self.items.values().any(|(item, by)| by == user && is_root(item, by));
        if !is_isolated(claim, owner) {
            return false;
        }
        match (kind, item) {
            (KindId::ACCESS_CONTROL_LIST, Some(Ok(item))) => {
                let delegates = || self.holds(user, item.kind, true, is_root);
                owner || item.to_user != user.as_bytes() && delegates()
            }
            // To take back what one gave is always allowed; is_isolated has seen to it that it was one's own.
            (KindId::ACCESS_CONTROL_LIST, _) => true,
            _ => owner || self.holds(user, kind, false, is_root),
        }
    }

    /// Whether a chain of items leads from a root to this user (§6.3); `delegating` asks for the permission to give it
    /// further.
    fn holds(
        &self,
        user: &str,
        kind: KindId,
        delegating: bool,
        is_root: impl Fn(&AccessControlListItem, &str) -> bool,
    ) -> bool {
        let mut waiting: Vec<&(AccessControlListItem, String)> =
            self.items.values().filter(|(item, _)| item.kind == kind).collect();
        let mut open: Vec<&[u8]> = Vec::new();
        for (item, by) in &waiting {
            if item.allow_delegation && is_root(item, by) {
                open.push(&item.to_user);
            }
        }
        while let Some(giver) = open.pop() {
            let (given, others): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(_, by)| by.as_bytes() == giver);
            waiting = others;
            for (item, _) in given {
                if item.to_user == user.as_bytes() && (item.allow_delegation || !delegating) {
                    return true;
                }
                if item.allow_delegation {
                    open.push(&item.to_user);
                }
            }
        }
        false
    }
}

/// Whether a write keeps to the slots of its writer (RFC 8076 §3.1, §6.1): the key is the signing node's Node-ID, or the
/// index begins with its low bits, and what stood there was the same user's. The owner may overwrite every entry of an
/// array. Of values that were handed over or fetched only the keys are looked at, and the indices of removed ones: others
/// are not signed and prove nothing.
fn is_isolated(claim: &Claim<'_>, owner: bool) -> bool {
    let own_index = |i: u32| i >> 8 == shared_index(claim.signer.node_id, 0) >> 8;
    match claim.slot {
        Slot::Single => false,
        Slot::Key(_) => is_key(claim.slot, claim.signer.node_id),
        Slot::Index(_) if owner => true,
        Slot::Index(i) if claim.original => {
            let own = claim.replaces.is_none_or(|old| old.user == claim.signer.user);
            let removes_own = claim.value.is_some() || claim.replaces.is_some();
            own && removes_own && own_index(*i)
        }
        Slot::Index(i) => claim.value.is_some() || own_index(*i),
    }
}

/// Whether a user owns a resource: by the user name, or by a variable name that a pattern allows.
fn owns(user: &str, resource: &ResourceId, name: Option<&Bytes>, allowed: Option<&Names>) -> bool {
    let fits = |allowed: &Names, name: &Bytes| {
        is_name_of(name, resource) && allowed.patterns.iter().any(|p| p.matches(user, name))
    };
    names(user, resource) || allowed.zip(name).is_some_and(|(allowed, name)| fits(allowed, name))
}

fn is_name_of(name: &Bytes, resource: &ResourceId) -> bool {
    ResourceId::of_name(name) == *resource
}
