//! A search as Jaeger's clients ask for one, carried out on the store.

use std::sync::Arc;

use model::{kind, status_code};
use store::{AttributeCondition, Level, Position, SearchRequest, SpanFilter, Store, TraceSummary};

use super::candidates::Finder;
use super::filter::Predicate;
use super::matching::{Residual, matches};
use super::problem::Problem;
use super::stored_service;
use super::traces::blocking;

/// The most traces that one search returns.
pub(super) const LIMIT_MAX: usize = 10_000;

/// How many traces a search has by default.
pub(super) const LIMIT_DEFAULT: usize = 100;

/// Traces that are read whole at the most without being found to be what is asked for.
pub(super) const CANDIDATES_MAX: usize = 5_000;

/// Traces that are asked of the store at once, at least, when some of them may fall away.
const PAGE: usize = 100;

/// One span of each trace found meets all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ask {
    pub(super) service: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    /// A structured filter.
    pub(super) filter: Option<Predicate>,
    pub(super) start_unix_nano: Option<u64>,
    /// The start must be before this.
    pub(super) end_unix_nano: Option<u64>,
    pub(super) duration_min_nano: Option<u64>,
    pub(super) duration_max_nano: Option<u64>,
    pub(super) limit: usize,
    pub(super) after: Option<Position>,
}

/// What a search found, newest first.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) traces: Vec<TraceSummary>,
    pub(super) more: bool,
    /// A damaged block was left out, or older traces were not looked at.
    pub(super) partial: bool,
}

impl Ask {
    pub(super) async fn find(&self, store: &dyn Store) -> Result<Found, Problem> {
        let (filter, residual) = self.conditions();
        if residual.is_empty() {
            let request = SearchRequest { filter, limit: self.limit, after: self.after };
            let page = store.search(request).await?;
            let store::SearchPage { traces, more, partial } = page;
            return Ok(Found { traces, more, partial });
        }
        let finder = Finder::new(filter.clone(), &residual);
        let conditions = Arc::new((filter, residual));
        let mut found = Found::default();
        let mut after = self.after;
        let mut fell_away = 0;
        loop {
            let wanted = (self.limit - found.traces.len()).saturating_add(1);
            let page = finder.page(store, after, wanted.max(PAGE)).await?;
            found.partial |= page.partial;
            for summary in page.traces {
                let (start_unix_nano, trace_id) = (summary.start_unix_nano, summary.trace_id);
                after = Some(Position { start_unix_nano, trace_id });
                let Some(spans) = store.trace(trace_id).await?.spans else { continue };
                let conditions = conditions.clone();
                let is_one = move || matches(&spans, &conditions.0, &conditions.1);
                if !blocking(is_one).await? {
                    fell_away += 1;
                    continue;
                }
                if found.traces.len() == self.limit {
                    found.more = true;
                    return Ok(found);
                }
                found.traces.push(summary);
            }
            if !page.more {
                return Ok(found);
            }
            if fell_away >= CANDIDATES_MAX {
                found.partial = true;
                return Ok(found);
            }
        }
    }

    /// What the store can look for, and what is left to be seen on the spans themselves.
    pub(super) fn conditions(&self) -> (SpanFilter, Vec<Residual>) {
        let mut filter = SpanFilter {
            service: self.service.as_deref().map(stored_service),
            operation: self.operation.clone(),
            duration_min_nano: self.duration_min_nano,
            duration_max_nano: self.duration_max_nano,
            start_min_unix_nano: self.start_unix_nano,
            start_max_unix_nano: self.end_unix_nano,
            ..SpanFilter::default()
        };
        let mut residual: Vec<Residual> =
            self.filter.iter().cloned().map(Residual::Filter).collect();
        let attribute = |level: Option<Level>, key: &str, value: &str| AttributeCondition {
            level,
            key: key.to_owned(),
            value: value.to_owned(),
        };
        for (key, value) in &self.tags {
            match tag(key, value) {
                Tag::Status(code) if filter.status.is_none_or(|status| status == code) => {
                    filter.status = Some(code);
                }
                Tag::Status(_) => residual.push(Residual::Never),
                Tag::Residual(condition) => residual.push(condition),
                Tag::Plain => match key.strip_prefix("resource.") {
                    Some(key) => {
                        filter.attributes.push(attribute(Some(Level::Resource), key, value));
                    }
                    None => filter.attributes.push(attribute(None, key, value)),
                },
            }
        }
        (filter, residual)
    }
}

/// What a tag of Jaeger's asks for.
enum Tag {
    Plain,
    Status(i32),
    Residual(Residual),
}

/// Tags that are no attributes in OTLP, but fields.
fn tag(key: &str, value: &str) -> Tag {
    let owned = || value.to_owned();
    match (key, value) {
        ("error", "true") => Tag::Status(status_code::ERROR),
        ("error", "false") => Tag::Residual(Residual::NoError),
        ("otel.status_code" | "span.status", code) => match code.to_ascii_lowercase().as_str() {
            "ok" => Tag::Status(status_code::OK),
            "error" => Tag::Status(status_code::ERROR),
            "unset" => Tag::Status(status_code::UNSET),
            _ => Tag::Residual(Residual::Never),
        },
        ("otel.status_description", _) => Tag::Residual(Residual::StatusMessage(owned())),
        ("span.kind", name) => {
            let known = kind::UNSPECIFIED..=kind::CONSUMER;
            let wanted = known.into_iter().find(|&of| kind::name(of).eq_ignore_ascii_case(name));
            Tag::Residual(wanted.map_or(Residual::Never, Residual::Kind))
        }
        ("otel.scope.name" | "otel.library.name" | "scope.name", _) => {
            Tag::Residual(Residual::ScopeName(owned()))
        }
        ("otel.scope.version" | "otel.library.version" | "scope.version", _) => {
            Tag::Residual(Residual::ScopeVersion(owned()))
        }
        ("w3c.tracestate", _) => Tag::Residual(Residual::TraceState(owned())),
        ("event", _) => Tag::Residual(Residual::Event(owned())),
        _ => Tag::Plain,
    }
}
