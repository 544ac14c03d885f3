//! The language as tables of texts, and what holds for every text and every target.

mod compare;
mod converters;
mod editors;
mod errors;
mod grammar;
mod infer;
mod item;
mod limits;
mod paths;
mod properties;
mod targets;
mod times;

use item::{Item, Settled};
use ottl::{Context, ErrorKind, Evaluator, Value, parse_condition, parse_statement};

/// An evaluator whose clock and chance are always the same.
fn evaluator() -> Evaluator {
    Evaluator::new(Settled)
}

/// Runs a statement of a span on an item.
#[track_caller]
fn run(text: &str, item: &mut Item) -> bool {
    let statement = match parse_statement(text, Context::Span) {
        Ok(statement) => statement,
        Err(error) => panic!("{text}\n{error}\n{}", error.caret(text)),
    };
    match evaluator().execute(&statement, item) {
        Ok(ran) => ran,
        Err(error) => panic!("{text}\n{error}\n{}", error.caret(text)),
    }
}

/// What an expression gives for the usual item, or why it gives nothing.
fn value(expression: &str) -> Result<Value<'static>, String> {
    let text = format!("set(cache[\"out\"], [{expression}])");
    let statement = parse_statement(&text, Context::Span).map_err(|error| error.to_string())?;
    let mut item = Item::usual();
    let mut evaluator = evaluator();
    evaluator.execute(&statement, &mut item).map_err(|error| error.to_string())?;
    let copy = parse_statement("set(attributes[\"out\"], cache[\"out\"])", Context::Span).unwrap();
    evaluator.execute(&copy, &mut item).map_err(|error| error.to_string())?;
    match item.attribute("out") {
        Some(Value::List(list)) => Ok(list.first().cloned().unwrap_or_default()),
        other => panic!("{expression}: {other:?}"),
    }
}

/// Each expression has this value.
#[track_caller]
fn gives<'a, V: Into<Value<'a>>>(table: impl IntoIterator<Item = (&'a str, V)>) {
    for (expression, expected) in table {
        match value(expression) {
            Ok(found) => assert_eq!(found, expected.into(), "{expression}"),
            Err(error) => panic!("{expression}: {error}"),
        }
    }
}

/// Each expression fails, when it is parsed or when it runs, with a message that says this.
#[track_caller]
fn fails(table: &[(&str, &str)]) {
    for (expression, fragment) in table {
        match value(expression) {
            Ok(found) => panic!("{expression} gives {found:?}"),
            Err(error) => assert!(error.contains(fragment), "{expression}: {error}"),
        }
    }
}

/// Each statement leaves these attributes of a span that had those of `Item::attributes`.
#[track_caller]
fn leaves(before: &[(&str, Value<'static>)], table: &[(&str, &[(&str, Value<'static>)])]) {
    for (text, after) in table {
        // A target that does everything by way of whole maps has to end up the same.
        for in_place in [true, false] {
            let mut item = Item::with(before);
            item.in_place = in_place;
            run(text, &mut item);
            assert_eq!(item, Item::with(after).in_place(in_place), "{text}");
        }
    }
}

/// Each condition holds for the usual item or does not.
#[track_caller]
fn holds(table: &[(&str, bool)]) {
    for (text, expected) in table {
        let condition = match parse_condition(text, Context::Span) {
            Ok(condition) => condition,
            Err(error) => panic!("{text}\n{error}\n{}", error.caret(text)),
        };
        let found = evaluator().matches(&condition, &Item::usual());
        assert_eq!(found.as_ref().ok(), Some(expected), "{text}: {found:?}");
    }
}

/// Each text is refused for this reason, at this column (from 1), with a message that says this.
#[track_caller]
fn refused(kind: ErrorKind, table: &[(&str, usize, &str)]) {
    for (text, column, fragment) in table {
        let parsed = match text.strip_prefix("? ") {
            Some(condition) => parse_condition(condition, Context::Span).map(|_| ()),
            None => parse_statement(text, Context::Span).map(|_| ()),
        };
        let Err(error) = parsed else { panic!("{text} is accepted") };
        let shown = error.to_string();
        assert_eq!((error.kind, error.column), (kind, *column), "{text}: {shown}");
        assert!(shown.contains(fragment), "{text}: {shown}");
        let own = text.strip_prefix("? ").unwrap_or(text);
        assert!(own.get(error.start..error.end).is_some(), "{text}: {shown}");
        error.caret(own);
    }
}

fn text(text: &str) -> Value<'static> {
    Value::from(text.to_owned())
}

fn list(values: &[&str]) -> Value<'static> {
    Value::List(values.iter().map(|value| text(value)).collect())
}

fn map(entries: &[(&str, Value<'static>)]) -> Value<'static> {
    let entry = |(key, value): &(&str, Value<'static>)| ((*key).to_owned().into(), value.clone());
    Value::Map(entries.iter().map(entry).collect())
}
