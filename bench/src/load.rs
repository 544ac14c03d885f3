//! Spans on several connections at once, as fast as the server takes them or at a steady pace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bytes::Bytes;
use loadgen::{Generator, Options};
use model::SpanBatch;

use crate::grpc;

/// Tries of a request that the server asks to send again.
const TRIES_MAX: usize = 100;

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    pub spans: usize,
    pub bytes: usize,
    pub retries: usize,
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Grpc,
}

/// Where requests are sent.
#[derive(Debug, Clone)]
pub struct Target {
    pub protocol: Protocol,
    /// A URL, or host and port for gRPC.
    pub address: String,
}

/// Spans, and the sum of their ids, which no loss, no doubling and no exchange of bytes keeps.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub spans: u64,
    ids: u128,
}

impl Tally {
    /// Adds a request.
    pub fn add(&mut self, batch: &SpanBatch) {
        self.spans += batch.len() as u64;
        for span in batch.spans() {
            let (trace, own) = (span.trace_id.to_number(), span.span_id.to_number());
            // Multiplied, so that the ids of two spans cannot change places.
            self.ids = self.ids.wrapping_add(trace.wrapping_mul(u128::from(own) | 1));
        }
    }

    fn merge(&mut self, other: Self) {
        self.spans += other.spans;
        self.ids = self.ids.wrapping_add(other.ids);
    }
}

/// Sends about `spans` spans, a whole number of requests, and returns when all are acknowledged.
pub fn send(
    target: &Target,
    spans: usize,
    batch: usize,
    connections: usize,
) -> anyhow::Result<(Sent, Tally)> {
    let left = AtomicUsize::new(spans.div_ceil(batch));
    let parts: Vec<anyhow::Result<(Sent, Tally)>> = thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|connection| {
                let left = &left;
                let seed = connection as u64 + 1;
                scope.spawn(move || Sender::new(target, seed)?.send_all(left, batch))
            })
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap_or_else(|_| anyhow::bail!("a sender panicked")))
            .collect()
    });
    let (mut sum, mut tally) = (Sent::default(), Tally::default());
    for part in parts {
        let (sent, own) = part?;
        sum.spans += sent.spans;
        sum.bytes += sent.bytes;
        sum.retries += sent.retries;
        tally.merge(own);
    }
    Ok((sum, tally))
}

/// Sends at a steady pace on one connection.
pub fn steady(
    target: &Target,
    spans_a_second: usize,
    seconds: usize,
    batch: usize,
) -> anyhow::Result<(Sent, Tally)> {
    paced(target, spans_a_second, seconds, batch, |_| {})
}

/// The same; `acknowledged` is told of each request how long after it was due it was acknowledged.
pub fn paced(
    target: &Target,
    spans_a_second: usize,
    seconds: usize,
    batch: usize,
    mut acknowledged: impl FnMut(Duration),
) -> anyhow::Result<(Sent, Tally)> {
    let mut sender = Sender::new(target, 1)?;
    let started = Instant::now();
    let requests = spans_a_second * seconds / batch;
    for request in 0..requests {
        let due = Duration::from_secs_f64((request * batch) as f64 / spans_a_second as f64);
        // A pace is time that passes.
        thread::sleep(due.saturating_sub(started.elapsed()));
        sender.send(batch)?;
        acknowledged(started.elapsed().saturating_sub(due));
    }
    Ok((sender.sent, sender.tally))
}

struct Sender {
    link: Link,
    generator: Generator,
    body: Vec<u8>,
    sent: Sent,
    tally: Tally,
}

enum Link {
    Http { agent: ureq::Agent, url: String },
    Grpc(grpc::Connection),
}

impl Sender {
    fn new(target: &Target, seed: u64) -> anyhow::Result<Self> {
        let link = match target.protocol {
            Protocol::Http => {
                let agent = ureq::Agent::config_builder().http_status_as_error(false).build();
                Link::Http { agent: agent.into(), url: target.address.clone() }
            }
            Protocol::Grpc => Link::Grpc(grpc::Connection::open(&target.address)?),
        };
        let generator = Generator::new(Options { seed, ..Options::default() });
        let (sent, tally) = (Sent::default(), Tally::default());
        Ok(Self { link, generator, body: Vec::new(), sent, tally })
    }

    fn send_all(mut self, left: &AtomicUsize, batch: usize) -> anyhow::Result<(Sent, Tally)> {
        let take = |left: usize| left.checked_sub(1);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            self.send(batch)?;
        }
        Ok((self.sent, self.tally))
    }

    /// One request, until it is acknowledged.
    fn send(&mut self, batch: usize) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        self.generator.request(batch, now.as_nanos() as u64, &mut self.body);
        let mut tries = 0;
        while !self.link.try_to_send(&self.body)? {
            tries += 1;
            anyhow::ensure!(tries < TRIES_MAX, "the server asked {tries} times to come again");
            self.sent.retries += 1;
            thread::sleep(Duration::from_millis(100));
        }
        self.sent.spans += batch;
        self.sent.bytes += self.body.len();
        let sent = SpanBatch::decode(Bytes::copy_from_slice(&self.body));
        self.tally.add(&sent.context("what was generated")?);
        Ok(())
    }
}

impl Link {
    /// False when the server asks to come again.
    fn try_to_send(&mut self, body: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Grpc(connection) => connection.export(body),
            Self::Http { agent, url } => {
                let answer = agent
                    .post(&*url)
                    .header("content-type", "application/x-protobuf")
                    .send(body)
                    .context("sending spans")?;
                match answer.status().as_u16() {
                    200 => Ok(true),
                    429 | 503 => Ok(false),
                    status => anyhow::bail!("the server answered {status}"),
                }
            }
        }
    }
}
