//! Exporters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use config::{Id, Reader};
use tokio::time::Instant;

use super::clients::{
    ClientPlan, SenderKeys, SenderPlan, endpoint, grpc_client, http_client, sender,
};
use crate::component::{ExporterPlan, Need, Plan, Role, Running, Stage, Surroundings};
use crate::consumer::{Consumer, Refusal, Taken};
use crate::data::{Request, Signal};
use crate::exporters::debug::{Debug, DebugOutput, DebugSettings, Verbosity};
use crate::exporters::file::{FileExporter, FileFormat, FileSettings, Rotation};
use crate::exporters::load_balancing::{LoadBalancer, LoadBalancingSettings, Resolver, RoutingKey};
use crate::exporters::otlp::{
    HttpEncoding, OtlpGrpc, OtlpGrpcSettings, OtlpHttp, OtlpHttpSettings, check_url,
};
use crate::exporters::{Export, ExporterSnapshot, FailReason, Nop, Sender};
use crate::graph::Registry;
use crate::net::Algorithm;
use crate::telemetry::{MetricKind, Metrics, Sample};

/// The Collector's `timeout` of most exporters.
const TIMEOUT: Duration = Duration::from_secs(5);
/// That of `otlp_http`.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn register(registry: &mut Registry) {
    registry.add_exporter("otlp_grpc", |reader| Arc::new(otlp_grpc(reader)));
    registry.add_exporter("otlp_http", |reader| Arc::new(otlp_http(reader)));
    registry.add_exporter("debug", |reader| Arc::new(debug(reader)));
    registry.add_exporter("file", |reader| Arc::new(file(reader)));
    registry.add_exporter("nop", |_| Arc::new(NopPlan));
    registry.add_exporter("load_balancing", |reader| Arc::new(load_balancing(reader)));
}

/// A sender for each signal, so that one does not wait behind another.
pub(super) struct Senders {
    id: Id,
    senders: Vec<(Signal, Arc<Sender>)>,
}

const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

impl Senders {
    pub(super) async fn start(
        id: &Id,
        around: &Surroundings,
        plan: &SenderPlan,
        export: Arc<dyn Export>,
    ) -> Result<Stage, String> {
        Self::start_for(&SIGNALS, id, around, plan, export).await
    }

    /// For an exporter that not all signals can be sent to.
    pub(super) async fn start_for(
        signals: &[Signal],
        id: &Id,
        around: &Surroundings,
        plan: &SenderPlan,
        export: Arc<dyn Export>,
    ) -> Result<Stage, String> {
        let mut senders = Vec::new();
        for &signal in signals {
            let folder = format!("exporter_{id}_{signal}");
            let settings = plan.with_storage(around, &folder)?;
            let sender = Sender::new(id.to_string(), signal, settings, export.clone());
            sender.start().await.map_err(|error| error.to_string())?;
            senders.push((signal, Arc::new(sender)));
        }
        let own = Arc::new(Self { id: id.clone(), senders });
        let metrics: Arc<dyn Metrics> = own.clone();
        around.telemetry.add(&metrics);
        Ok(Stage { consumer: own.clone(), running: own, is_durable: plan.is_durable() })
    }
}

#[async_trait]
impl Consumer for Senders {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let signal = request.data.signal();
        let sender = self.senders.iter().find(|(own, _)| *own == signal);
        match sender {
            Some((_, sender)) => sender.consume(request).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Running for Senders {
    async fn stop(&self, deadline: Instant) -> u64 {
        let all = self.senders.iter().map(|(_, sender)| sender.shutdown(deadline));
        let left = futures_util::future::join_all(all).await;
        left.iter().map(|left| left.dropped).sum()
    }

    async fn give_way(&self, to: &Arc<dyn Consumer>, deadline: Instant) -> u64 {
        let all = self.senders.iter().map(|(_, sender)| sender.give_way(to, deadline));
        let left = futures_util::future::join_all(all).await;
        left.iter().map(|left| left.dropped).sum()
    }

    fn problem(&self) -> Option<String> {
        let problems: Vec<String> =
            self.senders.iter().filter_map(|(_, sender)| sender.problem()).collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

impl Metrics for Senders {
    fn collect(&self, out: &mut Vec<Sample>) {
        for (signal, sender) in &self.senders {
            let snapshot = sender.counters().snapshot();
            let is_used = snapshot
                != ExporterSnapshot {
                    queue_capacity: snapshot.queue_capacity,
                    ..ExporterSnapshot::default()
                };
            // What no pipeline sends has no place on a dashboard.
            if *signal == Signal::Traces || is_used {
                samples(out, &self.id, *signal, &snapshot);
            }
        }
    }
}

fn samples(out: &mut Vec<Sample>, id: &Id, signal: Signal, snapshot: &ExporterSnapshot) {
    let [sent, failed, refused] = match signal {
        Signal::Traces => [
            "otelcol_exporter_sent_spans",
            "otelcol_exporter_send_failed_spans",
            "otelcol_exporter_enqueue_failed_spans",
        ],
        Signal::Metrics => [
            "otelcol_exporter_sent_metric_points",
            "otelcol_exporter_send_failed_metric_points",
            "otelcol_exporter_enqueue_failed_metric_points",
        ],
        Signal::Logs => [
            "otelcol_exporter_sent_log_records",
            "otelcol_exporter_send_failed_log_records",
            "otelcol_exporter_enqueue_failed_log_records",
        ],
    };
    let exporter = || ("exporter", id.to_string());
    let mut push = |name, help, kind, labels, value: u64| {
        out.push(Sample { name, help, kind, labels, value: value as f64 });
    };
    let counter = MetricKind::Counter;
    push(sent, "Items that the other side took", counter, vec![exporter()], snapshot.sent);
    push(failed, "Items that did not leave", counter, vec![exporter()], snapshot.send_failed());
    push(
        refused,
        "Items that the queue refused",
        counter,
        vec![exporter()],
        snapshot.enqueue_failed,
    );
    for reason in FailReason::ALL {
        let labels = vec![
            exporter(),
            ("data_type", signal.name().to_owned()),
            ("reason", reason.name().to_owned()),
        ];
        let name = "spanfall_exporter_dropped_items";
        push(
            name,
            "Items that did not leave, by reason",
            counter,
            labels,
            snapshot.failed_for(reason),
        );
    }
    let labels = || vec![("data_type", signal.name().to_owned()), exporter()];
    let gauge = MetricKind::Gauge;
    let help = "What the queue holds, in its unit";
    push("otelcol_exporter_queue_size", help, gauge, labels(), snapshot.queue_size);
    let help = "What the queue may hold, in its unit";
    push("otelcol_exporter_queue_capacity", help, gauge, labels(), snapshot.queue_capacity);
    let help = "Requests on their way";
    push("otelcol_exporter_in_flight_requests", help, gauge, labels(), snapshot.in_flight);
}

struct OtlpGrpcPlan {
    endpoint: String,
    client: ClientPlan,
    sender: SenderPlan,
}

fn otlp_grpc(reader: &mut Reader<'_, '_>) -> OtlpGrpcPlan {
    OtlpGrpcPlan {
        endpoint: endpoint(reader, "endpoint"),
        client: grpc_client(reader, Algorithm::Gzip),
        sender: sender(reader, TIMEOUT),
    }
}

/// The extensions of a client and its queue.
pub(super) fn needs(client: &ClientPlan, sender: &SenderPlan) -> Vec<Need> {
    let auth = Need::of(client.auth.as_ref(), Role::ClientAuth);
    auth.into_iter().chain(sender.needs()).collect()
}

impl Plan for OtlpGrpcPlan {
    fn needs(&self) -> Vec<Need> {
        needs(&self.client, &self.sender)
    }

    fn is_exclusive(&self) -> bool {
        self.sender.is_durable()
    }
}

#[async_trait]
impl ExporterPlan for OtlpGrpcPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let client = self.client.with_auth(around)?;
        let settings = OtlpGrpcSettings { endpoint: self.endpoint.clone(), client };
        let export = OtlpGrpc::new(&settings).map_err(|error| error.to_string())?;
        Senders::start(id, around, &self.sender, Arc::new(export)).await
    }
}

struct OtlpHttpPlan {
    settings: OtlpHttpSettings,
    client: ClientPlan,
    sender: SenderPlan,
}

fn otlp_http(reader: &mut Reader<'_, '_>) -> OtlpHttpPlan {
    let text = |reader: &mut Reader<'_, '_>, key: &'static str| {
        let check = |text: &str| match text {
            "" => Ok(String::new()),
            _ => check_url(text).map(|()| text.to_owned()),
        };
        reader.field(key).parsed("a URL", check).filter(|text| !text.is_empty())
    };
    let keys = ["endpoint", "traces_endpoint", "metrics_endpoint", "logs_endpoint"];
    let has_any = keys
        .into_iter()
        .any(|key| reader.field(key).node().is_some_and(|node| node.as_text() != Some("")));
    let settings = OtlpHttpSettings {
        endpoint: text(reader, "endpoint").unwrap_or_default(),
        traces_endpoint: text(reader, "traces_endpoint"),
        metrics_endpoint: text(reader, "metrics_endpoint"),
        logs_endpoint: text(reader, "logs_endpoint"),
        encoding: reader
            .field("encoding")
            .choice(&[("proto", HttpEncoding::Protobuf), ("json", HttpEncoding::Json)])
            .unwrap_or_default(),
        ..OtlpHttpSettings::default()
    };
    reader.field("profiles_endpoint").string();
    if !has_any {
        reader.fault("endpoint", "at least one endpoint must be specified");
    }
    let client = http_client(reader, Algorithm::Gzip);
    OtlpHttpPlan { settings, client, sender: sender(reader, HTTP_TIMEOUT) }
}

impl Plan for OtlpHttpPlan {
    fn needs(&self) -> Vec<Need> {
        needs(&self.client, &self.sender)
    }

    fn is_exclusive(&self) -> bool {
        self.sender.is_durable()
    }
}

#[async_trait]
impl ExporterPlan for OtlpHttpPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let client = self.client.with_auth(around)?;
        let settings = OtlpHttpSettings { client, ..self.settings.clone() };
        let export = OtlpHttp::new(&settings).map_err(|error| error.to_string())?;
        Senders::start(id, around, &self.sender, Arc::new(export)).await
    }
}

struct DebugPlan(DebugSettings);

fn debug(reader: &mut Reader<'_, '_>) -> DebugPlan {
    let defaults = DebugSettings::default();
    let verbosity = reader.field("verbosity").choice_in_any_case(&[
        ("basic", Verbosity::Basic),
        ("normal", Verbosity::Normal),
        ("detailed", Verbosity::Detailed),
    ]);
    // The key of old, when the exporter was called `logging`.
    let level = reader.field("loglevel").deprecated("use `verbosity`").choice_in_any_case(&[
        ("debug", Verbosity::Detailed),
        ("info", Verbosity::Normal),
        ("warn", Verbosity::Basic),
        ("error", Verbosity::Basic),
    ]);
    reader.field("use_internal_logger").bool();
    reader.field("output_paths").strings();
    reader.field("sending_queue").node();
    DebugPlan(DebugSettings {
        verbosity: verbosity.or(level).unwrap_or(defaults.verbosity),
        sampling_initial: reader
            .field("sampling_initial")
            .int(0..=u64::MAX)
            .unwrap_or(defaults.sampling_initial),
        sampling_thereafter: reader
            .field("sampling_thereafter")
            .int(0..=u64::MAX)
            .unwrap_or(defaults.sampling_thereafter),
    })
}

impl Plan for DebugPlan {}

#[async_trait]
impl ExporterPlan for DebugPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let export = Debug::new(self.0, DebugOutput::Log);
        Senders::start(id, around, &SenderPlan::at_once(), Arc::new(export)).await
    }
}

struct NopPlan;

impl Plan for NopPlan {}

#[async_trait]
impl ExporterPlan for NopPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        Senders::start(id, around, &SenderPlan::at_once(), Arc::new(Nop)).await
    }
}

struct FilePlan {
    settings: FileSettings,
    was_started: AtomicBool,
}

fn file(reader: &mut Reader<'_, '_>) -> FilePlan {
    let path = reader.field("path").required().string().unwrap_or_default();
    let rotation = reader.field("rotation").section(|reader| {
        let defaults = Rotation::default();
        reader.field("localtime").bool();
        Rotation {
            max_megabytes: reader
                .field("max_megabytes")
                .int(1..=1 << 40)
                .unwrap_or(defaults.max_megabytes),
            max_days: reader.field("max_days").int(0..=100_000).unwrap_or(defaults.max_days),
            max_backups: reader
                .field("max_backups")
                .int(0..=1_000_000)
                .unwrap_or(defaults.max_backups),
        }
    });
    let format =
        reader.field("format").choice(&[("json", FileFormat::Json), ("proto", FileFormat::Proto)]);
    let zstd = reader.field("compression").choice(&[("zstd", true), ("", false)]);
    reader.field("flush_interval").duration();
    let groups = reader.field("group_by").section(|reader| {
        reader.field("resource_attribute").string();
        reader.field("max_open_files").int::<u32>(0..=u32::MAX);
        reader.field("enabled").bool().unwrap_or_default()
    });
    if groups == Some(true) {
        reader.fault("group_by", "Spanfall writes to one file; use a connector `routing` instead");
    }
    let settings = FileSettings {
        format: format.unwrap_or_default(),
        zstd: zstd.unwrap_or_default(),
        append: reader.field("append").bool().unwrap_or_default(),
        create_directory: reader.field("create_directory").bool().unwrap_or_default(),
        rotation,
        ..FileSettings::new(path)
    };
    if settings.append && settings.zstd {
        reader.fault("append", "append and compression enabled at the same time is not supported");
    }
    FilePlan { settings, was_started: AtomicBool::new(false) }
}

impl Plan for FilePlan {
    fn is_exclusive(&self) -> bool {
        true
    }
}

#[async_trait]
impl ExporterPlan for FilePlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let mut settings = self.settings.clone();
        // Again after a reload that failed: what it has written stays.
        settings.append |= self.was_started.load(Ordering::Relaxed);
        let export = FileExporter::new(settings)
            .map_err(|error| format!("{}: {error}", self.settings.path.display()))?;
        self.was_started.store(true, Ordering::Relaxed);
        Senders::start(id, around, &SenderPlan::at_once(), Arc::new(export)).await
    }
}

struct LoadBalancingPlan {
    routing_key: RoutingKey,
    resolver: Resolver,
    client: ClientPlan,
    sender: SenderPlan,
}

#[derive(Clone, Copy, PartialEq)]
enum KeyName {
    TraceId,
    Service,
    Resource,
    Attributes,
}

/// A port, which the Collector takes as text and people write as a number.
fn port(reader: &mut Reader<'_, '_>) -> Option<u16> {
    let node = reader.field("port").node()?;
    let port = match &node.value {
        config::Value::Int(number) => u16::try_from(*number).ok(),
        _ => node.as_text().and_then(|text| text.parse().ok()),
    };
    if port.is_none() {
        reader.fault("port", "must be a port");
    }
    port
}

fn load_balancing(reader: &mut Reader<'_, '_>) -> LoadBalancingPlan {
    let key = reader.field("routing_key").choice(&[
        ("traceID", KeyName::TraceId),
        ("service", KeyName::Service),
        ("resource", KeyName::Resource),
        ("attributes", KeyName::Attributes),
    ]);
    let names = reader.field("routing_attributes").strings().unwrap_or_default();
    let routing_key = match key {
        None | Some(KeyName::TraceId) => RoutingKey::TraceId,
        Some(KeyName::Service) => RoutingKey::Service,
        Some(KeyName::Resource) => RoutingKey::Resource,
        Some(KeyName::Attributes) => {
            if names.is_empty() {
                reader.fault("routing_attributes", "must be specified with this routing_key");
            }
            RoutingKey::Attributes(names)
        }
    };
    let protocol = reader.field("protocol").section(|reader| {
        // Two names of the same.
        if reader.has("otlp") && reader.has("otlp_grpc") {
            reader.fault("otlp_grpc", "and 'otlp' are the same: keep one of them");
        }
        let read = |reader: &mut Reader<'_, '_>| {
            reader.field("endpoint").string();
            let keys = SenderKeys::of(reader);
            (grpc_client(reader, Algorithm::Gzip), sender(reader, TIMEOUT), keys)
        };
        let own = reader.field("otlp").section(read);
        reader.field("otlp_grpc").section(read).or(own)
    });
    let resolver = reader.field("resolver").required().section(|reader| {
        for key in ["k8s", "aws_cloud_map"] {
            let why = "is no resolver here: a headless service of Kubernetes resolves by `dns`, \
                       other endpoints are written as `static`";
            reader.refused(key, why);
        }
        let hostnames = reader
            .field("static")
            .section(|reader| reader.field("hostnames").required().strings().unwrap_or_default());
        let dns = reader.field("dns").section(|reader| {
            let Resolver::Dns { port: default, interval, timeout, .. } = Resolver::dns("") else {
                return Resolver::dns("");
            };
            Resolver::Dns {
                hostname: reader.field("hostname").required().string().unwrap_or_default(),
                port: port(reader).unwrap_or(default),
                interval: reader.field("interval").duration().unwrap_or(interval),
                timeout: reader.field("timeout").duration().unwrap_or(timeout),
            }
        });
        let is_refused = ["k8s", "aws_cloud_map"].into_iter().any(|key| reader.has(key));
        if hostnames.is_some() == dns.is_some() && !is_refused {
            reader.fault("static", "exactly one resolver must be specified");
        }
        dns.or(hostnames.map(|hostnames| Resolver::Static { hostnames }))
    });
    // At the top they stand for all endpoints together in the Collector; here, too, each endpoint
    // has its own.
    let keys = SenderKeys::of(reader);
    let top = sender(reader, TIMEOUT);
    let (client, sender) = match protocol.flatten() {
        Some((client, own, own_keys)) => (client, own.or(own_keys, &top, keys)),
        None => (ClientPlan::default(), top),
    };
    let resolver = resolver.flatten().unwrap_or(Resolver::Static { hostnames: Vec::new() });
    LoadBalancingPlan { routing_key, resolver, client, sender }
}

impl Plan for LoadBalancingPlan {
    fn needs(&self) -> Vec<Need> {
        needs(&self.client, &self.sender)
    }

    fn is_exclusive(&self) -> bool {
        self.sender.is_durable()
    }
}

struct Balanced {
    id: Id,
    balancer: LoadBalancer,
}

#[async_trait]
impl Consumer for Balanced {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        self.balancer.consume(request).await
    }

    async fn offer(&self, request: Request, taken: &Taken) -> Result<(), Refusal> {
        self.balancer.offer(request, taken).await
    }
}

#[async_trait]
impl Running for Balanced {
    async fn stop(&self, deadline: Instant) -> u64 {
        self.balancer.shutdown(deadline).await.dropped
    }

    async fn give_way(&self, to: &Arc<dyn Consumer>, deadline: Instant) -> u64 {
        self.balancer.give_way(to, deadline).await.dropped
    }

    fn problem(&self) -> Option<String> {
        self.balancer.problem()
    }
}

impl Metrics for Balanced {
    fn collect(&self, out: &mut Vec<Sample>) {
        samples(out, &self.id, Signal::Traces, &self.balancer.snapshot());
    }
}

#[async_trait]
impl ExporterPlan for LoadBalancingPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let client = self.client.with_auth(around)?;
        let folder = format!("exporter_{id}");
        let settings = LoadBalancingSettings {
            routing_key: self.routing_key.clone(),
            resolver: self.resolver.clone(),
            sender: self.sender.with_storage(around, &folder)?,
        };
        let make = move |endpoint: &str| {
            let endpoint = endpoint.to_owned();
            let settings = OtlpGrpcSettings { endpoint, client: client.clone() };
            OtlpGrpc::new(&settings).map(|export| Arc::new(export) as Arc<dyn Export>)
        };
        let balancer = LoadBalancer::new(id.to_string(), settings, Box::new(make));
        balancer.start().await;
        let own = Arc::new(Balanced { id: id.clone(), balancer });
        let metrics: Arc<dyn Metrics> = own.clone();
        around.telemetry.add(&metrics);
        Ok(Stage { consumer: own.clone(), running: own, is_durable: self.sender.is_durable() })
    }
}
