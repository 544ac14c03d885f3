//! The server under measurement.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::load::{Protocol, Target};

/// How long a start, a stop or settling may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Server {
    child: Child,
    data: PathBuf,
    /// What the banner says: titles and addresses.
    ports: Vec<(String, String)>,
}

/// What the process has used so far.
pub struct Usage {
    pub cpu_seconds: f64,
    pub peak_bytes: u64,
    pub now_bytes: u64,
}

impl Server {
    /// Starts the binary on free ports and waits until it is ready.
    pub fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data-dir").arg(&data);
        for port in ["otlp-grpc", "otlp-http", "http", "jaeger-grpc", "zipkin", "tempo"] {
            command.args([format!("--{port}-port"), "0".to_owned()]);
        }
        command.args(["--health-port", "0", "--metrics-port", "0"]);
        Self::run(command, data)
    }

    /// Starts it as a Collector.
    pub fn start_collector(binary: &Path, folder: &Path, text: &str) -> anyhow::Result<Self> {
        let path = folder.join("collector.yaml");
        std::fs::write(&path, text).context("writing a configuration")?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&path);
        Self::run(command, folder.to_owned())
    }

    fn run(mut command: Command, data: PathBuf) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.args(["--log", "warn"]).stderr(Stdio::piped()).stdout(Stdio::null());
        let child =
            command.spawn().with_context(|| format!("starting {program}; run `make build`"));
        let mut server = Self { child: child?, data, ports: Vec::new() };
        let stderr = server.child.stderr.take().context("reading the server's notices")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut is_ready = false;
        loop {
            let line = lines.next().context("the server ended before it was ready")??;
            is_ready |= line.contains("is ready");
            // The list of ports is between two empty lines.
            match line.strip_prefix("  ").filter(|_| is_ready) {
                Some(port) => {
                    let port = port.trim_end().rsplit_once("  ");
                    let port = port.map(|(title, address)| (title.trim(), address.trim()));
                    let port = port.map(|(title, at)| (title.to_owned(), at.to_owned()));
                    server.ports.extend(port);
                }
                None if is_ready && !server.ports.is_empty() => break,
                None => {}
            }
        }
        // What it says later is passed on, so that the pipe never fills.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("{line}"))
        });
        Ok(server)
    }

    /// What the banner says behind a title.
    fn port(&self, title: &str) -> &str {
        let port = self.ports.iter().find(|(own, _)| own == title);
        port.map_or("", |(_, address)| address.as_str())
    }

    /// Where spans are sent.
    pub fn target(&self, protocol: Protocol) -> Target {
        let title = match protocol {
            Protocol::Http => "OTLP/HTTP",
            Protocol::Grpc => "OTLP/gRPC",
        };
        Target { protocol, address: self.port(title).to_owned() }
    }

    /// What its own metrics say that its receivers took.
    pub fn accepted_spans(&self) -> anyhow::Result<u64> {
        let text = ureq::get(self.port("own metrics")).call()?.body_mut().read_to_string()?;
        let lines =
            text.lines().filter(|line| line.starts_with("otelcol_receiver_accepted_spans_total{"));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum::<f64>() as u64)
    }

    pub fn api(&self) -> &str {
        self.port("web UI and API")
    }

    pub fn tempo(&self) -> &str {
        self.port("Tempo API")
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = std::fs::read_to_string(proc.join("stat"))?;
        // proc(5): user and system time are fields 14 and 15, in ticks of 10 ms; the name before
        // them may hold anything, its end is the last parenthesis.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: f64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let status = std::fs::read_to_string(proc.join("status"))?;
        let kib = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.with_context(|| format!("no {name}"))
        };
        Ok(Usage {
            cpu_seconds: ticks / 100.0,
            peak_bytes: kib("VmHWM:")? * 1024,
            now_bytes: kib("VmRSS:")? * 1024,
        })
    }

    /// Waits until nothing is sealed or merged any more: CPU at rest, blocks as they were.
    pub fn wait_until_settled(&self) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        let mut calm = 0;
        while calm < 4 {
            anyhow::ensure!(Instant::now() < deadline, "the server does not come to rest");
            let status: Value = self.status()?;
            let busy = self.usage()?.cpu_seconds;
            let now = (status["block_count"].clone(), status["disk_bytes"].clone());
            // Observing is the purpose here: a second of rest is measured, not waited for.
            std::thread::sleep(Duration::from_secs(2));
            let rest = self.usage()?.cpu_seconds - busy < 0.1;
            calm = if rest && before.as_ref() == Some(&now) { calm + 1 } else { 0 };
            before = Some(now);
        }
        self.status()
    }

    fn status(&self) -> anyhow::Result<Value> {
        Ok(ureq::get(format!("{}/api/v1/status", self.api())).call()?.body_mut().read_json()?)
    }

    /// Bytes of the sealed blocks, small tables included.
    pub fn block_bytes(&self) -> anyhow::Result<f64> {
        Ok(bytes_below(&self.data.join("blocks"))? as f64)
    }

    /// Ends the server as an operator would.
    pub fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status().context("running kill")?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}
