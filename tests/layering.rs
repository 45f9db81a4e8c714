//! The layers of the library, as its `use` lines and paths draw them.
//!
//! Every `crate::x::y` (and every `super::` that leads out of its folder) in `src` is read and judged by [`RULES`].
//! Tests inside of `src` may use what they like, so a file is read up to its first `#[cfg(test)]`.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What lies below everything of ours, and may be used by every layer.
const GROUND: &[&str] = &["wire", "time", "bounded", "env", "ids", "stats", "effect"];

/// Modules (the longest matching line counts) and what they may use beside themselves and what is inside of them.
const RULES: &[(&str, &[&str])] = &[
    // The ground floor: nothing of ours, but each other.
    ("wire", GROUND),
    ("time", GROUND),
    ("bounded", GROUND),
    ("env", GROUND),
    ("ids", GROUND),
    ("stats", GROUND),
    ("effect", GROUND),
    // Codecs: bytes and values; no state, no time.
    // Signer and Signed are the values of §6.3.4 that a lent identity makes and judges.
    ("reload::codec", &["wire", "ids", "time::UnixMillis", "env::Signer", "env::Signed"]),
    ("sip::msg", &["wire", "ids"]),
    ("sip::sdes", &["wire", "ids"]),
    ("sip::sdp", &["sip::sdes", "wire", "ids"]),
    ("sip::body", &["wire", "ids"]),
    ("rtp::header", &["wire", "ids"]),
    ("rtp::mp2t", &["wire", "ids"]),
    // Machines: their own plane and the ground floor; one plane does not know another.
    ("reload", GROUND),
    ("sip", GROUND),
    ("rtp", GROUND),
    ("chord", &["reload", "wire", "time", "bounded", "env", "ids", "stats", "effect"]),
    // Beneath the planes: what they read was ciphertext.
    ("secure", GROUND),
    // Beneath the planes. Of RELOAD it knows the names and numbers that stand in certificates and signatures.
    ("tls", &["reload::codec", "wire", "time", "bounded", "env", "ids", "stats"]),
    // Policy: no bytes, no addresses.
    ("iptv", &["time", "bounded", "ids", "env"]),
    // The one place that wires things.
    (
        "node",
        &[
            "reload", "chord", "sip", "rtp", "secure", "iptv", "wire", "time", "bounded", "env", "ids",
            "stats", "effect",
        ],
    ),
    // Around the node.
    ("sim", &["node", "iptv", "wire", "time", "bounded", "env", "ids", "stats"]),
    // Overlays without a node around them.
    ("sim::overlay", &["reload", "chord", "sim", "wire", "time", "bounded", "env", "ids", "stats", "effect"]),
    (
        "fuzzing",
        &[
            "node", "reload", "chord", "sip", "rtp", "tls", "iptv", "sim", "wire", "time", "bounded", "env",
            "ids", "stats", "effect",
        ],
    ),
];

/// The line that judges a module: the longest that holds it, so that a codec is judged by its own and not by its
/// plane's.
fn rule_for(module: &str) -> Option<(&'static str, &'static [&'static str])> {
    RULES.iter().filter(|(of, _)| is_inside(module, of)).max_by_key(|(of, _)| of.len()).copied()
}

/// Whether `path` is `module` or something in it.
fn is_inside(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a module refers to: a line number and a path from the crate's root.
fn references(module: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"])
        .collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (root, _) in code.match_indices("crate::") {
        // `pub(in crate::sip)` says who may look in, not who is used.
        if !code[..root].ends_with(is_word) && !code[..root].ends_with("(in ") {
            paths(&code, root + "crate::".len(), "", &mut found);
        }
    }
    let parent = |path: &str| path.rsplit_once("::").map_or(String::new(), |(up, _)| up.to_owned());
    for (start, _) in code.match_indices("super::") {
        if code[..start].ends_with("super::") || code[..start].ends_with(is_word) {
            continue;
        }
        let (mut at, mut base) = (start, module.to_owned());
        while code[at..].starts_with("super::") {
            (at, base) = (at + "super::".len(), parent(&base));
        }
        paths(&code, at, &base, &mut found);
    }
    let line = |at: usize| code[..at].matches('\n').count() + 1;
    found.into_iter().map(|(at, path)| (line(at), path)).collect()
}

/// Reads the path at `at`, and every path of a `{list}` that it ends in.
fn paths(code: &str, at: usize, base: &str, found: &mut Vec<(usize, String)>) {
    let join = |name: &str| if base.is_empty() { name.to_owned() } else { format!("{base}::{name}") };
    let rest = &code[at..];
    if let Some(list) = rest.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (i, c) in list.char_indices() {
            if depth == 0 && (c == ',' || c == '}') {
                let item = &list[start..i];
                let blank = item.len() - item.trim_start().len();
                if !item.trim().is_empty() {
                    paths(code, at + 1 + start + blank, base, found);
                }
                start = i + 1;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => return,
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let after = at + name.len();
    match name.as_str() {
        "" | "self" => found.push((at, base.to_owned())),
        _ if code[after..].starts_with("::") => paths(code, after + 2, &join(&name), found),
        _ => found.push((at, join(&name))),
    }
}

fn violations(module: &str, text: &str) -> Vec<(usize, String)> {
    let Some((of, allowed)) = rule_for(module) else {
        return vec![(0, format!("`{module}` has no line in RULES; say what it may use"))];
    };
    let plane = of.split("::").next().unwrap_or(of);
    references(module, text)
        .into_iter()
        .filter(|(_, path)| {
            // Its own part of the tree; a codec stands at the bottom of its plane, so the plane's machines are above.
            let own = is_inside(path, of) || (is_inside(path, plane) && is_codec(path) && is_codec(module));
            !path.is_empty() && !own && !allowed.iter().any(|allowed| is_inside(path, allowed))
        })
        .map(|(line, path)| {
            (line, format!("`{of}` may not use `{path}`, only {allowed:?} and what is inside of it"))
        })
        .collect()
}

/// Whether a module has a line of its own below its plane's.
fn is_codec(path: &str) -> bool {
    rule_for(path).is_some_and(|(of, _)| of.contains("::"))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn no_module_uses_what_lies_above_or_beside_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files.sort();
    assert!(files.len() > 10, "src was not found");
    let mut complaints = String::new();
    for file in files {
        let name = file.strip_prefix(&src).unwrap().with_extension("");
        let parts: Vec<&str> = name.iter().filter_map(|p| p.to_str()).filter(|p| *p != "mod").collect();
        let module = parts.join("::");
        if module == "lib" {
            continue;
        }
        for (line, complaint) in violations(&module, &fs::read_to_string(&file).unwrap()) {
            writeln!(complaints, "src/{}.rs:{line}: {complaint}", name.display()).unwrap();
        }
    }
    assert!(complaints.is_empty(), "the layers are crossed:\n{complaints}");
}

#[test]
fn a_crossed_layer_is_seen_however_it_is_written() {
    for (module, text) in [
        ("rtp::relay", "use crate::sip::msg::Method;"),
        ("rtp::relay", "use crate::{time::Instant, iptv};"),
        ("rtp::relay", "use crate::{\n    time::{Duration, Instant},\n    sip::{self, msg},\n};"),
        ("rtp::relay", "fn f() -> crate::node::Event {}"),
        ("rtp::relay", "use super::super::node::Event;"),
        ("rtp::relay", "use super::super::super::node::Event;"),
        ("reload::overlay", "use crate::chord::Ring;"),
        ("reload::codec::header", "use crate::time::Instant;"),
        ("reload::codec::header", "use crate::reload::link::Link;"),
        ("reload::codec::header", "use super::super::link::Link;"),
        ("iptv::election", "use crate::stats::Plane;"),
        ("wire::reader", "use crate::node::Output;"),
        ("sim::network", "use crate::sip::agent::Agent;"),
        ("newcomer", ""),
    ] {
        assert!(!violations(module, text).is_empty(), "{module}: {text}");
    }
}

#[test]
fn what_is_allowed_passes() {
    for (module, text) in [
        (
            "rtp::relay",
            "use crate::{bounded::BoundedMap, time::{Duration, Instant}};\nuse super::header::Rtp;",
        ),
        ("rtp::relay", "//! [`crate::node::Node`] is above\n// use crate::sip::msg;"),
        ("rtp::relay", "#[cfg(test)]\nmod tests { use crate::sip::msg; }"),
        ("reload::codec::header", "use crate::time::UnixMillis;\nuse super::lists::Destination;"),
        ("sip::body", "use crate::sip::msg::Uri;"),
        ("chord::ring", "use crate::reload::topology::Topology;"),
        ("node", "use crate::{iptv, reload, rtp, sip};\nmod api;\npub use api::*;"),
        ("iptv", "my_crate::sip::f(); self::x::y();"),
        ("sip::msg", "pub(in crate::sip) fn f() {}"),
    ] {
        assert_eq!(violations(module, text), [], "{module}: {text}");
    }
}
