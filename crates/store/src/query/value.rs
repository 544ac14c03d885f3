//! What a field of a span is worth to a query.

use std::borrow::Cow;

use model::wire::{Field, Reader};
use model::{Attribute, SpanBatch, Value};
use traceql::{CompareOp, Pattern, Static};

use crate::column::{Column, Values};
use crate::types::ValueType;

/// A field's value at a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Val {
    /// One value; nil where the field is missing.
    One(Static),
    /// Several: of an attribute that is a list, or of all events or links of a span.
    List(Vec<Static>),
    /// Something that is there and compares with nothing: bytes, maps.
    Other,
}

impl Val {
    pub(super) const NIL: Self = Self::One(Static::Nil);

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::One(Static::Nil))
    }

    /// The value if it is one.
    pub(super) fn single(self) -> Static {
        match self {
            Self::One(value) => value,
            Self::List(mut list) if list.len() == 1 => list.remove(0),
            Self::List(_) | Self::Other => Static::Nil,
        }
    }

    /// The value unless it is a list, even of one.
    pub(super) fn one(&self) -> Option<&Static> {
        match self {
            Self::One(value) => Some(value),
            Self::List(_) | Self::Other => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        self.one()?.number()
    }
}

/// `left op right`: a list satisfies an operator when an element does, and `!=` when none is
/// equal.
pub(super) fn compare(left: &Val, op: CompareOp, right: &Val) -> bool {
    match (left, right) {
        // A list differs from all else, but a side without a value is never compared.
        _ if left.is_nil() || right.is_nil() => false,
        (Val::One(left), Val::One(right)) => left.compare(op, right),
        (Val::List(list), Val::One(right)) => Test::Compare(op, right).list(list),
        (Val::One(left), Val::List(list)) => Test::Compare(op.flipped(), left).list(list),
        _ => false,
    }
}

/// A condition on one value.
#[derive(Clone, Copy)]
pub(super) enum Test<'q> {
    Compare(CompareOp, &'q Static),
    /// Negated for `!~`.
    Matches(&'q Pattern, bool),
    Exists,
    /// A boolean that is true.
    True,
}

impl Test<'_> {
    pub(super) fn one(&self, value: &Static) -> bool {
        match self {
            Self::Compare(op, wanted) => value.compare(*op, wanted),
            Self::Matches(pattern, negated) => {
                matches!(value, Static::String(text) if pattern.is_match(text) != *negated)
            }
            Self::Exists => *value != Static::Nil,
            Self::True => *value == Static::Bool(true),
        }
    }

    pub(super) fn val(&self, value: &Val) -> bool {
        match value {
            Val::One(value) => self.one(value),
            Val::List(list) => self.list(list),
            Val::Other => matches!(self, Self::Exists),
        }
    }

    fn list(&self, list: &[Static]) -> bool {
        match self {
            Self::Compare(CompareOp::NotEqual, wanted) => {
                !list.iter().any(|value| value.compare(CompareOp::Equal, wanted))
            }
            Self::Matches(pattern, true) => {
                !list.iter().any(|value| Test::Matches(pattern, false).one(value))
            }
            Self::Exists => true,
            _ => list.iter().any(|value| self.one(value)),
        }
    }

    fn text(&self, text: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        match self {
            Self::Compare(op, Static::String(wanted)) => {
                op.holds(text.as_bytes().cmp(wanted.as_bytes()))
            }
            Self::Compare(..) | Self::True => false,
            Self::Matches(pattern, negated) => pattern.is_match(text) != *negated,
            Self::Exists => true,
        }
    }

    /// The text that a value must be equal to, if that is what it asks.
    pub(super) fn equal_text(&self) -> Option<&str> {
        match self {
            Self::Compare(CompareOp::Equal, Static::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Calls `hit` with every row of an attribute's column for which it holds.
    pub(super) fn column(
        &self,
        value_type: ValueType,
        column: &Column,
        mut hit: impl FnMut(usize),
    ) {
        if matches!(self, Self::Exists) {
            return column.rows_present().for_each(hit);
        }
        let rows = column.rows_present();
        match (column.values(), value_type) {
            (Values::Codes(codes, texts), ValueType::String) => {
                let holds: Vec<bool> = texts.iter().map(|text| self.text(text)).collect();
                match holds.iter().filter(|holds| **holds).count() {
                    0 => {}
                    1 => {
                        let wanted = holds.iter().position(|holds| *holds).unwrap_or(0) as u32;
                        rows.zip(codes)
                            .filter(|(_, code)| **code == wanted)
                            .for_each(|(row, _)| hit(row));
                    }
                    _ => rows
                        .zip(codes)
                        .filter(|(_, code)| holds[**code as usize])
                        .for_each(|(row, _)| hit(row)),
                }
            }
            (Values::Codes(codes, texts), ValueType::Any) => {
                let holds: Vec<bool> = texts.iter().map(|text| self.val(&any(text))).collect();
                rows.zip(codes)
                    .filter(|(_, code)| holds[**code as usize])
                    .for_each(|(row, _)| hit(row));
            }
            (Values::Int64(values), _) => match self {
                Self::Compare(op, Static::Int(wanted) | Static::Duration(wanted)) => {
                    let (op, wanted) = (*op, *wanted);
                    rows.zip(values)
                        .filter(|(_, value)| op.holds((**value).cmp(&wanted)))
                        .for_each(|(row, _)| hit(row));
                }
                _ => rows
                    .zip(values)
                    .filter(|(_, value)| self.one(&Static::Int(**value)))
                    .for_each(|(row, _)| hit(row)),
            },
            (Values::Double(values), _) => rows
                .zip(values)
                .filter(|(_, value)| self.one(&Static::Float(**value)))
                .for_each(|(row, _)| hit(row)),
            (Values::Bool(values), _) => rows
                .zip(values)
                .filter(|(_, value)| self.one(&Static::Bool(**value)))
                .for_each(|(row, _)| hit(row)),
            _ => {}
        }
    }
}

/// The value at a place of a column of attributes.
pub(super) fn attribute_at(value_type: ValueType, values: &Values, at: usize) -> Val {
    match (values, value_type) {
        (Values::Codes(codes, texts), ValueType::String) => {
            Val::One(Static::String(texts.text(codes[at]).to_owned()))
        }
        (Values::Codes(codes, texts), ValueType::Any) => any(texts.get(codes[at])),
        (Values::Int64(values), _) => Val::One(Static::Int(values[at])),
        (Values::Double(values), _) => Val::One(Static::Float(values[at])),
        (Values::Bool(values), _) => Val::One(Static::Bool(values[at])),
        _ => Val::Other,
    }
}

/// The fields of a message that was checked when it came, so that an error means its end.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (u32, Field<'_>)> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || reader.next_field().ok().flatten())
}

/// The value of an OTLP `AnyValue` message.
fn any(message: &[u8]) -> Val {
    let text = |bytes: &[u8]| Static::String(String::from_utf8_lossy(bytes).into_owned());
    match fields(message).filter(|(number, _)| (1..=7).contains(number)).last() {
        Some((1, Field::Bytes(bytes))) => Val::One(text(bytes)),
        Some((2, Field::Varint(value))) => Val::One(Static::Bool(value != 0)),
        Some((3, Field::Varint(value))) => Val::One(Static::Int(value as i64)),
        Some((4, Field::Fixed64(bits))) => Val::One(Static::Float(f64::from_bits(bits))),
        Some((5, Field::Bytes(array))) => list(array),
        _ => Val::Other,
    }
}

/// The values of an OTLP `ArrayValue` message that compare with something.
fn list(array: &[u8]) -> Val {
    let one = |(number, field): (u32, Field<'_>)| match (number, field) {
        (1, Field::Bytes(value)) => match any(value) {
            Val::One(value) => Some(value),
            Val::List(_) | Val::Other => None,
        },
        _ => None,
    };
    Val::List(fields(array).filter_map(one).collect())
}

/// The value of an attribute of a decoded batch.
pub(super) fn of_attribute(batch: &SpanBatch, attribute: &Attribute) -> Val {
    match attribute.value {
        Value::String(text) => Val::One(Static::String(batch.text(text).to_owned())),
        Value::Int(value) => Val::One(Static::Int(value)),
        Value::Double(value) => Val::One(Static::Float(value)),
        Value::Bool(value) => Val::One(Static::Bool(value)),
        Value::Array(array) => list(batch.bytes_of(array)),
        Value::Bytes(_) | Value::KeyValueList(_) | Value::Empty => Val::Other,
    }
}

/// The sixteen or eight bytes of an id as text; no text for an id of zeros, which names nothing.
pub(super) fn id_text(id: u128, digits: usize) -> String {
    if id == 0 { String::new() } else { format!("{id:0digits$x}") }
}

/// A text that is compared with an id, spelled as ids are: leading zeros do not count.
pub(super) fn as_id(text: &str, digits: usize) -> Cow<'_, str> {
    let bare = text.trim_start_matches('0');
    if bare.is_empty() || bare.len() > digits || !bare.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Cow::Borrowed(bare);
    }
    Cow::Owned(format!("{bare:0>digits$}").to_ascii_lowercase())
}
