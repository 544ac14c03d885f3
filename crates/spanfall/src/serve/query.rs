//! The extension `spanfall_query`: the UI and the query APIs over what an exporter `spanfall` stores.

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use config::{Id, Reader, Secret};
use hyper::body::Incoming;
use parking_lot::{Mutex, RwLock};
use pipeline::Client;
use pipeline::component::{Extension, ExtensionPlan, Need, Plan, Running, Surroundings};
use pipeline::components::servers::{Endpoint, ServerPlan, auth, endpoint, http_timeouts, tls};
use pipeline::receivers::{
    Address, Auth, ConnectionCounters, Drained, Handler, ServerSettings, serve,
};
use pipeline::telemetry::{MetricKind, Metrics, Sample};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Host;
use super::gate::Gate;
use super::stores::Opened;
use crate::values::parse_duration;

/// How long before its deadline a query that still runs is told that it has no answer: before its
/// connection is cut, with time for the words to arrive.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The ports of the APIs, by the names that the API's status gives them.
const PORTS: [&str; 4] = ["ui", "jaeger_grpc", "zipkin", "tempo"];

/// `extensions::spanfall_query`, as it is configured.
pub(super) struct QueryPlan {
    /// The exporter whose spans are asked for.
    pub(super) store: Id,
    /// By [`PORTS`]; nothing for an API that is off.
    ports: [Option<ServerPlan>; 4],
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    insecure_public: bool,
    clock_skew_max: Duration,
    host: Arc<Host>,
}

/// Reads its settings.
pub(super) fn read(reader: &mut Reader<'_, '_>, host: Arc<Host>) -> QueryPlan {
    let store = reader.field("store").parsed("the id of an exporter `spanfall`", Id::parse);
    let ui = server(reader, "localhost:16686");
    let others = [
        ("jaeger_grpc", "localhost:16685", true),
        // The receiver `zipkin` has this port by default.
        ("zipkin", "localhost:9411", false),
        ("tempo", "localhost:3200", true),
    ];
    let [jaeger_grpc, zipkin, tempo] = others.map(|(key, default, is_on)| {
        let is_present = reader.field(key).is_present();
        let read = reader.field(key).section(|reader| {
            let enabled = reader.field("enabled").bool();
            let server = server(reader, default);
            enabled.unwrap_or(true).then_some(server)
        });
        match read {
            Some(server) => server,
            None if is_present || !is_on => None,
            None => Some(plan(Endpoint::Tcp(default.to_owned()))),
        }
    });
    let is_written = reader.has("token");
    let has_value = reader.field("token").node().is_some_and(|node| node.as_text() != Some(""));
    let token = reader.field("token").secret();
    if is_written && !has_value {
        // Else a variable that is not set would show all traces to anyone.
        reader.fault("token", "is empty: set it, or leave the key out if nobody is to be asked");
    }
    let token_file = reader.field("token_file").string().filter(|path| !path.is_empty());
    if token.is_some() && token_file.is_some() {
        reader.fault("token_file", "must not be set beside `token`: one of them is enough");
    }
    let skew = reader.field("max_clock_skew_adjust").parsed("a duration", parse_duration);
    QueryPlan {
        store: store.unwrap_or_else(|| Id { kind: "spanfall".to_owned(), name: String::new() }),
        ports: [Some(ui), jaeger_grpc, zipkin, tempo],
        token,
        token_file: token_file.map(PathBuf::from),
        insecure_public: reader.field("insecure_public").bool().unwrap_or_default(),
        clock_skew_max: skew.unwrap_or_default(),
        host,
    }
}

fn plan(endpoint: Endpoint) -> ServerPlan {
    // A query whose client has gone ends.
    let settings = ServerSettings { answers_half_closed: false, ..ServerSettings::default() };
    ServerPlan { endpoint, settings, tls: None, auth: None }
}

fn server(reader: &mut Reader<'_, '_>, default: &str) -> ServerPlan {
    let mut plan = plan(endpoint(reader, default));
    let bytes = reader.field("max_request_body_size").bytes(1..=u64::MAX >> 2);
    if let Some(bytes) = bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        plan.settings.request_bytes_max = bytes;
    }
    http_timeouts(reader, &mut plan.settings);
    ServerPlan { tls: tls(reader), auth: auth(reader), ..plan }
}

impl QueryPlan {
    fn token(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.token_file else {
            return Ok(self.token.as_ref().map(|token| token.expose().to_owned()));
        };
        let content = std::fs::read_to_string(path);
        let content = content.map_err(|error| format!("token_file {}: {error}", path.display()))?;
        let line = content.lines().next().unwrap_or_default().trim();
        match line {
            "" => Err(format!("token_file {} has no token", path.display())),
            token => Ok(Some(token.to_owned())),
        }
    }
}

impl Plan for QueryPlan {
    fn needs(&self) -> Vec<Need> {
        self.ports.iter().flatten().flat_map(ServerPlan::needs).collect()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        self.ports.iter().flatten().filter_map(ServerPlan::port).collect()
    }
}

#[async_trait]
impl ExtensionPlan for QueryPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        let token = self.token()?;
        let stop = CancellationToken::new();
        let mut ports = Vec::new();
        let mut listeners = Vec::new();
        for (name, plan) in PORTS.into_iter().zip(&self.ports) {
            let Some(plan) = plan else { continue };
            let told =
                |error: String| if name == "ui" { error } else { format!("{name}: {error}") };
            let settings = plan.settings(around).map_err(told)?;
            let listener = plan.bind().await.map_err(told)?;
            let address = listener.local_addr().map_err(|error| told(error.to_string()))?;
            let is_guarded = token.is_some()
                || settings.auth.is_some()
                || plan.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
            if !address.is_local() && !is_guarded && !self.insecure_public {
                tracing::warn!(
                    extension = %id,
                    %address,
                    "anyone who reaches this address can read all traces; set token, auth or \
                     tls.client_ca_file, or insecure_public: true if that is meant"
                );
            }
            let port = Arc::new(Port {
                name,
                access: api::Access {
                    token: token.clone(),
                    local_only: address.is_local() && !is_guarded,
                },
                address,
                auth: settings.auth.clone(),
                router: RwLock::new(Router::new().fallback(not_open)),
                connections: ConnectionCounters::default(),
                tasks: TaskTracker::new(),
            });
            ports.push(port.clone());
            listeners.push((listener, settings, port));
        }
        let mut serving = JoinSet::new();
        for (listener, settings, port) in listeners {
            let stop = stop.clone();
            serving.spawn(async move { serve(listener, &settings, port, stop).await });
        }
        let stores = self.host.stores.watch(&self.store);
        let skew = u64::try_from(self.clock_skew_max.as_nanos()).unwrap_or(u64::MAX);
        let answers = Arc::<AtomicBool>::default();
        let open = Arc::<Mutex<Option<Gate>>>::default();
        let follow = Follow {
            ports: ports.clone(),
            host: self.host.clone(),
            clock_skew_max_nano: skew,
            answers: answers.clone(),
            open: open.clone(),
        };
        let follow = follow.run(stores);
        let follow = stop.clone().run_until_cancelled_owned(follow);
        serving.spawn(async move {
            follow.await;
            Drained { abandoned: 0 }
        });
        let own = Arc::new(Query { ports, answers, open, stop, serving: Mutex::new(serving) });
        let metrics: Arc<dyn Metrics> = own.clone();
        around.telemetry.add(&metrics);
        Ok(own)
    }
}

/// Before the store is open, and while another takes its place.
async fn not_open() -> Response<Body> {
    let text = "{\"error\":\"the store is being opened; ask again in a second\"}";
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Gives every port the store that is open.
struct Follow {
    ports: Vec<Arc<Port>>,
    host: Arc<Host>,
    clock_skew_max_nano: u64,
    answers: Arc<AtomicBool>,
    open: Arc<Mutex<Option<Gate>>>,
}

impl Follow {
    /// Until nobody opens stores any more.
    async fn run(self, mut stores: watch::Receiver<Opened>) {
        loop {
            let opened = stores.borrow_and_update().clone();
            self.answers.store(false, Ordering::Relaxed);
            let gate = opened.map(Gate::new);
            // Before anybody can ask: an end may come between two ports.
            self.open.lock().clone_from(&gate);
            for port in &self.ports {
                let router = match &gate {
                    None => Router::new().fallback(not_open),
                    Some(gate) => self.router(port, gate).await,
                };
                *port.router.write() = router;
            }
            self.answers.store(gate.is_some(), Ordering::Relaxed);
            if stores.changed().await.is_err() {
                return;
            }
        }
    }

    /// The API of a port over a store.
    async fn router(&self, port: &Port, store: &Gate) -> Router {
        let host = self.host.clone();
        let api = api::Api {
            store: Arc::new(store.clone()),
            access: port.access.clone(),
            listeners: Arc::new(move || host.listeners.read().clone()),
            started: self.host.started,
            clock: Arc::new(unix_nano),
            clock_skew_max_nano: self.clock_skew_max_nano,
        };
        match port.name {
            "jaeger_grpc" => api::grpc_router(Arc::new(api)).await,
            "zipkin" => api::zipkin::router(api),
            "tempo" => api::tempo::router(api),
            _ => api::router(api),
        }
    }
}

/// Nanoseconds since the Unix epoch.
fn unix_nano() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// A port, and the router behind it at the moment.
struct Port {
    name: &'static str,
    address: Address,
    access: api::Access,
    auth: Option<Auth>,
    router: RwLock<Router>,
    connections: ConnectionCounters,
    tasks: TaskTracker,
}

impl Handler for Port {
    type Body = Body;

    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Arc<Client>) -> Response<Body> {
        if let Some(auth) = &self.auth
            && let Err(reason) = auth.0.check(request.headers()).await
        {
            let mut answer = Response::new(Body::from(reason));
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            answer.headers_mut().insert(WWW_AUTHENTICATE, auth.0.challenge());
            return answer;
        }
        let router = self.router.read().clone();
        let answer: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
        let Ok(answer) = answer;
        answer
    }

    fn connections(&self) -> &ConnectionCounters {
        &self.connections
    }

    fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

/// The extension at work.
struct Query {
    ports: Vec<Arc<Port>>,
    /// Every port has the store behind it.
    answers: Arc<AtomicBool>,
    /// The store as the ports have it.
    open: Arc<Mutex<Option<Gate>>>,
    stop: CancellationToken,
    serving: Mutex<JoinSet<Drained>>,
}

impl Drop for Query {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Running for Query {
    async fn stop(&self, deadline: Instant) -> u64 {
        self.stop.cancel();
        let mut serving = std::mem::take(&mut *self.serving.lock());
        let mut drained = pin!(async { while serving.join_next().await.is_some() {} });
        let patience = deadline.checked_sub(LAST_WORDS).unwrap_or_else(Instant::now);
        if tokio::time::timeout_at(patience, &mut drained).await.is_ok() {
            return 0;
        }
        if let Some(store) = &*self.open.lock() {
            store.close();
        }
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("queries were still running at the deadline");
        }
        0
    }

    fn problem(&self) -> Option<String> {
        // Every task lives as long as the extension; one that ended has died.
        let all = 1 + self.ports.len();
        let mut serving = self.serving.lock();
        while serving.try_join_next().is_some() {}
        let is_whole = serving.len() == all || self.stop.is_cancelled();
        if !is_whole {
            return Some("it has stopped to listen on one of its ports".to_owned());
        }
        let answers = self.answers.load(Ordering::Relaxed) || self.stop.is_cancelled();
        (!answers).then(|| "the store is not open".to_owned())
    }

    fn addresses(&self) -> Vec<(&'static str, Address)> {
        self.ports.iter().map(|port| (port.name, port.address.clone())).collect()
    }
}

impl Extension for Query {
    fn reads_exporters(&self) -> bool {
        true
    }
}

impl Metrics for Query {
    fn collect(&self, out: &mut Vec<Sample>) {
        for port in &self.ports {
            let labels = || vec![("listener", port.name.to_owned())];
            let count =
                |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed) as f64;
            out.push(Sample {
                name: "spanfall_refused_connections",
                help: "Connections turned away because as many were open as may be",
                kind: MetricKind::Counter,
                labels: labels(),
                value: count(&port.connections.refused),
            });
            out.push(Sample {
                name: "spanfall_open_connections",
                help: "Connections that are open",
                kind: MetricKind::Gauge,
                labels: labels(),
                value: count(&port.connections.open),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{Engine, Options, Store};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::{Silent, Where, load};
    use super::*;

    async fn until(what: &str, so: impl Fn() -> bool) {
        let waits = async {
            while !so() {
                tokio::task::yield_now().await;
            }
        };
        let waits = tokio::time::timeout(Duration::from_secs(60), waits).await;
        waits.unwrap_or_else(|_| panic!("waited in vain for {what}"));
    }

    /// A query that the end finds at work is answered, or told that it will not be.
    #[test]
    fn an_open_query_is_not_cut_off() {
        for is_in_time in [true, false] {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            // The only thread that could answer is busy.
            let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
            let (done, is_done) = std::sync::mpsc::channel::<()>();
            runtime.spawn_blocking(move || is_done.recv());
            let folder = tempfile::TempDir::new().unwrap();
            let engine = Engine::open(Options::new(folder.path().to_owned()), |_, _| ()).unwrap();
            let engine: Arc<dyn Store> = Arc::new(engine);
            let answer = runtime.block_on(async {
                let (host, id) = (Host::new(Silent), Id::parse("spanfall").unwrap());
                host.stores.set(&id, Some(Arc::new(Gate::new(engine.clone()))));
                let plan = QueryPlan {
                    store: id.clone(),
                    ports: [Some(plan(Endpoint::Tcp("127.0.0.1:0".to_owned()))), None, None, None],
                    token: None,
                    token_file: None,
                    insecure_public: false,
                    clock_skew_max: Duration::ZERO,
                    host,
                };
                let own = plan.start(&id, &super::super::testing::around()).await.unwrap();
                until("its store", || own.problem().is_none()).await;
                let mut client =
                    TcpStream::connect(own.addresses()[0].1.tcp().unwrap()).await.unwrap();
                let request = b"GET /api/v1/services HTTP/1.1\r\nhost: localhost\r\n\r\n";
                client.write_all(request).await.unwrap();
                // This test, the gate, and who asks.
                until("the query", || Arc::strong_count(&engine) == 3).await;
                let patience = if is_in_time { Duration::from_secs(60) } else { Duration::ZERO };
                let mut done = Some(done);
                let stop = own.stop(Instant::now() + patience + LAST_WORDS);
                let release = async { drop(done.take_if(|_| is_in_time)) };
                assert_eq!(tokio::join!(biased; stop, release).0, 0);
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                answer
            });
            match is_in_time {
                true => assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}"),
                false => {
                    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
                    assert!(answer.contains("the store is being closed"), "{answer}");
                }
            }
        }
    }

    #[test]
    fn a_token_that_is_written_is_one() {
        for (token, is_wrong) in [
            ("token: ", true),
            ("token: ''", true),
            ("token: '${env:SPANFALL_NEVER_SET}'", true),
            ("token: '${env:SPANFALL_NEVER_SET:-abc}'", false),
            ("token: abc", false),
            ("", false),
        ] {
            let text = format!(
                "yaml:{{receivers: {{otlp: {{protocols: {{grpc: }}}}}}, exporters: {{spanfall: }}, \
                 extensions: {{spanfall_query: {{{token}}}}}, service: {{extensions: \
                 [spanfall_query], pipelines: {{traces: {{receivers: [otlp], exporters: \
                 [spanfall]}}}}}}}}"
            );
            let place = Where { configs: vec![text], ..Where::default() };
            let loaded = load(&place, &Host::new(Silent));
            let said = loaded.diagnostics.render(false);
            assert_eq!(said.contains("'token' is empty"), is_wrong, "{token}: {said}");
            assert_eq!(loaded.diagnostics.has_errors(), is_wrong, "{token}: {said}");
        }
    }
}
