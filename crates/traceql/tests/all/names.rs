//! Names on their own, as in paths of the API.

use traceql::{Attribute, ErrorKind, Field, Intrinsic, Scope, attribute};

#[test]
fn attributes() {
    let of = |scope, name: &str| {
        Field::Attribute(Attribute { scope, parent: false, name: name.to_owned() })
    };
    for (text, field) in [
        (".foo", of(Scope::Any, "foo")),
        ("resource.service.name", of(Scope::Resource, "service.name")),
        ("span.\"x y\"", of(Scope::Span, "x y")),
        ("  span.a  ", of(Scope::Span, "a")),
        ("name", Field::Intrinsic(Intrinsic::Name)),
        ("status", Field::Intrinsic(Intrinsic::Status)),
        ("event:name", Field::Intrinsic(Intrinsic::EventName)),
        ("trace:duration", Field::Intrinsic(Intrinsic::TraceDuration)),
    ] {
        assert_eq!(attribute(text).as_ref(), Ok(&field), "{text}");
        assert_eq!(attribute(&field.to_string()), Ok(field), "{text}");
    }
}

#[test]
fn every_intrinsic_by_every_spelling() {
    for intrinsic in Intrinsic::ALL.iter().copied() {
        let field = Field::Intrinsic(intrinsic);
        assert_eq!(attribute(intrinsic.name()), Ok(field.clone()));
        assert_eq!(field.to_string(), intrinsic.name());
        if let Some(alias) = intrinsic.alias() {
            assert_eq!(attribute(alias), Ok(field));
        }
    }
}

#[test]
fn no_names() {
    for text in [
        "",
        " ",
        "foo",
        "service.name",
        "ok",
        "true",
        "5",
        "`a`",
        ".a .b",
        ".a = 1",
        "span.",
        "{.a}",
    ] {
        let error = attribute(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Parse, "{text}");
    }
}
