//! What the host and the simulator print: rescue slots promised and available, refusals, covers.

/// What one node has done for others and for itself since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Standbys that this node granted to others, those that are over too.
    pub leases_granted: u32,
    /// Standbys that this node refused to others.
    pub leases_refused: u32,
    /// Standbys that others refused to this node.
    pub standbys_refused: u32,
    /// Children of standbys that got media when they asked for it.
    pub served: u32,
    /// Children of standbys that got none, because the rescue slot was taken, nothing was there to give,
    /// or this node has sunk since it promised.
    pub denied: u32,
    /// Times that another provider sent in the parent's place, because that was silent, starved or was about to leave.
    pub covers: u32,
    /// Covers that ended because the parent spoke again: nothing has changed in the tree.
    pub false_alarms: u32,
    /// Silent parents that were given up for another one.
    pub repairs: u32,
}

/// The rescue slots of one node, for all its channels (Q12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RescueSlots {
    /// How many there are.
    pub slots: u16,
    /// How many of them are free.
    pub free: u16,
    /// Standbys of others that have first refusal on them.
    pub promised: u16,
    /// Standbys that others promised to this node.
    pub held: u16,
}

/// One more.
pub(super) const fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}
