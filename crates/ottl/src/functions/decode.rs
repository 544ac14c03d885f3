//! Encodings, and ids.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::{Converter, Param, STRING, Takes, may, need};
use crate::error::Fault;
use crate::eval::Reader;
use crate::tree::Call;
use crate::value::{Kind, Value, from_hex, hex};

const VARIANTS: &[&str] = &["base64", "base64-raw", "base64-url", "base64-raw-url"];
const ENCODINGS: &[&str] = &[
    "base64",
    "base64-raw",
    "base64-url",
    "base64-raw-url",
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "latin1",
    "utf-16",
    "utf-16be",
    "utf-16le",
];
const ID: &[Param] = &[need("bytes", Takes::Of(&[Kind::Bytes, Kind::String]))];

pub(super) static TABLE: &[Converter] = &[
    Converter::new(
        "Base64Encode",
        &[need("value", STRING), may("variant", Takes::Choice(VARIANTS))],
        Some(Kind::String),
        |call, reader| {
            let text = call.text(0, reader)?;
            Ok(Value::from(match call.choice(1) {
                0 => STANDARD.encode(&*text),
                1 => STANDARD_NO_PAD.encode(&*text),
                2 => URL_SAFE.encode(&*text),
                _ => URL_SAFE_NO_PAD.encode(&*text),
            }))
        },
    ),
    Converter::new("Base64Decode", &[need("value", STRING)], Some(Kind::String), |call, reader| {
        let bytes = base64(call, 0, call.text(0, reader)?.as_bytes())?;
        utf8(call, bytes)
    }),
    Converter::new(
        "Decode",
        &[
            need("value", Takes::Of(&[Kind::String, Kind::Bytes])),
            need("encoding", Takes::Choice(ENCODINGS)),
        ],
        Some(Kind::String),
        |call, reader| {
            let bytes = match call.value(0, reader)? {
                Value::String(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
                Value::String(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
                Value::Bytes(bytes) => bytes,
                other => return Err(call.wrong(0, "a string or bytes", &other)),
            };
            match call.choice(1) {
                variant @ 0..4 => utf8(call, base64(call, variant, &bytes)?),
                4 | 5 => utf8(call, bytes.into_owned()),
                6 | 7 if bytes.is_ascii() => utf8(call, bytes.into_owned()),
                6 | 7 => Err(call.fault("this is not ASCII")),
                8 | 9 => Ok(Value::from(bytes.iter().copied().map(char::from).collect::<String>())),
                encoding => {
                    let (pairs, _) = bytes.as_chunks::<2>();
                    let little = encoding == 12;
                    let read = if little { u16::from_le_bytes } else { u16::from_be_bytes };
                    let units: Vec<u16> = pairs.iter().copied().map(read).collect();
                    let text = String::from_utf16(&units);
                    text.map(Value::from).map_err(|_| call.fault("this is not UTF-16"))
                }
            }
        },
    ),
    Converter::new("Hex", &[need("value", Takes::Any)], Some(Kind::String), |call, reader| {
        Ok(match &*call.look(0, reader)? {
            Value::Bool(value) => Value::from(hex(&[u8::from(*value)])),
            Value::Int(value) => Value::from(format!("{value:x}")),
            Value::Double(value) => Value::from(hex(&value.to_be_bytes())),
            Value::String(text) => Value::from(hex(text.as_bytes())),
            Value::Bytes(bytes) => Value::from(hex(bytes)),
            _ => Value::Nil,
        })
    }),
    Converter::new("TraceID", ID, Some(Kind::Bytes), |call, reader| id(call, reader, 16)),
    Converter::new("SpanID", ID, Some(Kind::Bytes), |call, reader| id(call, reader, 8)),
    Converter::new("UUID", &[], Some(Kind::String), |_, reader| {
        Ok(Value::from(uuid(reader.host.random(), 4)))
    })
    .impure(),
    Converter::new("UUIDv7", &[], Some(Kind::String), |_, reader| {
        // 48 bits of milliseconds in front of the random ones.
        let millis = u128::from(reader.host.now_nanos().max(0).unsigned_abs() / 1_000_000);
        Ok(Value::from(uuid(reader.host.random() >> 48 | millis << 80, 7)))
    })
    .impure(),
];

fn base64(call: &Call, variant: usize, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let decoded = match variant {
        0 => STANDARD.decode(bytes),
        1 => STANDARD_NO_PAD.decode(bytes),
        2 => URL_SAFE.decode(bytes),
        _ => URL_SAFE_NO_PAD.decode(bytes),
    };
    decoded.map_err(|error| {
        call.fault(format!(
            "this is not {VARIANT}: {error}",
            VARIANT = VARIANTS.get(variant).unwrap_or(&"base64")
        ))
    })
}

fn utf8(call: &Call, bytes: Vec<u8>) -> Result<Value<'static>, Fault> {
    String::from_utf8(bytes)
        .map(Value::from)
        .map_err(|_| call.fault("what was encoded is not UTF-8"))
}

/// The bytes of an id, from themselves or from hexadecimal digits.
fn id<'a>(call: &'a Call, reader: &Reader<'a>, length: usize) -> Result<Value<'a>, Fault> {
    let bytes = match call.value(0, reader)? {
        Value::Bytes(bytes) => bytes,
        Value::String(text) => match from_hex(&text) {
            Some(bytes) => Cow::Owned(bytes),
            None => return Err(call.fault("an id is written in hexadecimal digits")),
        },
        other => return Err(call.wrong(0, "bytes or a string", &other)),
    };
    if bytes.len() == length {
        Ok(Value::Bytes(bytes))
    } else {
        Err(call.fault(format!("this id has {length} bytes, not {}", bytes.len())))
    }
}

/// 128 bits as a UUID of a version, in RFC 9562's variant.
fn uuid(bits: u128, version: u128) -> String {
    let bits = bits & !(0xf << 76) | version << 76;
    let bits = bits & !(0b11 << 62) | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
