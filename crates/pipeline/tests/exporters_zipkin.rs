//! The exporter `zipkin` against a server that decodes what arrives, and answers as told.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use formats::zipkin::{TagTypes, json_to_otlp, proto_to_otlp};
use http::Response;
use http::request::Parts;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use pipeline::exporters::zipkin::{Zipkin, ZipkinFormat, ZipkinSettings};
use pipeline::exporters::{Export, ExportError, FailReason, QueueSettings};
use pipeline::net::{Algorithm, ClientSettings};
use pipeline::{Consumer, Encoded, Request, Signal};
use prost::Message;

use crate::components::{House, diagnosed};
use crate::exporters_jaeger::{Body, Stub, encoded, http, service, tls};
use crate::exporters_otlp::{eager, plain};
use crate::exporters_sender::started;
use crate::support::{PATIENCE, protobuf, until};

/// What Zipkin says to spans that it takes.
fn taken() -> Response<Body> {
    http(202, &[], "")
}

fn settings(stub: &Stub) -> ZipkinSettings {
    ZipkinSettings {
        endpoint: format!("http://{}/api/v2/spans", stub.addr),
        client: plain(Algorithm::None),
        ..ZipkinSettings::default()
    }
}

async fn export(exporter: &dyn Export, encoded: &Encoded) -> Result<(), ExportError> {
    let export = exporter.export(Signal::Traces, encoded);
    tokio::time::timeout(PATIENCE, export).await.expect("an answer in time")
}

/// A body as OTLP, whichever its encoding.
fn decoded(parts: &Parts, body: &Bytes) -> Vec<ResourceSpans> {
    let mut plain = Vec::new();
    match parts.headers.get("content-encoding").map(|it| it.to_str().unwrap()) {
        None => plain.extend_from_slice(body),
        Some("gzip") => {
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        }
        Some(other) => panic!("{other}"),
    }
    let converted = match parts.headers["content-type"].to_str().unwrap() {
        "application/json" => json_to_otlp(&plain, TagTypes::Parsed, Default::default()),
        "application/x-protobuf" => proto_to_otlp(&plain, TagTypes::Parsed, Default::default()),
        other => panic!("{other}"),
    };
    let converted = converted.unwrap();
    assert_eq!(converted.rejection.spans, 0);
    ExportTraceServiceRequest::decode(converted.otlp).unwrap().resource_spans
}

fn service_names(resources: &[ResourceSpans]) -> Vec<String> {
    let name = |one: &ResourceSpans| {
        let attributes = &one.resource.as_ref()?.attributes;
        let found = attributes.iter().find(|own| own.key == "service.name")?;
        match found.value.clone()?.value? {
            Value::StringValue(text) => Some(text),
            other => panic!("{other:?}"),
        }
    };
    resources.iter().map(|one| name(one).unwrap_or_default()).collect()
}

#[tokio::test]
async fn spans_arrive_as_they_were() {
    for (format, algorithm) in [
        (ZipkinFormat::Json, Algorithm::None),
        (ZipkinFormat::Json, Algorithm::Gzip),
        (ZipkinFormat::Proto, Algorithm::None),
        (ZipkinFormat::Proto, Algorithm::Gzip),
    ] {
        let stub = Stub::new(taken).await;
        let settings = ZipkinSettings { format, client: plain(algorithm), ..settings(&stub) };
        let exporter = Zipkin::new(&settings).unwrap();
        let sent = [service("cart", 3), service("shop", 2)];
        export(&exporter, &encoded(&sent)).await.unwrap();
        let seen = stub.seen();
        assert_eq!(seen.len(), 1, "{format:?}");
        let (parts, body) = &seen[0];
        assert_eq!(parts.uri.path(), "/api/v2/spans");
        let found = decoded(parts, body);
        assert_eq!(service_names(&found), ["cart", "shop"], "{format:?}");
        for (found, sent) in found.iter().zip(&sent) {
            let spans = |one: &ResourceSpans| -> Vec<_> {
                let scopes = one.scope_spans.iter();
                let spans = scopes.flat_map(|scope| scope.spans.clone());
                spans
                    .map(|span| {
                        let mut keys: Vec<(String, String)> = span
                            .attributes
                            .iter()
                            .map(|own| (own.key.clone(), format!("{:?}", own.value)))
                            .filter(|(key, _)| ["color", "weight"].contains(&key.as_str()))
                            .collect();
                        keys.sort();
                        let status = span.status.unwrap_or_default();
                        let micros = |nanos: u64| nanos / 1000;
                        (
                            (span.trace_id, span.span_id, span.parent_span_id),
                            (span.name, span.kind, keys),
                            micros(span.start_time_unix_nano),
                            micros(span.end_time_unix_nano - span.start_time_unix_nano),
                            (status.code, status.message),
                            span.events.len(),
                        )
                    })
                    .collect()
            };
            assert_eq!(spans(found), spans(sent), "{format:?}");
            assert_eq!(found.scope_spans[0].scope, sent.scope_spans[0].scope, "{format:?}");
        }
    }
}

#[tokio::test]
async fn a_service_without_a_name_gets_the_default_one() {
    for (format, name, expected) in [
        (ZipkinFormat::Json, None, "<missing service name>"),
        (ZipkinFormat::Json, Some("nobody"), "nobody"),
        (ZipkinFormat::Proto, Some("nobody"), "nobody"),
    ] {
        let stub = Stub::new(taken).await;
        let mut settings = ZipkinSettings { format, ..settings(&stub) };
        if let Some(name) = name {
            settings.default_service_name = name.to_owned();
        }
        let exporter = Zipkin::new(&settings).unwrap();
        let some = Encoded { parts: vec![protobuf(1, 0).into()], items: 1 };
        export(&exporter, &some).await.unwrap();
        let (parts, body) = &stub.seen()[0];
        assert_eq!(service_names(&decoded(parts, body)), [expected], "{format:?}");
    }
}

#[tokio::test]
async fn answers_mean_what_they_say() {
    let stub = Stub::new(taken).await;
    let exporter = Zipkin::new(&settings(&stub)).unwrap();
    let some = encoded(&[service("cart", 1)]);
    let seven = Some(Duration::from_secs(7));
    // The status, the delay it asks for, and whether the same spans may be taken later.
    for (status, after, expected) in [
        (200, None, Ok(())),
        (202, None, Ok(())),
        (204, None, Ok(())),
        (301, None, Err(false)),
        (400, None, Err(false)),
        (401, None, Err(false)),
        (404, None, Err(false)),
        (408, None, Err(true)),
        (413, None, Err(false)),
        (415, seven, Err(false)),
        (429, seven, Err(true)),
        (429, None, Err(true)),
        (500, None, Err(true)),
        (502, None, Err(true)),
        (503, seven, Err(true)),
        (503, None, Err(true)),
    ] {
        stub.reply(move || match after {
            Some(_) => http(status, &[("retry-after", "7")], "the reason"),
            None => http(status, &[], "the reason"),
        });
        let result = export(&exporter, &some).await;
        let told = match &result {
            Ok(()) => Ok(()),
            Err(ExportError::Retryable { after: asked, .. }) => {
                assert_eq!(*asked, after, "{status}");
                Err(true)
            }
            Err(ExportError::Permanent { .. }) => Err(false),
            Err(ExportError::Partial { .. }) => panic!("{status}"),
        };
        assert_eq!(told, expected, "{status}");
        if let Err(error) = result {
            let error = error.to_string();
            assert!(error.contains("the reason") && error.contains(&status.to_string()), "{error}");
        }
    }
}

#[tokio::test]
async fn retries_and_refusals_are_counted() {
    let stub = Stub::new(taken).await;
    stub.reply(|| http(503, &[], ""));
    stub.reply(|| http(500, &[], ""));
    let export = Arc::new(Zipkin::new(&settings(&stub)).unwrap());
    let sender = started(eager(QueueSettings::default()), export.clone()).await;
    let batch = || model::SpanBatch::decode(protobuf(3, 0).into()).unwrap();
    sender.consume(Request::traces(batch())).await.unwrap();
    until("three spans are sent", || sender.counters().snapshot().sent == 3).await;
    assert_eq!(sender.counters().snapshot().retries, 2);
    stub.reply(|| http(400, &[], "no"));
    sender.consume(Request::traces(batch())).await.unwrap();
    let failed = || sender.counters().snapshot().failed_for(FailReason::Permanent);
    until("three spans are dropped", || failed() == 3).await;
    assert_eq!(stub.seen().len(), 4);

    // What has no trace id cannot be sent: it is counted, and the others go.
    for (valid, requests) in [(2, 5), (0, 5)] {
        let some = Encoded { parts: vec![protobuf(valid, 1).into()], items: valid as u64 + 1 };
        let error = export.export(Signal::Traces, &some).await.unwrap_err();
        assert!(matches!(error, ExportError::Partial { rejected: 1, .. }), "{error}");
        assert_eq!(stub.seen().len(), requests, "an empty list is not sent");
    }
}

#[tokio::test]
async fn https_is_verified() {
    let (server, tls) = tls();
    let stub = Stub::with_tls(taken, server).await;
    let endpoint = format!("https://localhost:{}/api/v2/spans", stub.addr.port());
    let client = ClientSettings { tls, ..plain(Algorithm::None) };
    let trusting =
        ZipkinSettings { endpoint: endpoint.clone(), client, ..ZipkinSettings::default() };
    let some = encoded(&[service("cart", 1)]);
    export(&Zipkin::new(&trusting).unwrap(), &some).await.unwrap();
    let wary = ZipkinSettings { endpoint, ..ZipkinSettings::default() };
    assert!(export(&Zipkin::new(&wary).unwrap(), &some).await.is_err());
    assert_eq!(stub.seen().len(), 1);
}

fn config(exporter: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  {exporter}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{}]}}}}}}
",
        exporter.split(':').next().unwrap()
    )
}

#[test]
fn settings_are_read_and_wrong_ones_named() {
    for (settings, parts) in [
        ("zipkin: {endpoint: 'http://z:9411/api/v2/spans'}", &[][..]),
        (
            "zipkin: {endpoint: 'http://z:9411/api/v2/spans', format: proto, timeout: 3s, \
             default_service_name: x, compression: gzip, headers: {a: b}, tls: {insecure_skip_verify: true}, \
             sending_queue: {queue_size: 5}, retry_on_failure: {enabled: false}, \
             idle_conn_timeout: 10s, max_idle_conns_per_host: 3}",
            &[],
        ),
        ("zipkin: {}", &["'endpoint' must be specified"]),
        ("zipkin: {endpoint: ''}", &["requires a non-empty 'endpoint'"]),
        ("zipkin: {endpoint: 'z:9411'}", &["it has to begin with http://"]),
        ("zipkin: {endpoint: 'http://z/', format: thrift}", &["thrift"]),
        ("zipkin: {endpoint: 'http://z/', formt: json}", &["has invalid keys: formt"]),
    ] {
        let found = diagnosed(&config(settings));
        assert_eq!(found.len(), parts.len(), "{settings}: {found:#?}");
        for part in parts {
            assert!(found.iter().any(|line| line.contains(part)), "{settings}: {part}: {found:#?}");
        }
    }
}

#[tokio::test]
async fn a_graph_sends_to_zipkin() {
    let stub = Stub::new(taken).await;
    let settings = format!("zipkin: {{endpoint: 'http://{}/api/v2/spans'}}", stub.addr);
    let mut house = House::of(&config(&settings)).await;
    house.post_spans(3).await;
    until("spans arrive", || stub.seen().len() == 1).await;
    let (parts, body) = &stub.seen()[0];
    let spans: usize = decoded(parts, body)
        .iter()
        .flat_map(|one| one.scope_spans.iter().map(|scope| scope.spans.len()))
        .sum();
    assert_eq!(spans, 3);
    assert_eq!(house.graph.stop().await, 0);
}
