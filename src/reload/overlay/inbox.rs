//! Messages that came over links and wait until this node has time to check their signatures.
//!
//! They wait as they came, before anything of them is believed or acknowledged, so that whoever sends again what is lost
//! does so here too. When there is no room for a message it is lost.

use super::config::Limits;
use super::connections::LinkId;
use crate::bounded::Full;
use alloc::collections::VecDeque;
use bytes::Bytes;

/// A data frame, and the link that it came over.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    pub(super) link: LinkId,
    pub(super) sequence: u32,
    pub(super) message: Bytes,
}

/// What waits, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    waiting: VecDeque<Unread>,
    limit: usize,
    of_one_link: usize,
}

impl Inbox {
    pub(super) const fn new(limits: &Limits) -> Self {
        let (limit, of_one_link) = (limits.unverified, limits.unverified_of_one_link);
        Inbox { waiting: VecDeque::new(), limit, of_one_link }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    #[cfg(feature = "arbitrary")]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Nobody takes all places. The message is copied, so that it does not keep the buffer of a whole read.
    pub(super) fn push(&mut self, link: LinkId, sequence: u32, message: &Bytes) -> Result<(), Full> {
        let of_link = self.waiting.iter().filter(|unread| unread.link == link).count();
        if self.waiting.len() >= self.limit || of_link >= self.of_one_link {
            return Err(Full);
        }
        let message = Bytes::copy_from_slice(message);
        self.waiting.push_back(Unread { link, sequence, message });
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Unread> {
        self.waiting.pop_front()
    }
}
