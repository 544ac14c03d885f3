//! What holds for every tree and every text.

use proptest::collection::vec;
use proptest::prelude::*;
use traceql::*;

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9._]{0,8}",
        "[0-9][a-z]{0,3}",
        "(span|resource|event|parent)\\.[a-z]{1,3}",
        "[ -~éλ\\n]{1,6}",
        Just("service.name".to_owned()),
    ]
}

fn scopes() -> impl Strategy<Value = (Scope, bool)> {
    prop_oneof![
        Just((Scope::Any, false)),
        prop::sample::select(Scope::NAMED.to_vec()).prop_map(|scope| (scope, false)),
        prop::sample::select(vec![Scope::Any, Scope::Span, Scope::Resource])
            .prop_map(|scope| (scope, true)),
    ]
}

fn attributes() -> impl Strategy<Value = Field> {
    (scopes(), names())
        .prop_map(|((scope, parent), name)| Field::Attribute(Attribute { scope, parent, name }))
}

fn fields() -> impl Strategy<Value = Field> {
    let readable = |intrinsic: &&Intrinsic| **intrinsic != Intrinsic::Parent;
    let intrinsics: Vec<_> = Intrinsic::ALL.iter().filter(readable).copied().collect();
    prop_oneof![attributes(), prop::sample::select(intrinsics).prop_map(Field::Intrinsic)]
}

fn numbers() -> impl Strategy<Value = Static> {
    prop_oneof![
        any::<i64>().prop_map(Static::Int),
        (-9i64..9).prop_map(Static::Int),
        any::<i64>().prop_map(Static::Duration),
        (-9_000_000_000i64..9_000_000_000).prop_map(Static::Duration),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Static::Float),
    ]
}

fn statics() -> impl Strategy<Value = Static> {
    prop_oneof![
        numbers(),
        any::<String>().prop_map(Static::String),
        "[a-z`\"\\\\]{0,6}".prop_map(Static::String),
        any::<bool>().prop_map(Static::Bool),
        prop::sample::select(Status::ALL.to_vec()).prop_map(Static::Status),
        prop::sample::select(Kind::ALL.to_vec()).prop_map(Static::Kind),
    ]
}

fn attribute() -> impl Strategy<Value = FieldExpr> {
    attributes().prop_map(FieldExpr::Field)
}

/// Numbers that depend on a span.
fn numeric() -> impl Strategy<Value = FieldExpr> {
    attribute().prop_recursive(4, 12, 2, |inner| {
        let op = prop::sample::select(ArithmeticOp::ALL.to_vec());
        let side = prop_oneof![inner.clone(), numbers().prop_map(FieldExpr::Static)];
        prop_oneof![
            (op, inner.clone(), side, any::<bool>()).prop_map(|(op, a, b, swap)| {
                let (left, right) = if swap { (b, a) } else { (a, b) };
                FieldExpr::Arithmetic { op, left: left.into(), right: right.into() }
            }),
            inner.prop_map(|inner| FieldExpr::Negate(inner.into())),
        ]
    })
}

fn comparisons() -> impl Strategy<Value = FieldExpr> {
    let equality = prop::sample::select(vec![CompareOp::Equal, CompareOp::NotEqual]);
    let op = prop::sample::select(CompareOp::ALL.to_vec());
    let patterns = prop::sample::select(vec!["", "a.*", "[`\"]", "/{id}", "\\d+\\\\"]);
    prop_oneof![
        attribute(),
        (equality, attribute(), statics()).prop_map(|(op, left, right)| FieldExpr::Compare {
            op,
            left: left.into(),
            right: FieldExpr::Static(right).into(),
        }),
        (op, numeric(), numeric()).prop_map(|(op, left, right)| FieldExpr::Compare {
            op,
            left: left.into(),
            right: right.into(),
        }),
        (attribute(), patterns, any::<bool>()).prop_map(|(value, pattern, negated)| {
            let pattern = Pattern::new(pattern).unwrap();
            FieldExpr::Matches { value: value.into(), pattern, negated }
        }),
        (fields(), any::<bool>()).prop_map(|(field, negated)| {
            let service = matches!(&field, Field::Attribute(Attribute { scope: Scope::Resource, name, .. }) if name == "service.name");
            let negated = negated && matches!(field, Field::Attribute(_)) && !service;
            FieldExpr::Exists { value: FieldExpr::Field(field).into(), negated }
        }),
    ]
}

/// Lists as the parser makes them: none directly in one of the same kind.
fn all(parts: Vec<FieldExpr>) -> FieldExpr {
    let flat = parts.into_iter().flat_map(|part| match part {
        FieldExpr::All(inner) => inner,
        other => vec![other],
    });
    FieldExpr::All(flat.collect())
}

fn any_of(parts: Vec<FieldExpr>) -> FieldExpr {
    let flat = parts.into_iter().flat_map(|part| match part {
        FieldExpr::Any(inner) => inner,
        other => vec![other],
    });
    FieldExpr::Any(flat.collect())
}

fn filters() -> impl Strategy<Value = FieldExpr> {
    let inner = comparisons().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(all),
            vec(inner.clone(), 2..4).prop_map(any_of),
            inner.prop_map(|inner| FieldExpr::Not(inner.into())),
        ]
    });
    prop_oneof![4 => inner, 1 => any::<bool>().prop_map(|on| FieldExpr::Static(Static::Bool(on)))]
}

fn spansets() -> impl Strategy<Value = SpansetExpr> {
    filters().prop_map(SpansetExpr::Filter).prop_recursive(4, 12, 3, |inner| {
        let relation = prop::sample::select(Relation::ALL.to_vec());
        let mode = prop::sample::select(Mode::ALL.to_vec());
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|parts| {
                let flat = parts.into_iter().flat_map(|part| match part {
                    SpansetExpr::And(inner) => inner,
                    other => vec![other],
                });
                SpansetExpr::And(flat.collect())
            }),
            vec(inner.clone(), 2..4).prop_map(|parts| {
                let flat = parts.into_iter().flat_map(|part| match part {
                    SpansetExpr::Or(inner) => inner,
                    other => vec![other],
                });
                SpansetExpr::Or(flat.collect())
            }),
            (relation, mode, inner.clone(), inner.clone()).prop_map(
                |(relation, mode, left, right)| SpansetExpr::Structural {
                    relation,
                    mode,
                    left: left.into(),
                    right: right.into(),
                }
            ),
            (inner.clone(), scalar_filters()).prop_map(|(inner, count)| {
                let stages = vec![Stage::Spansets(inner), Stage::Filter(count)];
                SpansetExpr::Not(SpansetExpr::Pipeline(Pipeline { stages }).into())
            }),
            inner.prop_map(|inner| SpansetExpr::Not(inner.into())),
        ]
    })
}

fn aggregates() -> impl Strategy<Value = Scalar> {
    let of = |function: AggregateFunction| {
        numeric().prop_map(move |expr| Aggregate { function, expr: Some(expr) })
    };
    prop_oneof![
        Just(Aggregate { function: AggregateFunction::Count, expr: None }),
        of(AggregateFunction::Min),
        of(AggregateFunction::Max),
        of(AggregateFunction::Avg),
        of(AggregateFunction::Sum),
    ]
    .prop_map(Scalar::Aggregate)
}

fn scalars() -> impl Strategy<Value = Scalar> {
    aggregates().prop_recursive(3, 6, 2, |inner| {
        let op = prop::sample::select(ArithmeticOp::ALL.to_vec());
        let side = prop_oneof![inner.clone(), numbers().prop_map(Scalar::Static)];
        prop_oneof![
            (op, inner.clone(), side, any::<bool>()).prop_map(|(op, a, b, swap)| {
                let (left, right) = if swap { (b, a) } else { (a, b) };
                Scalar::Arithmetic { op, left: left.into(), right: right.into() }
            }),
            inner.prop_map(|inner| Scalar::Negate(inner.into())),
        ]
    })
}

fn scalar_filters() -> impl Strategy<Value = ScalarFilter> {
    let op = prop::sample::select(CompareOp::ALL.to_vec());
    let side = prop_oneof![scalars(), numbers().prop_map(Scalar::Static)];
    (op, scalars(), side, any::<bool>()).prop_map(|(op, a, b, swap)| {
        let (left, right) = if swap { (b, a) } else { (a, b) };
        ScalarFilter { left, op, right }
    })
}

fn pipelines() -> impl Strategy<Value = Pipeline> {
    let stage = prop_oneof![
        spansets().prop_map(Stage::Spansets),
        scalar_filters().prop_map(Stage::Filter),
        prop_oneof![numeric(), comparisons()].prop_map(Stage::By),
        Just(Stage::Coalesce),
        vec(fields(), 1..3).prop_map(Stage::Select),
    ];
    (spansets(), vec(stage, 0..3)).prop_map(|(first, rest)| {
        let stages = [Stage::Spansets(first)].into_iter().chain(rest).collect();
        Pipeline { stages }
    })
}

/// Pipelines joined in parentheses.
fn joined() -> impl Strategy<Value = Pipeline> {
    let relation = prop::sample::select(Relation::ALL.to_vec());
    let part = (pipelines(), scalar_filters()).prop_map(|(mut pipeline, filter)| {
        pipeline.stages.push(Stage::Filter(filter));
        SpansetExpr::Pipeline(pipeline)
    });
    (relation, part, spansets(), any::<bool>()).prop_map(|(relation, a, b, swap)| {
        let (left, right) = if swap { (b, a) } else { (a, b) };
        let (left, right) = (left.into(), right.into());
        let expr = SpansetExpr::Structural { relation, mode: Mode::Union, left, right };
        Pipeline { stages: vec![Stage::Spansets(expr)] }
    })
}

fn functions() -> impl Strategy<Value = MetricsFunction> {
    let quantiles = vec(0.0..1.0f64, 1..3);
    prop_oneof![
        Just(MetricsFunction::Rate),
        Just(MetricsFunction::CountOverTime),
        (prop::sample::select(OverTime::ALL.to_vec()), fields())
            .prop_map(|(function, field)| MetricsFunction::OverTime(function, field)),
        (fields(), quantiles)
            .prop_map(|(field, quantiles)| MetricsFunction::Quantile { field, quantiles }),
        fields().prop_map(MetricsFunction::Histogram),
    ]
}

fn metrics() -> impl Strategy<Value = MetricsQuery> {
    let leaf =
        (pipelines(), functions(), vec(fields(), 0..4)).prop_map(|(pipeline, function, by)| {
            MetricsQuery::Leaf(MetricsLeaf { pipeline, function, by })
        });
    let number = || any::<f64>().prop_filter("finite", |f| f.is_finite());
    leaf.prop_recursive(3, 6, 2, move |inner| {
        let side = prop_oneof![inner.clone(), number().prop_map(MetricsQuery::Scalar)];
        prop_oneof![
            (prop::sample::select(MathOp::ALL.to_vec()), inner.clone(), side, any::<bool>())
                .prop_map(|(op, a, b, swap)| {
                    let (left, right) = if swap { (b, a) } else { (a, b) };
                    MetricsQuery::Binary { op, left: left.into(), right: right.into() }
                }),
            (1u64..9, inner.clone())
                .prop_map(|(n, inner)| MetricsQuery::TopK { n, inner: inner.into() }),
            (1u64..9, inner.clone())
                .prop_map(|(n, inner)| MetricsQuery::BottomK { n, inner: inner.into() }),
            (prop::sample::select(CompareOp::ALL.to_vec()), number(), inner).prop_map(
                |(op, value, inner)| MetricsQuery::Filter { op, value, inner: inner.into() }
            ),
        ]
    })
}

fn compares() -> impl Strategy<Value = MetricsQuery> {
    let range = prop::option::of((1i64..100, 100i64..200));
    (pipelines(), filters(), 1u64..=1000, range).prop_map(|(pipeline, selection, top_n, range)| {
        let function = MetricsFunction::Compare { selection, top_n, range };
        MetricsQuery::Leaf(MetricsLeaf { pipeline, function, by: Vec::new() })
    })
}

fn hints() -> impl Strategy<Value = Hints> {
    let exemplars = prop_oneof![
        any::<bool>().prop_map(Exemplars::Switch),
        (0u64..500).prop_map(Exemplars::Count)
    ];
    let sample = prop_oneof![
        any::<bool>().prop_map(Sampling::Switch),
        (0.01f64..1.0).prop_map(Sampling::Part)
    ];
    use prop::option::of;
    (
        of(any::<bool>()),
        of(exemplars),
        of(sample),
        of(0.01f64..1.0),
        of(any::<bool>()),
        vec(("x[a-z]{1,5}", statics()), 0..2),
    )
        .prop_map(|(most_recent, exemplars, sample, span_sample, extrapolate, ignored)| {
            Hints {
                most_recent,
                exemplars,
                sample,
                span_sample,
                trace_sample: span_sample,
                extrapolate,
                ignored,
            }
        })
}

fn queries() -> impl Strategy<Value = Query> {
    let kind = prop_oneof![
        3 => pipelines().prop_map(QueryKind::Search),
        1 => joined().prop_map(QueryKind::Search),
        3 => metrics().prop_map(QueryKind::Metrics),
        1 => compares().prop_map(QueryKind::Metrics),
    ];
    (kind, hints()).prop_map(|(kind, hints)| Query { kind, hints })
}

/// Pieces of the language in any order.
fn salad() -> impl Strategy<Value = String> {
    const PIECES: [&str; 78] = [
        "{",
        "}",
        "(",
        ")",
        "{ ",
        " }",
        ",",
        " | ",
        "|",
        " && ",
        " || ",
        " = ",
        " != ",
        " < ",
        " > ",
        " <= ",
        " >= ",
        " =~ ",
        " !~ ",
        "!",
        "-",
        " + ",
        " * ",
        " / ",
        " % ",
        " ^ ",
        " >> ",
        " << ",
        " ~ ",
        " &>> ",
        " !< ",
        ".a",
        "span.b",
        "resource.service.name",
        "parent.c",
        "parent",
        "event:name",
        "trace:id",
        "duration",
        "name",
        "status",
        "kind",
        "error",
        "server",
        "nil",
        "true",
        "1",
        "2.5",
        "1h30m",
        "minInt",
        "\"x\"",
        "`y.*`",
        "\"",
        "`",
        "'",
        "count()",
        "avg(",
        "max(",
        "by(",
        "select(",
        "coalesce()",
        "rate()",
        "count_over_time()",
        "avg_over_time(",
        "quantile_over_time(",
        "histogram_over_time(",
        "compare(",
        "topk(2)",
        "bottomk(",
        " with(",
        "most_recent=true",
        "sample=",
        "//",
        "/*",
        "\n",
        "é",
        ".",
        "span.\"x y\"",
    ];
    vec(prop::sample::select(PIECES.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

/// Holds whatever the text is.
fn total(text: &str) {
    match parse(text) {
        Ok(query) => {
            let printed = query.to_string();
            assert_eq!(parse(&printed).as_ref(), Ok(&query), "{text}\n{printed}");
            query.attributes();
        }
        Err(error) => {
            assert!(text.get(error.start..error.end).is_some(), "{text}: {error}");
            assert!(error.line >= 1 && error.column >= 1);
            assert!(!error.to_string().is_empty() && !error.caret(text).is_empty());
        }
    }
    if let Some(spansets) = lenient(text) {
        let printed = spansets.to_string();
        assert!(parse(&printed).is_ok(), "{text}\n{printed}");
    }
    if let Ok(field) = traceql::attribute(text) {
        assert_eq!(traceql::attribute(&field.to_string()), Ok(field));
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(query in queries()) {
        let text = query.to_string();
        let read = parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&query), "{}", text);
    }

    #[test]
    fn any_text(text in any::<String>()) {
        total(&text);
    }

    #[test]
    fn any_pieces(text in salad()) {
        total(&text);
    }

    #[test]
    fn a_query_with_a_piece_changed(
        query in queries(),
        piece in salad(),
        at in any::<prop::sample::Index>(),
        cut in 0usize..8,
    ) {
        let text = query.to_string();
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        total(&format!("{}{piece}{}", &text[..start], &text[end..]));
        total(&text[..start]);
        total(&text[start..]);
    }
}
