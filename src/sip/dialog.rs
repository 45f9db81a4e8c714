//! Dialogs (RFC 3261 §12): what two user agents remember about each other between an INVITE and its BYE.

use super::msg::{CSeq, Headers, Method, NameAddr, Request, Response, SipUri, Status};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The most routes of a dialog. A peer that records more cannot have one.
pub const MAX_ROUTES: usize = 8;

/// The dialog ID (§12). All dialogs that one INVITE can have opened at its receiver stand side by side in this order,
/// which is how a merged request (§8.2.2.2) is noticed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// The peer's tag; empty for a peer of RFC 2543 that has none.
    pub remote_tag: String,
    /// Our tag.
    pub local_tag: String,
}

impl DialogId {
    /// The dialog that a received request belongs to: `None` when it has no To tag.
    pub fn of_request(headers: &Headers) -> Option<Self> {
        let (from, to) = (headers.from().ok()??, headers.to().ok()??);
        Some(DialogId {
            call_id: headers.call_id().ok()??.to_string(),
            remote_tag: tag_of(&from),
            local_tag: to.tag()?.to_string(),
        })
    }
}

fn tag_of(address: &NameAddr<'_>) -> String {
    address.tag().unwrap_or_default().to_string()
}

/// The state of a dialog at one of its ends.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our address with our tag: From of our requests.
    pub local: NameAddr<'static>,
    /// The peer's address with its tag: To of our requests.
    pub remote: NameAddr<'static>,
    /// The remote target: the peer's Contact.
    pub target: SipUri<'static>,
    /// The route set. Fixed at the creation of the dialog.
    routes: Vec<NameAddr<'static>>,
    /// The CSeq number of our last request. ACK and CANCEL take none.
    local_cseq: u32,
    /// The CSeq number of the peer's last request, if there was one.
    remote_cseq: Option<u32>,
}

/// Where a request inside a dialog goes (§12.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The Request-URI.
    pub uri: SipUri<'static>,
    /// The Route headers.
    pub routes: Vec<NameAddr<'static>>,
}

impl Routed {
    /// The URI of the next hop.
    pub fn next_hop(&self) -> &SipUri<'static> {
        self.routes.first().filter(|r| is_loose(r)).and_then(NameAddr::sip_uri).unwrap_or(&self.uri)
    }
}

fn is_loose(route: &NameAddr<'_>) -> bool {
    route.sip_uri().is_some_and(|uri| uri.params().contains("lr"))
}

impl Dialog {
    /// The receiver's end (§12.1.1). An error is the status to refuse the request with.
    pub fn of_request(request: &Request, local_tag: &str) -> Result<Self, Status> {
        let h = &request.headers;
        let bad = Status::BAD_REQUEST;
        let (Ok(Some(from)), Ok(Some(to))) = (h.from(), h.to()) else { return Err(bad) };
        let (Ok(Some(call_id)), Ok(Some(cseq))) = (h.call_id(), h.cseq()) else { return Err(bad) };
        let target = target_of(h).ok_or(bad)?;
        Ok(Dialog {
            call_id: call_id.to_string(),
            local: to.into_owned().with_tag(local_tag).map_err(|_| bad)?,
            remote: from.into_owned(),
            target,
            routes: route_set(h, false).ok_or(bad)?,
            local_cseq: 0,
            remote_cseq: Some(cseq.number),
        })
    }

    /// The caller's end (§12.1.2), out of the INVITE that was sent and a response to it. `None` when the response does
    /// not make a dialog.
    pub fn of_response(invite: &Request, response: &Response) -> Option<Self> {
        let (ours, theirs) = (&invite.headers, &response.headers);
        let remote = theirs.to().ok()??.into_owned();
        Some(Dialog {
            call_id: ours.call_id().ok()??.to_string(),
            local: ours.from().ok()??.into_owned(),
            target: target_of(theirs)?,
            remote,
            routes: route_set(theirs, true)?,
            local_cseq: ours.cseq().ok()??.number,
            remote_cseq: None,
        })
    }

    /// Its name.
    pub fn id(&self) -> DialogId {
        DialogId {
            call_id: self.call_id.clone(),
            remote_tag: tag_of(&self.remote),
            local_tag: tag_of(&self.local),
        }
    }

    /// The CSeq number of our last request: that of the INVITE until another one follows, and so the ACK's.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The CSeq number of the peer's last request.
    pub fn remote_cseq(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// The CSeq of our next request.
    pub fn next_cseq(&mut self, method: Method) -> CSeq {
        self.local_cseq = self.local_cseq.wrapping_add(1);
        CSeq { number: self.local_cseq, method }
    }

    /// Notes the CSeq of a request of the peer; an error when it is not above the last one (§12.2.2). Not for ACK and
    /// CANCEL, which repeat the number of their INVITE.
    pub fn note_cseq(&mut self, number: u32) -> Result<(), Status> {
        match self.remote_cseq.map_or(Ordering::Greater, |last| number.cmp(&last)) {
            Ordering::Greater => {
                self.remote_cseq = Some(number);
                Ok(())
            }
            Ordering::Less | Ordering::Equal => Err(Status::SERVER_INTERNAL_ERROR),
        }
    }

    /// A target refresh (§12.2): the peer's new Contact. The route set stays.
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = target_of(headers) {
            self.target = target;
        }
    }

    /// Request-URI and Route of a request to the peer (§12.2.1.1), for loose and for strict routers.
    pub fn route(&self) -> Routed {
        let strict = self.routes.split_first().filter(|(first, _)| !is_loose(first));
        match strict.and_then(|(first, rest)| Some((first.sip_uri()?, rest))) {
            Some((uri, rest)) => {
                let target = NameAddr::new(self.target.clone());
                Routed { uri: uri.clone(), routes: rest.iter().cloned().chain([target]).collect() }
            }
            None => Routed { uri: self.target.clone(), routes: self.routes.clone() },
        }
    }
}

/// The Contact of a message that makes or refreshes a dialog: a SIP URI.
fn target_of(headers: &Headers) -> Option<SipUri<'static>> {
    Some(headers.contact().ok()??.sip_uri()?.clone().into_owned())
}

/// Record-Route as a route set: in order at the receiver, reversed at the caller. `None` when it is malformed, holds
/// anything but SIP URIs, or is longer than [`MAX_ROUTES`].
fn route_set(headers: &Headers, reversed: bool) -> Option<Vec<NameAddr<'static>>> {
    let mut routes = Vec::new();
    for route in headers.record_routes() {
        let route = route.ok().filter(|r| r.sip_uri().is_some() && routes.len() < MAX_ROUTES)?;
        routes.push(route.into_owned());
    }
    if reversed {
        routes.reverse();
    }
    Some(routes)
}

#[cfg(test)]
mod tests {
    use super::super::msg::Message;
    use super::*;
    use alloc::format;
    use bytes::Bytes;

    fn read(text: &str) -> Message {
        let text: String = text.lines().map(|l| format!("{}\r\n", l.trim())).collect();
        Message::parse(Bytes::from(text + "\r\n")).unwrap()
    }

    fn request(method: &str, cseq: u32, to_tag: &str, rows: &str) -> Request {
        let text = format!(
            "{method} sip:100@127.0.0.1 SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKx
            From: <sip:bob@example.org>;tag=b
            To: <sip:source@example.org>{to_tag}
            Call-ID: c1
            CSeq: {cseq} {method}
            {rows}"
        );
        match read(text.trim_end()) {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a response"),
        }
    }

    fn response(rows: &str) -> Response {
        let text = format!(
            "SIP/2.0 200 OK
            Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKx
            From: <sip:bob@example.org>;tag=b
            To: <sip:source@example.org>;tag=s
            Call-ID: c1
            CSeq: 7 INVITE
            {rows}"
        );
        match read(text.trim_end()) {
            Message::Response(response) => response,
            Message::Request(_) => panic!("a request"),
        }
    }

    const CONTACT: &str = "Contact: <sip:bob@127.0.0.1:5062>";

    #[test]
    fn both_ends_of_a_dialog_name_it_alike() {
        let invite = request("INVITE", 7, "", CONTACT);
        let callee = Dialog::of_request(&invite, "s").unwrap();
        let caller = Dialog::of_response(&invite, &response(CONTACT)).unwrap();
        let (ours, theirs) = (callee.id(), caller.id());
        assert_eq!((&ours.local_tag, &ours.remote_tag), (&theirs.remote_tag, &theirs.local_tag));
        assert_eq!(ours.call_id, theirs.call_id);
        let bye = request("BYE", 8, ";tag=s", "");
        assert_eq!(DialogId::of_request(&bye.headers), Some(ours));
        assert_eq!(DialogId::of_request(&invite.headers), None);
    }

    #[test]
    fn cseq_numbers_rise_on_both_sides() {
        let invite = request("INVITE", 7, "", CONTACT);
        let mut callee = Dialog::of_request(&invite, "s").unwrap();
        for (number, taken) in [(7, false), (6, false), (9, true), (8, false), (9, false), (10, true)] {
            assert_eq!(callee.note_cseq(number).is_ok(), taken, "{number}");
        }
        let mut caller = Dialog::of_response(&invite, &response(CONTACT)).unwrap();
        assert_eq!(caller.local_cseq(), 7);
        assert_eq!(caller.next_cseq(Method::INFO).number, 8);
        assert_eq!(caller.next_cseq(Method::BYE).number, 9);
        assert_eq!(caller.note_cseq(0), Ok(()), "the first request of the callee has any number");
    }

    #[test]
    fn the_route_set_is_in_order_at_the_callee_and_reversed_at_the_caller() {
        let rows = format!("{CONTACT}\nRecord-Route: <sip:p2;lr>\nRecord-Route: <sip:p1;lr>");
        let invite = request("INVITE", 7, "", &rows);
        let uris = |d: Dialog| d.route().routes.iter().map(|r| r.to_string()).collect::<Vec<_>>();
        assert_eq!(uris(Dialog::of_request(&invite, "s").unwrap()), ["<sip:p2;lr>", "<sip:p1;lr>"]);
        let caller = Dialog::of_response(&invite, &response(&rows)).unwrap();
        assert_eq!(caller.route().next_hop().to_string(), "sip:p1;lr");
        assert_eq!(uris(caller), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    }

    #[test]
    fn k8_a_route_set_has_a_limit_and_holds_sip_uris_only() {
        let rows = |n| format!("{CONTACT}\n") + &"Record-Route: <sip:p;lr>\n".repeat(n);
        assert!(Dialog::of_request(&request("INVITE", 7, "", &rows(MAX_ROUTES)), "s").is_ok());
        let too_many = Dialog::of_request(&request("INVITE", 7, "", &rows(MAX_ROUTES + 1)), "s");
        assert_eq!(too_many.map(drop), Err(Status::BAD_REQUEST));
        let rows = format!("{CONTACT}\nRecord-Route: <tel:12>");
        assert!(Dialog::of_request(&request("INVITE", 7, "", &rows), "s").is_err());
    }

    #[test]
    fn without_a_sip_contact_there_is_no_dialog() {
        for rows in ["", "Contact: <tel:12>"] {
            let invite = request("INVITE", 7, "", rows);
            assert_eq!(Dialog::of_request(&invite, "s").map(drop), Err(Status::BAD_REQUEST));
            assert!(Dialog::of_response(&invite, &response(rows)).is_none());
        }
    }

    #[test]
    fn a_target_refresh_moves_the_target_and_keeps_the_route_set() {
        let rows = format!("{CONTACT}\nRecord-Route: <sip:p1;lr>");
        let mut d = Dialog::of_request(&request("INVITE", 7, "", &rows), "s").unwrap();
        d.refresh_target(&request("INVITE", 8, ";tag=s", "Contact: <sip:bob@127.0.0.1:5079>").headers);
        assert_eq!(d.target.to_string(), "sip:bob@127.0.0.1:5079");
        assert_eq!(d.route().routes.len(), 1);
        d.refresh_target(&request("INVITE", 9, ";tag=s", "").headers);
        assert_eq!(d.target.to_string(), "sip:bob@127.0.0.1:5079");
    }
}
