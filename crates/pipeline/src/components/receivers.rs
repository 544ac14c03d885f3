//! Receivers.

use std::sync::Arc;

use async_trait::async_trait;
use config::{Id, Reader};

use super::ports::{Link, Ports};
use super::receivers_file::otlp_json_file;
use super::receivers_jaeger::jaeger;
use super::receivers_zipkin::zipkin;
use super::servers::{ServerPlan, auth, cors, endpoint_of, http_timeouts, limit, tls};
use crate::component::{Need, Plan, ReceiverPlan, Running, Surroundings};
use crate::consumer::Consumer;
use crate::graph::Registry;
use crate::net::Headers;
use crate::receivers::otlp::{GrpcReceiver, GrpcSettings, HttpReceiver, HttpSettings};
use crate::receivers::{Listener, ReceiverCounters, ServerSettings};

pub(super) fn register(registry: &mut Registry) {
    registry.add_receiver("otlp", |reader| Arc::new(otlp(reader)));
    registry.add_receiver("jaeger", |reader| Arc::new(jaeger(reader)));
    registry.add_receiver("otlp_json_file", |reader| Arc::new(otlp_json_file(reader)));
    registry.add_receiver("zipkin", |reader| Arc::new(zipkin(reader)));
}

/// `otlp`: either protocol or both.
struct OtlpPlan {
    grpc: Option<ServerPlan>,
    http: Option<HttpPlan>,
}

/// A server over HTTP.
pub(super) struct HttpPlan {
    pub(super) server: ServerPlan,
    /// But for the server's.
    settings: HttpSettings,
}

impl HttpPlan {
    /// With certificates and the authenticator.
    pub(super) fn settings(&self, around: &Surroundings) -> Result<HttpSettings, String> {
        Ok(HttpSettings { server: self.server.settings(around)?, ..self.settings.clone() })
    }

    /// The same, and what it listens on, for one protocol of several.
    pub(super) async fn bound(
        &self,
        protocol: &str,
        around: &Surroundings,
    ) -> Result<(Listener, HttpSettings), String> {
        let (listener, server) = bound(&self.server, protocol, around).await?;
        Ok((listener, HttpSettings { server, ..self.settings.clone() }))
    }
}

/// What a server listens on, for one protocol of several, and its settings.
pub(super) async fn bound(
    plan: &ServerPlan,
    protocol: &str,
    around: &Surroundings,
) -> Result<(Listener, ServerSettings), String> {
    let told = |error| format!("{protocol}: {error}");
    let settings = plan.settings(around).map_err(told)?;
    Ok((plan.bind().await.map_err(told)?, settings))
}

fn otlp(reader: &mut Reader<'_, '_>) -> OtlpPlan {
    let protocols = reader
        .field("protocols")
        .section(|reader| (reader.field("grpc").section(grpc), reader.field("http").section(http)));
    let (grpc, http) = protocols.unwrap_or_default();
    // What is there and cannot be read is reported already.
    let is_there = |node: &config::Node| match node.as_map() {
        Some(map) => map.iter().any(|entry| matches!(&*entry.key.text, "grpc" | "http")),
        None => true,
    };
    if !reader.field("protocols").node().is_some_and(is_there) {
        let words = "must specify at least one protocol when using the OTLP receiver";
        reader.report(|owner, at| {
            config::Diagnostic::error(format!("{owner}: {words}"))
                .at(at, "no protocol here")
                .help("write `protocols: {grpc: , http: }`, or one of them")
        });
    }
    if let (Some(grpc), Some(http)) = (&grpc, &http)
        && grpc.endpoint == http.server.endpoint
        && !grpc.endpoint.is_any_port()
    {
        reader.fault("protocols", "has the same endpoint twice: each protocol needs its own port");
    }
    OtlpPlan { grpc, http }
}

/// `protocols.grpc`. A `max_recv_msg_size_mib` that is not set stays at 64 MiB, where the
/// Collector has 4 MiB, which SDKs with large batches overstep.
fn grpc(reader: &mut Reader<'_, '_>) -> ServerPlan {
    grpc_server(reader, "localhost:4317")
}

/// The keys of a gRPC server.
pub(super) fn grpc_server(reader: &mut Reader<'_, '_>, default: &str) -> ServerPlan {
    let mut settings = ServerSettings::default();
    let endpoint = endpoint_of(reader, default);
    if let Some(mib) =
        reader.field("max_recv_msg_size_mib").int(0..=4096usize).filter(|mib| *mib > 0)
    {
        settings.request_bytes_max = mib << 20;
    }
    let streams = reader.field("max_concurrent_streams").int(0..=u32::MAX);
    if let Some(streams) = streams.filter(|streams| *streams > 0) {
        settings.concurrent_streams_max = streams;
    }
    reader.field("keepalive").section(|reader| keepalive(reader, &mut settings));
    settings.include_metadata = reader.field("include_metadata").bool().unwrap_or_default();
    // Of Go's own transport, whose work is done otherwise here.
    for key in ["read_buffer_size", "write_buffer_size"] {
        reader.field(key).int::<i64>(0..=i64::MAX);
    }
    reader.field("middlewares").node();
    ServerPlan { endpoint, settings, tls: tls(reader), auth: auth(reader) }
}

fn keepalive(reader: &mut Reader<'_, '_>, settings: &mut ServerSettings) {
    reader.field("server_parameters").section(|reader| {
        settings.connection_age_max = limit(reader, "max_connection_age");
        settings.connection_age_grace = limit(reader, "max_connection_age_grace");
        // Connections without requests are few and cost little; pings find those that are dead.
        limit(reader, "max_connection_idle");
        if let Some(time) = limit(reader, "time") {
            settings.keepalive_interval = time;
        }
        if let Some(timeout) = limit(reader, "timeout") {
            settings.keepalive_timeout = timeout;
        }
    });
    // Nobody is turned away for his pings.
    reader.field("enforcement_policy").section(|reader| {
        reader.field("min_time").duration();
        reader.field("permit_without_stream").bool();
    });
}

/// What bodies may be compressed with.
const COMPRESSIONS: [&str; 8] =
    ["", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4"];

/// `protocols.http`. A `max_request_body_size` that is not set stays at 64 MiB, as the
/// specification asks for, where the Collector has 20 MiB.
fn http(reader: &mut Reader<'_, '_>) -> HttpPlan {
    let mut plan = http_server(reader, "localhost:4318");
    if let Some(path) = path(reader, "traces_url_path") {
        plan.settings.traces_path = path;
    }
    // What comes there is told that it is not taken.
    for key in ["metrics_url_path", "logs_url_path", "profiles_url_path"] {
        path(reader, key);
    }
    plan
}

/// The keys of an HTTP server.
pub(super) fn http_server(reader: &mut Reader<'_, '_>, default: &str) -> HttpPlan {
    let mut server = ServerSettings::default();
    let endpoint = endpoint_of(reader, default);
    let bytes = reader.field("max_request_body_size").int(0..=usize::MAX / 4);
    if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
        server.request_bytes_max = bytes;
    }
    http_timeouts(reader, &mut server);
    server.include_metadata = reader.field("include_metadata").bool().unwrap_or_default();
    let mut settings = HttpSettings { cors: cors(reader), ..HttpSettings::default() };
    settings.codings =
        reader.field("compression_algorithms").parsed_list(|name| {
            match COMPRESSIONS.contains(&name) {
                true => Ok(name.to_owned()),
                false => {
                    let all = COMPRESSIONS[1..].join(", ");
                    Err((format!("unsupported compression type {name:?}: there are {all}"), None))
                }
            }
        });
    let mut headers = Headers::default();
    for (name, value) in reader.field("response_headers").headers().unwrap_or_default() {
        if let Err(error) = headers.add(&name, value.expose()) {
            reader.fault("response_headers", &error.to_string());
        }
    }
    settings.response_headers = headers;
    let server = ServerPlan { endpoint, settings: server, tls: tls(reader), auth: auth(reader) };
    HttpPlan { server, settings }
}

/// A path; the slash in front may be missing.
fn path(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<String> {
    reader.field(key).parsed("a path", |path| {
        if path.is_empty() {
            return Err("must not be empty".to_owned());
        }
        Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
    })
}

impl Plan for OtlpPlan {
    fn needs(&self) -> Vec<Need> {
        let plans = self.grpc.iter().chain(self.http.iter().map(|http| &http.server));
        plans.flat_map(ServerPlan::needs).collect()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        let plans = self.grpc.iter().chain(self.http.iter().map(|http| &http.server));
        plans.filter_map(ServerPlan::port).collect()
    }
}

#[async_trait]
impl ReceiverPlan for OtlpPlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> Result<Arc<dyn Running>, String> {
        let counters = Arc::new(ReceiverCounters::default());
        let mut ports = Ports::new(id);
        if let Some(plan) = &self.grpc {
            let (listener, server) = bound(plan, "grpc", around).await?;
            let (settings, counted) = (GrpcSettings { server }, Arc::clone(&counters));
            let budget = around.budget.clone();
            let receiver = GrpcReceiver::new(listener, settings, budget, next.clone(), counted);
            ports.transport("grpc", &counters.grpc, Link::Connected);
            ports.serve_requests("grpc", receiver.local_addr(), |stop| receiver.run(stop))?;
        }
        if let Some(plan) = &self.http {
            let (listener, settings) = plan.bound("http", around).await?;
            let (budget, counted) = (around.budget.clone(), Arc::clone(&counters));
            let receiver = HttpReceiver::new(listener, settings, budget, next, counted);
            ports.transport("http", &counters.http, Link::Connected);
            ports.serve_requests("http", receiver.local_addr(), |stop| receiver.run(stop))?;
        }
        Ok(ports.start(around))
    }
}
