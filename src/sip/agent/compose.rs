//! The messages that an agent writes.

use super::fact::{ContactParams, Peer, Refusal};
use super::{Config, ConfigError, INFO_PACKAGE, Offer, Target, Transport};
use crate::sip::dialog::{Dialog, Routed};
use crate::sip::msg::{
    self, BuildError, Capabilities, Host, Method, Name, NameAddr, Request, RequestBuilder, Response,
    ResponseBuilder, SipUri, Status, Via,
};
use crate::sip::transaction::Branch;
use alloc::string::{String, ToString};
use bytes::Bytes;
use core::net::SocketAddr;

/// The media type of IPTV bodies, in the package as well as in a legacy INFO.
pub(super) use crate::sip::body::CONTENT_TYPE as TEXT;
use crate::sip::sdp::CONTENT_TYPE as SDP;

/// What this agent can do. INFO is among the methods although it is refused outside a dialog.
pub(super) const ABLE: Capabilities<'static> = Capabilities {
    methods: &[Method::INVITE, Method::ACK, Method::CANCEL, Method::BYE, Method::INFO, Method::OPTIONS],
    extensions: &[],
    content_types: &[SDP, TEXT],
};

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS";
const ACCEPT: &str = "application/sdp, text/plain";

pub(super) type Built = Result<Bytes, BuildError>;

/// Who writes: the parts that are the same in every message.
#[derive(Clone, Debug)]
pub(super) struct Composer {
    local: SocketAddr,
    domain: Host<'static>,
    from: NameAddr<'static>,
    contact: NameAddr<'static>,
    recv_info: Option<&'static str>,
}

/// What an INVITE is identified by.
pub(super) struct Opening<'a> {
    pub(super) branch: Branch,
    pub(super) call_id: &'a str,
    pub(super) from_tag: &'a str,
}

/// The body of a request inside a dialog.
pub(super) struct Content<'a> {
    pub(super) body: Option<&'a Bytes>,
    /// Whether it travels in the Info-Package.
    pub(super) package: bool,
}

impl Content<'_> {
    pub(super) const NONE: Content<'static> = Content { body: None, package: false };
}

impl Transport {
    /// As it stands in a Via.
    pub const fn to_msg(self) -> msg::Transport<'static> {
        match self {
            Transport::Udp => msg::Transport::UDP,
            Transport::Tcp => msg::Transport::TCP,
            Transport::Tls => msg::Transport::TLS,
        }
    }
}

impl Composer {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let domain = Host::new(&config.domain).ok_or(ConfigError::Domain)?.into_owned();
        let from = NameAddr::new(SipUri::of_host(domain.clone()).with_user(&config.name));
        let uri = SipUri::of_user(&config.name, config.local).with_transport(config.transport.to_msg());
        let contact = NameAddr::new(uri);
        let contact = match config.node_id {
            Some(id) => contact.with_node_id(id),
            None => contact,
        };
        let recv_info = config.info_package.then_some(INFO_PACKAGE);
        Ok(Composer { local: config.local, domain, from, contact, recv_info })
    }

    /// Whether a top Via is one of ours (RFC 3261 §18.1.2).
    pub(super) fn is_ours(&self, via: &Via<'_>) -> bool {
        via.host().ip() == Some(self.local.ip()) && via.port_or_default() == self.local.port()
    }

    fn via(&self, transport: Transport, branch: Branch) -> Result<Via<'static>, BuildError> {
        Via::new(transport.to_msg(), self.local, &branch.to_param())
    }

    fn contact(&self, params: &ContactParams) -> NameAddr<'static> {
        params.add_to(self.contact.clone())
    }

    /// The Request-URI of a call: it names the transport only where the target does.
    pub(super) fn request_uri(target: &Target, preferred: Transport) -> SipUri<'static> {
        SipUri::of_user(&target.user, target.addr)
            .with_transport(target.transport.unwrap_or(preferred).to_msg())
    }

    pub(super) fn invite(
        &self,
        target: &Target,
        uri: &SipUri<'_>,
        offer: &Offer,
        opening: &Opening<'_>,
        transport: Transport,
    ) -> Built {
        let to = target.to.as_deref().unwrap_or(&target.user);
        let to = NameAddr::new(SipUri::of_host(self.domain.clone()).with_user(to));
        let mut invite = RequestBuilder::new(Method::INVITE, uri)
            .via(&self.via(transport, opening.branch)?)
            .from(&self.from.clone().with_tag(opening.from_tag)?)
            .to(&to)
            .call_id(opening.call_id)
            .cseq(1)
            .contact(&self.contact(&offer.params))
            .header(Name::ALLOW, ALLOW);
        if let Some(packages) = self.recv_info {
            invite = invite.header(Name::RECV_INFO, packages);
        }
        if offer.urgent {
            invite = invite.header(Name::PRIORITY, "urgent");
        }
        invite.body(SDP, &offer.sdp).finish()
    }

    /// A request inside a dialog (RFC 3261 §12.2.1.1).
    pub(super) fn inside(
        &self,
        dialog: &Dialog,
        routed: &Routed,
        (method, number): (Method, u32),
        (transport, branch): (Transport, Branch),
        content: &Content<'_>,
    ) -> Built {
        let mut request = RequestBuilder::new(method.clone(), &routed.uri)
            .via(&self.via(transport, branch)?)
            .from(&dialog.local)
            .to(&dialog.remote)
            .call_id(&dialog.call_id)
            .cseq(number);
        request = routed.routes.iter().fold(request, RequestBuilder::route);
        if matches!(method, Method::INFO | Method::OPTIONS) {
            request = request.contact(&self.contact);
        }
        if content.package {
            // Recv-Info never stands in an INFO (RFC 6086 §4.2.1).
            request = request
                .header(Name::INFO_PACKAGE, INFO_PACKAGE)
                .header(Name::CONTENT_DISPOSITION, "Info-Package");
        }
        if let Some(body) = content.body {
            request = request.body(TEXT, body);
        }
        request.finish()
    }

    /// A request that repeats what an INVITE said: its CANCEL (§9.1), or the ACK of a failure (§17.1.1.3), whose To is
    /// that of the response.
    fn repeating(invite: &Request, method: Method, to: &NameAddr<'_>) -> Option<Bytes> {
        let h = &invite.headers;
        let request = RequestBuilder::new(method, invite.uri().ok()?.sip()?)
            .via(&h.via().ok()??)
            .from(&h.from().ok()??)
            .to(to)
            .call_id(h.call_id().ok()??)
            .cseq(h.cseq().ok()??.number);
        h.routes().flatten().fold(request, |r, route| r.route(&route)).finish().ok()
    }

    pub(super) fn cancel(invite: &Request) -> Option<Bytes> {
        Self::repeating(invite, Method::CANCEL, &invite.headers.to().ok()??)
    }

    pub(super) fn ack_failure(invite: &Request, response: &Response) -> Option<Bytes> {
        Self::repeating(invite, Method::ACK, &response.headers.to().ok()??)
    }

    /// Any response. All but 100 carry our tag.
    pub(super) fn response<'r>(
        request: &'r Request,
        source: SocketAddr,
        status: Status,
        tag: &str,
    ) -> ResponseBuilder<'r> {
        ResponseBuilder::new(request, status, source).to_tag(tag)
    }

    /// The 200 that accepts an INVITE.
    pub(super) fn accepted(
        &self,
        invite: &Request,
        source: SocketAddr,
        tag: &str,
        sdp: &Bytes,
        params: &ContactParams,
    ) -> Built {
        let ok = Self::response(invite, source, Status::OK, tag)
            .contact(&self.contact(params))
            .header(Name::ALLOW, ALLOW);
        self.with_recv_info(ok).body(SDP, sdp).finish()
    }

    /// The 182 that lets the caller of an INVITE wait. It makes an early dialog, so it has a Contact (§12.1.1).
    pub(super) fn queued(&self, invite: &Request, source: SocketAddr, tag: &str) -> Built {
        Self::response(invite, source, Status::QUEUED, tag).contact(&self.contact).finish()
    }

    /// The answer to OPTIONS (§11.2).
    pub(super) fn capabilities(&self, options: &Request, source: SocketAddr, tag: &str) -> Built {
        let ok = Self::response(options, source, Status::OK, tag)
            .contact(&self.contact)
            .header(Name::ALLOW, ALLOW)
            .header(Name::ACCEPT, ACCEPT)
            .header(Name::SUPPORTED, "");
        self.with_recv_info(ok).finish()
    }

    fn with_recv_info<'r>(&self, response: ResponseBuilder<'r>) -> ResponseBuilder<'r> {
        match self.recv_info {
            Some(packages) => response.header(Name::RECV_INFO, packages),
            None => response,
        }
    }

    /// 469: the package is not ours. Recv-Info is mandatory, even when it is empty (RFC 6086 §4.2.2).
    pub(super) fn bad_package(&self, info: &Request, source: SocketAddr, tag: &str) -> Built {
        Self::response(info, source, Status::BAD_INFO_PACKAGE, tag)
            .header(Name::RECV_INFO, self.recv_info.unwrap_or_default())
            .finish()
    }

    pub(super) fn refused(invite: &Request, source: SocketAddr, tag: &str, refusal: &Refusal) -> Built {
        let mut response = Self::response(invite, source, refusal.status, tag);
        for peer in refusal.contacts.iter().take(Refusal::MAX_CONTACTS) {
            response = response.contact(&peer.to_contact());
        }
        if let Some(after) = refusal.retry_after {
            // Whole seconds, and never sooner than it was meant.
            response = response.header(Name::RETRY_AFTER, after.as_millis().div_ceil(1000).max(1));
        }
        response.finish()
    }
}

impl ContactParams {
    fn add_to<'a>(&self, mut contact: NameAddr<'a>) -> NameAddr<'a> {
        if let Some(slots) = self.slots {
            contact = contact.with_slots(slots);
        }
        if let Some(depth) = self.depth {
            contact = contact.with_depth(depth);
        }
        if let Some(sequence) = self.resume {
            contact = contact.with_resume(sequence);
        }
        if self.standby {
            contact = contact.with_standby();
        }
        if self.rescue { contact.with_rescue_slot() } else { contact }
    }
}

impl Peer {
    /// The peer of a Contact. A name as its host is not resolved: then `from`, where the message came from, stands for
    /// it. `None` when it is neither a `sip:` nor a `sips:` URI, or when there is neither an address nor a `from`.
    pub fn of_contact(contact: &NameAddr<'_>, from: Option<SocketAddr>) -> Option<Self> {
        let uri = contact.sip_uri()?;
        Some(Peer {
            name: uri.unescaped_user().map(String::from).unwrap_or_default(),
            addr: uri.address().or(from)?,
            transport: Transport::of_uri(uri),
            node_id: contact.node_id(),
            params: ContactParams {
                slots: contact.slots(),
                depth: contact.depth(),
                rescue: contact.is_rescue_slot(),
                resume: contact.resume(),
                standby: contact.is_standby(),
            },
        })
    }

    /// The Contact of the peer.
    pub fn to_contact(&self) -> NameAddr<'static> {
        let uri = SipUri::of_user(&self.name, self.addr).with_transport(self.transport.to_msg());
        let contact = self.params.add_to(NameAddr::new(uri));
        match self.node_id {
            Some(id) => contact.with_node_id(id),
            None => contact,
        }
    }
}

impl Transport {
    /// What a URI asks for: `sips:`, or the older `transport=tls`, is TLS; what is not known is tried by UDP.
    pub fn of_uri(uri: &SipUri<'_>) -> Self {
        let transport = uri.transport();
        if uri.is_secure() || transport == msg::Transport::TLS {
            Transport::Tls
        } else if transport == msg::Transport::TCP {
            Transport::Tcp
        } else {
            Transport::Udp
        }
    }
}

/// The user part of a URI, without escapes; empty when there is none.
pub(super) fn user_of(uri: Option<&SipUri<'_>>) -> String {
    uri.and_then(SipUri::unescaped_user).map(|user| user.to_string()).unwrap_or_default()
}
