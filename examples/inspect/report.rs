//! What is said about a message: fields with names, and where its bytes are wrong; as text or as JSON.

use p2piptv::wire::DecodeError;
use std::fmt::{self, Write};

/// A named field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    name: &'static str,
    value: Value,
}

/// What a field holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number, with the name that a registry gives it.
    Number(u64, Option<&'static str>),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The fields of a structure.
    Structure(Vec<Field>),
    /// The elements of a list.
    List(Vec<Value>),
}

/// Everything about one message.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its fields, as far as they could be read.
    pub fields: Vec<Field>,
    /// What is wrong, with offsets from the start of the input.
    pub errors: Vec<DecodeError>,
    /// What the encoder makes of what was read, when everything was.
    pub reencoded: Option<Vec<u8>>,
}

impl Field {
    pub fn new(name: &'static str, value: impl Into<Value>) -> Self {
        Field { name, value: value.into() }
    }
}

/// `impl From<$type> for Value`, as a variant.
macro_rules! values {
    ($($type:ty: $value:ident => $variant:expr,)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $variant
            }
        }
    )*};
}

values! {
    u8: n => Value::Number(n.into(), None),
    u16: n => Value::Number(n.into(), None),
    u32: n => Value::Number(n.into(), None),
    u64: n => Value::Number(n, None),
    bool: b => Value::Bool(b),
    &str: text => Value::Text(text.into()),
    String: text => Value::Text(text),
    &[u8]: bytes => Value::Bytes(bytes.into()),
    &bytes::Bytes: bytes => Value::Bytes(bytes.to_vec()),
    Vec<Field>: fields => Value::Structure(fields),
    Vec<Value>: elements => Value::List(elements),
}

impl Report {
    /// One line for each field, indented by depth; then what is wrong.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.fields.iter().for_each(|field| text_line(&mut out, 0, field.name, &field.value));
        for e in &self.errors {
            let _ = writeln!(out, "error: {e}");
        }
        out
    }

    /// One object: `fields`, and `errors` as a list of objects with `offset`, `field` and `reason`.
    pub fn to_json(&self) -> String {
        let errors = self.errors.iter().map(|e| {
            Value::Structure(vec![
                Field::new("offset", e.offset as u64),
                Field::new("field", e.field),
                Field::new("reason", e.kind.to_string()),
            ])
        });
        let report = Value::Structure(vec![
            Field::new("fields", self.fields.clone()),
            Field::new("errors", errors.collect::<Vec<Value>>()),
        ]);
        format!("{}\n", Json(&report))
    }
}

fn text_line(out: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    let _ = match value {
        Value::Number(n, None) => writeln!(out, "{indent}{name}: {n}"),
        Value::Number(n, Some(meaning)) => writeln!(out, "{indent}{name}: {n:#x} ({meaning})"),
        Value::Bool(b) => writeln!(out, "{indent}{name}: {b}"),
        Value::Text(text) => writeln!(out, "{indent}{name}: {text:?}"),
        Value::Bytes(bytes) => writeln!(out, "{indent}{name}: [{}] {}", bytes.len(), hex(bytes)),
        Value::Structure(_) => writeln!(out, "{indent}{name}:"),
        Value::List(elements) => writeln!(out, "{indent}{name}: {} elements", elements.len()),
    };
    match value {
        Value::Structure(fields) => fields.iter().for_each(|f| text_line(out, depth + 1, f.name, &f.value)),
        Value::List(elements) => elements.iter().for_each(|e| text_line(out, depth + 1, "-", e)),
        _ => (),
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// A value as JSON (RFC 8259). Numbers with a name become objects of both; bytes become hexadecimal strings; numbers
/// beyond 2^53 become strings, because many readers would round them.
struct Json<'a>(&'a Value);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Number(n, Some(name)) => write!(f, "{{\"value\":{n},\"name\":{}}}", JsonText(name)),
            Value::Number(n, None) if *n > 1 << 53 => write!(f, "\"{n}\""),
            Value::Number(n, None) => write!(f, "{n}"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Text(text) => write!(f, "{}", JsonText(text)),
            Value::Bytes(bytes) => write!(f, "\"{}\"", hex(bytes)),
            Value::Structure(fields) => {
                f.write_char('{')?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{}", JsonText(field.name), Json(&field.value))?;
                }
                f.write_char('}')
            }
            Value::List(elements) => {
                f.write_char('[')?;
                for (i, element) in elements.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}", Json(element))?;
                }
                f.write_char(']')
            }
        }
    }
}

struct JsonText<'a>(&'a str);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_json_must_escape() {
        let report = Report { fields: vec![Field::new("text", "a\"b\\c\r\u{1}ä")], ..Report::default() };
        let expected = r#"{"fields":{"text":"a\"b\\c\u000d\u0001ä"},"errors":[]}"#;
        assert_eq!(report.to_json(), format!("{expected}\n"));
    }

    #[test]
    fn json_keeps_numbers_exact_and_lists_in_order() {
        let list = Value::List(vec![(u64::MAX).into(), 7u8.into(), Value::Number(3, Some("srflx"))]);
        let report = Report { fields: vec![Field::new("n", list)], ..Report::default() };
        let expected =
            r#"{"fields":{"n":["18446744073709551615",7,{"value":3,"name":"srflx"}]},"errors":[]}"#;
        assert_eq!(report.to_json(), format!("{expected}\n"));
    }
}
