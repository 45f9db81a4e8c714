//! Associations: DTLS beneath the overlay plane, where its links are datagrams that are secured.

use super::Node;
use super::api::Output;
use crate::effect::Effect;
use crate::secure::association::{Associations, Fact};
use crate::stats::{DropReason, Plane};
use crate::time::Instant;
use bytes::Bytes;
use core::net::SocketAddr;

impl Node {
    /// A datagram for the overlay: what it reads, or ciphertext of that.
    pub(super) fn on_overlay_datagram(&mut self, from: SocketAddr, payload: Bytes) -> Result<(), DropReason> {
        let at = self.overlay.time_of_day(self.now);
        match &mut self.associations {
            Some(associations) => {
                associations.on_datagram(self.now, at, from, &payload, &mut self.association_effects)
            }
            None => self.with_overlay(|overlay, now, ctx| overlay.handle_datagram(now, from, payload, ctx)),
        }
    }

    /// The network says that nobody is there.
    pub(super) fn on_overlay_unreachable(&mut self, to: SocketAddr) {
        if let Some(associations) = &mut self.associations {
            associations.forget(to);
        }
        self.with_overlay(|overlay, now, ctx| overlay.handle_unreachable(now, to, ctx));
    }

    /// The overlay sends a datagram.
    pub(super) fn send_overlay_datagram(&mut self, to: SocketAddr, payload: Bytes) {
        match &mut self.associations {
            Some(associations) => {
                associations.send(self.now, to, &payload, &mut self.association_effects);
            }
            None => self.transmit(to, payload),
        }
    }

    fn transmit(&mut self, to: SocketAddr, payload: Bytes) {
        self.queue.push(Output::Transmit { plane: Plane::Overlay, to, payload }, &mut self.stats);
    }

    pub(super) fn associate(&mut self, to: SocketAddr) {
        let at = self.overlay.time_of_day(self.now);
        if let Some(associations) = &mut self.associations {
            associations.associate(self.now, at, to, &mut self.association_effects);
        }
    }

    pub(super) fn dissociate(&mut self, to: SocketAddr) {
        if let Some(associations) = &mut self.associations {
            associations.dissociate(self.now, to, &mut self.association_effects);
        }
    }

    /// What the associations want done.
    pub(super) fn on_association_effect(&mut self, effect: Effect<Fact>) {
        let result = match effect {
            Effect::Send { to, payload } => {
                self.transmit(to, payload);
                Ok(())
            }
            Effect::Fact(Fact::Opened { peer, party }) => {
                self.with_overlay(|overlay, now, ctx| overlay.on_association(now, peer, party, ctx))
            }
            Effect::Fact(Fact::Received { peer, bytes }) => {
                self.with_overlay(|overlay, now, ctx| overlay.handle_datagram(now, peer, bytes, ctx))
            }
            Effect::Fact(Fact::Closed { peer }) => {
                self.with_overlay(|overlay, now, ctx| overlay.handle_unreachable(now, peer, ctx));
                Ok(())
            }
            // Associations know datagrams only.
            Effect::Connect { .. }
            | Effect::Write { .. }
            | Effect::Close { .. }
            | Effect::Associate { .. }
            | Effect::Dissociate { .. } => Ok(()),
        };
        if let Err(reason) = result {
            self.stats.count_drop(reason);
        }
    }

    pub(super) fn associations_deadline(&self) -> Option<Instant> {
        self.associations.as_ref().and_then(Associations::deadline)
    }

    pub(super) fn fire_associations(&mut self) {
        if let Some(associations) = &mut self.associations {
            associations.handle_timeout(self.now, &mut self.association_effects);
        }
    }
}
