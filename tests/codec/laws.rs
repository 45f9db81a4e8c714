//! Laws over arbitrary messages, and over arbitrary bytes.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use core::fmt::Debug;
use p2piptv::env::{Entropy, Seeded};
use p2piptv::reload::codec::body::*;
use p2piptv::reload::codec::generate::{stored_data, stored_metadata};
use p2piptv::reload::codec::*;
use quickcheck::{TestResult, quickcheck};

const MODELS: [DataModel; 3] = [DataModel::Single, DataModel::Array, DataModel::Dictionary];

fn random_bytes(seed: u64, n: usize) -> Bytes {
    let mut bytes = vec![0; n];
    Seeded::new(seed).fill(&mut bytes);
    bytes.into()
}

/// The arbitrary value that belongs to a seed.
fn value<T: for<'a> Arbitrary<'a>>(seed: u64) -> T {
    Unstructured::new(&random_bytes(seed, 8192)).arbitrary().unwrap()
}

fn survives<T: Structure + PartialEq + Debug + for<'a> Arbitrary<'a>>(seed: u64) -> bool {
    let value: T = value(seed);
    T::decode(&value.encode().unwrap()) == Ok(value)
}

/// Encodes what it decoded, all the way down; `None` where decoding stops.
fn encode_again(message: &Bytes) -> Option<Bytes> {
    let Message { header, contents, security } = Message::decode(message).ok()?;
    let message_body = contents.body().ok()?.encode().unwrap();
    Some(
        Message { header, contents: MessageContents { message_body, ..contents }, security }
            .encode()
            .unwrap(),
    )
}

macro_rules! every_structure_survives {
    ($($test:ident: $type:ty,)*) => {$(
        #[test]
        fn $test() {
            quickcheck(survives::<$type> as fn(u64) -> bool);
        }
    )*};
}

every_structure_survives! {
    destinations_survive: Destination,
    forwarding_options_survive: ForwardingOption,
    contents_survive: MessageContents,
    payloads_survive: Payload,
    security_blocks_survive: SecurityBlock,
    error_responses_survive: ErrorResponse,
    addresses_survive: IpAddressPort,
    probe_requests_survive: ProbeReq,
    probe_answers_survive: ProbeAns,
    attaches_survive: AttachReqAns,
    app_attaches_survive: AppAttach,
    stores_survive: StoreReq,
    store_answers_survive: StoreAns,
    fetches_survive: FetchReq,
    fetch_answers_survive: FetchAns,
    stat_answers_survive: StatAns,
    finds_survive: FindReq,
    find_answers_survive: FindAns,
    joins_survive: JoinReq,
    leaves_survive: LeaveReq,
    leave_data_survive: ChordLeaveData,
    updates_survive: ChordUpdate,
    route_queries_survive: RouteQueryReq,
    pings_survive: PingReq,
    ping_answers_survive: PingAns,
    config_updates_survive: ConfigUpdateReq,
    provider_records_survive: ProviderRecord,
    turn_servers_survive: TurnServer,
    sip_registrations_survive: SipRegistration,
    service_providers_survive: RedirServiceProvider,
    resource_name_extensions_survive: ResourceNameExtension,
    grants_survive: Grant,
}

quickcheck! {
    fn messages_survive(seed: u64) -> bool {
        let message: Message = value(seed);
        Message::decode(&message.encode().unwrap()) == Ok(message)
    }

    fn headers_survive(seed: u64) -> bool {
        let header: ForwardingHeader = value(seed);
        let payload = random_bytes(seed, 20);
        ForwardingHeader::decode(&header.encode(&payload).unwrap()) == Ok((header, payload))
    }

    /// A header read in place is the header, and passes on what decoding and encoding it would.
    fn a_view_says_what_the_header_says(seed: u64, at: usize, bits: u8) -> bool {
        let payload = random_bytes(seed, 20);
        let mut bytes = value::<ForwardingHeader>(seed).encode(&payload).unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= bits;
        let bytes = Bytes::from(bytes);
        let Ok(view) = HeaderView::read(&bytes) else { return ForwardingHeader::decode(&bytes).is_err() };
        let (mut header, payload) = ForwardingHeader::decode(&bytes).unwrap();
        let destinations = view.destination_list().offset();
        let passage = Passage {
            ttl: 7,
            via_list: [view.via_bytes(), &[0x81, 0x23]],
            destination_list: [&[0x81, 0x24], view.destination_bytes(destinations)],
        };
        header.ttl = 7;
        header.via_list.push(Destination::Compressed(0x8123));
        header.destination_list.insert(0, Destination::Compressed(0x8124));
        // Reserved bits of the fragment field are passed on as they came.
        let passed = ForwardingHeader::decode(&view.pass(&passage).unwrap()).unwrap();
        passed == (header, payload)
    }

    /// Cut and cut again, in any order, twice: the payload comes out.
    fn what_is_cut_can_be_put_together(seed: u64, size: u16, mtu: u16) -> bool {
        use p2piptv::ids::NodeId;
        use p2piptv::reload::fragment::{Key, Limits, Reassembly, cut};
        use p2piptv::time::{Duration, Instant};
        let payload = random_bytes(seed, 1 + usize::from(size % 5000));
        let header = ForwardingHeader::new(1, seed, vec![Destination::Node(NodeId([1; 16]))]);
        let message = header.encode(&payload).unwrap();
        let mtu = 340 + usize::from(mtu % 2000);
        let mut pieces: Vec<Bytes> = cut(message, 2 * mtu).flat_map(|piece| cut(piece, mtu)).collect();
        pieces.extend(pieces.clone());
        let mut entropy = Seeded::new(seed);
        (1..pieces.len()).rev().for_each(|n| pieces.swap(n, entropy.below(n as u64 + 1) as usize));
        let patience = Duration::from_secs(15);
        let mut buffer =
            Reassembly::new(Limits { messages: 1, of_one_link: 1, message_size: 6000, patience });
        let key = Key { transaction_id: seed, is_response: false };
        let whole = pieces.iter().find_map(|piece| {
            let (header, part) = ForwardingHeader::decode(piece).unwrap();
            buffer.on_fragment(Instant::ZERO, NodeId([1; 16]), key, header.fragment, &part).unwrap()
        });
        whole == Some(payload)
    }

    fn frames_survive(seed: u64) -> bool {
        let frame: Frame = value(seed);
        let bytes = frame.encode().unwrap();
        Frame::decode(&bytes) == Ok(frame.clone())
            && Frame::decode_stream(&bytes, 5000) == Ok(Some((frame, bytes.len())))
    }

    fn bodies_survive_under_their_code(seed: u64) -> bool {
        let body: Body = value(seed);
        Body::decode(body.message_code(), &body.encode().unwrap()) == Ok(body)
    }

    fn stored_values_survive_in_every_data_model(seed: u64) -> bool {
        MODELS.into_iter().all(|model| {
            let bytes = random_bytes(seed, 512);
            let u = &mut Unstructured::new(&bytes);
            let data = [stored_data(model, u).unwrap(), stored_data(model, u).unwrap()];
            let metadata = [stored_metadata(model, u).unwrap()];
            RawValues::encode_values(&data).unwrap().decode_values(model) == Ok(data.to_vec())
                && RawValues::encode_metadata(&metadata).unwrap().decode_metadata(model) == Ok(metadata.to_vec())
        })
    }

    fn selections_survive(seed: u64) -> bool {
        let selection: Selection = value(seed);
        let model = match selection {
            Selection::Single => DataModel::Single,
            Selection::Array(_) => DataModel::Array,
            Selection::Dictionary(_) => DataModel::Dictionary,
        };
        StoredDataSpecifier::new(KindId(1), &selection).unwrap().selection(model) == Ok(selection)
    }

    /// One value has one encoding, so a node that decodes and encodes again cannot break a signature.
    fn a_changed_message_is_refused_or_encoded_as_it_came(seed: u64, at: usize, bits: u8) -> bool {
        let mut bytes = value::<Message>(seed).encode().unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= bits;
        bytes[12] &= 0xc0; // reserved bits are not kept
        let bytes = Bytes::from(bytes);
        encode_again(&bytes).is_none_or(|again| again == bytes)
    }

    fn a_cut_message_is_refused(seed: u64, at: usize) -> bool {
        let payload = value::<Payload>(seed).encode().unwrap();
        Payload::decode(&payload.slice(..at % payload.len())).is_err()
    }

    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>, code: u8) -> TestResult {
        let bytes = Bytes::from(bytes);
        let _ = Frame::decode(&bytes);
        let _ = Frame::decode_stream(&bytes, 5000);
        let _ = Message::decode(&bytes);
        let _ = Payload::decode(&bytes);
        let _ = ProviderRecord::decode(&bytes);
        let _ = TurnServer::decode(&bytes);
        let _ = SipRegistration::decode(&bytes);
        let _ = RedirServiceProvider::decode(&bytes);
        let _ = AccessControlListItem::decode(&bytes, code.is_multiple_of(2));
        let _ = ChordLeaveData::decode(&bytes);
        let _ = Body::decode(MessageCode(u16::from(code) % 0x29), &bytes);
        let _ = ErrorResponse { error_code: ErrorCode((code % 0x15).into()), error_info: bytes.clone() }.info();
        let specifier = StoredDataSpecifier { kind: KindId(1), generation: 0, model_specifier: bytes.clone() };
        for model in MODELS {
            let _ = RawValues(bytes.clone()).decode_values(model);
            let _ = RawValues(bytes.clone()).decode_metadata(model);
            let _ = specifier.selection(model);
        }
        TestResult::passed()
    }
}
