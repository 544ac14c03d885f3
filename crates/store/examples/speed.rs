//! CPU time and bytes that the engine needs for generated spans, without a network:
//! `cargo run --release -p store --example speed -- SPANS`.

use std::time::Instant;

use bytes::Bytes;
use model::SpanBatch;
use store::{Engine, Options, SearchRequest, SpanFilter, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let total: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("data")), |_, _| {}).unwrap();
    let mut generator = loadgen::Generator::new(loadgen::Options::default());
    let mut out = Vec::new();
    let mut requests = Vec::new();
    let base = 1_800_000_000_000_000_000u64;
    let clock = |n: usize| base + n as u64 * 10_000_000;
    let started = cpu();
    for n in 0..total.min(102_400) / 512 {
        generator.request(512, clock(n), &mut out);
        requests.push(Bytes::from(out.clone()));
    }
    let generating = cpu() - started;
    let bytes: usize = requests.iter().map(Bytes::len).sum();
    println!("{} bytes a span, generating {:.2} s", bytes / requests.len() / 512, generating);

    let started = cpu();
    for request in &requests {
        std::hint::black_box(SpanBatch::decode(request.clone()).unwrap());
    }
    println!("decode {:.0} ns a span", (cpu() - started) * 1e9 / (requests.len() * 512) as f64);
    drop(requests);

    let wall = Instant::now();
    let started = cpu();
    let mut generating = 0.0;
    let mut sent = 0;
    let mut traces = Vec::new();
    let mut n = 0;
    while sent < total {
        let before = cpu();
        generator.request(512, clock(n), &mut out);
        generating += cpu() - before;
        let batch = SpanBatch::decode(Bytes::from(out.clone())).unwrap();
        traces.extend(batch.spans().first().map(|span| span.trace_id));
        engine.append(batch).await.unwrap();
        sent += 512;
        n += 1;
    }
    let ingest = cpu() - started - generating;
    println!(
        "ingest {:.2} CPU s a million, {:.1} s",
        ingest * 1e6 / sent as f64,
        wall.elapsed().as_secs_f64()
    );
    engine.settle();
    let all = cpu() - started - generating;
    println!(
        "settled {:.2} CPU s a million, {:.1} s",
        all * 1e6 / sent as f64,
        wall.elapsed().as_secs_f64()
    );
    let status = engine.status();
    println!("{status:?}; {:.1} bytes a span", status.disk_bytes as f64 / status.span_count as f64);
    println!("peak memory {} MB", peak_memory_kib() / 1024);

    let filters = [
        ("all", SpanFilter::default()),
        (
            "service",
            SpanFilter {
                service: Some(engine.services().await.unwrap()[0].name.clone()),
                ..Default::default()
            },
        ),
        ("errors", SpanFilter { status: Some(2), ..Default::default() }),
        ("slow", SpanFilter { duration_min_nano: Some(200_000_000), ..Default::default() }),
    ];
    for (name, filter) in filters {
        for _ in 0..3 {
            let started = Instant::now();
            let page = engine
                .search(SearchRequest { filter: filter.clone(), limit: 20, after: None })
                .await
                .unwrap();
            println!(
                "{name}: {} in {:.2} ms",
                page.traces.len(),
                started.elapsed().as_secs_f64() * 1e3
            );
        }
    }
    let mut times: Vec<f64> = Vec::new();
    for round in 0..200 {
        let id = traces[round * 7919 % traces.len()];
        let started = Instant::now();
        let trace = engine.trace(id).await.unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(trace.spans.is_some());
    }
    times.sort_by(f64::total_cmp);
    println!("trace by id: median {:.2} ms, worst {:.2} ms", times[100], times[199]);
}

/// User and system seconds of this process (Linux, proc(5), "stat": fields 14 and 15, in ticks of
/// 10 ms).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
