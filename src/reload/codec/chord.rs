//! What CHORD-RELOAD puts into Update, RouteQuery and Leave (RFC 6940 §10.7 to §10.9).

use super::{Structure, read_list, write_list};
use crate::ids::NodeId;
use crate::wire::{DecodeError, DecodeErrorKind, Reader, Writer};
use alloc::vec::Vec;

const PEER_READY: u8 = 1;
const NEIGHBORS: u8 = 2;
const FULL: u8 = 3;

const FROM_SUCC: u8 = 1;
const FROM_PRED: u8 = 2;

/// ChordUpdate, the body of an UpdateReq (§10.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChordUpdate {
    /// Seconds that the sender has been up.
    pub uptime: u32,
    /// What it tells about its tables.
    pub tables: ChordTables,
}

/// ChordUpdateType with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChordTables {
    /// peer_ready: messages can be routed through the sender.
    PeerReady,
    /// neighbors: the neighbor table.
    Neighbors {
        /// Nearest first.
        predecessors: Vec<NodeId>,
        /// Nearest first.
        successors: Vec<NodeId>,
    },
    /// full: the whole Routing Table.
    Full {
        /// Nearest first.
        predecessors: Vec<NodeId>,
        /// Nearest first.
        successors: Vec<NodeId>,
        /// The finger table.
        fingers: Vec<NodeId>,
    },
}

fn read_nodes(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<NodeId>, DecodeError> {
    read_list(r.sub16(field)?)
}

fn write_nodes(w: &mut Writer, field: &'static str, nodes: &[NodeId]) {
    w.sub16(field, |w| write_list(w, nodes));
}

impl Structure for ChordUpdate {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let uptime = r.u32("uptime")?;
        let unknown = r.error(DecodeErrorKind::InvalidValue, "ChordUpdateType");
        let tables = match r.u8("ChordUpdateType")? {
            PEER_READY => ChordTables::PeerReady,
            NEIGHBORS => ChordTables::Neighbors {
                predecessors: read_nodes(r, "predecessors")?,
                successors: read_nodes(r, "successors")?,
            },
            FULL => ChordTables::Full {
                predecessors: read_nodes(r, "predecessors")?,
                successors: read_nodes(r, "successors")?,
                fingers: read_nodes(r, "fingers")?,
            },
            _ => return Err(unknown),
        };
        Ok(ChordUpdate { uptime, tables })
    }

    fn write(&self, w: &mut Writer) {
        w.u32(self.uptime);
        match &self.tables {
            ChordTables::PeerReady => w.u8(PEER_READY),
            ChordTables::Neighbors { predecessors, successors } => {
                w.u8(NEIGHBORS);
                write_nodes(w, "predecessors", predecessors);
                write_nodes(w, "successors", successors);
            }
            ChordTables::Full { predecessors, successors, fingers } => {
                w.u8(FULL);
                write_nodes(w, "predecessors", predecessors);
                write_nodes(w, "successors", successors);
                write_nodes(w, "fingers", fingers);
            }
        }
    }
}

/// ChordRouteQueryAns, the body of a RouteQueryAns (§10.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChordRouteQueryAns {
    /// The peer to which the answering one would route.
    pub next_peer: NodeId,
}

impl Structure for ChordRouteQueryAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ChordRouteQueryAns { next_peer: NodeId::read(r)? })
    }

    fn write(&self, w: &mut Writer) {
        self.next_peer.write(w);
    }
}

/// ChordLeaveData, the overlay_specific_data of a LeaveReq (§10.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChordLeaveData {
    /// from_succ: the sender is the recipient's successor; these are the sender's successors.
    FromSuccessor(Vec<NodeId>),
    /// from_pred: the sender is the recipient's predecessor; these are the sender's predecessors.
    FromPredecessor(Vec<NodeId>),
}

impl Structure for ChordLeaveData {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unknown = r.error(DecodeErrorKind::InvalidValue, "ChordLeaveType");
        match r.u8("ChordLeaveType")? {
            FROM_SUCC => Ok(ChordLeaveData::FromSuccessor(read_nodes(r, "successors")?)),
            FROM_PRED => Ok(ChordLeaveData::FromPredecessor(read_nodes(r, "predecessors")?)),
            _ => Err(unknown),
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            ChordLeaveData::FromSuccessor(nodes) => {
                w.u8(FROM_SUCC);
                write_nodes(w, "successors", nodes);
            }
            ChordLeaveData::FromPredecessor(nodes) => {
                w.u8(FROM_PRED);
                write_nodes(w, "predecessors", nodes);
            }
        }
    }
}
