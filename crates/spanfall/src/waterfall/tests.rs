//! Pictures of small traces.

use bytes::Bytes;
use insta::assert_snapshot;
use model::SpanBatch;

use super::{Options, draw};
use crate::printer::Paint;

/// 2023-11-14T22:13:20Z.
const T: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;

const PLAIN: Options =
    Options { width: 80, paint: Paint::PLAIN, ascii: false, attributes: false, depth: None };

/// A span: id, parent's id, service, name, start and end in ms after [`T`], fields as JSON.
type Of<'a> = (u8, u8, &'a str, &'a str, u64, u64, &'a str);

fn trace(spans: &[Of<'_>]) -> SpanBatch {
    let resources: Vec<String> = spans
        .iter()
        .map(|(id, parent, service, name, start, end, more)| {
            let time = |time: &u64| if *time < T / 2 { T + time * MS } else { time - T };
            let parent = if *parent == 0 { String::new() } else { format!("{parent:016x}") };
            format!(
                r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
                "scopeSpans":[{{"spans":[{{"traceId":"{:032x}","spanId":"{id:016x}",
                "parentSpanId":"{parent}","name":"{name}","startTimeUnixNano":"{}",
                "endTimeUnixNano":"{}"{more}}}]}}]}}"#,
                0xabc, time(start), time(end)
            )
        })
        .collect();
    let json = format!(r#"{{"resourceSpans":[{}]}}"#, resources.join(","));
    let batch =
        SpanBatch::decode(Bytes::from(model::json::decode(json.as_bytes()).unwrap())).unwrap();
    assert_eq!(batch.len(), spans.len());
    batch
}

/// A time as it stands, not in ms after [`T`].
const fn exactly(nanos: u64) -> u64 {
    T + nanos
}

fn picture(spans: &[Of<'_>], options: Options) -> String {
    let mut out = Vec::new();
    draw(&trace(spans), options, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in text.lines() {
        assert_eq!(line.trim_end(), line);
    }
    text
}

const ERROR: &str = r#","status":{"code":2}"#;

const SHOP: &[Of<'_>] = &[
    (1, 0, "frontend", "POST /orders", 0, 100, ""),
    (2, 1, "checkout", "place order", 5, 90, ""),
    (3, 2, "payment", "charge", 20, 60, ERROR),
    (4, 2, "email", "send", 61, 62, ""),
    (5, 1, "frontend", "render", 91, 99, ""),
];

#[test]
fn a_tree_with_an_error() {
    assert_snapshot!(picture(SHOP, PLAIN), @r#"
    frontend: POST /orders
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    5 spans, 1 error, 4 services: frontend 2, checkout 1, email 1, payment 1 ✖1

                            0                                         100ms
    frontend POST /orders   ███████████████████████████████████████████████  100ms
    ├─ checkout place order   ████████████████████████████████████████▍     85.0ms
    │  ├─ payment charge             ▐██████████████████▎                   40.0ms ✖
    │  └─ email send                                    ▐▎                  1.00ms
    └─ frontend render                                                ▕███▋ 8.00ms
    "#);
}

#[test]
fn in_ascii() {
    assert_snapshot!(picture(SHOP, Options { ascii: true, ..PLAIN }), @r#"
    frontend: POST /orders
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    5 spans, 1 error, 4 services: frontend 2, checkout 1, email 1, payment 1 x1

                            0                                         100ms
    frontend POST /orders   ===============================================  100ms
    |- checkout place order   =========================================     85.0ms
    |  |- payment charge             ====================                   40.0ms x
    |  `- email send                                    ==                  1.00ms
    `- frontend render                                                ===== 8.00ms
    "#);
}

#[test]
fn down_to_a_depth() {
    assert_snapshot!(picture(SHOP, Options { depth: Some(2), ..PLAIN }), @r#"
    frontend: POST /orders
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    5 spans, 1 error, 4 services: frontend 2, checkout 1, email 1, payment 1 ✖1

                               0                                      100ms
    frontend POST /orders      ████████████████████████████████████████████  100ms
    ├─ checkout place order +2   █████████████████████████████████████▋     85.0ms
    └─ frontend render                                                 ███▋ 8.00ms

    + 2 spans below this depth; leave out --depth to see all
    "#);
}

#[test]
fn orphans_without_a_root() {
    let spans = [
        (2, 9, "cart", "add", 5, 90, ""),
        (3, 2, "db", "INSERT", 20, 60, ""),
        (4, 8, "email", "send", 61, 62, ""),
    ];
    assert_snapshot!(picture(&spans, PLAIN), @r#"
    root missing; earliest: cart: add
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.005Z for 85.0ms
    3 spans, 0 errors, 3 services: cart 1, db 1, email 1

                 0                                                   85.0ms
    ? cart add   ██████████████████████████████████████████████████████████ 85.0ms
    └─ db INSERT           ███████████████████████████▋                     40.0ms
    ? email send                                       █                    1.00ms

    ? 2 spans have parents that are not stored
    "#);
}

#[test]
fn a_circle_of_parents() {
    let spans = [
        (2, 3, "cart", "add", 5, 90, ""),
        (3, 2, "db", "INSERT", 20, 60, ""),
        (4, 3, "email", "send", 1, 62, ""),
    ];
    assert_snapshot!(picture(&spans, PLAIN), @r#"
    root missing; earliest: email: send
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.001Z for 89.0ms
    3 spans, 0 errors, 3 services: cart 1, db 1, email 1

                     0                                               89.0ms
    @ cart add         ▐███████████████████████████████████████████████████ 85.0ms
    └─ db INSERT                ▐███████████████████████▉                   40.0ms
       └─ email send █████████████████████████████████████▏                 61.0ms

    @ 1 circle of parents was cut at the earliest span
    "#);
}

#[test]
fn absurd_times() {
    let far = exactly(u64::MAX / 2 - 1);
    let spans = [
        (1, 0, "a", "fine", 0, 100, ""),
        (2, 1, "a", "ends before it starts", 50, 40, ""),
        (3, 1, "a", "no times", exactly(0), exactly(0), ""),
        (4, 1, "a", "no end", 60, exactly(0), ""),
        (5, 1, "a", "1970", exactly(5), exactly(10), ""),
        (6, 1, "a", "a moment", 70, 70, ""),
        (7, 1, "a", "far away", far, far, ""),
        (8, 1, "a", "ends far away", 80, far, ""),
    ];
    assert_snapshot!(picture(&spans, PLAIN), @r#"
    a: fine
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    8 spans, 0 errors, 1 service: a 8

                               0                                  100ms
    a fine                     ████████████████████████████████████████      100ms
    ├─ a 1970                  started 1970-01-01T00:00:00.000Z                5ns
    ├─ a ends before it starts                     ▏                       -10.0ms
    ├─ a no end                                        ▏                    no end
    ├─ a a moment                                          ▏                   0ns
    ├─ a ends far away                                         ████████ 87076d 01h
    ├─ a far away              started 2262-04-11T23:47:16.854Z                0ns
    └─ a no times              no start time                                     ?
    "#);
    let spans = [(1, 0, "a", "no times", exactly(0), exactly(0), "")];
    assert_snapshot!(picture(&spans, PLAIN), @r#"
    a: no times
    trace 00000000000000000000000000000abc  at an unknown time
    1 span, 0 errors, 1 service: a 1

    a no times no start time                                                     ?
    "#);
}

#[test]
fn wide_and_long_names() {
    let spans = [
        (1, 0, "注文サービス", "注文を処理する", 0, 10, ""),
        (
            2,
            1,
            "a-service-with-quite-a-long-name",
            "an operation with a rather long name too",
            2,
            9,
            "",
        ),
        (3, 1, "s", "\\u001b[31mred\\nline", 3, 4, ""),
        (4, 1, "", "no service", 3, 4, ""),
        (5, 1, "no-name", "", 3, 4, ""),
    ];
    assert_snapshot!(picture(&spans, PLAIN), @r#"
    注文サービス: 注文を処理する
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 10.0ms
    5 spans, 0 errors, 5 services: (no service.name) 1, a-service-with-quite-a-long-name 1, no-name 1, s 1, 注文サービス 1

                                           0                         10.0ms
    注文サービス 注文を処理する            ████████████████████████████████ 10.0ms
    ├─ a-service-with-q… an operation wit…       ▐█████████████████████▉    7.00ms
    ├─ s �[31mred line                              ▐██▉                    1.00ms
    ├─ no service                                   ▐██▉                    1.00ms
    └─ no-name                                      ▐██▉                    1.00ms
    "#);
}

#[test]
fn a_bar_of_one_column() {
    let narrow = Options { width: 24, ..PLAIN };
    assert_snapshot!(picture(SHOP, narrow), @r#"
    frontend: POST /orders
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    5 spans, 1 error, 4 services: frontend 2, checkout 1, email 1, payment 1 ✖1

    front… POST… ██  100ms
    ├─ che… pla… █▉ 85.0ms
    │  ├─ pa… c… ▐▎ 40.0ms ✖
    │  └─ em… s…  ▏ 1.00ms
    └─ fro… ren…  ▕ 8.00ms
    "#);
    let far_too_narrow = Options { width: 1, ..PLAIN };
    assert_snapshot!(picture(&SHOP[..1], far_too_narrow), @r#"
    frontend: POST /orders
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    1 span, 0 errors, 1 service: frontend 1

     █ 100ms
    "#);
}

#[test]
fn deep_nesting() {
    let spans: Vec<Of<'_>> = (1..=12)
        .map(|id| (id, id - 1, "s", "step", u64::from(id), 24 - u64::from(id), ""))
        .collect();
    let attribute = r#","attributes":[{"key":"k","value":{"intValue":7}}]"#;
    let mut spans = spans;
    spans[10].6 = attribute;
    assert_snapshot!(picture(&spans, Options { attributes: true, ..PLAIN }), @r#"
    s: step
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.001Z for 22.0ms
    12 spans, 0 errors, 1 service: s 12

                             0                                       22.0ms
    s step                   ██████████████████████████████████████████████ 22.0ms
    │  span.id = 0000000000000001
    └─ s step                  ██████████████████████████████████████████   20.0ms
       │  span.id = 0000000000000002
       └─ s step                 █████████████████████████████████████▉     18.0ms
          │  span.id = 0000000000000003
          └─ s step                █████████████████████████████████▊       16.0ms
             │  span.id = 0000000000000004
             └─ s step               █████████████████████████████▊         14.0ms
                │  span.id = 0000000000000005
                └─ s step              ▐████████████████████████▋           12.0ms
                   │  span.id = 0000000000000006
                   └─ s step             ▐████████████████████▌             10.0ms
                      │  span.id = 0000000000000007
    …7 └─ s step                           ▐████████████████▍               8.00ms
          │  span.id = 0000000000000008
    …8 └─ s step                             ▐████████████▍                 6.00ms
          │  span.id = 0000000000000009
    …9 └─ s step                               ▕████████▎                   4.00ms
          │  span.id = 000000000000000a
    …10 └─ s step                                ▕████▏                     2.00ms
           │  span.id = 000000000000000b
           │  k = 7
    …11 └─ s step                                   ▏                          0ns
              span.id = 000000000000000c
    "#);
}

#[test]
fn attributes_events_and_links() {
    let more = r#","kind":3,"status":{"code":2,"message":"card declined"},"attributes":[
        {"key":"http.route","value":{"stringValue":"/pay"}},
        {"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":"2"}]}}},
        {"key":"text","value":{"stringValue":"one\r\n  two"}},
        {"key":"empty","value":{"stringValue":""}}],
        "droppedAttributesCount":3,
        "events":[{"timeUnixNano":"1700000000030000000","name":"exception","attributes":[
            {"key":"exception.stacktrace","value":{"stringValue":"at a\n\tat b"}}]},
            {"timeUnixNano":"1699999999999000000","name":"early"}],
        "links":[{"traceId":"000000000000000000000000000000ff","spanId":"00000000000000ee",
            "attributes":[{"key":"why","value":{"boolValue":true}}]}]"#;
    let spans = [
        (1, 0, "frontend", "POST /orders", 0, 100, ""),
        (2, 1, "payment", "charge", 20, 60, more),
        (3, 1, "email", "send", 61, 62, ""),
    ];
    assert_snapshot!(picture(&spans, Options { attributes: true, ..PLAIN }), @r#"
    frontend: POST /orders
    trace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms
    3 spans, 1 error, 3 services: email 1, frontend 1, payment 1 ✖1

                          0                                           100ms
    frontend POST /orders █████████████████████████████████████████████████  100ms
    │  span.id = 0000000000000001
    ├─ payment charge              ▕███████████████████▌                    40.0ms ✖
    │     span.id = 0000000000000002
    │     kind = client
    │     status = card declined
    │     http.route = /pay
    │     tags = ["a",2]
    │     text =
    │         one
    │           two
    │     empty =
    │     • exception +10.0ms
    │       exception.stacktrace =
    │           at a
    │            at b
    │     • early -21.0ms
    │     → trace 000000000000000000000000000000ff span 00000000000000ee
    │       why = true
    │     3 attributes were dropped by the sender
    └─ email send                                      ▕▌                   1.00ms
          span.id = 0000000000000003
    "#);
}

#[test]
fn colors_are_stable() {
    let options = Options { paint: Paint { color: true }, ..PLAIN };
    assert_snapshot!(picture(&SHOP[..1], options).escape_debug(), @r#"
    \u{1b}[1mfrontend: POST /orders\u{1b}[0m\ntrace 00000000000000000000000000000abc  2023-11-14T22:13:20.000Z for 100ms\n1 span, 0 errors, 1 service: \u{1b}[38;5;150mfrontend\u{1b}[0m 1\n\n\u{1b}[2m                      0                                            100ms\u{1b}[0m\n\u{1b}[38;5;150mfrontend\u{1b}[0m POST /orders \u{1b}[38;5;150m██████████████████████████████████████████████████\u{1b}[0m 100ms\n
    "#);
}

#[test]
fn many_spans_fit_the_width() {
    let batch = SpanBatch::decode(Bytes::from(loadgen::sample_trace(7, T))).unwrap();
    for width in [30, 40, 79, 100, 250] {
        let mut out = Vec::new();
        draw(&batch, Options { width, ..PLAIN }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.split("\n\n").nth(1).unwrap().lines().collect();
        assert!(rows.len() >= batch.len());
        for row in rows {
            assert!(crate::text::columns(row) <= width, "{width}: {row}");
        }
    }
}
