//! Random TraceQL searches over random traces, laid out at random, find what the naive evaluator
//! finds.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use store::MeasureRequest;

use crate::bench::{NOW, SECOND};
use crate::layouts::{Layout, layouts};
use crate::sent::{Sent, trace_id, value};
use crate::traceql_oracle;
use crate::traceql_suite::{difference, everything, find, metrics_leaf, paged};

const KEYS: [&str; 3] = ["a", "b", "c"];
const WORDS: [&str; 3] = ["", "x", "yy"];
const TRACES: u64 = 4;

fn otlp() -> impl Strategy<Value = Option<Value>> {
    let int = |number| Value::IntValue(number);
    let text = |text: &str| Value::StringValue(text.to_owned());
    let list = |values: Vec<Value>| {
        let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
        Value::ArrayValue(ArrayValue { values })
    };
    prop_oneof![
        6 => select(vec![int(0), int(1), int(2), text("x"), text("yy")]).prop_map(Some),
        2 => select(vec![
            Value::BoolValue(true),
            Value::BoolValue(false),
            Value::DoubleValue(1.0),
            Value::DoubleValue(-0.5),
            text(""),
            int(-7),
        ])
        .prop_map(Some),
        1 => select(vec![
            Some(list(vec![int(1), int(2)])),
            Some(list(vec![text("x")])),
            Some(list(vec![])),
            Some(Value::DoubleValue(f64::NAN)),
            Some(Value::BytesValue(vec![1])),
            None,
        ]),
    ]
}

/// Each key at most once.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(option::weighted(0.4, otlp()), KEYS.len()).prop_map(|values| {
        let some = KEYS.iter().zip(values).filter_map(|(key, of)| Some(value(key, of?)));
        some.collect()
    })
}

/// Times in tens of milliseconds.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => (0..40u64).prop_map(|at| NOW + at * SECOND / 100),
        2 => (0..5u64).prop_map(|at| NOW + at * 3_600 * SECOND),
        1 => Just(0),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event =
        (attributes(), select(&WORDS[..]), 0..5u64).prop_map(|(attributes, name, at)| Event {
            time_unix_nano: NOW + at * SECOND / 100,
            name: name.to_owned(),
            attributes,
            ..Event::default()
        });
    prop_oneof![1 => Just(Vec::new()), 2 => vec(event, 1..4)]
}

fn links() -> impl Strategy<Value = Vec<Link>> {
    let link = (attributes(), 0..TRACES, 0..6u64).prop_map(|(attributes, trace, span)| Link {
        trace_id: trace_id(trace).0.to_vec(),
        span_id: if span == 0 { Vec::new() } else { span.to_be_bytes().to_vec() },
        attributes,
        ..Link::default()
    });
    prop_oneof![2 => Just(Vec::new()), 1 => vec(link, 1..3)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let scope = (select(&WORDS[..]), attributes()).prop_map(|(name, attributes)| {
        InstrumentationScope { name: name.to_owned(), attributes, ..Default::default() }
    });
    // Origins are few, as they are in life; most spans lie below another.
    let resources = vec![vec![], vec![("a", 1)], vec![("b", 2), ("c", 1)]];
    let origin = (select(vec!["api", "cart"]), select(resources), option::weighted(0.3, scope));
    let place = (0..TRACES, prop_oneof![1 => Just(0u64), 6 => 1..40u64]);
    let head = (select(&WORDS[..]), time(), time(), -1..7i32, -1..4i32, select(&WORDS[..]));
    (origin, place, head, (attributes(), events(), links())).prop_map(
        |((service, resource, scope), (trace, parent), head, (attributes, events, links))| {
            let (name, start, end, kind, code, message) = head;
            let mut sent = Sent::new(trace, 1).name(name).parent(parent).service(service);
            let of = resource.iter().map(|(key, of)| value(key, Some(Value::IntValue(*of))));
            sent.resource.attributes.extend(of);
            sent.scope = scope.unwrap_or_default();
            sent = sent.times(start, end);
            sent.span.kind = kind;
            sent.span.status = (code >= 0).then(|| Status { code, message: message.to_owned() });
            sent.span.attributes = attributes;
            sent.span.events = events;
            sent.span.links = links;
            sent
        },
    )
}

/// Spans of distinct ids but for a few, which differ in their kinds.
fn spans() -> impl Strategy<Value = Vec<Sent>> {
    (vec(sent(), 1..40), vec(0..40usize, 0..3)).prop_map(|(mut all, twins)| {
        for (at, sent) in all.iter_mut().enumerate() {
            sent.span.span_id = (at as u64 + 1).to_be_bytes().to_vec();
        }
        for at in twins {
            if let Some(mut twin) = all.get(at).cloned() {
                twin.span.kind = if twin.span.kind == 3 { 2 } else { 3 };
                twin.span.parent_span_id = twin.span.span_id.clone();
                if all.iter().filter(|sent| sent.span.span_id == twin.span.span_id).count() == 1 {
                    all.push(twin);
                }
            }
        }
        all
    })
}

fn texts(of: &[&str]) -> BoxedStrategy<String> {
    select(of.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).boxed()
}

/// An attribute, whose type only its span tells.
fn attribute() -> BoxedStrategy<String> {
    let scope = texts(&[
        "span",
        "span",
        "",
        "",
        "resource",
        "event",
        "event",
        "link",
        "instrumentation",
        "parent",
        "parent.span",
        "parent.resource",
    ]);
    (scope, select(&KEYS[..])).prop_map(|(scope, key)| format!("{scope}.{key}")).boxed()
}

fn constant() -> BoxedStrategy<String> {
    texts(&["0", "1", "2", "1.0", "-0.5", "`x`", "`yy`", "``", "true", "false", "1ns", "-7"])
}

fn number() -> BoxedStrategy<String> {
    let field = texts(&[
        "duration",
        "traceDuration",
        "span:childCount",
        "nestedSetLeft",
        "nestedSetRight",
        "nestedSetParent",
        "event:timeSinceStart",
    ]);
    let constant = texts(&["0", "1", "2", "0.5", "100ms", "1h", "-1"]);
    let sum = (attribute(), texts(&["+", "-", "*", "/", "%", "^"]), texts(&["0", "1", "2", ".a"]));
    prop_oneof![
        3 => field,
        2 => constant,
        2 => sum.prop_map(|(left, op, right)| format!("({left} {op} {right})")),
        1 => attribute().prop_map(|of| format!("(-{of})")),
    ]
    .boxed()
}

/// A condition without others inside.
fn leaf() -> BoxedStrategy<String> {
    let op = || texts(&["=", "!=", "<", "<=", ">", ">="]);
    let equal = || texts(&["=", "!="]);
    let join = |(left, op, right): (String, String, String)| format!("{left} {op} {right}");
    let text = texts(&[
        "name",
        "statusMessage",
        "rootName",
        "rootServiceName",
        "event:name",
        "instrumentation:name",
        "resource.service.name",
    ]);
    let id = texts(&["span:id", "span:parentID", "link:spanID"]);
    let pattern = texts(&["`x`", "`.*`", "`x|yy`", "``", "`y+`", "`[^x]*`"]);
    let matched = prop_oneof![attribute(), text.clone()];
    prop_oneof![
        6 => (attribute(), op(), constant()).prop_map(join),
        1 => (constant(), op(), attribute()).prop_map(join),
        1 => (attribute(), op(), number()).prop_map(join),
        2 => (attribute(), equal(), Just("nil".to_owned())).prop_map(join),
        2 => (matched, texts(&["=~", "!~"]), pattern).prop_map(join),
        2 => (text, op(), texts(&["`x`", "``", "`yy`", "`api`"])).prop_map(join),
        2 => (number(), op(), number()).prop_map(join),
        1 => (id, op(), texts(&["`1`", "`02`", "``", "`A`", "`none`"])).prop_map(join),
        1 => (Just("kind".to_owned()), equal(), texts(&["server", "client", "internal"]))
            .prop_map(join),
        1 => (Just("status".to_owned()), equal(), texts(&["ok", "error", "unset"])).prop_map(join),
        1 => equal().prop_map(|op| format!("parent {op} nil")),
        1 => texts(&[".a", "span.b", "event.a", "true", "false"]),
    ]
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    leaf()
        .prop_recursive(3, 8, 3, |inner| {
            let joined = |sign: &'static str| {
                vec(inner.clone(), 2..4).prop_map(move |all| format!("({})", all.join(sign)))
            };
            prop_oneof![
                3 => joined(" && "),
                2 => joined(" || "),
                1 => inner.clone().prop_map(|inner| format!("!({inner})")),
            ]
        })
        .boxed()
}

fn filter() -> BoxedStrategy<String> {
    prop_oneof![1 => Just("{}".to_owned()), 8 => condition().prop_map(|of| format!("{{ {of} }}"))]
        .boxed()
}

/// Always in parentheses or braces.
fn spansets() -> BoxedStrategy<String> {
    filter()
        .prop_recursive(3, 6, 2, |inner| {
            let signs = texts(&[
                "&&", "&&", "||", "||", ">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~",
                "&>", "&>>", "&<", "&<<", "&~",
            ]);
            let pair = (inner.clone(), signs, inner.clone());
            prop_oneof![
                5 => pair.prop_map(|(left, sign, right)| format!("({left} {sign} {right})")),
                1 => inner.clone().prop_map(|inner| format!("!{inner}")),
            ]
        })
        .boxed()
}

fn aggregate() -> BoxedStrategy<String> {
    let of = prop_oneof![number(), attribute()].prop_filter("about a span", |of| {
        of.contains(|sign: char| sign.is_ascii_lowercase()) && !of.ends_with("ms") && of != "1h"
    });
    let function = texts(&["min", "max", "sum", "avg"]);
    prop_oneof![
        2 => Just("count()".to_owned()),
        3 => (function, of).prop_map(|(function, of)| format!("{function}({of})")),
    ]
    .boxed()
}

fn stage() -> BoxedStrategy<String> {
    let op = texts(&["=", "!=", "<", "<=", ">", ">="]);
    let right = prop_oneof![
        3 => texts(&["0", "1", "2", "3", "0.5", "100ms"]),
        1 => (aggregate(), texts(&["+", "-", "*", "/"]), texts(&["0", "1", "2"]))
            .prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
    ];
    let key = prop_oneof![
        attribute(),
        texts(&["name", "kind", "status", "rootName", "span:childCount", "span.a = 1"]),
    ];
    prop_oneof![
        3 => spansets(),
        4 => (aggregate(), op, right).prop_map(|(left, op, right)| format!("{left} {op} {right}")),
        2 => key.prop_map(|key| format!("by({key})")),
        1 => Just("coalesce()".to_owned()),
        1 => attribute().prop_map(|of| format!("select({of}, name)")),
    ]
    .boxed()
}

fn query() -> BoxedStrategy<String> {
    let pipeline = || {
        (spansets(), vec(stage(), 0..4))
            .prop_map(|(first, stages)| [vec![first], stages].concat().join(" | "))
    };
    let pair = (pipeline(), texts(&["&&", "||"]), pipeline());
    prop_oneof![
        4 => spansets(),
        6 => pipeline(),
        1 => pair.prop_map(|(left, sign, right)| format!("({left}) {sign} ({right})")),
        1 => pipeline().prop_map(|inner| format!("!({inner})")),
    ]
    .prop_filter("well-typed", |query| traceql::parse(query).is_ok())
    .boxed()
}

/// Something that spans are told apart by or that is measured.
fn field() -> BoxedStrategy<String> {
    let intrinsic = texts(&[
        "name",
        "kind",
        "status",
        "statusMessage",
        "duration",
        "traceDuration",
        "rootName",
        "rootServiceName",
        "span:childCount",
        "span:parentID",
        "nestedSetParent",
        "event:name",
        "event:timeSinceStart",
        "instrumentation:name",
    ]);
    prop_oneof![2 => attribute(), 1 => intrinsic].boxed()
}

fn metrics() -> BoxedStrategy<String> {
    let pipeline = (spansets(), vec(stage(), 0..2))
        .prop_map(|(first, stages)| [vec![first], stages].concat().join(" | "));
    let first = prop_oneof![2 => Just("{}".to_owned()), 2 => filter(), 1 => pipeline];
    let over = texts(&["min", "max", "avg", "sum"]);
    let function = prop_oneof![
        2 => texts(&["rate()", "count_over_time()"]),
        2 => (over, field()).prop_map(|(over, field)| format!("{over}_over_time({field})")),
        2 => field().prop_map(|field| format!("quantile_over_time({field}, 0, .3, .5, 1)")),
        1 => field().prop_map(|field| format!("histogram_over_time({field})")),
    ];
    let by = vec(field(), 0..4).prop_map(|fields| match fields[..] {
        [] => String::new(),
        _ => format!(" by({})", fields.join(", ")),
    });
    let grouped = (function, by).prop_map(|(function, by)| format!("{function}{by}"));
    let compare = (filter(), 1..4u64).prop_map(|(of, top)| format!("compare({of}, {top})"));
    let counted = prop_oneof![6 => grouped, 1 => compare];
    (first, counted)
        .prop_map(|(first, counted)| format!("{first} | {counted}"))
        .prop_filter("well-typed", |query| traceql::parse(query).is_ok())
        .boxed()
}

/// Intervals in which spans start on the edges and between them.
fn windows() -> impl Strategy<Value = (u64, u64, usize)> {
    let start = prop_oneof![
        (0..20u64).prop_map(|at| NOW + at * SECOND / 100),
        (0..3u64).prop_map(|at| NOW - 1 + at * 3_600 * SECOND),
        Just(0),
    ];
    let step = select(vec![SECOND / 100, SECOND / 30, 3 * SECOND, 3_600 * SECOND, NOW, u64::MAX]);
    (start, step, 1..30usize)
}

fn moment() -> impl Strategy<Value = Option<u64>> {
    let time = prop_oneof![
        (0..40u64).prop_map(|at| NOW + at * SECOND / 100),
        (0..5u64).prop_map(|at| NOW + at * 3_600 * SECOND),
    ];
    option::weighted(0.2, time)
}

fn length() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.1, (0..60u64).prop_map(|at| at * SECOND / 100))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        max_shrink_iters: 1_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn finds_what_a_naive_evaluator_finds(
        spans in spans(),
        layout in layouts().prop_filter("not too many spans", Layout::is_light),
        queries in vec((query(), moment(), moment(), length(), length()), 20),
        limit in 1..4usize,
    ) {
        let (bench, held) = layout.lay(&spans);
        for (query, from, to, shortest, longest) in queries {
            let mut request = everything(&query);
            request.start_unix_nano = from;
            request.end_unix_nano = to;
            request.duration_min_nano = shortest;
            request.duration_max_nano = longest;
            // Fillers are many, and alike.
            request.spans_per_spanset = 20;
            let expected = traceql_oracle::find(&held, &request);
            // As text, in which NaN equals itself.
            let spelled = format!("{expected:#?}");
            let found = find(&bench, &request).traces;
            prop_assert_eq!(format!("{found:#?}"), spelled.as_str(), "{}", query);
            let pages = paged(&bench, &request, limit);
            prop_assert_eq!(format!("{pages:#?}"), spelled.as_str(), "{} by {}", query, limit);
        }
    }

    #[test]
    fn measures_what_a_naive_evaluator_measures(
        spans in spans(),
        layout in layouts().prop_filter("not too many spans", Layout::is_light),
        queries in vec((metrics(), windows()), 12),
    ) {
        let (bench, held) = layout.lay(&spans);
        for (query, (start_unix_nano, step_nano, steps)) in queries {
            let leaf = metrics_leaf(&query);
            let request =
                MeasureRequest { leaf, start_unix_nano, step_nano, steps, exemplars_max: 0, extrapolate: false };
            let difference = difference(&bench, &held, &request);
            prop_assert!(difference.is_none(), "{query}: {}", difference.unwrap_or_default());
        }
    }
}
