//! `make bench`: starts a release build of Spanfall, sends it generated spans over OTLP/HTTP from
//! four connections, and prints what that took and how quickly questions are answered.
//!
//! CPU and memory are the operating system's own accounting of the server process (Linux,
//! proc(5)); generating and sending happens in this process and is not counted.

mod grpc;
mod load;
mod pace;
mod pipelines;
mod queries;
mod server;
mod sink;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;

use load::Protocol;
use server::Server;

/// What to measure.
#[derive(Debug, Parser)]
struct Args {
    /// The binary to measure
    #[arg(long, default_value = "target/release/spanfall")]
    binary: PathBuf,
    /// How many spans to send
    #[arg(long, default_value_t = 10_000_000)]
    spans: usize,
    /// Spans a request
    #[arg(long, default_value_t = 512)]
    batch: usize,
    /// Connections that send at once
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Runs of each query; the median counts
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// How many spans each pipeline gets
    #[arg(long, default_value_t = 2_000_000)]
    pipeline_spans: usize,
    /// Measure the pipelines alone
    #[arg(long)]
    pipelines_only: bool,
    /// Where the data folder is made
    #[arg(long, default_value = "target")]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir_in(&args.folder).context("making a data folder")?;
    println!("{}", machine());
    println!(
        "{} spans, {} a request, {} connections on loopback\n",
        args.spans, args.batch, args.connections
    );

    if !args.pipelines_only {
        store(&args, folder.path())?;
    }
    let (binary, spans) = (&args.binary, args.pipeline_spans);
    pipelines::measure(binary, folder.path(), spans, args.batch, args.connections)
}

/// The store: what it costs to keep spans, and how quickly questions are answered.
fn store(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let millions = args.spans as f64 / 1e6;
    let server = Server::start(&args.binary, folder)?;
    let (started, begin) = (Instant::now(), unix_nano());
    let target = server.target(Protocol::Http);
    let (sent, _) = load::send(&target, args.spans, args.batch, args.connections)?;
    let (taken, end) = (started.elapsed().as_secs_f64(), unix_nano());
    let ingest = server.usage()?;
    row("request bytes a span", sent.bytes as f64 / sent.spans as f64, "B");
    row("sent and acknowledged", sent.spans as f64 / taken, "spans/s");
    row("requests tried again", sent.retries as f64, "");
    row("server CPU, until all was acknowledged", ingest.cpu_seconds / millions, "s a million");

    let status = server.wait_until_settled()?;
    let settled = server.usage()?;
    let stored = status["span_count"].as_f64().unwrap_or(0.0);
    anyhow::ensure!(stored as usize == sent.spans, "{stored} spans stored, {} sent", sent.spans);
    row("server CPU, sealed and compacted", settled.cpu_seconds / millions, "s a million");
    row("peak memory", settled.peak_bytes as f64 / 1e6, "MB");
    let in_head = status["head_span_count"].as_f64().unwrap_or(0.0);
    row("spans still in log and head", in_head, "");
    row("blocks", status["block_count"].as_f64().unwrap_or(0.0), "");
    row("disk of blocks", server.block_bytes()? / (stored - in_head), "B a span");

    let ids = queries::some_traces(server.api(), args.runs, begin..end)?;
    server.stop()?;
    let started = Instant::now();
    let server = Server::start(&args.binary, folder)?;
    row("start on that data, until ready", started.elapsed().as_secs_f64() * 1e3, "ms");
    println!();
    queries::measure(server.api(), &ids, args.runs)?;
    queries::measure_traceql(server.api(), &ids, begin..end, args.runs)?;
    queries::measure_values(server.tempo(), args.runs)?;
    row("memory after the queries, peak", server.usage()?.peak_bytes as f64 / 1e6, "MB");
    let target = server.target(Protocol::Http);
    pace::measure(&target, server.api(), &ids, begin..end, args.batch)?;
    server.stop()
}

fn row(what: &str, value: f64, unit: &str) {
    let digits = if value.abs() >= 100.0 || value.fract() == 0.0 { 0 } else { 2 };
    println!("{what:<44} {value:>14.digits$} {unit}");
}

fn unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name))
        .collect();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} x {}, {:.0} GiB, Linux {}",
        models.len(),
        models.first().unwrap_or(&"unknown"),
        kib / 1024.0 / 1024.0,
        kernel.trim()
    )
}
