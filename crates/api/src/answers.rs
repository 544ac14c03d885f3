//! The bodies of API v1. Nanoseconds are strings: JavaScript's numbers end at 2^53.

use serde::{Serialize, Serializer};

use crate::Listener;

pub(crate) fn text<S: Serializer>(nanos: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(nanos)
}

fn texts<S: Serializer>(nanos: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(nanos.iter().map(u64::to_string))
}

#[derive(Serialize)]
pub(crate) struct Services {
    pub(crate) services: Vec<Share>,
    pub(crate) partial: bool,
}

#[derive(Serialize)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) span_count: u64,
    pub(crate) error_count: u64,
}

#[derive(Serialize)]
pub(crate) struct Operations {
    pub(crate) operations: Vec<Operation>,
    pub(crate) partial: bool,
}

#[derive(Serialize)]
pub(crate) struct Operation {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) span_count: u64,
    pub(crate) error_count: u64,
}

#[derive(Serialize)]
pub(crate) struct Attributes {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) partial: bool,
}

#[derive(Serialize)]
pub(crate) struct Attribute {
    pub(crate) level: &'static str,
    pub(crate) key: String,
    #[serde(rename = "type")]
    pub(crate) value_type: &'static str,
    pub(crate) count: u64,
}

#[derive(Serialize)]
pub(crate) struct AttributeValues {
    pub(crate) values: Vec<AttributeValue>,
    pub(crate) complete: bool,
}

#[derive(Serialize)]
pub(crate) struct AttributeValue {
    pub(crate) value: String,
    #[serde(rename = "type")]
    pub(crate) value_type: &'static str,
    pub(crate) count: u64,
}

#[derive(Serialize)]
pub(crate) struct SearchPage {
    pub(crate) traces: Vec<TraceSummary>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) partial: bool,
}

#[derive(Serialize)]
pub(crate) struct TraceSummary {
    pub(crate) trace_id: String,
    pub(crate) root_service: String,
    pub(crate) root_name: String,
    #[serde(serialize_with = "text")]
    pub(crate) start_unix_nano: u64,
    #[serde(serialize_with = "text")]
    pub(crate) duration_nano: u64,
    pub(crate) span_count: u64,
    pub(crate) error_count: u64,
    pub(crate) services: Vec<Share>,
    pub(crate) missing_root: bool,
    pub(crate) orphan_count: u64,
}

impl From<store::TraceSummary> for TraceSummary {
    fn from(summary: store::TraceSummary) -> Self {
        Self {
            trace_id: summary.trace_id.to_string(),
            root_service: summary.root_service,
            root_name: summary.root_name,
            start_unix_nano: summary.start_unix_nano,
            duration_nano: summary.duration_nano,
            span_count: summary.span_count,
            error_count: summary.error_count,
            services: summary
                .services
                .into_iter()
                .map(|share| Share {
                    name: share.name,
                    span_count: share.span_count,
                    error_count: share.error_count,
                })
                .collect(),
            missing_root: summary.missing_root,
            orphan_count: summary.orphan_count,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct SeriesList {
    #[serde(serialize_with = "text")]
    pub(crate) start_unix_nano: u64,
    #[serde(serialize_with = "text")]
    pub(crate) step_nano: u64,
    pub(crate) series: Vec<Series>,
    pub(crate) partial: bool,
}

#[derive(Serialize)]
pub(crate) struct Series {
    pub(crate) name: Option<String>,
    pub(crate) spans: Vec<u64>,
    pub(crate) errors: Vec<u64>,
    #[serde(serialize_with = "texts")]
    pub(crate) duration_sum_nano: Vec<u64>,
}

#[derive(Serialize)]
pub(crate) struct Sample {
    pub(crate) trace_id: String,
}

#[derive(Serialize)]
pub(crate) struct Status {
    pub(crate) version: &'static str,
    pub(crate) uptime_seconds: u64,
    pub(crate) span_count: u64,
    pub(crate) head_span_count: u64,
    pub(crate) block_count: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) disk_limit_bytes: u64,
    pub(crate) retention_seconds: u64,
    pub(crate) damaged_block_count: u64,
    pub(crate) damaged_log_count: u64,
    pub(crate) listeners: Vec<Listener>,
}
