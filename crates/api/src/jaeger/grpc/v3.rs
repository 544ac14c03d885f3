//! `jaeger.api_v3.QueryService`: spans as OTLP carries them.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use formats::jaeger::parse_trace_id;
use futures_util::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status};

use super::api_v3::capabilities_server::Capabilities;
use super::api_v3::query_service_server::QueryService;
use super::api_v3::{
    DependenciesResponse, Dependency, FilterCapabilities, FindSpansRequest, FindSpansResponse,
    FindTraceSummariesRequest, FindTraceSummariesResponse, FindTracesRequest,
    GetCapabilitiesRequest, GetCapabilitiesResponse, GetDependenciesRequest, GetOperationsRequest,
    GetOperationsResponse, GetServicesRequest, GetServicesResponse, GetTraceRequest, Operation,
    SearchCapabilities, ServiceSummary, SpanQueryParameters, TraceQueryParameters, TraceSummary,
};
use super::expression::v1::Call;
use super::{
    MESSAGE_BYTES, TracesData, depth, given, held, left, length, load, marked, messages,
    service_of, span_kind, time,
};
use crate::Api;
use crate::jaeger::ask::Ask;
use crate::jaeger::dependencies::dependencies;
use crate::jaeger::filter::{LEVELS, OPERATORS, Predicate, check};
use crate::jaeger::legacy::{kind_text, operation_names, service_names};
use crate::jaeger::problem::Problem;
use crate::jaeger::shown_service;
use crate::jaeger::spans::{self, SpanRank, SpanSearch};
use crate::jaeger::v3::next_page_token;
use crate::jaeger::v3_search::{
    Search, alone, limit, malformed, no_trace_on_page, ordered, page_token, range, unsorted,
};

/// Summaries of one message.
const SUMMARIES_OF_MESSAGE: usize = 500;

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
pub(super) struct Service {
    pub(super) api: Arc<Api>,
}

fn search(query: Option<TraceQueryParameters>) -> Result<Search, Problem> {
    let query = query.ok_or_else(|| Problem::bad("missing query"))?;
    let (start, end) = range(time(query.start_time_min), time(query.start_time_max))?;
    let shortest = length("duration_min", query.duration_min)?;
    let longest = length("duration_max", query.duration_max)?;
    ordered(shortest, longest)?;
    let depth = depth(query.search_depth)?;
    let is_paged = query.pagination.is_some();
    let pagination = query.pagination.unwrap_or_default();
    if is_paged && depth != Some(0) {
        return Err(Problem::bad("query.pagination and query.search_depth exclude each other"));
    }
    if is_paged && pagination.page_size == 0 {
        return Err(no_trace_on_page());
    }
    let (name, size) = match is_paged {
        true => ("query.pagination.page_size", Some(u64::from(pagination.page_size))),
        false => ("query.search_depth", depth),
    };
    Ok(Search {
        ask: alone(Ask {
            filter: filter(query.filter)?,
            service: given(query.service_name),
            operation: given(query.operation_name),
            tags: query.attributes.into_iter().collect(),
            start_unix_nano: Some(start),
            end_unix_nano: Some(end),
            duration_min_nano: shortest,
            duration_max_nano: longest,
            limit: limit(name, size)?,
            after: page_token(&pagination.page_token)?,
        })?,
        raw: query.raw_traces,
        is_paged,
    })
}

fn filter(call: Option<Call>) -> Result<Option<Predicate>, Problem> {
    call.map(|call| check("query.filter", &call)).transpose()
}

fn span_search(query: Option<SpanQueryParameters>) -> Result<SpanSearch, Problem> {
    let query = query.ok_or_else(|| Problem::bad("missing query"))?;
    let (start_unix_nano, end_unix_nano) =
        range(time(query.start_time_min), time(query.start_time_max))?;
    if !query.order_by.is_empty() {
        return Err(unsorted("query.order_by"));
    }
    let size = query.pagination.as_ref().map(|pagination| u64::from(pagination.page_size));
    let token = query.pagination.map(|pagination| pagination.page_token).unwrap_or_default();
    Ok(SpanSearch {
        filter: filter(query.filter)?,
        start_unix_nano,
        end_unix_nano,
        limit: spans::page_size(size)?,
        after: SpanRank::of_token(&token)?,
    })
}

#[tonic::async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        let filter = FilterCapabilities {
            levels: LEVELS.map(str::to_owned).to_vec(),
            operators: OPERATORS.map(str::to_owned).to_vec(),
        };
        let search = SearchCapabilities {
            without_service_name: true,
            same_span_conjunction: true,
            filter: Some(filter),
            paginated: true,
            span_search: true,
            span_sorting: false,
        };
        Ok(Response::new(GetCapabilitiesResponse { search: Some(search) }))
    }
}

#[tonic::async_trait]
impl QueryService for Service {
    type GetTraceStream = Parts<TracesData>;
    type FindTracesStream = Parts<TracesData>;
    type FindSpansStream = Parts<FindSpansResponse>;
    type FindTraceSummariesStream = Parts<FindTraceSummariesResponse>;

    async fn get_trace(
        &self,
        request: Request<GetTraceRequest>,
    ) -> Result<Response<Self::GetTraceStream>, Status> {
        let request = request.into_inner();
        let id = parse_trace_id(&request.trace_id).map_err(|error| malformed("trace_id", error))?;
        let loaded = load(self.api.clone(), id, request.raw_traces).await?;
        let spans = loaded.spans.ok_or_else(|| Status::not_found("trace not found"))?;
        let messages = held(spans.bytes().len(), || messages(spans))?;
        let parts: Parts<_> = Box::pin(stream::iter(messages));
        Ok(marked(parts, loaded.partial))
    }

    async fn find_traces(
        &self,
        request: Request<FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let Search { ask, raw, is_paged } = search(request.into_inner().query)?;
        if is_paged {
            let text = "whole traces are not paged; use search_depth or FindTraceSummaries";
            return Err(malformed("query.pagination", text).into());
        }
        let found = ask.find(&*self.api.store).await?;
        let api = self.api.clone();
        let parts = stream::iter(found.traces)
            .then(move |summary| load(api.clone(), summary.trace_id, raw))
            .flat_map(|loaded| stream::iter(left(loaded, messages)));
        let parts: Parts<_> = Box::pin(parts);
        Ok(marked(parts, found.partial))
    }

    async fn find_spans(
        &self,
        request: Request<FindSpansRequest>,
    ) -> Result<Response<Self::FindSpansStream>, Status> {
        let search = span_search(request.into_inner().query)?;
        let page = search.find(&self.api, MESSAGE_BYTES).await?;
        let bytes = page.parts.iter().map(Bytes::len).sum();
        let mut parts: Vec<FindSpansResponse> = page
            .parts
            .into_iter()
            .map(|part| FindSpansResponse {
                spans: Some(TracesData(part)),
                next_page_token: String::new(),
            })
            .collect();
        if let Some(next) = page.next {
            // A page may be empty and not the last.
            if parts.is_empty() {
                parts.push(FindSpansResponse::default());
            }
            if let Some(last) = parts.last_mut() {
                last.next_page_token = next.token();
            }
        }
        let messages = held(bytes, || Box::new(parts.into_iter().map(Ok)))?;
        let parts: Parts<_> = Box::pin(stream::iter(messages));
        Ok(marked(parts, page.partial))
    }

    async fn get_services(
        &self,
        _: Request<GetServicesRequest>,
    ) -> Result<Response<GetServicesResponse>, Status> {
        let services = service_names(&self.api).await?;
        Ok(Response::new(GetServicesResponse { services }))
    }

    async fn get_operations(
        &self,
        request: Request<GetOperationsRequest>,
    ) -> Result<Response<GetOperationsResponse>, Status> {
        let request = request.into_inner();
        let kind = span_kind(&request.span_kind)?;
        let rows = operation_names(&self.api, service_of(&request.service)?, kind).await?;
        let operation = |(name, kind)| Operation { name, span_kind: kind_text(kind).to_owned() };
        let operations = rows.into_iter().map(operation).collect();
        Ok(Response::new(GetOperationsResponse { operations }))
    }

    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<DependenciesResponse>, Status> {
        let request = request.into_inner();
        let (Some(start), Some(end)) = (time(request.start_time), time(request.end_time)) else {
            return Err(Status::invalid_argument("start_time and end_time are required"));
        };
        if start >= end {
            return Err(Status::invalid_argument("start_time must be before end_time"));
        }
        let found = dependencies(&*self.api.store, start, end).await?;
        let dependencies = found
            .links
            .into_iter()
            .map(|link| Dependency {
                parent: link.parent,
                child: link.child,
                call_count: link.call_count,
            })
            .collect();
        Ok(marked(DependenciesResponse { dependencies }, found.partial))
    }

    async fn find_trace_summaries(
        &self,
        request: Request<FindTraceSummariesRequest>,
    ) -> Result<Response<Self::FindTraceSummariesStream>, Status> {
        let Search { ask, is_paged, .. } = search(request.into_inner().query)?;
        let found = ask.find(&*self.api.store).await?;
        let token = is_paged.then(|| next_page_token(&found)).flatten().unwrap_or_default();
        let rows: Vec<TraceSummary> = found.traces.into_iter().map(summary).collect();
        let mut parts: Vec<FindTraceSummariesResponse> = rows
            .chunks(SUMMARIES_OF_MESSAGE)
            .map(|rows| FindTraceSummariesResponse {
                summaries: rows.to_vec(),
                next_page_token: String::new(),
            })
            .collect();
        if let Some(last) = parts.last_mut() {
            last.next_page_token = token;
        }
        let bytes = parts.iter().map(Message::encoded_len).sum();
        let messages = held(bytes, || Box::new(parts.into_iter().map(Ok)))?;
        let parts: Parts<_> = Box::pin(stream::iter(messages));
        Ok(marked(parts, found.partial))
    }
}

fn count(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn summary(summary: store::TraceSummary) -> TraceSummary {
    TraceSummary {
        trace_id: summary.trace_id.to_string(),
        root_service_name: shown_service(summary.root_service),
        root_operation_name: summary.root_name,
        min_start_time_unix_nano: summary.start_unix_nano,
        max_end_time_unix_nano: summary.start_unix_nano.saturating_add(summary.duration_nano),
        span_count: count(summary.span_count),
        error_span_count: count(summary.error_count),
        orphan_span_count: count(summary.orphan_count),
        services: summary
            .services
            .into_iter()
            .map(|share| ServiceSummary {
                name: shown_service(share.name),
                span_count: count(share.span_count),
                error_span_count: count(share.error_count),
            })
            .collect(),
    }
}
