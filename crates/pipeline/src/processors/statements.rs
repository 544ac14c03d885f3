//! The processors `filter` and `transform`, which run OTTL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::SpanBatch;
use ottl::{Condition, Context, Evaluator, Statement};

use super::Edit;
use super::item::Item;
use super::matching::Selection;
use crate::consumer::Refusal;
use crate::data::Client;

/// What becomes of an item when a statement or condition fails on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorMode {
    /// It is logged; the next statement goes on.
    #[default]
    Ignore,
    /// The same without a word.
    Silent,
    /// The whole request is refused.
    Propagate,
}

/// What the processors count; only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Whose they are, such as `processors::transform/a`, for what is logged.
    pub owner: String,
    /// Statements and conditions that failed.
    pub errors: AtomicU64,
    /// Spans that a filter dropped.
    pub dropped_spans: AtomicU64,
    /// Events that a filter dropped.
    pub dropped_events: AtomicU64,
}

impl Counters {
    fn errors_number(&self) -> (&'static str, &'static str, u64) {
        let help = "OTTL statements and conditions that failed on an item";
        ("spanfall_processor_ottl_errors", help, self.errors.load(Ordering::Relaxed))
    }

    /// Those of a component.
    pub fn of(owner: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { owner: owner.into(), ..Self::default() })
    }

    /// Deals with the error of a statement or condition, whose text it is, as the mode says.
    pub(crate) fn failed(
        &self,
        mode: ErrorMode,
        error: &ottl::EvalError,
        text: &str,
    ) -> Result<(), Refusal> {
        let count = self.errors.fetch_add(1, Ordering::Relaxed);
        match mode {
            ErrorMode::Propagate => Err(Refusal::Invalid { reason: self.told(error, text) }),
            // One item in a thousand tells as much as all.
            ErrorMode::Ignore if count.is_multiple_of(1000) => {
                tracing::warn!(errors = count + 1, "{}", self.told(error, text));
                Ok(())
            }
            ErrorMode::Ignore | ErrorMode::Silent => Ok(()),
        }
    }

    fn told(&self, error: &ottl::EvalError, text: &str) -> String {
        format!("{}: OTTL: {error}, in {}", self.owner, text.replace('\n', " "))
    }
}

/// Conditions on the items of one context; an item that meets any of them is dropped.
#[derive(Debug)]
pub struct FilterGroup {
    /// Whose conditions.
    pub context: Context,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// What happens when one fails: by default the item stays.
    pub error_mode: ErrorMode,
}

/// Drops what meets a condition: resources and scopes with all their spans, spans, events. What is
/// left empty goes too.
pub struct Filter {
    /// The groups, from the outermost context to the innermost.
    groups: Vec<FilterGroup>,
    /// Spans that it does not have are dropped, before all else.
    selection: Selection,
    counters: Arc<Counters>,
}

impl Filter {
    /// With these groups, and the spans that may stay at all.
    pub fn new(
        mut groups: Vec<FilterGroup>,
        selection: Selection,
        counters: Arc<Counters>,
    ) -> Self {
        groups.sort_by_key(|group| group.context);
        Self { groups, selection, counters }
    }

    fn drops(
        &self,
        group: &FilterGroup,
        evaluator: &Evaluator,
        item: &Item<'_>,
    ) -> Result<bool, Refusal> {
        for condition in &group.conditions {
            match evaluator.matches(condition, item) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    self.counters.failed(group.error_mode, &error, condition.as_str())?;
                }
            }
        }
        Ok(false)
    }
}

impl Edit for Filter {
    fn edit(&self, batch: &mut SpanBatch, client: &Client) -> Result<(), Refusal> {
        let evaluator = Evaluator::default();
        let before = batch.len();
        if !self.selection.is_all() {
            batch.retain_spans(|batch, _, span| self.selection.has(batch, span));
        }
        for group in &self.groups {
            let drops = |item: Item<'_>| self.drops(group, &evaluator, &item);
            match group.context {
                Context::Resource => {
                    let dropped = (0..batch.resources().len())
                        .map(|at| drops(Item::resource(batch, client, at)))
                        .collect::<Result<Vec<bool>, _>>()?;
                    if dropped.contains(&true) {
                        batch.retain_spans(|batch, _, span| {
                            !dropped[batch.scopes()[span.scope as usize].resource as usize]
                        });
                    }
                }
                Context::Scope => {
                    let dropped = (0..batch.scopes().len())
                        .map(|at| drops(Item::scope(batch, client, at)))
                        .collect::<Result<Vec<bool>, _>>()?;
                    if dropped.contains(&true) {
                        batch.retain_spans(|_, _, span| !dropped[span.scope as usize]);
                    }
                }
                Context::Span => {
                    let dropped = (0..batch.len())
                        .map(|at| drops(Item::span(batch, client, at)))
                        .collect::<Result<Vec<bool>, _>>()?;
                    if dropped.contains(&true) {
                        batch.retain_spans(|_, at, _| !dropped[at]);
                    }
                }
                Context::SpanEvent => {
                    for span in 0..batch.len() {
                        let dropped = (0..batch.span_events(&batch.spans()[span]).len())
                            .map(|at| drops(Item::event(batch, client, span, at)))
                            .collect::<Result<Vec<bool>, _>>()?;
                        if dropped.contains(&true) {
                            let events = batch.retain_events(span, |_, at, _| !dropped[at]);
                            let counter = &self.counters.dropped_events;
                            counter.fetch_add(events as u64, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        let dropped = before - batch.len();
        self.counters.dropped_spans.fetch_add(dropped as u64, Ordering::Relaxed);
        Ok(())
    }

    fn numbers(&self) -> Vec<(&'static str, &'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            (
                "otelcol_processor_filter_spans_filtered",
                "Spans that met a condition and were dropped",
                read(&self.counters.dropped_spans),
            ),
            (
                "spanfall_processor_filter_dropped_events",
                "Events of spans that met a condition and were dropped",
                read(&self.counters.dropped_events),
            ),
            self.counters.errors_number(),
        ]
    }
}

/// Statements that are run on the items of one context, in order.
#[derive(Debug)]
pub struct TransformGroup {
    /// On whose items.
    pub context: Context,
    /// Only where one of these holds; everywhere when empty.
    pub conditions: Vec<Condition>,
    /// The statements.
    pub statements: Vec<Statement>,
    /// What happens when one fails.
    pub error_mode: ErrorMode,
}

/// Changes what statements say, group after group.
pub struct Transform {
    groups: Vec<TransformGroup>,
    counters: Arc<Counters>,
}

impl Transform {
    /// With these groups.
    pub fn new(groups: Vec<TransformGroup>, counters: Arc<Counters>) -> Self {
        Self { groups, counters }
    }

    fn run(
        &self,
        group: &TransformGroup,
        evaluator: &mut Evaluator,
        mut item: Item<'_>,
    ) -> Result<(), Refusal> {
        let mut holds = group.conditions.is_empty();
        for condition in &group.conditions {
            match evaluator.matches(condition, &item) {
                Ok(true) => {
                    holds = true;
                    break;
                }
                Ok(false) => {}
                Err(error) => {
                    self.counters.failed(group.error_mode, &error, condition.as_str())?;
                }
            }
        }
        if !holds {
            return Ok(());
        }
        evaluator.clear_cache();
        for statement in &group.statements {
            if let Err(error) = evaluator.execute(statement, &mut item) {
                self.counters.failed(group.error_mode, &error, statement.as_str())?;
            }
        }
        Ok(())
    }
}

impl Edit for Transform {
    fn edit(&self, batch: &mut SpanBatch, client: &Client) -> Result<(), Refusal> {
        let mut evaluator = Evaluator::default();
        for group in &self.groups {
            match group.context {
                Context::Resource => {
                    for at in 0..batch.resources().len() {
                        self.run(group, &mut evaluator, Item::resource(batch, client, at))?;
                    }
                }
                Context::Scope => {
                    for at in 0..batch.scopes().len() {
                        self.run(group, &mut evaluator, Item::scope(batch, client, at))?;
                    }
                }
                Context::Span => {
                    for at in 0..batch.len() {
                        self.run(group, &mut evaluator, Item::span(batch, client, at))?;
                    }
                }
                Context::SpanEvent => {
                    for span in 0..batch.len() {
                        for at in 0..batch.span_events(&batch.spans()[span]).len() {
                            let item = Item::event(batch, client, span, at);
                            self.run(group, &mut evaluator, item)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<(&'static str, &'static str, u64)> {
        vec![self.counters.errors_number()]
    }
}

#[cfg(test)]
mod tests {
    use model::{Owner, SpanBatch};

    use super::super::testing::Plain::{Bool, Double, Int, Text};
    use super::super::testing::{TestSpan, attributes, batch, names, one};
    use super::*;

    fn conditions(context: Context, texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| ottl::parse_condition(text, context).expect(text)).collect()
    }

    fn filter(groups: &[(Context, &[&str])]) -> Filter {
        let group = |&(context, texts): &(Context, &[&str])| FilterGroup {
            context,
            conditions: conditions(context, texts),
            error_mode: ErrorMode::Silent,
        };
        Filter::new(groups.iter().map(group).collect(), Selection::default(), Arc::default())
    }

    fn spans() -> SpanBatch {
        batch(&[
            TestSpan { service: "a", name: "GET /health", kind: 2, attributes: vec![] },
            TestSpan { service: "a", name: "GET /cart", kind: 2, attributes: vec![("n", Int(5))] },
            TestSpan { service: "b", name: "query", kind: 3, attributes: vec![("n", Text("5"))] },
        ])
    }

    #[test]
    fn what_meets_a_condition_is_dropped() {
        use Context::{Resource, Scope, Span, SpanEvent};
        for (groups, left) in [
            (&[(Span, &[] as &[&str])][..], "GET /health GET /cart query"),
            (&[(Span, &[r#"name == "query""#])], "GET /health GET /cart"),
            (&[(Span, &[r#"IsMatch(name, "/health$")"#, "kind == SPAN_KIND_CLIENT"])], "GET /cart"),
            (&[(Span, &[r#"attributes["n"] == 5"#])], "GET /health query"),
            (&[(Span, &[r#"attributes["n"] == nil"#])], "GET /cart query"),
            (&[(Span, &[r#"resource.attributes["service.name"] == "a""#])], "query"),
            (&[(Span, &[r#"end_time - start_time >= Duration("500ms")"#])], ""),
            (
                &[(Span, &[r#"end_time - start_time > Duration("500ms")"#])],
                "GET /health GET /cart query",
            ),
            (&[(Resource, &[r#"attributes["service.name"] == "a""#])], "query"),
            (&[(Scope, &[r#"name == "lib" and version == "1.2""#])], ""),
            (
                &[
                    (Span, &[r#"name == "query""#]),
                    (Resource, &[r#"attributes["service.name"] == "a""#]),
                ],
                "",
            ),
            (&[(SpanEvent, &["true"])], "GET /health GET /cart query"),
            // Fails on every span, which stays.
            (
                &[(Span, &[r#"Int(name) > "x" and ParseJSON(name) == nil"#])],
                "GET /health GET /cart query",
            ),
        ] {
            let mut batch = spans();
            filter(groups).edit(&mut batch, &Client::default()).unwrap();
            assert_eq!(names(&batch).join(" "), left, "{groups:?}");
            let again = SpanBatch::decode(batch.encoded()).unwrap();
            assert_eq!(names(&again).join(" "), left, "{groups:?}");
        }
    }

    #[test]
    fn what_the_form_of_old_leaves_out_is_dropped() {
        use super::super::matching::{Conditions, LibraryMatch, TextMatch, ValueMatch};
        let strict = |text: &str| TextMatch::Strict(text.to_owned());
        let found = |pattern: &str| TextMatch::Pattern(regex::Regex::new(pattern).unwrap());
        let services = |of: TextMatch| Conditions { services: vec![of], ..Conditions::default() };
        let names = |of: TextMatch| Conditions { span_names: vec![of], ..Conditions::default() };
        let kinds = |of: TextMatch| Conditions { span_kinds: vec![of], ..Conditions::default() };
        let number = ("n".to_owned(), ValueMatch::Equal(super::super::actions::Literal::Int(5)));
        let name =
            ("service.name".to_owned(), ValueMatch::Pattern(regex::Regex::new("^b").unwrap()));
        let attributes = Conditions { attributes: vec![number], ..Conditions::default() };
        let resources = Conditions { resources: vec![name], ..Conditions::default() };
        let library = LibraryMatch { name: strict("lib"), version: Some(strict("2")) };
        let libraries = Conditions { libraries: vec![library], ..Conditions::default() };
        for (include, exclude, left) in [
            (None, None, "GET /health GET /cart query"),
            (Some(services(strict("a"))), None, "GET /health GET /cart"),
            (Some(services(found("^[ab]$"))), Some(names(found("health"))), "GET /cart query"),
            (None, Some(kinds(strict("SPAN_KIND_SERVER"))), "query"),
            (Some(attributes.clone()), None, "GET /cart"),
            (None, Some(attributes), "GET /health query"),
            (Some(resources), None, "query"),
            (Some(libraries), None, ""),
        ] {
            let selection = Selection { include, exclude };
            let counters = Arc::new(Counters::default());
            let told = format!("{selection:?}");
            let mut batch = spans();
            let edit = Filter::new(Vec::new(), selection, counters.clone());
            edit.edit(&mut batch, &Client::default()).unwrap();
            assert_eq!(super::super::testing::names(&batch).join(" "), left, "{told}");
            let dropped = counters.dropped_spans.load(Ordering::Relaxed);
            assert_eq!(dropped, 3 - batch.len() as u64, "{told}");
        }
    }

    #[test]
    fn an_error_is_the_modes_matter() {
        for (error_mode, refused) in
            [(ErrorMode::Ignore, false), (ErrorMode::Silent, false), (ErrorMode::Propagate, true)]
        {
            let context = Context::Span;
            let conditions = conditions(context, &["ParseJSON(name) == nil"]);
            let counters = Counters::of("processors::filter/a");
            let group = FilterGroup { context, conditions, error_mode };
            let edit = Filter::new(vec![group], Selection::default(), counters.clone());
            let answer = edit.edit(&mut spans(), &Client::default());
            assert_eq!(answer.is_err(), refused, "{error_mode:?}");
            if let Err(refusal) = answer {
                let told = refusal.to_string();
                for part in ["processors::filter/a", "col 1", "in ParseJSON(name) == nil"] {
                    assert!(told.contains(part), "{told}");
                }
            }
            assert_eq!(counters.errors.load(Ordering::Relaxed), if refused { 1 } else { 3 });
        }
    }

    fn transformed(context: Context, statements: &[&str], batch: &mut SpanBatch) {
        let parse = |text: &&str| ottl::parse_statement(text, context).expect(text);
        let group = TransformGroup {
            context,
            conditions: Vec::new(),
            statements: statements.iter().map(parse).collect(),
            error_mode: ErrorMode::Propagate,
        };
        let client =
            Client { metadata: vec![("tenant".to_owned(), "t1".to_owned())], ..Client::default() };
        Transform::new(vec![group], Arc::default()).edit(batch, &client).expect("no error");
    }

    #[test]
    fn spans_are_transformed() {
        let before = || {
            vec![
                ("a", Text("one two")),
                ("n", Int(7)),
                ("d", Double(0.5)),
                ("b", Bool(true)),
                ("json", Text(r#"{"x":[1,{"y":"z"}],"k":"v"}"#)),
            ]
        };
        let rest = r#"d=0.5 b=true json='{"x":[1,{"y":"z"}],"k":"v"}'"#;
        for (statements, after) in [
            (&[r#"set(attributes["a"], "x")"#][..], format!("a='x' n=7 {rest}")),
            (
                &[r#"set(attributes["new"], 3) where attributes["n"] > 5"#],
                format!("a='one two' n=7 {rest} new=3"),
            ),
            (
                &[r#"set(attributes["new"], 3) where attributes["n"] > 7"#],
                format!("a='one two' n=7 {rest}"),
            ),
            (&[r#"set(attributes["a"], nil)"#], format!("n=7 {rest}")),
            (&[r#"delete_key(attributes, "n")"#], format!("a='one two' {rest}")),
            (&[r#"keep_keys(attributes, ["n"])"#], "n=7".to_owned()),
            (&[r#"delete_matching_keys(attributes, "^(a|json)$")"#], "n=7 d=0.5 b=true".to_owned()),
            (
                &[r#"replace_all_patterns(attributes, "value", "o(n)e", "[$1]")"#],
                format!("a='[n] two' n=7 {rest}"),
            ),
            (
                &[r#"truncate_all(attributes, 3)"#],
                "a='one' n=7 d=0.5 b=true json='{\"x'".replace('\\', ""),
            ),
            (&[r#"limit(attributes, 2, ["b"])"#], "a='one two' b=true".to_owned()),
            (
                &[r#"merge_maps(attributes, {"a": "new", "z": 1}, "insert")"#],
                format!("a='one two' n=7 {rest} z=1"),
            ),
            (
                &[
                    r#"set(attributes["m"], ParseJSON(attributes["json"]))"#,
                    r#"set(attributes["y"], attributes["m"]["x"][1]["y"])"#,
                    r#"set(attributes["m"]["k"], nil)"#,
                    r#"delete_key(attributes, "json")"#,
                ],
                r#"a='one two' n=7 d=0.5 b=true m={"x":[1.0,{"y":"z"}]} y='z'"#.to_owned(),
            ),
            (
                &[
                    r#"set(cache["t"], otelcol.client.metadata["tenant"][0])"#,
                    r#"set(attributes["tenant"], cache["t"])"#,
                ],
                format!("a='one two' n=7 {rest} tenant='t1'"),
            ),
            (
                &[
                    r#"set(attributes["id"], Concat([trace_id.string, span_id.string, kind.string], "-"))"#,
                ],
                format!(
                    "a='one two' n=7 {rest} \
                     id='00000000000000000000000000000001-0000000000000001-Server'"
                ),
            ),
        ] {
            let mut batch = one(before());
            transformed(Context::Span, statements, &mut batch);
            let again = SpanBatch::decode(batch.encoded()).unwrap();
            assert_eq!(attributes(&again, Owner::Span(0)), after, "{statements:?}");
        }
    }

    #[test]
    fn of_attributes_with_one_key_the_last_is_set() {
        let mut batch = one(vec![("a", Int(1)), ("b", Int(2)), ("a", Int(3))]);
        transformed(Context::Span, &["set(attributes, attributes)"], &mut batch);
        assert_eq!(attributes(&batch, Owner::Span(0)), "a=3 b=2");
    }

    #[test]
    fn fields_are_set_and_read_back() {
        for (statement, field, value) in [
            (r#"set(name, "x")"#, "name", "x"),
            ("set(kind, SPAN_KIND_CLIENT)", "kind.string", "Client"),
            (r#"set(kind.string, "Producer")"#, "kind.deprecated_string", "SPAN_KIND_PRODUCER"),
            ("set(status.code, STATUS_CODE_ERROR)", "status.code", "2"),
            (r#"set(status.message, "why")"#, "status.message", "why"),
            (r#"set(trace_state["a"], "1")"#, "trace_state", "a=1"),
            ("set(start_time_unix_nano, 5)", "start_time_unix_nano", "5"),
            ("set(end_time, start_time)", "end_time_unix_nano", "1000000000"),
            (
                "set(trace_id, TraceID(0x000102030405060708090a0b0c0d0e0f))",
                "trace_id.string",
                "000102030405060708090a0b0c0d0e0f",
            ),
            (
                r#"set(parent_span_id.string, "00000000000000ff")"#,
                "parent_span_id.string",
                "00000000000000ff",
            ),
            ("set(dropped_attributes_count, 9)", "dropped_attributes_count", "9"),
            ("set(flags, 1)", "flags", "1"),
            (r#"set(resource.schema_url, "u")"#, "resource.schema_url", "u"),
            (r#"set(resource.attributes["r"], "v")"#, r#"resource.attributes["r"]"#, "v"),
            (r#"set(scope.name, "s")"#, "scope.name", "s"),
            (r#"set(scope.attributes["r"], true)"#, r#"scope.attributes["r"]"#, "true"),
        ] {
            let mut batch = one(vec![]);
            transformed(Context::Span, &[statement], &mut batch);
            let mut again = SpanBatch::decode(batch.encoded()).unwrap();
            let read = format!(r#"set(attributes["read"], String({field}))"#);
            transformed(Context::Span, &[&read], &mut again);
            let found = attributes(&again, Owner::Span(0));
            assert_eq!(found, format!("read='{value}'"), "{statement}");
        }
    }
}
