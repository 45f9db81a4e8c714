//! Every seed and every find of the fuzz targets, through the same functions that the fuzzer calls.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

use p2piptv::fuzzing;
use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Long files would only repeat their middle.
const EVERY_BYTE: usize = 700;
/// A certificate is checked by costly arithmetic.
const SOME: usize = 100;
/// A script of a whole world takes a while; in it a few places have to do.
const FEW: usize = 2;

/// Runs a target over its corpus, its regressions and further folders; and over each file cut short at every byte, and
/// with every byte spoilt, as the first steps of a fuzzer would have it. `most` bytes of a file are tried so.
fn replay(target: &str, run: fn(&[u8]), most: usize, further: &[&str]) {
    let corpus = files(&format!("fuzz/corpus/{target}"));
    assert!(!corpus.is_empty(), "{target} has no seeds");
    let regressions = files(&format!("fuzz/regressions/{target}"));
    for file in corpus.into_iter().chain(regressions).chain(further.iter().flat_map(|folder| files(folder))) {
        // Shown when the test fails.
        println!("{}", file.display());
        let mut bytes = fs::read(&file).unwrap();
        run(&bytes);
        let stride = if most < EVERY_BYTE { bytes.len().div_ceil(most).max(1) } else { 1 };
        for at in (0..bytes.len()).step_by(stride).take(most) {
            run(&bytes[..at]);
            bytes[at] ^= 0xff;
            run(&bytes);
            bytes[at] ^= 0xff;
        }
    }
}

macro_rules! targets {
    ($($name:ident at $most:ident $(with $($folder:literal),*)?;)*) => {
        $(#[test] fn $name() { replay(stringify!($name), fuzzing::$name, $most, &[$($($folder),*)?]); })*

        #[test]
        fn every_corpus_has_a_target() {
            const TARGETS: &[&str] = &[$(stringify!($name)),*];
            for folder in files("fuzz/corpus").into_iter().chain(files("fuzz/regressions")) {
                let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                assert!(TARGETS.contains(&name), "nothing replays {}", folder.display());
            }
        }
    };
}

targets! {
    reload_frame at EVERY_BYTE;
    reload_message at EVERY_BYTE;
    configuration at EVERY_BYTE with "tests/data/configuration";
    sip_message at EVERY_BYTE with "tests/data/sip/rfc4475", "tests/data/sip/rfc5118", "tests/data/sip/rfc5118-repaired";
    sip_stream at EVERY_BYTE;
    sdp at EVERY_BYTE;
    iptv_body at EVERY_BYTE;
    rtp at EVERY_BYTE;
    srtcp at EVERY_BYTE;
    certificate at SOME;
    node_ops at EVERY_BYTE;
    media_world at FEW;
    node_world at FEW;
    secured_world at FEW;
}
