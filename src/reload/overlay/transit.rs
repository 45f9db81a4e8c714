//! What becomes of a message that came over a link (RFC 6940 §6.1): it is for this node, or it travels on.
//!
//! A fragment behind the first does not say whether it is a request. In transit it is treated as one, for a Via List
//! that a response does not need does no harm; but it is never answered.

use super::exchange::{Answer, refuse, refuse_because};
use super::{Context, Overlay};
use crate::ids::NodeId;
use crate::reload::codec::{
    Destination, Entries, ErrorCode, ForwardingHeader, ForwardingOption, HeaderView, MessageCode, Passage,
};
use crate::reload::fragment::Key;
use crate::reload::route::{self, Verdict, has_duplicates};
use crate::reload::topology::Topology;
use crate::reload::via::Passing;
use crate::stats::DropReason;
use crate::time::Instant;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What is known of a message in transit.
#[derive(Clone, Copy)]
struct Transit<'a> {
    view: &'a HeaderView,
    /// The node at the other end of the link that it came over; this node itself for its own messages.
    previous_hop: NodeId,
    /// Its first fragment or the whole of it, and a request.
    is_request: bool,
    /// Its first fragment or the whole of it, and a response.
    is_response: bool,
}

/// Where a message goes next.
struct Hop<'a> {
    node: NodeId,
    destination_list: [&'a [u8]; 2],
}

impl<T: Topology> Overlay<T> {
    pub(super) fn receive(
        &mut self,
        now: Instant,
        previous_hop: NodeId,
        view: &HeaderView,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let code = view.message_code();
        let is_request = code.is_some_and(MessageCode::is_request);
        let transit = Transit { view, previous_hop, is_request, is_response: code.is_some() && !is_request };
        if view.ttl > self.config.initial_ttl {
            return self.refuse_passage(now, transit, refuse(ErrorCode::TTL_EXCEEDED), ctx);
        }
        if has_duplicates(view.destination_list()) {
            let twice =
                refuse_because(ErrorCode::INVALID_MESSAGE, "a Destination List that names somebody twice");
            return self.refuse_passage(now, transit, twice, ctx);
        }
        let (passed, verdict) = route::decide(view.destination_list(), self);
        if verdict == Verdict::Deliver {
            return self.arrive(now, previous_hop, view, passed, ctx);
        }
        let rest = |passed| {
            let mut entries = view.destination_list();
            entries.by_ref().take(passed).for_each(drop);
            view.destination_bytes(entries.offset())
        };
        let Verdict::Open(id) = verdict else {
            return self.go_on(now, transit, verdict, [rest(passed), &[]], ctx);
        };
        // An id of this node's, or none of anybody's (DL-6, DL-8).
        let opened =
            self.ways.open(now, &id, view.transaction_id, previous_hop).ok_or(DropReason::NoRoute)?;
        let again = Entries::new(&opened).chain(view.destination_list().skip(passed + 1));
        let (_, verdict) = route::decide(again, self);
        self.go_on(now, transit, verdict, [&opened, rest(passed + 1)], ctx)
    }

    /// A message that waited on the link to a node which has fallen silent looks for another way (LR-8), as if it had just
    /// come. What only that node can take stays behind; its originator sends it again.
    pub(super) fn reroute(&mut self, now: Instant, lost: NodeId, message: &Bytes, ctx: &mut Context<'_>) {
        let Ok((mut header, payload)) = ForwardingHeader::decode(message) else { return };
        if header.destination_list.first() == Some(&lost.into()) {
            return;
        }
        // Before this node it stood at the previous hop, which this node has put into the Via List, by name or by id.
        let last = header.via_list.pop();
        let mut way_back: Vec<Destination> = match last.as_ref().map(Destination::opaque_id) {
            None => vec![self.me.into()],
            Some(None) => last.into_iter().collect(),
            Some(Some(id)) => {
                let opened = self.ways.open(now, &id, header.transaction_id, lost).unwrap_or_default();
                Entries::new(&opened).collect()
            }
        };
        if way_back.is_empty() {
            return;
        }
        let Destination::Node(previous_hop) = way_back.remove(0) else { return };
        header.via_list.extend(way_back.into_iter().rev());
        if previous_hop != self.me {
            header.ttl = header.ttl.saturating_add(1).min(self.config.initial_ttl);
        }
        let again = header.encode(&payload).ok().and_then(|m| HeaderView::read(&m).ok());
        if let Some(view) = again {
            // It is lost for the same reasons as any message.
            let _ = self.receive(now, previous_hop, &view, ctx);
        }
    }

    /// Judges the way that was found.
    fn go_on(
        &mut self,
        now: Instant,
        transit: Transit<'_>,
        verdict: Verdict,
        destination_list: [&[u8]; 2],
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        match verdict {
            // A response goes back the way its request came or nowhere (RX-14).
            Verdict::Through(_) if transit.is_response => Err(DropReason::NoRoute),
            // Nothing that goes towards a place can make progress by going back: the tables here and there disagree.
            Verdict::Through(next) if next == transit.previous_hop => {
                let node = self.came_in_between(transit, destination_list).ok_or(DropReason::NoRoute)?;
                self.forward(now, transit, Hop { node, destination_list }, ctx)
            }
            Verdict::Through(node) | Verdict::Direct(node) => {
                self.forward(now, transit, Hop { node, destination_list }, ctx)
            }
            Verdict::Drop(reason) => Err(reason),
            // An id stands for nodes, and what it stood for was another node.
            Verdict::Open(_) | Verdict::Deliver => Err(DropReason::NoRoute),
        }
    }

    /// Whoever sends something here that it would get back takes this node for the owner of the place. If somebody has come in
    /// between whom it does not know yet, it is he. Only once, for he may know of another one whom nobody else knows.
    fn came_in_between(&self, transit: Transit<'_>, destination_list: [&[u8]; 2]) -> Option<NodeId> {
        let list = Bytes::from(destination_list.concat());
        let place = match Entries::new(&list).next()? {
            Destination::Node(node) => node.to_u128(),
            Destination::Resource(resource) => resource.to_u128()?,
            _ => return None,
        };
        let has_been_here = transit.view.via_list().any(|d| d == self.me.into());
        self.topology.owner(place).filter(|&owner| owner != transit.previous_hop && !has_been_here)
    }

    fn forward(
        &mut self,
        now: Instant,
        transit: Transit<'_>,
        next: Hop<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Transit { view, previous_hop, is_response, .. } = transit;
        if view.ttl == 0 {
            return self.refuse_passage(now, transit, refuse(ErrorCode::TTL_EXCEEDED), ctx);
        }
        if !is_response && view.options().any(|o| o.has(ForwardingOption::FORWARD_CRITICAL)) {
            let unsupported = refuse(ErrorCode::UNSUPPORTED_FORWARDING_OPTION);
            return self.refuse_passage(now, transit, unsupported, ctx);
        }
        // The originator itself does not stand in the list, nor does anybody in a response's (RX-8, RX-10).
        // Some originators put themselves there all the same.
        let stands_there = view.via_list().last() == Some(previous_hop.into());
        let appended = (!is_response && previous_hop != self.me && !stands_there).then(|| {
            let Context { entropy, .. } = ctx;
            let (transaction_id, via_list) = (view.transaction_id, view.via_list());
            let request = Passing { transaction_id, previous_hop, next_hop: next.node, via_list };
            let connections = &self.connections;
            self.ways.append(now, request, &mut **entropy, |n| connections.address_of(n).is_some())
        });
        let via_list = match &appended {
            None => [view.via_bytes(), &[]],
            Some(short) if short.replaces => [&short.entry[..], &[]],
            Some(one) => [view.via_bytes(), &one.entry[..]],
        };
        let passage = Passage { ttl: view.ttl - 1, via_list, destination_list: next.destination_list };
        let message = view.pass(&passage).map_err(|_| DropReason::TooLarge)?;
        if message.len() > self.config.limits.message_size {
            return Err(DropReason::TooLarge);
        }
        self.send(now, next.node, message, ctx)
    }

    /// A request that goes no further is answered with an error; a response is not, nor is a fragment that does not say
    /// which of them it is.
    fn refuse_passage(
        &mut self,
        now: Instant,
        transit: Transit<'_>,
        error: Answer,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let reason = match &error {
            Err((ErrorCode::TTL_EXCEEDED, _)) => DropReason::TtlExpired,
            _ => DropReason::BadHeader,
        };
        if transit.is_request && transit.previous_hop != self.me {
            self.answer_from_transit(now, &transit.view.header(), transit.previous_hop, error, ctx);
        }
        Err(reason)
    }

    /// It is for this node; whole, or as one of its fragments.
    fn arrive(
        &mut self,
        now: Instant,
        previous_hop: NodeId,
        view: &HeaderView,
        passed: usize,
        ctx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Some(payload) = self.reassemble(now, previous_hop, view)? else { return Ok(()) };
        let mut header = view.header();
        header.destination_list.drain(..passed.min(header.destination_list.len()));
        let delivered = self.open(header, &payload, ctx)?;
        self.deliver(now, previous_hop, delivered, ctx)
    }

    /// The payload of a whole message, or that of the message that this fragment completes (FG-1).
    pub(super) fn reassemble(
        &mut self,
        now: Instant,
        from: NodeId,
        view: &HeaderView,
    ) -> Result<Option<Bytes>, DropReason> {
        let payload = view.payload();
        if view.fragment.is_whole() {
            return Ok(Some(payload));
        }
        let transaction_id = view.transaction_id;
        let key = Key { transaction_id, is_response: self.requests.get(transaction_id).is_some() };
        self.reassembly.on_fragment(now, from, key, view.fragment, &payload)
    }
}
