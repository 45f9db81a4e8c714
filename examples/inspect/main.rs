//! Dissects one message.
//!
//! ```text
//! cargo run --example inspect -- HEX [--json] [--reencode]
//! cargo run --example inspect -- FILE [--json] [--reencode]
//! ```
//!
//! HEX is a RELOAD message, bare (d2...) or in its frame (80..., 81...); blanks are skipped. Every field is printed under
//! its name in RFC 6940. FILE (`-` is the standard input) holds one SIP message; its headers are printed with their typed
//! parts, and a session description or a body about the tree field by field.
//!
//! Where the bytes are wrong the offset, the field and the reason are printed too, and the exit status is 1. `--reencode`
//! prints what this library's encoder makes of the message, as hex alone on the last line.

#![allow(unreachable_pub)]

mod reload;
mod report;
mod sip;

use lexopt::prelude::{Long, Value, ValueExt};
use p2piptv::ids::bytes_from_hex;
use report::{Report, hex};
use std::io::Read as _;
use std::process::ExitCode;

const USAGE: &str = "usage: inspect HEX | FILE | - [--json] [--reencode]";

struct Arguments {
    input: String,
    json: bool,
    reencode: bool,
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut input, mut json, mut reencode) = (String::new(), false, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => json = true,
            Long("reencode") => reencode = true,
            // Hexadecimal digits may come in several arguments.
            Value(digits) => input.push_str(&digits.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if input.is_empty() { Err("nothing to inspect".into()) } else { Ok(Arguments { input, json, reencode }) }
}

/// Hexadecimal digits and blanks alone are a RELOAD message; anything else names a file with a SIP message.
fn inspect(input: &str) -> Result<Report, String> {
    if input.chars().all(|c| c.is_ascii_hexdigit() || c.is_whitespace()) {
        let bytes = bytes_from_hex(input).ok_or("not an even number of hexadecimal digits")?;
        return Ok(reload::dissect(&bytes.into()));
    }
    let mut bytes = Vec::new();
    let read = match input {
        "-" => std::io::stdin().read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|e| format!("{input}: {e}"))?;
    Ok(sip::dissect(&bytes.into()))
}

fn main() -> ExitCode {
    let asked = arguments().map_err(|e| e.to_string());
    let done = asked.and_then(|arguments| Ok((inspect(&arguments.input)?, arguments)));
    let (report, Arguments { json, reencode, .. }) = match done {
        Ok(done) => done,
        Err(e) => {
            eprintln!("{e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    print!("{}", if json { report.to_json() } else { report.to_text() });
    if let (true, Some(bytes)) = (reencode, &report.reencoded) {
        println!("{}", hex(bytes));
    }
    if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
