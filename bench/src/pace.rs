//! Whether spans are taken at their pace while heavy queries run.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::load::{self, Target};
use crate::queries::rare_value;
use crate::row;

const SPANS_A_SECOND: usize = 20_000;
const SECONDS: usize = 15;
/// Clients that ask one heavy query after the other.
const ASKING: usize = 2;
/// What is acknowledged later than this is late.
const LATE: Duration = Duration::from_millis(100);

/// Sends at a steady pace, without queries and with them, and prints when requests were
/// acknowledged, counted from when they were due.
pub fn measure(
    target: &Target,
    api: &str,
    ids: &[String],
    sent: Range<u64>,
    batch: usize,
) -> anyhow::Result<()> {
    println!("\n{SPANS_A_SECOND} spans a second for {SECONDS} s, acknowledged after they were due");
    paced("alone", target, batch)?;
    let queries = heavy(api, ids, sent)?;
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = |first: usize| -> anyhow::Result<()> {
        for query in queries.iter().cycle().skip(first) {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let mut request = ureq::get(format!("{api}/api/v1/query"));
            for (name, value) in query {
                request = request.query(name, value);
            }
            let mut answer = request.call().context("asking a heavy query")?;
            answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING).map(|first| scope.spawn(move || ask(first))).collect();
        let done = paced("under heavy queries", target, batch);
        is_over.store(true, Ordering::Relaxed);
        for one in asking {
            one.join().unwrap_or_else(|_| anyhow::bail!("a client panicked"))?;
        }
        done
    })?;
    row("heavy queries answered meanwhile", answered.into_inner() as f64, "");
    Ok(())
}

fn paced(name: &str, target: &Target, batch: usize) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let acknowledged = |after: Duration| times.push(after);
    let (sent, _) = load::paced(target, SPANS_A_SECOND, SECONDS, batch, acknowledged)?;
    times.sort_unstable();
    let at = |share: f64| -> anyhow::Result<f64> {
        let last = times.len().checked_sub(1).context("nothing was sent")?;
        Ok(times[(last as f64 * share) as usize].as_secs_f64() * 1e3)
    };
    let late = times.len() - times.partition_point(|after| *after <= LATE);
    let [median, most, worst] = [at(0.5)?, at(0.99)?, at(1.0)?];
    println!("{name:<44} {median:>9.2} ms median, {most:>8.2} p99, {worst:>8.2} worst");
    row("  later than 100 ms", late as f64 * 100.0 / times.len() as f64, "%");
    row("  refused and sent again", sent.retries as f64, "");
    Ok(())
}

/// The queries that take most: structure, quantiles, and a pattern over a text of many values.
fn heavy(
    api: &str,
    ids: &[String],
    sent: Range<u64>,
) -> anyhow::Result<Vec<Vec<(&'static str, String)>>> {
    let rare = rare_value(api, ids)?;
    let (key, value) = rare.split_once('=').context("no rare value")?;
    let step = format!("{}ms", ((sent.end - sent.start) / 60 / 1_000_000).max(1));
    Ok(vec![
        // Of nothing, so that no search ends early.
        vec![("q", "{ kind = server } >> { kind = client && name = `no such` }".to_owned())],
        vec![
            (
                "q",
                "{} | quantile_over_time(duration, .5, .9, .99) by (resource.service.name, name)"
                    .to_owned(),
            ),
            ("start", sent.start.to_string()),
            ("end", sent.end.to_string()),
            ("step", step),
        ],
        vec![("q", format!("{{ {key} =~ `.*{}.*z` }}", value.get(..4).unwrap_or(value)))],
    ])
}
