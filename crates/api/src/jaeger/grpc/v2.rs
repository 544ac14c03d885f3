//! `jaeger.api_v2.QueryService`: spans in Jaeger's own model, each with its process.

use std::pin::Pin;
use std::sync::Arc;

use formats::jaeger::proto::{DependencyLink, Span};
use formats::jaeger::{MISSING_SERVICE, NO_SERVICE, process, span};
use futures_util::{Stream, StreamExt, stream};
use model::{SpanBatch, TraceId};
use tonic::{Request, Response, Status};

use super::api_v2::query_service_server::QueryService;
use super::api_v2::{
    ArchiveTraceRequest, ArchiveTraceResponse, FindTracesRequest, GetDependenciesRequest,
    GetDependenciesResponse, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, GetTraceRequest, Operation, SpansResponseChunk, TraceQueryParameters,
};
use super::{
    Messages, depth, given, held, left, length, load, marked, service_of, span_kind,
    spans_of_message, time,
};
use crate::Api;
use crate::jaeger::ask::Ask;
use crate::jaeger::dependencies::dependencies;
use crate::jaeger::legacy::{kind_text, operation_names, service_names};
use crate::jaeger::problem::Problem;
use crate::jaeger::v3_search::{limit, ordered};

type Parts = Pin<Box<dyn Stream<Item = Result<SpansResponseChunk, Status>> + Send>>;

pub(super) struct Service {
    pub(super) api: Arc<Api>,
}

/// An id of 128 bits, or of 64.
fn trace_id(bytes: &[u8]) -> Result<TraceId, Problem> {
    let id = match bytes {
        [] => TraceId::NONE,
        short if short.len() == 8 => {
            let mut padded = [0; 16];
            padded[8..].copy_from_slice(short);
            TraceId(padded)
        }
        long => TraceId::from_slice(long).ok_or_else(|| {
            Problem::bad(format!("invalid length for TraceID: {} bytes, not 16", long.len()))
        })?,
    };
    if id.is_none() {
        return Err(Problem::bad("uninitialized TraceID is not allowed"));
    }
    Ok(id)
}

/// A trace's spans in messages that a client takes.
fn chunks(spans: SpanBatch) -> Messages<SpansResponseChunk> {
    let processes: Vec<_> = spans
        .resources()
        .iter()
        .map(|resource| {
            let mut process = process(&spans, resource);
            if process.service_name.is_empty() || process.service_name == NO_SERVICE {
                process.service_name = MISSING_SERVICE.to_owned();
            }
            process
        })
        .collect();
    // The process comes with every span, which makes the message longer than the spans are.
    let size = (spans_of_message(&spans) / 2).clamp(1, 1_000);
    Box::new((0..spans.len()).step_by(size).map(move |from| {
        let converted = |each: &model::Span| Span {
            process: processes.get(spans.scopes()[each.scope as usize].resource as usize).cloned(),
            ..span(&spans, each)
        };
        let some = spans.spans().iter().skip(from).take(size);
        Ok(SpansResponseChunk { spans: some.map(converted).collect() })
    }))
}

fn ask(query: TraceQueryParameters) -> Result<Ask, Problem> {
    let (start, end) = (time(query.start_time_min), time(query.start_time_max));
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(Problem::bad("query.start_time_min must be before query.start_time_max"));
    }
    let shortest = length("duration_min", query.duration_min)?;
    let longest = length("duration_max", query.duration_max)?;
    ordered(shortest, longest)?;
    Ok(Ask {
        service: given(query.service_name),
        operation: given(query.operation_name),
        tags: query.tags.into_iter().collect(),
        start_unix_nano: start,
        // The end is included.
        end_unix_nano: end.map(|end| end.saturating_add(1)),
        duration_min_nano: shortest,
        duration_max_nano: longest,
        limit: limit("query.search_depth", depth(query.search_depth)?)?,
        after: None,
        filter: None,
    })
}

#[tonic::async_trait]
impl QueryService for Service {
    type GetTraceStream = Parts;
    type FindTracesStream = Parts;

    async fn get_trace(
        &self,
        request: Request<GetTraceRequest>,
    ) -> Result<Response<Parts>, Status> {
        let request = request.into_inner();
        let id = trace_id(&request.trace_id)?;
        let loaded = load(self.api.clone(), id, request.raw_traces).await?;
        let spans = loaded.spans.ok_or_else(|| Status::not_found("trace not found"))?;
        let messages = held(spans.bytes().len(), || chunks(spans))?;
        let parts: Parts = Box::pin(stream::iter(messages));
        Ok(marked(parts, loaded.partial))
    }

    async fn archive_trace(
        &self,
        request: Request<ArchiveTraceRequest>,
    ) -> Result<Response<ArchiveTraceResponse>, Status> {
        trace_id(&request.into_inner().trace_id)?;
        let text = "failed to archive trace: archive storage was not configured; every trace is \
                    kept for the whole retention";
        Err(Status::internal(text))
    }

    async fn find_traces(
        &self,
        request: Request<FindTracesRequest>,
    ) -> Result<Response<Parts>, Status> {
        let query = request.into_inner().query;
        let query = query.ok_or_else(|| Status::invalid_argument("missing query"))?;
        let raw = query.raw_traces;
        let found = ask(query)?.find(&*self.api.store).await?;
        let api = self.api.clone();
        let parts = stream::iter(found.traces)
            .then(move |summary| load(api.clone(), summary.trace_id, raw))
            .flat_map(|loaded| stream::iter(left(loaded, chunks)));
        let parts: Parts = Box::pin(parts);
        Ok(marked(parts, found.partial))
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
        let mut operation_names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
        operation_names.sort();
        operation_names.dedup();
        let operation = |(name, kind)| Operation { name, span_kind: kind_text(kind).to_owned() };
        let operations = rows.into_iter().map(operation).collect();
        Ok(Response::new(GetOperationsResponse { operation_names, operations }))
    }

    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<GetDependenciesResponse>, Status> {
        let request = request.into_inner();
        let (Some(start), Some(end)) = (time(request.start_time), time(request.end_time)) else {
            return Err(Status::invalid_argument("StartTime and EndTime must be initialized."));
        };
        let found = dependencies(&*self.api.store, start, end).await?;
        let dependencies = found
            .links
            .into_iter()
            .map(|link| DependencyLink {
                parent: link.parent,
                child: link.child,
                call_count: link.call_count,
                source: String::new(),
            })
            .collect();
        Ok(marked(GetDependenciesResponse { dependencies }, found.partial))
    }
}
