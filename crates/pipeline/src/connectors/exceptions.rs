//! The connector `exceptions`: exceptions that spans recorded, as metrics and as logs.
//!
//! An exception is an event of that name (OpenTelemetry semantic conventions, "Recording
//! exceptions").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use model::wire::put_varint_field;
use model::wire::{put_bytes_field, put_fixed32_field, put_fixed64_field, put_message};
use model::{Owner, SpanBatch, encode_any_value, encode_key_value};

use super::otlp_metrics::{DeltaPoint, DeltaSum, put_resource_metrics};
use super::{Room, TEXT_BYTES};
use crate::consumer::{Consumer, Refusal};
use crate::data::{Data, Encoded, Request};
use crate::processors::matching::kind_name;

/// The scope of metrics and logs.
const SCOPE: &str = "spanfall/exceptions";

/// The name of events that are exceptions.
const EVENT: &[u8] = b"exception";

/// `SeverityNumber.SEVERITY_NUMBER_ERROR` (`logs.proto`).
const SEVERITY_ERROR: u64 = 17;

/// The labels that every exception has.
pub const OWN_LABELS: [&str; 4] = ["service.name", "span.name", "span.kind", "status.code"];

/// Attributes that are looked up beside the span's own fields, and what stands for a missing one.
pub type Dimensions = Vec<(String, Option<String>)>;

/// The connector.
pub struct Exceptions {
    dimensions: Dimensions,
    metrics: Option<Arc<dyn Consumer>>,
    logs: Option<Arc<dyn Consumer>>,
}

/// The Collector's defaults: type and message.
pub fn default_dimensions() -> Dimensions {
    let own = |key: &str| (key.to_owned(), None);
    vec![own("exception.type"), own("exception.message")]
}

impl Exceptions {
    /// In front of pipelines of metrics, of logs, or both.
    pub fn new(
        dimensions: Dimensions,
        metrics: Option<Arc<dyn Consumer>>,
        logs: Option<Arc<dyn Consumer>>,
    ) -> Self {
        Self { dimensions, metrics, logs }
    }

    /// What an exception is told by: the span's own fields, then the dimensions.
    fn labels(
        &self,
        batch: &SpanBatch,
        span: usize,
        event: usize,
        room: &mut Room,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let of = &batch.spans()[span];
        let (_, resource) = batch.origin(of);
        let code = match of.status_code {
            model::status_code::OK => "STATUS_CODE_OK",
            model::status_code::ERROR => "STATUS_CODE_ERROR",
            _ => "STATUS_CODE_UNSET",
        };
        let own = [batch.service_name(resource), batch.text(of.name), kind_name(of.kind), code];
        let mut labels: Vec<(String, String)> = OWN_LABELS
            .iter()
            .zip(own)
            .map(|(&key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let scope = of.scope as usize;
        let owners = [
            Owner::Event { span, event },
            Owner::Span(span),
            Owner::Resource(batch.scopes()[scope].resource as usize),
        ];
        for (key, default) in &self.dimensions {
            let found = owners.iter().find_map(|&owner| {
                let place = batch.find_attribute(owner, key.as_bytes())?;
                Some(model::json::value_text(batch, batch.attributes(owner)[place].value))
            });
            labels.extend(found.or(default.clone()).map(|value| (key.clone(), value)));
        }
        room.take(labels.iter().map(|(_, value)| TEXT_BYTES + value.len()).sum())?;
        Ok(labels)
    }

    /// A `ResourceMetrics` and a `ResourceLogs` for every resource with exceptions.
    fn collect(&self, batch: &SpanBatch, now: u64, out: &mut Collected) -> Result<(), Refusal> {
        let mut by_resource: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, span) in batch.spans().iter().enumerate() {
            for (place, event) in batch.span_events(span).iter().enumerate() {
                if batch.bytes_of(event.name) == EVENT {
                    let resource = batch.scopes()[span.scope as usize].resource;
                    by_resource.entry(resource).or_default().push((at, place));
                }
            }
        }
        for (resource, exceptions) in by_resource {
            let resource = batch.resource_message(&batch.resources()[resource as usize]);
            let labels = exceptions
                .iter()
                .map(|&(span, event)| self.labels(batch, span, event, &mut out.room))
                .collect::<Result<Vec<_>, _>>()?;
            let mut counts: BTreeMap<&[(String, String)], u64> = BTreeMap::new();
            for own in &labels {
                *counts.entry(own).or_default() += 1;
            }
            let points: Vec<DeltaPoint> = counts
                .into_iter()
                .map(|(attributes, count)| DeltaPoint { attributes: attributes.to_vec(), count })
                .collect();
            out.metric_points += points.len() as u64;
            let sum = DeltaSum {
                name: "exceptions".to_owned(),
                description: "The number of exceptions recorded.".to_owned(),
                points,
            };
            put_resource_metrics(&mut out.metrics, &resource, SCOPE, now, &[sum]);
            out.log_records += exceptions.len() as u64;
            put_message(&mut out.logs, 1, |out| {
                put_bytes_field(out, 1, &resource);
                put_message(out, 2, |out| {
                    put_message(out, 1, |out| put_bytes_field(out, 1, SCOPE.as_bytes()));
                    for ((span, event), labels) in exceptions.into_iter().zip(&labels) {
                        put_message(out, 2, |out| put_record(out, batch, span, event, labels));
                    }
                });
            });
        }
        Ok(())
    }
}

struct Collected {
    room: Room,
    metrics: Vec<u8>,
    metric_points: u64,
    logs: Vec<u8>,
    log_records: u64,
}

/// Appends a `LogRecord` (`logs.proto`).
fn put_record(
    out: &mut Vec<u8>,
    batch: &SpanBatch,
    span: usize,
    event: usize,
    labels: &[(String, String)],
) {
    let of = &batch.spans()[span];
    put_fixed64_field(out, 1, batch.span_events(of)[event].time_unix_nano);
    put_varint_field(out, 2, SEVERITY_ERROR);
    put_bytes_field(out, 3, b"ERROR");
    let owner = Owner::Event { span, event };
    for (key, value) in labels.iter().filter(|(key, _)| key != "service.name") {
        if batch.find_attribute(owner, key.as_bytes()).is_none() {
            encode_key_value(out, 6, key.as_bytes(), |out| {
                put_bytes_field(out, 1, value.as_bytes());
            });
        }
    }
    for attribute in batch.attributes(owner) {
        encode_key_value(out, 6, batch.bytes_of(attribute.key), |out| {
            encode_any_value(out, batch, attribute.value);
        });
    }
    put_fixed32_field(out, 8, of.flags & 0xff);
    put_bytes_field(out, 9, &of.trace_id.0);
    put_bytes_field(out, 10, &of.span_id.0);
}

#[async_trait]
impl Consumer for Exceptions {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        let Data::Traces(batches) = &request.data else {
            let reason = "the connector exceptions takes traces only".to_owned();
            return Err(Refusal::Internal { reason });
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos() as u64);
        let mut out = Collected {
            room: Room::of(batches),
            metrics: Vec::new(),
            metric_points: 0,
            logs: Vec::new(),
            log_records: 0,
        };
        batches.iter().try_for_each(|batch| self.collect(batch, now, &mut out))?;
        let Collected { metrics, metric_points, logs, log_records, .. } = out;
        if log_records == 0 {
            return Ok(());
        }
        let send = |to: &Option<Arc<dyn Consumer>>, data: Data| {
            let (to, client) = (to.clone(), request.client.clone());
            async move {
                match to {
                    Some(to) => to.consume(Request { data, client }).await,
                    None => Ok(()),
                }
            }
        };
        let metrics = Encoded { parts: vec![metrics.into()], items: metric_points };
        let logs = Encoded { parts: vec![logs.into()], items: log_records };
        let (metrics, logs) = futures_util::future::join(
            send(&self.metrics, Data::Metrics(metrics)),
            send(&self.logs, Data::Logs(logs)),
        )
        .await;
        match (metrics, logs) {
            (Err(one), Err(other)) => Err(one.or(other)),
            (Err(refusal), Ok(())) | (Ok(()), Err(refusal)) => Err(refusal),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}
