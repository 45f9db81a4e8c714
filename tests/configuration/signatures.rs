//! Who may sign the next document, and what exactly is signed.

use bytes::Bytes;
use p2piptv::env::{CryptoError, InsecureIdentity};
use p2piptv::ids::NodeId;
use p2piptv::reload::configuration::{Configuration, Document, DocumentErrorKind as Kind};
use p2piptv::time::UnixMillis;

const AT: UnixMillis = UnixMillis(1_700_000_000_000);

fn identity(n: u8) -> InsecureIdentity {
    InsecureIdentity::new(NodeId([n; 16]))
}

/// Version `sequence`, which these may follow up.
fn version(sequence: u16, signers: &[u8]) -> Configuration {
    let configuration_signers = signers.iter().map(|n| NodeId([*n; 16])).collect();
    Configuration { sequence, configuration_signers, ..Configuration::new("a.example") }
}

fn verdict(current: &Configuration, next: &Document) -> Result<u8, Kind> {
    next.verify(current, AT, &identity(9)).map(|signer| signer.0[0]).map_err(|e| e.kind)
}

#[test]
fn cu1_a_newer_document_signed_by_a_signer_of_the_current_one_may_follow_it() {
    let current = version(7, &[1]);
    let next = |sequence, by: &[u8]| {
        let all: Vec<InsecureIdentity> = by.iter().map(|n| identity(*n)).collect();
        let all: Vec<&dyn p2piptv::env::Crypto> = all.iter().map(|i| i as _).collect();
        version(sequence, &[1]).to_document(&all).unwrap()
    };
    assert_eq!(verdict(&current, &next(8, &[1])), Ok(1));
    assert_eq!(verdict(&current, &next(8, &[3, 2, 1])), Ok(1), "one good signature is enough");
    assert_eq!(verdict(&current, &next(7, &[1])), Err(Kind::NotNewer));
    assert_eq!(verdict(&current, &next(6, &[1])), Err(Kind::NotNewer));
    assert_eq!(verdict(&current, &next(8, &[])), Err(Kind::NotSigned));
    assert_eq!(verdict(&current, &next(8, &[2])), Err(Kind::WrongSigner));
    assert_eq!(verdict(&version(65_534, &[1]), &next(0, &[1])), Ok(1), "CS-5");
}

#[test]
fn cf3_a_signer_is_replaced_in_two_steps_and_not_in_one() {
    let (old, new) = (identity(1), identity(2));
    let first = version(1, &[1]);
    let introduces = version(2, &[2]).to_document(&[&old]).unwrap();
    let follows = version(3, &[2]).to_document(&[&new]).unwrap();
    assert_eq!(verdict(&first, &introduces), Ok(1));
    assert_eq!(verdict(introduces.configuration(), &follows), Ok(2));
    assert_eq!(verdict(&first, &follows), Err(Kind::WrongSigner), "who missed a step cannot check the next");
    let stolen = version(3, &[1]).to_document(&[&old]).unwrap();
    assert_eq!(verdict(introduces.configuration(), &stolen), Err(Kind::WrongSigner));
    let by_itself = version(2, &[3]).to_document(&[&identity(3)]).unwrap();
    assert_eq!(verdict(&first, &by_itself), Err(Kind::WrongSigner), "nobody makes himself a signer");
}

#[test]
fn cf2_any_change_inside_of_the_element_breaks_the_signature_and_none_outside_of_it_does() {
    let next = version(8, &[1]).to_document(&[&identity(1)]).unwrap();
    let element = next.element().to_vec();
    assert!(element.starts_with(b"<configuration ") && element.ends_with(b"</configuration>"));
    let file = std::str::from_utf8(next.file()).unwrap().to_owned();
    let (mut changed_inside, begin) = (0, file.find("<configuration ").unwrap());
    for at in begin..begin + element.len() {
        // A blank more, or a digit changed, wherever it can still be read.
        for replacement in [" ", "1", "9"] {
            let spoilt = [&file[..at], replacement, &file[at + 1..]].concat();
            if spoilt != file
                && let Ok(document) = Document::parse(spoilt.as_bytes(), "a.example")
            {
                assert!(verdict(&version(1, &[1]), &document).is_err(), "byte {at}: {spoilt}");
                changed_inside += 1;
            }
        }
    }
    assert!(changed_inside > 50, "{changed_inside}");
    let outside = file.replace("<overlay ", "<!-- well --><overlay ").replace("</overlay>", "\n\n</overlay>");
    let outside = outside.replace("\n<signature>", "<!-- a --><signature>");
    let outside = Document::parse(outside.as_bytes(), "a.example").unwrap();
    assert_ne!(outside.file(), next.file());
    assert_eq!(verdict(&version(1, &[1]), &outside), Ok(1));
}

#[test]
fn cf2_the_file_is_kept_as_it_came() {
    let text = "\u{feff}<overlay  xmlns='urn:ietf:params:xml:ns:p2p:config-base'>\r\n<configuration \
                instance-name='a.example'\r\n sequence='3'  ><!-- ä --></configuration ></overlay>";
    let document = Document::parse(text.as_bytes(), "a.example").unwrap();
    assert_eq!(document.file(), &Bytes::from(text));
    let element = std::str::from_utf8(document.element()).unwrap();
    assert!(element.starts_with("<configuration ") && element.ends_with("</configuration >"), "{element}");
}

#[test]
fn cf2_what_the_prefixes_outside_of_the_signature_mean_cannot_be_changed() {
    let slow =
        Configuration { chord_update_interval: core::time::Duration::from_secs(9), ..version(8, &[1]) };
    let next = slow.to_document(&[&identity(1)]).unwrap();
    let file = std::str::from_utf8(next.file()).unwrap();
    let foreign = file.replace("config-chord\"", "config-cord\"");
    let foreign = Document::parse(foreign.as_bytes(), "a.example").unwrap();
    assert_eq!(foreign.element(), next.element());
    assert_ne!(
        foreign.configuration(),
        next.configuration(),
        "the element is the same and means another thing"
    );
    assert_eq!(verdict(&version(1, &[1]), &foreign), Err(Kind::UnsignedNamespace));
    // Another prefix for what only the usual ones may mean.
    let borrowed = file.replace("<overlay ", "<overlay xmlns:x=\"urn:ietf:params:xml:ns:p2p:config-base\" ");
    let borrowed = Document::parse(borrowed.as_bytes(), "a.example").unwrap();
    assert_eq!(verdict(&version(1, &[1]), &borrowed), Err(Kind::UnsignedNamespace));
    let harmless = file.replace("<overlay ", "<overlay xmlns:x=\"urn:example:x\" ");
    let harmless = Document::parse(harmless.as_bytes(), "a.example").unwrap();
    assert_eq!(verdict(&version(1, &[1]), &harmless), Ok(1));
}

#[test]
fn cf1_a_signature_belongs_to_the_configuration_in_front_of_it() {
    let (mine, other) = (version(2, &[1]), Configuration { sequence: 2, ..Configuration::new("b.example") });
    let text = |d: &Document| String::from_utf8(d.file().to_vec()).unwrap();
    let mine = text(&mine.to_document(&[&identity(1)]).unwrap());
    let other = text(&other.to_document(&[&identity(1)]).unwrap());
    let inside = |text: &str| {
        let (begin, end) = (text.find("<configuration").unwrap(), text.find("</overlay>").unwrap());
        text[begin..end].to_owned()
    };
    let head = &mine[..mine.find("<configuration").unwrap()];
    let both = format!("{head}{}{}</overlay>", inside(&mine), inside(&other));
    let unsigned = &inside(&mine)[..inside(&mine).find("<signature>").unwrap()];
    let moved = format!("{head}{unsigned}{}</overlay>", inside(&other));
    let read = |text: &str| Document::parse(text.as_bytes(), "a.example").unwrap();
    assert_eq!(verdict(&version(1, &[1]), &read(&both)), Ok(1));
    assert_eq!(verdict(&version(1, &[1]), &read(&moved)), Err(Kind::NotSigned));
}

#[test]
fn cu1_a_document_of_another_overlay_or_one_that_has_expired_follows_nothing() {
    let other = Configuration { sequence: 2, ..Configuration::new("b.example") };
    let other = other.to_document(&[&identity(1)]).unwrap();
    assert_eq!(verdict(&version(1, &[1]), &other), Err(Kind::WrongOverlay));
    let expired = Configuration { expiration: Some(AT), ..version(2, &[1]) };
    let expired = expired.to_document(&[&identity(1)]).unwrap();
    assert_eq!(verdict(&version(1, &[1]), &expired), Err(Kind::Expired));
}

#[test]
fn sb8_a_signer_that_is_a_bad_node_signs_nothing() {
    let current = Configuration { bad_nodes: vec![NodeId([1; 16])], ..version(1, &[1]) };
    let next = version(2, &[1]).to_document(&[&identity(1)]).unwrap();
    assert_eq!(verdict(&current, &next), Err(Kind::BadSignature(CryptoError::BadNode)));
}

#[test]
fn k8_of_many_signatures_a_few_are_looked_at() {
    let signers: Vec<InsecureIdentity> = (2..12).chain([1]).map(identity).collect();
    let signers: Vec<&dyn p2piptv::env::Crypto> = signers.iter().map(|i| i as _).collect();
    let next = version(2, &[1]).to_document(&signers).unwrap();
    assert_eq!(next.signatures().len(), Document::MAX_SIGNATURES);
    assert_eq!(verdict(&version(1, &[1]), &next), Err(Kind::WrongSigner));
}
