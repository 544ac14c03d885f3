//! Names of attributes, and their values, for those who write queries.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::Uri;
use query::static_text;
use store::{Level, MeasureRequest, Measured, Store, ValueType};
use traceql::{
    Attribute, Field, FieldExpr, Intrinsic, Kind, MetricsFunction, MetricsLeaf, Pipeline, Scope,
    SpansetExpr, Stage, Static, Status,
};

use super::Shared;
use super::fault::Fault;
use super::parameters::Parameters;
use super::proto::{
    MetadataMetrics, SearchTagValuesResponse, SearchTagValuesV2Response, SearchTagsResponse,
    SearchTagsV2Response, SearchTagsV2Scope, TagValue,
};
use super::values::type_name;

/// How many values of one attribute are listed when nobody says.
const VALUES_MAX: usize = 10_000;

const INTRINSIC: &str = "intrinsic";

pub(super) async fn names_v1(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    Ok(Json(names(api.store.as_ref(), &parameters).await?.v1()).into_response())
}

pub(super) async fn names_v2(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    Ok(Json(names(api.store.as_ref(), &parameters).await?.v2()).into_response())
}

pub(super) async fn values_v1(
    State(api): Shared,
    Path(tag): Path<String>,
    uri: Uri,
) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let values = values(api.store.as_ref(), &field_v1(&tag)?, &parameters).await?;
    Ok(Json(v1(values)).into_response())
}

pub(super) async fn values_v2(
    State(api): Shared,
    Path(tag): Path<String>,
    uri: Uri,
) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let values = values(api.store.as_ref(), &field_v2(&tag)?, &parameters).await?;
    Ok(Json(v2(values)).into_response())
}

/// Names by scope.
pub(super) struct Names {
    scopes: Vec<(&'static str, BTreeSet<String>)>,
    limit: usize,
    /// No scope was asked for.
    all: bool,
}

impl Names {
    pub(super) fn v1(self) -> SearchTagsResponse {
        // Whoever asks for no scope asks for attributes.
        let wanted = |scope: &str| !self.all || scope != INTRINSIC;
        let names = self.scopes.into_iter().filter(|(scope, _)| wanted(scope));
        let names: BTreeSet<String> = names.flat_map(|(_, names)| names).collect();
        SearchTagsResponse {
            tag_names: names.into_iter().take(self.limit).collect(),
            metrics: Some(MetadataMetrics::default()),
        }
    }

    pub(super) fn v2(self) -> SearchTagsV2Response {
        let scope = |(name, tags): (&str, BTreeSet<String>)| SearchTagsV2Scope {
            name: name.to_owned(),
            tags: tags.into_iter().take(self.limit).collect(),
        };
        let some = self.scopes.into_iter().filter(|(_, tags)| !tags.is_empty());
        SearchTagsV2Response {
            scopes: some.map(scope).collect(),
            metrics: Some(MetadataMetrics::default()),
        }
    }
}

/// The names that a request asks for: of a scope or all, of all spans or those of a query.
pub(super) async fn names(store: &dyn Store, parameters: &Parameters) -> Result<Names, Fault> {
    const SCOPES: [&str; 6] = ["resource", "span", "event", "link", "instrumentation", INTRINSIC];
    let wanted = parameters.text("scope").filter(|scope| *scope != "none");
    if let Some(wanted) = wanted
        && !SCOPES.contains(&wanted)
    {
        let problem = format!("{wanted:?} is none of {}", SCOPES.join(", "));
        return Err(Fault::parameter("scope", problem));
    }
    let mut scopes: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    let filter = parameters.query().and_then(|(_, text)| traceql::lenient(text));
    let range = parameters.range()?;
    match filter {
        Some(filter) => {
            let function = MetricsFunction::Compare {
                selection: FieldExpr::Static(Static::Bool(true)),
                top_n: 1,
                range: None,
            };
            let measured = measure(store, filter, function, Vec::new(), range).await?;
            let labels = measured.series.iter().flat_map(|series| &series.labels);
            for (label, _) in labels {
                if let Ok(Field::Attribute(Attribute { scope, name, .. })) =
                    traceql::attribute(label)
                {
                    scopes.entry(scope.name()).or_default().insert(name);
                }
            }
        }
        None => {
            for row in store.attributes().await? {
                scopes.entry(scope_of(row.level)).or_default().insert(row.key);
            }
        }
    }
    scopes.insert(INTRINSIC, intrinsics());
    let mut scopes: Vec<_> =
        SCOPES.into_iter().filter_map(|name| scopes.remove_entry(name)).collect();
    scopes.retain(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    Ok(Names { scopes, limit: limit(parameters)?, all: wanted.is_none() })
}

/// 0 is no limit.
fn limit(parameters: &Parameters) -> Result<usize, Fault> {
    let limit = parameters.number("limit", 0, usize::MAX)?.filter(|limit| *limit > 0);
    parameters.number("maxStaleValues", 0, usize::MAX)?;
    Ok(limit.unwrap_or(VALUES_MAX))
}

fn scope_of(level: Level) -> &'static str {
    match level {
        Level::Resource => Scope::Resource.name(),
        Level::Scope => Scope::Instrumentation.name(),
        Level::Span => Scope::Span.name(),
        Level::Event => Scope::Event.name(),
        Level::Link => Scope::Link.name(),
    }
}

/// What every span has, under all of its names.
fn intrinsics() -> BTreeSet<String> {
    use Intrinsic::{NestedSetLeft, NestedSetParent, NestedSetRight, Parent};
    let inner = [NestedSetLeft, NestedSetParent, NestedSetRight, Parent];
    let shown = Intrinsic::ALL.iter().filter(|intrinsic| !inner.contains(intrinsic));
    let names = shown.flat_map(|intrinsic| [Some(intrinsic.name()), intrinsic.alias()]);
    names.flatten().map(str::to_owned).collect()
}

/// What the first version of the API calls a tag.
pub(super) fn field_v1(tag: &str) -> Result<Field, Fault> {
    let intrinsic = match tag {
        "root.name" => Some(Intrinsic::RootName),
        "root.service.name" => Some(Intrinsic::RootServiceName),
        "status.code" => Some(Intrinsic::Status),
        other => Intrinsic::from_name(other),
    };
    match intrinsic {
        Some(intrinsic) => Ok(Field::Intrinsic(intrinsic)),
        None if tag.is_empty() => Err(Fault::parameter("tag", "name an attribute")),
        None => {
            let name = tag.to_owned();
            Ok(Field::Attribute(Attribute { scope: Scope::Any, parent: false, name }))
        }
    }
}

/// What the second one does: a name of the language, which clients encode twice.
pub(super) fn field_v2(tag: &str) -> Result<Field, Fault> {
    let decoded = percent_decoded(tag);
    match traceql::attribute(tag) {
        Ok(field) => Ok(field),
        Err(error) => traceql::attribute(&decoded).map_err(|_| Fault::query("tag", tag, &error)),
    }
}

/// A text with its escapes `%41` resolved; as it is where they are none.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let code = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

pub(super) fn v1(values: Vec<(String, &'static str)>) -> SearchTagValuesResponse {
    let texts: BTreeSet<String> = values.into_iter().map(|(value, _)| value).collect();
    SearchTagValuesResponse {
        tag_values: texts.into_iter().collect(),
        metrics: Some(MetadataMetrics::default()),
    }
}

pub(super) fn v2(values: Vec<(String, &'static str)>) -> SearchTagValuesV2Response {
    let value = |(value, kind): (String, &'static str)| TagValue { r#type: kind.to_owned(), value };
    SearchTagValuesV2Response {
        tag_values: values.into_iter().map(value).collect(),
        metrics: Some(MetadataMetrics::default()),
    }
}

/// Values and their types, most frequent first.
pub(super) async fn values(
    store: &dyn Store,
    field: &Field,
    parameters: &Parameters,
) -> Result<Vec<(String, &'static str)>, Fault> {
    let limit = limit(parameters)?;
    let range = parameters.range()?;
    let filter = parameters.query().and_then(|(_, text)| traceql::lenient(text));
    let mut values = match (field, filter) {
        (Field::Intrinsic(Intrinsic::Status), _) => keywords(Status::ALL.map(Status::name)),
        (Field::Intrinsic(Intrinsic::Kind), _) => keywords(Kind::ALL.map(Kind::name)),
        (Field::Intrinsic(intrinsic), _) if !is_listed(*intrinsic) => Vec::new(),
        (Field::Attribute(attribute), None) => of_table(store, attribute, limit).await?,
        (field, filter) => {
            let all = SpansetExpr::Filter(FieldExpr::Static(Static::Bool(true)));
            counted(store, filter.unwrap_or(all), field, range).await?
        }
    };
    values.truncate(limit);
    Ok(values)
}

fn keywords<const N: usize>(names: [&'static str; N]) -> Vec<(String, &'static str)> {
    names.into_iter().map(|name| (name.to_owned(), "keyword")).collect()
}

/// Numbers and ids have no values to choose from.
fn is_listed(intrinsic: Intrinsic) -> bool {
    use Intrinsic::{
        EventName, InstrumentationName, InstrumentationVersion, Name, RootName, RootServiceName,
        StatusMessage,
    };
    matches!(
        intrinsic,
        EventName
            | InstrumentationName
            | InstrumentationVersion
            | Name
            | RootName
            | RootServiceName
            | StatusMessage
    )
}

async fn of_table(
    store: &dyn Store,
    attribute: &Attribute,
    limit: usize,
) -> Result<Vec<(String, &'static str)>, Fault> {
    let level = match attribute.scope {
        Scope::Any => None,
        Scope::Span => Some(Level::Span),
        Scope::Resource => Some(Level::Resource),
        Scope::Event => Some(Level::Event),
        Scope::Link => Some(Level::Link),
        Scope::Instrumentation => Some(Level::Scope),
    };
    let list = store.attribute_values(level, attribute.name.clone(), limit).await?;
    let rows = list.values.into_iter().filter_map(|row| {
        let kind = match row.value_type {
            ValueType::String => "string",
            ValueType::Int => "int",
            ValueType::Double => "float",
            ValueType::Bool => "bool",
            // The language compares neither.
            ValueType::Bytes | ValueType::Any => return None,
        };
        Some((row.value, kind))
    });
    Ok(rows.collect())
}

/// The values of a field among the spans of a query.
async fn counted(
    store: &dyn Store,
    filter: SpansetExpr,
    field: &Field,
    range: (Option<u64>, Option<u64>),
) -> Result<Vec<(String, &'static str)>, Fault> {
    let function = MetricsFunction::CountOverTime;
    let measured = measure(store, filter, function, vec![field.clone()], range).await?;
    let label = field.to_string();
    let mut values = Vec::new();
    for series in measured.series {
        let count = series.values.first().copied().unwrap_or(0.0);
        let value = series.labels.into_iter().find(|(name, _)| *name == label);
        if let Some((_, value)) = value.filter(|(_, value)| *value != Static::Nil && count > 0.0) {
            values.push((count, static_text(&value), type_name(&value)));
        }
    }
    values.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    // What spans lack is a group, too, under a text of the language.
    values.retain(|(_, text, kind)| (text.as_str(), *kind) != ("nil", "string"));
    Ok(values.into_iter().map(|(_, text, kind)| (text, kind)).collect())
}

/// Counts the spans of a query over the whole of a range.
async fn measure(
    store: &dyn Store,
    filter: SpansetExpr,
    function: MetricsFunction,
    by: Vec<Field>,
    (start, end): (Option<u64>, Option<u64>),
) -> Result<Measured, Fault> {
    let pipeline = Pipeline { stages: vec![Stage::Spansets(filter)] };
    let start_unix_nano = start.unwrap_or(0);
    let end = end.unwrap_or(i64::MAX.cast_unsigned()).max(start_unix_nano.saturating_add(1));
    let request = MeasureRequest {
        leaf: MetricsLeaf { pipeline, function, by },
        start_unix_nano,
        step_nano: (end - start_unix_nano).max(1),
        steps: 1,
        exemplars_max: 0,
    };
    Ok(store.measure(request).await?)
}
