//! `spanfall loadgen`.

use std::collections::VecDeque;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::OtlpArgs;
use crate::load::{Counts, Latencies, Load, Stop, run as run_load};
use crate::printer::Printer;
use crate::text::{count, counted, duration};
use crate::values::{parse_positive_duration, parse_rate, parse_share};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// The rate shown is that of the last two seconds.
const RATE_SAMPLES: usize = 8;

/// Arguments of `spanfall loadgen`.
#[derive(Debug, Args)]
#[command(
    long_about = "Makes up realistic traces of a shop and sends them over OTLP/HTTP: at a rate, or \
                  as fast as the server takes them; for a time, for a number of spans, or until \
                  interrupted. The same seed makes the same traces.",
    after_help = "Examples:\n  \
        spanfall loadgen --rate 1000\n  \
        spanfall loadgen --spans 10000000 --connections 2\n  \
        spanfall loadgen --duration 5m --rate 20000 --services 40 --error-rate 0.1"
)]
pub struct LoadgenArgs {
    /// Send so many spans per second; as fast as possible without it
    #[arg(short, long, value_name = "SPANS_PER_SECOND", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Send so many spans, rounded up to whole traces by each connection
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    spans: Option<u64>,
    /// Send for so long, such as 30s or 5m; what is not delivered by then counts as refused
    #[arg(
        short,
        long,
        value_name = "DURATION",
        value_parser = parse_positive_duration,
        conflicts_with = "spans"
    )]
    duration: Option<Duration>,
    /// Spans per request; fewer where the rate is low
    #[arg(
        short,
        long,
        value_name = "SPANS",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    batch: u32,
    /// Connections that send at once
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    connections: u32,
    /// Decides what the traces are; chosen by chance and told without it, for the same seed makes
    /// the same spans once more
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Services that the traces go through
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=loadgen::SERVICES_MAX as i64)
    )]
    services: u32,
    /// Share of traces with an error, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.02", value_parser = parse_share)]
    error_rate: f64,
    #[command(flatten)]
    otlp: OtlpArgs,
}

/// Sends, and tells how it went.
pub fn run(args: LoadgenArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let endpoint = args.otlp.endpoint()?;
    let seed = args.seed.unwrap_or_else(|| {
        let seed = by_chance();
        printer.note(&format!("seed {seed}: repeat with --seed {seed}"));
        seed
    });
    let load = Load {
        endpoint,
        options: loadgen::Options {
            seed,
            error_rate: args.error_rate,
            services: args.services as usize,
        },
        rate: args.rate,
        spans: args.spans,
        duration: args.duration,
        batch: args.batch as usize,
        connections: args.connections as usize,
    };
    let counts = Counts::default();
    let stop = Arc::new(Stop::default());
    stop_on_interrupt(stop.clone());
    let bar = printer.progress_line();
    let started = Instant::now();
    let done = Stop::default();
    let (latencies, failure) = std::thread::scope(|scope| {
        let watch = || {
            let mut samples = VecDeque::from([(0, Duration::ZERO)]);
            while done.wait(PROGRESS_INTERVAL) {
                let now = (read(&counts.accepted), started.elapsed());
                bar.set_message(progress(&counts, &load, samples[0], now));
                samples.push_back(now);
                if samples.len() > RATE_SAMPLES {
                    samples.pop_front();
                }
            }
        };
        if !bar.is_hidden() {
            scope.spawn(watch);
        }
        let result = run_load(&load, &counts, &stop);
        done.stop();
        result
    });
    bar.finish_and_clear();
    if failure.is_none() || read(&counts.requests) > 0 {
        printer.print(&summary(&counts, &latencies, started.elapsed()))?;
    }
    let lost = read(&counts.rejected) + read(&counts.refused);
    match failure {
        Some(failure) if lost > 0 => {
            Err(failure.context(format!("{} were not delivered", counted(lost, "span"))))
        }
        Some(failure) => Err(failure),
        None if lost > 0 => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Another number every time. No secret, and short enough to be typed.
fn by_chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) & u64::from(u32::MAX)
}

/// The first interrupt ends the load in order and shows the summary; the second kills.
fn stop_on_interrupt(stop: Arc<Stop>) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.stop();
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                // As shells report it: 128 and SIGINT.
                std::process::exit(130);
            }
        });
    });
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn per_second(spans: u64, time: Duration) -> u64 {
    (spans as f64 / time.as_secs_f64().max(1e-9)).round() as u64
}

fn progress(
    counts: &Counts,
    load: &Load,
    (spans_before, time_before): (u64, Duration),
    (spans, time): (u64, Duration),
) -> String {
    let rate = per_second(spans - spans_before, time.saturating_sub(time_before));
    let mut out = format!("{} accepted, {} spans/s", counted(spans, "span"), count(rate));
    for (counter, what) in
        [(&counts.rejected, "rejected"), (&counts.refused, "refused"), (&counts.retries, "retries")]
    {
        if read(counter) > 0 {
            let _ = write!(out, ", {} {what}", count(read(counter)));
        }
    }
    if let Some(all) = load.spans {
        let _ = write!(out, ", {} %", (spans.saturating_mul(100) / all.max(1)).min(100));
    }
    if let Some(all) = load.duration {
        let left = all.saturating_sub(time).as_secs();
        let _ = write!(out, ", {left}s left");
    }
    out
}

fn summary(counts: &Counts, latencies: &Latencies, time: Duration) -> String {
    let accepted = read(&counts.accepted);
    let quantile = |share| {
        let found = latencies.quantile(share);
        found.map_or("-".to_owned(), |found| duration(found.as_nanos() as u64))
    };
    let mut out = format!(
        "accepted  {} in {} ({} spans/s)\n\
         rejected  {}\n\
         refused   {}\n\
         requests  {} answered, p50 {}, p99 {}\n",
        counted(accepted, "span"),
        duration(time.as_nanos() as u64),
        count(per_second(accepted, time)),
        counted(read(&counts.rejected), "span"),
        counted(read(&counts.refused), "span"),
        count(read(&counts.requests)),
        quantile(0.5),
        quantile(0.99),
    );
    let retries = read(&counts.retries);
    if retries > 0 {
        let _ = writeln!(out, "retries   {}", count(retries));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two loads with the same seed would be the same traces, of which the second spoils the first.
    #[test]
    fn seeds_by_chance_differ() {
        let seeds: std::collections::BTreeSet<u64> = (0..16).map(|_| by_chance()).collect();
        assert!(seeds.len() > 14, "{seeds:?}");
    }
}
