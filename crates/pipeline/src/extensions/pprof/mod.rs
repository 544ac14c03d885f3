//! `pprof`: profiles of the process while it runs, at the paths and in the format of Go's
//! `net/http/pprof`, so that `go tool pprof http://localhost:1777/debug/pprof/profile` and whatever
//! else reads that format works.
//!
//! There are `profile` (CPU), `heap` and `allocs`. What is about Go's runtime (goroutines, blocking,
//! mutexes, threads, execution traces) is answered with 501. Differences to Go: one profile is taken
//! at a time, of 300 s at most; profiles are protobuf alone (no `debug=1`); parameters are checked.
//! Heap profiles count from the moment at which the extension started.

mod cpu;
mod encode;
mod heap;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::cpu::{CpuError, GATHER_INTERVAL, HERTZ, Recording};
use self::encode::{Place, Profile, places};
use self::heap::{PERIOD_BYTES, Sampling, unseen};
use super::pages::{Page, Pages, Site, parameters};
use crate::receivers::{Listener, ServerSettings};

pub use heap::SampledAlloc;

/// As long as Go's.
const SECONDS_DEFAULT: u64 = 30;
/// Longer ones say nothing more.
const SECONDS_MAX: u64 = 300;

const INDEX: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<title>Spanfall: profiles</title></head><body><h1>Profiles</h1><ul>\
<li><a href=\"/debug/pprof/profile?seconds=30\">profile</a>: where CPU time goes, over 30 s</li>\
<li><a href=\"/debug/pprof/heap\">heap</a>: where memory in use comes from</li>\
<li><a href=\"/debug/pprof/allocs\">allocs</a>: where memory was asked for since the start</li>\
</ul><p>Read them with pprof, or with whatever takes its format.</p></body></html>\n";

/// The extension.
pub struct Pprof;

impl Pprof {
    /// Answers on a listener, and samples allocations if the process' allocator is a
    /// [`SampledAlloc`].
    ///
    /// # Errors
    /// The listener's address cannot be told.
    pub fn start(listener: Listener, server: ServerSettings) -> Result<Pages, String> {
        let site = Profiles {
            heap: Sampling::start().map(Arc::new),
            since: SystemTime::now(),
            turn: Arc::new(Semaphore::new(1)),
        };
        Pages::start(listener, server, site)
    }
}

struct Profiles {
    heap: Option<Arc<Sampling>>,
    since: SystemTime,
    turn: Arc<Semaphore>,
}

#[async_trait]
impl Site for Profiles {
    async fn page(&self, path: &str, query: &str) -> Page {
        let page = match path {
            "/debug/pprof" | "/debug/pprof/" => return Page::html(INDEX.to_owned()),
            "/debug/pprof/profile" => self.cpu(query).await,
            "/debug/pprof/heap" => self.heap(query, "inuse_space").await,
            "/debug/pprof/allocs" => self.heap(query, "alloc_space").await,
            "/debug/pprof/goroutine"
            | "/debug/pprof/block"
            | "/debug/pprof/mutex"
            | "/debug/pprof/threadcreate"
            | "/debug/pprof/trace" => {
                let words = "this is about Go's runtime; Spanfall has profile, heap and allocs";
                return Page::fault(StatusCode::NOT_IMPLEMENTED, words);
            }
            _ => return Page::not_found(),
        };
        page.unwrap_or_else(|fault| fault)
    }
}

fn invalid(reason: impl Into<String>) -> Page {
    Page::fault(StatusCode::BAD_REQUEST, reason.into())
}

fn failed(reason: impl ToString) -> Page {
    Page::fault(StatusCode::INTERNAL_SERVER_ERROR, reason.to_string())
}

/// The value of `seconds`.
fn seconds(query: &str) -> Result<u64, String> {
    let mut seconds = SECONDS_DEFAULT;
    for (_, value) in parameters(query, &["seconds"])? {
        seconds = value
            .parse()
            .ok()
            .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
            .ok_or_else(|| format!("seconds must be a number from 1 to {SECONDS_MAX}"))?;
    }
    Ok(seconds)
}

/// `gc` and `debug`, which Go has. There is nothing to collect here before.
fn no_choice(query: &str) -> Result<(), String> {
    for (name, value) in parameters(query, &["gc", "debug"])? {
        if name == "debug" && value != "0" {
            return Err("profiles are protobuf alone: debug must be 0".to_owned());
        }
    }
    Ok(())
}

impl Profiles {
    fn turn(&self) -> Result<OwnedSemaphorePermit, Page> {
        let busy = |_| Page::fault(StatusCode::TOO_MANY_REQUESTS, CpuError::Busy.to_string());
        Arc::clone(&self.turn).try_acquire_owned().map_err(busy)
    }

    async fn cpu(&self, query: &str) -> Result<Page, Page> {
        let time = Duration::from_secs(seconds(query).map_err(invalid)?);
        let turn = self.turn()?;
        let begun = (SystemTime::now(), std::time::Instant::now());
        let mut recording = Recording::start().map_err(|error| match error {
            CpuError::Busy => Page::fault(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            CpuError::System(_) => Page::fault(StatusCode::NOT_IMPLEMENTED, error.to_string()),
        })?;
        let mut left = time;
        while !left.is_zero() {
            let some = left.min(GATHER_INTERVAL);
            tokio::time::sleep(some).await;
            recording.gather();
            left -= some;
        }
        let work = move || {
            let seen = recording.finish();
            let period = 1_000_000_000 / i64::from(HERTZ);
            let profile = Profile {
                types: [("samples", "count"), ("cpu", "nanoseconds")],
                default_type: "cpu",
                period: ("cpu", "nanoseconds", period),
                begun: begun.0,
                lasted: begun.1.elapsed(),
                comments: lost(seen.lost),
                samples: seen.samples,
            };
            let done = encoded(&profile);
            drop(turn);
            done
        };
        let body =
            tokio::task::spawn_blocking(|| unseen(work)).await.map_err(failed)?.map_err(failed)?;
        Ok(Page::file(body, "attachment; filename=\"profile.pb.gz\""))
    }

    async fn heap(&self, query: &str, default_type: &'static str) -> Result<Page, Page> {
        no_choice(query).map_err(invalid)?;
        let Some(sampling) = self.heap.clone() else {
            let words = "this process does not allocate through the sampling allocator; the \
                         spanfall binary does: ask that one";
            return Err(Page::fault(StatusCode::NOT_IMPLEMENTED, words));
        };
        let turn = self.turn()?;
        let since = self.since;
        let work = move || {
            let mut seen = sampling.seen();
            let mut names = Names::default();
            for sample in &mut seen.samples {
                names.cut(&mut sample.stack);
            }
            let profile = Profile {
                types: [
                    ("alloc_objects", "count"),
                    ("alloc_space", "bytes"),
                    ("inuse_objects", "count"),
                    ("inuse_space", "bytes"),
                ],
                default_type,
                period: ("space", "bytes", PERIOD_BYTES as i64),
                begun: since,
                lasted: SystemTime::now().duration_since(since).unwrap_or_default(),
                comments: lost(seen.lost),
                samples: seen.samples,
            };
            let done = profile.encode(|address| names.of(address).1.clone());
            backtrace::clear_symbol_cache();
            drop(turn);
            done
        };
        let body =
            tokio::task::spawn_blocking(|| unseen(work)).await.map_err(failed)?.map_err(failed)?;
        Ok(Page::file(body, "attachment; filename=\"heap.pb.gz\""))
    }
}

fn lost(samples: u64) -> Vec<String> {
    (samples > 0)
        .then(|| format!("{samples} samples were lost for want of room"))
        .into_iter()
        .collect()
}

fn encoded<const N: usize>(profile: &Profile<N>) -> std::io::Result<Vec<u8>> {
    let done = profile.encode(places);
    // It takes as much memory as the program's own description, and is rarely needed.
    backtrace::clear_symbol_cache();
    done
}

/// The names of instructions, without the sampler's own.
#[derive(Default)]
struct Names {
    /// Whether some were the sampler's, and the rest.
    known: HashMap<usize, (bool, Vec<Place>)>,
}

/// The sampler's own frames lie this far out at most.
const OWN_FRAMES_MAX: usize = 16;

impl Names {
    fn of(&mut self, address: usize) -> &(bool, Vec<Place>) {
        self.known.entry(address).or_insert_with(|| {
            let is_own = |place: &Place| {
                let own =
                    ["pprof::heap::", "backtrace::backtrace::", "__rust_alloc", "__rust_realloc"];
                own.iter().any(|name| place.function.contains(name))
            };
            let mut places = places(address);
            // The innermost comes first: what called the sampler stays.
            let own = places.iter().rposition(is_own).map_or(0, |last| last + 1);
            places.drain(..own);
            (own > 0, places)
        })
    }

    /// Cuts off the sampler's own frames.
    fn cut(&mut self, stack: &mut Box<[usize]>) {
        let inner: Vec<bool> =
            stack.iter().take(OWN_FRAMES_MAX).map(|&address| self.of(address).0).collect();
        let Some(last) = inner.iter().rposition(|&is_own| is_own) else { return };
        let keeps = stack.get(last).is_some_and(|&address| !self.of(address).1.is_empty());
        let from = last + usize::from(!keeps);
        *stack = stack.get(from..).unwrap_or_default().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked() {
        for (query, expected) in [
            ("", Ok(30)),
            ("seconds=1", Ok(1)),
            ("seconds=300", Ok(300)),
            ("seconds=301", Err("from 1 to 300")),
            ("seconds=0", Err("from 1 to 300")),
            ("seconds=-1", Err("from 1 to 300")),
            ("seconds=1.5", Err("from 1 to 300")),
            ("seconds", Err("from 1 to 300")),
            ("minutes=1", Err("no parameter \"minutes\"")),
        ] {
            match (seconds(query), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{query}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{query}: {error}"),
                (found, _) => panic!("{query}: {found:?}"),
            }
        }
        assert!(no_choice("gc=1&debug=0").is_ok());
        assert!(no_choice("debug=1").is_err());
        assert!(no_choice("seconds=3").is_err());
    }
}
