//! The receiver `jaeger`.

use std::sync::Arc;

use async_trait::async_trait;
use config::{Diagnostic, Id, Reader};
use tokio::net::UdpSocket;

use super::ports::{Link, Ports};
use super::receivers::{HttpPlan, bound, grpc_server, http_server};
use super::servers::{Endpoint, ServerPlan, address, listen};
use crate::component::{Need, Plan, ReceiverPlan, Running, Surroundings};
use crate::consumer::Consumer;
use crate::receivers::jaeger::{
    Protocol, ThriftHttpReceiver, UdpReceiver, UdpSettings, grpc_receiver,
};
use crate::receivers::otlp::GrpcSettings;
use crate::receivers::{Address, ReceiverCounters, TransportCounters};

/// More than any datagram of UDP can have.
const PACKET_BYTES_MAX: usize = 65_535;

/// As many as a queue may hold, of which each may be as large as that.
const QUEUE_SIZE_MAX: usize = 1 << 16;

const WORKERS_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct JaegerPlan {
    grpc: Option<ServerPlan>,
    thrift_http: Option<HttpPlan>,
    thrift_compact: Option<UdpPlan>,
    thrift_binary: Option<UdpPlan>,
}

struct UdpPlan {
    endpoint: String,
    settings: UdpSettings,
}

/// `protocols`: any of `grpc`, `thrift_http`, `thrift_compact`, `thrift_binary`. Limits of message
/// sizes that are not set are 64 MiB, where the Collector has 4 MiB and 20 MiB.
pub(super) fn jaeger(reader: &mut Reader<'_, '_>) -> JaegerPlan {
    reader.removed(
        "remote_sampling",
        "the Collector has removed it for an extension, `jaegerremotesampling`, which is not here \
         yet; clients ask an agent or a collector of Jaeger's for their sampling strategies until \
         then",
    );
    let plan = reader.field("protocols").section(|reader| JaegerPlan {
        grpc: reader.field("grpc").section(|reader| grpc_server(reader, "localhost:14250")),
        thrift_http: reader
            .field("thrift_http")
            .section(|reader| http_server(reader, "localhost:14268")),
        thrift_compact: reader
            .field("thrift_compact")
            .section(|reader| udp(reader, "localhost:6831")),
        thrift_binary: reader
            .field("thrift_binary")
            .section(|reader| udp(reader, "localhost:6832")),
    });
    let plan = plan.unwrap_or_default();
    const NAMES: [&str; 4] = ["grpc", "thrift_http", "thrift_compact", "thrift_binary"];
    // What is there and cannot be read is reported already.
    let is_there = |node: &config::Node| match node.as_map() {
        Some(map) => map.iter().any(|entry| NAMES.contains(&&*entry.key.text)),
        None => true,
    };
    if !reader.field("protocols").node().is_some_and(is_there) {
        let words = "must specify at least one protocol when using the Jaeger receiver";
        reader.report(|owner, at| {
            Diagnostic::error(format!("{owner}: {words}")).at(at, "no protocol here").help(format!(
                "write `protocols:` and below it one or more of {}",
                NAMES.join(", ")
            ))
        });
    }
    let tcp = [
        plan.grpc.as_ref().map(|plan| plan.endpoint.clone()),
        plan.thrift_http.as_ref().map(|plan| plan.server.endpoint.clone()),
    ];
    let udp = [&plan.thrift_compact, &plan.thrift_binary]
        .map(|plan| plan.as_ref().map(|plan| Endpoint::Tcp(plan.endpoint.clone())));
    for pair in [tcp, udp] {
        if let [Some(one), Some(other)] = pair
            && one == other
            && !one.is_any_port()
        {
            reader.fault(
                "protocols",
                &format!("has the endpoint {one} twice: each protocol needs its own port"),
            );
        }
    }
    plan
}

fn udp(reader: &mut Reader<'_, '_>, default: &str) -> UdpPlan {
    let defaults = UdpSettings::default();
    let endpoint = address(reader, default);
    let queue_size = reader.field("queue_size").int(1..=usize::MAX);
    let max_packet_size = reader.field("max_packet_size").int(1..=usize::MAX);
    let workers = reader.field("workers").int(1..=WORKERS_MAX);
    let socket_buffer_size = reader.field("socket_buffer_size").int(0..=i32::MAX as usize / 2);
    let settings = UdpSettings {
        queue_size: queue_size.unwrap_or(defaults.queue_size).min(QUEUE_SIZE_MAX),
        max_packet_size: max_packet_size.unwrap_or(defaults.max_packet_size).min(PACKET_BYTES_MAX),
        workers: workers.unwrap_or(defaults.workers),
        socket_buffer_size: socket_buffer_size.unwrap_or(defaults.socket_buffer_size),
        ..defaults
    };
    UdpPlan { endpoint, settings }
}

impl UdpPlan {
    async fn receiver(
        &self,
        protocol: Protocol,
        around: &Surroundings,
        next: &Arc<dyn Consumer>,
        counters: &Arc<TransportCounters>,
    ) -> Result<UdpReceiver, String> {
        let socket = listen(&self.endpoint, UdpSocket::bind).await?;
        let (budget, counters) = (around.budget.clone(), Arc::clone(counters));
        UdpReceiver::new(socket, protocol, self.settings, budget, Arc::clone(next), counters)
            .map_err(|error| format!("socket_buffer_size: {error}"))
    }
}

impl Plan for JaegerPlan {
    fn needs(&self) -> Vec<Need> {
        let plans = self.grpc.iter().chain(self.thrift_http.iter().map(|http| &http.server));
        plans.flat_map(ServerPlan::needs).collect()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        let plans = self.grpc.iter().chain(self.thrift_http.iter().map(|http| &http.server));
        plans.filter_map(ServerPlan::port).collect()
    }
}

#[async_trait]
impl ReceiverPlan for JaegerPlan {
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
            let receiver = grpc_receiver(listener, settings, budget, next.clone(), counted);
            ports.transport("grpc", &counters.grpc, Link::Connected);
            ports.serve_requests("grpc", receiver.local_addr(), |stop| receiver.run(stop))?;
        }
        if let Some(plan) = &self.thrift_http {
            let (listener, settings) = plan.bound("thrift_http", around).await?;
            let (budget, next) = (around.budget.clone(), next.clone());
            let receiver = ThriftHttpReceiver::new(listener, settings, budget, next, &counters);
            ports.transport("collector_http", &counters.http, Link::Connected);
            ports
                .serve_requests("thrift_http", receiver.local_addr(), |stop| receiver.run(stop))?;
        }
        for (name, label, plan, protocol) in [
            ("thrift_compact", "udp_thrift_compact", &self.thrift_compact, Protocol::Compact),
            ("thrift_binary", "udp_thrift_binary", &self.thrift_binary, Protocol::Binary),
        ] {
            let Some(plan) = plan else { continue };
            let told = |error| format!("{name}: {error}");
            let counters = Arc::new(TransportCounters::default());
            let receiver = plan.receiver(protocol, around, &next, &counters).await.map_err(told)?;
            let address = receiver.local_addr().map_err(|error| told(error.to_string()))?;
            let stop = ports.stop.clone();
            ports.transport(label, &counters, Link::Datagrams);
            // A datagram has a span at least.
            ports.serve(name, Address::Tcp(address), async {
                receiver.run(stop).await.abandoned as u64
            });
        }
        Ok(ports.start(around))
    }
}
