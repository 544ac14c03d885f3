//! The real binary as a server of a test's own: own folder, own ports.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::process::{Process, wait_until};

/// The flags that say where to listen.
pub const PORT_FLAGS: [&str; 8] = [
    "--otlp-grpc-port",
    "--otlp-http-port",
    "--http-port",
    "--jaeger-grpc-port",
    "--zipkin-port",
    "--tempo-port",
    "--health-port",
    "--metrics-port",
];

/// The binary, beside this test's own executable or where `SPANFALL_BIN` says.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SPANFALL_BIN") {
        return path.into();
    }
    let path = beside_tests("spanfall");
    assert!(path.exists(), "{} is missing: `cargo build -p spanfall` makes it", path.display());
    path
}

/// A file in the profile's folder of `target`.
pub fn beside_tests(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.parent().and_then(Path::parent).expect("target/<profile>/deps").join(name)
}

/// The binary without what the caller's environment would change.
pub fn spanfall() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPANFALL_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    command
}

/// `spanfall serve` on ports that the system chooses.
pub fn serve(data_dir: &Path) -> Command {
    let mut command = spanfall();
    command.arg("serve").arg("--data-dir").arg(data_dir);
    // Blocks are made of few spans, so that a test need not send many.
    command.args(["--head-max-spans", "50000"]);
    for flag in PORT_FLAGS {
        command.args([flag, "0"]);
    }
    command
}

/// Where a server listens, each as `127.0.0.1:port`.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: String,
    /// OTLP over HTTP.
    pub otlp_http: String,
    /// API and UI.
    pub ui: String,
    /// Jaeger's gRPC API.
    pub jaeger_grpc: String,
    /// Zipkin's API.
    pub zipkin: String,
    /// Tempo's query API.
    pub tempo: String,
    /// Health.
    pub health: String,
    /// Metrics.
    pub metrics: String,
}

impl Addresses {
    /// What the banner says, once it is whole.
    pub fn read(output: &str) -> Option<Self> {
        let address = |title: &str| {
            let line = output.lines().find_map(|line| line.trim().strip_prefix(title))?;
            let address = line.trim().trim_start_matches("http://").split('/').next()?;
            Some(address.replace("localhost", "127.0.0.1"))
        };
        output.contains("Send the first span").then_some(())?;
        Some(Self {
            otlp_grpc: address("OTLP/gRPC")?,
            otlp_http: address("OTLP/HTTP")?,
            ui: address("web UI and API")?,
            jaeger_grpc: address("Jaeger gRPC")?,
            zipkin: address("Zipkin API")?,
            tempo: address("Tempo API")?,
            health: address("health")?,
            metrics: address("own metrics")?,
        })
    }
}

/// A server that is ready.
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub at: Addresses,
    /// Kept for as long as the server.
    _folder: Option<TempDir>,
}

impl Server {
    /// A server on an empty folder that goes with it.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = serve(&folder.path().join("data"));
        command.args(arguments);
        Self { _folder: Some(folder), ..Self::run(command) }
    }

    /// A server on a folder that the test owns.
    pub fn on(data_dir: &Path) -> Self {
        Self::run(serve(data_dir))
    }

    /// Starts this command and waits until it is ready.
    pub fn run(mut command: Command) -> Self {
        let mut process = Process::start(&mut command);
        let at = process.wait_for("where it listens", Addresses::read);
        let server = Self::at(process, at);
        server.wait_for_health(200);
        server
    }

    /// The server that a process is, whether well or not.
    pub fn at(process: Process, at: Addresses) -> Self {
        Self { process, at, _folder: None }
    }

    /// Waits until the health check answers with this status; gives its body.
    pub fn wait_for_health(&self, status: u16) -> Value {
        wait_until(&format!("health {status}"), || {
            let answer = self.health();
            (answer.status == status).then(|| answer.json())
        })
    }

    /// The health check.
    pub fn health(&self) -> Answer {
        http::get(&format!("http://{}/", self.at.health))
    }

    /// The root of the web UI.
    pub fn url(&self) -> String {
        format!("http://{}", self.at.ui)
    }

    /// GET of a path below `/api/v1`.
    pub fn api(&self, path: &str) -> Answer {
        http::get(&format!("http://{}/api/v1{path}", self.at.ui))
    }

    /// The JSON of a path below `/api/v1` that must be there.
    pub fn json(&self, path: &str) -> Value {
        self.api(path).ok().json()
    }

    /// Sends an `ExportTraceServiceRequest` in protobuf.
    pub fn export(&self, request: &[u8]) -> Answer {
        let url = format!("http://{}/v1/traces", self.at.otlp_http);
        http::request("POST", &url, &[("content-type", "application/x-protobuf")], Some(request))
    }

    /// `spanfall` as a client of this server.
    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut command = spanfall();
        command.args(arguments).env("SPANFALL_SERVER", self.url());
        let otlp = format!("http://{}", self.at.otlp_http);
        command.env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp).env("NO_PROXY", "*");
        command
    }

    /// Ends the server in order; gives what it printed.
    pub fn stop(mut self) -> String {
        self.process.signal(rustix::process::Signal::TERM);
        let status = self.process.wait();
        assert_eq!(status.code(), Some(0), "{}", self.process.output());
        self.process.output()
    }
}
