//! How much a node holds of what peers can make grow, for the fuzz targets (K8).

use super::Node;
use alloc::vec::Vec;

impl Node {
    /// What is held, how much of it, and how much may be. It is asked of a node that is drained.
    #[doc(hidden)]
    pub fn census(&self) -> Vec<(&'static str, usize, usize)> {
        let sip = &self.config.agent.limits;
        let (clients, servers) = self.agent.transactions();
        let policy = &self.config.policy.limits;
        let channels = usize::from(policy.channels);
        let rows = usize::try_from(policy.rows).unwrap_or(usize::MAX);
        let largest = self.channels.ids().map(|id| self.policy.table(id).len()).max().unwrap_or(0);
        let own = [
            ("outputs", self.queue.len(), 0),
            ("channels", self.channels.ids().count(), channels),
            ("records", self.records.len(), channels),
            ("trees", self.trees.len(), channels),
            ("table rows", largest, rows),
            ("grants", self.grants.len(), sip.calls),
            ("grants below", self.below.len(), self.config.limits.grants),
            ("secured streams", self.sessions.as_ref().map_or(0, |s| s.len()), self.config.streams.streams),
            ("associations", self.associations.as_ref().map_or(0, |a| a.len()), self.config.streams.streams),
            (
                "handshakes of strangers",
                self.associations.as_ref().map_or(0, |a| a.strangers()),
                self.config.streams.handshakes,
            ),
            ("plain streams", self.plain_streams.len(), self.config.streams.streams),
            ("unsorted streams", self.unsorted.len(), self.config.streams.handshakes),
            ("calls", self.calls.len(), sip.calls),
            ("SIP calls", self.agent.calls(), sip.calls),
            ("client transactions", clients, sip.client_transactions),
            ("server transactions", servers, sip.server_transactions),
            ("streams", self.agent.streams(), sip.streams),
            ("peers", self.directory.len(), self.config.limits.peers),
            ("lookups", self.lookups.len(), 64 * channels + self.config.limits.queries),
        ];
        self.overlay.census().chain(own).collect()
    }
}
