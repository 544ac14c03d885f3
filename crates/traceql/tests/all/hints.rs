//! `with(…)`.

use traceql::{ErrorKind, Exemplars, Hints, Sampling, Static};

use crate::{query, refused};

#[test]
fn typed() {
    let none = Hints::default();
    for (text, hints) in [
        ("", none.clone()),
        ("with(most_recent=true)", Hints { most_recent: Some(true), ..none.clone() }),
        (
            "with(exemplars=false)",
            Hints { exemplars: Some(Exemplars::Switch(false)), ..none.clone() },
        ),
        ("with(exemplars=-1)", Hints { exemplars: Some(Exemplars::Count(0)), ..none.clone() }),
        ("with(exemplars=50)", Hints { exemplars: Some(Exemplars::Count(50)), ..none.clone() }),
        ("with(sample=true)", Hints { sample: Some(Sampling::Switch(true)), ..none.clone() }),
        ("with(sample=0.1)", Hints { sample: Some(Sampling::Part(0.1)), ..none.clone() }),
        ("with(sample=1)", Hints { sample: Some(Sampling::Part(1.0)), ..none.clone() }),
        ("with(span_sample=.5)", Hints { span_sample: Some(0.5), ..none.clone() }),
        ("with(trace_sample=0.01)", Hints { trace_sample: Some(0.01), ..none.clone() }),
        ("with(extrapolate=true)", Hints { extrapolate: Some(true), ..none.clone() }),
        (
            "with(exemplars=3, most_recent=false)",
            Hints {
                exemplars: Some(Exemplars::Count(3)),
                most_recent: Some(false),
                ..none.clone()
            },
        ),
        // A second list replaces the first.
        (
            "with(exemplars=3, extrapolate=true) with(most_recent=true)",
            Hints { most_recent: Some(true), ..none.clone() },
        ),
        (
            "with(exemplars=3, exemplars=4)",
            Hints { exemplars: Some(Exemplars::Count(3)), ..none.clone() },
        ),
        (
            "with(foo=`bar`, baz=-1)",
            Hints {
                ignored: vec![
                    ("foo".to_owned(), Static::String("bar".to_owned())),
                    ("baz".to_owned(), Static::Int(-1)),
                ],
                ..none.clone()
            },
        ),
    ] {
        for query_text in [format!("{{}} {text}"), format!("{{}} | rate() {text}")] {
            let tree = query(&query_text);
            assert_eq!(tree.hints, hints, "{text}");
            assert_eq!(query(&tree.to_string()), tree, "{text}");
        }
    }
}

/// Tempo refuses no hint: what it does not let a user steer has no effect, nor has a value that
/// says nothing.
#[test]
fn without_effect() {
    for hint in [
        "job_size=1",
        "time_overlap_cutoff=0.2",
        "concurrent_blocks=1",
        "debug=true",
        "info=true",
        "debug_return_in=1",
        "debug_std_dev=1",
        "debug_data_factor=1",
        "skip_ast_transformations=true",
        "spanonly_fetch=true",
        "most_recent=1",
        "exemplars=1.5",
        "sample=0",
        "sample=1.5",
        "sample=`much`",
        "span_sample=true",
        "extrapolate=`yes`",
    ] {
        let tree = query(&format!("{{}} with({hint}, most_recent=true)"));
        let (name, _) = hint.split_once('=').unwrap();
        assert_eq!(tree.hints.ignored.len(), 1, "{hint}");
        assert_eq!(tree.hints.ignored[0].0, name, "{hint}");
        let rest = Hints { ignored: Vec::new(), ..tree.hints.clone() };
        assert_eq!(rest, Hints { most_recent: Some(true), ..Hints::default() }, "{hint}");
        assert_eq!(query(&tree.to_string()), tree, "{hint}");
    }
}

#[test]
fn malformed() {
    refused(
        ErrorKind::Parse,
        &[
            ("{} with", 4, "unexpected with"),
            ("{} with()", 9, "unexpected ); expected the name of a hint"),
            ("{} with(most_recent)", 20, "unexpected ); expected ="),
            ("{} with(most_recent=)", 21, "unexpected ); expected a value"),
            ("{} with(most_recent=.a)", 21, "unexpected .a; expected a value"),
            ("{} with(most_recent=true", 25, "expected , or )"),
            ("{} with(most_recent=true) | {}", 27, "unexpected |"),
            ("with(most_recent=true)", 1, "unknown function with"),
            ("({} with(most_recent=true))", 5, "unexpected with; expected )"),
        ],
    );
}
