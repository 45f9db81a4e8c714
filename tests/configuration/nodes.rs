//! A whole node whose configuration is a document.

use crate::network::{AT, NAME, authority, seconds, signed, version};
use p2piptv::env::{InsecureIdentity, Seeded};
use p2piptv::ids::NodeId;
use p2piptv::node::{Addresses, Config, Event, Node, Output, Security};
use p2piptv::reload::configuration::{Configuration, Document, DocumentErrorKind};
use p2piptv::reload::overlay::{self, LinkSecurity};
use p2piptv::time::Instant;
use std::net::SocketAddr;

const ME: InsecureIdentity = InsecureIdentity::new(NodeId([1; 16]));

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn config(document: &Document) -> Result<Config, (DocumentErrorKind, &'static str)> {
    let addresses = Addresses { overlay: at(1), signalling: at(2), media: at(3) };
    Config::from_document("alice", addresses, document.clone(), AT, &ME).map_err(|e| (e.kind, e.element))
}

fn events(node: &mut Node) -> Vec<Event> {
    let outputs = std::iter::from_fn(|| node.poll_output());
    outputs.filter_map(|o| if let Output::Event(event) = o { Some(event) } else { None }).collect()
}

fn member(document: &Document) -> Node {
    let mut node = Node::new(config(document).unwrap(), Box::new(Seeded::new(1)), Box::new(ME)).unwrap();
    node.handle_wall_clock(Instant::ZERO, AT);
    node.create(Instant::ZERO).unwrap();
    assert_eq!(events(&mut node), [Event::Joined]);
    node
}

#[test]
fn a_document_says_how_links_are_secured() {
    let of = |protocols: &[&str]| {
        let listed = protocols.iter().map(|p| (*p).to_owned()).collect();
        config(&signed(&Configuration { overlay_link_protocols: listed, ..version(1) }, 1))
    };
    let security = |protocols: &[&str]| of(protocols).map(|c| (c.security, c.overlay.security));
    assert_eq!(security(&[]), Ok((Security::Tls, LinkSecurity::Tls)));
    assert_eq!(security(&["DTLS-UDP-SR-NO-ICE"]), Ok((Security::Dtls, LinkSecurity::Dtls)));
    assert_eq!(security(&["DTLS-UDP-SR-NO-ICE", "TLS"]), Ok((Security::Tls, LinkSecurity::Tls)));
    assert_eq!(security(&["EXP-PROTOCOL", "TLS"]), Ok((Security::Tls, LinkSecurity::Tls)));
    assert_eq!(security(&["EXP-PROTOCOL"]), Ok((Security::InsecurePlain, LinkSecurity::InsecurePlain)));
    assert_eq!(
        of(&["CARRIER-PIGEON"]).unwrap_err(),
        (DocumentErrorKind::Unsupported, "overlay-link-protocol")
    );
    let config = of(&["EXP-PROTOCOL"]).unwrap();
    assert_eq!((config.overlay.overlay_name.as_str(), config.agent.domain.as_str()), (NAME, NAME));
}

#[test]
fn ce11_links_are_secured_by_certificates_and_a_document_that_wants_a_shared_secret_is_refused() {
    let secured = Configuration { overlay_link_protocols: vec!["TLS".to_owned()], ..version(1) };
    assert_eq!(config(&signed(&secured, 1)).map(|c| c.security), Ok(Security::Tls));
    let secret = Configuration { shared_secret: Some("sesame".to_owned()), ..secured };
    assert_eq!(config(&signed(&secret, 1)).unwrap_err(), (DocumentErrorKind::Unsupported, "shared-secret"));
}

#[test]
fn cf4_kinds_that_do_not_count_are_left_out() {
    let stranger = Configuration { kind_signers: vec![NodeId([9; 16])], ..version(1) };
    let document = signed(&stranger, 1);
    let config = overlay::Config::from_document(document, at(1), AT, &authority(1)).unwrap();
    assert!(config.kinds.is_empty());
}

#[test]
fn a_node_tells_its_host_of_a_new_document() {
    let mut node = member(&signed(&version(1), 1));
    let next = signed(&version(2), 1);
    let now = Instant::ZERO + seconds(1);
    node.reconfigure(now, next.clone()).unwrap();
    let told = Event::Reconfigured { sequence: 2, document: next.file().clone() };
    assert_eq!(events(&mut node), [told]);
    assert_eq!(node.reconfigure(now, next).unwrap_err().kind, DocumentErrorKind::NotNewer);
}

#[test]
fn cf5_links_are_not_made_another_way_while_a_node_runs() {
    let mut node = member(&signed(&version(1), 1));
    let secured = Configuration { overlay_link_protocols: vec!["TLS".to_owned()], ..version(2) };
    node.reconfigure(Instant::ZERO + seconds(1), signed(&secured, 1)).unwrap();
    let mut told = events(&mut node);
    for n in 2..20 {
        node.handle_timeout(Instant::ZERO + seconds(n));
        told.extend(events(&mut node));
    }
    let why = |e: &Event| match e {
        Event::Incompatible { sequence: 2, why, .. } => Some(why.element),
        _ => None,
    };
    assert_eq!(told.iter().find_map(why), Some("overlay-link-protocol"));
    assert_eq!(told.last(), Some(&Event::Left));
}
