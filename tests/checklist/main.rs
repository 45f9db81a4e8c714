//! Which rules of RFC 6940 have a test, by the names of the tests themselves.
//!
//! | file | what |
//! | --- | --- |
//! | `rows.txt` | every rule: its id, its section, one line |
//! | `covered.txt` | the ids that had a test when this was last written down; none of them may lose it |
//! | `names.rs` | how ids stand in names |
//!
//! # How a test says what it covers
//!
//! Its name begins with the rows, small and without the hyphen: `fh5_fh7_the_ttl_decides` covers FH-5 and FH-7,
//! `cu10_4_replicas_wait` covers CU10-4, `cs8_1_certificates_are_stored` CS8-1. Marks of other lists may stand between
//! them (`v5_sb6_...`, `k8_lr3_...`); the first other word ends the list. Where a name would become too long, a comment
//! right above the test does the same:
//!
//! ```text
//! // Covers: ST-7, ST-8, ST-9
//! #[test]
//! fn generations_count_up() {
//! ```
//!
//! A test covers a row when it would fail without the rule. `src` and `tests` are read; functions in `quickcheck!` count
//! as well as those under `#[test]`.
//!
//! A row that loses its last test fails this one, and so does a name with a row that does not exist. New rows are
//! printed, and written down by
//!
//!     CHECKLIST=write cargo test --test checklist
//!
//! Rows that are left out with a reason stand in the documentation of `p2piptv::reload`, and nowhere else.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The ids of `rows.txt` in its order, with section and rule.
fn rows() -> Vec<(String, String)> {
    let text = read("tests/checklist/rows.txt");
    let rows = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    rows.map(|row| {
        let (id, rest) = row.split_once(" | ").unwrap_or_else(|| panic!("{row}"));
        let (section, rule) = rest.split_once(" | ").unwrap_or_else(|| panic!("{row}"));
        assert!(section.contains('§') || section == "choice", "{row}");
        (id.to_owned(), format!("{section}: {rule}"))
    })
    .collect()
}

/// The rows that are left out: the table of the crate's documentation.
fn left_out() -> Vec<String> {
    let text = read("src/reload/mod.rs");
    let table = text.lines().filter_map(|l| l.strip_prefix("//! | ")?.split_once(" | "));
    let ids = table.map(|(id, _)| id.trim()).filter(|id| names::is_id(id));
    ids.map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        if path.ends_with("tests/checklist") {
            // Its examples cover nothing.
        } else if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every row with the tests that name it.
fn covered() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests"), &mut files);
    files.sort();
    let known: BTreeSet<String> = rows().into_iter().map(|(id, _)| id).collect();
    let (mut covered, mut unknown) = (BTreeMap::<String, Vec<String>>::new(), String::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for (test, ids) in names::tests(&text, &known) {
            for id in ids {
                if known.contains(&id) {
                    covered.entry(id).or_default().push(test.clone());
                } else {
                    writeln!(unknown, "{}: {test}: there is no row {id}", file.display()).expect("a String");
                }
            }
        }
    }
    assert!(unknown.is_empty(), "\n{unknown}");
    covered
}

/// A family of rows in one line: `FH 1 2 4`.
fn folded<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut family = "";
    for id in ids {
        let (of, n) = id.rsplit_once('-').expect("an id");
        if of != family {
            text.push_str(if family.is_empty() { "" } else { "\n" });
            text.push_str(of);
            family = of;
        }
        write!(text, " {n}").expect("a String");
    }
    text + "\n"
}

fn unfolded(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|l| l.split_once(' '));
    lines.flat_map(|(family, ns)| ns.split(' ').map(move |n| format!("{family}-{n}"))).collect()
}

#[test]
fn no_row_loses_its_last_test() {
    let (rows, covered, left_out) = (rows(), covered(), left_out());
    let now: Vec<&str> =
        rows.iter().map(|(id, _)| id.as_str()).filter(|id| covered.contains_key(*id)).collect();
    if std::env::var("CHECKLIST").is_ok_and(|v| v == "write") {
        fs::write(root().join("tests/checklist/covered.txt"), folded(now.iter().copied()))
            .expect("a writable file");
    }
    let before = unfolded(&read("tests/checklist/covered.txt"));
    println!("{} of {} rows have a test, {} are left out.", now.len(), rows.len(), left_out.len());
    for (id, rule) in rows.iter().filter(|(id, _)| !covered.contains_key(id) && !left_out.contains(id)) {
        println!("  without a test: {id} {rule}");
    }
    for id in now.iter().filter(|id| !before.iter().any(|b| b == *id)) {
        println!("  new: {id} ({}); write it down with CHECKLIST=write", covered[*id].join(", "));
    }
    let lost: Vec<&String> = before.iter().filter(|id| !covered.contains_key(*id)).collect();
    assert!(lost.is_empty(), "no test names these rows any more: {lost:?}");
}

#[test]
fn what_is_left_out_exists_and_has_no_test() {
    let (rows, covered) = (rows(), covered());
    let left_out = left_out();
    assert!(!left_out.is_empty(), "the documentation of p2piptv::reload lists what is left out");
    for id in left_out {
        assert!(rows.iter().any(|(row, _)| *row == id), "{id} is no row");
        assert!(!covered.contains_key(&id), "{id} is not left out: {:?}", covered.get(&id));
    }
}

#[test]
fn every_row_has_an_id_of_its_own() {
    let ids: Vec<String> = rows().into_iter().map(|(id, _)| id).collect();
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
    assert!(ids.iter().all(|id| names::is_id(id)));
    assert_eq!(unfolded(&folded(ids.iter().map(String::as_str))), ids);
}
