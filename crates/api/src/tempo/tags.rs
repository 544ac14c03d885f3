//! Names of attributes, and their values, for those who write queries.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri};
use query::static_text;
use serde::Serialize;
use store::{ChoiceRequest, Level, Store};
use traceql::{Attribute, Field, Intrinsic, Kind, Pipeline, Scope, Stage, Status};

use super::fault::Fault;
use super::parameters::Parameters;
use super::proto::{
    MetadataMetrics, SearchTagValuesResponse, SearchTagValuesV2Response, SearchTagsResponse,
    SearchTagsV2Response, SearchTagsV2Scope, TagValue,
};
use super::values::type_name;
use super::{PARTIAL, Shared};
use crate::extract::Segment;

/// How many values of one attribute, and names of one scope, are listed when nobody says.
const VALUES_MAX: usize = 10_000;

const INTRINSIC: &str = "intrinsic";

pub(super) async fn names_v1(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let names = names(api.store.as_ref(), &parameters).await?;
    Ok(response(names.partial, names.v1()))
}

pub(super) async fn names_v2(State(api): Shared, uri: Uri) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let names = names(api.store.as_ref(), &parameters).await?;
    Ok(response(names.partial, names.v2()))
}

pub(super) async fn values_v1(
    State(api): Shared,
    Segment(tag, _): Segment<Fault>,
    uri: Uri,
) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let values = values(api.store.as_ref(), &field_v1(&tag)?, &parameters).await?;
    Ok(response(values.partial, values.v1()))
}

pub(super) async fn values_v2(
    State(api): Shared,
    Segment(tag, _): Segment<Fault>,
    uri: Uri,
) -> Result<Response, Fault> {
    let parameters = Parameters::of(&uri, (api.clock)())?;
    let values = values(api.store.as_ref(), &field_v2(&tag)?, &parameters).await?;
    Ok(response(values.partial, values.v2()))
}

fn response(partial: bool, body: impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    if partial {
        response.headers_mut().insert(PARTIAL, HeaderValue::from_static("true"));
    }
    response
}

/// Names by scope.
pub(super) struct Names {
    scopes: Vec<(&'static str, BTreeSet<String>)>,
    limit: usize,
    /// No scope was asked for.
    all: bool,
    /// A damaged block is left out.
    partial: bool,
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
    let limit = limit(parameters)?;
    let found = store.names(request(parameters)?).await?;
    let mut scopes: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for (level, name) in found.names {
        scopes.entry(scope_of(level)).or_default().insert(name);
    }
    scopes.insert(INTRINSIC, intrinsics());
    let mut scopes: Vec<_> =
        SCOPES.into_iter().filter_map(|name| scopes.remove_entry(name)).collect();
    scopes.retain(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
    Ok(Names { scopes, limit, all: wanted.is_none(), partial: found.partial })
}

/// The spans that a request is about: of its range, and those of its filter, of which as much
/// counts as is whole.
fn request(parameters: &Parameters) -> Result<ChoiceRequest, Fault> {
    let (start, end) = parameters.range()?;
    let filter = parameters.query().and_then(|(_, text)| traceql::lenient(text));
    Ok(ChoiceRequest {
        pipeline: filter.map(|filter| Pipeline { stages: vec![Stage::Spansets(filter)] }),
        starts: start.unwrap_or(0)..=end.unwrap_or(u64::MAX),
    })
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
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Values with their types, most frequent first.
#[derive(Default)]
pub(super) struct Values {
    values: Vec<(String, &'static str)>,
    /// A damaged block is left out.
    partial: bool,
}

impl Values {
    pub(super) fn v1(self) -> SearchTagValuesResponse {
        let texts: BTreeSet<String> = self.values.into_iter().map(|(value, _)| value).collect();
        SearchTagValuesResponse {
            tag_values: texts.into_iter().collect(),
            metrics: Some(MetadataMetrics::default()),
        }
    }

    pub(super) fn v2(self) -> SearchTagValuesV2Response {
        let value =
            |(value, kind): (String, &'static str)| TagValue { r#type: kind.to_owned(), value };
        SearchTagValuesV2Response {
            tag_values: self.values.into_iter().map(value).collect(),
            metrics: Some(MetadataMetrics::default()),
        }
    }
}

/// The values of a field that a request asks for.
pub(super) async fn values(
    store: &dyn Store,
    field: &Field,
    parameters: &Parameters,
) -> Result<Values, Fault> {
    let limit = limit(parameters)?;
    let request = request(parameters)?;
    let mut answer = match field {
        Field::Intrinsic(Intrinsic::Status) => keywords(Status::ALL.map(Status::name)),
        Field::Intrinsic(Intrinsic::Kind) => keywords(Kind::ALL.map(Kind::name)),
        Field::Intrinsic(intrinsic) if !is_listed(*intrinsic) => Values::default(),
        field => {
            let found = store.field_values(request, field.clone(), limit).await?;
            let text = |(value, _)| (static_text(&value), type_name(&value));
            Values { values: found.values.into_iter().map(text).collect(), partial: found.partial }
        }
    };
    answer.values.truncate(limit);
    Ok(answer)
}

fn keywords<const N: usize>(names: [&'static str; N]) -> Values {
    let values = names.into_iter().map(|name| (name.to_owned(), "keyword")).collect();
    Values { values, partial: false }
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
