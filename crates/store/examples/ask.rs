//! How long TraceQL queries take on generated spans, without a network:
//! `cargo run --release -p store --example ask -- SPANS [FOLDER [PART [RUNS]]]`. A folder is kept and
//! used again; PART chooses the queries that have it, or is a query itself; RUNS is how often each
//! is asked.

use std::cell::RefCell;
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
/// How often each query is asked, unless told.
const RUNS: usize = 7;

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
    "{} | compare({ status = error })",
];

/// Attributes whose values are listed.
const TAGS: &[&str] = &["service.name", "http.route", "order.id"];

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let total: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let folder = args.next().map_or_else(|| temporary.path().join("data"), PathBuf::from);
    let mut options = Options::new(folder);
    let part = args.next().unwrap_or_default();
    let runs = args.next().and_then(|n| n.parse().ok()).unwrap_or(RUNS);
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
    let own = part.starts_with('{').then_some(part.as_str());
    let known = QUERIES.iter().copied().filter(|text| own.is_none() && text.contains(&part));
    for text in own.into_iter().chain(known) {
        let query = traceql::parse(text).unwrap();
        let mut told = String::new();
        let clock = Clock::default();
        for _ in 0..runs {
            let round = clock.start();
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
                        extrapolate: false,
                    };
                    let measured = engine.measure(request, None).await.unwrap();
                    format!("{} series, {:?}", measured.series.len(), measured.stats)
                }
                QueryKind::Metrics(_) => unreachable!(),
            };
            round.end();
        }
        clock.print(text);
        println!("      {told}");
    }
    for key in TAGS.iter().filter(|key| key.contains(&part)) {
        let clock = Clock::default();
        let mut count = 0;
        for _ in 0..runs {
            let round = clock.start();
            let values = engine.attribute_values(None, (*key).to_owned(), 1_000).await.unwrap();
            count = values.values.len();
            round.end();
        }
        clock.print(&format!("{count} values of {key}"));
    }
}

/// Times of runs, and what they cost of all cores.
#[derive(Default)]
struct Clock(RefCell<Vec<(Duration, Duration)>>);

struct Round<'c>(&'c Clock, Instant, Duration);

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Clock {
    fn start(&self) -> Round<'_> {
        Round(self, Instant::now(), cpu_time())
    }

    fn print(&self, what: &str) {
        let mut times = self.0.borrow().clone();
        let first = times[0].0;
        times.sort();
        let median = times[times.len() / 2].0;
        let mut costs: Vec<Duration> = times.iter().map(|(_, cost)| *cost).collect();
        costs.sort();
        let [median, first, cost] =
            [median, first, costs[costs.len() / 2]].map(|time| time.as_secs_f64() * 1e3);
        println!("{median:>8.2} ms median {cost:>8.2} ms CPU {first:>8.2} first  {what}");
    }
}

impl Round<'_> {
    fn end(self) {
        self.0.0.borrow_mut().push((self.1.elapsed(), cpu_time() - self.2));
    }
}
