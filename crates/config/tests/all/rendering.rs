//! How a diagnostic looks.

use config::{Diagnostic, Diagnostics, Reader};

use crate::world::World;

/// The diagnostics of a document that have a place.
fn said(text: impl AsRef<[u8]>) -> String {
    let (_, diagnostics) = World::of(text).load();
    placed(&diagnostics.render(false))
}

fn placed(all: &str) -> String {
    let all: Vec<_> = all.split("\n\n").filter(|one| one.contains("-->")).collect();
    all.join("\n\n")
}

#[test]
fn carets_stand_under_wide_characters_and_behind_tabs() {
    insta::assert_snapshot!(said("receivers: {otlp: , '日本語': }"));
    insta::assert_snapshot!(said("receivers:\t{otlp: ,\t'é\u{301}👩‍🚀': }"));
}

#[test]
fn long_lines_are_cut_around_the_caret() {
    let filler = "x".repeat(300);
    insta::assert_snapshot!(said(format!("receivers: {{a: {filler}, otpl: {filler}}}")));
    insta::assert_snapshot!(said(format!("receivers: {{{filler}: }}")));
    insta::assert_snapshot!(said(format!("receivers: {{? {} : }}", "日".repeat(300))));
}

#[test]
fn what_a_terminal_would_obey_is_shown_instead() {
    let said = said("receivers: {\"a\\e[31m\\u202e\": , '\u{202e}b': }");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn lines_may_end_as_on_windows() {
    insta::assert_snapshot!(said("receivers:\r\n  otpl:\r\n"));
}

#[test]
fn a_place_at_the_end_of_the_text() {
    insta::assert_snapshot!(said("receivers: {"));
}

#[test]
fn bytes_that_are_no_text() {
    insta::assert_snapshot!(said(b"receivers:\n  otlp: \xff\xfe\n"));
    insta::assert_snapshot!(said(b"receivers: \0"));
    // A byte-order mark is none of the text.
    insta::assert_snapshot!(said("\u{feff}receivers: {otpl: }"));
}

#[test]
fn colours() {
    let (_, diagnostics) = World::of("receivers: {otlp: , otlp: }").load();
    let said = placed(&diagnostics.render(true)).replace('\u{1b}', "␛");
    insta::assert_snapshot!(said);
}

#[test]
fn json_has_an_object_a_line() {
    let (_, diagnostics) = World::of("receivers: {otpl: }").load();
    insta::assert_snapshot!(diagnostics.json_lines());
    for line in diagnostics.json_lines().lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    }
}

#[test]
fn the_same_twice_is_said_once_and_too_many_are_counted() {
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::warning("once"));
    diagnostics.push(Diagnostic::warning("once"));
    assert_eq!(diagnostics.render(false), "warning: once\n\n");
    assert!(!diagnostics.has_errors());
    for number in 0..2000 {
        diagnostics.push(Diagnostic::warning(format!("number {number}")));
    }
    assert_eq!(diagnostics.iter().count(), 1000);
    assert!(diagnostics.render(false).ends_with("1001 more were left out\n"));
}

/// In flow style a line has much that the diagnostic is not about.
#[test]
fn no_line_shows_a_secret_that_stands_beside() {
    for (text, shown) in [
        ("{exporters: {debug: {api_token: s3cret, a: {}}}, otpl: }", "api_token: ******, a"),
        ("{exporters: {debug: {headers: {a: 's3cret'}}}, otpl: }", "headers: {a: ********}}"),
        ("{exporters: {debug: {headers: [{name: a, value: s3cret}]}}, otpl: }", "value: ******}"),
        ("{exporters: {debug: {token: '日s3cret'}}, otpl: }", "{token: *********}"),
        ("{exporters: {debug: {token_file: /run/x}}, otpl: }", "token_file: /run/x"),
        ("{exporters: {debug: {token: '${env:S3}'}}, otpl: }", "token: '${env:S3}'"),
        ("{exporters: {debug: {a: 'http://me:s3cret@x:1/'}}, otpl: }", "'http://me:******@x:1/'"),
        ("{exporters: {debug: {a: 'http://me:${env:S3}@x'}}, otpl: }", "http://me:${env:S3}@x"),
    ] {
        let said = said(text);
        assert!(said.contains("1 |") && said.contains(shown), "{text}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    // Nor where it makes the text what YAML does not know, as passwords do.
    for text in [
        "exporters:\n  debug:\n    token: s3cret: x\n",
        "exporters: {debug: {\"api_token\": @s3cret, a: 1}}",
        "exporters: {debug: {headers: {authorization: *s3cret}}}",
        "exporters: {debug: {password: 's3cret}}",
        "exporters:\n  debug: {token: s3cret}\n  debug: {token: s3cret}\n",
    ] {
        let said = said(text);
        assert!(said.contains(" |") && !said.contains("s3cret"), "{said}");
    }
    let mut world = World::of("receivers: {otlp: }");
    world.sets.push("exporters.debug.token=@s3cret".to_owned());
    let said = world.load().1.render(false);
    assert!(said.contains("token=*******") && !said.contains("s3cret"), "{said}");
    // Nor one that another source replaces, or that a reader alone knows for a secret.
    let mut world = World::of("exporters: {debug: {token: s3cret}, debugger: }");
    world.sets.push("exporters.debug=null".to_owned());
    let said = world.load().1.render(false);
    assert!(said.contains("1 |") && !said.contains("s3cret"), "{said}");
    let world = World::of("{exporters: {debug: {phrase: s3cret}}, otpl: }");
    let (document, mut diagnostics) = world.load();
    let mut reader = Reader::of(&document.exporters[0], &mut diagnostics);
    reader.field("phrase").secret();
    reader.finish();
    let said = diagnostics.render(false);
    assert!(said.contains("{phrase: ******}") && !said.contains("s3cret"), "{said}");
    // Nor one whose key is misspelt.
    for (text, shown) in [
        ("{exporters: {debug: {phrsae: s3cret}}}", "{phrsae: ******}"),
        ("{exporters: {debug: {other: [1, {a: s3cret}]}}}", "{other: [*, {a: ******}]}"),
    ] {
        let (document, mut diagnostics) = World::of(text).load();
        let mut reader = Reader::of(&document.exporters[0], &mut diagnostics);
        reader.field("phrase").secret();
        reader.finish();
        let said = diagnostics.render(false);
        assert!(said.contains("invalid keys") && said.contains(shown), "{said}");
    }
    let (document, mut diagnostics) = World::of("{exporters: {debug: {hedaers: {a: s3}}}}").load();
    let mut reader = Reader::of(&document.exporters[0], &mut diagnostics);
    reader.field("headers").node();
    reader.finish();
    let said = diagnostics.render(false);
    assert!(said.contains("{hedaers: {a: **}}"), "{said}");
}
