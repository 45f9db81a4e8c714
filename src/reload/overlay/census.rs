//! How much this node holds of what peers can make grow, for the fuzz targets (K8).

use super::Overlay;
use crate::reload::configuration::KindBlock;
use crate::reload::topology::Topology;

impl<T: Topology> Overlay<T> {
    /// What is held, how much of it, and how much may be.
    #[doc(hidden)]
    pub fn census(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        let limits = &self.config.limits;
        [
            ("links", self.connections.len(), limits.links),
            ("nodes at the ends of links", self.connections.nodes().count(), self.connections.len()),
            ("requests", self.requests.iter().count(), limits.requests),
            ("answers", self.answers.len(), limits.answers),
            ("incomplete messages", self.reassembly.len(), limits.incomplete),
            ("kept Via Lists", self.ways.len(), limits.kept_paths),
            ("stored values", self.storage.len(), limits.values),
            ("stored bytes", self.storage.bytes(), limits.value_bytes),
            ("epochs", self.storage.epochs(), limits.epochs),
            ("places seen", self.seen.len(), limits.seen),
            ("peers in the Routing Table", self.topology.len(), limits.links),
            ("messages to sign", self.outbox.len(), limits.unsigned),
            ("signatures of the host", self.signing.len(), limits.unsigned),
            ("messages to check", self.inbox.len(), limits.unverified),
            ("nodes told of a configuration", self.updates.told(), limits.links),
            ("Kinds learned", self.updates.learned(), KindBlock::MAX_BLOCKS),
            ("messages to itself", self.loopback.len(), limits.turns),
        ]
        .into_iter()
    }
}
