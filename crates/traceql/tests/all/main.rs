//! The language as tables of queries, and what holds for every text and every tree.

mod errors;
mod hints;
mod invalid;
mod lenient;
mod lexing;
mod limits;
mod metrics;
mod names;
mod patterns;
mod precedence;
mod properties;
mod rejected;
mod search;
mod tree;
mod values;

use traceql::{Error, ErrorKind, Query, parse};

/// A query that has to be one.
#[track_caller]
fn query(text: &str) -> Query {
    match parse(text) {
        Ok(query) => query,
        Err(error) => panic!("{text}\n{error}\n{}", error.caret(text)),
    }
}

/// Each query is accepted, prints as the text beside it, and that text is the same query.
#[track_caller]
fn print_as(table: &[(&str, &str)]) {
    for (text, printed) in table {
        let tree = query(text);
        assert_eq!(tree.to_string(), *printed, "{text}");
        assert_eq!(query(printed), tree, "{text}");
    }
}

/// Each query is refused for this reason, at this column (from 1), with a message that says this.
#[track_caller]
fn refused(kind: ErrorKind, table: &[(&str, usize, &str)]) {
    for (text, column, fragment) in table {
        let error: Error = match parse(text) {
            Ok(query) => panic!("{text} is accepted as {query}"),
            Err(error) => error,
        };
        let shown = format!("{error}");
        assert_eq!((error.kind, error.column), (kind, *column), "{text}: {shown}");
        assert!(shown.contains(fragment), "{text}: {shown}");
        assert!(text.get(error.start..error.end).is_some(), "{text}: {shown}");
    }
}
