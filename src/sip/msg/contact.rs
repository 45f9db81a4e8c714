//! The contact-params of this system. All are optional, so that plain SIP agents work in both directions.
//!
//! | parameter | says |
//! | --- | --- |
//! | `node-id=<32 hex>` | which node of the overlay this is |
//! | `slots=<n>` | children that it could serve (in an INVITE), or has room for (everywhere else) |
//! | `depth=<n>` | its hops from the source; 0 is the source |
//! | `slot=rescue` | the child sits, or would sit, in its rescue slot |
//! | `standby` | in an INVITE, and in its 200: a dialog in which no media flows until its caller asks for it |
//! | `resume=<n>` | in an INVITE: the RTP sequence number behind which the caller wants the media to begin |

use super::address::NameAddr;
use crate::ids::NodeId;
use alloc::string::ToString;

impl NameAddr<'_> {
    /// `node-id`
    pub fn node_id(&self) -> Option<NodeId> {
        NodeId::from_hex(self.params().get("node-id")?)
    }

    /// `slots`
    pub fn slots(&self) -> Option<u16> {
        self.params().get("slots")?.parse().ok()
    }

    /// `depth`
    pub fn depth(&self) -> Option<u8> {
        self.params().get("depth")?.parse().ok()
    }

    /// `slot=rescue`
    pub fn is_rescue_slot(&self) -> bool {
        self.params().get("slot").is_some_and(|slot| slot.eq_ignore_ascii_case("rescue"))
    }

    /// `standby`
    pub fn is_standby(&self) -> bool {
        self.params().contains("standby")
    }

    /// `resume`
    pub fn resume(&self) -> Option<u16> {
        self.params().get("resume")?.parse().ok()
    }

    /// The same with a `node-id`.
    pub fn with_node_id(self, id: NodeId) -> Self {
        self.with_legal("node-id", &id.to_string())
    }

    /// The same with `slots`.
    pub fn with_slots(self, slots: u16) -> Self {
        self.with_legal("slots", &slots.to_string())
    }

    /// The same with a `depth`.
    pub fn with_depth(self, depth: u8) -> Self {
        self.with_legal("depth", &depth.to_string())
    }

    /// The same with `slot=rescue`.
    pub fn with_rescue_slot(self) -> Self {
        self.with_legal("slot", "rescue")
    }

    /// The same with `standby`.
    pub fn with_standby(mut self) -> Self {
        let set = self.params_mut().set("standby", None);
        debug_assert!(set.is_ok());
        self
    }

    /// The same with `resume`.
    pub fn with_resume(self, sequence: u16) -> Self {
        self.with_legal("resume", &sequence.to_string())
    }

    /// For names and values that are tokens by themselves.
    fn with_legal(mut self, name: &str, value: &str) -> Self {
        let set = self.params_mut().set(name, Some(value));
        debug_assert!(set.is_ok());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::SipUri;
    use super::*;

    #[test]
    fn contact_params_print_and_read_back() {
        let uri = SipUri::of_user("3", "127.0.0.1:5064".parse().unwrap());
        let id = NodeId::from_u128(7);
        let contact = NameAddr::new(uri).with_node_id(id).with_slots(2).with_depth(1).with_rescue_slot();
        let contact = contact.with_resume(65_535).with_standby();
        let text = contact.to_string();
        assert_eq!(
            text,
            "<sip:3@127.0.0.1:5064>;node-id=00000000000000000000000000000007;slots=2;depth=1;slot=rescue;resume=65535;standby"
        );
        let (_, read) = NameAddr::parse(text.as_bytes(), "Contact").unwrap();
        assert_eq!(
            (read.node_id(), read.slots(), read.depth(), read.is_rescue_slot(), read.resume()),
            (Some(id), Some(2), Some(1), true, Some(65_535))
        );
        assert!(read.is_standby());
        assert_eq!(read, contact);
    }

    #[test]
    fn a_plain_agent_has_none_of_them_and_nonsense_counts_as_none() {
        let (_, c) =
            NameAddr::parse(b"<sip:a@b>;slots=-1;depth=256;node-id=12;slot=7;resume=65536", "Contact")
                .unwrap();
        assert_eq!((c.resume(), c.is_standby()), (None, false));
        assert_eq!((c.node_id(), c.slots(), c.depth(), c.is_rescue_slot()), (None, None, None, false));
    }
}
