//! Thrift's protocols against the library of Apache Thrift, and against bytes worked out by hand.

use formats::thrift::{Kind, MessageKind, Protocol, Reader, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier,
    TMapIdentifier, TMessageIdentifier, TMessageType, TOutputProtocol, TSetIdentifier,
    TStructIdentifier, TType,
};

const BOTH: [Protocol; 2] = [Protocol::Binary, Protocol::Compact];

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Bool(bool),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(u64),
    Binary(Vec<u8>),
    Struct(Vec<(i16, Value)>),
    Structs(Vec<Vec<(i16, Value)>>),
}

type Fields = Vec<(i16, Value)>;

/// Fields in any order, near and far from each other, with negative numbers as well: as far as the
/// library's arithmetic goes.
fn fields() -> impl Strategy<Value = Fields> {
    let id = || prop_oneof![0..40_i16, -500..32_000_i16];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::I16),
        any::<i32>().prop_map(Value::I32),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::Double),
        vec(any::<u8>(), 0..200).prop_map(Value::Binary),
    ];
    let value = leaf.prop_recursive(3, 40, 5, move |inner| {
        let fields = vec((id(), inner), 0..5);
        prop_oneof![
            fields.clone().prop_map(Value::Struct),
            vec(fields, 0..20).prop_map(Value::Structs),
        ]
    });
    vec((id(), value), 0..8)
}

fn put(writer: &mut Writer, fields: &Fields) {
    for (id, value) in fields {
        match value {
            Value::Bool(value) => writer.bool_field(*id, *value),
            Value::I16(value) => writer.i16_field(*id, *value),
            Value::I32(value) => writer.i32_field(*id, *value),
            Value::I64(value) => writer.i64_field(*id, *value),
            Value::Double(bits) => writer.double_field(*id, f64::from_bits(*bits)),
            Value::Binary(bytes) => writer.binary_field(*id, bytes),
            Value::Struct(fields) => writer.struct_field(*id, |writer| put(writer, fields)),
            Value::Structs(list) => writer.structs_field(*id, list, put),
        }
    }
}

fn written(protocol: Protocol, fields: &Fields) -> Vec<u8> {
    let mut writer = Writer::new(protocol);
    writer.structure(|writer| put(writer, fields));
    writer.finish()
}

/// What the library writes.
fn theirs(
    protocol: Protocol,
    write: impl FnOnce(&mut dyn TOutputProtocol) -> thrift::Result<()>,
) -> Vec<u8> {
    let mut out = Vec::new();
    match protocol {
        Protocol::Binary => write(&mut TBinaryOutputProtocol::new(&mut out, true)),
        Protocol::Compact => write(&mut TCompactOutputProtocol::new(&mut out)),
    }
    .unwrap();
    out
}

fn put_theirs(out: &mut dyn TOutputProtocol, fields: &Fields) -> thrift::Result<()> {
    out.write_struct_begin(&TStructIdentifier::new("s"))?;
    for (id, value) in fields {
        let kind = match value {
            Value::Bool(_) => TType::Bool,
            Value::I16(_) => TType::I16,
            Value::I32(_) => TType::I32,
            Value::I64(_) => TType::I64,
            Value::Double(_) => TType::Double,
            Value::Binary(_) => TType::String,
            Value::Struct(_) => TType::Struct,
            Value::Structs(_) => TType::List,
        };
        out.write_field_begin(&TFieldIdentifier::new("f", kind, *id))?;
        match value {
            Value::Bool(value) => out.write_bool(*value)?,
            Value::I16(value) => out.write_i16(*value)?,
            Value::I32(value) => out.write_i32(*value)?,
            Value::I64(value) => out.write_i64(*value)?,
            Value::Double(bits) => out.write_double(f64::from_bits(*bits))?,
            Value::Binary(bytes) => out.write_bytes(bytes)?,
            Value::Struct(fields) => put_theirs(out, fields)?,
            Value::Structs(list) => {
                out.write_list_begin(&TListIdentifier::new(TType::Struct, list.len() as i32))?;
                for fields in list {
                    put_theirs(out, fields)?;
                }
                out.write_list_end()?;
            }
        }
        out.write_field_end()?;
    }
    out.write_field_stop()?;
    out.write_struct_end()
}

fn read(reader: &mut Reader<'_>) -> Fields {
    let mut fields = Vec::new();
    reader
        .structure(|reader, field| {
            let value = match field.kind {
                Kind::Bool => Value::Bool(reader.bool()?),
                Kind::I16 => Value::I16(reader.i16()?),
                Kind::I32 => Value::I32(reader.i32()?),
                Kind::I64 => Value::I64(reader.i64()?),
                Kind::Double => Value::Double(reader.double()?.to_bits()),
                Kind::Binary => Value::Binary(reader.binary()?.to_vec()),
                Kind::Struct => Value::Struct(read(reader)),
                Kind::List => {
                    let mut list = Vec::new();
                    reader.elements(Kind::Struct, |reader| {
                        list.push(read(reader));
                        Ok(())
                    })?;
                    Value::Structs(list)
                }
                other => panic!("{other:?}"),
            };
            fields.push((field.id, value));
            Ok(())
        })
        .unwrap();
    fields
}

/// Whether a field is 15 after the one before it. The specification has a short header for that,
/// which the library reads and does not write.
fn has_step_of_15(fields: &Fields) -> bool {
    let mut last = 0;
    fields.iter().any(|(id, value)| {
        let step = id - std::mem::replace(&mut last, *id);
        let is_inside = match value {
            Value::Struct(fields) => has_step_of_15(fields),
            Value::Structs(list) => list.iter().any(has_step_of_15),
            _ => false,
        };
        step == 15 || is_inside
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_write_the_same_bytes_and_they_are_read(fields in fields()) {
        for protocol in BOTH {
            let ours = written(protocol, &fields);
            if !has_step_of_15(&fields) {
                prop_assert_eq!(&ours, &theirs(protocol, |out| put_theirs(out, &fields)));
            }
            let mut reader = Reader::new(&ours, protocol, 100_000);
            prop_assert_eq!(&read(&mut reader), &fields);
            prop_assert_eq!(reader.position(), ours.len());
            let mut skipping = Reader::new(&ours, protocol, 100_000);
            skipping.skip(Kind::Struct).unwrap();
            prop_assert_eq!(skipping.position(), ours.len());
        }
    }

    /// Any bytes are read to some place in them, or refused at one.
    #[test]
    fn any_bytes_are_an_answer(bytes in vec(any::<u8>(), 0..300)) {
        for protocol in BOTH {
            for kind in [Kind::Struct, Kind::Map, Kind::List] {
                let mut reader = Reader::new(&bytes, protocol, 1000);
                let read = reader.skip(kind);
                prop_assert!(reader.position() <= bytes.len());
                if let Err(error) = read {
                    prop_assert!(error.position <= bytes.len(), "{error}");
                }
            }
            let _ = Reader::new(&bytes, protocol, 1000).message();
        }
    }
}

#[test]
fn every_type_is_skipped() {
    let value = |out: &mut dyn TOutputProtocol| {
        out.write_struct_begin(&TStructIdentifier::new("s"))?;
        out.write_field_begin(&TFieldIdentifier::new("byte", TType::I08, 1))?;
        out.write_i8(-5)?;
        out.write_field_begin(&TFieldIdentifier::new("set", TType::Set, 2))?;
        out.write_set_begin(&TSetIdentifier::new(TType::I64, 2))?;
        out.write_i64(i64::MIN)?;
        out.write_i64(3)?;
        out.write_set_end()?;
        out.write_field_begin(&TFieldIdentifier::new("map", TType::Map, 3))?;
        out.write_map_begin(&TMapIdentifier::new(TType::String, TType::Double, 1))?;
        out.write_string("key")?;
        out.write_double(0.5)?;
        out.write_map_end()?;
        out.write_field_begin(&TFieldIdentifier::new("none", TType::Map, 4))?;
        out.write_map_begin(&TMapIdentifier::new(TType::String, TType::Double, 0))?;
        out.write_map_end()?;
        out.write_field_begin(&TFieldIdentifier::new("bools", TType::List, 5))?;
        out.write_list_begin(&TListIdentifier::new(TType::Bool, 2))?;
        out.write_bool(true)?;
        out.write_bool(false)?;
        out.write_list_end()?;
        out.write_field_begin(&TFieldIdentifier::new("uuid", TType::Uuid, 6))?;
        out.write_uuid(&Default::default())?;
        out.write_field_begin(&TFieldIdentifier::new("flag", TType::Bool, 7))?;
        out.write_bool(true)?;
        out.write_field_begin(&TFieldIdentifier::new("last", TType::I32, 8))?;
        out.write_i32(77)?;
        out.write_field_stop()?;
        out.write_struct_end()
    };
    for protocol in BOTH {
        let bytes = theirs(protocol, value);
        let mut reader = Reader::new(&bytes, protocol, 100);
        let (mut seen, mut last) = (Vec::new(), 0);
        reader
            .structure(|reader, field| {
                seen.push(field.id);
                match field.id {
                    8 => reader.i32().map(|value| last = value),
                    _ => reader.skip(field.kind),
                }
            })
            .unwrap();
        assert_eq!((seen, last), ((1..=8).collect(), 77), "{protocol:?}");
        assert_eq!(reader.position(), bytes.len());
    }
}

#[test]
fn messages_are_those_of_the_library() {
    for (kind, other) in [
        (MessageKind::Call, TMessageType::Call),
        (MessageKind::Reply, TMessageType::Reply),
        (MessageKind::Exception, TMessageType::Exception),
        (MessageKind::Oneway, TMessageType::OneWay),
    ] {
        for protocol in BOTH {
            // A negative number is not the same in every version of the library.
            let sequence = 300;
            let mut writer = Writer::new(protocol);
            writer.message("emitBatch", kind, sequence);
            let ours = writer.finish();
            let identifier = TMessageIdentifier::new("emitBatch", other, sequence);
            assert_eq!(ours, theirs(protocol, |out| out.write_message_begin(&identifier)));
            let message = Reader::new(&ours, protocol, 0).message().unwrap();
            assert_eq!((message.name, message.kind), (&b"emitBatch"[..], kind));
            assert_eq!(message.sequence, sequence);
        }
    }
    let mut old = Vec::new();
    let identifier = TMessageIdentifier::new("emitBatch", TMessageType::OneWay, -9);
    TBinaryOutputProtocol::new(&mut old, false).write_message_begin(&identifier).unwrap();
    assert_eq!(old[..4], [0, 0, 0, 9]);
    let message = Reader::new(&old, Protocol::Binary, 0).message().unwrap();
    assert_eq!((message.name, message.sequence), (&b"emitBatch"[..], -9));
}

/// Worked out from the specifications of the encodings.
#[test]
fn bytes_by_hand() {
    let fields = vec![
        (1, Value::Bool(true)),
        (2, Value::I32(-2)),
        (17, Value::Binary(b"ab".to_vec())),
        (3, Value::Structs(vec![vec![], vec![(16, Value::I64(1))]])),
    ];
    let binary = [
        &[2, 0, 1, 1][..],
        &[8, 0, 2, 0xff, 0xff, 0xff, 0xfe],
        &[11, 0, 17, 0, 0, 0, 2, b'a', b'b'],
        &[15, 0, 3, 12, 0, 0, 0, 2, 0, 10, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[0],
    ];
    let compact = [
        &[0x11][..],
        &[0x15, 3],
        &[0xf8, 2, b'a', b'b'],
        // Back, and more than 15 further: the number itself, in zigzag.
        &[0x09, 6, 0x2c, 0, 0x06, 32, 2, 0],
        &[0],
    ];
    assert_eq!(written(Protocol::Binary, &fields), binary.concat());
    assert_eq!(written(Protocol::Compact, &fields), compact.concat());
}

#[test]
fn what_is_announced_must_come() {
    let deep = |byte: &[u8], end: &[u8]| [byte.repeat(100), end.to_vec()].concat();
    let (binary, compact) = (Protocol::Binary, Protocol::Compact);
    for (protocol, kind, bytes, what, position) in [
        (binary, Kind::Struct, vec![], "end inside", 0),
        (binary, Kind::Struct, vec![1, 0, 1], "no Thrift type 1", 0),
        (binary, Kind::Struct, vec![10, 0, 1, 0], "end inside", 3),
        (binary, Kind::Binary, vec![0x7f, 0xff, 0xff, 0xff, 1], "2147483647 bytes", 4),
        (binary, Kind::Binary, vec![0xff, 0xff, 0xff, 0xff, 1], "-1 bytes", 0),
        (binary, Kind::List, vec![12, 0x7f, 0xff, 0xff, 0xff, 0], "2147483647 elements where 1", 0),
        (binary, Kind::List, vec![12, 0xff, 0xff, 0xff, 0xff], "-1 elements", 0),
        (binary, Kind::Map, vec![10, 10, 0, 0, 0, 4, 0, 0, 0, 0], "4 elements where 4", 0),
        (binary, Kind::List, [&[3, 0, 0, 0, 101][..], &[0; 101]].concat(), "more than 100", 0),
        (binary, Kind::Struct, deep(&[12, 0, 1], &[]), "deeper than 64", 192),
        (compact, Kind::Struct, deep(&[0x1c], &[0; 101]), "deeper than 64", 64),
        (compact, Kind::List, deep(&[0x19], &[0x03]), "deeper than 64", 64),
        (compact, Kind::Binary, vec![0xff, 0xff, 0xff, 0xff, 0x0f], "4294967295 bytes", 5),
        (compact, Kind::Binary, [&[0xff; 9][..], &[1]].concat(), "bytes", 10),
        (compact, Kind::I64, vec![0xff; 11], "longer than ten", 0),
        (compact, Kind::List, vec![0xf3, 0xff, 0xff, 0xff, 0x7f], "268435455 elements", 0),
        (compact, Kind::Map, vec![0x04, 0x33, 1, 1], "4 elements where 2", 0),
        (compact, Kind::Map, vec![0x01, 0xe3, 1, 1], "no Thrift type 14", 0),
        (compact, Kind::Struct, vec![0x16, 1, 0x0e], "no Thrift type 14", 2),
        // Field 32767, and then one further.
        (compact, Kind::Struct, vec![0x06, 0xfe, 0xff, 0x03, 1, 0x16, 1, 0], "field number", 5),
        (compact, Kind::Struct, vec![0x06, 0x80, 0x80, 0x04, 1, 0], "field number", 0),
    ] {
        let mut reader = Reader::new(&bytes, protocol, 100);
        let error = reader.skip(kind).expect_err(what);
        assert!(error.what.contains(what), "{bytes:?}: {error}");
        assert_eq!(error.position, position, "{bytes:?}: {error}");
    }
    for (protocol, bytes, what) in [
        (binary, &[0x80, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], "version"),
        (binary, &[0x80, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0], "type"),
        (binary, &[0x7f, 0, 0, 9, 1], "announced"),
        (compact, &[0x80, 1, 0, 1], "compact"),
        (compact, &[0x82, 0x82, 0, 0], "version"),
        (compact, &[0x82, 0xa1, 0, 0], "type"),
        (compact, &[0x82, 0x81, 0, 5, 1], "announced"),
    ] {
        let error = Reader::new(bytes, protocol, 8).message().expect_err(what);
        assert!(error.what.contains(what), "{bytes:?}: {error}");
    }
}
