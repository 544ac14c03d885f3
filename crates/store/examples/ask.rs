//! How long TraceQL queries take on generated spans, without a network:
//! `cargo run --release -p store --example ask -- SPANS [FOLDER [PART]]`. A folder is kept and used
//! again; PART chooses the queries that have it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::SpanBatch;
use store::{Engine, FindRequest, MeasureRequest, Options, Store};
use traceql::QueryKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BASE: u64 = 1_800_000_000_000_000_000;
const REQUEST_NANO: u64 = 10_000_000;

const QUERIES: &[&str] = &[
    "{}",
    "{ resource.service.name = `checkout` }",
    "{ resource.service.name = `checkout` && status = error }",
    "{ duration > 200ms }",
    "{ .url.full =~ `.*/items/1[0-9]+7.*` }",
    "{ span.http.response.status_code = 500 }",
    "{ kind = server } >> { kind = client && status = error }",
    "{ status = error } | count() > 2",
    "{} | rate() by (resource.service.name)",
    "{} | quantile_over_time(duration, .5, .9, .99) by (resource.service.name, name)",
    "{} | rate()",
    "{ status = error } | rate() by (name)",
    "{ kind = server } >> { status = error } | rate()",
];

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let total: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let folder = args.next().map_or_else(|| temporary.path().join("data"), PathBuf::from);
    let mut options = Options::new(folder);
    let part = args.next().unwrap_or_default();
    // The generated times must not be too old.
    options.retention = Duration::from_secs(1 << 40);
    let engine = Engine::open(options, |_, _| {}).unwrap();
    let requests = total / 512;
    if engine.status().span_count == 0 {
        let mut generator = loadgen::Generator::new(loadgen::Options::default());
        let mut out = Vec::new();
        for n in 0..requests {
            generator.request(512, BASE + n as u64 * REQUEST_NANO, &mut out);
            let batch = SpanBatch::decode(Bytes::from(std::mem::take(&mut out))).unwrap();
            engine.append(batch).await.unwrap();
        }
        engine.settle();
    }
    println!("{:?}", engine.status());
    let end = BASE + requests as u64 * REQUEST_NANO;
    for text in QUERIES.iter().filter(|text| text.contains(&part)) {
        let query = traceql::parse(text).unwrap();
        let mut times = Vec::new();
        let mut told = String::new();
        for _ in 0..7 {
            let started = Instant::now();
            told = match query.kind.clone() {
                QueryKind::Search(pipeline) => {
                    let request = FindRequest {
                        pipeline,
                        start_unix_nano: None,
                        end_unix_nano: None,
                        duration_min_nano: None,
                        duration_max_nano: None,
                        limit: 20,
                        spans_per_spanset: 3,
                        after: None,
                    };
                    let page = engine.find(request, None).await.unwrap();
                    format!("{} traces, {:?}", page.traces.len(), page.stats)
                }
                QueryKind::Metrics(traceql::MetricsQuery::Leaf(leaf)) => {
                    let steps = 60;
                    let request = MeasureRequest {
                        leaf,
                        start_unix_nano: BASE - 1,
                        step_nano: (end - BASE) / steps,
                        steps: steps as usize,
                        exemplars_max: 0,
                    };
                    let measured = engine.measure(request).await.unwrap();
                    format!("{} series, {:?}", measured.series.len(), measured.stats)
                }
                QueryKind::Metrics(_) => unreachable!(),
            };
            times.push(started.elapsed());
        }
        let first = times[0];
        times.sort();
        println!(
            "{:>8.2} ms median {:>8.2} first  {text}\n      {told}",
            times[3].as_secs_f64() * 1e3,
            first.as_secs_f64() * 1e3
        );
    }
}
