//! Who has values here, and how much of the store each of them takes.

use super::value::StoredValue;
use crate::env::Party;
use crate::ids::KeyFingerprint;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Everybody who has values here, by key: with one key one has one share, however many certificates name it. Each
/// certificate is kept once, as long as there is a value that needs it (SB-4).
#[derive(Clone, Debug, Default)]
pub(super) struct Writers {
    accounts: BTreeMap<KeyFingerprint, Account>,
    values: usize,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Account {
    values: usize,
    bytes: usize,
    /// Who signed, and how many values.
    parties: Vec<(Arc<Party>, usize)>,
}

impl Writers {
    /// Values of everybody.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// Bytes of everybody, certificates included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Values and bytes of one key.
    pub(super) fn share(&self, key: KeyFingerprint) -> (usize, usize) {
        self.accounts.get(&key).map_or((0, 0), |a| (a.values, a.bytes))
    }

    /// Whether this certificate is kept here already.
    pub(super) fn knows(&self, party: &Party) -> bool {
        self.accounts.get(&party.key).is_some_and(|a| a.parties.iter().any(|(p, _)| **p == *party))
    }

    /// A value of this size comes in; its signer becomes the one that is kept here.
    pub(super) fn enter(&mut self, value: &mut StoredValue, bytes: usize) {
        let account = self.accounts.entry(value.signer.key).or_default();
        let mut added = bytes;
        match account.parties.iter_mut().find(|(p, _)| **p == *value.signer) {
            Some((kept, values)) => {
                value.signer = kept.clone();
                *values += 1;
            }
            None => {
                value.signer = owned(&value.signer);
                added += cost(&value.signer);
                account.parties.push((value.signer.clone(), 1));
            }
        }
        account.values += 1;
        account.bytes += added;
        self.values += 1;
        self.bytes += added;
    }

    /// A value of this size goes.
    pub(super) fn leave(&mut self, value: &StoredValue, bytes: usize) {
        let Some(account) = self.accounts.get_mut(&value.signer.key) else { return };
        let mut freed = bytes;
        if let Some(at) = account.parties.iter().position(|(p, _)| **p == *value.signer)
            && let Some((party, values)) = account.parties.get_mut(at)
        {
            *values -= 1;
            if *values == 0 {
                freed += cost(party);
                account.parties.swap_remove(at);
            }
        }
        account.values -= 1;
        account.bytes -= freed;
        self.values -= 1;
        self.bytes -= freed;
        if account.values == 0 {
            self.accounts.remove(&value.signer.key);
        }
    }
}

/// What it costs to keep somebody: the certificate, the name, the Node-IDs.
pub(super) fn cost(party: &Party) -> usize {
    const FIXED: usize = 96;
    let certificate = party.certificate.as_ref().map_or(0, |c| c.len());
    FIXED + certificate + party.user.as_ref().map_or(0, |u| u.len()) + party.node_ids.len() * 16
}

/// The same in buffers of its own: a certificate outlives the datagram that it came in.
fn owned(party: &Arc<Party>) -> Arc<Party> {
    let certificate = party.certificate.as_ref().map(|c| Bytes::copy_from_slice(c));
    Arc::new(Party { certificate, ..Party::clone(party) })
}
