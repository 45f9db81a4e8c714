//! RELOAD (RFC 6940): a frame or a message, every field under its name in the RFC.

use crate::report::{Field, Report, Value};
use bytes::Bytes;
use p2piptv::env::Signer;
use p2piptv::ids::{NodeId, ResourceId};
use p2piptv::reload::codec::body::{
    ArrayRange, CandidateType, ConfigUpdateReq, FetchReq, FindKindData, IceCandidate, IceExtension,
    ProbeInformation, Selection, StoreAns, StoreKindResponse, StoredDataSpecifier,
};
use p2piptv::reload::codec::security::certificate_hash;
use p2piptv::reload::codec::{
    Arranged, Body, CertificateType, ChordLeaveData, ChordTables, ChordUpdate, DataModel, DataValue,
    Destination, ErrorInfo, ErrorResponse, ForwardingHeader, ForwardingOption, Frame, GenericCertificate,
    Grant, HashAlgorithm, HeaderView, IpAddressPort, KindId, Message, MessageContents, MetaData, OptionType,
    ProviderRecord, RawValues, SecurityBlock, Signature, SignatureAlgorithm, SignerIdentityType, StoredData,
    StoredMetaData, Structure,
};
use p2piptv::wire::{DecodeError, Reader};

/// The data models of the Kinds that are known here.
const MODELS: [(KindId, DataModel); 7] = [
    (KindId::SIP_REGISTRATION, DataModel::Dictionary),
    (KindId::TURN_SERVICE, DataModel::Single),
    (KindId::CERTIFICATE_BY_NODE, DataModel::Array),
    (KindId::ACCESS_CONTROL_LIST, DataModel::Array),
    (KindId::CERTIFICATE_BY_USER, DataModel::Array),
    (KindId::REDIR, DataModel::Dictionary),
    (KindId::CHANNEL, DataModel::Dictionary),
];

/// Dissects a frame (its first byte is 80 or 81) or a bare message.
pub fn dissect(input: &Bytes) -> Report {
    let mut d = Dissection { input, errors: Vec::new() };
    let mut fields = Vec::new();
    let reencoded = match input.first() {
        Some(0x80 | 0x81) => d.frame(&mut fields),
        _ => d.message(input, &mut fields),
    };
    Report { fields, reencoded: reencoded.map(|bytes| bytes.to_vec()), errors: d.errors }
}

/// A dissection under way. What cannot be read is shown as bytes, noted as an error, and the rest goes on.
struct Dissection<'a> {
    input: &'a Bytes,
    errors: Vec<DecodeError>,
}

impl Dissection<'_> {
    /// Where a part of the input begins, which is a view into its buffer; `otherwise` for empty parts, whose views
    /// point nowhere.
    fn offset(&self, part: &Bytes, otherwise: usize) -> usize {
        let distance = (part.as_ptr() as usize).checked_sub(self.input.as_ptr() as usize);
        distance.filter(|&n| !part.is_empty() && n < self.input.len()).unwrap_or(otherwise)
    }

    /// The value, or none and a note of what is wrong within the part that begins at `offset`.
    fn note<T>(&mut self, offset: usize, result: Result<T, DecodeError>) -> Option<T> {
        result.map_err(|e| self.errors.push(DecodeError { offset: e.offset + offset, ..e })).ok()
    }

    fn frame(&mut self, fields: &mut Vec<Field>) -> Option<Bytes> {
        let frame = self.note(0, Frame::decode(self.input))?;
        match frame {
            Frame::Ack { ack_sequence, received } => {
                fields.push(Field::new("type", Value::Number(0x81, Some("ack"))));
                fields.push(Field::new("ack_sequence", ack_sequence));
                fields.push(Field::new("received", &received.to_be_bytes()[..]));
                Frame::Ack { ack_sequence, received }.encode().ok()
            }
            Frame::Data { sequence, message } => {
                fields.push(Field::new("type", Value::Number(0x80, Some("data"))));
                fields.push(Field::new("sequence", sequence));
                let mut inside = Vec::new();
                let message = self.message(&message, &mut inside);
                fields.push(Field::new("message", inside));
                Frame::Data { sequence, message: message? }.encode().ok()
            }
        }
    }

    fn message(&mut self, message: &Bytes, fields: &mut Vec<Field>) -> Option<Bytes> {
        let start = self.offset(message, 0);
        let (header, payload) = self.note(start, ForwardingHeader::decode(message))?;
        fields.push(Field::new("forwarding_header", forwarding_header(&header, message.len())));
        if !header.fragment.is_whole() {
            // The first fragment says what the whole is.
            if let Some(code) = HeaderView::read(message).ok().and_then(|view| view.message_code()) {
                fields.push(Field::new("message_code", Value::Number(code.0.into(), code.name())));
            }
            fields.push(Field::new("fragment_payload", &payload));
            return header.encode(&payload).ok();
        }
        let behind_header = start + message.len() - payload.len();
        let mut payload = Reader::new(&payload);
        let contents = self.note(behind_header, MessageContents::read(&mut payload))?;
        let (contents_fields, contents) = self.contents(behind_header, &contents);
        fields.push(Field::new("message_contents", contents_fields));
        let security = self.note(behind_header, SecurityBlock::read(&mut payload))?;
        fields.push(Field::new("security_block", security_block(&security)));
        self.note(behind_header, payload.finish("message"))?;
        Message { header, contents: contents?, security }.encode().ok()
    }

    /// The fields, and the contents once more with their body encoded anew.
    fn contents(&mut self, at: usize, contents: &MessageContents) -> (Vec<Field>, Option<MessageContents>) {
        let body_at = at + 6;
        let body = self.note(body_at, contents.body());
        let extensions = contents.extensions.iter().map(|e| {
            Value::Structure(vec![
                Field::new("type", Value::Number(e.extension_type.0.into(), e.extension_type.name())),
                Field::new("critical", e.critical),
                Field::new("extension_contents", &e.extension_contents),
            ])
        });
        let code = contents.message_code;
        let fields = vec![
            Field::new("message_code", Value::Number(code.0.into(), code.name())),
            match &body {
                Some(body) => Field::new("message_body", self.body(body_at, body)),
                None => Field::new("message_body", &contents.message_body),
            },
            Field::new("extensions", extensions.collect::<Vec<_>>()),
        ];
        let message_body = body.and_then(|body| body.encode().ok());
        let anew = message_body.map(|message_body| MessageContents { message_body, ..contents.clone() });
        (fields, anew)
    }

    fn body(&mut self, at: usize, body: &Body) -> Value {
        let fields = match body {
            Body::ProbeReq(b) => {
                let types = b.requested_info.iter().map(|t| Value::Number(t.0.into(), t.name()));
                vec![Field::new("requested_info", types.collect::<Vec<_>>())]
            }
            Body::ProbeAns(b) => vec![Field::new("probe_info", each(&b.probe_info, probe_information))],
            Body::AttachReq(b) | Body::AttachAns(b) => vec![
                Field::new("ufrag", text(&b.ufrag)),
                Field::new("password", text(&b.password)),
                Field::new("role", text(&b.role)),
                Field::new("candidates", each(&b.candidates, candidate)),
                Field::new("send_update", b.send_update),
            ],
            Body::AppAttachReq(b) | Body::AppAttachAns(b) => vec![
                Field::new("ufrag", text(&b.ufrag)),
                Field::new("password", text(&b.password)),
                Field::new("application", Value::Number(b.application.0.into(), b.application.name())),
                Field::new("role", text(&b.role)),
                Field::new("candidates", each(&b.candidates, candidate)),
            ],
            Body::StoreReq(b) => {
                let mut kind_data = Vec::new();
                for k in &b.kind_data {
                    kind_data.push(Value::Structure(vec![
                        kind(k.kind),
                        Field::new("generation_counter", k.generation_counter),
                        Field::new("values", self.values(at, k.kind, &k.values)),
                    ]));
                }
                vec![
                    Field::new("resource", resource(&b.resource)),
                    Field::new("replica_number", b.replica_number),
                    Field::new("kind_data", kind_data),
                ]
            }
            Body::StoreAns(b) => store_answer(b),
            Body::FetchReq(b) | Body::StatReq(b) => self.fetch(at, b),
            Body::FetchAns(b) => {
                let mut kind_responses = Vec::new();
                for k in &b.kind_responses {
                    kind_responses.push(Value::Structure(vec![
                        kind(k.kind),
                        Field::new("generation", k.generation),
                        Field::new("values", self.values(at, k.kind, &k.values)),
                    ]));
                }
                vec![Field::new("kind_responses", kind_responses)]
            }
            Body::StatAns(b) => {
                let mut kind_responses = Vec::new();
                for k in &b.kind_responses {
                    kind_responses.push(Value::Structure(vec![
                        kind(k.kind),
                        Field::new("generation", k.generation),
                        Field::new("values", self.metadata(at, k.kind, &k.values)),
                    ]));
                }
                vec![Field::new("kind_responses", kind_responses)]
            }
            Body::FindReq(b) => vec![
                Field::new("resource", resource(&b.resource)),
                Field::new("kinds", each(&b.kinds, |k| Value::Number(k.0.into(), k.name()))),
            ],
            Body::FindAns(b) => {
                let found = |f: &FindKindData| {
                    Value::Structure(vec![kind(f.kind), Field::new("closest", resource(&f.closest))])
                };
                vec![Field::new("results", each(&b.results, found))]
            }
            Body::JoinReq(b) => vec![
                Field::new("joining_peer_id", node(&b.joining_peer_id)),
                Field::new("overlay_specific_data", &b.overlay_specific_data),
            ],
            Body::JoinAns(b) => vec![Field::new("overlay_specific_data", &b.overlay_specific_data)],
            Body::LeaveReq(b) => vec![
                Field::new("leaving_peer_id", node(&b.leaving_peer_id)),
                Field::new("overlay_specific_data", self.leave_data(at + 18, &b.overlay_specific_data)),
            ],
            Body::LeaveAns(_) | Body::UpdateAns(_) | Body::ConfigUpdateAns(_) => Vec::new(),
            Body::UpdateReq(b) => chord_update(b),
            Body::RouteQueryReq(b) => vec![
                Field::new("send_update", b.send_update),
                Field::new("destination", destination(&b.destination)),
                Field::new("overlay_specific_data", &b.overlay_specific_data),
            ],
            Body::RouteQueryAns(b) => vec![Field::new("next_peer", node(&b.next_peer))],
            Body::PingReq(b) => vec![Field::new("padding", &b.padding)],
            Body::PingAns(b) => {
                vec![
                    Field::new("response_id", &b.response_id.to_be_bytes()[..]),
                    Field::new("time", b.time.0),
                ]
            }
            Body::ConfigUpdateReq(b) => config_update(b),
            Body::Error(b) => self.error(at, b),
            Body::Unknown { message_body, .. } => return message_body.into(),
        };
        fields.into()
    }

    fn fetch(&mut self, at: usize, request: &FetchReq) -> Vec<Field> {
        let mut specifiers = Vec::new();
        for s in &request.specifiers {
            specifiers.push(Value::Structure(vec![
                kind(s.kind),
                Field::new("generation", s.generation),
                Field::new("model_specifier", self.specifier(at, s)),
            ]));
        }
        vec![Field::new("resource", resource(&request.resource)), Field::new("specifiers", specifiers)]
    }

    fn specifier(&mut self, at: usize, specifier: &StoredDataSpecifier) -> Value {
        let raw = &specifier.model_specifier;
        let Some(model) = model_of(specifier.kind) else { return raw.into() };
        match self.note(self.offset(raw, at), specifier.selection(model)) {
            None => raw.into(),
            Some(Selection::Single) => Vec::<Field>::new().into(),
            Some(Selection::Array(ranges)) => {
                let range = |r: &ArrayRange| {
                    Value::Structure(vec![Field::new("first", r.first), Field::new("last", r.last)])
                };
                vec![Field::new("indices", each(&ranges, range))].into()
            }
            Some(Selection::Dictionary(keys)) => vec![Field::new("keys", each(&keys, |k| k.into()))].into(),
        }
    }

    /// The values of a Kind; as bytes when its data model is not known.
    fn values(&mut self, at: usize, kind: KindId, raw: &RawValues) -> Value {
        let Some(model) = model_of(kind) else { return (&raw.0).into() };
        match self.note(self.offset(&raw.0, at), raw.decode_values(model)) {
            None => (&raw.0).into(),
            Some(values) => values.iter().map(|v| self.stored_data(at, kind, v)).collect::<Vec<_>>().into(),
        }
    }

    fn stored_data(&mut self, at: usize, kind: KindId, data: &StoredData) -> Value {
        let DataValue { exists, value } = data.value.value();
        let record = (*exists && kind == KindId::CHANNEL)
            .then(|| self.note(self.offset(value, at), ProviderRecord::decode(value)))
            .flatten();
        let mut fields =
            vec![Field::new("storage_time", data.storage_time.0), Field::new("lifetime", data.lifetime)];
        fields.extend(place(&data.value));
        fields.push(Field::new("exists", *exists));
        fields.push(record.map_or_else(|| Field::new("value", value), |r| Field::new("value", provider(&r))));
        fields.push(Field::new("signature", signature(&data.signature)));
        fields.into()
    }

    /// The metadata of a Kind; as bytes when its data model is not known.
    fn metadata(&mut self, at: usize, kind: KindId, raw: &RawValues) -> Value {
        let Some(model) = model_of(kind) else { return (&raw.0).into() };
        match self.note(self.offset(&raw.0, at), raw.decode_metadata(model)) {
            None => (&raw.0).into(),
            Some(values) => each(&values, stored_metadata).into(),
        }
    }

    fn leave_data(&mut self, at: usize, data: &Bytes) -> Value {
        if data.is_empty() {
            return data.into();
        }
        match self.note(at, ChordLeaveData::decode(data)) {
            None => data.into(),
            Some(ChordLeaveData::FromSuccessor(nodes)) => vec![
                Field::new("type", Value::Number(1, Some("from_succ"))),
                Field::new("successors", each(&nodes, node)),
            ]
            .into(),
            Some(ChordLeaveData::FromPredecessor(nodes)) => vec![
                Field::new("type", Value::Number(2, Some("from_pred"))),
                Field::new("predecessors", each(&nodes, node)),
            ]
            .into(),
        }
    }

    fn error(&mut self, at: usize, error: &ErrorResponse) -> Vec<Field> {
        let info = match self.note(at + 4, error.info()) {
            None => (&error.error_info).into(),
            Some(ErrorInfo::Text(description)) => text(&description),
            Some(ErrorInfo::UnknownKinds(kinds)) => {
                let kinds = each(&kinds, |k| Value::Number(k.0.into(), k.name()));
                vec![Field::new("unknown_kinds", kinds)].into()
            }
            Some(ErrorInfo::StoreAns(answer)) => store_answer(&answer).into(),
        };
        let code = error.error_code;
        vec![
            Field::new("error_code", Value::Number(code.0.into(), code.name())),
            Field::new("error_info", info),
        ]
    }
}

fn model_of(kind: KindId) -> Option<DataModel> {
    MODELS.into_iter().find_map(|(id, model)| (id == kind).then_some(model))
}

fn each<T>(list: &[T], value: impl Fn(&T) -> Value) -> Vec<Value> {
    list.iter().map(value).collect()
}

/// Text when it is text, and bytes otherwise.
fn text(bytes: &Bytes) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.into(), Value::from)
}

fn node(id: &NodeId) -> Value {
    Value::Bytes(id.0.to_vec())
}

fn resource(id: &ResourceId) -> Value {
    id.as_bytes().into()
}

fn kind(id: KindId) -> Field {
    Field::new("kind", Value::Number(id.0.into(), id.name()))
}

fn forwarding_header(header: &ForwardingHeader, length: usize) -> Vec<Field> {
    vec![
        Field::new("relo_token", &ForwardingHeader::RELO_TOKEN.to_be_bytes()[..]),
        Field::new("overlay", &header.overlay.to_be_bytes()[..]),
        Field::new("configuration_sequence", header.configuration_sequence),
        Field::new("version", ForwardingHeader::VERSION),
        Field::new("ttl", header.ttl),
        Field::new(
            "fragment",
            vec![Field::new("last", header.fragment.last), Field::new("offset", header.fragment.offset)],
        ),
        Field::new("length", length as u64),
        Field::new("transaction_id", &header.transaction_id.to_be_bytes()[..]),
        Field::new("max_response_length", header.max_response_length),
        Field::new("via_list", each(&header.via_list, destination)),
        Field::new("destination_list", each(&header.destination_list, destination)),
        Field::new("options", each(&header.options, forwarding_option)),
    ]
}

fn destination(destination: &Destination) -> Value {
    let (number, name, data) = match destination {
        Destination::Node(id) => (1, Some("node"), Field::new("node_id", node(id))),
        Destination::Resource(id) => (2, Some("resource"), Field::new("resource_id", resource(id))),
        Destination::Opaque(id) => (3, Some("opaque_id_type"), Field::new("opaque_id", id)),
        Destination::Compressed(id) => {
            return vec![Field::new("compressed_id", &id.to_be_bytes()[..])].into();
        }
        Destination::Unknown { destination_type, data } => {
            (*destination_type, None, Field::new("destination_data", data))
        }
    };
    vec![Field::new("type", Value::Number(number.into(), name)), data].into()
}

fn forwarding_option(option: &ForwardingOption) -> Value {
    let OptionType(number) = option.option_type;
    vec![
        Field::new("type", Value::Number(number.into(), option.option_type.name())),
        Field::new("FORWARD_CRITICAL", option.has(ForwardingOption::FORWARD_CRITICAL)),
        Field::new("DESTINATION_CRITICAL", option.has(ForwardingOption::DESTINATION_CRITICAL)),
        Field::new("RESPONSE_COPY", option.has(ForwardingOption::RESPONSE_COPY)),
        Field::new("flags", option.flags),
        Field::new("option", &option.value),
    ]
    .into()
}

fn security_block(block: &SecurityBlock) -> Vec<Field> {
    let certificate = |c: &GenericCertificate| {
        let CertificateType(number) = c.certificate_type;
        Value::Structure(vec![
            Field::new("type", Value::Number(number.into(), c.certificate_type.name())),
            Field::new("certificate", &c.certificate),
        ])
    };
    vec![
        Field::new("certificates", each(&block.certificates, certificate)),
        Field::new("signature", signature(&block.signature)),
    ]
}

fn signature(signature: &Signature) -> Vec<Field> {
    let (hash, algorithm) =
        (HashAlgorithm(signature.signed.hash), SignatureAlgorithm(signature.signed.signature));
    vec![
        Field::new(
            "algorithm",
            vec![
                Field::new("hash", Value::Number(hash.0.into(), hash.name())),
                Field::new("signature", Value::Number(algorithm.0.into(), algorithm.name())),
            ],
        ),
        Field::new("identity", identity(&signature.identity)),
        Field::new("signature_value", &signature.signed.value),
    ]
}

fn identity(signer: &Signer) -> Vec<Field> {
    let identity_type = SignerIdentityType(signer.identity_type);
    let mut fields =
        vec![Field::new("identity_type", Value::Number(identity_type.0.into(), identity_type.name()))];
    match certificate_hash(signer) {
        Some((algorithm, hash)) => {
            let name = match identity_type {
                SignerIdentityType::CERT_HASH => "certificate_hash",
                _ => "certificate_node_id_hash",
            };
            fields.push(Field::new("hash_alg", Value::Number(algorithm.0.into(), algorithm.name())));
            fields.push(Field::new(name, &hash));
        }
        None if signer.value.is_empty() => (),
        None => fields.push(Field::new("identity", &signer.value)),
    }
    fields
}

fn probe_information(information: &ProbeInformation) -> Value {
    let (number, value) = match information {
        ProbeInformation::ResponsibleSet(n) => (1, Field::new("responsible_ppb", *n)),
        ProbeInformation::NumResources(n) => (2, Field::new("num_resources", *n)),
        ProbeInformation::Uptime(n) => (3, Field::new("uptime", *n)),
        ProbeInformation::Unknown { information_type, value } => {
            (information_type.0, Field::new("value", value))
        }
    };
    let name = information.information_type().name();
    vec![Field::new("type", Value::Number(number.into(), name)), value].into()
}

fn candidate(candidate: &IceCandidate) -> Value {
    let link = candidate.overlay_link;
    let (number, name, related) = match &candidate.candidate_type {
        CandidateType::Host => (1, "host", None),
        CandidateType::ServerReflexive(related) => (2, "srflx", Some(related)),
        CandidateType::Relay(related) => (4, "relay", Some(related)),
    };
    let mut fields = vec![
        Field::new("addr_port", address(&candidate.addr_port)),
        Field::new("overlay_link", Value::Number(link.0.into(), link.name())),
        Field::new("foundation", text(&candidate.foundation)),
        Field::new("priority", candidate.priority),
        Field::new("type", Value::Number(number, Some(name))),
    ];
    fields.extend(related.map(|related| Field::new("rel_addr_port", address(related))));
    let extension = |e: &IceExtension| {
        Value::Structure(vec![Field::new("name", text(&e.name)), Field::new("value", text(&e.value))])
    };
    fields.push(Field::new("extensions", each(&candidate.extensions, extension)));
    fields.into()
}

fn address(address: &IpAddressPort) -> Vec<Field> {
    match address {
        IpAddressPort::V4(ip, port) => vec![
            Field::new("type", Value::Number(1, Some("ipv4_address"))),
            Field::new("addr", ip.to_string()),
            Field::new("port", *port),
        ],
        IpAddressPort::V6(ip, port) => vec![
            Field::new("type", Value::Number(2, Some("ipv6_address"))),
            Field::new("addr", ip.to_string()),
            Field::new("port", *port),
        ],
        IpAddressPort::Unknown { address_type, address } => {
            vec![Field::new("type", *address_type), Field::new("addr_port", address)]
        }
    }
}

fn store_answer(answer: &StoreAns) -> Vec<Field> {
    let response = |k: &StoreKindResponse| {
        Value::Structure(vec![
            kind(k.kind),
            Field::new("generation_counter", k.generation_counter),
            Field::new("replicas", each(&k.replicas, node)),
        ])
    };
    vec![Field::new("kind_responses", each(&answer.kind_responses, response))]
}

/// The index or the key.
fn place<T>(arranged: &Arranged<T>) -> Option<Field> {
    match arranged {
        Arranged::Single(_) => None,
        Arranged::Array { index, .. } => Some(Field::new("index", *index)),
        Arranged::Dictionary { key, .. } => Some(Field::new("key", key)),
    }
}

fn stored_metadata(data: &StoredMetaData) -> Value {
    let MetaData { exists, value_length, hash_algorithm, hash_value } = data.metadata.value();
    let mut fields =
        vec![Field::new("storage_time", data.storage_time.0), Field::new("lifetime", data.lifetime)];
    fields.extend(place(&data.metadata));
    fields.push(Field::new("exists", *exists));
    fields.push(Field::new("value_length", *value_length));
    fields.push(Field::new("hash_algorithm", Value::Number(hash_algorithm.0.into(), hash_algorithm.name())));
    fields.push(Field::new("hash_value", hash_value));
    fields.into()
}

fn provider(record: &ProviderRecord) -> Vec<Field> {
    vec![
        Field::new("version", ProviderRecord::VERSION),
        Field::new("role", format!("{:?}", record.role)),
        Field::new("depth", record.depth),
        Field::new("free_slots", record.free_slots),
        Field::new("uptime_seconds", record.uptime_seconds),
        Field::new("sip_contact", record.sip_contact.as_str()),
        Field::new("grant", record.grant.as_ref().map_or_else(Vec::new, grant)),
    ]
}

fn grant(grant: &Grant) -> Vec<Field> {
    vec![
        Field::new("role", format!("{:?}", grant.role)),
        Field::new("epoch", grant.epoch),
        Field::new("not_before", grant.not_before.0),
        Field::new("not_after", grant.not_after.0),
        Field::new("certificate", &grant.certificate),
        Field::new("signature", signature(&grant.signature)),
    ]
}

fn chord_update(update: &ChordUpdate) -> Vec<Field> {
    let (number, name, lists) = match &update.tables {
        ChordTables::PeerReady => (1, "peer_ready", vec![]),
        ChordTables::Neighbors { predecessors, successors } => {
            (2, "neighbors", vec![("predecessors", predecessors), ("successors", successors)])
        }
        ChordTables::Full { predecessors, successors, fingers } => {
            let lists =
                vec![("predecessors", predecessors), ("successors", successors), ("fingers", fingers)];
            (3, "full", lists)
        }
    };
    let mut fields =
        vec![Field::new("uptime", update.uptime), Field::new("type", Value::Number(number, Some(name)))];
    fields.extend(lists.into_iter().map(|(name, nodes)| Field::new(name, each(nodes, node))));
    fields
}

fn config_update(update: &ConfigUpdateReq) -> Vec<Field> {
    match update {
        ConfigUpdateReq::Config(document) => vec![
            Field::new("type", Value::Number(1, Some("config"))),
            Field::new("config_data", text(document)),
        ],
        ConfigUpdateReq::Kinds(kinds) => {
            vec![Field::new("type", Value::Number(2, Some("kind"))), Field::new("kinds", each(kinds, text))]
        }
        ConfigUpdateReq::Unknown { update_type, content } => {
            vec![Field::new("type", *update_type), Field::new("content", content)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arbitrary::Unstructured;
    use p2piptv::env::{Entropy, Seeded};
    use p2piptv::ids::bytes_from_hex;
    use p2piptv::reload::codec::StoredDataValue;
    use p2piptv::reload::codec::body::{FetchAns, FetchKindResponse};
    use p2piptv::wire::DecodeErrorKind;
    use quickcheck::quickcheck;

    fn hex(text: &str) -> Bytes {
        bytes_from_hex(text).unwrap().into()
    }

    const HEADER: &str = "9aa32b8d 0016 0a 64 c0000000";
    const TO_B: &str = "0102030405060708 00000000 0000 0012 0000 0110 22222222222222222222222222222222";
    const UNSIGNED: &str = "0000 0000 03 0000 0000";

    /// A message to B with this length, code, body length and body.
    fn message(length: &str, contents: &str) -> Bytes {
        hex(&format!("d2454c4f {HEADER} {length} {TO_B} {contents} 00000000 {UNSIGNED}"))
    }

    #[test]
    fn a_framed_ping_is_dissected_and_encoded_as_it_came() {
        let ping = message("0000004d", "0017 00000002 0000");
        let framed = Frame::Data { sequence: 0, message: ping }.encode().unwrap();
        let report = dissect(&framed);
        assert_eq!(report.errors, []);
        assert_eq!(report.reencoded.as_deref(), Some(framed.as_ref()));
        let text = report.to_text();
        for line in ["  message_contents:", "message_code: 0x17 (ping_req)", "overlay: [4] 9aa32b8d"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn an_error_in_a_body_counts_from_the_first_byte_and_the_rest_is_still_shown() {
        // The padding promises a byte that is not there.
        let ping = message("0000004d", "0017 00000002 0001");
        let framed = Frame::Data { sequence: 0, message: ping }.encode().unwrap();
        let report = dissect(&framed);
        let expected = DecodeError { kind: DecodeErrorKind::Truncated, field: "padding", offset: 72 };
        assert_eq!(report.errors, [expected]);
        assert_eq!(report.reencoded, None);
        assert!(report.to_text().contains("security_block"));
    }

    #[test]
    fn an_error_in_a_value_counts_from_the_first_byte() {
        let record = Bytes::from_static(b"\x09 a record of version 9");
        let value =
            StoredDataValue::Dictionary { key: hex("aa"), value: DataValue::existing(record.clone()) };
        let data = StoredData { value, ..StoredData::synthetic(0) };
        let values = RawValues::encode_values(&[data]).unwrap();
        let kind_responses = vec![FetchKindResponse { kind: KindId::CHANNEL, generation: 1, values }];
        let answer = Message {
            header: ForwardingHeader::new(0, 0, vec![]),
            contents: MessageContents::new(&Body::FetchAns(FetchAns { kind_responses })).unwrap(),
            security: SecurityBlock { certificates: vec![], signature: Signature::none() },
        };
        let bytes = answer.encode().unwrap();
        let offset = bytes.windows(record.len()).position(|w| w == record).unwrap();
        let expected = DecodeError { kind: DecodeErrorKind::InvalidValue, field: "version", offset };
        assert_eq!(dissect(&bytes).errors, [expected]);
    }

    quickcheck! {
        fn every_message_is_dissected_and_encoded_as_it_came(seed: u64) -> bool {
            let mut bytes = vec![0; 8192];
            Seeded::new(seed).fill(&mut bytes);
            let message: Message = Unstructured::new(&bytes).arbitrary().unwrap();
            let bytes = message.encode().unwrap();
            let report = dissect(&bytes);
            report.reencoded.as_deref() == Some(bytes.as_ref()) && !report.to_json().is_empty()
        }

        fn no_bytes_make_it_panic(bytes: Vec<u8>) -> bool {
            let report = dissect(&bytes.into());
            !report.errors.is_empty() || report.reencoded.is_some()
        }
    }
}
