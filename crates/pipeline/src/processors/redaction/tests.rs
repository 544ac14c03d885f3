use config::Secret;
use model::wire::{put_bytes_field, put_message, put_varint_field};

use super::*;
use crate::processors::testing::Plain::{Int, Text};
use crate::processors::testing::{attributes, names, one};

fn patterns(patterns: &[&str]) -> Vec<Regex> {
    patterns.iter().map(|pattern| Regex::new(pattern).unwrap()).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn all() -> Settings {
    Settings { allow_all_keys: true, ..Settings::default() }
}

#[test]
fn what_must_not_leave_does_not() {
    let before = || {
        vec![
            ("card", Text("pay 4111 1111 1111 1111 now")),
            ("user.token", Text("abc")),
            ("mail", Text("to me@example.org")),
            ("number", Int(4_111_111_111_111_111)),
        ]
    };
    let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let md5 = "900150983cd24fb0d6963f7d28e17f72";
    let hmac = "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab";
    let token = || patterns(&["token$"]);
    let card = "card='pay 4111 1111 1111 1111 now'";
    let mail = "mail='to me@example.org'";
    let number = "number=4111111111111111";
    for (settings, after) in [
        (all(), format!("{card} user.token='abc' {mail} {number}")),
        (Settings::default(), String::new()),
        (
            Settings { allowed_keys: texts(&["mail", "number"]), ..Settings::default() },
            format!("{mail} {number}"),
        ),
        (Settings { ignored_keys: texts(&["card"]), ..Settings::default() }, card.to_owned()),
        (
            Settings { blocked_key_patterns: token(), ..all() },
            format!("{card} user.token='****' {mail} {number}"),
        ),
        (
            Settings { blocked_key_patterns: token(), hashing: Some(Hashing::Sha1), ..all() },
            format!("{card} user.token='{sha1}' {mail} {number}"),
        ),
        (
            Settings { blocked_key_patterns: token(), hashing: Some(Hashing::Md5), ..all() },
            format!("{card} user.token='{md5}' {mail} {number}"),
        ),
        (
            Settings {
                blocked_key_patterns: token(),
                hashing: Some(Hashing::HmacSha256(Secret::new("key"))),
                ..all()
            },
            format!("{card} user.token='{hmac}' {mail} {number}"),
        ),
        (
            Settings { blocked_values: patterns(&["[0-9]{4}"]), ..all() },
            format!("card='pay **** **** **** **** now' user.token='abc' {mail} {number}"),
        ),
        (
            Settings { blocked_values: patterns(&["[0-9]{4}"]), redact_all_types: true, ..all() },
            format!(
                "card='pay **** **** **** **** now' user.token='abc' {mail} \
                 number='****************'"
            ),
        ),
        (
            Settings {
                blocked_values: patterns(&["[0-9]{4}"]),
                allowed_values: patterns(&["^pay"]),
                ..all()
            },
            format!("{card} user.token='abc' {mail} {number}"),
        ),
        (
            Settings { presets: vec![Preset::CreditCard, Preset::Email], ..all() },
            format!("card='pay **** now' user.token='abc' mail='to ****' {number}"),
        ),
        (
            Settings {
                allowed_keys: texts(&["card", "user.token", "number"]),
                blocked_key_patterns: token(),
                ignored_key_patterns: patterns(&["^num"]),
                summary: Summary::Debug,
                ..Settings::default()
            },
            format!(
                "{card} user.token='****' {number} redaction.redacted.keys='mail' \
                 redaction.redacted.count=1 redaction.masked.keys='user.token' \
                 redaction.masked.count=1 redaction.ignored.count=1"
            ),
        ),
    ] {
        let mut batch = one(before());
        Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        assert_eq!(attributes(&batch, Owner::Span(0)), after, "{settings:?}");
    }
}

#[test]
fn a_card_has_the_right_check_digit() {
    let settings = Settings { presets: vec![Preset::CreditCard, Preset::Email], ..all() };
    let redaction = Redaction::new(settings).unwrap();
    for (text, masked) in [
        ("4111111111111111", "****"),
        ("4111111111111112", "4111111111111112"),
        ("5500-0000-0000-0004", "****"),
        ("order 1234567890123", "order 1234567890123"),
        ("4111 1111 1111 1111 12/26", "**** 12/26"),
        ("4111111111111111 123", "**** 123"),
        ("order 12 4111111111111111", "order 12 ****"),
        ("2 5500-0000-0000-0004 4111111111111111 7", "2 **** **** 7"),
        // Two that run into each other are none.
        ("41111111111111114111111111111111", "41111111111111114111111111111111"),
        ("a4111111111111111", "a4111111111111111"),
        ("a4111 1111111111111111 1", "a4111 1111111111111111 1"),
        ("4111111111111111x", "4111111111111111x"),
        ("PAN4111111111111111", "PAN****"),
        ("é4111111111111111", "é****"),
        ("id1x4111111111111111", "id1x4111111111111111"),
        ("0x4111111111111111", "0x4111111111111111"),
        ("%22PAN4111111111111111", "%22PAN****"),
        // Of each issuer.
        ("4222222222222 4111111111111111110", "**** ****"),
        ("2223000048410010 3782 822463 10005 3056 930902 5904", "**** **** ****"),
        ("36070500001004, 3530111333300000", "****, ****"),
        ("6240000000000007 6759649826438453 5018123456789", "**** **** ****"),
        ("2200380195114459 6011111111111117", "**** ****"),
        // Right check digits that nobody gives out: times, numbers in order, phones, of any length.
        ("1732233600128 1732233600123459", "1732233600128 1732233600123459"),
        ("1732233600123456785", "1732233600123456785"),
        ("+49170123456786", "+49170123456786"),
        ("245315442323456785", "245315442323456785"),
        ("0000000000000000", "0000000000000000"),
        ("41111111111114", "41111111111114"),
        // Parts of decimal numbers.
        ("0.4111111111111111", "0.4111111111111111"),
        ("4111111111111111.5s", "4111111111111111.5s"),
        ("41111111.11111111", "41111111.11111111"),
        ("paid with 4111111111111111.", "paid with ****."),
        // However they are divided.
        ("4111.1111.1111.1111", "****"),
        ("4.1.11.1111.1111.1111", "4.1.11.1111.1111.1111"),
        ("4111_1111_1111_1111", "****"),
        ("4111  1111\u{a0}1111\t1111", "****"),
        ("4111\u{2011}1111\u{2013}1111 - 1111", "****"),
        ("card_4111111111111111_", "card_****_"),
        ("n=4111+1111+1111+1111&x", "n=****&x"),
        ("x1 4111111111111111", "x1 ****"),
        ("n=4111%201111%201111%201111&x", "n=****&x"),
        ("%22card%22%3A%224111111111111111%22", "%22card%22%3A%22****%22"),
        ("card%3D4111111111111111", "card%3D****"),
        ("D4111111111111111", "D4111111111111111"),
        ("a.b+c@mail.example.co.uk!", "****!"),
        ("@example", "@example"),
        ("q=me%40example.org&x", "q=****&x"),
        ("q=me%2540example.org&x", "q=****&x"),
        ("\"john doe\"@example.com, \"x\"", "****, \"x\""),
        ("to joe@[192.168.0.1], joe@[IPv6:2001:db8::1]", "to ****, ****"),
        ("list@[0]", "list@[0]"),
        ("o'neil@example.com 'me@example.org'", "**** '****'"),
        ("jörg@müller.example", "****"),
        ("jo\u{308}rg@mu\u{308}ller.example", "****"),
        ("संपर्क@डाटामेल.भारत", "****"),
        ("<me+tag@example.org>", "<****>"),
        ("me@localhost", "me@localhost"),
        ("at react@18.2.0/index.js", "at react@18.2.0/index.js"),
        ("", ""),
    ] {
        assert_eq!(redaction.masks.masked(text).as_deref().unwrap_or(text), masked);
    }
}

#[test]
fn urls_are_cut_down_to_what_many_have() {
    let before = || {
        vec![
            ("http.url", Text("https://shop.example/users/42?token=abc")),
            ("url.path", Text("/users/42")),
            ("note", Text("/users/42")),
            ("http.target", Int(42)),
        ]
    };
    let rest = "note='/users/42' http.target=42";
    let urls = || texts(&["http.url", "http.target"]);
    for (settings, name, after) in [
        (
            Settings { url_attributes: urls(), ..all() },
            "GET /cart/42",
            format!("http.url='https://shop.example/users/*' url.path='/users/42' {rest}"),
        ),
        (
            Settings { sanitizes_span_names: true, ..all() },
            "GET /cart/*",
            format!(
                "http.url='https://shop.example/users/42?token=abc' url.path='/users/42' {rest}"
            ),
        ),
        (
            Settings {
                url_attributes: urls(),
                blocked_values: patterns(&["shop"]),
                summary: Summary::Info,
                ..all()
            },
            "GET /cart/42",
            format!(
                "http.url='https://****.example/users/*' url.path='/users/42' {rest} \
                 redaction.masked.count=1"
            ),
        ),
        (
            Settings {
                url_attributes: texts(&["url.path"]),
                ignored_keys: texts(&["url.path"]),
                ..Settings::default()
            },
            "GET /cart/42",
            "url.path='/users/42'".to_owned(),
        ),
    ] {
        let mut batch = one(before());
        Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        assert_eq!(attributes(&batch, Owner::Span(0)), after, "{settings:?}");
        assert_eq!(names(&batch), [name], "{settings:?}");
    }
}

#[test]
fn a_key_is_not_printed() {
    let settings = Settings {
        hashing: Some(Hashing::HmacSha512(Secret::new("hunter2"))),
        ..Settings::default()
    };
    assert!(!format!("{settings:?}").contains("hunter2"));
}

/// An `AnyValue` of a text.
fn text_value(out: &mut Vec<u8>, text: &str) {
    put_bytes_field(out, 1, text.as_bytes());
}

/// A list of a text, a number and a map, with a field of a later version.
fn list(out: &mut Vec<u8>, text: &str) {
    put_message(out, 5, |out| {
        put_message(out, 1, |out| text_value(out, text));
        put_message(out, 1, |out| put_varint_field(out, 3, 7));
        put_message(out, 1, |out| {
            put_message(out, 6, |out| {
                model::encode_key_value(out, 1, b"in", |out| text_value(out, text));
            });
        });
        put_bytes_field(out, 9, b"later");
    });
}

/// A span that has this text wherever a span can have one, and its scope and resource.
fn full(text: &str) -> SpanBatch {
    let attribute = |out: &mut Vec<u8>, number| {
        model::encode_key_value(out, number, b"note", |out| text_value(out, text));
    };
    let state = format!("a=1,b={text},ot=th:8");
    let mut encoder = model::TracesEncoder::new();
    let (mut resource, mut scope) = (Vec::new(), Vec::new());
    attribute(&mut resource, 1);
    text_value(&mut scope, text);
    put_bytes_field(&mut scope, 2, text.as_bytes());
    attribute(&mut scope, 3);
    let place = encoder.origin(&resource, b"", &scope, b"");
    encoder.span(place, |out| {
        put_bytes_field(out, 1, &[1; 16]);
        put_bytes_field(out, 2, &[2; 8]);
        put_bytes_field(out, 3, state.as_bytes());
        put_bytes_field(out, 5, text.as_bytes());
        attribute(out, 9);
        model::encode_key_value(out, 9, b"list", |out| list(out, text));
        put_message(out, 11, |out| {
            put_bytes_field(out, 2, text.as_bytes());
            attribute(out, 3);
        });
        put_message(out, 13, |out| {
            put_bytes_field(out, 1, &[3; 16]);
            put_bytes_field(out, 2, &[4; 8]);
            put_bytes_field(out, 3, state.as_bytes());
            attribute(out, 4);
        });
        put_message(out, 15, |out| {
            put_bytes_field(out, 2, text.as_bytes());
            put_varint_field(out, 3, 2);
        });
    });
    SpanBatch::decode(encoder.finish().into()).expect("a batch")
}

/// Everything in which a batch of one span may have text, after it was sent.
fn sent(batch: &SpanBatch) -> String {
    let batch = SpanBatch::decode(batch.encoded()).expect("a batch");
    let span = batch.spans()[0];
    let scope = batch.scopes()[0];
    let event = batch.span_events(&span)[0];
    let link = batch.span_links(&span)[0];
    let texts = [
        ("name", span.name),
        ("message", span.status_message),
        ("state", span.trace_state),
        ("event", event.name),
        ("link", link.trace_state),
        ("scope", scope.name),
        ("version", scope.version),
    ];
    let mut lines: Vec<String> =
        texts.iter().map(|(name, text)| format!("{name} {}", batch.text(*text))).collect();
    for owner in [
        Owner::Resource(0),
        Owner::Scope(0),
        Owner::Span(0),
        Owner::Event { span: 0, event: 0 },
        Owner::Link { span: 0, link: 0 },
    ] {
        lines.push(attributes(&batch, owner));
    }
    lines.join("\n")
}

#[test]
fn nothing_private_is_left_in_what_is_sent() {
    let presets = || vec![Preset::CreditCard, Preset::Email];
    let key = || Some(Hashing::HmacSha256(Secret::new("key")));
    for (private, settings) in [
        ("4111 1111 1111 1111", Settings { presets: presets(), ..all() }),
        ("4111111111111111", Settings { presets: presets(), hashing: key(), ..all() }),
        ("jo.doe@example.org", Settings { presets: presets(), ..all() }),
        ("hunter2", Settings { blocked_values: patterns(&["hunter[0-9]"]), ..all() }),
        (
            "hunter2",
            Settings {
                blocked_values: patterns(&["hunter[0-9]"]),
                redact_all_types: true,
                summary: Summary::Debug,
                ..all()
            },
        ),
    ] {
        let mut batch = full(&format!("to {private} now"));
        let holds = |bytes: &[u8]| bytes.windows(private.len()).any(|at| at == private.as_bytes());
        assert!(holds(&batch.encoded()), "{private}");
        Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        assert!(!holds(&batch.encoded()), "{settings:?}: {}", sent(&batch));
    }
}

#[test]
fn texts_are_masked_where_they_stand() {
    let settings = Settings { blocked_values: patterns(&["x+"]), ..all() };
    let list = |text: &str| format!(r#"note='{text}' list=["{text}",7,{{"in":"{text}"}}]"#);
    let fields = |text: &str, state: &str| {
        let texts = ["name", "message"].map(|field| format!("{field} {text}")).join("\n");
        format!("{texts}\nstate {state}\nevent {text}\nlink {state}\nscope {text}\nversion {text}")
    };
    let attributes = |text: &str| {
        let note = format!("note='{text}'");
        format!("{note}\n{note}\n{}\n{note}\n{note}", list(text))
    };
    let as_it_was = "a=1,b=1 xx 2,ot=th:8";
    for (settings, after) in [
        (
            settings.clone(),
            format!("{}\n{}", fields("1 **** 2", "a=1,ot=th:8"), attributes("1 **** 2")),
        ),
        (
            Settings { redact_all_fields: false, ..settings.clone() },
            format!("{}\n{}", fields("1 xx 2", as_it_was), attributes("1 **** 2")),
        ),
        (
            Settings { allowed_values: patterns(&["^(b=)?1 xx"]), ..settings.clone() },
            format!("{}\n{}", fields("1 xx 2", as_it_was), attributes("1 xx 2")),
        ),
        (
            Settings { ignored_keys: texts(&["note", "list"]), ..settings.clone() },
            format!("{}\n{}", fields("1 **** 2", "a=1,ot=th:8"), attributes("1 xx 2")),
        ),
        (
            Settings { redact_all_types: true, ..settings.clone() },
            format!("{}\n{}", fields("1 **** 2", "a=1,ot=th:8"), attributes("1 **** 2"))
                .replace("list=[", "list='[")
                .replace("}]", "}]'"),
        ),
        (
            Settings { blocked_values: patterns(&["th"]), ..settings },
            format!("{}\n{}", fields("1 xx 2", as_it_was), attributes("1 xx 2")),
        ),
    ] {
        let mut batch = full("1 xx 2");
        Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        assert_eq!(sent(&batch), after, "{settings:?}");
    }
}

#[test]
fn what_has_nothing_to_mask_is_copied_as_it_came() {
    let settings = Settings { presets: vec![Preset::CreditCard, Preset::Email], ..all() };
    let redaction = Redaction::new(settings).unwrap();
    let mut clean = full("nothing of the kind");
    redaction.edit(&mut clean, &Client::default()).unwrap();
    assert!(!clean.is_edited());

    // A field that no version knows yet is lost with the event of a span that was edited.
    let later = b"from a later version";
    let mut encoder = model::TracesEncoder::new();
    let place = encoder.origin(b"", b"", b"", b"");
    for name in ["a", "me@example.org", "c"] {
        encoder.span(place, |out| {
            put_bytes_field(out, 1, &[1; 16]);
            put_bytes_field(out, 2, &[2; 8]);
            put_bytes_field(out, 5, name.as_bytes());
            put_message(out, 11, |out| put_bytes_field(out, 99, later));
        });
    }
    let mut batch = SpanBatch::decode(encoder.finish().into()).unwrap();
    redaction.edit(&mut batch, &Client::default()).unwrap();
    assert_eq!(names(&batch), ["a", "****", "c"]);
    let encoded = batch.encoded();
    assert_eq!(encoded.windows(later.len()).filter(|at| at == later).count(), 2);
}

#[test]
fn secrets_of_every_type_are_masked() {
    let key = || patterns(&["^secret"]);
    let abc = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let number = "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"; // printf 1234 | sha1sum
    for (hashing, after) in [
        (None, "secret.text='****' secret.number='****' open=1234".to_owned()),
        (Some(Hashing::Sha1), format!("secret.text='{abc}' secret.number='{number}' open=1234")),
    ] {
        let settings = Settings { blocked_key_patterns: key(), hashing, ..all() };
        let mut batch = one(vec![
            ("secret.text", Text("abc")),
            ("secret.number", Int(1234)),
            ("open", Int(1234)),
        ]);
        Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        assert_eq!(attributes(&batch, Owner::Span(0)), after, "{settings:?}");
    }
    let mut batch = full("abc");
    let settings = Settings { blocked_key_patterns: patterns(&["list"]), ..all() };
    Redaction::new(settings).unwrap().edit(&mut batch, &Client::default()).unwrap();
    assert_eq!(attributes(&batch, Owner::Span(0)), "note='abc' list='****'");
}

#[test]
fn secrets_in_maps_are_masked() {
    let blocked = || Settings { blocked_key_patterns: patterns(&["^in$"]), ..all() };
    let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
    for (settings, after) in [
        (blocked(), r#"["abc",7,{"in":"****"}]"#.to_owned()),
        (
            Settings { hashing: Some(Hashing::Sha1), ..blocked() },
            format!(r#"["abc",7,{{"in":"{sha1}"}}]"#),
        ),
        (
            Settings { allowed_values: patterns(&["^abc$"]), ..blocked() },
            r#"["abc",7,{"in":"abc"}]"#.to_owned(),
        ),
        (
            Settings { ignored_keys: texts(&["in"]), ..blocked() },
            r#"["abc",7,{"in":"abc"}]"#.to_owned(),
        ),
        (
            Settings { redact_all_types: true, blocked_values: patterns(&["7"]), ..blocked() },
            r#"'["abc",****,{"in":"****"}]'"#.to_owned(),
        ),
    ] {
        let mut batch = full("abc");
        Redaction::new(settings.clone()).unwrap().edit(&mut batch, &Client::default()).unwrap();
        let found = attributes(&batch, Owner::Span(0));
        assert_eq!(found, format!("note='abc' list={after}"), "{settings:?}");
    }
}

#[test]
fn summaries_add_up() {
    let settings = Settings {
        allowed_keys: texts(&["a", "b", "c"]),
        blocked_values: patterns(&["x+"]),
        allowed_values: patterns(&["^yes"]),
        ignored_keys: texts(&["i"]),
        summary: Summary::Debug,
        ..Settings::default()
    };
    let redaction = Redaction::new(settings).unwrap();
    let mut batch = one(vec![
        ("a", Text("x")),
        ("b", Text("yes x")),
        ("i", Text("x")),
        ("z", Text("z")),
        ("redaction.other", Int(1)),
        ("redaction.masked.count", Int(i64::MAX)),
    ]);
    let name = batch.add_text(b"x").unwrap();
    batch.edit_span(0).name = name;
    redaction.edit(&mut batch, &Client::default()).unwrap();
    let first = format!(
        "a='****' b='yes x' i='x' redaction.masked.count={} \
         redaction.redacted.keys='redaction.other,z' redaction.redacted.count=2 \
         redaction.masked.keys='a,span.name' redaction.allowed.keys='b' \
         redaction.allowed.count=1 redaction.ignored.count=1",
        i64::MAX
    );
    assert_eq!(attributes(&batch, Owner::Span(0)), first);
    redaction.edit(&mut batch, &Client::default()).unwrap();
    let second = first
        .replace("allowed.keys='b'", "allowed.keys='b,b'")
        .replace("allowed.count=1", "allowed.count=2")
        .replace("ignored.count=1", "ignored.count=2");
    assert_eq!(attributes(&batch, Owner::Span(0)), second);
}
