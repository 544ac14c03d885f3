//! Contexts that nobody names.

use ottl::{Context, infer_context};

#[test]
fn the_innermost() {
    for (texts, context) in [
        (&["set(resource.attributes[\"a\"], 1)"][..], Context::Resource),
        (&["set(scope.name, resource.schema_url)"], Context::Scope),
        (&["set(instrumentation_scope.name, \"a\")"], Context::Scope),
        (&["span.kind == 2"], Context::Span),
        (&["set(resource.attributes[\"a\"], span.name)"], Context::Span),
        (&["set(resource.attributes[\"a\"], 1)", "set(span.name, \"a\")"], Context::Span),
        (&["set(resource.attributes[\"a\"], 1) where IsRootSpan()"], Context::Span),
        (&["set(span.name, \"a\") where spanevent.name == \"b\""], Context::SpanEvent),
        (&["set(span.attributes[resource.attributes[\"k\"]], value=1)"], Context::Span),
        (&["set(resource.attributes[\"span.name\"], \"spanevent.name\")"], Context::Resource),
        (&["otelcol.client.addr == scope.name and not true"], Context::Scope),
    ] {
        assert_eq!(infer_context(texts), Ok(context), "{texts:?}");
    }
}

#[test]
fn none() {
    for (texts, place, column, message, expected) in [
        (
            &["true"][..],
            0,
            1,
            "no path says what this is for; write its context, such as span.name",
            &[][..],
        ),
        (&[], 0, 1, "no path says what this is for; write its context, such as span.name", &[]),
        (
            &["span.kind == 1", "span.kind == kind"],
            1,
            14,
            "kind has no context in front of it",
            &["span.kind"],
        ),
        (
            &["attributes[\"a\"] == 1"],
            0,
            1,
            "attributes has no context in front of it",
            &["resource.attributes", "scope.attributes", "span.attributes", "spanevent.attributes"],
        ),
        (&["foo == 1"], 0, 1, "foo has no context in front of it", &["span.name"]),
    ] {
        let (at, error) = infer_context(texts).unwrap_err();
        assert_eq!((at, error.column, &*error.message), (place, column, message), "{texts:?}");
        assert_eq!(error.expected, expected, "{texts:?}");
    }
}
