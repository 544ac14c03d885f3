//! The configuration of `spanfall serve` without `--config`: what its flags say, as the Collector's
//! YAML, so that there is one way to start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What the flags of `spanfall serve` say.
#[derive(Debug, Clone)]
pub struct Flags {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The address of all listeners.
    pub listen: IpAddr,
    /// Ports; 0 lets the system choose.
    pub ports: Ports,
    /// The token that the API asks for.
    pub token: Option<String>,
    /// A file that holds it.
    pub token_file: Option<PathBuf>,
    /// Serve the API to anyone on a public address.
    pub insecure_public: bool,
    /// How long spans are kept, as it was typed.
    pub retention: String,
    /// How much disk blocks and log may take, as it was typed.
    pub retention_bytes: String,
    /// How many spans are gathered before they become a block.
    pub head_max_spans: u32,
    /// When acknowledged spans are on the disk, as it was typed.
    pub sync: String,
    /// The largest request, in bytes.
    pub max_request_bytes: u64,
    /// By how much Jaeger's APIs set a clock right at the most, as it was typed.
    pub max_clock_skew_adjust: String,
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

impl Ports {
    /// In the order of `PORTS`.
    fn all(&self) -> [u16; 8] {
        [
            self.otlp_grpc,
            self.otlp_http,
            self.jaeger_grpc,
            self.zipkin,
            self.tempo,
            self.ui,
            self.health,
            self.metrics,
        ]
    }

    /// What else listens on the port of a flag, and its flag.
    fn shared_with(&self, flag: &str) -> Option<(&'static str, &'static str)> {
        let said = || PORTS.into_iter().zip(self.all());
        let (_, port) = said().find(|((_, _, of), port)| *of == flag && *port != 0)?;
        let other = said().find(|((_, _, of), other)| *of != flag && *other == port);
        other.map(|((_, what, flag), _)| (what, flag))
    }
}

/// Where a port's error is told, what the port is for, and the flag that says another.
const PORTS: [(&str, &str, &str); 8] = [
    ("receivers::otlp: grpc: ", "OTLP/gRPC", "--otlp-grpc-port"),
    ("receivers::otlp: http: ", "OTLP/HTTP", "--otlp-http-port"),
    ("extensions::spanfall_query: jaeger_grpc: ", "Jaeger's gRPC API", "--jaeger-grpc-port"),
    ("extensions::spanfall_query: zipkin: ", "Zipkin's API", "--zipkin-port"),
    ("extensions::spanfall_query: tempo: ", "Tempo's API", "--tempo-port"),
    ("extensions::spanfall_query: ", "the web UI and API", "--http-port"),
    ("extensions::health_check: ", "health", "--health-port"),
    ("service::telemetry: ", "metrics", "--metrics-port"),
];

/// A start's error in the words of the flags.
pub fn in_words_of_flags(error: &str, ports: &Ports) -> String {
    let port = PORTS.iter().find_map(|(place, what, flag)| {
        let rest = error.strip_prefix(place)?;
        rest.starts_with("cannot listen on ").then_some((rest, what, flag))
    });
    match port {
        Some((rest, what, flag)) if let Some((other, its_flag)) = ports.shared_with(flag) => {
            format!(
                "{rest}; it is for {what}, and {its_flag} says the same port for {other}: choose \
                 another with {flag} or {its_flag}"
            )
        }
        Some((rest, what, flag)) if rest.contains("no such address") => {
            format!("{rest}; it is for {what}: choose another with --listen, or a port with {flag}")
        }
        Some((rest, what, flag)) => {
            format!("{rest}; it is for {what}: free it, or choose another with {flag}")
        }
        None => match error.strip_prefix("exporters::spanfall: ") {
            Some(rest) if rest.ends_with("another folder") || rest.ends_with("choose another") => {
                format!("{rest} with --data-dir")
            }
            Some(rest) => rest.to_owned(),
            None => error.to_owned(),
        },
    }
}

impl Flags {
    /// The YAML, as a value of `--config`.
    pub fn document(&self) -> String {
        // No dollar sign begins a reference.
        format!("yaml:{}", self.settings().replace('$', "$$"))
    }

    /// JSON, which is YAML, in the order in which people write it.
    fn settings(&self) -> String {
        let at = |port: u16| SocketAddr::new(self.listen, port).to_string();
        let endpoint = |port: u16| ("endpoint", text(&at(port)));
        let mut origins: Vec<String> = pipeline::receivers::CorsSettings::default().allowed_origins;
        origins.extend(self.cors_allowed_origins.iter().cloned());
        // The largest gRPC message is told in MiB; a smaller one holds for HTTP alone.
        let mib = self.max_request_bytes.div_ceil(1 << 20);
        let grpc = [endpoint(self.ports.otlp_grpc), ("max_recv_msg_size_mib", mib.to_string())];
        let cors = [
            ("allowed_origins", list(origins.iter().map(|origin| text(origin)))),
            ("max_age", "7200".to_owned()),
        ];
        let http = [
            endpoint(self.ports.otlp_http),
            ("max_request_body_size", self.max_request_bytes.to_string()),
            ("cors", map(cors)),
        ];
        let otlp = map([("protocols", map([("grpc", map(grpc)), ("http", map(http))]))]);
        let store = [
            ("data_dir", text(&self.data_dir.to_string_lossy())),
            ("retention", text(&self.retention)),
            ("retention_bytes", text(&self.retention_bytes)),
            ("head_max_spans", self.head_max_spans.to_string()),
            ("sync", text(&self.sync)),
        ];
        let mut query = vec![
            endpoint(self.ports.ui),
            ("jaeger_grpc", map([endpoint(self.ports.jaeger_grpc)])),
            ("zipkin", map([endpoint(self.ports.zipkin)])),
            ("tempo", map([endpoint(self.ports.tempo)])),
            ("max_clock_skew_adjust", text(&self.max_clock_skew_adjust)),
        ];
        let file = self.token_file.as_ref().map(|path| text(&path.to_string_lossy()));
        query.extend(self.token.as_ref().map(|token| ("token", text(token))));
        query.extend(file.map(|file| ("token_file", file)));
        query.extend(self.insecure_public.then(|| ("insecure_public", "true".to_owned())));
        let prometheus =
            [("host", text(&self.listen.to_string())), ("port", self.ports.metrics.to_string())];
        let reader = map([("pull", map([("exporter", map([("prometheus", map(prometheus))]))]))]);
        let traces = [("receivers", list([text("otlp")])), ("exporters", list([text("spanfall")]))];
        let service = [
            ("extensions", list([text("health_check"), text("spanfall_query")])),
            ("pipelines", map([("traces", map(traces))])),
            ("telemetry", map([("metrics", map([("readers", list([reader]))]))])),
        ];
        map([
            ("receivers", map([("otlp", otlp)])),
            ("exporters", map([("spanfall", map(store))])),
            (
                "extensions",
                map([
                    ("health_check", map([endpoint(self.ports.health)])),
                    ("spanfall_query", map(query)),
                ]),
            ),
            ("service", map(service)),
        ])
    }

    /// Traces hold customers' data: nobody serves them to the world by accident.
    pub fn refuse_open_data(&self) -> anyhow::Result<()> {
        let is_guarded = self.token.is_some() || self.token_file.is_some();
        if !self.listen.is_loopback() && !is_guarded && !self.insecure_public {
            anyhow::bail!(
                "--listen {} would show all traces to anyone who can reach it; set a token with \
                 --token-file or SPANFALL_TOKEN, or say --insecure-public",
                self.listen
            );
        }
        Ok(())
    }
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

fn map(entries: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let entries = entries.into_iter().map(|(key, value)| format!("{}:{value}", text(key)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_ports() {
        let ports = Ports {
            otlp_grpc: 4317,
            otlp_http: 4318,
            ui: 16686,
            jaeger_grpc: 16685,
            zipkin: 4318,
            tempo: 0,
            health: 0,
            metrics: 4317,
        };
        let end = |flag: &str| format!(": free it, or choose another with {flag}");
        for (place, said) in [
            (
                "receivers::otlp: http",
                "OTLP/HTTP, and --zipkin-port says the same port for Zipkin's API: choose another \
                 with --otlp-http-port or --zipkin-port"
                    .to_owned(),
            ),
            (
                "extensions::spanfall_query: zipkin",
                "Zipkin's API, and --otlp-http-port says the same port for OTLP/HTTP: choose \
                 another with --zipkin-port or --otlp-http-port"
                    .to_owned(),
            ),
            (
                "service::telemetry",
                "metrics, and --otlp-grpc-port says the same port for OTLP/gRPC: choose another \
                 with --metrics-port or --otlp-grpc-port"
                    .to_owned(),
            ),
            ("extensions::spanfall_query", format!("the web UI and API{}", end("--http-port"))),
            // Two that the system chooses are no clash.
            ("extensions::spanfall_query: tempo", format!("Tempo's API{}", end("--tempo-port"))),
            ("extensions::health_check", format!("health{}", end("--health-port"))),
        ] {
            let error = format!("{place}: cannot listen on 127.0.0.1:1: taken");
            let expected = format!("cannot listen on 127.0.0.1:1: taken; it is for {said}");
            assert_eq!(in_words_of_flags(&error, &ports), expected, "{place}");
        }
    }
}
