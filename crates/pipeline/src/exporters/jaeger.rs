//! Jaeger's own protocol: `jaeger.api_v2.CollectorService/PostSpans` over gRPC, which collectors of
//! Jaeger take on port 14250.
//!
//! The Collector had this exporter until v0.85; Jaeger takes OTLP since 1.35. Differences to the
//! exporter of then:
//! - What Jaeger will never take (such as `INVALID_ARGUMENT`, `UNAUTHENTICATED`, `UNIMPLEMENTED`) is
//!   given up at once. There, every failure was tried again until `max_elapsed_time`.
//! - A call carries the spans of one resource, as there; several calls are under way at once. When
//!   one is to be tried again, all of them are: Jaeger stores spans by their ids.
//! - The old keys `insecure`, `ca_file`, `cert_file` and `key_file` beside `endpoint` (before v0.37)
//!   are read still.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use formats::jaeger::otlp_to_post_spans;
use futures_util::StreamExt;
use model::SpanBatch;

use super::grpc::{CallError, GrpcClient};
use super::otlp::EndpointError;
use super::translate::translate;
use super::{Export, ExportError};
use crate::net::ClientSettings;
use crate::{Encoded, Signal};

const POST_SPANS: &str = "/jaeger.api_v2.CollectorService/PostSpans";

/// Calls under way at once for one request.
const CALLS_MAX: usize = 8;

/// Settings of the exporter `jaeger`.
#[derive(Debug, Clone, Default)]
pub struct JaegerSettings {
    /// `host:port`, with TLS unless `tls.insecure`; or a URL, whose scheme decides.
    pub endpoint: String,
    /// Connections, TLS, headers, compression: gzip, zstd or none.
    pub client: ClientSettings,
}

/// Exports to a collector of Jaeger.
pub struct Jaeger {
    client: GrpcClient,
}

/// A `PostSpansRequest`, and how many spans it has.
type Call = (Bytes, u64);

impl Jaeger {
    /// An exporter. Nothing is connected yet.
    ///
    /// # Errors
    /// An endpoint that is no address; TLS files that do not fit.
    pub fn new(settings: &JaegerSettings) -> Result<Self, EndpointError> {
        Ok(Self { client: GrpcClient::new(&settings.endpoint, &settings.client)? })
    }
}

#[async_trait]
impl Export for Jaeger {
    async fn export(&self, signal: Signal, encoded: &Encoded) -> Result<(), ExportError> {
        let (calls, left_out) = translate(signal, encoded, calls).await?;
        let mut ended = Ended::default();
        if left_out.spans > 0 {
            ended.refuse(left_out.spans, left_out.reason);
        }
        let each = |(message, spans): Call| async move {
            (spans, self.client.call(POST_SPANS, std::slice::from_ref(&message)).await)
        };
        let mut answers = futures_util::stream::iter(calls).map(each).buffer_unordered(CALLS_MAX);
        while let Some((spans, answer)) = answers.next().await {
            match answer.map_err(verdict) {
                Ok(_) => ended.taken += spans,
                Err(ExportError::Retryable { reason, after }) => ended.retry(reason, after),
                Err(error) => ended.refuse(spans, error.to_string()),
            }
        }
        ended.result()
    }
}

/// A call for each resource.
fn calls(batch: &SpanBatch) -> Vec<Call> {
    // How many spans each has, in the order of the calls: that in which resources appear.
    let mut places = vec![None; batch.resources().len()];
    let mut counts: Vec<u64> = Vec::new();
    for span in batch.spans() {
        let resource = batch.scopes()[span.scope as usize].resource as usize;
        let place = *places[resource].get_or_insert_with(|| {
            counts.push(0);
            counts.len() - 1
        });
        counts[place] += 1;
    }
    otlp_to_post_spans(batch).into_iter().zip(counts).collect()
}

/// How the calls of a request ended.
#[derive(Default)]
struct Ended {
    taken: u64,
    refused: u64,
    why: String,
    retry: Option<(String, Option<Duration>)>,
}

impl Ended {
    fn refuse(&mut self, spans: u64, why: String) {
        self.refused += spans;
        if self.why.is_empty() {
            self.why = why;
        }
    }

    fn retry(&mut self, why: String, after: Option<Duration>) {
        let longest = self.retry.take().and_then(|(_, longest)| longest).max(after);
        self.retry = Some((why, longest));
    }

    fn result(self) -> Result<(), ExportError> {
        match self.retry {
            Some((reason, after)) => Err(ExportError::Retryable { reason, after }),
            None if self.refused == 0 => Ok(()),
            None if self.taken == 0 => Err(ExportError::permanent(self.why)),
            None => Err(ExportError::Partial { rejected: self.refused, reason: self.why }),
        }
    }
}

/// What to make of a failed call. A collector of Jaeger says `RESOURCE_EXHAUSTED` without a delay
/// when its queue is full, and `UNKNOWN` for whatever goes wrong behind it.
fn verdict(error: CallError) -> ExportError {
    match error {
        CallError::Unsendable(reason) | CallError::NotGrpc(reason) => {
            ExportError::Permanent { reason }
        }
        CallError::Broken(reason) => ExportError::retryable(reason),
        CallError::Status { code, after, reason } => match code {
            // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION,
            // UNIMPLEMENTED, UNAUTHENTICATED
            3 | 5 | 6 | 7 | 9 | 12 | 16 => ExportError::Permanent { reason },
            // RESOURCE_EXHAUSTED, by gRPC itself (in Go, `rpc_util.go`) and not by Jaeger's queue.
            8 if reason.contains("larger than max") => ExportError::Permanent { reason },
            _ => ExportError::Retryable { reason, after },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_requests_own_fault_is_given_up() {
        let permanent: Vec<u32> = (1..20)
            .filter(|&code| {
                let status = CallError::Status { code, after: None, reason: String::new() };
                matches!(verdict(status), ExportError::Permanent { .. })
            })
            .collect();
        assert_eq!(permanent, [3, 5, 6, 7, 9, 12, 16]);
        let said = "grpc: received message larger than max (5000000 vs. 4194304)";
        let status = CallError::Status { code: 8, after: None, reason: said.to_owned() };
        assert_eq!(verdict(status), ExportError::permanent(said));
    }

    #[test]
    fn calls_of_a_request_end_as_one() {
        let second = Duration::from_secs(1);
        let retry = |after| ExportError::Retryable { reason: "busy".to_owned(), after };
        type Step = (u64, Option<Result<u64, Option<Duration>>>);
        let table: [(&[Step], Result<(), ExportError>); 5] = [
            (&[(2, None), (3, None)], Ok(())),
            (&[(0, Some(Ok(2)))], Err(ExportError::permanent("no"))),
            (
                &[(2, None), (0, Some(Ok(3)))],
                Err(ExportError::Partial { rejected: 3, reason: "no".to_owned() }),
            ),
            (&[(2, None), (0, Some(Ok(3))), (0, Some(Err(None)))], Err(retry(None))),
            (&[(0, Some(Err(Some(second)))), (0, Some(Err(None)))], Err(retry(Some(second)))),
        ];
        for (steps, expected) in table {
            let mut ended = Ended::default();
            for (taken, fault) in steps {
                ended.taken += taken;
                match fault {
                    Some(Ok(refused)) => ended.refuse(*refused, "no".to_owned()),
                    Some(Err(after)) => ended.retry("busy".to_owned(), *after),
                    None => {}
                }
            }
            assert_eq!(ended.result(), expected, "{steps:?}");
        }
    }
}
