//! Kinds that a document defines.

use p2piptv::env::{Crypto, InsecureIdentity};
use p2piptv::ids::NodeId;
use p2piptv::reload::codec::{DataModel, KindId};
use p2piptv::reload::configuration::{
    Configuration, Document, DocumentError, DocumentErrorKind as Kind, KindBlock, KindDefinition,
    signature_input,
};
use p2piptv::reload::storage;
use p2piptv::time::UnixMillis;

const AT: UnixMillis = UnixMillis(1_700_000_000_000);

fn identity(n: u8) -> InsecureIdentity {
    InsecureIdentity::new(NodeId([n; 16]))
}

fn parse(blocks: &str) -> Result<Vec<KindDefinition>, DocumentError> {
    Ok(KindBlock::parse(blocks.as_bytes())?.iter().map(|b| b.definition().clone()).collect())
}

fn kind(who: &str, content: &str) -> String {
    format!("<kind-block><kind {who}>{content}</kind></kind-block>")
}

const COMPLETE: &str = "<data-model>ARRAY</data-model><access-control>NODE-MATCH</access-control>\
                        <max-count>22</max-count><max-size>4</max-size>";

#[test]
fn kn1_a_definition_has_its_number_model_policy_and_limits() {
    let read = parse(&kind("id='4026531841'", COMPLETE)).unwrap();
    let expected = KindDefinition {
        id: KindId(0xf000_0001),
        data_model: DataModel::Array,
        access_control: "NODE-MATCH".to_owned(),
        max_count: 22,
        max_size: 4,
        max_node_multiple: None,
        branching_factor: None,
    };
    assert_eq!(read, [expected]);
}

#[test]
fn the_model_and_policy_of_a_registered_kind_are_those_of_its_registration() {
    for (name, id, model, access) in [
        ("SIP-REGISTRATION", 1, DataModel::Dictionary, "USER-NODE-MATCH"),
        ("TURN-SERVICE", 2, DataModel::Single, "NODE-MULTIPLE"),
        ("CERTIFICATE_BY_NODE", 3, DataModel::Array, "NODE-MATCH"),
        ("CERTIFICATE_BY_USER", 0x10, DataModel::Array, "USER-MATCH"),
        ("REDIR", 0x104, DataModel::Dictionary, "NODE-ID-MATCH"),
    ] {
        let lies = COMPLETE.replace("ARRAY", "SINGLE").replace("NODE-MATCH", "EXP-MATCH");
        for who in [format!("name='{name}'"), format!("id='{id}'")] {
            let read = &parse(&kind(&who, &lies)).unwrap()[0];
            assert_eq!((read.id.0, read.data_model, read.access_control.as_str()), (id, model, access));
            assert_eq!(read.max_count, 22, "limits are the overlay's to choose");
        }
    }
}

#[test]
fn kn1_every_kind_of_the_store_can_be_defined_in_a_document() {
    let all =
        storage::Kind::REGISTERED.into_iter().chain([storage::Kind::CHANNEL, storage::Kind::OWNED_CHANNEL]);
    for kind in all {
        let block = KindBlock::unsigned(KindDefinition::of(&kind));
        let read = KindBlock::parse(block.to_xml().unwrap().as_bytes()).unwrap();
        assert_eq!(read[0].definition().to_kind(), Some(kind));
    }
}

#[test]
fn every_element_of_a_kind_has_to_be_there_once() {
    for element in ["data-model", "access-control", "max-count", "max-size"] {
        let begin = COMPLETE.find(&format!("<{element}>")).unwrap();
        let end = COMPLETE.find(&format!("</{element}>")).unwrap() + element.len() + 3;
        let without = [&COMPLETE[..begin], &COMPLETE[end..]].concat();
        let error = parse(&kind("id='4026531841'", &without)).unwrap_err();
        assert_eq!((error.kind, error.element), (Kind::Missing, element));
        let twice = [COMPLETE, &COMPLETE[begin..end]].concat();
        let error = parse(&kind("id='4026531841'", &twice)).unwrap_err();
        assert_eq!((error.kind, error.element), (Kind::Repeated, element));
    }
}

#[test]
fn ac5_node_multiple_needs_a_largest_i_above_zero() {
    let of = |more: &str| {
        let content = COMPLETE.replace("NODE-MATCH", "NODE-MULTIPLE") + more;
        parse(&kind("id='4026531841'", &content)).map(|k| k[0].max_node_multiple)
    };
    assert_eq!(of("<max-node-multiple>3</max-node-multiple>"), Ok(Some(3)));
    let missing = of("").unwrap_err();
    assert_eq!((missing.kind, missing.element), (Kind::Missing, "max-node-multiple"));
    let kind = parse(&kind(
        "id='4026531841'",
        &(COMPLETE.replace("NODE-MATCH", "NODE-MULTIPLE") + "<max-node-multiple>3</max-node-multiple>"),
    ));
    let access = kind.unwrap()[0].to_kind().unwrap().access;
    assert_eq!(access, storage::Access::NodeMultiple { max: 3 });
    let zero = of("<max-node-multiple>0</max-node-multiple>").unwrap_err();
    assert_eq!((zero.kind, zero.element), (Kind::OutOfRange, "max-node-multiple"));
}

#[test]
fn a_kind_has_a_name_or_a_number_and_not_both() {
    let error = |who: &str| {
        let error = parse(&kind(who, COMPLETE)).unwrap_err();
        (error.kind, error.element)
    };
    assert_eq!(error(""), (Kind::Missing, "kind"));
    assert_eq!(error("name='REDIR' id='260'"), (Kind::InvalidValue, "id"));
    assert_eq!(error("name='HOLOGRAM'"), (Kind::Unsupported, "name"));
    for reserved in ["0", "2147483647", "4294967294"] {
        assert_eq!(error(&format!("id='{reserved}'")), (Kind::OutOfRange, "id"));
    }
    assert_eq!(error("id='4294967296'"), (Kind::OutOfRange, "id"));
}

#[test]
fn redir_has_a_branching_factor_of_its_own_namespace() {
    let of = |n: u32| {
        let more = format!("<redir:branching-factor>{n}</redir:branching-factor>");
        parse(&kind("name='REDIR'", &(COMPLETE.to_owned() + &more)))
    };
    let four = &of(4).unwrap()[0];
    assert_eq!(four.branching_factor, Some(4));
    let kind_of_four = four.to_kind().unwrap();
    assert_eq!(kind_of_four.access, storage::Access::NodeIdMatch { branching_factor: 4 });
    assert_eq!(of(1).unwrap_err().element, "branching-factor", "a tree of one branch does not branch");
    assert_eq!(parse(&kind("name='REDIR'", COMPLETE)).unwrap()[0].branching_factor, None);
}

#[test]
fn cu6_a_description_may_hold_several_blocks_and_errors_count_from_its_own_start() {
    let two = kind("id='4026531841'", COMPLETE) + &kind("id='4026531842'", COMPLETE);
    assert_eq!(parse(&two).unwrap().len(), 2);
    let twice = kind("id='4026531841'", COMPLETE).repeat(2);
    assert_eq!(parse(&twice).unwrap_err().kind, Kind::Repeated);
    let error = parse(&(kind("id='4026531841'", COMPLETE) + &kind("id='0'", COMPLETE))).unwrap_err();
    assert_eq!(error.offset, two.len() / 2 + "<kind-block><kind ".len());
    assert_eq!(parse("<kind-block>").unwrap_err().kind, Kind::NotWellFormed);
    let many = (0..65).map(|n| kind(&format!("id='{}'", 0xf000_0001_u32 + n), COMPLETE)).collect::<String>();
    assert_eq!(parse(&many).unwrap_err().kind, Kind::TooLarge);
}

#[test]
fn ac6_a_policy_that_the_store_does_not_have_is_no_kind_of_its() {
    let mut definition = KindDefinition::of(&storage::Kind::CHANNEL);
    assert_eq!(definition.to_kind(), Some(storage::Kind::CHANNEL));
    definition.access_control = "EXP-MATCH".to_owned();
    assert_eq!(definition.to_kind(), None);
    let unknown = COMPLETE.replace("ARRAY", "TREE");
    let error = parse(&kind("id='4026531841'", &unknown)).unwrap_err();
    assert_eq!((error.kind, error.element), (Kind::Unsupported, "data-model"));
}

#[test]
fn cf4_a_kind_counts_when_a_kind_signer_of_its_document_has_signed_it() {
    let (signer, stranger) = (identity(1), identity(2));
    let of = |block: KindBlock, signers: &[u8]| {
        let c = Configuration {
            kind_signers: signers.iter().map(|n| NodeId([*n; 16])).collect(),
            kinds: vec![block],
            ..Configuration::new("a.example")
        };
        let document = c.to_document(&[]).unwrap();
        let mut kinds = document.kinds(AT, &signer);
        let (_, result) = kinds.next().unwrap();
        result.map_err(|e| (e.kind, e.element))
    };
    let signed =
        |by: &InsecureIdentity| KindBlock::signed(KindDefinition::of(&storage::Kind::CHANNEL), by).unwrap();
    assert_eq!(of(signed(&signer), &[1]), Ok(Some(NodeId([1; 16]))));
    assert_eq!(of(signed(&stranger), &[1]), Err((Kind::WrongSigner, "kind-signature")));
    let unsigned = || KindBlock::unsigned(KindDefinition::of(&storage::Kind::CHANNEL));
    assert_eq!(of(unsigned(), &[1]), Err((Kind::NotSigned, "kind-signature")));
    assert_eq!(of(unsigned(), &[]), Ok(None), "with no kind-signer the document vouches for its Kinds");
}

#[test]
fn cf4_the_signature_covers_the_element_from_its_first_bracket_to_its_last() {
    let signer = identity(1);
    let block = KindBlock::signed(KindDefinition::of(&storage::Kind::CHANNEL), &signer).unwrap();
    let text = block.to_xml().unwrap();
    let element = std::str::from_utf8(block.element()).unwrap();
    assert!(element.starts_with("<kind ") && element.ends_with("</kind>"));
    assert!(text.starts_with(&format!("<kind-block>{element}<kind-signature>")));
    let read = &KindBlock::parse(text.as_bytes()).unwrap()[0];
    assert_eq!(read.verify(&[NodeId([1; 16])], &[], AT, &signer), Ok(NodeId([1; 16])));
    // One blank more, or the sixteen seats made seventeen.
    for changed in [text.replace("<kind ", "<kind  "), text.replace("<max-count>16", "<max-count>17")] {
        let read = &KindBlock::parse(changed.as_bytes()).unwrap()[0];
        let error = read.verify(&[NodeId([1; 16])], &[], AT, &signer).unwrap_err();
        assert!(matches!(error.kind, Kind::BadSignature(_)), "{error}");
    }
    let input = signature_input(block.element(), &signer.signer()).unwrap();
    assert!(input.starts_with(block.element()) && input.len() > block.element().len());
}

#[test]
fn a_kind_is_the_same_in_the_next_document_byte_for_byte() {
    let signer = identity(1);
    let redir = KindDefinition { branching_factor: Some(4), ..KindDefinition::of(&storage::Kind::REDIR) };
    let first = Configuration {
        kind_signers: vec![NodeId([1; 16])],
        kinds: vec![KindBlock::signed(redir, &signer).unwrap()],
        ..Configuration::new("a.example")
    };
    let first = first.to_document(&[]).unwrap();
    let next = Configuration { sequence: 1, ..first.configuration().clone() };
    let next = next.to_document(&[&signer]).unwrap();
    let element = |d: &Document| d.configuration().kinds[0].element().clone();
    assert_eq!(element(&first), element(&next));
    assert!(next.kinds(AT, &signer).all(|(_, signer)| signer.is_ok()));
}
