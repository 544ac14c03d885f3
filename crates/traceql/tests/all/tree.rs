//! The shape of trees, and what they tell of themselves.

use traceql::{
    Aggregate, AggregateFunction, CompareOp, FieldExpr, MetricsQuery, Mode, QueryKind, Relation,
    Scalar, SpansetExpr, Stage, Static,
};

use crate::query;

#[track_caller]
fn stages(text: &str) -> Vec<Stage> {
    match query(text).kind {
        QueryKind::Search(pipeline) => pipeline.stages,
        QueryKind::Metrics(metrics) => panic!("{metrics}"),
    }
}

#[test]
fn chains_of_one_operator_are_one_list() {
    for text in ["{ .a && .b && .c }", "{ .a && (.b && .c) }", "{ (.a && .b) && .c }"] {
        match &stages(text)[..] {
            [Stage::Spansets(SpansetExpr::Filter(FieldExpr::All(all)))] => assert_eq!(all.len(), 3),
            other => panic!("{text}: {other:?}"),
        }
    }
    match &stages("{.a} || {.b} || ({.c} || {.d})")[..] {
        [Stage::Spansets(SpansetExpr::Or(all))] => assert_eq!(all.len(), 4),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_structural_operator() {
    for relation in Relation::ALL {
        for mode in Mode::ALL {
            let text = format!("{{ .a }} {}{} {{ .b }}", mode.prefix(), relation.symbol());
            match &stages(&text)[..] {
                [Stage::Spansets(SpansetExpr::Structural { relation: r, mode: m, .. })] => {
                    assert_eq!((*r, *m), (relation, mode), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_filter_of_spansets() {
    let stages = stages("{} | avg(duration) > 2s");
    let [_, Stage::Filter(filter)] = &stages[..] else { panic!("{stages:?}") };
    assert_eq!(filter.op, CompareOp::Greater);
    assert_eq!(filter.right, Scalar::Static(Static::Duration(2_000_000_000)));
    let Scalar::Aggregate(aggregate) = &filter.left else { panic!("{filter}") };
    assert!(matches!(aggregate, Aggregate { function: AggregateFunction::Avg, expr: Some(_) }));
    assert_eq!(aggregate.to_string(), "avg(duration)");
}

#[test]
fn aggregates_print_as_the_attribute_that_they_add() {
    for name in ["count()", "avg(duration)", "sum(.a + 1)", "max(span.\"x y\")", "min(-.a)"] {
        let stages = stages(&format!("{{}} | {name} > 0"));
        let [_, Stage::Filter(filter)] = &stages[..] else { panic!("{stages:?}") };
        assert_eq!(filter.left.to_string(), name);
    }
    assert_eq!(
        stages("{} | by(resource.service.name)")[1].to_string(),
        "by(resource.service.name)"
    );
}

#[test]
fn a_pipeline_in_parentheses_alone_is_the_query() {
    assert_eq!(stages("(({.a} | count() > 1))").len(), 2);
    assert!(matches!(
        &stages("!({.a} | count() > 1)")[..],
        [Stage::Spansets(SpansetExpr::Not(inner))] if matches!(**inner, SpansetExpr::Pipeline(_))
    ));
}

#[test]
fn metrics_nest() {
    let QueryKind::Metrics(metrics) = query("({} | rate()) * 100 > 5 | topk(3)").kind else {
        panic!()
    };
    let MetricsQuery::TopK { n: 3, inner } = metrics else { panic!("{metrics}") };
    let MetricsQuery::Filter { op: CompareOp::Greater, value: 5.0, inner } = *inner else {
        panic!("{inner}")
    };
    assert!(matches!(*inner, MetricsQuery::Binary { .. }), "{inner}");
}

#[test]
fn attributes_of_a_query() {
    for (text, names) in [
        ("{}", &[][..]),
        ("{ .a = .b || .a = 1 }", &[".a", ".b"]),
        (
            "{ name =~ `x` && -.a > 1 && !span.b && link.c != nil }",
            &["name", ".a", "span.b", "link.c"],
        ),
        (
            "{.a} > {.b} && !({.c} | avg(.d) > 2 * sum(.e)) | by(.f) | select(.g, .a)",
            &[".a", ".b", ".c", ".d", ".e", ".f", ".g"],
        ),
        (
            "({.a} | rate() by(name)) / ({.b} | quantile_over_time(duration, .5)) > 1",
            &[".a", "name", ".b", "duration"],
        ),
        ("{.a} | compare({.b = 1})", &[".a", ".b"]),
        ("{ parent.a = 1 && parent != nil }", &["parent.a", "parent"]),
    ] {
        let found: Vec<String> = query(text).attributes().iter().map(|f| f.to_string()).collect();
        assert_eq!(found, names, "{text}");
    }
}
