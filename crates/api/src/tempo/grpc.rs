//! The streaming query service, with reflection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use futures_util::stream::{self, Stream, StreamExt};
use prost::Message;
use store::{FindRequest, FoundPage, QueryError};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::fault::Fault;
use super::metrics::Asked;
use super::parameters::Parameters;
use super::proto::streaming_querier_server::{StreamingQuerier, StreamingQuerierServer};
use super::proto::{
    QueryInstantRequest, QueryInstantResponse, QueryRangeRequest, QueryRangeResponse,
    SearchRequest, SearchResponse, SearchTagValuesRequest, SearchTagValuesResponse,
    SearchTagValuesV2Response, SearchTagsRequest, SearchTagsResponse, SearchTagsV2Response,
    TraceSearchMetadata,
};
use super::{search, tags};
use crate::Api;

/// What reflection tells.
const SERVICES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tempo.bin"));

/// How long a message may be, but for one that holds a single item: clients take 4 MiB by default.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Pages of a search that wait for a slow client; more are not made.
const PROGRESS_MAX: usize = 1;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<Answers<T>>, Status>;

/// The paths of the service.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let service = StreamingQuerierServer::new(Service { api: api.clone() })
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let mut routes = Routes::new(service);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(SERVICES)
    };
    // Both speak of the same; older clients know the one, newer ones the other.
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        routes = routes.add_service(v1).add_service(v1alpha);
    }
    routes.into_axum_router()
}

struct Service {
    api: Arc<Api>,
}

impl Service {
    /// The parameters that fields stand for; one that is not set is none.
    fn parameters<const N: usize>(&self, pairs: [(&str, Option<String>); N]) -> Parameters {
        let given = pairs.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
        Parameters::of_pairs(given.collect(), (self.api.clock)())
    }

    fn of_names(&self, message: SearchTagsRequest) -> Parameters {
        self.parameters([
            ("scope", Some(message.scope)),
            ("q", Some(message.query)),
            ("start", set(message.start)),
            ("end", set(message.end)),
            ("limit", set(message.max_tags_per_scope)),
        ])
    }

    fn of_values(&self, message: &SearchTagValuesRequest) -> Parameters {
        self.parameters([
            ("q", Some(message.query.clone())),
            ("start", set(message.start)),
            ("end", set(message.end)),
            ("limit", set(message.max_tag_values)),
        ])
    }
}

fn set<T: Default + PartialEq + ToString>(number: T) -> Option<String> {
    (number != T::default()).then(|| number.to_string())
}

fn refused(fault: impl Into<Fault>) -> Status {
    fault.into().status()
}

#[tonic::async_trait]
impl StreamingQuerier for Service {
    type SearchStream = Answers<SearchResponse>;
    type SearchTagsStream = Answers<SearchTagsResponse>;
    type SearchTagsV2Stream = Answers<SearchTagsV2Response>;
    type SearchTagValuesStream = Answers<SearchTagValuesResponse>;
    type SearchTagValuesV2Stream = Answers<SearchTagValuesV2Response>;
    type MetricsQueryRangeStream = Answers<QueryRangeResponse>;
    type MetricsQueryInstantStream = Answers<QueryInstantResponse>;

    async fn search(&self, request: Request<SearchRequest>) -> Answer<SearchResponse> {
        let request = search::request_of(request.into_inner(), (self.api.clock)());
        let request = request.map_err(refused)?;
        Ok(Response::new(searched(self.api.clone(), request)))
    }

    async fn search_tags(&self, request: Request<SearchTagsRequest>) -> Answer<SearchTagsResponse> {
        let parameters = self.of_names(request.into_inner());
        let names = tags::names(self.api.store.as_ref(), &parameters).await.map_err(refused)?;
        let SearchTagsResponse { tag_names, metrics } = names.v1();
        Ok(in_messages(tag_names, String::len, move |tag_names| SearchTagsResponse {
            tag_names,
            metrics,
        }))
    }

    async fn search_tags_v2(
        &self,
        request: Request<SearchTagsRequest>,
    ) -> Answer<SearchTagsV2Response> {
        let parameters = self.of_names(request.into_inner());
        let names = tags::names(self.api.store.as_ref(), &parameters).await.map_err(refused)?;
        let SearchTagsV2Response { scopes, metrics } = names.v2();
        Ok(in_messages(scopes, Message::encoded_len, move |scopes| SearchTagsV2Response {
            scopes,
            metrics,
        }))
    }

    async fn search_tag_values(
        &self,
        request: Request<SearchTagValuesRequest>,
    ) -> Answer<SearchTagValuesResponse> {
        let message = request.into_inner();
        let field = tags::field_v1(&message.tag_name).map_err(refused)?;
        let parameters = self.of_values(&message);
        let values = tags::values(self.api.store.as_ref(), &field, &parameters).await;
        let SearchTagValuesResponse { tag_values, metrics } = tags::v1(values.map_err(refused)?);
        Ok(in_messages(tag_values, String::len, move |tag_values| SearchTagValuesResponse {
            tag_values,
            metrics,
        }))
    }

    async fn search_tag_values_v2(
        &self,
        request: Request<SearchTagValuesRequest>,
    ) -> Answer<SearchTagValuesV2Response> {
        let message = request.into_inner();
        let field = tags::field_v2(&message.tag_name).map_err(refused)?;
        let parameters = self.of_values(&message);
        let values = tags::values(self.api.store.as_ref(), &field, &parameters).await;
        let SearchTagValuesV2Response { tag_values, metrics } = tags::v2(values.map_err(refused)?);
        Ok(in_messages(tag_values, Message::encoded_len, move |tag_values| {
            SearchTagValuesV2Response { tag_values, metrics }
        }))
    }

    async fn metrics_query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Answer<QueryRangeResponse> {
        let message = request.into_inner();
        let parameters = self.parameters([
            ("q", Some(message.query)),
            ("start", set(message.start).map(nanoseconds)),
            ("end", set(message.end).map(nanoseconds)),
            ("step", set(message.step).map(|step| format!("{step}ns"))),
            ("exemplars", Some(message.exemplars.to_string())),
            ("maxSeries", set(message.max_series)),
        ]);
        let asked = Asked::of(&parameters, false).map_err(refused)?;
        let answer = asked.run(self.api.store.as_ref()).await.map_err(refused)?.range();
        let QueryRangeResponse { series, metrics, status, message } = answer;
        Ok(in_messages(series, Message::encoded_len, move |series| QueryRangeResponse {
            series,
            metrics,
            status,
            message: message.clone(),
        }))
    }

    async fn metrics_query_instant(
        &self,
        request: Request<QueryInstantRequest>,
    ) -> Answer<QueryInstantResponse> {
        let message = request.into_inner();
        let parameters = self.parameters([
            ("q", Some(message.query)),
            ("start", set(message.start).map(nanoseconds)),
            ("end", set(message.end).map(nanoseconds)),
        ]);
        let asked = Asked::of(&parameters, true).map_err(refused)?;
        let answer = asked.run(self.api.store.as_ref()).await.map_err(refused)?.instant();
        let QueryInstantResponse { series, metrics, status, message } = answer;
        Ok(in_messages(series, Message::encoded_len, move |series| QueryInstantResponse {
            series,
            metrics,
            status,
            message: message.clone(),
        }))
    }
}

/// Digits that are not taken for seconds.
fn nanoseconds(digits: String) -> String {
    format!("{digits:0>11}")
}

/// Answers of at most [`MESSAGE_BYTES_MAX`], one at least.
fn in_messages<I, T: Send + 'static>(
    items: Vec<I>,
    length: impl Fn(&I) -> usize,
    message: impl Fn(Vec<I>) -> T,
) -> Response<Answers<T>> {
    let messages: Vec<_> =
        split(items, length).into_iter().map(|items| Ok(message(items))).collect();
    Response::new(Box::pin(stream::iter(messages)))
}

/// Items in groups of at most [`MESSAGE_BYTES_MAX`], one group at least.
fn split<I>(items: Vec<I>, length: impl Fn(&I) -> usize) -> Vec<Vec<I>> {
    let mut groups = vec![Vec::new()];
    let mut bytes = 0;
    for item in items {
        // Around each item stand its field's number and its length.
        let more = length(&item) + 8;
        if bytes + more > MESSAGE_BYTES_MAX && bytes > 0 {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(group) = groups.last_mut() {
            group.push(item);
        }
    }
    groups
}

enum Step {
    Progress(FoundPage),
    Done(Result<FoundPage, QueryError>),
}

/// The traces that a search finds, as it finds them. A message has those that are new or changed;
/// the last says that it is the last. Dropping the stream ends the search.
fn searched(api: Arc<Api>, request: FindRequest) -> Answers<SearchResponse> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(PROGRESS_MAX);
    let progress = stream::poll_fn(move |context| receiver.poll_recv(context));
    let done = async move { Step::Done(api.store.find(request, Some(sender)).await) };
    let mut told = Told::default();
    let messages = stream::select(progress.map(Step::Progress), stream::once(done))
        .flat_map(move |step| stream::iter(told.take(step)));
    Box::pin(messages)
}

/// What a client knows already.
#[derive(Default)]
struct Told {
    traces: HashMap<String, TraceSearchMetadata>,
    done: bool,
}

impl Told {
    fn take(&mut self, step: Step) -> Vec<Result<SearchResponse, Status>> {
        let (page, done) = match step {
            // What was still on its way when the search ended.
            Step::Progress(_) if self.done => return Vec::new(),
            Step::Progress(page) => (page, false),
            Step::Done(Ok(page)) => (page, true),
            Step::Done(Err(error)) => {
                self.done = true;
                return vec![Err(refused(error))];
            }
        };
        self.done = done;
        let mut news = Vec::new();
        for trace in page.traces.iter().map(search::trace) {
            if self.traces.get(&trace.trace_id) != Some(&trace) {
                self.traces.insert(trace.trace_id.clone(), trace.clone());
                news.push(trace);
            }
        }
        if news.is_empty() && !done {
            return Vec::new();
        }
        let groups = split(news, Message::encoded_len);
        let last = groups.len() - 1;
        let message = |(at, traces)| {
            let metrics = Some(search::metrics(&page.stats, done && at == last));
            Ok(SearchResponse { traces, metrics })
        };
        groups.into_iter().enumerate().map(message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SpanId, TraceId};
    use store::{FoundSpan, FoundSpanset, FoundTrace, TraceSummary};

    fn found(id: u8, name: &str) -> FoundTrace {
        let summary = TraceSummary {
            trace_id: TraceId([id; 16]),
            root_service: "cart".to_owned(),
            root_name: name.to_owned(),
            start_unix_nano: 5,
            duration_nano: 7,
            span_count: 1,
            error_count: 0,
            services: Vec::new(),
            missing_root: false,
            orphan_count: 0,
        };
        let span = FoundSpan {
            span_id: SpanId([1; 8]),
            name: name.to_owned(),
            start_unix_nano: 5,
            duration_nano: 7,
            fields: Vec::new(),
        };
        let spanset = FoundSpanset { matched: 1, attributes: Vec::new(), spans: vec![span] };
        FoundTrace { summary, spansets: vec![spanset] }
    }

    fn page(traces: Vec<FoundTrace>) -> FoundPage {
        FoundPage { traces, ..FoundPage::default() }
    }

    /// The names of the traces in each message, and whether it is the last.
    fn told(told: &mut Told, step: Step) -> Vec<(Vec<String>, bool)> {
        let message = |message: Result<SearchResponse, Status>| {
            let message = message.unwrap();
            let metrics = message.metrics.unwrap();
            let names = message.traces.into_iter().map(|trace| trace.root_trace_name).collect();
            (names, metrics.completed_jobs == metrics.total_jobs)
        };
        told.take(step).into_iter().map(message).collect()
    }

    #[test]
    fn messages_have_what_is_new() {
        let mut state = Told::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let first = page(vec![found(1, "a"), found(2, "b")]);
        assert_eq!(told(&mut state, Step::Progress(first.clone())), [(names(&["a", "b"]), false)]);
        assert_eq!(told(&mut state, Step::Progress(first)), []);
        let changed = page(vec![found(1, "a"), found(2, "c"), found(3, "d")]);
        let expected = [(names(&["c", "d"]), false)];
        assert_eq!(told(&mut state, Step::Progress(changed.clone())), expected);
        assert_eq!(told(&mut state, Step::Done(Ok(changed))), [(names(&[]), true)]);
        assert_eq!(told(&mut state, Step::Progress(page(vec![found(9, "late")]))), []);
    }

    #[test]
    fn messages_are_short() {
        let long = "x".repeat(MESSAGE_BYTES_MAX / 3);
        let traces = (1..=6).map(|id| found(id, &long)).collect();
        let messages = Told::default().take(Step::Done(Ok(page(traces))));
        assert!(messages.len() >= 3, "{}", messages.len());
        let lengths: Vec<usize> =
            messages.iter().map(|message| message.as_ref().unwrap().encoded_len()).collect();
        // One trace alone may be longer than that: its name is in it twice here.
        assert!(lengths.iter().all(|length| *length < 2 * MESSAGE_BYTES_MAX), "{lengths:?}");
        assert_eq!(split(Vec::<String>::new(), String::len).len(), 1);
    }
}
