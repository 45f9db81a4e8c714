//! How row ids stand in the names of tests, and in comments above them.

use std::collections::BTreeSet;

/// Marks of other lists, which may stand among the rows: promises, vectors, rules of the system, tests of the host.
const OTHER_LISTS: [&str; 5] = ["k", "v", "p", "q", "f"];

/// Whether this looks like an id: capitals, perhaps a number, a hyphen, a number.
pub fn is_id(text: &str) -> bool {
    let Some((family, n)) = text.rsplit_once('-') else { return false };
    let is_number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    let letters = family.trim_end_matches(|c: char| c.is_ascii_digit());
    is_number(n) && !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_uppercase())
}

/// `fh12` as its letters and its digits.
fn split(word: &str) -> Option<(&str, &str)> {
    let digits = word.find(|c: char| c.is_ascii_digit())?;
    let (letters, digits) = word.split_at(digits);
    let sound = !letters.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    sound.then_some((letters, digits))
}

/// The rows that a name begins with. A number behind `cu10` and `cs8` belongs to it, for these are families.
pub fn in_name(name: &str, known: &BTreeSet<String>) -> Vec<String> {
    let has_family =
        |family: &str| known.iter().any(|id| id.rsplit_once('-').is_some_and(|(f, _)| f == family));
    let mut words = name.split('_').peekable();
    let mut ids = Vec::new();
    while let Some(word) = words.next() {
        let Some((letters, digits)) = split(word) else { break };
        let upper = word.to_uppercase();
        let row = words.peek().filter(|w| has_family(&upper) && w.bytes().all(|b| b.is_ascii_digit()));
        if let Some(row) = row {
            ids.push(format!("{upper}-{row}"));
            words.next();
        } else if has_family(&letters.to_uppercase()) {
            ids.push(format!("{}-{digits}", letters.to_uppercase()));
        } else if !OTHER_LISTS.contains(&letters) {
            break;
        }
    }
    ids
}

/// The rows of a comment `// Covers: FH-1, FH-2`.
fn in_comment(line: &str) -> Option<Vec<String>> {
    let list = line.trim_start_matches('/').trim().strip_prefix("Covers:")?;
    let ids = list.split([',', ' ', '.']).filter(|word| !word.is_empty());
    Some(ids.map(str::to_owned).collect())
}

/// The tests of a file, and the rows that each covers.
pub fn tests(text: &str, known: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
    let mut tests = Vec::new();
    let (mut comment, mut attribute, mut laws) = (Vec::new(), false, false);
    for line in text.lines() {
        let code = line.trim();
        if line.trim_end().ends_with("quickcheck! {") {
            laws = true;
        } else if line == "}" {
            laws = false;
        }
        if let Some(name) = code.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
            if attribute || laws {
                let mut ids = in_name(name, known);
                ids.append(&mut comment);
                tests.push((name.to_owned(), ids));
            }
            (comment, attribute) = (Vec::new(), false);
        } else if code == "#[test]" {
            attribute = true;
        } else if let Some(mut ids) = in_comment(code).filter(|_| code.starts_with("//")) {
            comment.append(&mut ids);
        } else if !code.starts_with("//") && !code.starts_with("#[") {
            (comment, attribute) = (Vec::new(), false);
        }
    }
    tests
}

#[cfg(test)]
mod examples {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["FH-1", "FH-5", "CU-1", "CU-6", "CU10-4", "CU10-15", "CS-1", "CS8-1"].map(str::to_owned).into()
    }

    fn named(name: &str) -> String {
        in_name(name, &known()).join(" ")
    }

    #[test]
    fn a_name_begins_with_its_rows() {
        assert_eq!(named("fh1_fh5_the_ttl"), "FH-1 FH-5");
        assert_eq!(named("k8_v5_fh1_bounded"), "FH-1");
        assert_eq!(named("fh1_the_cs1_is_not_first"), "FH-1");
        assert_eq!(named("u16_at"), "");
        assert_eq!(named("ipv6_addresses"), "");
        assert_eq!(named("a_name_without_rows"), "");
    }

    #[test]
    fn cu10_is_a_family_and_cu1_is_a_row() {
        assert_eq!(named("cu10_4_cu10_15_cu1_replicas_wait"), "CU10-4 CU10-15 CU-1");
        assert_eq!(named("cs8_1_cs1_certificates"), "CS8-1 CS-1");
        assert_eq!(named("cu10_replicas"), "CU-10", "which does not exist, and is told");
        assert_eq!(named("fh77_nothing"), "FH-77");
    }

    #[test]
    fn tests_are_found_with_their_comments_and_helpers_are_not() {
        let text = "
// Covers: FH-1, CS-1
#[test]
#[should_panic]
fn one() {
}
fn fh5_helper() {}
quickcheck! {
    // Covers: CU-6.
    fn fh5_law(seed: u64) -> bool {
        true
    }
}
fn fh1_helper() {}
// Covers: FH-5
const X: u8 = 1;
#[test]
fn two() {}
";
        let expected = [("one", "FH-1 CS-1"), ("fh5_law", "FH-5 CU-6"), ("two", "")];
        let found = tests(text, &known());
        let found: Vec<_> = found.iter().map(|(name, ids)| (name.as_str(), ids.join(" "))).collect();
        assert_eq!(found, expected.map(|(name, ids)| (name, ids.to_owned())));
    }

    #[test]
    fn an_id_is_capitals_and_a_number() {
        assert!(is_id("FH-1") && is_id("CU10-15"));
        assert!(!is_id("codec") && !is_id("FH-") && !is_id("fh-1") && !is_id("10-1"));
    }
}
