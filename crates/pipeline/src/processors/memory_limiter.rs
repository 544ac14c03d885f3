//! The processor `memory_limiter`: asks to come again while the process takes too much memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::SpanBatch;
use tokio_util::sync::CancellationToken;

use super::Edit;
use crate::consumer::Refusal;
use crate::data::Client;

/// How long a client should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Settings of the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How often memory is looked at; not 0.
    pub check_interval: Duration,
    /// The most bytes that the process should take.
    pub limit_bytes: u64,
    /// So many bytes below the limit it begins to refuse.
    pub spike_bytes: u64,
}

/// The processor. What it lets pass it does not change.
#[derive(Debug, Clone)]
pub struct MemoryLimiter {
    refuses: Arc<AtomicBool>,
}

impl MemoryLimiter {
    /// Looks at `memory`, which tells the bytes that the process takes, until `stop`.
    pub fn start(
        settings: &Settings,
        memory: impl Fn() -> u64 + Send + 'static,
        stop: CancellationToken,
    ) -> Self {
        let soft = settings.limit_bytes.saturating_sub(settings.spike_bytes);
        let refuses = Arc::new(AtomicBool::new(memory() > soft));
        let own = refuses.clone();
        let interval = settings.check_interval.max(Duration::from_millis(1));
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let used = memory();
                let refuse = used > soft;
                if own.swap(refuse, Ordering::Relaxed) != refuse {
                    let (used, soft) = (used >> 20, soft >> 20);
                    if refuse {
                        tracing::warn!("{used} MiB in use, over {soft}: data is refused");
                    } else {
                        tracing::info!("{used} MiB in use, under {soft}: data is taken again");
                    }
                }
            }
        });
        Self { refuses }
    }
}

impl Edit for MemoryLimiter {
    fn edit(&self, _: &mut SpanBatch, _: &Client) -> Result<(), Refusal> {
        Ok(())
    }

    fn concerns(&self, _: &SpanBatch) -> bool {
        false
    }

    fn admit(&self) -> Result<(), Refusal> {
        if !self.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reason = "data refused due to high memory usage".to_owned();
        Err(Refusal::Unavailable { reason, retry_after: RETRY_AFTER })
    }
}

/// Bytes of memory that the process has in use; 0 where the system does not tell.
pub fn process_bytes() -> u64 {
    // Linux, proc(5): the second number counts resident pages.
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Those of them that the system cannot take back at will, as it can pages of files: what the
/// limit is about. 0 where the system does not tell.
pub fn private_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    private_pages(&text) * rustix::param::page_size() as u64
}

/// Linux, proc(5): the second number counts resident pages, the third those of files and shared
/// memory among them.
fn private_pages(statm: &str) -> u64 {
    let mut numbers = statm.split_whitespace().skip(1).map_while(|number| number.parse().ok());
    let resident: u64 = numbers.next().unwrap_or(0);
    resident.saturating_sub(numbers.next().unwrap_or(0))
}

/// Bytes of memory that the process may take: the control group's limit, else the machine's; 0
/// where the system does not tell.
pub fn total_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| read(path)?.trim().parse::<u64>().ok());
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    match (limit, machine) {
        (Some(limit), Some(machine)) => limit.min(machine),
        (limit, machine) => limit.or(machine).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refuses_above_the_soft_limit_until_it_is_below() {
        let used = Arc::new(AtomicU64::new(80));
        let memory = used.clone();
        let settings =
            Settings { check_interval: Duration::from_secs(1), limit_bytes: 100, spike_bytes: 20 };
        let stop = CancellationToken::new();
        let limiter = MemoryLimiter::start(&settings, move || memory.load(Ordering::Relaxed), stop);
        assert!(limiter.admit().is_ok(), "at the limit is not above it");
        for (bytes, takes) in [(81, false), (200, false), (80, true), (81, false)] {
            used.store(bytes, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(limiter.admit().is_ok(), takes, "{bytes}");
        }
        let refusal = limiter.admit().unwrap_err();
        assert!(refusal.is_retryable() && refusal.to_string().contains("high memory usage"));
    }

    #[test]
    fn pages_of_files_do_not_count() {
        for (statm, pages) in [
            ("5000 900 300 20 0 700 0\n", 600),
            ("5000 900", 900),
            ("1 2 3", 0),
            ("", 0),
            ("x y z", 0),
        ] {
            assert_eq!(private_pages(statm), pages, "{statm}");
        }
    }

    #[test]
    fn the_system_tells() {
        assert!(process_bytes() > 1 << 20);
        assert!((1 << 18..process_bytes()).contains(&private_bytes()));
        assert!(total_bytes() > process_bytes());
    }
}
