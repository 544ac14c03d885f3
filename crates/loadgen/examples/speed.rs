//! Prints what a span costs: `cargo run --release -p loadgen --example speed`.

use loadgen::{Generator, Options};
use std::time::Instant;

fn main() {
    const SPANS: usize = 5_000_000;
    for (services, spans) in [(20, 64), (20, 512), (20, 5000), (200, 512)] {
        let mut generator = Generator::new(Options { services, ..Options::default() });
        let mut out = Vec::new();
        let mut now_unix_nano = 1_700_000_000_000_000_000;
        let mut bytes = 0;
        let started = Started::now();
        for _ in 0..SPANS / spans {
            now_unix_nano += 10_000_000;
            generator.request(spans, now_unix_nano, &mut out);
            bytes += out.len();
        }
        let made = (SPANS / spans * spans) as f64;
        println!(
            "{services:>3} services, {spans:>4} spans a request: {:.0} ns and {:.1} bytes a span",
            started.elapsed_nano() as f64 / made,
            bytes as f64 / made,
        );
    }
}

/// CPU time where the system tells it: others build on the same cores.
struct Started {
    cpu_nano: Option<u64>,
    wall: Instant,
}

impl Started {
    fn now() -> Self {
        Self { cpu_nano: cpu_nano(), wall: Instant::now() }
    }

    fn elapsed_nano(&self) -> u64 {
        match (self.cpu_nano, cpu_nano()) {
            (Some(before), Some(after)) => after - before,
            _ => self.wall.elapsed().as_nanos() as u64,
        }
    }
}

/// The first figure of `/proc/<pid>/schedstat` (proc(5)): nanoseconds on a CPU.
fn cpu_nano() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
