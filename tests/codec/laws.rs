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
        let _ = AccessControlListItem::decode(&bytes, code % 2 == 0);
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
