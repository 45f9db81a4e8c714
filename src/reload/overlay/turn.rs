//! How much one call may still sign and check: media must get its turn in between.
//!
//! A signature takes as long as dozens or hundreds of media packets, and one read of a stream can bring hundreds of signed
//! messages. What is more than a call's share waits in the [outbox](super::outbox) or [inbox](super::inbox), and until it
//! is done `deadline()` is the last `now`: the host comes back as soon as it has looked after everything else.

use super::config::Limits;
use core::cell::Cell;

/// What is left of a share.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// Signatures that one share has, and checks of signatures.
    share: (usize, usize),
    signatures: usize,
    /// Whoever reads a message only looks at the overlay.
    verifications: Cell<usize>,
    /// Several calls have one share; its owner says when the next begins.
    shared: bool,
}

impl Turn {
    pub(super) const fn new(limits: &Limits) -> Self {
        let share = (limits.signatures, limits.verifications);
        Turn { share, signatures: share.0, verifications: Cell::new(share.1), shared: false }
    }

    /// A call begins.
    pub(super) fn begin_call(&mut self) {
        if !self.shared {
            self.renew();
        }
    }

    /// A turn of several calls begins; from now on nothing else gives a new share.
    pub(super) fn begin(&mut self) {
        self.shared = true;
        self.renew();
    }

    fn renew(&mut self) {
        self.signatures = self.share.0;
        self.verifications.set(self.share.1);
    }

    pub(super) const fn may_sign(&self) -> bool {
        self.signatures > 0
    }

    pub(super) const fn count_signature(&mut self) {
        self.signatures = self.signatures.saturating_sub(1);
    }

    pub(super) fn may_verify(&self) -> bool {
        self.verifications.get() > 0
    }

    pub(super) fn count_verification(&self) {
        self.verifications.set(self.verifications.get().saturating_sub(1));
    }
}
