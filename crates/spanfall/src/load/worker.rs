//! Connections that send, a thread each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use loadgen::{Generator, Options};

use super::latency::Latencies;
use super::pace::{Pace, Stop, batch_for};
use crate::client::{Patience, Refusal, Sender};

/// A busy server may turn a request away for so long before it counts as refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send, where and how fast.
#[derive(Debug, Clone)]
pub struct Load {
    /// OTLP over HTTP.
    pub endpoint: String,
    /// What the spans are like.
    pub options: Options,
    /// Spans per second, of all connections together.
    pub rate: Option<f64>,
    /// Spans in all, rounded up to whole traces by each connection.
    pub spans: Option<u64>,
    /// Time in all.
    pub duration: Option<Duration>,
    /// Spans per request.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
}

/// What happened so far; grows while [`run`] runs.
#[derive(Debug, Default)]
pub struct Counts {
    /// Spans that the server took.
    pub accepted: AtomicU64,
    /// Spans that it left out of a request.
    pub rejected: AtomicU64,
    /// Spans in requests that it refused, or was too busy for.
    pub refused: AtomicU64,
    /// Requests that were answered with success.
    pub requests: AtomicU64,
    /// Attempts that had to be made again.
    pub retries: AtomicU64,
}

/// Sends until all is sent, time is up, or `stop`. Gives the latencies of accepted requests, and
/// the error that ended it early.
pub fn run(load: &Load, counts: &Counts, stop: &Stop) -> (Latencies, Option<anyhow::Error>) {
    let started = Instant::now();
    let mut latencies = Latencies::default();
    let mut failure = None;
    std::thread::scope(|scope| {
        let start = |index| {
            let worker = Worker::new(load, index, started, counts, stop);
            scope.spawn(move || worker.run())
        };
        let workers: Vec<_> = (0..load.connections).map(start).collect();
        for worker in workers {
            match worker.join() {
                Ok((found, error)) => {
                    latencies.merge(&found);
                    failure = failure.take().or(error);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    (latencies, failure)
}

/// A connection's part of the spans; the first ones make up the remainder.
fn share(spans: u64, index: usize, connections: usize) -> u64 {
    let connections = connections as u64;
    spans / connections + u64::from((index as u64) < spans % connections)
}

/// A connection's own seed; the first has the one given, so that one connection sends what the
/// library makes.
fn seed(seed: u64, index: usize) -> u64 {
    // 2^64 divided by the golden ratio: far apart for neighbours.
    seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

struct Worker<'a> {
    generator: Generator,
    sender: Sender,
    pace: Option<Pace>,
    batch: usize,
    started: Instant,
    ends: Option<Instant>,
    counts: &'a Counts,
    stop: &'a Stop,
}

impl<'a> Worker<'a> {
    fn new(
        load: &Load,
        index: usize,
        started: Instant,
        counts: &'a Counts,
        stop: &'a Stop,
    ) -> Self {
        let options = Options { seed: seed(load.options.seed, index), ..load.options };
        let batch = batch_for(load.batch, load.rate, load.connections);
        let spans = load.spans.map_or(u64::MAX, |spans| share(spans, index, load.connections));
        let ends = load.duration.and_then(|duration| started.checked_add(duration));
        Self {
            generator: Generator::with_spans(options, spans),
            sender: Sender::new(load.endpoint.clone()).ending(ends),
            pace: Pace::new(load.rate, batch, index, load.connections),
            batch,
            started,
            ends,
            counts,
            stop,
        }
    }

    fn run(mut self) -> (Latencies, Option<anyhow::Error>) {
        let mut latencies = Latencies::default();
        let mut request = Vec::new();
        let mut sent = 0;
        let mut ended = false;
        while !ended && self.wait(sent) {
            let spans = self.generator.request(self.batch, now_unix_nano(), &mut request);
            ended = spans < self.batch;
            if spans == 0 {
                break;
            }
            let spans = spans as u64;
            sent += spans;
            let add = |counter: &AtomicU64, number| counter.fetch_add(number, Ordering::Relaxed);
            let stop = self.stop;
            let pause = |pause| {
                add(&self.counts.retries, 1);
                stop.wait(pause)
            };
            match self.sender.send(&request, Patience::new(PATIENCE), pause) {
                Ok(outcome) => {
                    let rejected = outcome.rejected.min(spans);
                    add(&self.counts.accepted, spans - rejected);
                    add(&self.counts.rejected, rejected);
                    add(&self.counts.requests, 1);
                    latencies.add(outcome.took);
                }
                Err(Refusal::Refused(reason)) => {
                    add(&self.counts.refused, spans);
                    // Every request is alike, and so will be the answers.
                    let error = anyhow::anyhow!("the server refused a request: {reason}");
                    self.stop.stop();
                    return (latencies, Some(error));
                }
                Err(Refusal::Gone(error)) => {
                    add(&self.counts.refused, spans);
                    let interrupted = self.stop.is_stopped();
                    self.stop.stop();
                    return (latencies, (!interrupted).then_some(error));
                }
            }
        }
        (latencies, None)
    }

    /// Waits for the next request's turn; false when there is none.
    fn wait(&self, sent: u64) -> bool {
        let now = Instant::now();
        let is_over = |time: Instant| self.ends.is_some_and(|ends| time >= ends);
        if self.stop.is_stopped() || is_over(now) {
            return false;
        }
        let Some(pace) = &self.pace else { return true };
        match pace.due(self.started, sent) {
            Some(due) if !is_over(due) => self.stop.wait(due.saturating_duration_since(now)),
            _ => {
                if let Some(ends) = self.ends {
                    self.stop.wait(ends.saturating_duration_since(now));
                }
                false
            }
        }
    }
}

fn now_unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::client::stub::{Stub, reply};

    fn load(stub: &Stub) -> Load {
        Load {
            endpoint: stub.url().to_owned(),
            options: Options { services: 3, ..Options::default() },
            rate: None,
            spans: Some(1000),
            duration: None,
            batch: 300,
            connections: 1,
        }
    }

    fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn sends_whole_traces() {
        let partial = model::export_response(&model::Rejection { spans: 7, reason: String::new() });
        let stub = Stub::new([reply(200, &[], &partial), reply(200, &[], b"")]);
        let counts = Counts::default();
        let (latencies, failure) = run(&load(&stub), &counts, &Stop::default());
        assert!(failure.is_none());
        let batches: Vec<model::SpanBatch> = stub
            .requests()
            .into_iter()
            .map(|request| model::SpanBatch::decode(request.body.into()).unwrap())
            .collect();
        let sizes: Vec<usize> = batches.iter().map(model::SpanBatch::len).collect();
        assert_eq!(sizes[..3], [300, 300, 300]);
        let sent: usize = sizes.iter().sum();
        assert!((1000..1080).contains(&sent), "{sizes:?}");
        let ids: HashSet<_> = batches
            .iter()
            .flat_map(|batch| batch.spans())
            .map(|span| (span.trace_id, span.span_id))
            .collect();
        for span in batches.iter().flat_map(|batch| batch.spans()) {
            let parent = (span.trace_id, span.parent_span_id);
            assert!(span.parent_span_id.is_none() || ids.contains(&parent), "{span:?}");
        }
        assert_eq!(read(&counts.accepted), sent as u64 - 7);
        assert_eq!(read(&counts.rejected), 7);
        assert_eq!(read(&counts.requests), sizes.len() as u64);
        assert!(latencies.quantile(0.99).is_some());
    }

    #[test]
    fn a_refusal_ends_it() {
        let stub = Stub::new([reply(200, &[], b""), reply(404, &[], b"no such path")]);
        let counts = Counts::default();
        let (_, failure) = run(&load(&stub), &counts, &Stop::default());
        assert!(failure.unwrap().to_string().contains("HTTP status 404: no such path"));
        assert_eq!((read(&counts.accepted), read(&counts.refused)), (300, 300));
    }

    /// Far shorter than the patience with a busy server and the timeout of a silent one.
    #[test]
    fn the_duration_ends_it_whatever_the_server_does() {
        let busy = Stub::new([reply(200, &[], b""), reply(503, &[("retry-after", "25")], b"")]);
        // Connections stay in its backlog.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", silent.local_addr().unwrap());
        for (endpoint, accepted) in [(busy.url().to_owned(), 300), (silent, 0)] {
            let load = Load {
                endpoint: endpoint.clone(),
                spans: None,
                duration: Some(Duration::from_millis(50)),
                ..load(&busy)
            };
            let counts = Counts::default();
            let started = Instant::now();
            let (_, failure) = run(&load, &counts, &Stop::default());
            assert!(started.elapsed() < Duration::from_secs(10), "{endpoint}");
            assert!(failure.is_some(), "{endpoint}");
            assert_eq!((read(&counts.accepted), read(&counts.refused)), (accepted, 300));
        }
    }

    #[test]
    fn stopping_ends_it() {
        let stub = Stub::new([reply(200, &[], b"")]);
        let stop = Stop::default();
        stop.stop();
        let (_, failure) = run(&load(&stub), &Counts::default(), &stop);
        assert!(failure.is_none());
        assert!(stub.requests().is_empty());
    }

    #[test]
    fn shares_and_seeds() {
        let shares: Vec<u64> = (0..4).map(|index| share(10, index, 4)).collect();
        assert_eq!(shares, [3, 3, 2, 2]);
        assert_eq!(seed(5, 0), 5);
        assert_ne!(seed(5, 1), seed(6, 0));
    }
}
