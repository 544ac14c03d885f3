//! OTLP/HTTP: a `POST` for each request, protobuf or JSON.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};

use super::EndpointError;
use super::answer::{partial_success, partial_success_json, rpc_status, words};
use crate::exporters::post::{Post, asked_wait, url};
use crate::exporters::{Export, ExportError};
use crate::net::{Answer, ClientSettings};
use crate::{Encoded, Signal};

/// Up to this many bytes become JSON on the runtime's own threads: a few milliseconds of work.
const INLINE_BYTES_MAX: usize = 256 << 10;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// How requests are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpEncoding {
    /// `proto`.
    #[default]
    Protobuf,
    /// `json`, for traces; metrics and logs stay protobuf.
    Json,
}

/// Settings of the exporter `otlp_http`. The Collector's default `timeout` for it, 30 s, is the
/// sender's.
#[derive(Debug, Clone, Default)]
pub struct OtlpHttpSettings {
    /// Base URL, to which a signal's path such as `/v1/traces` is added.
    pub endpoint: String,
    /// Whole URL for traces, instead of one made from `endpoint`.
    pub traces_endpoint: Option<String>,
    /// Whole URL for metrics.
    pub metrics_endpoint: Option<String>,
    /// Whole URL for logs.
    pub logs_endpoint: Option<String>,
    /// Default protobuf.
    pub encoding: HttpEncoding,
    /// Connections, TLS, headers, compression.
    pub client: ClientSettings,
}

/// Exports over OTLP/HTTP.
pub struct OtlpHttp {
    post: Post,
    /// In the order of `Signal`; `None` where no endpoint is set.
    uris: [Option<Uri>; 3],
    encoding: HttpEncoding,
}

impl OtlpHttp {
    /// An exporter. Nothing is connected yet.
    ///
    /// # Errors
    /// Endpoints that are no URLs, or none; TLS files that do not fit.
    pub fn new(settings: &OtlpHttpSettings) -> Result<Self, EndpointError> {
        let uri = |own: &Option<String>, path: &str| match own
            .as_deref()
            .filter(|own| !own.is_empty())
        {
            Some(own) => url(own).map(Some),
            None if settings.endpoint.is_empty() => Ok(None),
            None => url(&format!("{}{path}", settings.endpoint.trim_end_matches('/'))).map(Some),
        };
        let uris = [
            uri(&settings.traces_endpoint, "/v1/traces")?,
            uri(&settings.metrics_endpoint, "/v1/metrics")?,
            uri(&settings.logs_endpoint, "/v1/logs")?,
        ];
        if uris.iter().all(Option::is_none) {
            return Err(EndpointError::Missing);
        }
        Ok(Self { post: Post::new(&settings.client)?, uris, encoding: settings.encoding })
    }

    async fn encode(
        &self,
        signal: Signal,
        encoded: &Encoded,
    ) -> Result<(Vec<Bytes>, &'static str), String> {
        if self.encoding == HttpEncoding::Protobuf || signal != Signal::Traces {
            return Ok((encoded.parts.clone(), PROTOBUF));
        }
        let bytes = encoded.joined();
        let json = if bytes.len() <= INLINE_BYTES_MAX {
            model::json::encode(&bytes)
        } else {
            let encode = move || model::json::encode(&bytes);
            tokio::task::spawn_blocking(encode).await.map_err(|error| error.to_string())?
        };
        Ok((vec![json.map_err(|error| error.to_string())?.into()], JSON))
    }
}

#[async_trait]
impl Export for OtlpHttp {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let uri = self.uris[signal as usize]
            .clone()
            .ok_or_else(|| ExportError::permanent(format!("no endpoint is set for {signal}")))?;
        let (body, media) = self.encode(signal, encoded).await.map_err(ExportError::permanent)?;
        judge(&self.post.post(uri, media, body).await?)
    }
}

fn judge(answer: &Answer) -> Result<(), ExportError> {
    let is_json = answer
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().starts_with(JSON.as_bytes()));
    if answer.status.is_success() {
        let partial = if is_json {
            partial_success_json(&answer.body)
        } else {
            partial_success(&answer.body)
        };
        return match partial {
            Some((rejected, reason)) => Err(ExportError::Partial { rejected, reason }),
            None => Ok(()),
        };
    }
    let is_protobuf = answer
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().ends_with(b"protobuf"));
    let said = if is_protobuf { rpc_status(&answer.body).0 } else { words(&answer.body) };
    let reason = format!("the server answered {}: {said}", answer.status);
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Err(ExportError::Retryable { reason, after: asked_wait(answer) })
        }
        _ => Err(ExportError::Permanent { reason }),
    }
}
