//! The all-in-one server: listeners, store, receivers, API, health and metrics, and their end.

mod consumer;
mod health;
mod limits;
mod listen;
mod metrics;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use pipeline::receivers::otlp::{GrpcReceiver, GrpcSettings, HttpReceiver, HttpSettings};
use pipeline::receivers::{
    ByteBudget, Drained, IN_FLIGHT_BYTES_MAX_DEFAULT, ReceiverCounters, ServerSettings,
};
use store::{DiskLimit, Engine, Options, Store, SyncPolicy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use consumer::StoreConsumer;
use health::Health;
use listen::{Listeners, PortCounters};

/// What requests may take together until their spans are stored.
pub const IN_FLIGHT_BYTES_MAX: usize = IN_FLIGHT_BYTES_MAX_DEFAULT;

/// How long open requests may take after a signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Who asks for health or metrics is near and quick; who is not makes room for who is.
const OWN_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What `spanfall serve` was asked to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The address of all listeners.
    pub listen: IpAddr,
    /// Ports; 0 lets the system choose.
    pub ports: Ports,
    /// The token that the API asks for.
    pub token: Option<String>,
    /// Serve the API to anyone on a public address.
    pub insecure_public: bool,
    /// How long spans are kept.
    pub retention: Duration,
    /// How much disk blocks and log may take.
    pub disk_limit: DiskLimit,
    /// How many spans are gathered before they become a block.
    pub head_spans_max: usize,
    /// When acknowledged spans are on the disk.
    pub sync: SyncPolicy,
    /// The largest request.
    pub request_bytes_max: usize,
    /// By how much Jaeger's APIs set a clock right at the most.
    pub clock_skew_max: Duration,
    /// Web pages that may send spans, beside those of this machine.
    pub cors_allowed_origins: Vec<String>,
}

/// Where each part listens.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// OTLP over gRPC.
    pub otlp_grpc: u16,
    /// OTLP over HTTP.
    pub otlp_http: u16,
    /// API and UI.
    pub ui: u16,
    /// Jaeger's query API over gRPC.
    pub jaeger_grpc: u16,
    /// Zipkin's query API.
    pub zipkin: u16,
    /// Tempo's API, over HTTP and gRPC.
    pub tempo: u16,
    /// Health.
    pub health: u16,
    /// Own metrics.
    pub metrics: u16,
}

/// Lines for the person who started the server.
pub trait Notices {
    /// Recovery has read so many bytes of so many.
    fn recovering(&self, read: u64, total: u64);
    /// Everything listens.
    fn ready(&self, banner: &str);
    /// A signal came.
    fn stopping(&self);
}

/// Runs until SIGINT or SIGTERM, then drains.
pub async fn run(settings: Settings, notices: &dyn Notices) -> anyhow::Result<()> {
    let started = Instant::now();
    refuse_open_data(&settings)?;
    // Listeners first: a taken port is told at once, and clients that come early wait, not fail.
    let listeners = Listeners::bind(settings.listen, settings.ports)?;
    let engine = open_store(&settings, notices)?;
    let store: Arc<dyn Store> = engine.clone();

    let stop = CancellationToken::new();
    let health = Arc::new(Health::new(store.clone()));
    let counters = Arc::new(ReceiverCounters::default());
    let names = listeners.names();
    let consumer = Arc::new(StoreConsumer::new(store.clone()));
    let budget = ByteBudget::new(IN_FLIGHT_BYTES_MAX);
    let server = ServerSettings {
        request_bytes_max: settings.request_bytes_max,
        drain_timeout: DRAIN_TIMEOUT,
        connections_max: limits::connections_max(limits::raise_open_files()),
        ..ServerSettings::default()
    };
    // A query whose client has gone ends.
    let query_server = ServerSettings { answers_half_closed: false, ..server.clone() };
    let own_server = ServerSettings {
        connections_max: limits::OWN_CONNECTIONS_MAX,
        head_timeout: OWN_HEAD_TIMEOUT,
        ..server.clone()
    };
    let ports = Arc::new(PortCounters::default());
    let mut http = HttpSettings { server: server.clone(), ..HttpSettings::default() };
    http.cors.allowed_origins.extend(settings.cors_allowed_origins.iter().cloned());

    let grpc = GrpcReceiver::new(
        listeners.otlp_grpc,
        GrpcSettings { server: server.clone() },
        budget.clone(),
        consumer.clone(),
        counters.clone(),
    );
    let http = HttpReceiver::new(listeners.otlp_http, http, budget, consumer, counters.clone());
    let api = api::Api {
        store: store.clone(),
        access: api::Access {
            token: settings.token.clone(),
            local_only: settings.listen.is_loopback() && settings.token.is_none(),
        },
        listeners: names.clone(),
        started,
        clock: Arc::new(unix_nano),
        clock_skew_max_nano: nanos(settings.clock_skew_max),
    };
    let jaeger_grpc = api::grpc_router(Arc::new(api.clone())).await;
    let zipkin = api::zipkin::router(api.clone());
    let tempo = api::tempo::router(api.clone());
    let api = api::router(api);

    // Before anyone can know that it runs. While the log is read, a signal ends the process at
    // once: there is nothing to drain.
    let mut signals = StopSignals::catch()?;

    let mut tasks = tokio::task::JoinSet::new();
    {
        let mut run = |name, future| {
            tasks.spawn(health.clone().watch(name, stop.clone(), future));
        };
        let (grpc_stop, http_stop) = (stop.clone(), stop.clone());
        run(
            "OTLP/gRPC receiver",
            Box::pin(async move { note_abandoned("gRPC", grpc.run(grpc_stop).await) }) as Task,
        );
        run(
            "OTLP/HTTP receiver",
            Box::pin(async move { note_abandoned("HTTP", http.run(http_stop).await) }),
        );
        let connections = ports.ui.clone();
        run(
            "API",
            listen::serve(listeners.ui, api, query_server.clone(), connections, stop.clone()),
        );
        let connections = ports.jaeger_grpc.clone();
        run(
            "Jaeger gRPC API",
            listen::serve(
                listeners.jaeger_grpc,
                jaeger_grpc,
                query_server.clone(),
                connections,
                stop.clone(),
            ),
        );
        let connections = ports.zipkin.clone();
        run(
            "Zipkin API",
            listen::serve(
                listeners.zipkin,
                zipkin,
                query_server.clone(),
                connections,
                stop.clone(),
            ),
        );
        let connections = ports.tempo.clone();
        run(
            "Tempo API",
            listen::serve(listeners.tempo, tempo, query_server, connections, stop.clone()),
        );
        let router = health::router(health.clone());
        let connections = ports.health.clone();
        run(
            "health server",
            listen::serve(listeners.health, router, own_server.clone(), connections, stop.clone()),
        );
        let connections = ports.metrics.clone();
        let router = metrics::router(store, counters, ports, started);
        run(
            "metrics server",
            listen::serve(listeners.metrics, router, own_server, connections, stop.clone()),
        );
    }
    notices.ready(&listen::banner(&names, &settings));

    signals.next().await;
    notices.stopping();
    stop.cancel();
    let drained = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => {}
        // A connection that never ends must not keep the process.
        () = tokio::time::sleep(DRAIN_TIMEOUT + Duration::from_secs(1)) => tasks.abort_all(),
        () = signals.next() => tasks.abort_all(),
    }
    tokio::task::spawn_blocking(move || engine.close()).await.context("closing the store")
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn note_abandoned(transport: &str, Drained { abandoned }: Drained) {
    if abandoned > 0 {
        tracing::warn!(transport, abandoned, "requests were cut off at the end");
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since the Unix epoch.
fn unix_nano() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

/// Traces hold customers' data: nobody serves them to the world by accident.
fn refuse_open_data(settings: &Settings) -> anyhow::Result<()> {
    let open = !settings.listen.is_loopback() && settings.token.is_none();
    if open && !settings.insecure_public {
        anyhow::bail!(
            "--listen {} would show all traces to anyone who can reach it; set a token with \
             --token-file or SPANFALL_TOKEN, or say --insecure-public",
            settings.listen
        );
    }
    Ok(())
}

fn open_store(settings: &Settings, notices: &dyn Notices) -> anyhow::Result<Arc<Engine>> {
    let defaults = Options::new(settings.data_dir.clone());
    let options = Options {
        head_age_max: head_age_max(settings.retention, defaults.head_age_max),
        sync: settings.sync,
        head_spans_max: settings.head_spans_max,
        retention: settings.retention,
        disk_limit: settings.disk_limit,
        ..defaults
    };
    let least = disk_bytes_least(&options);
    let engine = Engine::open(options, |read, total| notices.recovering(read, total))?;
    let limit = engine.status().disk_limit_bytes;
    if limit < least {
        tracing::warn!(
            "--retention-bytes comes to {limit} bytes, less than the log and a block may take \
             before anything can be deleted; the least that makes sense is {} MiB",
            least >> 20
        );
    }
    Ok(Arc::new(engine))
}

/// The log of the head, that of the head that is being sealed, and the block that comes of it.
fn disk_bytes_least(options: &Options) -> u64 {
    3 * options.head_bytes_max as u64
}

/// Spans leave by age once they are in a block, the last of a head with the first: where they are
/// kept for a short time only, a head may not take long beside it.
fn head_age_max(retention: Duration, longest: Duration) -> Duration {
    (retention / 20).max(Duration::from_secs(60)).min(longest)
}

/// SIGINT and SIGTERM, caught from the moment that this is made.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_disk_is_two_logs_and_a_block() {
        let mut options = Options::new(PathBuf::from("data"));
        options.head_bytes_max = 1 << 20;
        assert_eq!(disk_bytes_least(&options), 3 << 20);
    }

    #[test]
    fn a_head_is_young_beside_the_retention() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        for (retention, age) in [(0, 1), (1, 1), (20, 1), (100, 5), (300, 15), (14 * 24 * 60, 15)] {
            assert_eq!(head_age_max(minutes(retention), minutes(15)), minutes(age), "{retention}");
        }
    }
}
