//! A diagnostic for tools.

use serde_json::{Value, json};

use super::{Diagnostic, Label};
use crate::source::Sources;

/// One object on one line. Names and places of a diagnostic's first label stand in it directly,
/// too, for tools that know one place.
pub(super) fn line(sources: &Sources, diagnostic: &Diagnostic) -> String {
    let labels: Vec<Value> =
        diagnostic.labels.iter().map(|label| label_json(sources, label)).collect();
    let first = |key: &str| labels.first().map_or(Value::Null, |label| label[key].clone());
    let object = json!({
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "file": first("file"),
        "line": first("line"),
        "column": first("column"),
        "labels": labels,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    });
    format!("{object}\n")
}

fn label_json(sources: &Sources, label: &Label) -> Value {
    json!({
        "file": sources.get(label.at.source).map(|source| &*source.name),
        "line": label.at.line,
        "column": label.at.column,
        "start": label.at.start,
        "end": label.at.end,
        "text": label.text,
    })
}
