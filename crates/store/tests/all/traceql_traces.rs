//! The fixed traces of the TraceQL suite. Trace `tN` starts N minutes before [`NOW`], so that the
//! newest is `t1`; the id of a span is its letter.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use crate::bench::{NOW, SECOND};
use crate::sent::{Sent, int, text, trace_id, value};

const MILLI: u64 = SECOND / 1_000;

pub fn base(trace: u64) -> u64 {
    NOW - trace * 60 * SECOND
}

/// A span of a trace, its letter, its parent's or a blank, its service, kind and name, and its
/// start and end in milliseconds of the trace.
fn span(at: &str, service: &str, kind: i32, name: &str, (start, end): (u64, u64)) -> Sent {
    let mut signs = at.chars();
    let letter = signs.next_back().unwrap();
    let parent = signs.next_back().unwrap();
    let trace = signs.as_str().trim().parse().unwrap();
    let parent = if parent == ' ' { 0 } else { u64::from(parent) };
    let times = |at: u64| base(trace) + at * MILLI;
    let mut sent = Sent::new(trace, u64::from(letter)).service(service).parent(parent);
    sent.span.kind = kind;
    sent.name(name).times(times(start), times(end))
}

fn float(key: &str, number: f64) -> KeyValue {
    value(key, Some(Value::DoubleValue(number)))
}

fn truth(key: &str, truth: bool) -> KeyValue {
    value(key, Some(Value::BoolValue(truth)))
}

fn list(key: &str, values: Vec<Value>) -> KeyValue {
    let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
    value(key, Some(Value::ArrayValue(ArrayValue { values })))
}

fn word(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

trait With: Sized {
    fn with(self, attributes: impl IntoIterator<Item = KeyValue>) -> Self;
    fn from(self, attributes: impl IntoIterator<Item = KeyValue>) -> Self;
    fn code(self, code: i32, message: &str) -> Self;
    /// At milliseconds of the span.
    fn event(self, at: i64, name: &str, attributes: impl IntoIterator<Item = KeyValue>) -> Self;
    fn link(self, trace: u64, span: char, attributes: impl IntoIterator<Item = KeyValue>) -> Self;
    fn scope(self, name: &str, version: &str, of: impl IntoIterator<Item = KeyValue>) -> Self;
}

impl With for Sent {
    fn with(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.span.attributes.extend(attributes);
        self
    }

    fn from(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.resource.attributes.extend(attributes);
        self
    }

    fn code(mut self, code: i32, message: &str) -> Self {
        self.span.status = Some(Status { code, message: message.to_owned() });
        self
    }

    fn event(mut self, at: i64, name: &str, of: impl IntoIterator<Item = KeyValue>) -> Self {
        let start = self.span.start_time_unix_nano;
        self.span.events.push(Event {
            time_unix_nano: start.wrapping_add_signed(at * MILLI as i64),
            name: name.to_owned(),
            attributes: of.into_iter().collect(),
            ..Event::default()
        });
        self
    }

    fn link(mut self, trace: u64, span: char, of: impl IntoIterator<Item = KeyValue>) -> Self {
        self.span.links.push(Link {
            trace_id: trace_id(trace).0.to_vec(),
            span_id: u64::from(span).to_be_bytes().to_vec(),
            attributes: of.into_iter().collect(),
            ..Link::default()
        });
        self
    }

    fn scope(mut self, name: &str, version: &str, of: impl IntoIterator<Item = KeyValue>) -> Self {
        self.scope.name = name.to_owned();
        self.scope.version = version.to_owned();
        self.scope.attributes.extend(of);
        self
    }
}

pub fn all() -> Vec<Sent> {
    let parts =
        [shop(), worker(), headless(), circles(), shared(), typed(), places(), words(), untimed()];
    let more = [codes(), events(), links(), deep(), solo(), sums(), groups()];
    parts.into_iter().chain(more).flatten().collect()
}

/// An ordinary trace of two services.
///
/// ```text
/// a web     GET /checkout
///   b web     call cart
///     c cart    Cart.Get
///       d cart    db query, failed
///   e web     publish
///   f web     pay
/// ```
fn shop() -> Vec<Sent> {
    let web = |sent: Sent| sent.from([text("region", "eu"), int("pods", 3)]);
    let a = span("1 a", "web", 2, "GET /checkout", (0, 1_000))
        .code(1, "")
        .scope("http-lib", "1.2.0", [text("flavour", "std")])
        .with([text("http.method", "GET"), int("http.status_code", 200), int("size", 1_000)])
        .with([float("ratio", 0.5), truth("cached", false), truth("sampled", true)]);
    let b = span("1ab", "web", 3, "call cart", (100, 500))
        .scope("http-lib", "1.2.0", [text("flavour", "std")])
        .with([text("peer", "cart"), text("http.method", "POST"), int("http.status_code", 503)]);
    let c = span("1bc", "cart", 2, "Cart.Get", (150, 450))
        .code(1, "")
        .from([text("region", "us")])
        .scope("rpc-lib", "0.9", [])
        .with([list("items", vec![word("apple"), word("pear")])])
        .with([list("counts", vec![Value::IntValue(1), Value::IntValue(2)])]);
    let d = span("1cd", "cart", 1, "db query", (200, 300))
        .code(2, "timeout after 100ms")
        .from([text("region", "us")])
        .with([text("db.system", "redis"), int("retries", 2), float("ratio", 1.5)])
        .event(10, "exception", [text("exception.type", "Timeout"), int("n", 1)])
        .event(50, "log", [text("level", "warn"), int("n", 2)]);
    let e = span("1ae", "web", 4, "publish", (600, 700)).link(2, 'a', [text("why", "follows")]);
    let f = span("1af", "web", 3, "pay", (700, 950)).with([float("amount", 12.5)]);
    vec![web(a), web(b), c, d, web(e), web(f)]
}

/// Starts from the shop's message.
fn worker() -> Vec<Sent> {
    let a = span("2 a", "worker", 5, "consume", (0, 200)).link(1, 'e', [text("why", "from")]);
    let b = span("2ab", "worker", 1, "pay", (10, 60)).code(2, "boom").with([int("retries", 0)]);
    let c = span("2ac", "worker", 1, "pay", (70, 190)).code(1, "").with([int("retries", 1)]);
    vec![a, b, c]
}

/// The root never came: `z` and `y` are missing.
fn headless() -> Vec<Sent> {
    vec![
        span("3za", "api", 2, "top", (5, 50)),
        span("3ab", "api", 1, "below", (10, 40)),
        span("3yc", "cart", 1, "left", (20, 30)).code(2, ""),
        span("3yd", "cart", 1, "right", (25, 35)),
        span("3de", "cart", 1, "below", (26, 30)),
    ]
}

/// `a` and `b` are each other's parents, `c` hangs on them, `d` names itself.
fn circles() -> Vec<Sent> {
    vec![
        span("4ba", "api", 1, "one", (0, 10)),
        span("4ab", "api", 1, "two", (1, 10)),
        span("4bc", "api", 1, "tail", (2, 10)),
        span("4dd", "api", 1, "self", (3, 10)),
    ]
}

/// Client and server under one id, with children of both; the server's name is `a2`.
fn shared() -> Vec<Sent> {
    vec![
        span("5 a", "web", 3, "a1", (0, 100)),
        span("5aa", "cart", 2, "a2", (10, 90)),
        span("5ab", "cart", 1, "work", (20, 30)),
        span("5ac", "cart", 3, "call", (30, 80)),
        span("5cd", "stock", 2, "serve", (40, 70)),
    ]
}

/// One attribute of every type.
fn typed() -> Vec<Sent> {
    let v = |at: &str, of: Vec<KeyValue>| span(at, "typed", 1, "v", (0, 10)).with(of);
    let three = Value::ArrayValue(ArrayValue::default());
    let map = Value::KvlistValue(KeyValueList { values: vec![int("v", 5)] });
    vec![
        v("6 a", vec![int("v", 5)]),
        v("6ab", vec![float("v", 5.0)]),
        v("6ac", vec![text("v", "5")]),
        v("6ad", vec![truth("v", true)]),
        v("6ae", vec![list("v", vec![Value::IntValue(5), word("x")])]),
        v("6af", vec![value("v", Some(Value::BytesValue(vec![5])))]),
        v("6ag", vec![value("v", Some(three))]),
        v("6ah", vec![]),
        v("6ai", vec![int("v", -1)]),
        v("6aj", vec![float("v", f64::NAN)]),
        v("6ak", vec![text("v", "")]),
        v("6al", vec![value("v", Some(map))]),
        v("6am", vec![float("v", 0.5)]),
        v("6an", vec![int("v", i64::MAX)]),
        v("6ao", vec![truth("v", false)]),
        v("6ap", vec![list("v", vec![Value::BoolValue(true), Value::DoubleValue(7.5)])]),
    ]
}

/// One key in every place.
fn places() -> Vec<Sent> {
    let k = |of: &str| text("k", of);
    vec![
        span("7 a", "one", 1, "k", (0, 10)).with([k("span")]).from([k("res")]),
        span("7ab", "one", 1, "k", (1, 10)).from([k("res")]),
        span("7ac", "two", 1, "k", (2, 10)).event(1, "", [k("ev1")]).event(2, "", [k("ev2")]),
        span("7ad", "two", 1, "k", (3, 10)).link(1, 'a', [k("ln")]),
        span("7be", "two", 1, "k", (4, 10)).scope("lib", "", [k("in")]),
        span("7bf", "two", 1, "k", (5, 10)),
        span("7cg", "two", 1, "k", (6, 10)).with([int("k", 1)]).event(1, "", [k("ev1")]),
        span("7dh", "two", 1, "k", (7, 10)).event(1, "", [text("j", "x")]).link(1, 'a', [k("ln")]),
    ]
}

/// Letters of all kinds in names, keys and values.
fn words() -> Vec<Sent> {
    vec![
        span("8 a", "Über", 1, "", (0, 10)),
        span("8ab", "Über", 1, "größe ☕", (1, 10))
            .with([text("ключ", "значение"), text("with space", "x y"), int("a.b-c", 1)])
            .with([text("quo\"te", "q"), text("5", "digit"), text("lines", "one\ntwo")]),
        span("8ac", "Über", 1, "UPPER", (2, 10)).code(2, "Überlast").with([text("with.dot", "")]),
        span("8ad", "Über", 1, "upper", (3, 10)).with([text("name", "attribute")]),
    ]
}

/// Times that cannot be.
fn untimed() -> Vec<Sent> {
    let at = base(9);
    vec![
        span("9 a", "clock", 1, "zero", (0, 0)).times(0, 0),
        span("9ab", "clock", 1, "from zero", (0, 0)).times(0, 3 * SECOND),
        span("9ac", "clock", 1, "usual", (0, 5_000)),
        span("9ad", "clock", 1, "backwards", (0, 0)).times(at + 2 * SECOND, at + SECOND),
    ]
}

/// Every kind and status, and numbers that mean none.
fn codes() -> Vec<Sent> {
    let of = |at: &str, kind: i32, code: i32| {
        span(at, "codes", kind, "code", (0, 10)).code(code, if code == 2 { "bad" } else { "" })
    };
    vec![
        of("10 a", 0, 0),
        of("10ab", 1, 1),
        of("10ac", 2, 2),
        of("10ad", 3, 0),
        of("10ae", 4, 1),
        of("10af", 5, 2),
        of("10ag", 9, 0),
        of("10ah", -1, 7),
    ]
}

/// What holds for one event, and what for several together.
fn events() -> Vec<Sent> {
    let s = |at: &str| span(at, "eventful", 1, "ev", (0, 10));
    let xy = |x: i64, y: i64| [int("x", x), int("y", y)];
    vec![
        s("11 a").event(0, "e1", xy(1, 1)).event(1, "e2", xy(2, 2)),
        s("11ab").event(2, "e1", xy(1, 2)),
        s("11ac").event(1, "e1", [int("x", 1)]).event(3, "e2", [int("y", 2)]),
        s("11ad"),
        s("11ae").event(0, "", [list("x", vec![Value::IntValue(1), Value::IntValue(9)])]).event(
            4,
            "e3",
            [text("x", "1")],
        ),
        s("11af").event(-5, "early", [truth("flag", true)]),
        s("11ag").event(0, "e1", [truth("flag", false)]).with([int("x", 1)]),
    ]
}

fn links() -> Vec<Sent> {
    let s = |at: &str| span(at, "linked", 1, "ln", (0, 10));
    let mut nowhere = s("12ab").link(1, 'a', [int("w", 1)]);
    nowhere.span.links[0].trace_id.clear();
    nowhere.span.links[0].span_id.clear();
    vec![
        s("12 a").link(1, 'b', [int("w", 1)]).link(2, 'a', [int("w", 2)]),
        nowhere,
        s("12ac"),
        s("12ad").link(1, 'a', [int("w", 2)]),
        s("12be").link(12, 'e', [int("w", 3)]).event(0, "e1", [int("w", 3)]),
    ]
}

/// A chain of six with leaves below the third.
///
/// ```text
/// a - b - c - d - e - f
///          \- g
///          \- h
/// ```
fn deep() -> Vec<Sent> {
    let s = |at: &str, service: &str, n: i64| {
        let start = n as u64 * 10;
        span(at, service, 1, &format!("step {n}"), (start, 100)).with([int("n", n)])
    };
    vec![
        s("13 a", "up", 1),
        s("13ab", "down", 2),
        s("13bc", "up", 3),
        s("13cd", "down", 4),
        s("13de", "up", 5),
        s("13ef", "down", 6).code(2, ""),
        s("13cg", "up", 7),
        s("13ch", "down", 8).code(2, ""),
    ]
}

fn solo() -> Vec<Sent> {
    vec![span("14 a", "solo", 0, "long", (0, 2 * 3_600_000)).without_service()]
}

/// For arithmetic.
fn sums() -> Vec<Sent> {
    let s = |at: &str, of: Vec<KeyValue>| span(at, "sums", 1, "sum", (0, 10)).with(of);
    vec![
        s("15 a", vec![int("p", 7), int("q", 2)]),
        s("15ab", vec![int("p", 7), int("q", 0)]),
        s("15ac", vec![float("p", 7.0), float("q", 0.0)]),
        s("15ad", vec![int("p", i64::MAX), int("q", 1)]),
        s("15ae", vec![int("p", -7), int("q", 2)]),
        s("15af", vec![int("p", 7)]),
        s("15ag", vec![text("p", "7"), int("q", 7)]),
        s("15ah", vec![list("p", vec![Value::IntValue(7)]), int("q", 7)]),
        s("15ai", vec![int("p", 10_000_000), int("q", 3)]),
    ]
}

/// For groups and aggregates.
fn groups() -> Vec<Sent> {
    let s = |at: &str, end: u64, of: Vec<KeyValue>| span(at, "groups", 1, "g", (0, end)).with(of);
    vec![
        s("16 a", 100, vec![text("zone", "x"), int("m", 1)]),
        s("16ab", 20, vec![text("zone", "x"), int("m", 2)]),
        s("16ac", 30, vec![text("zone", "y"), int("m", 3)]),
        s("16ad", 40, vec![text("zone", "y"), float("m", 4.5)]),
        s("16ae", 50, vec![int("m", 5)]),
        s("16af", 60, vec![text("zone", "x"), text("m", "none")]),
        s("16ag", 70, vec![int("zone", 1)]),
        s("16ah", 80, vec![int("zone", 1), float("m", f64::NAN)]),
    ]
}
