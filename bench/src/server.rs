//! The server under measurement.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

/// How long a start, a stop or settling may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Server {
    child: Child,
    data: PathBuf,
    api: String,
    otlp_http: String,
    tempo: String,
}

/// What the process has used so far.
pub struct Usage {
    pub cpu_seconds: f64,
    pub peak_bytes: u64,
}

impl Server {
    /// Starts the binary on free ports and waits until it is ready.
    pub fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let mut child = Command::new(binary)
            .arg("serve")
            .arg("--data-dir")
            .arg(&data)
            .args(["--otlp-grpc-port", "0", "--otlp-http-port", "0", "--http-port", "0"])
            .args([
                "--health-port",
                "0",
                "--metrics-port",
                "0",
                "--jaeger-grpc-port",
                "0",
                "--zipkin-port",
                "0",
                "--tempo-port",
                "0",
                "--log",
                "warn",
            ])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}; run `make build`", binary.display()))?;
        let stderr = child.stderr.take().context("reading the server's notices")?;
        let mut lines = BufReader::new(stderr).lines();
        let (mut api, mut otlp_http, mut tempo) = (None, None, None);
        while api.is_none() || otlp_http.is_none() || tempo.is_none() {
            let line = lines.next().context("the server ended before it was ready")??;
            if let Some((_, url)) = line.split_once("web UI and API") {
                api = Some(url.trim().to_owned());
            } else if let Some((_, url)) = line.split_once("OTLP/HTTP ") {
                otlp_http = Some(url.trim().to_owned());
            } else if let Some((_, url)) = line.split_once("Tempo API") {
                tempo = Some(url.trim().to_owned());
            }
        }
        // What it says later is passed on, so that the pipe never fills.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| eprintln!("{line}"))
        });
        let api = api.context("no API address")?;
        let otlp_http = otlp_http.context("no OTLP address")?;
        Ok(Self { child, data, api, otlp_http, tempo: tempo.context("no address of Tempo's API")? })
    }

    pub fn api(&self) -> &str {
        &self.api
    }

    pub fn tempo(&self) -> &str {
        &self.tempo
    }

    pub fn otlp_http(&self) -> &str {
        &self.otlp_http
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
        let peak_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
            .context("no VmHWM")?;
        Ok(Usage { cpu_seconds: ticks / 100.0, peak_bytes: peak_kib * 1024 })
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
        Ok(ureq::get(format!("{}/api/v1/status", self.api)).call()?.body_mut().read_json()?)
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
