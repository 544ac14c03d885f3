//! `kill -9` at random instants under load: every acknowledged span is there afterwards, once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use loadgen::{Generator, Options};
use model::{SpanBatch, SpanId, TraceId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use crate::http;
use crate::otlp::{Small, now, request};
use crate::process::{Process, wait_until};
use crate::server::{Server, serve};

/// Acknowledged spans by trace.
pub type Acknowledged = HashMap<TraceId, HashSet<SpanId>>;

/// Adds the spans of a request that was acknowledged.
pub fn note(acknowledged: &mut Acknowledged, request: &[u8]) {
    let batch = SpanBatch::decode(Bytes::copy_from_slice(request)).expect("an own request");
    for span in batch.spans() {
        acknowledged.entry(span.trace_id).or_default().insert(span.span_id);
    }
}

/// Asserts that a trace has all of these spans, and none twice.
fn assert_stored(server: &Server, id: TraceId, spans: &HashSet<SpanId>, when: &str) {
    let url = format!("{}/api/v1/traces/{id}", server.url());
    let answer = http::request("GET", &url, &[("accept", "application/x-protobuf")], None);
    assert_eq!(answer.status, 200, "trace {id} {when}: {}", answer.text());
    assert_eq!(answer.header("spanfall-partial"), "", "trace {id} {when}");
    let batch = SpanBatch::decode(Bytes::from(answer.body)).expect("protobuf of the API");
    let mut seen = HashSet::new();
    for span in batch.spans() {
        assert!(seen.insert(span.span_id), "span {} of {id} is there twice {when}", span.span_id);
    }
    let lost: Vec<_> = spans.difference(&seen).collect();
    assert!(lost.is_empty(), "{} of {} spans of {id} lost {when}", lost.len(), spans.len());
}

/// The same of many traces, two at a time.
pub fn assert_all_stored(server: &Server, acknowledged: &Acknowledged, when: &str) {
    let traces: Vec<_> = acknowledged.iter().collect();
    std::thread::scope(|scope| {
        for part in traces.chunks(traces.len().div_ceil(2).max(1)) {
            scope.spawn(move || {
                part.iter().for_each(|(id, spans)| assert_stored(server, **id, spans, when));
            });
        }
    });
}

/// Seed of a run: `SPANFALL_TEST_SEED`, or another one each time.
pub fn seed() -> u64 {
    let seed = std::env::var("SPANFALL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(now);
    println!("SPANFALL_TEST_SEED={seed} repeats this");
    seed
}

const ROUNDS: u64 = 15;
const SENDERS: u64 = 3;
const REQUEST_SPANS: usize = 128;
/// The most requests that are acknowledged before the process is killed.
const REQUESTS_MAX: u64 = 40;

/// A connection that sends made-up spans, and again what got no answer, as SDKs do.
struct Sender {
    generator: Generator,
    unanswered: Option<Vec<u8>>,
    acknowledged: Acknowledged,
}

impl Sender {
    /// Sends until the server is gone.
    fn run(&mut self, url: &str, answered: &AtomicU64) {
        loop {
            let request = self.unanswered.take().unwrap_or_else(|| {
                let mut request = Vec::new();
                self.generator.request(REQUEST_SPANS, now(), &mut request);
                request
            });
            let kind = [("content-type", "application/x-protobuf")];
            match http::send("POST", url, &kind, Some(&request)) {
                Ok(answer) if answer.status == 200 => {
                    note(&mut self.acknowledged, &request);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                Err(_) => {
                    self.unanswered = Some(request);
                    return;
                }
            }
        }
    }
}

/// Lets the senders loose on the server and kills it in their midst.
fn load_and_kill(mut server: Server, senders: &mut [Sender], rng: &mut StdRng) {
    let requests = rng.random_range(1..=REQUESTS_MAX);
    let after = Duration::from_micros(rng.random_range(0..3000));
    let url = format!("http://{}/v1/traces", server.at.otlp_http);
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for sender in senders {
            let (url, answered) = (&url, &answered);
            scope.spawn(move || sender.run(url, answered));
        }
        wait_until("answers", || (answered.load(Ordering::Relaxed) >= requests).then_some(()));
        // The instant is the test's subject, no condition.
        std::thread::sleep(after);
        server.process.kill();
    });
}

/// Starts on the folder and is killed before or just after it is ready.
fn start_and_kill(data_dir: &Path, rng: &mut StdRng) {
    let mut process = Process::start(&mut serve(data_dir));
    std::thread::sleep(Duration::from_millis(rng.random_range(0..150)));
    process.kill();
}

#[test]
fn acknowledged_spans_survive_kill_at_any_instant() {
    let mut rng = StdRng::seed_from_u64(seed());
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let mut senders: Vec<Sender> = (0..SENDERS)
        .map(|_| Sender {
            generator: Generator::new(Options { seed: rng.random(), ..Options::default() }),
            unanswered: None,
            acknowledged: Acknowledged::new(),
        })
        .collect();
    let mut all = Acknowledged::new();
    for round in 1..=ROUNDS {
        load_and_kill(Server::on(&data_dir), &mut senders, &mut rng);
        if rng.random_ratio(1, 4) {
            start_and_kill(&data_dir, &mut rng);
        }
        let server = Server::on(&data_dir);
        let when = format!("after round {round}");
        for sender in &mut senders {
            assert_all_stored(&server, &sender.acknowledged, &when);
            for (id, spans) in sender.acknowledged.drain() {
                all.entry(id).or_default().extend(spans);
            }
        }
    }
    let server = Server::on(&data_dir);
    assert_all_stored(&server, &all, "at the end");
    let spans: usize = all.values().map(HashSet::len).sum();
    println!("{spans} spans of {} traces survived {ROUNDS} kills", all.len());
    let stored = server.json("/status")["span_count"].as_u64().unwrap_or(0);
    assert!(stored >= spans as u64, "{stored} of {spans}");
}

/// Fills more than a head with small spans; gives a few of the traces, and when it has blocks.
pub fn fill_a_head(server: &Server, first_trace: u128) -> Acknowledged {
    const TRACES: u128 = 2100;
    const TRACE_SPANS: u64 = 100;
    let start = now();
    let mut acknowledged = Acknowledged::new();
    for from in (first_trace..first_trace + TRACES).step_by(100) {
        let spans: Vec<Small> = (from..from + 100)
            .flat_map(|trace_id| (1..=TRACE_SPANS).map(move |number| (trace_id, number)))
            .map(|(trace_id, number)| Small {
                trace_id,
                span_id: number,
                parent_id: number - 1,
                name: "step".to_owned(),
                start: start + number,
                duration_nano: 1000 - number,
            })
            .collect();
        let request = request("filler", &spans);
        server.export(&request).ok();
        note(&mut acknowledged, &request);
    }
    acknowledged
}

#[test]
fn acknowledged_spans_survive_kill_while_a_block_is_written() {
    const KILLS: u32 = 3;
    let mut rng = StdRng::seed_from_u64(seed());
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let server = Server::on(&data_dir);
    let acknowledged = fill_a_head(&server, 1);
    drop(server);
    for _ in 0..KILLS {
        let mut server = Server::on(&data_dir);
        // One more request makes the writer seal the full head.
        server.export(&crate::otlp::one_span(u128::MAX)).ok();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..800)));
        server.process.kill();
    }
    let server = Server::on(&data_dir);
    assert_all_stored(&server, &acknowledged, "after kills while sealing");
    wait_until("a block", || (server.json("/status")["block_count"] != 0).then_some(()));
    assert_all_stored(&server, &acknowledged, "out of a block");
}
