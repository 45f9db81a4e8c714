//! Certificates that were found good, so that a known signer costs one signature check and not two or more.

use super::trust::Known;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::mem;

/// How many certificates are remembered, counted by the hashes under which they are found: one for each Node-ID.
pub const MAX_KNOWN: usize = 1024;

/// SHA-256 of a certificate, or of a Node-ID and a certificate.
pub(super) type Hash = [u8; 32];

/// Two generations. Who is asked for becomes young; when the young half is full it grows old, and who was old is
/// forgotten. So a flood of new certificates costs others a second check, and never more memory.
#[derive(Debug)]
pub(super) struct Memory {
    young: BTreeMap<Hash, (Arc<Known>, usize)>,
    old: BTreeMap<Hash, (Arc<Known>, usize)>,
    half: usize,
}

impl Memory {
    pub(super) const fn new(limit: usize) -> Self {
        Memory { young: BTreeMap::new(), old: BTreeMap::new(), half: limit / 2 }
    }

    /// The certificate with this hash, and which of its Node-IDs the hash means.
    pub(super) fn get(&mut self, hash: &Hash) -> Option<(Arc<Known>, usize)> {
        if let Some(known) = self.young.get(hash) {
            return Some(known.clone());
        }
        let (known, index) = self.old.remove(hash)?;
        self.insert(*hash, &known, index);
        Some((known, index))
    }

    pub(super) fn insert(&mut self, hash: Hash, known: &Arc<Known>, index: usize) {
        if self.young.len() >= self.half && !self.young.contains_key(&hash) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash, (known.clone(), index));
    }
}
