//! Every field, under every name that it has.

use ottl::{Context, ErrorKind, parse_condition, parse_statement};

use crate::item::Item;
use crate::{evaluator, holds, refused, run};

#[test]
fn fields_of_a_span() {
    holds(&[
        ("span.name == \"GET /cart\" and name == \"GET /cart\"", true),
        ("span.kind == 2 and kind.string == \"Server\"", true),
        ("span.kind.deprecated_string == \"SPAN_KIND_SERVER\"", true),
        ("span.trace_id == 0x0102030405060708090a0b0c0d0e0f10", true),
        ("span.trace_id.string == \"0102030405060708090a0b0c0d0e0f10\"", true),
        ("span_id == SpanID(\"0102030405060708\") and span.span_id.string != \"\"", true),
        ("parent_span_id == 0x0000000000000000 and span.parent_span_id.string == \"\"", true),
        ("span.trace_state == \"a=1,b=2\"", true),
        ("trace_state[\"b\"] == \"2\" and trace_state[\"c\"] == nil", true),
        ("span.status.code == 2 and status.message == \"boom\"", true),
        ("span.start_time == Unix(1) and start_time_unix_nano == 1000000000", true),
        ("span.end_time > start_time and span.end_time_unix_nano == 3500000000", true),
        ("Len(span.events) == 1 and Len(links) == 0", true),
        ("span.dropped_attributes_count == 3 and dropped_events_count == 4", true),
        ("span.dropped_links_count == 5 and flags == 257", true),
        ("attributes[\"map\"][\"x\"][\"y\"] == 1 and attributes[\"list\"][2] == \"c\"", true),
        ("attributes[\"list\"][3] == nil and attributes[\"text\"][\"a\"] == nil", true),
        ("attributes[attributes[\"key\"]] == \"hello world\"", true),
        ("attributes[\"list\"][attributes[\"index\"]] == \"b\"", true),
        ("attributes[Concat([\"in\", \"t\"], \"\")] == 200", true),
        ("resource.attributes[\"service.name\"] == \"cart\"", true),
        ("resource.schema_url != \"\" and resource.dropped_attributes_count == 1", true),
        ("scope.name == \"library\" and instrumentation_scope.name == scope.name", true),
        ("scope.version == \"1.2\" and scope.attributes[\"k\"] == \"v\"", true),
        ("scope.schema_url != \"\" and instrumentation_scope.dropped_attributes_count == 2", true),
        ("otelcol.client.addr == \"10.0.0.1\"", true),
        ("otelcol.client.metadata[\"x-tenant\"][0] == \"a\"", true),
        ("otelcol.client.auth.attributes[\"subject\"] == \"u\"", true),
        ("otelcol.grpc.metadata[\"x-tenant\"] == [\"b\"]", true),
        ("cache == {} and span.cache[\"a\"] == nil", true),
    ]);
}

#[test]
fn fields_of_other_contexts() {
    for (context, text) in [
        (
            Context::Resource,
            "resource.attributes[\"service.name\"] == attributes[\"service.name\"]",
        ),
        (Context::Resource, "schema_url != nil and dropped_attributes_count == 1 and cache == {}"),
        (
            Context::Scope,
            "name == \"library\" and version == \"1.2\" and resource.attributes != nil",
        ),
        (Context::Scope, "instrumentation_scope.cache == {} and scope.cache == cache"),
        (Context::SpanEvent, "name == \"exception\" and spanevent.time == Unix(2)"),
        (Context::SpanEvent, "time_unix_nano == 2000000000 and event_index == 7"),
        (Context::SpanEvent, "attributes[\"exception.type\"] == \"E\" and IsRootSpan()"),
        (Context::SpanEvent, "spanevent.dropped_attributes_count == 6 and span.name != name"),
        (
            Context::SpanEvent,
            "time - span.start_time == Duration(\"1s\") and spanevent.cache == {}",
        ),
    ] {
        let condition = parse_condition(text, context).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(condition.context(), context);
        assert_eq!(evaluator().matches(&condition, &Item::usual()), Ok(true), "{text}");
    }
}

#[test]
fn unknown() {
    refused(
        ErrorKind::Validation,
        &[
            ("set(nmae, 1)", 5, "span has no field nmae; did you mean span.name?"),
            ("set(span.nmae, 1)", 10, "did you mean span.name?"),
            ("set(schema_url, 1)", 5, "did you mean scope.schema_url?"),
            ("set(version, 1)", 5, "did you mean scope.version?"),
            ("set(resource.name, 1)", 14, "resource has no field name; there are attributes"),
            ("set(status, 1)", 5, "did you mean span.status.code?"),
            ("set(span, 1)", 5, "span alone is nothing to read"),
            ("set(otelcol, 1)", 5, "otelcol alone is nothing to read"),
            ("set(otelcol.client.address, 1)", 13, "did you mean otelcol.client.addr?"),
            ("set(spanevent.name, \"a\")", 5, "a statement for a span sees no spanevent"),
            ("set(resource.cache[\"a\"], 1)", 5, "has its own cache only: span.cache"),
            ("set(name[\"a\"], 1)", 9, "name has no keys"),
            ("set(trace_state[\"a\"][\"b\"], 1)", 16, "trace_state has at most 1 keys"),
            ("set(attributes[1.5], 1)", 16, "a key is a string or an integer, not a float"),
            ("set(attributes[\"l\"][-1], 1)", 21, "an index is not negative"),
            ("set(attributes[nil], 1)", 16, "not nil"),
        ],
    );
    refused(
        ErrorKind::Unsupported,
        &[
            ("set(log.body, 1)", 5, "log is of another signal"),
            ("set(datapoint.value_int, 1)", 5, "datapoint is of another signal"),
        ],
    );
    refused(
        ErrorKind::Parse,
        &[
            ("set(span., 1)", 10, "expected a field's name"),
            ("set(attributes[\"a\"].b, 1)", 20, "after keys there are no fields"),
            ("set(attributes[\"a\", 1)", 19, "expected ]"),
            ("set(attributes[], 1)", 16, "expected a value"),
        ],
    );
}

#[test]
fn are_told() {
    let text = "set(attributes[span.trace_state[\"k\"]], [resource.attributes[\"r\"], -kind * 2]) where IsMatch(status.message, \"a\") and not (scope.name == \"b\" or Len({\"a\": cache})==1)";
    let statement = parse_statement(text, Context::Span).unwrap();
    let mut paths = Vec::new();
    statement.for_each_path(&mut |path| paths.push(path.to_string()));
    assert_eq!(
        paths,
        [
            "span.attributes[\"\"]",
            "span.trace_state[\"k\"]",
            "resource.attributes[\"r\"]",
            "span.kind",
            "span.status.message",
            "scope.name",
            "cache",
        ]
    );
    let mut item = Item::usual();
    assert!(!run("set(name, \"a\") where false", &mut item));
    assert!(run("set(trace_state, \"x=1\")", &mut item));
    let condition = parse_condition("otelcol.client.addr == name", Context::Span).unwrap();
    let mut paths = Vec::new();
    condition.for_each_path(&mut |path| paths.push(path.to_string()));
    assert_eq!(paths, ["otelcol.client.addr", "span.name"]);
    assert_eq!(condition.as_str(), "otelcol.client.addr == name");
}
