//! Attributes and their values.

use super::fault::Fault;
use super::message::{Message, content};
use super::{DecodeError, Decoder, VALUE_DEPTH_MAX};
use crate::batch::{Attribute, Text, Value};

impl<'a> Decoder<'a> {
    #[inline]
    pub(super) fn attribute(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
    ) -> Result<(), DecodeError> {
        match self.plain_attribute(bytes) {
            Some(attribute) => {
                let full = self.batch.attributes.len() == self.batch.attributes.capacity();
                self.batch.attributes.push(attribute);
                if full { self.bound() } else { Ok(()) }
            }
            None => self.any_attribute(bytes, what),
        }
    }

    /// A `KeyValue` as encoders write nearly all of them: an ASCII key, then a string, boolean,
    /// integer or double, each length one byte. `None` for all others, right or wrong.
    #[inline]
    fn plain_attribute(&self, bytes: &'a [u8]) -> Option<Attribute> {
        let [0x0a, length, rest @ ..] = bytes else { return None };
        let (key, rest) = rest.split_at_checked(usize::from(*length))?;
        let [0x12, length, value @ ..] = rest else { return None };
        if value.len() != usize::from(*length) || value.len() >= 0x80 || key.len() >= 0x80 {
            return None;
        }
        // Nearly always, tags and lengths included: one look at all costs less than two at parts.
        let all_ascii = bytes.is_ascii();
        let value = match value {
            [0x0a, length, text @ ..] => {
                if text.len() != usize::from(*length) || !(all_ascii || text.is_ascii()) {
                    return None;
                }
                Value::String(self.range(text))
            }
            [0x10, truth @ (0 | 1)] => Value::Bool(*truth == 1),
            [0x18, low] if *low < 0x80 => Value::Int(i64::from(*low)),
            [0x18, low, high] if *low >= 0x80 && *high < 0x80 => {
                Value::Int(i64::from(*low & 0x7f) | i64::from(*high) << 7)
            }
            [0x21, double @ ..] => Value::Double(f64::from_le_bytes(double.try_into().ok()?)),
            _ => return None,
        };
        (all_ascii || key.is_ascii()).then(|| Attribute { key: self.range(key), value })
    }

    fn any_attribute(&mut self, bytes: &'a [u8], what: &'static str) -> Result<(), DecodeError> {
        let mut attribute = Attribute { key: Text::EMPTY, value: Value::Empty };
        let mut message = Message::new("KeyValue", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    attribute.key = self.utf8(bytes, what);
                }
                2 => {
                    let bytes = content!(message, number, field, Bytes);
                    attribute.value = self.value(bytes, what, 0)?;
                }
                _ => {}
            }
        }
        self.batch.attributes.push(attribute);
        // What takes few bytes comes this way; the plain ones are looked at as they take memory.
        self.bound()
    }

    #[inline]
    fn value(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let mut value = Value::Empty;
        let mut message = Message::new("AnyValue", bytes);
        while let Some((number, field)) = message.next()? {
            match number {
                1 => {
                    let bytes = content!(message, number, field, Bytes);
                    value = Value::String(self.utf8(bytes, what));
                }
                2 => value = Value::Bool(content!(message, number, field, Varint) != 0),
                3 => value = Value::Int(content!(message, number, field, Varint) as i64),
                4 => {
                    value = Value::Double(f64::from_bits(content!(message, number, field, Fixed64)))
                }
                5 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.check_array(bytes, what, depth + 1)?;
                    value = Value::Array(self.range(bytes));
                }
                6 => {
                    let bytes = content!(message, number, field, Bytes);
                    self.check_key_values(bytes, what, depth + 1)?;
                    value = Value::KeyValueList(self.range(bytes));
                }
                7 => {
                    let bytes = content!(message, number, field, Bytes);
                    value = Value::Bytes(self.range(bytes));
                }
                _ => {}
            }
        }
        Ok(value)
    }

    fn check_array(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > VALUE_DEPTH_MAX {
            self.fault.get_or_insert(Fault::TooDeep(what));
            return Ok(());
        }
        let mut message = Message::new("ArrayValue", bytes);
        while let Some((number, field)) = message.next()? {
            if number == 1 {
                let bytes = content!(message, number, field, Bytes);
                self.value(bytes, what, depth)?;
            }
        }
        Ok(())
    }

    fn check_key_values(
        &mut self,
        bytes: &'a [u8],
        what: &'static str,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > VALUE_DEPTH_MAX {
            self.fault.get_or_insert(Fault::TooDeep(what));
            return Ok(());
        }
        let mut message = Message::new("KeyValueList", bytes);
        while let Some((number, field)) = message.next()? {
            if number != 1 {
                continue;
            }
            let bytes = content!(message, number, field, Bytes);
            let mut entry = Message::new("KeyValue", bytes);
            while let Some((number, field)) = entry.next()? {
                match number {
                    1 => {
                        let bytes = content!(entry, number, field, Bytes);
                        self.utf8(bytes, what);
                    }
                    2 => {
                        let bytes = content!(entry, number, field, Bytes);
                        self.value(bytes, what, depth)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
