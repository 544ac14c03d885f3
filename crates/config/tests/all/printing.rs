//! A document as text.

use config::{Format, Reader, Secrets, print};

use crate::settings;
use crate::world::World;

const CONFIG: &str = r#"
receivers:
  tester:
    password: ${env:PASSWORD}
    endpoint: http://user:hunter2@localhost/x@y
    headers: {Authorization: Bearer hunter2, X-Other: hunter2}
    labels: {token: seen, "a key": "a: b"}
    size: 0x10
    ratio: 1.0
    timeout: "1"
    hosts: ["yes", "", " x ", "a#b", "127.0.0.1:80", "2001-01-01", "$${x}", "$x", "€", "l\n\t\"\\"]
    nested: [[1, [2]], {a: {}, b: []}, null, [{c: 1, d: 2}]]
    number: ${env:NUMBER}
  tester/token:
    headers: [{name: X, value: hunter2}]
exporters:
  otlp_grpc:
    endpoint: ${env:ENDPOINT}
    auth: {client_secret: hunter2, token_file: /run/token, api_key: "${env:PASSWORD}"}
    headers: {api: hunter2}
service:
  pipelines:
    traces/token: {receivers: [tester, tester/token], exporters: [otlp_grpc]}
"#;

fn world() -> World {
    let world = World::of(CONFIG).with("PASSWORD", "hunter2");
    world.with("ENDPOINT", "localhost:4317").with("NUMBER", "0017")
}

#[test]
fn secrets_are_redacted_unless_asked_for() {
    let (document, mut diagnostics) = world().load();
    for component in &document.receivers {
        settings::read(&mut Reader::of(component, &mut diagnostics));
    }
    let yaml = print(&document, &diagnostics, Format::Yaml, Secrets::Redacted);
    let json = print(&document, &diagnostics, Format::Json, Secrets::Redacted);
    assert!(!yaml.contains("hunter2") && !json.contains("hunter2"), "{yaml}{json}");
    assert!(yaml.contains("token_file: /run/token"), "{yaml}");
    insta::assert_snapshot!(yaml);
    serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
    let shown = print(&document, &diagnostics, Format::Yaml, Secrets::Shown);
    assert_eq!(shown.matches("hunter2").count(), 8, "{shown}");
    assert!(shown.contains("number: 0017"), "{shown}");
}

#[test]
fn what_a_reader_took_as_a_secret_is_one_whatever_its_key() {
    let (document, mut diagnostics) = World::of("receivers: {tester: {phrase: hunter2}}").load();
    let printed = |diagnostics: &_| print(&document, diagnostics, Format::Yaml, Secrets::Redacted);
    assert!(printed(&diagnostics).contains("hunter2"));
    let mut reader = Reader::of(&document.receivers[0], &mut diagnostics);
    reader.field("phrase").secret();
    reader.finish();
    assert!(!printed(&diagnostics).contains("hunter2"));
}

#[test]
fn what_was_read_as_text_is_printed_as_text() {
    for (value, printed) in [
        ("${env:A}", "phrase: \"0123\""),
        ("${env:B}", "phrase: \"true\""),
        ("x${env:A}", "phrase: x0123"),
        ("http://x/?token=hunter2&a=b", "phrase: \"http://x/?token=[REDACTED]&a=b\""),
        ("http://me:hunter2@x?a", "phrase: \"http://me:[REDACTED]@x?a\""),
    ] {
        let world = World::of(format!("receivers: {{tester: {{phrase: '{value}'}}}}"));
        let world = world.with("A", "0123").with("B", "true");
        let (document, mut diagnostics) = world.load();
        let mut reader = Reader::of(&document.receivers[0], &mut diagnostics);
        assert!(reader.field("phrase").string().is_some());
        reader.finish();
        let text = print(&document, &diagnostics, Format::Yaml, Secrets::Redacted);
        assert!(text.contains(printed), "{text}");
    }
}

#[test]
fn what_is_printed_is_read_again_as_the_same() {
    let (document, diagnostics) = world().load();
    for format in [Format::Yaml, Format::Json] {
        let text = print(&document, &diagnostics, format, Secrets::Shown);
        let (again, said) = World::of(&text).load();
        assert!(!said.has_errors(), "{text}\n{}", said.render(false));
        assert_eq!(again, document, "{text}");
    }
}

#[test]
fn keys_may_be_long() {
    let key = "k".repeat(5000);
    let text = format!("receivers:\n  tester:\n    - ? {key}\n      : [{{a: b}}]\n    - x\n");
    let (document, diagnostics) = World::of(&text).load();
    let printed = print(&document, &diagnostics, Format::Yaml, Secrets::Shown);
    assert!(printed.contains(&key), "{}", diagnostics.render(false));
    assert_eq!(World::of(&printed).load().0, document, "{printed}");
}

#[test]
fn numbers_that_are_none() {
    let (document, diagnostics) = World::of("receivers: {a: [.nan, .inf, -.inf]}").load();
    for format in [Format::Yaml, Format::Json] {
        let printed = print(&document, &diagnostics, format, Secrets::Shown);
        assert!(printed.contains(".nan") && printed.contains("-.inf"), "{printed}");
    }
}

#[test]
fn a_document_of_nothing() {
    let (document, diagnostics) = World::default().load();
    assert_eq!(print(&document, &diagnostics, Format::Yaml, Secrets::Shown), "\n");
}

#[test]
fn keys_that_are_secret_without_a_reader() {
    let text = "
processors: {redaction: {hmac_key: hunter2}}
extensions: {basicauth: {htpasswd: {inline: 'me:hunter2'}}}
";
    let (document, diagnostics) = World::of(text).load();
    let printed = print(&document, &diagnostics, Format::Yaml, Secrets::Redacted);
    assert!(!printed.contains("hunter2"), "{printed}");
}

/// A password of digits is a number, which is reported without its line.
#[test]
fn a_secret_of_the_wrong_type_is_not_shown() {
    let text = "receivers:\n  tester:\n    password: 123456\n";
    let (document, mut diagnostics) = World::of(text).load();
    settings::read(&mut Reader::of(&document.receivers[0], &mut diagnostics));
    let report = diagnostics.render(false) + &diagnostics.json_lines();
    assert!(report.contains("'password' expected type 'string'"), "{report}");
    assert!(!report.contains("123456"), "{report}");
}
