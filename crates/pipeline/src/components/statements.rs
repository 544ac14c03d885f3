//! Statements and conditions of OTTL in settings: `filter` and `transform`.

use config::Reader;
use ottl::{Condition, Context, Statement};

use super::selection::selection;
use crate::processors::statements::{
    Counters, ErrorMode, Filter, FilterGroup, Transform, TransformGroup,
};

/// What is said against a text, and the spot in it.
type Fault = (String, Option<String>);

fn fault(what: &str, text: &str, error: &ottl::Error) -> Fault {
    let message = format!(
        "unable to parse OTTL {what} {text:?}: {}:{}: {}",
        error.line, error.column, error.message
    );
    (message, Some(error.caret(text)))
}

/// A condition in a context.
pub(super) fn condition(text: &str, context: Context) -> Result<Condition, Fault> {
    ottl::parse_condition(text, context).map_err(|error| fault("condition", text, &error))
}

fn statement(text: &str, context: Context) -> Result<Statement, Fault> {
    ottl::parse_statement(text, context).map_err(|error| fault("statement", text, &error))
}

/// The context that the paths of a text name.
fn inferred<T>(
    what: &str,
    text: &str,
    parse: fn(&str, Context) -> Result<T, Fault>,
) -> Result<Context, Fault> {
    ottl::infer_context(&[text]).map_err(|(_, error)| {
        // Another fault says more: a function that is not there, and no path in its arguments.
        parse(text, Context::Span).err().unwrap_or_else(|| fault(what, text, &error))
    })
}

/// The innermost context that the paths of all texts in some lists name. Where they name none,
/// parsing the texts says what is wrong.
fn of_all(reader: &mut Reader<'_, '_>, keys: &[&'static str]) -> Context {
    let texts = keys.iter().filter_map(|&key| reader.field(key).strings()).flatten();
    let texts: Vec<String> = texts.collect();
    ottl::infer_context(&texts).unwrap_or(Context::Span)
}

pub(super) fn error_mode(reader: &mut Reader<'_, '_>) -> Option<ErrorMode> {
    reader.field("error_mode").choice(&[
        ("ignore", ErrorMode::Ignore),
        ("silent", ErrorMode::Silent),
        ("propagate", ErrorMode::Propagate),
    ])
}

/// The contexts of traces, as settings write them.
pub(super) fn context(reader: &mut Reader<'_, '_>) -> Option<Context> {
    reader.field("context").choice(&[
        ("resource", Context::Resource),
        ("scope", Context::Scope),
        ("instrumentation_scope", Context::Scope),
        ("span", Context::Span),
        ("spanevent", Context::SpanEvent),
    ])
}

/// Settings of the processor `filter`.
pub(super) fn filter(reader: &mut Reader<'_, '_>) -> Filter {
    let mode = error_mode(reader).unwrap_or_default();
    let mut groups: Vec<FilterGroup> = Vec::new();
    let others = ["metrics", "logs", "metric_conditions", "log_conditions", "profiles"];
    let mut all = ["traces", "trace_conditions", "spans"].iter().chain(&others);
    let has_any = all.any(|key| reader.has(key));
    // The form of old: lists by context.
    reader.field("traces").section(|reader| {
        let lists = [
            ("resource", Context::Resource),
            ("span", Context::Span),
            ("spanevent", Context::SpanEvent),
        ];
        for (key, context) in lists {
            let conditions = reader.field(key).parsed_list(|text| condition(text, context));
            if let Some(conditions) = conditions {
                groups.push(FilterGroup { context, conditions, error_mode: mode });
            }
        }
    });
    let flat = reader.field("trace_conditions").mixed(
        |text| {
            let context = inferred("condition", text, condition)?;
            let conditions = vec![condition(text, context)?];
            Ok(Some(FilterGroup { context, conditions, error_mode: mode }))
        },
        |reader| {
            let chosen = context(reader);
            let error_mode = error_mode(reader).unwrap_or(mode);
            let context = chosen.unwrap_or_else(|| of_all(reader, &["conditions"]));
            let conditions =
                reader.field("conditions").required().parsed_list(|text| condition(text, context));
            Some(FilterGroup { context, conditions: conditions?, error_mode })
        },
    );
    groups.extend(flat.into_iter().flatten().flatten());
    for signal in others {
        let why = "this filter has only spans: use \"traces\" or \"trace_conditions\"";
        reader.refused(signal, why);
    }
    // The form from before OTTL.
    let instead = "write what is to be dropped as conditions of OTTL, in `trace_conditions`";
    let selection = reader.field("spans").deprecated(instead).section(selection);
    if selection.is_some() && reader.has("traces") {
        let message = "cannot be used together with \"traces\": write all conditions there";
        reader.fault("spans", message);
    }
    if !has_any {
        let message = "at least one condition must be specified: below \"traces\" or in \
                       \"trace_conditions\"";
        reader.fault("trace_conditions", message);
    }
    Filter::new(groups, selection.unwrap_or_default(), Counters::of(reader.owner()))
}

/// Settings of the processor `transform`.
pub(super) fn transform(reader: &mut Reader<'_, '_>) -> Transform {
    let mode = error_mode(reader).unwrap_or_default();
    reader.field("flatten_data").bool();
    let parts = reader.field("trace_statements").mixed(
        |text| {
            let context = inferred("statement", text, statement)?;
            statement(text, context)?;
            Ok(Part::Statement(context, text.to_owned()))
        },
        |reader| {
            let chosen = context(reader);
            let error_mode = error_mode(reader).unwrap_or(mode);
            let context = chosen.unwrap_or_else(|| of_all(reader, &["statements", "conditions"]));
            let conditions =
                reader.field("conditions").parsed_list(|text| condition(text, context));
            let statements =
                reader.field("statements").required().parsed_list(|text| statement(text, context));
            let conditions = conditions.unwrap_or_default();
            let group = |statements| TransformGroup { context, conditions, statements, error_mode };
            Part::Group(statements.map(group))
        },
    );
    let groups = grouped(parts.unwrap_or_default(), mode);
    for signal in ["metric_statements", "log_statements", "profile_statements"] {
        reader.refused(signal, "this transform has only spans: use \"trace_statements\"");
    }
    let groups = groups.unwrap_or_else(|(message, _)| {
        reader.fault("trace_statements", &message);
        Vec::new()
    });
    Transform::new(groups, Counters::of(reader.owner()))
}

/// What stands in `trace_statements`.
enum Part {
    /// A statement without settings, and what it is for.
    Statement(Context, String),
    /// Statements with settings; nothing where they are wrong, which is reported.
    Group(Option<TransformGroup>),
}

/// Statements without settings that follow each other are one group for the innermost of their
/// contexts, so that they share a cache. Those for events are apart from the others: a span without
/// events would get none.
fn grouped(parts: Vec<Part>, mode: ErrorMode) -> Result<Vec<TransformGroup>, Fault> {
    let mut groups = Vec::new();
    let mut run: Vec<(Context, String)> = Vec::new();
    let is_of_events = |context: Context| context == Context::SpanEvent;
    for part in parts {
        match part {
            Part::Statement(context, text) => {
                let last = run.last().map_or(context, |(last, _)| *last);
                if is_of_events(last) != is_of_events(context) {
                    groups.extend(joined(std::mem::take(&mut run), mode)?);
                }
                run.push((context, text));
            }
            Part::Group(group) => {
                groups.extend(joined(std::mem::take(&mut run), mode)?);
                groups.extend(group);
            }
        }
    }
    groups.extend(joined(run, mode)?);
    Ok(groups)
}

fn joined(
    run: Vec<(Context, String)>,
    error_mode: ErrorMode,
) -> Result<Option<TransformGroup>, Fault> {
    let Some(context) = run.iter().map(|(context, _)| *context).max() else {
        return Ok(None);
    };
    let statements = run.iter().map(|(_, text)| statement(text, context));
    let statements = statements.collect::<Result<_, _>>()?;
    Ok(Some(TransformGroup { context, conditions: Vec::new(), statements, error_mode }))
}

#[cfg(test)]
mod tests {
    use model::{Owner, SpanBatch};

    use super::super::tests::made;
    use super::*;
    use crate::data::Client;
    use crate::processors::Edit;
    use crate::processors::testing::{attributes, one};

    #[test]
    fn statements_of_a_list_share_a_cache() {
        let set = r#"'set(span.cache["c"], "v")'"#;
        let get = r#"'set(span.attributes["a"], span.cache["c"])'"#;
        let of_resource = r#"'set(resource.attributes["r"], 1)'"#;
        let of_event = r#"'set(spanevent.attributes["e"], 1)'"#;
        for (list, after) in [
            (format!("{set}, {get}"), "a='v'"),
            (format!("{set}, {of_resource}, {get}"), "a='v'"),
            (format!("{of_resource}, {set}, {get}, {of_event}"), "a='v'"),
            (format!("{{statements: [{set}, {get}]}}"), "a='v'"),
            // Groups have caches of their own.
            (format!("{set}, {{statements: [{get}]}}"), ""),
        ] {
            let settings = format!("{{trace_statements: [{list}]}}");
            let edit = made("transform", &settings, transform);
            let mut batch = one(vec![]);
            edit.edit(&mut batch, &Client::default()).expect("no error");
            let again = SpanBatch::decode(batch.encoded()).expect("spans");
            assert_eq!(attributes(&again, Owner::Span(0)), after, "{list}");
        }
    }
}
