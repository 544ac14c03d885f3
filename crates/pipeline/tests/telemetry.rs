//! `service.telemetry`: settings, the port of metrics, metrics and own traces over OTLP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use config::{Id, Severity, System};
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use model::SpanBatch;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use pipeline::component::{Health, Running, Surroundings};
use pipeline::components::{known, register};
use pipeline::graph::{Graph, Plans, Registry};
use pipeline::receivers::{
    Address, ByteBudget, ConnectionCounters, Handler, ServerSettings, serve,
};
use pipeline::telemetry::{
    HistogramPart, LogEncoding, LogLevel, LogOutput, MetricKind, Metrics, Sample, Telemetry,
    TelemetryPlan, Traced, read,
};
use pipeline::{Consumer, Refusal, Request};
use prost::Message;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::grpc::{EXPORT, framed};
use crate::http_client::{Answer, Client, PROTOBUF, build, send};
use crate::support::{Behaviour, PATIENCE, Recorder, protobuf, until};

/// A document with this as its telemetry.
fn document(telemetry: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{grpc: }}}}}}\nexporters: {{nop: }}\nservice:\n  \
         pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}\n  telemetry: {telemetry}\n"
    )
}

/// What it asks for, and what is said about it.
fn plan(telemetry: &str) -> (TelemetryPlan, Vec<(Severity, String)>) {
    let configs = [format!("yaml:{}", document(telemetry))];
    let request = config::Request { configs: &configs, sets: &[] };
    let (document, mut diagnostics) = config::load(request, &System, &known());
    let plan = read(&document, &mut diagnostics);
    let said = diagnostics.iter().map(|one| {
        let place = one.labels.first().map_or(String::new(), |label| label.text.clone());
        let help = one.help.clone().unwrap_or_default();
        (one.severity, format!("{} [{place}] {help}", one.message))
    });
    (plan, said.collect())
}

fn well(telemetry: &str) -> TelemetryPlan {
    let (plan, said) = plan(telemetry);
    assert!(said.is_empty(), "{telemetry}: {said:?}");
    plan
}

#[test]
fn settings_of_the_collector_are_read() {
    for right in [
        "",
        "{}",
        "{logs: , metrics: , traces: , resource: }",
        "{logs: {level: DEBUG, encoding: json, development: true, disable_caller: true}}",
        "{logs: {level: warn, sampling: {enabled: true, tick: 10s, initial: 10, thereafter: 100}}}",
        "{logs: {sampling: , output_paths: [stdout, /var/log/x], error_output_paths: [stderr]}}",
        "{logs: {initial_fields: {a: b, n: 1, t: true}, disable_stacktrace: true}}",
        "{metrics: {level: none}}",
        "{metrics: {level: Detailed, readers: []}}",
        "{metrics: {readers: [{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 8888}}}}]}}",
        "{metrics: {readers: [{pull: {exporter: {prometheus: {host: '::1', without_units: true, \
         without_scope_info: true, without_type_suffix: true, with_resource_constant_labels: \
         {included: ['service.*'], excluded: []}}}}}]}}",
        "{metrics: {readers: [{periodic: {interval: 10000, timeout: 5s, exporter: {otlp: {protocol: \
         http/protobuf, endpoint: 'https://x:4318', headers: [{name: a, value: b}], compression: \
         gzip, timeout: 10000, temporality_preference: cumulative}}}}]}}",
        "{metrics: {readers: [{periodic: {exporter: {otlp: {protocol: grpc, endpoint: 'x:4317', \
         insecure: true, headers: {a: b}, headers_list: 'c=d, e=f', tls: {insecure: true}}}}}]}}",
        "{metrics: {readers: [{periodic: {exporter: {otlp_grpc: {endpoint: 'http://x:4317'}}}}]}}",
        "{metrics: {readers: [{periodic: {exporter: {otlp_http: {tls: {insecure_skip_verify: true}}}}}]}}",
        "{traces: {processors: [{batch: {schedule_delay: 1000, export_timeout: 5s, max_queue_size: \
         10, max_export_batch_size: 5, exporter: {otlp: {endpoint: 'http://x:4318'}}}}]}}",
        "{traces: {level: none, propagators: [tracecontext, baggage], processors: [{simple: \
         {exporter: {otlp: {}}}}]}}",
        "{traces: {sampler: {always_on: }}}",
        "{traces: {sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.1}}, \
         remote_parent_sampled: {always_off: {}}, local_parent_not_sampled: {always_on: }}}}}",
        "{resource: {service.name: shop, service.instance.id: , replicas: 3, ok: true}}",
        "{resource: {schema_url: x, attributes_list: 'a=b', attributes: [{name: c, value: 1, type: \
         int}, {name: service.version, value: }]}}",
    ] {
        well(right);
    }
}

#[test]
fn what_is_wrong_is_named_where_it_stands() {
    for (wrong, parts) in [
        ("[]", &["service::telemetry"][..]),
        ("{metric: {}}", &["has invalid keys: metric", "did you mean `metrics`?"]),
        ("{logs: {levl: info}}", &["'logs' has invalid keys: levl", "did you mean `level`?"]),
        ("{logs: {level: loud}}", &["'logs.level' unrecognized level: \"loud\""]),
        ("{logs: {encoding: xml}}", &["'logs.encoding' unsupported value \"xml\""]),
        ("{logs: {initial_fields: {a: [1]}}}", &["'logs.initial_fields'"]),
        ("{metrics: {level: full}}", &["'metrics.level' unknown level \"full\""]),
        ("{metrics: {readers: {}}}", &["'metrics.readers'", "array"]),
        ("{metrics: {readers: [{}]}}", &["one of pull, periodic must be specified"]),
        (
            "{metrics: {readers: [{pull: {exporter: {prometheus: }}, periodic: {exporter: {otlp: }}}]}}",
            &["only one of pull, periodic"],
        ),
        ("{metrics: {readers: [{pull: {}}]}}", &["exporter' must be specified"]),
        (
            "{metrics: {readers: [{pull: {exporter: {prometheus: {prot: 1}}}}]}}",
            &["metrics.readers[0].pull.exporter.prometheus' has invalid keys: prot", "`port`"],
        ),
        (
            "{metrics: {readers: [{pull: {exporter: {prometheus: {port: 70000}}}}]}}",
            &["prometheus.port' must be from 0 to 65535"],
        ),
        (
            "{metrics: {readers: [{periodic: {interval: 0, exporter: {otlp: }}}]}}",
            &["interval' must be greater than zero"],
        ),
        (
            "{metrics: {readers: [{periodic: {exporter: {console: }}}]}}",
            &["console' is not supported here: Spanfall sends it over OTLP"],
        ),
        (
            "{metrics: {readers: [{periodic: {exporter: {otlp: {protocol: http/json}}}}]}}",
            &["otlp.protocol' unsupported value \"http/json\""],
        ),
        (
            "{metrics: {readers: [{periodic: {exporter: {otlp: {headers_list: ab}}}}]}}",
            &["headers_list' is pairs"],
        ),
        (
            "{metrics: {readers: [{periodic: {exporter: {otlp: {certificate: /none}}}}]}}",
            &["otlp.certificate' cannot be read: No such file"],
        ),
        (
            "{metrics: {readers: [{periodic: {exporter: {otlp: {client_key_file: /}}}}]}}",
            &["otlp.client_key_file' cannot be read: Is a directory"],
        ),
        ("{metrics: {address: here}}", &["'metrics.address' \"here\" is no address"]),
        ("{traces: {processors: [{batch: }]}}", &["exporter' must be specified"]),
        (
            "{traces: {processors: [{batch: {max_queue_size: 0, exporter: {otlp: }}}]}}",
            &["max_queue_size' must be from 1"],
        ),
        ("{traces: {sampler: {}}}", &["'traces.sampler' one of always_on"]),
        (
            "{traces: {sampler: {trace_id_ratio_based: {ratio: 2}}}}",
            &["trace_id_ratio_based.ratio' must be from 0 to 1"],
        ),
        (
            "{traces: {sampler: {parent_based: {root: {parent_based: {root: {parent_based: {root: \
             {parent_based: {root: {parent_based: {root: {always_on: }}}}}}}}}}}}}",
            &["is nested too deep"],
        ),
        ("{resource: [a]}", &["'resource' expected a map"]),
        ("{resource: {a: [1]}}", &["'resource.a' is no text or number"]),
        ("{resource: {attributes: [{value: 1}]}}", &["name' must be specified"]),
    ] {
        let (_, said) = plan(wrong);
        let errors: Vec<&String> = said
            .iter()
            .filter(|(severity, _)| *severity == Severity::Error)
            .map(|(_, said)| said)
            .collect();
        let named = errors.iter().any(|said| parts.iter().all(|part| said.contains(part)));
        assert!(named, "{wrong}: {said:?}");
    }
}

#[test]
fn what_has_no_effect_is_said_once_and_runs() {
    for (old, parts) in [
        (
            "{metrics: {address: '0.0.0.0:8888'}}",
            &["'metrics.address' is deprecated", "readers", "host: '0.0.0.0', port: 8888"][..],
        ),
        ("{metrics: {address: ':9999'}}", &["host: '0.0.0.0', port: 9999"]),
        ("{metrics: {views: [{selector: {}}]}}", &["'metrics.views' has no effect"]),
        ("{logs: {processors: [{batch: {}}]}}", &["'logs.processors' has no effect"]),
        ("{traces: {propagators: [tracecontext, b3]}}", &["'traces.propagators'", "tracecontext"]),
        (
            "{traces: {sampler: {traceidratio: {ratio: 0.5}}}}",
            &["is called 'trace_id_ratio_based' today"],
        ),
        (
            "{metrics: {readers: [{periodic: {exporter: {otlp: {temporality_preference: delta}}}}]}}",
            &["'temporality_preference' has no effect: sums are cumulative"],
        ),
    ] {
        let (_, said) = plan(old);
        let [(severity, warning)] = &said[..] else { panic!("{old}: {said:?}") };
        assert_eq!(*severity, Severity::Warning, "{old}");
        assert!(parts.iter().all(|part| warning.contains(part)), "{old}: {warning}");
    }
}

#[test]
fn settings_of_logs_are_handed_on() {
    let plain = well("{}").logs;
    assert_eq!((plain.level, plain.encoding), (None, LogEncoding::Console));
    assert_eq!(plain.outputs, [LogOutput::Stderr]);
    let own = well(
        "{logs: {level: Error, encoding: json, output_paths: [stdout, stderr, /x.log], \
         initial_fields: {a: b, n: 1}}}",
    );
    let own = own.logs;
    assert_eq!((own.level, own.encoding), (Some(LogLevel::Error), LogEncoding::Json));
    let file = LogOutput::File("/x.log".into());
    assert_eq!(own.outputs, [LogOutput::Stdout, LogOutput::Stderr, file]);
    let fields = [("a", "b"), ("n", "1")];
    let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(own.initial_fields, fields);
}

fn surroundings() -> Surroundings {
    Surroundings {
        budget: ByteBudget::default(),
        connections_max: 64,
        telemetry: Telemetry::default(),
        extensions: HashMap::new(),
        health: Health::default(),
    }
}

async fn start(telemetry: &str, around: &Surroundings) -> Arc<dyn Running> {
    well(telemetry).start(around).await.unwrap()
}

async fn stop(running: &Arc<dyn Running>) {
    assert_eq!(running.stop(Instant::now() + PATIENCE).await, 0);
}

/// Numbers that a test sets.
#[derive(Default)]
struct Numbers(Mutex<Vec<(&'static str, MetricKind, &'static str, f64)>>);

impl Metrics for Numbers {
    fn collect(&self, out: &mut Vec<Sample>) {
        for &(name, kind, label, value) in &*self.0.lock().unwrap() {
            let labels = vec![("receiver", label.to_owned())];
            out.push(Sample { name, help: "what it is", kind, labels, value });
        }
    }
}

impl Numbers {
    fn of(around: &Surroundings) -> Arc<Self> {
        let own = Arc::new(Self::default());
        let source: Arc<dyn Metrics> = own.clone();
        around.telemetry.add(&source);
        own
    }

    fn set(&self, numbers: &[(&'static str, MetricKind, &'static str, f64)]) {
        *self.0.lock().unwrap() = numbers.to_vec();
    }
}

fn get(path: &str, accept: &str) -> http::Request<Full<Bytes>> {
    build(Method::GET, path, &[("accept", accept)], "")
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

const ANY_PORT: &str = "{metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, \
                        port: 0}}}}]}, resource: {service.name: 'a \"shop\"', team: x}}";

#[tokio::test]
async fn metrics_are_read_where_the_reader_listens() {
    let around = surroundings();
    let numbers = Numbers::of(&around);
    numbers.set(&[("otelcol_receiver_accepted_spans", MetricKind::Counter, "otlp/\"x\"", 3.0)]);
    let running = start(ANY_PORT, &around).await;
    let [("metrics", Address::Tcp(addr))] = running.addresses()[..] else {
        panic!("{:?}", running.addresses())
    };

    let plain = send(addr, get("/metrics", "")).await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# TYPE otelcol_receiver_accepted_spans_total counter\n",
        "otelcol_receiver_accepted_spans_total{receiver=\"otlp/\\\"x\\\"\"} 3\n",
        "# TYPE otelcol_process_uptime_seconds_total counter\n",
        "# TYPE otelcol_process_cpu_seconds_total counter\n",
        "# TYPE otelcol_process_memory_rss gauge\n",
        "target_info{",
        "service_name=\"a \\\"shop\\\"\"",
        "team=\"x\"",
    ] {
        assert!(text(&plain).contains(line), "{line}: {}", text(&plain));
    }
    let open = send(addr, get("/metrics", "application/openmetrics-text;version=1.0.0")).await;
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), media);
    assert!(text(&open).contains("# TYPE otelcol_receiver_accepted_spans counter\n"));
    assert!(text(&open).ends_with("# EOF\n"));

    assert_eq!(send(addr, get("/", "")).await.status, 404);
    let answer = send(addr, build(Method::POST, "/metrics", &[], "")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));

    let (plan, _) = plan(&format!(
        "{{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {}}}}}}}}}]}}}}",
        addr.port()
    ));
    let error = plan.start(&around).await.err().expect("the port is taken");
    assert!(error.starts_with("cannot listen on 127.0.0.1"), "{error}");

    stop(&running).await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "it has stopped");
    let gone = |name: &str| around.telemetry.collect().iter().all(|sample| sample.name != name);
    assert!(gone("otelcol_process_uptime_seconds"), "what has stopped is no source any more");
}

#[tokio::test]
async fn the_address_of_old_works() {
    let around = surroundings();
    let (plan, _) = plan("{metrics: {address: '127.0.0.1:0'}}");
    let running = plan.start(&around).await.unwrap();
    let [(_, Address::Tcp(addr))] = running.addresses()[..] else { panic!() };
    assert_eq!(send(addr, get("/metrics", "")).await.status, 200);
    stop(&running).await;

    let (plan, _) = self::plan("{metrics: {level: none, address: '127.0.0.1:0'}}");
    assert!(plan.start(&around).await.unwrap().addresses().is_empty(), "none is none");
}

/// A request that came to a server.
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Its spans, and the resource's attributes.
    fn spans(&self) -> (HashMap<String, Value>, Vec<Span>) {
        let request = ExportTraceServiceRequest::decode(self.body.clone()).unwrap();
        let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
        let spans = resource.scope_spans.iter().flat_map(|scope| scope.spans.clone());
        (attributes_of(resource.resource.as_ref()), spans.collect())
    }
}

fn attributes(of: &[KeyValue]) -> HashMap<String, Value> {
    let pair = |own: &KeyValue| Some((own.key.clone(), own.value.clone()?.value?));
    of.iter().filter_map(pair).collect()
}

fn attributes_of(resource: Option<&Resource>) -> HashMap<String, Value> {
    resource.map(|own| attributes(&own.attributes)).unwrap_or_default()
}

/// Takes everything over HTTP and gRPC.
struct Backend {
    addr: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    _stop: tokio_util::sync::DropGuard,
}

struct Takes {
    got: Arc<Mutex<Vec<Got>>>,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

impl Handler for Takes {
    type Body = Full<Bytes>;

    async fn handle(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        _: Arc<pipeline::Client>,
    ) -> Response<Self::Body> {
        let (parts, body) = request.into_parts();
        let mut body = body.collect().await.unwrap().to_bytes();
        let is_grpc = parts.headers["content-type"].as_bytes().starts_with(b"application/grpc");
        if is_grpc {
            body = body.slice(5..);
        }
        let path = parts.uri.path().to_owned();
        self.got.lock().unwrap().push(Got { path, headers: parts.headers, body });
        let answer = Response::builder().header("grpc-status", "0");
        answer.header("content-type", "application/grpc").body(Full::default()).unwrap()
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

impl Backend {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let (connections, tasks) = (ConnectionCounters::default(), TaskTracker::new());
        let takes = Arc::new(Takes { got: got.clone(), connections, tasks });
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(
            async move { serve(listener, &ServerSettings::default(), takes, token).await },
        );
        Self { addr, got, _stop: stop.drop_guard() }
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    /// All spans that came.
    fn spans(&self) -> Vec<Span> {
        self.take().iter().flat_map(|got| got.spans().1).collect()
    }
}

/// Points of a request by name and label, and since when they grow.
fn points(got: &Got) -> HashMap<(String, String), (String, u64)> {
    let request = ExportMetricsServiceRequest::decode(got.body.clone()).unwrap();
    let [resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    let mut out = HashMap::new();
    for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
        let number = |value: &Option<number_data_point::Value>| match value {
            Some(number_data_point::Value::AsInt(number)) => format!("int {number}"),
            Some(number_data_point::Value::AsDouble(number)) => {
                format!("double {}", *number >= 0.0)
            }
            None => panic!("{metric:?}"),
        };
        let mut put = |of: &[KeyValue], said: String, start: u64| {
            let label = match attributes(of).remove("receiver") {
                Some(Value::StringValue(label)) => label,
                _ => String::new(),
            };
            out.insert((metric.name.clone(), label), (said, start));
        };
        match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => gauge.data_points.iter().for_each(|own| {
                let said = format!("gauge {}", number(&own.value));
                put(&own.attributes, said, own.start_time_unix_nano);
            }),
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{metric:?}");
                sum.data_points.iter().for_each(|own| {
                    assert!(own.time_unix_nano >= own.start_time_unix_nano);
                    let said = format!("sum {} {}", number(&own.value), metric.unit);
                    put(&own.attributes, said, own.start_time_unix_nano);
                });
            }
            Data::Histogram(own) => own.data_points.iter().for_each(|own| {
                let (bounds, counts) = (&own.explicit_bounds, &own.bucket_counts);
                let said = format!("{bounds:?} {counts:?} {:?} {}", own.sum, own.count);
                put(&own.attributes, said, own.start_time_unix_nano);
            }),
            other => panic!("{other:?}"),
        }
    }
    out
}

#[tokio::test]
async fn metrics_are_sent_over_both_protocols() {
    for protocol in ["http/protobuf", "grpc"] {
        let backend = Backend::new().await;
        let around = surroundings();
        let numbers = Numbers::of(&around);
        let part = MetricKind::Histogram;
        let (counter, gauge) = (MetricKind::Counter, MetricKind::Gauge);
        let sizes = [
            ("sizes", part(HistogramPart::Bucket(10)), "b", 2.0),
            ("sizes", part(HistogramPart::Bucket(25)), "b", 5.0),
            ("sizes", part(HistogramPart::Bucket(u64::MAX)), "b", 6.0),
            ("sizes", part(HistogramPart::Sum), "b", 170.0),
            ("sizes", part(HistogramPart::Count), "b", 6.0),
        ];
        let mut all = vec![("spans", counter, "otlp", 3.0), ("spans", counter, "zipkin", 10.0)];
        all.push(("open", gauge, "otlp", 7.0));
        all.extend(sizes);
        numbers.set(&all);
        let running = start(
            &format!(
                "{{metrics: {{readers: [{{periodic: {{interval: 1, exporter: {{otlp: {{protocol: {protocol}, \
                 endpoint: 'http://{}', headers: {{x-key: secret}}}}}}}}}}]}}, resource: {{team: x}}}}",
                backend.addr
            ),
            &around,
        )
        .await;
        until("a first request", || backend.count() > 0).await;
        let first = backend.take().remove(0);
        let path = match protocol {
            "grpc" => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            _ => "/v1/metrics",
        };
        assert_eq!((first.path.as_str(), first.header("x-key")), (path, "secret"));
        assert_eq!(first.header("traceparent"), "", "own traces are off");
        let request = ExportMetricsServiceRequest::decode(first.body.clone()).unwrap();
        let resource = attributes_of(request.resource_metrics[0].resource.as_ref());
        let string = |key: &str| match &resource[key] {
            Value::StringValue(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((string("service.name"), string("team")), ("spanfall".into(), "x".into()));
        assert_eq!(string("service.instance.id").len(), 36);
        let before = points(&first);
        let of = |points: &HashMap<_, (String, u64)>, name: &str, label: &str| {
            points[&(name.to_owned(), label.to_owned())].clone()
        };
        assert_eq!(of(&before, "spans", "otlp").0, "sum int 3 ");
        assert_eq!(of(&before, "open", "otlp"), ("gauge int 7".to_owned(), 0));
        assert_eq!(of(&before, "sizes", "b").0, "[10.0, 25.0] [2, 3, 1] Some(170.0) 6");
        assert_eq!(of(&before, "otelcol_process_cpu_seconds", "").0, "sum double true s");

        // What was started anew begins anew, and what was not goes on.
        all[0].3 = 1.0;
        all[1].3 = 11.0;
        numbers.set(&all);
        stop(&running).await;
        let last = backend.take().pop().expect("one more at the end");
        let after = points(&last);
        let (said, start) = of(&after, "spans", "otlp");
        assert_eq!(said, "sum int 1 ");
        assert!(start > of(&before, "spans", "otlp").1, "{protocol}");
        let same = of(&before, "spans", "zipkin").1;
        assert_eq!(of(&after, "spans", "zipkin"), ("sum int 11 ".to_owned(), same));
    }
}

/// A graph that is written so, and where it listens.
async fn graph_of(around: &Surroundings, text: &str) -> (Graph, HashMap<&'static str, SocketAddr>) {
    let configs = [format!("yaml:{text}")];
    let request = config::Request { configs: &configs, sets: &[] };
    let (document, mut diagnostics) = config::load(request, &System, &known());
    let mut registry = Registry::default();
    register(&mut registry);
    let plans = Plans::read(&document, &registry, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render(false));
    let mut graph = Graph::new(around.clone());
    graph.apply(document, plans, around.connections_max).await.unwrap();
    let addresses =
        graph.addresses().into_iter().map(|(_, _, name, at)| (name, at.tcp().unwrap())).collect();
    (graph, addresses)
}

/// An OTLP receiver over HTTP and an exporter without compression.
async fn graph(around: &Surroundings, backend: SocketAddr, exporter: &str) -> (Graph, SocketAddr) {
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters:
  otlp_http: {{endpoint: 'http://{backend}', compression: none, {exporter}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}}}
"
    );
    let (graph, addresses) = graph_of(around, &text).await;
    (graph, addresses["http"])
}

fn traced(backend: SocketAddr, more: &str) -> String {
    format!(
        "{{metrics: {{level: none}}, traces: {{processors: [{{simple: {{exporter: {{otlp: {{endpoint: \
         'http://{backend}'}}}}}}}}]{more}}}}}"
    )
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

async fn post(addr: SocketAddr, flags: Option<&str>) -> u16 {
    let parent = flags.map(|flags| format!("00-{TRACE}-{PARENT}-{flags}"));
    let mut headers = vec![("content-type", PROTOBUF)];
    headers.extend(parent.as_deref().map(|parent| ("traceparent", parent)));
    send(addr, build(Method::POST, "/v1/traces", &headers, protobuf(3, 0))).await.status
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn int(span: &Span, key: &str) -> i64 {
    match &attributes(&span.attributes)[key] {
        Value::IntValue(number) => *number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn own_work_leaves_spans_that_hang_together() {
    // At once, and by way of a queue in memory.
    for queue in ["sending_queue: {enabled: false}", ""] {
        let (backend, traces) = (Backend::new().await, Backend::new().await);
        let around = surroundings();
        let (mut graph, addr) = graph(&around, backend.addr, queue).await;
        assert_eq!(post(addr, Some("01")).await, 200);
        until("what came before own traces", || backend.count() == 1).await;
        assert_eq!(backend.take()[0].header("traceparent"), "", "off, nobody is told");

        let running = start(&traced(traces.addr, ""), &around).await;
        assert_eq!(post(addr, Some("01")).await, 200);
        until("the spans' export", || backend.count() == 1).await;
        graph.stop().await;
        stop(&running).await;
        let exports = traces.take();
        assert!(exports.iter().all(|got| got.path == "/v1/traces"));
        let muted = exports[0].header("traceparent");
        assert!(muted.ends_with("-00"), "the export of own traces is not to be traced: {muted}");
        let (resource, _) = exports[0].spans();
        assert_eq!(resource["service.name"], Value::StringValue("spanfall".to_owned()));
        let spans: Vec<Span> = exports.iter().flat_map(|got| got.spans().1).collect();
        let named = |name: &str| {
            let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
            let [span] = found[..] else { panic!("{name}: {spans:?}") };
            span
        };
        assert_eq!(spans.len(), 2, "{spans:?}");
        let received = named("receiver/otlp/TraceDataReceived");
        let exported = named("exporter/otlp_http/traces");
        assert_eq!((hex(&received.trace_id).as_str(), received.kind), (TRACE, 2));
        assert_eq!(hex(&received.parent_span_id), PARENT);
        assert_eq!(received.flags, 0x301, "sampled, of a parent elsewhere");
        assert_eq!((int(received, "accepted_spans"), int(received, "refused_spans")), (3, 0));
        let transport = &attributes(&received.attributes)["transport"];
        assert_eq!(*transport, Value::StringValue("http".to_owned()));
        assert_eq!((hex(&exported.trace_id).as_str(), exported.kind), (TRACE, 3));
        assert_eq!(exported.parent_span_id, received.span_id);
        assert_eq!(exported.flags, 0x101);
        assert_eq!((int(exported, "sent_spans"), int(exported, "send_failed_spans")), (3, 0));
        assert!(exported.end_time_unix_nano >= exported.start_time_unix_nano);
        assert!(received.status.is_none() && exported.status.is_none());
        let told = format!("00-{TRACE}-{}-01", hex(&exported.span_id));
        assert_eq!(backend.take()[0].header("traceparent"), told);
    }
}

#[tokio::test]
async fn what_fails_says_why() {
    let traces = Backend::new().await;
    let around = surroundings();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let exporter = "sending_queue: {enabled: false}, retry_on_failure: {enabled: false}";
    let (mut graph, addr) = graph(&around, gone, exporter).await;
    let running = start(&traced(traces.addr, ""), &around).await;
    assert_eq!(post(addr, None).await, 503);
    graph.stop().await;
    stop(&running).await;
    let spans = traces.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    let root = spans.iter().find(|span| span.parent_span_id.is_empty()).expect("a root");
    assert_eq!(root.name, "receiver/otlp/TraceDataReceived");
    assert_eq!((int(root, "accepted_spans"), int(root, "refused_spans")), (0, 3));
    for span in &spans {
        let status = span.status.as_ref().expect("a status");
        assert_eq!(status.code, 2);
        assert!(status.message.contains("refused"), "{}: {}", span.name, status.message);
        assert_eq!(span.trace_id, root.trace_id);
    }
}

#[tokio::test]
async fn samplers_and_propagators_decide() {
    let sampler = |text: &str| format!(", sampler: {{{text}}}");
    let off = "propagators: [none]";
    for (more, flags, kept, told) in [
        (String::new(), Some("00"), 0, "-00"),
        (String::new(), None, 2, "-01"),
        (sampler("always_on: "), Some("00"), 2, "-01"),
        (sampler("always_off: "), Some("01"), 0, "-00"),
        (sampler("trace_id_ratio_based: {ratio: 0}"), Some("01"), 0, "-00"),
        (sampler("parent_based: {root: {always_off: }}"), None, 0, "-00"),
        (sampler("parent_based: {root: {always_off: }}"), Some("01"), 2, "-01"),
        (format!(", {off}"), Some("00"), 2, ""),
    ] {
        let (backend, traces) = (Backend::new().await, Backend::new().await);
        let around = surroundings();
        let (mut graph, addr) =
            graph(&around, backend.addr, "sending_queue: {enabled: false}").await;
        let running = start(&traced(traces.addr, &more), &around).await;
        assert_eq!(post(addr, flags).await, 200);
        graph.stop().await;
        stop(&running).await;
        assert_eq!(traces.spans().len(), kept, "{more} {flags:?}");
        let got = backend.take();
        let parent = got[0].header("traceparent");
        assert!(parent.ends_with(told) && parent.is_empty() == told.is_empty(), "{more}: {parent}");
    }
}

#[tokio::test]
async fn own_traces_that_come_back_make_no_circle() {
    for sampler in ["", ", sampler: {always_on: }"] {
        let backend = Backend::new().await;
        let around = surroundings();
        let (mut graph, addr) =
            graph(&around, backend.addr, "sending_queue: {enabled: false}").await;
        let running = start(&traced(addr, sampler), &around).await;
        assert_eq!(post(addr, None).await, 200);
        // The request's two spans come back in one request or in two.
        let own = || {
            let got = backend.got.lock().unwrap();
            got.iter().map(|got| got.spans().1.len()).sum::<usize>()
        };
        until("own spans came back", || own() >= 5).await;
        stop(&running).await;
        assert_eq!(own(), 5, "three of a client's and two of its request's; {sampler}");
        graph.stop().await;
    }
}

#[tokio::test]
async fn grpc_is_traced_as_http_is() {
    let (backend, traces) = (Backend::new().await, Backend::new().await);
    let around = surroundings();
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters:
  otlp/a: {{endpoint: '{}', compression: none, tls: {{insecure: true}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp/a]}}}}}}
",
        backend.addr
    );
    let (mut graph, addresses) = graph_of(&around, &text).await;
    let running = start(&traced(traces.addr, ""), &around).await;
    let mut client = Client::http2(addresses["grpc"]).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let headers =
        [("content-type", "application/grpc"), ("te", "trailers"), ("traceparent", &*parent)];
    let answer =
        client.send(build(Method::POST, EXPORT, &headers, framed(0, &protobuf(2, 0)))).await;
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    graph.stop().await;
    stop(&running).await;
    let spans = traces.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
    let received = named("receiver/otlp/TraceDataReceived");
    assert_eq!(hex(&received.parent_span_id), PARENT);
    let transport = &attributes(&received.attributes)["transport"];
    assert_eq!(*transport, Value::StringValue("grpc".to_owned()));
    let told = format!("00-{TRACE}-{}-01", hex(&named("exporter/otlp/a/traces").span_id));
    assert_eq!(backend.take()[0].header("traceparent"), told);
}

#[tokio::test]
async fn components_count_under_the_names_that_dashboards_know() {
    let (around, backend) = (surroundings(), Backend::new().await);
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
processors:
  memory_limiter: {{check_interval: 1s, limit_percentage: 90}}
  filter: {{error_mode: ignore, traces: {{span: ['name == \"span 0\"']}}}}
  batch: {{timeout: 1ms}}
exporters:
  otlp_http/b: {{endpoint: 'http://{}'}}
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter, filter, batch], exporters: [otlp_http/b]}}
    traces/two: {{receivers: [otlp], processors: [memory_limiter], exporters: [otlp_http/b]}}
",
        backend.addr
    );
    let (mut graph, addresses) = graph_of(&around, &text).await;
    let running = start(ANY_PORT, &around).await;
    let metrics = running.addresses()[0].1.tcp().unwrap();
    assert_eq!(post(addresses["http"], None).await, 200);
    until("both requests", || backend.count() == 2).await;
    let sent = || {
        let samples = around.telemetry.collect();
        let sent = samples.iter().find(|own| own.name == "otelcol_exporter_sent_spans");
        sent.is_some_and(|own| own.value == 5.0)
    };
    until("both were answered", sent).await;
    let told = send(metrics, get("/metrics", "")).await;
    for line in [
        "otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"http\"} 3",
        "otelcol_receiver_refused_spans_total{receiver=\"otlp\",transport=\"http\"} 0",
        "otelcol_receiver_failed_spans_total{receiver=\"otlp\",transport=\"http\"} 0",
        // Of both pipelines.
        "otelcol_processor_incoming_items_total{processor=\"memory_limiter\",otel_signal=\"traces\"} 6",
        "otelcol_processor_accepted_spans_total{processor=\"memory_limiter\"} 6",
        "otelcol_processor_refused_spans_total{processor=\"memory_limiter\"} 0",
        "otelcol_processor_incoming_items_total{processor=\"filter\",otel_signal=\"traces\"} 3",
        "otelcol_processor_outgoing_items_total{processor=\"filter\",otel_signal=\"traces\"} 2",
        "spanfall_processor_dropped_items_total{processor=\"filter\",otel_signal=\"traces\"} 1",
        "otelcol_processor_incoming_items_total{processor=\"batch\",otel_signal=\"traces\"} 2",
        "otelcol_processor_outgoing_items_total{processor=\"batch\",otel_signal=\"traces\"} 2",
        "otelcol_processor_batch_timeout_trigger_send_total{processor=\"batch\"} 1",
        "otelcol_processor_batch_batch_size_trigger_send_total{processor=\"batch\"} 0",
        "otelcol_processor_batch_metadata_cardinality{processor=\"batch\"} 1",
        "otelcol_processor_batch_batch_send_size_bucket{processor=\"batch\",le=\"10\"} 1",
        "otelcol_processor_batch_batch_send_size_bucket{processor=\"batch\",le=\"+Inf\"} 1",
        "otelcol_processor_batch_batch_send_size_sum{processor=\"batch\"} 2",
        "otelcol_processor_batch_batch_send_size_count{processor=\"batch\"} 1",
        "otelcol_exporter_sent_spans_total{exporter=\"otlp_http/b\"} 5",
        "otelcol_exporter_send_failed_spans_total{exporter=\"otlp_http/b\"} 0",
        "otelcol_exporter_enqueue_failed_spans_total{exporter=\"otlp_http/b\"} 0",
        "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"otlp_http/b\"}",
        "otelcol_exporter_queue_capacity{data_type=\"traces\",exporter=\"otlp_http/b\"} 1000",
        "otelcol_exporter_in_flight_requests{data_type=\"traces\",exporter=\"otlp_http/b\"}",
    ] {
        assert!(text_has(&told, line), "{line}\n{}", self::text(&told));
    }
    let mut series: Vec<&str> = self::text(&told)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    let count = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), count, "no series is told twice");
    graph.stop().await;
    stop(&running).await;
}

fn text_has(answer: &Answer, line: &str) -> bool {
    text(answer).lines().any(|own| own.starts_with(line))
}

#[tokio::test]
async fn a_batch_of_one_request_is_its_work_and_one_of_several_is_nobodys() {
    for requests in [1, 2] {
        let (backend, traces) = (Backend::new().await, Backend::new().await);
        let around = surroundings();
        let text = format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{batch: {{timeout: 1h, send_batch_size: {}}}}}
exporters: {{otlp_http: {{endpoint: 'http://{}'}}}}
service:
  pipelines: {{traces: {{receivers: [otlp], processors: [batch], exporters: [otlp_http]}}}}
",
            requests * 3,
            backend.addr
        );
        let (mut graph, addresses) = graph_of(&around, &text).await;
        let running = start(&traced(traces.addr, ""), &around).await;
        for _ in 0..requests {
            assert_eq!(post(addresses["http"], None).await, 200);
        }
        graph.stop().await;
        stop(&running).await;
        let spans = traces.spans();
        let exported = spans.iter().find(|span| span.name.starts_with("exporter/")).unwrap();
        let received = spans.iter().filter(|span| span.name.starts_with("receiver/"));
        let parents = received.filter(|span| span.span_id == exported.parent_span_id).count();
        assert_eq!(parents, usize::from(requests == 1), "{spans:?}");
        assert_eq!(exported.parent_span_id.is_empty(), requests == 2, "{exported:?}");
        assert_eq!(spans.len(), requests + 1, "{spans:?}");
    }
}

#[tokio::test]
async fn an_exporter_that_takes_at_once_leaves_a_span_as_well() {
    let traces = Backend::new().await;
    let around = surroundings();
    let recorder = Recorder::new();
    let id = Id::parse("spanfall/own").unwrap();
    let exporter = Traced::exporter(&id, around.telemetry.own_traces(), recorder.clone());
    let request = || Request::traces(SpanBatch::decode(protobuf(2, 0).into()).unwrap());
    exporter.consume(request()).await.unwrap();
    let running = start(&traced(traces.addr, ""), &around).await;
    exporter.consume(request()).await.unwrap();
    let reason = "the disk is full".to_owned();
    recorder.behave(Behaviour::Refuse(Refusal::Internal { reason: reason.clone() }));
    exporter.consume(request()).await.unwrap_err();
    stop(&running).await;
    exporter.consume(request()).await.unwrap_err();
    let spans = traces.spans();
    let told: Vec<(&str, i32, i64, i64)> = spans
        .iter()
        .map(|own| (&*own.name, own.kind, int(own, "sent_spans"), int(own, "send_failed_spans")))
        .collect();
    let name = "exporter/spanfall/own/traces";
    assert_eq!(told, [(name, 3, 2, 0), (name, 3, 0, 2)]);
    assert_eq!(spans[1].status.as_ref().unwrap().message, reason);
}
