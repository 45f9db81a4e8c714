//! The words of these bodies: names of lines, and values of `IPTV INFO`.

use super::IptvInfo;

/// The names of the known lines.
pub(super) mod line {
    pub(in crate::sip::body) const INFO: &str = "IPTV INFO";
    pub(in crate::sip::body) const CHANNEL: &str = "CHANNEL";
    pub(in crate::sip::body) const REGISTER: &str = "REGISTER";
    pub(in crate::sip::body) const GRANT: &str = "GRANT";
    pub(in crate::sip::body) const NODE: &str = "NODE";
    pub(in crate::sip::body) const FREE_SLOTS: &str = "FREE SLOTS";
    pub(in crate::sip::body) const REASON: &str = "REASON";
    pub(in crate::sip::body) const CHILD_PEER: &str = "CHILD PEER";
    pub(in crate::sip::body) const CHILD_CONTACT: &str = "CHILD CONTACT";
    pub(in crate::sip::body) const DEPTH: &str = "DEPTH";
    pub(in crate::sip::body) const PATH: &str = "PATH";
    pub(in crate::sip::body) const SLOT: &str = "SLOT";
    pub(in crate::sip::body) const BACKUP_CONTACT: &str = "BACKUP CONTACT";
    pub(in crate::sip::body) const ELECTOR: &str = "ELECTOR";
    pub(in crate::sip::body) const PEERS_BELOW: &str = "PEERS BELOW";
    pub(in crate::sip::body) const FREE_BELOW: &str = "FREE BELOW";
    pub(in crate::sip::body) const OPEN_CONTACT: &str = "OPEN CONTACT";
    pub(in crate::sip::body) const PROOF: &str = "PROOF";
    pub(in crate::sip::body) const ALL: [&str; 18] = [
        INFO,
        CHANNEL,
        REGISTER,
        GRANT,
        NODE,
        FREE_SLOTS,
        REASON,
        CHILD_PEER,
        CHILD_CONTACT,
        DEPTH,
        PATH,
        SLOT,
        BACKUP_CONTACT,
        ELECTOR,
        PEERS_BELOW,
        FREE_BELOW,
        OPEN_CONTACT,
        PROOF,
    ];
}

/// The values of `IPTV INFO`.
pub(super) mod info {
    pub(in crate::sip::body) const SELECTED_RELAYER: &str = "Selected Relayer";
    pub(in crate::sip::body) const GRANT: &str = "Grant";
    pub(in crate::sip::body) const RELAYER_ACCEPTED: &str = "Relayer accepted";
    pub(in crate::sip::body) const RELAYER_DECLINED: &str = "Relayer declined";
    pub(in crate::sip::body) const FULL_CAPACITY: &str = "Full capacity";
    pub(in crate::sip::body) const CHILD_UPDATE: &str = "Child update";
    pub(in crate::sip::body) const ALIVE: &str = "Alive";
    pub(in crate::sip::body) const SUBTREE: &str = "Subtree";
    pub(in crate::sip::body) const TREE_POSITION: &str = "Tree position";
    pub(in crate::sip::body) const YIELD: &str = "Yield";
    pub(in crate::sip::body) const CLIMB: &str = "Climb";
    pub(in crate::sip::body) const END_OF_CHANNEL: &str = "End of channel";
    pub(in crate::sip::body) const LEAVING: &str = "Leaving";
    pub(in crate::sip::body) const ALL: [&str; 13] = [
        SELECTED_RELAYER,
        GRANT,
        RELAYER_ACCEPTED,
        RELAYER_DECLINED,
        FULL_CAPACITY,
        CHILD_UPDATE,
        ALIVE,
        SUBTREE,
        TREE_POSITION,
        YIELD,
        CLIMB,
        END_OF_CHANNEL,
        LEAVING,
    ];
}

impl IptvInfo {
    /// The value of the `IPTV INFO` line.
    pub fn as_str(&self) -> &str {
        match self {
            IptvInfo::SelectedRelayer { .. } => info::SELECTED_RELAYER,
            IptvInfo::Grant { .. } => info::GRANT,
            IptvInfo::RelayerAccepted { .. } => info::RELAYER_ACCEPTED,
            IptvInfo::RelayerDeclined { .. } => info::RELAYER_DECLINED,
            IptvInfo::FullCapacity(_) => info::FULL_CAPACITY,
            IptvInfo::ChildUpdate(_) => info::CHILD_UPDATE,
            IptvInfo::Alive => info::ALIVE,
            IptvInfo::Subtree(_) => info::SUBTREE,
            IptvInfo::TreePosition(_) => info::TREE_POSITION,
            IptvInfo::Yield { .. } => info::YIELD,
            IptvInfo::Climb { .. } => info::CLIMB,
            IptvInfo::EndOfChannel { .. } => info::END_OF_CHANNEL,
            IptvInfo::Leaving => info::LEAVING,
            IptvInfo::Other(text) => text,
        }
    }
}
