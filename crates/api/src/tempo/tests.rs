//! The streaming service, method by method: the same answers as over HTTP, and what is refused.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use model::SpanBatch;
use serde_json::json;
use store::{Engine, Options, Store};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status};

use super::grpc::Service;
use super::proto::streaming_querier_server::StreamingQuerier;
use super::proto::{
    QueryInstantRequest, QueryRangeRequest, SearchRequest, SearchTagValuesRequest,
    SearchTagsRequest,
};
use super::stream::Answers;
use crate::{Access, Api};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_700_000_040 * SECOND;

/// A service with three traces of a span each, one a minute.
async fn service() -> (Service, TempDir) {
    let folder = TempDir::new().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("data")), |_, _| {}).unwrap();
    for age in 0..3_u64 {
        let start = NOW - (age * 60 + 10) * SECOND;
        let text = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
        let otlp = json!({ "resourceSpans": [{
            "resource": { "attributes": [text("service.name", "cart")] },
            "scopeSpans": [{ "spans": [{
                "traceId": format!("{:032x}", age + 1), "spanId": format!("{:016x}", 1),
                "name": format!("age {age}"), "attributes": [text("word", "yes")],
                "startTimeUnixNano": start.to_string(),
                "endTimeUnixNano": (start + 10_000_000).to_string(),
            }] }],
        }] });
        let bytes = model::json::decode(otlp.to_string().as_bytes()).unwrap();
        engine.append(SpanBatch::decode(Bytes::from(bytes)).unwrap()).await.unwrap();
    }
    let api = Api {
        store: Arc::new(engine),
        access: Access::default(),
        listeners: Arc::new(Vec::new),
        started: Instant::now(),
        clock: Arc::new(|| NOW),
        clock_skew_max_nano: 0,
    };
    (Service { api: Arc::new(api) }, folder)
}

/// All messages of a call.
async fn all<T>(answer: Result<Response<Answers<T>>, Status>) -> Result<Vec<T>, Status> {
    answer?.into_inner().collect::<Vec<_>>().await.into_iter().collect()
}

/// The one message of a call.
async fn one<T: Debug>(answer: Result<Response<Answers<T>>, Status>) -> T {
    let mut messages = all(answer).await.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

const MINUTE: u64 = 60;
const NEWEST: u32 = (NOW / SECOND - 10) as u32;

#[tokio::test]
async fn searches() {
    let (service, _folder) = service().await;
    let search = async |request: SearchRequest| {
        let messages = all(service.search(Request::new(request)).await).await.unwrap();
        let done = messages.last().and_then(|last| last.metrics).unwrap();
        assert_eq!(done.completed_jobs, done.total_jobs);
        let mut names: Vec<String> = Vec::new();
        for trace in messages.into_iter().flat_map(|message| message.traces) {
            names.retain(|name| *name != trace.root_trace_name);
            names.push(trace.root_trace_name);
        }
        names.join(", ")
    };
    let plain = SearchRequest::default();
    let tags = |value: &str| [("word".to_owned(), value.to_owned())].into();
    // As the data source looks whether the server is healthy: newest first, and nothing set is
    // nothing asked for.
    assert_eq!(search(plain.clone()).await, "age 0, age 1, age 2");
    for (request, expected) in [
        (SearchRequest { limit: 1, query: "{}".to_owned(), ..plain.clone() }, "age 0"),
        (SearchRequest { query: "{ name = `age 1` }".to_owned(), ..plain.clone() }, "age 1"),
        (SearchRequest { start: NEWEST - 5, end: NEWEST + 5, ..plain.clone() }, "age 0"),
        (SearchRequest { tags: tags("yes"), ..plain.clone() }, "age 0, age 1, age 2"),
        (SearchRequest { tags: tags("a \"no\""), ..plain.clone() }, ""),
        (SearchRequest { min_duration_ms: 11, ..plain.clone() }, ""),
        (SearchRequest { max_duration_ms: 9, ..plain.clone() }, ""),
        (SearchRequest { spans_per_span_set: 100, limit: 2, ..plain.clone() }, "age 0, age 1"),
    ] {
        assert_eq!(search(request.clone()).await, expected, "{request:?}");
    }
    for (request, said) in [
        (SearchRequest { query: "{ status = }".to_owned(), ..plain.clone() }, "col 12: "),
        (SearchRequest { query: "{} | rate()".to_owned(), ..plain.clone() }, "invalid q: "),
        (SearchRequest { start: 9, end: 8, ..plain.clone() }, "invalid start: "),
        (SearchRequest { limit: u32::MAX, ..plain.clone() }, "invalid limit: "),
        (SearchRequest { spans_per_span_set: 101, ..plain.clone() }, "invalid spss: "),
        (
            SearchRequest { min_duration_ms: 2, max_duration_ms: 1, ..plain.clone() },
            "invalid maxDuration: ",
        ),
        (
            SearchRequest { query: "{}".to_owned(), tags: tags("yes"), ..plain.clone() },
            "invalid tags: ",
        ),
    ] {
        let answer = all(service.search(Request::new(request)).await).await;
        is_refused(answer, said);
    }
}

fn is_refused<T: Debug>(answer: Result<T, Status>, said: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains(said), "{said}: {status:?}");
}

#[tokio::test]
async fn names_and_values() {
    let (service, _folder) = service().await;
    let plain = SearchTagsRequest::default();
    for (request, expected) in [
        (plain.clone(), "service.name word"),
        (SearchTagsRequest { scope: "span".to_owned(), ..plain.clone() }, "word"),
        (SearchTagsRequest { max_tags_per_scope: 1, ..plain.clone() }, "service.name"),
        (SearchTagsRequest { query: "{ .word = `no` }".to_owned(), ..plain.clone() }, ""),
        (SearchTagsRequest { end: NEWEST - 3600, ..plain.clone() }, ""),
    ] {
        let old = one(service.search_tags(Request::new(request.clone())).await).await;
        assert_eq!(old.tag_names.join(" "), expected, "{request:?}");
        let new = one(service.search_tags_v2(Request::new(request.clone())).await).await;
        let mut tags: Vec<String> = new
            .scopes
            .into_iter()
            .filter(|scope| scope.name != "intrinsic")
            .flat_map(|scope| scope.tags)
            .collect();
        tags.truncate(if request.max_tags_per_scope > 0 { 1 } else { 9 });
        assert_eq!(tags.join(" "), expected, "{request:?}");
    }
    let plain = |name: &str| SearchTagValuesRequest {
        tag_name: name.to_owned(),
        ..SearchTagValuesRequest::default()
    };
    let at = NEWEST - MINUTE as u32;
    let (start, end) = (at - 5, at + 5);
    for (request, expected) in [
        (plain("name"), "age 0, age 1, age 2"),
        (SearchTagValuesRequest { max_tag_values: 2, ..plain("name") }, "age 0, age 1"),
        (SearchTagValuesRequest { start, end, ..plain("name") }, "age 1"),
        (plain("status"), "error, ok, unset"),
        (plain("no"), ""),
    ] {
        let old = one(service.search_tag_values(Request::new(request.clone())).await).await;
        assert_eq!(old.tag_values.join(", "), expected, "{request:?}");
    }
    for (request, expected) in [
        (plain("resource.service.name"), "string cart"),
        (SearchTagValuesRequest { start, end, ..plain(".word") }, "string yes"),
        (
            SearchTagValuesRequest { query: "{ name = `age 2` }".to_owned(), ..plain("name") },
            "string age 2",
        ),
        (SearchTagValuesRequest { max_tag_values: 1, ..plain("span:kind") }, "keyword unspecified"),
    ] {
        let new = one(service.search_tag_values_v2(Request::new(request.clone())).await).await;
        let values = new.tag_values.iter().map(|value| format!("{} {}", value.r#type, value.value));
        assert_eq!(values.collect::<Vec<_>>().join(", "), expected, "{request:?}");
    }
    let names = SearchTagsRequest { scope: "planet".to_owned(), ..SearchTagsRequest::default() };
    is_refused(all(service.search_tags(Request::new(names.clone())).await).await, "invalid scope");
    is_refused(all(service.search_tags_v2(Request::new(names)).await).await, "invalid scope");
    let values = SearchTagValuesRequest { start: 9, end: 8, ..plain("name") };
    let values = Request::new(values);
    is_refused(all(service.search_tag_values(values).await).await, "invalid start");
    is_refused(all(service.search_tag_values(Request::new(plain(""))).await).await, "invalid tag");
    let values = Request::new(plain("resource."));
    is_refused(all(service.search_tag_values_v2(values).await).await, "line 1, col ");
}

#[tokio::test]
async fn metrics() {
    let (service, _folder) = service().await;
    let query = "{} | count_over_time()".to_owned();
    let (start, end) = (NOW - 180 * SECOND, NOW);
    let plain = QueryRangeRequest { query, start, end, ..QueryRangeRequest::default() };
    let request = QueryRangeRequest { step: MINUTE * SECOND, exemplars: 2, ..plain.clone() };
    let answer = one(service.metrics_query_range(Request::new(request)).await).await;
    let done = answer.metrics.unwrap();
    assert_eq!((answer.status, done.completed_jobs), (0, done.total_jobs));
    let [series] = &answer.series[..] else { panic!("{answer:?}") };
    let counts: Vec<f64> = series.samples.iter().map(|sample| sample.value).collect();
    assert_eq!((&counts[..], series.exemplars.len()), (&[0.0, 1.0, 1.0, 1.0][..], 2));
    // Without a step there is one of our own; without a number of exemplars there are all.
    let answer = one(service.metrics_query_range(Request::new(plain.clone())).await).await;
    assert!(answer.series[0].samples.len() > 100 && answer.series[0].exemplars.len() == 3);
    let instant = QueryInstantRequest { query: plain.query.clone(), start, end };
    let answer = one(service.metrics_query_instant(Request::new(instant.clone())).await).await;
    assert_eq!(answer.series[0].value, 3.0);

    for (request, said) in [
        (QueryRangeRequest { query: String::new(), ..plain.clone() }, "invalid q: "),
        (QueryRangeRequest { query: "{}".to_owned(), ..plain.clone() }, "invalid q: "),
        (QueryRangeRequest { query: "{} | rate(".to_owned(), ..plain.clone() }, "line 1, col "),
        (QueryRangeRequest { start: end, end: start, ..plain.clone() }, "invalid start: "),
        (QueryRangeRequest { step: 1, ..plain.clone() }, "invalid step: "),
    ] {
        let one = QueryInstantRequest {
            query: request.query.clone(),
            start: request.start,
            end: request.end,
        };
        if request.step == 0 {
            is_refused(all(service.metrics_query_instant(Request::new(one)).await).await, said);
        }
        is_refused(all(service.metrics_query_range(Request::new(request)).await).await, said);
    }
}
