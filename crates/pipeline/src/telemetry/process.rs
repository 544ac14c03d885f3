//! What the process takes.

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use super::{MetricKind, Metrics, Sample};
use crate::processors::memory_limiter::process_bytes;

/// Numbers of the process, under the Collector's names.
pub(super) struct Process;

impl Process {
    /// Whatever asks first, time begins.
    pub(super) fn begun() -> Instant {
        static BEGUN: OnceLock<Instant> = OnceLock::new();
        *BEGUN.get_or_init(Instant::now)
    }
}

impl Metrics for Process {
    fn collect(&self, out: &mut Vec<Sample>) {
        let times = times();
        let uptime = times.map_or_else(|| Self::begun().elapsed().as_secs_f64(), |own| own.uptime);
        let mut push = |name, help, kind, value| {
            out.push(Sample { name, help, kind, labels: Vec::new(), value });
        };
        let counter = MetricKind::Counter;
        push("otelcol_process_uptime_seconds", "Time since the process began", counter, uptime);
        if let Some(times) = times {
            let help = "Time of processors, in the program and in the system";
            push("otelcol_process_cpu_seconds", help, counter, times.cpu);
        }
        let bytes = process_bytes();
        if bytes > 0 {
            let help = "Bytes of memory that the process has in use";
            push("otelcol_process_memory_rss", help, MetricKind::Gauge, bytes as f64);
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    uptime: f64,
    cpu: f64,
}

/// Linux, proc(5); nothing where the system does not tell.
fn times() -> Option<Times> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    read(&stat, &uptime, rustix::param::clock_ticks_per_second() as f64)
}

fn read(stat: &str, uptime: &str, ticks_per_second: f64) -> Option<Times> {
    // The second field is the program's name, which may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let seconds = |number: usize| {
        // Fields are counted from one, and two are gone.
        let ticks = fields.get(number - 3)?.parse::<f64>().ok()?;
        Some(ticks / ticks_per_second)
    };
    let now = uptime.split_whitespace().next()?.parse::<f64>().ok()?;
    let cpu = seconds(14)? + seconds(15)?;
    Some(Times { uptime: (now - seconds(22)?).max(0.0), cpu })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_the_program_is_called() {
        let fields: Vec<String> = (3..=52).map(|number| (number * 100).to_string()).collect();
        for name in ["spanfall", "a ) b (c) 1 2 3"] {
            let stat = format!("17 ({name}) {}", fields.join(" "));
            let times = read(&stat, "30.5 100.0\n", 100.0).unwrap();
            assert!((times.cpu - 29.0).abs() < 1e-9, "{times:?}");
            assert!((times.uptime - 8.5).abs() < 1e-9, "{times:?}");
        }
        for broken in ["", "17 spanfall", "17 (x) 1 2 3", "17 (x) "] {
            assert!(read(broken, "30.5", 100.0).is_none(), "{broken}");
        }
    }
}
