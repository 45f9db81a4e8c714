//! Whom the configuration shuts out (its bad nodes, RFC 6940 §11.1): beside the overlay itself, which makes no link to them
//! and takes no value of theirs, nobody calls them or is called by them, is served or granted anything, or believes a grant
//! of theirs.

use super::Node;
use crate::ids::{CallId, NodeId};
use crate::iptv::{self, ByeReason};
use alloc::vec::Vec;

impl Node {
    /// Whether a node is shut out.
    pub(super) fn is_bad_node(&self, node: NodeId) -> bool {
        self.overlay.config().bad_nodes.contains(&node)
    }

    /// The configuration has changed: whoever is shut out now has nothing here any more.
    pub(super) fn shut_out_bad_nodes(&mut self) {
        let bad = self.overlay.config().bad_nodes.clone();
        if bad.is_empty() {
            return;
        }
        let is_bad = |node: NodeId| bad.contains(&node);
        for stream in self.sessions.as_ref().map(|sessions| sessions.of_nodes(is_bad)).unwrap_or_default() {
            // The plane hears of it like of any other end.
            self.on_stream_closed(stream);
            self.queue.push(super::Output::Close { stream }, &mut self.stats);
        }
        self.with_agent(|agent, now, ctx| agent.shut_out(now, is_bad, ctx));
        // Where nothing is secured a peer is who it says that it is.
        let is_theirs = |call: &super::Call| {
            self.directory.get(call.peer).and_then(|contact| contact.node_id).is_some_and(is_bad)
        };
        let theirs = self.calls.iter().filter(|(_, call)| is_theirs(call));
        for call in theirs.map(|(&id, _)| id).collect::<Vec<CallId>>() {
            self.call_is_over(call);
            let _ = self.with_agent(|agent, now, ctx| agent.bye(now, call, None, ctx));
            self.tell(iptv::Fact::Ended { call, reason: ByeReason::Lost });
        }
        self.void_grants();
    }
}
