//! Spans on several connections at once, as fast as the server takes them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use loadgen::{Generator, Options};

/// Tries of a request that the server asks to send again.
const TRIES_MAX: usize = 100;

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    pub spans: usize,
    pub bytes: usize,
    pub retries: usize,
}

/// Sends about `spans` spans, a whole number of requests, and returns when all are acknowledged.
pub fn send(url: &str, spans: usize, batch: usize, connections: usize) -> anyhow::Result<Sent> {
    let left = AtomicUsize::new(spans.div_ceil(batch));
    let parts: Vec<anyhow::Result<Sent>> = thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|connection| {
                let left = &left;
                scope.spawn(move || one_connection(url, left, batch, connection as u64 + 1))
            })
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap_or_else(|_| anyhow::bail!("a sender panicked")))
            .collect()
    });
    let mut sum = Sent::default();
    for part in parts {
        let part = part?;
        sum.spans += part.spans;
        sum.bytes += part.bytes;
        sum.retries += part.retries;
    }
    Ok(sum)
}

fn one_connection(url: &str, left: &AtomicUsize, batch: usize, seed: u64) -> anyhow::Result<Sent> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut generator = Generator::new(Options { seed, ..Options::default() });
    let mut body = Vec::new();
    let mut sent = Sent::default();
    let take = |left: usize| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        generator.request(batch, now.as_nanos() as u64, &mut body);
        let mut tries = 0;
        loop {
            let answer = agent
                .post(url)
                .header("content-type", "application/x-protobuf")
                .send(&body[..])
                .context("sending spans")?;
            match answer.status().as_u16() {
                200 => break,
                429 | 503 if tries < TRIES_MAX => {
                    tries += 1;
                    sent.retries += 1;
                    thread::sleep(Duration::from_millis(100));
                }
                status => anyhow::bail!("the server answered {status}"),
            }
        }
        sent.spans += batch;
        sent.bytes += body.len();
    }
    Ok(sent)
}
