//! The Topology Plug-in as the overlay sees it (RFC 6940 §6.4.1): tables that answer questions. When to ask, and what
//! to send, is the overlay's business; `chord` is the implementation.

use crate::env::Entropy;
use crate::ids::NodeId;
use crate::reload::codec::{ChordLeaveData, ChordUpdate};
use alloc::vec::Vec;

/// A place in the space that Node-IDs and 16-byte Resource-IDs share.
pub type Place = u128;

/// What an insertion or removal changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Change {
    /// The neighbor table is another one.
    pub neighbors: bool,
    /// The range of places that this node is responsible for is another one.
    pub range: bool,
    /// The nodes that hold replicas of this node's data are others.
    pub replicas: bool,
}

impl Change {
    /// Whether anything changed.
    pub const fn any(self) -> bool {
        self.neighbors || self.range || self.replicas
    }
}

/// How much an Update tells (ChordUpdateType, RFC 6940 §10.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateScope {
    /// The neighbor table.
    Neighbors,
    /// Everything: the answer to an explicit request.
    Full,
}

/// What an Update said.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Heard {
    /// Every Node-ID in it.
    pub nodes: Vec<NodeId>,
    /// The sender calls this node its first predecessor: the word by which an Admitting Peer lets a Joining Node in
    /// (RFC 6940 §10.5 step 7).
    pub names_me_predecessor: bool,
    /// The node right behind this one, among the sender and those whom it names: as far as they know, it is responsible
    /// for this node's Node-ID when this node is a client.
    pub behind_me: Option<NodeId>,
    /// The node that the sender puts right before this one, when it calls this node its first predecessor.
    pub before_me: Option<NodeId>,
    /// Neighbours of this node that the sender should know, and does not list: they may be gone.
    pub omitted: Vec<NodeId>,
    /// The sender is the farthest of the nodes that hold replicas of this node's data, and knows the same nodes between
    /// the two as this node does: nobody else is to have replicas.
    pub agrees_on_replicas: bool,
}

/// The Routing Table of one node: which peers there are, and what follows from it.
///
/// A peer enters when it can be routed through: linked, Attached, and its Update seen (AT-3, CH-4).
pub trait Topology {
    /// The tables of a node that is in no ring.
    fn new(me: NodeId) -> Self
    where
        Self: Sized;

    /// This node is a member now: it found the overlay, or it was admitted.
    fn enter(&mut self);

    /// This node is no member any more, and knows nobody.
    fn clear(&mut self);

    /// This node's predecessor by another's word: until it can be routed through itself, or the word is taken back
    /// with `None`, what lies up to it is not this node's.
    fn presume(&mut self, predecessor: Option<NodeId>) -> Change;

    /// The predecessor that [`Topology::presume`] told of, while that is all that is known of it.
    fn presumed(&self) -> Option<NodeId>;

    /// A peer can be routed through.
    fn insert(&mut self, peer: NodeId) -> Change;

    /// A peer cannot be routed through any more.
    fn remove(&mut self, peer: NodeId) -> Change;

    /// Whether a peer is in the Routing Table.
    fn contains(&self, peer: NodeId) -> bool;

    /// Peers in the Routing Table.
    fn len(&self) -> usize;

    /// Whether the Routing Table is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this node must keep its association with a peer: it is a neighbour or a finger.
    fn needs(&self, peer: NodeId) -> bool;

    /// Whether this node is responsible for a place.
    fn is_responsible(&self, place: Place) -> bool;

    /// The peers to route through towards a place that this node is not responsible for, best first. Through each of them
    /// a message comes nearer to its place.
    fn next_hops(&self, place: Place) -> impl Iterator<Item = NodeId>;

    /// The best of them.
    fn next_hop(&self, place: Place) -> Option<NodeId> {
        self.next_hops(place).next()
    }

    /// Whether an answer about a place can come from this node: nobody in the neighbor table is closer (SR-9).
    fn is_close_enough(&self, signer: NodeId, place: Place) -> bool;

    /// Predecessors, nearest first.
    fn predecessors(&self) -> Vec<NodeId>;

    /// Successors, nearest first.
    fn successors(&self) -> Vec<NodeId>;

    /// Fingers, farthest first.
    fn fingers(&self) -> Vec<NodeId>;

    /// Who holds the replicas of what this node is responsible for, nearest first.
    fn replicas(&self) -> Vec<NodeId>;

    /// Whether a value at a place belongs here, as the original or as a replica.
    fn holds(&self, place: Place) -> bool;

    /// The peer that is responsible for a place as far as known here; `None` when that is this node, or nobody is known.
    fn owner(&self, place: Place) -> Option<NodeId>;

    /// Whether a peer may hand over a value at a place that this node is not responsible for: it is the responsible
    /// peer as far as known here, and this node is one of its replicas (CH-7).
    fn accepts_replica(&self, from: NodeId, place: Place) -> bool;

    /// Which of these nodes belong into the neighbor table and are not in the Routing Table.
    fn wanted(&self, nodes: &[NodeId]) -> Vec<NodeId>;

    /// The place whose responsible peer admits this node: right behind its own (RFC 6940 §10.5 step 2).
    fn admission_place(&self) -> Place;

    /// Whether `joining` would take over the part of this node's range in front of itself, and with it `place`.
    fn passes_to(&self, joining: NodeId, place: Place) -> bool;

    /// The places where fingers should be looked for at first (RFC 6940 §10.5 step 3), farthest first, without those
    /// that the neighbor table shows to be empty.
    fn finger_places(&self) -> Vec<Place>;

    /// One random place where an invalid finger entry could find a peer (RFC 6940 §10.7.4.2), if there is such an entry.
    fn finger_search(&self, entropy: &mut dyn Entropy) -> Option<Place>;

    /// A random place where a peer could be found in place of this one, which was a finger and is in the Routing Table no
    /// longer; `None` when its entry has another already.
    fn finger_replacement(&self, lost: NodeId, entropy: &mut dyn Entropy) -> Option<Place>;

    /// The share of all places that this node is responsible for, in parts per billion (PB-2).
    fn responsible_ppb(&self) -> u32;

    /// The body of an UpdateReq.
    fn update(&self, uptime: u32, scope: UpdateScope) -> ChordUpdate;

    /// What an Update says to this node.
    fn hear(&self, from: NodeId, update: &ChordUpdate) -> Heard;

    /// The overlay_specific_data of a LeaveReq to this node (RFC 6940 §10.9).
    fn leave(&self, to: NodeId) -> ChordLeaveData;
}
