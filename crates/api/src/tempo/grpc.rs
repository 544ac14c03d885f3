//! The streaming query service, with reflection.

use std::sync::Arc;

use axum::Router;
use prost::Message;
use query::metrics::MetricsAnswer;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::metrics::Asked;
use super::parameters::Parameters;
use super::proto::streaming_querier_server::{StreamingQuerier, StreamingQuerierServer};
use super::proto::{
    QueryInstantRequest, QueryInstantResponse, QueryRangeRequest, QueryRangeResponse,
    SearchRequest, SearchResponse, SearchTagValuesRequest, SearchTagValuesResponse,
    SearchTagValuesV2Response, SearchTagsRequest, SearchTagsResponse, SearchTagsV2Response,
};
use super::stream::{Answers, counted, in_messages, refused, searched, unfinished};
use super::{search, tags};
use crate::Api;

/// What reflection tells.
const SERVICES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tempo.bin"));

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

pub(super) struct Service {
    pub(super) api: Arc<Api>,
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
        let api = self.api.clone();
        let find = |watcher| async move { api.store.find(request, Some(watcher)).await };
        Ok(Response::new(searched(find)))
    }

    async fn search_tags(&self, request: Request<SearchTagsRequest>) -> Answer<SearchTagsResponse> {
        let parameters = self.of_names(request.into_inner());
        let names = tags::names(self.api.store.as_ref(), &parameters).await.map_err(refused)?;
        let SearchTagsResponse { tag_names, metrics } = names.v1();
        in_messages(tag_names, String::len, |tag_names, _| SearchTagsResponse {
            tag_names,
            metrics,
        })
    }

    async fn search_tags_v2(
        &self,
        request: Request<SearchTagsRequest>,
    ) -> Answer<SearchTagsV2Response> {
        let parameters = self.of_names(request.into_inner());
        let names = tags::names(self.api.store.as_ref(), &parameters).await.map_err(refused)?;
        let SearchTagsV2Response { scopes, metrics } = names.v2();
        in_messages(scopes, Message::encoded_len, |scopes, _| SearchTagsV2Response {
            scopes,
            metrics,
        })
    }

    async fn search_tag_values(
        &self,
        request: Request<SearchTagValuesRequest>,
    ) -> Answer<SearchTagValuesResponse> {
        let message = request.into_inner();
        let field = tags::field_v1(&message.tag_name).map_err(refused)?;
        let parameters = self.of_values(&message);
        let values = tags::values(self.api.store.as_ref(), &field, &parameters).await;
        let SearchTagValuesResponse { tag_values, metrics } = values.map_err(refused)?.v1();
        in_messages(tag_values, String::len, |tag_values, _| SearchTagValuesResponse {
            tag_values,
            metrics,
        })
    }

    async fn search_tag_values_v2(
        &self,
        request: Request<SearchTagValuesRequest>,
    ) -> Answer<SearchTagValuesV2Response> {
        let message = request.into_inner();
        let field = tags::field_v2(&message.tag_name).map_err(refused)?;
        let parameters = self.of_values(&message);
        let values = tags::values(self.api.store.as_ref(), &field, &parameters).await;
        let SearchTagValuesV2Response { tag_values, metrics } = values.map_err(refused)?.v2();
        in_messages(tag_values, Message::encoded_len, |tag_values, _| SearchTagValuesV2Response {
            tag_values,
            metrics,
        })
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
        let asked = Arc::new(Asked::of(&parameters, false).map_err(refused)?);
        let (api, of_part, of_all) = (self.api.clone(), asked.clone(), asked.clone());
        let run = |watcher| async move {
            let watcher = asked.grows().then_some(watcher);
            asked.answer(api.store.as_ref(), watcher).await
        };
        let series = move |answer: &MetricsAnswer| of_part.series(&answer.series);
        let answer = move |answer| of_all.measured(answer).range();
        Ok(Response::new(counted(run, series, answer)))
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
        in_messages(series, Message::encoded_len, |series, last| QueryInstantResponse {
            series,
            metrics: if last { metrics } else { metrics.map(unfinished) },
            status,
            message: message.clone(),
        })
    }
}

/// Digits that are not taken for seconds.
fn nanoseconds(digits: String) -> String {
    format!("{digits:0>11}")
}
