//! What peers tell each other inside their dialogs (SIP INFO), as values.

use alloc::vec::Vec;

/// Somebody who may serve a channel, as a record of the overlay, a redirect or a parent described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider<P> {
    /// Who.
    pub peer: P,
    /// Its hops from the source, where known; 0 is the source itself.
    pub depth: Option<u8>,
    /// Its free ordinary slots, where known.
    pub free: Option<u16>,
}

impl<P> Provider<P> {
    /// Whether this is the source of the channel.
    pub fn is_source(&self) -> bool {
        self.depth == Some(0)
    }
}

/// A child as its parent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<P> {
    /// Who.
    pub peer: P,
    /// How many slots it could serve if it were a relayer, where it has told.
    pub slots: Option<u16>,
    /// Whether it sits in a rescue slot.
    pub rescue: bool,
}

/// What is below a relayer, as it tells its elector where relayers elect (`Mode::Delegated`): merged from what its own
/// children tell, never from more than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree<P> {
    /// Peers below it.
    pub peers: u32,
    /// Free ordinary slots below it.
    pub free: u32,
    /// Relayers below it that have free slots, those nearest to the source first, as many as there is room for.
    pub open: Vec<Provider<P>>,
}

/// The body of an INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report<P> {
    /// Elector to candidate: please relay (an offer).
    SelectedRelayer {
        /// Whether to put the record under the channel's name.
        register: bool,
    },
    /// Candidate to elector: I relay, and have this many free ordinary slots.
    RelayerAccepted {
        /// Free ordinary slots.
        free: u16,
    },
    /// Candidate to elector: I do not relay.
    RelayerDeclined,
    /// Relayer to elector: no slot is free, and these are all my children.
    FullCapacity {
        /// All children.
        children: Vec<Child<P>>,
    },
    /// Relayer to elector: these are all my children now.
    ChildUpdate {
        /// All children.
        children: Vec<Child<P>>,
        /// Free ordinary slots, where told.
        free: Option<u16>,
    },
    /// Relayer to elector: I am here.
    Alive,
    /// Relayer to the parent that is its elector: what is below me. My children and my own slots are told by themselves.
    Subtree(Subtree<P>),
    /// Parent to child: somebody who can relay, or brings more along than you do, needs your slot. Look for another one, at these
    /// first; you stay until then.
    Yield {
        /// Who has a free slot, as far as the parent knows, or could do the same for you.
        to: Vec<Provider<P>>,
    },
    /// Elector of the whole tree to relayer: there is room nearer to the source. Move there, with all that is below you, if
    /// there still is.
    Climb {
        /// Who has a free slot, the nearest to the source first.
        to: Vec<Provider<P>>,
    },
    /// Parent to child: I go by plan, and send until you have another parent, or for a short while. Relayer to elector: I
    /// relay no longer.
    Leaving,
    /// Parent to child: where you stand in the tree, and whom to ask when I am gone.
    TreePosition {
        /// The child's hops from the source.
        depth: u8,
        /// From the source (first) to the parent (last).
        path: Vec<P>,
        /// Whether the child sits in a rescue slot.
        rescue: bool,
        /// Whom to ask when the parent is lost, in this order.
        backups: Vec<Provider<P>>,
        /// Whether every relayer of the channel elects among its own children, so that a parent is the elector.
        delegated: bool,
    },
}
