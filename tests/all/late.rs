//! Spans that come in any order, again, and after a restart.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::otlp::{Small, now, request, spans};
use crate::server::Server;

const TRACE: u128 = 0xabc;

fn span(span_id: u64, parent_id: u64, name: &str) -> Small {
    let (name, start) = (name.to_owned(), now());
    Small { trace_id: TRACE, span_id, parent_id, name, start, duration_nano: 1_000_000 }
}

/// Names of the trace's spans, each of which is there once.
fn names(server: &Server) -> BTreeSet<String> {
    let spans = spans(&server.json(&format!("/traces/{TRACE:032x}")));
    let names: BTreeSet<String> = spans.iter().map(|span| span.name.clone()).collect();
    assert_eq!(names.len(), spans.len(), "a span is there twice: {spans:#?}");
    names
}

#[test]
fn late_and_repeated_spans_make_one_whole_trace() {
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let root = span(1, 0, "root");
    let (child, late) = (span(2, 1, "child"), span(3, 2, "late"));
    let summary = |server: &Server| {
        let page = server.json("/traces?service=shop");
        let traces = page["traces"].as_array().expect("traces").clone();
        let [trace] = &traces[..] else { panic!("not one trace: {page}") };
        (trace["missing_root"].clone(), trace["orphan_count"].clone(), trace["span_count"].clone())
    };

    let server = Server::on(&data_dir);
    let twice = request("shop", &[late.clone(), late]);
    server.export(&twice).ok();
    server.export(&twice).ok();
    assert_eq!(summary(&server), (true.into(), 1.into(), 1.into()));
    server.export(&request("shop", std::slice::from_ref(&root))).ok();
    assert_eq!(summary(&server), (false.into(), 1.into(), 2.into()));
    server.stop();

    let server = Server::on(&data_dir);
    server.export(&request("shop", &[child, root])).ok();
    assert_eq!(names(&server), ["child", "late", "root"].map(str::to_owned).into());
    assert_eq!(summary(&server), (false.into(), 0.into(), 3.into()));
}
