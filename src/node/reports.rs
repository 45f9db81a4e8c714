//! IPTV bodies and the policy's reports, each from the other: bodies speak of contacts and names, the policy of keys.

use super::directory::{Contact, Source};
use super::{Node, PeerKey};
use crate::ids::{CallId, ChannelName};
use crate::iptv::{Child, Provider, Report, Subtree};
use crate::sip::agent::Transport;
use crate::sip::body::{self, Carrier, Elector, IptvBody, IptvInfo, Position, Slot};
use crate::sip::msg::NameAddr;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// Stands in for the address of a peer that is known by name only: nothing can be sent there.
const NOWHERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), 0);

/// What a BYE may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// With the owner's word for it, where there is one.
    EndOfChannel(Option<Bytes>),
    Leaving,
}

impl Closing {
    /// What a BYE's body says, if anything.
    pub(super) fn decode(body: &[u8], carrier: Carrier) -> Option<Self> {
        match IptvBody::parse(body, carrier).ok()?.info {
            IptvInfo::EndOfChannel { proof } => Some(Closing::EndOfChannel(proof)),
            IptvInfo::Leaving => Some(Closing::Leaving),
            _ => None,
        }
    }
}

impl Node {
    pub(super) fn encode_closing(&self, call: CallId, closing: Closing) -> Option<Bytes> {
        let info = match closing {
            Closing::EndOfChannel(proof) => IptvInfo::EndOfChannel { proof },
            Closing::Leaving => IptvInfo::Leaving,
        };
        IptvBody { channel: self.channel_of(call), info }.to_bytes().ok()
    }

    /// `None` when the call is unknown or its peer's contact cannot be written.
    pub(super) fn encode_report(&mut self, call: CallId, report: &Report<PeerKey>) -> Option<Bytes> {
        let info = match report {
            // Without the grant that it needs an offer would be passed over in silence.
            Report::SelectedRelayer { register: true } if self.needs_grants() => {
                IptvInfo::SelectedRelayer { register: true, grant: Some(self.give_grant(call)?) }
            }
            Report::SelectedRelayer { register: false } if self.needs_grants() => {
                IptvInfo::SelectedRelayer { register: false, grant: self.give_grant(call) }
            }
            Report::SelectedRelayer { register } => {
                IptvInfo::SelectedRelayer { register: *register, grant: None }
            }
            Report::RelayerAccepted { free } => IptvInfo::RelayerAccepted { free_slots: Some(*free) },
            Report::RelayerDeclined => IptvInfo::RelayerDeclined { reason: None },
            Report::FullCapacity { children } => IptvInfo::FullCapacity(body::Report {
                children: self.children_of(children),
                free_slots: Some(0),
            }),
            Report::ChildUpdate { children, free } => IptvInfo::ChildUpdate(body::Report {
                children: self.children_of(children),
                free_slots: *free,
            }),
            Report::Alive => IptvInfo::Alive,
            Report::Yield { to } => {
                IptvInfo::Yield { to: to.iter().filter_map(|p| self.name_addr(p)).collect() }
            }
            Report::Climb { to } => {
                IptvInfo::Climb { to: to.iter().filter_map(|p| self.name_addr(p)).collect() }
            }
            Report::Leaving => IptvInfo::Leaving,
            Report::Subtree(Subtree { peers, free, open }) => IptvInfo::Subtree(body::Subtree {
                peers: *peers,
                free: *free,
                open: open.iter().filter_map(|p| self.name_addr(p)).collect(),
            }),
            Report::TreePosition { depth, path, rescue, backups, delegated } => {
                IptvInfo::TreePosition(Position {
                    depth: *depth,
                    path: path.iter().map(|key| key.node_id()).collect(),
                    slot: if *rescue { Slot::Rescue } else { Slot::Ordinary },
                    backups: backups.iter().filter_map(|backup| self.name_addr(backup)).collect(),
                    elector: if *delegated { Elector::Parent } else { Elector::Source },
                })
            }
        };
        IptvBody { channel: self.channel_of(call), info }.to_bytes().ok()
    }

    /// `None` for what does not parse, is of another channel, or is unknown to this version.
    pub(super) fn decode_report(
        &mut self,
        call: CallId,
        body: &[u8],
        carrier: Carrier,
    ) -> Option<Report<PeerKey>> {
        let IptvBody { channel, info } = IptvBody::parse(body, carrier).ok()?;
        if channel.is_some() && channel != self.channel_of(call) {
            return None;
        }
        Some(match info {
            IptvInfo::SelectedRelayer { register, grant } if self.needs_grants() => {
                let granted = grant.is_some_and(|grant| self.take_grant(call, &grant).is_ok());
                // Whoever is sent by nobody may not send others to this node.
                if register && !granted {
                    return None;
                }
                Report::SelectedRelayer { register }
            }
            IptvInfo::SelectedRelayer { register, .. } => Report::SelectedRelayer { register },
            IptvInfo::Grant { grant, node } if self.needs_grants() => {
                // One that does not count was counted as such; the policy knows nothing of grants.
                let _ = match node.filter(|&node| node != self.node_id()) {
                    Some(node) => self.pass_on_grant(call, &grant, node),
                    None => self.take_grant(call, &grant),
                };
                return None;
            }
            IptvInfo::RelayerAccepted { free_slots } => {
                Report::RelayerAccepted { free: free_slots.unwrap_or(0) }
            }
            IptvInfo::RelayerDeclined { .. } => Report::RelayerDeclined,
            IptvInfo::FullCapacity(report) => {
                Report::FullCapacity { children: self.meet_children(report.children) }
            }
            IptvInfo::ChildUpdate(report) => {
                Report::ChildUpdate { children: self.meet_children(report.children), free: report.free_slots }
            }
            IptvInfo::Alive => Report::Alive,
            IptvInfo::Yield { to } => {
                Report::Yield { to: to.iter().filter_map(|p| self.meet_provider(p)).collect() }
            }
            IptvInfo::Climb { to } => {
                Report::Climb { to: to.iter().filter_map(|p| self.meet_provider(p)).collect() }
            }
            IptvInfo::Leaving => Report::Leaving,
            IptvInfo::TreePosition(position) => Report::TreePosition {
                depth: position.depth,
                path: position.path.into_iter().map(PeerKey::of_node).collect(),
                rescue: position.slot == Slot::Rescue,
                backups: position.backups.iter().filter_map(|backup| self.meet_provider(backup)).collect(),
                delegated: position.elector == Elector::Parent,
            },
            IptvInfo::Subtree(body::Subtree { peers, free, open }) => {
                let open = open.iter().filter_map(|p| self.meet_provider(p)).collect();
                Report::Subtree(Subtree { peers, free, open })
            }
            IptvInfo::EndOfChannel { .. } | IptvInfo::Grant { .. } | IptvInfo::Other(_) => {
                return None;
            }
        })
    }

    pub(super) fn channel_of(&self, call: CallId) -> Option<ChannelName> {
        Some(self.channels.get(self.calls.get(&call)?.channel)?.name.clone())
    }

    fn children_of(&self, children: &[Child<PeerKey>]) -> Vec<body::Child> {
        let describe = |child: &Child<PeerKey>| {
            let provider = Provider { peer: child.peer, depth: None, free: child.slots };
            let mut contact = self.name_addr(&provider)?;
            if child.rescue {
                contact = contact.with_rescue_slot();
            }
            Some(body::Child { name: self.directory.get(child.peer)?.name.clone(), contact: Some(contact) })
        };
        children.iter().filter_map(describe).collect()
    }

    fn meet_children(&mut self, children: Vec<body::Child>) -> Vec<Child<PeerKey>> {
        let mut met = Vec::with_capacity(children.len());
        for body::Child { name, contact } in children {
            let (slots, rescue) =
                contact.as_ref().map_or((None, false), |contact| (contact.slots(), contact.is_rescue_slot()));
            let peer = match contact.as_ref().and_then(read_contact) {
                Some(contact) => self.remember(contact, Source::Hearsay),
                // The paper's list has names alone. Whoever is known by that name is meant.
                None => self.directory.named(&name).unwrap_or_else(|| {
                    let transport = Transport::Udp;
                    self.remember(Contact { name, addr: NOWHERE, transport, node_id: None }, Source::Hearsay)
                }),
            };
            met.push(Child { peer, slots, rescue });
        }
        met
    }

    fn meet_provider(&mut self, contact: &NameAddr<'static>) -> Option<Provider<PeerKey>> {
        let (depth, free) = (contact.depth(), contact.slots());
        Some(Provider { peer: self.remember(read_contact(contact)?, Source::Hearsay), depth, free })
    }

    /// How a peer stands in a list of contacts; `None` once its contact is forgotten.
    fn name_addr(&self, provider: &Provider<PeerKey>) -> Option<NameAddr<'static>> {
        let contact = self.directory.get(provider.peer)?;
        let mut addr = NameAddr::new(contact.uri());
        if let Some(id) = contact.node_id {
            addr = addr.with_node_id(id);
        }
        if let Some(slots) = provider.free {
            addr = addr.with_slots(slots);
        }
        if let Some(depth) = provider.depth {
            addr = addr.with_depth(depth);
        }
        Some(addr)
    }
}

/// `None` unless it is a SIP URI with an IP address.
fn read_contact(contact: &NameAddr<'static>) -> Option<Contact> {
    Contact::of_uri(contact.uri().sip()?, contact.node_id())
}
