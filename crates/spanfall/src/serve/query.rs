//! The extension `spanfall_query`: the UI and the query APIs over what an exporter `spanfall` stores.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
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
use pipeline::components::servers::{ServerPlan, auth, endpoint, http_timeouts, tls};
use pipeline::receivers::{Auth, ConnectionCounters, Drained, Handler, ServerSettings, serve};
use pipeline::telemetry::{MetricKind, Metrics, Sample};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Host;
use super::stores::Opened;
use crate::values::parse_duration;

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
            None => Some(plan(default.to_owned())),
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

fn plan(endpoint: String) -> ServerPlan {
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
            if !address.ip().is_loopback() && !is_guarded && !self.insecure_public {
                tracing::warn!(
                    extension = %id,
                    %address,
                    "anyone who reaches this address can read all traces; set token, auth or \
                     tls.client_ca_file, or insecure_public: true if that is meant"
                );
            }
            let port = Arc::new(Port {
                name,
                address,
                access: api::Access {
                    token: token.clone(),
                    local_only: address.ip().is_loopback() && !is_guarded,
                },
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
        let follow = follow(stores, ports.clone(), self.host.clone(), skew, answers.clone());
        let follow = stop.clone().run_until_cancelled_owned(follow);
        serving.spawn(async move {
            follow.await;
            Drained { abandoned: 0 }
        });
        let own = Arc::new(Query { ports, answers, stop, serving: Mutex::new(serving) });
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
async fn follow(
    mut stores: tokio::sync::watch::Receiver<Opened>,
    ports: Vec<Arc<Port>>,
    host: Arc<Host>,
    clock_skew_max_nano: u64,
    answers: Arc<AtomicBool>,
) {
    loop {
        let opened = stores.borrow_and_update().clone();
        answers.store(false, Ordering::Relaxed);
        for port in &ports {
            let router = match &opened {
                None => Router::new().fallback(not_open),
                Some(store) => {
                    let listeners = host.clone();
                    let api = api::Api {
                        store: store.clone(),
                        access: port.access.clone(),
                        listeners: Arc::new(move || listeners.listeners.read().clone()),
                        started: host.started,
                        clock: Arc::new(unix_nano),
                        clock_skew_max_nano,
                    };
                    match port.name {
                        "jaeger_grpc" => api::grpc_router(Arc::new(api)).await,
                        "zipkin" => api::zipkin::router(api),
                        "tempo" => api::tempo::router(api),
                        _ => api::router(api),
                    }
                }
            };
            *port.router.write() = router;
        }
        answers.store(opened.is_some(), Ordering::Relaxed);
        drop(opened);
        if stores.changed().await.is_err() {
            return;
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
    address: SocketAddr,
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
        let drained = async { while serving.join_next().await.is_some() {} };
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

    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        self.ports.iter().map(|port| (port.name, port.address)).collect()
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
    use super::super::{Host, Silent, Where, load};

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
