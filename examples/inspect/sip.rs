//! SIP messages: the start line, every header row, the typed parts of those that have a grammar, and the body.

use crate::report::{Field, Report, Value};
use bytes::Bytes;
use p2piptv::sip::body::{
    self, Carrier, Child, Elector, IptvBody, IptvInfo, Position, Report as Children, Slot,
};
use p2piptv::sip::msg::{CSeq, Headers, Host, MediaType, Message, Name, NameAddr, SipUri, Uri, Values, Via};
use p2piptv::sip::sdes;
use p2piptv::sip::sdp::{self, Media, SessionDescription};
use p2piptv::wire::DecodeError;

/// Everything about one message.
pub fn dissect(input: &Bytes) -> Report {
    let message = match Message::parse(input.clone()) {
        Ok(message) => message,
        Err(e) => return Report { errors: vec![e], ..Report::default() },
    };
    let mut errors = Vec::new();
    let start = match &message {
        Message::Request(r) => {
            errors.extend(r.fault());
            let uri = match r.uri() {
                Ok(uri) => uri_value(&uri),
                Err(e) => {
                    errors.push(e);
                    lossy(r.uri_text())
                }
            };
            let version = if r.is_sip_2() { "SIP/2.0" } else { "another" };
            let line = vec![
                Field::new("Method", r.method().as_str()),
                Field::new("Request-URI", uri),
                Field::new("SIP-Version", version),
            ];
            Field::new("Request-Line", line)
        }
        Message::Response(r) => {
            let line = vec![
                Field::new("Status-Code", Value::Number(r.status().code().into(), Some(r.status().reason()))),
                Field::new("Reason-Phrase", lossy(r.reason())),
            ];
            Field::new("Status-Line", line)
        }
    };
    let mut fields = vec![start, Field::new("headers", rows(message.headers(), &mut errors))];
    fields.extend(body_field(&message, input, &mut errors));
    errors.sort_by_key(|e| e.offset);
    let reencoded = match errors.is_empty() {
        true => message.to_canonical().map_err(|e| errors.push(e)).ok().map(|bytes| bytes.to_vec()),
        false => None,
    };
    Report { fields, errors, reencoded }
}

/// Every row by its name, with what was sent. All rows of a name are one header (RFC 3261 §7.3.1), so its values stand
/// with the first of them.
fn rows(headers: &Headers, errors: &mut Vec<DecodeError>) -> Vec<Value> {
    let mut seen: Vec<Name<'_>> = Vec::new();
    let mut rows = Vec::new();
    for (name, value) in headers.iter() {
        let mut row = vec![Field::new("name", name.as_str()), Field::new("value", lossy(value))];
        if !seen.contains(&name) {
            seen.push(name);
            match typed(headers, name) {
                Ok(Some(parts)) => row.push(Field::new("values", parts)),
                Ok(None) => {}
                Err(e) => errors.push(e),
            }
        }
        rows.push(row.into());
    }
    rows
}

/// The values of a header that has a grammar here.
fn typed(h: &Headers, name: Name<'_>) -> Result<Option<Vec<Value>>, DecodeError> {
    let one = |value: Option<Value>| value.map(|v| vec![v]);
    let parts = if name == Name::VIA {
        each(h.vias(), via_value)?
    } else if name == Name::FROM {
        return Ok(one(h.from()?.map(|a| address_value(&a))));
    } else if name == Name::TO {
        return Ok(one(h.to()?.map(|a| address_value(&a))));
    } else if name == Name::CONTACT {
        each(h.contacts(), address_value)?
    } else if name == Name::ROUTE {
        each(h.routes(), address_value)?
    } else if name == Name::RECORD_ROUTE {
        each(h.record_routes(), address_value)?
    } else if name == Name::CALL_ID {
        return Ok(one(h.call_id()?.map(Value::from)));
    } else if name == Name::CSEQ {
        return Ok(one(h.cseq()?.map(|cseq| cseq_value(&cseq))));
    } else if name == Name::MAX_FORWARDS {
        return Ok(one(h.max_forwards()?.map(Value::from)));
    } else if name == Name::CONTENT_LENGTH {
        return Ok(one(h.content_length()?.map(|n| Value::from(n as u64))));
    } else if name == Name::CONTENT_TYPE {
        return Ok(one(h.content_type()?.map(|t| media_type_value(&t))));
    } else if name == Name::EXPIRES {
        return Ok(one(h.expires()?.map(Value::from)));
    } else if name == Name::RETRY_AFTER {
        return Ok(one(h.retry_after()?.map(Value::from)));
    } else if name == Name::PRIORITY {
        return Ok(one(h.priority()?.map(Value::from)));
    } else if name == Name::INFO_PACKAGE {
        return Ok(one(h.info_package()?.map(Value::from)));
    } else if name == Name::RECV_INFO {
        h.recv_info().map_or(Ok(Vec::new()), |list| each(list, |t| Value::from(*t)))?
    } else if name == Name::ACCEPT {
        h.accept().map_or(Ok(Vec::new()), |list| each(list, media_type_value))?
    } else if name == Name::REQUIRE {
        each(h.require(), |t| Value::from(*t))?
    } else if name == Name::SUPPORTED {
        each(h.supported(), |t| Value::from(*t))?
    } else if name == Name::ALLOW {
        each(h.allow(), |t| Value::from(*t))?
    } else {
        return Ok(None);
    };
    Ok(Some(parts))
}

fn each<T>(values: Values<'_, T>, show: impl Fn(&T) -> Value) -> Result<Vec<Value>, DecodeError> {
    values.map(|value| value.map(|v| show(&v))).collect()
}

/// Text, or bytes where it is not UTF-8.
fn lossy(bytes: &[u8]) -> Value {
    core::str::from_utf8(bytes).map_or_else(|_| bytes.into(), Value::from)
}

fn params_value<'a>(params: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Value {
    let show = |(name, value): (&str, Option<&str>)| {
        let mut pair = vec![Field::new("name", name)];
        pair.extend(value.map(|value| Field::new("value", value)));
        Value::from(pair)
    };
    params.map(show).collect::<Vec<Value>>().into()
}

fn host_value(host: &Host<'_>) -> Value {
    host.to_string().into()
}

fn uri_value(uri: &Uri<'_>) -> Value {
    match uri {
        Uri::Sip(uri) => sip_uri_value(uri).into(),
        Uri::Other(text) => text.to_string().into(),
    }
}

fn sip_uri_value(uri: &SipUri<'_>) -> Vec<Field> {
    let mut fields = vec![Field::new("scheme", if uri.is_secure() { "sips" } else { "sip" })];
    fields.extend(uri.user().map(|user| Field::new("user", user)));
    fields.extend(uri.password().map(|password| Field::new("password", password)));
    fields.push(Field::new("host", host_value(uri.host())));
    fields.extend(uri.port().map(|port| Field::new("port", port)));
    if !uri.params().is_empty() {
        fields.push(Field::new("uri-parameters", params_value(uri.params().iter())));
    }
    fields.extend(uri.headers().map(|headers| Field::new("headers", headers)));
    fields
}

fn address_value(address: &NameAddr<'_>) -> Value {
    let mut fields = Vec::new();
    fields.extend(address.display_name().map(|name| Field::new("display-name", name.into_owned())));
    fields.push(Field::new("uri", uri_value(address.uri())));
    if !address.params().is_empty() {
        fields.push(Field::new("params", params_value(address.params().iter())));
    }
    fields.into()
}

fn via_value(via: &Via<'_>) -> Value {
    let mut fields = vec![
        Field::new("transport", via.transport().as_str()),
        Field::new("sent-by host", host_value(via.host())),
    ];
    fields.extend(via.port().map(|port| Field::new("sent-by port", port)));
    fields.push(Field::new("via-params", params_value(via.params().iter())));
    fields.into()
}

fn cseq_value(cseq: &CSeq) -> Value {
    vec![Field::new("number", cseq.number), Field::new("Method", cseq.method.as_str())].into()
}

fn media_type_value(t: &MediaType<'_>) -> Value {
    t.to_string().into()
}

/// The body by its type; what is wrong with it counts from the start of the message.
fn body_field(message: &Message, input: &Bytes, errors: &mut Vec<DecodeError>) -> Option<Field> {
    let content = message.body();
    if content.is_empty() {
        return None;
    }
    let at = content.as_ptr() as usize - input.as_ptr() as usize;
    let kind = message.headers().content_type().ok().flatten();
    let is = |name: &str| kind.as_ref().is_some_and(|t| t.is(name));
    let parts = if is(sdp::CONTENT_TYPE) {
        SessionDescription::parse(content).map(|sdp| sdp_fields(&sdp))
    } else if is(body::CONTENT_TYPE) && String::from_utf8_lossy(content).to_uppercase().contains("IPTV INFO")
    {
        let reliable =
            message.headers().via().ok().flatten().is_some_and(|via| via.transport().is_reliable());
        let carrier = if reliable { Carrier::Stream } else { Carrier::Datagram };
        IptvBody::parse(content, carrier).map(|body| iptv_fields(&body))
    } else {
        return Some(Field::new("message-body", lossy(content)));
    };
    match parts {
        Ok(fields) => Some(Field::new("message-body", fields)),
        Err(e) => {
            errors.push(DecodeError { offset: at + e.offset, ..e });
            Some(Field::new("message-body", lossy(content)))
        }
    }
}

fn sdp_fields(sdp: &SessionDescription) -> Vec<Field> {
    let origin = vec![
        Field::new("username", sdp.origin.username.clone()),
        Field::new("sess-id", sdp.origin.session_id),
        Field::new("sess-version", sdp.origin.version),
        Field::new("unicast-address", sdp.origin.address.clone()),
    ];
    let mut fields = vec![Field::new("o", origin)];
    fields.extend(sdp.connection.map(|ip| Field::new("c", ip.to_string())));
    fields.push(Field::new("t", vec![Field::new("start", sdp.time.0), Field::new("stop", sdp.time.1)]));
    fields.extend(sdp.media.iter().map(|media| Field::new("m", media_fields(media))));
    fields
}

fn media_fields(media: &Media) -> Vec<Field> {
    let formats: Vec<Value> = media.formats.iter().map(|f| f.clone().into()).collect();
    let mut fields = vec![
        Field::new("media", media.kind.clone()),
        Field::new("port", media.port),
        Field::new("proto", media.protocol.clone()),
        Field::new("fmt", formats),
        Field::new("direction", media.direction.as_str()),
        Field::new("rtcp-mux", media.rtcp_mux),
    ];
    fields.extend(media.connection.map(|ip| Field::new("c", ip.to_string())));
    fields.extend(media.crypto.map(|crypto| {
        Field::new("crypto", vec![Field::new("tag", crypto.tag), Field::new("crypto-suite", sdes::SUITE)])
    }));
    if let Some((ssrc, cname)) = &media.ssrc {
        fields
            .push(Field::new("ssrc", vec![Field::new("ssrc-id", *ssrc), Field::new("cname", cname.clone())]));
    }
    fields
}

fn iptv_fields(body: &IptvBody) -> Vec<Field> {
    let mut fields = vec![Field::new("IPTV INFO", body.info.as_str())];
    fields.extend(body.channel.as_ref().map(|channel| Field::new("CHANNEL", channel.as_str())));
    match &body.info {
        IptvInfo::SelectedRelayer { register, grant } => {
            fields.push(Field::new("REGISTER", *register));
            fields.extend(grant.iter().map(|grant| Field::new("GRANT", grant)));
        }
        IptvInfo::Grant { grant, node } => {
            fields.push(Field::new("GRANT", grant));
            fields.extend(node.iter().map(|node| Field::new("NODE", node.to_string())));
        }
        IptvInfo::RelayerAccepted { free_slots } => {
            fields.extend(free_slots.map(|n| Field::new("FREE SLOTS", n)))
        }
        IptvInfo::RelayerDeclined { reason } => {
            fields.extend(reason.as_ref().map(|reason| Field::new("REASON", reason.clone())));
        }
        IptvInfo::FullCapacity(report) | IptvInfo::ChildUpdate(report) => {
            fields.extend(children_fields(report))
        }
        IptvInfo::TreePosition(position) => fields.extend(position_fields(position)),
        IptvInfo::Subtree(subtree) => fields.extend([
            Field::new("PEERS BELOW", subtree.peers),
            Field::new("FREE BELOW", subtree.free),
            Field::new("OPEN CONTACT", subtree.open.iter().map(address_value).collect::<Vec<Value>>()),
        ]),
        _ => {}
    }
    fields
}

fn children_fields(report: &Children) -> Vec<Field> {
    let child = |child: &Child| {
        let mut fields = vec![Field::new("name", child.name.clone())];
        fields.extend(child.contact.as_ref().map(|contact| Field::new("contact", address_value(contact))));
        Value::from(fields)
    };
    let mut fields =
        vec![Field::new("CHILD PEER", report.children.iter().map(child).collect::<Vec<Value>>())];
    fields.extend(report.free_slots.map(|n| Field::new("FREE SLOTS", n)));
    fields
}

fn position_fields(position: &Position) -> Vec<Field> {
    let path: Vec<Value> = position.path.iter().map(|id| id.to_string().into()).collect();
    let backups: Vec<Value> = position.backups.iter().map(address_value).collect();
    let slot = match position.slot {
        Slot::Ordinary => "ordinary",
        Slot::Rescue => "rescue",
    };
    let elector = match position.elector {
        Elector::Source => "source",
        Elector::Parent => "parent",
    };
    vec![
        Field::new("DEPTH", position.depth),
        Field::new("PATH", path),
        Field::new("SLOT", slot),
        Field::new("BACKUP CONTACT", backups),
        Field::new("ELECTOR", elector),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "INFO sip:a@1.2.3.4 SIP/2.0\r\nv:SIP/2.0/TCP 1.2.3.4;branch=z9hG4bKx\r\nc: text/plain\r\n";

    fn dissect(text: String) -> Report {
        super::dissect(&text.into())
    }

    #[test]
    fn a_body_that_its_length_cuts_is_wrong_where_the_message_ends() {
        let body = "IPTV INFO : Full capacity\r\nCHILD PEER : Peer1, Peer2\r\n";
        let text = format!("{HEAD}l: 50\r\n\r\n{body}");
        let end = text.len() - body.len() + 50;
        let report = dissect(text);
        let errors: Vec<_> = report.errors.iter().map(|e| (e.field, e.offset)).collect();
        assert_eq!(errors, [("CHILD PEER", end)]);
        assert_eq!(report.reencoded, None);
    }

    #[test]
    fn every_row_is_shown_and_what_was_read_is_written_in_canonical_form() {
        let report = dissect(format!("{HEAD}X-Y: z\r\nl:0\r\n\r\n"));
        assert!(report.errors.is_empty());
        let text = report.to_text();
        for part in ["name: \"Via\"", "sent-by host: \"1.2.3.4\"", "name: \"X-Y\"", "value: \"z\""] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let canonical = String::from_utf8(report.reencoded.unwrap_or_default()).unwrap_or_default();
        assert!(canonical.contains("\r\nVia: SIP/2.0/TCP 1.2.3.4;branch=z9hG4bKx\r\n"), "{canonical}");
    }

    #[test]
    fn what_is_no_sip_message_is_one_error() {
        let report = dissect("no message".into());
        assert_eq!((report.fields.len(), report.errors.len()), (0, 1));
    }
}
