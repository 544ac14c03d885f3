//! OTLP JSON in, protobuf out, in one walk over the text.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::lexer::{Lexer, Problem};
use super::number::{double, integer, number_length};
use super::schema::{Enum, Field, Kind, Message, REQUEST};
use crate::VALUE_DEPTH_MAX;
use crate::wire::{
    put_bytes_field, put_fixed32_field, put_fixed64_field, put_varint, put_varint_field,
};

/// Why a text is no OTLP JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem} (line {line}, column {column})", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field, such as `resourceSpans[0].scopeSpans[0].spans[3].name`; empty for the document.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

/// The protobuf bytes of an `ExportTraceServiceRequest` or `TracesData` that `document` holds as
/// OTLP JSON.
///
/// As lenient as protobuf's own JSON readers: names in lowerCamelCase or as in the `.proto` file;
/// unknown fields ignored, whatever they hold; integers as numbers or strings, `1.5e3` too;
/// enumerations as numbers or names; base64 of either alphabet with or without padding; `null`
/// for an absent field. More lenient in that a field may come twice (the last counts, lists are
/// joined), half a surrogate pair becomes U+FFFD and a `null` in a list is an empty element.
///
/// An id of the wrong length keeps it, and one that is no hexadecimal text becomes a single byte,
/// so that [`SpanBatch::decode`](crate::SpanBatch::decode) leaves out that span alone. So it does
/// with attribute values that are nested deeper than [`VALUE_DEPTH_MAX`], of which one level more
/// is written.
///
/// # Errors
/// What is no JSON, not valid UTF-8, or has a known field of the wrong type.
pub fn decode(document: &[u8]) -> Result<Vec<u8>, JsonError> {
    let text = match simdutf8::compat::from_utf8(document) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let before = std::str::from_utf8(&document[..at]).unwrap_or_default();
            let what = "this byte is not valid UTF-8".to_owned();
            return Err(locate(before, &[], Problem { at: before.len(), what }));
        }
    };
    // Some editors and PowerShell begin a file with a byte order mark; RFC 8259 section 8.1 lets
    // readers ignore it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut decoder = Decoder {
        lexer: Lexer::new(text),
        // OTLP JSON is at least twice as long as its protobuf.
        out: Vec::with_capacity(document.len() / 2),
        path: Vec::new(),
        value_depth: 0,
    };
    match decoder.document() {
        Ok(()) => Ok(decoder.out),
        Err(problem) => Err(locate(text, &decoder.path, problem)),
    }
}

enum Segment {
    Field(&'static str),
    Index(usize),
}

fn locate(text: &str, path: &[Segment], problem: Problem) -> JsonError {
    let before = &text[..problem.at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Field(name) => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(name);
            }
            Segment::Index(index) => place.push_str(&format!("[{index}]")),
        }
    }
    JsonError {
        line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
        column: 1 + before[line_start..].chars().count(),
        path: place,
        problem: problem.what,
    }
}

/// SDKs and people write either alphabet, with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

struct Decoder<'a> {
    lexer: Lexer<'a>,
    out: Vec<u8>,
    /// Where the lexer is. Not unwound on an error, which it then locates.
    path: Vec<Segment>,
    value_depth: usize,
}

impl Decoder<'_> {
    fn document(&mut self) -> Result<(), Problem> {
        if self.lexer.peek().is_none() {
            let what = "the body is empty; an empty request is {}".to_owned();
            return Err(Problem { at: self.lexer.position(), what });
        }
        self.message(&REQUEST)?;
        self.lexer.end()
    }

    /// Appends the content of a message.
    fn message(&mut self, schema: &'static Message) -> Result<(), Problem> {
        if schema.nests && self.value_depth == VALUE_DEPTH_MAX {
            return self.lexer.skip();
        }
        self.value_depth += usize::from(schema.nests);
        self.lexer.open(b'{', "an object")?;
        let mut first = true;
        let mut hint = 0;
        while let Some(name) = self.lexer.key(&mut first)? {
            match schema.by_name(&name, &mut hint) {
                Some(field) => {
                    self.path.push(Segment::Field(field.json));
                    self.field(field)?;
                    self.path.pop();
                }
                None => self.lexer.skip()?,
            }
        }
        self.value_depth -= usize::from(schema.nests);
        Ok(())
    }

    fn field(&mut self, field: &'static Field) -> Result<(), Problem> {
        if self.lexer.null()? {
            return Ok(());
        }
        if !field.repeated {
            return self.value(field);
        }
        self.lexer.open(b'[', "an array")?;
        let mut first = true;
        let mut index = 0;
        while self.lexer.element(&mut first)? {
            self.path.push(Segment::Index(index));
            if self.lexer.null()? {
                // Dropped, it would shift the elements of an attribute's array.
                put_bytes_field(&mut self.out, field.number, &[]);
            } else {
                self.value(field)?;
            }
            self.path.pop();
            index += 1;
        }
        Ok(())
    }

    /// Appends a field. Default values too: they overwrite what came before under the same name.
    fn value(&mut self, field: &'static Field) -> Result<(), Problem> {
        let number = field.number;
        match field.kind {
            Kind::Message(schema) => {
                put_varint(&mut self.out, u64::from(number) << 3 | 2);
                let at = self.out.len();
                self.out.push(0);
                self.message(schema)?;
                set_length(&mut self.out, at);
            }
            Kind::Text => {
                let text = self.lexer.string()?;
                put_bytes_field(&mut self.out, number, text.as_bytes());
            }
            Kind::Id => {
                if self.lexer.peek() != Some(b'"') {
                    return Err(self.lexer.expected("a string of hexadecimal digits"));
                }
                let text = self.lexer.string()?;
                put_id(&mut self.out, number, text.as_bytes());
            }
            Kind::Bytes => {
                let bytes = self.base64()?;
                put_bytes_field(&mut self.out, number, &bytes);
            }
            Kind::Bool => {
                let value = self.lexer.boolean()?;
                put_varint_field(&mut self.out, number, u64::from(value));
            }
            Kind::Fixed64 => {
                let value = self.integer("an unsigned 64-bit integer")?;
                put_fixed64_field(&mut self.out, number, value);
            }
            Kind::Int64 => {
                let value: i64 = self.integer("a signed 64-bit integer")?;
                put_varint_field(&mut self.out, number, value as u64);
            }
            Kind::Fixed32 => {
                let value = self.integer("an unsigned 32-bit integer")?;
                put_fixed32_field(&mut self.out, number, value);
            }
            Kind::Uint32 => {
                let value: u32 = self.integer("an unsigned 32-bit integer")?;
                put_varint_field(&mut self.out, number, u64::from(value));
            }
            Kind::Double => {
                let value = self.double()?;
                put_fixed64_field(&mut self.out, number, value.to_bits());
            }
            Kind::Enum(names) => {
                let value = self.enumeration(names)?;
                put_varint_field(&mut self.out, number, value as u64);
            }
        }
        Ok(())
    }

    fn integer<T: TryFrom<i128>>(&mut self, what: &str) -> Result<T, Problem> {
        let at = self.lexer.position();
        let value = match self.lexer.peek() {
            Some(b'"') => {
                let text = self.lexer.string()?;
                is_number(&text).then(|| integer(&text)).flatten()
            }
            Some(b'-' | b'0'..=b'9') => integer(self.lexer.number()?),
            _ => None,
        };
        value
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| self.lexer.expected_at(at, what))
    }

    fn double(&mut self) -> Result<f64, Problem> {
        let at = self.lexer.position();
        let value = match self.lexer.peek() {
            Some(b'"') => match &*self.lexer.string()? {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                text => is_number(text).then(|| double(text)).flatten(),
            },
            Some(b'-' | b'0'..=b'9') => double(self.lexer.number()?),
            _ => None,
        };
        value.ok_or_else(|| self.lexer.expected_at(at, "a 64-bit floating-point number"))
    }

    /// The number of an enumeration's value, as a varint holds it: sign-extended.
    fn enumeration(&mut self, names: &Enum) -> Result<i64, Problem> {
        let at = self.lexer.position();
        let value = match self.lexer.peek() {
            Some(b'"') => {
                let text = self.lexer.string()?;
                match names.names.iter().position(|name| *name == text) {
                    Some(number) => Some(number as i128),
                    None => is_number(&text).then(|| integer(&text)).flatten(),
                }
            }
            Some(b'-' | b'0'..=b'9') => integer(self.lexer.number()?),
            _ => None,
        };
        value.and_then(|value| i32::try_from(value).ok()).map(i64::from).ok_or_else(|| {
            let what = format!("{}, a number or one of {}", names.what, names.names.join(", "));
            self.lexer.expected_at(at, &what)
        })
    }

    fn base64(&mut self) -> Result<Vec<u8>, Problem> {
        let at = self.lexer.position();
        if self.lexer.peek() != Some(b'"') {
            return Err(self.lexer.expected("base64 in a string"));
        }
        let text = self.lexer.string()?;
        let decoded = if text.contains(['-', '_']) {
            BASE64.decode(text.replace('-', "+").replace('_', "/"))
        } else {
            BASE64.decode(text.as_bytes())
        };
        decoded.map_err(|_| self.lexer.expected_at(at, "base64 in a string"))
    }
}

fn is_number(text: &str) -> bool {
    number_length(text.as_bytes(), true) == Some(text.len())
}

/// Appends an id's bytes. One that is no hexadecimal text becomes a byte, which no id has: the
/// decoder then rejects that span and no other.
fn put_id(out: &mut Vec<u8>, number: u32, text: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    let start = out.len();
    put_varint(out, text.len() as u64 / 2);
    let (pairs, odd) = text.as_chunks::<2>();
    let mut bad = !odd.is_empty();
    for [high, low] in pairs {
        match (hexadecimal(*high), hexadecimal(*low)) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => bad = true,
        }
    }
    if bad {
        out.truncate(start);
        out.extend_from_slice(&[1, 0]);
    }
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// Sets the length of a message that ends here, for which one byte was left at `at`. Most are
/// shorter than 128 bytes and stay where they are.
fn set_length(out: &mut Vec<u8>, at: usize) {
    let end = out.len();
    let length = end - at - 1;
    if length < 128 {
        out[at] = length as u8;
        return;
    }
    put_varint(out, length as u64);
    let used = out.len() - end;
    // The length is behind the content now, and overwrites the byte before it as it moves.
    out[at + 1..].rotate_right(used);
    out.copy_within(at + 1.., at);
    out.pop();
}
