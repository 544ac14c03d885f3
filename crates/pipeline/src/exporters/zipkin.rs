//! Zipkin v2: a `POST` of a list of spans for each request, JSON or protobuf.
//!
//! Differences to the Collector's exporter: an answer that says that the same request will never be
//! taken (4xx but 408 and 429) is given up at once, where the Collector tries every failure again
//! until `max_elapsed_time`; `Retry-After` is heeded; redirects are not followed.

use async_trait::async_trait;
use formats::zipkin::{otlp_to_proto, write_json_with};
use http::{StatusCode, Uri};

use super::otlp::EndpointError;
use super::otlp::answer::words;
use super::post::{Post, asked_wait, url};
use super::translate::translate;
use super::{Export, ExportError};
use crate::net::{Answer, ClientSettings};
use crate::{Encoded, Signal};

/// How spans are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZipkinFormat {
    /// `json`.
    #[default]
    Json,
    /// `proto`.
    Proto,
}

/// Settings of the exporter `zipkin`.
#[derive(Debug, Clone)]
pub struct ZipkinSettings {
    /// Whole URL, such as `http://localhost:9411/api/v2/spans`.
    pub endpoint: String,
    /// Default JSON.
    pub format: ZipkinFormat,
    /// The service of spans whose resource names none. Default `<missing service name>`.
    pub default_service_name: String,
    /// Connections, TLS, headers, compression.
    pub client: ClientSettings,
}

impl Default for ZipkinSettings {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            format: ZipkinFormat::Json,
            default_service_name: "<missing service name>".to_owned(),
            client: ClientSettings::default(),
        }
    }
}

/// Exports to Zipkin.
pub struct Zipkin {
    post: Post,
    uri: Uri,
    format: ZipkinFormat,
    default_service_name: String,
}

impl Zipkin {
    /// An exporter. Nothing is connected yet.
    ///
    /// # Errors
    /// An endpoint that is no URL; TLS files that do not fit.
    pub fn new(settings: &ZipkinSettings) -> Result<Self, EndpointError> {
        Ok(Self {
            post: Post::new(&settings.client)?,
            uri: url(&settings.endpoint)?,
            format: settings.format,
            default_service_name: settings.default_service_name.clone(),
        })
    }
}

#[async_trait]
impl Export for Zipkin {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let (format, service) = (self.format, self.default_service_name.clone());
        let write = move |batch: &model::SpanBatch| {
            let body = match format {
                ZipkinFormat::Json => {
                    let mut out = Vec::new();
                    write_json_with(&mut out, batch, &service);
                    out
                }
                ZipkinFormat::Proto => otlp_to_proto(batch, &service),
            };
            (body, batch.len())
        };
        let ((body, spans), left_out) = translate(signal, encoded, write).await?;
        if spans > 0 {
            let media = match self.format {
                ZipkinFormat::Json => "application/json",
                ZipkinFormat::Proto => "application/x-protobuf",
            };
            judge(&self.post.post(self.uri.clone(), media, vec![body.into()]).await?)?;
        }
        match left_out.spans {
            0 => Ok(()),
            rejected => Err(ExportError::Partial { rejected, reason: left_out.reason }),
        }
    }
}

fn judge(answer: &Answer) -> Result<(), ExportError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("the server answered {status}: {}", words(&answer.body));
    let is_retryable = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    Err(match is_retryable {
        true => ExportError::Retryable { reason, after: asked_wait(answer) },
        false => ExportError::Permanent { reason },
    })
}
