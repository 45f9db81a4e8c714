//! The way into the overlay (RFC 6940 §10.5, §11.4) and the other side of it, admission.
//!
//! ```text
//!   JN                          B (bootstrap)              AP (admitting peer)
//!   Dialing    ── Ping ───────▶ │                          │
//!   Attaching  ── Attach n+1 ─▶ │ ───────────────────────▶ │
//!   Hearing    ◀─────────────── Update ─────────────────── │   AP's neighbours
//!   Meeting    ── Attach [AP, each of them] ─────────────▶ │   until each has sent its Update, or failed
//!   Asking     ── Join ─────────────────────────────────▶  │
//!   Entering   ◀──────────────── Stores ───────────────────│   everything JN will be responsible for
//!              ◀── Update: JN is my first predecessor ──── │   now JN is a member
//!   Update to everybody connected
//! ```

use super::exchange::{refuse, refuse_because};
use super::receive::Incoming;
use super::{Context, Fact, Failure, Overlay, Phase, Purpose, Task};
use crate::ids::{NodeId, ResourceId};
use crate::reload::codec::body::{JoinAns, JoinReq};
use crate::reload::codec::{Body, Destination, ErrorCode};
use crate::reload::request::SENDS;
use crate::reload::topology::{Heard, Topology};
use crate::time::Instant;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Attempts behind a bootstrap node that answered, before `join` fails.
const ATTEMPTS: u8 = 16;

/// Nodes whose Updates are remembered before it is known who the Admitting Peer is.
const EARLY: usize = 16;

/// How often the list of bootstrap nodes is gone through without a link coming up, before `join` fails.
const ROUNDS: u8 = 2;

/// How far a Joining Node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Dialing,
    Attaching,
    Hearing,
    Meeting,
    Asking,
    Entering,
    /// An attempt failed; the next begins at the timer.
    Pausing,
}

/// A join under way.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) stage: Stage,
    /// The bootstrap node that is being dialled, or was reached.
    pub(super) bootstrap: SocketAddr,
    /// It wants to be a client, not a peer.
    as_client: bool,
    /// Bootstrap nodes not dialled yet.
    pub(super) untried: Vec<SocketAddr>,
    /// Times that all of them were dialled in vain.
    rounds: u8,
    pub(super) attempts: u8,
    /// The Admitting Peer.
    pub(super) admitting: Option<NodeId>,
    /// Whoever has said that it is not the Admitting Peer any more.
    refused_by: Option<NodeId>,
    /// Neighbours-to-be that have not sent their Update yet.
    pub(super) awaiting: Vec<NodeId>,
    /// Updates that overtook the answer to the Attach: whose, and what each said last. Full: the oldest goes.
    early: Vec<(NodeId, Heard)>,
}

impl Join {
    pub(super) fn new(bootstrap: SocketAddr, untried: Vec<SocketAddr>, as_client: bool) -> Self {
        Join {
            stage: Stage::Dialing,
            bootstrap,
            as_client,
            untried,
            rounds: 0,
            attempts: 0,
            admitting: None,
            refused_by: None,
            awaiting: Vec::new(),
            early: Vec::new(),
        }
    }

    fn hear_early(&mut self, from: NodeId, heard: &Heard) {
        self.early.retain(|(n, _)| *n != from);
        if self.early.len() >= EARLY {
            self.early.remove(0);
        }
        self.early.push((from, heard.clone()));
    }
}

impl<T: Topology> Overlay<T> {
    /// Step 1: dials the next bootstrap node; with none left the join has failed.
    pub(super) fn dial_bootstrap(&mut self, now: Instant, ctx: &mut Context<'_>) {
        loop {
            let Phase::Joining(join) = &mut self.phase else { return };
            if join.untried.is_empty() {
                join.rounds += 1;
                if join.rounds >= ROUNDS {
                    return self.fail_join(ctx);
                }
                join.untried = self.bootstraps.clone();
            }
            let address = join.untried.remove(0);
            join.bootstrap = address;
            join.stage = Stage::Dialing;
            if self.connections.node_at(address).is_some() {
                return self.continue_join(now, ctx);
            }
            if self.dial(now, address, None, ctx).is_ok() {
                return;
            }
        }
    }

    fn fail_join(&mut self, ctx: &mut Context<'_>) {
        self.forget_everything(ctx);
        ctx.effects.fact(Fact::JoinFailed);
    }

    /// The node at the other end of the bootstrap link, while this node joins.
    pub(super) fn bootstrap_node(&self) -> Option<NodeId> {
        match &self.phase {
            Phase::Joining(join) => self.connections.node_at(join.bootstrap),
            _ => None,
        }
    }

    /// Takes the next step if the present one is done.
    pub(super) fn continue_join(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let linked = self.bootstrap_node().is_some();
        let Phase::Joining(join) = &mut self.phase else { return };
        match join.stage {
            Stage::Dialing if linked => {
                join.stage = Stage::Attaching;
                let place = match join.as_client {
                    true => self.me.to_u128(),
                    false => self.topology.admission_place(),
                };
                let place = ResourceId::from_u128(place);
                if self.attach(now, vec![Destination::Resource(place)], self.me, ctx).is_err() {
                    self.retry_join(now, ctx);
                }
            }
            Stage::Meeting if join.awaiting.is_empty() => self.ask_to_join(now, ctx),
            _ => {}
        }
    }

    /// Step 2 is answered: the signer is the Admitting Peer, and its Update will come.
    pub(super) fn on_admitting_peer(&mut self, now: Instant, peer: NodeId, ctx: &mut Context<'_>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        if join.stage != Stage::Attaching {
            return;
        }
        join.admitting = Some(peer);
        join.stage = Stage::Hearing;
        self.tasks.set(Task::Join, Some(now + self.config.timers.request * SENDS.into()));
        let early = core::mem::take(&mut join.early);
        if let Some((from, heard)) = early.into_iter().find(|(from, _)| *from == peer) {
            self.on_update_while_joining(now, from, &heard, ctx);
        }
    }

    /// An Update reached a Joining Node. The first one of the Admitting Peer names the neighbours to be met (step 3),
    /// the one that calls this node its predecessor makes it a member (step 7).
    pub(super) fn on_update_while_joining(
        &mut self,
        now: Instant,
        from: NodeId,
        heard: &Heard,
        ctx: &mut Context<'_>,
    ) {
        let Phase::Joining(join) = &mut self.phase else { return };
        join.awaiting.retain(|n| *n != from);
        match join.stage {
            Stage::Attaching => join.hear_early(from, heard),
            // Somebody has come in between: it admits this node now.
            Stage::Meeting if self.topology.successors().first() == Some(&from) => {
                join.admitting = Some(from)
            }
            _ => {}
        }
        if join.admitting == Some(from) {
            match join.stage {
                Stage::Entering | Stage::Asking if heard.names_me_predecessor => {
                    return self.enter(now, from, heard, ctx);
                }
                Stage::Hearing if join.as_client => return self.become_client(now, from, heard, ctx),
                Stage::Hearing => {
                    join.stage = Stage::Meeting;
                    join.awaiting.clear();
                    self.tasks.set(Task::Join, Some(now + self.config.timers.request * SENDS.into()));
                    // Whoever dies meanwhile must not stand between this node and the next Admitting Peer.
                    self.watch_neighbors(now, ctx);
                    self.meet(now, &heard.nodes, from, ctx);
                }
                Stage::Meeting => self.meet(now, &heard.nodes, from, ctx),
                _ => {}
            }
        }
        self.continue_join(now, ctx);
    }

    /// Step 5.
    fn ask_to_join(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        let Some(admitting) = join.admitting else { return self.retry_join(now, ctx) };
        // Whoever has been met and is nearer has come in since.
        let nearest = self.topology.successors().first().copied();
        let peer = nearest.filter(|_| self.topology.contains(admitting)).unwrap_or(admitting);
        join.admitting = Some(peer);
        join.stage = Stage::Asking;
        self.tasks.clear(&Task::Join);
        if self.send_join(now, peer, ctx).is_err() {
            self.retry_join(now, ctx);
        }
    }

    /// Asks a peer to let this node in.
    pub(super) fn send_join(
        &mut self,
        now: Instant,
        peer: NodeId,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let body =
            Body::JoinReq(JoinReq { joining_peer_id: self.me, overlay_specific_data: bytes::Bytes::new() });
        self.request(now, vec![peer.into()], &body, Purpose::Join, ctx)
    }

    /// The Join is granted (JL-4: by whom it was asked). What this node will be responsible for follows.
    pub(super) fn on_join_granted(&mut self, now: Instant) {
        if let Phase::Joining(join) = &mut self.phase {
            join.stage = Stage::Entering;
        }
        self.keep_waiting_to_enter(now);
    }

    /// A Joining Node waits for its admission as long as something comes from the Admitting Peer.
    pub(super) fn keep_waiting_to_enter(&mut self, now: Instant) {
        if matches!(&self.phase, Phase::Joining(join) if join.stage == Stage::Entering) {
            self.tasks.set(Task::Join, Some(now + self.config.timers.request * SENDS.into()));
        }
    }

    /// Steps 7 and 9: this node is a member now. Its range begins where the Admitting Peer's did, even if the peer there
    /// cannot be reached yet.
    fn enter(&mut self, now: Instant, from: NodeId, heard: &Heard, ctx: &mut Context<'_>) {
        self.topology.presume(heard.before_me);
        self.become_member(now, ctx);
        self.consider(now, &heard.nodes, from, ctx);
    }

    /// Attaches to the neighbours-to-be that the Admitting Peer names now. Whom it does not name any more is none any more.
    fn meet(&mut self, now: Instant, named: &[NodeId], word_of: NodeId, ctx: &mut Context<'_>) {
        let wanted = self.topology.wanted(named);
        let outdated =
            |p: &Purpose| matches!(p, Purpose::Attach { target: Some(n), .. } if !wanted.contains(n));
        self.requests.retain(|r| !outdated(&r.purpose));
        if let Phase::Joining(join) = &mut self.phase {
            join.awaiting.retain(|n| wanted.contains(n));
        }
        for node in wanted {
            self.attach_to(now, node, word_of, ctx);
            // Its Update may have come before the answer to the Attach.
            let heard = self.connections.of(node).is_some_and(|c| c.update_seen);
            let awaited = !heard && self.is_attaching(now, node);
            let Phase::Joining(join) = &mut self.phase else { return };
            if awaited && !join.awaiting.contains(&node) {
                join.awaiting.push(node);
            }
        }
    }

    /// The peer that was asked is not the Admitting Peer: somebody has come in between, whom it knows. If that does not lead
    /// to anybody else, the next attempt begins.
    pub(super) fn on_not_admitting(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        let Some(peer) = join.admitting.filter(|_| join.refused_by != join.admitting) else {
            return self.retry_join(now, ctx);
        };
        join.refused_by = Some(peer);
        join.stage = Stage::Hearing;
        self.tasks.set(Task::Join, Some(now + self.config.timers.request));
        self.ask_for_table(now, peer, ctx);
    }

    /// This attempt failed; the next one begins after a pause with jitter.
    pub(super) fn retry_join(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        join.attempts += 1;
        join.awaiting.clear();
        join.admitting = None;
        join.refused_by = None;
        join.early.clear();
        join.stage = Stage::Pausing;
        // What the failed attempt asked must not end the next one.
        let of_the_attempt = |p: &Purpose| matches!(p, Purpose::Join | Purpose::Attach { target: None, .. });
        self.requests.retain(|r| !of_the_attempt(&r.purpose));
        if join.attempts >= ATTEMPTS {
            return self.fail_join(ctx);
        }
        let pause = self.config.timers.join_retry;
        let jitter = Duration::from_micros(ctx.entropy.below(pause.as_micros() as u64));
        self.tasks.set(Task::Join, Some(now + pause + jitter));
    }

    /// The timer of the present stage.
    pub(super) fn on_join_timer(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        match join.stage {
            // Whoever has not answered by now is not counted among the neighbours.
            Stage::Meeting => {
                join.awaiting.clear();
                self.continue_join(now, ctx);
            }
            Stage::Pausing => {
                join.stage = Stage::Dialing;
                if self.bootstrap_node().is_some() {
                    self.continue_join(now, ctx);
                } else {
                    self.redial_bootstraps(now, ctx);
                }
            }
            _ => self.retry_join(now, ctx),
        }
    }

    fn redial_bootstraps(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let mut known = self.bootstraps.clone();
        if let Phase::Joining(join) = &self.phase {
            // The one that was lost is the last to be tried.
            known.sort_by_key(|address| *address == join.bootstrap);
        }
        if let Phase::Joining(join) = &mut self.phase {
            join.untried = known;
            join.rounds = 0;
        }
        self.dial_bootstrap(now, ctx);
    }

    /// A link is gone; if it led to the bootstrap node the next one is dialled.
    pub(super) fn on_bootstrap_lost(&mut self, now: Instant, address: SocketAddr, ctx: &mut Context<'_>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        if join.bootstrap != address {
            return;
        }
        match join.stage {
            Stage::Dialing => self.dial_bootstrap(now, ctx),
            Stage::Pausing => {}
            _ => self.retry_join(now, ctx),
        }
    }

    /// The Admitting Peer is gone.
    pub(super) fn on_admitting_peer_lost(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let lost = matches!(&self.phase, Phase::Joining(join) if join.admitting == Some(node));
        if lost {
            // It passes no Attach on any more.
            let through_it = |p: &Purpose| matches!(p, Purpose::Attach { word_of, .. } if *word_of == node);
            self.requests.retain(|r| !through_it(&r.purpose));
            self.retry_join(now, ctx);
        }
    }

    /// Answers a Join (JL-1, JL-2, JL-5): one node at a time, and only into this node's own range.
    pub(super) fn on_join(
        &mut self,
        now: Instant,
        request: &Incoming,
        asked: &JoinReq,
        ctx: &mut Context<'_>,
    ) {
        let joining = asked.joining_peer_id;
        let attached = self.connections.of(joining).is_some_and(|c| c.attached);
        let known = self.topology.contains(joining);
        let answer = if joining != request.signer || !request.is_direct() || !attached || joining == self.me {
            refuse(ErrorCode::FORBIDDEN)
        } else if !self.is_joined() || !known && !self.topology.is_responsible(joining.to_u128()) {
            refuse_because(ErrorCode::NOT_FOUND, "not the admitting peer")
        } else if self.admission.is_some_and(|other| other != joining) {
            refuse(ErrorCode::IN_PROGRESS)
        } else {
            Ok(Body::JoinAns(JoinAns::default()))
        };
        let granted = answer.is_ok();
        self.answer(now, request, answer, ctx);
        if !granted {
            return;
        }
        if known {
            // It is in already, and has missed the Update that told it so.
            return self.send_update(now, joining, ctx);
        }
        self.admission = Some(joining);
        let resources: Vec<ResourceId> = self.storage.resources().cloned().collect();
        for resource in resources {
            if resource.to_u128().is_some_and(|place| self.topology.passes_to(joining, place)) {
                self.handover.add(joining, resource);
            }
        }
        self.hand_over(now, ctx);
    }

    /// Steps 7 and 8, once everything is handed over.
    pub(super) fn continue_admission(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Some(joining) = self.admission.filter(|&j| !self.handover.concerns(j)) else { return };
        self.admission = None;
        if let Some(connection) = self.connections.of_mut(joining) {
            connection.update_seen = true;
            self.on_peer(now, joining, ctx);
            self.send_update(now, joining, ctx);
        }
    }
}
