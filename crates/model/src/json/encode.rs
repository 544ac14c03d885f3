//! Protobuf in, OTLP JSON out, in one walk over the bytes.

use super::schema::{Field, Kind, Message, REQUEST};
use super::write::{put_base64, put_display, put_double, put_hex, put_json_text};
use crate::wire::{self, Reader, WireError};
use crate::{DecodeError, VALUE_DEPTH_MAX};

/// The OTLP JSON of an `ExportTraceServiceRequest` or `TracesData`: one line, lowerCamelCase,
/// hexadecimal ids, enumerations and 32-bit integers as numbers, 64-bit integers as strings,
/// base64 bytes. Fields that have their default value are left out, but for `resourceSpans` and
/// a span's two times. Unknown fields are left out. U+FFFD stands for what is not UTF-8.
///
/// # Errors
/// Bytes that break the protobuf format, and attribute values that are nested deeper than
/// [`VALUE_DEPTH_MAX`]. A malformed id is no error.
pub fn encode(bytes: &[u8]) -> Result<String, DecodeError> {
    Encoder::twice(bytes, Dialect::Otlp)
}

/// The same in the JSON that protobuf defines for all messages: ids are base64 and enumerations
/// their names, where known.
///
/// # Errors
/// As [`encode`].
pub fn encode_proto(bytes: &[u8]) -> Result<String, DecodeError> {
    Encoder::twice(bytes, Dialect::Protobuf)
}

/// Whose JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Otlp,
    Protobuf,
}

struct Encoder {
    out: String,
    dialect: Dialect,
    /// Arrays and maps around this place.
    depth: usize,
    /// Whether fields are sorted before they are written.
    sorted: bool,
    /// A repeated field was in several places or another came twice, so that `out` is wrong. No
    /// known sender does either; protobuf allows both.
    scattered: bool,
}

/// A field that the schema knows and what it holds, of the wire type that belongs to it.
type Known<'a> = (&'static Field, wire::Field<'a>);

/// How far the JSON object of a message is written.
#[derive(Default)]
struct Written {
    /// Something is: the next field needs a comma.
    any: bool,
    /// The repeated field whose array is open.
    array: Option<u32>,
    /// Bit n: field n was there. Numbers in OTLP's trace messages are below 32.
    seen: u32,
}

impl Encoder {
    /// Swiftly first, in the order of the wire; all over again if that will not do. Deciding for
    /// each message would double the work with every level that they nest.
    fn twice(bytes: &[u8], dialect: Dialect) -> Result<String, DecodeError> {
        let swift = Self::run(bytes, dialect, false)?;
        if swift.scattered {
            return Self::run(bytes, dialect, true).map(|sorted| sorted.out);
        }
        Ok(swift.out)
    }

    fn run(bytes: &[u8], dialect: Dialect, sorted: bool) -> Result<Self, DecodeError> {
        let mut encoder = Self {
            dialect,
            // Names, quotes and digits make JSON two to three times as long as its protobuf.
            out: String::with_capacity(bytes.len() * 5 / 2 + 32),
            depth: 0,
            sorted,
            scattered: false,
        };
        encoder.message(&REQUEST, bytes)?;
        Ok(encoder)
    }

    fn message(&mut self, schema: &'static Message, bytes: &[u8]) -> Result<(), DecodeError> {
        self.depth += usize::from(schema.nests);
        if self.depth > VALUE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        self.out.push('{');
        let mut written = Written::default();
        let mut fields = Fields::new(schema, bytes);
        if schema.one_of {
            if let Some((field, content)) = fields.last_known()? {
                self.name(&mut written, field);
                self.value(field, content)?;
            }
        } else if self.sorted {
            self.sorted_fields(&mut written, fields)?;
        } else {
            while let Some((field, content)) = fields.next_known()? {
                self.field(&mut written, field, content)?;
            }
        }
        self.finish(&mut written, schema);
        self.out.push('}');
        self.depth -= usize::from(schema.nests);
        Ok(())
    }

    fn sorted_fields(
        &mut self,
        written: &mut Written,
        mut fields: Fields<'_>,
    ) -> Result<(), DecodeError> {
        let mut all: Vec<Known<'_>> = Vec::new();
        while let Some(known) = fields.next_known()? {
            all.push(known);
        }
        all.sort_by_key(|(field, _)| field.number);
        for same in all.chunk_by(|(one, _), (other, _)| one.number == other.number) {
            let (field, last) = same[same.len() - 1];
            if field.repeated {
                for (field, content) in same {
                    self.field(written, field, *content)?;
                }
            } else if let Kind::Message(inner) = field.kind
                && !inner.one_of
            {
                // Messages are joined (protobuf, "Last One Wins"), but for an attribute's value:
                // as `SpanBatch::decode` does it.
                let mut joined = Vec::new();
                for (_, content) in same {
                    if let wire::Field::Bytes(bytes) = content {
                        joined.extend_from_slice(bytes);
                    }
                }
                self.field(written, field, wire::Field::Bytes(&joined))?;
            } else {
                self.field(written, field, last)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        written: &mut Written,
        field: &'static Field,
        content: wire::Field<'_>,
    ) -> Result<(), DecodeError> {
        if written.array == Some(field.number) {
            self.out.push(',');
            return self.value(field, content);
        }
        if written.array.take().is_some() {
            self.out.push(']');
        }
        let bit = 1 << field.number;
        self.scattered |= written.seen & bit != 0;
        written.seen |= bit;
        if !field.repeated && !field.always && is_default(field, content) {
            return Ok(());
        }
        self.name(written, field);
        if field.repeated {
            self.out.push('[');
            written.array = Some(field.number);
        }
        self.value(field, content)
    }

    /// Closes the last array and adds what has to be there always.
    fn finish(&mut self, written: &mut Written, schema: &'static Message) {
        if written.array.take().is_some() {
            self.out.push(']');
        }
        for field in schema.fields {
            if field.always && written.seen & 1 << field.number == 0 {
                self.name(written, field);
                self.out.push_str(if field.repeated { "[]" } else { "\"0\"" });
            }
        }
    }

    #[inline]
    fn name(&mut self, written: &mut Written, field: &Field) {
        let comma = std::mem::replace(&mut written.any, true);
        self.out.push_str(if comma { field.opening } else { &field.opening[1..] });
    }

    fn value(&mut self, field: &Field, content: wire::Field<'_>) -> Result<(), DecodeError> {
        let out = &mut self.out;
        let protobuf = self.dialect == Dialect::Protobuf;
        match (&field.kind, content) {
            (Kind::Id, wire::Field::Bytes(id)) if protobuf => {
                quoted(out, |out| put_base64(out, id));
            }
            (Kind::Enum(values), wire::Field::Varint(value)) if protobuf => {
                match usize::try_from(value).ok().and_then(|at| values.names.get(at)) {
                    Some(name) => quoted(out, |out| out.push_str(name)),
                    None => put_display(out, value as i32),
                }
            }
            (Kind::Message(schema), wire::Field::Bytes(bytes)) => self.message(schema, bytes)?,
            (Kind::Text, wire::Field::Bytes(text)) => put_json_text(out, text),
            (Kind::Id, wire::Field::Bytes(id)) => quoted(out, |out| put_hex(out, id)),
            (Kind::Bytes, wire::Field::Bytes(bytes)) => quoted(out, |out| put_base64(out, bytes)),
            (Kind::Bool, wire::Field::Varint(value)) => put_display(out, value != 0),
            (Kind::Uint32, wire::Field::Varint(value)) => put_display(out, value as u32),
            (Kind::Enum(_), wire::Field::Varint(value)) => put_display(out, value as i32),
            (Kind::Int64, wire::Field::Varint(value)) => {
                quoted(out, |out| put_display(out, value as i64));
            }
            (Kind::Fixed64, wire::Field::Fixed64(value)) => {
                quoted(out, |out| put_display(out, value));
            }
            (Kind::Double, wire::Field::Fixed64(value)) => put_double(out, f64::from_bits(value)),
            (Kind::Fixed32, wire::Field::Fixed32(value)) => put_display(out, value),
            // `Fields` lets no other pair through.
            _ => {}
        }
        Ok(())
    }
}

fn quoted(out: &mut String, write: impl FnOnce(&mut String)) {
    out.push('"');
    write(out);
    out.push('"');
}

fn is_default(field: &Field, content: wire::Field<'_>) -> bool {
    match content {
        // A message that is there says so even when it is empty.
        wire::Field::Bytes(bytes) => bytes.is_empty() && !matches!(field.kind, Kind::Message(_)),
        wire::Field::Varint(value) => value == 0,
        wire::Field::Fixed64(bits) => bits == 0,
        wire::Field::Fixed32(value) => value == 0,
    }
}

/// Pulls the known fields out of a message.
struct Fields<'a> {
    schema: &'static Message,
    reader: Reader<'a>,
    hint: usize,
}

impl<'a> Fields<'a> {
    fn new(schema: &'static Message, bytes: &'a [u8]) -> Self {
        Self { schema, reader: Reader::new(bytes), hint: 0 }
    }

    #[inline]
    fn next_known(&mut self) -> Result<Option<Known<'a>>, DecodeError> {
        while let Some((number, content)) =
            self.reader.next_field().map_err(|error| self.error(error))?
        {
            let Some(field) = self.schema.by_number(number, &mut self.hint) else {
                continue;
            };
            let fits = match content {
                wire::Field::Varint(_) => {
                    matches!(field.kind, Kind::Bool | Kind::Int64 | Kind::Uint32 | Kind::Enum(_))
                }
                wire::Field::Fixed64(_) => matches!(field.kind, Kind::Fixed64 | Kind::Double),
                wire::Field::Fixed32(_) => matches!(field.kind, Kind::Fixed32),
                wire::Field::Bytes(_) => {
                    matches!(field.kind, Kind::Message(_) | Kind::Text | Kind::Id | Kind::Bytes)
                }
            };
            if !fits {
                return Err(self.error(WireError::Mismatch(number)));
            }
            return Ok(Some((field, content)));
        }
        Ok(None)
    }

    fn last_known(&mut self) -> Result<Option<Known<'a>>, DecodeError> {
        let mut last = None;
        while let Some(known) = self.next_known()? {
            last = Some(known);
        }
        Ok(last)
    }

    fn error(&self, error: WireError) -> DecodeError {
        DecodeError::Wire { error, message: self.schema.name, position: self.reader.position() }
    }
}
