//! Join (RFC 6940 §6.4.2.1) and Leave (§6.4.2.2). LeaveAns has no fields.

use crate::ids::NodeId;
use crate::reload::codec::Structure;
use crate::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

/// Asks to be let in: `NodeId joining_peer_id | opaque overlay_specific_data<0..2^16-1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReq {
    /// The joining peer; it must be the signer (JL-1).
    pub joining_peer_id: NodeId,
    /// Nothing in CHORD-RELOAD.
    pub overlay_specific_data: Bytes,
}

impl Structure for JoinReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(JoinReq {
            joining_peer_id: NodeId::read(r)?,
            overlay_specific_data: r.sub16("overlay_specific_data")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.joining_peer_id.write(w);
        w.sub16("overlay_specific_data", |w| w.raw(&self.overlay_specific_data));
    }
}

/// The answer: `opaque overlay_specific_data<0..2^16-1>`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JoinAns {
    /// Nothing in CHORD-RELOAD.
    pub overlay_specific_data: Bytes,
}

impl Structure for JoinAns {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(JoinAns { overlay_specific_data: r.sub16("overlay_specific_data")?.rest() })
    }

    fn write(&self, w: &mut Writer) {
        w.sub16("overlay_specific_data", |w| w.raw(&self.overlay_specific_data));
    }
}

/// Says goodbye: `NodeId leaving_peer_id | opaque overlay_specific_data<0..2^16-1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveReq {
    /// The leaving peer; it must be the signer (JL-1).
    pub leaving_peer_id: NodeId,
    /// In CHORD-RELOAD a [`ChordLeaveData`](crate::reload::codec::ChordLeaveData).
    pub overlay_specific_data: Bytes,
}

impl Structure for LeaveReq {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(LeaveReq {
            leaving_peer_id: NodeId::read(r)?,
            overlay_specific_data: r.sub16("overlay_specific_data")?.rest(),
        })
    }

    fn write(&self, w: &mut Writer) {
        self.leaving_peer_id.write(w);
        w.sub16("overlay_specific_data", |w| w.raw(&self.overlay_specific_data));
    }
}
