//! Whole graphs from YAML: who may send, what is known of the sender, queues on disk, reloads while
//! requests flow.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use config::{Id, Section, System};
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use pipeline::component::{ExporterPlan, Health, Plan, Stage, Surroundings};
use pipeline::components::{known, register};
use pipeline::exporters::otlp::{OtlpHttp, OtlpHttpSettings};
use pipeline::exporters::{Export, ExportError};
use pipeline::graph::{Changed, Graph, Plans, Registry};
use pipeline::net::{ClientSettings, Pem, TlsClientSettings};
use pipeline::receivers::ByteBudget;
use pipeline::telemetry::Telemetry;
use pipeline::{Consumer, Encoded, Refusal, Request, Signal};
use prost::Message;

use crate::exporters_tls::Authority;
use crate::grpc::{EXPORT, framed};
use crate::http_client::{Answer, Client, PROTOBUF, build, send};
use crate::raw::Raw;
use crate::support::{PATIENCE, protobuf, request};

/// What came out at the end: stands for the exporter `nop`.
#[derive(Default)]
struct Sink {
    requests: Mutex<Vec<ExportTraceServiceRequest>>,
}

impl Sink {
    /// Ids of all spans.
    fn ids(&self) -> BTreeSet<Vec<u8>> {
        let requests = self.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(|span| span.span_id.clone()).collect()
    }

    /// An attribute of the first span of each request, as text.
    fn attributes(&self, key: &str) -> Vec<Option<String>> {
        let requests = self.requests.lock().unwrap();
        let of = |request: &ExportTraceServiceRequest| {
            let span = &request.resource_spans[0].scope_spans[0].spans[0];
            let found = span.attributes.iter().find(|own| own.key == key)?;
            match found.value.clone()?.value? {
                Value::StringValue(text) => Some(text),
                other => panic!("{other:?}"),
            }
        };
        requests.iter().map(of).collect()
    }
}

#[async_trait::async_trait]
impl Consumer for Sink {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let decoded = ExportTraceServiceRequest::decode(request.data.encoded().joined()).unwrap();
        self.requests.lock().unwrap().push(decoded);
        Ok(())
    }
}

struct SinkPlan(Arc<dyn Consumer>);

impl Plan for SinkPlan {}

#[async_trait::async_trait]
impl ExporterPlan for SinkPlan {
    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Stage, String> {
        Ok(Stage::still(self.0.clone()))
    }
}

pub struct House {
    pub graph: Graph,
    sink: Arc<Sink>,
    registry: Registry,
    pub telemetry: Telemetry,
    pub health: Health,
}

impl House {
    pub fn new() -> Self {
        let sink = Arc::new(Sink::default());
        Self { sink: sink.clone(), ..Self::with(sink, ByteBudget::default()) }
    }

    /// With another consumer as the exporter `nop`.
    pub fn with(consumer: Arc<dyn Consumer>, budget: ByteBudget) -> Self {
        let (telemetry, health) = (Telemetry::default(), Health::default());
        let around = Surroundings {
            budget,
            connections_max: 64,
            telemetry: telemetry.clone(),
            extensions: HashMap::new(),
            health: health.clone(),
        };
        let mut registry = Registry::default();
        register(&mut registry);
        registry.add_exporter("nop", move |_| Arc::new(SinkPlan(consumer.clone())));
        let sink = Arc::default();
        Self { graph: Graph::new(around), sink, registry, telemetry, health }
    }

    pub async fn apply(&mut self, text: &str) -> Result<Changed, String> {
        let configs = [format!("yaml:{text}")];
        let request = config::Request { configs: &configs, sets: &[] };
        let (document, mut diagnostics) = config::load(request, &System, &known());
        let plans = Plans::read(&document, &self.registry, &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render(false));
        self.graph.apply(document, plans, 64).await.map_err(|failed| failed.to_string())
    }

    pub async fn of(text: &str) -> Self {
        let mut house = Self::new();
        house.apply(text).await.unwrap();
        house
    }

    /// Where a component listens.
    pub fn address(&self, section: Section, id: &str) -> std::net::SocketAddr {
        let all = self.graph.addresses();
        let found = all.iter().find(|(own, of, ..)| *own == section && of.to_string() == id);
        found.unwrap_or_else(|| panic!("{id} is not among {all:?}")).3.tcp().unwrap()
    }

    /// Sends so many spans to the receiver `otlp`.
    pub async fn post_spans(&self, spans: usize) {
        let at = self.address(Section::Receivers, "otlp");
        let headers = [("content-type", PROTOBUF)];
        let request = build(Method::POST, "/v1/traces", &headers, protobuf(spans, 0));
        assert_eq!(send(at, request).await.status, 200);
    }

    /// A counter of a transport.
    pub fn counted(&self, name: &str, transport: &str, reason: Option<&str>) -> f64 {
        let samples = self.telemetry.collect();
        let has = |sample: &&pipeline::telemetry::Sample, label: &str, value: &str| {
            sample.labels.iter().any(|(own, text)| *own == label && text == value)
        };
        let found = samples.iter().find(|sample| {
            sample.name == name
                && has(sample, "transport", transport)
                && reason.is_none_or(|reason| has(sample, "reason", reason))
        });
        found.unwrap_or_else(|| panic!("{name} {transport} {reason:?}")).value
    }
}

/// What is said of a configuration: how bad it is, and the message.
pub fn diagnosed(text: &str) -> Vec<String> {
    let configs = [format!("yaml:{text}")];
    let request = config::Request { configs: &configs, sets: &[] };
    let (document, mut diagnostics) = config::load(request, &System, &known());
    let mut registry = Registry::default();
    register(&mut registry);
    Plans::read(&document, &registry, &mut diagnostics);
    let line = |one: &config::Diagnostic| format!("{}: {}", one.severity.name(), one.message);
    diagnostics.iter().map(line).collect()
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn local(port: u16) -> std::net::SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn post(port: u16, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("content-type", PROTOBUF)];
    headers.extend_from_slice(more);
    send(local(port), build(Method::POST, "/v1/traces", &headers, protobuf(1, 0))).await
}

/// A call over gRPC: its status and message.
async fn call(port: u16, more: &[(&str, &str)]) -> (String, String) {
    let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    headers.extend_from_slice(more);
    let request = build(Method::POST, EXPORT, &headers, framed(0, &protobuf(1, 0)));
    let answer = Client::http2(local(port)).await.send(request).await;
    let all = answer.trailers.unwrap_or(answer.headers);
    let text = |name: &str| all.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (text("grpc-status"), text("grpc-message"))
}

#[tokio::test]
async fn who_may_not_send_is_told_so_before_the_body_is_read() {
    let (grpc, http) = (free_port(), free_port());
    let house = House::of(&format!(
        "
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: '127.0.0.1:{grpc}', auth: {{authenticator: basicauth}}}}
      http: {{endpoint: '127.0.0.1:{http}', auth: {{authenticator: bearertokenauth}}}}
processors:
  attributes: {{actions: [{{key: who, from_context: auth.username, action: insert}}]}}
exporters: {{nop: }}
extensions:
  basicauth: {{htpasswd: {{inline: 'anna:hunter2'}}}}
  bearertokenauth: {{tokens: [one, two]}}
service:
  extensions: [basicauth, bearertokenauth]
  pipelines: {{traces: {{receivers: [otlp], processors: [attributes], exporters: [nop]}}}}
"
    ))
    .await;
    // "anna:hunter2" and "anna:hunter3".
    let (right, wrong) = ("Basic YW5uYTpodW50ZXIy", "Basic YW5uYTpodW50ZXIz");
    for (authorization, expected) in [(None, "16"), (Some(wrong), "16"), (Some(right), "0")] {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        let (status, message) = call(grpc, &headers).await;
        assert_eq!(status, expected, "{authorization:?}: {message}");
    }
    for (authorization, expected) in
        [(None, 401), (Some("Bearer three"), 401), (Some("Bearer two"), 200)]
    {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        let answer = post(http, &headers).await;
        assert_eq!(answer.status, expected, "{authorization:?}");
        if expected == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert_eq!(answer.rpc_status().code, 16);
        }
    }
    // The body never comes.
    let mut raw = Raw::connect(local(http)).await;
    raw.head("Content-Length: 1000000\r\n").await;
    assert_eq!(raw.status().await, 401);

    assert_eq!(house.sink.attributes("who"), [Some("anna".to_owned()), None]);
    let failed = "spanfall_receiver_failed_requests";
    let accepted = "otelcol_receiver_accepted_spans";
    for (transport, refused) in [("grpc", 2.0), ("http", 3.0)] {
        assert_eq!(house.counted(failed, transport, Some("unauthenticated")), refused);
        assert_eq!(house.counted(accepted, transport, None), 1.0);
    }
}

#[tokio::test]
async fn metadata_reaches_processors_where_it_is_asked_for() {
    for (include, expected) in [(true, Some("a;b".to_owned())), (false, None)] {
        let (grpc, http) = (free_port(), free_port());
        let house = House::of(&format!(
            "
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: '127.0.0.1:{grpc}', include_metadata: {include}}}
      http:
        endpoint: '127.0.0.1:{http}'
        include_metadata: {include}
        traces_url_path: v1/traces
        response_headers: {{X-Served-By: us}}
        compression_algorithms: [zstd]
processors:
  attributes:
    actions:
      - {{key: tenant, from_context: metadata.X-Tenant, action: insert}}
      - {{key: from, from_context: client.address, action: insert}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [attributes], exporters: [nop]}}}}}}
"
        ))
        .await;
        let tenants = [("x-tenant", "a"), ("X-Tenant", "b")];
        let answer = post(http, &tenants).await;
        assert_eq!((answer.status, answer.header("x-served-by")), (200, "us"));
        assert_eq!(call(grpc, &tenants).await.0, "0");
        assert_eq!(house.sink.attributes("tenant"), [expected.clone(), expected]);
        let address = Some("127.0.0.1".to_owned());
        assert_eq!(house.sink.attributes("from"), [address.clone(), address]);
        let answer = post(http, &[("content-encoding", "gzip")]).await;
        assert_eq!(answer.status, 415, "not among the algorithms");
        assert_eq!(answer.header("accept-encoding"), "zstd, identity");
    }
}

#[tokio::test]
async fn mutual_tls_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (cert, key) = authority.issue("localhost");
    for (name, text) in [("ca", &authority.pem), ("cert", &cert), ("key", &key)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (port, at) = (free_port(), folder.path().display());
    let house = House::of(&format!(
        "
receivers:
  otlp:
    protocols:
      http:
        endpoint: 'localhost:{port}'
        tls: {{cert_file: {at}/cert, key_file: {at}/key, client_ca_file: {at}/ca}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}}}
"
    ))
    .await;
    let pem = |text: &String| Some(Pem::Text(text.clone()));
    let (own, own_key) = authority.issue("client");
    for (cert, key, is_taken) in [(None, None, false), (pem(&own), pem(&own_key), true)] {
        let tls = TlsClientSettings { ca: pem(&authority.pem), cert, key, ..Default::default() };
        let client = ClientSettings { tls, ..ClientSettings::default() };
        let settings = OtlpHttpSettings {
            endpoint: format!("https://localhost:{port}"),
            client,
            ..OtlpHttpSettings::default()
        };
        let exporter = OtlpHttp::new(&settings).unwrap();
        let encoded = Encoded { parts: vec![protobuf(3, 0).into()], items: 3 };
        let export = exporter.export(Signal::Traces, &encoded);
        let result = tokio::time::timeout(PATIENCE, export).await.unwrap();
        assert_eq!(result.is_ok(), is_taken, "{result:?}");
    }
    assert_eq!(house.sink.ids().len(), 3);
}

#[tokio::test]
async fn a_receiver_that_cannot_start_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (grpc, parts) in [
        (
            format!("{{endpoint: '127.0.0.1:{port}'}}"),
            vec!["receivers::otlp: grpc: cannot listen on 127.0.0.1:", "another process"],
        ),
        (
            "{endpoint: /no/otlp.sock, transport: unix}".to_owned(),
            vec!["receivers::otlp: grpc: cannot listen on /no/otlp.sock: No such file"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: {grpc}}}}}}}
exporters: {{nop: }}
extensions: {{file_storage: {{directory: {}}}}}
service:
  extensions: [file_storage]
  pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}
",
            folder.path().display()
        );
        let error = House::new().apply(&text).await.unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{grpc}: {part} is not in: {error}");
        }
    }
}

#[tokio::test]
async fn addresses_are_those_of_the_collector() {
    for (endpoint, reach) in [
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("[::]", "127.0.0.1"),
    ] {
        let port = free_port();
        let mut house = House::of(&format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{endpoint}:{port}'}}}}}}}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}}}
"
        ))
        .await;
        let address = format!("{reach}:{port}").parse().unwrap();
        let request =
            build(Method::POST, "/v1/traces", &[("content-type", PROTOBUF)], protobuf(1, 0));
        assert_eq!(send(address, request).await.status, 200, "{endpoint}");
        house.graph.stop().await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{endpoint} after the end");
    }
}

#[tokio::test]
async fn health_is_told_over_http() {
    let port = free_port();
    let mut house = House::of(&format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 'localhost:0'}}}}}}}}
exporters: {{nop: }}
extensions: {{health_check: {{endpoint: 'localhost:{port}', path: /health}}}}
service:
  extensions: [health_check]
  pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}
"
    ))
    .await;
    let ask = |path: &'static str| async move {
        let answer = send(local(port), build(Method::GET, path, &[], "")).await;
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body)
    };
    let (status, body) = ask("/health").await;
    assert_eq!(
        (status, &body["status"]),
        (503, &"Server not available".into()),
        "before it is ready"
    );

    let problems: Arc<Mutex<Vec<String>>> = Arc::default();
    let own = problems.clone();
    house.health.ready(move || own.lock().unwrap().clone());
    let (status, body) = ask("/health").await;
    assert_eq!((status, &body["status"]), (200, &"Server available".into()));
    let since = body["upSince"].as_str().unwrap();
    assert!(since.ends_with('Z') && !since.starts_with("0001"), "{since}");
    assert!(body["uptime"].as_str().unwrap().ends_with('s'), "{body}");
    assert_eq!(ask("/health").await.1["upSince"], since, "it stays");

    problems.lock().unwrap().push("exporters::a: broken".to_owned());
    let (status, body) = ask("/health").await;
    assert_eq!((status, &body["problems"][0]), (503, &"exporters::a: broken".into()));
    problems.lock().unwrap().clear();
    let (status, body) = ask("/health").await;
    assert_eq!(status, 200);
    assert_ne!(body["upSince"], since, "well again since another time");

    assert_eq!(ask("/").await.0, 404);
    let answer = send(local(port), build(Method::POST, "/health", &[], "")).await;
    assert_eq!(answer.status, 405);
    house.health.not_ready();
    assert_eq!(ask("/health").await.0, 503);
    house.graph.stop().await;
    assert!(tokio::net::TcpStream::connect(local(port)).await.is_err());
}

#[tokio::test]
async fn exporters_say_who_they_are_by_extensions() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "secret\n").unwrap();
    let [port, grpc, http] = [free_port(), free_port(), free_port()];
    let house = House::of(&format!(
        "
receivers:
  otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}
  otlp/checked:
    protocols:
      grpc: {{endpoint: '127.0.0.1:{grpc}', auth: {{authenticator: basicauth/server}}}}
      http: {{endpoint: '127.0.0.1:{http}', auth: {{authenticator: bearertokenauth}}}}
exporters:
  otlp_grpc:
    endpoint: '127.0.0.1:{grpc}'
    tls: {{insecure: true}}
    auth: {{authenticator: basicauth/client}}
    sending_queue: {{enabled: false}}
  otlp_http:
    endpoint: 'http://127.0.0.1:{http}'
    auth: {{authenticator: bearertokenauth}}
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
  nop:
extensions:
  basicauth/server: {{htpasswd: {{inline: 'anna:hunter2'}}}}
  basicauth/client: {{client_auth: {{username: anna, password: hunter2}}}}
  bearertokenauth: {{filename: {}}}
service:
  extensions: [basicauth/server, basicauth/client, bearertokenauth]
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_grpc, otlp_http]}}
    traces/checked: {{receivers: [otlp/checked], exporters: [nop]}}
",
        token.display()
    ))
    .await;
    assert_eq!(post(port, &[]).await.status, 200);
    assert_eq!(house.sink.requests.lock().unwrap().len(), 2, "over both ways");
    fs::remove_file(&token).unwrap();
    let answer = post(port, &[]).await;
    assert_eq!(answer.status / 100, 5, "without a token");
    let problems = house.graph.problems();
    assert!(problems[0].starts_with("extensions::bearertokenauth: "), "{problems:?}");
}

#[tokio::test]
async fn pages_may_send_where_the_configuration_lets_them() {
    let [open, closed] = [free_port(), free_port()];
    let _house = House::of(&format!(
        "
receivers:
  otlp/open:
    protocols:
      http:
        endpoint: '127.0.0.1:{open}'
        cors: {{allowed_origins: ['https://*.shop.example'], allowed_headers: [X-Tenant], exposed_headers: [X-B], max_age: 600}}
  otlp/closed: {{protocols: {{http: {{endpoint: '127.0.0.1:{closed}'}}}}}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp/open, otlp/closed], exporters: [nop]}}}}}}
"
    ))
    .await;
    let ask = |port: u16, origin: &'static str| async move {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-other"),
        ];
        send(local(port), build(Method::OPTIONS, "/v1/traces", &headers, "")).await
    };
    let answer = ask(open, "https://www.shop.example").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-headers"), "content-type, X-Tenant");
    assert_eq!(answer.header("access-control-expose-headers"), "retry-after, X-B");
    assert_eq!(answer.header("access-control-max-age"), "600");
    assert_eq!(ask(open, "http://localhost:3000").await.status, 403);
    // As in the Collector, without the key no page may, not even a local one.
    assert_eq!(ask(closed, "http://localhost:3000").await.status, 403);
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end() {
    let port = free_port();
    let _house = House::of(&format!(
        "
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: '127.0.0.1:{port}'
        keepalive: {{server_parameters: {{max_connection_age: 50ms, max_connection_age_grace: 50ms}}}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}}}
"
    ))
    .await;
    let stream = tokio::net::TcpStream::connect(local(port)).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (_sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Full<bytes::Bytes>>(
            executor, io,
        )
        .await
        .unwrap();
    // The client does nothing and would stay.
    let ended = tokio::time::timeout(PATIENCE, connection).await;
    assert!(ended.is_ok(), "the server ends it");
}

/// In over HTTP, out over `otlp_http`, with the queue in a folder.
fn queued(port: u16, backend: u16, folder: &Path, more: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters:
  otlp_http:
    endpoint: 'http://127.0.0.1:{backend}'
    retry_on_failure: {{initial_interval: 1ms, max_interval: 5ms, max_elapsed_time: 0s}}
    sending_queue: {{storage: file_storage/queue}}
    {more}
extensions: {{file_storage/queue: {{directory: '{}/deep', create_directory: true}}}}
service:
  extensions: [file_storage/queue]
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}
",
        folder.display()
    )
}

fn backend(port: u16) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}}}
"
    )
}

/// One span, whose id is a number.
fn numbered(number: u64) -> Vec<u8> {
    let mut request = request(1, 0);
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.span_id = (number + 1).to_be_bytes().to_vec();
    request.encode_to_vec()
}

fn numbers(count: u64) -> BTreeSet<Vec<u8>> {
    (1..=count).map(|number| number.to_be_bytes().to_vec()).collect()
}

async fn arrived(sink: &Sink, expected: &BTreeSet<Vec<u8>>) {
    let arrive = async {
        while sink.ids().len() < expected.len() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, arrive).await.is_ok();
    assert!(in_time, "{} of {} came", sink.ids().len(), expected.len());
    assert_eq!(sink.ids(), *expected);
}

#[tokio::test]
async fn a_queue_on_disk_outlives_the_graph_and_the_backend() {
    let folder = tempfile::tempdir().unwrap();
    let (port, backend_port) = (free_port(), free_port());
    let text = queued(port, backend_port, folder.path(), "");
    let mut house = House::of(&text).await;
    for number in 0..50 {
        let headers = [("content-type", PROTOBUF)];
        let request = build(Method::POST, "/v1/traces", &headers, numbered(number));
        assert_eq!(send(local(port), request).await.status, 200, "taken without a backend");
    }
    let left = house.graph.stop().await;
    assert_eq!(left, 0, "what is on the disk is not lost");
    let names: Vec<String> = fs::read_dir(folder.path().join("deep"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.contains(&"exporter_otlp_http_traces".to_owned()), "{names:?}");

    let behind = House::of(&backend(backend_port)).await;
    let mut house = House::of(&text).await;
    arrived(&behind.sink, &numbers(50)).await;
    house.graph.stop().await;
}

#[tokio::test]
async fn a_reload_that_fails_leaves_what_a_file_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let text = |file: &str, endpoint: &str| {
        let file = path(file);
        format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '{endpoint}'}}}}}}}}
exporters: {{file: {{path: '{}'}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}
",
            file.display()
        )
    };
    let mut house = House::of(&text("a", "localhost:0")).await;
    house.post_spans(1).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = taken.local_addr().unwrap().to_string();
    house.apply(&text("b", &endpoint)).await.unwrap_err();
    house.post_spans(1).await;
    let lines = std::fs::read_to_string(path("a")).unwrap().lines().count();
    assert_eq!(lines, 2);
    house.graph.stop().await;
}

/// Senders that come again until they are told that their span was taken.
async fn keep_sending(port: u16, next: Arc<AtomicU64>, enough: Arc<AtomicBool>) {
    let endpoint = format!("http://127.0.0.1:{port}");
    let settings = OtlpHttpSettings { endpoint, ..OtlpHttpSettings::default() };
    let exporter = OtlpHttp::new(&settings).unwrap();
    while !enough.load(Ordering::SeqCst) {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let encoded = Encoded { parts: vec![numbered(number).into()], items: 1 };
        loop {
            match exporter.export(Signal::Traces, &encoded).await {
                Ok(()) => break,
                Err(ExportError::Retryable { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("span {number}: {error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_while_requests_flow_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (port, backend_port) = (free_port(), free_port());
    let behind = House::of(&backend(backend_port)).await;
    let plain = queued(port, backend_port, folder.path(), "");
    let processed = plain
        .replace(
            "extensions: {file",
            "processors:\n  batch: {timeout: 5ms, send_batch_size: 10}\n  \
             attributes: {actions: [{key: a, value: 1, action: insert}]}\nextensions: {file",
        )
        .replace(
            "exporters: [otlp_http]}",
            "processors: [attributes, batch], exporters: [otlp_http]}",
        );
    let variants = [
        // Processors come.
        processed.clone(),
        // The exporter is another, on the same folder.
        processed.replace("    sending_queue:", "    compression: zstd\n    sending_queue:"),
        // The receiver is another, on the same port.
        processed.replace("{http: {endpoint", "{http: {include_metadata: true, endpoint"),
        // A setting of a processor.
        processed.replace("value: 1", "value: 2"),
        // The storage, and with it the exporter.
        plain.replace("create_directory: true", "create_directory: true, fsync: true"),
        plain.clone(),
    ];
    let mut house = House::of(&plain).await;
    let (next, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> =
        (0..3).map(|_| tokio::spawn(keep_sending(port, next.clone(), enough.clone()))).collect();
    for round in 0..3 {
        for (index, variant) in variants.iter().enumerate() {
            let before = next.load(Ordering::SeqCst);
            let changed = house.apply(variant).await;
            let changed = changed.unwrap_or_else(|error| panic!("{round}.{index}: {error}"));
            assert!(!changed.started.is_empty() || !changed.stopped.is_empty(), "{round}.{index}");
            assert_eq!(changed.items_left, 0, "{round}.{index}: {changed:?}");
            // Requests flow between reloads, too.
            let flow = async {
                while next.load(Ordering::SeqCst) < before + 10 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, flow).await.expect("requests flow");
        }
    }
    enough.store(true, Ordering::SeqCst);
    for sender in senders {
        tokio::time::timeout(PATIENCE, sender).await.expect("an end").unwrap();
    }
    let sent = next.load(Ordering::SeqCst);
    arrived(&behind.sink, &numbers(sent)).await;
    assert_eq!(house.graph.problems(), Vec::<String>::new());
    house.graph.stop().await;
}
