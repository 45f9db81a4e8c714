//! Events as lines for people.

use p2piptv::node::{EndReason, Event, PeerName};

/// What an event says; `None` for those that a reader would not miss.
pub fn line(event: &Event) -> Option<String> {
    let name = |peer: &PeerName| peer.name.clone();
    Some(match event {
        Event::Joined => "joined the overlay".into(),
        Event::JoinFailed => "found nobody to join the overlay through".into(),
        Event::UserNameTaken { by } => format!("has the user name of another node, {by}"),
        Event::TookOver { .. } => "takes the channel over: its source is gone".into(),
        Event::Published { .. } => "published the channel".into(),
        Event::PublishFailed { .. } => "could not publish the channel yet; trying again".into(),
        Event::NotFound { .. } => "found nobody who offers the channel".into(),
        Event::Unavailable { retry_after, .. } => {
            format!("finds everybody full; asks again in {} ms", retry_after.as_millis())
        }
        Event::Playing { parent, depth, .. } => format!("plays, served by {} (depth {depth})", name(parent)),
        Event::Covered { provider, .. } => {
            format!("is served by {} while its parent is silent", name(provider))
        }
        Event::Deceived { parent, .. } => {
            format!("leaves {}, who sends what is not the source's", name(parent))
        }
        Event::Orphaned { parent, .. } => format!("lost its parent {}", name(parent)),
        Event::Reparented { parent, depth, rescue, .. } => {
            let how = if *rescue { ", in its rescue slot" } else { "" };
            format!("is served by {} now (depth {depth}{how})", name(parent))
        }
        Event::Elected { .. } => "was elected as a relayer".into(),
        Event::Registered { .. } => "can be found as a relayer".into(),
        Event::ChildJoined { child, .. } => format!("serves child {}", name(child)),
        Event::ChildLeft { child, .. } => format!("no longer serves child {}", name(child)),
        Event::FullCapacityReported { .. } => "reported full capacity as a relayer".into(),
        Event::RelayerReady { relayer, .. } => format!("has a new relayer: {}", name(relayer)),
        Event::RelayerLost { relayer, .. } => format!("lost the relayer {}", name(relayer)),
        Event::Ended { reason: EndReason::EndOfChannel, .. } => "saw the end of the channel".into(),
        Event::Ended { reason: EndReason::Stopped, .. } => "stopped".into(),
        Event::Ended { reason: EndReason::SourceLost, .. } => {
            "gives up: the channel has no source any more".into()
        }
        Event::Ended { reason: EndReason::Superseded, .. } => {
            "ends: another source has taken the channel over".into()
        }
        Event::Reconfigured { sequence, .. } => format!("took version {sequence} of the configuration"),
        Event::Incompatible { sequence, why, .. } => {
            format!("cannot do what version {sequence} of the configuration asks for: {}", why.element)
        }
        Event::Disputed { owner, others, .. } => {
            let list: Vec<String> = others.iter().map(ToString::to_string).collect();
            format!(
                "keeps to the owner {owner}; the name is claimed by {} as well (choose with --owner)",
                list.join(" and ")
            )
        }
        Event::Left => "left the overlay".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2piptv::ids::ChannelId;

    #[test]
    fn a_line_tells_who_and_how_deep() {
        let channel = ChannelId(0);
        let parent = PeerName { name: "1".into(), node_id: None };
        let event = Event::Reparented { channel, parent, depth: 2, rescue: true };
        assert_eq!(line(&event).as_deref(), Some("is served by 1 now (depth 2, in its rescue slot)"));
        assert_eq!(line(&Event::TableChanged { channel }), None);
    }
}
