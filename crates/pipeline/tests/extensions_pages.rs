//! The extensions `zpages` and `pprof`: what they show over real connections, and what they refuse.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use config::Section;
use http::Method;
use prost::Message;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::components::{House, diagnosed};
use crate::http_client::{Answer, Client, build, send};
use crate::support::until;

/// Profiles are of the whole process.
static PROFILES: Mutex<()> = Mutex::const_new(());

const CONFIG: &str = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
processors: {batch: {timeout: 10ms}, 'batch/a&b': {timeout: 10ms}}
exporters: {debug: }
extensions:
  zpages: {endpoint: '127.0.0.1:0'}
  pprof: {endpoint: '127.0.0.1:0'}
  health_check: {endpoint: '127.0.0.1:0'}
service:
  extensions: [zpages, pprof, health_check]
  pipelines: {traces/own: {receivers: [otlp], processors: [batch], exporters: [debug]}}
";

async fn get(at: SocketAddr, path: &str) -> Answer {
    send(at, build(Method::GET, path, &[], Vec::new())).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// What a page shows: words without tags.
fn words(answer: &Answer) -> String {
    let mut out = String::new();
    let mut in_tag = false;
    for letter in text(answer).chars() {
        match letter {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                out.push(' ');
            }
            _ if !in_tag => out.push(letter),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn live_pages_show_what_runs_and_what_it_did() {
    let mut house = House::of(CONFIG).await;
    let at = house.address(Section::Extensions, "zpages");
    let page = words(&get(at, "/debug/servicez").await);
    assert!(page.contains("State starting or stopping"), "{page}");
    house.health.ready(Vec::new);
    house.post_spans(3).await;
    for (path, parts) in [
        ("/", &["State ready", "Name Spanfall", "Pipelines 1", "Extensions 3"][..]),
        ("/debug", &["State ready"]),
        ("/debug/servicez", &["Version", "Uptime", "Ready since 20"]),
        ("/debug/pipelinez", &["traces/own otlp batch debug", "otelcol_receiver_accepted_spans"]),
        ("/debug/extensionz", &["zpages pprof health_check"]),
        ("/debug/tracez", &["receiver otlp otelcol_receiver_accepted_spans transport=http 3"]),
        ("/debug/featurez", &["no feature gates"]),
    ] {
        let answer = get(at, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let html = text(&answer);
        assert!(!html.contains("<script") && !html.contains("style="), "{html}");
        let page = words(&answer);
        for part in parts {
            assert!(page.contains(part), "{path}: {part}: {page}");
        }
    }
    let sheet = get(at, "/debug/zpages.css").await;
    assert_eq!((sheet.status, sheet.header("content-type")), (200, "text/css; charset=utf-8"));

    house.health.ready(|| vec!["exporters::x: <b>down</b>".to_owned()]);
    let answer = get(at, "/debug/servicez").await;
    assert!(text(&answer).contains("exporters::x: &lt;b&gt;down&lt;/b&gt;"));

    assert_eq!(get(at, "/debug/expvarz").await.status, 404);
    let answer = send(at, build(Method::POST, "/debug/servicez", &[], Vec::new())).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));

    // Pages follow a reload.
    house.apply(&CONFIG.replace("processors: [batch]", "processors: [batch/a&b]")).await.unwrap();
    let answer = get(at, "/debug/pipelinez").await;
    assert!(text(&answer).contains("batch/a&amp;b"), "{}", text(&answer));
    assert_eq!(house.graph.stop().await, 0);
}

#[tokio::test]
async fn pages_ask_who_comes() {
    let house = House::of(
        "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {debug: }
extensions:
  bearertokenauth: {token: secret}
  zpages: {endpoint: '127.0.0.1:0', auth: {authenticator: bearertokenauth}}
service:
  extensions: [bearertokenauth, zpages]
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
",
    )
    .await;
    let at = house.address(Section::Extensions, "zpages");
    let answer = get(at, "/debug/servicez").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.header("www-authenticate").is_empty());
    let headers = [("authorization", "Bearer secret")];
    let answer = send(at, build(Method::GET, "/debug/servicez", &headers, Vec::new())).await;
    assert_eq!(answer.status, 200);
}

#[test]
fn settings_are_read_and_wrong_ones_named() {
    let config = |extension: &str| {
        format!(
            "
receivers: {{otlp: {{protocols: {{http: }}}}}}
exporters: {{debug: }}
extensions:
  {extension}
service:
  extensions: [{}]
  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}
",
            extension.split(':').next().unwrap()
        )
    };
    for (settings, parts) in [
        ("zpages:", &[][..]),
        ("zpages: {endpoint: ':55679', expvar: {enabled: false}, read_timeout: 3s}", &[]),
        ("zpages: {expvar: {enabled: true}}", &["warning: extensions::zpages: 'expvar'"]),
        ("zpages: {endpont: ':1'}", &["error: extensions::zpages: has invalid keys: endpont"]),
        ("pprof:", &[]),
        ("pprof: {endpoint: '0.0.0.0:1777', block_profile_fraction: 0}", &[]),
        (
            "pprof: {block_profile_fraction: 1, mutex_profile_fraction: 5}",
            &["warning: extensions::pprof: 'block_", "warning: extensions::pprof: 'mutex_"],
        ),
        ("pprof: {save_to_file: /tmp/x}", &["error: extensions::pprof: 'save_to_file'"]),
        ("pprof: {endpoint: '1777'}", &["error: extensions::pprof: 'endpoint'"]),
        ("pprof: {secs: 3}", &["error: extensions::pprof: has invalid keys: secs"]),
    ] {
        let found = diagnosed(&config(settings));
        assert_eq!(found.len(), parts.len(), "{settings}: {found:#?}");
        for part in parts {
            assert!(
                found.iter().any(|line| line.starts_with(part)),
                "{settings}: {part}: {found:#?}"
            );
        }
    }
}

/// As much of `profile.proto` as is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

impl Profile {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut bytes).unwrap();
        let profile = Self::decode(Bytes::from(bytes)).unwrap();
        assert_eq!(profile.string_table[0], "");
        // Else readers ask for names, and give up where there are none to be had.
        assert!(profile.mapping.iter().all(|own| own.id == 1 && own.has_functions));
        assert!(profile.location.iter().all(|own| own.mapping_id == 1));
        profile
    }

    fn text(&self, at: i64) -> &str {
        &self.string_table[at as usize]
    }

    fn types(&self) -> Vec<(&str, &str)> {
        self.sample_type.iter().map(|it| (self.text(it.kind), self.text(it.unit))).collect()
    }

    /// Names of functions, the innermost first; every number has to lead somewhere.
    fn stack(&self, sample: &Sample) -> Vec<&str> {
        let locations: BTreeMap<u64, &Location> =
            self.location.iter().map(|own| (own.id, own)).collect();
        let functions: BTreeMap<u64, &Function> =
            self.function.iter().map(|own| (own.id, own)).collect();
        let lines = sample.location_id.iter().flat_map(|id| &locations[id].line);
        lines.map(|line| self.text(functions[&line.function_id].name)).collect()
    }

    /// The sum of a value over samples in whose stacks a function is.
    fn sum(&self, value: usize, function: &str) -> i64 {
        let has = |sample: &&Sample| self.stack(sample).iter().any(|name| name.contains(function));
        self.sample.iter().filter(has).map(|sample| sample.value[value]).sum()
    }
}

#[inline(never)]
fn burn_cpu_for_the_profile(stop: &AtomicBool) -> u64 {
    let mut sum = 0u64;
    while !stop.load(Ordering::Relaxed) {
        for number in 0..10_000u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(number));
        }
    }
    sum
}

/// Whether another profile is being taken: then there is none to be had.
async fn is_busy(at: SocketAddr) -> bool {
    match get(at, "/debug/pprof/allocs").await.status {
        200 => false,
        429 => true,
        status => panic!("{status}"),
    }
}

/// A CPU profile that is being taken now.
async fn under_way(at: SocketAddr, seconds: u32) -> JoinHandle<Answer> {
    loop {
        let path = format!("/debug/pprof/profile?seconds={seconds}");
        let mut client = Client::http1(at).await;
        let request = build(Method::GET, &path, &[], Vec::new());
        let taking = tokio::spawn(async move { client.send(request).await });
        while !taking.is_finished() {
            if is_busy(at).await && !taking.is_finished() {
                return taking;
            }
        }
        // The question whether it is there came first.
        assert_eq!(taking.await.unwrap().status, 429);
    }
}

#[tokio::test]
async fn a_cpu_profile_names_the_function_that_burns() {
    let _alone = PROFILES.lock().await;
    let house = House::of(CONFIG).await;
    let at = house.address(Section::Extensions, "pprof");
    let stop = Arc::new(AtomicBool::new(false));
    let burning = std::thread::spawn({
        let stop = stop.clone();
        move || burn_cpu_for_the_profile(&stop)
    });
    let answer = under_way(at, 2).await.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    burning.join().unwrap();
    let profile = Profile::of(&answer);
    assert_eq!(profile.types(), [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!((profile.period, profile.text(profile.default_sample_type)), (10_000_000, "cpu"));
    assert!(profile.duration_nanos >= 2_000_000_000 && profile.time_nanos > 0);
    let seen = profile.sum(0, "burn_cpu_for_the_profile");
    // At 100 Hz of CPU time, of which a busy machine may leave little.
    assert!(seen >= 10, "{seen} of {:?}", profile.sample.len());
    assert_eq!(profile.sum(1, "burn_cpu_for_the_profile"), seen * 10_000_000);
    // Nothing of the profiler itself is in it.
    assert_eq!(profile.sum(0, "on_signal"), 0);
    // It starts anew.
    let again = get(at, "/debug/pprof/profile?seconds=1").await;
    Profile::of(&again);
}

#[inline(never)]
fn hold_memory_for_the_profile(blocks: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..blocks).map(|_| black_box(Vec::with_capacity(bytes))).collect()
}

#[tokio::test]
async fn a_heap_profile_names_the_function_that_holds() {
    let _alone = PROFILES.lock().await;
    const BLOCK: usize = 8 << 20;
    let house = House::of(CONFIG).await;
    let at = house.address(Section::Extensions, "pprof");
    // Blocks of 16 times the period are sampled all but surely, and stand for themselves.
    let mut held = hold_memory_for_the_profile(4, BLOCK);
    let profile = Profile::of(&get(at, "/debug/pprof/heap").await);
    let types = profile.types();
    assert_eq!(types[1], ("alloc_space", "bytes"));
    assert_eq!(types[3], ("inuse_space", "bytes"));
    assert_eq!(profile.text(profile.default_sample_type), "inuse_space");
    assert_eq!(profile.period, 512 << 10);
    let about = |profile: &Profile, value: usize, blocks: usize| {
        let bytes = profile.sum(value, "hold_memory_for_the_profile");
        let expected = (blocks * BLOCK) as i64;
        assert!((bytes - expected).abs() <= expected / 100, "{bytes} {expected}");
    };
    about(&profile, 1, 4);
    about(&profile, 3, 4);
    // Nothing of the sampler itself is in it.
    for own in ["pprof::heap::", "__rust_alloc", "pprof::encode::"] {
        assert_eq!(profile.sum(0, own), 0, "{own}");
    }

    held.truncate(1);
    let profile = Profile::of(&get(at, "/debug/pprof/allocs").await);
    assert_eq!(profile.text(profile.default_sample_type), "alloc_space");
    about(&profile, 1, 4);
    about(&profile, 3, 1);
    drop(held);
}

#[tokio::test]
async fn what_cannot_be_had_is_said() {
    let house = House::of(CONFIG).await;
    let at = house.address(Section::Extensions, "pprof");
    for (path, status, part) in [
        ("/debug/pprof/", 200, "/debug/pprof/profile"),
        ("/debug/pprof/profile?seconds=0", 400, "from 1 to 300"),
        ("/debug/pprof/profile?seconds=301", 400, "from 1 to 300"),
        ("/debug/pprof/profile?seconds=x", 400, "from 1 to 300"),
        ("/debug/pprof/profile?hz=5", 400, "no parameter"),
        ("/debug/pprof/heap?debug=1", 400, "debug must be 0"),
        ("/debug/pprof/heap?seconds=3", 400, "no parameter"),
        ("/debug/pprof/goroutine", 501, "Go's runtime"),
        ("/debug/pprof/trace", 501, "Go's runtime"),
        ("/debug/pprof/cmdline", 404, "no such page"),
        ("/debug/servicez", 404, "no such page"),
    ] {
        let answer = get(at, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(text(&answer).contains(part), "{path}: {}", text(&answer));
    }
}

#[tokio::test]
async fn a_profile_ends_when_the_extension_stops_or_the_client_goes() {
    let _alone = PROFILES.lock().await;
    let mut house = House::of(CONFIG).await;
    let at = house.address(Section::Extensions, "pprof");
    let gone = under_way(at, 300).await;
    gone.abort();
    while is_busy(at).await {
        tokio::task::yield_now().await;
    }
    let long = under_way(at, 300).await;
    assert_eq!(house.graph.stop().await, 0);
    assert_eq!(long.await.unwrap().status, 503);
    until("the port is free", || std::net::TcpListener::bind(at).is_ok()).await;
}
