//! What a store must answer, computed from the spans one by one.

use std::collections::{BTreeMap, BTreeSet};

use model::{TraceId, status_code};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use store::{
    AttributeCondition, AttributeRow, Durations, EdgeRequest, EdgeRow, Level, OperationRow,
    RedRequest, RedSeries, Series, SeriesBy, SeriesRequest, ServiceRow, ServiceShare, SpanFilter,
    TraceSummary, ValueList, ValueRow, ValueType,
};

use crate::sent::Sent;

pub struct Oracle<'a>(pub &'a [Sent]);

fn service(sent: &Sent) -> &str {
    let name = sent.resource.attributes.iter().find_map(|attribute| {
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(name) if attribute.key == "service.name" => Some(name.as_str()),
            _ => None,
        }
    });
    name.unwrap_or_default()
}

fn status(sent: &Sent) -> i32 {
    sent.span.status.as_ref().map_or(0, |status| status.code)
}

fn error(sent: &Sent) -> u64 {
    u64::from(status(sent) == status_code::ERROR)
}

fn start(sent: &Sent) -> u64 {
    sent.span.start_time_unix_nano
}

fn end(sent: &Sent) -> u64 {
    sent.span.end_time_unix_nano
}

fn id(id: &[u8]) -> u64 {
    id.try_into().map_or(0, u64::from_be_bytes)
}

/// As sums of many see it: see `store::scan::duration`.
fn duration(sent: &Sent) -> u64 {
    (end(sent).wrapping_sub(start(sent)) as i64).max(0) as u64
}

/// As searches see it: see `store::scan::length`.
fn length(sent: &Sent) -> u64 {
    match end(sent).wrapping_sub(start(sent)) {
        nanos if nanos < 1 << 63 => nanos,
        _ => end(sent).saturating_sub(start(sent)),
    }
}

/// All attributes of a span, its origin, its events and links.
pub fn lists(sent: &Sent) -> Vec<(Level, &[KeyValue])> {
    let mut all = vec![
        (Level::Resource, &sent.resource.attributes[..]),
        (Level::Scope, &sent.scope.attributes[..]),
        (Level::Span, &sent.span.attributes[..]),
    ];
    all.extend(sent.span.events.iter().map(|event| (Level::Event, &event.attributes[..])));
    all.extend(sent.span.links.iter().map(|link| (Level::Link, &link.attributes[..])));
    all
}

fn value(attribute: &KeyValue) -> Option<&Value> {
    attribute.value.as_ref()?.value.as_ref()
}

/// The type, and the text unless values of the type are not offered.
fn typed(attribute: &KeyValue) -> (ValueType, Option<String>) {
    match value(attribute) {
        Some(Value::StringValue(text)) => (ValueType::String, Some(text.clone())),
        Some(Value::IntValue(number)) => (ValueType::Int, Some(number.to_string())),
        Some(Value::DoubleValue(number)) => (ValueType::Double, Some(number.to_string())),
        Some(Value::BoolValue(truth)) => (ValueType::Bool, Some(truth.to_string())),
        Some(Value::BytesValue(_)) => (ValueType::Bytes, None),
        _ => (ValueType::Any, None),
    }
}

fn meets(sent: &Sent, condition: &AttributeCondition) -> bool {
    let wanted = &condition.value;
    lists(sent).into_iter().any(|(level, list)| {
        condition.level.is_none_or(|of| of == level)
            && list.iter().any(|attribute| {
                attribute.key == condition.key
                    && match value(attribute) {
                        Some(Value::StringValue(text)) => text == wanted,
                        Some(Value::IntValue(number)) => wanted.parse() == Ok(*number),
                        Some(Value::DoubleValue(number)) => wanted.parse() == Ok(*number),
                        Some(Value::BoolValue(truth)) => wanted.parse() == Ok(*truth),
                        _ => false,
                    }
            })
    })
}

pub fn matches(sent: &Sent, filter: &SpanFilter) -> bool {
    filter.service.as_ref().is_none_or(|name| name == service(sent))
        && filter.operation.as_ref().is_none_or(|name| *name == sent.span.name)
        && filter.attributes.iter().all(|condition| meets(sent, condition))
        && filter.status.is_none_or(|code| code == status(sent))
        && filter.duration_min_nano.is_none_or(|least| length(sent) >= least)
        && filter.duration_max_nano.is_none_or(|most| length(sent) <= most)
        && filter.start_min_unix_nano.is_none_or(|first| start(sent) >= first)
        && filter.start_max_unix_nano.is_none_or(|end| start(sent) < end)
}

/// The summary of spans that are all of one trace.
fn summary(spans: &[&Sent]) -> TraceSummary {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|sent| (start(sent), id(&sent.span.span_id), end(sent), sent.span.kind));
    let parent = |sent: &Sent| id(&sent.span.parent_span_id);
    let root = spans.iter().find(|sent| parent(sent) == 0);
    let named = root.unwrap_or(&spans[0]);
    let orphan = |at: usize| {
        let parent = parent(spans[at]);
        parent != 0
            && !(0..spans.len())
                .any(|other| other != at && id(&spans[other].span.span_id) == parent)
    };
    let first = spans.iter().map(|sent| start(sent)).filter(|&start| start > 0).min().unwrap_or(0);
    let last = spans.iter().map(|sent| end(sent).max(start(sent))).max().unwrap();
    let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for sent in &spans {
        let (spans, errors) = services.entry(service(sent)).or_default();
        *spans += 1;
        *errors += error(sent);
    }
    TraceSummary {
        trace_id: spans[0].trace(),
        root_service: service(named).to_owned(),
        root_name: named.span.name.clone(),
        start_unix_nano: first,
        duration_nano: last.saturating_sub(first),
        span_count: spans.len() as u64,
        error_count: spans.iter().map(|sent| error(sent)).sum(),
        services: services
            .into_iter()
            .map(|(name, (span_count, error_count))| ServiceShare {
                name: name.to_owned(),
                span_count,
                error_count,
            })
            .collect(),
        missing_root: root.is_none(),
        orphan_count: (0..spans.len()).filter(|&at| orphan(at)).count() as u64,
    }
}

impl Oracle<'_> {
    pub fn traces(&self) -> BTreeSet<TraceId> {
        self.0.iter().map(Sent::trace).collect()
    }

    pub fn summary(&self, trace: TraceId) -> TraceSummary {
        summary(&self.0.iter().filter(|sent| sent.trace() == trace).collect::<Vec<_>>())
    }

    /// All traces that match, in the order of results.
    pub fn search(&self, filter: &SpanFilter) -> Vec<TraceSummary> {
        let matched: BTreeSet<TraceId> =
            self.0.iter().filter(|sent| matches(sent, filter)).map(Sent::trace).collect();
        let mut found: Vec<TraceSummary> =
            matched.into_iter().map(|trace| self.summary(trace)).collect();
        found.sort_by_key(|row| (std::cmp::Reverse(row.start_unix_nano), row.trace_id.to_number()));
        found
    }

    /// By number of spans, then by name.
    pub fn series(&self, request: &SeriesRequest) -> Vec<Series> {
        let mut all: BTreeMap<Option<String>, Series> = BTreeMap::new();
        for sent in self.0 {
            let bounds = SpanFilter {
                start_min_unix_nano: None,
                start_max_unix_nano: None,
                ..request.filter.clone()
            };
            let Some(offset) = start(sent).checked_sub(request.start_unix_nano) else { continue };
            let step = (offset / request.step_nano) as usize;
            if step >= request.steps || !matches(sent, &bounds) {
                continue;
            }
            let name = request.by.map(|by| match by {
                SeriesBy::Service => service(sent).to_owned(),
                SeriesBy::Operation => sent.span.name.clone(),
            });
            let zeros = || vec![0; request.steps];
            let series = all.entry(name.clone()).or_insert_with(|| Series {
                name,
                spans: zeros(),
                errors: zeros(),
                duration_sum_nano: zeros(),
            });
            series.spans[step] += 1;
            series.errors[step] += error(sent);
            let sum = &mut series.duration_sum_nano[step];
            *sum = sum.saturating_add(duration(sent));
        }
        let mut all: Vec<Series> = all.into_values().collect();
        all.sort_by_key(|series| std::cmp::Reverse(series.spans.iter().sum::<u64>()));
        all.truncate(request.series_max);
        all
    }

    /// Calls by the services of span and parent; ids are distinct.
    pub fn edges(&self, request: &EdgeRequest) -> Vec<EdgeRow> {
        let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        for sent in self.0 {
            let range = request.start_unix_nano..request.end_unix_nano;
            let parent = self.0.iter().find(|other| {
                other.span.span_id == sent.span.parent_span_id
                    && other.span.span_id != sent.span.span_id
                    && other.trace() == sent.trace()
            });
            let Some(parent) = parent.filter(|_| range.contains(&start(sent))) else { continue };
            let is_call = [model::kind::SERVER, model::kind::CONSUMER].contains(&sent.span.kind);
            if service(parent) != service(sent) || is_call {
                let (calls, errors) = counts.entry((service(parent), service(sent))).or_default();
                *calls += 1;
                *errors += error(sent);
            }
        }
        let row = |((parent, child), (call_count, error_count)): ((&str, &str), _)| EdgeRow {
            parent: parent.to_owned(),
            child: child.to_owned(),
            call_count,
            error_count,
        };
        counts.into_iter().map(row).collect()
    }

    pub fn red(&self, request: &RedRequest) -> Vec<RedSeries> {
        let mut all: BTreeMap<(String, Option<String>), RedSeries> = BTreeMap::new();
        for sent in self.0 {
            let Some(offset) = start(sent).checked_sub(request.start_unix_nano) else { continue };
            let step = (offset / request.step_nano) as usize;
            let is_kind = request.kinds.is_empty() || request.kinds.contains(&sent.span.kind);
            let is_service = request.services.iter().any(|name| name == service(sent));
            if step >= request.steps || !is_kind || !is_service {
                continue;
            }
            let operation = request.by_operation.then(|| sent.span.name.clone());
            let key = (service(sent).to_owned(), operation);
            let series = all.entry(key.clone()).or_insert_with(|| RedSeries {
                service: key.0,
                operation: key.1,
                spans: vec![0; request.steps],
                errors: vec![0; request.steps],
                durations: vec![Durations::default(); request.steps],
            });
            series.spans[step] += 1;
            series.errors[step] += error(sent);
            series.durations[step].add(duration(sent));
        }
        all.into_values().collect()
    }

    pub fn services(&self) -> Vec<ServiceRow> {
        let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for sent in self.0 {
            let (spans, errors) = counts.entry(service(sent)).or_default();
            *spans += 1;
            *errors += error(sent);
        }
        let row = |(name, (span_count, error_count)): (&str, _)| ServiceRow {
            name: name.to_owned(),
            span_count,
            error_count,
        };
        counts.into_iter().map(row).collect()
    }

    pub fn operations(&self, of: Option<&str>) -> Vec<OperationRow> {
        let mut counts: BTreeMap<(&str, &str, i32), (u64, u64)> = BTreeMap::new();
        for sent in self.0.iter().filter(|sent| of.is_none_or(|of| of == service(sent))) {
            let key = (service(sent), sent.span.name.as_str(), sent.span.kind);
            let (spans, errors) = counts.entry(key).or_default();
            *spans += 1;
            *errors += error(sent);
        }
        let row = |((service, name, kind), (span_count, error_count)): ((&str, &str, i32), _)| {
            OperationRow {
                service: service.to_owned(),
                name: name.to_owned(),
                kind,
                span_count,
                error_count,
            }
        };
        counts.into_iter().map(row).collect()
    }

    pub fn attributes(&self) -> Vec<AttributeRow> {
        let mut counts: BTreeMap<(Level, &str, ValueType), u64> = BTreeMap::new();
        for (level, list) in self.0.iter().flat_map(lists) {
            for attribute in list {
                *counts.entry((level, &attribute.key, typed(attribute).0)).or_default() += 1;
            }
        }
        let row = |((level, key, value_type), count): ((_, &str, _), _)| AttributeRow {
            level,
            key: key.to_owned(),
            value_type,
            count,
        };
        counts.into_iter().map(row).collect()
    }

    pub fn values(&self, of: Option<Level>, key: &str, limit: usize) -> ValueList {
        let mut counts: BTreeMap<(ValueType, String), u64> = BTreeMap::new();
        let mut complete = true;
        for (level, list) in self.0.iter().flat_map(lists) {
            let here = of.is_none_or(|of| of == level);
            for attribute in list.iter().filter(|attribute| here && attribute.key == key) {
                match typed(attribute) {
                    (value_type, Some(text)) => *counts.entry((value_type, text)).or_default() += 1,
                    (_, None) => complete = false,
                }
            }
        }
        complete &= counts.len() <= limit;
        let row = |((value_type, value), count)| ValueRow { value, value_type, count };
        let mut values: Vec<ValueRow> = counts.into_iter().map(row).collect();
        values.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        values.truncate(limit);
        ValueList { values, complete }
    }
}
