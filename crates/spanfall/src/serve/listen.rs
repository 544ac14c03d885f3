//! Sockets: binding them all before anything starts, serving on them, telling where they are.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::Listener;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use pipeline::Client;
use pipeline::receivers::{ConnectionCounters, Handler, ServerSettings};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{Ports, Settings, Task};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

pub(super) struct Listeners {
    pub(super) otlp_grpc: TcpListener,
    pub(super) otlp_http: TcpListener,
    pub(super) ui: TcpListener,
    pub(super) jaeger_grpc: TcpListener,
    pub(super) zipkin: TcpListener,
    pub(super) tempo: TcpListener,
    pub(super) health: TcpListener,
    pub(super) metrics: TcpListener,
}

impl Listeners {
    pub(super) fn bind(address: IpAddr, ports: Ports) -> anyhow::Result<Self> {
        let bind = |what: &str, flag: &str, port| {
            let socket = SocketAddr::new(address, port);
            listen(socket).map_err(|error| {
                let advice = advice(&error, address, flag);
                anyhow::Error::new(error)
                    .context(format!("cannot listen on {socket} for {what}; {advice}"))
            })
        };
        Ok(Self {
            otlp_grpc: bind("OTLP/gRPC", "--otlp-grpc-port", ports.otlp_grpc)?,
            otlp_http: bind("OTLP/HTTP", "--otlp-http-port", ports.otlp_http)?,
            ui: bind("the web UI and API", "--http-port", ports.ui)?,
            jaeger_grpc: bind("Jaeger's gRPC API", "--jaeger-grpc-port", ports.jaeger_grpc)?,
            zipkin: bind("Zipkin's API", "--zipkin-port", ports.zipkin)?,
            tempo: bind("Tempo's API", "--tempo-port", ports.tempo)?,
            health: bind("health", "--health-port", ports.health)?,
            metrics: bind("metrics", "--metrics-port", ports.metrics)?,
        })
    }

    pub(super) fn names(&self) -> Vec<Listener> {
        [
            ("otlp_grpc", &self.otlp_grpc),
            ("otlp_http", &self.otlp_http),
            ("ui", &self.ui),
            ("jaeger_grpc", &self.jaeger_grpc),
            ("zipkin", &self.zipkin),
            ("tempo", &self.tempo),
            ("health", &self.health),
            ("metrics", &self.metrics),
        ]
        .into_iter()
        .filter_map(|(name, listener)| {
            Some(Listener { name, address: listener.local_addr().ok()?.to_string() })
        })
        .collect()
    }
}

/// What to do about a socket that cannot be had.
fn advice(error: &std::io::Error, address: IpAddr, flag: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => format!(
            "{address} is not an address of this machine; choose one that is with --listen, or \
             0.0.0.0 for all"
        ),
        _ => format!("free it, or choose another with {flag}"),
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart finds the port in TIME_WAIT; a living listener still refuses it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What is counted of connections to the ports that are no receiver's.
#[derive(Default)]
pub(super) struct PortCounters {
    pub(super) ui: Arc<ConnectionCounters>,
    pub(super) jaeger_grpc: Arc<ConnectionCounters>,
    pub(super) zipkin: Arc<ConnectionCounters>,
    pub(super) tempo: Arc<ConnectionCounters>,
    pub(super) health: Arc<ConnectionCounters>,
    pub(super) metrics: Arc<ConnectionCounters>,
}

/// A router behind the connections of receivers, with their limits.
struct Routed {
    router: Router,
    connections: Arc<ConnectionCounters>,
    tasks: TaskTracker,
}

impl Handler for Routed {
    type Body = Body;

    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Arc<Client>) -> Response<Body> {
        let answer: Result<_, Infallible> =
            self.router.clone().oneshot(request.map(Body::new)).await;
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

/// Serves a router until told to stop, then lets open requests finish.
pub(super) fn serve(
    listener: TcpListener,
    router: Router,
    settings: ServerSettings,
    connections: Arc<ConnectionCounters>,
    stop: CancellationToken,
) -> Task {
    let routed = Arc::new(Routed { router, connections, tasks: TaskTracker::new() });
    Box::pin(async move {
        pipeline::receivers::serve(listener, &settings, routed, stop).await;
    })
}

/// What listens where, and how to send the first span.
pub(super) fn banner(listeners: &[Listener], settings: &Settings) -> String {
    let address = |name: &str| {
        let listener = listeners.iter().find(|listener| listener.name == name);
        let address = listener.map(|listener| listener.address.as_str()).unwrap_or_default();
        // An address to connect to, where all are listened on.
        address.replacen("0.0.0.0:", "localhost:", 1).replacen("[::]:", "localhost:", 1)
    };
    let exporter = if settings.ports.otlp_http == 4318 && settings.ports.otlp_grpc == 4317 {
        "any OpenTelemetry SDK with its default settings".to_owned()
    } else {
        format!(
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://{} for an OpenTelemetry SDK",
            address("otlp_http")
        )
    };
    format!(
        "Spanfall {version} is ready; data in {data}\n\
         \n\
         \x20 web UI and API   http://{ui}\n\
         \x20 OTLP/gRPC        {grpc}\n\
         \x20 OTLP/HTTP        http://{http}/v1/traces\n\
         \x20 Jaeger gRPC      {jaeger}\n\
         \x20 Zipkin API       http://{zipkin}/api/v2\n\
         \x20 Tempo API        http://{tempo}\n\
         \x20 health           http://{health}/status\n\
         \x20 own metrics      http://{metrics}/metrics\n\
         \n\
         Send the first span: {exporter},\n\
         or try `spanfall loadgen --spans 1000`, or the button in the web UI.\n",
        version = env!("CARGO_PKG_VERSION"),
        data = settings.data_dir.display(),
        ui = address("ui"),
        grpc = address("otlp_grpc"),
        http = address("otlp_http"),
        jaeger = address("jaeger_grpc"),
        zipkin = address("zipkin"),
        tempo = address("tempo"),
        health = address("health"),
        metrics = address("metrics"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_of_another_machine_is_told() {
        // TEST-NET-1 (RFC 5737): no machine has it.
        let address = IpAddr::from([192, 0, 2, 1]);
        let error = listen(SocketAddr::new(address, 0)).unwrap_err();
        let text = advice(&error, address, "--http-port");
        assert!(text.contains("192.0.2.1 is not an address of this machine"), "{text}: {error}");
        let taken = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let error = listen(taken.local_addr().unwrap()).unwrap_err();
        assert!(advice(&error, address, "--http-port").contains("--http-port"), "{error}");
    }
}
