//! Settings of a component that asks for one value of every sort.

use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Diagnostics, Reader, Secret};
use regex::Regex;

use crate::world::World;

const PORTS: RangeInclusive<u16> = 1..=65_535;

/// What the component `tester` understood.
#[derive(Debug, Default, PartialEq)]
pub struct Settings {
    pub enabled: Option<bool>,
    pub size: Option<u32>,
    pub port: Option<u16>,
    pub ratio: Option<f64>,
    pub endpoint: Option<String>,
    pub timeout: Option<Duration>,
    pub limit: Option<u64>,
    pub compression: Option<u8>,
    pub pattern: Option<String>,
    pub address: Option<(String, u16)>,
    pub password: Option<Secret>,
    pub hosts: Option<Vec<String>>,
    pub labels: Option<Vec<(String, String)>>,
    pub headers: Option<Vec<(String, Secret)>>,
    pub grpc: Option<Option<bool>>,
    pub tls: Option<Option<String>>,
    pub policies: Option<Vec<Option<String>>>,
    pub named: Option<Vec<(String, Option<u32>)>>,
    pub resolver: Option<&'static str>,
    pub verbosity: Option<String>,
}

/// `host:port`
fn address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("must end with a port")?;
    let port = port.parse().map_err(|_| format!("has no port: {port:?}"))?;
    Ok((host.to_owned(), port))
}

/// Asks for everything.
pub fn read(reader: &mut Reader<'_, '_>) -> Settings {
    let pattern = Regex::new("^[a-z]+$").expect("a pattern");
    let needs_resolver = reader.has("needs_resolver");
    if needs_resolver {
        reader.field("needs_resolver").bool();
        reader.field("must").required().string();
    }
    let settings = Settings {
        enabled: reader.field("enabled").bool(),
        size: reader.field("size").int(1..=1000),
        port: reader.field("port").int(PORTS),
        ratio: reader.field("ratio").float(0.0..=1.0),
        endpoint: reader.field("endpoint").string(),
        timeout: reader.field("timeout").duration(),
        limit: reader.field("limit").bytes(1..=1 << 30),
        compression: reader.field("compression").choice(&[("none", 0), ("gzip", 1), ("zstd", 2)]),
        pattern: reader.field("pattern").matching(&pattern, "lower-case letters"),
        address: reader.field("address").parsed("host:port", address),
        password: reader.field("password").secret(),
        hosts: reader.field("hosts").strings(),
        labels: reader.field("labels").string_map(),
        headers: reader.field("headers").headers(),
        grpc: reader.field("grpc").section(|grpc| grpc.field("keepalive").bool()),
        policies: reader
            .field("policies")
            .list_of(|policy| policy.field("name").required().string()),
        named: reader.field("named").map_of(|_, one| one.field("size").int(0..=u32::MAX)),
        verbosity: reader.field("verbosity").renamed_from("loglevel").string(),
        tls: reader.field("tls").unless_null().section(|tls| tls.field("cert").string()),
        resolver: needs_resolver.then(|| reader.one_of(&["static", "dns"])).flatten(),
    };
    reader.field("static").node();
    reader.field("dns").node();
    reader.field("batcher").deprecated("use sending_queue.batch").node();
    reader.removed("blocking", "use block_on_overflow");
    reader.refused("kerberos", "is not supported");
    reader.field("cache").without_effect("is for logs").bool();
    if settings.timeout == Some(Duration::ZERO) {
        reader.fault("timeout", "must be greater than zero");
    }
    settings
}

/// What a component with these settings understood, and what was said.
fn settings(world: World) -> (Settings, Diagnostics) {
    let (document, _) = world.load();
    let component = document.receivers.first().expect("one receiver");
    let mut diagnostics = Diagnostics::default();
    let mut reader = Reader::of(component, &mut diagnostics);
    let settings = read(&mut reader);
    reader.finish();
    (settings, diagnostics)
}

#[track_caller]
fn reads(text: &str, expected: Settings) {
    let text = format!("receivers:\n  tester:\n    {}\n", text.replace('\n', "\n    "));
    let (settings, diagnostics) = settings(World::of(&text).with("N", "0123").with("YES", "yes"));
    assert!(diagnostics.is_empty(), "{text}\n{:?}", diagnostics.iter().collect::<Vec<_>>());
    assert_eq!(settings, expected, "{text}");
}

fn none() -> Settings {
    Settings::default()
}

#[test]
fn values_of_every_sort_are_read() {
    let string = str::to_owned;
    let pair = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    reads("{}", none());
    reads("enabled: true", Settings { enabled: Some(true), ..none() });
    reads("enabled: yes", Settings { enabled: Some(true), ..none() });
    reads("enabled: Off", Settings { enabled: Some(false), ..none() });
    reads("enabled: ${env:YES}", Settings { enabled: Some(true), ..none() });
    reads("enabled: ~", none());
    reads("size: 0x10", Settings { size: Some(16), ..none() });
    reads("size: 010", Settings { size: Some(8), ..none() });
    reads("size: 1e2", Settings { size: Some(100), ..none() });
    reads("size: ${env:N}", Settings { size: Some(83), ..none() });
    reads("port: 65535", Settings { port: Some(65_535), ..none() });
    reads("ratio: 1", Settings { ratio: Some(1.0), ..none() });
    reads("ratio: .5", Settings { ratio: Some(0.5), ..none() });
    reads("endpoint: yes", Settings { endpoint: Some(string("yes")), ..none() });
    reads("endpoint: '1'", Settings { endpoint: Some(string("1")), ..none() });
    reads("endpoint: ${env:N}", Settings { endpoint: Some(string("0123")), ..none() });
    reads("endpoint: a${env:N}", Settings { endpoint: Some(string("a0123")), ..none() });
    let timeout = |nanos| Settings { timeout: Some(Duration::from_nanos(nanos)), ..none() };
    reads("timeout: 200ms", timeout(200_000_000));
    reads("timeout: 1h30m1.5s", timeout(5_401_500_000_000));
    reads("timeout: .5us", timeout(500));
    reads("limit: 64MiB", Settings { limit: Some(64 << 20), ..none() });
    reads("limit: 1.5 kB", Settings { limit: Some(1500), ..none() });
    reads("limit: 512", Settings { limit: Some(512), ..none() });
    reads("compression: zstd", Settings { compression: Some(2), ..none() });
    reads("pattern: abc", Settings { pattern: Some(string("abc")), ..none() });
    reads("address: '[::1]:80'", Settings { address: Some((string("[::1]"), 80)), ..none() });
    reads("password: x", Settings { password: Some(Secret::new("x")), ..none() });
    reads("hosts: [a, b]", Settings { hosts: Some(vec![string("a"), string("b")]), ..none() });
    reads("hosts: a,b", Settings { hosts: Some(vec![string("a"), string("b")]), ..none() });
    reads("hosts: ''", Settings { hosts: Some(Vec::new()), ..none() });
    reads(
        "labels: {a: b, c: \"1\"}",
        Settings { labels: Some(vec![pair("a", "b"), pair("c", "1")]), ..none() },
    );
    let headers = Some(vec![(string("X-Key"), Secret::new("k"))]);
    reads("headers: {X-Key: k}", Settings { headers: headers.clone(), ..none() });
    reads("headers: [{name: X-Key, value: k}]", Settings { headers, ..none() });
    reads("grpc:", Settings { grpc: Some(None), ..none() });
    reads("tls:", none());
    reads("tls: {cert: x}", Settings { tls: Some(Some(string("x"))), ..none() });
    reads("cache:", none());
    reads("grpc: {keepalive: no}", Settings { grpc: Some(Some(false)), ..none() });
    reads(
        "policies: [{name: a}, {name: b}]",
        Settings { policies: Some(vec![Some(string("a")), Some(string("b"))]), ..none() },
    );
    reads(
        "named: {a: {size: 1}, b: }",
        Settings { named: Some(vec![(string("a"), Some(1)), (string("b"), None)]), ..none() },
    );
    reads("verbosity: x", Settings { verbosity: Some(string("x")), ..none() });
    reads("needs_resolver: true\nmust: x\ndns: {}", Settings { resolver: Some("dns"), ..none() });
}

#[test]
fn a_bare_number_is_nanoseconds_with_a_warning() {
    let (settings, diagnostics) = settings(World::of("receivers: {tester: {timeout: 2}}"));
    assert_eq!(settings.timeout, Some(Duration::from_nanos(2)));
    assert!(!diagnostics.has_errors());
    assert_eq!(diagnostics.iter().count(), 1);
}

#[test]
fn a_secret_has_no_debug() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[REDACTED] Some([REDACTED])");
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn what_is_no_component_is_read_alike() {
    let world = World::of("service: {telemetry: {logs: {level: 1, leval: x}}}");
    let (document, _) = world.load();
    let telemetry = document.service.telemetry.as_ref().expect("telemetry");
    let mut diagnostics = Diagnostics::default();
    let mut reader = Reader::new(&["service", "telemetry"], telemetry, &mut diagnostics);
    reader.field("logs").section(|logs| logs.field("level").string());
    reader.finish();
    let messages: Vec<_> = diagnostics.iter().map(|one| one.message.clone()).collect();
    let expected = [
        "service::telemetry: 'logs.level' expected type 'string', got unconvertible type 'int'",
        "service::telemetry: 'logs' has invalid keys: leval",
    ];
    assert_eq!(messages, expected);
}
